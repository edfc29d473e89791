"""How an embedding lies on the unit sphere: near its likes, and spread out. Knows vectors only."""

from __future__ import annotations

from torch import Tensor

SPREAD = 0.25  # share of its former uniformity below which an embedding has collapsed


def alignment(z: Tensor, k: int = 5) -> float:
    """Mean squared distance to the k nearest others (Concerto, equation 23); collapse makes it 0.

    Parameters
    ----------
    z
        float (n, d), rows of length 1, n > k.
    """
    squared = _squared_distances(z).fill_diagonal_(float("inf"))
    return float(squared.topk(k, largest=False).values.mean())


def uniformity(z: Tensor) -> float:
    """log of the mean over pairs of exp(-2 squared distance) (Concerto, equation 24); collapse makes it 0.

    Parameters
    ----------
    z
        float (n, d), rows of length 1, n > 1.
    """
    near = (-2 * _squared_distances(z)).exp().fill_diagonal_(0)
    return float((near.sum() / (len(z) * (len(z) - 1))).log())


def collapsed(before: Tensor, after: Tensor) -> bool:
    """Whether cells that lay spread out, float (n, d), now lie in nearly one place."""
    return uniformity(after) > SPREAD * uniformity(before)


def _squared_distances(z: Tensor) -> Tensor:
    length = z.square().sum(1)  # 0 where a network has died
    return (length[:, None] + length - 2 * z @ z.T).clamp_min(0)
