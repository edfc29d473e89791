"""How Concerto's networks learn by contrast: from a reference, also with its labels, and on from other cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attention import Norm
from explorer.networks.checkpoints import Checkpoint
from explorer.networks.concerto import ConcertoNet, Teacher, Views, embedded, views_loss
from explorer.networks.concerto_modalities import Minibatch, ModalCells
from explorer.networks.losses import cross_entropies
from explorer.networks.samplers import DomainSampler, pieces
from explorer.networks.training import Schedule, TrainingLog, train
from explorer.progress import Progress

STATISTICS_ROWS = 256
LEFT_OUT = 0.1  # of the cells, to tell when to stop
ANCHORS = 1000  # reference cells whose move tells how far a model has drifted


@dataclass(frozen=True)
class Course:
    """How long and how fast something is learned.

    Attributes
    ----------
    batch_size, epochs, lr, schedule
        As `train` takes them.
    by_source
        Whether all minibatches of one source follow each other.
    patience
        Epochs without improvement after which learning stops; 0 learns to the end.
    p_inside
        Share of a minibatch of the contrast that is drawn from one source; the rest is from the others.
    """

    batch_size: int
    epochs: int
    lr: float
    schedule: Schedule
    by_source: bool = False
    patience: int = 0
    p_inside: float = 1.0


@dataclass(frozen=True)
class Labelled:
    """Labels that are learned along with the contrast, from the teacher's view of a cell.

    Attributes
    ----------
    heads
        Of each label level, from float (B, d) to logits; they learn too.
    codes
        int64 (levels, n), -1 for unlabelled.
    weight
        Of the cross-entropy, averaged over levels, beside the contrast.
    """

    heads: nn.ModuleList
    codes: Tensor
    weight: float

    def loss(self, z: Tensor, which: Tensor) -> Tensor:
        """Of a minibatch: what the teacher makes of it, float (B, d), and which cells it holds, int64 (B,)."""
        return self.weight * cross_entropies([head(z) for head in self.heads], self.codes[:, which]).mean()


def contrast(
    network: ConcertoNet,
    cells: ModalCells,
    sources: NDArray[np.integer],
    views: Views,
    course: Course,
    seed: int,
    progress: Progress,
    labelled: Labelled | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainingLog:
    """Train teacher and student on minibatches of one source, or mostly so; also continues training on other cells.

    With patience, a tenth of the cells is left out, and training stops when their contrast no longer improves.

    Parameters
    ----------
    sources
        int (n,), of each cell.
    labelled
        What is known of the cells besides.
    checkpoint
        As `train` takes it.
    """
    rng = np.random.default_rng(seed)
    masks = torch.Generator(device=cells.device).manual_seed(seed)
    left_out = rng.random(len(cells)) < LEFT_OUT if course.patience else np.zeros(len(cells), bool)
    learned, checked = np.flatnonzero(~left_out), np.flatnonzero(left_out)
    sampler = DomainSampler(
        sources[learned], course.batch_size, p_inside=course.p_inside, by_domain=course.by_source
    )
    held = [checked[piece] for piece in pieces(sources[checked], course.batch_size, rng) if len(piece) > 1]

    def loss_of(which: Tensor) -> Tensor:
        loss, z = views_loss(network, cells.rows(which), views, masks)
        return loss if labelled is None else loss + labelled.loss(z, which)

    return train(
        network if labelled is None else nn.ModuleList([network, labelled.heads]),
        lambda _epoch: [learned[minibatch] for minibatch in sampler.epoch(rng)],
        loss_of,
        epochs=course.epochs,
        lr=course.lr,
        schedule=course.schedule,
        progress=progress,
        check=(lambda: _contrast_of(network, cells, held, views, seed)) if held else None,
        patience=course.patience,
        checkpoint=checkpoint,
        generators=(rng, masks),
    )


@torch.no_grad()
def _contrast_of(
    network: ConcertoNet, cells: ModalCells, minibatches: list[NDArray[np.int64]], views: Views, seed: int
) -> float:
    """Mean loss by the statistics of each minibatch, with the same masks whenever it is asked."""
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    masks = torch.Generator(device=cells.device).manual_seed(seed)
    network.eval()
    for module in network.modules():
        module.training = isinstance(module, Norm)
    losses = [
        views_loss(network, cells.rows(torch.as_tensor(minibatch, device=cells.device)), views, masks)[0]
        for minibatch in minibatches
    ]
    network.eval()
    for name, value in network.named_buffers():
        value.copy_(buffers[name])
    return float(torch.stack(losses).mean())


def source_pure(cells: ModalCells, sources: NDArray[np.integer], seed: int) -> Iterator[Minibatch]:
    """All cells once, in source-pure minibatches of about 256, for the statistics of batch norms."""
    for piece in pieces(sources, STATISTICS_ROWS, np.random.default_rng(seed)):
        yield cells.rows(torch.as_tensor(piece, device=cells.device))


def anchored(teacher: Teacher, cells: ModalCells, seed: int) -> Tensor:
    """Embeddings, of length 1, of 1,000 cells drawn from the seed, or of all if they are fewer: float32 (k, d)."""
    drawn = np.random.default_rng(seed).permutation(len(cells))[:ANCHORS]
    chosen = cells.subset(torch.as_tensor(np.sort(drawn), device=cells.device))
    return F.normalize(embedded(teacher.eval(), chosen, Progress()), dim=1)
