"""Distances to prototypes and what they mean: published numbers, and twins by hand."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.doubt.distances import Prototypes, within_query

POINTS = np.array([(0, 0), (2, 0), (1, 3), (5, 5), (7, 5), (6, 8)], np.float32)
CODES = np.array([0, 0, 0, 1, 1, 1], np.int32)


@pytest.fixture
def made() -> Prototypes:
    return Prototypes.of(POINTS, CODES, 2)


def test_published_prototypes(made: Prototypes) -> None:
    np.testing.assert_allclose(made.points, [(1, 1), (6, 6)])
    np.testing.assert_allclose(made.covariance[0], np.diag([1, 3]), atol=1e-6)
    for own in made.own:
        np.testing.assert_allclose(own, [1.414214, 1.414214, 2], atol=1e-6)


def test_a_class_of_one_cell_takes_the_pooled_variances(made: Prototypes) -> None:
    found = Prototypes.of(np.concatenate([POINTS, [[9, 9]]]).astype(np.float32), np.append(CODES, 2), 4)
    np.testing.assert_allclose(found.covariance[2], np.diag([1, 3]), atol=1e-6)
    assert list(found.cells) == [3, 3, 1, 0]
    assert np.isnan(found.points[3]).all()
    assert found.nearest(np.array([[100, 100]], np.float32))[0] == [2]


def test_uncertainty_is_the_distance_to_the_nearest(made: Prototypes) -> None:
    codes, distance = made.nearest(np.array([(1, 1), (6, 5), (3, 3)], np.float32))
    assert list(codes) == [0, 1, 0]
    np.testing.assert_allclose(distance, [0, 1, 8**0.5], rtol=1e-6)


def test_against_the_prototype_s_own_cells(made: Prototypes) -> None:
    codes = np.array([0, 0, 1], np.int32)
    distance = np.array([0, 2, 50], np.float32)
    np.testing.assert_allclose(made.p_values(codes, distance), [1, 2 / 4, 1 / 4])


def test_what_a_cell_is_told_does_not_depend_on_the_rest_of_its_query(made: Prototypes) -> None:
    """Unlike the published scaling, which the most distant cell of a query stretches."""
    near, far = np.array([1, 2], np.float32), np.array([1, 2, 100], np.float32)
    alone, beside = made.p_values(np.zeros(2, np.int32), near), made.p_values(np.zeros(3, np.int32), far)
    np.testing.assert_array_equal(alone, beside[:2])
    np.testing.assert_allclose(within_query(near), [0, 1])
    assert within_query(far)[1] < 0.02
    assert not within_query(np.ones(3, np.float32)).any()
    assert len(within_query(np.empty(0, np.float32))) == 0
