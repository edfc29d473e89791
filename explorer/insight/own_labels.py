"""Labels that a query already had, beside those it was given. Knows two labels a cell, not how they came about.

Two laboratories seldom use the same words. Which words mean the same is therefore suggested from the cells first, and
agreement is counted after that: for every own label the predicted label that holds the largest share of its cells, or
one to one by the Hungarian method (Kuhn, Naval Research Logistics 1955), which leaves out what has no partner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer import keys
from explorer.errors import OptionsProblem
from explorer.flow import LabelTransfer, LevelLabels

BY_SHARE, ONE_TO_ONE = "share", "one to one"
RULES = (BY_SHARE, ONE_TO_ONE)


@dataclass(frozen=True)
class Comparison:
    """Own labels against predicted ones. Cells without an own label are left out.

    Attributes
    ----------
    counts
        Own labels x predicted labels, cells; rows and columns in the order in which labels lie best on a diagonal.
        The last column "unknown" holds the cells that carry no label, where there are any.
    shares
        The same over the sum of each row.
    per_label
        A row an own label: cells, the predicted label most of its known cells got, that label's share of all its cells,
        median confidence and share unknown.
    correspondence
        Predicted label that each own label is taken to mean; own labels without one are missing.
    agreement
        Share of the cells, unknown ones among them, whose predicted label is the one that corresponds to their own.
    ari, nmi
        Adjusted Rand index and normalised mutual information of own and best predicted labels, of all cells.
    cells
        Cells that have an own label.
    """

    counts: pd.DataFrame
    shares: pd.DataFrame
    per_label: pd.DataFrame
    correspondence: Mapping[str, str]
    agreement: float
    ari: float
    nmi: float
    cells: int

    def links(self) -> pd.DataFrame:
        """The flows of a Sankey picture, the widest first: own, predicted, cells, share (of the own label)."""
        table = self.counts.rename_axis("own").reset_index().melt("own", var_name="predicted", value_name="cells")
        table["share"] = table["cells"] / table["own"].map(self.counts.sum(axis=1))
        found = table[table["cells"] > 0]
        return found.sort_values(["cells", "own", "predicted"], ascending=[False, True, True], ignore_index=True)

    def table(self) -> pd.DataFrame:
        """A row an own label: own, means, the columns of `per_label`, and its cells in each predicted label."""
        table = self.per_label.rename_axis("own").reset_index()
        table.insert(1, "means", [self.correspondence.get(str(own), "") for own in table["own"]])
        cells = self.counts.add_prefix("cells in ").reset_index(drop=True)
        return pd.concat([table, cells], axis=1)


def compare(own: pd.Series, labels: LevelLabels, rule: str = BY_SHARE) -> Comparison:
    """Set the labels that cells had beside those they were given.

    Parameters
    ----------
    own
        n labels; missing or empty ones are left out.
    rule
        "share": each own label means the predicted label most of its cells got; several may mean the same. "one to
        one": the pairing that most cells agree with, each label at most once.

    Raises
    ------
    OptionsProblem
        If no cell has an own label, or there is no such rule.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    text = own.astype(object).map(str, na_action="ignore").fillna("").astype(str).str.strip().to_numpy(object)
    rows = np.flatnonzero(text != "")
    if len(rows) == 0:
        raise OptionsProblem(
            f"No cell carries a label in {own.name!r}, so nothing can be compared. Choose another column."
        )
    mine, best, unknown = text[rows], labels.labels[rows], labels.unknown[rows]
    known = pd.crosstab(pd.Series(mine[~unknown]), pd.Series(best[~unknown])).reindex(np.unique(mine), fill_value=0)
    meaning = correspondence(known, rule)
    shown = _diagonal(known)
    if unknown.any():
        shown[keys.UNKNOWN] = pd.Series(mine[unknown]).value_counts().reindex(shown.index, fill_value=0)
    shown.index.name, shown.columns.name = "own", "predicted"
    told = pd.Series(mine).map(meaning).to_numpy(object)
    return Comparison(
        counts=shown.astype(np.int64),
        shares=shown.div(shown.sum(axis=1), axis=0),
        per_label=_per_label(mine, labels.confidence[rows], unknown, known).reindex(shown.index),
        correspondence=meaning,
        agreement=float(((told == best) & ~unknown).mean()),
        ari=float(adjusted_rand_score(mine, best)),
        nmi=float(normalized_mutual_info_score(mine, best)),
        cells=len(rows),
    )


