"""Answers as files: read again as they were, and nothing else made of a file."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from explorer.app.answers import filed
from explorer.app.answers.explaining import Explanation, GeneShare
from explorer.app.answers.marking import Contrast, Found
from explorer.app.answers.pathways import Sets
from explorer.app.answers.speaking import Question, Spoken
from explorer.explanation import Signature
from explorer.insight.markers import Markers
from explorer.insight.pseudobulk import SampleMarkers
from explorer.insight.signatures import Expressed, SignatureOf
from explorer.insight.unknowns import Unknowns
from explorer.methods.base import GRADIENTS

CELLS = pd.Index(["a-1", "b-1", "c-1"])
TABLE = pd.DataFrame(
    {"gene": ["ISG15", "Häm <b>"], "score": [3.5, np.nan], "cells": np.array([1, 2], np.int64), "sure": [True, False]}
)
MARKERS = Markers(TABLE, "the selection", "rest", 1, 2, "wilcoxon")
SIGNATURE = Signature(np.array(["ISG15", "LYZ"], object), np.array([1.0, -2.0], np.float32), "T cell", "ig", np.nan)
ANSWERS = [
    Found(Contrast("label", "T cell"), MARKERS, np.array([True, False, False]), np.array([False, True, True]), CELLS),
    Found(Contrast("condition", "stim", test="samples", sample="donor"),
          SampleMarkers(TABLE, "stim", "ctrl", 3, 3, 3, float("inf")), np.ones(3, bool), np.zeros(3, bool), CELLS),
    Spoken(Question("label", "T cell", "cell_type", "ig"), GRADIENTS,
           (SignatureOf(SIGNATURE, "chosen", "rest", TABLE, 1, 2),),
           {"T cell": Expressed(np.array([0.5], np.float32), np.array([0.25], np.float32), 4)}, {"few": 2}, CELLS),
    {"rows": np.array([0, 2]), "said": Explanation(SIGNATURE, GRADIENTS, "cell_type", 2,
                                                   (GeneShare("ISG15", 1.0, 0.5, None),))},
    Sets("list", TABLE, {"A": ("ISG15", "LYZ")}, "told", TABLE.head(1), "mine.gmt", "mine.gmt 01234567"),
    Unknowns(3, np.array([0, 2]), np.array([0, 1], np.int32), ("new 1", "new 2"), TABLE,
             pd.DataFrame({"s1": [1, 0], "s 2": [0, 1]}, index=["new 1", "new 2"]), {"new 1": MARKERS}, 0, 1.0),
]  # fmt: skip


def assert_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted, check_index_type=False, check_column_type=False)
    elif isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    elif is_dataclass(wanted):
        assert type(found) is type(wanted)
        for each in fields(wanted):
            assert_same(getattr(found, each.name), getattr(wanted, each.name))
    elif isinstance(wanted, dict):
        assert_same(tuple(found.items()), tuple(wanted.items()))
    elif isinstance(wanted, tuple):
        for a, b in zip(found, wanted, strict=True):
            assert_same(a, b)
    elif isinstance(wanted, pd.Index):
        assert found is CELLS
    else:
        assert found == wanted or (found != found and wanted != wanted)


@pytest.mark.parametrize("answer", ANSWERS, ids=["markers", "samples", "signatures", "why", "gene sets", "groups"])
def test_an_answer_is_read_as_it_was_written(tmp_path: Path, answer: Any) -> None:
    path = tmp_path / "deep" / "answer.npz"
    filed.write(path, answer, {"threshold": 0.8})
    assert_same(filed.read(path, {"threshold": 0.8}, CELLS), answer)
    assert list(path.parent.iterdir()) == [path]


def test_an_answer_to_something_else_or_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "answer.npz"
    assert filed.read(path, {}, CELLS) is None
    filed.write(path, {"groups": ANSWERS[-1], "given": {"new 1": "odd"}}, {"threshold": 0.8})
    assert filed.read(path, {"threshold": 0.9}, CELLS) is None
    assert filed.read(path, {"threshold": 0.8}, CELLS)["given"] == {"new 1": "odd"}
    path.write_bytes(path.read_bytes()[:200])
    assert filed.read(path, {"threshold": 0.8}, CELLS) is None


def test_only_known_kinds_are_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object cannot be written down"):
        filed.write(tmp_path / "answer.npz", object(), {})
