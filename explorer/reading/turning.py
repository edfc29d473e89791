"""A block of cells turned round: files are read by cell, questions about genes are asked by gene.

One compiled pass does what choosing genes, summing those of one name and sorting by gene would take six for. Knows
positions and values; neither files nor names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from explorer.flow import FloatArray
from explorer.reading.values import CP10K

_Block = TypeVar("_Block")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code once and keep it on disk; the interpreter's lock is let go while it runs."""
    kernel: Callable[..., Any] = njit(cache=True, nogil=True)(function)
    return kernel


@dataclass(frozen=True)
class Turned:
    """Some cells by gene.

    Attributes
    ----------
    values
        float32 (stored,), gene after gene, in each by cell.
    cells
        uint16 (stored,), the row of each value within the block.
    starts
        int64 (genes + 1,), where the values of each gene begin.
    n_cells
        Rows of the block.
    """

    values: FloatArray
    cells: NDArray[np.uint16]
    starts: NDArray[np.int64]
    n_cells: int

    def genes(self, run: slice) -> Turned:
        """A run of neighbouring genes, not copied."""
        starts = self.starts[run.start : run.stop + 1]
        own = slice(starts[0], starts[-1])
        return Turned(self.values[own], self.cells[own], starts - starts[0], self.n_cells)


def ahead(blocks: Iterator[_Block]) -> Iterator[_Block]:
    """The same blocks, each read by a thread while the one before it is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, blocks, None)
            yield block


def turned(block: sparse.csr_matrix, totals: FloatArray, place: NDArray[np.int64], start: int, stop: int) -> Turned:
    """log1p CP10k of some genes in a block of cells.

    Parameters
    ----------
    block
        csr float32, at most 65,536 cells x genes of a file.
    totals
        float32 (cells,), what each cell's values are a share of.
    place
        int64 (genes of the file,), which gene each column belongs to; columns of one gene are summed.
    start, stop
        The genes wanted, those from `start` to before `stop`.
    """
    scale = np.asarray(CP10K / np.maximum(totals, 1e-12), np.float32)
    values, cells, starts = _turned(
        block.indptr.astype(np.int64), block.indices, block.data, scale, np.asarray(place, np.int64), start, stop
    )
    return Turned(np.log1p(values, out=values), cells, starts, block.shape[0])


@compiled
def _turned(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    data: FloatArray,
    scale: FloatArray,
    place: NDArray[np.int64],
    start: int,
    stop: int,
) -> tuple[FloatArray, NDArray[np.uint16], NDArray[np.int64]]:
    """Values by gene and times their cell's scale, which of them is whose, and where each gene begins."""
    n_cells, n_genes = len(indptr) - 1, stop - start
    starts, last = np.zeros(n_genes + 1, np.int64), np.full(n_genes, -1, np.int64)
    for cell in range(n_cells):
        for i in range(indptr[cell], indptr[cell + 1]):
            gene = place[columns[i]] - start
            if 0 <= gene < n_genes and last[gene] != cell:
                last[gene] = cell
                starts[gene + 1] += 1
    starts = np.cumsum(starts)
    values, cells = np.empty(starts[-1], np.float32), np.empty(starts[-1], np.uint16)
    at = starts[:-1].copy()
    last[:] = -1
    for cell in range(n_cells):
        for i in range(indptr[cell], indptr[cell + 1]):
            gene = place[columns[i]] - start
            if gene < 0 or gene >= n_genes:
                continue
            if last[gene] == cell:  # a further column of the same gene
                values[at[gene] - 1] += data[i]
                continue
            last[gene] = cell
            values[at[gene]] = data[i]
            cells[at[gene]] = cell
            at[gene] += 1
    # scaled after summing, so that equal sums stay equal to the last bit
    for i in range(len(values)):
        values[i] *= scale[cells[i]]
    return values, cells, starts
