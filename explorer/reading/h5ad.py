"""The h5ad file: is it one, and what lies in it.

Knows groups, datasets and the layouts of old AnnData versions; does not know what values mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray

from explorer.errors import FileProblem

_SAVE = "adata.write_h5ad('cells.h5ad')"
_OTHER_FORMATS = {
    ".rds": "an R object. Convert it in R: zellkonverter::writeH5AD(sce, 'cells.h5ad')",
    ".rda": "an R workspace. Convert it in R: zellkonverter::writeH5AD(sce, 'cells.h5ad')",
    ".rdata": "an R workspace. Convert it in R: zellkonverter::writeH5AD(sce, 'cells.h5ad')",
    ".mtx": f"a Matrix Market table. Read its folder with scanpy.read_10x_mtx(folder), then {_SAVE}",
    ".csv": f"a table of text. Read it with anndata.io.read_csv(file), then {_SAVE}",
    ".tsv": f"a table of text. Read it with anndata.io.read_csv(file, delimiter='\\t'), then {_SAVE}",
    ".txt": f"text. Read it with anndata.io.read_text(file), then {_SAVE}",
}
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")


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
        raise FileProblem(
            f"{path.name} is a folder, not an h5ad file. A zarr store can be saved as one: "
            "anndata.io.read_zarr(folder).write_h5ad('cells.h5ad')."
        )
    with _told_plainly(path):
        head = _head(path)
    if not head:
        raise FileProblem(f"{path.name} is empty (0 bytes). Copy or upload it again.")
    if not head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise FileProblem(f"{path.name} is not an h5ad file; it is {_what_it_is(path, head)}.")
    with reading(path) as file:
        _check_layout(file, path.name)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(512)


def _what_it_is(path: Path, head: bytes) -> str:
    if path.suffix.lower() in _OTHER_FORMATS:
        return _OTHER_FORMATS[path.suffix.lower()]
    if head.startswith(_COMPRESSED):
        return "compressed. Unpack it first"
    if b"\0" not in head:
        begins = head[:30].decode("utf-8", "replace")
        return f"text that begins with {begins!r}. Read it with scanpy, then {_SAVE}"
    return f"in a format this program does not know. Read it with scanpy, then {_SAVE}"


def _check_layout(file: h5py.File, name: str) -> None:
    found = set(file)
    if {"matrix", "row_attrs", "col_attrs"} <= found:
        raise FileProblem(f"{name} is a loom file. Read it with anndata.io.read_loom(file), then {_SAVE}.")
    if "matrix" in found and "obs" not in found:
        raise FileProblem(f"{name} is a 10x file. Read it with scanpy.read_10x_h5(file), then {_SAVE}.")
    if "assays" in found:
        raise FileProblem(f"{name} is a Seurat file. Convert it in R: SeuratDisk::Convert('{name}', dest = 'h5ad').")
    if "mod" in found and isinstance(file["mod"], h5py.Group):
        raise FileProblem(
            f"{name} holds several modalities ({', '.join(file['mod'])}). Save the RNA alone: "
            "mdata['rna'].write_h5ad('cells.h5ad')."
        )
    if not {"obs", "var"} <= found:
        raise FileProblem(
            f"{name} has no table of cells (obs) or none of genes (var), so it is not an h5ad file. "
            f"Save it with {_SAVE}."
        )


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Open an h5ad file for reading; what is wrong with the file is told as such.

    Raises
    ------
    FileProblem
        If the file is truncated, damaged, locked, or may not be read.
    """
    # Many labs keep data on network folders that know no locks.
    with _told_plainly(path), h5py.File(path, "r", locking="best-effort") as file:
        yield file


@contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileProblem(f"{path.name} is no longer where it was. Was it moved or deleted?") from error
    except PermissionError as error:
        raise FileProblem(f"{path.name} may not be read by this program. Change its permissions.") from error
    except (OSError, RuntimeError, KeyError) as error:
        if "truncated" in str(error):
            raise FileProblem(
                f"{path.name} is truncated: it ends after {path.stat().st_size:,} bytes, and its own table "
                "of contents speaks of more. Copy or upload it again."
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip("'\"")
        raise FileProblem(
            f"{path.name} cannot be read as h5ad ({reason}). Copy it again, or save it again with {_SAVE}."
        ) from error


def read_table(file: h5py.File, key: str) -> pd.DataFrame:
    """The obs or var table of an h5ad file, whatever version wrote it.

    Parameters
    ----------
    key
        "obs", or what `matrix_keys` gives for a matrix.

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
        raise FileProblem(
            f"The {what} of this file have no names ({key} has no index). Give them some "
            f"(adata.{key}_names = [...]) and save again with {_SAVE}."
        )
    table = read_elem(element)
    table.index = table.index.astype(str)
    return table


def _read_compound(file: h5py.File, element: h5py.Dataset) -> pd.DataFrame:
    """A table written before AnnData 0.7: one compound dataset, its categories in uns."""
    records = element[()]
    table = pd.DataFrame({name: _as_text(records[name]) for name in records.dtype.names})
    for name in table.columns[1:]:
        categories = f"uns/{name}_categories"
        if categories in file and table[name].dtype.kind in "iu":
            names = pd.Index(_as_text(file[categories][()]))
            table[name] = pd.Categorical.from_codes(table[name].to_numpy(), names)
    table = table.set_index(table.columns[0])
    table.index = table.index.astype(str)
    return table


def _as_text(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8").astype(object)
    if values.dtype.kind == "O":
        return np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=object)
    return values


def matrix_keys(file: h5py.File) -> dict[str, tuple[str, str]]:
    """Where each matrix and its table of genes lie, by name of the matrix: "X", "raw/X", "layers/<name>"."""
    places = {
        "X": ("X", "var"),
        "raw/X": ("raw/X", "raw/var") if "raw/X" in file else ("raw.X", "raw.var"),
        **{f"layers/{name}": (f"layers/{name}", "var") for name in file.get("layers", ())},
    }
    return {name: place for name, place in places.items() if place[0] in file}


def names_in(file: h5py.File, key: str) -> tuple[str, ...]:
    """Names of the elements of a group such as obsm; of its columns where an old version wrote a table."""
    element = file.get(key)
    if isinstance(element, h5py.Dataset):
        return tuple(element.dtype.names or ())
    return tuple(element or ())
