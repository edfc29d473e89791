"""What is selected and what it is: `SelectionPanel`."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import panel as pn
import param
from numpy.typing import NDArray

from components.coloring import Categories

_WORDS = {"Replace": "replace", "Add": "add", "Subtract": "subtract", "Intersect": "intersect"}
_LISTED = 8


class SelectionPanel(pn.viewable.Viewer):
    """How many points are selected, the shares of their labels, and what the next gesture does to them."""

    mode: param.Selector[str] = param.Selector(default="replace", objects=list(_WORDS.values()))
    clear = param.Event(doc="The person asked to select nothing.")
    invert = param.Event(doc="The person asked for all points but the selected ones.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._body = pn.pane.HTML(stylesheets=[_CSS], sizing_mode="stretch_width", margin=0)
        self._modes = pn.widgets.RadioButtonGroup(
            options=_WORDS, value=self.mode, stylesheets=[_BUTTONS_CSS], margin=(6, 0), sizing_mode="stretch_width"
        )
        self._modes.link(self, value="mode", bidirectional=True)
        self._clear = pn.widgets.Button(
            label="Clear selection", visible=False, stylesheets=[_BUTTONS_CSS], margin=(6, 0, 0, 0)
        )
        self._clear.on_click(lambda _: self.param.trigger("clear"))
        self._invert = pn.widgets.Button(
            label="Invert", visible=False, stylesheets=[_BUTTONS_CSS], margin=(6, 6, 0, 0)
        )
        self._invert.on_click(lambda _: self.param.trigger("invert"))
        self.display(None, None)

    def display(self, mask: NDArray[np.bool_] | None, coloring: Categories | None) -> None:
        """Summarise a selection.

        Parameters
        ----------
        mask
            bool (n,), the selected points; `None` for none.
        coloring
            The categories whose shares to list; `None` lists none.
        """
        n = int(mask.sum()) if mask is not None else 0
        self._clear.visible = self._invert.visible = n > 0
        if mask is None or n == 0:
            hint = "Draw around cells with the lasso or the box to see what they are."
            self._body.object = f'<div class="soft">{hint}</div>'
            return
        percent = f"{n / len(mask):.1%}".replace("%", " %")
        head = f'<div class="n">{n:,}<span class="soft"> of {len(mask):,} cells ({percent})</span></div>'
        self._body.object = head + (_shares(mask, coloring) if coloring is not None else "")

    def __panel__(self) -> pn.viewable.Viewable:
        buttons = pn.Row(self._invert, self._clear, sizing_mode="stretch_width", margin=0)
        return pn.Column(self._modes, self._body, buttons, sizing_mode="stretch_width", margin=0)


def _shares(mask: NDArray[np.bool_], coloring: Categories) -> str:
    codes = np.asarray(coloring.codes)[mask]
    counts = np.bincount(codes[codes >= 0], minlength=len(coloring.names))
    order = [int(c) for c in np.argsort(-counts, kind="stable") if counts[c]]
    rows = [(coloring.names[c], coloring.colors[c], int(counts[c])) for c in order[:_LISTED]]
    if others := int(counts.sum()) - sum(count for *_, count in rows):
        rows.append((f"{len(order) - _LISTED} more", "var(--ax-soft)", others))
    if none := int((codes < 0).sum()):
        rows.append(("without a label", "var(--ax-line)", none))
    lines = "".join(
        f'<tr><td><i style="background:{escape(color)}"></i></td><td class="name">{escape(name)}</td>'
        f"<td>{count:,}</td><td>{f'{count / len(codes):.0%}'.replace('%', ' %')}</td></tr>"
        for name, color, count in rows
    )
    bar = "".join(f'<i style="flex:{count};background:{escape(color)}"></i>' for _, color, count in rows)
    return f'<div class="bar" aria-hidden="true">{bar}</div><table>{lines}</table>'


_CSS = """
:host { color: var(--ax-ink, #1c2330); }
div, table { font: 13px/1.45 Roboto, system-ui, sans-serif; color: var(--ax-ink, #1c2330); }
.n { font-size: 20px; font-weight: 600; } .n .soft { font-weight: 400; }
.soft { font-size: 13px; color: var(--ax-soft, #5b6472); }
.bar { display: flex; gap: 1px; height: 8px; margin: 8px 0; border-radius: 4px; overflow: hidden; }
.bar i { min-width: 2px; }
table { width: 100%; border-collapse: collapse; }
td { padding: 2px 0 2px 8px; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child { padding-left: 0; width: 12px; }
td i { display: block; width: 12px; height: 12px; border-radius: 3px; }
.name { text-align: left; width: 99%; white-space: normal; overflow-wrap: anywhere; }
"""
_BUTTONS_CSS = """
.bk-btn { font: 13px/1.2 Roboto, system-ui, sans-serif !important; padding: 6px 8px !important; white-space: nowrap;
  border: 1px solid var(--ax-line, #d9dee5) !important; color: var(--ax-ink, #1c2330) !important;
  background: var(--ax-surface, #fff) !important; }
.bk-btn:hover { border-color: var(--ax-accent, #0b6bcb) !important; }
.bk-btn.bk-active { background: var(--ax-tint, #e8f1fb) !important; border-color: var(--ax-accent, #0b6bcb) !important;
  color: var(--ax-accent, #0b6bcb) !important; }
"""
