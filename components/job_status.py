"""How far a long task is, with a way to stop it and to run it again: `JobStatus`."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import param

STATES = ("queued", "running", "done", "failed", "cancelled")
_WORDS = dict(zip(STATES, ("Waiting", "Running", "Done", "Failed", "Cancelled"), strict=True))


class JobStatus(pn.viewable.Viewer):
    """Title, stage, bar, percent and time left of one task. Watch `cancel` and `retry` for the buttons."""

    title = param.String(default="")
    state: param.Selector[str] = param.Selector(default="queued", objects=list(STATES))
    stage = param.String(default="", doc="What is being done, in the user's words.")
    fraction = param.Number(default=0.0, bounds=(0.0, 1.0))
    left = param.Number(default=None, allow_None=True, doc="Seconds until the end; `None` while not known.")
    error = param.String(default=None, allow_None=True, doc="Why it failed, one sentence.")
    cancel = param.Event(doc="The person asked to stop.")
    retry = param.Event(doc="The person asked to run it again.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._pane = pn.pane.HTML(stylesheets=[_CSS], sizing_mode="stretch_width", margin=0)
        look = {"stylesheets": [_BUTTON_CSS], "margin": (0, 0, 0, 12), "align": "center"}
        self._cancel = pn.widgets.Button(label="Cancel", **look)
        self._retry = pn.widgets.Button(label="Run again", **look)
        self._cancel.on_click(lambda _: self.param.trigger("cancel"))
        self._retry.on_click(lambda _: self.param.trigger("retry"))
        self.param.watch(self._update, ["title", "state", "stage", "fraction", "left", "error"])
        self._update()

    def _update(self, *_: param.parameterized.Event) -> None:
        self._pane.object = self._html()
        self._cancel.visible = self.state in ("queued", "running")
        self._retry.visible = self.state in ("failed", "cancelled")

    def _html(self) -> str:
        percent = round(self.fraction * 100) if self.state != "done" else 100
        parts = [_WORDS[self.state]]
        if self.state == "running":
            parts = [self.stage or _WORDS["running"], f"{percent} %"]
            if self.left is not None:
                parts.append(duration(self.left) + " left")
        line = " · ".join(parts)
        why = self.error if self.error and self.state == "failed" else ""
        error = f'<div class="error">{escape(why)}</div>' if why else ""
        # the title names the bar; the line is spoken politely whenever it changes
        return (
            f'<div class="job {self.state}"><div class="title">{escape(self.title)}</div>'
            f'<div class="track" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{percent}" aria-label="{escape(self.title or self.stage, quote=True)}">'
            f'<div class="fill" style="width:{percent}%"></div></div>'
            f'<div class="line" aria-live="polite">{escape(line)}</div>{error}</div>'
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return pn.Row(self._pane, self._cancel, self._retry, sizing_mode="stretch_width", margin=0)


def duration(seconds: float) -> str:
    """Seconds as a person would say them: "8 s", "3 min 20 s", "1 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_CSS = """
.job { padding: 4px 0 8px; font: 14px/1.45 Roboto, system-ui, sans-serif; color: var(--ax-ink, #1c2330); }
.title { font-weight: 600; overflow-wrap: anywhere; margin-bottom: 4px; }
.line { font-size: 13px; margin-top: 3px; color: var(--ax-soft, #5b6472); font-variant-numeric: tabular-nums; }
.track { height: 8px; border-radius: 4px; background: var(--ax-line, #d9dee5); overflow: hidden; }
.fill { height: 100%; border-radius: 4px; background: var(--ax-accent, #0b6bcb); transition: width .3s; }
.done .fill { background: var(--ax-ok, #12703f); }
.failed .fill { background: var(--ax-error, #b3261e); }
.cancelled .fill { background: var(--ax-soft, #5b6472); }
.failed .line { white-space: nowrap; color: var(--ax-error, #b3261e); font-weight: 600; }
.done .line { white-space: nowrap; color: var(--ax-ok, #12703f); font-weight: 600; }
.error { font-size: 13px; color: var(--ax-error, #b3261e); overflow-wrap: anywhere; white-space: pre-line; }
@media (prefers-reduced-motion: reduce) { .fill { transition: none; } }
"""
_BUTTON_CSS = """
.bk-btn { font: 13px/1.2 Roboto, system-ui, sans-serif !important; padding: 6px 12px !important; white-space: nowrap;
  border: 1px solid var(--ax-line, #d9dee5) !important; border-radius: 6px !important;
  color: var(--ax-ink, #1c2330) !important; background: var(--ax-surface, #fff) !important; }
.bk-btn:hover { border-color: var(--ax-accent, #0b6bcb) !important; }
"""
