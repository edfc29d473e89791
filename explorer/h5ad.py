"""The h5ad file: is it one, what lies in it, and rows of a matrix without reading the rest.

Knows groups, datasets and the layouts of old AnnData versions; does not know what the values mean.
A file is opened for each read and closed again, so a `Query` is a plain value: nothing to close, and it
can be handed to another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray
from scipy import sparse

from explorer.errors import FileProblem

# A dense slab read at once: large enough to stream, small beside the block it becomes.
_SLAB_BYTES = 64 * 2**20

_SAVE = "adata.write_h5ad('cells.h5ad')"
_OTHER_FORMATS = {
    ".rds": "an R object: convert it in R with zellkonverter::writeH5AD(sce, 'cells.h5ad')",
    ".rdata": "an R workspace: convert it in R with zellkonverter::writeH5AD(sce, 'cells.h5ad')",
    ".h5seurat": "a Seurat file: convert it in R with SeuratDisk::Convert('cells.h5seurat', dest = 'h5ad')",
    ".mtx": f"a Matrix Market table: read its folder with scanpy.read_10x_mtx(folder), then {_SAVE}",
    ".csv": f"a text table: read it with anndata.io.read_csv(file), then {_SAVE}",
    ".tsv": f"a text table: read it with anndata.io.read_csv(file, delimiter='\\t'), then {_SAVE}",
    ".txt": f"a text table: read it with anndata.io.read_text(file), then {_SAVE}",
    ".gz": "compressed: unpack it first (gunzip)",
    ".zip": "compressed: unpack it first",
}


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
    def empty_rows(self) -> int:
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
                f"{self.path.name} is damaged: {self.key} points to gene {indices.max() + 1:,} of "
                f"{self.shape[1]:,}. Save the file again from its source."
            )
        return sparse.csr_matrix((data, indices.astype(np.int32), indptr - indptr[0]), shape=(stop - start, self.shape[1]))


@dataclass(frozen=True)
class CscRows:
    """Rows of a sparse matrix stored by gene; turned round in memory when first asked."""

    path: Path
    key: str
    shape: tuple[int, int]
    stored: int

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """The whole matrix, stored by cell."""
        with reading(self.path) as file:
            group = file[self.key]
            parts = (group["data"][:], group["indices"][:], group["indptr"][:])
        return sparse.csc_matrix(parts, shape=self.shape).tocsr()

    @property
    def empty_rows(self) -> int:
        """Number of cells without a stored value."""
        return int((np.diff(self.matrix.indptr) == 0).sum())

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        return self.matrix[rows]


@dataclass(frozen=True)
class DenseRows:
    """Rows of a dense matrix, handed out sparse."""

    path: Path
    key: str
    shape: tuple[int, int]
    itemsize: int

    @property
    def stored(self) -> int:
        """Number of stored values."""
        return self.shape[0] * self.shape[1]

    @property
    def empty_rows(self) -> int:
        """0: which cells are empty shows only when they are read."""
        return 0

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        start, stop, _ = rows.indices(self.shape[0])
        step = max(1, _SLAB_BYTES // (self.shape[1] * self.itemsize))
        with reading(self.path) as file:
            dataset = file[self.key]
            slabs = [sparse.csr_matrix(dataset[at : min(at + step, stop)]) for at in range(start, stop, step)]
        return sparse.vstack(slabs, format="csr") if slabs else sparse.csr_matrix((0, self.shape[1]))


StoredRows = CsrRows | CscRows | DenseRows


def check_file(path: Path) -> None:
    """Refuse what is no h5ad file, saying what it is instead.

    Raises
    ------
    FileProblem
        If the path is missing, a folder, empty, of another format, or truncated.
    """
    if not path.exists():
        raise FileProblem(f"There is no file {path}. Check the name and the folder.")
    if path.is_dir():
        raise FileProblem(f"{path.name} is a folder, not an h5ad file. A zarr store can be saved as one: "
                          "anndata.io.read_zarr(folder).write_h5ad('cells.h5ad').")  # fmt: skip
    if path.stat().st_size == 0:
        raise FileProblem(f"{path.name} is empty (0 bytes). Copy or upload it again.")
    if not _is_hdf5(path):
        what = _OTHER_FORMATS.get(path.suffix.lower(), _looks_like(path))
        raise FileProblem(f"{path.name} is not an h5ad file; it is {what}.")
    with reading(path) as file:
        _check_layout(file, path)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(8) == b"\x89HDF\r\n\x1a\n"


def _looks_like(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        return "compressed: unpack it first"
    if b"\0" not in head:
        return f"text, which begins with {head[:30].decode('utf-8', 'replace')!r}: read it with scanpy, then {_SAVE}"
    return f"in a format this program does not know: read it with scanpy, then {_SAVE}"


def _check_layout(file: h5py.File, path: Path) -> None:
    keys = set(file)
    if "matrix" in keys and {"row_attrs", "col_attrs"} <= keys:
        raise FileProblem(f"{path.name} is a loom file: read it with anndata.io.read_loom(file), then {_SAVE}.")
    if "matrix" in keys and "obs" not in keys:
        raise FileProblem(f"{path.name} is a 10x file: read it with scanpy.read_10x_h5(file), then {_SAVE}.")
    if "mod" in keys and isinstance(file["mod"], h5py.Group):
        held = ", ".join(file["mod"])
        raise FileProblem(f"{path.name} holds several modalities ({held}): save the RNA alone with mdata['rna'].write_h5ad('cells.h5ad').")
    if not {"obs", "var"} <= keys:
        raise FileProblem(f"{path.name} has no table of cells (obs) and genes (var), so it is not an h5ad file. Save it with {_SAVE}.")


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Open an h5ad file for reading; what goes wrong with the file is told as such.

    Raises
    ------
    FileProblem
        If the file is truncated, damaged, locked or not allowed to be read.
    """
    try:
        # Many labs keep data on network folders that know no locks.
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except PermissionError as error:
        raise FileProblem(f"{path.name} may not be read by this program. Change its permissions.") from error
    except (OSError, RuntimeError, KeyError) as error:
        if "truncated" in str(error):
            raise FileProblem(f"{path.name} is truncated: it ends after {path.stat().st_size:,} bytes, before its own "
                              "table of contents says. Copy or upload it again.") from error  # fmt: skip
        raise FileProblem(f"{path.name} cannot be read as h5ad ({_first_line(error)}). Copy it again, or save it "
                          f"again with {_SAVE}.") from error  # fmt: skip


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip("'\"")


