"""How far a cell is from its label: counts against loops over a dense matrix, ranks against counting by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from explorer.flow import AlignedCells
from explorer.novelty import (
    LARGEST_RESIDUAL,
    LEAST_SHARE,
    Expected,
    conformal,
    deviation,
    expected_shares,
    in_words,
    reach,
    squared_residuals,
    strayed,
    stretch,
)

CELLS, GENES, CLASSES = 40, 12, 3


@pytest.fixture
def cells() -> AlignedCells:
    """Counts over some of the genes of a file: totals are larger than what is seen. The last cell is empty."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 3, (CELLS, GENES))).astype(np.float32)
    counts[-1] = 0
    counts[3, 5] = 400  # far beyond the cap
    totals = counts.sum(1) * rng.uniform(1.5, 3, CELLS).astype(np.float32)
    return AlignedCells(sparse.csr_matrix(counts), totals.astype(np.float32), is_counts=True)


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLASSES, CELLS).astype(np.int32)


@pytest.fixture
def expected() -> Expected:
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.ones(GENES), CLASSES).astype(np.float32) * 0.5 + 1e-6
    return Expected(shares, rng.uniform(1, 3, GENES).astype(np.float32))


def squares(cells: AlignedCells, codes: np.ndarray, expected: Expected) -> np.ndarray:
    """Squared Pearson residuals, capped above, cell by cell and gene by gene."""
    counts = cells.values.toarray().astype(float)
    found = np.zeros(counts.shape)
    for cell, gene in np.ndindex(*counts.shape):
        mean = float(cells.totals[cell]) * float(expected.shares[codes[cell], gene])
        if mean > 0:
            residual = (counts[cell, gene] - mean) / (float(expected.spread[gene]) * np.sqrt(mean))
            found[cell, gene] = min(residual, LARGEST_RESIDUAL) ** 2
    return found


class TestDeviation:
    def test_it_is_the_mean_squared_residual(
        self, cells: AlignedCells, codes: np.ndarray, expected: Expected
    ) -> None:
        found = deviation(cells, codes, expected)
        np.testing.assert_allclose(found, squares(cells, codes, expected).mean(1), rtol=1e-4, atol=1e-5)
        assert found.dtype == np.float32

    def test_genes_that_the_query_lacks_are_left_out(
        self, cells: AlignedCells, codes: np.ndarray, expected: Expected
    ) -> None:
        brought = np.arange(GENES) % 3 > 0
        found = deviation(cells, codes, expected, brought)
        np.testing.assert_allclose(found, squares(cells, codes, expected)[:, brought].mean(1), rtol=1e-4, atol=1e-5)

    def test_no_gene_at_all_is_no_deviation(
        self, cells: AlignedCells, codes: np.ndarray, expected: Expected
    ) -> None:
        np.testing.assert_allclose(deviation(cells, codes, expected, np.zeros(GENES, bool)), 0, atol=1e-6)

    def test_an_empty_cell_deviates_from_nothing(
        self, cells: AlignedCells, codes: np.ndarray, expected: Expected
    ) -> None:
        assert deviation(cells, codes, expected)[-1] == 0

    def test_stored_zeros_count_as_zeros(self, cells: AlignedCells, codes: np.ndarray, expected: Expected) -> None:
        every = cells.values.toarray()
        offsets, columns = np.arange(0, every.size + 1, GENES), np.tile(np.arange(GENES), CELLS)
        stored = sparse.csr_matrix((every.ravel(), columns, offsets), shape=every.shape)
        again = deviation(AlignedCells(stored, cells.totals, True), codes, expected)
        np.testing.assert_allclose(again, deviation(cells, codes, expected), rtol=1e-4, atol=1e-5)

    def test_counts_as_expected_deviate_by_one(self) -> None:
        """Poisson counts about the expected share: a mean squared residual of 1, whatever the depth."""
        rng = np.random.default_rng(5)
        share = rng.dirichlet(np.ones(200) * 3)
        totals = rng.integers(2000, 20000, 300).astype(np.float32)
        counts = rng.poisson(totals[:, None] * share).astype(np.float32)
        cells = AlignedCells(sparse.csr_matrix(counts), totals, True)
        expected = Expected(share[None].astype(np.float32), np.ones(200, np.float32))
        found = deviation(cells, np.zeros(300, np.int32), expected)
        assert found.mean() == pytest.approx(1, abs=0.03)
        assert np.corrcoef(found, totals)[0, 1] == pytest.approx(0, abs=0.2)


def test_expected_shares_are_sums_over_sums(cells: AlignedCells, codes: np.ndarray) -> None:
    codes = np.where(np.arange(CELLS) % 7 == 0, -1, codes).astype(np.int32)
    found = expected_shares(cells, codes, CLASSES + 1)
    dense = cells.values.toarray()
    for code in range(CLASSES):
        own = codes == code
        np.testing.assert_allclose(found[code], dense[own].sum(0) / cells.totals[own].sum() + LEAST_SHARE, rtol=1e-5)
    np.testing.assert_allclose(found[CLASSES], LEAST_SHARE, rtol=1e-6)  # a label without cells expects next to nothing


