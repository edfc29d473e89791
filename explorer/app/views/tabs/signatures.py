"""Signatures: what speaks for a label, gene by gene, beside the expression it rests on; or for all labels at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import panel_material_ui as pmui
import param

from components.dot_plot import DotPlot
from components.menu import Menu
from components.paged_table import Column, PagedTable
from components.ranked_bars import RankedBars
from explorer.app import look
from explorer.app.answers.speaking import EVERY, ONE, SELECTION, Question, Spoken, ask, gene_measures, words
from explorer.app.colors.coloring import ColorBy
from explorer.app.colors.paints import label_paints
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.tab import recalling
from explorer.app.tab.recalling import Place
from explorer.app.tab.session import Session
from explorer.app.tab.status import READY, Phase
from explorer.app.views.base import Standing
from explorer.app.views.tabs.tab import SLIM, TabView, column, row, said, said_html, side_by_side
from explorer.asking.reasons import REFERENCE, REST
from explorer.errors import OptionsProblem
from explorer.insight.signatures import SHOWN

_COLUMNS = (
    Column("gene", "Gene"),
    Column("score", "score", "number", "How much the gene speaks for the label; below 0 it speaks against it"),
    Column("speaks_by", "speaks by", "text", "Presence: higher in these cells than in the others; else absence"),
    Column("mean", "mean here", "number", "Mean log1p CP10k in these cells", is_spare=True),
    Column("mean_others", "elsewhere", "number", "Mean log1p CP10k in the others", is_spare=True),
    Column("share", "here", "share", "Share of these cells that show the gene"),
    Column("share_others", "there", "share", "Share of the others that show the gene"),
)
_CELLS = {"One label": ONE, "Selection": SELECTION, "All labels": EVERY}
_AGAINST = {"all other cells": REST, "the reference's cells of the label": REFERENCE}
_ASK = (
    "Ask by which genes the method tells a label: of its cells, of a selection, or all labels at once. Scores stand "
    "beside expression; a click on a gene colours the map by it."
)
_BESIDE = {"flex": "1 1 300px", "min-width": "0"}
_ABOVE = {"flex": "1 1 100%", "min-width": "0", "order": "-1"}
_NO_QUERY = "Signatures are asked of mapped cells. Map a file, and put its cells in front."


class SignaturesView(TabView):
    """The question, the scores of one label beside expression, and bars or dots."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._build()
        self.watch(self._fill, ["outcome", "show", "level", "selection"])
        self.watch(self._begin, ["outcome", "show"])
        self.watch(self._draw, ["spoken", "paints"])
        self.watch(self._stand, ["status", "outcome", "show", "spoken", "threshold", "found_at"])
        self._fill()
        self._draw()
        self._stand()
        self._begin()

    def _build(self) -> None:
        def select(label: str, width: int, **more: Any) -> Menu:
            return Menu(label=label, size="small", width=width, margin=(8, 8, 4, 0), sx=SLIM, **more)

        self._cells = select("Cells of", 118, options=_CELLS, value=ONE)
        self._toward = select("Toward", 122, options=[])
        self._measure = select("Measured by", 186, options=[])
        self._against = select("Beside", 132, options=_AGAINST, value=REST)
        self._ask = pmui.Button(label="Ask", variant="contained", margin=(8, 8, 4, 0), size="small")
        self._stop = pmui.Button(label="Cancel", variant="outlined", margin=(8, 8, 4, 0), size="small", visible=False)
        self._link = self.link("All scores, csv", self._offered)
        self._standing = Standing(_ASK)
        self._none = look.html(margin=(4, 0))
        self._said = look.html(margin=(2, 0, 2, 0))
        self._table = PagedTable(unit="genes", action="Click to colour by this gene", margin=0,
                                 sizing_mode="stretch_width")  # fmt: skip
        self._bars = RankedBars(sizing_mode="stretch_width", margin=0)
        self._dots = DotPlot(value_title="mean log1p CP10k", per_name=True, sizing_mode="stretch_width", margin=0)
        self._frame = column(self._bars, styles=_BESIDE)
        left = column(self._table, styles={"flex": "1.2 1 340px", "min-width": "0"})
        self._results = side_by_side(left, self._frame)
        self._choices = row(self._cells, self._toward, self._measure, self._against, self._ask, self._stop)
        self.panel = column(self._none, self._choices, self._standing, said(self._said, self._link), self._results)
        self._cells.param.watch(lambda _: self._stand(), "value")
        self._toward.param.watch(lambda _: self._draw(), "value")
        self._ask.on_click(lambda _: self.ask())
        self._stop.on_click(lambda _: self.session.forget("signatures"))
        for part in (self._table, self._bars, self._dots):
            part.param.watch(self._color, "picked")

    # the question

    @property
    def _has_cells(self) -> bool:
        return self.session.front == "query" and self.session.outcome is not None

    def _fill(self) -> None:
        session, outcome = self.session, self.session.outcome
        if outcome is None or not self._has_cells:
            return
        labels = outcome.result.labels.level(session.level)
        counts = np.bincount(labels.codes[~labels.unknown], minlength=len(labels.classes))
        names = [labels.classes[at] for at in np.argsort(-counts, kind="stable")]
        measures = [each.name for each in gene_measures(outcome.result.method)]
        self._toward.param.update(options=names, value=self._toward.value if self._toward.value in names else names[0])
        self._measure.param.update(
            options=measures,
            value=self._measure.value if self._measure.value in measures else next(iter(measures), None),
            visible=len(measures) > 1,
        )

    def ask(self) -> None:
        """Ask for what the choices say now."""
        session, outcome, reference, job = self.session, self.session.outcome, self.session.reference, self.session.job
        if outcome is None or reference is None or job is None or not self._measure.value:
            return
        question = Question(
            self._cells.value, self._toward.value, session.level, self._measure.value, self._against.value
        )
        selection, place = session.selection, recalling.place_of(session, "signatures")
        session.pursue(
            "signatures",
            "Asking the method",
            lambda progress: ask(job.mapping, outcome, reference, question, selection, progress),
            lambda found: self._take(found, place),
        )

    def _take(self, found: Spoken, place: Place | None) -> None:
        self.session.spoken = found
        recalling.keep(self.session, place, found)

    def _begin(self) -> None:
        """Signatures of another result than the one in view say nothing here."""
        spoken, outcome = self.session.spoken, self.session.outcome
        if spoken is not None and (outcome is None or not spoken.cells.equals(outcome.result.obs.index)):
            self.session.forget("signatures")
            self.session.spoken = spoken = None
        if spoken is None and self._has_cells:
            recalling.recall(
                self.session, "signatures", "signatures", lambda kept: setattr(self.session, "spoken", kept)
            )

    def _color(self, event: param.parameterized.Event) -> None:
        if event.new and ColorBy("gene", event.new) != self.session.color:
            self.session.choose_color(ColorBy("gene", event.new))

    # drawing

    def _stand(self) -> None:
        session = self.session
        standing, spoken = session.standing("signatures"), session.spoken
        is_running, has = standing.phase is Phase.RUNNING, self._has_cells
        quiet = not has or (spoken is not None and standing.phase is Phase.NOTHING)
        self._standing.display(READY if quiet else standing)
        self._none.object = "" if has else f'<p class="soft">{_NO_QUERY}</p>'
        self._choices.visible = has
        self._stop.visible, self._ask.disabled = is_running, is_running
        self._against.visible = self._cells.value != EVERY
        shown = has and spoken is not None
        self._results.visible = shown
        self.show_link(self._link, shown)
        told = words(spoken, self._toward.value or "") if shown and spoken is not None else ""
        late = "" if spoken is None or spoken.question.cells == SELECTION else recalling.outdated(session, "signatures")
        self._said.object = said_html(told, late)

    def _draw(self) -> None:
        spoken = self.session.spoken
        if spoken is None or self.session.reference is None:
            return
        label = self._toward.value or ""
        one = spoken.of(label)
        self._stand()
        self._table.display(one.table, _COLUMNS)
        if spoken.groups:
            colors = label_paints(self.session.reference, spoken.question.level, self.session.paints)
            self._dots.param.update(**dot_values(spoken.dots(), colors))
        else:
            top = one.top(SHOWN)
            self._bars.param.update(
                names=[str(name) for name in top["gene"]], scores=[float(score) for score in top["score"]]
            )
        wanted = [self._dots if spoken.groups else self._bars]
        if self._frame.objects != wanted:
            self._frame.param.update(objects=wanted, styles=_ABOVE if spoken.groups else _BESIDE)

    def _offered(self) -> Offered:
        spoken: Spoken | None = self.session.spoken
        if spoken is None:
            raise OptionsProblem("No signature was asked for yet. Press Ask on the tab Signatures first.")
        of = "all labels" if spoken.groups else spoken.of_labels[0].signature.toward
        return offered_frame(self.session, f"signature of {of}, {spoken.measure.name}", spoken.table)


def dot_values(table: pd.DataFrame, colors: dict[str, str]) -> dict[str, Any]:
    """What `components.dot_plot` draws of a table of dots: labels down, genes across."""
    genes, groups = (list(dict.fromkeys(table[name].astype(str))) for name in ("gene", "group"))
    means = table.pivot(index="group", columns="gene", values="mean").loc[groups, genes]
    shares = table.pivot(index="group", columns="gene", values="share").loc[groups, genes]
    return {
        "names": genes,
        "groups": groups,
        "group_colors": [colors.get(group, "#8a8f98") for group in groups],
        "shares": [[round(float(value), 4) for value in line] for line in shares.to_numpy()],
        "values": [[round(float(value), 4) for value in line] for line in means.to_numpy()],
    }
