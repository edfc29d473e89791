"""Label levels that lie in one another, as the reference's own cells show. Knows label codes, not what they mean.

Levels must not contradict each other: a cell that is a T cell can only be a kind of T cell. Either all levels have a
say and the likeliest path from the coarse to the fine is taken, or the coarse decides and finer levels choose within it
(Concerto's hierarchical mapping; Yang et al., Nature Machine Intelligence 2022). On left-out batches the likeliest path
is right as often as labels of levels that are asked one by one, and at most levels more often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.flow import BoolArray, FloatArray, IntArray

LEAST_INSIDE = 0.99  # share of a label's cells that lie in one coarser label


@dataclass(frozen=True)
class Nested:
    """A level whose labels each lie in one label of a coarser level.

    Attributes
    ----------
    within
        Name of the coarser level.
    inside
        bool (coarser classes, classes), which label lies in which; one that no cell with a coarser label carries, such
        as one that a reference was extended by, may lie in any.
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
                found[fine] = Nested(coarse, main | (cells == 0))
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


def likeliest_path(scores: Mapping[str, FloatArray], levels: Mapping[str, Nested]) -> dict[str, IntArray]:
    """Labels at every level that agree and together have the highest sum of scores, int32 (n,) by level.

    A coarse label without any finer one is as likely as its own level says; a cell with it gets -1 at the finer level.

    Parameters
    ----------
    scores
        float32 (n, classes) by level: logarithms of probabilities.
    levels
        From `nesting`.

    Notes
    -----
    Viterbi's algorithm on the tree of levels: the best score below each label is handed up, then labels are read off
    downwards.
    """
    order = coarse_first(levels, tuple(scores))
    total = {level: np.array(scores[level], np.float64) for level in order}
    for level in reversed(order):
        if level in levels:
            inside = levels[level].inside
            below = total[level]
            whole = below.max(1)
            for coarse, finer in enumerate(inside):
                total[levels[level].within][:, coarse] += below[:, finer].max(1) if finer.any() else whole
    path: dict[str, IntArray] = {}
    for level in order:
        reached = total[level]
        if level in levels:
            allowed = levels[level].inside[path[levels[level].within]] & (path[levels[level].within] >= 0)[:, None]
            reached = np.where(allowed, reached, -np.inf)
        path[level] = np.where(np.isfinite(reached).any(1), reached.argmax(1), -1).astype(np.int32)
    return path
