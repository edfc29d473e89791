"""Maps of cells for publication, from the same points and colours that the screen shows.

    draw_picture(axes, picture, font)      cells as one raster, names as text, on axes of matplotlib
    describe(picture)                      what a reader must know: n, colours, draw order, what is left out
    legend_of(picture)                     what its legend says

Pages of several panels are made by `explorer.drawing.composing`. No pyplot, so it may run in a worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from components import points, raster
from components.coloring import Categories, Coloring, Values, code_colors
from components.points import Extent, Points
from explorer.drawing.legends import MM, Group
from explorer.errors import OptionsProblem

MOST_SPLITS = 12              # maps of one view
_SCREEN_DPI = 150             # the density at which points are as large as on a screen
_ORDERS = {
    "random": "in random order with a fixed seed",
    "high on top": "with high values on top",
    "low on top": "with low values on top",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A map of cells.

    Attributes
    ----------
    cells
        float (n, 2), drawn in colour.
    coloring
        Colour of each of `cells`; `None` draws all of them in one colour.
    background
        float (m, 2), drawn below in grey; `None` for none.
    hidden
        Categories that are left out.
    view
        x0, x1, y0, y1 shown; `None` shows everything.
    shown
        bool (n,), cells that take part, such as those of one sample; `None` for all of them.
    selected
        bool (n,), cells that keep their colour while all others turn pale; `None` for no selection.
    title
        Written above the map; empty for none.
    cells_name, background_name
        What the points are called in the caption.
    axes
        Names of the two directions, drawn in the corner; `None` for none.
    point
        Diameter of a point in mm; `None` chooses by how many there are. Never less than 3 pixels.
    names
        Write each category's name on the map.
    note
        A sentence that ends the caption of a page, once for all panels that have it; empty for none.
    """

    cells: NDArray[Any] | Points
    coloring: Coloring | None = None
    background: NDArray[Any] | Points | None = None
    hidden: tuple[int, ...] = ()
    view: Extent | None = None
    shown: NDArray[np.bool_] | None = None
    selected: NDArray[np.bool_] | None = None
    title: str = ""
    cells_name: str = "Cells"
    background_name: str = "reference"
    axes: tuple[str, str] | None = ("UMAP 1", "UMAP 2")
    point: float | None = None
    names: bool = False
    note: str = ""


def split_by(picture: Picture, obs: pd.DataFrame, column: str) -> list[Picture]:
    """One map for each value of a column, all of the same range; an empty name for one map of all.

    Raises
    ------
    OptionsProblem
        If there is no such column, or it has more values than maps are drawn of.
    """
    if not column:
        return [picture]
    if column not in obs:
        raise OptionsProblem(f"There is no column {column!r} among these cells. Choose another one to split by.")
    values = obs[column].astype(str).to_numpy()
    names = sorted(set(values))
    if len(names) > MOST_SPLITS:
        raise OptionsProblem(
            f"{column!r} has {len(names):,} different values; at most {MOST_SPLITS} maps are drawn of one view. Choose "
            "another column."
        )
    lead = f"{picture.title}, " if picture.title else ""
    return [
        replace(picture, shown=values == name, title=f"{lead}{name}", cells_name=f"{picture.cells_name}, {name}")
        for name in names
    ]


def describe(picture: Picture) -> str:
    """The sentences that belong below a map: n, background, colours, scale, and who lies on top."""
    cells, coloring = _indexed(picture.cells), picture.coloring
    codes = _codes(picture, cells)
    parts = [f"{picture.cells_name} (n = {int((codes != raster.EMPTY).sum()):,})"]
    if picture.background is not None:
        n = _indexed(picture.background).n
        parts[0] += f" on the {picture.background_name} (n = {n:,}, grey: darker where cells are denser)"
    if coloring is not None and coloring.title:
        parts[0] += f", coloured by {coloring.title}"
    if isinstance(coloring, Values):
        low, high = coloring.scale
        clipped = "as given" if coloring.limits else "1st to 99th percentile of the values other than zero"
        zeros = "; zeros in grey" if coloring.zeros_grey else ""
        parts.append(f"Colour scale from {low:.3g} to {high:.3g} ({clipped}){zeros}")
    if isinstance(coloring, Categories) and picture.hidden:
        left_out = ", ".join(coloring.names[c] for c in picture.hidden if c >= 0)
        parts.append(f"Not shown: {left_out}")
    if picture.selected is not None:
        own = picture.selected[cells.order] & (codes != raster.EMPTY)
        parts.append(f"{int(own.sum()):,} selected cells keep their colour, the others are pale")
    if picture.view is not None:
        parts.append("Only a part of the map is shown")
    parts.append(f"Overlapping cells are drawn {_ORDERS[coloring.order if coloring is not None else 'random']}")
    return ". ".join(parts) + "."


def legend_of(picture: Picture, *, counts: bool = True) -> Group | None:
    """What the legend of a map says: the categories that are drawn, or the colour scale; `None` for one colour.

    Parameters
    ----------
    counts
        Write beside each category how many of its cells are drawn.
    """
    coloring = picture.coloring
    if coloring is None:
        return None
    if isinstance(coloring, Values):
        return Group(coloring.title, scale=coloring.scale, colormap=coloring.colormap)
    own = np.asarray(coloring.codes if picture.shown is None else coloring.codes[picture.shown])
    n = np.bincount(own[own >= 0], minlength=len(coloring.names))
    drawn = [c for c in range(len(coloring.names)) if n[c] and c not in picture.hidden]
    names = tuple(f"{coloring.names[c]} ({n[c]:,})" if counts else coloring.names[c] for c in drawn)
    return Group(coloring.title, names, tuple(coloring.colors[c] for c in drawn))