def compare_column(
    obs: pd.DataFrame, labels: LabelTransfer, column: str, level: str | None = None, rule: str = BY_SHARE
) -> Comparison:
    """`compare`, of an obs column with the labels at a level; the main one if not named.

    Raises
    ------
    OptionsProblem
        If there is no such column or level; and as `compare` does.
    """
    if column not in obs.columns:
        raise OptionsProblem(f"There is no obs column {column!r}. There are: {', '.join(map(str, obs.columns))}.")
    levels = [of.level for of in labels.levels]
    if level is not None and level not in levels:
        raise OptionsProblem(f"There are no labels at a level {level!r}; there are {', '.join(levels)}.")
    return compare(obs[column], labels.level(level or levels[0]), rule)


def in_words(found: Comparison) -> str:
    """How far both agree, and a line an own label: what it means, and where its cells went."""
    table = found.table()[["own", "means", "cells", "predicted", "share", "confidence", "unknown"]]
    return "\n".join(
        [
            f"{found.cells:,} cells with a label of their own: {found.agreement:.1%} carry the predicted label that it "
            f"means; adjusted Rand index {found.ari:.3f}, normalised mutual information {found.nmi:.3f}",
            table.to_string(index=False, float_format=lambda value: f"{value:.2f}"),
        ]
    )


def correspondence(counts: pd.DataFrame, rule: str = BY_SHARE) -> dict[str, str]:
    """Which column each row of a table of cells means; rows without a cell mean none.

    Parameters
    ----------
    counts
        Labels of one vocabulary x labels of another.
    rule
        As for `compare`.

    Raises
    ------
    OptionsProblem
        If there is no such rule.
    """
    if rule not in RULES:
        raise OptionsProblem(f"Labels can be made to correspond by: {', '.join(RULES)}; not by {rule!r}.")
    values = counts.to_numpy()
    if values.size == 0:
        return {}
    if rule == BY_SHARE:
        pairs = [(row, int(values[row].argmax())) for row in range(len(values))]
    else:
        from scipy.optimize import linear_sum_assignment

        pairs = list(zip(*linear_sum_assignment(values, maximize=True), strict=True))
    return {str(counts.index[row]): str(counts.columns[column]) for row, column in pairs if values[row, column] > 0}


def _per_label(mine: np.ndarray, confidence: np.ndarray, unknown: np.ndarray, known: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"own": mine, "confidence": confidence, "unknown": unknown}).groupby("own")
    cells, most = table.size(), known.max(axis=1) if known.shape[1] else pd.Series(0, index=known.index)
    main = known.idxmax(axis=1) if known.shape[1] else pd.Series("", index=known.index)
    return pd.DataFrame(
        {
            "cells": cells,
            "predicted": main.where(most > 0, keys.UNKNOWN),
            "share": most / cells,
            "confidence": table["confidence"].median(),
            "unknown": table["unknown"].mean(),
        }
    )


def _diagonal(counts: pd.DataFrame) -> pd.DataFrame:
    """Rows by their number of cells, columns by the first row whose main label they are: large flows on a diagonal."""
    by_row = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    mains = list(dict.fromkeys(by_row.idxmax(axis=1))) if by_row.shape[1] else []
    others = [column for column in by_row if column not in mains]
    return by_row[[*mains, *others]].copy()
