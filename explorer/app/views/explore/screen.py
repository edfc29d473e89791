"""Explore: the map in the middle, its colours on the left, what is selected on the right."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.menu import Menu
from components.notice import Notice
from explorer.app import look
from explorer.app.before.choices import how_words
from explorer.app.stored import library
from explorer.app.tab import pinning
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.explore.arrange import ArrangeView, DrawnView
from explorer.app.views.explore.colors import ColorsView
from explorer.app.views.explore.keyboard import KeyboardView
from explorer.app.views.explore.maps import MapsView
from explorer.app.views.explore.selection import SelectionView
from explorer.app.views.tabs.dock import DockView
from explorer.app.words import about
from explorer.doubt.trade import Trade


class ExploreView(View):
    """The workspace."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._selection = SelectionView(session)
        self._dock = DockView(session)
        self._maps = MapsView(session, tapped=self._selection.show_cell)
        self._colors = ColorsView(session, highlight=self._maps.highlight)
        self._arrange = ArrangeView(session)
        self._drawn = DrawnView(session, self._maps.first)
        self._keyboard = KeyboardView(session, self._colors.uncover_genes, lambda: self._selection.is_card_open)
        self._names = pmui.Checkbox(label="Names", value=session.show_names, margin=(0, 4), size="small",
                                    align="center")  # fmt: skip
        self._names.param.watch(lambda event: session.param.update(show_names=event.new), "value")
        self._pin = pmui.Button(label="Pin", icon="push_pin", variant="text", margin=(0, 4), size="small",
                                align="center", description="Keep this view as a panel of the figure")  # fmt: skip
        self._pin.on_click(lambda _: pinning.pin_view(session))
        self._title = look.html(margin=(11, 0, 0, 14), sizing_mode="stretch_width")
        self._mapped_by = Menu(label="Mapped by", options={}, size="small", width=122, margin=(9, 2, 0, 0),
                                      visible=False, sx=_SLIM)  # fmt: skip
        self._mapped_by.param.watch(self._choose_result, "value")
        self._standing = Standing()
        self._offer = Notice("")
        self._offer_button = pmui.Button(label="", variant="contained", margin=(6, 14, 6, 8), align="center")
        self._offer_button.on_click(self._take_offer)
        self._offer_row = pn.Row(self._offer, self._offer_button, sizing_mode="stretch_width", margin=(4, 12, 0, 12),
                                 visible=False)  # fmt: skip
        self._line = look.html(margin=0)
        self.panel = self._layout()
        self.watch(self._tell, ["outcome", "outcomes", "examined", "job", "status", "project", "show", "query_coloring",
                                "selection", "hidden"])  # fmt: skip
        self.watch(lambda: setattr(self._names, "value", session.show_names), ["show_names"])
        self._tell()

    def _layout(self) -> pn.viewable.Viewable:
        bar = pn.Row(self._title, self._mapped_by, self._pin, self._names, sizing_mode="stretch_width",
                     margin=0, height=40)  # fmt: skip
        centre = pn.Column(
            bar, self._arrange.panel, self._offer_row,
            pn.Column(self._standing, margin=(0, 14), sizing_mode="stretch_width"), self._maps.panel,
            self._drawn.panel, self._dock.panel, sizing_mode="stretch_both", margin=0, styles={"min-width": "0"},
        )  # fmt: skip
        work = pn.Row(self._colors.panel, centre, self._selection.panel, sizing_mode="stretch_both", margin=0,
                      styles={"height": "calc(100vh - 49px - 28px)"})  # fmt: skip
        return pn.Column(work, self._line, self._keyboard.panel, sizing_mode="stretch_both", margin=0)

    def destroy(self) -> None:
        """Let go of the session, with all parts."""
        parts = (self._colors, self._selection, self._dock, self._drawn, self._arrange, self._maps, self._keyboard)
        for part in parts:
            part.destroy()
        super().destroy()

    # choices

    def _choose_result(self, event: param.parameterized.Event) -> None:
        if event.new and event.new != self.session.method:
            self.session.show_result(event.new)

    def _take_offer(self, _: Any) -> None:
        session = self.session
        if session.project is None and library.demos():
            demo = library.demos()[0]
            session.begin(demo.path, demo.title, map_it=True)
        else:
            session.step = "map"

    # words

    def _tell(self) -> None:
        session = self.session
        if session.reference is None:
            return
        has = session.outcome is not None
        self._tell_title(has)
        self._tell_results(has)
        self._standing.display(
            session.standing("result") if session.is_mapping or not has else session.standing("picture")
        )
        self._tell_offer(has)
        meant = about("threshold") if session.front == "query" else ""
        self._line.object = f'<div class="line num">{self._said()}{meant}</div>'

    def _tell_title(self, has: bool) -> None:
        session = self.session
        reference = session.reference
        if reference is None:
            return
        # before the reference's title, which may be clipped
        how = ", ".join(filter(None, (_learned(session), _refitted(session))))
        refitted = f", {how}," if how else ""
        query = f"<b>{look.text(session.project.title)}</b>{refitted} on " if has and session.project else ""
        self._title.object = f'<div class="clip">{query}{look.text(reference.title)}</div>'

    def _tell_results(self, has: bool) -> None:
        session = self.session
        options = {title_of(name): name for name in session.jobs if name in session.outcomes}
        self._mapped_by.visible = has and len(options) > 1
        if has and session.method in session.outcomes:  # a menu without a value would choose its first by itself
            self._mapped_by.param.update(options=options, value=session.method)

    def _tell_offer(self, has: bool) -> None:
        session = self.session
        text, label, kind = "", "", "info"
        if session.is_outdated:
            kind, label = "warn", "Go to Map"
            text = "The reference was built anew since these cells were mapped: their places do not fit it. Map again."
        elif not has and session.is_mapping and session.job is not None:
            text, label = (
                f"Your cells are being mapped ({session.job.fraction:.0%}). Meanwhile, this is the reference.",
                "See progress",
            )
        elif not has and session.project is not None:
            text, label = "Your cells are not mapped yet. This is the reference.", "Go to Map"
        elif not has and library.demos() and not session.is_opening:
            text, label = (
                f"This is the reference alone. A demo query is ready: {library.demos()[0].title}.",
                "Map the demo",
            )
        self._offer.param.update(text=text, kind=kind)
        self._offer_button.label = label or "Map"
        self._offer_row.visible = bool(text)

    def _said(self) -> str:
        session = self.session
        reference, outcome = session.reference, session.outcome
        if reference is None:
            return ""
        method = look.text(title_of(outcome.result.provenance.method if outcome else session.method))
        if session.front == "reference" or outcome is None:
            return f"{reference.n_cells:,} reference cells · layout of {method}"
        labels = outcome.result.labels.level(session.level)
        n, unknown = outcome.result.n_cells, int(labels.unknown.sum())
        coloring = session.query_coloring
        shown = (
            n - sum(int(coloring.counts[i]) for i in session.hidden)
            if session.hidden and hasattr(coloring, "counts")
            else n
        )
        return (
            f"{shown:,} of {n:,} cells shown on {reference.n_cells:,} reference cells · "
            f"{Trade.of(labels, session.examined.get(session.level)).words} · {unknown:,} called unknown, less "
            f"sure or too far from their label · {method}"
            + "".join(f", {words}" for words in (_learned(session), _refitted(session)) if words)
        )


def _learned(session: Session) -> str:
    """In which way the cells in view were mapped, in a few words; empty for the usual one."""
    if session.outcome is None:
        return ""
    result = session.outcome.result
    return look.text(how_words(result.method, result.provenance.options))


def _refitted(session: Session) -> str:
    """On what the model in view was refitted, in a few words; empty for the reference's own."""
    panel = session.outcome.result.provenance.panel if session.outcome is not None else None
    return f"refitted on {len(panel.genes):,} shared genes" if panel is not None else ""


_SLIM = {"& .MuiSelect-select": {"paddingTop": "4px", "paddingBottom": "4px"}}
