"""What held-out cells teach: scores by hand, deviations that never look at the own fold, the better head."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from explorer.doubt import calibration
from explorer.doubt.calibration import Bases, HeldOut, examine, expectations, level_head, pooled, quality
from explorer.doubt.labels import LINEAR, OWN, PROTOTYPES, VOTE, LevelHead
from explorer.doubt.novelty import Expected, deviation, expected_shares
from explorer.doubt.strangeness import far, fit_basis, fit_shapes
from explorer.flow import AlignedCells

A, B, C, NONE = 0, 1, 2, -1


class TestQuality:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.35, 0.65]], np.float32)
    codes = np.array([A, B, B, B], np.int32)

    def test_accuracy_and_macro_f1(self) -> None:
        found = quality(self.probabilities, self.codes)
        assert found["accuracy"] == 0.75
        # A: precision 1/2, recall 1; B: precision 1, recall 2/3
        assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-4)
        assert found["cells"] == 4

    def test_calibration_error_is_the_mean_gap_between_sureness_and_being_right(self) -> None:
        found = quality(self.probabilities, self.codes)
        gaps = [abs(0.9 - 1), abs(0.8 - 0), abs(0.7 - 1), abs(0.65 - 1)]
        assert found["calibration_error"] == pytest.approx(sum(gaps) / 4, abs=1e-4)
        assert sum(cells for _, _, cells in found["reliability"]) == 4

    def test_being_right_as_often_as_one_says_is_no_error(self) -> None:
        probabilities = np.tile([[0.75, 0.25]], (400, 1)).astype(np.float32)
        found = quality(probabilities, np.repeat([A, B], [300, 100]).astype(np.int32))
        assert found["calibration_error"] == 0
        assert found["reliability"] == [[0.75, 0.75, 400]]

    def test_labels_that_no_held_out_cell_has_do_not_lower_the_score(self) -> None:
        three = np.column_stack([self.probabilities, np.zeros(4)]).astype(np.float32)
        assert quality(three, self.codes)["macro_f1"] == quality(self.probabilities, self.codes)["macro_f1"]

    def test_a_cell_that_is_certain_has_a_place_in_the_curve(self) -> None:
        assert quality(np.array([[1, 0]], np.float32), np.array([A]))["reliability"] == [[1.0, 1.0, 1]]


@pytest.fixture
def places() -> tuple[np.ndarray, np.ndarray]:
    """90 cells of three labels in three directions, one of ten without its label."""
    rng = np.random.default_rng(0)
    codes = np.resize([A, B, C], 90).astype(np.int32)
    values = (np.eye(3, 5)[codes] + 0.1 * rng.normal(size=(90, 5))).astype(np.float32)
    return values, np.where(np.arange(90) % 10 == 0, NONE, codes).astype(np.int32)


class TestExamine:
    def test_cells_without_a_label_are_not_examined(self, places: tuple[np.ndarray, np.ndarray]) -> None:
        values, codes = places
        rows = np.arange(60, 90)
        found = examine(values[60:], codes[60:], rows, values[:60], codes[:60], 3, 15)
        assert found.rows.tolist() == [row for row in rows if codes[row] != NONE]
        np.testing.assert_array_equal(found.codes, codes[found.rows])
        assert set(found.probabilities) == {VOTE, PROTOTYPES, LINEAR}
        for head in found.probabilities:
            assert (found.probabilities[head].argmax(1) == found.codes).mean() > 0.9

    def test_a_label_of_this_batch_only_is_nobodys_neighbour(self, places: tuple[np.ndarray, np.ndarray]) -> None:
        values, codes = places
        rest = codes[:60].copy()
        rest[rest == C] = NONE
        found = examine(values[60:], codes[60:], np.arange(60, 90), values[:60], rest, 3, 15)
        assert found.probabilities[LINEAR][:, C].max() == 0

    def test_what_a_method_says_itself_competes(self, places: tuple[np.ndarray, np.ndarray]) -> None:
        values, codes = places
        own = np.random.default_rng(1).dirichlet(np.ones(3), 30).astype(np.float32)
        found = examine(values[60:], codes[60:], np.arange(60, 90), values[:60], codes[:60], 3, 15, own)
        np.testing.assert_array_equal(found.probabilities[OWN], own[codes[60:] != NONE])

    def test_a_batch_without_any_label(self, places: tuple[np.ndarray, np.ndarray]) -> None:
        values, codes = places
        found = examine(values[60:], np.full(30, NONE, np.int32), np.arange(60, 90), values[:60], codes[:60], 3, 15)
        assert len(found.codes) == len(found.rows) == 0
        assert found.probabilities[VOTE].shape == found.probabilities[LINEAR].shape == (0, 3)

    def test_parts_are_put_one_after_the_other(self, places: tuple[np.ndarray, np.ndarray]) -> None:
        values, codes = places
        parts = [
            examine(values[i:j], codes[i:j], np.arange(i, j), values[:40], codes[:40], 3, 5)
            for i, j in ((60, 75), (75, 90))
        ]
        whole = examine(values[60:], codes[60:], np.arange(60, 90), values[:40], codes[:40], 3, 5)
        both = pooled(parts)
        np.testing.assert_array_equal(both.rows, whole.rows)
        np.testing.assert_allclose(both.probabilities[VOTE], whole.probabilities[VOTE], atol=1e-6)


@pytest.fixture
def counted() -> tuple[AlignedCells, np.ndarray, np.ndarray]:
    """120 cells x 30 genes in three folds; gene 0 is counted ten times as often in the last."""
    rng = np.random.default_rng(0)
    codes, fold_of = np.resize([A, B], 120).astype(np.int32), np.repeat([0, 1, 2], 40).astype(np.int32)
    codes[::11] = NONE
    share = rng.dirichlet(np.ones(30) * 2, 2)[codes]
    share[fold_of == 2, 0] *= 10
    counts = rng.poisson(2000 * share).astype(np.float32)
    return AlignedCells(sparse.csr_matrix(counts), counts.sum(1), True), codes, fold_of


class TestExpectations:
    def test_a_cell_is_compared_with_what_other_folds_expect(
        self, counted: tuple[AlignedCells, np.ndarray, np.ndarray]
    ) -> None:
        cells, codes, fold_of = counted
        expected, found = expectations(cells, codes, fold_of, 2)
        for fold in range(3):
            out = (fold_of == fold) & (codes >= 0)
            shares = expected_shares(cells.rows(fold_of != fold), codes[fold_of != fold], 2)
            of_rest = deviation(cells.rows(out), codes[out], Expected(shares, expected.spread))
            np.testing.assert_allclose(found[out], of_rest, rtol=1e-3)
        np.testing.assert_allclose(expected.shares, expected_shares(cells, codes, 2), rtol=1e-6)

    def test_a_gene_that_varies_between_batches_says_less(
        self, counted: tuple[AlignedCells, np.ndarray, np.ndarray]
    ) -> None:
        expected, found = expectations(*counted, 2)
        assert expected.spread[0] > 2 * expected.spread[1:].max()
        assert expected.spread.min() >= 1
        assert not found[counted[1] == NONE].any()


class TestHead:
    """180 held-out cells over which the two heads are made to differ."""

    rng = np.random.default_rng(0)
    codes = np.resize([A, B, C], 180).astype(np.int32)
    embedding = (np.eye(3, 5)[codes] + 0.1 * rng.normal(size=(180, 5))).astype(np.float32)
    counts = sparse.csr_matrix(rng.poisson(3, (180, 8)).astype(np.float32))
    cells = AlignedCells(counts, np.full(180, 24, np.float32), True)
    fold_of = np.repeat([0, 1, 2], 60).astype(np.int32)

    def right(self, share: float) -> np.ndarray:
        """Answers of which this share is right, with 0.8 for the answer."""
        wrong = np.arange(180) >= share * 180
        return (0.7 * np.eye(3)[(self.codes + wrong) % 3] + 0.1).astype(np.float32)

    def made(
        self,
        of_vote: float,
        of_linear: float,
        batches: np.ndarray | None = None,
        fold_of: np.ndarray | None = None,
        **others: float,
    ) -> LevelHead:
        answers = {VOTE: of_vote, LINEAR: of_linear, **others}
        held = HeldOut({head: self.right(share) for head, share in answers.items()}, self.codes, np.arange(180))
        parts = self.fold_of if fold_of is None else fold_of
        whole = (self.embedding, self.cells, self.codes, parts, parts if batches is None else batches)
        return level_head("type", ("a", "b", "c"), held, *whole, Bases.of(self.cells, parts, 0))

    @pytest.mark.parametrize(
        ("of_vote", "of_linear", "winner"),
        [(0.9, 0.7, VOTE), (0.7, 0.9, LINEAR), (0.8, 0.8, VOTE)],
        ids=["the vote is better", "the linear head is better", "a tie goes to the simpler"],
    )
    def test_the_better_head_wins(self, of_vote: float, of_linear: float, winner: str) -> None:
        found = self.made(of_vote, of_linear)
        assert found.head == winner
        assert found.temperature == found.scores[winner]["temperature"]

    @pytest.mark.parametrize(
        ("others", "winner"),
        [({OWN: 0.95}, OWN), ({PROTOTYPES: 0.95, OWN: 0.95}, PROTOTYPES), ({PROTOTYPES: 0.9}, VOTE)],
        ids=["the method itself", "a tie of two goes to the simpler", "a tie with the vote"],
    )
    def test_prototypes_and_the_method_itself_compete_too(self, others: dict[str, float], winner: str) -> None:
        found = self.made(0.9, 0.7, **others)
        assert found.head == winner
        assert set(found.scores) == {VOTE, LINEAR, *others}
        np.testing.assert_allclose(found.prototypes @ np.eye(5, 3), np.eye(3), atol=0.1)

    def test_without_a_batch_to_leave_out_the_linear_head_is_taken(self) -> None:
        found = self.made(0.9, 0.7, batches=np.zeros(180, np.int32))
        assert found.head == LINEAR
        assert found.temperature == found.scores[LINEAR]["temperature"]

    def test_answers_to_left_out_cells_are_kept(self) -> None:
        kept = self.made(0.6, 0.5).examined
        assert kept is not None
        assert kept.rows.tolist() == list(range(180)), "all, as there are few"
        np.testing.assert_array_equal(kept.codes, self.codes)
        np.testing.assert_array_equal(kept.batches, self.fold_of)
        assert (kept.probabilities.argmax(1) == kept.codes).mean() == 0.6
        assert kept.probabilities.max(1).mean() == pytest.approx(0.6, abs=0.02), "calibrated"

    def test_the_sample_kept_depends_on_labels_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(calibration, "MOST_EXAMINED", 50)
        one, other = self.made(0.9, 0.7).examined, self.made(0.5, 0.8).examined
        assert one is not None and other is not None
        assert len(one.rows) == 50
        assert (np.diff(one.rows) > 0).all()
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.codes, self.codes[one.rows])
        assert (one.probabilities.argmax(1) == one.codes).tolist() == (one.rows < 162).tolist()

    def test_probabilities_are_calibrated_on_held_out_cells(self) -> None:
        found = self.made(0.6, 0.5)
        assert found.temperature > 1, "0.8 was said, 0.6 was right: too sure"
        assert found.scores[VOTE]["accuracy"] == 0.6
        assert found.scores[VOTE]["calibration_error"] < 0.02

    def test_strangeness_is_kept_by_label(self) -> None:
        found = self.made(0.9, 0.9).held_out
        for ranked in (found.both, found.alone):
            assert [len(strange) for strange in ranked] == [60, 60, 60]
            assert all((np.diff(strange) >= 0).all() for strange in ranked)

    def test_a_label_that_lives_in_one_fold_has_no_yardstick(self) -> None:
        fold_of = np.where(self.codes == C, 2, self.fold_of).astype(np.int32)
        found = self.made(0.9, 0.9, fold_of=fold_of)
        assert [len(strange) for strange in found.held_out.both] == [60, 60, 0]
        assert [len(strange) for strange in found.held_out.alone] == [60, 60, 0]

    def test_distances_of_a_fold_are_told_by_the_others(self) -> None:
        """What a fold's own cells are like does not touch how far they are said to lie."""
        found = Bases.of(self.cells, self.fold_of, 0).far(self.cells, self.codes, self.fold_of, 3)
        others = self.cells.rows(self.fold_of != 1)
        codes, own = self.codes[self.fold_of != 1], self.fold_of == 1
        basis = fit_basis(others)
        shapes = fit_shapes(basis, basis.places(others), codes, 3)
        told = far(basis, shapes, basis.places(self.cells.rows(own)), self.codes[own])
        np.testing.assert_allclose(found[own], told, rtol=1e-4, atol=1e-3)
