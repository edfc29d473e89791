"""Labels as points: means by hand, cells that count for nothing, probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.doubt.prototypes import SHARPNESS, probabilities, prototypes, similarity

A, B, C, NONE = 0, 1, 2, -1


def test_the_mean_direction_of_the_cells_of_a_class() -> None:
    """How long a cell's vector is does not matter; cells without a label do not either."""
    values = np.array([[2, 0], [0, 5], [0, 1], [9, 9]], np.float32)
    found = prototypes(values, np.array([A, A, B, NONE], np.int32), 3)
    np.testing.assert_allclose(found, [[0.5, 0.5], [0, 1], [0, 0]])
    assert found.dtype == np.float32


def test_cosines_to_them() -> None:
    points = np.array([[3, 0], [0, 0.5], [0, 0]], np.float32)
    found = similarity(np.array([[1, 1], [-2, 0]], np.float32), points)
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5, 0], [-1, 0, 0]], atol=1e-6)


def test_probabilities_are_a_softmax_of_the_cosines() -> None:
    points = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    found = probabilities(np.array([[0.6, 0.8]], np.float32), points)
    raised = np.exp(SHARPNESS * np.array([0.6, 0.8]))
    assert found[0, :2] == pytest.approx(raised / raised.sum(), abs=1e-6)
    assert found[0, C] == 0


def test_no_cells() -> None:
    none = np.empty((0, 2), np.float32)
    assert probabilities(none, np.eye(2, dtype=np.float32)).shape == (0, 2)
    assert not prototypes(none, np.empty(0, np.int32), 2).any()
