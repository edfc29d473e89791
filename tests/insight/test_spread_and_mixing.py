"""Alignment, uniformity, silhouettes, mixing and connectivity: published numbers, slow twins, planted structure."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples

from explorer.errors import OptionsProblem
from explorer.insight import spread
from explorer.insight.mixing import connectivity, mixing
from explorer.insight.spread import alignment, nearest_alignment, silhouettes, uniformity
from explorer.networks import geometry

THREE = np.array([(1, 0), (0.6, 0.8), (0, 1)], np.float32)


def blobs(
    apart: float, labels: int = 3, cells: int = 40, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Labels in directions of their own, each in two batches that are `apart`."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(labels, dtype=np.int32), 2 * cells)
    batches = np.tile(np.arange(2, dtype=np.int32), labels * cells)
    values = 0.3 * rng.normal(size=(len(codes), labels + 1))
    values[np.arange(len(codes)), codes] += 5
    values[:, -1] += apart * batches
    return values.astype(np.float32), codes, batches


class TestSphere:
    def test_published_numbers(self) -> None:
        assert nearest_alignment(THREE, k=1) == pytest.approx(0.5333333333, abs=1e-6)
        assert uniformity(THREE) == pytest.approx(-1.4997749839, abs=1e-6)

    def test_equal_to_what_training_watches(self) -> None:
        values = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
        unit = torch.nn.functional.normalize(torch.from_numpy(values))
        assert nearest_alignment(values) == pytest.approx(geometry.alignment(unit), abs=1e-5)
        assert uniformity(values) == pytest.approx(geometry.uniformity(unit), abs=1e-5)

    def test_alignment_pair_by_pair(self) -> None:
        values, codes, _ = blobs(apart=1, cells=5)
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        by_label = [
            np.mean([((unit[i] - unit[j]) ** 2).sum() for i, j in combinations(np.flatnonzero(codes == code), 2)])
            for code in range(3)
        ]
        assert alignment(values, codes) == pytest.approx(np.mean(by_label), rel=1e-5)

    def test_uniformity_of_drawn_pairs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
        exact = uniformity(values)
        monkeypatch.setattr(spread, "MOST_PAIRS", 20_000)
        assert uniformity(values, seed=1) == pytest.approx(exact, abs=0.03)
        assert uniformity(values, seed=1) == uniformity(values, seed=1)

    def test_a_collapsed_embedding_aligns_and_is_not_uniform(self) -> None:
        values, codes, _ = blobs(apart=0)
        collapsed = np.ones_like(values)
        assert alignment(collapsed, codes) == pytest.approx(0, abs=1e-6)
        assert uniformity(collapsed) == pytest.approx(0, abs=1e-6)
        assert uniformity(values) < -1

    def test_opposite_ends_are_4_apart(self) -> None:
        values = np.array([(1, 0), (-1, 0)], np.float32)
        assert alignment(values, np.zeros(2, np.int32)) == pytest.approx(4)
        assert uniformity(values) == pytest.approx(-8)

    def test_no_label_with_two_cells(self) -> None:
        with pytest.raises(OptionsProblem, match="labels of at least two cells"):
            alignment(THREE, np.array([0, 1, -1], np.int32))

    @given(st.integers(0, 2**31), st.floats(0.01, 100))
    @settings(max_examples=20, deadline=None)
    def test_ranges_and_scale(self, seed: int, factor: float) -> None:
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(40, 3)).astype(np.float32)
        codes = rng.integers(-1, 2, 40).astype(np.int32)
        assert 0 <= alignment(values, codes) <= 4
        assert -8 <= uniformity(values) <= 0
        assert uniformity((factor * values).astype(np.float32)) == pytest.approx(uniformity(values), abs=1e-4)


class TestSilhouettes:
    def test_equal_to_scikit_learn(self) -> None:
        values, codes, batches = blobs(apart=1)
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        found = silhouettes(values, codes, batches)
        width = silhouette_samples(unit, codes)
        assert found.label == pytest.approx((1 + width.mean()) / 2, abs=1e-5)
        assert found.by_label == pytest.approx([width[codes == code].mean() for code in range(3)], abs=1e-5)

    def test_batches_that_mix_and_that_do_not(self) -> None:
        assert silhouettes(*blobs(apart=0)).batch > 0.9
        assert silhouettes(*blobs(apart=20)).batch < 0.2

    def test_no_label_in_two_batches(self) -> None:
        values, codes, _ = blobs(apart=0)
        assert np.isnan(silhouettes(values, codes, codes).batch)

    def test_one_label(self) -> None:
        values, codes, batches = blobs(apart=0)
        with pytest.raises(OptionsProblem, match="at least two labels"):
            silhouettes(values, np.zeros_like(codes), batches)


def slow_mixing(values: NDArray, batches: NDArray, k: int) -> tuple[float, float, float]:
    """Entropy, inverse Simpson index and foreign share, cell by cell."""
    unit = values.astype(float) / np.linalg.norm(values, axis=1, keepdims=True)
    entropies, simpsons, foreign = [], [], []
    for i in range(len(unit)):
        near = [j for j in np.argsort(-(unit @ unit[i]), kind="stable") if j != i][:k]
        shares = np.array([np.mean(batches[near] == code) for code in np.unique(batches)])
        entropies.append(-sum(p * np.log(p) for p in shares if p) / np.log(len(shares)))
        simpsons.append(1 / sum(shares**2))
        foreign.append(np.mean(batches[near] != batches[i]))
    return np.mean(entropies), np.mean(simpsons), np.mean(foreign)


class TestMixing:
    def test_cell_by_cell(self) -> None:
        rng = np.random.default_rng(0)
        values, batches = rng.normal(size=(70, 4)).astype(np.float32), rng.integers(0, 3, 70).astype(np.int32)
        found = mixing(values, batches, k=9)
        assert (found.entropy, found.lisi, found.foreign) == pytest.approx(slow_mixing(values, batches, 9), abs=1e-9)

    def test_batches_that_do_not_matter(self) -> None:
        found = mixing(*blobs(apart=0)[::2])
        assert found.ratio == pytest.approx(1, abs=0.05)
        assert found.expected_foreign == pytest.approx(0.5, abs=0.02)
        assert found.lisi == pytest.approx(found.expected_lisi, abs=0.05)

    def test_batches_apart(self) -> None:
        values, _, batches = blobs(apart=50)
        found = mixing(values, batches)
        assert (found.entropy, found.foreign, found.ratio) == (0, 0, 0)
        assert found.lisi == 1

    def test_batches_of_different_types_mix_as_far_as_they_can(self) -> None:
        """Only a third of the cells have foreign cells of their type to lie among."""
        values, codes, batches = blobs(apart=0)
        batches = np.where(codes == 1, 0, np.where(codes == 2, 1, batches)).astype(np.int32)
        assert mixing(values, batches).ratio < 0.45
        assert mixing(values, batches, codes).ratio == pytest.approx(1, abs=0.05)

    def test_one_batch(self) -> None:
        with pytest.raises(OptionsProblem, match="at least two; there is 1"):
            mixing(THREE, np.zeros(3, np.int32))

    def test_names_of_batches_do_not_matter(self) -> None:
        values, _, batches = blobs(apart=0.3)
        assert mixing(values, batches) == mixing(values, 7 * batches)


class TestConnectivity:
    def test_equal_to_networkx(self) -> None:
        rng = np.random.default_rng(1)
        values, codes = rng.normal(size=(60, 3)).astype(np.float32), rng.integers(0, 3, 60).astype(np.int32)
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        graph = nx.Graph()
        graph.add_nodes_from(range(60))
        for i in range(60):
            near = [j for j in np.argsort(-(unit @ unit[i]), kind="stable") if j != i][:3]
            graph.add_edges_from((i, int(j)) for j in near if codes[i] == codes[j])
        largest = [
            max(len(c & set(np.flatnonzero(codes == code))) for c in nx.connected_components(graph))
            / (codes == code).sum()
            for code in range(3)
        ]
        assert connectivity(values, codes, k=3) == pytest.approx(np.mean(largest))

    def test_a_label_in_two_pieces(self) -> None:
        values, codes, _ = blobs(apart=0)
        assert connectivity(values, codes) == 1
        joined = np.where(codes == 2, 1, codes).astype(np.int32)
        assert connectivity(values, joined) == pytest.approx(0.75)

    def test_no_label(self) -> None:
        with pytest.raises(OptionsProblem, match="labelled cells"):
            connectivity(THREE, np.full(3, -1, np.int32))
