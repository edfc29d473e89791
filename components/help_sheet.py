"""A sheet over the page that explains it: a button or the key "?" opens it, Esc closes it. Knows words, no topic."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__)


class HelpSheet(JSComponent):
    """A round button with a question mark, and the sheet that it opens.

    Parameters
    ----------
    sections
        One dict a part of the sheet: `title` and `rows`, each row a dict with `name` and `text`, and with `keys`
        (a list of what to press) or `source` where it has them. All of it is shown as text, never as HTML.
    action
        Label of a further button at the foot of the sheet; "" for none.
    acted
        When that button was pressed last: `{"at": ms}`. The sheet closes.
    """

    sections = param.List(default=[], item_type=dict)
    action = param.String(default="")
    acted = param.Dict(default={})

    _esm = html_module("help_sheet.js")
    _stylesheets: ClassVar[list[str]] = [_HERE.with_suffix(".css").read_text(encoding="utf-8")]