def read_table(file: h5py.File, key: str) -> pd.DataFrame:
    """The obs or var table of an h5ad file, whatever version wrote it.

    Parameters
    ----------
    key
        "obs", "var", "raw/var" or "raw.var".

    Raises
    ------
    FileProblem
        If its rows have no names.
    """
    element = file[key]
    if isinstance(element, h5py.Dataset):
        return _read_compound(file, element)
    if element.attrs.get("_index", "") not in element:
        what = "cells" if key == "obs" else "genes"
        raise FileProblem(f"The {what} of this file have no names ({key} has no index). Give them some, for "
                          f"instance adata.{key}_names = names, and save again with {_SAVE}.")  # fmt: skip
    table = read_elem(element)
    table.index = table.index.astype(str)
    return table


def _read_compound(file: h5py.File, element: h5py.Dataset) -> pd.DataFrame:
    """A table written before AnnData 0.7: one compound dataset, its categories in uns."""
    records = element[()]
    columns = {name: _decoded(records[name]) for name in records.dtype.names}
    table = pd.DataFrame(columns)
    for name in table.columns[1:]:
        categories = f"uns/{name}_categories"
        if categories in file and table[name].dtype.kind in "iu":
            table[name] = pd.Categorical.from_codes(table[name], _decoded(file[categories][()]))
    table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    return table


def _decoded(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8").astype(object)
    if values.dtype.kind == "O":
        return np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=object)
    return values


def stored_matrices(file: h5py.File, path: Path) -> dict[str, StoredRows]:
    """The expression matrices of an h5ad file by name: "X", "raw/X", "layers/counts" ..."""
    keys = ["X", "raw/X", "raw.X", *(f"layers/{name}" for name in file.get("layers", ()))]
    found = {key: _stored_rows(file, path, key) for key in keys if key in file}
    return {key: rows for key, rows in found.items() if rows is not None}


def var_key(matrix_name: str) -> str:
    """The table of genes that belongs to a matrix."""
    return {"raw/X": "raw/var", "raw.X": "raw.var"}.get(matrix_name, "var")


def _stored_rows(file: h5py.File, path: Path, key: str) -> StoredRows | None:
    element = file[key]
    if isinstance(element, h5py.Dataset):
        if element.ndim != 2 or element.dtype.kind not in "biuf":
            return None
        return DenseRows(path, key, (int(element.shape[0]), int(element.shape[1])), element.dtype.itemsize)
    layout = str(element.attrs.get("encoding-type", element.attrs.get("h5sparse_format", ""))).removesuffix("_matrix")
    shape = element.attrs.get("shape", element.attrs.get("h5sparse_shape"))
    if layout not in {"csr", "csc"} or shape is None:
        return None
    size = (int(shape[0]), int(shape[1]))
    if layout == "csc":
        return CscRows(path, key, size, int(element["data"].shape[0]))
    return CsrRows(path, key, size, element["indptr"][:].astype(np.int64))
