"""A copy of a query's own file with something appended: obs columns, obsm arrays and tables, one record in uns.

What the query had stays, under another name where the addition needs its name; what an earlier mapping appended goes.
Every file is written beside its place under the name *.part and moved there when it is whole, so a reader never sees
half of one. Knows files and columns, not what they mean.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem, write_elem
from numpy.typing import NDArray

from explorer import keys
from explorer.errors import OptionsProblem, ResourceProblem
from explorer.flow import Query
from explorer.reading import h5ad
from explorer.reading.rows import MemoryRows

# Room for what HDF5 adds to the bare values.
_SPARE_BYTES = 16 * 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Additions:
    """What is appended to a query's file.

    Attributes
    ----------
    columns
        Of obs, by name.
    arrays, tables
        Of obsm, by name; tables have named columns.
    key
        Where in uns the record goes.
    record
        What AnnData can store; the names of all that was written, and of what had to make room, are added.
    colors
        "#rrggbb" of the categories of columns of obs, by column and category; for uns, where scanpy looks for them. Of
        a column that has other categories, too, the file keeps the colours that it has.
    """

    columns: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    key: str = keys.PROVENANCE
    record: Mapping[str, Any] = field(default_factory=dict)
    colors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def n_bytes(self, n_cells: int) -> int:
        """How much room they take, about."""
        arrays = sum(array.nbytes for array in self.arrays.values())
        tables = sum(int(table.memory_usage().sum()) for table in self.tables.values())
        return arrays + tables + n_cells * 8 * len(self.columns)


def append_to_copy(query: Query, path: Path, additions: Additions) -> None:
    """Copy a query's own file and append to the copy.

    Raises
    ------
    OptionsProblem
        If the path is the query's own file.
    ResourceProblem
        If the disk has not enough room.
    """
    if query.path is not None and path.exists() and path.samefile(query.path):
        raise OptionsProblem(f"{path.name} is the query itself, which is never changed. Choose another name.")
    with finished_file(path) as part:
        if query.path is not None:
            shutil.copyfile(query.path, part)
        elif isinstance(query.matrix, MemoryRows):
            query.matrix.source.write_h5ad(part, convert_strings_to_categoricals=False)
        reserve(part, part.stat().st_size + additions.n_bytes(query.n_cells))
        with h5py.File(part, "r+") as file:
            _append(file, additions)


@contextmanager
def finished_file(path: Path) -> Iterator[Path]:
    """A place to write to; what is written there is named `path` when it is whole, or vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free / 2**30
        raise ResourceProblem(
            f"There is not enough room for {path.name} in {path.parent}, where {free:.2f} GB are free. Make room "
            "there, or choose another disk."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def reserve(part: Path, size: int) -> None:
    """Claim disk space for a file before HDF5 writes to it: where HDF5 finds a disk full, it crashes.

    HDF5 gives back what it did not need when it closes the file.

    Raises
    ------
    OSError
        If there is not so much.
    """
    if hasattr(os, "posix_fallocate"):
        with part.open("ab") as stream:
            os.posix_fallocate(stream.fileno(), 0, size + _SPARE_BYTES)
    elif shutil.disk_usage(part.parent).free < size + _SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))


def _append(file: h5py.File, new: Additions) -> None:
    """Add to an open copy of a query's file."""
    _modernise(file)
    for key in keys.RECORDS:
        _drop_previous(file, key)
    obs, obsm = file["obs"], file["obsm"]
    moved, moved_arrays = _set_aside(obs, new.columns), _set_aside(obsm, [*new.arrays, *new.tables])
    for name, values in new.columns.items():
        write_elem(obs, name, values)
    for name, array in {**new.arrays, **new.tables}.items():
        write_elem(obsm, name, array)
    order = [moved.get(name, name) for name in _column_order(obs)]
    obs.attrs["column-order"] = np.array([*order, *new.columns], dtype=h5py.string_dtype())
    told = [*_about_moved(moved), *_about_moved(moved_arrays)]
    written = {"obs_written": new.columns, "obsm_written": new.arrays, "tables_written": new.tables}
    record = {**new.record, "notices": np.append(new.record["notices"], told).astype(object)}
    record |= {name: np.array(list(names), dtype=object) for name, names in written.items()}
    write_elem(file["uns"], new.key, record)
    for old, aside in moved.items():
        if keys.colors(old) in file["uns"]:
            file["uns"].move(keys.colors(old), keys.colors(aside))
    _write_colors(file, new.colors)


def _write_colors(file: h5py.File, colors: Mapping[str, Mapping[str, str]]) -> None:
    for column, of in colors.items():
        told = file["obs"].get(f"{column}/categories")
        if not isinstance(told, h5py.Dataset):
            continue
        names = [str(name) for name in read_elem(told)]
        if all(name in of for name in names):
            write_elem(file["uns"], keys.colors(column), np.array([of[name] for name in names], dtype=object))


def _modernise(file: h5py.File) -> None:
    """Bring tables of AnnData versions before 0.7 to a form that columns can be added to."""
    if isinstance(file["obs"], h5py.Dataset) or "__categories" in file["obs"]:
        write_elem(file, "obs", h5ad.read_table(file, "obs"))
    for name in ("obsm", "uns"):
        if name not in file:
            write_elem(file, name, {})
    if isinstance(file["obsm"], h5py.Dataset):
        records = file["obsm"][()]
        write_elem(file, "obsm", {name: records[name] for name in records.dtype.names})


def _drop_previous(file: h5py.File, key: str) -> None:
    """Forget an earlier mapping of the same cells."""
    if key not in file["uns"]:
        return
    record = read_elem(file["uns"][key])
    columns = set(record["obs_written"])
    for name in columns & set(file["obs"]):
        del file["obs"][name]
    for name in {keys.colors(column) for column in columns} & set(file["uns"]):
        del file["uns"][name]
    for name in {*record["obsm_written"], *record.get("tables_written", ())} & set(file["obsm"]):
        del file["obsm"][name]
    order = [name for name in _column_order(file["obs"]) if name not in columns]
    file["obs"].attrs["column-order"] = np.array(order, dtype=h5py.string_dtype())
    del file["uns"][key]


def _column_order(obs: h5py.Group) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in obs.attrs["column-order"]]


def _set_aside(group: h5py.Group, new: Iterable[str]) -> dict[str, str]:
    """Keep what the query has under names that the result needs, under other names; says which."""
    moved = {}
    for name in set(new) & set(group):
        aside = keys.own(name)
        while aside in group:
            aside = keys.own(aside)
        group.move(name, aside)
        moved[name] = aside
    return moved


def _about_moved(moved: Mapping[str, str]) -> list[str]:
    return [f"What the query had as {name!r} is kept as {aside!r}." for name, aside in sorted(moved.items())]
