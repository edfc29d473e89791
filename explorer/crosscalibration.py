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

from explorer.calibration import quality
from explorer.contenders import Answers
from explorer.flow import BoolArray, Examined, FloatArray, IntArray
from explorer.labels import UNKNOWN_CONFIDENCE, fit_temperature, tempered
from explorer.novelty import Strayed, conformal, strayed


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
    """

    codes: IntArray
    probabilities: FloatArray
    novelty: FloatArray | None
    unknown: BoolArray

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
        How far their cells lay from their own label; `None` for a contender without distances.
    """

    head: str
    temperature: float
    held_out: Strayed | None

    @classmethod
    def of(cls, others: Sequence[Answers]) -> Calibration:
        """Learn from the answers to some left-out batches."""
        codes = np.concatenate([each.codes for each in others])
        pooled = {
            head: np.concatenate([each.probabilities[head] for each in others]) for head in others[0].probabilities
        }
        scores = {head: quality(p, codes)["macro_f1"] for head, p in pooled.items()}
        head = max(scores, key=lambda each: scores[each])
        n_classes = pooled[head].shape[1]
        return cls(head, fit_temperature(pooled[head], codes), _strayed(others, codes, n_classes))

    def applied(self, answers: Answers) -> Judged:
        """Answers as a user would get them."""
        probabilities = tempered(answers.probabilities[self.head], self.temperature)
        doubtful = probabilities.max(1) < UNKNOWN_CONFIDENCE
        if self.held_out is None:
            raw = answers.distance.get(self.head)
            return Judged(answers.codes, probabilities, raw, doubtful)
        given = answers.probabilities[self.head].argmax(1).astype(np.int32)
        strange = answers.strange.get(self.head)
        novelty, beyond = conformal(given, answers.distance[self.head], strange, self.held_out)
        return Judged(answers.codes, probabilities, novelty, doubtful | beyond)


def _strayed(others: Sequence[Answers], codes: IntArray, n_classes: int) -> Strayed | None:
    distance = np.concatenate([each.own_distance for each in others])
    if len(distance) == 0:
        return None
    strange = np.concatenate([each.own_strange for each in others])
    if len(strange) == 0:  # no counts: the latent distance speaks alone
        strange = np.zeros_like(distance)
    # a label that lives in one batch only has no like to be near to: distance 2 says nothing about it
    comparable = distance < 2
    return strayed(codes[comparable], distance[comparable], strange[comparable], n_classes)


def crossed(answers: Sequence[Answers], fold: int) -> tuple[Judged, Sequence[Judged], Calibration]:
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
    """What several contenders say together: the mean of their calibrated probabilities, calibrated once more.

    Novelty is the mean over the contenders that measure one against held-out cells.

    Parameters
    ----------
    asked
        Answers to the same cells, one a contender.
    others
        Their answers to each of the other left-out batches, one sequence a contender.

    Returns
    -------
    judged, judged_others
        The consensus on `asked`, and on each of the others; its temperature is found on the others.
    """
    rest = [_mean(parts) for parts in zip(*others, strict=True)]
    temperature = fit_temperature(
        np.concatenate([each.probabilities for each in rest]), np.concatenate([each.codes for each in rest])
    )
    return _tempered(_mean(asked), temperature), [_tempered(each, temperature) for each in rest]


def _mean(parts: Sequence[Judged]) -> Judged:
    novelty = [each.novelty for each in parts if each.novelty is not None]
    beyond = np.mean([each.unknown & (each.confidence >= UNKNOWN_CONFIDENCE) for each in parts], axis=0) > 0.5
    return Judged(
        parts[0].codes,
        np.mean([each.probabilities for each in parts], axis=0, dtype=np.float32),
        np.mean(novelty, axis=0, dtype=np.float32) if novelty else None,
        np.asarray(beyond),
    )


def _tempered(judged: Judged, temperature: float) -> Judged:
    probabilities = tempered(judged.probabilities, temperature)
    doubtful = probabilities.max(1) < UNKNOWN_CONFIDENCE
    return Judged(judged.codes, probabilities, judged.novelty, judged.unknown | doubtful)


def examined(others: Sequence[Judged]) -> Examined:
    """Answers to some left-out batches, as the room of prediction sets takes them; cells are numbered as they come."""
    sizes = [len(each.codes) for each in others]
    return Examined(
        rows=np.arange(sum(sizes)),
        codes=np.concatenate([each.codes for each in others]),
        batches=np.repeat(np.arange(len(others), dtype=np.int32), sizes),
        probabilities=np.concatenate([each.probabilities for each in others]),
    )
