"""Shapes of violins and dots of a volcano, found once for the screen and for a printed figure. Knows no widgets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

BINS = 48
SMOOTH = 1.2  # bins, standard deviation
FINEST = 400  # places along either axis that dots are told apart by


def outlines(
    values: NDArray[np.floating], codes: NDArray[np.integer], n_groups: int, bins: int = BINS
) -> tuple[list[list[float]], list[float | None], float]:
    """How often values of each group lie where: smoothed histograms from 0 to the largest value.

    Parameters
    ----------
    values
        float (n,), 0 or more.
    codes
        int (n,), number of each value's group; -1 for none.

    Returns
    -------
    shapes, medians, top
        For each group `bins` widths of which the largest is 1, empty for a group without a value; its median; and
        where the scale ends.
    """
    held = values[codes >= 0]
    top = float(held.max()) if len(held) and held.max() > 0 else 1.0
    shapes: list[list[float]] = []
    medians: list[float | None] = []
    for group in range(n_groups):
        own = values[codes == group]
        if len(own) == 0:
            shapes.append([])
            medians.append(None)
            continue
        counts = gaussian_filter1d(np.histogram(own, bins, (0, top))[0].astype(float), SMOOTH, mode="constant")
        shapes.append([round(float(width), 3) for width in counts / counts.max()])
        medians.append(round(float(np.median(own)), 3))
    return shapes, medians, top


def told_apart(
    x: NDArray[np.floating], y: NDArray[np.floating], least: tuple[float, float], top: int = 12
) -> tuple[NDArray[np.int64], list[int]]:
    """Which of n dots a volcano shows, those of one place once, and which of them it names.

    Parameters
    ----------
    x, y
        The most important first; those without a finite place are left out.
    least
        Dots nearer to 0 than the first, or lower than the second, are not named.
    top
        How many of the first may be named, and as many half of the last.

    Returns
    -------
    kept, labelled
        Positions, ascending; and of those named, the most important first.
    """
    finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    kept = finite[distinct(x[finite], y[finite])]
    chosen = [*finite[:top], *finite[::-1][: top // 2]]
    labelled = [int(at) for at in dict.fromkeys(chosen) if abs(x[at]) >= least[0] and y[at] >= least[1]]
    return np.union1d(kept, labelled).astype(np.int64), labelled


def distinct(x: NDArray[np.floating], y: NDArray[np.floating], finest: int = FINEST) -> NDArray[np.int64]:
    """Positions of the first dot of each place of a grid over all of them, ascending."""
    if len(x) == 0:
        return np.zeros(0, dtype=np.int64)

    def along(values: NDArray[np.floating]) -> NDArray[np.int64]:
        span = max(float(np.ptp(values)), 1e-12)
        return ((values - values.min()) / span * finest).astype(np.int64)

    _, first = np.unique(along(x) * (finest + 1) + along(y), return_index=True)
    return np.sort(first).astype(np.int64)
