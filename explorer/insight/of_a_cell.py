"""Everything there is to say of one cell: its labels, what it lies near, and its genes. Knows values, not files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.doubt.novelty import Expected, in_words
from explorer.doubt.prototypes import similarity
from explorer.flow import AlignedCells, BoolArray, FloatArray, LevelLabels, Neighbors
from explorer.insight.residuals import standing_out

TOP_LABELS = 5
TOP_GENES = 10
SPLIT = 0.5    # disagreement from which a cell is called between two labels
FAR = 0.99     # novelty beyond which nothing like the cell is near


@dataclass(frozen=True)
class LevelOfCell:
    """A cell at one label level.

    Attributes
    ----------
    labels
        label and probability, the likeliest first, and whether it is in the prediction set (in_set).
    prediction_set
        Labels that cannot be told apart at the set's coverage; empty where nothing fits.
    prototypes
        label and similarity (cosine to the mean of the reference's cells of the label), the nearest first.
    words
        What confidence, disagreement and novelty say of it, a sentence each.
    """

    level: str
    label: str
    confidence: float
    disagreement: float
    novelty: float
    unknown: bool
    labels: pd.DataFrame
    prediction_set: tuple[str, ...]
    prototypes: pd.DataFrame
    words: tuple[str, ...]


@dataclass(frozen=True)
class CellCard:
    """One cell of a query.

    Attributes
    ----------
    name, row
        Its name, and its position in the query.
    obs
        What the query's own obs says of it.
    levels
        One a label level, in the reference's order.
    neighbors
        Nearest reference cells, the nearest first: cell, similarity, and their label at every level, batch and sample.
    genes
        Its own highest genes: gene, value (log1p CP10k), observed and expected (counts per 10,000, the latter of its
        label), residual.
    above, below
        Genes farthest above and below what its label leads one to expect, the same columns.
    """

    name: str
    row: int
    obs: Mapping[str, str]
    levels: tuple[LevelOfCell, ...]
    neighbors: pd.DataFrame
    genes: pd.DataFrame
    above: pd.DataFrame
    below: pd.DataFrame


def level_of_cell(
    labels: LevelLabels, row: int, place: FloatArray, points: FloatArray, held_out: int, votes: Sequence[str]
) -> LevelOfCell:
    """A cell at one level.

    Parameters
    ----------
    row
        Its position among the labelled cells.
    place, points
        float32 (d,) and (classes, d): where it lies, and the prototypes.
    held_out
        How many left-out reference cells of its label novelty was measured by.
    votes
        Labels of its nearest reference cells, "" for unlabelled ones.
    """
    order = np.argsort(-labels.probabilities[row], kind="stable")
    names = np.array(labels.classes, dtype=object)
    table = pd.DataFrame(
        {"label": names[order], "probability": labels.probabilities[row][order], "in_set": labels.sets[row][order]}
    )
    near = similarity(place[None], points)[0]
    known = np.flatnonzero(points.any(1))
    by_distance = known[np.argsort(-near[known], kind="stable")]
    return LevelOfCell(
        level=labels.level,
        label=str(labels.labels[row]),
        confidence=float(labels.confidence[row]),
        disagreement=float(labels.disagreement[row]),
        novelty=float(labels.novelty[row]),
        unknown=bool(labels.unknown[row]),
        labels=table.head(TOP_LABELS),
        prediction_set=tuple(table.loc[table["in_set"], "label"]),
        prototypes=pd.DataFrame({"label": names[by_distance], "similarity": near[by_distance]}).head(TOP_LABELS),
        words=tuple(_words(labels, row, held_out, votes)),
    )


def neighbors_of_cell(
    neighbors: Neighbors, row: int, obs: pd.DataFrame, columns: Sequence[str]
) -> pd.DataFrame:
    """The reference cells nearest to a cell: cell, similarity, and some of their obs columns as text, "" if missing."""
    rows = neighbors.indices[row]
    table = pd.DataFrame({"cell": obs.index[rows].astype(str), "similarity": neighbors.similarity[row]})
    for column in columns:
        table[column] = obs[column].iloc[rows].astype(object).map(str, na_action="ignore").fillna("").to_numpy(object)
    return table


def genes_of_cell(
    cell: AlignedCells,
    code: int,
    symbols: NDArray[np.object_],
    expected: Expected,
    found: BoolArray,
    n: int = TOP_GENES,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A cell's highest genes, and those farthest above and below what its label leads one to expect.

    Parameters
    ----------
    cell
        1 x g.
    code
        Position of its label.
    found
        bool (g,), genes that the query holds.
    n
        Genes of each; fewer where fewer lie above or below.

    Returns
    -------
    highest, above, below
        gene, value (log1p CP10k), observed and expected (counts per 10,000), residual.
    """
    table = standing_out(symbols, cell, np.array([code], np.int32), expected, found).drop(columns="share")
    table.insert(1, "value", np.log1p(table["observed"]))
    highest = table[table["observed"] > 0].sort_values("observed", ascending=False, kind="stable", ignore_index=True)
    above = table[table["residual"] > 0]
    below = table[table["residual"] < 0].iloc[::-1].reset_index(drop=True)
    return highest.head(n), above.head(n), below.head(n)


def _words(labels: LevelLabels, row: int, held_out: int, votes: Sequence[str]) -> list[str]:
    label, novelty = labels.labels[row], float(labels.novelty[row])
    counted = pd.Series([vote or "unlabelled" for vote in votes]).value_counts()
    told = ", ".join(f"{cells} {name}" for name, cells in counted.items())
    between = "They differ." if labels.disagreement[row] >= SPLIT else "They agree." if len(counted) == 1 else ""
    words = [
        f"{label} with a probability of {labels.confidence[row]:.2f}"
        + (", which is not carried: the cell counts as unknown." if labels.unknown[row] else "."),
        f"Its {len(votes)} nearest reference cells: {told}. {between}".rstrip(),
    ]
    if held_out == 0:
        return [*words, f"No reference cell of {label} was left out, so nothing says how far is far."]
    far = "Nothing like it is near" if novelty > FAR else "Rather far" if novelty > 0.9 else "Near enough"
    told_far = f"{100 * novelty:.1f} %"
    times = in_words(float(labels.stretch[row]))
    far += f", {times}" if times else ""
    return [*words, f"{far}: farther from {label} than {told_far} of {held_out:,} left-out cells of the reference."]
