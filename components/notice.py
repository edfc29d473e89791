"""A boxed sentence: something to know, something that worked, something to mind, something that failed."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import param

KINDS = ("info", "ok", "warn", "error")
# the shape tells the kind to those who cannot see its colour
_MARKS = {"info": "i", "ok": "✓", "warn": "!", "error": "×"}


class Notice(pn.viewable.Viewer):
    """One message in a box. Text is escaped; an error is announced to screen readers at once."""

    text = param.String(default="", doc="Plain text; an empty one hides the box. Newlines are kept.")
    title = param.String(default="", doc="A few bold words before the text.")
    kind: param.Selector[str] = param.Selector(default="info", objects=list(KINDS))

    def __init__(self, text: str = "", **params: Any) -> None:
        super().__init__(text=text, **params)
        self._pane = pn.pane.HTML(
            self._html(), visible=bool(self.text or self.title), stylesheets=[_CSS], margin=(4, 0),
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.param.watch(self._update, ["text", "title", "kind"])

    def _update(self, *_: param.parameterized.Event) -> None:
        self._pane.param.update(object=self._html(), visible=bool(self.text or self.title))

    def _html(self) -> str:
        role = "alert" if self.kind == "error" else "status"
        title = f"<strong>{escape(self.title)}</strong> " if self.title else ""
        return (
            f'<div class="notice {self.kind}" role="{role}"><span class="mark" aria-hidden="true">'
            f"{_MARKS[self.kind]}</span><div>{title}{escape(self.text)}</div></div>"
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._pane


_CSS = """
.notice { display: flex; gap: 10px; align-items: flex-start; padding: 9px 12px; border-radius: 8px;
  font: 14px/1.45 Roboto, system-ui, sans-serif; color: var(--ax-ink, #1c2330); white-space: pre-line;
  overflow-wrap: anywhere; border: 1px solid transparent; }
.mark { flex: none; width: 20px; height: 20px; border-radius: 50%; display: grid; place-items: center;
  font-weight: 700; font-size: 13px; line-height: 1; color: var(--ax-surface, #fff); }
.info { background: var(--ax-tint, #e8f1fb); } .info .mark { background: var(--ax-accent, #0b6bcb); }
.ok { background: var(--ax-ok-tint, #e5f5ec); } .ok .mark { background: var(--ax-ok, #12703f); }
.warn { background: var(--ax-warn-tint, #fff3dc); } .warn .mark { background: var(--ax-warn, #8a5300); }
.error { background: var(--ax-error-tint, #fdecea); } .error .mark { background: var(--ax-error, #b3261e); }
"""
