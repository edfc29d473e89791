"""What several methods say together of the same cells: where they agree, and the cells on which they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from components.heat_table import HeatTable
from components.upset import UpSet
from explorer.agreement import LEAST_VOICES, disputed_cells, disputed_labels
from explorer.app import look
from explorer.app.colors.coloring import ColorBy
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.stored import agreeing
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import Standing
from explorer.app.views.tabs.tab import TabView, column, part, row, side_by_side
from explorer.app.words import about
from explorer.asking.painting import AGREEMENT, CONSENSUS
from explorer.consensus import Consensus, LevelConsensus
from explorer.doubt.thresholds import with_threshold
from explorer.errors import OptionsProblem
from explorer.methods import METHODS

_MEASURES = {"Share alike": "share", "Kappa": "kappa"}
_NOTHING = (
    "Several methods may label the same cells, and where they differ a label deserves a second look. Nothing is mapped "
    "yet."
)
_ONE = "Only {method} has labelled these cells. Map them by another method too, and this tab shows where both agree."
_WITH_REGRESSION = (
    "{method} has mapped these cells, and the reference's own regression on expression labels them as well. Map "
    "them by another method too, and there is a third voice."
)
_MEANT = (
    f'<p class="small soft">Consensus{about("consensus")} &nbsp; Agreement{about("agreement")} &nbsp; '
    f'Kappa{about("kappa")}</p>'
)
_COLUMNS = [
    {"key": "label", "label": "Consensus label"},
    {"key": "cells", "label": "Cells", "align": "right"},
    {"key": "disputed", "label": "Disputed", "align": "right"},
    {"key": "agreement", "label": "Agreement", "align": "right"},
    {"key": "rival", "label": "Rival"},
]


class ModelsView(TabView):
    """Agreement of the methods; a click selects the cells that are disputed."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found: Consensus | None = None
        self._jobs = ""
        self._said = look.html(margin=(6, 12, 2, 0))
        self._more = look.html(margin=(0, 12, 8, 0))
        self._go = pmui.Button(label="Go to Map", variant="outlined", margin=(4, 8, 4, 0), size="small")
        self._go.on_click(lambda _: setattr(session, "step", "map"))
        self._standing = Standing()
        self._select = pmui.Button(
            label="Show the disagreement", icon="highlight_alt", variant="outlined", size="small", margin=(4, 8, 4, 0)
        )
        self._select.on_click(lambda _: self._choose(agreeing.disputed))
        self._tint = {
            kind: pmui.Button(label=f"Colour by {kind}", variant="text", size="small", margin=(4, 4, 4, 0))
            for kind in (CONSENSUS, AGREEMENT)
        }
        for kind, button in self._tint.items():
            button.on_click(self._tinting(kind))
        self._measure = pmui.RadioButtonGroup(
            options=_MEASURES, value="share", size="small", margin=(0, 0, 4, 0), sx=look.SEGMENTS
        )
        self._pairs = HeatTable(corner="method", action="Click to select the cells that both label differently",
                                margin=0, sizing_mode="stretch_width")  # fmt: skip
        self._upset = UpSet(
            unit="cells", action="Click to select these cells", margin=0, sizing_mode="stretch_width"
        )
        self._labels = ChoiceTable(
            columns=_COLUMNS, radio=False, dense=True, margin=0, sizing_mode="stretch_width"
        )
        self._downloads = (
            self.link("All cells, csv", self._offer_all), self.link("Disputed cells, csv", self._offer_disputed)
        )  # fmt: skip
        self._buttons = row(self._select, *self._tint.values(), *self._downloads)
        self._body = side_by_side(
            part("Who gives the consensus label", self._upset, width=400),
            part("Labels, the most disputed first", self._labels, width=384),
            part("Two and two", self._measure, self._pairs, width=640),
        )
        self._box = column()
        self.panel = column(self._said, self._standing, self._box)
        self._measure.param.watch(lambda _: self._draw(), "value")
        self._pairs.param.watch(self._choose_pair, "picked")
        self._upset.param.watch(self._choose_pattern, "picked")
        self._labels.param.watch(self._choose_label, "value")
        self.watch(self._ask, ["outcomes", "reference"])
        self.watch(self._draw, ["level", "threshold", "status", "show", "method"])
        self._ask()

    # what is asked

    def _ask(self) -> None:
        session = self.session
        outcomes, reference = session.outcomes, session.reference
        jobs = agreeing.names_of(outcomes)
        if jobs != self._jobs:
            self._jobs, self._found = jobs, None
            session.forget("agreement")
        if self._found is None and reference is not None and agreeing.has_enough_voices(outcomes, reference):
            session.attempt("agreement", "Comparing the methods", lambda: agreeing.consensus_of(jobs), self._take_in)
        self._draw()

    def _take_in(self, found: Consensus) -> None:
        self._found = found
        self._draw()

    @property
    def _at(self) -> LevelConsensus | None:
        """The consensus at the level in view."""
        found, level = self._found, self.session.level
        known = [each.labels.level for each in found.levels] if found is not None else []
        return found.level(level) if found is not None and level in known else None

    # what is chosen

    def _choose(self, which: Any) -> None:
        """Select cells of the query, bool (n,) or rows, as a function of the consensus tells."""
        at = self._at
        if at is not None:
            told = which(at)
            rows = np.flatnonzero(told) if told.dtype == np.bool_ else told
            if self.session.front != "query":
                self.session.show = "query"
            self.session.select(rows if len(rows) else None)

    def _tinting(self, kind: str) -> Callable[[Any], None]:
        return lambda _: self.session.choose_color(ColorBy(kind, self._jobs))

    def _choose_pair(self, event: param.parameterized.Event) -> None:
        found = self._found
        if found is not None and event.new:
            a, b = (found.titles.index(event.new[key]) for key in ("row", "column"))
            self._choose(lambda at: agreeing.rows_of_pair(at, a, b))

    def _choose_pattern(self, event: param.parameterized.Event) -> None:
        if event.new:
            members = self._upset.members[event.new["index"]]
            self._choose(lambda at: agreeing.rows_of_pattern(at, members))

    def _choose_label(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._labels.value = ""
            self._choose(lambda at: agreeing.rows_of_label(at, event.new))

    # what is drawn

    def _draw(self) -> None:
        session, found, at = self.session, self._found, self._at
        standing = session.standing("agreement")
        self._standing.display(standing)
        is_ready = found is not None and at is not None and standing.phase is not Phase.FAILED
        for place in self._downloads:
            self.show_link(place, is_ready)
        shown = [self._go] * (len(session.outcomes) < 2) + [self._buttons, self._body, self._more] * is_ready
        if self._box.objects != shown:
            self._box.objects = shown
        words, notices = [self._missing(is_ready)], []
        if is_ready and found is not None and at is not None:
            words.append(agreement_words(found, at, session.threshold))
            notices = list(found.notices)
            self._upset.param.update(**upset_of(found, at))
            self._pairs.param.update(**pairs_of(found, at, str(self._measure.value)))
            self._labels.rows = label_rows(at)
        self._said.object = _paragraphs(words)
        self._more.object = _MEANT + _paragraphs(notices)

    def _missing(self, is_ready: bool) -> str:
        outcomes = self.session.outcomes
        if not outcomes:
            return _NOTHING
        (first, *others) = outcomes.values()
        if others or self.session.standing("agreement").phase is Phase.RUNNING:
            return ""
        return (_WITH_REGRESSION if is_ready else _ONE).format(method=title_of(first.result.method))

    # what is taken home

    def _offer_all(self) -> Offered:
        return self._offered("consensus", agreeing.consensus_table)

    def _offer_disputed(self) -> Offered:
        return self._offered("disputed", disputed_cells)

    def _offered(self, what: str, tell: Any) -> Offered:
        found, outcome = self._found, self.session.outcome
        if found is None or outcome is None:
            raise OptionsProblem("The methods are not compared yet. Map by at least two of them first.")
        table: pd.DataFrame = tell(found, outcome.result.obs.index, self.session.level)
        return offered_frame(self.session, f"{what}, {self.session.level}", table)


def voices_words(found: Consensus) -> str:
    """Who speaks: by name where there are two, else how many there are."""
    methods = [name for name in found.voices if name in METHODS]
    if len(found.voices) == LEAST_VOICES:
        pairs = zip(found.voices, found.titles, strict=True)
        named = [title if name in METHODS else f"{title[:1].lower()}{title[1:]}" for name, title in pairs]
        return f"{' and '.join(named)} label"
    if len(methods) == len(found.voices):
        return f"All {len(methods)} methods label"
    return f"All {len(found.voices)} voices ({len(methods)} methods and the regression on expression) label"


def agreement_words(found: Consensus, at: LevelConsensus, threshold: float) -> str:
    """How many cells all label alike, and how sure and how right their consensus is."""
    n, n_disputed = len(at.agreement), int(agreeing.disputed(at).sum())
    labels = with_threshold(at.labels, max(threshold, at.labels.threshold))
    alike = n - n_disputed
    told = (
        f"{voices_words(found)} {alike:,} of {n:,} cells alike ({look.share(alike, n)}); {n_disputed:,} "
        f"{'is' if n_disputed == 1 else 'are'} disputed. Median confidence of the consensus: "
        f"{np.median(labels.confidence):.2f}; {int(labels.unknown.sum()):,} of its cells are called unknown."
    )
    if not at.scores:
        return told
    return (
        f"{told} On left-out batches of the reference it was right for {look.share(at.scores['accuracy'], 1)} of "
        f"{int(at.scores['cells']):,} cells, and its confidence was off by {at.scores['calibration_error']:.3f} on "
        "average."
    )


def _paragraphs(words: list[str]) -> str:
    return "".join(f'<p class="small soft">{look.text(each)}</p>' for each in words if each)


def upset_of(found: Consensus, at: LevelConsensus) -> dict[str, Any]:
    """Who agrees with the consensus, as parameters of `UpSet`."""
    told = agreeing.patterns(at)
    return {
        "names": list(found.titles),
        "members": [list(each.members) for each in told],
        "counts": [each.cells for each in told],
    }


def pairs_of(found: Consensus, at: LevelConsensus, measure: str) -> dict[str, Any]:
    """Agreement of two and two voices, as parameters of `HeatTable`."""
    values = at.share if measure == "share" else at.kappa
    texts = [[f"{value:.2f}" if i != j else "" for j, value in enumerate(line)] for i, line in enumerate(values)]
    return {
        "rows": list(found.titles),
        "columns": list(found.titles),
        "texts": texts,
        "shades": np.clip(values, 0, 1).round(4).tolist(),
    }


def label_rows(at: LevelConsensus) -> list[dict[str, str]]:
    """Consensus labels with their disputed cells, as rows of a table."""
    return [
        {
            "id": str(told["label"]),
            "label": str(told["label"]),
            "cells": f"{told['cells']:,}",
            "disputed": f"{told['disputed']:,}",
            "agreement": f"{told['agreement']:.2f}",
            "rival": f"{told['rival']} ({told['rival_cells']:,})" if told["rival"] else "-",
        }
        for told in disputed_labels(at).to_dict("records")
    ]

