"""What several methods say together of the same cells: a consensus, how sure it is, and where they disagree.

Methods are called voices here, since a regression on expression, which is no method of a reference, has one too.
Their calibrated probabilities are averaged (a linear opinion pool; Stone, Annals of Mathematical Statistics 1961) with
weights chosen on left-out cells for the macro-F1 of the mean, by ensemble selection with replacement (Caruana et al.,
ICML 2004), and the average is calibrated once more. Knows labels and probabilities, not how they came about.

How to pool was measured on left-out batches of blood (three label levels), heart and cell lines, with six voices: mean
macro-F1 0.942 so, 0.939 with weights that make the labels most likely, 0.939 with equal weights, 0.940 by the mean of
logarithms, and 0.939 by the best single voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.consensus import Consensus, LevelConsensus
from explorer.doubt.calibration import quality
from explorer.doubt.conformal import likely_sets, prediction_sets
from explorer.doubt.examined import Examined
from explorer.doubt.labels import LEAST_PROBABILITY, disagreement, fit_temperature, tempered
from explorer.doubt.nesting import Nested, likeliest_path
from explorer.errors import OptionsProblem
from explorer.flow import UNKNOWN_CONFIDENCE, FloatArray, IntArray, LabelTransfer, LevelLabels

ROUNDS = 20      # in each of which one voice gets more of the say
PER_NAT = 0.02   # macro-F1 that a nat of surprise costs: it decides between voices that are right alike
MOST_PARTS = 10  # in which left-out batches are judged by the others
LEAST_VOICES = 2


@dataclass(frozen=True)
class Voice:
    """What one method says.

    Attributes
    ----------
    name, title
        As typed and as shown.
    labels
        Its answers at every level.
    examined
        Its calibrated answers to left-out cells, by level; empty for a reference that kept none.
    tells_novelty
        Whether it can say how novel a cell is.
    """

    name: str
    title: str
    labels: LabelTransfer
    examined: Mapping[str, Examined]
    tells_novelty: bool = True


@dataclass(frozen=True)
class Pool:
    """How voices become one.

    Attributes
    ----------
    weights
        float32 (v,), they sum to 1.
    temperature
        Divides the log of the weighted mean.
    """

    weights: FloatArray
    temperature: float = 1.0

    @classmethod
    def of(cls, answers: FloatArray, codes: IntArray) -> Pool:
        """Learn from answers to cells whose labels are known, float32 (v, h, classes) and int32 (h,)."""
        weights = pool_weights(answers, codes)
        return cls(weights, fit_temperature(np.tensordot(weights, answers, 1), codes))

    def __call__(self, answers: FloatArray) -> FloatArray:
        """One answer of many, float32 (n, classes) of (v, n, classes); rows sum to 1."""
        return tempered(np.tensordot(self.weights, answers, 1), self.temperature)


def consensus(
    voices: Sequence[Voice], nested: Mapping[str, Nested] | None = None, notices: tuple[str, ...] = ()
) -> Consensus:
    """What voices say together, at every level that all of them speak of.

    Novelty is the median of the voices that tell it: one method that finds everything novel, or nothing, does not
    decide. A cell is unknown if more than half of the voices call it so, or if the pooled confidence is below 0.5.
    A tie between labels goes to the first. Prediction sets hold the true label of 95 % of the left-out cells.

    Parameters
    ----------
    nested
        Levels that lie in one another: of their labels the likeliest path from the coarse to the fine is taken.
    notices
        What belongs into the record, one sentence each.

    Raises
    ------
    OptionsProblem
        If there are fewer than two voices, or they speak of different cells or levels.
    """
    levels = _common_levels(voices)
    nested = {level: of for level, of in (nested or {}).items() if {level, of.within} <= set(levels)}
    pooled = {level: _pooled(voices, level) for level in levels}
    path = likeliest_path({level: of.logarithms for level, of in pooled.items()}, nested)
    unmeasured = [level for level, of in pooled.items() if of.examined is None]
    if unmeasured:
        notices += (
            f"The reference kept no answers to left-out cells of all methods at {', '.join(unmeasured)}: they weigh "
            "alike there, and how sure the consensus is was not measured. Build the reference again to change that.",
        )
    return Consensus(
        voices=tuple(voice.name for voice in voices),
        titles=tuple(voice.title for voice in voices),
        levels=tuple(_agreed(voices, pooled[level], path[level]) for level in levels),
        within={level: of.within for level, of in nested.items()},
        notices=notices,
    )


def pool_weights(answers: FloatArray, codes: IntArray) -> FloatArray:
    """Weights under which the labels of a weighted mean of answers are right most evenly, float32 (v,); they sum to 1.

    Ensemble selection: round by round the voice is added, again or for the first time, that raises the macro-F1 of
    the mean most, less a little for the surprise at the true labels (mean negative logarithm); the first of the best
    is taken. How often a voice was added is its weight, as it stood after the best of the rounds: on these cells the
    mean is worth no less than any voice alone.

    Parameters
    ----------
    answers, codes
        float32 (v, h, classes), calibrated, and int32 (h,), own labels.
    """
    total = np.zeros(answers.shape[1:], np.float64)
    added: list[int] = []
    reached: list[float] = []
    for before in range(ROUNDS):
        worth = [_worth((total + own) / (before + 1), codes) for own in answers]
        added.append(int(np.argmax(worth)))
        reached.append(max(worth))
        total += answers[added[-1]]
    kept = added[: int(np.argmax(reached)) + 1]
    return np.asarray(np.bincount(kept, minlength=len(answers)) / len(kept), np.float32)


def _worth(probabilities: NDArray[np.float64], codes: IntArray) -> float:
    """Macro-F1 over the labels that occur, less what the surprise costs."""
    n, guess = probabilities.shape[1], probabilities.argmax(1)
    own, given = np.bincount(codes, minlength=n), np.bincount(guess, minlength=n)
    hits = np.bincount(codes[guess == codes], minlength=n)
    f1 = (2 * hits / np.maximum(own + given, 1))[own > 0].mean()
    true = probabilities[np.arange(len(codes)), codes]
    return float(f1 + PER_NAT * np.log(np.maximum(true, LEAST_PROBABILITY)).mean())


def agreement_of(codes: IntArray, n_classes: int) -> tuple[FloatArray, FloatArray]:
    """Share of cells that two voices label alike, and Cohen's kappa, float32 (v, v) both.

    Two voices that give all cells one and the same label agree perfectly: kappa is then 1.

    Parameters
    ----------
    codes
        int32 (v, n).
    """
    v = len(codes)
    share, kappa = np.ones((v, v), np.float32), np.ones((v, v), np.float32)
    of_class = np.stack([np.bincount(own, minlength=n_classes) for own in codes]) / codes.shape[1]
    for a, b in combinations(range(v), 2):
        alike, chance = float((codes[a] == codes[b]).mean()), float(of_class[a] @ of_class[b])
        share[a, b] = share[b, a] = alike
        kappa[a, b] = kappa[b, a] = 1.0 if chance == 1 else (alike - chance) / (1 - chance)
    return share, kappa


def disputed_labels(level: LevelConsensus) -> pd.DataFrame:
    """Where voices disagree, by consensus label; the most disputed first.

    Returns
    -------
    DataFrame
        Columns label, cells, disputed (cells that not all voices label alike), agreement (mean share of voices for the
        label), rival (the other label that most voices give to these cells; "" for none), rival_cells (cells that any
        voice gives to the rival).
    """
    classes, given = level.labels.classes, level.labels.codes
    rows: list[dict[str, Any]] = []
    for code in np.unique(given):
        own = given == code
        codes = level.codes[:, own]
        votes = np.bincount(codes.ravel(), minlength=len(classes))
        votes[code] = 0
        rival = int(votes.argmax())
        rows.append(
            {
                "label": classes[code],
                "cells": int(own.sum()),
                "disputed": int((codes != codes[0]).any(0).sum()),
                "agreement": float(level.agreement[own].mean()),
                "rival": classes[rival] if votes[rival] else "",
                "rival_cells": int((codes == rival).any(0).sum()) if votes[rival] else 0,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values(["agreement", "label"], kind="stable").reset_index(drop=True)


def disputed_cells(found: Consensus, index: pd.Index, level: str | None = None) -> pd.DataFrame:
    """The cells that not all voices label alike, the least agreed upon first.

    Parameters
    ----------
    index
        Names of the cells (n,).
    level
        Label level; the main one if not named.

    Returns
    -------
    DataFrame
        Columns cell_id, consensus, confidence, agreement, and one a voice with the label it gives.
    """
    at = found.first if level is None else found.level(level)
    classes = np.array(at.labels.classes, dtype=object)
    rows = np.flatnonzero((at.codes != at.codes[0]).any(0))
    rows = rows[np.lexsort((at.labels.confidence[rows], at.agreement[rows]))]
    table = {
        "cell_id": index.to_numpy()[rows],
        "consensus": at.labels.labels[rows],
        "confidence": at.labels.confidence[rows],
        "agreement": at.agreement[rows],
    }
    return pd.DataFrame(table | {name: classes[own[rows]] for name, own in zip(found.voices, at.codes, strict=True)})


def _common_levels(voices: Sequence[Voice]) -> tuple[str, ...]:
    if len(voices) < LEAST_VOICES:
        raise OptionsProblem(
            f"A consensus needs at least two methods; {len(voices)} can speak of these cells. Map by another one too."
        )
    if len({len(voice.labels.first.codes) for voice in voices}) > 1:
        counts = ", ".join(f"{voice.title} {len(voice.labels.first.codes):,}" for voice in voices)
        raise OptionsProblem(f"The methods labelled different numbers of cells ({counts}). Map the same file by each.")
    spoken = [{level.level for level in voice.labels.levels} for voice in voices]
    levels = tuple(
        level.level for level in voices[0].labels.levels if all(level.level in each for each in spoken)
    )
    if not levels:
        raise OptionsProblem("The methods share no label level. Map onto the same reference by each.")
    return levels


@dataclass(frozen=True)
class _Pooled:
    """Pooled answers at one level.

    Attributes
    ----------
    codes
        int32 (v, n), what each voice says.
    probabilities
        float32 (n, classes).
    examined
        The same of left-out cells; `None` where they were not kept.
    """

    level: str
    classes: tuple[str, ...]
    codes: IntArray
    probabilities: FloatArray
    pool: Pool
    examined: Examined | None

    @property
    def logarithms(self) -> FloatArray:
        """Logarithms of the probabilities, float32 (n, classes)."""
        return np.log(np.maximum(self.probabilities, LEAST_PROBABILITY))


def _pooled(voices: Sequence[Voice], level: str) -> _Pooled:
    told = [voice.labels.level(level) for voice in voices]
    classes = tuple(dict.fromkeys(label for each in told for label in each.classes))
    codes = np.stack([positions(classes, each.classes)[each.codes] for each in told])
    known = _shared([(voice.examined.get(level), each.classes) for voice, each in zip(voices, told, strict=True)])
    pool, examined = Pool(np.full(len(told), 1 / len(told), np.float32)), None
    if known is not None:
        cells, answers = known
        pool, examined = Pool.of(answers, cells.codes), _crossed(cells, answers)
    probabilities = pool(np.stack([_over(classes, each.classes, each.probabilities) for each in told]))
    return _Pooled(level, classes, codes, probabilities, pool, examined)


def _agreed(voices: Sequence[Voice], of: _Pooled, path: IntArray) -> LevelConsensus:
    """The consensus where levels have agreed on labels, int32 (n,), -1 where none fits: such a cell is unknown."""
    told = [voice.labels.level(of.level) for voice in voices]
    rows = np.arange(len(path))
    codes = np.where(path < 0, of.probabilities.argmax(1), path).astype(np.int32)
    confidence = of.probabilities[rows, codes]
    far = [each for voice, each in zip(voices, told, strict=True) if voice.tells_novelty]
    votes = np.stack([(of.codes == code).mean(0, dtype=np.float32) for code in range(len(of.classes))], axis=1)
    sets = likely_sets(of.probabilities) if of.examined is None else prediction_sets(of.probabilities, of.examined)
    sets[rows, codes] = True
    mostly_unknown = np.mean([each.unknown for each in told], axis=0) > 0.5
    labels = LevelLabels(
        level=of.level,
        classes=of.classes,
        codes=codes,
        probabilities=of.probabilities,
        confidence=confidence,
        disagreement=disagreement(votes),
        novelty=_median([each.novelty for each in far], len(codes)),
        stretch=_median([each.stretch for each in far], len(codes)),
        unknown=mostly_unknown | (path < 0) | (confidence < UNKNOWN_CONFIDENCE),
        sets=sets,
    )
    share, kappa = agreement_of(of.codes, len(of.classes))
    scores = {} if of.examined is None else quality(of.examined.probabilities, of.examined.codes)
    return LevelConsensus(
        labels=labels,
        agreement=votes[rows, codes],
        codes=of.codes,
        share=share,
        kappa=kappa,
        weights=of.pool.weights,
        temperature=of.pool.temperature,
        scores=scores,
        examined=of.examined,
    )


def _median(told: Sequence[FloatArray], n: int) -> FloatArray:
    """Of each of n cells over those that measured it, float32 (n,); NaN where nobody did."""
    return np.asarray(np.median(told, axis=0) if told else np.full(n, np.nan), np.float32)


def _shared(kept: Sequence[tuple[Examined | None, tuple[str, ...]]]) -> tuple[Examined, FloatArray] | None:
    """Left-out cells that all voices answered, and the answers, float32 (v, h, classes); `None` if there are none."""
    answered = [(examined, classes) for examined, classes in kept if examined is not None]
    if len(answered) < len(kept):
        return None
    classes = tuple(dict.fromkeys(label for _, of in answered for label in of))
    rows = answered[0][0].rows
    for examined, _ in answered[1:]:
        rows = np.intersect1d(rows, examined.rows)
    if len(rows) == 0:
        return None
    at = [np.searchsorted(examined.rows, rows) for examined, _ in answered]
    answers = np.stack(
        [_over(classes, of, each.probabilities[where]) for (each, of), where in zip(answered, at, strict=True)]
    )
    first, of_first = answered[0]
    codes = positions(classes, of_first)[first.codes[at[0]]]
    return Examined(rows, codes, first.batches[at[0]], answers[0]), answers


def _crossed(known: Examined, answers: FloatArray) -> Examined:
    """The consensus on left-out cells, each batch pooled as others teach; where there is one, as it teaches itself."""
    out = np.empty(answers.shape[1:], np.float32)
    part = np.unique(known.batches, return_inverse=True)[1] % MOST_PARTS
    for each in np.unique(part):
        asked = part == each
        others = ~asked if not asked.all() else asked
        out[asked] = Pool.of(answers[:, others], known.codes[others])(answers[:, asked])
    return replace(known, probabilities=out)


def positions(classes: tuple[str, ...], own: tuple[str, ...]) -> IntArray:
    """Where a voice's own labels stand among all, int32."""
    at = {label: position for position, label in enumerate(classes)}
    return np.array([at[label] for label in own], np.int32)


def _over(classes: tuple[str, ...], own: tuple[str, ...], probabilities: FloatArray) -> NDArray[np.float32]:
    """Probabilities over all classes; 0 for those that a voice does not know."""
    if own == classes:
        return probabilities
    out = np.zeros((len(probabilities), len(classes)), np.float32)
    out[:, positions(classes, own)] = probabilities
    return out
