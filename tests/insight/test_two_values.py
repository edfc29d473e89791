"""How two values go together, beside scipy's figures and slow counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from explorer.insight.two_values import likely_cut, quadrants, relate


def test_correlations_are_scipys_over_cells_that_have_both() -> None:
    random = np.random.default_rng(3)
    x = random.poisson(1.0, 500).astype(np.float64)
    y = 0.5 * x + random.poisson(0.7, 500)
    whole = relate(x, y)
    assert (whole.pearson, whole.spearman) == pytest.approx((pearsonr(x, y)[0], spearmanr(x, y)[0]))
    assert (whole.n, whole.both_zero) == (500, int(((x == 0) & (y == 0)).sum()))
    holes = x.copy()
    holes[::5] = np.nan
    assert relate(holes, y) == relate(np.delete(x, np.s_[::5]), np.delete(y, np.s_[::5]))


@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([1.0, 2.0], [2.0, 1.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([np.nan] * 4, [1.0, 2.0, 3.0, 4.0])],
    ids=["none", "too few", "all the same", "none has both"],
)
def test_there_is_no_correlation_of_too_little(x: list[float], y: list[float]) -> None:
    told = relate(np.array(x), np.array(y))
    assert np.isnan(told.pearson) and np.isnan(told.spearman)


value = st.one_of(st.just(float("nan")), st.sampled_from([0.0, 0.5, 1.0, 2.0]))


@given(st.lists(st.tuples(value, value)), st.sampled_from([0.0, 0.5, 1.5]), st.sampled_from([0.0, 1.0]))
def test_every_cell_with_both_values_is_in_one_quadrant(
    cells: list[tuple[float, float]], cut_x: float, cut_y: float
) -> None:
    found = quadrants(np.array([x for x, _ in cells]), np.array([y for _, y in cells]), cut_x, cut_y)
    whole = [(x, y) for x, y in cells if x == x and y == y]
    for over_y in (False, True):
        for over_x in (False, True):
            slow = sum((x > cut_x) is over_x and (y > cut_y) is over_y for x, y in whole)
            assert found[int(over_y), int(over_x)] == slow


def test_expression_is_cut_above_zero_and_the_rest_in_half() -> None:
    values = np.array([0.0, 0.0, 3.0, np.nan, 9.0])
    assert likely_cut(values, is_expression=True) == 0
    assert likely_cut(values, is_expression=False) == 1.5
    assert likely_cut(np.array([np.nan]), is_expression=False) == 0
