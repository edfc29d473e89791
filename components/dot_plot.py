"""How much, and in how many: `DotPlot`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components import theme
from components.modules import chart_module

_HERE = Path(__file__).parent


class DotPlot(JSComponent):
    """A dot a name and group: its area is a share, its colour a value. A click on a name picks it."""

    names = param.List(default=[], item_type=str, doc="Across.")
    groups = param.List(default=[], item_type=str, doc="Down.")
    group_colors = param.List(default=[], item_type=str, doc="#rrggbb, one a group; may be empty.")
    shares = param.List(default=[], item_type=list, doc="In [0, 1]: a list a group, one a name.")
    values = param.List(default=[], item_type=list, doc="0 or more: a list a group, one a name.")
    value_title = param.String(default="mean")
    share_title = param.String(default="share of cells")
    per_name = param.Boolean(default=False, doc="Whether colours are scaled to the largest value of each name.")
    palette = param.List(default=list(theme.value_colors(n=24)), item_type=str, doc="#rrggbb, low to high.")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")

    _esm = chart_module("dot_plot.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "dot_plot.css").read_text(encoding="utf-8")]
