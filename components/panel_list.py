"""Panels of a figure in their order, each with a small picture. Knows titles and pictures, not what they show."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

_HERE = Path(__file__).parent


class PanelList(JSComponent):
    """A list whose entries can be chosen, renamed, moved and removed; every title is shown as text, never as HTML.

    Parameters
    ----------
    items
        One dict an entry: `id`, `title`, `detail` (a second, smaller line) and `image` (address of a picture, "" while
        there is none).
    value
        `id` of the chosen entry; "" for none.
    acted
        What was last asked for: `id` of the entry, `action` ("rename", "up", "down" or "remove"), and `title`, the new
        one, for "rename".
    """

    items = param.List(default=[], item_type=dict)
    value = param.String(default="")
    acted = param.Dict(default={})

    _esm = _HERE / "panel_list.js"

    _stylesheets: ClassVar[list[str]] = [
        """
        ol { list-style: none; margin: 0; padding: 0; font: 13px/1.4 Roboto, system-ui, sans-serif;
             color: var(--ax-ink); }
        li { display: grid; grid-template-columns: 66px 1fr auto; gap: 8px; align-items: center; padding: 6px;
             border: 1px solid var(--ax-line); border-radius: 6px; margin-bottom: 6px; cursor: pointer; }
        li:hover { background: var(--ax-raised); }
        li.chosen { border-color: var(--ax-accent); background: var(--ax-tint); }
        .picture { width: 66px; height: 54px; background: #fff; border-radius: 4px; overflow: hidden; }
        .picture img { width: 100%; height: 100%; object-fit: contain; display: block; }
        .words { min-width: 0; }
        input { font: inherit; width: 100%; box-sizing: border-box; border: 1px solid transparent; border-radius: 4px;
                background: transparent; color: inherit; padding: 2px 4px; text-overflow: ellipsis; }
        input:hover, input:focus { border-color: var(--ax-line); background: var(--ax-surface); }
        input:focus-visible, button:focus-visible, li:focus-visible { outline: 2px solid var(--ax-accent); }
        .detail { font-size: 12px; color: var(--ax-soft); padding: 0 5px; overflow: hidden; text-overflow: ellipsis;
                  white-space: nowrap; }
        .buttons { display: flex; flex-direction: column; }
        button { font: inherit; font-size: 12px; line-height: 1; border: 0; background: none; cursor: pointer;
                 color: var(--ax-soft); padding: 3px 5px; border-radius: 4px; }
        button:hover:not(:disabled) { color: var(--ax-ink); background: var(--ax-line); }
        button:disabled { opacity: 0.3; cursor: default; }
        """
    ]
