"""By what Concerto's teacher points somewhere: scores of genes or proteins, averaged over cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from explorer.networks.attention import Attended, attention, contribution, lift
from explorer.networks.concerto import Teacher
from explorer.networks.concerto_modalities import Measured, Minibatch
from explorer.networks.sparse import SparseRows


def contributions(teacher: Teacher, cells: Minibatch, direction: Tensor, modality: int = 0) -> Tensor:
    """What each gene adds to cos(z, direction), averaged over the cells in which the modality was measured.

    Exact for the pooled vector of the modality, one gene left out at a time; the rest of the network is taken as
    linear there, and other modalities as they are.

    Parameters
    ----------
    direction
        float (d,).
    modality
        Which of the minibatch's parts is scored.

    Returns
    -------
    Tensor
        float (G,).
    """
    part = cells.parts[modality]
    branch = teacher.branch(modality)
    with torch.no_grad():
        found = branch.attend(part.x)
        others = _sum_of_others(teacher, cells, modality)
    pooled = found.pooled.requires_grad_(True)
    total = others.index_add(0, part.at, branch.after_pooling(pooled))
    value = F.cosine_similarity(teacher.after_sum(total), direction[None], dim=1).sum()
    (toward,) = torch.autograd.grad(value, pooled)  # (b, d)
    with torch.no_grad():
        return _mean(contribution(found, part.x, branch.attention.genes, toward), part.x)


def attentions(teacher: Teacher, cells: Minibatch, modality: int = 0) -> Tensor:
    """Attention weight of each gene, averaged over cells, 0 where not expressed, float (G,)."""
    return _averaged(teacher, cells.parts[modality], modality, lambda found, x: attention(found, x)[0])


def lifts(teacher: Teacher, cells: Minibatch, modality: int = 0) -> Tensor:
    """Log ratio of each gene's attention to what it would get unexpressed, averaged over cells, float (G,)."""
    return _averaged(teacher, cells.parts[modality], modality, lift)


@torch.no_grad()
def attention_of_unexpressed(teacher: Teacher, cells: Minibatch, modality: int = 0) -> Tensor:
    """Share of each cell's attention that lies on genes it does not express, float (b,)."""
    part = cells.parts[modality]
    return attention(teacher.branch(modality).attend(part.x), part.x)[1]


@torch.no_grad()
def _averaged(
    teacher: Teacher, part: Measured, modality: int, score: Callable[[Attended, SparseRows], Tensor]
) -> Tensor:
    return _mean(score(teacher.branch(modality).attend(part.x), part.x), part.x)


def _mean(of_value: Tensor, x: SparseRows) -> Tensor:
    return of_value.new_zeros(x.n_genes).index_add(0, x.indices, of_value) / max(1, len(x))


def _sum_of_others(teacher: Teacher, cells: Minibatch, modality: int) -> Tensor:
    total = teacher.last.weight.new_zeros(len(cells), teacher.last.in_features)
    for q, part in enumerate(cells.parts):
        if q != modality and len(part.at):
            total = total.index_add(0, part.at, teacher.branches[q](part.x))
    return total
