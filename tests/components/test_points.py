"""The index of points against slow and obvious twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from components import points
from components.points import index_points


def scattered(n: int = 5_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)


def test_every_point_is_kept_once_with_the_row_it_came_from():
    xy = scattered()
    indexed = index_points(xy)
    assert indexed.n == 5_000
    assert np.array_equal(np.sort(indexed.order), np.arange(5_000))
    assert np.array_equal(indexed.xy, xy[indexed.order])
    assert indexed.place_of(17) == tuple(xy[17].tolist())


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-4, 4)] * 4), st.integers(0, 3))
def test_slices_of_any_view_hold_every_point_in_it(corners, seed):
    xy = scattered(400, seed)
    x0, x1, y0, y1 = min(corners[:2]), max(corners[:2]), min(corners[2:]), max(corners[2:])
    indexed = index_points(xy)
    found = {
        int(row)
        for start, stop in points.slices(indexed, (x0, x1, y0, y1))
        for row in indexed.order[start:stop]
    }
    inside = (xy[:, 0] >= x0) & (xy[:, 0] <= x1) & (xy[:, 1] >= y0) & (xy[:, 1] <= y1)
    assert set(np.flatnonzero(inside).tolist()) <= found


def test_a_box_selects_what_numpy_selects():
    xy = scattered()
    inside = points.inside_box(index_points(xy), (-0.5, 0.7, 0.1, 1.2))
    assert np.array_equal(inside, (xy[:, 0] >= -0.5) & (xy[:, 0] <= 0.7) & (xy[:, 1] >= 0.1) & (xy[:, 1] <= 1.2))
    assert inside.sum() > 100


def test_a_lasso_selects_what_matplotlib_says_lies_in_its_outline():
    xy = scattered()
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    reach = 1 + 0.5 * np.cos(5 * turn)
    x, y = reach * np.cos(turn), reach * np.sin(turn)
    inside = points.inside_polygon(index_points(xy), x, y)
    assert np.array_equal(inside, Outline(np.column_stack([x, y])).contains_points(xy))
    assert inside.sum() > 100


def test_a_lasso_that_crosses_itself_takes_both_of_its_loops():
    xy = np.array([[-1, 0], [1, 0], [0, 0.9]], dtype=np.float32)
    bow_tie = ([-2, 2, 2, -2], [-1, 1, -1, 1])
    assert points.inside_polygon(index_points(xy), *bow_tie).tolist() == [True, True, False]


@pytest.mark.parametrize("corners", [([], []), ([0], [0]), ([0, 1], [0, 1])], ids=["nothing", "a dot", "a line"])
def test_a_lasso_without_an_inside_selects_nothing(corners):
    assert not points.inside_polygon(index_points(scattered(50)), *corners).any()


def test_nearest_is_the_nearest_within_reach():
    xy = scattered()
    indexed = index_points(xy)
    for x, y in scattered(40, seed=1):
        distance = np.hypot(*(xy - [x, y]).T)
        expected = int(distance.argmin()) if distance.min() <= 0.05 else -1
        assert points.nearest(indexed, float(x), float(y), 0.05) == expected


def test_nearest_does_not_see_points_of_code_zero():
    xy = np.array([[0, 0], [0.1, 0], [1, 1]], dtype=np.float32)
    indexed = index_points(xy)
    codes = np.array([0, 1, 1], dtype=np.uint8)[indexed.order]
    assert points.nearest(indexed, 0.0, 0.0, 0.5, codes) == 1
    assert points.nearest(indexed, 0.0, 0.0, 0.05, codes) == -1


def test_points_without_a_place_are_never_found():
    xy = np.array([[0, 0], [np.nan, 0], [np.inf, 1], [2, 2]], dtype=np.float32)
    indexed = index_points(xy)
    assert indexed.n == 4
    assert indexed.extent == (0, 2, 0, 2)
    assert points.inside_box(indexed, (-9, 9, -9, 9)).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    "xy",
    [np.zeros((0, 2)), np.zeros((1, 2)), np.full((5, 2), 3.0), np.column_stack([np.arange(5), np.zeros(5)])],
    ids=["no point", "one point", "one place", "a line"],
)
def test_degenerate_clouds_still_have_an_area(xy):
    indexed = index_points(xy)
    x0, x1, y0, y1 = indexed.extent
    assert x1 > x0
    assert y1 > y0
    assert points.inside_box(indexed, (-9, 9, -9, 9)).sum() == len(xy)


def test_what_is_not_a_plane_is_refused():
    with pytest.raises(ValueError, match=r"shape \(n, 2\); found \(4, 3\)"):
        index_points(np.zeros((4, 3)))


def test_a_fitted_view_has_equal_units_and_holds_everything():
    x0, x1, y0, y1 = points.fit((0, 10, 0, 2), 800, 600)
    assert (x1 - x0) / 800 == pytest.approx((y1 - y0) / 600)
    assert x0 < 0 < 10 < x1
    assert y0 < 0 < 2 < y1
