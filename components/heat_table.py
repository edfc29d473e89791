"""Numbers of rows by columns, shaded by how large they are: `HeatTable`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__).parent


class HeatTable(JSComponent):
    """One cell a row and column: a text on a tint. A click, or Enter, picks a cell; empty texts cannot be picked."""

    rows = param.List(default=[], item_type=str)
    columns = param.List(default=[], item_type=str)
    texts = param.List(default=[], item_type=list, doc="What each cell says: a list a row, a str a column.")
    shades = param.List(default=[], item_type=list, doc="How dark each cell is, in [0, 1]: a list a row.")
    colors = param.List(default=[], item_type=str, doc="#rrggbb, one a column, for its swatch; may be empty.")
    corner = param.String(default="", doc="What rows and columns are, e.g. 'own \\ predicted'.")
    action = param.String(default="", doc="What a click does, for the tip of a cell.")
    picked = param.Dict(default={}, doc="`row` and `column` clicked last, and when (`at`).")
    empty = param.String(default="", doc="Shown while there are no rows.")

    _esm = html_module("heat_table.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "heat_table.css").read_text(encoding="utf-8")]
