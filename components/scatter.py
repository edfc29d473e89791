"""Some named points on two axes, each of which can be picked: `Scatter`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import chart_module

_HERE = Path(__file__).parent


class Scatter(JSComponent):
    """Up to a few hundred named points: circles, diamonds where `marked`. A click, or Enter, picks one."""

    names = param.List(default=[], item_type=str)
    x = param.List(default=[], item_type=float, doc="One a point, finite.")
    y = param.List(default=[], item_type=float, doc="One a point, finite.")
    colors = param.List(default=[], item_type=str, doc="#rrggbb, one a point; may be empty.")
    notes = param.List(default=[], item_type=str, doc="What the tip of each point says below its name; may be empty.")
    marked = param.List(default=[], item_type=bool, doc="Which points are diamonds; may be empty.")
    x_title = param.String(default="")
    y_title = param.String(default="")
    legend = param.List(default=[], item_type=dict, doc="`name`, and `color` or `shape` (circle, diamond), in order.")
    picked = param.Dict(default={}, doc="`name` of the point picked last, and when (`at`).")
    empty = param.String(default="", doc="Shown while there are no points.")

    _esm = chart_module("scatter.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "scatter.css").read_text(encoding="utf-8")]
