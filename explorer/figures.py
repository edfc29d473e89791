"""Publication figures from the same points and colours that the screen shows.

    draw(picture, look)                    → a matplotlib Figure
    render(picture, look, "pdf")           → bytes of a png, pdf or svg
    caption(picture, look)                 → what a reader must know: n, colours, draw order, point size

Cells are one raster at the resolution of print; all text stays text. The same input gives the same bytes.
No pyplot, so it may run in a worker.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from components import points, raster
from components.coloring import Categories, Coloring, Values, code_colors
from components.points import Extent, Points
from explorer.errors import OptionsProblem

FORMATS: Mapping[str, str] = {
    "png": "image/png",
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
}
"""What a figure can be written as, with its media type."""

_MM = 1 / 25.4                # inches
_LARGEST = 150_000_000        # pixels of a raster; 40,000 x 4,000, say
_SCREEN_DPI = 150             # the density at which points are as large as on a screen
_EDGE_MM = 2.0
_GAP_MM = 3.0
_SMALLEST_FONT = 4.0
_LEGEND_SHARE = 0.6           # of the width, at most
_rc_lock = threading.Lock()   # matplotlib's settings belong to the process


@dataclass(frozen=True, eq=False)
class Picture:
    """What a figure shows.

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
    """

    cells: NDArray[Any] | Points
    coloring: Coloring | None = None
    background: NDArray[Any] | Points | None = None
    hidden: tuple[int, ...] = ()
    view: Extent | None = None


@dataclass(frozen=True)
class Look:
    """How a figure is made.

    Attributes
    ----------
    width, height
        mm of the whole figure, legend included.
    dpi
        Pixels per inch of the raster of cells, and of a png.
    font_size
        Points.
    font
        Font family; the default ships with matplotlib and looks the same everywhere.
    title
        Written above; empty for none.
    cells_name, background_name
        What the points are called in the caption.
    axes
        Names of the two directions, drawn in the corner; empty for none.
    point
        Diameter of a point in mm; `None` chooses by how many there are. Never less than 3 pixels.
    names
        Write each category's name on the map.
    legend
        Draw the legend or the colour scale.
    """

    width: float = 180.0
    height: float = 120.0
    dpi: int = 600
    font_size: float = 7.0
    font: str = "DejaVu Sans"
    title: str = ""
    cells_name: str = "Cells"
    background_name: str = "reference"
    axes: tuple[str, str] | None = ("UMAP 1", "UMAP 2")
    point: float | None = None
    names: bool = False
    legend: bool = True

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("width", self.width, 20, 1000), ("height", self.height, 20, 1000), ("resolution", self.dpi, 50, 2400),
            ("font size", self.font_size, 4, 40),
        ):  # fmt: skip
            if not low <= value <= high:
                unit = {"resolution": "dpi", "font size": "points"}.get(what, "mm")
                raise OptionsProblem(f"The {what} of a figure is {low} to {high} {unit}; {value:g} was asked for.")
        pixels = self.width * self.height * (self.dpi * _MM) ** 2
        if pixels > _LARGEST:
            raise OptionsProblem(
                f"{self.width:g} x {self.height:g} mm at {self.dpi} dpi is {pixels / 1e6:,.0f} million pixels; up to "
                f"{_LARGEST / 1e6:,.0f} million are drawn. Choose fewer dpi or a smaller figure."
            )


def render(picture: Picture, look: Look = Look(), form: str = "pdf") -> bytes:
    """The file of a figure; the caption lies in its metadata.

    Raises
    ------
    OptionsProblem
        If `form` is not one of `FORMATS`.
    """
    if form not in FORMATS:
        raise OptionsProblem(f"Figures are written as {', '.join(FORMATS)}; {form!r} was asked for.")
    text = caption(picture, look)
    # a date would make each file differ from the last
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Description": text},
        "pdf": {"Title": look.title or None, "Subject": text, "CreationDate": None, "ModDate": None},
        "svg": {"Title": look.title, "Description": text, "Date": None},
    }
    settings: dict[Any, Any] = {
        "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "atlas", "font.family": look.font,
    }  # fmt: skip
    written = io.BytesIO()
    with _rc_lock, mpl.rc_context(settings):
        figure = _drawn(picture, look)
        quick: dict[str, Any] = {"pil_kwargs": {"compress_level": 4}} if form == "png" else {}
        figure.savefig(written, format=form, dpi=look.dpi, metadata=metadata[form], **quick)
    return written.getvalue()


def draw(picture: Picture, look: Look = Look()) -> Figure:
    """The figure, for those who want to add to it with matplotlib."""
    with _rc_lock, mpl.rc_context({"font.family": look.font}):
        return _drawn(picture, look)


def caption(picture: Picture, look: Look = Look()) -> str:
    """The sentences that belong below the figure: n, background, colours, scale, points and their order."""
    cells, coloring = _indexed(picture.cells), picture.coloring
    parts = [f"{look.cells_name} (n = {_n_drawn(picture, cells):,})"]
    if picture.background is not None:
        n = _indexed(picture.background).n
        parts[0] += f" on the {look.background_name} (n = {n:,}, grey: darker where cells are denser)"
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
    order = coloring.order if coloring is not None else "random"
    parts.append("Overlapping cells are drawn " + {
        "random": "in random order with a fixed seed",
        "high on top": "with high values on top",
        "low on top": "with low values on top",
    }[order])  # fmt: skip
    return ". ".join(parts) + "."


def _drawn(picture: Picture, look: Look) -> Figure:
    figure = Figure((look.width * _MM, look.height * _MM), dpi=look.dpi)
    canvas = FigureCanvasAgg(figure)
    edge = _EDGE_MM
    top = edge
    if look.title:
        figure.text(
            edge / look.width, 1 - edge / look.height, look.title, fontsize=look.font_size + 1,
            fontweight="bold", va="top", ha="left",
        )  # fmt: skip
        top += (look.font_size + 1) * 1.6 / 72 / _MM
    right = edge
    if look.legend and isinstance(picture.coloring, Categories):
        right += _GAP_MM + _add_legend(figure, canvas, picture, picture.coloring, look, top)
    elif look.legend and isinstance(picture.coloring, Values):
        right += _GAP_MM + _add_scale(figure, canvas, picture.coloring, look, top)
    corner = edge + (look.font_size * 1.2 / 72 / _MM if look.axes is not None else 0.0)
    axes = _add_axes(figure, look, left=corner, right=right, top=top, bottom=corner)
    _add_cells(axes, picture, look)
    return figure


def _add_axes(figure: Figure, look: Look, *, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes without a frame; all distances from the edges in mm."""
    wide, high = look.width - left - right, look.height - top - bottom
    axes = figure.add_axes((left / look.width, bottom / look.height, wide / look.width, high / look.height))
    axes.set_axis_off()
    if look.axes is not None:
        x, y = 6.0 / wide, 6.0 / high
        x_place: dict[str, Any] = {"x": 0.4 / wide, "y": -0.4 / high, "va": "top", "ha": "left"}
        y_place: dict[str, Any] = {"x": -0.4 / wide, "y": 0.4 / high, "va": "bottom", "ha": "right", "rotation": 90}
        arrow = {"arrowstyle": "-|>", "lw": 0.5, "color": "0.2", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 4}
        for to, name, place in ((x, 0.0), look.axes[0], x_place), ((0.0, y), look.axes[1], y_place):
            axes.annotate(
                "", to, (0, 0), xycoords="axes fraction", annotation_clip=False, arrowprops=arrow
            )
            axes.text(s=name, transform=axes.transAxes, fontsize=look.font_size - 1, color="0.2", **place)
    return axes


