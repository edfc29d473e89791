"""Nearest cells: the right ones, in the right order, whatever the lengths of vectors and the size of a chunk."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.errors import Cancelled
from explorer.neighbors import CHUNK, Index, LabelIndex, normalised
from explorer.progress import Progress, Report


@pytest.fixture
def reference() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)


@pytest.fixture
def queries() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(37, 8)).astype(np.float32)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All pairs, one after the other."""
    return np.array([[x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for y in b] for x in a])


def test_the_nearest_are_the_most_similar_by_cosine(reference: np.ndarray, queries: np.ndarray) -> None:
    found = Index(reference).search(queries, 15)
    all_pairs = cosines(queries, reference)
    assert found.indices.shape == found.similarity.shape == (37, 15)
    assert found.indices.dtype == np.int32
    np.testing.assert_array_equal(found.indices, np.argsort(-all_pairs, axis=1)[:, :15])
    np.testing.assert_allclose(found.similarity, -np.sort(-all_pairs, axis=1)[:, :15], atol=1e-6)


def test_lengths_do_not_matter(reference: np.ndarray, queries: np.ndarray) -> None:
    scale = np.random.default_rng(2).uniform(0.01, 100, (200, 1)).astype(np.float32)
    plain, scaled = Index(reference).search(queries, 5), Index(reference * scale).search(queries * 7, 5)
    np.testing.assert_array_equal(plain.indices, scaled.indices)
    np.testing.assert_allclose(plain.similarity, scaled.similarity, atol=1e-5)


def test_a_reference_cell_is_its_own_nearest(reference: np.ndarray) -> None:
    found = Index(reference).search(reference, 1)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(200))
    np.testing.assert_allclose(found.similarity, 1, atol=1e-6)


def test_fewer_reference_cells_than_neighbours_asked_for(queries: np.ndarray, reference: np.ndarray) -> None:
    found = Index(reference[:3]).search(queries, 15)
    assert found.indices.shape == (37, 3)
    assert set(found.indices.ravel().tolist()) == {0, 1, 2}


def test_chunks_do_not_show(reference: np.ndarray) -> None:
    many = np.random.default_rng(3).normal(size=(CHUNK + 10, 8)).astype(np.float32)
    together, alone = Index(reference).search(many, 4), Index(reference).search(many[CHUNK - 5 : CHUNK + 5], 4)
    np.testing.assert_array_equal(together.indices[CHUNK - 5 : CHUNK + 5], alone.indices)


def test_no_queries_no_neighbours(reference: np.ndarray) -> None:
    assert Index(reference).search(np.empty((0, 8), np.float32), 4).indices.shape == (0, 4)


def test_a_vector_of_zeros_is_similar_to_nothing(reference: np.ndarray) -> None:
    zeros = np.zeros((1, 8), np.float32)
    assert not normalised(zeros).any()
    np.testing.assert_array_equal(Index(reference).search(zeros, 5).similarity, 0)


def test_it_reports_each_chunk_and_listens(reference: np.ndarray) -> None:
    many = np.zeros((CHUNK * 2 + 1, 8), np.float32)
    heard: list[Report] = []
    Index(reference).search(many, 2, Progress.to(heard.append))
    assert len(heard) == 3
    assert heard[-1].fraction == 1.0
    with pytest.raises(Cancelled):
        Index(reference).search(many, 2, Progress.to(heard.append, lambda: len(heard) > 3))
    assert len(heard) == 4


class TestWithinALabel:
    codes = np.resize([0, 1, 2, -1], 200).astype(np.int32)

    def test_neighbours_within_a_label_are_those_of_a_search_among_its_cells(
        self, reference: np.ndarray, queries: np.ndarray
    ) -> None:
        asked = np.resize([0, 1], 37).astype(np.int32)
        found = LabelIndex(reference, self.codes).neighbors(queries, asked, 5)
        for row, label in enumerate(asked):
            of_label = cosines(queries[row : row + 1], reference[self.codes == label])[0]
            np.testing.assert_allclose(found.similarity[row], np.sort(of_label)[::-1][:5], atol=1e-5)
            assert (self.codes[found.indices[row]] == label).all()

    def test_a_label_of_few_cells_is_filled_up_with_neighbours_that_count_for_nothing(
        self, reference: np.ndarray, queries: np.ndarray
    ) -> None:
        few = np.full(len(reference), -1, np.int32)
        few[[3, 8]] = 0
        found = LabelIndex(reference, few).neighbors(queries[:1], np.array([0]), 5)
        assert set(found.indices[0]) == {3, 8}
        np.testing.assert_array_equal(found.similarity[0, 2:], 0)
