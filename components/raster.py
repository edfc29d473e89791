"""Points to pictures of one byte a pixel, in milliseconds, whatever the number of points.

A compiled kernel paints the slices of points that a view touches into a raster of codes, and a palette of
256 colours gives the codes their look: the browser holds the palette, so a new colour costs no new picture.

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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.points import CHANCES, Extent, Points, compiled, index_points, nearest, slices

EMPTY = 0
FIRST_COLOR = 1
N_COLORS = 236
MUTED = 237
MISSING = 238
ZERO = 239
FIRST_GREY = 240
N_GREYS = 16

RANDOM, HIGH_ON_TOP, LOW_ON_TOP, AS_IN_FILE = ORDERS = ("random", "high on top", "low on top", "as in file")
"""Who is seen where points share a pixel."""

LARGEST = 7
_MARGIN = 64.0     # pixels outside the picture within which a point may still reach into it


def size_for(n_in_view: int, pixels: int) -> int:
    """Pixels across that keep points readable: single ones when crowded, up to seven when sparse."""
    return int(np.clip(round(0.6 * (pixels / max(n_in_view, 1)) ** 0.5), 1, LARGEST))


def disc(size: int) -> NDArray[np.int64]:
    """Pixel offsets (dx, dy) of a filled disc, `size` pixels across: int64 (pixels, 2)."""
    along = np.arange(size) - size // 2
    dx, dy = np.meshgrid(along, along)
    middle = along.mean()
    reach = size / 2 if size > 2 else 2.0        # a disc of two pixels is a square
    inside = (dx - middle) ** 2 + (dy - middle) ** 2 <= reach**2
    return np.stack([dx[inside], dy[inside]], axis=1).astype(np.int64)


@compiled
def _paint(
    xy: Any, codes: Any, rank: Any, spans: Any, offsets: Any,
    x0: float, y0: float, per_x: float, per_y: float, out: Any,
) -> None:
    """Write rank and code, 256 * rank + code, into `out`; where points share a pixel, the highest rank stays.

    Of equal ranks the later point stays. One number a pixel spares a branch that no processor can foresee.
    """
    height, width = out.shape
    for s in range(spans.shape[0]):
        for i in range(spans[s, 0], spans[s, 1]):
            code = codes[i]
            if code == 0:
                continue
            px, py = (xy[i, 0] - x0) * per_x, (xy[i, 1] - y0) * per_y
            if px < -_MARGIN or py < -_MARGIN or px >= width + _MARGIN or py >= height + _MARGIN:
                continue
            column, row = int(np.floor(px)), int(np.floor(py))
            mine = (np.uint32(rank[i]) << np.uint32(8)) | np.uint32(code)
            for o in range(offsets.shape[0]):
                c, r = column + offsets[o, 0], row + offsets[o, 1]
                if c >= 0 and r >= 0 and c < width and r < height:
                    before = out[r, c]
                    out[r, c] = mine if (mine | np.uint32(255)) >= before else before


@compiled
def _count(
    xy: Any, spans: Any, offsets: Any, x0: float, y0: float, per_x: float, per_y: float, out: Any
) -> None:
    """Add one to every pixel that a point covers, up to 65,535."""
    height, width = out.shape
    for s in range(spans.shape[0]):
        for i in range(spans[s, 0], spans[s, 1]):
            px, py = (xy[i, 0] - x0) * per_x, (xy[i, 1] - y0) * per_y
            if px < -_MARGIN or py < -_MARGIN or px >= width + _MARGIN or py >= height + _MARGIN:
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
    size
        Pixels across, at most 128; `None` chooses by the number in view.
    """

    points: Points
    codes: NDArray[np.uint8] | None = None
    rank: NDArray[np.uint16] | None = None
    size: int | None = None


def sized(layer: Layer, size: int | None) -> Layer:
    """The same layer with points of another size."""
    return replace(layer, size=size)


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
        size = size_for(n_in_view, width * height) if layer.size is None else layer.size
        offsets = disc(size)
        # discs of points just outside reach into the picture
        reach_x, reach_y = size / place[2], size / place[3]
        spans = slices(layer.points, (x0 - reach_x, x1 + reach_x, y0 - reach_y, y1 + reach_y))
        if layer.codes is None or layer.rank is None:
            counts = np.zeros((height, width), dtype=np.uint16)
            _count(layer.points.xy, spans, offsets, *place, counts)
            painted = _GREY_OF_COUNT[counts]
        else:
            ranked = np.zeros((height, width), dtype=np.uint32)
            _paint(layer.points.xy, layer.codes, layer.rank, spans, offsets, *place, ranked)
            painted = ranked.astype(np.uint8)      # the code is the lowest byte
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
        One of `ORDERS`. By value, zeros and missing values lie below all others; as in file, later rows lie on top.

    Raises
    ------
    ValueError
        If `order` is none of them.
    """
    if order not in ORDERS:
        raise ValueError(f"Draw order must be one of {', '.join(ORDERS)}; found {order!r}.")
    if order == RANDOM:
        return points.chance
    if order == AS_IN_FILE:
        # rows that share a rank lie in file order within their tile, hence within a pixel
        return (points.order.astype(np.int64) * CHANCES // max(points.n, 1)).astype(np.uint16)
    level = codes.astype(np.int32)
    if order == LOW_ON_TOP:
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
    lifted = np.where(selected, rank | np.uint16(CHANCES), rank)
    return muted, lifted


def warm() -> None:
    """Compile or load the kernels, so that the first picture does not wait for them."""
    points = index_points(np.array([[0.0, 0.0], [1.0, 1.0]], dtype=np.float32))
    codes = np.ones(2, dtype=np.uint8)
    paint([Layer(points), Layer(points, codes, points.chance)], points.extent, 4, 4)
    nearest(points, 0.0, 0.0, 1.0, codes)