def draw_picture(axes: Axes, picture: Picture, font: float = 7.0) -> None:
    """Draw the cells on axes as one raster of as many pixels as the axes have at their figure's resolution.

    Parameters
    ----------
    font
        Size of all letters, points.
    """
    axes.set_axis_off()
    box = axes.get_window_extent()
    width, height = max(round(box.width), 1), max(round(box.height), 1)
    dpi = float(cast(Figure, axes.get_figure(root=True)).dpi)
    cells = _indexed(picture.cells)
    background = _indexed(picture.background) if picture.background is not None else None
    extents = [layer.extent for layer in (background, cells) if layer is not None and layer.n]
    shown = picture.view or (points.union(*extents) if extents else (0.0, 1.0, 0.0, 1.0))
    view = points.fit(shown, width, height, margin=0.0 if picture.view else 0.03)
    pixels = (width, height)
    layers = [] if background is None else [raster.Layer(background, size=_size(background, view, pixels, dpi, None))]
    codes = _codes(picture, cells)
    rank = raster.draw_rank(cells, codes, picture.coloring.order if picture.coloring else "random")
    pale, raised = codes, rank
    if picture.selected is not None:
        pale, raised = raster.raise_selected(codes, rank, np.asarray(picture.selected)[cells.order])
    layers.append(raster.Layer(cells, pale, raised, _size(cells, view, pixels, dpi, picture.point)))
    painted = raster.paint(layers, view, width, height)
    colors = (mpl.colors.to_rgba_array(code_colors(picture.coloring)) * 255).round().astype(np.uint8)
    colors[raster.EMPTY] = (255, 255, 255, 0)      # viewers that shrink the raster blend this in: never black
    axes.imshow(colors[painted], origin="lower", extent=view, aspect="auto", interpolation="none")
    if picture.names and isinstance(picture.coloring, Categories):
        _write_names(axes, cells, codes, picture.coloring, font)
    if picture.axes is not None:
        _draw_arrows(axes, picture.axes, width / dpi / MM, height / dpi / MM, font)


def _draw_arrows(axes: Axes, names: tuple[str, str], wide: float, high: float, font: float) -> None:
    """Two short arrows in the lower left corner, with the names of the directions; width and height in mm."""
    length = 6.0
    x_place: dict[str, Any] = {"x": 0.4 / wide, "y": -0.4 / high, "va": "top", "ha": "left"}
    y_place: dict[str, Any] = {"x": -0.4 / wide, "y": 0.4 / high, "va": "bottom", "ha": "right", "rotation": 90}
    arrow = {"arrowstyle": "-|>", "lw": 0.5, "color": "0.2", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 4}
    for to, name, place in ((length / wide, 0.0), names[0], x_place), ((0.0, length / high), names[1], y_place):
        axes.annotate("", to, (0, 0), xycoords="axes fraction", annotation_clip=False, arrowprops=arrow)
        axes.text(s=name, transform=axes.transAxes, fontsize=font - 1, color="0.2", **place)


def _write_names(axes: Axes, cells: Points, codes: NDArray[np.uint8], coloring: Categories, font: float) -> None:
    own = np.asarray(coloring.codes)[cells.order]
    for category, name in enumerate(coloring.names):
        here = (own == category) & (codes != raster.EMPTY)
        if here.any():
            x, y = np.nanmedian(cells.xy[here], axis=0)
            # a box, not an outline: outlined letters would leave the file as shapes
            text = axes.text(
                x, y, name, fontsize=font, ha="center", va="center", clip_on=True,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.65, "linewidth": 0},
            )  # fmt: skip
            _push_inside(text, axes)


def _push_inside(text: Text, axes: Axes) -> None:
    """Move a name whose place is in view so far that all of it is."""
    room, own = axes.get_window_extent(), text.get_window_extent()
    x, y = axes.transData.transform(text.get_position())
    if room.x0 <= x <= room.x1 and own.width < room.width:
        x += max(room.x0 - own.x0, 0) + min(room.x1 - own.x1, 0)
        text.set_position(tuple(axes.transData.inverted().transform((x, y)).tolist()))


def _indexed(xy: NDArray[Any] | Points) -> Points:
    return xy if isinstance(xy, Points) else points.index_points(xy)


def _codes(picture: Picture, cells: Points) -> NDArray[np.uint8]:
    """Raster codes of the cells, uint8 (n,) in tile order."""
    if picture.coloring is None:
        codes = np.full(cells.n, raster.FIRST_COLOR, dtype=np.uint8)
    else:
        codes = picture.coloring.raster_codes(picture.hidden)
    if len(codes) != cells.n:
        raise ValueError(f"{cells.n:,} cells but colours for {len(codes):,}.")
    if picture.shown is not None:
        codes = np.where(picture.shown, codes, np.uint8(raster.EMPTY))
    drawn: NDArray[np.uint8] = codes[cells.order]
    return drawn


def _size(layer: Points, view: Extent, pixels: tuple[int, int], dpi: float, point: float | None) -> int:
    """Pixels across, as large on paper as on a screen of the same size unless a diameter is asked for, mm."""
    per_screen_pixel = dpi / _SCREEN_DPI
    if point is not None:
        size = point * MM * dpi
    else:
        on_screen = int(pixels[0] * pixels[1] / per_screen_pixel**2)
        size = raster.size_for(points.count_in(layer, view), on_screen) * per_screen_pixel
    return int(np.clip(round(size), 3, 128))
