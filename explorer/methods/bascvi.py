"""BA-scVI: a count autoencoder that discriminators force to forget the batch (Diaz-Mejia et al., bioRxiv 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import AlignedCells, Embedding
from explorer.methods.base import Config, MethodCard, Toward, Training
from explorer.methods.common import kept_out, own_config, part_of, read_model, require_counts, tensors_of, write_model
from explorer.networks.attribution import integrated_gradients
from explorer.networks.bascvi import Adversary, BascviNet, Decoded, Reader
from explorer.networks.likelihoods import gaussian_kl
from explorer.networks.losses import cross_entropies
from explorer.networks.samplers import DomainSampler
from explorer.networks.sparse import SparseCells
from explorer.networks.training import constant, train, warmup_cosine
from explorer.progress import Progress
from explorer.reading.kinds import COUNTED_GENES

EMBED_ROWS = 2048
MISSED = 10.0  # counts expected of a gene before none at all says that it was not measured: by chance once in 22,000


@dataclass(frozen=True)
class BascviConfig(Config):
    """Settings of BA-scVI.

    Attributes
    ----------
    n_hidden, n_layers, n_latent
        Units of each hidden layer, layers of each half besides the one that discriminators read, and units of the
        embedding.
    kl_weight
        Weight of the KL term.
    adversary_weight
        beta: what it is worth to the autoencoder that discriminators miss the batch.
    label_weight
        Of the cross-entropy of labels read from z by a linear layer; 0 trains without labels, as published.
    warmup
        Share of the epochs over which both weights grow from 0.
    batch_size, epochs
        0 picks them by the number of cells.
    lr, adversary_lr
        Full learning rates of Adam for the autoencoder and for its discriminators.
    weight_decay, eps
        Of Adam.
    clip
        Largest norm of either's gradient.
    patience
        Epochs in which left-out cells are modelled no better before training stops; 0 trains to the end on all cells.
    annealed
        Whether learning rates warm up and fall off by a cosine; else they stay.
    masked
        Whether genes that a batch did not measure are left out of its likelihood; else they count as not expressed.
    """

    n_hidden: int = 128
    n_layers: int = 2
    n_latent: int = 30
    kl_weight: float = 0.1
    adversary_weight: float = 10.0
    label_weight: float = 50.0
    warmup: float = 0.1
    batch_size: int = 0
    epochs: int = 0
    lr: float = 1e-3
    adversary_lr: float = 1e-2
    weight_decay: float = 1e-5
    eps: float = 1e-8
    clip: float = 5.0
    patience: int = 0
    annealed: bool = True
    masked: bool = True

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: the published network, learning rates, batch size and epochs."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                n_hidden=512,
                n_layers=4,
                n_latent=10,
                kl_weight=1.0,
                label_weight=0.0,
                batch_size=64,
                epochs=100,
                lr=5e-5,
                eps=1e-2,
                annealed=False,
            )
        raise OptionsProblem(f"BA-scVI has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,000 steps."""
        batch_size = self.batch_size or (128 if n_cells < 20_000 else 512)
        epochs = self.epochs or max(20, math.ceil(1000 * batch_size / n_cells))
        return batch_size, epochs


