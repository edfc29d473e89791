"""Crossfilter: distributions of what was measured of the cells, and of genes, each with a range to brush."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.brush_histogram import BrushHistogram
from explorer.app import look
from explorer.app.tab.bringing import genes_in_front
from explorer.app.tab.gates import RANGE, gene_of, mask_of, measured, measured_columns, of_gene
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.tabs.tab import SLIM
from explorer.app.words import about
from explorer.reading.genesearch import genes_among

SHOWN = 4
_TITLES = {"confidence": "Confidence", "novelty": "Novelty"}


class FiltersView(View):
    """Histograms of the cells in front, the selected ones in colour."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._bars: dict[str, BrushHistogram] = {}
        self._is_filling = False
        self._columns = pmui.MultiChoice(
            label="Distributions", options=[], chip=False, width=190, margin=(8, 12, 4, 0), sx=SLIM
        )
        self._columns.param.watch(lambda _: None if self._is_filling else self._draw(), "value")
        self._genes = pmui.TextInput(label="Genes", placeholder="CD3E CD4", size="small", width=150,
                                     margin=(8, 12, 4, 0), sx=SLIM)  # fmt: skip
        self._genes.param.watch(lambda _: None if self._is_filling else self._draw(), "value")
        self._said = look.html(margin=(14, 0, 0, 0))
        self._standing = Standing()
        self._row = pn.Row(sizing_mode="stretch_width", margin=0, stylesheets=[look.NARROWS],
                           styles={"flex-wrap": "wrap", "gap": "10px 22px"})  # fmt: skip
        self.panel = pn.Column(
            pn.Row(self._columns, self._genes, self._said, sizing_mode="stretch_width", margin=0), self._standing,
            self._row, sizing_mode="stretch_width", margin=0, stylesheets=[look.NARROWS],
        )  # fmt: skip
        self.watch(self._fill, ["outcome", "reference", "show"])
        self.watch(self._draw, ["selection", "recipe", "level", "outcome"])
        self.watch(lambda: self._standing.display(session.standing("selection")), ["status"])
        self._fill()

    def _fill(self) -> None:
        cells = self.session.cells
        if cells is None:
            return
        there = list(measured_columns(cells))
        kept = [name for name in self._columns.value or [] if name in there] or there[:SHOWN]
        self._is_filling = True
        self._columns.param.update(options=there, value=kept)
        self._is_filling = False
        self._draw()

    def _draw(self) -> None:
        session, cells = self.session, self.session.cells
        if cells is None:
            return
        genes, missing = self._named()
        wanted = genes + [name for name in self._columns.value or [] if name in measured_columns(cells)]
        some = mask_of(session.selection, cells.n)
        ranges = {step.of: [step.low, step.high] for step in session.recipe if step.kind == RANGE}
        self._is_filling = True
        for name in wanted:
            bars = self._bars.setdefault(name, self._new(name))
            bars.display(measured(cells, name, session.level), some)
            bars.ends = ranges.get(name)
        self._is_filling = False
        boxes = [self._bars[name] for name in wanted]
        if boxes != self._row.objects:
            self._row.objects = boxes
        n = cells.n if session.selection is None else len(session.selection)
        absent = f" Not among these cells: {', '.join(missing)}." if missing else ""
        words = f"Drag over a histogram to select; ranges narrow one another. {n:,} of {cells.n:,} cells.{absent}"
        meant = "".join(f" &nbsp; {_TITLES[name]}{about(name)}" for name in wanted if name in _TITLES)
        self._said.object = f'<p class="small soft num" role="status">{look.text(words)}{meant}</p>'

    def _named(self) -> tuple[list[str], list[str]]:
        """Genes that were typed or have a range, as ranges are of them, and names that are none."""
        ranged = [gene for step in self.session.recipe if (gene := gene_of(step.of))]
        outcome = self.session.outcome if self.session.front == "query" else None
        there = outcome.genes if outcome is not None else genes_in_front(self.session)
        typed, missing = genes_among(self._genes.value or "", there)
        return [of_gene(gene) for gene in dict.fromkeys([*typed, *ranged])], missing

    def _new(self, name: str) -> BrushHistogram:
        made = BrushHistogram(title=gene_of(name) or _TITLES.get(name, name), width=200, margin=0)

        def brushed(event: param.parameterized.Event) -> None:
            if not self._is_filling:
                ends: Any = event.new
                self.session.brush(name, (float(ends[0]), float(ends[1])) if ends else None)

        made.param.watch(brushed, "ends")
        return made