def test_squared_residuals_are_summed_by_gene(cells: AlignedCells, codes: np.ndarray, expected: Expected) -> None:
    plain = Expected(expected.shares, np.ones(GENES, np.float32))
    found = squared_residuals(cells, codes, expected.shares)
    np.testing.assert_allclose(found, squares(cells, codes, plain).sum(0), rtol=1e-4)


def of_one_label(latent: Sequence[float], expression: Sequence[float]) -> object:
    return strayed(
        np.zeros(len(latent), np.int32), np.array(latent, np.float32), np.array(expression, np.float32), 1
    )


class TestConformal:
    held = (0.1, 0.2, 0.3, 0.4)

    @pytest.mark.parametrize(
        ("far", "as_far"),
        [(0.05, 4), (0.1, 4), (0.15, 3), (0.35, 1), (0.4, 1), (0.9, 0)],
        ids=["nearest", "as near as the nearest", "second", "fourth", "as far as the farthest", "farthest"],
    )
    def test_p_counts_held_out_cells_at_least_as_far(self, far: float, as_far: int) -> None:
        """Without counts, the latent distance alone; p = (1 + cells at least as far) / (1 + cells)."""
        novelty, _ = conformal(
            np.zeros(1, np.int32), np.array([far], np.float32), None, of_one_label(self.held, [0, 0, 0, 0])
        )
        assert novelty[0] == pytest.approx(1 - (1 + as_far) / 5)

    def test_the_larger_of_both_ranks_counts(self) -> None:
        """Held out: latent ranks 0, 1, 2, 3 and expression ranks 3, 2, 1, 0 of 4: the larger are 3, 2, 2, 3."""
        held = of_one_label(self.held, self.held[::-1])
        assert held.either[0].tolist() == [0.5, 0.5, 0.75, 0.75]

        def novelty(latent: float, expression: float) -> float:
            at = np.array([latent], np.float32), np.array([expression], np.float32)
            return float(conformal(np.zeros(1, np.int32), *at, held)[0][0])

        assert novelty(0.0, 0.0) == pytest.approx(1 - 5 / 5)
        assert novelty(0.35, 0.0) == novelty(0.0, 0.35) == pytest.approx(1 - 3 / 5)
        assert novelty(0.9, 0.0) == novelty(0.0, 0.9) == novelty(0.9, 0.9) == pytest.approx(1 - 1 / 5)

    def test_each_label_has_its_own_yardstick(self) -> None:
        codes = np.repeat([0, 1], 99).astype(np.int32)
        far = np.concatenate([np.linspace(0.01, 0.1, 99), np.linspace(0.5, 1, 99)]).astype(np.float32)
        held = strayed(codes, far, far, 2)
        novelty, beyond = conformal(
            np.array([0, 1], np.int32), np.array([0.3, 0.3], np.float32), np.array([0.3, 0.3], np.float32), held
        )
        assert novelty.tolist() == pytest.approx([0.99, 0.0], abs=1e-6)
        assert beyond.tolist() == [True, False]

    def test_a_label_without_held_out_cells_cannot_be_novel(self) -> None:
        held = strayed(np.zeros(4, np.int32), *np.array([self.held, self.held], np.float32), 2)
        novelty, beyond = conformal(np.array([1], np.int32), np.ones(1, np.float32), np.ones(1, np.float32), held)
        assert (novelty.tolist(), beyond.tolist()) == ([0], [False])

    @pytest.mark.parametrize("cells", [5, 17, 200], ids=str)
    def test_the_latent_p_value_is_never_too_small_too_often(self, cells: int) -> None:
        """A cell like the held-out ones gets p <= a in a share a of cases at most, however few they are."""
        rng = np.random.default_rng(0)
        p = []
        for _ in range(400):
            held = of_one_label(rng.random(cells).tolist(), rng.random(cells).tolist())
            far = rng.random(50).astype(np.float32)
            p.append(1 - conformal(np.zeros(50, np.int32), far, None, held)[0])
        for level in np.arange(1, cells + 1) / (cells + 1):
            assert np.mean(np.concatenate(p) <= level + 1e-6) == pytest.approx(level, abs=0.03)

    @pytest.mark.parametrize("bond", [0.0, 0.7], ids=["both distances apart", "both distances alike"])
    def test_cells_like_the_held_out_ones_get_uniform_p_values(self, bond: float) -> None:
        rng = np.random.default_rng(1)

        def like(n: int) -> tuple[np.ndarray, np.ndarray]:
            latent = rng.random(n)
            return latent.astype(np.float32), (bond * latent + (1 - bond) * rng.random(n)).astype(np.float32)

        held = strayed(np.zeros(1000, np.int32), *like(1000), 1)
        novelty, beyond = conformal(np.zeros(20_000, np.int32), *like(20_000), held)
        for level in (0.01, 0.05, 0.1, 0.5, 0.9):
            chance = 3 * np.sqrt(level * (1 - level) / 1000)  # of which 1,000 cells were held out
            assert np.mean(1 - novelty <= level) == pytest.approx(level, abs=chance)
        assert beyond.mean() == pytest.approx(0.01, abs=0.01)


