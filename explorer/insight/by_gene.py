"""Expression a gene at a time, of all cells, wherever it lies: a query's file, a reference, the file of a result.

Questions about genes read every cell of one gene after another; files of cells are stored the other way round. Here
runs of genes come in turn, so that no more than one run is in memory. Knows expression, not groups of cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys
from explorer.errors import ReferenceProblem
from explorer.flow import AlignedCells, FloatArray, Query, Reference
from explorer.progress import Progress
from explorer.reading.genes import display_names, select_genes
from explorer.reading.query import read_blocks
from explorer.reading.rows import expected_values
from explorer.reading.turning import Turned, ahead, compiled, turned
from explorer.reading.values import CP10K
from explorer.writing.export import ExpressionDirectory, expression_directory

_RUN_VALUES = 2**23      # stored values of one run: 64 MB
_PASS_VALUES = 2**28     # stored values held while a file of cells is read through once: 1.6 GB
_BLOCK_ROWS = 16384


class ByGene(Protocol):
    """Expression that hands out runs of genes.

    Attributes
    ----------
    genes
        Symbols (g,), each once, as far as the source names them so.
    n_cells
        Number of cells, n.
    """

    @property
    def genes(self) -> NDArray[np.object_]: ...

    @property
    def n_cells(self) -> int: ...

    def runs(self, progress: Progress | None = None) -> Iterator[tuple[slice, sparse.csc_matrix]]:
        """All genes in order: which, and their log1p CP10k in all cells, csc float32 (n, genes of the run)."""
        ...

    def weighted(self, weights: FloatArray, progress: Progress | None = None) -> FloatArray:
        """Sums over genes of log1p CP10k by weights, float32 (g, s): float32 (n, s). Genes without are not read."""
        ...


def of_genes(source: Query | Reference | Path) -> ByGene:
    """Expression by gene of a query, of a reference, or of the expression file that lies beside a result.

    Raises
    ------
    ReferenceProblem
        If the reference was shared without expression.
    """
    if isinstance(source, Query):
        return QueryGenes(source)
    return ReferenceGenes(source) if isinstance(source, Reference) else FileGenes(source)


@dataclass(frozen=True)
class QueryGenes:
    """Genes of a file of cells: it is read through once for as many genes as fit into 1.6 GB."""

    query: Query

    @cached_property
    def _names(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        names, place = np.unique(display_names(self.query.var).astype(str), return_inverse=True)
        return names.astype(object), place.astype(np.int64)

    @property
    def genes(self) -> NDArray[np.object_]:
        """Symbols in alphabetical order; genes that share a name are summed."""
        return self._names[0]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.query.n_cells

    def runs(self, progress: Progress | None = None) -> Iterator[tuple[slice, sparse.csc_matrix]]:
        """As `ByGene.runs`."""
        progress = progress or Progress()
        passes = max(1, -(-expected_values(self.query.matrix) // _PASS_VALUES))
        edges = np.linspace(0, len(self.genes), passes + 1).astype(int)
        for number, (start, stop) in enumerate(pairwise(edges.tolist())):
            reading = progress.part(progress.stage, number / passes, (number + 1) / passes)
            blocks = self._pass(start, stop, reading.part(progress.stage, 0.0, 0.6))
            working = reading.part(progress.stage, 0.6, 1.0)
            for run in _cut(np.sum([np.diff(block.starts) for block in blocks], axis=0)):
                own = _below_each_other([block.genes(run) for block in blocks])
                yield slice(start + run.start, start + run.stop), own
                working(run.stop / (stop - start))

    def weighted(self, weights: FloatArray, progress: Progress | None = None) -> FloatArray:
        """As `ByGene.weighted`."""
        progress, place, parts, done = progress or Progress(), self._names[1], [], 0
        wanted = np.flatnonzero(np.any(weights != 0, axis=1))
        columns = np.flatnonzero(np.isin(place, wanted))
        ones = np.ones(len(columns), np.float32)
        into = (columns, np.searchsorted(wanted, place[columns]))
        selector = sparse.csr_matrix((ones, into), shape=(len(place), len(wanted)))
        for block, totals in read_blocks(self.query, _BLOCK_ROWS):
            cells = AlignedCells(select_genes(block, selector), totals, is_counts=False)
            parts.append(np.asarray(cells.log1p() @ weights[wanted], np.float32))
            done += block.shape[0]
            progress(done / self.n_cells)
        return np.concatenate(parts)

    def _pass(self, start: int, stop: int, progress: Progress) -> list[Turned]:
        done, blocks = 0, []
        for block, totals in ahead(read_blocks(self.query, _BLOCK_ROWS)):
            blocks.append(turned(block, totals, self._names[1], start, stop))
            done += block.shape[0]
            progress(done / self.n_cells)
        return blocks


@dataclass(frozen=True)
class ReferenceGenes:
    """Genes of a reference's own cells, which its bundle stores gene-major."""

    reference: Reference

    @property
    def genes(self) -> NDArray[np.object_]:
        """Symbols in the reference's order."""
        return self.reference.genes[keys.SYMBOL].to_numpy(object)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.reference.n_cells

    def runs(self, progress: Progress | None = None) -> Iterator[tuple[slice, sparse.csc_matrix]]:
        """As `ByGene.runs`.

        Raises
        ------
        ReferenceProblem
            If the reference was shared without expression.
        """
        progress = progress or Progress()
        with h5py.File(self.reference.folder / keys.CELLS_FILE, "r") as file:
            indptr = self._indptr(file)
            for run in _cut(np.diff(indptr)):
                yield run, self._read(file, indptr, run)
                progress(run.stop / len(self.genes))

    def weighted(self, weights: FloatArray, progress: Progress | None = None) -> FloatArray:
        """As `ByGene.weighted`; the same is raised as by `runs`."""
        progress, out = progress or Progress(), np.zeros((self.n_cells, weights.shape[1]), np.float32)
        wanted = np.flatnonzero(np.any(weights != 0, axis=1))
        with h5py.File(self.reference.folder / keys.CELLS_FILE, "r") as file:
            indptr = self._indptr(file)
            for done, gene in enumerate(wanted.tolist(), 1):
                out += self._read(file, indptr, slice(gene, gene + 1)) @ weights[gene : gene + 1]
                progress(done / len(wanted))
        return out

    def _indptr(self, file: h5py.File) -> NDArray[np.int64]:
        if "X" not in file:
            raise ReferenceProblem(
                f"The reference {self.reference.title} was shared without expression values. Compare cells of a query "
                "instead, or of a reference that holds its counts."
            )
        return np.asarray(file["X/indptr"][:], np.int64)

    def _read(self, file: h5py.File, indptr: NDArray[np.int64], run: slice) -> sparse.csc_matrix:
        first, last = indptr[run.start], indptr[run.stop]
        rows = file["X/indices"][first:last].astype(np.int32, copy=False)
        values = np.log1p(file["X/data"][first:last].astype(np.float32) * self._scale[rows])
        own = (values, rows, indptr[run.start : run.stop + 1] - first)
        return sparse.csc_matrix(own, shape=(self.n_cells, run.stop - run.start))

    @cached_property
    def _scale(self) -> FloatArray:
        totals = self.reference.obs[keys.TOTALS].to_numpy(np.float32)
        return np.asarray(CP10K / np.maximum(totals, 1e-12), np.float32)


