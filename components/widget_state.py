"""Widgets that do not contradict what they were just told: a script that a page loads with its others.

Panel's Material widgets answer a change that comes while they are still drawing an earlier one with the earlier one,
as if a person had chosen it. On a busy machine a choice then falls back, or a button stays as it was.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import panel as pn

_SCRIPT = Path(__file__).with_suffix(".js").read_bytes()


def keep_widgets_true() -> None:
    """Have the page that is being made load the script; every page, where none is being made."""
    address = f"data:text/javascript;base64,{b64encode(_SCRIPT).decode()}"
    pn.config.js_files = {**pn.config.js_files, "widget_state": address}
