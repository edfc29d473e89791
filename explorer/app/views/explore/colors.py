"""Left of the map: what colours the cells, and what the colours mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.menu import Menu
from explorer import keys
from explorer.app import look
from explorer.app.colors.coloring import ColorBy
from explorer.app.colors.saved import SAVED, TITLE, is_of
from explorer.app.stored import agreeing
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import Standing, View
from explorer.app.views.explore.geneset import GeneSetView
from explorer.app.views.explore.legends import LegendView
from explorer.app.words import about
from explorer.asking.painting import AGREEMENT, CONSENSUS, GENES, PROTEIN
from explorer.jobs.queue import JobState
from explorer.reading.genesearch import find_gene, suggestions

OWN, SAMPLE = "own", "sample"
_TITLES = {
    "label": "Label", "confidence": "Confidence", "novelty": "Novelty", OWN: "My label", SAMPLE: "Sample",
    "column": "Column", "gene": "Gene", GENES: "Gene set", PROTEIN: "Protein", CONSENSUS: "Consensus",
    AGREEMENT: "Agreement", SAVED: TITLE,
}  # fmt: skip
_NAMED = ("column", "gene", GENES, PROTEIN)
_EXPLAINED = {
    "label": "unknown", "confidence": "confidence", "novelty": "novelty", "gene": "expression", GENES: "gene set",
    CONSENSUS: "consensus", AGREEMENT: "agreement", SAVED: "saved selections",
}  # fmt: skip


class ColorsView(View):
    """Colour choice and legend."""

    def __init__(self, session: Session, highlight: Callable[[int | None], None]) -> None:
        super().__init__(session)
        wide: dict[str, Any] = {"size": "small", "sizing_mode": "stretch_width", "margin": (12, 0, 0, 0)}
        self._kind = pmui.RadioBoxGroup(
            options=_options(_TITLES), value="label", inline=False, margin=(0, 0, 0, 2), sx=_DENSE,
            sizing_mode="stretch_width",
        )  # fmt: skip
        self._level = Menu(label="Label level", options=[], **wide)
        self._column = Menu(label="Column", options=[], **wide)
        self._protein = Menu(label="Protein", options=[], **wide)
        self._gene = pmui.AutocompleteInput(
            label="Gene", options=[], case_sensitive=False, min_characters=1, restrict=False,
            search_strategy="includes", placeholder="symbol, Ensembl id, CD20", **wide,
        )  # fmt: skip
        self._no_gene = look.html(visible=False)
        self._set = GeneSetView(session)
        self._genes: tuple[str, ...] = ()
        self._kind.param.watch(self._choose_kind, "value")
        self._level.param.watch(self._choose_level, "value")
        self._column.param.watch(lambda event: self._choose_named("column", event.new), "value")
        self._protein.param.watch(lambda event: self._choose_named(PROTEIN, event.new), "value")
        self._gene.param.watch(self._choose_gene, "value")
        self._title = look.html(margin=(0, 0, 2, 0))
        self._standing = Standing()
        self._legend = LegendView(session, highlight)
        self.panel = pn.Column(
            self._title, self._kind, self._level, self._column, self._gene,
            self._no_gene, self._set.panel, self._protein, self._standing, look.rule(), self._legend.panel,
            width=264, sizing_mode="stretch_height", styles=look.SIDE, margin=0,
        )  # fmt: skip
        self.watch(self._fill, ["outcome", "outcomes", "jobs", "reference", "show", "color", "level", "own_label",
                                "batch"])  # fmt: skip
        self.watch(self._color_saved_anew, ["gates", "outcome"])
        self.watch(lambda: self._standing.display(session.standing("color")), ["status"])
        self._fill()

    def destroy(self) -> None:
        """Let go of the session, with all parts."""
        self._set.destroy()
        self._legend.destroy()
        super().destroy()

    def uncover_genes(self) -> None:
        """Offer the search for a gene."""
        self._kind.value = "gene"
        self._uncover("gene")

    # choices

    # Filling a widget in from the session raises the same event as a person's choice: so each asks whether it
    # is news.

    def _choose_kind(self, event: param.parameterized.Event) -> None:
        session, kind = self.session, event.new
        if kind == self._kind_now():
            return
        if kind in (OWN, SAMPLE):
            self._choose(ColorBy("column", session.own_label if kind == OWN else session.batch))
        elif kind == SAVED:
            session.color_by_saved()
        elif kind in (CONSENSUS, AGREEMENT):
            self._choose(ColorBy(kind, agreeing.names_of(session.outcomes)))
        elif kind in _NAMED:
            self._uncover(kind)  # first let her choose which
            if name := self._likely(kind):
                self._choose(ColorBy(kind, name))
        else:
            self._choose(ColorBy(kind))

    def _likely(self, kind: str) -> str:
        if kind == "column":
            taken = (self.session.own_label, self.session.batch)  # these are choices of their own
            others = [name for name in self._column.options if name not in taken] or self._column.options
            return str(self._column.value if self._column.value in others else next(iter(others), ""))
        if kind == "gene":
            return find_gene(self._gene.value or "", self._genes) or ""
        return str(self._protein.value or next(iter(self._protein.options), "")) if kind == PROTEIN else ""

    def _choose_level(self, event: param.parameterized.Event) -> None:
        if event.new and event.new != self.session.level:
            self.session.choose_color(self.session.color, event.new)

    def _choose_named(self, kind: str, name: str | None) -> None:
        if name and self._kind.value == kind:
            self._choose(ColorBy(kind, name))

    def _choose_gene(self, event: param.parameterized.Event) -> None:
        if not event.new or self._kind.value != "gene":
            self._no_gene.visible = False
            return
        gene = find_gene(event.new, self._genes)
        self._no_gene.visible = gene is None
        self._no_gene.object = (
            f'<p class="small soft" role="status">No gene {look.text(event.new)} among these cells. Try another name, '
            "or its Ensembl id.</p>"
        )
        if gene is not None:
            self._choose(ColorBy("gene", gene))

    def _choose(self, by: ColorBy) -> None:
        if by != self.session.color:
            self.session.choose_color(by)

    def _color_saved_anew(self) -> None:
        """Show a selection that was saved, or removed, in the colours that stand for them."""
        if self.session.color.kind == SAVED and is_of(self.session.color.name, self.session.front):
            self.session.color_by_saved()
        self._fill()

    # drawing

    def _kind_now(self) -> str:
        """Which of the choices the session's colour is."""
        by, session = self.session.color, self.session
        if by.kind == "column" and session.front == "query" and by.name:
            return {session.own_label: OWN, session.batch: SAMPLE}.get(by.name, "column")
        return str(by.kind)

    def _fill(self) -> None:
        session = self.session
        if session.reference is None:
            return
        outcome = session.outcome if session.front == "query" else None
        self._fill_column(list(outcome.columns if outcome is not None else session.traits.columns))
        self._fill_genes(outcome.genes if outcome is not None else tuple(session.reference.genes[keys.SYMBOL]))
        found = outcome.result.proteins if outcome is not None else None
        proteins = list(found.names if found is not None else session.reference.proteins if outcome is None else ())
        by = session.color
        self._protein.param.update(options=proteins, value=by.name if by.kind == PROTEIN else None)
        self._level.param.update(options=list(session.reference.levels), value=session.level)
        self._fill_kinds(has_proteins=bool(proteins), has_result=outcome is not None)

    def _fill_kinds(self, *, has_proteins: bool, has_result: bool) -> None:
        session, now = self.session, self._kind_now()
        self._uncover(now)
        if _awaits_result(session):
            return  # of two changes that follow each other closely, a page may be left with the first
        together = has_result and len(session.outcomes) > 1
        there = {
            OWN: has_result and bool(session.own_label), SAMPLE: has_result and bool(session.batch),
            PROTEIN: has_proteins, CONSENSUS: together, AGREEMENT: together,
            SAVED: any(gate.cells == session.front for gate in session.gates),
        }  # fmt: skip
        self._kind.param.update(options=_options([kind for kind in _TITLES if there.get(kind, True) or kind == now]))
        self._kind.value = now

    def _fill_column(self, columns: list[str]) -> None:
        by = self.session.color
        chosen = by.name if by.kind == "column" and by.name in columns else None
        self._column.param.update(options=columns, value=chosen)

    def _fill_genes(self, genes: tuple[str, ...]) -> None:
        by = self.session.color
        if genes != self._genes:
            self._genes = genes
            self._gene.options = suggestions(genes)
        if by.kind == "gene" and by.name in genes and self._gene.value != by.name:
            self._gene.value = by.name

    def _uncover(self, kind: str) -> None:
        self._title.object = f"<h3>Colour by{about(_EXPLAINED[kind]) if kind in _EXPLAINED else ''}</h3>"
        self._level.visible = kind in ("label", "confidence", "novelty", CONSENSUS, AGREEMENT)
        self._column.visible = kind == "column"
        self._gene.visible = kind == "gene"
        self._no_gene.visible = False
        self._protein.visible = kind == PROTEIN
        self._set.panel.visible = kind == GENES


def _awaits_result(session: Session) -> bool:
    """Whether a result of the project is there but not opened yet."""
    project, jobs = session.project, session.jobs.values()
    if project is None or session.outcome is not None or session.standing("result").phase is Phase.FAILED:
        return False
    return bool(project.jobs) and (not jobs or any(job.state is JobState.DONE for job in jobs))


def _options(kinds: Any) -> dict[str, str]:
    return {_TITLES[kind]: kind for kind in kinds}


_DENSE = {
    "&.MuiFormGroup-root, & .MuiFormGroup-root": {"display": "grid !important", "gridTemplateColumns": "1fr 1fr"},
    "& .MuiFormControlLabel-root": {"marginRight": "0", "minHeight": "26px"},
    "& .MuiRadio-root": {"padding": "3px 8px 3px 2px"},
    "& .MuiFormControlLabel-label": {"fontSize": "14px"},
}
