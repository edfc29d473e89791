"""What the colours mean: the legend of categories as a tree, or the scale of a value."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn
import param

from components.coloring import Categories, Values
from components.legend import ColorBar, Legend
from explorer.app import look
from explorer.app.colors.paints import lookalike_words
from explorer.app.tab.session import Session
from explorer.app.tab.status import READY
from explorer.app.views.base import View
from explorer.asking.painting import CONSENSUS


class CategoryList(Legend):
    """The legend under a name that the Material page does not take for Bokeh's own legend, which it would restyle."""


class LegendView(View):
    """Legend or scale of the cells in front."""

    def __init__(self, session: Session, highlight: Callable[[int | None], None]) -> None:
        super().__init__(session)
        self._legend = CategoryList(sizing_mode="stretch_width", margin=0, selectable=True, editable=True)
        self._coarse: dict[tuple[str, str], dict[str, str]] = {}
        self._legend.param.watch(self._hide, "hidden")
        self._legend.param.watch(lambda event: highlight(event.new), "hovered")
        self._legend.param.watch(self._select, "chosen")
        self._legend.param.watch(self._dye, "dyed")
        self._bar = ColorBar()
        self._below = look.html(margin=(8, 0, 0, 0))
        self._legend_box = pn.Column(self._legend, sizing_mode="stretch_width", margin=0)
        self._bar_box = pn.Column(self._bar, sizing_mode="stretch_width", margin=0)
        self.panel = pn.Column(
            self._legend_box, self._bar_box, self._below, sizing_mode="stretch_width", margin=0
        )
        self.watch(self._draw, ["query_coloring", "reference_coloring", "show", "outcome", "hidden"])
        self._draw()

    def _hide(self, event: param.parameterized.Event) -> None:
        self.session.hidden = list(event.new)

    def _select(self, event: param.parameterized.Event) -> None:
        coloring = self.session.coloring
        positions = [int(at) for at in event.new.get("positions", [])]
        if isinstance(coloring, Categories) and positions:
            self.session.select_names([coloring.names[at] for at in positions])

    def _dye(self, event: param.parameterized.Event) -> None:
        name, color = event.new["name"], event.new["color"]
        if name:
            self.session.choose_paint(name, color)
        else:
            self.session.forget_paints()

    def _groups(self, coloring: Categories) -> list[str]:
        """The coarser label that each label lies in, where levels nest; else nothing."""
        session, reference = self.session, self.session.reference
        coarse = dict(session.traits.nested).get(session.level, "")
        if reference is None or not coarse or session.color.kind not in ("label", CONSENSUS):
            return []
        key = (reference.checksum, session.level)
        if key not in self._coarse:
            pairs = reference.obs[[session.level, coarse]].dropna().astype(str).value_counts()
            frequent = pairs.reset_index().drop_duplicates(session.level)
            self._coarse[key] = dict(zip(frequent[session.level], frequent[coarse], strict=True))
        found = [self._coarse[key].get(name, "") for name in coloring.names]
        return found if any(found) else []

    def _draw(self) -> None:
        session, coloring = self.session, self.session.coloring
        self._legend_box.visible = isinstance(coloring, Categories)
        self._bar_box.visible = isinstance(coloring, Values)
        if isinstance(coloring, Categories):
            groups, defaults = self._groups(coloring), self.session.default_colors
            if _differs(self._legend, coloring, groups):
                self._legend.display(coloring, groups, defaults)
            self._legend.param.update(colors=list(coloring.colors), defaults=list(defaults))
            if self._legend.hidden != session.hidden:
                self._legend.hidden = list(session.hidden)
        elif isinstance(coloring, Values):
            low, high = coloring.clip
            clipped = f"from percentile {low:g} to {high:g} of the values other than zero"
            self._bar.display(coloring, "" if coloring.limits else clipped)
        remark, alike = look.text(self._remark()), look.text(self._alike())
        self._below.object = (f'<p class="soft small">{remark}</p>' if remark else "") + (
            f'<p class="small mind" role="status">{alike}</p>' if alike else ""
        )

    def _remark(self) -> str:
        """What must be said of a reference that has nothing of the kind that was chosen."""
        session = self.session
        if session.reference is None or session.front == "query":
            return ""
        if session.outcome is None and session.color.kind in ("confidence", "novelty"):
            return f"Only mapped cells have a {session.color.kind}; until then the labels are shown."
        if session.reference_coloring is None and session.standing("color") == READY:
            return "The reference has nothing of this kind; it is drawn in grey."
        return ""

    def _alike(self) -> str:
        """Which chosen colour can hardly be told from that of another category that is seen."""
        session, coloring = self.session, self.session.coloring
        if not isinstance(coloring, Categories):
            return ""
        return lookalike_words(coloring, tuple(session.paints.of(session.painted_of)), session.hidden)


def _differs(legend: Legend, coloring: Categories, groups: list[str]) -> bool:
    shown = (legend.title, legend.names, legend.counts, legend.groups)
    return shown != (coloring.title, list(coloring.names), coloring.counts.tolist(), groups)
