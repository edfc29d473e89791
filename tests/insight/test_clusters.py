"""Cells without labels, grouped."""

from __future__ import annotations

import numpy as np

from explorer.insight.clusters import centres, clusters


def directions(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cells around orthogonal directions, in random order, and which each belongs to."""
    rng = np.random.default_rng(seed)
    own = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return (np.eye(6)[own] + rng.normal(0, 0.05, (len(own), 6))).astype(np.float32), own


def test_groups_that_lie_apart_are_found_the_largest_first() -> None:
    values, own = directions([40, 90, 60])
    found = clusters(values, resolution=0.2)
    np.testing.assert_array_equal(found, np.array([2, 0, 1])[own])
    assert found.dtype == np.int32


def test_finer_resolution_never_mixes_them() -> None:
    values, own = directions([60, 60])
    found = clusters(values, resolution=2.0)
    assert all(len(np.unique(own[found == code])) == 1 for code in np.unique(found))


def test_same_seed_same_groups() -> None:
    values, _ = directions([50, 50, 50])
    np.testing.assert_array_equal(clusters(values, seed=3), clusters(values, seed=3))


def test_centres_are_mean_directions() -> None:
    values = np.array([[2, 0], [0, 1], [0, 3]], np.float32)
    np.testing.assert_allclose(centres(values, np.array([0, 1, 1], np.int32)), [[1, 0], [0, 1]])
    assert len(clusters(values)) == 3
