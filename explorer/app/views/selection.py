"""Right of the map: the selected cells, the genes behind them, and the cell that was clicked."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param
from numpy.typing import NDArray

from components.choice_table import ChoiceTable
from components.coloring import Categories
from components.embedding_map import MODES
from explorer import keys
from explorer.app import look
from explorer.app.coloring import ColorBy, color_reference, label_colors
from explorer.app.explaining import Explanation
from explorer.app.library import Outcome
from explorer.app.session import Session
from explorer.app.views.base import Standing, View

_MODE_WORDS = {"replace": "New", "add": "Add", "subtract": "Remove", "intersect": "Within"}
SHOWN_LABELS = 8


class SelectionPanel(View):
    """What is selected, and why it is called so.

    Attributes
    ----------
    mode
        How the next lasso meets the selection; the map follows it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._head = look.html()
        self.mode = pmui.RadioButtonGroup(
            options={words: mode for mode, words in _MODE_WORDS.items() if mode in MODES}, value="replace", size="small",
            margin=(8, 0, 4, 0), sizing_mode="stretch_width", sx=_SEGMENTS,
        )  # fmt: skip
        self._shares = look.html(margin=(4, 0, 0, 0))
        self._clear = pmui.Button(label="Clear", variant="text", margin=(8, 4, 0, 0))
        self._clear.on_click(lambda _: session.select(None))
        self._table = pmui.FileDownload(
            callback=self._csv, filename="selection.csv", label="Download table", variant="outlined", size="small",
            button_style="outlined", margin=(8, 0, 0, 0), sizing_mode="fixed", width=150,
        )  # fmt: skip
        self._build_why()
        self._cell = look.html(margin=(0, 0, 0, 0))
        self.panel = pn.Column(
            look.html("<h3>Selection</h3>", margin=(0, 0, 4, 0)), self._head, self.mode, self._shares,
            pn.Row(self._table, self._clear, margin=0), _rule(), self._why, _rule(),
            look.html("<h3>Cell</h3>", margin=(0, 0, 4, 0)), self._cell, width=312, sizing_mode="fixed",
            styles={**look.SIDE, "border-left": "1px solid var(--ax-line)"}, margin=0,
        )  # fmt: skip
        self.watch(self._draw, ["selection", "outcome", "reference", "show", "level", "query_coloring", "reference_coloring"])
        self.watch(self._draw_why, ["explanation", "status", "selection", "outcome", "show", "level"])
        self._draw()
        self._draw_why()
        self.show_cell(None)

    def _build_why(self) -> None:
        self._toward = pmui.Select(label="Toward", options=[], size="small", margin=(6, 8, 0, 0), sizing_mode="stretch_width")
        self._ask = pmui.Button(label="Why these?", variant="contained", margin=(6, 0, 0, 0), align="center")
        self._ask.on_click(self._explain)
        self._standing = Standing()
        self._said = look.html(margin=(6, 0, 4, 0))
        self._genes = ChoiceTable(columns=_GENE_COLUMNS, radio=False, dense=True, sizing_mode="stretch_width", margin=0)
        self._genes.param.watch(self._color_by_gene, "value")
        self._genes_box = pn.Column(self._genes, sizing_mode="stretch_width", margin=0, visible=False)
        self._why = pn.Column(
            look.html("<h3>Genes behind the label</h3>", margin=0), pn.Row(self._toward, self._ask, margin=0,
                                                                      sizing_mode="stretch_width"),
            self._standing, self._said, self._genes_box, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    # choices

    def _explain(self, _: Any) -> None:
        self.session.explain(self._toward.value)

    def _color_by_gene(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._genes.value = ""
            self.session.choose_color(ColorBy("gene", event.new))

    def _csv(self) -> StringIO:
        return StringIO(selection_table(self.session).to_csv(index=False, float_format="%.6g"))

    # drawing

    def _draw(self, *_: Any) -> None:
        session = self.session
        if session.reference is None:
            return
        rows, n = session.selection, _n_front(session)
        what = "cells" if session.front == "query" else "reference cells"
        if rows is None:
            self._head.object = (
                f'<p><b class="big num">{n:,}</b> {what}, none selected</p>'
                '<p class="soft small">Draw around cells with the lasso or the box beside the map.</p>'
            )
        else:
            self._head.object = f'<p><b class="big num">{len(rows):,}</b> of {n:,} {what} ({look.share(len(rows), n)})</p>'
        self._clear.visible = rows is not None
        self._table.filename = "selection.csv" if rows is not None else "cells.csv"
        self._shares.object = _told(session, rows)

    def _draw_why(self, *_: Any) -> None:
        session, outcome = self.session, self.session.outcome
        self._why.visible = outcome is not None and session.front == "query"
        if outcome is None:
            return
        labels = outcome.result.labels.level(session.level)
        codes = labels.codes if session.selection is None else labels.codes[session.selection]
        counts = np.bincount(codes, minlength=len(labels.classes))
        order = [int(code) for code in np.argsort(-counts, kind="stable")]
        options = [labels.classes[code] for code in order]
        if options != self._toward.options:
            self._toward.param.update(options=options, value=options[0])
        self._standing.show(session.standing("explain"))
        said = session.explanation
        self._genes_box.visible = said is not None
        self._said.object = explanation_words(said) if said is not None else ""
        self._genes.rows = gene_rows(said) if said is not None else []

    def show_cell(self, row: int | None) -> None:
        """Tell of one cell in front, or of none."""
        session = self.session
        if row is None:
            self._cell.object = '<p class="soft small">Click a cell on the map.</p>'
        elif session.front == "query" and session.outcome is not None:
            self._cell.object = query_cell(session.outcome, row, session.level, session.own_label)
        elif session.reference is not None:
            obs = session.reference.obs
            self._cell.object = look.facts(
                [("Name", obs.index[row]), *((level, obs[level].iloc[row]) for level in session.reference.levels)], tight=True
            )


def _rule() -> pn.viewable.Viewable:
    return look.html('<div class="rule"></div>', margin=(14, 0, 10, 0))


def _n_front(session: Session) -> int:
    if session.front == "query" and session.outcome is not None:
        return session.outcome.result.n_cells
    return session.reference.n_cells if session.reference is not None else 0


def label_categories(session: Session) -> Categories | None:
    """The labels of the cells in front, at the level in view, whatever colours them now."""
    if session.reference is None:
        return None
    known = label_colors(session.reference, session.level)
    if session.front == "query" and session.outcome is not None:
        labels = session.outcome.result.labels.level(session.level)
        names = (*labels.classes, keys.UNKNOWN)
        codes = np.where(labels.unknown, len(labels.classes), labels.codes)
        return Categories(codes, names, tuple(known.get(name, "#888888") for name in names))
    found = color_reference(session.reference, ColorBy("label"), session.level, known)
    return found if isinstance(found, Categories) else None


def _told(session: Session, rows: NDArray[np.integer] | None) -> str:
    """Doubt and label shares of some cells, as HTML."""
    labels = label_categories(session)
    if labels is None:
        return ""
    codes = labels.codes if rows is None else labels.codes[rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(labels.names))
    doubt = ""
    if session.front == "query" and session.outcome is not None:
        found = session.outcome.result.labels.level(session.level)
        confidence, novelty = found.confidence[slice(None) if rows is None else rows], found.novelty[slice(None) if rows is None else rows]
        doubt = look.facts(
            [("Median confidence", f"{np.median(confidence):.2f}"), ("Median novelty", f"{np.median(novelty):.2f}")], tight=True
        )
    return doubt + '<div style="height:8px"></div>' + share_bars(labels, counts)


def share_bars(labels: Categories, counts: NDArray[np.integer]) -> str:
    """The most frequent labels as bars behind their shares, as HTML."""
    total = int(counts.sum())
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    parts = [
        f'<div class="share"><b style="width:{100 * counts[i] / total:.1f}%"></b>'
        f'<i style="background:{look.text(labels.colors[i])}"></i><span class="clip">{look.text(labels.names[i])}</span>'
        f"<span>{counts[i]:,} · {look.share(counts[i], total)}</span></div>"
        for i in order[:SHOWN_LABELS]
    ]
    rest = sum(int(counts[i]) for i in order[SHOWN_LABELS:])
    if rest:
        parts.append(f'<p class="soft small">and {len(order) - SHOWN_LABELS} more labels in {rest:,} cells</p>')
    return "".join(parts)


_GENE_COLUMNS = [
    {"key": "gene", "label": "Gene"},
    {"key": "score", "label": "Score", "align": "right"},
    {"key": "here", "label": "Mean here", "align": "right"},
    {"key": "elsewhere", "label": "Elsewhere", "align": "right"},
]


def gene_rows(said: Explanation) -> list[dict[str, str]]:
    """The ranked genes of an explanation as table rows."""
    def mean(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    return [
        {"id": gene.gene, "gene": gene.gene, "score": f"{gene.score:.3g}", "here": mean(gene.here), "elsewhere": mean(gene.elsewhere)}
        for gene in said.genes
    ]


def explanation_words(said: Explanation) -> str:
    """What the ranking is and how far it can be trusted, as HTML."""
    trust = "" if np.isnan(said.error) else f" The scores miss {look.share(abs(said.error), 1)} of what they should sum to."
    return (
        f'<p class="small soft">Toward <b>{look.text(said.toward)}</b>, {said.n_cells:,} cells. {look.text(_sentence(said.measure))}.'
        f"{trust} Means are log1p CP10k; a gene that is lower here speaks by its absence. Click one to colour by it.</p>"
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".")


def query_cell(outcome: Outcome, row: int, level: str, own: str) -> str:
    """One query cell: its best labels with their probabilities, and what it brought, as HTML."""
    result = outcome.result
    labels = result.labels.level(level)
    best = np.argsort(-labels.probabilities[row])[:5]
    rows: list[tuple[str, str]] = [("Name", str(result.obs.index[row]))]
    if own and own in result.obs:
        rows.append((f"Your {own}", str(result.obs[own].iloc[row])))
    rows += [
        ("Novelty", f"{labels.novelty[row]:.2f}" + (", called unknown" if labels.unknown[row] else "")),
        *((labels.classes[i], f"{labels.probabilities[row, i]:.3f}") for i in best),
    ]
    return look.facts(rows, tight=True)


def selection_table(session: Session) -> pd.DataFrame:
    """The selected cells in front, or all of them, one row each."""
    if session.front == "query" and session.outcome is not None:
        result = session.outcome.result
        table = pd.DataFrame({"cell_id": result.obs.index})
        for found in result.labels.levels:
            table[keys.predicted(found.level)] = found.labels
            table[keys.confidence(found.level)] = found.confidence
        first = result.labels.first
        table[keys.NOVELTY], table[keys.IS_UNKNOWN] = first.novelty, first.unknown
        table = pd.concat([table, result.obs.reset_index(drop=True)], axis=1)
    elif session.reference is not None:
        table = session.reference.obs.rename_axis("cell_id").reset_index()
    else:
        table = pd.DataFrame()
    return table if session.selection is None else table.iloc[session.selection]


_SEGMENTS = {"& .MuiToggleButton-root": {"padding": "2px 8px", "fontSize": "12px", "textTransform": "none", "flex": "1"}}
