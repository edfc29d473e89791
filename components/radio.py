"""A list of which one is chosen, and which the program may change as well: `Radio`."""

from __future__ import annotations

import time
from typing import Any

import panel_material_ui as pmui
import param

ECHO_SECONDS = 2.0


class Radio(pmui.RadioBoxGroup):
    """A radio group that does not take an echo for a choice.

    While a page builds itself up, the browser's half may answer a change with the value that it was shown before. Such
    an answer, within two seconds of a change that the program made and before anybody has chosen here, is dropped, and
    what is chosen is shown again.
    """

    def __init__(self, **params: Any) -> None:
        self._before: Any = None
        self._changed_at = float("-inf")
        self._is_told = self._is_used = False
        super().__init__(**params)
        self.param.watch(self._note, "value")

    def _note(self, event: param.parameterized.Event) -> None:
        if not self._is_told and event.old != event.new:
            self._before, self._changed_at = event.old, time.monotonic()

    def _process_property_change(self, props: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = super()._process_property_change(props)
        if "value" not in changed:
            return changed
        may_echo = not self._is_used and time.monotonic() - self._changed_at < ECHO_SECONDS
        if may_echo and changed["value"] == self._before != self.value:
            self.param.trigger("value")
            return {name: value for name, value in changed.items() if name != "value"}
        self._is_used = True
        return changed

    def _process_events(self, events: dict[str, Any]) -> None:
        self._is_told = True
        try:
            super()._process_events(events)
        finally:
            self._is_told = False
