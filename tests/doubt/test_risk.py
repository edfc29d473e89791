"""Risk and coverage of a threshold: by hand, and as counting at every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.doubt.examined import Examined
from explorer.doubt.risk import at_threshold, risk_coverage, threshold_for, wanted_threshold
from explorer.errors import OptionsProblem


def examined(confidence: list[float], right: list[bool]) -> Examined:
    """Cells of the first of two labels, or of the second where the answer is wrong."""
    sure = np.array(confidence, np.float32)
    codes = (~np.array(right, bool)).astype(np.int32)
    n = len(codes)
    return Examined(np.arange(n), codes, np.zeros(n, np.int32), np.column_stack([sure, 1 - sure]))


FIVE = examined([0.9, 0.6, 0.75, 0.9, 0.6], [True, False, True, True, True])


def test_the_curve_by_hand() -> None:
    curve = risk_coverage(FIVE)
    np.testing.assert_allclose(curve["threshold"], [0.6, 0.75, 0.9], rtol=1e-6)
    np.testing.assert_allclose(curve["kept"], [1, 0.6, 0.4])
    np.testing.assert_allclose(curve["accuracy"], [0.8, 1, 1])


def test_at_a_threshold_between_confidences() -> None:
    found = at_threshold(FIVE, 0.7)
    assert (found.share, found.accuracy) == (pytest.approx(0.6), 1.0)
    assert at_threshold(FIVE, 0.0).accuracy == pytest.approx(0.8)


def test_nothing_is_left_above_all() -> None:
    found = at_threshold(FIVE, 0.95)
    assert found.share == 0
    assert np.isnan(found.accuracy)


def test_the_threshold_of_a_wanted_accuracy() -> None:
    assert threshold_for(FIVE, 0.8) == 0.5  # already so accurate as they are
    assert threshold_for(FIVE, 0.9) == 0.61
    assert threshold_for(examined([0.9, 0.6], [False, True]), 0.9) is None


def test_an_accuracy_beyond_reach_is_said() -> None:
    assert wanted_threshold(FIVE, 0.9) == 0.61
    with pytest.raises(OptionsProblem, match=r"No threshold makes 90% of the reference's left-out cells right"):
        wanted_threshold(examined([0.9, 0.6], [False, True]), 0.9)
    with pytest.raises(OptionsProblem, match="No labelled reference cell was left out"):
        wanted_threshold(None, 0.9)


@pytest.mark.parametrize("accuracy", [0, 97], ids=["none", "in per cent"])
def test_an_accuracy_that_is_none(accuracy: float) -> None:
    with pytest.raises(OptionsProblem, match="above 0 and at most 1"):
        threshold_for(FIVE, accuracy)


@given(st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_as_counting_at_every_threshold(cells: list[tuple[float, bool]]) -> None:
    of = examined([sure for sure, _ in cells], [right for _, right in cells])
    curve = risk_coverage(of)
    right_at_half = of.probabilities.argmax(1) == of.codes  # a tie goes to the first label
    for threshold, kept, accuracy in curve.itertuples(index=False):
        sure = of.probabilities.max(1) >= threshold
        assert kept == pytest.approx(sure.mean())
        assert accuracy == pytest.approx(right_at_half[sure].mean())
        found = at_threshold(of, threshold)
        assert (found.share, found.accuracy) == (pytest.approx(kept), pytest.approx(accuracy))
    for wanted in (0.5, 0.8, 1.0):
        enough = [row.threshold for row in curve.itertuples() if row.accuracy >= wanted]
        found_at = threshold_for(of, wanted)
        assert (found_at is None) == (not enough)
        if found_at is not None:
            assert at_threshold(of, found_at).accuracy >= wanted
            assert found_at == 0.5 or at_threshold(of, found_at - 0.01).accuracy < wanted


def test_a_reference_that_kept_no_cell_has_no_curve() -> None:
    assert risk_coverage(examined([], [])).empty
