"""Figures of several panels: maps and charts on one page, lettered, with one legend on the right.

    render(panels, look, "pdf")            → bytes of a png, pdf or svg
    draw(panels, look)                     → a matplotlib Figure
    caption(panels, look)                  → what stands below the figure, panel by panel

Cells are rasters at the resolution of print, one a map; all text stays text. The same input gives the same bytes.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from explorer.drawing.charts import Chart, Confusion, Dots, Heat, describe_chart, draw_chart, legend_of_chart
from explorer.drawing.figures import Picture, describe, draw_picture, legend_of
from explorer.drawing.gene_charts import Violins, Volcano, part_names
from explorer.drawing.legends import MM, SMALLEST_FONT, Box, Group, cut, lay, merged
from explorer.errors import OptionsProblem

FORMATS: Mapping[str, str] = {
    "png": "image/png",
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
}
"""What a figure can be written as, with its media type."""

WIDTHS: Mapping[str, float] = {"one column": 85.0, "one and a half": 120.0, "two columns": 180.0}
"""Widths of figures in print, mm."""

LEGENDS = ("shared", "each", "none")
"""One legend right of all panels, one beside each, or none."""

MOST_PANELS = len(ascii_lowercase)
DEFAULT_FONT = "DejaVu Sans"  # ships with matplotlib and looks the same everywhere
_FONTS = (DEFAULT_FONT, "Arial", "Helvetica", "Liberation Sans", "DejaVu Serif", "Times New Roman")
_LARGEST = 150_000_000        # pixels of a page; 40,000 x 4,000, say
_EDGE = 2.0                   # mm
_GAP = 3.0
_NAMES_SHARE = 0.45           # of a panel's height or width that names beside fields may take, where letters can shrink
_LEGEND_SHARE = 0.6           # of the room of a legend and what stands beside it, at most
_SHAPE = 0.85                 # height of a panel by its width, where no height is asked for
_rc_lock = threading.Lock()   # matplotlib's settings belong to the process

Panel = Picture | Chart


@dataclass(frozen=True)
class Look:
    """How a page is made.

    Attributes
    ----------
    width
        mm of the whole page, legends included.
    height
        mm; `None` makes panels a little wider than high.
    columns
        Panels side by side; `None` puts up to three in a row.
    dpi
        Pixels per inch of the rasters of cells, and of a png.
    font_size
        Points, as printed.
    font
        Font family.
    title
        Written above; empty for none.
    letters
        Letter the panels a, b, c where there are several.
    legend
        One of `LEGENDS`.
    """

    width: float = 180.0
    height: float | None = None
    columns: int | None = None
    dpi: int = 600
    font_size: float = 7.0
    font: str = DEFAULT_FONT
    title: str = ""
    letters: bool = True
    legend: str = "shared"

    def __post_init__(self) -> None:
        for what, value, low, high, unit in (
            ("width", self.width, 20, 1000, "mm"), ("height", self.height or 100, 20, 1000, "mm"),
            ("resolution", self.dpi, 50, 2400, "dpi"), ("font size", self.font_size, 4, 40, "points"),
        ):  # fmt: skip
            if not low <= value <= high:
                raise OptionsProblem(f"The {what} of a figure is {low} to {high} {unit}; {value:g} was asked for.")
        if self.legend not in LEGENDS:
            raise OptionsProblem(f"The legend of a figure is {', '.join(LEGENDS)}; {self.legend!r} was asked for.")
        if self.columns is not None and self.columns < 1:
            raise OptionsProblem(f"A figure has at least one panel side by side; {self.columns} were asked for.")


def fonts() -> tuple[str, ...]:
    """Font families of print that this machine has, the one that every machine has first."""
    here = set(font_manager.get_font_names())
    return tuple(name for name in _FONTS if name in here)


def size_of(n_panels: int, look: Look = Look()) -> tuple[float, float]:
    """Width and height of the page in mm."""
    if look.height is not None:
        return look.width, look.height
    columns, rows = _grid(n_panels, look)
    beside = 1.0 if look.legend == "none" else 0.75  # what a legend of usual length leaves
    wide = (look.width * beside - 2 * _EDGE - _GAP * (columns - 1)) / columns
    top = _EDGE + (_line(look.font_size + 1) if look.title else 0.0)
    return look.width, min(top + rows * (wide * _SHAPE + _line(look.font_size + 1) + _GAP) + _EDGE, 1000.0)


def render(panels: Sequence[Panel], look: Look = Look(), form: str = "pdf") -> bytes:
    """The file of a figure; the caption lies in its metadata.

    Raises
    ------
    OptionsProblem
        If `form` is not one of `FORMATS`, there is no panel or too many, or the page has too many pixels.
    """
    if form not in FORMATS:
        raise OptionsProblem(f"Figures are written as {', '.join(FORMATS)}; {form!r} was asked for.")
    text = caption(panels, look)
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
        figure = _drawn(panels, look)
        quick: dict[str, Any] = {"pil_kwargs": {"compress_level": 4}} if form == "png" else {}
        figure.savefig(written, format=form, dpi=look.dpi, metadata=metadata[form], **quick)
    return written.getvalue()


def draw(panels: Sequence[Panel], look: Look = Look()) -> Figure:
    """The figure, for those who want to add to it with matplotlib.

    Raises
    ------
    OptionsProblem
        As `render`.
    """
    with _rc_lock, mpl.rc_context({"font.family": look.font}):
        return _drawn(panels, look)


def caption(panels: Sequence[Panel], look: Look = Look()) -> str:
    """What stands below the figure: the title, then each panel by its letter."""
    told: list[str] = []
    notes: list[str] = []
    for at, panel in enumerate(panels):
        letter = f"({ascii_lowercase[at % MOST_PANELS]}) " if look.letters and len(panels) > 1 else ""
        title = f"{panel.title}: " if panel.title else ""
        told.append(letter + title + (describe(panel) if isinstance(panel, Picture) else describe_chart(panel)))
        notes += [panel.note] if isinstance(panel, Picture) and panel.note else []
    return " ".join([f"{look.title}."] * bool(look.title) + told + list(dict.fromkeys(notes)))


def _grid(n: int, look: Look) -> tuple[int, int]:
    columns = min(look.columns or (2 if n == 4 else 3), n)
    return columns, -(-n // columns)


def _line(font: float) -> float:
    """Height of a line of text, mm."""
    return font * 1.6 / 72 / MM


def _require_drawable(panels: Sequence[Panel], look: Look) -> None:
    if not 1 <= len(panels) <= MOST_PANELS:
        raise OptionsProblem(f"A figure has 1 to {MOST_PANELS} panels; {len(panels)} were asked for.")
    width, height = size_of(len(panels), look)
    pixels = width * height * (look.dpi * MM) ** 2
    if pixels > _LARGEST:
        raise OptionsProblem(
            f"{width:g} x {height:.0f} mm at {look.dpi} dpi is {pixels / 1e6:,.0f} million pixels; up to "
            f"{_LARGEST / 1e6:,.0f} million are drawn. Choose fewer dpi or a smaller figure."
        )


def _drawn(panels: Sequence[Panel], look: Look) -> Figure:
    _require_drawable(panels, look)
    width, height = size_of(len(panels), look)
    figure = Figure((width * MM, height * MM), dpi=look.dpi)
    canvas = FigureCanvasAgg(figure)
    top = _EDGE
    if look.title:
        _write(figure, look.title, Box(_EDGE, top, 0, 0), look.font_size + 1)
        top += _line(look.font_size + 1)
    room = Box(_EDGE, top, width - 2 * _EDGE, height - top - _EDGE)
    if look.legend == "shared":
        room = _beside(figure, canvas, [_legend(panel, counts=len(panels) == 1) for panel in panels], room, look)
    columns, rows = _grid(len(panels), look)
    wide, high = (room.width - _GAP * (columns - 1)) / columns, (room.height - _GAP * (rows - 1)) / rows
    for at, panel in enumerate(panels):
        row, column = divmod(at, columns)
        cell = Box(room.left + column * (wide + _GAP), room.top + row * (high + _GAP), wide, high)
        letter = ascii_lowercase[at] if look.letters and len(panels) > 1 else ""
        _draw_panel(figure, canvas, panel, cell, letter, look)
    return figure


def _legend(panel: Panel, *, counts: bool) -> Group | None:
    return legend_of(panel, counts=counts) if isinstance(panel, Picture) else legend_of_chart(panel)


def _beside(
    figure: Figure, canvas: FigureCanvasAgg, groups: Sequence[Group | None], room: Box, look: Look
) -> Box:
    """Write legends at the right of a room; what they leave of it."""
    share = room.width * _LEGEND_SHARE
    right = Box(room.left + room.width - share, room.top, share, room.height)
    wide = lay(figure, canvas, merged([group for group in groups if group is not None]), right, look.font_size)
    return Box(room.left, room.top, room.width - (wide + _GAP if wide else 0.0), room.height)


def _draw_panel(figure: Figure, canvas: FigureCanvasAgg, panel: Panel, cell: Box, letter: str, look: Look) -> None:
    if look.legend == "each":
        cell = _beside(figure, canvas, [_legend(panel, counts=True)], cell, look)
    head = _line(look.font_size + 1) if letter or panel.title else 0.0
    if letter:
        _write(figure, letter, cell, look.font_size + 1)
    if panel.title:
        indent = _line(look.font_size) if letter else 0.0
        place = Box(cell.left + indent, cell.top, cell.width - indent, cell.height)
        _write(figure, cut(panel.title, place.width, look.font_size, canvas), place, look.font_size, bold=False)
    inner = Box(cell.left, cell.top + head, cell.width, cell.height - head)
    if isinstance(panel, Picture):
        corner = look.font_size * 1.2 / 72 / MM if panel.axes is not None else 0.0
        inner = Box(inner.left + corner, inner.top, inner.width - corner, inner.height - corner)
        draw_picture(_axes(figure, inner), panel, look.font_size)
    else:
        axes = _axes(figure, inner)
        draw_chart(axes, panel, look.font_size)
        _fit_into(axes, canvas, inner)
        if isinstance(panel, Confusion | Dots | Heat | Violins):
            _part_names(axes, inner, look)
            _fit_into(axes, canvas, inner)
        elif isinstance(panel, Volcano):
            part_names(axes)


def _write(figure: Figure, text: str, at: Box, font: float, *, bold: bool = True) -> None:
    wide, high = figure.get_figwidth() / MM, figure.get_figheight() / MM
    weight = "bold" if bold else "normal"
    figure.text(at.left / wide, 1 - at.top / high, text, fontsize=font, fontweight=weight, va="top", ha="left")


def _axes(figure: Figure, box: Box) -> Axes:
    wide, high = figure.get_figwidth() / MM, figure.get_figheight() / MM
    return figure.add_axes((
        box.left / wide, 1 - (box.top + box.height) / high, max(box.width, 1.0) / wide, max(box.height, 1.0) / high,
    ))  # fmt: skip


def _fit_into(axes: Axes, canvas: FigureCanvasAgg, box: Box) -> None:
    """Shrink axes until the names beside them lie in the box, too."""
    figure = canvas.figure
    wide, high = figure.get_figwidth() / MM, figure.get_figheight() / MM
    target = (box.left / wide, 1 - (box.top + box.height) / high, (box.left + box.width) / wide, 1 - box.top / high)
    for _ in range(2):  # names may change their number with the room that is left
        taken = axes.get_tightbbox(canvas.get_renderer())
        if taken is None:
            return
        taken = taken.transformed(figure.transFigure.inverted())
        now = axes.get_position()
        x0, y0 = target[0] + (now.x0 - taken.x0), target[1] + (now.y0 - taken.y0)
        x1, y1 = target[2] - (taken.x1 - now.x1), target[3] - (taken.y1 - now.y1)
        axes.set_position((x0, y0, max(x1 - x0, 0.02), max(y1 - y0, 0.02)))


def _part_names(axes: Axes, cell: Box, look: Look) -> None:
    """Write the names of rows and columns no larger than what keeps them apart, and leaves room for what they name."""
    box, pixels = axes.get_window_extent(), MM * look.dpi
    wide, high = box.width, max(box.height, cell.height * pixels * (1 - _NAMES_SHARE))
    for axis, length, most in (
        (axes.xaxis, wide, cell.height * pixels * _NAMES_SHARE), (axes.yaxis, high, cell.width * pixels * _NAMES_SHARE),
    ):  # fmt: skip
        names = axis.get_ticklabels()
        extents = [name.get_window_extent() for name in names]
        longest = max((extent.height if axis is axes.xaxis else extent.width for extent in extents), default=0.0)
        apart = length / look.dpi * 72 / max(len(names), 1) * 0.9
        fitting = look.font_size * min(most / max(longest, 1.0), 1.0)
        for name in names:
            name.set_fontsize(min(max(min(apart, fitting), SMALLEST_FONT), look.font_size))
