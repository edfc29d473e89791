"""Points to pictures of one byte a pixel, in milliseconds, whatever the number of points.

Points are sorted into square tiles once. A view then touches a few contiguous slices of them, a compiled
kernel paints those into a raster of codes, and a palette of 256 colours gives the codes their look: the
browser holds the palette, so a new colour costs no new picture.

Knows points, codes and pixels; neither cells nor Panel. Rows of a raster run from low y to high y.

The code space of a raster:

    0            nothing here
    1 .. 236     colours of a category, or of the bins of a value
    237          not selected, while other points are
    238          no value (NaN, no category)
    239          value of zero
    240 .. 255   background, from one point in the pixel to many
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

EMPTY = 0
FIRST_COLOR = 1
N_COLORS = 236
MUTED = 237
MISSING = 238
ZERO = 239
FIRST_GREY = 240
N_GREYS = 16

GRID = 256
SEED = 20250101
_SELECTED_BIT = 1 << 15

Extent = tuple[float, float, float, float]
"""x0, x1, y0, y1 of a view, in the points' own units."""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code once and keep it on disk; the lock of the interpreter is let go."""
    compiled: Callable[..., Any] = njit(cache=True, nogil=True)(function)
    return compiled


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
    chance = np.random.default_rng(SEED).integers(0, _SELECTED_BIT, len(xy), dtype=np.uint16)
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


def radius_for(n_in_view: int, pixels: int) -> int:
    """Radius in pixels that keeps a picture readable: single pixels when crowded, discs when sparse."""
    for points_a_pixel, radius in ((0.35, 0), (0.03, 1), (0.004, 2), (0.0008, 3)):
        if n_in_view > points_a_pixel * pixels:
            return radius
    return 4


def disc(radius: float) -> NDArray[np.int64]:
    """Pixel offsets (dx, dy) of a filled disc: int64 (pixels, 2)."""
    reach = int(np.ceil(radius))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = dx**2 + dy**2 <= (radius + 0.35) ** 2        # 0.35 rounds off the spikes of small discs
    return np.stack([dx[inside], dy[inside]], axis=1).astype(np.int64)


@_compiled
def _paint(
    xy: Any, codes: Any, rank: Any, spans: Any, offsets: Any,
    x0: float, y0: float, per_x: float, per_y: float, out: Any, top: Any,
) -> None:
    """Write codes into `out`; where points share a pixel, the highest rank stays."""
    height, width = out.shape
    for s in range(spans.shape[0]):
        for i in range(spans[s, 0], spans[s, 1]):
            code = codes[i]
            if code == 0:
                continue
            px, py = (xy[i, 0] - x0) * per_x, (xy[i, 1] - y0) * per_y
            if px < -64 or py < -64 or px >= width + 64 or py >= height + 64:
                continue
            column, row, mine = int(np.floor(px)), int(np.floor(py)), rank[i]
            for o in range(offsets.shape[0]):
                c, r = column + offsets[o, 0], row + offsets[o, 1]
                if c >= 0 and r >= 0 and c < width and r < height and (out[r, c] == 0 or mine >= top[r, c]):
                    out[r, c] = code
                    top[r, c] = mine


@_compiled
def _count(
    xy: Any, spans: Any, offsets: Any, x0: float, y0: float, per_x: float, per_y: float, out: Any
) -> None:
    """Add one to every pixel that a point covers, up to 65,535."""
    height, width = out.shape
    for s in range(spans.shape[0]):
        for i in range(spans[s, 0], spans[s, 1]):
            px, py = (xy[i, 0] - x0) * per_x, (xy[i, 1] - y0) * per_y
            if px < -64 or py < -64 or px >= width + 64 or py >= height + 64:
                continue
            column, row = int(np.floor(px)), int(np.floor(py))
            for o in range(offsets.shape[0]):
                c, r = column + offsets[o, 0], row + offsets[o, 1]
                if c >= 0 and r >= 0 and c < width and r < height and out[r, c] < 65535:
                    out[r, c] += 1


# a pixel of n points is drawn in grey number log2(n) * 2.5: one point light, about 64 and more darkest
_GREY_OF_COUNT = np.concatenate(
    [[EMPTY], FIRST_GREY + np.minimum(np.log2(np.arange(1, 65536)) * 2.5, N_GREYS - 1).astype(np.uint8)]
).astype(np.uint8)


@dataclass(frozen=True)
class Layer:
    """Points with what they are to be painted in.

    Attributes
    ----------
    points
        The points.
    codes
        uint8 (n,) in tile order; 0 leaves a point out. `None` paints density in grey.
    rank
        uint16 (n,) in tile order; the highest in a pixel is seen. `None` with density.
    radius
        Pixels; `None` chooses by the number in view.
    """

    points: Points
    codes: NDArray[np.uint8] | None = None
    rank: NDArray[np.uint16] | None = None
    radius: float | None = None


