"""From neighbours and embeddings to labels, and to two kinds of doubt. Knows vectors and labels, not genes.

A *head* turns a cell's place into class probabilities. Up to four compete on the reference's own held-out batches:

- the vote: probability of a label = its share of the neighbours' cosine similarity (Concerto, Yang et al.,
  Nature Machine Intelligence 2022, equations 20 to 22);
- the prototypes: a softmax over the cosines to the mean of each label's cells;
- the linear head: a regularised multinomial logistic regression on the normalised embedding;
- the method's own class probabilities, where it gives any.

Probabilities are calibrated by one temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.doubt import prototypes
from explorer.doubt.conformal import prediction_sets
from explorer.doubt.examined import Examined
from explorer.doubt.novelty import Expected, Signs, Strayed, conformal, odd, stretch
from explorer.doubt.strangeness import Basis, Shapes, far
from explorer.errors import ReferenceProblem
from explorer.flow import (
    UNKNOWN_CONFIDENCE,
    AlignedCells,
    BoolArray,
    Embedding,
    FloatArray,
    IntArray,
    LevelLabels,
    Neighbors,
)
from explorer.neighbors import LabelIndex, normalised

VOTE, PROTOTYPES, LINEAR, OWN = "vote", "prototypes", "linear", "own"
HEADS = (VOTE, PROTOTYPES, LINEAR, OWN)  # the simpler first
MOST_TRAINING_CELLS = 50_000
LEAST_PROBABILITY = 1e-6  # so that a logarithm can be taken
SCALE = np.float32(np.sqrt(10.0))  # of unit embeddings before the penalised fit


@dataclass(frozen=True)
class LinearHead:
    """A linear map from the unit embedding to class scores.

    Attributes
    ----------
    weight, bias
        float32 (d, classes) and (classes,).
    """

    weight: FloatArray
    bias: FloatArray

    def probabilities(self, values: FloatArray) -> FloatArray:
        """Softmax scores, float32 (n, classes), of an embedding (n, d)."""
        return softmax(normalised(values) @ self.weight + self.bias)


@dataclass(frozen=True)
class LevelHead:
    """Everything learned from a reference that one label level needs.

    Attributes
    ----------
    level, classes
        Its name and labels.
    head
        One of `HEADS`: which won on held-out batches.
    temperature
        Divides log probabilities; found on held-out batches.
    linear
        The linear head, trained on all reference cells.
    prototypes
        float32 (classes, d), of all reference cells.
    expected
        What counts of each label look like.
    basis, shapes
        Components of expression, the same at all levels, and where the cells of each label lie along them.
    held_out
        How strange the reference's own held-out cells were to their label.
    scores
        Held-out accuracy, macro-F1 and calibration error of each head.
    reach
        How many times as strange as 99 % of the held-out cells a cell may be, learned by leaving batches out.
    examined
        Its calibrated answers to a sample of the left-out cells.
    """

    level: str
    classes: tuple[str, ...]
    head: str
    temperature: float
    linear: LinearHead
    prototypes: FloatArray
    expected: Expected
    basis: Basis
    shapes: Shapes
    held_out: Strayed
    scores: dict[str, dict[str, Any]]
    reach: float
    examined: Examined


def vote(neighbors: Neighbors, codes: IntArray, n_classes: int) -> FloatArray:
    """Similarity-weighted vote of labelled neighbours, float32 (n, n_classes); rows sum to 1.

    Negative similarities count as 0; if none is positive the neighbours are counted. Where no neighbour has a
    label every class is equally likely.

    Parameters
    ----------
    codes
        int32 (m,), label of each reference cell, -1 for none.
    """
    labels = codes[neighbors.indices]  # (n, k)
    labelled = labels >= 0
    weights = np.where(labelled, np.maximum(neighbors.similarity, 0), 0).astype(np.float64)
    silent = weights.sum(1) < 1e-12  # nothing that could be divided by
    weights[silent] = labelled[silent]
    out = np.zeros((len(labels), n_classes))
    rows = np.repeat(np.arange(len(labels)), labels.shape[1])
    np.add.at(out, (rows[labelled.ravel()], labels[labelled]), weights[labelled])
    total = out.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0, out / np.maximum(total, 1e-12), 1 / n_classes), np.float32)


def best_codes(probabilities: FloatArray, neighbors: Neighbors, codes: IntArray) -> IntArray:
    """Most probable class of each cell; a tie goes to the class of the nearer neighbour, then to the first."""
    best = probabilities.max(1, keepdims=True)
    tied = probabilities >= best - 1e-7
    out = probabilities.argmax(1)
    for row in np.flatnonzero(tied.sum(1) > 1):
        labels = codes[neighbors.indices[row]]
        nearest = np.full(probabilities.shape[1], -2.0)  # farther than any cosine
        np.maximum.at(nearest, labels[labels >= 0], neighbors.similarity[row][labels >= 0])
        out[row] = np.where(tied[row], nearest, -np.inf).argmax()
    return out.astype(np.int32)


def disagreement(probabilities: FloatArray) -> FloatArray:
    """Entropy of each row over its largest possible value, float32 (n,) in [0, 1].

    The largest is log(labels with any probability), so a two-way split counts as 1; a single label gives 0.
    """
    p = probabilities.astype(np.float64)
    seen = (p > 0).sum(1)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    return np.where(seen > 1, entropy / np.log(np.maximum(seen, 2)), 0).clip(0, 1).astype(np.float32)


def fit_linear(values: FloatArray, codes: IntArray, n_classes: int, seed: int = 0) -> LinearHead:
    """Fit the linear head on labelled reference cells; rare classes weigh as much as common ones.

    Parameters
    ----------
    values, codes
        float32 (m, d), int32 (m,); cells coded -1 are left out. Above 50,000 cells a seeded sample is used.
    """
    from sklearn.linear_model import LogisticRegression

    labelled = np.flatnonzero(codes >= 0)
    if len(labelled) > MOST_TRAINING_CELLS:
        labelled = np.random.default_rng(seed).choice(labelled, MOST_TRAINING_CELLS, replace=False)
    present = np.unique(codes[labelled])
    weight = np.zeros((values.shape[1], n_classes), np.float32)
    bias = np.full(n_classes, -1e4, np.float32)  # a class without cells gets no probability
    bias[present] = 0
    if len(present) > 1:
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
        model.fit(normalised(values[labelled]) * SCALE, codes[labelled])
        coefficients = np.vstack([-model.coef_, model.coef_]) / 2 if len(present) == 2 else model.coef_
        intercepts = np.array([-0.5, 0.5]) * model.intercept_ if len(present) == 2 else model.intercept_
        weight[:, present] = coefficients.T * SCALE
        bias[present] = intercepts
    return LinearHead(weight, bias)


def tempered(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Probabilities with their logarithm divided by a temperature, float32, rows sum to 1."""
    return softmax(np.log(np.maximum(probabilities, LEAST_PROBABILITY)) / temperature)


