"""Sets of labels: the threshold by hand, and the promise kept for new batches that are like the old."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.doubt.conformal import kept_promise, least_probability, likely_sets, prediction_sets
from explorer.doubt.examined import Examined
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray


def examined(probabilities: FloatArray, codes: np.ndarray, batches: np.ndarray | None = None) -> Examined:
    n = len(codes)
    of = np.zeros(n, np.int32) if batches is None else batches.astype(np.int32)
    return Examined(np.arange(n), codes.astype(np.int32), of, probabilities.astype(np.float32))


def drawn(rng: np.random.Generator, n: int, classes: int = 4, sharpness: float = 1.0) -> tuple[FloatArray, np.ndarray]:
    """Probabilities, and labels that come true as often as they say."""
    probabilities = rng.dirichlet(np.full(classes, 0.4), n)
    said = probabilities**sharpness / (probabilities**sharpness).sum(1, keepdims=True)
    codes = (rng.random(n)[:, None] > probabilities.cumsum(1)).sum(1).clip(max=classes - 1)
    return said.astype(np.float32), codes.astype(np.int32)


def twin(of: Examined, coverage: float) -> float:
    """Walk down the true labels' probabilities until the wanted share, each batch counted as one, is reached."""
    sizes = {batch: (of.batches == batch).sum() for batch in set(of.batches)}
    cells = sorted(
        ((of.probabilities[i, code], 1 / sizes[of.batches[i]] / len(sizes)) for i, code in enumerate(of.codes)),
        reverse=True,
    )
    reached = 0.0
    for probability, weight in cells:
        reached += weight
        if reached >= coverage * (1 + 1 / len(cells)) - 1e-9:
            return float(probability)
    return 0.0


class TestThreshold:
    def test_by_hand(self) -> None:
        own = np.arange(1, 20) / 20  # of 19 cells; the 95 % of 20 that must be reached are all 19
        of = examined(np.column_stack([own, 1 - own]), np.zeros(19))
        assert least_probability(of, 0.95) == pytest.approx(0.05)
        assert least_probability(of, 0.9) == pytest.approx(0.1)
        assert least_probability(of, 0.5) == pytest.approx(0.5)

    def test_too_few_cells_for_a_promise_give_all_labels(self) -> None:
        of = examined(np.array([[0.9, 0.1], [0.8, 0.2]]), np.zeros(2))
        assert least_probability(of, 0.95) == 0
        assert prediction_sets(np.array([[1.0, 0.0]], np.float32), of).all()

    def test_every_batch_counts_the_same(self) -> None:
        """Of 900 cells in one batch all are sure; of 100 in another, half. Half of the average batch is 75 %."""
        own = np.concatenate([np.full(900, 0.9), np.full(50, 0.9), np.full(50, 0.2)])
        of = examined(np.column_stack([own, 1 - own]), np.zeros(1000), np.repeat([0, 1], [900, 100]))
        assert least_probability(of, 0.74) == pytest.approx(0.9)
        assert least_probability(of, 0.78) == pytest.approx(0.2)

    @given(seed=st.integers(0, 10_000), n=st.integers(1, 60), coverage=st.floats(0.05, 0.99))
    @settings(max_examples=60, deadline=None)
    def test_as_its_slow_twin(self, seed: int, n: int, coverage: float) -> None:
        rng = np.random.default_rng(seed)
        of = examined(*drawn(rng, n), rng.integers(0, 4, n))
        assert least_probability(of, coverage) == pytest.approx(twin(of, coverage))

    @pytest.mark.parametrize("coverage", [0, 1, 95], ids=["none", "all", "in per cent"])
    def test_a_coverage_that_is_none(self, coverage: float) -> None:
        of = examined(np.array([[0.9, 0.1]]), np.zeros(1))
        with pytest.raises(OptionsProblem, match="between 0 and 1"):
            least_probability(of, coverage)

    def test_nothing_was_left_out(self) -> None:
        with pytest.raises(OptionsProblem, match="nothing can be promised"):
            least_probability(examined(np.empty((0, 2)), np.empty(0)), 0.9)


