"""A query's own pictures: what it brought in obsm that cells can be drawn by. Knows result files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from anndata.io import read_elem

from explorer import keys
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray
from explorer.reading import h5ad

_SPATIAL = "spatial"


def own_pictures(path: Path) -> tuple[str, ...]:
    """obsm keys of a result file that its query brought and that hold places: X_something, spatial, or two columns."""
    with h5ad.reading(path) as file:
        record = read_elem(file[f"uns/{keys.PROVENANCE}"])
        ours = {*map(str, record["obsm_written"]), *map(str, record.get("tables_written", ()))}
        return tuple(name for name in file["obsm"] if name not in ours and _holds_places(name, file["obsm"][name]))


def read_picture(path: Path, key: str) -> FloatArray:
    """float32 (n, 2), the first two columns.

    Raises
    ------
    OptionsProblem
        If the file holds no places under that key.
    """
    with h5ad.reading(path) as file:
        held = file.get("obsm", {})
        known = [name for name in held if _holds_places(name, held[name])]
        if key not in known:
            told = f"it has {', '.join(known)}" if known else "it has none"
            raise OptionsProblem(f"{path.name} holds no picture {key!r} in obsm; {told}.")
        return np.asarray(file[f"obsm/{key}"][:, :2], np.float32)


def picture_title(key: str) -> str:
    """What to call a picture: its key, as the query's own file has it."""
    suffix = keys.own("")
    return f"Your {key.removesuffix(suffix)}"


def _holds_places(name: str, found: h5py.Dataset | h5py.Group) -> bool:
    if not isinstance(found, h5py.Dataset) or found.ndim != 2 or found.dtype.kind not in "fiu":
        return False
    return found.shape[1] == 2 or (found.shape[1] > 2 and name.startswith(("X_", _SPATIAL)))
