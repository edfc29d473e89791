"""Genes that stand out: the slow formula, the novelty it is part of, and a planted stranger."""

from __future__ import annotations

import numpy as np
from planted import STRANGER, SYMBOLS, TYPES, aligned, codes, markers, planted

from explorer.doubt.novelty import Expected, deviation, expected_shares
from explorer.insight.residuals import mean_residuals, standing_out

CELLS = planted(cells=15)
SHARES = expected_shares(aligned(CELLS), codes(CELLS), len(TYPES))
SPREAD = np.random.default_rng(0).uniform(1, 2, len(SYMBOLS)).astype(np.float32)
EXPECTED = Expected(SHARES, SPREAD)


def _slow(cells, of: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    counts, totals = cells.values.toarray().astype(np.float64), cells.totals.astype(np.float64)
    mean = totals[:, None] * SHARES[of].astype(np.float64)
    return np.minimum((counts - mean) / (SPREAD * np.sqrt(mean)), 10)


def test_as_the_formula_says_cell_by_cell() -> None:
    cells, of = aligned(planted(cells=7, seed=3)), codes(planted(cells=7, seed=3))
    np.testing.assert_allclose(mean_residuals(cells, of, EXPECTED), _slow(cells, of).mean(0), atol=1e-4)


def test_squared_they_are_the_deviation_that_novelty_is_told_from() -> None:
    cells, of = aligned(planted(cells=7, seed=3)), codes(planted(cells=7, seed=3))
    one = cells.rows(np.array([4]))
    squared = mean_residuals(one, of[4:5], EXPECTED).astype(np.float64) ** 2
    np.testing.assert_allclose(squared.mean(), deviation(one, of[4:5], EXPECTED)[0], rtol=1e-4)


def test_a_strangers_own_markers_stand_out() -> None:
    strangers = planted((STRANGER,), cells=15, seed=2)
    found = standing_out(SYMBOLS, aligned(strangers), np.zeros(strangers.n_obs, np.int32), EXPECTED)
    assert set(found["gene"].head(20)) == set(markers(STRANGER))
    assert set(found["gene"].tail(20)) == set(markers(TYPES[0]))  # what the label that it was given should have
    assert (found["observed"].head(20) > 3 * found["expected"].head(20)).all()


def test_genes_that_the_query_lacks_are_left_out() -> None:
    found = np.arange(len(SYMBOLS)) % 2 == 0
    table = standing_out(SYMBOLS, aligned(CELLS), codes(CELLS), EXPECTED, found)
    assert set(table["gene"]) == set(SYMBOLS[found])
