"""Concerto's two networks (Yang et al., Nature Machine Intelligence 2022).

Two views of a cell are what an attention network (teacher) and a dense network (student) make of it; all other cells
of the minibatch, which come from the same source, push them away. The teacher gives the embedding. Neither network
sees the source, so cells of an unseen one can be embedded as they are.

Follows the authors' code where it differs from the text: attention is over all genes, pooled vectors pass a tanh,
both networks learn by gradient. Batch norm takes the statistics of source-pure minibatches; the published running
averages keep a residue of their initial value after a short run, so statistics can be taken over the whole training
set instead. Random masks of the input, which the paper does not have, make the embedding denoise.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attention import Attended, AttentionPool, Norm, contribution
from explorer.networks.losses import contrastive_loss
from explorer.networks.sparse import SparseRows


def dense_layer(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer with Glorot-uniform weights and zero biases."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Teacher(nn.Module):
    """The attention network, which gives the embedding.

    Parameters
    ----------
    n_genes, n_units
        G and d.
    dropout
        Probability with which a pooled feature is dropped in training.
    """

    def __init__(self, n_genes: int, n_units: int, dropout: float) -> None:
        super().__init__()
        self.attention = AttentionPool(n_genes, n_units)
        self.norm = Norm(n_units)
        self.dropout = nn.Dropout(dropout)
        self.last = dense_layer(n_units, n_units)

    def forward(self, x: SparseRows) -> Tensor:
        """Embed a minibatch: (B, G) sparse to non-negative (B, d)."""
        return self.after_pooling(self.attend(x).pooled)

    def attend(self, x: SparseRows) -> Attended:
        """What attention makes of a minibatch."""
        found: Attended = self.attention(x)
        return found

    def after_pooling(self, pooled: Tensor) -> Tensor:
        """The rest of the network, (B, d) to (B, d)."""
        return F.relu(self.last(self.dropout(self.norm(pooled.tanh()))))


class Student(nn.Module):
    """The dense network, which only trains the teacher.

    Parameters
    ----------
    n_genes, n_units, dropout
        As of the teacher.
    """

    def __init__(self, n_genes: int, n_units: int, dropout: float) -> None:
        super().__init__()
        self.gene_norm = Norm(n_genes)
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_genes, n_units)))
        self.bias = nn.Parameter(torch.zeros(n_units))
        self.norm = Norm(n_units)
        self.dropout = nn.Dropout(dropout)
        self.last = dense_layer(n_units, n_units)

    def forward(self, x: SparseRows) -> Tensor:
        """Embed a minibatch: (B, G) sparse to non-negative (B, d)."""
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
        hidden = F.relu(summed + intercept @ self.weight + self.bias)
        return F.relu(self.last(self.dropout(self.norm(hidden))))


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
    n_genes, n_units, dropout
        G, d and p.
    """

    def __init__(self, n_genes: int, n_units: int, dropout: float) -> None:
        super().__init__()
        self.teacher = Teacher(n_genes, n_units, dropout)
        self.student = Student(n_genes, n_units, dropout)


def views_loss(
    network: ConcertoNet,
    cells: SparseRows,
    masks: tuple[float, float],
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """Contrastive loss of a minibatch between what teacher and student make of its cells.

    Half the published loss, which sums over the two views instead of averaging; Adam does not tell them apart.

    Parameters
    ----------
    masks
        Probability with which a stored value, and with which a gene, is dropped from a view.
    """
    first = network.teacher(cells.masked(*masks, generator))
    second = network.student(cells.masked(*masks, generator))
    return contrastive_loss(first, second, temperature)


@torch.no_grad()
def estimate_statistics(network: nn.Module, minibatches: Iterable[SparseRows]) -> None:
    """Set the buffers of every batch norm to the mean over minibatches, without masks or dropout.

    Parameters
    ----------
    network
        A teacher, or anything else that takes sparse minibatches.
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


def contributions(teacher: Teacher, x: SparseRows, direction: Tensor) -> Tensor:
    """What each gene adds to cos(z, direction), averaged over cells.

    Parameters
    ----------
    x
        Cells over the teacher's genes.
    direction
        float (d,).

    Returns
    -------
    Tensor
        float (G,).
    """
    with torch.no_grad():
        found = teacher.attend(x)
    pooled = found.pooled.requires_grad_(True)
    value = F.cosine_similarity(teacher.after_pooling(pooled), direction[None], dim=1).sum()
    (toward,) = torch.autograd.grad(value, pooled)  # (B, d)
    with torch.no_grad():
        of_value = contribution(found, x, teacher.attention.genes, toward)
        return of_value.new_zeros(x.n_genes).index_add(0, x.indices, of_value) / max(1, len(x))
