"""The picture: made once from a seed, and queries placed where their neighbours are, not between them."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.flow import Neighbors
from explorer.layout import place, reference_layout


def clusters(cells: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.resize([0, 1, 2], cells)
    return (np.eye(3, 10)[codes] * 5 + 0.3 * rng.normal(size=(cells, 10))).astype(np.float32), codes


def test_a_reference_is_drawn_the_same_from_the_same_seed() -> None:
    values, codes = clusters()
    once, again, other = (reference_layout(values, seed) for seed in (0, 0, 1))
    assert once.shape == (60, 2)
    assert once.dtype == np.float32
    np.testing.assert_array_equal(once, again)
    assert not np.allclose(once, other)
    nearest = np.linalg.norm(once[:, None] - once, axis=2) + 1e9 * np.eye(60)
    np.testing.assert_array_equal(codes[nearest.argmin(1)], codes)


@pytest.mark.parametrize("cells", [6, 16], ids=str)
def test_a_very_small_reference_is_drawn_as_well(cells: int) -> None:
    assert np.isfinite(reference_layout(clusters(cells)[0])).all()


def placed(similarity: list[float], points: list[tuple[float, float]]) -> list[float]:
    found = Neighbors(np.arange(len(points), dtype=np.int32)[None], np.array([similarity], np.float32))
    return place(found, np.array(points, np.float32))[0].tolist()


def slowly(similarity: np.ndarray, points: np.ndarray) -> np.ndarray:
    """One cell: weighted median by accumulating, then the weighted mean of the nearer half."""
    weight = np.maximum(similarity, 1e-6)
    center = []
    for axis in (0, 1):
        reached = 0.0
        for i in sorted(range(len(points)), key=lambda i: points[i, axis]):
            reached += weight[i]
            if reached >= weight.sum() / 2:
                center.append(points[i, axis])
                break
    near = sorted(range(len(points)), key=lambda i: np.linalg.norm(points[i] - center))[: max(1, len(points) // 2)]
    return np.average(points[near], axis=0, weights=weight[near])


def test_placing_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(0)
    layout = rng.normal(size=(50, 2)).astype(np.float32)
    indices = np.array([rng.choice(50, 9, replace=False) for _ in range(40)], np.int32)
    similarity = -np.sort(-rng.uniform(-0.2, 1, (40, 9)), axis=1).astype(np.float32)
    found = place(Neighbors(indices, similarity), layout)
    assert found.dtype == np.float32
    expected = [slowly(similarity[i].astype(float), layout[indices[i]].astype(float)) for i in range(40)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_cell_with_neighbours_in_two_groups_goes_to_the_larger_not_between() -> None:
    points = [(0, 0), (0.1, 0), (0, 0.1), (0.1, 0.1), (10, 10), (10.1, 10), (10, 10.1)]
    x, y = placed([1.0] * 7, points)
    assert max(x, y) < 1


def test_similarity_decides_between_groups_of_one_size() -> None:
    points = [(0.0, 0.0), (0.1, 0.1), (10.0, 10.0), (10.1, 10.1)]
    x, y = placed([0.9, 0.9, 0.2, 0.2], points)
    assert max(x, y) < 1


def test_one_neighbour_is_where_the_cell_goes() -> None:
    assert placed([0.3], [(2.0, -3.0)]) == [2, -3]


def test_neighbours_that_are_not_similar_still_place_a_cell() -> None:
    assert np.isfinite(placed([0.0, -0.5, -0.9], [(0, 0), (1, 1), (2, 2)])).all()


def test_no_cells_no_places() -> None:
    none = Neighbors(np.empty((0, 5), np.int32), np.empty((0, 5), np.float32))
    assert place(none, np.zeros((9, 2), np.float32)).shape == (0, 2)
