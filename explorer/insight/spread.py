"""How labelled cells lie on the unit sphere: near their likes, apart from others, spread out. Knows vectors and codes.

Everything is measured on vectors of length 1, as neighbours are found, and on cells or pairs drawn with a seed, so that
time and memory are bounded whatever the number of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.insight.neighborhoods import MOST_ASKED, others, sampled
from explorer.neighbors import normalised

MOST_PAIRS = 1_000_000
PAIRS_AT_ONCE = 50_000
MOST_FOR_SILHOUETTES = 4_000
NEAREST = 5


@dataclass(frozen=True)
class Silhouettes:
    """Mean silhouette widths, scaled as by Luecken et al. (scIB, Nature Methods 2022).

    Attributes
    ----------
    label
        (1 + width) / 2 of labels, in [0, 1]: 1 where labels are far apart, 0.5 where they overlap.
    batch
        1 - |width| of batches within each label, mean over labels, in [0, 1]: 1 where batches overlap. NaN where no
        label has cells of two batches.
    by_label
        Mean width of each label, in [-1, 1], by code; NaN where it has no cell among those drawn.
    """

    label: float
    batch: float
    by_label: NDArray[np.float64]


def nearest_alignment(values: FloatArray, k: int = NEAREST, seed: int = 0) -> float:
    """Mean squared distance to the k nearest others, in [0, 4]; small is good, and 0 where all has collapsed.

    Concerto (Yang et al., 2022, equation 23), which knows no labels. Only to be read beside `uniformity`.

    Parameters
    ----------
    values
        float32 (n, d); need not be of length 1. Of more than 10,000 cells some are asked, against all.
    """
    unit = normalised(values).astype(np.float64)
    asked = sampled(len(unit), MOST_ASKED, seed)
    near = others(unit, asked, k)
    squared = [((unit[asked] - unit[near[:, j]]) ** 2).sum(1) for j in range(near.shape[1])]
    return float(np.mean(squared))


def alignment(values: FloatArray, codes: IntArray) -> float:
    """Mean squared distance between cells of a label, in [0, 4]; small is good, and 0 where all has collapsed.

    Wang & Isola (ICML 2020) with alpha = 2, and two cells of a label as a positive pair; every label counts alike.
    Exact, in O(n d) time: n vectors of mean square length s and mean m are on average 2 (s - |m|²) n / (n - 1) apart.

    Parameters
    ----------
    values, codes
        float32 (n, d), and int32 (n,), -1 for unlabelled. Labels of one cell have no pair.

    Raises
    ------
    OptionsProblem
        If no label has two cells.
    """
    unit = normalised(values).astype(np.float64)
    cells = np.bincount(codes[codes >= 0])
    if not (cells > 1).any():
        raise OptionsProblem("How near cells of a label are is asked of labels of at least two cells; there is none.")
    apart = []
    for code in np.flatnonzero(cells > 1):
        own = unit[codes == code]
        apart.append(2 * ((own**2).sum(1).mean() - (own.mean(0) ** 2).sum()) * len(own) / (len(own) - 1))
    return float(np.mean(apart))


def uniformity(values: FloatArray, seed: int = 0) -> float:
    """log of the mean over pairs of exp(-2 squared distance), in [-8, 0]; small is good, and 0 where all has collapsed.

    Wang & Isola (ICML 2020) with t = 2; Concerto, equation 24. All pairs of up to 1,414 cells, else 1,000,000 drawn
    with the seed.

    Parameters
    ----------
    values
        float32 (n, d), n at least 2; need not be of length 1.
    """
    unit = normalised(values).astype(np.float64)
    first, second = _pairs(len(unit), seed)
    total = 0.0
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        total += float(np.exp(-2 * ((unit[first[part]] - unit[second[part]]) ** 2).sum(1)).sum())
    return float(np.log(total / len(first)))


def silhouettes(values: FloatArray, codes: IntArray, batches: IntArray, seed: int = 0) -> Silhouettes:
    """Silhouette widths of labels, and of batches within labels, by scikit-learn on vectors of length 1.

    O(c² d) time and O(c²) memory for c cells, of which at most 4,000 are drawn with the seed.

    Parameters
    ----------
    values, codes, batches
        float32 (n, d) and int32 (n,); cells with a code of -1 take no part.

    Raises
    ------
    OptionsProblem
        If there are fewer than two labels.
    """
    taken = np.flatnonzero(codes >= 0)
    taken = taken[sampled(len(taken), MOST_FOR_SILHOUETTES, seed)]
    of_label, of_batch = codes[taken], batches[taken]
    if len(np.unique(of_label)) < 2:
        raise OptionsProblem("Whether labels lie apart is asked of at least two labels. Choose another column.")
    unit = normalised(values[taken])
    width = silhouette_samples(unit, of_label)
    by_label = np.full(int(codes.max()) + 1, np.nan)
    between = []
    for code in np.unique(of_label):
        own = of_label == code
        by_label[code] = width[own].mean()
        if 1 < len(np.unique(of_batch[own])) < own.sum():
            between.append(float((1 - np.abs(silhouette_samples(unit[own], of_batch[own]))).mean()))
    return Silhouettes(float((1 + width.mean()) / 2), float(np.mean(between)) if between else float("nan"), by_label)


def _pairs(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of distinct cells, all pairs or as many as are enough."""
    if n * (n - 1) // 2 <= MOST_PAIRS:
        first, second = np.triu_indices(n, 1)
        return first, second
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n, MOST_PAIRS)
    return first, (first + rng.integers(1, n, MOST_PAIRS)) % n
