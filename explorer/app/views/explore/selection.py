"""Right of the map: the selected cells, what speaks for their label, and the cell that was clicked."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from components.menu import Menu
from components.ranked_bars import RankedBars
from components.selection_panel import SelectionPanel
from explorer.app import look
from explorer.app.answers.explaining import Explanation
from explorer.app.colors.coloring import ColorBy, label_categories
from explorer.app.leaving import downloads
from explorer.app.leaving.tables import offered_signature, offered_table
from explorer.app.stored.library import Outcome
from explorer.app.tab import recalling
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.explore.cell_card import CellCardView
from explorer.app.views.explore.gates import GatesView
from explorer.app.words import about
from explorer.genesets import readable
from explorer.methods.base import Measure


class SelectionView(View):
    """What is selected, and why it is called so.

    Attributes
    ----------
    selection
        Summary and the choice of how the next gesture meets the selection.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.selection = SelectionPanel()
        self.selection.param.watch(lambda _: session.select(None), "clear")
        self.selection.param.watch(lambda _: session.invert(), "invert")
        self.selection.param.watch(lambda event: session.param.update(mode=event.new), "mode")
        self._gates = GatesView(session)
        self._doubt = look.html(margin=(6, 0, 0, 0))
        self._offer = downloads.offer(lambda: offered_table(session))
        self._offer_why = downloads.offer(lambda: offered_signature(session))
        self._table = look.html(margin=(8, 0, 0, 0))
        self._build_why()
        self._card = CellCardView(session)
        self.panel = pn.Column(
            look.html("<h3>Selection</h3>", margin=(0, 0, 4, 0)), self.selection, self._doubt, self._gates.panel,
            self._table, look.rule(),
            self._why, self._card.panel, width=312,
            sizing_mode="stretch_height", styles={**look.SIDE, "border-left": "1px solid var(--ax-line)"}, margin=0,
        )  # fmt: skip
        self.watch(self._draw, ["selection", "outcome", "reference", "show", "level", "paints"])
        self.watch(lambda: setattr(self.selection, "mode", session.mode), ["mode"])
        self.watch(self._draw_why, ["explanation", "status", "selection", "outcome", "show", "level", "measure"])
        self._recalled: Explanation | None = None
        self.watch(self._keep_why, ["explanation"])
        self.watch(self._recall_why, ["selection", "outcome", "show", "level"])
        self._draw()
        self._draw_why()
        self._recall_why()

    def _build_why(self) -> None:
        self._toward = Menu(
            label="Toward", options=[], size="small", margin=(6, 8, 0, 0), sizing_mode="stretch_width"
        )
        self._measure = Menu(
            label="Measured by", options={}, size="small", margin=(10, 0, 0, 0), sizing_mode="stretch_width"
        )
        self._measure.param.watch(self._choose_measure, "value")
        self._ask = pmui.Button(label="Why these?", variant="contained", margin=(6, 0, 0, 0), align="center")
        self._ask.on_click(lambda _: self.session.explain(self._toward.value))
        self._standing = Standing()
        self._said = look.html(margin=(6, 0, 4, 0))
        self._genes = ChoiceTable(columns=_GENE_COLUMNS, radio=False, dense=True, sizing_mode="stretch_width", margin=0)
        self._genes.param.watch(self._color_by_gene, "value")
        self._genes_box = pn.Column(self._genes, sizing_mode="stretch_width", margin=0, visible=False)
        self._bars = RankedBars(above=True, sizing_mode="stretch_width", margin=0)
        self._bars_box = pn.Column(self._bars, sizing_mode="stretch_width", margin=0, visible=False)
        self._whole = look.html(margin=(8, 0, 0, 0))
        self._why = pn.Column(
            look.html("<h3>What speaks for the label</h3>"),
            pn.Row(self._toward, self._ask, margin=0, sizing_mode="stretch_width"), self._measure,
            self._standing, self._said, self._genes_box, self._bars_box, self._whole, look.rule(),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def destroy(self) -> None:
        """Let go of the session, and offer its tables no longer."""
        self._gates.destroy()
        downloads.withdraw(self._offer)
        downloads.withdraw(self._offer_why)
        self._card.destroy()
        super().destroy()

    def _color_by_gene(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._genes.value = ""
            self.session.choose_color(ColorBy("gene", event.new))

    def _keep_why(self) -> None:
        """Keep what was just explained, with the cells that it is about."""
        session, said = self.session, self.session.explanation
        if said is not None and said is not self._recalled:
            recalling.keep(session, recalling.place_of(session, "why"), {"rows": session.selection, "said": said})

    def _recall_why(self) -> None:
        if self.session.explanation is None:
            recalling.recall(self.session, "why", "explain", self._take_why)

    def _take_why(self, kept: dict[str, Any]) -> None:
        """Show what was explained before, if it was asked about the same cells in the same way."""
        session, said, rows = self.session, kept["said"], kept["rows"]
        chosen = session.selection
        is_same = rows is chosen if rows is None or chosen is None else np.array_equal(rows, chosen)
        asked = (said.level, said.measure.name) == (session.level, _measure_in_use(session))
        if session.explanation is None and is_same and asked:
            self._recalled = session.explanation = said

    def _choose_measure(self, event: param.parameterized.Event) -> None:
        if event.new and event.new != _measure_in_use(self.session):
            self.session.explain_by(event.new)

    # drawing

    def _draw(self) -> None:
        session = self.session
        if session.reference is None:
            return
        labels = label_categories(session.reference, session.outcome, session.level, session.front, session.paints)
        mask = None
        if session.selection is not None:
            mask = np.zeros(len(labels.codes), dtype=np.bool_)
            mask[session.selection] = True
        self.selection.display(mask, labels)
        n = len(labels.codes) if session.selection is None else len(session.selection)
        self._doubt.object = _doubt(session)
        address = look.text(look.route("download") + downloads.offer_query(self._offer))
        what = f"{n:,} {'cells' if n > 1 else 'cell'}"
        self._table.object = f'<a class="get" href="{address}" download>Download {what} as csv</a>'

    def _draw_why(self) -> None:
        session, outcome = self.session, self.session.outcome
        self._why.visible = outcome is not None and session.front == "query"
        if outcome is None:
            return
        options = _by_frequency(session, outcome)
        if options != self._toward.options:
            self._toward.param.update(options=options, value=options[0])
        self._standing.display(session.standing("explain"))
        measures = {_measure_words(each): each.name for each in session.measures}
        self._measure.param.update(options=measures, value=_measure_in_use(session), visible=len(measures) > 1)
        said = session.explanation
        self._genes_box.visible = said is not None and bool(said.genes)
        self._bars_box.visible = said is not None and not said.genes
        self._said.object = explanation_words(said) if said is not None else ""
        self._genes.rows = gene_rows(said) if said is not None else []
        names, scores = bars(said) if said is not None else ([], [])
        self._bars.param.update(names=names, scores=scores)
        self._whole.object = self._link_to_all(said) if said is not None else ""

    def _link_to_all(self, said: Explanation) -> str:
        address = look.text(look.route("download") + downloads.offer_query(self._offer_why))
        what = f"all {len(said.signature.names):,} {_PLURALS[said.signature.of]}"
        return f'<a class="get" href="{address}" download>Download {what} as csv</a>'

    @property
    def is_card_open(self) -> bool:
        """Whether a cell is told of."""
        return self._card.is_open

    def show_cell(self, row: int | None) -> None:
        """Tell of one cell in front, or of none."""
        self._card.show(row)


def _measure_in_use(session: Session) -> str:
    names = [each.name for each in session.measures]
    return session.measure if session.measure in names else next(iter(names), "")


def _measure_words(measure: Measure) -> str:
    return f"{measure.name[:1].upper()}{measure.name[1:]} ({_PLURALS[measure.of]})"


def _by_frequency(session: Session, outcome: Outcome) -> list[str]:
    """Labels of the selected cells, or of all, the most frequent first."""
    labels = outcome.result.labels.level(session.level)
    codes = labels.codes if session.selection is None else labels.codes[session.selection]
    counts = np.bincount(codes, minlength=len(labels.classes))
    return [labels.classes[code] for code in np.argsort(-counts, kind="stable")]


def _doubt(session: Session) -> str:
    """Confidence and novelty of the selected cells, or of all, as HTML."""
    if session.front == "reference" or session.outcome is None:
        return ""
    found = session.outcome.result.labels.level(session.level)
    rows = slice(None) if session.selection is None else session.selection
    n_unknown, n = int(found.unknown[rows].sum()), len(found.unknown[rows])
    told = (
        ("Median confidence", "confidence", f"{np.median(found.confidence[rows]):.2f}"),
        ("Median novelty", "novelty", f"{np.median(found.novelty[rows]):.2f}"),
        ("Called unknown", "unknown", f"{n_unknown:,} of {n:,} ({look.share(n_unknown, n)})"),
    )
    parts = (f"<dt>{name}{about(word)}</dt><dd>{value}</dd>" for name, word, value in told)
    return f'<dl class="facts tight">{"".join(parts)}</dl>'


SHOWN_BARS = 15
_PLURALS = {"gene": "genes", "pathway": "pathways", "protein": "proteins"}
_GENE_COLUMNS = [
    {"key": "gene", "label": "Gene"},
    {"key": "score", "label": "Score", "align": "right"},
    {"key": "here", "label": "Mean here", "align": "right"},
    {"key": "elsewhere", "label": "Elsewhere", "align": "right"},
]


def gene_rows(said: Explanation) -> list[dict[str, str]]:
    """The ranked genes of an explanation as table rows."""
    return [
        {
            "id": gene.gene,
            "gene": gene.gene,
            "score": f"{gene.score:.3g}",
            "here": _mean(gene.here),
            "elsewhere": _mean(gene.elsewhere),
        }
        for gene in said.genes
    ]


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def bars(said: Explanation) -> tuple[list[str], list[float]]:
    """The highest scores of an explanation by pathways or proteins, with names that can be read; else nothing."""
    if said.genes:
        return [], []
    top = said.signature.top(SHOWN_BARS)
    names = [readable(str(name)) if said.signature.of == "pathway" else str(name) for name in top[said.signature.of]]
    return names, [float(score) for score in top["score"]]


def explanation_words(said: Explanation) -> str:
    """What the ranking is and how far it can be trusted, as HTML."""
    missed = f" The scores miss {look.share(abs(said.error), 1)} of what they should sum to."
    trust = "" if np.isnan(said.error) else missed
    untaught = " Explained by the model as it was before it learned from your cells." if said.is_untaught else ""
    genes = " Means are log1p CP10k; a gene that is lower here speaks by its absence. Click one to colour by it."
    cells = f"{said.n_cells:,} cell{'s' if said.n_cells != 1 else ''}"
    return (
        f'<p class="small soft">Toward <b>{look.text(said.toward)}</b>, {cells}. {look.text(said.measure.summary)}'
        f"{trust}{untaught}{genes if said.genes else ''}</p>"
    )