class TestSets:
    @pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
    @pytest.mark.parametrize("sharpness", [0.5, 1, 3], ids=["too modest", "calibrated", "too sure"])
    def test_the_promise_is_kept_for_exchangeable_cells(self, coverage: float, sharpness: float) -> None:
        """Even if the probabilities are not calibrated; averaged over 40 draws, more only by the best label."""
        held, needed = [], []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            of = examined(*drawn(rng, 500, sharpness=sharpness))
            new, codes = drawn(rng, 500, sharpness=sharpness)
            sets = prediction_sets(new, of, coverage)
            held.append(sets[np.arange(500), codes].mean())
            needed.append((new >= least_probability(of, coverage))[np.arange(500), codes].mean())
        assert np.mean(needed) == pytest.approx(coverage, abs=0.01)
        assert np.mean(held) >= coverage - 0.01

    def test_the_promise_is_kept_for_a_new_batch_of_the_same_kind(self) -> None:
        """Batches differ in how sure they wrongly are, and in size; one in turn is new."""
        rng = np.random.default_rng(0)
        sizes = rng.integers(100, 800, 30)
        parts = [drawn(rng, n, sharpness=s) for n, s in zip(sizes, rng.uniform(0.7, 2.0, 30), strict=True)]
        batches = np.repeat(np.arange(30), sizes)
        probabilities, codes = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        held = []
        for new in range(30):
            others = batches != new
            of = examined(probabilities[others], codes[others], batches[others])
            sets = prediction_sets(probabilities[~others], of, 0.9)
            held.append(sets[np.arange(sizes[new]), codes[~others]].mean())
        assert np.mean(held) == pytest.approx(0.9, abs=0.02)

    def test_no_set_is_empty_and_each_holds_the_best_label(self) -> None:
        rng = np.random.default_rng(0)
        sure = examined(np.tile([0.99, 0.01, 0, 0], (100, 1)), np.zeros(100))
        new, _ = drawn(rng, 200)
        sets = prediction_sets(new, sure)
        assert sets[np.arange(200), new.argmax(1)].all()
        assert (sets.sum(1) >= 1).all()

    @pytest.mark.parametrize("coverage", [0.8, 0.95])
    def test_what_is_stated_is_what_another_batch_sees(self, coverage: float) -> None:
        """Single labels are right in 98 of 100 cells: sets, none of which is empty, hold more than was asked for."""
        rng = np.random.default_rng(1)
        codes = rng.integers(0, 4, 8000).astype(np.int32)
        said = np.where(rng.random(8000) < 0.98, codes, (codes + 1) % 4)
        probabilities = np.full((8000, 4), 0.02, np.float32)
        probabilities[np.arange(8000), said] = 0.94
        of = examined(probabilities[:6000], codes[:6000], np.arange(6000) % 5)
        sets = prediction_sets(probabilities[6000:], of, coverage)
        held = sets[np.arange(2000), codes[6000:]].mean()
        assert kept_promise(of, coverage) == pytest.approx(held, abs=0.01)
        assert held > 0.97

    def test_what_is_stated_is_what_was_asked_for_where_labels_are_often_wrong(self) -> None:
        rng = np.random.default_rng(0)
        of = examined(*drawn(rng, 6000), np.arange(6000) % 6)
        assert kept_promise(of, 0.9) == pytest.approx(0.9, abs=0.01)

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_a_larger_promise_takes_larger_sets(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        of, (new, _) = examined(*drawn(rng, 100)), drawn(rng, 50)
        assert (prediction_sets(new, of, 0.8) <= prediction_sets(new, of, 0.9)).all()


def test_without_left_out_cells_probabilities_are_added_up() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.96, 0.04, 0], [0.2, 0.5, 0.3]], np.float32)
    assert likely_sets(probabilities, 0.8).tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 1]]
    assert likely_sets(probabilities, 0.95).tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 1]]
