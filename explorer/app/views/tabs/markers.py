"""Markers: which genes tell a selection, a label or a cluster from other cells, over all genes."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel_material_ui as pmui
import param

from components.menu import Menu
from components.paged_table import Column, PagedTable
from explorer.app import look
from explorer.app.answers.marking import (
    LABEL,
    REST,
    SELECTION,
    TESTS,
    Contrast,
    Found,
    Front,
    find,
    grouping,
    sides,
)
from explorer.app.colors.coloring import ColorBy
from explorer.app.leaving.confusion import named_columns
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.tab import recalling
from explorer.app.tab.recalling import Place
from explorer.app.tab.session import Session
from explorer.app.tab.status import READY, Phase
from explorer.app.views.base import Standing
from explorer.app.views.tabs.marker_pictures import MarkerPictures
from explorer.app.views.tabs.tab import SLIM, TabView, column, row, said, side_by_side
from explorer.errors import OptionsProblem
from explorer.insight.composition import sample_columns

_COLUMNS = (
    Column("gene", "Gene"),
    Column("log2_fold_change", "log2 FC", "number", "Log2 of the ratio of mean CP10k, 0.1 added to both"),
    Column("share_in", "here", "share", "Share of the cells of the group that show the gene"),
    Column("share_out", "there", "share", "Share of the others that show the gene"),
    Column("adjusted_p", "adj. p", "p", "Benjamini-Hochberg over all genes"),
    Column("score", "score", "number", "z of the rank test, or t; positive for genes of the group", is_spare=True),
    Column("auroc", "AUROC", "number", "Chance that a cell of the group shows more of it than another"),
    Column("effect", "effect", "number", "Difference beside the spread of all cells (Diaz-Mejia et al. 2024); no test",
           is_spare=True),
    Column("mean_in", "mean here", "number", "Mean log1p CP10k; log2 CPM between samples", is_spare=True),
    Column("mean_out", "mean there", "number", "Mean log1p CP10k; log2 CPM between samples", is_spare=True),
)
_NOTHING = (
    "Choose cells and what to hold them against, then Compare. Every gene is tested; a click on one colours the map "
    "by it."
)


class MarkersView(TabView):
    """Choices, a table of all genes, and pictures of the first or of named ones."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._build_choices()
        self._build_results()
        self.watch(self._fill, ["outcome", "reference", "show", "level", "selection", "batch"])
        self.watch(self._begin, ["outcome", "reference", "show"])
        self.watch(self._draw, ["markers"])
        self.watch(self._stand, ["status", "selection", "markers"])
        self.watch(self._pictures.repaint, ["paints"])
        self.watch(self._pictures.draw, ["outcome", "reference", "show", "level", "selection", "markers"])
        self._fill()
        self._draw()
        self._stand()
        self._begin()
        self._pictures.draw()

    def _build_choices(self) -> None:
        def select(label: str, width: int, **more: Any) -> Menu:
            return Menu(label=label, size="small", width=width, margin=(8, 8, 4, 0), sx=SLIM, **more)

        self._by = select("Cells by", 132, options={})
        self._group = select("Group", 126, options=[])
        self._against = select("Against", 132, options=[REST])
        self._test = select("Test", 154, options={words: name for name, words in TESTS.items()}, value="wilcoxon")
        self._sample = select("Samples", 140, options=[], visible=False)
        self._ask = pmui.Button(label="Compare", variant="contained", margin=(8, 8, 4, 0), size="small")
        self._stop = pmui.Button(label="Cancel", variant="outlined", margin=(8, 8, 4, 0), size="small", visible=False)
        self._link = self.link("All genes, csv", self._offered)
        self._by.param.watch(lambda _: self._regroup(), "value")
        self._test.param.watch(lambda event: self._sample.param.update(visible=event.new == "samples"), "value")
        self._ask.on_click(lambda _: self.compare())
        self._stop.on_click(lambda _: self.session.forget("markers"))

    def _build_results(self) -> None:
        self._standing = Standing(_NOTHING)
        self._said = look.html(margin=(2, 0, 2, 0))
        self._table = PagedTable(unit="genes", action="Click to colour by this gene", margin=0, order_by="",
                                 sizing_mode="stretch_width")  # fmt: skip
        self._table.param.watch(self._color, "picked")
        self._pictures = MarkerPictures(self.session, lambda: (self.front, self._by.value), self._color)
        self._left = column(self._table, styles={"flex": "1.3 1 330px", "min-width": "0"})
        self._results = side_by_side(self._pictures.panel)
        choices = row(self._by, self._group, self._against, self._test, self._sample, self._ask, self._stop)
        self.panel = column(choices, self._standing, said(self._said, self._link), self._results)

    # choices

    @property
    def front(self) -> Front | None:
        """The cells in front; `None` before a reference is open."""
        session = self.session
        if session.reference is None:
            return None
        if session.front == "reference" or session.outcome is None:
            return Front(session.reference, session.level, paints=session.paints, beside=session.outcome)
        spec = session.job.mapping if session.job else None
        return Front(session.reference, session.level, session.outcome, spec, session.paints)

    def _fill(self) -> None:
        front, session = self.front, self.session
        if front is None:
            return
        n = 0 if session.selection is None else len(session.selection)
        columns = [name for name in named_columns(front.obs) if front.outcome is not None or name != session.level]
        # a menu keeps the words of what is chosen, so those stay the same whatever level or selection they mean
        options = {"Selection": SELECTION} if n else {}
        options |= {"Label in view": LABEL} | {name: name for name in columns}
        kept = self._by.value if self._by.value in options.values() else LABEL
        chosen_now = n and SELECTION not in self._by.options.values()
        self._by.param.update(options=options, value=SELECTION if chosen_now else kept)
        samples = sample_columns(front.obs)
        likely = session.batch if front.outcome is not None else front.reference.card.get("sample", "")
        first = next(iter(samples), None)
        self._sample.param.update(
            options=samples,
            value=self._sample.value if self._sample.value in samples else likely if likely in samples else first,
        )
        self._fill_groups()

    def _regroup(self) -> None:
        self._fill_groups()
        self.session.soon(self._pictures.draw)

    def _fill_groups(self) -> None:
        front, by = self.front, self._by.value
        if front is None or not by:
            return
        if by == SELECTION and self.session.selection is None:
            return
        try:
            groups = grouping(front, LABEL if by == SELECTION else by)
        except OptionsProblem as problem:
            self.session.report("markers", problem)
            return
        names = [groups.names[at] for at in np.argsort(-groups.counts, kind="stable") if groups.counts[at]]
        mine = ["the selection"] if by == SELECTION else names
        self._group.param.update(options=mine, value=self._group.value if self._group.value in mine else mine[0])
        others = [REST, *names]
        self._against.param.update(
            options=others, value=self._against.value if self._against.value in others else REST
        )

    def compare(self) -> None:
        """Test all genes for the choices as they are now."""
        front, session = self.front, self.session
        if front is None or not self._group.value:
            return
        contrast = Contrast(
            self._by.value, self._group.value, self._against.value, self._test.value, self._sample.value or ""
        )
        selection, place = session.selection, recalling.place_of(session, "markers")
        session.pursue(
            "markers",
            "Comparing all genes",
            lambda progress: find(front, contrast, selection, progress),
            lambda found: self._take(found, place),
        )

    def _take(self, found: Found, place: Place | None) -> None:
        self.session.markers = found
        recalling.keep(self.session, place, found)

    def _begin(self) -> None:
        """Markers of other cells than those in front say nothing here."""
        front, found = self.front, self.session.markers
        if front is not None and found is not None and not found.cells.equals(front.obs.index):
            self.session.forget("markers")
            self.session.markers = found = None
        if front is not None and found is None:
            recalling.recall(self.session, "markers", "markers", lambda kept: setattr(self.session, "markers", kept))

    def _color(self, event: param.parameterized.Event) -> None:
        if event.new and ColorBy("gene", event.new) != self.session.color:
            self.session.choose_color(ColorBy("gene", event.new))

    # drawing

    def _stand(self) -> None:
        standing, found = self.session.standing("markers"), self.session.markers
        is_running = standing.phase is Phase.RUNNING
        self._standing.display(READY if found is not None and standing.phase is Phase.NOTHING else standing)
        self._stop.visible = is_running
        self._ask.disabled = is_running
        self._pictures.stand()
        self.show_link(self._link, found is not None)
        words = ""
        if found is not None:
            words = f"{look.text(found.words[:1].upper() + found.words[1:])}{self._changed(found)}"
        self._said.object = f'<p class="small soft">{words}</p>' if words else ""

    def _changed(self, found: Found) -> str:
        front = self.front
        if front is None:
            return ""
        try:
            inside, _ = sides(front, found.contrast, self.session.selection)
        except OptionsProblem:
            return ' <span class="mind">The cells of this group are others now.</span>'
        if np.array_equal(inside, found.inside):
            return ""
        return ' <span class="mind">The cells of this group are others now. Compare again.</span>'

    def _draw(self) -> None:
        found = self.session.markers
        self._results.objects = [self._pictures.panel] if found is None else [self._left, self._pictures.panel]
        if found is None:
            return
        self._table.display(found.table, _COLUMNS)
        self._pictures.draw_volcano(found.table)

    def _offered(self) -> Offered:
        found = self.session.markers
        if found is None:
            raise OptionsProblem("Nothing was compared yet. Choose cells and press Compare first.")
        what = f"markers of {found.markers.group} against {found.markers.against}"
        return offered_frame(self.session, what, found.table)
