"""A menu whose list may change while somebody has it open: `Menu`."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui


class Menu(pmui.Select):
    """A select that drops a choice which is no longer offered, and shows again what is chosen.

    The list may have changed on its way to the browser; a plain select raises an error then.
    """

    def _process_property_change(self, props: dict[str, Any]) -> dict[str, Any]:
        chosen = props.get("value")
        if chosen and chosen not in (*self.unicode_values, *self.labels):
            props = {name: value for name, value in props.items() if name != "value"}
            self.param.trigger("value")
        changed: dict[str, Any] = super()._process_property_change(props)
        return changed
