"""How strange a cell is: counts against loops over a dense matrix, ranks against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from explorer.doubt.novelty import (
    LARGEST_RESIDUAL,
    LEAST_SHARE,
    Expected,
    Signs,
    Strayed,
    conformal,
    deviation,
    expected_shares,
    in_words,
    odd,
    reach,
    squared_residuals,
    strangeness,
    strayed,
    stretch,
)
from explorer.flow import AlignedCells

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


def test_oddity_is_the_logarithm_of_deviation(cells: AlignedCells, codes: np.ndarray, expected: Expected) -> None:
    found = odd(cells, codes, expected)
    assert found is not None
    np.testing.assert_allclose(found[:-1], np.log(squares(cells, codes, expected).mean(1)[:-1]), rtol=1e-3, atol=1e-4)
    assert np.isfinite(found[-1]), "a cell without counts"
    assert odd(AlignedCells(cells.values, cells.totals, False), codes, expected) is None


def alone(*values: float) -> Signs:
    return Signs(np.array(values, np.float32), None)


def both(far: np.ndarray, odd: np.ndarray) -> Signs:
    return Signs(np.asarray(far, np.float32), np.asarray(odd, np.float32))


UNIT = np.array([[0, 1], [0, 1]], np.float32)


def held(*by_label: list[float]) -> Strayed:
    """Held-out cells whose strangeness is what is said, on a scale on which it is the sum of both signs."""
    ranked = tuple(np.array(values, np.float32) for values in by_label)
    return Strayed(UNIT, ranked, ranked)


ONE = np.zeros(1, np.int32)
FOUR = [0.1, 0.2, 0.3, 0.4]
HUNDRED = np.linspace(0.01, 1, 100).tolist()  # the 99 % quantile is 0.9901


class TestStrangeness:
    def test_as_by_hand(self) -> None:
        """Medians 50 and 20, 95 % quantiles 95 and 38: the units are 45 and 18."""
        far, rare = np.arange(101.0), np.arange(101.0) * 0.4
        found = strayed(np.zeros(101, np.int32), both(far, rare), 1)
        np.testing.assert_allclose(found.scale, [[50, 45], [20, 18]], rtol=1e-5)
        asked = both([50, 95, 140], [20, 20, 56])
        np.testing.assert_allclose(strangeness(asked, found.scale), [0, 1, 4], atol=1e-5)
        np.testing.assert_allclose(strangeness(Signs(asked.far, None), found.scale), [0, 1, 2], atol=1e-5)
        np.testing.assert_allclose(found.both[0], np.sort(2 * (far - 50) / 45), atol=2e-3)
        np.testing.assert_allclose(found.alone[0], np.sort((far - 50) / 45), atol=1e-3)

    def test_labels_share_the_scale_and_keep_their_own_cells(self) -> None:
        codes = np.repeat([0, 2], 50).astype(np.int32)
        found = strayed(codes, both(np.arange(100), np.zeros(100)), 3)
        assert [len(each) for each in found.both] == [50, 0, 50]
        assert found.both[0].max() < found.both[2].min()

    def test_left_out_cells_that_are_all_alike(self) -> None:
        found = strayed(np.zeros(20, np.int32), both(np.ones(20), np.ones(20)), 1)
        assert np.isfinite(stretch(ONE, both([2.0], [2.0]), found)).all()


class TestConformal:

    @pytest.mark.parametrize(
        ("strange", "at_least"),
        [(0.05, 4), (0.1, 4), (0.15, 3), (0.35, 1), (0.4, 1), (0.9, 0)],
        ids=["least", "as strange as the least", "second", "fourth", "as strange as the strangest", "strangest"],
    )
    def test_p_counts_held_out_cells_at_least_as_strange(self, strange: float, at_least: int) -> None:
        """p = (1 + cells at least as strange) / (1 + cells)."""
        novelty, _ = conformal(ONE, alone(strange), held(FOUR))
        assert novelty[0] == pytest.approx(1 - (1 + at_least) / 5)

    def test_without_counts_cells_are_compared_by_distance_alone(self) -> None:
        apart = Strayed(UNIT, (np.zeros(4, np.float32),), (np.array(FOUR, np.float32),))
        assert conformal(ONE, alone(0.15), apart)[0][0] == pytest.approx(1 - 4 / 5)
        assert conformal(ONE, both([0.15], [0.0]), apart)[0][0] == pytest.approx(1 - 1 / 5)

    def test_each_label_has_its_own_yardstick(self) -> None:
        yardstick = held(np.linspace(0.01, 0.1, 99).tolist(), np.linspace(0.5, 1, 99).tolist())
        novelty, beyond = conformal(np.array([0, 1], np.int32), alone(0.3, 0.3), yardstick)
        assert novelty.tolist() == pytest.approx([0.99, 0.0], abs=1e-6)
        assert beyond.tolist() == [True, False]

    def test_a_label_without_held_out_cells_cannot_be_novel(self) -> None:
        novelty, beyond = conformal(np.array([1], np.int32), alone(9), held(FOUR, []))
        assert (novelty.tolist(), beyond.tolist()) == ([0], [False])

    @pytest.mark.parametrize("counted", [True, False], ids=["counts", "no counts"])
    @pytest.mark.parametrize("cells", [5, 17, 200], ids=str)
    def test_cells_like_the_held_out_ones_get_uniform_p_values(self, cells: int, counted: bool) -> None:
        """A cell like the held-out ones gets p <= a in a share a of cases, however few of its label they are."""
        rng = np.random.default_rng(0)

        def like(n: int) -> Signs:
            far = rng.gamma(3, 1, n).astype(np.float32)
            return Signs(far, (0.5 * far + rng.normal(size=n)).astype(np.float32) if counted else None)

        p = []
        for _ in range(400):
            yardstick = strayed(np.repeat([0, 1], [cells, 300]).astype(np.int32), like(cells + 300), 2)
            p.append(1 - conformal(np.zeros(50, np.int32), like(50), yardstick)[0])
        for level in np.arange(1, cells + 1) / (cells + 1):
            assert np.mean(np.concatenate(p) <= level + 1e-6) == pytest.approx(level, abs=0.03)


class TestStretch:
    def test_a_multiple_of_what_99_of_100_do_not_exceed(self) -> None:
        found = stretch(np.zeros(3, np.int32), both([0.9901, 1.9802, -3], [0, 0.9901, 0.1]), held(HUNDRED))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [1, 3, 0], rtol=1e-4)

    def test_held_out_cells_of_all_labels_are_the_measure(self) -> None:
        apart = held(HUNDRED[:50], HUNDRED[50:], [])
        same = np.zeros(2, np.int32)
        np.testing.assert_array_equal(stretch(same, alone(0.4, 4), apart), stretch(same, alone(0.4, 4), held(HUNDRED)))

    def test_a_label_that_was_added_is_measured_by_its_own_cells_where_they_are_stranger(self) -> None:
        stranger = [3 * strange for strange in HUNDRED]
        found = stretch(
            np.arange(3, dtype=np.int32), alone(0.9901, 0.9901, 0.9901),
            replace(held(HUNDRED, stranger, HUNDRED[:20]), added=2),
        )  # fmt: skip
        np.testing.assert_allclose(found, [1, 1 / 3, 1], rtol=1e-4)

    def test_strange_and_very_strange_stay_apart(self) -> None:
        strange = alone(2, 9)
        assert len(set(conformal(np.zeros(2, np.int32), strange, held(HUNDRED))[0])) == 1
        assert (np.diff(stretch(np.zeros(2, np.int32), strange, held(HUNDRED))) > 0).all()

    def test_without_any_held_out_cell_nothing_is_stretched(self) -> None:
        assert stretch(ONE, alone(1), held([], [])).tolist() == [0]

    def test_a_person_is_told_only_of_what_lies_beyond(self) -> None:
        assert in_words(2.345) == "2.3 times as strange as 99 % of the reference's own left-out cells"
        assert [in_words(times) for times in (0.0, 0.99, np.nan)] == ["", "", ""]


def drawn(rng: np.random.Generator, batches: int, n: int) -> tuple[Signs, np.ndarray]:
    """Both signs and batches of held-out cells; some batches are stranger than others."""
    batch = np.repeat(np.arange(batches), n).astype(np.int32)
    shift = rng.lognormal(0, 0.3, batches)[batch]
    return both(rng.gamma(4, 0.05, len(batch)) * shift, np.log(rng.gamma(4, 0.05, len(batch)) * shift)), batch


class TestReach:
    def test_as_trying_every_value(self) -> None:
        """The lowest stretch of a left-out cell beyond which at most 5 % of the average batch lie."""
        signs, batch = drawn(np.random.default_rng(0), 4, 60)
        batch[:40] = 3  # batches of different size
        signs.far[batch == 0] *= 2
        stretched = np.zeros(len(batch), np.float32)
        for one in range(4):
            own = batch == one
            yardstick = strayed(np.zeros((~own).sum(), np.int32), signs.rows(~own), 1)
            stretched[own] = stretch(np.zeros(own.sum(), np.int32), signs.rows(own), yardstick)

        def beyond(limit: float) -> float:
            return float(np.mean([np.mean(stretched[batch == one] > limit) for one in range(4)]))

        assert beyond(1.0) > 0.05
        found = reach(signs, batch)
        assert found == pytest.approx(min(limit for limit in stretched if beyond(limit) <= 0.05), rel=1e-2)

    def test_a_new_batch_of_the_same_kind_is_called_unknown_as_rarely_as_promised(self) -> None:
        rng = np.random.default_rng(1)
        learned = []
        for _ in range(60):
            signs, batch = drawn(rng, 9, 100)
            old, new = signs.rows(batch < 8), signs.rows(batch == 8)
            limit = reach(old, batch[batch < 8])
            yardstick = strayed(np.zeros(800, np.int32), old, 1)
            learned.append(np.mean(stretch(np.zeros(100, np.int32), new, yardstick) > limit))
        assert np.mean(learned) <= 0.06

    def test_what_is_no_stranger_than_99_of_100_is_never_unknown(self) -> None:
        near = np.random.default_rng(0).random(400)
        assert reach(both(near, near), np.resize([0, 1], 400).astype(np.int32)) == 1

    def test_no_left_out_cell_at_all(self) -> None:
        none = np.empty(0, np.float32)
        assert reach(Signs(none, none), np.empty(0, np.int32)) == 1
