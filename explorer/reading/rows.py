"""Rows of an expression matrix, wherever it lies, without reading the rest.

A file is opened for each read and closed again, so whoever holds rows holds a plain value: nothing to close,
and it can be handed to another process. Knows layouts; does not know what the values mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from explorer.errors import FileProblem, ResourceProblem
from explorer.flow import Rows
from explorer.reading.h5ad import reading

# A dense slab read at once: large enough to stream, small beside the block it becomes.
_SLAB_BYTES = 64 * 2**20
# A block holds at most this many stored values (about 270 MB), however many rows were asked for.
_BLOCK_VALUES = 2**25
_SAMPLE_RUNS = 16
_SAMPLE_CELLS = 512
_SAMPLE_VALUES = 2**21
# A dense matrix of up to so many values is read in full to tell how many cells are empty.
_LOOKED_THROUGH = 2**24
# Rows wanted that lie closer than this are read in one go.
_GAP = 32
# One value of a matrix that is turned round: value and index, before and after.
_TURNING_BYTES = 16


@dataclass(frozen=True)
class CsrRows:
    """Rows of a sparse matrix stored by cell.

    Attributes
    ----------
    path, key
        The file and the group in it.
    shape
        Cells, genes.
    indptr
        int64 (cells + 1,): where each cell's values begin.
    """

    path: Path
    key: str
    shape: tuple[int, int]
    indptr: NDArray[np.int64]

    @property
    def stored(self) -> int:
        """Number of stored values."""
        return int(self.indptr[-1])

    @property
    def n_empty(self) -> int:
        """Number of cells without a stored value."""
        return int((np.diff(self.indptr) == 0).sum())

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        start, stop, _ = rows.indices(self.shape[0])
        indptr = self.indptr[start : stop + 1]
        with reading(self.path) as file:
            group = file[self.key]
            data = group["data"][indptr[0] : indptr[-1]]
            indices = group["indices"][indptr[0] : indptr[-1]]
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.shape[1]:
            raise FileProblem(
                f"{self.path.name} is damaged: {self.key} speaks of genes beyond its {self.shape[1]:,}. Save "
                "the file again from its source."
            )
        parts = (data, indices.astype(np.int32, copy=False), indptr - indptr[0])
        return sparse.csr_matrix(parts, shape=(stop - start, self.shape[1]))


@dataclass(frozen=True)
class CscRows:
    """Rows of a sparse matrix stored by gene: the whole of it is turned round in memory when first asked.

    Attributes
    ----------
    path, key
        The file and the group in it.
    shape
        Cells, genes.
    stored
        Number of stored values.
    """

    path: Path
    key: str
    shape: tuple[int, int]
    stored: int

    @property
    def bytes_needed(self) -> int:
        """Memory that turning it round takes."""
        return self.stored * _TURNING_BYTES

    @property
    def n_empty(self) -> int:
        """Number of cells without a stored value; 0 where the matrix is too large to be looked through."""
        return n_empty_rows(self.by_cell) if self.stored <= _SAMPLE_VALUES else 0

    @cached_property
    def by_cell(self) -> sparse.csr_matrix:
        """The whole matrix, stored by cell.

        Raises
        ------
        ResourceProblem
            If this machine has not that much memory.
        """
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else np.inf
        if self.bytes_needed > memory:
            raise ResourceProblem(
                f"{self.path.name} is stored by gene (CSC), and turning it round needs "
                f"{self.bytes_needed / 2**30:.0f} GB of memory; this machine has {memory / 2**30:.0f}. Save "
                "it by cell (adata.X = adata.X.tocsr()), which is read part by part."
            )
        return self.genes(slice(0, self.shape[1])).tocsr()

    def genes(self, which: slice) -> sparse.csc_matrix:
        """All cells over a run of genes."""
        with reading(self.path) as file:
            group = file[self.key]
            indptr = group["indptr"][which.start : which.stop + 1].astype(np.int64)
            data, indices = (group[name][indptr[0] : indptr[-1]] for name in ("data", "indices"))
        return sparse.csc_matrix((data, indices, indptr - indptr[0]), shape=(self.shape[0], len(indptr) - 1))

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        return self.by_cell[rows]


@dataclass(frozen=True)
class DenseRows:
    """Rows of a dense matrix, handed out sparse.

    Attributes
    ----------
    path, key
        The file and the dataset in it.
    shape
        Cells, genes.
    itemsize
        Bytes a value.
    """

    path: Path
    key: str
    shape: tuple[int, int]
    itemsize: int

    @property
    def stored(self) -> int:
        """Number of stored values."""
        return self.shape[0] * self.shape[1]

    @property
    def n_empty(self) -> int:
        """Number of cells without a value above zero; 0 where the matrix is too large to be looked through."""
        return n_empty_rows(self[:]) if self.stored <= _LOOKED_THROUGH else 0

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        start, stop, _ = rows.indices(self.shape[0])
        step = max(1, _SLAB_BYTES // (self.shape[1] * self.itemsize))
        slabs = [sparse.csr_matrix((0, self.shape[1]))]
        with reading(self.path) as file:
            dataset = file[self.key]
            for at in range(start, stop, step):
                slabs.append(sparse.csr_matrix(dataset[at : min(at + step, stop)]))
        return sparse.csr_matrix(sparse.vstack(slabs[1:] or slabs))


@dataclass(frozen=True)
class MemoryRows:
    """Rows of a matrix in memory, handed out sparse.

    Attributes
    ----------
    matrix
        csr or dense.
    source
        The AnnData that it belongs to, which an export copies.
    """

    matrix: Any
    source: AnnData

    @classmethod
    def of(cls, matrix: Any, source: AnnData) -> MemoryRows:
        """Rows of any matrix; one that is stored by gene is turned round once."""
        by_gene = sparse.issparse(matrix) and matrix.format != "csr"
        return cls(matrix.tocsr() if by_gene else matrix, source)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""
        return self.matrix.shape

    @property
    def stored(self) -> int:
        """Number of stored values."""
        return int(self.matrix.nnz) if sparse.issparse(self.matrix) else self.shape[0] * self.shape[1]

    @property
    def n_empty(self) -> int:
        """Number of cells without a value."""
        return n_empty_rows(self.matrix if sparse.issparse(self.matrix) else self[:])

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        block = self.matrix[rows]
        return sparse.csr_matrix(block if sparse.issparse(block) else np.asarray(block))


def n_empty_rows(matrix: sparse.csr_matrix) -> int:
    """Number of rows without a stored value."""
    return int((np.diff(matrix.indptr) == 0).sum())


AnyRows = CsrRows | CscRows | DenseRows | MemoryRows


def stored_rows(file: h5py.File, path: Path, key: str) -> AnyRows | None:
    """Rows of the matrix at `key`; `None` if what lies there is no matrix of numbers."""
    element = file[key]
    if isinstance(element, h5py.Dataset):
        if element.ndim != 2 or element.dtype.kind not in "biuf":
            return None
        return DenseRows(path, key, (int(element.shape[0]), int(element.shape[1])), element.dtype.itemsize)
    # AnnData before 0.7 said h5sparse_*.
    layout = str(element.attrs.get("encoding-type", element.attrs.get("h5sparse_format", "")))
    shape = element.attrs.get("shape", element.attrs.get("h5sparse_shape"))
    if layout.removesuffix("_matrix") not in {"csr", "csc"} or shape is None:
        return None
    size = (int(shape[0]), int(shape[1]))
    if layout.startswith("csc"):
        return CscRows(path, key, size, int(element["data"].shape[0]))
    return CsrRows(path, key, size, element["indptr"][:].astype(np.int64))


@dataclass(frozen=True)
class Sample:
    """A little of a matrix, enough to tell what its values are.

    Attributes
    ----------
    values
        csr, some cells x all genes; of a large matrix stored by gene, all cells x some genes.
    cells, genes
        int64: which rows and columns of the matrix these are.
    whole_cells
        Whether each cell is there with all its genes.
    """

    values: sparse.csr_matrix
    cells: NDArray[np.int64]
    genes: NDArray[np.int64]
    whole_cells: bool


def sample(rows: AnyRows) -> Sample:
    """Runs of cells spread over the whole matrix: neighbours in a file often come from one batch."""
    n_cells, n_genes = rows.shape
    if isinstance(rows, CscRows) and rows.stored > _SAMPLE_VALUES:
        runs = _runs(n_genes, _SAMPLE_VALUES * n_genes // rows.stored)
        values = sparse.hstack([rows.genes(run) for run in runs]).tocsr()
        return Sample(values, np.arange(n_cells), _within(runs), whole_cells=False)
    runs = _runs(n_cells, min(_SAMPLE_CELLS, _SAMPLE_VALUES * n_cells // max(1, rows.stored)))
    values = sparse.csr_matrix(sparse.vstack([rows[run] for run in runs]))
    return Sample(values, _within(runs), np.arange(n_genes), whole_cells=True)


def _within(runs: list[slice]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(run.start, run.stop) for run in runs])


def _runs(length: int, wanted: int) -> list[slice]:
    wanted = max(wanted, _SAMPLE_RUNS)
    if length <= wanted:
        return [slice(0, length)]
    each = wanted // _SAMPLE_RUNS
    return [slice(int(at), int(at) + each) for at in np.linspace(0, length - each, _SAMPLE_RUNS)]


def expected_values(rows: Rows) -> int:
    """About how many values above zero a matrix holds; exact where it is stored sparse."""
    if isinstance(rows, DenseRows):
        taken = sample(rows)
        return int(taken.values.nnz * rows.shape[0] / len(taken.cells))
    return getattr(rows, "stored", int(np.prod(rows.shape)))


def spans(rows: Rows, most: int) -> Iterator[slice]:
    """Slices that cover all rows in order, each of at most `most` rows and of bounded memory."""
    n_cells, n_genes = rows.shape
    a_row = max(1, getattr(rows, "stored", n_cells * n_genes) // n_cells)
    step = int(max(1, min(most, _BLOCK_VALUES // a_row)))
    for start in range(0, n_cells, step):
        yield slice(start, min(start + step, n_cells))


def close_spans(which: NDArray[np.integer]) -> Iterator[tuple[slice, NDArray[np.integer]]]:
    """Slices that cover some rows with little between them, each with the wanted positions within it.

    Parameters
    ----------
    which
        Rows in ascending order.
    """
    for near in np.split(which, np.flatnonzero(np.diff(which) > _GAP) + 1):
        if len(near):
            yield slice(int(near[0]), int(near[-1]) + 1), near - near[0]
