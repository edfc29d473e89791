"""Selections saved under names, as one colour: each name a category, with those cells apart that lie in several.

The name of such a colour holds the cells themselves, so that a pin or a link shows what was saved when it was made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.coloring import Categories
from components.theme import MISSING_COLOR, category_colors
from explorer.app.stored.packing import packed, unpacked
from explorer.errors import OptionsProblem

SAVED, TITLE = "saved", "My selections"
SEVERAL, NONE = "in several of them", "in none of them"


def name_of_saved(cells: str, masks: Mapping[str, NDArray[np.bool_]]) -> str:
    """How saved selections are written as the name of a `ColorBy`.

    Parameters
    ----------
    cells
        Whose: "query" or "reference".
    masks
        bool (n,), the cells of each.
    """
    rows = [[title, packed(np.flatnonzero(mask), len(mask))] for title, mask in masks.items()]
    return json.dumps({"cells": cells, "saved": rows})


def is_of(name: str, cells: str) -> bool:
    """Whether what `name_of_saved` wrote is of these cells, "query" or "reference"."""
    return bool(name) and json.loads(name)["cells"] == cells


def saved_categories(name: str, cells: str, n: int) -> Categories:
    """The categories of n cells.

    Raises
    ------
    OptionsProblem
        If nothing is saved of them.
    """
    masks = _masks(name, n) if is_of(name, cells) else {}
    if not masks:
        raise OptionsProblem("No selection of these cells is saved. Select some, and save them under a name.")
    inside = np.array(list(masks.values()))
    times = inside.sum(0)
    codes = np.where(times == 1, inside.argmax(0), np.where(times > 1, len(masks), len(masks) + 1)).astype(np.int32)
    names = (*masks, SEVERAL, NONE)
    return Categories(codes, names, category_colors(names, {NONE: MISSING_COLOR}), TITLE)


def _masks(name: str, n: int) -> dict[str, NDArray[Any]]:
    found: Sequence[Sequence[str]] = json.loads(name)["saved"]
    masks = {title: unpacked(text, n) for title, text in found}
    return {title: mask for title, mask in masks.items() if mask is not None}
