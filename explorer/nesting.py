"""Label levels that lie in one another, as the reference's own cells show. Knows label codes, not what they mean.

Labelling from the coarse to the fine keeps levels from contradicting each other: a cell that is a T cell can then
only be a kind of T cell (Concerto's hierarchical mapping; Yang et al., Nature Machine Intelligence 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.flow import BoolArray, IntArray

LEAST_INSIDE = 0.99  # share of a label's cells that lie in one coarser label


@dataclass(frozen=True)
class Nested:
    """A level whose labels each lie in one label of a coarser level.

    Attributes
    ----------
    within
        Name of the coarser level.
    inside
        bool (coarser classes, classes), which label lies in which.
    """

    within: str
    inside: BoolArray


def nesting(codes: Mapping[str, IntArray], n_classes: Mapping[str, int]) -> dict[str, Nested]:
    """Which level lies in which, by the name of the finer one; each in the finest level that it lies in.

    Parameters
    ----------
    codes
        int32 (m,) by level, -1 for unlabelled, of all reference cells.
    n_classes
        Number of labels by level.
    """
    found: dict[str, Nested] = {}
    from_fine = sorted(codes, key=lambda level: -n_classes[level])
    for at, fine in enumerate(from_fine):
        for coarse in from_fine[at + 1 :]:
            together = _together(codes[coarse], codes[fine], n_classes[coarse], n_classes[fine])
            cells = together.sum(0)
            if n_classes[coarse] < n_classes[fine] and (together.max(0) >= LEAST_INSIDE * cells).all():
                main = together.argmax(0)[None, :] == np.arange(n_classes[coarse])[:, None]
                found[fine] = Nested(coarse, main & (cells > 0))
                break
    return found


def _together(coarse: IntArray, fine: IntArray, n_coarse: int, n_fine: int) -> IntArray:
    """How many cells carry both labels of each pair, (n_coarse, n_fine)."""
    both = (coarse >= 0) & (fine >= 0)
    pairs = coarse[both].astype(np.int64) * n_fine + fine[both]
    return np.asarray(np.bincount(pairs, minlength=n_coarse * n_fine).reshape(n_coarse, n_fine), np.int32)


def coarse_first(levels: Mapping[str, Nested], order: tuple[str, ...]) -> tuple[str, ...]:
    """The levels of `order`, each after the one it lies in."""
    done: list[str] = []

    def add(level: str) -> None:
        if level in levels and levels[level].within not in done:
            add(levels[level].within)
        if level not in done:
            done.append(level)

    for level in order:
        add(level)
    return tuple(done)
