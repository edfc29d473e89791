"""Names ranked by a score, as bars: genes of a signature, markers, pathways."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__).parent


class RankedBars(JSComponent):
    """One bar a name, in the order given; negative scores reach to the left. A click picks a name."""

    names = param.List(default=[], item_type=str)
    scores = param.List(default=[], item_type=float, doc="Finite, one a name.")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")
    title = param.String(default="")
    note = param.String(default="", doc="A line below: how the scores were computed, and their error.")
    above = param.Boolean(default=False, doc="Whether names stand above their bars, for long ones.")
    empty = param.String(default="Nothing to rank.", doc="Shown while there are no names.")

    _esm = html_module("ranked_bars.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "ranked_bars.css").read_text(encoding="utf-8")]
