"""What a reference's own held-out cells teach about its answers: which head, how sure, how far is far.

Knows vectors and labels, not how they were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from explorer.doubt import prototypes
from explorer.doubt.examined import Examined
from explorer.doubt.labels import (
    HEADS,
    LINEAR,
    OWN,
    PROTOTYPES,
    VOTE,
    LevelHead,
    fit_linear,
    fit_temperature,
    tempered,
    vote,
)
from explorer.doubt.novelty import (
    Expected,
    Signs,
    deviation,
    expected_shares,
    logarithm,
    reach,
    squared_residuals,
    strayed,
)
from explorer.doubt.strangeness import Basis, far, fit_basis, fit_shapes
from explorer.flow import AlignedCells, FloatArray, IntArray
from explorer.neighbors import Index

RELIABILITY_BINS = 10
MOST_EXAMINED = 2500  # enough for a quantile to half a point, small enough to travel with every method


@dataclass(frozen=True)
class HeldOut:
    """Labelled cells of left-out batches, mapped as a query would be; one label level.

    Attributes
    ----------
    probabilities
        By head, float32 (h, classes), not yet calibrated.
    codes
        int32 (h,), their own labels.
    rows
        int64 (h,), which reference cells they are.
    """

    probabilities: dict[str, FloatArray]
    codes: IntArray
    rows: NDArray[np.int64]


def examine(
    values: FloatArray,
    codes: IntArray,
    rows: NDArray[np.int64],
    reference: FloatArray,
    reference_codes: IntArray,
    n_classes: int,
    k: int,
    own: FloatArray | None = None,
) -> HeldOut:
    """Map one left-out batch onto the rest with every head.

    Parameters
    ----------
    values, codes, rows
        float32 (h, d), int32 (h,) and int64 (h,) of the left-out cells; unlabelled ones are dropped.
    reference, reference_codes
        float32 (m, d) and int32 (m,) of the others.
    k
        Neighbours that vote.
    own
        float32 (h, classes), what the method itself says of the left-out cells, where it says anything.
    """
    labelled = codes >= 0
    values, codes, rows = values[labelled], codes[labelled], rows[labelled]
    neighbors = Index(reference).search(values, k)
    probabilities = {
        VOTE: vote(neighbors, reference_codes, n_classes),
        PROTOTYPES: prototypes.probabilities(values, prototypes.prototypes(reference, reference_codes, n_classes)),
        LINEAR: fit_linear(reference, reference_codes, n_classes).probabilities(values),
    }
    if own is not None:
        probabilities[OWN] = own[labelled]
    return HeldOut(probabilities, codes, rows)


def pooled(parts: Sequence[HeldOut]) -> HeldOut:
    """The held-out cells of all left-out batches together."""
    return HeldOut(
        {head: np.concatenate([part.probabilities[head] for part in parts]) for head in parts[0].probabilities},
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.rows for part in parts]),
    )


@dataclass(frozen=True)
class Bases:
    """Components that cells' expression is compared along.

    Attributes
    ----------
    whole
        Of all reference cells.
    of_rest
        For each fold, of the cells of the others.
    """

    whole: Basis
    of_rest: tuple[Basis, ...]

    @classmethod
    def of(cls, cells: AlignedCells, fold_of: IntArray, seed: int) -> Bases:
        """Learn them; each cell is left out in one fold, int32 (m,)."""
        rest = tuple(fit_basis(cells.rows(fold_of != fold), seed) for fold in range(int(fold_of.max()) + 1))
        return cls(fit_basis(cells, seed), rest)

    def far(self, cells: AlignedCells, codes: IntArray, fold_of: IntArray, n_classes: int) -> FloatArray:
        """How far each cell lies from its label as the *other* folds tell, float32 (m,).

        NaN for cells without a label, and for those of labels that the other folds do not hold.
        """
        found = np.full(len(codes), np.nan, np.float32)
        for fold, basis in enumerate(self.of_rest):
            places, rest = basis.places(cells), fold_of != fold
            asked = np.flatnonzero(~rest & (codes >= 0) & np.isin(codes, codes[rest]))
            shapes = fit_shapes(basis, places[rest], codes[rest], n_classes)
            found[asked] = far(basis, shapes, places[asked], codes[asked])
        return found


def expectations(
    cells: AlignedCells, codes: IntArray, fold_of: IntArray, n_classes: int
) -> tuple[Expected, FloatArray]:
    """What counts of each label look like, and how far each reference cell deviates from what the *other* folds say.

    Parameters
    ----------
    cells
        m x g counts over the method's genes.
    codes, fold_of
        int32 (m,): labels, -1 for none, and the fold in which each cell is left out.

    Returns
    -------
    expected
        From all cells.
    deviation
        float32 (m,); 0 for unlabelled cells.
    """
    labelled = codes >= 0
    left_out = [(fold_of == fold) & labelled for fold in range(int(fold_of.max()) + 1)]
    shares = [expected_shares(cells.rows(~out), codes[~out], n_classes) for out in left_out]
    squares = sum(
        squared_residuals(cells.rows(out), codes[out], of_rest) for out, of_rest in zip(left_out, shares, strict=True)
    )
    spread = np.sqrt(np.maximum(squares / max(1, int(labelled.sum())), 1)).astype(np.float32)
    strange = np.zeros(len(codes), np.float32)
    for out, of_rest in zip(left_out, shares, strict=True):
        strange[out] = deviation(cells.rows(out), codes[out], Expected(of_rest, spread))
    return Expected(expected_shares(cells, codes, n_classes), spread), strange


def level_head(
    level: str,
    classes: tuple[str, ...],
    held_out: HeldOut,
    embedding: FloatArray,
    cells: AlignedCells,
    codes: IntArray,
    fold_of: IntArray,
    batches: IntArray,
    bases: Bases,
) -> LevelHead:
    """Choose and calibrate the head of a level on held-out cells, and train it on all of them.

    The head with the highest held-out macro-F1 wins; the simpler one wins ties. Where no batch could be left out, the
    linear head is taken: a random fifth of one batch favours whoever remembers single cells, such as the vote.

    Parameters
    ----------
    embedding, cells, codes, fold_of, batches
        The whole reference: float32 (m, d), m x g, int32 (m,), int32 (m,), int32 (m,).
    bases
        Of `cells` and `fold_of`.
    """
    scores: dict[str, dict[str, Any]] = {}
    candidates = [head for head in HEADS if head in held_out.probabilities]
    for head in candidates:
        raw = held_out.probabilities[head]
        temperature = fit_temperature(raw, held_out.codes)
        scores[head] = {"temperature": temperature, **quality(tempered(raw, temperature), held_out.codes)}
    compared = LINEAR not in candidates or len(np.unique(batches[held_out.rows])) > 1
    winner = max(candidates, key=lambda head: scores[head]["macro_f1"]) if compared else LINEAR  # the first of the best
    expected, strange = expectations(cells, codes, fold_of, len(classes))
    apart = bases.far(cells, codes, fold_of, len(classes))
    # a label that lives in one fold only has nobody who could tell how far its cells lie from it
    rows = held_out.rows[np.isfinite(apart[held_out.rows])]
    signs = Signs(apart[rows], logarithm(strange[rows]))
    parts = batches if len(np.unique(batches[held_out.rows])) > 1 else fold_of
    return LevelHead(
        level=level,
        classes=classes,
        head=winner,
        temperature=scores[winner]["temperature"],
        linear=fit_linear(embedding, codes, len(classes)),
        prototypes=prototypes.prototypes(embedding, codes, len(classes)),
        expected=expected,
        basis=bases.whole,
        shapes=fit_shapes(bases.whole, bases.whole.places(cells), codes, len(classes)),
        held_out=strayed(codes[rows], signs, len(classes)),
        scores=scores,
        reach=reach(signs, parts[rows]),
        examined=kept(held_out, winner, scores[winner]["temperature"], batches),
    )


def kept(held_out: HeldOut, head: str, temperature: float, batches: IntArray) -> Examined:
    """A sample of a head's answers that depends on which cells have labels, and on nothing else."""
    order = np.random.default_rng(0).permutation(len(batches))
    place = np.full(len(batches), -1)
    place[held_out.rows] = np.arange(len(held_out.rows))
    at = place[np.sort(order[place[order] >= 0][:MOST_EXAMINED])]
    rows = held_out.rows[at]
    answers = tempered(held_out.probabilities[head][at], temperature)
    return Examined(rows, held_out.codes[at], batches[rows], answers)


def quality(probabilities: FloatArray, codes: IntArray) -> dict[str, Any]:
    """Accuracy, macro-F1, expected calibration error and the reliability curve behind it.

    The curve lists, for bins of confidence with any cell, [mean confidence, accuracy, cells].
    """
    guess = probabilities.argmax(1)
    confidence = probabilities[np.arange(len(codes)), guess]
    right = guess == codes
    bins = np.minimum((confidence * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    curve = [
        [float(confidence[bins == b].mean()), float(right[bins == b].mean()), int((bins == b).sum())]
        for b in np.unique(bins)
    ]
    gap = sum(abs(sure - accuracy) * n for sure, accuracy, n in curve) / len(codes)
    return {
        "accuracy": round(float(accuracy_score(codes, guess)), 4),
        "macro_f1": round(float(f1_score(codes, guess, labels=np.unique(codes), average="macro", zero_division=0)), 4),
        "calibration_error": round(gap, 4),
        "reliability": curve,
        "cells": len(codes),
    }
