"""Shares with how sure they are, a card a category: `IntervalBars`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__).parent


class IntervalBars(JSComponent):
    """Bars with whiskers, those of one category on one card; all on one scale. A click on a bar picks it."""

    cards = param.List(default=[], item_type=dict, doc="""
        One a category: `title`, `color` (#rrggbb) and `bars`, a list of dicts: `name`, `value`, `low` and `high`
        (each a share in [0, 1]; `None` for ends not known), `text` (beside the bar) and `tip`.""")
    top = param.Number(default=1.0, doc="Share at the end of the scale.")
    picked = param.Dict(default={}, doc="`card` and `bar` (title and name) clicked last, and when (`at`).")
    empty = param.String(default="", doc="Shown while there are no cards.")

    _esm = html_module("interval_bars.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "interval_bars.css").read_text(encoding="utf-8")]
