"""A tour of a page: one card after another, each beside the control that it speaks of. Knows places, not the topic."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

_HERE = Path(__file__)


class Tour(JSComponent):
    """A card that points at controls of the page, and a ring around what it points at.

    Arrow keys and the card's buttons lead on and back, Esc ends the tour. The focus is on the card while it is open,
    and where it was before afterwards. Without a control to point at, the card stands in the middle.

    Parameters
    ----------
    stops
        One dict a stop: `title`, `text`, and `at`: a list of CSS selectors, looked for in all shadow roots, of which
        the first that is seen is pointed at. One may end in `:has-text("…")`, words that the element must carry.
    stop
        Number of the stop that is shown, from 0; -1 while there is no tour.
    memory
        Name under which the browser remembers that the tour was seen or put aside; "" for not at all.
    seen
        Whether the browser remembers it; `None` until it has said so. Setting it to true has it remembered.
    """

    stops = param.List(default=[], item_type=dict)
    stop = param.Integer(default=-1, bounds=(-1, None))
    memory = param.String(default="")
    seen = param.Boolean(default=None, allow_None=True)

    _esm = _HERE.with_suffix(".js")
    _stylesheets: ClassVar[list[str]] = [_HERE.with_suffix(".css").read_text(encoding="utf-8")]
