"""Answers as files: one of the kinds listed here, with its tables and arrays, in one compressed file that runs nothing.

The file is numpy's npz: `told` is JSON, the tree of the answer, and every array beside it is named in that tree. Only
what stands in `KINDS` can be made of a file. Names of the query's cells are not written; whoever reads brings them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from explorer.app.answers.explaining import Explanation, GeneShare
from explorer.app.answers.marking import Contrast, Found
from explorer.app.answers.pathways import Sets
from explorer.app.answers.speaking import Question, Spoken
from explorer.explanation import Signature
from explorer.insight.markers import Markers
from explorer.insight.pseudobulk import SampleMarkers
from explorer.insight.signatures import Expressed, SignatureOf
from explorer.insight.unknowns import Unknowns
from explorer.methods.base import Measure

KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        Contrast, Explanation, Expressed, Found, GeneShare, Markers, Measure, Question, SampleMarkers, Sets, Signature,
        SignatureOf, Spoken, Unknowns,
    )
}  # fmt: skip
VERSION = 1
_TOLD = "told"

Arrays = dict[str, np.ndarray]


def write(path: Path, answer: object, stamp: Mapping[str, Any]) -> None:
    """Write an answer, and what it holds for; a file that is there is replaced at once or not at all.

    Parameters
    ----------
    stamp
        Plain values that must be the same when it is read.
    """
    arrays: Arrays = {}
    told = {"version": VERSION, "stamp": dict(stamp), "answer": _tree(answer, arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    coming = path.with_suffix(".part")
    with coming.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{_TOLD: np.frombuffer(json.dumps(told).encode(), np.uint8)}, **arrays
        )
    coming.rename(path)


def read(path: Path, stamp: Mapping[str, Any], cells: pd.Index) -> Any:
    """The answer that `write` wrote.

    Parameters
    ----------
    cells
        Names of the cells it is about.

    Returns
    -------
    object
        `None` if there is no such file, it cannot be read, or it holds for something else than `stamp`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            told = json.loads(file[_TOLD].tobytes())
            if (told["version"], told["stamp"]) != (VERSION, json.loads(json.dumps(dict(stamp)))):
                return None
            return _answer(told["answer"], file, cells)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None  # an answer can be asked for again: a damaged file is as good as none


def _tree(value: Any, arrays: Arrays) -> Any:
    """A value as JSON; arrays are put aside and named."""
    if isinstance(value, pd.Index):
        return {"is": "cells"}
    if isinstance(value, pd.DataFrame):
        columns = [_tree(value.iloc[:, at].to_numpy(), arrays) for at in range(value.shape[1])]
        index = None if isinstance(value.index, pd.RangeIndex) else [str(each) for each in value.index]
        return {"is": "table", "names": [str(name) for name in value], "columns": columns, "index": index}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OUT":
            return {"is": "texts", "values": [None if each is None else _plain(each) for each in value]}
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"is": "array", "name": name}
    if is_dataclass(value) and type(value).__name__ in KINDS:
        parts = {each.name: _tree(getattr(value, each.name), arrays) for each in fields(value)}
        return {"is": type(value).__name__, "parts": parts}
    if isinstance(value, Mapping):
        return {"is": "mapping", "parts": {str(name): _tree(each, arrays) for name, each in value.items()}}
    if isinstance(value, tuple | list):
        return {"is": "row", "parts": [_tree(each, arrays) for each in value]}
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written down; add it to KINDS.")


def _answer(tree: Any, arrays: Mapping[str, np.ndarray], cells: pd.Index) -> Any:
    if not isinstance(tree, dict):
        return tree
    kind = tree["is"]
    if kind == "cells":
        return cells
    if kind == "table":
        columns = [_answer(each, arrays, cells) for each in tree["columns"]]
        table = pd.DataFrame(dict(enumerate(columns)), index=tree["index"])
        return table.set_axis(tree["names"], axis=1)
    if kind == "texts":
        return np.array(tree["values"], dtype=object)
    if kind == "array":
        return arrays[tree["name"]]
    if kind == "mapping":
        return {name: _answer(each, arrays, cells) for name, each in tree["parts"].items()}
    if kind == "row":
        return tuple(_answer(each, arrays, cells) for each in tree["parts"])
    return KINDS[kind](**{name: _answer(each, arrays, cells) for name, each in tree["parts"].items()})
