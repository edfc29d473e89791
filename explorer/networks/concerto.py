"""Concerto's two networks (Yang et al., Nature Machine Intelligence 2022).

Two views of a cell are what an attention network (teacher) and a dense network (student) make of it; all other cells
of the minibatch, which come from the same source, push them away. The teacher gives the embedding. Neither network
sees the source, so cells of an unseen one can be embedded as they are. What is measured of a cell, RNA and perhaps
surface proteins, has a branch each in both networks, and the branches are added.

Follows the authors' code where it differs from the text: attention is over all genes, pooled vectors pass a tanh,
both networks learn by gradient. Batch norm takes the statistics of source-pure minibatches; the published running
averages keep a residue of their initial value after a short run, so statistics can be taken over the whole training
set instead. Random masks of the input, which the paper does not have, make the embedding denoise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attention import ALL, Attended, AttentionPool, Norm
from explorer.networks.concerto_modalities import Minibatch, ModalCells
from explorer.networks.losses import contrastive_loss
from explorer.networks.sparse import SparseRows
from explorer.progress import Progress

EMBED_ROWS = 2048


def dense_layer(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer with Glorot-uniform weights and zero biases."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class TeacherBranch(nn.Module):
    """What the attention network does with one modality.

    Parameters
    ----------
    n_features, n_units
        G and d.
    attend
        "all" features or the "expressed" ones.
    """

    def __init__(self, n_features: int, n_units: int, attend: str = ALL) -> None:
        super().__init__()
        self.attention = AttentionPool(n_features, n_units, attend)
        self.norm = Norm(n_units)

    def forward(self, x: SparseRows) -> Tensor:
        """Pool a minibatch: (b, G) sparse to (b, d)."""
        return self.after_pooling(self.attend(x).pooled)

    def attend(self, x: SparseRows) -> Attended:
        """What attention makes of a minibatch."""
        found: Attended = self.attention(x)
        return found

    def after_pooling(self, pooled: Tensor) -> Tensor:
        """What becomes of pooled vectors, (b, d) to (b, d)."""
        normed: Tensor = self.norm(pooled.tanh())
        return normed


class StudentBranch(nn.Module):
    """What the dense network does with one modality.

    Parameters
    ----------
    n_features, n_units
        G and d.
    """

    def __init__(self, n_features: int, n_units: int) -> None:
        super().__init__()
        self.gene_norm = Norm(n_features)
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_features, n_units)))
        self.bias = nn.Parameter(torch.zeros(n_units))
        self.norm = Norm(n_units)

    def forward(self, x: SparseRows) -> Tensor:
        """Encode a minibatch: (b, G) sparse to (b, d)."""
        slope, intercept = self.gene_norm.affine(lambda: _gene_statistics(x), len(x))
        # normalising scales a gene's weights and shifts every cell alike, so that zeros stay unwritten
        summed = F.embedding_bag(
            x.indices,
            slope[:, None] * self.weight,
            x.offsets,
            mode="sum",
            per_sample_weights=x.values,
            include_last_offset=True,
        )
        normed: Tensor = self.norm(F.relu(summed + intercept @ self.weight + self.bias))
        return normed


class Summed(nn.Module):
    """Adds what the branches make of a cell's modalities, and embeds the sum.

    A modality that was not measured in a cell adds nothing; nothing is rescaled for it.

    Parameters
    ----------
    branches
        One a modality, RNA first.
    n_units
        d.
    dropout
        Probability with which a feature of the sum is dropped in training.
    """

    def __init__(self, branches: Iterable[nn.Module], n_units: int, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.dropout = nn.Dropout(dropout)
        self.last = dense_layer(n_units, n_units)

    def forward(self, cells: Minibatch) -> Tensor:
        """Embed B cells: non-negative float (B, d)."""
        total = self.last.weight.new_zeros(len(cells), self.last.in_features)
        for branch, part in zip(self.branches, cells.parts, strict=False):  # cells may have fewer modalities
            if len(part.at):
                total = total.index_add(0, part.at, branch(part.x))
        return self.after_sum(total)

    def after_sum(self, total: Tensor) -> Tensor:
        """The rest of the network, (B, d) to (B, d)."""
        return F.relu(self.last(self.dropout(total)))


class Teacher(Summed):
    """The attention network, which gives the embedding.

    Parameters
    ----------
    sizes
        Features of each modality, RNA first.
    n_units, dropout
        d and p.
    attend
        "all" features or the "expressed" ones.
    """

    def __init__(self, sizes: Sequence[int], n_units: int, dropout: float, attend: str = ALL) -> None:
        super().__init__([TeacherBranch(n, n_units, attend) for n in sizes], n_units, dropout)

    def branch(self, modality: int) -> TeacherBranch:
        """The branch of a modality; 0 is RNA's."""
        return cast(TeacherBranch, self.branches[modality])


