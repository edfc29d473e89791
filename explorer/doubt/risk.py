"""What a threshold of confidence costs and buys: cells kept, and how many of them are right. Knows left-out answers.

Keeping only what one is sure of trades cells for accuracy; the curve of both over all thresholds is the risk-coverage
curve (El-Yaniv and Wiener, Journal of Machine Learning Research 2010). It is read off the reference's own left-out
cells, and holds for a query as far as that is like a left-out batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.doubt.examined import Examined
from explorer.errors import OptionsProblem
from explorer.flow import UNKNOWN_CONFIDENCE, BoolArray, FloatArray


@dataclass(frozen=True)
class Kept:
    """What is left at a threshold.

    Attributes
    ----------
    share
        Of all cells, in [0, 1].
    accuracy
        Share of the kept cells whose label is right; NaN where none is kept.
    """

    share: float
    accuracy: float


def risk_coverage(examined: Examined) -> pd.DataFrame:
    """The curve: one row a confidence that any left-out cell has, the lowest first.

    Returns
    -------
    DataFrame
        Columns threshold, kept (share of left-out cells at least so sure) and accuracy (of those).
    """
    sure, right = _answers(examined)
    order = np.argsort(-sure, kind="stable")
    sure, right = sure[order], right[order]
    last = np.flatnonzero(np.append(sure[:-1] != sure[1:], True)) if len(sure) else np.empty(0, np.intp)
    kept = last + 1
    curve = {"threshold": sure[last], "kept": kept / max(1, len(sure)), "accuracy": right.cumsum()[last] / kept}
    return pd.DataFrame(curve).iloc[::-1].reset_index(drop=True)


def at_threshold(examined: Examined, threshold: float) -> Kept:
    """Which share of cells is at least so sure, and how accurate their labels are."""
    sure, right = _answers(examined)
    kept = sure >= threshold
    return Kept(float(kept.mean()), float(right[kept].mean())) if kept.any() else Kept(0.0, float("nan"))


def threshold_for(examined: Examined, accuracy: float) -> float | None:
    """The lowest threshold, in hundredths from 0.50, at which the kept cells are so accurate; `None` where none is.

    Raises
    ------
    OptionsProblem
        If the accuracy is not above 0 and at most 1.
    """
    require_accuracy(accuracy)
    steps = (hundredths / 100 for hundredths in range(round(100 * UNKNOWN_CONFIDENCE), 101))
    return next((at for at in steps if at_threshold(examined, at).accuracy >= accuracy), None)


def wanted_threshold(examined: Examined | None, accuracy: float) -> float:
    """The same; `None` for `examined` stands for a reference of which no cell was left out.

    Raises
    ------
    OptionsProblem
        If there is no such threshold, nobody can know it, or the accuracy is not above 0 and at most 1.
    """
    if examined is None:
        raise OptionsProblem(
            "No labelled reference cell was left out of training, so nobody can tell which threshold makes labels so "
            "accurate. Name a threshold of confidence instead."
        )
    found = threshold_for(examined, accuracy)
    if found is None:
        raise OptionsProblem(
            f"No threshold makes {100 * accuracy:g}% of the reference's left-out cells right. Ask for a lower "
            "accuracy, or name a threshold of confidence."
        )
    return found


def require_accuracy(accuracy: float) -> None:
    """Refuse what is no share of right labels.

    Raises
    ------
    OptionsProblem
        If the accuracy is not above 0 and at most 1.
    """
    if not 0 < accuracy <= 1:
        raise OptionsProblem(f"An accuracy is above 0 and at most 1; {accuracy} was asked for.")


def _answers(examined: Examined) -> tuple[FloatArray, BoolArray]:
    """Confidence of each left-out cell, float32 (h,), and whether its best label is right."""
    best = examined.probabilities.argmax(1)
    return examined.probabilities[np.arange(len(best)), best], best == examined.codes
