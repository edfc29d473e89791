"""Answers to a left-out batch, calibrated by the answers to the other left-out batches and never by its own.

What a left-out batch is told must not rest on its labels. So its head, temperature, novelty, unknown rule and
prediction sets come from the other left-out batches, each of which was answered by a model that had not seen it either
(cross-conformal prediction: Vovk, Annals of Mathematics and Artificial Intelligence 2015; the CV+ of Barber et al.,
Annals of Statistics 2021). Knows answers and labels, not how they came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.agreement import Pool
from explorer.doubt.calibration import quality
from explorer.doubt.examined import Examined
from explorer.doubt.labels import fit_temperature, tempered
from explorer.doubt.novelty import Signs, Strayed, conformal, reach, strayed, stretch
from explorer.evaluation.contenders import Answers
from explorer.evaluation.measures import Measured
from explorer.flow import UNKNOWN_CONFIDENCE, BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Asked:
    """What a contender says of left-out cells, and how strange they are to each label.

    Attributes
    ----------
    measured
        As the cells left in tell; `None` for a contender with a distance of its own, or none.
    """

    answers: Answers
    measured: Measured | None


@dataclass(frozen=True)
class Judged:
    """Calibrated answers to left-out cells.

    Attributes
    ----------
    codes
        int32 (n,), own labels.
    probabilities
        float32 (n, classes).
    novelty
        float32 (n,); `None` for a contender without distances.
    unknown
        bool (n,), too novel or too little confidence.
    stretched
        float32 (n,), how many times as strange as 99 % of the held-out cells; `None` like `novelty`.
    """

    codes: IntArray
    probabilities: FloatArray
    novelty: FloatArray | None
    unknown: BoolArray
    stretched: FloatArray | None = None

    @property
    def given(self) -> IntArray:
        """int32 (n,), the most probable label."""
        return self.probabilities.argmax(1).astype(np.int32)

    @property
    def confidence(self) -> FloatArray:
        """float32 (n,), the probability of that label."""
        return self.probabilities.max(1)


@dataclass(frozen=True)
class Calibration:
    """What left-out batches teach about the answers to another one.

    Attributes
    ----------
    head
        Which head has the highest macro-F1 on them; the simpler one wins ties.
    temperature
        Divides its log probabilities.
    held_out
        How strange their cells were to their own label; `None` for a contender whose cells are not measured.
    reach
        The stretch beyond which a cell is unknown; `None` where there is one other batch only, and the 99 % quantile
        of held-out cells decides.
    """

    head: str
    temperature: float
    held_out: Strayed | None
    reach: float | None

    @classmethod
    def of(cls, others: Sequence[Asked]) -> Calibration:
        """Learn from the answers to some left-out batches."""
        told = [each.answers for each in others]
        codes = np.concatenate([each.codes for each in told])
        pooled = {head: np.concatenate([each.probabilities[head] for each in told]) for head in told[0].probabilities}
        scores = {head: quality(p, codes)["macro_f1"] for head, p in pooled.items()}
        head = max(scores, key=lambda each: scores[each])  # the first of the best
        temperature = fit_temperature(pooled[head], codes)
        signs = [each.measured.by(each.answers.codes) for each in others if each.measured is not None]
        if not signs:
            return cls(head, temperature, None, None)
        batches = np.repeat(np.arange(len(told), dtype=np.int32), [len(each.codes) for each in told])
        both, several = _joined(signs), len(np.unique(batches)) > 1
        held_out = strayed(codes, both, pooled[head].shape[1])
        return cls(head, temperature, held_out, reach(both, batches) if several else None)

    def applied(self, asked: Asked) -> Judged:
        """Answers as a user would get them."""
        answers = asked.answers
        probabilities = tempered(answers.probabilities[self.head], self.temperature)
        doubtful = probabilities.max(1) < UNKNOWN_CONFIDENCE
        if self.held_out is None or asked.measured is None:
            distance = answers.distance.get(self.head)
            return Judged(answers.codes, probabilities, distance, doubtful, distance)
        given = answers.probabilities[self.head].argmax(1).astype(np.int32)
        signs = asked.measured.by(given)
        novelty, beyond = conformal(given, signs, self.held_out)
        stretched = stretch(given, signs, self.held_out)
        if self.reach is not None:
            beyond = stretched > self.reach
        return Judged(answers.codes, probabilities, novelty, doubtful | beyond, stretched)


def _joined(parts: Sequence[Signs]) -> Signs:
    odd = [part.odd for part in parts if part.odd is not None]
    return Signs(np.concatenate([part.far for part in parts]), np.concatenate(odd) if odd else None)


def crossed(answers: Sequence[Asked], fold: int) -> tuple[Judged, Sequence[Judged], Calibration]:
    """Answers to a left-out batch and to the others, all calibrated by the others.

    Parameters
    ----------
    answers
        One a fold.
    """
    others = [each for at, each in enumerate(answers) if at != fold]
    calibration = Calibration.of(others)
    return calibration.applied(answers[fold]), [calibration.applied(each) for each in others], calibration


def consensus(asked: Sequence[Judged], others: Sequence[Sequence[Judged]]) -> tuple[Judged, list[Judged]]:
    """What several contenders say together, pooled as `explorer.agreement` pools methods.

    Novelty and stretch are the median of those that measure them against held-out cells. A cell is unknown if more
    than half call it so, or if the pooled confidence is below 0.5.

    Parameters
    ----------
    asked
        Answers to the same cells, one a contender.
    others
        Their answers to each of the other left-out batches, one sequence a contender.

    Returns
    -------
    judged, judged_others
        The consensus on `asked`, and on each of the others; weights and temperature are learned from the others.
    """
    by_batch = list(zip(*others, strict=True))
    answers = np.concatenate([_stacked(parts) for parts in by_batch], axis=1)
    pool = Pool.of(answers, np.concatenate([parts[0].codes for parts in by_batch]))
    return _pooled(asked, pool), [_pooled(parts, pool) for parts in by_batch]


def _stacked(parts: Sequence[Judged]) -> FloatArray:
    return np.stack([each.probabilities for each in parts])


def _pooled(parts: Sequence[Judged], pool: Pool) -> Judged:
    probabilities = pool(_stacked(parts))
    novelty = [each.novelty for each in parts if each.novelty is not None]
    stretched = [each.stretched for each in parts if each.stretched is not None]
    mostly = np.mean([each.unknown for each in parts], axis=0) > 0.5
    return Judged(
        parts[0].codes,
        probabilities,
        np.asarray(np.median(novelty, axis=0), np.float32) if novelty else None,
        mostly | (probabilities.max(1) < UNKNOWN_CONFIDENCE),
        np.asarray(np.median(stretched, axis=0), np.float32) if stretched else None,
    )


def examined(others: Sequence[Judged]) -> Examined:
    """Answers to some left-out batches, as the room of prediction sets takes them; cells are numbered as they come."""
    sizes = [len(each.codes) for each in others]
    return Examined(
        rows=np.arange(sum(sizes)),
        codes=np.concatenate([each.codes for each in others]),
        batches=np.repeat(np.arange(len(others), dtype=np.int32), sizes),
        probabilities=np.concatenate([each.probabilities for each in others]),
    )