class Student(Summed):
    """The dense network, which only trains the teacher.

    Parameters
    ----------
    sizes, n_units, dropout
        As of the teacher.
    """

    def __init__(self, sizes: Sequence[int], n_units: int, dropout: float) -> None:
        super().__init__([StudentBranch(n, n_units) for n in sizes], n_units, dropout)


def _gene_statistics(x: SparseRows) -> tuple[Tensor, Tensor]:
    """Mean and variance of each gene over the minibatch, zeros included, (G,) each."""
    empty = x.values.new_zeros(x.n_genes)
    mean = empty.index_add(0, x.indices, x.values) / len(x)
    square = empty.index_add(0, x.indices, x.values.square()) / len(x)
    return mean, (square - mean.square()).clamp_min(0)


class ConcertoNet(nn.Module):
    """Teacher and student, which share no weights.

    Parameters
    ----------
    sizes, n_units, dropout, attend
        As of the teacher.
    """

    def __init__(self, sizes: Sequence[int], n_units: int, dropout: float, attend: str = ALL) -> None:
        super().__init__()
        self.teacher = Teacher(sizes, n_units, dropout, attend)
        self.student = Student(sizes, n_units, dropout)


@dataclass(frozen=True)
class Views:
    """How two views of a cell are made, and what is asked of them.

    Attributes
    ----------
    element_mask, feature_mask
        Probability with which a stored value, and with which a gene, is dropped from a view.
    modality_dropout
        Probability with which a modality of a cell is dropped from a view; never its last.
    temperature
        T of the contrastive loss.
    """

    element_mask: float
    feature_mask: float
    modality_dropout: float
    temperature: float

    def drawn(self, cells: Minibatch, generator: torch.Generator) -> Minibatch:
        """One view."""
        thinned = cells.thinned(self.modality_dropout, generator)
        return thinned.masked(self.element_mask, self.feature_mask, generator)


def views_loss(
    network: ConcertoNet, cells: Minibatch, views: Views, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Contrastive loss of a minibatch between what teacher and student make of its cells, and the teacher's output.

    Half the published loss, which sums over the two views instead of averaging; Adam does not tell them apart.
    """
    first = network.teacher(views.drawn(cells, generator))
    second = network.student(views.drawn(cells, generator))
    return contrastive_loss(first, second, views.temperature), first


@torch.no_grad()
def estimate_statistics(network: nn.Module, minibatches: Iterable[Minibatch]) -> None:
    """Set the buffers of every batch norm to the mean over minibatches, without masks or dropout.

    Parameters
    ----------
    network
        A teacher, or anything else that takes minibatches.
    minibatches
        Source-pure, as in training; each weighs as much as its cells, so their order does not matter.
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    network.eval()
    for norm in norms:
        norm.train()
        norm.count_cells(True)
    for minibatch in minibatches:
        network(minibatch)
    for norm in norms:
        norm.count_cells(False)
    network.eval()


@torch.no_grad()
def embedded(teacher: Teacher, cells: ModalCells, progress: Progress) -> Tensor:
    """The teacher's output as it is, float32 (n, d); progress tells of every 2,048 cells."""
    parts = [torch.empty(0, teacher.last.out_features, device=cells.device)]
    for start in range(0, len(cells), EMBED_ROWS):
        stop = min(start + EMBED_ROWS, len(cells))
        parts.append(teacher(cells.span(start, stop)))
        progress(stop / len(cells))
    return torch.cat(parts)
