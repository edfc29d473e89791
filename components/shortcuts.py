"""Keys that do something wherever the pointer is: `Shortcuts`. Knows keys, not what they do; shows nothing."""

from __future__ import annotations

import param
from panel.custom import JSComponent

from components.modules import html_module


class Shortcuts(JSComponent):
    """Hears some keys of the page, though not while typing, with Ctrl or Alt held, or in a dialog or open list.

    Parameters
    ----------
    keys
        Which, as the browser names them: "g", "Escape".
    active
        Whether it listens.
    pressed
        The last key: `{"key": "g", "at": ms}`.
    focus
        Set to `{"label": "Gene", "at": n}` to put the cursor into the field of that label, as soon as it is seen.
    """

    keys = param.List(default=[], item_type=str)
    active = param.Boolean(default=True)
    pressed = param.Dict(default={})
    focus = param.Dict(default={})

    _esm = html_module("shortcuts.js")