class Bascvi:
    """A trained BA-scVI autoencoder."""

    card: ClassVar[MethodCard] = MethodCard(
        name="bascvi",
        title="BA-scVI",
        paper="Diaz-Mejia et al., bioRxiv 2024",
        summary="Models counts, hides the batch from discriminators that try to guess it, and reads labels.",
        gives=("gene attribution",),
        builds_from=COUNTED_GENES,
    )
    config_type: ClassVar[type[Config]] = BascviConfig

    def __init__(
        self,
        config: BascviConfig,
        genes: NDArray[np.object_],
        network: BascviNet,
        baseline: Tensor,
        mixing: Mapping[str, float],
        reader: Reader,
        labels: Mapping[str, int],
    ) -> None:
        self.config = config
        self.genes = genes
        self.mixing = mixing  # by level, how often batches stay hidden: 1 is chance, 0 is told every time
        self._network = network.eval()
        self._reader = reader.eval()
        self._labels = labels  # classes that the reader tells apart, by label level
        self._baseline = baseline  # (g,) mean log1p expression of the reference: where attribution starts

    @classmethod
    def fit(
        cls, training: Training, config: Config, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Self:
        """Train on counts of all batches mixed; labels take part where the settings say so.

        Raises
        ------
        ValuesProblem
            If the reference does not hold counts.
        """
        config = own_config(config, BascviConfig, "BA-scVI")
        require_counts(training.cells, "BA-scVI", "reference", "Build from a file that holds counts, or train CONCORD.")
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        noise = torch.Generator(device=device).manual_seed(config.seed)
        expression = training.cells.log1p()
        cells = _Cells.of(training, expression, config, device)
        network = _network(config, len(training.genes), cells.sizes).to(device)
        adversary = Adversary(config.n_hidden, cells.sizes).to(device)
        labels = {level: int(codes.max(initial=0)) + 1 for level, codes in training.labels.items()}
        labels = labels if config.label_weight > 0 else {}
        reader = Reader(config.n_latent, list(labels.values())).to(device)
        batch_size, epochs = config.sized(len(cells.counts))
        learnt, left_out = kept_out(len(cells.counts), config.patience, rng)
        checked = torch.as_tensor(left_out, device=device)
        sampler = DomainSampler(np.zeros(len(learnt), np.int64), batch_size)
        loss = _Loss(network, adversary, reader, config, cells, noise)

        def epoch_batches(epoch: int) -> list[NDArray[np.int64]]:
            loss.begin(epoch, epochs)
            return [learnt[minibatch] for minibatch in sampler.epoch(rng)]

        train(
            network, epoch_batches, loss,
            epochs=epochs, lr=config.lr,
            schedule=warmup_cosine if config.annealed else constant,
            progress=progress,
            weight_decay=config.weight_decay,
            eps=config.eps,
            others=[(adversary, config.adversary_lr), *([(reader, config.lr)] if labels else [])],
            clip=config.clip,
            check=(lambda: loss.check(checked)) if len(checked) else None, patience=config.patience,
            checkpoint=training.checkpoint(checkpoint, config), generators=(rng, noise),
        )
        baseline = torch.as_tensor(np.asarray(expression.mean(0), np.float32).ravel(), device=device)
        return cls(config, training.genes, network, baseline, _mixing(network, adversary, cells), reader, labels)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Posterior means, float32 (n, d), and what the reader says of them."""
        expression = cells.log1p()
        device = self._baseline.device
        store = SparseCells.of(expression.indptr, expression.indices, expression.data, len(self.genes), device)
        parts = [torch.empty(0, self._network.mean.out_features, device=device)]
        for start in range(0, len(store), EMBED_ROWS):
            stop = min(start + EMBED_ROWS, len(store))
            parts.append(self._network(store.rows(torch.arange(start, stop, device=device))))
            progress(stop / len(store))
        z = torch.cat(parts)
        read = zip(self._labels, self._reader(z), strict=True)
        return Embedding(z.cpu().numpy(), {level: logits.softmax(1).cpu().numpy() for level, logits in read})

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Integrated gradients of cos(z, direction) from the reference's mean expression, averaged over the cells.

        `error` is |sum of scores - (f(x) - f(mean))| over the mean size of that difference.
        """
        device = self._baseline.device
        expression = torch.as_tensor(cells.log1p().toarray(), device=device)  # (n, g)
        direction = F.normalize(torch.as_tensor(toward.direction, device=device), dim=0)
        scores, error = integrated_gradients(self._network.dense, expression, self._baseline, direction, progress)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, self.card.measure(measure).name, error)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {
            "config": self.config.as_dict(),
            "genes": list(self.genes),
            "sizes": list(self._network.sizes),
            "mixing": dict(self.mixing),
            "labels": dict(self._labels),
        }
        parts = tensors_of(self._network, "network") | tensors_of(self._reader, "reader")
        write_model(folder, settings, {**parts, "baseline": self._baseline})

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings, tensors = read_model(folder, device)
        config = BascviConfig(**settings["config"])
        genes = np.array(settings["genes"], dtype=object)
        baseline = tensors.pop("baseline")
        network = _network(config, len(genes), settings["sizes"]).to(device)
        network.load_state_dict(part_of(tensors, "network"))
        labels = settings["labels"]
        reader = Reader(config.n_latent, list(labels.values())).to(device)
        reader.load_state_dict(part_of(tensors, "reader"))
        return cls(config, genes, network, baseline, settings["mixing"], reader, labels)


def _network(config: BascviConfig, n_genes: int, sizes: Sequence[int]) -> BascviNet:
    return BascviNet(n_genes, sizes, config.n_hidden, config.n_layers, config.n_latent)


def _levels(training: Training) -> dict[str, NDArray[np.int64]]:
    """What tells a cell's batch, int64 (m,) without gaps, by the column that says so; those of one value say nothing.

    The columns are those of `training.conditions`, or the batch where there are none.
    """
    named = {condition.column: condition.codes for condition in training.conditions} or {"batch": training.batches}
    levels = {column: np.unique(codes, return_inverse=True)[1] for column, codes in named.items()}
    telling = {column: codes for column, codes in levels.items() if codes.max(initial=0) > 0}
    return telling or dict(list(levels.items())[:1])


def measured(cells: AlignedCells, batch_of: NDArray[np.int64]) -> NDArray[np.float32]:
    """Which genes each batch measured, float32 (batches, g), 1 for yes.

    A gene that no cell of a batch has counted was measured all the same where the other batches would lead one to
    expect fewer than `MISSED` counts of it: a small batch does not meet every gene.
    """
    counted = np.concatenate([cells.values[batch_of == b].sum(0) for b in range(int(batch_of.max()) + 1)])
    counted = np.asarray(counted, np.float64)  # (batches, g)
    others = counted.sum(0) - counted
    share = others / np.maximum(others.sum(1, keepdims=True), 1)
    expected = share * counted.sum(1, keepdims=True)
    return ((counted > 0) | (expected < MISSED)).astype(np.float32)


