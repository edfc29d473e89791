"""Tables of who is sure, counted again by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.doubt.thresholds import with_threshold
from explorer.flow import LevelLabels
from explorer.insight.sureness import ambiguous_pairs, by_group, set_sizes

CLASSES = ("B", "NK", "T")


def labelled(n: int, seed: int = 0) -> LevelLabels:
    """Cells with planted doubt: a tenth lie far, and what has less than 0.5 carries no label."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.4), n).astype(np.float32)
    confidence = probabilities.max(1)
    far = rng.random(n) < 0.1
    return LevelLabels(
        level="type", classes=CLASSES, codes=probabilities.argmax(1).astype(np.int32), probabilities=probabilities,
        confidence=confidence, disagreement=np.zeros(n, np.float32), novelty=rng.random(n, dtype=np.float32),
        stretch=np.ones(n, np.float32), unknown=far | (confidence < 0.5), sets=probabilities >= 0.2,
    )  # fmt: skip


@given(n=st.integers(1, 60), seed=st.integers(0, 99), threshold=st.floats(0.5, 1.0))
def test_groups_add_up_to_the_cells_and_their_shares_to_one(n: int, seed: int, threshold: float) -> None:
    labels = with_threshold(labelled(n, seed), threshold)
    groups = np.array([f"s{i % 3}" for i in range(n)], dtype=object)
    table = by_group(labels, groups).set_index("group")
    assert table["cells"].sum() == n
    np.testing.assert_allclose(table[["kept", "unsure", "far"]].sum(axis=1), 1)
    for name, row in table.iterrows():
        own = groups == name
        assert row["cells"] == own.sum()
        assert row["kept"] == pytest.approx((~labels.unknown[own]).mean())
        assert row["unsure"] == pytest.approx((labels.confidence[own] < threshold).mean())
        assert row["confidence"] == pytest.approx(np.median(labels.confidence[own]))
        assert row["set_size"] == np.median(labels.sets[own].sum(1))


def test_the_largest_group_comes_first() -> None:
    groups = np.array(["few", "many", "many"], dtype=object)
    assert by_group(labelled(3), groups)["group"].tolist() == ["many", "few"]


def test_sets_are_counted_by_size_and_by_the_labels_that_share_them() -> None:
    sets = np.array([[1, 0, 0], [1, 0, 1], [1, 0, 1], [1, 1, 1]], bool)
    np.testing.assert_allclose(set_sizes(sets), [0.25, 0.5, 0.25, 0])
    expected = pd.DataFrame({"first": ["B", "B", "NK"], "second": ["T", "NK", "T"], "cells": [3, 1, 1],
                             "alone": [2, 0, 0]})  # fmt: skip
    pd.testing.assert_frame_equal(ambiguous_pairs(sets, CLASSES), expected)
    assert ambiguous_pairs(np.eye(3, dtype=bool), CLASSES).empty
