"""Sums, squares and ranks of every gene in groups of cells: what each test of expression starts from.

A gene's positive values are sorted once for all groups; zeros share one rank without being touched, so that the work
is that of the stored values. Knows groups by number, not by name.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from explorer.flow import IntArray
from explorer.insight.by_gene import ByGene, compiled
from explorer.progress import Progress

_AHEAD = 2  # runs read while others are worked on

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """What a mean and a variance need, by group (k) and gene (g), zeros included in the number of cells.

    Attributes
    ----------
    cells
        int64 (k,), cells of each group.
    sums, squares
        float64 (k, g), of log1p CP10k and of its square.
    shown
        int64 (k, g), cells in which the gene was seen.
    """

    cells: NDArray[np.int64]
    sums: Doubles
    squares: Doubles
    shown: NDArray[np.int64]

    def means(self) -> Doubles:
        """float64 (k, g)."""
        return self.sums / np.maximum(self.cells, 1)[:, None]

    def variances(self) -> Doubles:
        """float64 (k, g), by n - 1; 0 for a group of one."""
        n = self.cells[:, None]
        return np.maximum(self.squares - self.sums**2 / np.maximum(n, 1), 0.0) / np.maximum(n - 1, 1)

    def merged(self, groups: NDArray[np.bool_]) -> Moments:
        """Some groups as one: arrays of one row."""
        sums, squares, shown = (part[groups].sum(0, keepdims=True) for part in (self.sums, self.squares, self.shown))
        return Moments(self.cells[groups].sum(keepdims=True), sums, squares, shown)


@dataclass(frozen=True)
class Tally:
    """Every gene in every group.

    Attributes
    ----------
    all
        Over all cells of the groups.
    drawn
        Over the cells that were drawn of them.
    rank_sums
        float64 (k, g), sum of the ranks of a group's cells among the cells of all groups, ties averaged.
    ties
        float64 (g,), sum of t^3 - t over ties of t cells, zeros among them.
    """

    all: Moments
    drawn: Moments
    rank_sums: Doubles
    ties: Doubles


def tally(
    expression: ByGene,
    groups: IntArray,
    n_groups: int,
    drawn: NDArray[np.bool_],
    *,
    ranks: bool = True,
    progress: Progress | None = None,
) -> Tally:
    """Read all genes once.

    Parameters
    ----------
    groups
        int32 (n,), group of each cell; -1 leaves it out.
    drawn
        bool (n,), cells that `Tally.drawn` counts.
    ranks
        Whether values are ranked, the larger part of the work; rank sums and ties are 0 otherwise.

    Raises
    ------
    Cancelled
        If somebody asked to stop; at most a run of genes after that.
    """
    codes = np.where(groups >= 0, groups * 2 + drawn, -1).astype(np.int32)
    shape = (n_groups, len(expression.genes))
    cells = np.bincount(groups[groups >= 0], minlength=n_groups)
    own = np.bincount(groups[(groups >= 0) & drawn], minlength=n_groups)
    sums, squares = np.zeros((2, *shape)), np.zeros((2, *shape))
    shown, rank_sums, ties = np.zeros((2, *shape), np.int64), np.zeros(shape), np.zeros(shape[1])

    def place(run: slice, counted: Future[_Counted]) -> None:
        parts = counted.result()
        sums[:, :, run], squares[:, :, run], shown[:, :, run] = parts.sums, parts.squares, parts.shown
        rank_sums[:, run], ties[run] = parts.ranks, parts.ties

    waiting: deque[tuple[slice, Future[_Counted]]] = deque()
    with ThreadPoolExecutor(min(_AHEAD, os.cpu_count() or 1)) as pool:
        for run, values in expression.runs(progress):
            waiting.append((run, pool.submit(_count, values, codes, cells, ranks)))
            if len(waiting) > _AHEAD:
                place(*waiting.popleft())
        while waiting:
            place(*waiting.popleft())
    everyone = Moments(cells, sums.sum(0), squares.sum(0), shown.sum(0))
    return Tally(everyone, Moments(own, sums[1], squares[1], shown[1]), rank_sums, ties)


@dataclass(frozen=True)
class _Counted:
    """One run of genes: sums, squares and shown of cells not drawn and drawn (2, k, r); ranks (k, r); ties (r,)."""

    sums: Doubles
    squares: Doubles
    shown: NDArray[np.int64]
    ranks: Doubles
    ties: Doubles


def _count(values: sparse.csc_matrix, codes: IntArray, cells: NDArray[np.int64], ranked: bool) -> _Counted:
    shape = (2, len(cells), values.shape[1])
    sums, squares, shown = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    indptr = values.indptr.astype(np.int64)
    # a float above zero needs 31 bits: with the group of two in the last one, half as much is sorted
    narrow = len(cells) <= 2
    packed = np.empty(values.nnz, np.uint32 if narrow else np.uint64)
    bits = 1 if narrow else 32
    ends = _packed(values.data, values.indices, indptr, codes, sums, squares, shown, packed, bits)
    ranks, ties = np.zeros(shape[1:]), np.zeros(shape[2])
    if ranked:
        for start, end in zip(indptr[:-1], ends, strict=True):
            packed[start:end].sort()
        _ranked(packed, bits, indptr, ends, cells, ranks, ties)
    return _Counted(sums, squares, shown, ranks, ties)


@compiled
def _packed(
    data: NDArray[np.float32],
    rows: NDArray[np.int32],
    indptr: NDArray[np.int64],
    codes: NDArray[np.int32],
    sums: Doubles,
    squares: Doubles,
    shown: NDArray[np.int64],
    packed: NDArray[np.unsignedinteger],
    room: int,
) -> NDArray[np.int64]:
    """Each gene's values with their groups, a value and its group in one number that sorts as the value does.

    The bits of floats above zero are in the order of the floats; `room` bits below them hold the group. Sums are taken
    along the way. Returns where the numbers of each gene end.
    """
    bits = data.view(np.uint32)
    ends = np.empty(len(indptr) - 1, np.int64)
    for gene in range(len(ends)):
        at = indptr[gene]
        for i in range(indptr[gene], indptr[gene + 1]):
            code = codes[rows[i]]
            value = np.float64(data[i])
            if code >= 0 and value > 0:
                group, drawn = code >> 1, code & 1
                sums[drawn, group, gene] += value
                squares[drawn, group, gene] += value * value
                shown[drawn, group, gene] += 1
                packed[at] = (np.uint64(bits[i]) << np.uint64(room)) | np.uint64(group)
                at += 1
        ends[gene] = at
    return ends


@compiled
def _ranked(
    packed: NDArray[np.unsignedinteger],
    room: int,
    indptr: NDArray[np.int64],
    ends: NDArray[np.int64],
    cells: NDArray[np.int64],
    ranks: Doubles,
    ties: Doubles,
) -> None:
    """Rank sums of groups from sorted values; cells in which a gene was not seen share the lowest rank."""
    n, low, of_group = cells.sum(), np.uint64(room), np.uint64((1 << room) - 1)
    for gene in range(len(ends)):
        start, end = indptr[gene], ends[gene]
        zeros = n - (end - start)
        lowest = (zeros + 1) / 2
        ties[gene] = np.float64(zeros) ** 3 - zeros
        for group in range(len(cells)):
            ranks[group, gene] = cells[group] * lowest
        i = start
        while i < end:
            bits = np.uint64(packed[i]) >> low
            j = i
            while j < end and np.uint64(packed[j]) >> low == bits:
                j += 1
            shared = zeros + (i - start + 1 + j - start) / 2
            for k in range(i, j):
                ranks[np.int64(np.uint64(packed[k]) & of_group), gene] += shared - lowest
            alike = np.float64(j - i)
            ties[gene] += alike**3 - alike
            i = j
