"""KNI and RbNI: published numbers, slow twins, planted batches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from explorer.errors import OptionsProblem
from explorer.insight import neighborhoods
from explorer.insight.neighborhoods import Integration, kni, others, quantile_scaled, rbni, sampled

PLACES = np.array(
    [(0, 0), (0.10, 0), (0, 0.12), (0.13, 0.11), (0.21, 0.02), (3, 3), (3.1, 3.02), (3.03, 3.15), (3.2, 3.2),
     (6, 0), (6.1, 0.1), (6.02, 0.17)], np.float32)  # fmt: skip
BATCH = np.array([0, 1, 0, 1, 1, 2, 2, 2, 2, 0, 1, 1], np.int32)
LABEL = np.array([0, 0, 0, 1, 0, 1, 1, 1, 1, 2, 2, 0], np.int32)


def clouds(
    apart: float, cells: int = 60, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Two labels far from each other in two batches, whose distance is `apart`."""
    rng = np.random.default_rng(seed)
    codes, batches = np.arange(cells * 4, dtype=np.int32) % 2, np.arange(cells * 4, dtype=np.int32) // 2 % 2
    values = rng.normal(0, 1, (cells * 4, 4))
    values[:, 0] += 30 * codes
    values[:, 1] += apart * batches
    return values.astype(np.float32), codes, batches


def slow(values: NDArray, codes: NDArray, batches: NDArray, k: int | None, radius: float | None) -> list[int]:
    """What each cell is taken for, one at a time; -1 for an outlier."""
    out = []
    for i in range(len(values)):
        distance = np.linalg.norm(values.astype(float) - values[i].astype(float), axis=1)
        rest = [j for j in np.argsort(distance, kind="stable") if j != i]
        near = rest[:k] if k is not None else [j for j in rest if distance[j] <= radius]
        own = sum(batches[j] == batches[i] for j in near)
        votes = [int(codes[j]) for j in near if batches[j] != batches[i]]
        outlier = not near or own >= 0.8 * len(near)
        out.append(-1 if outlier else max(sorted(set(votes)), key=votes.count))
    return out


class TestPublishedNumbers:
    def test_scaling(self) -> None:
        found = quantile_scaled(PLACES)
        np.testing.assert_allclose(found[[0, 5, 11]], [(-0.68145, -0.35925), (0.11273, 0.64409), (0.91220, -0.30240)],
                                   atol=1e-5)  # fmt: skip

    @pytest.mark.parametrize("scaled", [False, True])
    def test_kni(self, scaled: bool) -> None:
        found = kni(PLACES, LABEL, BATCH, k=3, scaled=scaled)
        assert found.predicted.tolist() == [0, 0, 0, 0, 0, -1, -1, -1, -1, 0, 1, 1]
        assert found.score == pytest.approx(4 / 12)
        assert found.diverse.sum() == 8
        assert found.accuracy == pytest.approx(8 / 12)
        by_batch = [found.correct[code == BATCH].mean() for code in range(3)]
        assert by_batch == pytest.approx([2 / 3, 0.4, 0])

    @pytest.mark.parametrize(
        ("radius", "scaled", "predicted"),
        [
            (0.14, False, [0, 0, 1, 0, -1, -1, -1, -1, -1, -1, -1, -1]),
            (0.25, False, [0, 0, 0, 0, 0, -1, -1, -1, -1, 0, 2, 2]),
            (1.0, False, [0, 0, 0, 0, 0, -1, -1, -1, -1, 0, 2, 2]),
            (1.0, True, [0, 0, 0, 0, 0, -1, -1, -1, -1, 0, 2, 2]),
        ],
    )
    def test_rbni(self, radius: float, scaled: bool, predicted: list[int]) -> None:
        found = rbni(PLACES, LABEL, BATCH, radius=radius, scaled=scaled)
        assert found.predicted.tolist() == predicted
        assert found.score == pytest.approx((np.array(predicted) == LABEL).mean())


