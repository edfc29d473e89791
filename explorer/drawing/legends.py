"""Legends of figures: lists of categories and colour scales, one column of them that always fits its room.

Letters shrink first, then the list takes a second column, then long names are cut, and at last it says how many
more there are. All distances are mm; knows neither cells nor pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D

MM = 1 / 25.4  # inches
SMALLEST_FONT = 4.0
_ROW = 1.35    # height of a row, in heights of its letters
_MARK = 1.2    # width of a mark and the gap behind it, in heights of letters
_GAP = 3.0     # between columns
_BAR, _BAR_HIGH = 3.0, 14.0


@dataclass(frozen=True)
class Group:
    """What one legend says: the colours of categories, or a scale of values.

    Attributes
    ----------
    title
        What is coloured.
    names, colors
        The categories and "#rrggbb" of each; empty for a scale.
    scale
        Ends of a colour scale; `None` for categories.
    colormap
        Name of the scale's matplotlib colormap.
    """

    title: str
    names: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    colormap: str = ""


@dataclass(frozen=True)
class Box:
    """A part of a figure: distances of its edges from the left and the top edge of the page, mm."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class _Row:
    """A line of a legend: a title, a category with its colour, or a colour scale with its group."""

    text: str
    color: str = ""
    bold: bool = False
    group: Group | None = None


@dataclass(frozen=True)
class _Plan:
    """Rows of a legend by column, with the columns' widths in mm and the size of the letters in points."""

    columns: tuple[tuple[_Row, ...], ...]
    widths: tuple[float, ...]
    font: float

    @property
    def width(self) -> float:
        return sum(self.widths) + _GAP * max(len(self.widths) - 1, 0)


