"""What happened in a job, a line a step: folded away until it is asked for, and open while it grows."""

from __future__ import annotations

from collections.abc import Sequence

import panel as pn
import panel_material_ui as pmui

from explorer.app import look


class JobLog:
    """The lines of one job.

    Attributes
    ----------
    panel
        What is shown; nothing while there is no line.
    """

    def __init__(self) -> None:
        self._lines: Sequence[str] = ()
        self._is_open = False
        self._button = pmui.Button(label="Log", variant="text", size="small", margin=(0, 0, 0, -5), visible=False,
                                   sx={"minWidth": 0})  # fmt: skip
        self._button.on_click(lambda _: self._turn())
        self._shown = look.html(margin=(2, 0, 0, 0))
        self.panel = pn.Column(self._button, self._shown, sizing_mode="stretch_width", margin=0)

    def _turn(self) -> None:
        self._is_open = not self._is_open
        self._button.label = "Hide log" if self._is_open else "Log"
        self.display(self._lines)

    def display(self, lines: Sequence[str]) -> None:
        """Show the lines as they are now."""
        self._lines = lines
        self._button.visible = bool(lines)
        self._shown.object = f"<pre>{look.text(chr(10).join(lines))}</pre>" if lines and self._is_open else ""
