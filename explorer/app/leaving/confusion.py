"""The labels that cells brought beside those they were given, as one tab asks for them. Knows no widgets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer import keys
from explorer.app.tab.session import Session
from explorer.drawing.columns import MOST_CATEGORIES, is_measured
from explorer.errors import OptionsProblem
from explorer.flow import LevelLabels
from explorer.insight.own_labels import Comparison, compare

SHOWN_NAMES = 60  # names of one side in a picture


def labels_in_force(session: Session) -> LevelLabels:
    """The labels in view, at the level and by the threshold in force.

    Raises
    ------
    OptionsProblem
        If no cells are mapped.
    """
    if session.outcome is None:
        raise OptionsProblem("No cells are mapped yet. Map some first.")
    return session.outcome.result.labels.level(session.level)


def named_columns(obs: pd.DataFrame, most: int = MOST_CATEGORIES) -> tuple[str, ...]:
    """Columns that hold names, at least two and few enough to tell apart; whole numbers may be names of clusters."""
    return tuple(
        str(name) for name in obs.columns
        if not (is_measured(obs[name]) and pd.api.types.is_float_dtype(obs[name])) and 2 <= obs[name].nunique() <= most
    )  # fmt: skip


def confusion(
    own: pd.Series, labels: LevelLabels, rule: str, rows: NDArray[np.integer] | None = None
) -> Comparison:
    """Own labels against predicted ones, of all cells or of some.

    Parameters
    ----------
    own
        Labels that the n cells brought.
    rule
        How the two vocabularies correspond, one of `explorer.insight.own_labels.RULES`.
    rows
        Positions of the cells to count; all if not given.

    Raises
    ------
    OptionsProblem
        If none of the cells has an own label.
    """
    if rows is not None:
        chosen = np.zeros(len(own), dtype=np.bool_)
        chosen[rows] = True
        own = own.astype(object).where(chosen)
    return compare(own, labels, rule)


def cells_of(own: pd.Series, labels: LevelLabels, mine: str, predicted: str) -> NDArray[np.int64]:
    """Positions of the cells with one own label and one predicted label, ascending; "unknown" is one of the latter."""
    text = own.astype(object).map(str, na_action="ignore").fillna("").astype(str).str.strip().to_numpy(object)
    given = labels.unknown if predicted == keys.UNKNOWN else (labels.labels == predicted) & ~labels.unknown
    return np.flatnonzero((text == mine) & given)


def summary(found: Comparison) -> str:
    """What a comparison comes to, in a sentence or two."""
    meanings = {str(own): mean for own, mean in found.correspondence.items()}
    without = [str(name) for name in found.counts.index if str(name) not in meanings]
    missing = f" No label corresponds to {', '.join(without)}." if without else ""
    return (
        f"{100 * found.agreement:.1f} % of {found.cells:,} cells carry the label that corresponds to their own; "
        f"adjusted Rand index {round(found.ari, 2) + 0.0:.2f}, normalised mutual information {found.nmi:.2f}.{missing}"
    )
