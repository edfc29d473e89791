"""How sure is sure enough: the threshold of confidence that every screen obeys, and what it costs and buys.

Knows no widgets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import param

from explorer.app.stored.library import Outcome
from explorer.app.tab.painting import Painted
from explorer.doubt.conformal import COVERAGE, likely_sets, prediction_sets
from explorer.doubt.examined import Examined
from explorer.doubt.thresholds import result_with_threshold
from explorer.doubt.trade import Trade
from explorer.flow import UNKNOWN_CONFIDENCE, BoolArray, LevelLabels
from explorer.mapping.left_out import left_out_answers

COVERAGES = (0.80, 0.90, 0.95, 0.99)


class Doubts(Painted):
    """The threshold as one tab chooses it. `outcome` obeys it; `outcomes` are as they were mapped."""

    threshold: Any = param.Number(
        default=UNKNOWN_CONFIDENCE, bounds=(UNKNOWN_CONFIDENCE, 1.0), doc="Least confidence of a cell with a label."
    )
    coverage: Any = param.Selector(default=COVERAGE, objects=list(COVERAGES), doc="What prediction sets promise.")
    examined: Any = param.Dict(default={}, doc="Answers to left-out reference cells by level: `Examined`.")

    def at_threshold(self, outcome: Outcome | None) -> Outcome | None:
        """An outcome whose labels obey the threshold: the one place from which every screen and file has them."""
        if outcome is None:
            return None
        result = result_with_threshold(outcome.result, self.threshold)
        return outcome if result is outcome.result else replace(outcome, result=result)

    def choose_threshold(self, threshold: float) -> None:
        """Call cells of less confidence unknown, everywhere."""
        self.threshold = max(UNKNOWN_CONFIDENCE, min(1.0, threshold))
        self._obey()

    def choose_coverage(self, coverage: float) -> None:
        """Promise another coverage of prediction sets."""
        self.coverage = coverage

    def _obey(self) -> None:
        """Take the threshold into the result in view, with all that is drawn of it."""
        self.outcome = self.at_threshold(self.outcomes.get(self.method))
        self.recolor(self.hidden)

    def _examine(self) -> None:
        """Fetch what the model in view answered to left-out cells."""
        outcome, reference = self.outcome, self.reference
        self.forget("examined")
        self.examined = {}
        if outcome is not None and reference is not None:
            self.attempt(
                "examined",
                "Reading what is known of left-out cells",
                lambda: left_out_answers(reference, outcome.result),
                lambda found: setattr(self, "examined", found),
            )

    def labels_at(self, level: str) -> LevelLabels | None:
        """The labels in view at a level, with the threshold; `None` while nothing is mapped."""
        return self.outcome.result.labels.level(level) if self.outcome is not None else None

    def trade(self, level: str) -> Trade | None:
        """What the threshold costs and buys at a level; `None` while nothing is mapped."""
        labels = self.labels_at(level)
        return None if labels is None else Trade.of(labels, self.examined.get(level))

    def sets_at(self, level: str) -> BoolArray | None:
        """Prediction sets of the result in view at the coverage chosen, bool (n, classes)."""
        labels = self.labels_at(level)
        return None if labels is None else sets_of(labels, self.examined.get(level), self.coverage)


def sets_of(labels: LevelLabels, examined: Examined | None, coverage: float) -> BoolArray:
    """Prediction sets at a coverage, each with its cell's label; as good as the probabilities are without a promise."""
    if coverage == COVERAGE:
        return labels.sets
    of = labels.probabilities
    sets = likely_sets(of, coverage) if examined is None else prediction_sets(of, examined, coverage)
    sets[np.arange(len(sets)), labels.codes] = True
    return sets
