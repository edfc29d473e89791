"""scPoli: conditional autoencoder with learned batches and prototypes (De Donno et al., Nature Methods 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer.beside import ConditionEmbedding
from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import AlignedCells, Embedding
from explorer.methods.base import (
    INSTANT,
    Adaptation,
    Adapted,
    Config,
    MethodCard,
    Mode,
    Toward,
    Training,
    condition_codes,
)
from explorer.methods.common import own_config, part_of, read_model, require_counts, tensors_of, write_model
from explorer.networks import scpoli_surgery
from explorer.networks.attribution import integrated_gradients
from explorer.networks.samplers import DomainSampler
from explorer.networks.scpoli import Conditions, CountCells, ScpoliNet, near_prototypes, prototypes
from explorer.networks.scpoli_conditions import Column, ConditionNames
from explorer.networks.scpoli_loss import ScpoliLoss, grown_weight
from explorer.networks.sparse import SparseCells
from explorer.networks.training import constant, train, warmup_cosine
from explorer.progress import Progress
from explorer.reading.kinds import BY_GENES, COUNTED_GENES, DataKind, are_peaks

EMBED_ROWS = 2048
NEAREST = Mode(
    "nearest",
    "Nearest batch",
    "Treats each of your batches like the reference's batch that explains its cells best. Seconds; nothing is learned.",
    needs=("counts", "conditions"),
)
SURGERY = Mode(
    "surgery",
    "Learn my batches",
    "Learns a description of each of your batches while the model stays as it is, so that your batches or samples can "
    "be compared with the reference's. Needs counts; seconds to a minute.",
    needs=("counts", "conditions"),
)


@dataclass(frozen=True)
class ScpoliConfig(Config):
    """Settings of scPoli.

    Attributes
    ----------
    n_hidden, n_latent, n_condition
        Units of the hidden layers and of the embedding, and how many numbers describe a batch.
    likelihood
        "nb", "zinb", "poisson" or "mse".
    dropout
        Share of hidden units dropped in training.
    same_depth
        Whether the encoder sees every cell at the reference's median depth, else its counts as they are.
    kl_weight, kl_epochs
        Weight of the KL term, and epochs over which it grows from 0.
    prototype_weight, prototype_norm, per_class
        eta and p of the prototype loss; mean within each class, summed over classes, or mean over the cells.
    contrast
        Weight of a cross-entropy between prototypes, which keeps labels apart; not in the paper.
    pretraining
        Share of the epochs before prototypes take part.
    batch_size, epochs
        0 picks them by the number of cells.
    lr, eps
        Of Adam.
    annealed
        Whether the learning rate warms up and falls off by a cosine; else it stays.
    surgery_steps, surgery_lr
        Of Adam, when new batches are learned.
    """

    words: ClassVar = {"likelihood": ("nb", "zinb", "poisson", "mse")}
    n_hidden: int = 128
    n_latent: int = 20
    n_condition: int = 5
    likelihood: str = "nb"
    dropout: float = 0.05
    same_depth: bool = True
    kl_weight: float = 1.0
    kl_epochs: int = 100
    prototype_weight: float = 5.0
    prototype_norm: float = 2.0
    per_class: bool = False
    contrast: float = 20.0
    pretraining: float = 0.8
    batch_size: int = 0
    epochs: int = 0
    lr: float = 3e-3
    eps: float = 1e-8
    annealed: bool = True
    surgery_steps: int = 300
    surgery_lr: float = 2e-2

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: the settings of the published benchmarks."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                n_hidden=45,  # the square root of the genes
                n_latent=10,
                same_depth=False,
                prototype_weight=10.0,
                per_class=True,
                contrast=0.0,
                batch_size=128,
                epochs=100,
                lr=1e-3,
                eps=1e-2,
                annealed=False,
            )
        raise OptionsProblem(f"scPoli has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,500 steps."""
        batch_size = self.batch_size or (128 if n_cells < 10_000 else 256 if n_cells < 20_000 else 512)
        epochs = self.epochs or min(max(50, math.ceil(1500 * batch_size / n_cells)), 20_000 * batch_size // n_cells)
        return batch_size, max(1, epochs)

    def loss(self) -> dict[str, Any]:
        """What of the settings the loss needs."""
        return {
            "kl_weight": self.kl_weight,
            "kl_epochs": self.kl_epochs,
            "weight": self.prototype_weight,
            "norm": self.prototype_norm,
            "per_class": self.per_class,
            "contrast": self.contrast,
            "pretraining": self.pretraining,
        }


class Scpoli:
    """A trained scPoli autoencoder."""

    card: ClassVar[MethodCard] = MethodCard(
        name="scpoli",
        title="scPoli",
        paper="De Donno et al., Nature Methods 2023",
        summary="Models counts given the batch, and draws cells of a label together. Learns from the labels.",
        gives=("gene attribution", "a vector for each batch or sample"),
        builds_from=(*COUNTED_GENES, DataKind.PEAKS),
        maps=(*BY_GENES, DataKind.PEAKS),
        modes=(INSTANT, NEAREST, SURGERY),
    )
    config_type: ClassVar[type[Config]] = ScpoliConfig

    def __init__(
        self,
        config: ScpoliConfig,
        genes: NDArray[np.object_],
        network: ScpoliNet,
        baseline: Tensor,
        depth: float,
        names: ConditionNames,
        centres: Mapping[str, Tensor],
    ) -> None:
        self.config = config
        self.genes = genes
        self._network = network.eval()
        self._baseline = baseline  # (g,) mean encoder input of the reference: where attribution starts
        self._depth = depth  # counts of the reference's median cell, over all genes
        self._names = names
        self._centres = dict(centres)  # by label level: its prototypes, (classes, d), NaN where a class has no cells

    @property
    @torch.no_grad()
    def conditions(self) -> tuple[ConditionEmbedding, ...]:
        """The vectors of all conditions, one table a column; those learned from a query come last."""
        tables = zip(self._names.columns, self._names.names, self._names.seen, self._network.vectors(), strict=True)
        return tuple(
            ConditionEmbedding(
                column, np.array(names, dtype=object), vectors[:-1].cpu().numpy(), np.arange(len(names)) >= seen
            )
            for column, names, seen, vectors in tables
        )

    @classmethod
    def fit(
        cls, training: Training, config: Config, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Self:
        """Train on counts of all batches mixed; prototypes of the labels take part in the last epochs.

        Raises
        ------
        ValuesProblem
            If the reference does not hold counts.
        """
        config = _suited(own_config(config, ScpoliConfig, "scPoli"), training.genes)
        require_counts(training.cells, "scPoli", "reference", "Build from a file that holds counts, or train CONCORD.")
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        noise = torch.Generator(device=device).manual_seed(config.seed)
        depth = float(np.median(training.cells.totals))
        expression = _encoder_input(training.cells, config, depth)
        names, rows, combined = ConditionNames.learned(_columns(training))
        cells = _count_cells(training.cells, expression, rows, combined, device)
        labels = tuple(torch.as_tensor(codes, device=device).long() for codes in training.labels.values())
        network = _network(config, len(training.genes), names).to(device)
        batch_size, epochs = config.sized(len(cells.counts))
        sampler = DomainSampler(np.zeros(len(cells.counts), np.int64), batch_size)
        loss = ScpoliLoss(network, cells, labels, noise, **config.loss())

        def epoch_batches(epoch: int) -> list[NDArray[np.int64]]:
            loss.begin(epoch, epochs)
            return sampler.epoch(rng)

        train(
            network, epoch_batches, loss,
            epochs=epochs, lr=config.lr,
            schedule=warmup_cosine if config.annealed else constant,
            progress=progress, eps=config.eps,
            checkpoint=training.checkpoint(checkpoint, config), generators=(rng, noise),
        )
        baseline = torch.as_tensor(np.asarray(expression.mean(0), np.float32).ravel(), device=device)
        made = cls(config, training.genes, network, baseline, depth, names, {})
        return made._with_prototypes(training.cells, training.labels)

    def adapt(self, to: Adaptation, *, progress: Progress) -> Adapted:
        """Describe the query's batches: each like the reference's nearest one, or by vectors learned from its cells.

        Cells are then placed as of their own conditions, and so are the reference's.

        Raises
        ------
        OptionsProblem
            If none of the reference's condition columns is known of the query.
        ValuesProblem
            If the query does not hold counts.
        """
        mode = self.card.mode(to.mode)
        if not to.conditions:
            raise OptionsProblem(
                f"{self.card.title} can only {mode.title.lower()!r} when it knows which cells of the query belong to "
                "which batch. Name the column that says so: map --batch COLUMN. Or map with the mode 'instant'."
            )
        require_counts(to.cells, "scPoli", "query", "Map a file that holds counts, or use the mode 'instant'.")
        device = self._baseline.device
        names, rows, combined = self._names.extended([(c.column, c.names, c.codes) for c in to.conditions])
        expression = _encoder_input(to.cells, self.config, self._depth)
        cells = _count_cells(to.cells, expression, rows, combined, device)
        if mode is NEAREST:
            known = torch.as_tensor(self._names.combinations, device=device)
            rng = np.random.default_rng(self.config.seed)
            network, nearest = scpoli_surgery.nearest(self._network, cells, known, rng, progress)
            notices = _told_nearest(self._names, names, nearest)
        else:
            _, epochs = self.config.sized(to.reference.cells.n_cells)
            network = scpoli_surgery.surgery(
                self._network,
                cells,
                steps=self.config.surgery_steps,
                lr=self.config.surgery_lr,
                kl_weight=grown_weight(epochs, self.config.kl_weight, self.config.kl_epochs),
                seed=self.config.seed,
                progress=progress,
            )
            notices = ()
        made = type(self)(self.config, self.genes, network, self._baseline, self._depth, names, {})
        own = condition_codes(made.conditions, to.reference.conditions) if to.reference.conditions else None
        method = made._with_prototypes(replace(to.reference.cells, conditions=own), to.reference.labels)
        return Adapted(method, True, notices + _told_known(self._names, to), method.conditions)

    def _with_prototypes(self, cells: AlignedCells, labels: Mapping[str, NDArray[np.int32]]) -> Self:
        """The same, with the prototype of each class of each level: where its cells lie on average."""
        z = torch.as_tensor(self.embed(cells, progress=Progress()).values, device=self._baseline.device)
        centres = {
            level: prototypes(z, torch.as_tensor(codes, device=z.device).long(), int(codes.max()) + 1)
            for level, codes in labels.items()
        }
        rest = (self.config, self.genes, self._network, self._baseline, self._depth, self._names)
        return type(self)(*rest, centres)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Posterior means, float32 (n, d), and softmax(-distance) to the prototypes of each label level.

        A cell whose condition is not known is taken as of an average one.
        """
        expression = _encoder_input(cells, self.config, self._depth)
        device = self._baseline.device
        store = SparseCells.of(expression.indptr, expression.indices, expression.data, len(self.genes), device)
        rows = self._rows(cells)
        parts = [np.empty((0, self._network.mean.out_features), np.float32)]
        for start in range(0, len(store), EMBED_ROWS):
            which = torch.arange(start, min(start + EMBED_ROWS, len(store)), device=device)
            parts.append(self._network(store.rows(which), rows[which]).cpu().numpy())
            progress((start + len(which)) / len(store))
        values = np.concatenate(parts)
        z = torch.as_tensor(values, device=device)
        return Embedding(
            values, {level: near_prototypes(z, centres).cpu().numpy() for level, centres in self._centres.items()}
        )

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Integrated gradients of cos(z, direction) from the reference's mean expression, averaged over the cells.

        `error` is |sum of scores - (f(x) - f(mean))| over the mean size of that difference.
        """
        device = self._baseline.device
        expression = torch.as_tensor(_encoder_input(cells, self.config, self._depth).toarray(), device=device)  # (n, g)
        direction = F.normalize(torch.as_tensor(toward.direction, device=device), dim=0)
        described = self._rows(cells)
        average = torch.full_like(described[:1], -1)  # of the mean expression, where the path begins

        def place(points: Tensor) -> Tensor:
            return self._network.dense(points, torch.cat([described, average])[: len(points)])

        scores, error = integrated_gradients(place, expression, self._baseline, direction, progress)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, self.card.measure(measure).name, error)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {"config": self.config.as_dict(), "genes": list(self.genes), "depth": self._depth}
        settings |= {"conditions": self._names.as_dict(), "levels": list(self._centres)}
        tensors = tensors_of(self._network, "network") | {"baseline": self._baseline}
        write_model(folder, settings, tensors | {f"prototypes.{level}": of for level, of in self._centres.items()})

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings, tensors = read_model(folder, device)
        config = ScpoliConfig(**settings["config"])
        genes = np.array(settings["genes"], dtype=object)
        baseline = tensors.pop("baseline")
        centres = {level: tensors.pop(f"prototypes.{level}") for level in settings["levels"]}
        names = ConditionNames.from_dict(settings["conditions"])
        network = _network(config, len(genes), names).to(device)
        network.load_state_dict(part_of(tensors, "network"))
        return cls(config, genes, network, baseline, settings["depth"], names, centres)

    def _rows(self, cells: AlignedCells) -> Tensor:
        """Each cell's rows in the tables of conditions, int64 (n, K), -1 for what is not known."""
        if cells.conditions is None:
            return torch.full((cells.n_cells, len(self._names.columns)), -1, device=self._baseline.device)
        return torch.as_tensor(cells.conditions, device=self._baseline.device).long()


def _suited(config: ScpoliConfig, features: NDArray[np.object_]) -> ScpoliConfig:
    """For peaks, Poisson in the place of the negative binomial: a cell shows one fragment of a peak or none."""
    if config.likelihood == "nb" and are_peaks(features):
        return replace(config, likelihood="poisson")
    return config


def _network(config: ScpoliConfig, n_genes: int, names: ConditionNames) -> ScpoliNet:
    sizes = (n_genes, [len(each) for each in names.names], len(names.combinations))
    units = (config.n_hidden, config.n_latent, config.n_condition)
    return ScpoliNet(*sizes, *units, config.likelihood, config.dropout, names.seen)


def _columns(training: Training) -> list[Column]:
    """What the cells are described by: all condition columns; without any, the batches by their numbers."""
    if training.conditions:
        return [(condition.column, condition.names, condition.codes) for condition in training.conditions]
    names = [str(code) for code in range(int(training.batches.max(initial=0)) + 1)]
    return [("batch", names, training.batches)]


def _encoder_input(cells: AlignedCells, config: ScpoliConfig, depth: float) -> sparse.csr_matrix:
    """What the encoder takes, csr float32 (n, g): log1p of counts as they are, or of all at one depth.

    Values that are no counts are always brought to `depth`, where they are about as large as counts would be.
    """
    if cells.is_counts and not config.same_depth:
        return cells.values.log1p()
    return cells.log1p(depth)


def _count_cells(
    cells: AlignedCells,
    expression: sparse.csr_matrix,
    rows: NDArray[np.int64],
    combined: NDArray[np.int64],
    device: torch.device,
) -> CountCells:
    values = cells.values
    counts = SparseCells.of(values.indptr, values.indices, values.data, values.shape[1], device)
    taken = replace(counts, values=torch.as_tensor(expression.data, device=device))
    totals = torch.as_tensor(np.asarray(values.sum(1), np.float32).ravel(), device=device)
    conditions = Conditions(torch.as_tensor(rows, device=device), torch.as_tensor(combined, device=device))
    return CountCells(counts, taken, totals, conditions)


def _told_nearest(
    known: ConditionNames, names: ConditionNames, nearest: list[NDArray[np.int64]]
) -> tuple[str, ...]:
    """Which of the reference's conditions each new one is treated like."""
    return tuple(
        f"{column}: {new} is treated like the reference's {before[row]}."
        for column, before, after, rows in zip(known.columns, known.names, names.names, nearest, strict=True)
        for new, row in zip(after[len(before):], rows, strict=True)
    )


def _told_known(known: ConditionNames, to: Adaptation) -> tuple[str, ...]:
    """Conditions of the query that go by a name of the reference's, and so count as the same."""
    told = []
    for condition in to.conditions:
        if condition.column in known.columns:
            before = known.names[known.columns.index(condition.column)]
            same = [name for name in condition.names if name in before]
            if same:
                told.append(f"{condition.column}: {', '.join(same)} taken to be the reference's of that name.")
    return tuple(told)