@dataclass(frozen=True)
class _Cells:
    """The training cells on the device that trains.

    Attributes
    ----------
    counts, taken
        Counts, and what the encoder takes.
    totals
        float32 (m,), counts a cell over these genes.
    levels, sizes
        Columns that tell a batch, and how many values each has.
    batch
        int64 (m, L), the value of each cell.
    labels
        int64 (m, K), codes at each label level, -1 for none.
    kind, measured
        int64 (m,), each cell's batch, and float32 (batches, g), 1 for a gene that the batch measured.
    """

    counts: SparseCells
    taken: SparseCells
    totals: Tensor
    levels: tuple[str, ...]
    sizes: tuple[int, ...]
    batch: Tensor
    labels: Tensor
    kind: Tensor
    measured: Tensor

    @classmethod
    def of(
        cls, training: Training, expression: sparse.csr_matrix, config: BascviConfig, device: torch.device
    ) -> Self:
        values = training.cells.values
        counts = SparseCells.of(values.indptr, values.indices, values.data, values.shape[1], device)
        kind = np.unique(training.batches, return_inverse=True)[1]
        found = measured(training.cells, kind)
        levels = _levels(training)
        return cls(
            counts=counts,
            taken=replace(counts, values=torch.as_tensor(expression.data, device=device)),
            totals=torch.as_tensor(np.asarray(values.sum(1), np.float32).ravel(), device=device),
            levels=tuple(levels),
            sizes=tuple(int(codes.max()) + 1 for codes in levels.values()),
            batch=torch.as_tensor(np.stack(list(levels.values()), 1), device=device),
            labels=torch.as_tensor(np.stack(list(training.labels.values()), 1), device=device).long(),
            kind=torch.as_tensor(kind, device=device),
            measured=torch.as_tensor(found if config.masked else np.ones_like(found), device=device),
        )


class _Loss:
    """The loss of a minibatch, of both sides; `begin` sets what of it changes with the epoch."""

    def __init__(
        self,
        network: BascviNet,
        adversary: Adversary,
        reader: Reader,
        config: BascviConfig,
        cells: _Cells,
        noise: torch.Generator,
    ) -> None:
        self._network, self._adversary, self._reader = network, adversary, reader
        self._config, self._cells, self._noise = config, cells, noise
        self._rise = 0.0

    def begin(self, epoch: int, epochs: int) -> None:
        """The KL term and the adversary's weight grow."""
        self._rise = min(1.0, epoch / max(1.0, self._config.warmup * epochs))

    def __call__(self, which: Tensor) -> Tensor:
        cells, config, network = self._cells, self._config, self._network
        batch = cells.batch[which]
        encoded = network.encode(cells.taken.rows(which))
        z = encoded.draw(self._noise)
        decoded = network.decoded(z, batch)
        missed, strayed = self._missed(which, decoded), config.kl_weight * gaussian_kl(encoded.mean, encoded.variance)
        told = (encoded.hidden, decoded.hidden, batch)
        hidden = config.adversary_weight * self._adversary.reward(*told)
        loss = missed.mean() + self._rise * (strayed.mean() - hidden) + self._adversary.lesson(*told)
        if config.label_weight > 0:
            loss = loss + config.label_weight * cross_entropies(self._reader(z), cells.labels[which].T).sum()
        return loss

    @torch.no_grad()
    def check(self, left_out: Tensor) -> float:
        """How badly cells are modelled, int64 (n,): reconstruction from the posterior mean, and the full KL term.

        Neither labels nor adversaries have a say: fooling a discriminator is no sign of a good model.
        """
        total = 0.0
        for which in left_out.split(EMBED_ROWS):
            encoded = self._network.encode(self._cells.taken.rows(which))
            missed = self._missed(which, self._network.decoded(encoded.mean, self._cells.batch[which]))
            total += float((missed + self._config.kl_weight * gaussian_kl(encoded.mean, encoded.variance)).sum())
        return total / len(left_out)

    def _missed(self, which: Tensor, decoded: Decoded) -> Tensor:
        """-log likelihood of the counts of cells, float (B,)."""
        cells = self._cells
        observed, measured = cells.counts.rows(which), cells.measured[cells.kind[which]]
        return -self._network.log_likelihood(decoded, observed, cells.totals[which], measured)


@torch.no_grad()
def _mixing(network: BascviNet, adversary: Adversary, cells: _Cells) -> dict[str, float]:
    """How well the encoder hides each level from its discriminator: cross-entropy over ln(values), 1 at chance."""
    network.eval()
    missed = torch.zeros(len(cells.sizes), device=cells.batch.device)
    for which in torch.arange(len(cells.batch), device=cells.batch.device).split(EMBED_ROWS):
        hidden = network.encode(cells.taken.rows(which)).hidden
        missed += adversary.missed(adversary.of_encoder, hidden, cells.batch[which]) * len(which) / len(cells.batch)
    of_level = zip(cells.levels, cells.sizes, missed.tolist(), strict=True)
    return {level: round(lost / math.log(n), 4) for level, n, lost in of_level if n > 1}
