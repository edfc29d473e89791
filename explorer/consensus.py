"""What several methods say together of the same cells. Values only; see `agreement` for how they come about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from explorer.beside import Verdict
from explorer.doubt.examined import Examined
from explorer.doubt.thresholds import labels_with_threshold, result_with_threshold, with_threshold
from explorer.flow import FloatArray, IntArray, LabelTransfer, LevelLabels, MappingResult


@dataclass(frozen=True)
class LevelConsensus:
    """What several methods say together of the same cells, at one label level.

    Attributes
    ----------
    labels
        Labels, pooled probabilities and doubt, as of a single method. `disagreement` is here that of the methods'
        labels.
    agreement
        float32 (n,) in [0, 1]: share of the methods that give the consensus label.
    codes
        int32 (v, n), the label that each of v methods gives, as its position in `labels.classes`.
    share
        float32 (v, v), share of the cells that two methods label alike.
    kappa
        float32 (v, v), Cohen's kappa of two methods: the same beyond chance; 1 is perfect, 0 is chance.
    weights
        float32 (v,), what each method's probabilities count; they sum to 1.
    temperature
        Divides the log of the pooled probabilities.
    scores
        Of the consensus on left-out reference batches, each judged by the others: accuracy, macro_f1,
        calibration_error and so on; empty where the reference kept no left-out answers.
    examined
        The consensus' answers to the left-out cells, each batch by weights and temperature of the others; `None`
        where the reference kept none.
    """

    labels: LevelLabels
    agreement: FloatArray
    codes: IntArray
    share: FloatArray
    kappa: FloatArray
    weights: FloatArray
    temperature: float
    scores: Mapping[str, Any]
    examined: Examined | None = None


@dataclass(frozen=True)
class Consensus:
    """What several methods say together of the same cells.

    Attributes
    ----------
    voices, titles
        Names of the methods, and what to call them on screens (v,).
    levels
        In the order in which the reference's builder named them.
    within
        Which level lies in which, by the name of the finer one.
    notices
        Who could not take part, and what could not be calibrated, one sentence each.
    verdict
        Whether the consensus as a whole can be trusted; `None` where nobody has looked.
    """

    voices: tuple[str, ...]
    titles: tuple[str, ...]
    levels: tuple[LevelConsensus, ...]
    within: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    verdict: Verdict | None = None

    @property
    def first(self) -> LevelConsensus:
        """The main label level."""
        return self.levels[0]

    @property
    def labels(self) -> LabelTransfer:
        """Its labels, as those of a single method."""
        return LabelTransfer(tuple(level.labels for level in self.levels), self.within)

    def level(self, name: str) -> LevelConsensus:
        """The consensus at the level called `name`.

        Raises
        ------
        OptionsProblem
            If there is no such level.
        """
        wanted = self.labels.level(name)
        return next(level for level in self.levels if level.labels is wanted)


@dataclass(frozen=True)
class AgreedResult:
    """A query mapped by several methods, and what they say together.

    Attributes
    ----------
    results
        One a method, over the same cells.
    expression
        Labels by the regression on expression, which places no cells; `None` where the reference has none or the
        query lacks its genes.
    """

    results: tuple[MappingResult, ...]
    expression: LabelTransfer | None
    consensus: Consensus

    @property
    def obs(self) -> pd.DataFrame:
        """The query's own obs, as found; its index names the cells."""
        return self.results[0].obs

    @property
    def said(self) -> dict[str, LabelTransfer]:
        """Labels of each method by its name, and of the regression on expression where it speaks along."""
        said = {result.method: result.labels for result in self.results}
        if self.expression is not None:
            (voice,) = set(self.consensus.voices) - set(said)
            said[voice] = self.expression
        return said

    def with_threshold(self, threshold: float) -> AgreedResult:
        """The same, with cells of less confidence among the unknown: of the consensus by its own, of each by its own.

        Raises
        ------
        OptionsProblem
            If the threshold lies below that of the labels, or above 1.
        """
        found = self.consensus
        levels = tuple(replace(level, labels=with_threshold(level.labels, threshold)) for level in found.levels)
        return AgreedResult(
            tuple(result_with_threshold(result, threshold) for result in self.results),
            None if self.expression is None else labels_with_threshold(self.expression, threshold),
            replace(found, levels=levels),
        )
