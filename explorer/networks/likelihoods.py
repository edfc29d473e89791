"""Log-likelihoods of expression under a decoder, and the KL term beside them. Knows sparse counts, not networks.

All return one number a cell, summed over genes. Most counts are 0, and for them a term needs no log-gamma function:
each likelihood is a sum over all genes of what a zero would cost, put right where a count is stored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from explorer.networks.sparse import SparseRows


def negative_binomial(log_mean: Tensor, log_dispersion: Tensor, condition: Tensor, counts: SparseRows) -> Tensor:
    """Log-likelihood of counts of mean mu and inverse dispersion theta (variance mu + mu^2 / theta).

    With d = ln mu - ln theta: sum of -theta softplus(d) over all genes, and of
    x (d - softplus(d)) + lnG(x + theta) - lnG(theta) - lnG(x + 1) where x > 0.

    Parameters
    ----------
    log_mean
        float (B, G).
    log_dispersion
        float (C, G), one row a condition.
    condition
        int64 (B,), each cell's row of `log_dispersion`.

    Returns
    -------
    Tensor
        float (B,).
    """
    found: Tensor = _NegativeBinomial.apply(
        log_mean, log_dispersion, condition, counts.rows, counts.indices, counts.values
    )
    return found


class _NegativeBinomial(torch.autograd.Function):
    """Forward and backward in closed form: one pass over all genes, log-gamma only at stored counts."""

    @staticmethod
    def forward(
        ctx: Any, log_mean: Tensor, log_dispersion: Tensor, condition: Tensor, cell: Tensor, gene: Tensor, x: Tensor
    ) -> Tensor:
        dispersion = log_dispersion.exp()
        theta = dispersion[condition]  # (B, G)
        d = log_mean - log_dispersion[condition]
        soft = F.softplus(d)
        x = x.to(d.dtype)
        at = dispersion[condition[cell], gene]  # (nnz,)
        at_lgamma = torch.lgamma(dispersion)[condition[cell], gene]
        stored = x * (d - soft)[cell, gene] + torch.lgamma(x + at) - at_lgamma - torch.lgamma(x + 1)
        ctx.save_for_backward(d, soft, theta, dispersion, condition, cell, gene, x)
        return -(theta * soft).sum(1).index_add(0, cell, -stored)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        d, soft, theta, dispersion, condition, cell, gene, x = ctx.saved_tensors
        share = torch.sigmoid(d)  # mu / (mu + theta)
        missing = x * (1 - share[cell, gene])
        by_mean = (-theta * share).index_put((cell, gene), missing, accumulate=True) * upstream[:, None]
        of_zero = theta * (share - soft) * upstream[:, None]
        by_dispersion = torch.zeros_like(dispersion).index_add(0, condition, of_zero)
        where = condition[cell]
        at = dispersion[where, gene]
        gained = at * (torch.digamma(x + at) - torch.digamma(dispersion)[where, gene]) - missing
        return by_mean, by_dispersion.index_put((where, gene), gained * upstream[cell], accumulate=True), *[None] * 4


def zero_inflated(
    log_mean: Tensor,
    log_dispersion: Tensor,
    condition: Tensor,
    dropout_logits: Tensor,
    counts: SparseRows,
    measured: Tensor | None = None,
) -> Tensor:
    """The negative binomial of which a share sigmoid(pi) of values is lost and counts as 0.

    Parameters
    ----------
    dropout_logits
        pi, float (B, G).
    measured
        float (B, G), weight of each term of the sum: 0 leaves a gene out.
    """
    cell, gene = counts.rows, counts.indices
    log_dispersion = log_dispersion[condition]
    theta = log_dispersion.exp()  # (B, G)
    d = log_mean - log_dispersion
    soft = F.softplus(d)
    kept = F.softplus(-dropout_logits)
    zero = F.softplus(-dropout_logits - theta * soft) - kept
    x, at = counts.values.to(d.dtype), theta[cell, gene]
    nb = x * (d - soft)[cell, gene] + torch.lgamma(x + at) - torch.lgamma(at) - torch.lgamma(x + 1)
    stored = nb - (kept + dropout_logits + theta * soft)[cell, gene]
    if measured is not None:
        zero, stored = zero * measured, stored * measured[cell, gene]
    return zero.sum(1).index_add(0, cell, stored - zero[cell, gene])


def poisson(log_mean: Tensor, counts: SparseRows) -> Tensor:
    """Log-likelihood of counts of mean mu, float (B,)."""
    x = counts.values.to(log_mean.dtype)
    cell = counts.rows
    stored = x * log_mean[cell, counts.indices] - torch.lgamma(x + 1)
    return -log_mean.exp().sum(1).index_add(0, cell, -stored)


def squared_error(mean: Tensor, expression: SparseRows) -> Tensor:
    """Minus the squared error, float (B,): a normal likelihood of variance 1/2 up to its constant."""
    x = expression.values.to(mean.dtype)
    cell = expression.rows
    return -(mean**2).sum(1).index_add(0, cell, x * (x - 2 * mean[cell, expression.indices]))


def gaussian_kl(mean: Tensor, variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) summed over dimensions: float (B, d) to (B,)."""
    return 0.5 * (variance + mean**2 - 1 - variance.log()).sum(1)
