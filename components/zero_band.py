"""Where zeros lie on an axis of expression: spread over a band below it, so that thousands of them can be seen.

Most values of a gene are zero, and drawn at zero they would all lie on one line. The band is as wide on every axis, in
the axis' own units, so that a shape that was drawn over some zeros means those of any other cells, too. A shape never
parts a band along it: all zeros count as lying in its middle. Plain numbers; nothing here imports Panel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.points import Points, index_points

LOW, HIGH = -0.3, 0.0
MIDDLE = (LOW + HIGH) / 2
_EDGE = 0.1  # share of the band left empty at either side
_SEED = 20250102


def spread(values: NDArray[np.floating], *, turn: int = 0) -> NDArray[np.float32]:
    """Values as they are drawn, float32 (n,): zeros spread at random over the band, always alike.

    Parameters
    ----------
    turn
        Another number spreads otherwise, so that two axes are not spread alike.
    """
    values = np.asarray(values, dtype=np.float32)
    place = np.random.default_rng([_SEED, turn]).random(len(values), dtype=np.float32)
    within = LOW + (HIGH - LOW) * (_EDGE + (1 - 2 * _EDGE) * place)
    return np.where(values == 0, within, values).astype(np.float32)


def gathered(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values as shapes are asked of them, float64 (n,): zeros in the middle of the band."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(values == 0, MIDDLE, values)


def places(x: NDArray[np.floating], y: NDArray[np.floating], bands: tuple[bool, bool]) -> Points:
    """Two values a point, ready to be drawn; 0.3 s for a million.

    Parameters
    ----------
    x, y
        float (n,) each; points without one of them (NaN) are never drawn.
    bands
        Whether zeros of x, and of y, are spread over a band of their own.
    """
    sides = [
        spread(values, turn=turn) if band else np.asarray(values, np.float32)
        for turn, (values, band) in enumerate(zip((x, y), bands, strict=True))
    ]
    return index_points(np.column_stack(sides))
