"""What the colours mean: `Legend` for categories, `ColorBar` for values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
import param
from panel.custom import JSComponent

from components import theme
from components.coloring import Categories, Values
from components.modules import html_module

_HERE = Path(__file__).parent


class Legend(JSComponent):
    """A list of categories with swatch and count, as a tree where they lie in groups.

    A click hides one or shows it again; a double click, or "only", shows it alone; "select" asks for its points.
    A group does all that for its categories together. Where it is editable, a swatch opens the browser's own choice of
    a colour, and one that is not the default can be taken back. Searching, folding and scrolling happen in the browser.
    """

    names = param.List(default=[], item_type=str, doc="The categories, in order.")
    colors = param.List(default=[], item_type=str, doc="#rrggbb, one a category.")
    counts = param.List(default=[], item_type=int, doc="Points in each category; may be empty.")
    hidden = param.List(default=[], item_type=int, doc="Positions of the hidden categories.")
    groups = param.List(default=[], item_type=str, doc="What each category lies in, \"\" for nothing; may be empty.")
    selectable = param.Boolean(default=False, doc="Whether the points of a category can be asked for.")
    editable = param.Boolean(default=False, doc="Whether other colours can be asked for.")
    defaults = param.List(default=[], item_type=str, doc="#rrggbb to go back to, one a category; may be empty.")
    dyed = param.Dict(default={}, doc="""
        The last colour that was asked for: {"name": ..., "color": "#rrggbb", "at": ms}; "" is the category's default,
        and without a name that of all.""")
    hovered = param.Integer(default=None, allow_None=True, doc="Position of the category under the pointer.")
    chosen = param.Dict(default={}, doc="""
        The last categories whose points were asked for: {"positions": [...], "at": ms}.""")
    title = param.String(default="")
    search_from = param.Integer(default=8, doc="A search box appears above more categories than this.")

    _debounce: ClassVar[int] = 0  # a click is told at once; Panel waits 50 ms for more of them
    _esm = html_module("legend.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "legend.css").read_text(encoding="utf-8")]

    def display(self, coloring: Categories, groups: Sequence[str] = (), defaults: Sequence[str] = ()) -> None:
        """List the categories of a colouring, all of them visible.

        Parameters
        ----------
        groups
            What each category lies in, "" for nothing; empty for a plain list.
        defaults
            The colours that they have while nobody chose others; empty for those that they have.
        """
        self.param.update(
            names=list(coloring.names), colors=list(coloring.colors), counts=coloring.counts.tolist(),
            defaults=list(defaults), groups=list(groups), title=coloring.title, hidden=[], hovered=None,
        )  # fmt: skip

    @property
    def visible_names(self) -> list[str]:
        """Names of the categories that are not hidden."""
        return [name for i, name in enumerate(self.names) if i not in self.hidden]


class ColorBar(pn.viewable.Viewer):
    """The scale of a value: colours from low to high, its ends and what it measures."""

    title = param.String(default="")
    limits = param.Range(default=(0.0, 1.0), doc="Values at the ends of the scale.")
    colors = param.List(default=list(theme.value_colors(n=16)), item_type=str, doc="#rrggbb, low to high.")
    zeros_grey = param.Boolean(default=False, doc="Say that exact zeros are drawn in grey.")
    note = param.String(default="", doc="One line below, e.g. how the scale was clipped.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._pane = pn.pane.HTML(self._html(), stylesheets=[_BAR_CSS], sizing_mode="stretch_width", margin=0)
        self.param.watch(lambda *_: self._pane.param.update(object=self._html()), list(_BAR_PARAMETERS))

    def display(self, coloring: Values, note: str = "") -> None:
        """Show the scale of a colouring."""
        self.param.update(
            title=coloring.title, limits=coloring.scale, zeros_grey=coloring.zeros_grey, note=note,
            colors=list(theme.value_colors(coloring.colormap, 16)),
        )  # fmt: skip

    def _html(self) -> str:
        low, high = self.limits
        ticks = "".join(f"<span>{readable(low + (high - low) * share)}</span>" for share in (0, 0.5, 1))
        gradient = ",".join(self.colors)
        grey = '<div class="note"><i></i>zero</div>' if self.zeros_grey else ""
        note = f'<div class="note">{escape(self.note)}</div>' if self.note else ""
        return (
            f'<div class="title">{escape(self.title)}</div>'
            f'<div class="ramp" role="img" aria-label="Colour scale from {readable(low)} to {readable(high)}"'
            f' style="background:linear-gradient(to right,{escape(gradient)})"></div>'
            f'<div class="ticks">{ticks}</div>{grey}{note}'
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._pane


_BAR_PARAMETERS: Sequence[str] = ("title", "limits", "colors", "zeros_grey", "note")
_BAR_CSS = """
div { color: var(--ax-ink, #1c2330); font: 13px/1.4 Roboto, system-ui, sans-serif; }
.title { font-weight: 600; margin-bottom: 4px; overflow-wrap: anywhere; }
.ramp { height: 12px; border-radius: 3px; }
.ticks { display: flex; justify-content: space-between; font-size: 12px; font-variant-numeric: tabular-nums; }
.note { font-size: 12px; color: var(--ax-soft, #5b6472); display: flex; align-items: center; gap: 6px; }
.note i { width: 12px; height: 12px; border-radius: 3px; background: var(--ax-zero, #c3c9d1); }
"""


def readable(value: float) -> str:
    """A number as a person would write it beside a scale: three digits, an exponent only at the extremes."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.1e}"
