"""What is known of one thing, in sections of short rows with bars: `Dossier`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__).parent


class Dossier(JSComponent):
    """A title with words below it, then sections of rows; a row with an id can be picked. Esc, or ×, closes it.

    Parameters
    ----------
    title
        Of the thing; nothing is shown while there are no sections.
    sections
        One dict each: `title`, optionally `words` (a list of sentences) and `action` (what picking a row does), and
        `rows`: dicts of `name` and `value` (texts), and optionally `share` (length of the bar, in [0, 1]), `marked`
        (whether the name is set apart), `note` (a second, smaller line) and `id`.
    picked
        `section` (its title) and `id` of the row picked last, and when (`at`).
    closed
        When the person closed it: `{"at": ms}`.
    """

    title = param.String(default="")
    sections = param.List(default=[], item_type=dict)
    picked = param.Dict(default={})
    closed = param.Dict(default={})

    _esm = html_module("dossier.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "dossier.css").read_text(encoding="utf-8")]
