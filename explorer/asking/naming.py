"""Names that a user gives to cells of a result, written into a copy of its file: a column that `extend` takes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from numpy.typing import NDArray

from explorer.errors import FileProblem, OptionsProblem
from explorer.writing.export import holds_result


def write_named(source: Path | str, path: Path | str, names: NDArray[np.object_], column: str) -> None:
    """Copy a result and add one obs column; nothing else changes.

    Parameters
    ----------
    source
        An h5ad file that `explorer.writing.export.write_h5ad` wrote.
    path
        Where the copy goes; an older file of that name is replaced.
    names
        Text (n,), "" for cells without a name.
    column
        A column of that name is replaced.

    Raises
    ------
    FileProblem
        If the source holds no result of this program.
    OptionsProblem
        If both paths are the same, or the names are not one a cell.
    """
    source, path = Path(source), Path(path)
    if not holds_result(source):
        raise FileProblem(f"{source.name} holds no mapping result. Map the cells first: atlas-explorer map")
    if path.exists() and path.samefile(source):
        raise OptionsProblem(f"{path.name} is the result itself, which is never changed. Choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        shutil.copyfile(source, part)
        with h5py.File(part, "r+") as file:
            _put(file["obs"], column, names)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def given_names(told: Sequence[str] | None) -> dict[str, str] | None:
    """A user's names of groups, from texts such as "new 1=activated monocyte"; `None` where none is given.

    Raises
    ------
    OptionsProblem
        If a text does not say which group it names.
    """
    if not told:
        return None
    pairs = [text.partition("=") for text in told]
    for group, equals, name in pairs:
        if not (group.strip() and equals and name.strip()):
            raise OptionsProblem(f"{group + equals + name!r} names no group. Write GROUP=NAME, as in 'new 1=my type'.")
    return {group.strip(): name.strip() for group, _, name in pairs}


def _put(obs: h5py.Group, column: str, names: NDArray[np.object_]) -> None:
    order = [name.decode() if isinstance(name, bytes) else str(name) for name in obs.attrs["column-order"]]
    n_cells = len(obs[obs.attrs["_index"]])
    if len(names) != n_cells:
        raise OptionsProblem(f"{len(names):,} names were given for {n_cells:,} cells. Give one a cell, empty for none.")
    if column in obs:
        del obs[column]
    write_elem(obs, column, pd.Categorical(names))
    obs.attrs["column-order"] = np.array(
        [*(name for name in order if name != column), column], dtype=h5py.string_dtype()
    )
