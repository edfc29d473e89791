"""Concerto's attention over all genes, computed exactly at the cost of the expressed ones.

Every gene takes part, expressed or not. The unexpressed ones of a minibatch share one standardised value s0, so what
they add, Z0 to the normaliser and M0 to the pooled vector, is summed once; each cell then corrects the sums for the
genes that it expresses. With E the gene embeddings, P = E W, and a gene's logit l(s) = tanh(s P_g + b) . u:

    Z_i = Z0 + sum_g (exp l(s_ig) - exp l(s0))
    m_i = (M0 + sum_g (exp l(s_ig) s_ig - exp l(s0) s0) e_g) / Z_i        over the genes g that cell i expresses
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.sparse import SparseRows

ZERO = 1e-5      # stands for "not expressed", and is added to every value
CHUNK = 4096     # stored values at a time: 4096 x 128 floats stay in the processor's cache
MOMENTUM = 0.01  # 1 - 0.99, the published momentum in Keras' convention
EPSILON = 1e-3
ALL, EXPRESSED = "all", "expressed"


class Norm(nn.Module):
    """Batch normalisation that is told the statistics of a minibatch, because sparse input knows them cheaply.

    Parameters
    ----------
    n
        Features. Buffers `mean` and `var` start at 0 and 1.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.bias = nn.Parameter(torch.zeros(n))
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("var", torch.ones(n))
        self._counted: int | None = None

    def count_cells(self, counting: bool) -> None:
        """While counting, buffers are the mean over all minibatches met, each weighing as much as its cells."""
        self._counted = 0 if counting else None

    def statistics(self, of_minibatch: Callable[[], tuple[Tensor, Tensor]], n_cells: int) -> tuple[Tensor, Tensor]:
        """Mean and variance to use: of the minibatch in training, of the buffers otherwise."""
        if not self.training:
            return self.mean, self.var
        mean, var = of_minibatch()
        share = MOMENTUM
        if self._counted is not None:
            self._counted += n_cells
            share = n_cells / self._counted
        with torch.no_grad():
            self.mean.lerp_(mean, share)
            self.var.lerp_(var, share)
        return mean, var

    def affine(self, of_minibatch: Callable[[], tuple[Tensor, Tensor]], n_cells: int) -> tuple[Tensor, Tensor]:
        """Slope and intercept, (n,) each, that normalise a value."""
        mean, var = self.statistics(of_minibatch, n_cells)
        slope = self.weight * (var + EPSILON).rsqrt()
        return slope, self.bias - slope * mean

    def forward(self, x: Tensor) -> Tensor:
        """Normalise dense features, (B, n)."""
        mean, var = self.statistics(lambda: (x.mean(0), x.var(0, unbiased=False)), len(x))
        return (x - mean) * (self.weight * (var + EPSILON).rsqrt()) + self.bias


