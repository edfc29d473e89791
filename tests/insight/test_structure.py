"""Whether a picture keeps what was there: published numbers, independent twins, loops that stay and that are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cosine
from sklearn.manifold import trustworthiness as of_scikit_learn

from explorer.errors import OptionsProblem
from explorer.insight import structure
from explorer.insight.structure import (
    continuity,
    distance_correlation,
    path_correlation,
    recovered,
    trustworthiness,
)

LINE = np.arange(5.0)[:, None]
SWAPPED = np.array([0.0, 1, 2, 4, 3])[:, None]


def ring(cells: int = 300, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times once around, and the places that they belong to."""
    time = np.sort(np.random.default_rng(seed).uniform(0, 1, cells))
    return time, np.column_stack([np.cos(2 * np.pi * time), np.sin(2 * np.pi * time)])


class TestTrustworthiness:
    @pytest.mark.parametrize("k", [1, 2])
    def test_published_numbers(self, k: int) -> None:
        assert trustworthiness(LINE, SWAPPED, k, "euclidean") == pytest.approx(0.8666666667)

    @pytest.mark.parametrize("k", [3, 11])
    def test_continuity_is_its_mirror(self, k: int) -> None:
        rng = np.random.default_rng(k)
        values, picture = rng.normal(size=(60, 5)), rng.normal(size=(60, 2))
        mirrored = of_scikit_learn(picture, values, n_neighbors=k)
        assert continuity(values, picture, k, "euclidean") == pytest.approx(mirrored)

    def test_a_picture_of_everything_keeps_everything(self) -> None:
        _, places = ring()
        assert trustworthiness(places, places, metric="euclidean") == 1
        assert continuity(places, places, metric="euclidean") == 1

    def test_a_picture_of_nothing_gives_a_half(self) -> None:
        _, places = ring()
        noise = np.random.default_rng(1).normal(size=places.shape)
        assert trustworthiness(places, noise) == pytest.approx(0.5, abs=0.05)
        assert continuity(places, noise) == pytest.approx(0.5, abs=0.05)

    def test_what_is_torn_apart_loses_continuity_and_what_is_folded_up_trust(self) -> None:
        _, places = ring()
        torn = places + 10 * (places[:, :1] > 0)
        folded = np.abs(places)
        assert continuity(places, torn, metric="euclidean") < trustworthiness(places, torn, metric="euclidean")
        assert trustworthiness(places, folded, metric="euclidean") < continuity(places, folded, metric="euclidean")

    def test_a_sample_of_many_cells(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(0)
        values = rng.normal(size=(600, 3))
        everyone = trustworthiness(values, values[:, :2])
        monkeypatch.setattr(structure, "MOST_CELLS", 300)
        assert trustworthiness(values, values[:, :2]) == pytest.approx(everyone, abs=0.03)

    def test_too_few_cells(self) -> None:
        with pytest.raises(OptionsProblem, match=r"15 cells are compared among more than 30; there are 5"):
            trustworthiness(LINE, SWAPPED)

    @given(st.integers(0, 2**31))
    @settings(max_examples=15, deadline=None)
    def test_it_stays_in_its_range_and_does_not_mind_size_or_turns(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        values, picture = rng.normal(size=(40, 4)), rng.normal(size=(40, 2))
        found = trustworthiness(values, picture, 5)
        assert 0 <= found <= 1
        assert trustworthiness(values, 7 * picture @ np.array([(0.0, -1), (1, 0)]), 5) == pytest.approx(found)


class TestDistances:
    def test_pair_by_pair(self) -> None:
        rng = np.random.default_rng(0)
        truth, embedding = rng.uniform(size=(12, 3)), rng.normal(size=(12, 5))
        pairs = [(i, j) for i in range(12) for j in range(i)]
        r = np.corrcoef([cosine(truth[i], truth[j]) for i, j in pairs],
                        [cosine(embedding[i], embedding[j]) for i, j in pairs])[0, 1]  # fmt: skip
        assert distance_correlation(truth, embedding) == pytest.approx(r)

    def test_nothing_is_kept_by_a_collapsed_embedding(self) -> None:
        _, places = ring()
        assert np.isnan(distance_correlation(places, np.ones((300, 4))))
        assert np.isnan(path_correlation(places, np.ones((300, 4)), metric="euclidean"))


class TestLoop:
    def test_a_loop_that_stays_a_loop(self) -> None:
        time, places = ring()
        bent = np.column_stack([3 * places, 0.2 * np.sin(6 * np.pi * time)])
        found = recovered(places, bent, metric="euclidean")
        assert min(found.trustworthiness, found.continuity) > 0.98
        assert found.paths > 0.98
        assert found.geometry == (found.trustworthiness + found.distances) / 2

    def test_a_loop_that_was_cut(self) -> None:
        """Neighbours are nearly all kept; the way around is not."""
        time, places = ring()
        found = recovered(places, time[:, None], metric="euclidean")
        assert found.trustworthiness > 0.98
        assert found.paths < 0.75

    def test_a_loop_that_was_broken_in_two(self) -> None:
        time, places = ring()
        broken = places + 50 * (time[:, None] > 0.5)
        assert path_correlation(places, broken, metric="euclidean") < path_correlation(places, places) - 0.2

    def test_noise(self) -> None:
        _, places = ring()
        found = recovered(places, np.random.default_rng(0).normal(size=(300, 5)))
        assert abs(found.distances) < 0.1
        assert abs(found.paths) < 0.1
        assert found.trustworthiness == pytest.approx(0.5, abs=0.06)

    def test_paths_between_clusters_are_not_asked_for(self) -> None:
        """There are none in truth: how far apart clusters lie says nothing."""
        rng = np.random.default_rng(0)
        truth = rng.normal(size=(100, 2)) + 100 * (np.arange(100) % 2)[:, None]
        nearer = truth - 90 * (np.arange(100) % 2)[:, None]
        assert path_correlation(truth, nearer, metric="euclidean") > 0.95
