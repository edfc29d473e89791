"""Sets of labels that hold the true one as often as promised. Knows probabilities and label codes.

A label is in a cell's set if its calibrated probability reaches a threshold: the one that the true label of the wanted
share of left-out cells reached (Sadinle, Lei and Wasserman, Journal of the American Statistical Association 2019).
What a query brings is a new batch rather than new cells of a known one, so every left-out batch counts the same,
however many cells it has (pooling of distributions; Dunn, Wasserman and Ramdas, Journal of the American Statistical
Association 2023). The promise is for the cells of an average batch like those of the reference; cells of types that
it lacks have no true label that a set could hold.
"""

from __future__ import annotations

import numpy as np

from explorer.doubt.examined import Examined
from explorer.errors import OptionsProblem
from explorer.flow import BoolArray, FloatArray

COVERAGE = 0.95  # of the sets that are written into results


def least_probability(examined: Examined, coverage: float = COVERAGE) -> float:
    """The probability from which on a label is in a set, in [0, 1].

    The quantile is taken at coverage (1 + 1/h) for h left-out cells, which makes the promise hold for a further cell.

    Raises
    ------
    OptionsProblem
        If the coverage is not between 0 and 1, or no left-out cell was kept.
    """
    if not 0 < coverage < 1:
        raise OptionsProblem(f"The coverage of prediction sets lies between 0 and 1; {coverage} was asked for.")
    h = len(examined.codes)
    if h == 0:
        raise OptionsProblem("No labelled cell of the reference was left out, so nothing can be promised of a set.")
    _, batch, cells = np.unique(examined.batches, return_inverse=True, return_counts=True)
    weight = 1 / cells[batch]
    own = examined.probabilities[np.arange(h), examined.codes]
    order = np.argsort(-own, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    at = np.searchsorted(reached, coverage * (1 + 1 / h) - 1e-9)
    return float(own[order[at]]) if at < h else 0.0


def prediction_sets(probabilities: FloatArray, examined: Examined, coverage: float = COVERAGE) -> BoolArray:
    """Which labels are in each cell's set, bool (n, classes); the most probable one always is.

    Parameters
    ----------
    probabilities
        float32 (n, classes), calibrated as those of the left-out cells are.
    coverage
        Share of cells whose set shall hold their true label.

    Raises
    ------
    OptionsProblem
        If the coverage is not between 0 and 1, or no left-out cell was kept.
    """
    return with_best(probabilities >= least_probability(examined, coverage), probabilities)


def kept_promise(examined: Examined, coverage: float = COVERAGE) -> float:
    """How often sets really hold the true label, measured on left-out cells: each batch by what the others teach.

    It is more than the coverage that was asked for where single labels alone are right more often than that, since
    no set is empty. Every batch counts the same; a single batch is judged by itself.

    Raises
    ------
    OptionsProblem
        If the coverage is not between 0 and 1, or no left-out cell was kept.
    """
    held = []
    for batch in np.unique(examined.batches):
        own = examined.batches == batch
        others = examined.of(~own) if not own.all() else examined
        asked = examined.of(own)
        sets = prediction_sets(asked.probabilities, others, coverage)
        held.append(sets[np.arange(len(sets)), asked.codes].mean())
    if not held:
        least_probability(examined, coverage)
    return float(np.mean(held))


def likely_sets(probabilities: FloatArray, coverage: float = COVERAGE) -> BoolArray:
    """The most probable labels of each cell that add up to a share, bool (n, classes).

    For where answers to left-out cells are not at hand: as good as the probabilities are, without a promise.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    sets = np.zeros(probabilities.shape, bool)
    np.put_along_axis(sets, order, before < coverage, axis=1)
    return sets


def with_best(sets: BoolArray, probabilities: FloatArray) -> BoolArray:
    """The same sets, each with the cell's most probable label."""
    held = sets.copy()
    held[np.arange(len(held)), probabilities.argmax(1)] = True
    return held
