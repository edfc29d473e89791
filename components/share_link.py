"""A button that makes a link to what is on the page, and copies it. Knows addresses, not what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

_HERE = Path(__file__)


class ShareLink(JSComponent):
    """A button with a small sheet below it that shows the link and says whether it was copied.

    A page that was not served over https has no clipboard: the link is selected then, ready for Ctrl-C.

    Parameters
    ----------
    asked
        When a link was asked for last: `{"at": ms}`.
    answer
        What whoever listens answers, with that `at`: `link`, the query part of the address, e.g. "?view=3f9a", before
        which the page puts its own address; or `problem`, a sentence.
    note
        What whoever gets the link should know, shown as text.
    disabled
        Whether there is nothing to share yet.
    reason
        What a disabled button says when pointed at.
    """

    asked = param.Dict(default={})
    answer = param.Dict(default={})
    note = param.String(default="")
    disabled = param.Boolean(default=False)
    reason = param.String(default="")

    _esm = _HERE.with_suffix(".js")
    _stylesheets: ClassVar[list[str]] = [_HERE.with_suffix(".css").read_text(encoding="utf-8")]
