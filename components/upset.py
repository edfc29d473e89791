"""Which of several agree, and how often: `UpSet`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__).parent


class UpSet(JSComponent):
    """One column a combination: a bar for its count over a dot for each member. A click, or Enter, picks a column.

    After Lex et al., UpSet: Visualization of Intersecting Sets, IEEE TVCG 2014.
    """

    names = param.List(default=[], item_type=str, doc="Who may be a member, from the top.")
    members = param.List(default=[], item_type=list, doc="Of each combination, a bool for each name.")
    counts = param.List(default=[], item_type=int, doc="How many each combination holds.")
    unit = param.String(default="", doc="What is counted, e.g. 'cells'.")
    action = param.String(default="", doc="What a click does, for the tip of a column.")
    picked = param.Dict(default={}, doc="`index` of the combination clicked last, and when (`at`).")
    empty = param.String(default="", doc="Shown while there are no combinations.")

    _esm = html_module("upset.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "upset.css").read_text(encoding="utf-8")]
