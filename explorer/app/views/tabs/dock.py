"""Below the map: one tab a question, each made when it is first asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from explorer.app import look
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.app.views.tabs.composition import CompositionView
from explorer.app.views.tabs.filters import FiltersView
from explorer.app.views.tabs.markers import MarkersView
from explorer.app.views.tabs.models import ModelsView
from explorer.app.views.tabs.own_labels import OwnLabelsView
from explorer.app.views.tabs.pathways import PathwaysView
from explorer.app.views.tabs.prototypes import PrototypesView
from explorer.app.views.tabs.samples import SamplesView
from explorer.app.views.tabs.signatures import SignaturesView
from explorer.app.views.tabs.two_values import TITLE as TWO_VALUES
from explorer.app.views.tabs.two_values import TwoValuesView

TABS: Mapping[str, type[View]] = {
    "Composition": CompositionView,
    "Own vs predicted": OwnLabelsView,
    "Markers": MarkersView,
    "Signatures": SignaturesView,
    "Pathways": PathwaysView,
    "Prototypes": PrototypesView,
    "Samples": SamplesView,
    "Models": ModelsView,
    "Filters": FiltersView,
    TWO_VALUES: TwoValuesView,
}
# ten questions beside one another in the middle of a window of 1280 pixels
_NARROW = {"& .MuiToggleButton-root": {**look.SEGMENTS["& .MuiToggleButton-root"], "padding": "3px 3px",
                                       "fontSize": "12px", "letterSpacing": 0}}  # fmt: skip
HEIGHTS = {"low": 190, "high": 400}  # of what a tab shows, in pixels
# a large window gives the tabs more room than that, a small one leaves the map, with what stands around it, 430 pixels
_ROOM = {"overflow": "auto", "min-height": "min(27vh, 320px)", "max-height": "min(44vh, calc(100vh - 430px))"}


class DockView(View):
    """The tabs, of which one is open or none; the map takes what room they leave."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._made: dict[str, View] = {}
        self._strip = pmui.RadioButtonGroup(
            options=list(TABS), value=session.tab, size="small", margin=(4, 0), sx=_NARROW
        )
        self._strip.param.watch(self._choose, "value")
        self._fold = pmui.IconButton(icon="expand_more", description="Fold the tabs away", size="small", margin=(2, 0))
        self._fold.on_click(lambda _: self.session.show_tabs("folded" if self.session.tabs != "folded" else "low"))
        self._grow = pmui.IconButton(icon="height", description="More or less room", size="small", margin=(2, 0))
        self._grow.on_click(lambda _: self.session.show_tabs("low" if self.session.tabs == "high" else "high"))
        self._body = pn.Column(sizing_mode="stretch_width", margin=0, styles=_ROOM, stylesheets=[look.NARROWS])
        self.panel = pn.Column(
            pn.Row(self._strip, pn.HSpacer(), self._grow, self._fold, sizing_mode="stretch_width", margin=0),
            self._body,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[look.NARROWS],
            styles={"border-top": "1px solid var(--ax-line)", "padding": "0 14px"},
        )
        self.watch(self._show, ["tab", "tabs"])
        self._show()

    def _choose(self, event: Any) -> None:
        self.session.open_tab(event.new)

    def _show(self) -> None:
        session = self.session
        folded = session.tabs == "folded"
        tab = session.tab if session.tab in TABS else next(iter(TABS))
        self._strip.value = tab
        self._fold.icon = "expand_less" if folded else "expand_more"
        self._fold.description = "Show the tabs" if folded else "Fold the tabs away"
        self._grow.visible = not folded
        self._body.visible = not folded
        if folded:
            return
        self._body.height = HEIGHTS[session.tabs]  # not a style, of which the maps above would not be told
        if tab not in self._made:
            self._made[tab] = TABS[tab](session)
        wanted = self._made[tab].panel
        if self._body.objects != [wanted]:
            self._body.objects = [wanted]

    def destroy(self) -> None:
        """Let go of the session, with every tab that was made."""
        for view in self._made.values():
            view.destroy()
        self._made.clear()
        super().destroy()
