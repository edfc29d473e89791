"""Points in the plane, sorted so that a view, a click or a lasso touches only those near it.

Points are sorted into square tiles once; whatever is asked later reads a few contiguous slices of them.
Knows points; neither colours, cells nor Panel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

GRID = 256
SEED = 20250101
CHANCES = 1 << 15

Extent = tuple[float, float, float, float]
"""x0, x1, y0, y1 of a view, in the points' own units."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code once and keep it on disk; the interpreter's lock is let go while it runs."""
    kernel: Callable[..., Any] = njit(cache=True, nogil=True)(function)
    return kernel


@dataclass(frozen=True)
class Points:
    """Points in the plane, indexed by tile. Build it with `index_points`; share it freely.

    Attributes
    ----------
    xy
        float32 (n, 2), in tile order.
    order
        int32 (n,), the row of the caller's array that each indexed point came from.
    starts
        int64 (GRID * GRID + 1,), where each tile begins in `xy`, row by row from low y.
    extent
        x0, x1, y0, y1 of the finite points.
    chance
        uint16 (n,) below 2**15, a fixed random number a point: who lies on top when order is random.
    """

    xy: NDArray[np.float32]
    order: NDArray[np.int32]
    starts: NDArray[np.int64]
    extent: Extent
    chance: NDArray[np.uint16]

    @property
    def n(self) -> int:
        """How many points the caller handed in, those without a finite place included."""
        return len(self.order)

    def place_of(self, index: int) -> tuple[float, float]:
        """Where the point at a row of the caller's array lies."""
        x, y = self.xy[np.flatnonzero(self.order == index)[0]]
        return float(x), float(y)


def index_points(xy: NDArray[Any]) -> Points:
    """Sort points into tiles; 0.2 s for a million.

    Parameters
    ----------
    xy
        (n, 2). Points with NaN or infinity are never drawn, hit or selected.

    Raises
    ------
    ValueError
        If `xy` is not of shape (n, 2).
    """
    xy = np.asarray(xy, dtype=np.float32)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"Points must be an array of shape (n, 2); found {xy.shape}.")
    finite = np.isfinite(xy).all(axis=1)
    extent = _extent(xy[finite])
    tile = np.full(len(xy), GRID * GRID, dtype=np.int32)      # a last, never visited tile for lost points
    tile[finite] = _tile_of(xy[finite], extent)
    order = np.argsort(tile, kind="stable").astype(np.int32)
    counts = np.bincount(tile, minlength=GRID * GRID + 1)[: GRID * GRID]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    chance = np.random.default_rng(SEED).integers(0, CHANCES, len(xy), dtype=np.uint16)
    return Points(np.ascontiguousarray(xy[order]), order, starts, extent, chance)


def _extent(xy: NDArray[np.float32]) -> Extent:
    if not len(xy):
        return (0.0, 1.0, 0.0, 1.0)
    (x0, y0), (x1, y1) = xy.min(axis=0).tolist(), xy.max(axis=0).tolist()
    # a single point, or points on a line, still need an area to lie in
    grow_x, grow_y = (0.0 if x1 > x0 else 0.5), (0.0 if y1 > y0 else 0.5)
    return (x0 - grow_x, x1 + grow_x, y0 - grow_y, y1 + grow_y)


def _tile_of(xy: NDArray[np.float32], extent: Extent) -> NDArray[np.int32]:
    x0, x1, y0, y1 = extent
    column = np.clip((xy[:, 0] - x0) * (GRID / (x1 - x0)), 0, GRID - 1).astype(np.int32)
    row = np.clip((xy[:, 1] - y0) * (GRID / (y1 - y0)), 0, GRID - 1).astype(np.int32)
    return row * GRID + column


def union(*extents: Extent) -> Extent:
    """The smallest extent that holds all of them."""
    x0, x1, y0, y1 = zip(*extents, strict=True)
    return (min(x0), max(x1), min(y0), max(y1))


