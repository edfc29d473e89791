"""What goes where: two columns of names, and bands between them as wide as what they share: `Alluvial`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import chart_module

_HERE = Path(__file__).parent


class Alluvial(JSComponent):
    """Bands from names on the left to names on the right. A click, or Enter, picks a band.

    Bars are as tall as their number; names stand at least a line apart, so that all can be read.
    """

    left = param.List(default=[], item_type=str, doc="Names from top to bottom.")
    right = param.List(default=[], item_type=str, doc="Names from top to bottom.")
    links = param.List(default=[], item_type=dict, doc="Bands: `row`, `column` (names) and `size`, above 0.")
    colors = param.Dict(default={}, doc="#rrggbb by name on the right; a band has the colour of where it goes.")
    left_title = param.String(default="")
    right_title = param.String(default="")
    unit = param.String(default="cells", doc="What is counted, for tips.")
    picked = param.Dict(default={}, doc="`row` and `column` clicked last, and when (`at`).")

    _esm = chart_module("alluvial.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "alluvial.css").read_text(encoding="utf-8")]
