"""Right of the map: the selected cells, the genes behind their label, and the cell that was clicked."""

from __future__ import annotations

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from components.selection_panel import SelectionPanel
from explorer.app import downloads, look
from explorer.app.coloring import ColorBy, label_categories
from explorer.app.explaining import Explanation
from explorer.app.library import Outcome
from explorer.app.session import Session
from explorer.app.tables import offered_table
from explorer.app.views.base import Standing, View


class SelectionView(View):
    """What is selected, and why it is called so.

    Attributes
    ----------
    selection
        Summary and the choice of how the next lasso meets the selection; the map follows its `mode`.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.selection = SelectionPanel()
        self.selection.param.watch(lambda _: session.select(None), "clear")
        self._doubt = look.html(margin=(6, 0, 0, 0))
        self._offer = downloads.offer(lambda: offered_table(session))
        self._table = look.html(margin=(8, 0, 0, 0))
        self._build_why()
        self._cell = look.html()
        self.panel = pn.Column(
            look.html("<h3>Selection</h3>", margin=(0, 0, 4, 0)), self.selection, self._doubt, self._table, look.rule(),
            self._why, look.html("<h3>Cell</h3>", margin=(0, 0, 4, 0)), self._cell, width=312,
            sizing_mode="stretch_height", styles={**look.SIDE, "border-left": "1px solid var(--ax-line)"}, margin=0,
        )  # fmt: skip
        self.watch(self._draw, ["selection", "outcome", "reference", "show", "level"])
        self.watch(self._draw_why, ["explanation", "status", "selection", "outcome", "show", "level"])
        self._draw()
        self._draw_why()
        self.show_cell(None)

    def _build_why(self) -> None:
        self._toward = pmui.Select(
            label="Toward", options=[], size="small", margin=(6, 8, 0, 0), sizing_mode="stretch_width"
        )
        self._ask = pmui.Button(label="Why these?", variant="contained", margin=(6, 0, 0, 0), align="center")
        self._ask.on_click(lambda _: self.session.explain(self._toward.value))
        self._standing = Standing()
        self._said = look.html(margin=(6, 0, 4, 0))
        self._genes = ChoiceTable(columns=_GENE_COLUMNS, radio=False, dense=True, sizing_mode="stretch_width", margin=0)
        self._genes.param.watch(self._color_by_gene, "value")
        self._genes_box = pn.Column(self._genes, sizing_mode="stretch_width", margin=0, visible=False)
        self._why = pn.Column(
            look.html("<h3>Genes behind the label</h3>"),
            pn.Row(self._toward, self._ask, margin=0, sizing_mode="stretch_width"),
            self._standing, self._said, self._genes_box, look.rule(), sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def destroy(self) -> None:
        """Let go of the session, and offer its table no longer."""
        downloads.withdraw(self._offer)
        super().destroy()

    def _color_by_gene(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._genes.value = ""
            self.session.choose_color(ColorBy("gene", event.new))

    # drawing

    def _draw(self) -> None:
        session = self.session
        if session.reference is None:
            return
        labels = label_categories(session.reference, session.outcome, session.level, session.front)
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
        said = session.explanation
        self._genes_box.visible = said is not None
        self._said.object = explanation_words(said) if said is not None else ""
        self._genes.rows = gene_rows(said) if said is not None else []

    def show_cell(self, row: int | None) -> None:
        """Tell of one cell in front, or of none."""
        session = self.session
        if row is None or session.reference is None:
            self._cell.object = '<p class="soft small">Click a cell on the map.</p>'
        elif session.front == "query" and session.outcome is not None:
            self._cell.object = query_cell(session.outcome, row, session.level, session.own_label)
        else:
            obs = session.reference.obs
            rows = [("Name", obs.index[row]), *((level, obs[level].iloc[row]) for level in session.reference.levels)]
            self._cell.object = look.facts(rows, tight=True)


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
    return look.facts(
        [
            ("Median confidence", f"{np.median(found.confidence[rows]):.2f}"),
            ("Median novelty", f"{np.median(found.novelty[rows]):.2f}"),
            ("Called unknown", f"{n_unknown:,} of {n:,} ({look.share(n_unknown, n)})"),
        ],
        tight=True,
    )


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


def explanation_words(said: Explanation) -> str:
    """What the ranking is and how far it can be trusted, as HTML."""
    missed = f" The scores miss {look.share(abs(said.error), 1)} of what they should sum to."
    trust = "" if np.isnan(said.error) else missed
    measure = look.text(said.measure[:1].upper() + said.measure[1:].rstrip("."))
    return (
        f'<p class="small soft">Toward <b>{look.text(said.toward)}</b>, {said.n_cells:,} cells. {measure}.{trust} '
        "Means are log1p CP10k; a gene that is lower here speaks by its absence. Click one to colour by it.</p>"
    )


def query_cell(outcome: Outcome, row: int, level: str, own: str) -> str:
    """One query cell: its best labels with their probabilities, and what it brought, as HTML."""
    result = outcome.result
    labels = result.labels.level(level)
    best = np.argsort(-labels.probabilities[row])[:5]
    rows: list[tuple[str, str]] = [("Name", str(result.obs.index[row]))]
    if own and own in result.obs:
        rows.append((f"Your {own}", str(result.obs[own].iloc[row])))
    novelty = f"{labels.novelty[row]:.2f}" + (", called unknown" if labels.unknown[row] else "")
    rows += [("Novelty", novelty), *((labels.classes[i], f"{labels.probabilities[row, i]:.3f}") for i in best)]
    return look.facts(rows, tight=True)