class TestStretch:
    held = np.linspace(0.01, 1, 100).tolist()  # the 99 % quantile is 0.9901

    def test_the_larger_multiple_of_what_is_usual(self) -> None:
        held = of_one_label(self.held, (2 * np.array(self.held)).tolist())
        at = np.array([0.9901, 1.9802, 0.1], np.float32), np.array([0.5, 1.9802, 5.9406], np.float32)
        found = stretch(np.zeros(3, np.int32), *at, held)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [1, 2, 3], rtol=1e-4)
        np.testing.assert_allclose(stretch(np.zeros(3, np.int32), at[0], None, held), [1, 2, 0.101], rtol=1e-3)

    def test_far_and_very_far_stay_apart(self) -> None:
        held = of_one_label(self.held, self.held)
        far = np.array([2.0, 9.0], np.float32)
        codes = np.zeros(2, np.int32)
        assert len(set(conformal(codes, far, far, held)[0])) == 1
        assert (np.diff(stretch(codes, far, far, held)) > 0).all()

    def test_a_label_without_held_out_cells_stretches_nothing(self) -> None:
        held = strayed(np.zeros(100, np.int32), *np.array([self.held, self.held], np.float32), 2)
        assert stretch(np.array([1], np.int32), np.ones(1, np.float32), None, held).tolist() == [0]

    def test_held_out_cells_that_lie_at_their_label(self) -> None:
        held = of_one_label([0.0] * 20, [0.0] * 20)
        assert np.isfinite(stretch(np.zeros(1, np.int32), np.ones(1, np.float32), None, held)).all()

    def test_a_person_is_told_only_of_what_lies_beyond_reach(self) -> None:
        assert in_words(2.345) == "2.3 times as far as its label's own cells reach"
        assert [in_words(times) for times in (0.0, 0.99, np.nan)] == ["", "", ""]


def drawn(rng: np.random.Generator, batches: int, n: int) -> tuple[np.ndarray, ...]:
    """Codes, both distances and batches of held-out cells of two labels; some batches lie farther off than others."""
    batch = np.repeat(np.arange(batches), n).astype(np.int32)
    codes = rng.integers(0, 2, len(batch)).astype(np.int32)
    shift = rng.lognormal(0, 0.3, batches)[batch] * (1 + codes)
    latent, expression = (rng.gamma(4, 0.05, len(batch)) * shift for _ in range(2))
    return codes, latent.astype(np.float32), expression.astype(np.float32), batch


class TestReach:
    def test_as_trying_every_value(self) -> None:
        """The lowest stretch of a left-out cell beyond which at most 5 % of the average batch lie."""
        codes, latent, expression, batch = drawn(np.random.default_rng(0), 4, 60)
        batch[:40] = 3  # batches of different size
        latent[batch == 0] *= 1.5
        stretched = np.zeros(len(codes), np.float32)
        for one in range(4):
            own = batch == one
            held = strayed(codes[~own], latent[~own], expression[~own], 2)
            stretched[own] = stretch(codes[own], latent[own], expression[own], held)

        def beyond(limit: float) -> float:
            return float(np.mean([np.mean(stretched[batch == one] > limit) for one in range(4)]))

        assert beyond(1.0) > 0.05
        found = reach(codes, latent, expression, batch, 2)
        assert found == pytest.approx(min(limit for limit in stretched if beyond(limit) <= 0.05))

    def test_a_new_batch_of_the_same_kind_is_called_unknown_as_rarely_as_promised(self) -> None:
        rng = np.random.default_rng(1)
        learned, quantile = [], []
        for _ in range(60):
            codes, latent, expression, batch = drawn(rng, 9, 100)
            old, new = batch < 8, batch == 8
            held = strayed(codes[old], latent[old], expression[old], 2)
            limit = reach(codes[old], latent[old], expression[old], batch[old], 2)
            at = codes[new], latent[new], expression[new]
            learned.append(np.mean(stretch(*at, held) > limit))
            quantile.append(np.mean(conformal(*at, held)[1]))
        assert np.mean(learned) <= 0.06
        assert np.mean(quantile) > 0, "the rule by quantiles promises nothing of a batch"

    def test_what_lies_as_near_as_99_of_100_is_never_unknown(self) -> None:
        rng = np.random.default_rng(0)
        codes = np.zeros(400, np.int32)
        near = rng.random(400).astype(np.float32)
        assert reach(codes, near, near, np.resize([0, 1], 400).astype(np.int32), 1) == 1

    def test_no_left_out_cell_at_all(self) -> None:
        none = np.empty(0, np.float32)
        assert reach(np.empty(0, np.int32), none, none, np.empty(0, np.int32), 2) == 1