def _add_cells(axes: Axes, picture: Picture, look: Look) -> None:
    box = axes.get_window_extent()
    width, height = max(round(box.width), 1), max(round(box.height), 1)
    cells = _indexed(picture.cells)
    background = _indexed(picture.background) if picture.background is not None else None
    extents = [layer.extent for layer in (background, cells) if layer is not None and layer.n]
    shown = picture.view or (points.union(*extents) if extents else (0.0, 1.0, 0.0, 1.0))
    view = points.fit(shown, width, height, margin=0.0 if picture.view else 0.03)
    codes = _codes(picture, cells)
    layers = [] if background is None else [raster.Layer(background, size=_size(background, view, box, look))]
    rank = raster.draw_rank(cells, codes, picture.coloring.order if picture.coloring else "random")
    layers.append(raster.Layer(cells, codes, rank, _size(cells, view, box, look)))
    painted = raster.paint(layers, view, width, height)
    colors = (mpl.colors.to_rgba_array(code_colors(picture.coloring)) * 255).round().astype(np.uint8)
    colors[raster.EMPTY] = (255, 255, 255, 0)      # viewers that shrink the raster blend this in: never black
    axes.imshow(colors[painted], origin="lower", extent=view, aspect="auto", interpolation="none")
    if look.names and isinstance(picture.coloring, Categories):
        _write_names(axes, cells, codes, picture.coloring, look)


def _write_names(
    axes: Axes, cells: Points, codes: NDArray[np.uint8], coloring: Categories, look: Look
) -> None:
    own = np.asarray(coloring.codes)[cells.order]
    for category, name in enumerate(coloring.names):
        here = (own == category) & (codes != raster.EMPTY)
        if here.any():
            x, y = np.nanmedian(cells.xy[here], axis=0)
            # a box, not an outline: outlined letters would leave the file as shapes
            axes.text(
                x, y, name, fontsize=look.font_size, ha="center", va="center", clip_on=True,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.65, "linewidth": 0},
            )  # fmt: skip


def _indexed(xy: NDArray[Any] | Points) -> Points:
    return xy if isinstance(xy, Points) else points.index_points(xy)