def paint(layers: Sequence[Layer], view: Extent, width: int, height: int) -> NDArray[np.uint8]:
    """Paint layers over one another, the last on top.

    Returns
    -------
    uint8 (height, width), codes; row 0 is the lowest y.
    """
    picture = np.zeros((height, width), dtype=np.uint8)
    x0, x1, y0, y1 = view
    place = (x0, y0, width / (x1 - x0), height / (y1 - y0))
    for layer in layers:
        spans = slices(layer.points, view)
        if not len(spans):
            continue
        n_in_view = int((spans[:, 1] - spans[:, 0]).sum())
        radius = radius_for(n_in_view, width * height) if layer.radius is None else layer.radius
        # discs of points just outside reach into the picture
        reach_x, reach_y = (radius + 1) / place[2], (radius + 1) / place[3]
        spans = slices(layer.points, (x0 - reach_x, x1 + reach_x, y0 - reach_y, y1 + reach_y))
        if layer.codes is None or layer.rank is None:
            counts = np.zeros((height, width), dtype=np.uint16)
            _count(layer.points.xy, spans, disc(radius), *place, counts)
            painted = _GREY_OF_COUNT[counts]
        else:
            painted, top = np.zeros_like(picture), np.zeros((height, width), dtype=np.uint16)
            _paint(layer.points.xy, layer.codes, layer.rank, spans, disc(radius), *place, painted, top)
        picture = np.where(painted != EMPTY, painted, picture)
    return picture


def category_codes(codes: NDArray[Any], hidden: Sequence[int] = ()) -> NDArray[np.uint8]:
    """Category numbers to raster codes: category c gets 1 + c modulo 236, below zero gets `MISSING`.

    Parameters
    ----------
    codes
        int (n,), category of each point; -1 for none.
    hidden
        Categories to leave out; -1 hides the points without one.
    """
    codes = np.asarray(codes, dtype=np.int64)
    most = int(codes.max(initial=-1))
    table = np.empty(most + 2, dtype=np.uint8)
    table[:-1] = FIRST_COLOR + np.arange(most + 1) % N_COLORS
    table[-1] = MISSING                                       # index -1 is the last one
    for category in hidden:
        if -1 <= category <= most:
            table[category] = EMPTY
    return table[np.maximum(codes, -1)]


def clip_limits(values: NDArray[Any], low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """The percentiles between which a colour scale runs, of the finite values other than exact zeros.

    Expression is mostly zeros; with them in, the 99th percentile of a rare gene is zero as well.
    """
    values = np.asarray(values)
    used = values[np.isfinite(values) & (values != 0)]
    if not len(used):
        return (0.0, 1.0)
    bottom, top = (float(limit) for limit in np.percentile(used, [low, high]))
    return (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5)


def value_codes(
    values: NDArray[Any], limits: tuple[float, float], *, zeros_grey: bool = True
) -> NDArray[np.uint8]:
    """Values to raster codes: 236 bins between the limits, values beyond them in the end bins.

    NaN gets `MISSING`; exact zeros get `ZERO` when `zeros_grey`.
    """
    values = np.asarray(values, dtype=np.float32)
    low, high = limits
    with np.errstate(invalid="ignore"):
        bins = np.clip((values - low) * (N_COLORS / (high - low)), 0, N_COLORS - 1)
    missing = np.isnan(values)
    codes = FIRST_COLOR + np.where(missing, 0, bins).astype(np.uint8)
    if zeros_grey:
        codes[values == 0] = ZERO
    codes[missing] = MISSING
    return codes.astype(np.uint8)


def draw_rank(points: Points, codes: NDArray[np.uint8], order: str) -> NDArray[np.uint16]:
    """Who is seen where points share a pixel.

    Parameters
    ----------
    codes
        uint8 (n,) in tile order.
    order
        "random", "high on top" or "low on top". Zeros and missing values lie below all others in the two
        latter.

    Raises
    ------
    ValueError
        If `order` is none of the three.
    """
    if order == "random":
        return points.chance
    if order not in ("high on top", "low on top"):
        raise ValueError(f"Draw order must be 'random', 'high on top' or 'low on top'; found {order!r}.")
    level = codes.astype(np.int32)
    if order == "low on top":
        level = N_COLORS + 1 - level
    valued = (codes >= FIRST_COLOR) & (codes < FIRST_COLOR + N_COLORS)
    level = np.where(valued, level.clip(1, 254), 0)
    # 7 random bits below the level: equal values stay in random order
    return ((level.clip(0, 255) << 7) | (points.chance & 0x7F)).astype(np.uint16)


def raise_selected(
    codes: NDArray[np.uint8], rank: NDArray[np.uint16], selected: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Mute what is not selected and lift what is above it. All arrays in tile order."""
    muted = np.where(selected | (codes == EMPTY), codes, np.uint8(MUTED))
    lifted = np.where(selected, rank | np.uint16(_SELECTED_BIT), rank)
    return muted, lifted


@_compiled
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


def warm() -> None:
    """Compile or load the kernels, so that the first picture does not wait for them."""
    points = index_points(np.array([[0.0, 0.0], [1.0, 1.0]], dtype=np.float32))
    codes = np.ones(2, dtype=np.uint8)
    paint([Layer(points), Layer(points, codes, points.chance)], points.extent, 4, 4)
    nearest(points, 0.0, 0.0, 1.0, codes)