class _Logits(torch.autograd.Function):
    """tanh(values * table[genes] + bias) . scorer without keeping the (nnz, d) inside: learning computes it again."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, genes: Tensor, table: Tensor, bias: Tensor, scorer: Tensor) -> Tensor:
        ctx.save_for_backward(values, genes, table, bias, scorer)
        out = torch.empty_like(values)
        for start in range(0, len(values), CHUNK):
            part = slice(start, start + CHUNK)
            inside = table.index_select(0, genes[part]).mul_(values[part, None]).add_(bias).tanh_()
            torch.mv(inside, scorer, out=out[part])
        return out

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, Tensor, Tensor, Tensor]:
        values, genes, table, bias, scorer = ctx.saved_tensors
        to_values, to_table = torch.empty_like(values), torch.zeros_like(table)
        to_bias, to_scorer = torch.zeros_like(bias), torch.zeros_like(scorer)
        for start in range(0, len(values), CHUNK):
            part = slice(start, start + CHUNK)
            of_gene = table.index_select(0, genes[part])
            inside = torch.addcmul(bias, of_gene, values[part, None]).tanh_()
            to_scorer.addmv_(inside.T, upstream[part])
            slope = inside.square_().neg_().add_(1).mul_(upstream[part, None]).mul_(scorer)  # of what tanh is taken of
            to_bias += slope.sum(0)
            to_values[part] = of_gene.mul_(slope).sum(1)
            to_table.index_add_(0, genes[part], slope.mul_(values[part, None]))
        return to_values, None, to_table, to_bias, to_scorer


@dataclass(frozen=True)
class Attended:
    """What attention made of a minibatch of B cells. Weights are relative to that of the heaviest unexpressed gene.

    Attributes
    ----------
    pooled
        float (B, d), m.
    total
        float (B,), Z.
    values, weights
        float (nnz,): standardised value and unnormalised weight of each expressed gene.
    zero_value, zero_weights
        float () and (G,): the same of unexpressed genes.
    """

    pooled: Tensor
    total: Tensor
    values: Tensor
    weights: Tensor
    zero_value: Tensor
    zero_weights: Tensor


class AttentionPool(nn.Module):
    """Pools the embeddings of all genes, each scaled by its standardised value, by attention.

    Parameters
    ----------
    n_genes, n_units
        G and d.
    attend
        "all": to every gene, as the authors' code does. "expressed": to those that a cell expresses, their values
        taken as they are, as the text reads; a cell without any is pooled to 0.
    """

    def __init__(self, n_genes: int, n_units: int, attend: str = ALL) -> None:
        super().__init__()
        self.attend = attend
        self.norm = Norm(1)  # one mean and one variance for all genes
        self.genes = nn.Parameter(torch.empty(n_genes, n_units).uniform_(-0.05, 0.05))
        self.projection = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_units, n_units)))
        self.bias = nn.Parameter(torch.zeros(n_units))
        bound = (6 / (2 * n_units)) ** 0.5
        self.scorer = nn.Parameter(torch.empty(n_units).uniform_(-bound, bound))

    def forward(self, x: SparseRows) -> Attended:
        """Pool a minibatch."""
        if self.attend == EXPRESSED:
            return self._over_expressed(x)
        slope, intercept = self.norm.affine(lambda: _value_statistics(x), len(x))
        values = slope * (x.values + ZERO) + intercept  # (nnz,)
        zero_value = slope * ZERO + intercept  # (1,)
        table = self.genes @ self.projection  # (G, d)
        zero_logits = (zero_value * table + self.bias).tanh() @ self.scorer  # (G,)
        logits = _Logits.apply(values, x.indices, table, self.bias, self.scorer)  # (nnz,)
        largest = zero_logits.max().detach()  # the same for every cell, so that none depends on its neighbours
        weights, zero_weights = (logits - largest).exp(), (zero_logits - largest).exp()

        replaced = zero_weights.index_select(0, x.indices)
        total = zero_weights.sum() + _row_sums(weights - replaced, x)  # (B,)
        corrections = F.embedding_bag(
            x.indices,
            self.genes,
            x.offsets,
            mode="sum",
            per_sample_weights=weights * values - replaced * zero_value,
            include_last_offset=True,
        )
        pooled = (zero_value * (zero_weights @ self.genes) + corrections) / total[:, None]
        return Attended(pooled, total, values, weights, zero_value[0], zero_weights)

    def _over_expressed(self, x: SparseRows) -> Attended:
        values = x.values + ZERO
        weights = _Logits.apply(values, x.indices, self.genes @ self.projection, self.bias, self.scorer).exp()
        total = _row_sums(weights, x).clamp_min(torch.finfo(weights.dtype).tiny)
        summed = F.embedding_bag(
            x.indices,
            self.genes,
            x.offsets,
            mode="sum",
            per_sample_weights=weights * values,
            include_last_offset=True,
        )
        nothing = weights.new_zeros(x.n_genes)
        return Attended(summed / total[:, None], total, values, weights, nothing.sum(), nothing)


def _row_sums(values: Tensor, x: SparseRows) -> Tensor:
    return values.new_zeros(len(x)).index_add(0, x.rows, values)


def _value_statistics(x: SparseRows) -> tuple[Tensor, Tensor]:
    """Mean and variance over all B x G values, unexpressed ones included, (1,) each."""
    entries = len(x) * x.n_genes
    shifted = x.values + ZERO
    unexpressed = entries - len(x.values)
    mean = (shifted.sum() + unexpressed * ZERO) / entries
    square = (shifted.square().sum() + unexpressed * ZERO**2) / entries
    return mean[None], (square - mean.square())[None]


def attention(found: Attended, x: SparseRows) -> tuple[Tensor, Tensor]:
    """Attention weight of each expressed gene, (nnz,), and of all unexpressed genes of a cell together, (B,).

    The paper's score, not importance: its sign is not identifiable, and most of it lies on unexpressed genes.
    """
    share = found.weights / found.total[x.rows]
    return share, 1 - _row_sums(share, x)


def lift(found: Attended, x: SparseRows) -> Tensor:
    """Log ratio of each expressed gene's weight to the one it would have unexpressed, (nnz,)."""
    return (found.weights / found.zero_weights[x.indices]).log()


def contribution(found: Attended, x: SparseRows, genes: Tensor, toward: Tensor) -> Tensor:
    """What each expressed gene adds to m . q: exactly the change if it alone were unexpressed, (nnz,).

    Parameters
    ----------
    genes
        float (G, d), gene embeddings.
    toward
        float (B, d), q of each cell.
    """
    rows = x.rows
    zero_weights = found.zero_weights[x.indices]
    share = found.weights * found.values - zero_weights * found.zero_value  # (nnz,)
    along = (found.pooled * toward).sum(1)  # (B,)
    of_gene = (genes @ toward.T)[x.indices, rows]
    total = found.total[rows]
    without = total - found.weights + zero_weights
    return along[rows] - (total * along[rows] - share * of_gene) / without
