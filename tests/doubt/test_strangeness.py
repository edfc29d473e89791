"""How far expression lies from a label: against loops over a dense matrix, and on types that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from explorer.doubt import strangeness
from explorer.doubt.strangeness import RIDGE, far, fit_basis, fit_shapes, label_means
from explorer.flow import AlignedCells
from tests.planted import STRANGER, SYMBOLS, TYPES, aligned, codes, planted

NONE = -1


def some_cells(n: int, genes: int, seed: int = 0) -> AlignedCells:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.7, 2, (n, genes))).astype(np.float32)
    return AlignedCells(sparse.csr_matrix(counts), counts.sum(1) * 1.5 + 1, True)


def logged(cells: AlignedCells) -> np.ndarray:
    return np.log1p(cells.values.toarray().astype(float) / cells.totals[:, None] * 1e4)


class TestBasis:
    @pytest.mark.parametrize(("n", "genes"), [(60, 40), (300, 150), (40, 3), (2, 30)], ids=str)
    def test_places_are_those_of_an_explicit_decomposition(self, n: int, genes: int) -> None:
        cells = some_cells(n, genes)
        dense = logged(cells)
        centred = dense - dense.mean(0)
        _, lengths, rows = np.linalg.svd(centred, full_matrices=False)
        k = min(30, n, genes)
        basis = fit_basis(cells)
        places = basis.places(cells)
        assert places.shape == (n, k)
        assert places.dtype == basis.loadings.dtype == basis.mean.dtype == np.float32
        np.testing.assert_allclose(np.abs(places), np.abs(centred @ rows[:k].T), atol=0.02 * lengths[0] / np.sqrt(n))
        np.testing.assert_allclose(basis.variance, lengths[:k] ** 2 / n, rtol=0.01, atol=1e-3)

    def test_genes_that_a_query_lacks_count_as_at_their_mean(self) -> None:
        cells = some_cells(80, 50)
        basis, found = fit_basis(cells), np.arange(50) % 4 > 0
        filled = np.where(found, logged(cells), basis.mean)
        expected = (filled - basis.mean) @ basis.loadings
        np.testing.assert_allclose(basis.places(cells, found), expected, atol=1e-3)
        np.testing.assert_allclose(basis.places(cells, np.zeros(50, bool)), 0, atol=1e-6)

    def test_many_cells_are_drawn_from_always_alike(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(strangeness, "MOST_CELLS", 150)
        cells = some_cells(400, 120)
        one, other, third = fit_basis(cells, 3), fit_basis(cells, 3), fit_basis(cells, 4)
        np.testing.assert_array_equal(one.loadings, other.loadings)
        assert not np.array_equal(one.mean, third.mean)

    def test_loadings_are_as_exact_as_they_are_stored(self) -> None:
        loadings = fit_basis(some_cells(80, 50)).loadings
        np.testing.assert_array_equal(loadings, loadings.astype(np.float16))


class TestFar:
    def test_as_cell_by_cell(self) -> None:
        cells, rng = some_cells(120, 40), np.random.default_rng(1)
        own = rng.integers(NONE, 3, 120).astype(np.int32)
        basis = fit_basis(cells)
        places = basis.places(cells).astype(float)
        shapes = fit_shapes(basis, basis.places(cells), own, 3)
        k = places.shape[1]
        within, labelled = np.zeros((k, k)), 0
        means = [places[own == code].mean(0) for code in range(3)]
        for place, code in zip(places, own, strict=True):
            if code != NONE:
                within += np.outer(place - means[code], place - means[code])
                labelled += 1
        ridge = RIDGE * basis.variance.mean() * np.eye(k)
        of_label, of_all = np.linalg.inv(within / labelled + ridge), np.linalg.inv(np.diag(basis.variance) + ridge)
        asked = rng.integers(0, 3, 120).astype(np.int32)
        found = far(basis, shapes, basis.places(cells), asked)
        assert found.dtype == np.float32
        for row, code in enumerate(asked):
            beside = places[row] - means[code]
            told = beside @ of_label @ beside - places[row] @ of_all @ places[row]
            assert found[row] == pytest.approx(told, rel=1e-2, abs=0.05)

    def test_a_label_without_cells_lies_where_all_do(self) -> None:
        assert not label_means(np.ones((3, 2), np.float32), np.array([0, 0, NONE], np.int32), 2)[1].any()

    def test_a_planted_type_that_is_not_there_lies_far_from_every_label(self) -> None:
        known, asked = planted(cells=30), planted((*TYPES, STRANGER), ("b4",), cells=30, seed=1)
        cells, own = aligned(known), codes(known)
        basis = fit_basis(cells)
        shapes = fit_shapes(basis, basis.places(cells), own, len(TYPES))
        places = basis.places(aligned(asked, SYMBOLS))
        each = [far(basis, shapes, places, np.full(len(places), code, np.int32)) for code in range(len(TYPES))]
        nearest = np.min(each, axis=0)
        stranger = asked.obs["cell_type"].to_numpy() == STRANGER
        assert nearest[stranger].min() > np.quantile(nearest[~stranger], 0.95)