def merged(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Groups that several panels share, once each: what has the same title and agrees about colours becomes one."""
    kept: list[Group] = []
    for group in groups:
        at = next((i for i, other in enumerate(kept) if _agree(group, other)), None)
        if at is None:
            kept.append(group)
        else:
            known = dict(zip(kept[at].names, kept[at].colors, strict=True))
            known |= dict(zip(group.names, group.colors, strict=True))
            kept[at] = replace(kept[at], names=tuple(known), colors=tuple(known.values()))
    return tuple(kept)


def _agree(a: Group, b: Group) -> bool:
    if (a.title, a.scale, a.colormap) != (b.title, b.scale, b.colormap):
        return False
    known = dict(zip(a.names, a.colors, strict=True))
    return all(known.get(name, color) == color for name, color in zip(b.names, b.colors, strict=True))


def lay(figure: Figure, canvas: FigureCanvasAgg, groups: Sequence[Group], room: Box, font: float) -> float:
    """Write legends at the right edge of a room, from its top; returns how wide they are, 0 for none.

    Parameters
    ----------
    room
        All that the legends may take.
    font
        Size of the letters in points, where they fit; never under 4.
    """
    if not groups:
        return 0.0
    plan = _fitted(groups, room, font, _ruler(canvas))
    _write(figure, plan, replace(room, left=room.left + room.width - plan.width))
    return plan.width


def cut(text: str, width: float, font: float, canvas: FigureCanvasAgg) -> str:
    """A text no wider than asked for, in letters of that size on that canvas."""
    return _cut(_Row(text), width, font, _ruler(canvas)).text


def _ruler(canvas: FigureCanvasAgg) -> Callable[[str, float, bool], float]:
    """Measures the width of a text in mm."""
    renderer = canvas.get_renderer()

    def width(text: str, size: float, bold: bool) -> float:
        face = FontProperties(size=size, weight="bold" if bold else "normal")
        return renderer.get_text_width_height_descent(text, face, False)[0] / canvas.figure.dpi / MM

    return width


def _fitted(
    groups: Sequence[Group], room: Box, largest: float, width_of: Callable[[str, float, bool], float]
) -> _Plan:
    rows = [row for group in groups for row in _rows(group)]
    plan, font = _flow(rows, room, largest, width_of), largest
    while plan.width > room.width and font > SMALLEST_FONT:
        font = max(font - 0.5, SMALLEST_FONT)
        plan = _flow(rows, room, font, width_of)
    if plan.width > room.width:
        widest = min(room.width, max(room.width / len(plan.columns), 25.0))
        plan = _flow([_cut(row, widest, font, width_of) for row in rows], room, font, width_of)
    return _shortened(plan, room, width_of)


def _rows(group: Group) -> list[_Row]:
    title = [_Row(group.title, bold=True)] if group.title else []
    if group.scale is not None:
        return [*title, _Row("", group=group)]
    return [*title, *(_Row(name, color) for name, color in zip(group.names, group.colors, strict=True))]


def _high(row: _Row, font: float) -> float:
    return _BAR_HIGH + 2.0 if row.group is not None else font * _ROW / 72 / MM


def _wide(row: _Row, font: float, width_of: Callable[[str, float, bool], float]) -> float:
    if row.group is not None and row.group.scale is not None:
        return _BAR + 2.0 + max(width_of(f"{end:.3g}", font, False) for end in row.group.scale)
    mark = 0.0 if row.bold or not row.color else font * _MARK / 72 / MM
    return mark + width_of(row.text, font, row.bold)


def _flow(rows: Sequence[_Row], room: Box, font: float, width_of: Callable[[str, float, bool], float]) -> _Plan:
    """Rows one below the other, in as many columns as that takes; a title never ends one."""
    columns: list[list[_Row]] = [[]]
    used = 0.0
    for at, row in enumerate(rows):
        with_next = _high(row, font) + (_high(rows[at + 1], font) if row.bold and at + 1 < len(rows) else 0.0)
        apart = font * 0.6 / 72 / MM if row.bold and used else 0.0
        if columns[-1] and used + apart + with_next > room.height:
            columns.append([])
            used, apart = 0.0, 0.0
        columns[-1].append(row)
        used += apart + _high(row, font)
    widths = tuple(max((_wide(row, font, width_of) for row in column), default=0.0) for column in columns)
    return _Plan(tuple(map(tuple, columns)), widths, font)


def _cut(row: _Row, widest: float, font: float, width_of: Callable[[str, float, bool], float]) -> _Row:
    """A row no wider than asked for, its text cut where it must be."""
    text = row.text
    while len(text) > 1 and _wide(row, font, width_of) > widest:
        text = text[:-1]
        row = replace(row, text=text.rstrip() + "…")
    return row


def _shortened(plan: _Plan, room: Box, width_of: Callable[[str, float, bool], float]) -> _Plan:
    """As many columns as there is room for; the last row then says what is left out."""
    n, width = 1, plan.widths[0]
    while n < len(plan.columns) and width + _GAP + plan.widths[n] <= room.width:
        width += _GAP + plan.widths[n]
        n += 1
    if n == len(plan.columns):
        return plan
    kept, left = plan.columns[:n], plan.columns[n:]
    more = 1 + sum(not row.bold for column in left for row in column)
    last = (*kept[-1][:-1], _Row(f"and {more:,} more"))
    widths = (*plan.widths[: n - 1], max(_wide(row, plan.font, width_of) for row in last))
    return _Plan((*kept[:-1], last), widths, plan.font)


def _write(figure: Figure, plan: _Plan, room: Box) -> None:
    wide, high = figure.get_figwidth() / MM, figure.get_figheight() / MM
    left = room.left
    for column, width in zip(plan.columns, plan.widths, strict=True):
        top = room.top
        for row in column:
            if row.bold and top > room.top:
                top += plan.font * 0.6 / 72 / MM
            _write_row(figure, row, left / wide, 1 - top / high, plan.font)
            top += _high(row, plan.font)
        left += width + _GAP


def _write_row(figure: Figure, row: _Row, x: float, y: float, font: float) -> None:
    """A row whose left upper corner lies at x, y, as shares of the figure."""
    wide, high = figure.get_figwidth() / MM, figure.get_figheight() / MM
    if row.group is not None and row.group.scale is not None:
        low, top = row.group.scale
        axes = figure.add_axes((x, y - (_BAR_HIGH + 1) / high, _BAR / wide, _BAR_HIGH / high), label="scale")
        mappable = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, top), row.group.colormap)
        bar = figure.colorbar(mappable, cax=axes, ticks=[low, (low + top) / 2, top], format="%.3g")
        bar.outline.set_linewidth(0)
        axes.tick_params(labelsize=font, length=1.5, width=0.5, pad=1.0)
        return
    letter = font / 72 / MM
    middle = y - letter * _ROW / 2 / high
    if row.color:
        place = x + letter * 0.4 / wide
        figure.add_artist(
            Line2D([place], [middle], linestyle="", marker="o", markersize=font * 0.7, color=row.color,
                   markeredgewidth=0)
        )  # fmt: skip
        x += letter * _MARK / wide
    weight = "bold" if row.bold else "normal"
    figure.text(x, middle, row.text, fontsize=font, fontweight=weight, va="center_baseline", ha="left")