class TestTwins:
    @pytest.mark.parametrize("seed", range(5))
    def test_kni(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(60, 3)).astype(np.float32)
        codes, batches = rng.integers(0, 4, 60).astype(np.int32), rng.integers(0, 3, 60).astype(np.int32)
        found = kni(values, codes, batches, k=7, scaled=False)
        assert found.predicted.tolist() == slow(values, codes, batches, 7, None)

    @pytest.mark.parametrize("block", [1, 200, 2**24])
    def test_rbni_in_blocks(self, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neighborhoods, "BLOCK", block)
        rng = np.random.default_rng(block)
        values = rng.normal(size=(60, 3)).astype(np.float32)
        codes, batches = rng.integers(0, 4, 60).astype(np.int32), rng.integers(0, 3, 60).astype(np.int32)
        found = rbni(values, codes, batches, radius=1.1, scaled=False)
        assert found.predicted.tolist() == slow(values, codes, batches, None, 1.1)


def each(values: NDArray, codes: NDArray, batches: NDArray) -> list[Integration]:
    return [
        kni(values, codes, batches, k=20, scaled=False),
        rbni(values, codes, batches, radius=3, scaled=False),
    ]


class TestPlanted:
    def test_mixed_batches_reach_1(self) -> None:
        assert all(found.score > 0.97 for found in each(*clouds(apart=0)))

    def test_batches_apart_reach_0(self) -> None:
        """However well the labels lie apart."""
        found = each(*clouds(apart=20))
        assert all(one.score == 0 for one in found)
        assert found[0].accuracy == 1

    def test_labels_dealt_out_reach_chance(self) -> None:
        values, codes, batches = clouds(apart=0)
        dealt = np.random.default_rng(3).permutation(codes)
        assert kni(values, dealt, batches, k=20).score == pytest.approx(0.5, abs=0.12)

    def test_all_in_one_place_is_no_better_than_chance(self) -> None:
        """Nearest neighbours are then whichever come first."""
        values, codes, batches = clouds(apart=0)
        assert rbni(np.ones_like(values), codes, batches).score == pytest.approx(0.5, abs=0.01)


class TestEdges:
    def test_order_of_cells_does_not_matter(self) -> None:
        values, codes, batches = clouds(apart=1)
        order = np.random.default_rng(0).permutation(len(values))
        there, here = each(values, codes, batches), each(values[order], codes[order], batches[order])
        assert [one.score for one in there] == [one.score for one in here]

    def test_unlabelled_cells_take_no_part(self) -> None:
        values, codes, batches = clouds(apart=0)
        more = np.concatenate([values, values + 0.01])
        found = kni(more, np.concatenate([codes, np.full_like(codes, -1)]), np.tile(batches, 2), k=20)
        assert found.rows.tolist() == list(range(len(values)))
        assert found.score == kni(values, codes, batches, k=20).score

    def test_twins_in_one_place_are_neighbours(self) -> None:
        values = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
        near = others(values, np.arange(12), 3)
        assert (near // 4 == np.arange(12)[:, None] // 4).all()
        assert (near != np.arange(12)[:, None]).all()

    def test_one_batch(self) -> None:
        values, codes, batches = clouds(apart=0)
        with pytest.raises(OptionsProblem, match="at least two batches"):
            kni(values, codes, np.zeros_like(batches))

    def test_no_labelled_cell(self) -> None:
        values, codes, batches = clouds(apart=0)
        with pytest.raises(OptionsProblem, match="at least two batches"):
            rbni(values, np.full_like(codes, -1), batches)

    def test_a_sample_of_many_cells_tells_nearly_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values, codes, batches = clouds(apart=2)
        everyone = kni(values, codes, batches, k=20).score
        monkeypatch.setattr(neighborhoods, "MOST_ASKED", 120)
        some = kni(values, codes, batches, k=20, seed=1)
        assert len(some.rows) == 120
        assert some.score == pytest.approx(everyone, abs=0.12)

    def test_the_seed_draws(self) -> None:
        assert sampled(1000, 5, 0).tolist() == sampled(1000, 5, 0).tolist() != sampled(1000, 5, 1).tolist()
        assert sampled(5, 5, 0).tolist() == [0, 1, 2, 3, 4]
