"""The job that adds cells a person has named to a copy of a reference.

The names lie in a small table of their own, because a record in the queue should stay short; it goes once the copy is
written, and stays for another try where that failed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.asking.naming import write_named
from explorer.building.extension import extend_reference
from explorer.errors import FileProblem
from explorer.flow import Reference
from explorer.jobs.building import require_room
from explorer.jobs.specs import ExtendSpec
from explorer.progress import Progress
from explorer.reading.query import open_query
from explorer.reference import open_reference
from explorer.settings import settings

NAMED = "named_here"  # obs column of the names that were given on the page
_ROW, _NAME = "row", "name"


def write_names(names: NDArray[np.object_], folder: Path) -> Path:
    """Write the names of cells into a table that is called after what it holds.

    Parameters
    ----------
    names
        Text (n,), "" for cells without a name.
    """
    rows = np.flatnonzero(names != "")
    text = pd.DataFrame({_ROW: rows, _NAME: names[rows]}).to_csv(index=False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.csv"
    path.write_text(text, encoding="utf-8")
    return path


def extend(spec: ExtendSpec, folder: Path, progress: Progress) -> Reference:
    """Write the copy of the reference.

    Parameters
    ----------
    folder
        For what is needed on the way.

    Raises
    ------
    AtlasError
        If the result or its names are gone, a name has too few cells, the reference was shared without expression,
        the query lacks genes of a method, or the disk is full.
    Cancelled
        From `progress`; nothing is left behind.
    """
    progress.part("Reading the names", 0.0, 0.05)(0.0)
    result, names, out = Path(spec.result), Path(spec.names), Path(spec.out)
    for path in (result, names):
        if not path.exists():
            raise FileProblem(
                f"{path.name} is no longer there, so it is not known which cells were named. Map the cells and name "
                "them again."
            )
    reference = open_reference(Path(spec.reference))
    require_room(reference.folder, out.parent)
    named = folder / "named.h5ad"
    try:
        write_named(result, named, _read_names(names, result), NAMED)
        query = open_query(named, matrix=spec.matrix, gene_names=spec.gene_names, name=spec.name)
        device = settings().device if spec.device == "auto" else spec.device
        extended = extend_reference(
            reference, query, out, column=NAMED, level=spec.level, orthologs=spec.orthologs, device=device,
            progress=progress.part("", 0.05, 1.0),
        )  # fmt: skip
    finally:
        named.unlink(missing_ok=True)
    names.unlink(missing_ok=True)
    return extended


def _read_names(path: Path, result: Path) -> NDArray[np.object_]:
    table = pd.read_csv(path, dtype={_ROW: np.int64, _NAME: str}, keep_default_na=False)
    names = np.full(open_query(result).n_cells, "", dtype=object)
    names[table[_ROW].to_numpy()] = table[_NAME].to_numpy(object)
    return names
