"""Two values of the same cells against each other: which, where each is cut, and what a shape drawn over them holds.

Knows numbers, shapes and names, no widgets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components import zero_band
from components.points import index_points, inside_polygon

OPEN = sys.float_info.max
"""The end of a side that has none; a number, so that recipes stay plain JSON."""

_TINY = float(np.finfo(np.float32).tiny)  # a cut at zero lies just above it

Corners = tuple[tuple[float, ...], tuple[float, ...]]
"""x and y of a shape's corners: of a lasso all, of a box two opposite ones, the lower first."""


@dataclass(frozen=True)
class TwoValues:
    """What lies against what.

    Attributes
    ----------
    x, y
        As ranges are of them, see `explorer.app.tab.gates.measured`; empty while none is chosen.
    cuts
        Where x and y are parted into low and high, where a person has said so.
    """

    x: str = ""
    y: str = ""
    cuts: tuple[float, float] | None = None


def inside(
    x: NDArray[np.floating], y: NDArray[np.floating], corners: Corners, bands: tuple[bool, bool]
) -> NDArray[np.bool_]:
    """Which cells lie within a shape, bool (n,); none of those without one of the values.

    Parameters
    ----------
    x, y
        float (n,) each.
    corners
        As it was drawn. A box holds its border.
    bands
        Whether zeros of x, and of y, lie in a band of their own (`components.zero_band`): those of expression do.
    """
    across, up = (
        zero_band.gathered(values) if band else np.asarray(values, np.float64)
        for values, band in zip((x, y), bands, strict=True)
    )
    if len(corners[0]) == 2:
        (x0, x1), (y0, y1) = corners
        return np.asarray((across >= x0) & (across <= x1) & (up >= y0) & (up <= y1), np.bool_)
    return inside_polygon(index_points(np.column_stack([across, up])), *corners)


def quadrant(cuts: tuple[float, float], *, over_x: bool, over_y: bool) -> Corners:
    """One of the four parts that two cuts make, as a box; what lies at a cut is not over it."""
    x, y = (
        (float(np.nextafter(cut, OPEN)), OPEN) if over else (-OPEN, cut)
        for cut, over in zip(cuts, (over_x, over_y), strict=True)
    )
    return x, y


def span_in_words(name: str, low: float, high: float, *, band: bool) -> str:
    """One side of a box as one would say it; empty for a side that is open at both ends."""
    if band and high <= zero_band.HIGH:
        return f"no {name}"
    is_open = low <= (zero_band.MIDDLE if band else -OPEN)
    least = "" if is_open else "0" if band and low < _TINY else f"{low:.3g}"
    if high >= OPEN:
        return f"{name} over {least}" if least else ""
    if not least:
        return f"{name} up to {high:.3g}"
    return f"{name} {'over ' if band and least == '0' else ''}{least} to {high:.3g}"


def shape_in_words(names: Sequence[str], corners: Corners, bands: tuple[bool, bool]) -> str:
    """What a shape over two values holds, as one would say it."""
    if len(corners[0]) != 2:
        return f"a shape of {names[0]} against {names[1]}"
    spans = [
        span_in_words(name, low, high, band=band)
        for name, (low, high), band in zip(names, corners, bands, strict=True)
    ]
    return " with ".join(filter(None, spans)) or f"any {names[0]}"
