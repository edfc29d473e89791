"""What can be read from a latent space about cells of a batch that the reader has not seen. Knows vectors and codes.

Two readers, one local and one global: the vote of the 30 nearest neighbours (cosine), and a logistic regression, the
linear head of `explorer.doubt.labels`. Each learns from all other batches and is asked about the one left out, after
the probes of CONCORD (Zhu et al., 2026), which leave out a fifth of the cells whatever their batch. The embedding
itself may have seen that batch; what a whole method does with a batch that it has not seen is on the reference's card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from explorer.doubt.labels import fit_linear, vote
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.insight.neighborhoods import sampled
from explorer.neighbors import Index

NEIGHBORS = 30
MOST_TRAINING, MOST_TESTED = 20_000, 5_000  # cells a left-out batch, drawn with the seed

Reader = Callable[[FloatArray, IntArray, FloatArray], FloatArray]
"""From cells, their codes and other cells to the probabilities of the others."""


@dataclass(frozen=True)
class Probed:
    """What a reader made of left-out batches.

    Attributes
    ----------
    rows
        int64 (t,), the cells that were asked.
    predicted
        int32 (t,), what they were taken for.
    accuracy, macro_f1
        Over all of them together, in [0, 1]; macro-F1 over the labels that they have.
    by_batch
        Accuracy of each batch, float64, by code; NaN where none of its cells could be asked.
    unlike
        Labelled cells whose label no other batch has; no reader can know them, and they are not asked.
    """

    rows: NDArray[np.int64]
    predicted: IntArray
    accuracy: float
    macro_f1: float
    by_batch: NDArray[np.float64]
    unlike: int


def neighbor_probe(
    values: FloatArray, codes: IntArray, batches: IntArray, k: int = NEIGHBORS, seed: int = 0
) -> Probed:
    """Labels of each batch by the vote of its k nearest cells of other batches. O(t m d), t asked and m others.

    Parameters
    ----------
    values, codes, batches
        float32 (n, d) and int32 (n,); cells with a code of -1 take no part.
    seed
        Draws 5,000 cells of a batch to ask and 20,000 to learn from, where there are more.

    Raises
    ------
    OptionsProblem
        If no label lies in two batches.
    """
    n_classes = int(codes.max(initial=0)) + 1

    def read(known: FloatArray, labels: IntArray, asked: FloatArray) -> FloatArray:
        return vote(Index(known).search(asked, k), labels, n_classes)

    return _probe(values, codes, batches, read, seed)


def linear_probe(values: FloatArray, codes: IntArray, batches: IntArray, seed: int = 0) -> Probed:
    """Labels of each batch by a logistic regression on the other batches. O(m d classes) a step of its fit.

    Parameters
    ----------
    values, codes, batches, seed
        As for `neighbor_probe`.

    Raises
    ------
    OptionsProblem
        If no label lies in two batches.
    """
    n_classes = int(codes.max(initial=0)) + 1

    def read(known: FloatArray, labels: IntArray, asked: FloatArray) -> FloatArray:
        return fit_linear(known, labels, n_classes).probabilities(asked)

    return _probe(values, codes, batches, read, seed)


def _probe(values: FloatArray, codes: IntArray, batches: IntArray, read: Reader, seed: int) -> Probed:
    asked: list[NDArray[np.int64]] = []
    predicted: list[IntArray] = []
    by_batch = np.full(int(batches.max(initial=0)) + 1, np.nan)
    unlike = 0
    for batch in np.unique(batches[codes >= 0]):
        rest = np.flatnonzero((batches != batch) & (codes >= 0))
        own = np.flatnonzero((batches == batch) & (codes >= 0))
        known = np.isin(codes[own], codes[rest])
        unlike += int((~known).sum())
        own = own[known]
        if len(own) == 0:
            continue
        own = own[sampled(len(own), MOST_TESTED, seed)]
        rest = rest[sampled(len(rest), MOST_TRAINING, seed)]
        guess = read(values[rest], codes[rest], values[own]).argmax(1).astype(np.int32)
        by_batch[batch] = (guess == codes[own]).mean()
        asked.append(own)
        predicted.append(guess)
    if not asked:
        raise OptionsProblem(
            "What other batches know of a batch is asked where two batches have a label in common; none has. "
            "Name another column of batches or of labels."
        )
    rows, guesses = np.concatenate(asked), np.concatenate(predicted)
    truth = codes[rows]
    return Probed(
        rows,
        guesses,
        float(accuracy_score(truth, guesses)),
        float(f1_score(truth, guesses, labels=np.unique(truth), average="macro", zero_division=0)),
        by_batch,
        unlike,
    )
