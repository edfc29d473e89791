"""Labels smoothed over neighbours: a cell whose like carry another label is given theirs.

Knows neighbours and codes, not how either came about (Zhu et al., Nature Biotechnology 2026, refine annotations so).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from explorer.flow import BoolArray, IntArray, LabelTransfer, MappingResult, Neighbors
from explorer.neighbors import Index

NEAREST = 15
MAJORITY = 0.5


def refined(codes: IntArray, neighbors: Neighbors, majority: float = MAJORITY) -> IntArray:
    """The label that more than half of a cell's neighbours carry; its own where none does. int32 (n,).

    Parameters
    ----------
    codes
        int32 (n,), -1 for unlabelled: such cells have no vote, and receive a label like any other.
    neighbors
        Of these cells among themselves, n x k; a cell is no neighbour of itself.
    majority
        Share of the labelled neighbours that a label must exceed, in [0, 1).

    Notes
    -----
    All votes are counted before any label changes, so that the order of the cells does not matter.
    """
    votes = codes[neighbors.indices]  # (n, k)
    votes[neighbors.indices == np.arange(len(codes))[:, None]] = -1
    labels = np.unique(codes[codes >= 0])
    if len(labels) == 0:
        return codes.copy()
    counts = np.stack([(votes == label).sum(1) for label in labels], axis=1)  # (n, labels)
    voters = (votes >= 0).sum(1)
    won = counts.max(1) > majority * voters
    return np.where(won, labels[counts.argmax(1)], codes).astype(np.int32)


def refine(result: MappingResult, k: int = NEAREST, majority: float = MAJORITY) -> MappingResult:
    """A result whose labels agree with those of each cell's neighbours among the query's own cells, at every level.

    Confidence becomes the calibrated probability of the label a cell now has; novelty and what is called unknown stay.
    Where the neighbours' labels would contradict each other at levels that lie in one another, a cell keeps its own.
    The notices tell how many cells changed.
    """
    neighbors = Index(result.embedding).search(result.embedding, min(k + 1, result.n_cells))
    rows = np.arange(result.n_cells)
    of_neighbors = {level.level: refined(level.codes, neighbors, majority) for level in result.labels.levels}
    contradict = _contradict(result.labels, of_neighbors)
    levels, told = [], []
    for level in result.labels.levels:
        codes = np.where(contradict, level.codes, of_neighbors[level.level]).astype(np.int32)
        sets = level.sets.copy()
        sets[rows, codes] = True
        levels.append(replace(level, codes=codes, confidence=level.probabilities[rows, codes], sets=sets))
        changed = int((codes != level.codes).sum())
        told.append(f"{changed:,} of {result.n_cells:,} labels at {level.level} follow their neighbours' majority.")
    provenance = replace(
        result.provenance,
        options={**result.provenance.options, "refine": True},
        notices=(*result.provenance.notices, *told),
    )
    return replace(result, labels=replace(result.labels, levels=tuple(levels)), provenance=provenance)


def _contradict(labels: LabelTransfer, codes: Mapping[str, IntArray]) -> BoolArray:
    """Cells whose new codes pair labels of two nested levels as no cell's labels did before, bool (n,)."""
    found = np.zeros(len(labels.first.codes), bool)
    for fine, coarse in labels.within.items():
        n_fine = len(labels.level(fine).classes)
        before = labels.level(coarse).codes.astype(np.int64) * n_fine + labels.level(fine).codes
        found |= ~np.isin(codes[coarse].astype(np.int64) * n_fine + codes[fine], before)
    return found
