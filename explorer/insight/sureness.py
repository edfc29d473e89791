"""Who of a query is sure: by sample and by label, and between which labels the others cannot choose.

Knows labels with their doubt, not where they come from.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.flow import BoolArray, LevelLabels

LARGEST_SET = 4  # sets of as many labels and more are counted together


def by_group(labels: LevelLabels, groups: NDArray[np.object_], sets: BoolArray | None = None) -> pd.DataFrame:
    """One row a group of cells, the largest first.

    Parameters
    ----------
    labels
        Of n cells, with the threshold that is to be looked at.
    groups
        Text (n,), e.g. each cell's sample or label.
    sets
        bool (n, classes), prediction sets; those of `labels` if not given.

    Returns
    -------
    DataFrame
        group; cells; confidence and novelty (medians); kept, unsure and far (shares of its cells that sum to 1: carry
        their label, have less confidence than the threshold, are unknown for another reason, which mostly is
        distance); set_size (median).
    """
    unsure = labels.confidence < labels.threshold
    cells = pd.DataFrame({
        "group": groups,
        "confidence": labels.confidence,
        "novelty": labels.novelty,
        "kept": ~labels.unknown,
        "unsure": unsure & labels.unknown,
        "far": labels.unknown & ~unsure,
        "set_size": (labels.sets if sets is None else sets).sum(1),
    })  # fmt: skip
    found = cells.groupby("group", sort=True).agg(
        cells=("kept", "size"),
        confidence=("confidence", "median"),
        novelty=("novelty", "median"),
        kept=("kept", "mean"),
        unsure=("unsure", "mean"),
        far=("far", "mean"),
        set_size=("set_size", "median"),
    )
    return found.sort_values("cells", ascending=False, kind="stable").reset_index()


def set_sizes(sets: BoolArray) -> NDArray[np.float64]:
    """Share of cells with 1, 2, 3, and 4 or more labels in their set, float (4,)."""
    sizes = np.clip(sets.sum(1), 1, LARGEST_SET)
    return np.bincount(sizes, minlength=LARGEST_SET + 1)[1:] / max(1, len(sizes))


def ambiguous_pairs(sets: BoolArray, classes: tuple[str, ...], most: int = 8) -> pd.DataFrame:
    """Pairs of labels that share a set most often: first, second, cells, alone (cells whose set holds no third)."""
    held = sets.astype(np.float64)  # of which products are quick, and counts still exact
    together = held.T @ held
    of_two = held[held.sum(1) == 2]
    alone = of_two.T @ of_two
    rows = [
        (classes[i], classes[j], int(together[i, j]), int(alone[i, j]))
        for i, j in combinations(range(len(classes)), 2)
        if together[i, j]
    ]
    found = pd.DataFrame(rows, columns=["first", "second", "cells", "alone"])
    return found.sort_values(["cells", "alone"], ascending=False, kind="stable").head(most).reset_index(drop=True)