@dataclass(frozen=True)
class FileGenes:
    """Genes of a result's expression file: values to three digits."""

    path: Path

    @property
    def genes(self) -> NDArray[np.object_]:
        """Symbols in alphabetical order."""
        return np.array(list(expression_directory(self.path).position), dtype=object)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return expression_directory(self.path).n_cells

    def runs(self, progress: Progress | None = None) -> Iterator[tuple[slice, sparse.csc_matrix]]:
        """As `ByGene.runs`."""
        progress, directory = progress or Progress(), expression_directory(self.path)
        with h5py.File(self.path, "r") as file:
            for run in _cut(np.diff(directory.starts, axis=1).sum(0)):
                yield run, _below_each_other(list(_blocks(file, directory, run)))
                progress(run.stop / len(directory.position))

    def weighted(self, weights: FloatArray, progress: Progress | None = None) -> FloatArray:
        """As `ByGene.weighted`."""
        progress, directory = progress or Progress(), expression_directory(self.path)
        out = np.zeros((directory.n_cells, weights.shape[1]), np.float32)
        wanted = np.flatnonzero(np.any(weights != 0, axis=1))
        # Without a chunk cache only the bytes of these genes are read.
        with h5py.File(self.path, "r", rdcc_nbytes=0) as file:
            stored, cells = file["values"], file["cells"]
            for done, gene in enumerate(wanted.tolist(), 1):
                for first, (start, stop) in zip(directory.firsts, directory.starts[:, gene : gene + 2], strict=True):
                    rows = first + cells[start:stop].astype(np.int64)
                    out[rows] += stored[start:stop].astype(np.float32)[:, None] * weights[gene]
                progress(done / len(wanted))
        return out


def _blocks(file: h5py.File, directory: ExpressionDirectory, run: slice) -> Iterator[Turned]:
    """A run of genes in each block of cells in turn."""
    ends = [*directory.firsts[1:], directory.n_cells]
    for starts, first, end in zip(directory.starts, directory.firsts, ends, strict=True):
        own = starts[run.start : run.stop + 1]
        values = file["values"][own[0] : own[-1]].astype(np.float32)
        yield Turned(values, file["cells"][own[0] : own[-1]], own - own[0], int(end - first))


def _below_each_other(blocks: Sequence[Turned]) -> sparse.csc_matrix:
    """Blocks of cells as one; scipy would sort all values anew."""
    starts = np.sum([block.starts for block in blocks], axis=0)
    values, rows = np.empty(starts[-1], np.float32), np.empty(starts[-1], np.int32)
    at, first = starts[:-1].copy(), 0
    for block in blocks:
        _placed(block.values, block.cells, block.starts, first, at, values, rows)
        first += block.n_cells
    return sparse.csc_matrix((values, rows, starts), shape=(first, len(at)))


@compiled
def _placed(
    data: FloatArray,
    cells: NDArray[np.uint16],
    starts: NDArray[np.int64],
    first: int,
    at: NDArray[np.int64],
    values: FloatArray,
    rows: NDArray[np.int32],
) -> None:
    """A block's values behind those of each gene that are there already."""
    for gene in range(len(at)):
        place = at[gene]
        for i in range(starts[gene], starts[gene + 1]):
            values[place] = data[i]
            rows[place] = np.int32(cells[i]) + first
            place += 1
        at[gene] = place


def _cut(stored: NDArray[np.integer]) -> Iterator[slice]:
    """Runs of neighbouring genes of bounded memory, from how many values each gene has."""
    run = np.concatenate([[0], np.cumsum(stored)[:-1]]) // _RUN_VALUES
    edges = np.concatenate([np.flatnonzero(np.diff(run, prepend=-1)), [len(stored)]])
    for start, stop in pairwise(edges):
        yield slice(int(start), int(stop))
