"""Concerto: contrast between an attention network and a dense one (Yang et al., Nature Machine Intelligence 2022)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from explorer import keys
from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells, Embedding, FloatArray, Signature
from explorer.methods.base import Config, Measure, MethodCard, Toward, Training
from explorer.networks.concerto import ConcertoNet, Teacher, contributions, estimate_statistics, views_loss
from explorer.networks.samplers import DomainSampler, pieces
from explorer.networks.sparse import SparseCells, SparseRows
from explorer.networks.training import linear_until, train, warmup_cosine
from explorer.progress import Progress

EMBED_ROWS = 2048
CONTRIBUTION = Measure(
    "contribution",
    "gene",
    "How much farther from the label the cells would point if they did not express the gene.",
)
STATISTICS_ROWS = 256
STEPS_AN_EPOCH = 150  # the published learning rate reaches its floor after so many, however large the data are


@dataclass(frozen=True)
class ConcertoConfig(Config):
    """Settings of Concerto.

    Attributes
    ----------
    n_latent
        Units of every layer and of the embedding.
    element_mask, feature_mask
        Probability that a stored value, and that a gene, is dropped from a view.
    dropout
        Probability that a feature is dropped before the last layer.
    temperature
        T of the contrastive loss.
    batch_norm
        "population": statistics of the whole reference. "running": the published running averages.
    batch_size, epochs
        0 epochs picks them by the number of cells.
    lr
        Full learning rate of Adam.
    lr_linear
        Whether it falls in a straight line, as published, instead of warm-up and cosine.
    by_source
        Whether all minibatches of one source follow each other, as published, instead of in random order.
    """

    n_latent: int = 128
    element_mask: float = 0.2
    feature_mask: float = 0.2
    dropout: float = 0.1
    temperature: float = 0.2
    batch_norm: str = "population"
    batch_size: int = 64
    epochs: int = 0
    lr: float = 1e-3
    lr_linear: bool = False
    by_source: bool = False

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: no masks, and the published training and batch norm."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                element_mask=0.0,
                feature_mask=0.0,
                temperature=0.1,
                batch_norm="running",
                batch_size=32,
                epochs=3,
                lr=1e-4,
                lr_linear=True,
                by_source=True,
            )
        raise OptionsProblem(f"Concerto has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,000 steps."""
        steps = math.ceil(1000 * self.batch_size / n_cells)
        epochs = self.epochs or min(max(10, steps), 20_000 * self.batch_size // n_cells)
        return self.batch_size, max(1, epochs)


class Concerto:
    """A trained Concerto teacher."""

    card: ClassVar[MethodCard] = MethodCard(
        name="concerto",
        title="Concerto",
        paper="Yang et al., Nature Machine Intelligence 2022",
        summary="Contrasts what an attention network and a dense network see of a cell. Attention is over all genes.",
        input_form="log1p",
        gives=("gene contribution",),
        measures=(CONTRIBUTION,),
    )
    config_type: ClassVar[type[Config]] = ConcertoConfig

    def __init__(
        self, config: ConcertoConfig, genes: NDArray[np.object_], teacher: Teacher, center: Tensor
    ) -> None:
        self.config = config
        self.genes = genes
        self._teacher = teacher.eval()
        self._center = center  # (d,) mean unit embedding of the reference: what a label's direction starts from

    @classmethod
    def fit(cls, training: Training, config: Config, *, device: torch.device, progress: Progress) -> Self:
        """Train teacher and student on source-pure minibatches; labels take no part."""
        config = _own(config)
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        masks = torch.Generator(device=device).manual_seed(config.seed)
        expression = training.cells.log1p()
        cells = SparseCells.of(expression.indptr, expression.indices, expression.data, len(training.genes), device)
        network = ConcertoNet(len(training.genes), config.n_latent, config.dropout).to(device)
        batch_size, epochs = config.sized(len(cells))
        sampler = DomainSampler(training.batches, batch_size, by_domain=config.by_source)

        def loss_of(which: Tensor) -> Tensor:
            drop = (config.element_mask, config.feature_mask)
            return views_loss(network, cells.rows(which), drop, config.temperature, masks)

        train(
            network,
            lambda _epoch: sampler.epoch(rng),
            loss_of,
            epochs=epochs,
            lr=config.lr,
            schedule=linear_until(STEPS_AN_EPOCH * epochs) if config.lr_linear else warmup_cosine,
            progress=progress,
        )
        if config.batch_norm == "population":
            minibatches = pieces(training.batches, STATISTICS_ROWS, rng)
            estimate_statistics(
                network.teacher, (cells.rows(torch.as_tensor(piece, device=device)) for piece in minibatches)
            )
        values = _embedded(network.teacher.eval(), cells, progress.part(progress.stage, 1.0, 1.0))
        return cls(config, training.genes, network.teacher, torch.as_tensor(values.mean(0), device=device))

    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """The teacher's output, rows of length 1, float32 (n, d)."""
        return Embedding(_embedded(self._teacher, self._stored(cells), progress))

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """What each gene adds to how far the cells point from the reference's centre toward the label.

        Exact for the pooled vector, one gene left out at a time; the rest of the network is taken as linear there.
        Averaged over the cells, 0 for those that do not express the gene. Leaving out one gene at a time does not
        add up to anything, so there is no `error`.
        """
        x = _rows(self._stored(cells), 0, cells.n_cells)
        direction = torch.as_tensor(toward.direction, device=self._center.device) - self._center
        scores = contributions(self._teacher, x, direction)
        progress(1.0)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, self.card.measure(measure).name, math.nan)

    def _stored(self, cells: AlignedCells) -> SparseCells:
        x = cells.log1p()
        return SparseCells.of(x.indptr, x.indices, x.data, len(self.genes), self._center.device)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {"config": self.config.as_dict(), "genes": list(self.genes)}
        (folder / keys.CONFIG_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        tensors = {f"teacher.{name}": value.cpu().contiguous() for name, value in self._teacher.state_dict().items()}
        save_file({**tensors, "center": self._center.cpu()}, folder / keys.WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings = json.loads((folder / keys.CONFIG_FILE).read_text(encoding="utf-8"))
        config = ConcertoConfig(**settings["config"])
        genes = np.array(settings["genes"], dtype=object)
        tensors = load_file(folder / keys.WEIGHTS_FILE, device=str(device))
        center = tensors.pop("center")
        teacher = Teacher(len(genes), config.n_latent, config.dropout).to(device)
        teacher.load_state_dict({name.removeprefix("teacher."): value for name, value in tensors.items()})
        return cls(config, genes, teacher, center)


def _own(config: Config) -> ConcertoConfig:
    if not isinstance(config, ConcertoConfig):
        raise OptionsProblem(f"Concerto is trained with a ConcertoConfig, not a {type(config).__name__}.")
    return config


def _rows(cells: SparseCells, start: int, stop: int) -> SparseRows:
    return cells.rows(torch.arange(start, stop, device=cells.indptr.device))


@torch.no_grad()
def _embedded(teacher: Teacher, cells: SparseCells, progress: Progress) -> FloatArray:
    """Unit embeddings, float32 (n, d)."""
    parts = [np.empty((0, teacher.last.out_features), np.float32)]
    for start in range(0, len(cells), EMBED_ROWS):
        stop = min(start + EMBED_ROWS, len(cells))
        parts.append(F.normalize(teacher(_rows(cells, start, stop)), dim=1).cpu().numpy())
        progress(stop / len(cells))
    return np.concatenate(parts)
