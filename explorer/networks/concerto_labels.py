"""Concerto's classifier: heads on the teacher that learn labels, also while agreeing with itself on unlabelled cells.

Adaptation to unlabelled cells follows equation 19 of Yang et al. (Nature Machine Intelligence 2022). The authors' code
for it takes the softmax twice and the gradient of the labelled loss alone, so that unlabelled cells never act; here
they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attention import Norm
from explorer.networks.checkpoints import Checkpoint
from explorer.networks.concerto import Teacher, Views, dense_layer, estimate_statistics
from explorer.networks.concerto_modalities import Minibatch, ModalCells
from explorer.networks.concerto_tasks import Course, source_pure
from explorer.networks.losses import cross_entropies
from explorer.networks.samplers import DomainSampler
from explorer.networks.training import TrainingLog, train
from explorer.progress import Progress

HELD_OUT = 0.2        # of the labelled cells, which say when to stop and what to reject
REJECTED = 0.05       # of held-out cells would be: the threshold is this quantile of their confidence
ENOUGH_HELD_OUT = 50  # cells that a label needs for a threshold of its own


class Head(nn.Module):
    """Classes of one label level from embeddings, and when to name none of them.

    Parameters
    ----------
    n_units, n_classes
        d and C.

    Attributes
    ----------
    lowest, highest
        float (), largest probability of the least and the most certain held-out cell, which scale confidence to [0, 1].
    least
        float (C,), scaled confidence below which a cell called so is called nothing.
    """

    lowest: Tensor
    highest: Tensor
    least: Tensor

    def __init__(self, n_units: int, n_classes: int) -> None:
        super().__init__()
        self.linear = dense_layer(n_units, n_classes)
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("highest", torch.ones(()))
        self.register_buffer("least", torch.zeros(n_classes))

    def forward(self, z: Tensor) -> Tensor:
        """Logits, (B, d) to (B, C)."""
        logits: Tensor = self.linear(z)
        return logits

    def confidence(self, probabilities: Tensor) -> Tensor:
        """Largest probability on the scale of held-out cells, float (B,) in [0, 1]."""
        largest = probabilities.amax(1)
        return ((largest - self.lowest) / (self.highest - self.lowest).clamp_min(1e-6)).clamp(0, 1)

    def rejects(self, probabilities: Tensor) -> Tensor:
        """Whether each cell is none of the classes, as far as this head can tell, bool (B,)."""
        return self.confidence(probabilities) < self.least[probabilities.argmax(1)]

    def calibrate(self, probabilities: Tensor) -> None:
        """Set scale and thresholds from held-out cells, float (h, C): about 5 % of them would be rejected."""
        if len(probabilities) == 0:
            return
        largest, called = probabilities.max(1)
        self.lowest.copy_(largest.min())
        self.highest.copy_(largest.max())
        confidence = self.confidence(probabilities)
        self.least.fill_(confidence.quantile(REJECTED))
        for label in called.unique():
            of_label = confidence[called == label]
            if len(of_label) >= ENOUGH_HELD_OUT:
                self.least[label] = of_label.quantile(REJECTED)


class Classifier(nn.Module):
    """A teacher with a head for each label level.

    Parameters
    ----------
    teacher, heads
        Both learn.
    """

    def __init__(self, teacher: Teacher, heads: nn.ModuleList) -> None:
        super().__init__()
        self.teacher = teacher
        self.heads = heads

    @property
    def of_levels(self) -> list[Head]:
        """The head of each level."""
        return [cast(Head, head) for head in self.heads]

    def forward(self, cells: Minibatch) -> list[Tensor]:
        """Logits of each level, float (B, C)."""
        z = self.teacher(cells)
        return [head(z) for head in self.heads]


def sharpened(logits: Tensor, temperature: float) -> Tensor:
    """softmax(logits / temperature), float (B, C): from logits, not from probabilities."""
    return F.softmax(logits / temperature, dim=1)


@dataclass(frozen=True)
class Consistency:
    """What is asked of unlabelled cells (equation 19).

    Attributes
    ----------
    weight
        lambda.
    temperature
        Of the pseudo-labels; under 1 sharpens them.
    threshold
        Largest probability that a pseudo-label needs to be taken.
    """

    weight: float = 1.0
    temperature: float = 0.5
    threshold: float = 0.8

    def loss(self, guess: Tensor, other: Tensor) -> Tensor:
        """Cross-entropy of what a second view says to the pseudo-label of the first, over the cells kept.

        Parameters
        ----------
        guess, other
            Logits, float (B, C), of two views of the same cells; no gradient flows through the first.
        """
        q = sharpened(guess.detach(), self.temperature)
        kept = q.amax(1) >= self.threshold
        surprise = -(q * F.log_softmax(other, dim=1)).sum(1)
        return (surprise * kept).sum() / kept.sum().clamp_min(1)


@dataclass(frozen=True)
class Unlabelled:
    """Cells that a classifier adapts itself to.

    Attributes
    ----------
    cells
        n of them.
    sources
        int (n,).
    codes
        int (levels, n), labels that some of them have all the same, -1 for none; `None` where nobody says.
    """

    cells: ModalCells
    sources: NDArray[np.integer]
    codes: NDArray[np.integer] | None = None


def teach(
    classifier: Classifier,
    cells: ModalCells,
    codes: NDArray[np.integer],
    sources: NDArray[np.integer],
    views: Views,
    course: Course,
    seed: int,
    progress: Progress,
    *,
    unlabelled: Unlabelled | None = None,
    consistency: Consistency | None = None,
    weight_decay: float = 0.0,
    population: bool = True,
    checkpoint: Checkpoint | None = None,
) -> TrainingLog:
    """Train teacher and heads on labels, stop by held-out cells, and set what to reject from them.

    Parameters
    ----------
    codes
        int (levels, n), -1 for unlabelled. A fifth of the cells is held out.
    sources
        int (n,).
    unlabelled, consistency
        Cells of another origin, and what is asked of them.
    weight_decay
        L2 penalty on all weights but those of batch norms.
    population
        Whether batch norms take the statistics of all these cells, else their running averages.
    checkpoint
        As `train` takes it; not for unlabelled cells, whose minibatches go on from one epoch into the next.
    """
    rng = np.random.default_rng(seed)
    masks = torch.Generator(device=cells.device).manual_seed(seed)
    held_out = rng.random(len(cells)) < HELD_OUT
    learned, tested = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    sampler = DomainSampler(sources[learned], course.batch_size, by_domain=course.by_source)
    known = torch.as_tensor(codes, device=cells.device).long()
    aside = None
    if unlabelled is not None and consistency is not None:
        aside = _Aside(unlabelled, consistency, views, _endless(unlabelled, course.batch_size, rng), masks)
    weights = list(_decaying(classifier)) if weight_decay else []

    def loss_of(which: Tensor) -> Tensor:
        loss = cross_entropies(classifier(views.drawn(cells.rows(which), masks)), known[:, which]).mean()
        if aside is not None:
            loss = loss + aside.loss(classifier)
        return loss + 0.5 * weight_decay * sum(weight.square().sum() for weight in weights)

    def settle() -> None:
        if population:
            estimate_statistics(classifier.teacher, _of_both(cells, sources, unlabelled, seed))

    def check() -> float:
        settle()
        logits = answers(classifier, cells, tested)
        return float(cross_entropies(logits, known[:, torch.as_tensor(tested, device=cells.device)]).mean())

    log = train(
        classifier,
        lambda _epoch: [learned[minibatch] for minibatch in sampler.epoch(rng)],
        loss_of,
        epochs=course.epochs,
        lr=course.lr,
        schedule=course.schedule,
        progress=progress,
        check=check if course.patience else None,
        patience=course.patience,
        checkpoint=checkpoint,
        generators=(rng, masks),
    )
    settle()
    for head, logits, own in zip(classifier.of_levels, answers(classifier, cells, tested), codes, strict=True):
        head.calibrate(F.softmax(logits, dim=1)[torch.as_tensor(own[tested] >= 0)])
    return log


@torch.no_grad()
def answers(classifier: Classifier, cells: ModalCells, which: NDArray[np.integer]) -> list[Tensor]:
    """Logits of some cells at each level, float (n, C), without masks or dropout."""
    classifier.eval()
    chunks = np.array_split(which, max(1, len(which) // 2048))
    parts = [classifier(cells.rows(torch.as_tensor(chunk, device=cells.device))) for chunk in chunks]
    return [torch.cat(of_level) for of_level in zip(*parts, strict=True)]


@dataclass(frozen=True)
class _Aside:
    """What cells of another origin add to the loss of a minibatch."""

    of: Unlabelled
    consistency: Consistency
    views: Views
    minibatches: Iterator[Tensor]
    masks: torch.Generator

    def loss(self, classifier: Classifier) -> Tensor:
        which = next(self.minibatches)
        cells = self.of.cells.rows(which)
        with torch.no_grad():
            guesses = classifier(cells)  # in training mode: one draw of dropout
        others = classifier(self.views.drawn(cells, self.masks))
        losses = [self.consistency.loss(guess, other) for guess, other in zip(guesses, others, strict=True)]
        agreed = self.consistency.weight * torch.stack(losses).mean()
        if self.of.codes is None:
            return agreed
        own = torch.as_tensor(self.of.codes, device=which.device).long()[:, which]
        return agreed + cross_entropies(others, own).mean()


def _endless(of: Unlabelled, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    sampler = DomainSampler(of.sources, batch_size)
    while True:
        for minibatch in sampler.epoch(rng) or [np.arange(len(of.cells))]:
            yield torch.as_tensor(minibatch, device=of.cells.device)


def _of_both(
    cells: ModalCells, sources: NDArray[np.integer], unlabelled: Unlabelled | None, seed: int
) -> Iterator[Minibatch]:
    yield from source_pure(cells, sources, seed)
    if unlabelled is not None:
        yield from source_pure(unlabelled.cells, unlabelled.sources, seed)


def _decaying(network: nn.Module) -> Iterator[nn.Parameter]:
    for module in network.modules():
        if not isinstance(module, Norm):
            yield from module.parameters(recurse=False)


