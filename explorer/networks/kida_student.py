"""A student taught by its teacher's surest answers (Tang et al., Communications Biology 2024).

Follows the paper where the authors' code differs, but for two things. The kernel of the clustering loss is the code's,
scaled by the median: the printed one, exp(-|c_i - c_j|^2), is numerically the identity for class tokens. Its factor
is the code's too, 2 / (C (C - 1)), the mean over pairs of classes; the printed 1 / C grows with their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from explorer.networks.kida import KidaNet
from explorer.networks.training import train, warmup_cosine
from explorer.progress import Progress

KERNEL_WIDTH = 0.15
EPS = 1e-9
CLIP = 1.0
FEWEST_STEPS = 100


def entropy(p: Tensor) -> Tensor:
    """-sum p ln p of each row: (n, classes) to (n,)."""
    return torch.special.entr(p).sum(1)


def anchors(p: Tensor, share: float) -> Tensor:
    """Of the cells predicted to be of a class, the share of lowest entropy, rounded up.

    Parameters
    ----------
    p
        float (n, classes), probabilities.
    share
        In (0, 1].

    Returns
    -------
    Tensor
        int64 (m,), ascending. Of equally sure cells the first are taken.
    """
    doubt, predicted = entropy(p), p.argmax(1)
    taken = []
    for label in predicted.unique():
        cells = torch.nonzero(predicted == label)[:, 0]
        order = doubt[cells].sort(stable=True).indices
        taken.append(cells[order[: math.ceil(share * len(cells))]])
    return torch.cat(taken).sort().values


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """KL(teacher || student) of softened answers, summed over classes, mean over cells; from logits (B, classes)."""
    told = F.log_softmax(teacher / temperature, 1)
    return F.kl_div(F.log_softmax(student / temperature, 1), told, reduction="batchmean", log_target=True)


def median_kernel(z: Tensor) -> Tensor:
    """exp(-d^2 / (0.3 median d^2)) of all pairs, the median taken as a constant: (B, h) to (B, B)."""
    squared = (z[:, None] - z[None]).square().sum(2)
    return torch.exp(-squared / (2 * KERNEL_WIDTH * squared.detach().median() + EPS))


def clustering_loss(p: Tensor, kernel: Tensor) -> Tensor:
    """Mean over pairs of classes of how alike their cells are: M_ab / sqrt(M_aa M_bb) with M = p^T S p.

    Parameters
    ----------
    p
        float (B, C), C at least 2.
    kernel
        float (B, B), S.
    """
    shared = p.T @ kernel @ p
    own = shared.diagonal().clamp_min(EPS).sqrt()
    pairs = torch.triu(shared / (own[:, None] * own), 1).sum()
    return pairs * 2 / (p.shape[1] * (p.shape[1] - 1))


def student_loss(
    z: Tensor, answers: Sequence[Tensor], told: Sequence[Tensor], temperature: float, distil: float, cluster: float
) -> Tensor:
    """distil x distillation over all label levels + cluster x clustering of the main level's classes.

    Only classes that some cell of the minibatch most likely belongs to are told apart.

    Parameters
    ----------
    z
        float (B, h), the student's embedding.
    answers, told
        Logits (B, classes) by level, of the student and of the teacher.
    """
    losses = [distillation_loss(own, teachers, temperature) for own, teachers in zip(answers, told, strict=True)]
    loss = distil * torch.stack(losses).sum()
    p = answers[0].softmax(1)
    present = p.argmax(1).unique()
    if len(present) > 1:
        loss = loss + cluster * clustering_loss(p[:, present], median_kernel(z))
    return loss


def teach(
    student: KidaNet,
    cells: Callable[[Tensor], Tensor],
    which: Tensor,
    told: Sequence[Tensor],
    *,
    temperature: float,
    distil: float,
    cluster: float,
    batch_size: int,
    epochs: int,
    lr: float,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train a student, in place, on the anchors; at least 100 steps.

    Parameters
    ----------
    student
        Starts as a copy of the teacher.
    cells
        Gives cells by their numbers, float (B, G).
    which
        int64 (m,), the anchors.
    told
        The teacher's logits (m, classes) on them, by level.

    Raises
    ------
    Cancelled
        From `progress`, between two steps.
    """
    n_batches = math.ceil(len(which) / batch_size)

    def epoch_batches(_epoch: int) -> list[NDArray[np.int64]]:
        return np.array_split(rng.permutation(len(which)), n_batches)

    def loss_of(drawn: Tensor) -> Tensor:
        z = student(cells(which[drawn]))
        return student_loss(z, student.logits(z), [level[drawn] for level in told], temperature, distil, cluster)

    train(
        student,
        epoch_batches,
        loss_of,
        epochs=max(epochs, math.ceil(FEWEST_STEPS / n_batches)),
        lr=lr,
        schedule=warmup_cosine,
        progress=progress,
        clip=CLIP,
    )
