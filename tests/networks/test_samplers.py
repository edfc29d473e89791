"""Which cells share a minibatch: the counts, that a batch is of one dataset, and that no cell is wasted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.networks.samplers import (
    SMALLEST,
    STRATEGIES,
    DomainSampler,
    batch_shares,
    batches_per_domain,
    coverage_of,
    pieces,
)

THREE = np.repeat([0, 1, 2], [3000, 900, 100])


def drawn(sampler: DomainSampler, seed: int = 0) -> list[np.ndarray]:
    return sampler.epoch(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("size", "p_knn", "p_inside", "expected"),
    [
        (256, 0.0, 1.0, (0, 0, 256, 0)),
        (256, 0.0, 0.95, (0, 0, 243, 13)),
        (256, 0.3, 1.0, (76, 0, 180, 0)),
        (256, 0.3, 0.95, (72, 4, 171, 9)),
        (64, 0.3, 0.9, (17, 2, 40, 5)),
        (32, 0.5, 0.8, (12, 4, 12, 4)),
        (100, 0.29, 1.0, (29, 0, 71, 0)),  # 0.29 * 100 is 28.999... in floating point
    ],
    ids=str,
)
def test_a_minibatch_is_split_as_published(
    size: int, p_knn: float, p_inside: float, expected: tuple[int, int, int, int]
) -> None:
    found = batch_shares(size, p_knn, p_inside)
    assert (found.near_inside, found.near_outside, found.far_inside, found.far_outside) == expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("proportional", [11, 3, 1]), ("equal", [3, 3, 3]), ("coverage", [7, 5, 2])],
)
def test_datasets_get_minibatches_by_the_published_strategies(strategy: str, expected: list[int]) -> None:
    coverage = np.array([0.9, 0.6, 0.3])
    assert batches_per_domain(np.array([3000, 900, 100]), 256, strategy, coverage).tolist() == expected


def test_coverage_is_the_share_of_clusters_that_a_dataset_is_present_in() -> None:
    """Of 100 cells in four clusters of 25, the first dataset fills two, the second all but one."""
    clusters = np.repeat(np.arange(4), 25)
    domains = np.where(clusters < 2, np.arange(100) % 2, 1)
    domains[clusters == 0] = 0
    domains[:2] = 1  # of 16 expected in the first cluster: too few to count
    assert coverage_of(domains, clusters).tolist() == [0.5, 0.75]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_dataset_is_drawn_as_often_as_the_strategy_says(strategy: str) -> None:
    coverage = np.array([0.9, 0.6, 0.3])
    minibatches = drawn(DomainSampler(THREE, 256, strategy=strategy, coverage=coverage))
    counts = np.bincount([THREE[minibatch[0]] for minibatch in minibatches])
    assert counts.tolist() == batches_per_domain(np.bincount(THREE), 256, strategy, coverage).tolist()
    assert all(len(minibatch) in (100, 256) for minibatch in minibatches)


class TestPureMinibatches:
    minibatches = drawn(DomainSampler(THREE, 256))

    def test_each_is_of_one_dataset(self) -> None:
        assert all(len(np.unique(THREE[minibatch])) == 1 for minibatch in self.minibatches)

    def test_their_number_and_size(self) -> None:
        sizes = {d: sorted(len(m) for m in self.minibatches if THREE[m[0]] == d) for d in range(3)}
        assert sizes == {0: [256] * 11, 1: [256] * 3, 2: [100]}, "a dataset smaller than a minibatch is one, whole"

    def test_no_cell_comes_twice_in_an_epoch(self) -> None:
        everything = np.concatenate(self.minibatches)
        assert len(np.unique(everything)) == len(everything)

    def test_datasets_take_turns_at_random(self) -> None:
        order = [int(THREE[minibatch[0]]) for minibatch in self.minibatches]
        assert order not in (sorted(order), sorted(order, reverse=True))


def test_every_cell_is_seen_sooner_or_later() -> None:
    sampler = DomainSampler(THREE, 256)
    rng = np.random.default_rng(0)
    seen = np.unique(np.concatenate([np.concatenate(sampler.epoch(rng)) for _ in range(12)]))
    assert len(seen) == len(THREE)


def test_same_seed_same_minibatches_and_another_seed_others() -> None:
    once, again, other = (drawn(DomainSampler(THREE, 64), seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(once, other, strict=True))


def test_a_share_from_other_datasets() -> None:
    for minibatch in drawn(DomainSampler(THREE, 256, p_inside=0.95)):
        _, counts = np.unique(THREE[minibatch], return_counts=True)
        size = len(minibatch)
        assert counts.max() == int(0.95 * size + 1e-9)
        assert size in (100, 256), "those from outside are distinct, too"


def test_with_one_dataset_there_is_no_outside() -> None:
    minibatches = drawn(DomainSampler(np.zeros(200, int), 64, p_inside=0.5))
    assert [len(m) for m in minibatches] == [64] * 3


@pytest.mark.parametrize("size", range(1, 8))
def test_a_dataset_too_small_to_contrast_is_left_out(size: int) -> None:
    domains = np.repeat([0, 1], [50, size])
    own = [m for m in drawn(DomainSampler(domains, 16)) if domains[m[0]] == 1]
    assert [len(m) for m in own] == ([size] if size >= SMALLEST else [])


class TestAroundACore:
    """Neighbours on a line of 400 cells whose two datasets alternate, except that the last cells are all of one."""

    place = np.arange(400)
    domains = np.where(place < 380, place % 2, 0)
    neighbors = np.argsort(np.abs(place[:, None] - place), axis=1, kind="stable")[:, :40]

    def test_a_third_is_near_the_core_and_of_its_dataset(self) -> None:
        sampler = DomainSampler(self.domains, 32, p_knn=0.25, p_inside=1.0, neighbors=self.neighbors)
        for minibatch in drawn(sampler):
            assert len(np.unique(self.domains[minibatch])) == 1
            assert 24 < len(minibatch) <= 32, "a cell that is both near and drawn from afar counts once"
            near_each_place = (np.abs(self.place[:, None] - minibatch) <= 20).sum(1)
            assert near_each_place.max() >= 8

    def test_too_few_neighbours_of_the_own_dataset_are_made_up_from_the_dataset(self) -> None:
        lonely = np.where(self.place == 5, 0, 1)
        lonely[200:] = 0
        sampler = DomainSampler(lonely, 32, p_knn=0.5, p_inside=1.0, neighbors=self.neighbors)
        for minibatch in (m for seed in range(20) for m in drawn(sampler, seed)):
            assert len(np.unique(lonely[minibatch])) == 1
            assert len(minibatch) >= 24

    def test_neighbours_may_come_after_a_warm_up(self) -> None:
        sampler = DomainSampler(self.domains, 32, p_knn=0.5)
        before = drawn(sampler)
        sampler.neighbors = self.neighbors
        near = [(np.abs(self.place[:, None] - minibatch) <= 20).sum(1).max() for minibatch in drawn(sampler)]
        far = [(np.abs(self.place[:, None] - minibatch) <= 20).sum(1).max() for minibatch in before]
        assert min(near) >= 14 > np.mean(far)

    def test_without_neighbours_the_whole_minibatch_comes_from_afar(self) -> None:
        assert {len(m) for m in drawn(DomainSampler(self.domains, 32, p_knn=0.3))} == {32}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    batch_size=st.integers(4, 40),
    p_knn=st.sampled_from([0.0, 0.3, 0.5]),
    p_inside=st.sampled_from([0.8, 0.95, 1.0]),
    seed=st.integers(0, 100),
)
def test_whatever_the_datasets_minibatches_are_distinct_known_and_not_too_large(
    sizes: list[int], batch_size: int, p_knn: float, p_inside: float, seed: int
) -> None:
    domains = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    n = len(domains)
    neighbors = np.random.default_rng(seed).integers(0, n, (n, 10))
    for minibatch in drawn(DomainSampler(domains, batch_size, p_knn, p_inside, neighbors), seed):
        assert SMALLEST <= len(minibatch) <= batch_size
        assert len(np.unique(minibatch)) == len(minibatch)
        assert minibatch.min() >= 0
        assert minibatch.max() < n


def test_datasets_one_after_the_other_in_an_order_of_their_own() -> None:
    sampler = DomainSampler(THREE, 256, by_domain=True)
    orders = set()
    for seed in range(10):
        of_minibatch = [int(THREE[minibatch[0]]) for minibatch in drawn(sampler, seed)]
        assert sorted(of_minibatch) == [0] * 11 + [1] * 3 + [2]
        assert np.count_nonzero(np.diff(of_minibatch)) == 2
        orders.add(tuple(dict.fromkeys(of_minibatch)))
    assert len(orders) > 1


def test_pieces_hold_every_cell_once_and_are_of_one_dataset() -> None:
    found = pieces(THREE, 256, np.random.default_rng(0))
    assert sorted(np.concatenate(found).tolist()) == list(range(4000))
    assert all(len(np.unique(THREE[piece])) == 1 for piece in found)
    assert all(200 <= len(piece) <= 300 for piece in found if THREE[piece[0]] < 2)