def softmax(scores: NDArray[np.floating]) -> FloatArray:
    """Scores (n, classes) as probabilities, float32; rows sum to 1."""
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)


def fit_temperature(probabilities: FloatArray, codes: IntArray) -> float:
    """The temperature that makes held-out probabilities most likely, in [0.2, 5]."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(codes))

    def surprise(log_temperature: float) -> float:
        p = tempered(probabilities, float(np.exp(log_temperature)))[rows, codes]
        return float(-np.log(np.maximum(p, 1e-9)).mean())

    found = minimize_scalar(surprise, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def transfer_level(
    head: LevelHead,
    cells: AlignedCells,
    embedding: Embedding,
    neighbors: Neighbors,
    members: LabelIndex,
    found: BoolArray | None = None,
    *,
    allowed: BoolArray | None = None,
    settled: IntArray | None = None,
    by_quantile: bool = False,
) -> LevelLabels:
    """Label cells at one level.

    Parameters
    ----------
    cells
        n x g, what was embedded; expression is compared with that of the label's cells, whatever the embedding.
    embedding, neighbors
        float32 (n, d) and the nearest reference cells.
    members
        The reference's labels and its cells by label.
    found
        bool (g,), genes that the query holds.
    allowed
        bool (n, classes), the labels that each cell may get; all by default, and where a cell has none allowed.
        Such a cell is unknown.
    settled
        int32 (n,), the label of each cell where levels have agreed on it, -1 where none fits: such a cell is unknown.
        By default each cell gets its most probable label.
    by_quantile
        Call a cell unknown beyond the 99 % quantile of its label's held-out cells, instead of beyond the head's reach.

    Raises
    ------
    ReferenceProblem
        If the head is the method's own and the method gives no class probabilities at this level.
    """
    votes = vote(neighbors, members.codes, len(head.classes))
    probabilities = tempered(_answers(head, embedding, votes), head.temperature)
    sets = prediction_sets(probabilities, head.examined)
    nothing_fits: BoolArray = np.zeros(len(votes), bool)
    if allowed is not None:
        nothing_fits = np.asarray(~allowed.any(axis=1))
        probabilities = _among(allowed | nothing_fits[:, None], probabilities)
    codes = best_codes(probabilities, neighbors, members.codes)
    if settled is not None:
        nothing_fits = settled < 0
        codes = np.where(nothing_fits, codes, settled).astype(np.int32)
    sets[np.arange(len(codes)), codes] = True
    confidence = probabilities[np.arange(len(codes)), codes]
    places = head.basis.places(cells, found)
    signs = Signs(far(head.basis, head.shapes, places, codes), odd(cells, codes, head.expected, found))
    novelty, beyond = conformal(codes, signs, head.held_out)
    stretched = stretch(codes, signs, head.held_out)
    if not by_quantile:
        beyond = stretched > head.reach
    rejected = embedding.rejected.get(head.level, False) if head.head == OWN else False
    return LevelLabels(
        level=head.level,
        classes=head.classes,
        codes=codes,
        probabilities=probabilities,
        confidence=confidence,
        disagreement=disagreement(votes),
        novelty=novelty,
        stretch=stretched,
        unknown=beyond | nothing_fits | rejected | (confidence < UNKNOWN_CONFIDENCE),
        sets=sets,
    )


def log_answers(head: LevelHead, embedding: Embedding, neighbors: Neighbors, members: LabelIndex) -> FloatArray:
    """Logarithms of the calibrated probabilities at one level, float32 (n, classes).

    The label that a tie goes to is the higher by a hair.
    """
    votes = vote(neighbors, members.codes, len(head.classes))
    probabilities = tempered(_answers(head, embedding, votes), head.temperature)
    logarithms = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    logarithms[np.arange(len(votes)), best_codes(probabilities, neighbors, members.codes)] += 1e-5
    return logarithms


def own_answers(embedding: Embedding, level: str, n_classes: int) -> FloatArray | None:
    """The method's own class probabilities at a level, float32 (n, n_classes); `None` where it gives none.

    Classes that no cell of its training carried, and that it therefore does not count, get nothing.
    """
    scores = embedding.scores.get(level)
    if scores is None:
        return None
    return np.pad(scores, ((0, 0), (0, n_classes - scores.shape[1])))


def _answers(head: LevelHead, embedding: Embedding, votes: FloatArray) -> FloatArray:
    """What the head that won says, before calibration."""
    if head.head == VOTE:
        return votes
    if head.head == PROTOTYPES:
        return prototypes.probabilities(embedding.values, head.prototypes)
    if head.head == LINEAR:
        return head.linear.probabilities(embedding.values)
    own = own_answers(embedding, head.level, len(head.classes))
    if own is None:
        raise ReferenceProblem(
            f"The labels of {head.level!r} are to be given by the model itself, which gives none at that level. "
            "Train the method again with: atlas-explorer build"
        )
    return own


def _among(allowed: BoolArray, probabilities: FloatArray) -> FloatArray:
    kept = np.where(allowed, np.maximum(probabilities, LEAST_PROBABILITY), 0)
    return np.asarray(kept / kept.sum(1, keepdims=True), np.float32)


def refitted(head: LevelHead, values: FloatArray, codes: IntArray) -> LevelHead:
    """The same head for reference cells that a model has moved; its temperature stays.

    Parameters
    ----------
    values, codes
        float32 (m, d) and int32 (m,), all reference cells.
    """
    n_classes = len(head.classes)
    return replace(
        head,
        linear=fit_linear(values, codes, n_classes),
        prototypes=prototypes.prototypes(values, codes, n_classes),
    )


def joined_levels(parts: Sequence[LevelLabels]) -> LevelLabels:
    """The labels of several blocks of cells at one level, one after the other."""
    per_cell = ("codes", "probabilities", "confidence", "disagreement", "novelty", "stretch", "unknown", "sets")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in per_cell}
    return replace(parts[0], **joined)
