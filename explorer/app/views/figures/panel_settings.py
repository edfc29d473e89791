"""Settings of one pinned panel: what the map or chart of a figure may have otherwise than the screen."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from explorer.app import look
from explorer.app.tab import pinning, pins
from explorer.app.tab.pins import MAP, Pin
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.drawing.columns import is_measured
from explorer.drawing.figures import MOST_SPLITS
from explorer.drawing.tallies import GENES_BY_GROUP

_ORDERS = {"as on the screen": "", "random": "random", "high on top": "high on top", "low on top": "low on top"}
_COLORMAPS = {"as on the screen": "", **{name: name for name in ("viridis", "cividis", "magma", "inferno", "Greys")}}
_POINTS = {"as fits": 0.0, **{f"{size:g} mm": size for size in (0.1, 0.2, 0.3, 0.5, 0.8, 1.2)}}
_MOST_GENES = 60


class PanelSettings(View):
    """Whatever the chosen panel allows; hidden while none is chosen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._id = ""
        self._is_filling = False
        small: dict[str, Any] = {"size": "small", "margin": (0, 8, 10, 0), "width": 143}
        self._split = pmui.Select(label="One map for each", options={"not split": ""}, value="", **small)
        self._point = pmui.Select(label="Cells", options=_POINTS, value=0.0, **small)
        self._order = pmui.Select(label="On top", options=_ORDERS, value="", **small)
        self._colormap = pmui.Select(label="Palette of values", options=_COLORMAPS, value="", **small)
        self._low = pmui.TextInput(label="Scale from", value="", placeholder="1st percentile", **small)
        self._high = pmui.TextInput(label="to", value="", placeholder="99th percentile", **small)
        self._names = pmui.Checkbox(label="Names on the map", value=False, size="small", margin=(0, 8, 0, 0))
        self._zoomed = pmui.Checkbox(label="Whole map", value=True, size="small", margin=(0, 8, 0, 0))
        self._genes = pmui.TextInput(
            label="Genes", placeholder="CD3D, MS4A1, LYZ", size="small", margin=(0, 8, 10, 0), width=294
        )
        self._of_values = pn.Column(
            pn.Row(self._order, self._colormap, margin=0), pn.Row(self._low, self._high, margin=0), margin=0
        )
        self._of_map = pn.Column(
            pn.Row(self._split, self._point, margin=0), self._of_values, pn.Row(self._names, self._zoomed, margin=0),
            margin=0,
        )  # fmt: skip
        self.panel = pn.Column(
            look.html("<h3>Chosen panel</h3>", margin=(8, 0, 8, 0)), self._of_map, self._genes, margin=0, visible=False,
            width=310,
        )  # fmt: skip
        for choice in (self._split, self._point, self._order, self._colormap, self._low, self._high, self._names,
                       self._zoomed, self._genes):  # fmt: skip
            choice.param.watch(self._keep, "value")

    def show(self, id: str) -> None:
        """Show the settings of one pin; "" hides them."""
        pin = self._pin_of(id)
        self._id = id if pin is not None else ""
        is_shown = pin is not None and pin.kind in (MAP, *GENES_BY_GROUP)
        self.panel.visible = is_shown
        if pin is None or not is_shown:
            return
        self._is_filling = True
        self._of_map.visible, self._genes.visible = pin.kind == MAP, pin.kind in GENES_BY_GROUP
        self._of_values.visible = pin.color[0] in ("gene", "confidence", "novelty", "column")
        columns = self._columns(pin)
        self._split.param.update(options=columns, value=pin.split if pin.split in columns.values() else "")
        self._point.value, self._order.value, self._colormap.value = pin.point or 0.0, pin.order, pin.colormap
        low, high = pin.limits or ("", "")
        self._low.value, self._high.value = str(low), str(high)
        self._names.value, self._zoomed.value = pin.names, pin.view is None
        self._zoomed.visible = pin.view is not None
        self._genes.value = ", ".join(pin.genes)
        self._is_filling = False

    def _pin_of(self, id: str) -> Pin | None:
        return next((pin for pin in self.session.pins if pin.id == id), None)

    def _columns(self, pin: Pin) -> dict[str, str]:
        """Columns that a map can be split by."""
        found = {"not split": ""}
        outcome = self.session.outcome
        if outcome is None or pin.show == "reference":
            return found
        obs = outcome.result.obs
        names = [name for name in outcome.columns if not is_measured(obs[name]) and obs[name].nunique() <= MOST_SPLITS]
        return found | {name: name for name in names}

    def _keep(self, event: param.parameterized.Event) -> None:
        pin = self._pin_of(self._id)
        if pin is None or self._is_filling or event.new == event.old:
            return
        changes: dict[str, Any] = {
            "split": self._split.value, "point": self._point.value or None, "order": self._order.value,
            "colormap": self._colormap.value, "limits": _limits(self._low.value, self._high.value),
            "names": self._names.value, "genes": _listed(self._genes.value),
        }  # fmt: skip
        if self._zoomed.value:
            changes["view"] = None
        pinning.keep(self.session, pins.changed(self.session.pins, pin.id, **changes))


def _limits(low: str, high: str) -> tuple[float, float] | None:
    """Ends of a scale from what was typed; `None` unless both are numbers in rising order."""
    try:
        ends = float(low), float(high)
    except ValueError:
        return None
    return ends if ends[0] < ends[1] else None


def _listed(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.replace(";", ",").split(",")]
    return tuple(dict.fromkeys(name for name in names if name))[:_MOST_GENES]
