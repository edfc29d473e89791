"""How much, by colour alone: `HeatMap`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components import theme
from components.modules import chart_module

_HERE = Path(__file__).parent


class HeatMap(JSComponent):
    """A coloured field a name and group, names down and groups across. A click on a name picks it."""

    names = param.List(default=[], item_type=str, doc="Down.")
    groups = param.List(default=[], item_type=str, doc="Across.")
    group_colors = param.List(default=[], item_type=str, doc="#rrggbb, one a group; may be empty.")
    shades = param.List(default=[], item_type=list, doc="In [0, 1]: a list a name, one a group.")
    tips = param.List(default=[], item_type=list, doc="What is told of a field: a list a name, a str a group.")
    title = param.String(default="", doc="What the colours mean.")
    palette = param.List(default=list(theme.value_colors(n=24)), item_type=str, doc="#rrggbb, low to high.")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")

    _esm = chart_module("heat_map.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "heat_map.css").read_text(encoding="utf-8")]
