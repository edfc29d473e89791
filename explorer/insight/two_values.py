"""How two values of the same cells go together: correlations, zeros, and shares of four quadrants.

Knows two arrays of numbers; neither what they are nor whose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating]

FEWEST = 3
"""Cells that a correlation is told of."""


@dataclass(frozen=True)
class Relation:
    """How two values go together.

    Attributes
    ----------
    n
        Cells that have both.
    both_zero
        Of those, cells in which both are zero.
    pearson, spearman
        Correlation of the values, and of their ranks (ties share their mean rank), over all n cells, zeros included;
        NaN for fewer than `FEWEST` cells or where a value is the same in all.
    """

    n: int
    both_zero: int
    pearson: float
    spearman: float


def relate(x: Numbers, y: Numbers) -> Relation:
    """How two values go together; O(n log n), 0.5 s for a million cells.

    Parameters
    ----------
    x, y
        float (n,) each; cells without one of them (NaN) are left out.
    """
    from scipy.stats import rankdata

    has = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, np.float64)[has], np.asarray(y, np.float64)[has]
    both_zero = int(((x == 0) & (y == 0)).sum())
    return Relation(len(x), both_zero, _correlation(x, y), _correlation(rankdata(x), rankdata(y)))


def _correlation(x: Numbers, y: Numbers) -> float:
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def likely_cut(values: Numbers, *, is_expression: bool) -> float:
    """Where to part low from high: above zero for expression, else at the median; 0 without any value."""
    there = values[np.isfinite(values)]
    return 0.0 if is_expression or not len(there) else float(np.median(there))


def quadrants(x: Numbers, y: Numbers, cut_x: float, cut_y: float) -> NDArray[np.int64]:
    """Cells on either side of two cuts, int64 (2, 2): [over cut_y or not][over cut_x or not], 0 for not.

    A cell at a cut is not over it; one without a value is in none.
    """
    has = np.isfinite(x) & np.isfinite(y)
    side = 2 * (y > cut_y).astype(np.int64) + (x > cut_x)
    return np.bincount(side[has], minlength=4).reshape(2, 2).astype(np.int64)
