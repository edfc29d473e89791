"""How values are distributed in each of several groups: `Violins`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import chart_module

_HERE = Path(__file__).parent


class Violins(JSComponent):
    """A row a name and a violin a group, each as wide as it may be; a line at its median. A click picks a name."""

    names = param.List(default=[], item_type=str)
    groups = param.List(default=[], item_type=str)
    colors = param.List(default=[], item_type=str, doc="#rrggbb, one a group.")
    shapes = param.List(default=[], item_type=list, doc="As `outlines` finds them: a list a name, a list a group.")
    medians = param.List(default=[], item_type=list, doc="A list a name: float or `None` a group.")
    tops = param.List(default=[], item_type=float, doc="Largest value of each name, the end of its scale.")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")
    unit = param.String(default="")

    _esm = chart_module("violins.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "violins.css").read_text(encoding="utf-8")]
