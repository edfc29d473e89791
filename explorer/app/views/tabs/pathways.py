"""Pathways: gene sets behind markers or a signature, or those that the model itself reads; with their genes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import panel_material_ui as pmui
import param

from components.menu import Menu
from components.paged_table import Column, PagedTable
from components.ranked_bars import RankedBars
from explorer.app import look
from explorer.app.answers.pathways import (
    COLLECTIONS,
    LISTED,
    MARKERS,
    MODEL,
    RANKED,
    SIGNATURE,
    Ranked,
    Sets,
    ask_model,
    look_up,
    of_markers,
    of_signature,
    pathway_measures,
)
from explorer.app.colors.coloring import ColorBy
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.tab import recalling
from explorer.app.tab.recalling import Place
from explorer.app.tab.session import Session
from explorer.app.tab.status import READY, Phase
from explorer.app.views.base import Standing
from explorer.app.views.set_files import SetFilesView
from explorer.app.views.tabs.tab import SLIM, TabView, column, row, said, said_html, side_by_side
from explorer.asking.painting import GENES, name_of_genes
from explorer.errors import OptionsProblem

_COLUMNS = (
    Column("title", "Gene set"),
    Column("score", "score", "number", "How much it speaks for the label"),
    Column("adjusted_p", "adj. p", "p", "Benjamini-Hochberg over sets"),
    Column("fold", "fold", "number", "Genes found over those expected by chance"),
    Column("z", "z", "number", "Rank sum of its genes; above 0 they stand high"),
    Column("auroc", "AUROC", "number", "Chance that a gene of the set ranks above another"),
    Column("found", "found", "number", "Genes of the set among those looked up"),
    Column("size", "genes", "number", "Genes of the set that were measured"),
)
_HOWS = {"first 100 genes": LISTED, "ranking of all genes": RANKED}
_SHOWN_GENES = 25
_NOTHING = (
    "First compare cells on the tab Markers, or ask on the tab Signatures; then look up here which gene sets those "
    "genes have in common."
)
_ASK = "Look up which gene sets these genes have in common. A click on a set colours the map by its genes."


class PathwaysView(TabView):
    """Whose genes, which collections, the sets found, and the genes of the one chosen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._place: Place | None = None
        self._build()
        self.watch(self._fill, ["markers", "spoken", "outcome", "show", "level"])
        self.watch(self._fill_collections, ["own_sets"])
        self.watch(self._begin, ["outcome", "reference", "show"])
        self.watch(self._draw, ["sets"])
        self.watch(self._stand, ["status", "sets", "markers", "spoken", "outcome", "show", "threshold", "found_at"])
        self._fill()
        self._fill_collections()
        self._draw()
        self._stand()
        self._begin()

    def _build(self) -> None:
        def select(label: str, width: int, **more: Any) -> Menu:
            return Menu(label=label, size="small", width=width, margin=(8, 8, 4, 0), sx=SLIM, **more)

        self._of = select("Behind", 170, options={})
        self._collections = select("Sets", 170, options=list(COLLECTIONS), value=next(iter(COLLECTIONS)))
        self._files = SetFilesView(self.session)
        self._how = select("Look up", 165, options=_HOWS, value=LISTED)
        self._toward = select("Toward", 150, options=[])
        self._measure = select("Measured by", 170, options=[])
        self._ask = pmui.Button(label="Look up", variant="contained", margin=(8, 8, 4, 0), size="small")
        self._stop = pmui.Button(label="Cancel", variant="outlined", margin=(8, 8, 4, 0), size="small", visible=False)
        self._link = self.link("All sets, csv", self._offered)
        self._standing = Standing("")
        self._hint = look.html(margin=(4, 0))
        self._said = look.html(margin=(2, 0, 2, 0))
        self._table = PagedTable(unit="sets", action="Click to colour by the mean of its genes", margin=0,
                                 sizing_mode="stretch_width")  # fmt: skip
        self._bars = RankedBars(sizing_mode="stretch_width", margin=0, empty="Click a gene set to see its genes.")
        left = column(self._table, styles={"flex": "1.4 1 380px", "min-width": "0"})
        right = column(self._bars, styles={"flex": "1 1 260px", "min-width": "0"})
        self._results = side_by_side(left, right)
        self._choices = row(
            self._of, self._collections, self._how, self._toward, self._measure, self._ask, self._stop,
            self._files.button,
        )  # fmt: skip
        self.panel = column(
            self._choices, self._files.panel, self._hint, self._standing, said(self._said, self._link), self._results
        )
        self._of.param.watch(lambda _: self._stand(), "value")
        self._ask.on_click(lambda _: self.look_up())
        self._stop.on_click(lambda _: self.session.forget("sets"))
        self._table.param.watch(self._choose_set, "picked")
        self._bars.param.watch(self._color, "picked")

    # the question

    def _fill(self) -> None:
        session, outcome = self.session, self.session.outcome
        has_query = outcome is not None and session.front == "query"
        options: dict[str, str] = {}
        if session.markers is not None:
            options["Markers found last"] = MARKERS
        if session.spoken is not None and has_query:
            options["Signature asked last"] = SIGNATURE
        measures: list[str] = []
        if outcome is not None and has_query:
            measures = [each.name for each in pathway_measures(outcome.result.method)]
            labels = outcome.result.labels.level(session.level)
            counts = np.bincount(labels.codes[~labels.unknown], minlength=len(labels.classes))
            names = [labels.classes[at] for at in np.argsort(-counts, kind="stable")]
            self._toward.param.update(
                options=names, value=self._toward.value if self._toward.value in names else names[0]
            )
        if measures:
            options["The model's own pathways"] = MODEL
        kept = self._of.value if self._of.value in options.values() else next(iter(options.values()), None)
        self._of.param.update(options=options, value=kept)
        kept_measure = self._measure.value if self._measure.value in measures else next(iter(measures), None)
        self._measure.param.update(options=measures, value=kept_measure)
        self._stand()

    def _fill_collections(self) -> None:
        """Offer the person's own files too; one that has just been brought is the one she wants."""
        own = [each.mark for each in self.session.own_sets]
        before, chosen = set(self._collections.options), self._collections.value
        new = [mark for mark in own if mark not in before]
        options = [*own, *COLLECTIONS]
        kept = chosen if chosen in options else next(iter(COLLECTIONS))
        self._collections.param.update(options=options, value=new[-1] if new else kept)

    def destroy(self) -> None:
        """Let go of the session, with all parts."""
        self._files.destroy()
        super().destroy()

    def look_up(self) -> None:
        """Look up, or ask the model, for what the choices say now."""
        session, of = self.session, self._of.value
        if of == MODEL:
            self._ask_model()
            return
        ranked = self._ranked(of)
        if ranked is None:
            return
        chosen, how = self._collections.value, self._how.value
        own = next((each for each in session.own_sets if each.mark == chosen), None)
        collections, place = COLLECTIONS.get(chosen, ()), recalling.place_of(session, "sets")
        session.pursue(
            "sets",
            "Looking up gene sets",
            lambda progress: look_up(ranked, collections, how, progress, own),
            lambda found: self._take(found, place),
        )

    def _take(self, found: Sets, place: Place | None) -> None:
        self.session.sets = found
        recalling.keep(self.session, place, found)

    def _begin(self) -> None:
        """Take up what was found before about the cells in front, and the findings that can be looked up in."""
        session, place = self.session, recalling.place_of(self.session, "sets")
        if self._place is not None and (place is None or place.path != self._place.path):
            session.forget("sets")
            session.sets = None  # of other cells than those in front now
        self._place = place
        for what, topic in (("markers", "markers"), ("spoken", "signatures"), ("sets", "sets")):
            if getattr(session, what) is None:
                recalling.recall(session, topic, topic, partial(setattr, session, what))

    def _ranked(self, of: str | None) -> Ranked | None:
        session = self.session
        if of == MARKERS and session.markers is not None:
            return of_markers(session.markers)
        if of == SIGNATURE and session.spoken is not None:
            return of_signature(session.spoken, self._toward.value or "")
        return None

    def _ask_model(self) -> None:
        session, outcome, reference, job = self.session, self.session.outcome, self.session.reference, self.session.job
        if outcome is None or reference is None or job is None:
            return
        level, toward, measure = session.level, self._toward.value, self._measure.value
        labels = outcome.result.labels.level(level)
        named = np.flatnonzero((labels.labels == toward) & ~labels.unknown)
        rows = named if session.selection is None else session.selection
        place = recalling.place_of(session, "sets")
        session.pursue(
            "sets",
            "Asking the model",
            lambda progress: ask_model(job.mapping, outcome, reference, rows, toward, level, measure, progress),
            lambda found: self._take(found, place),
        )

    # choices among the answers

    def _choose_set(self, event: param.parameterized.Event) -> None:
        found: Sets | None = self.session.sets
        if found is None or not event.new:
            return
        names = found.table["gene_set"].astype(str)[found.table["title"] == event.new]
        genes = found.members.get(str(names.iloc[0]), ()) if len(names) else ()
        if genes:
            self._show_genes(found, event.new, genes)
            self.session.choose_color(ColorBy(GENES, name_of_genes(found.named(event.new), genes)))

    def _color(self, event: param.parameterized.Event) -> None:
        if event.new and ColorBy("gene", event.new) != self.session.color:
            self.session.choose_color(ColorBy("gene", event.new))

    # drawing

    def _stand(self) -> None:
        standing, found = self.session.standing("sets"), self.session.sets
        has, is_running, of = bool(self._of.options), standing.phase is Phase.RUNNING, self._of.value
        self._choices.visible = has
        hint = _NOTHING if not has else _ASK if found is None and standing.phase is Phase.NOTHING else ""
        self._hint.object = f'<p class="soft">{hint}</p>' if hint else ""
        self._standing.display(READY if standing.phase is Phase.NOTHING else standing)
        self._stop.visible, self._ask.disabled = is_running, is_running
        self._ask.label = "Ask" if of == MODEL else "Look up"
        self._collections.visible = self._how.visible = self._files.button.visible = of != MODEL
        several = self.session.spoken is not None and len(self.session.spoken.of_labels) > 1
        self._toward.visible = of == MODEL or (of == SIGNATURE and several)
        self._measure.visible = of == MODEL
        self._results.visible = found is not None
        self.show_link(self._link, found is not None)
        late = recalling.outdated(self.session, "sets")
        self._said.object = said_html(found.told, late) if found is not None else ""

    def _draw(self) -> None:
        found: Sets | None = self.session.sets
        if found is None:
            return
        self._table.picked = ""
        self._table.display(found.table, _COLUMNS)
        if found.key_genes is not None:
            top = found.key_genes.head(_SHOWN_GENES)
            self._bars.param.update(
                names=[str(gene) for gene in top["gene"]],
                scores=[round(float(-np.log10(max(q, 1e-12))), 3) for q in top["q"]],
                title="Genes in the middle of the ten first pathways",
                note="−log10 Q of five centralities (Tang et al. 2024): a score, not a p-value.",
            )
        else:
            self._bars.param.update(names=[], scores=[], title="", note="")

    def _show_genes(self, found: Sets, title: str, genes: tuple[str, ...]) -> None:
        """The genes of a set, by what ranks them where that is known."""
        ranked = None if found.how == MODEL else self._ranked(self._of.value)
        scores = dict.fromkeys(genes, 0.0)
        if ranked is not None:
            table = ranked.table[ranked.table["gene"].isin(genes)]
            scores = dict(zip(table["gene"].astype(str), table["score"].astype(float), strict=True))
        elif found.key_genes is not None:
            return
        first = sorted(scores, key=lambda gene: -scores[gene])[:_SHOWN_GENES]
        more = f" The first {_SHOWN_GENES} of {len(genes)}." if len(genes) > _SHOWN_GENES else ""
        self._bars.param.update(
            names=first, scores=[scores[gene] for gene in first], title=title,
            note=f"Score of each gene in what was looked up.{more} Click one to colour by it.",
        )  # fmt: skip

    def _offered(self) -> Offered:
        found: Sets | None = self.session.sets
        if found is None:
            raise OptionsProblem("No gene sets were looked up yet. Press Look up on the tab Pathways first.")
        return offered_frame(self.session, f"gene sets, {found.how}", found.table.assign(source=found.source))
