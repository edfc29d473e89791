"""Colours that a query brought for its own columns, as scanpy keeps them: uns["<column>_colors"], one a category."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import h5py

from explorer import keys


@lru_cache(maxsize=128)
def own_colors(file: Path, column: str) -> dict[str, str]:
    """#rrggbb by category; empty where the file brings none, or not one for each category.

    Parameters
    ----------
    file
        An h5ad file that does not change, such as a result.
    column
        Of obs.
    """
    with h5py.File(file, "r") as h5ad:
        told, kept = h5ad.get(f"obs/{column}/categories"), h5ad.get(f"uns/{keys.colors(column)}")
        if not isinstance(told, h5py.Dataset) or not isinstance(kept, h5py.Dataset) or told.shape != kept.shape:
            return {}
        names, colors = ([_text(each) for each in values[()]] for values in (told, kept))
    found = [_hex(color) for color in colors]
    return dict(zip(names, found, strict=True)) if all(found) else {}


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _hex(color: str) -> str:
    """A colour in any of the ways that matplotlib knows, without its transparency; empty for none."""
    from matplotlib.colors import is_color_like, to_hex

    return to_hex(color) if is_color_like(color) else ""
