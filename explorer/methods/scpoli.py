"""scPoli: conditional autoencoder with learned batches and prototypes (De Donno et al., Nature Methods 2023)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer import keys
from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells, Embedding, Signature
from explorer.methods.base import Config, MethodCard, Toward, Training
from explorer.networks.attribution import integrated_gradients
from explorer.networks.likelihoods import gaussian_kl
from explorer.networks.samplers import DomainSampler
from explorer.networks.scpoli import MSE, ScpoliNet, prototype_loss, prototypes
from explorer.networks.sparse import SparseCells
from explorer.networks.training import constant, train, warmup_cosine
from explorer.progress import Progress

EMBED_ROWS = 2048


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
    pretraining
        Share of the epochs before prototypes take part.
    batch_size, epochs
        0 picks them by the number of cells.
    lr, eps
        Of Adam.
    annealed
        Whether the learning rate warms up and falls off by a cosine; else it stays.
    """

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
    pretraining: float = 0.8
    batch_size: int = 0
    epochs: int = 0
    lr: float = 3e-3
    eps: float = 1e-8
    annealed: bool = True

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
                batch_size=128,
                epochs=100,
                lr=1e-3,
                eps=1e-2,
                annealed=False,
            )
        raise OptionsProblem(f"scPoli has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,500 steps."""
        batch_size = self.batch_size or (128 if n_cells < 20_000 else 512)
        epochs = self.epochs or min(max(50, math.ceil(1500 * batch_size / n_cells)), 20_000 * batch_size // n_cells)
        return batch_size, max(1, epochs)


class Scpoli:
    """A trained scPoli autoencoder."""

    card: ClassVar[MethodCard] = MethodCard(
        name="scpoli",
        title="scPoli",
        paper="De Donno et al., Nature Methods 2023",
        summary="Models counts given the batch, and draws cells of a label together. Learns from the labels.",
        input_form="counts",
        gives=("gene attribution",),
    )
    config_type: ClassVar[type[Config]] = ScpoliConfig

    def __init__(
        self, config: ScpoliConfig, genes: NDArray[np.object_], network: ScpoliNet, baseline: Tensor, depth: float
    ) -> None:
        self.config = config
        self.genes = genes
        self._network = network.eval()
        self._baseline = baseline  # (g,) mean encoder input of the reference: where attribution starts
        self._depth = depth  # counts of the reference's median cell, over all genes

    @classmethod
    def fit(cls, training: Training, config: Config, *, device: torch.device, progress: Progress) -> Self:
        """Train on counts of all batches mixed; prototypes of the labels take part in the last epochs.

        Raises
        ------
        ValuesProblem
            If the reference does not hold counts.
        """
        config = _own(config)
        _require_counts(training.cells)
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        noise = torch.Generator(device=device).manual_seed(config.seed)
        depth = float(np.median(training.cells.totals))
        expression = _encoder_input(training.cells, config, depth)
        cells = _Cells.of(training, expression, device)
        network = _network(config, len(training.genes), cells.n_conditions).to(device)
        batch_size, epochs = config.sized(len(cells.counts))
        sampler = DomainSampler(np.zeros(len(cells.counts), np.int64), batch_size)
        loss = _Loss(network, config, cells, noise)

        def epoch_batches(epoch: int) -> list[NDArray[np.int64]]:
            loss.begin(epoch, epochs)
            return sampler.epoch(rng)

        train(
            network,
            epoch_batches,
            loss,
            epochs=epochs,
            lr=config.lr,
            schedule=warmup_cosine if config.annealed else constant,
            progress=progress,
            eps=config.eps,
        )
        baseline = torch.as_tensor(np.asarray(expression.mean(0), np.float32).ravel(), device=device)
        return cls(config, training.genes, network, baseline, depth)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Posterior means, every cell taken as of an unseen batch, float32 (n, d)."""
        expression = _encoder_input(cells, self.config, self._depth)
        device = self._baseline.device
        store = SparseCells.of(expression.indptr, expression.indices, expression.data, len(self.genes), device)
        parts = [np.empty((0, self._network.mean.out_features), np.float32)]
        for start in range(0, len(store), EMBED_ROWS):
            stop = min(start + EMBED_ROWS, len(store))
            parts.append(self._network(store.rows(torch.arange(start, stop, device=device))).cpu().numpy())
            progress(stop / len(store))
        return Embedding(np.concatenate(parts))

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Integrated gradients of cos(z, direction) from the reference's mean expression, averaged over the cells.

        `error` is |sum of scores - (f(x) - f(mean))| over the mean size of that difference.
        """
        device = self._baseline.device
        expression = torch.as_tensor(_encoder_input(cells, self.config, self._depth).toarray(), device=device)  # (n, g)
        direction = F.normalize(torch.as_tensor(toward.direction, device=device), dim=0)
        scores, error = integrated_gradients(self._network.dense, expression, self._baseline, direction, progress)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, self.card.measure(measure).name, error)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {"config": self.config.as_dict(), "genes": list(self.genes), "depth": self._depth}
        (folder / keys.CONFIG_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        tensors = {f"network.{name}": value.cpu().contiguous() for name, value in self._network.state_dict().items()}
        save_file({**tensors, "baseline": self._baseline.cpu()}, folder / keys.WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings = json.loads((folder / keys.CONFIG_FILE).read_text(encoding="utf-8"))
        config = ScpoliConfig(**settings["config"])
        genes = np.array(settings["genes"], dtype=object)
        tensors = load_file(folder / keys.WEIGHTS_FILE, device=str(device))
        baseline = tensors.pop("baseline")
        network = _network(config, len(genes), len(tensors["network.conditions.weight"])).to(device)
        network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items()})
        return cls(config, genes, network, baseline, settings["depth"])


def _own(config: Config) -> ScpoliConfig:
    if not isinstance(config, ScpoliConfig):
        raise OptionsProblem(f"scPoli is trained with a ScpoliConfig, not a {type(config).__name__}.")
    return config


def _network(config: ScpoliConfig, n_genes: int, n_conditions: int) -> ScpoliNet:
    sizes = (n_genes, n_conditions, config.n_hidden, config.n_latent, config.n_condition)
    return ScpoliNet(*sizes, config.likelihood, config.dropout)


def _require_counts(cells: AlignedCells) -> None:
    if not cells.is_counts:
        raise ValuesProblem(
            "scPoli learns from counts, but the reference's values are no whole numbers (the largest is "
            f"{cells.values.data.max(initial=0):.4g}). Build from a file that holds counts, or train CONCORD."
        )


def _encoder_input(cells: AlignedCells, config: ScpoliConfig, depth: float) -> sparse.csr_matrix:
    """What the encoder takes, csr float32 (n, g): log1p of counts as they are, or of all at one depth.

    Values that are no counts are always brought to `depth`, where they are about as large as counts would be.
    """
    if cells.is_counts and not config.same_depth:
        return cells.values.log1p()
    return cells.log1p(depth)


@dataclass(frozen=True)
class _Cells:
    """The training cells on the device that trains.

    Attributes
    ----------
    counts, taken
        Counts, and what the encoder takes.
    totals
        float32 (m,), counts a cell over these genes.
    condition
        int64 (m,), batches numbered without gaps.
    labels
        int64 (m,) a label level.
    """

    counts: SparseCells
    taken: SparseCells
    totals: Tensor
    condition: Tensor
    n_conditions: int
    labels: tuple[Tensor, ...]

    @classmethod
    def of(cls, training: Training, expression: sparse.csr_matrix, device: torch.device) -> Self:
        values = training.cells.values
        counts = SparseCells.of(values.indptr, values.indices, values.data, values.shape[1], device)
        taken = replace(counts, values=torch.as_tensor(expression.data, device=device))
        totals = torch.as_tensor(np.asarray(values.sum(1), np.float32).ravel(), device=device)
        batches, condition = np.unique(training.batches, return_inverse=True)
        labels = tuple(torch.as_tensor(codes, device=device).long() for codes in training.labels.values())
        return cls(counts, taken, totals, torch.as_tensor(condition, device=device), len(batches), labels)


class _Loss:
    """The loss of a minibatch; `begin` sets what of it changes with the epoch."""

    def __init__(self, network: ScpoliNet, config: ScpoliConfig, cells: _Cells, noise: torch.Generator) -> None:
        self._network, self._config, self._cells, self._noise = network, config, cells, noise
        self._kl_weight = 0.0
        self._prototypes: list[Tensor] = []  # by label level; none during pretraining

    def begin(self, epoch: int, epochs: int) -> None:
        """The KL term grows; from the end of pretraining on, prototypes follow their cells once an epoch."""
        self._kl_weight = self._config.kl_weight * min(1.0, epoch / self._config.kl_epochs)
        if self._config.prototype_weight > 0 and epoch >= self._config.pretraining * epochs:
            z = self._posterior_means()
            self._prototypes = [prototypes(z, codes, int(codes.max()) + 1) for codes in self._cells.labels]

    def __call__(self, which: Tensor) -> Tensor:
        cells, config = self._cells, self._config
        taken, condition = cells.taken.rows(which), cells.condition[which]
        posterior = self._network.encode(taken, condition)
        z = posterior.draw(self._noise)
        observed = taken if config.likelihood == MSE else cells.counts.rows(which)
        missed = -self._network.log_likelihood(z, condition, observed, cells.totals[which])
        loss = (missed + self._kl_weight * gaussian_kl(posterior.mean, posterior.variance)).mean()
        for codes, centres in zip(cells.labels, self._prototypes, strict=False):  # no prototypes: no loss
            distance = prototype_loss(z, codes[which], centres, config.prototype_norm, config.per_class)
            loss = loss + config.prototype_weight * distance
        return loss

    @torch.no_grad()
    def _posterior_means(self) -> Tensor:
        """Where the training cells lie, each in its own batch, float (m, d)."""
        self._network.eval()
        cells = self._cells
        pieces = torch.arange(len(cells.condition), device=cells.condition.device).split(EMBED_ROWS)
        parts = [self._network.encode(cells.taken.rows(which), cells.condition[which]).mean for which in pieces]
        self._network.train()
        return torch.cat(parts)