def _codes(picture: Picture, cells: Points) -> NDArray[np.uint8]:
    """Raster codes of the cells, uint8 (n,) in tile order."""
    if picture.coloring is None:
        return np.full(cells.n, raster.FIRST_COLOR, dtype=np.uint8)
    codes = picture.coloring.raster_codes(picture.hidden)
    if len(codes) != cells.n:
        raise ValueError(f"{cells.n:,} cells but colours for {len(codes):,}.")
    return codes[cells.order]


def _n_drawn(picture: Picture, cells: Points) -> int:
    return int((_codes(picture, cells) != raster.EMPTY).sum())


def _size(layer: Points, view: Extent, box: Any, look: Look) -> int:
    """Pixels across, as large on paper as on a screen of the same size unless a diameter is asked for."""
    per_screen_pixel = look.dpi / _SCREEN_DPI
    if look.point is not None:
        size = look.point * _MM * look.dpi
    else:
        pixels = int(box.width * box.height / per_screen_pixel**2)
        size = raster.size_for(points.count_in(layer, view), pixels) * per_screen_pixel
    return int(np.clip(round(size), 3, 128))


def _add_legend(
    figure: Figure, canvas: FigureCanvasAgg, picture: Picture, coloring: Categories, look: Look, top: float
) -> float:
    """List the categories that are drawn; returns the list's width in mm."""
    counts = coloring.counts
    entries = [
        Line2D([], [], linestyle="", marker="o", markersize=look.font_size * 0.7, color=color, markeredgewidth=0,
               label=f"{name} ({counts[category]:,})")
        for category, (name, color) in enumerate(zip(coloring.names, coloring.colors, strict=True))
        if category not in picture.hidden and counts[category]
    ]  # fmt: skip
    if not entries:
        return 0.0
    style: dict[str, Any] = {
        "loc": "upper right", "frameon": False, "borderaxespad": 0, "borderpad": 0, "handletextpad": 0.3,
        "labelspacing": 0.35, "columnspacing": 1.0, "alignment": "left", "title": coloring.title or None,
        "bbox_to_anchor": (1 - _EDGE_MM / look.width, 1 - top / look.height),
    }  # fmt: skip
    first = figure.legend(handles=entries, fontsize=look.font_size, title_fontsize=look.font_size, **style)
    room = (look.width * _LEGEND_SHARE, look.height - top - _EDGE_MM)
    font, columns, n = _fitted(_measured(first, canvas, look), room, len(entries), look.font_size)
    first.remove()
    if n < len(entries):
        entries = [*entries[:n], Line2D([], [], linestyle="", label=f"and {len(entries) - n:,} more")]
    legend = figure.legend(
        handles=entries, ncols=columns, fontsize=font, title_fontsize=font, markerscale=font / look.font_size, **style
    )
    return _measured(legend, canvas, look)[0]


def _fitted(
    one_column: tuple[float, float], room: tuple[float, float], n: int, largest: float
) -> tuple[float, int, int]:
    """Font size, number of columns and number of entries of a legend that fits.

    Parameters
    ----------
    one_column
        Width and height in mm of all n entries in one column, in the largest font.
    room
        Width and height in mm that it may take.
    """
    # the title takes a row; small letters are rounded up to whole pixels
    wide, row = one_column[0], 1.05 * one_column[1] / (n + 1)
    columns, font = 1, largest
    for font in np.arange(largest, _SMALLEST_FONT - 0.01, -0.5).tolist():
        columns = max(int(room[0] / (wide * font / largest)), 1)
        rows = int(room[1] / (row * font / largest)) - 1
        if rows * columns >= n and (wide * font / largest <= room[0] or font == _SMALLEST_FONT):
            return font, -(-n // rows), n
    rows = max(int(room[1] / (row * font / largest)) - 1, 2)
    return font, columns, rows * columns - 1


def _measured(legend: Legend, canvas: FigureCanvasAgg, look: Look) -> tuple[float, float]:
    """Width and height in mm."""
    box = legend.get_window_extent(canvas.get_renderer())
    return box.width / look.dpi / _MM, box.height / look.dpi / _MM


def _add_scale(figure: Figure, canvas: FigureCanvasAgg, coloring: Values, look: Look, top: float) -> float:
    """A colour scale at the right; returns its width in mm."""
    bar, high, label = 3.0, min(35.0, look.height * 0.5), look.font_size * 1.4 / 72 / _MM
    low_value, high_value = coloring.scale
    title = figure.text(
        1 - _EDGE_MM / look.width, 1 - top / look.height, coloring.title, fontsize=look.font_size, va="top",
        ha="right",
    )  # fmt: skip
    wide = max(title.get_window_extent(canvas.get_renderer()).width / look.dpi / _MM, bar + 10.0)
    left = look.width - _EDGE_MM - wide
    title.set(x=left / look.width, ha="left")
    axes = figure.add_axes(
        (left / look.width, 1 - (top + label + high) / look.height, bar / look.width, high / look.height)
    )
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(low_value, high_value), coloring.colormap)
    colorbar = figure.colorbar(scale, cax=axes)
    colorbar.outline.set_linewidth(0)
    axes.tick_params(labelsize=look.font_size, length=2, width=0.5, pad=1.5)
    return wide