def fit(extent: Extent, width: float, height: float, margin: float = 0.04) -> Extent:
    """Widen an extent to the aspect of a frame, so that one unit is as long in x as in y."""
    x0, x1, y0, y1 = extent
    unit = max((x1 - x0) / width, (y1 - y0) / height) * (1 + 2 * margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (x - unit * width / 2, x + unit * width / 2, y - unit * height / 2, y + unit * height / 2)


def _tile_window(points: Points, view: Extent) -> tuple[int, int, int, int] | None:
    """First and last column and row of the tiles that meet a view; `None` if it misses all points."""
    ax0, ax1, ay0, ay1 = points.extent
    x0, x1, y0, y1 = view
    if x1 < ax0 or x0 > ax1 or y1 < ay0 or y0 > ay1:
        return None
    per_x, per_y = GRID / (ax1 - ax0), GRID / (ay1 - ay0)
    # one tile wider on each side: float32 rounding may put a point on the border into the next tile
    left, right = int((max(x0, ax0) - ax0) * per_x) - 1, int((min(x1, ax1) - ax0) * per_x) + 1
    low, high = int((max(y0, ay0) - ay0) * per_y) - 1, int((min(y1, ay1) - ay0) * per_y) + 1
    return max(left, 0), min(right, GRID - 1), max(low, 0), min(high, GRID - 1)


def slices(points: Points, view: Extent) -> NDArray[np.int64]:
    """The contiguous slices of `points.xy` that hold every point of a view: int64 (rows of tiles, 2)."""
    window = _tile_window(points, view)
    if window is None:
        return np.zeros((0, 2), dtype=np.int64)
    left, right, low, high = window
    rows = np.arange(low, high + 1) * GRID
    return np.stack([points.starts[rows + left], points.starts[rows + right + 1]], axis=1)


def count_in(points: Points, view: Extent) -> int:
    """How many points lie in the tiles of a view; at most a tile's width more than lie in the view."""
    spans = slices(points, view)
    return int((spans[:, 1] - spans[:, 0]).sum())


@compiled
def _nearest(xy: Any, codes: Any, spans: Any, x: float, y: float, reach: float) -> int:
    best, found = reach * reach, -1
    for s in range(spans.shape[0]):
        for i in range(spans[s, 0], spans[s, 1]):
            if codes[i] == 0:
                continue
            dx, dy = xy[i, 0] - x, xy[i, 1] - y
            distance = dx * dx + dy * dy
            if distance <= best:
                best, found = distance, i
    return found


def nearest(points: Points, x: float, y: float, reach: float, codes: NDArray[np.uint8] | None = None) -> int:
    """Row (of the caller's array) of the point nearest to (x, y) within `reach`; -1 if there is none.

    Parameters
    ----------
    codes
        uint8 (n,) in tile order; points of code 0 are not seen.
    """
    if codes is None:
        codes = np.ones(points.n, dtype=np.uint8)
    spans = slices(points, (x - reach, x + reach, y - reach, y + reach))
    found = _nearest(points.xy, codes, spans, x, y, reach)
    return int(points.order[found]) if found >= 0 else -1


def _rows_where(
    points: Points, view: Extent, test: Callable[[NDArray[np.float32]], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Mask over the caller's rows of the points of a view that pass a test."""
    mask = np.zeros(points.n, dtype=np.bool_)
    spans = slices(points, view)
    if len(spans):
        rows = np.concatenate([np.arange(start, stop) for start, stop in spans])
        mask[points.order[rows[test(points.xy[rows])]]] = True
    return mask


def inside_box(points: Points, box: Extent) -> NDArray[np.bool_]:
    """Which points lie in a box, its border included: bool (n,), in the caller's order."""
    x0, x1, y0, y1 = box
    return _rows_where(
        points, box, lambda xy: (xy[:, 0] >= x0) & (xy[:, 0] <= x1) & (xy[:, 1] >= y0) & (xy[:, 1] <= y1)
    )


def inside_polygon(points: Points, x: Sequence[float], y: Sequence[float]) -> NDArray[np.bool_]:
    """Which points lie inside a polygon: bool (n,), in the caller's order.

    A line that crosses itself encloses what an even-odd fill of it would colour. Fewer than three corners
    enclose nothing.
    """
    if len(x) < 3:
        return np.zeros(points.n, dtype=np.bool_)
    polygon = shapely.Polygon(np.column_stack([x, y]))
    if not polygon.is_valid:
        polygon = shapely.make_valid(polygon)
    shapely.prepare(polygon)
    view = (float(min(x)), float(max(x)), float(min(y)), float(max(y)))
    return _rows_where(points, view, lambda xy: shapely.contains_xy(polygon, xy[:, 0], xy[:, 1]))
