"""From neighbours and embeddings to labels, and to two kinds of doubt. Knows vectors and labels, not genes.

A *head* turns a cell's place into class probabilities. Two compete on the reference's own held-out batches:

- the vote: probability of a label = its share of the neighbours' cosine similarity (Concerto, Yang et al.,
  Nature Machine Intelligence 2022, equations 20 to 22);
- the linear head: a regularised multinomial logistic regression on the normalised embedding.

Probabilities are calibrated by one temperature; novelty is a conformal p-value of the distance to the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.flow import FloatArray, IntArray, LevelLabels, Neighbors
from explorer.neighbors import distance_to_label, normalised

VOTE, LINEAR = "vote", "linear"
HEADS = (VOTE, LINEAR)
NEAREST = 5            # cells of the label that a distance is averaged over
UNKNOWN_QUANTILE = 0.99
UNKNOWN_CONFIDENCE = 0.5
MOST_TRAINING_CELLS = 50_000
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
        return _softmax(normalised(values) @ self.weight + self.bias)


@dataclass(frozen=True)
class LevelHead:
    """Everything learned from a reference that one label level needs.

    Attributes
    ----------
    level, classes
        Its name and labels.
    head
        "vote" or "linear": which won on held-out batches.
    temperature
        Divides log probabilities; found on held-out batches.
    linear
        The linear head, trained on all reference cells.
    held_out
        For each class the sorted distances (float32) of the reference's held-out cells to their own label.
    scores
        Held-out accuracy, macro-F1 and calibration error of each head.
    """

    level: str
    classes: tuple[str, ...]
    head: str
    temperature: float
    linear: LinearHead
    held_out: tuple[FloatArray, ...]
    scores: dict[str, dict[str, Any]]


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
    silent = weights.sum(1) <= 0
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
        order = codes[neighbors.indices[row]]
        among = order[(order >= 0) & tied[row][np.maximum(order, 0)]]
        out[row] = among[0] if len(among) else out[row]
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
    return _softmax(np.log(np.maximum(probabilities, 1e-6)) / temperature)


def fit_temperature(probabilities: FloatArray, codes: IntArray) -> float:
    """The temperature that makes held-out probabilities most likely, in [0.2, 5]."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(codes))

    def surprise(log_temperature: float) -> float:
        p = tempered(probabilities, float(np.exp(log_temperature)))[rows, codes]
        return float(-np.log(np.maximum(p, 1e-9)).mean())

    found = minimize_scalar(surprise, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def novelty(distance: FloatArray, codes: IntArray, held_out: tuple[FloatArray, ...]) -> FloatArray:
    """1 - conformal p-value of the distance to the label, float32 (n,) in [0, 1].

    p = (1 + held-out cells of the label at least as far) / (1 + held-out cells of the label).
    """
    out = np.zeros(len(distance), np.float32)
    for code in np.unique(codes):
        ranked = held_out[code]
        asked = codes == code
        farther = len(ranked) - np.searchsorted(ranked, distance[asked], side="left")
        out[asked] = 1 - (1 + farther) / (1 + len(ranked))
    return out


def too_far(distance: FloatArray, codes: IntArray, held_out: tuple[FloatArray, ...]) -> NDArray[np.bool_]:
    """Whether a cell lies beyond the 99 % quantile of its label's held-out distances."""
    limits = np.array([np.quantile(d, UNKNOWN_QUANTILE) if len(d) else np.inf for d in held_out])
    return np.asarray(distance > limits[codes])


def transfer_level(
    head: LevelHead, values: FloatArray, neighbors: Neighbors, reference: FloatArray, reference_codes: IntArray
) -> LevelLabels:
    """Label cells at one level.

    Parameters
    ----------
    values, neighbors
        float32 (n, d) and their nearest reference cells.
    reference, reference_codes
        float32 (m, d) and int32 (m,).
    """
    votes = vote(neighbors, reference_codes, len(head.classes))
    raw = votes if head.head == VOTE else head.linear.probabilities(values)
    probabilities = tempered(raw, head.temperature)
    codes = best_codes(probabilities, neighbors, reference_codes)
    confidence = probabilities[np.arange(len(codes)), codes]
    distance = distance_to_label(values, codes, reference, reference_codes, NEAREST)
    return LevelLabels(
        level=head.level,
        classes=head.classes,
        codes=codes,
        probabilities=probabilities,
        confidence=confidence,
        disagreement=disagreement(votes),
        novelty=novelty(distance, codes, head.held_out),
        unknown=too_far(distance, codes, head.held_out) | (confidence < UNKNOWN_CONFIDENCE),
    )


def _softmax(scores: FloatArray) -> FloatArray:
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)
