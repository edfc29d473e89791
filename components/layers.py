"""Points and their colours, made ready to be painted: what is hidden is left out, what is selected lies on top.

What maps and planes of values share; nothing here imports Panel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components import raster
from components.coloring import Categories, Coloring
from components.points import Points

Mask = NDArray[np.bool_]


def colored(
    points: Points,
    coloring: Coloring | None,
    *,
    hidden: Sequence[int] = (),
    selected: Mask | None = None,
    shown: Mask | None = None,
    name: str = "picture",
) -> raster.Layer:
    """A layer of points in their colours, or in one colour where there are none.

    Parameters
    ----------
    hidden
        Categories to leave out.
    selected
        bool (n,); the others are muted. `None` mutes none.
    shown
        bool (n,); the others are left out. `None` leaves none out.
    name
        What the points are called where their colours are not theirs.

    Raises
    ------
    ValueError
        If the colouring is for another number of points.
    """
    if coloring is None:
        codes, order = np.full(points.n, raster.FIRST_COLOR, dtype=np.uint8), raster.RANDOM
    else:
        _require_length(coloring, points.n, name)
        codes, order = coloring.raster_codes(hidden)[points.order], coloring.order
    if shown is not None:
        codes = np.where(np.asarray(shown)[points.order], codes, np.uint8(raster.EMPTY))
    rank = raster.draw_rank(points, codes, order)
    if selected is not None:
        codes, rank = raster.raise_selected(codes, rank, np.asarray(selected)[points.order])
    return raster.Layer(points, codes, rank)


def _require_length(coloring: Coloring, n: int, name: str) -> None:
    found = len(coloring.codes if isinstance(coloring, Categories) else coloring.values)
    if found != n:
        raise ValueError(f"The {name} has {n:,} points but its colouring is for {found:,}.")
