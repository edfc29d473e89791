"""From neighbours to labels: votes, ties, both heads, temperature, and what happens at the edges."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from explorer.doubt.examined import Examined
from explorer.doubt.labels import (
    HEADS,
    LINEAR,
    OWN,
    PROTOTYPES,
    VOTE,
    LevelHead,
    best_codes,
    disagreement,
    fit_linear,
    fit_temperature,
    joined_levels,
    log_answers,
    own_answers,
    refitted,
    tempered,
    transfer_level,
    vote,
)
from explorer.doubt.novelty import Expected, Signs, strayed
from explorer.doubt.prototypes import prototypes
from explorer.doubt.strangeness import Basis, far, fit_shapes
from explorer.errors import ReferenceProblem
from explorer.flow import UNKNOWN_CONFIDENCE, AlignedCells, Embedding, IntArray, LabelTransfer, LevelLabels, Neighbors
from explorer.neighbors import Index, LabelIndex

A, B, C, NONE = 0, 1, 2, -1


def neighbors(similarity: list[list[float]]) -> Neighbors:
    """Each neighbour is a reference cell of its own, in reading order."""
    values = np.array(similarity, np.float32)
    return Neighbors(np.arange(values.size, dtype=np.int32).reshape(values.shape), values)


def codes(*labels: int) -> IntArray:
    return np.array(labels, np.int32)


class TestVote:
    def test_shares_of_similarity(self) -> None:
        """The published example: ABABC at .9 .8 .7 .6 .5."""
        found = neighbors([[0.9, 0.8, 0.7, 0.6, 0.5]])
        shares = vote(found, codes(A, B, A, B, C), 3)
        assert shares[0] == pytest.approx([0.4571428571, 0.4, 0.1428571429], abs=1e-7)
        assert best_codes(shares, found, codes(A, B, A, B, C)).tolist() == [A]
        assert disagreement(shares)[0] == pytest.approx(0.9123658164, abs=1e-6)
        assert disagreement(shares)[0] * math.log(3) == pytest.approx(1.0023362977, abs=1e-6)

    def test_negative_similarities_count_as_nothing(self) -> None:
        shares = vote(neighbors([[0.5, -0.2, 0.1]]), codes(A, B, B), 2)
        assert shares[0] == pytest.approx([0.5 / 0.6, 0.1 / 0.6], abs=1e-6)

    def test_where_nothing_is_similar_neighbours_are_counted(self) -> None:
        shares = vote(neighbors([[0.0, -0.3, -0.5]]), codes(A, B, B), 2)
        assert shares[0] == pytest.approx([1 / 3, 2 / 3], abs=1e-6)

    def test_neighbours_without_a_label_do_not_vote(self) -> None:
        shares = vote(neighbors([[0.9, 0.8, 0.1]]), codes(NONE, A, B), 2)
        assert shares[0] == pytest.approx([8 / 9, 1 / 9], abs=1e-6)

    def test_a_labelled_neighbour_that_is_not_similar_beats_similar_ones_without_label(self) -> None:
        shares = vote(neighbors([[0.9, 0.8, -0.1]]), codes(NONE, NONE, B), 2)
        assert shares[0].tolist() == [0, 1]

    def test_without_any_label_every_class_is_equally_likely(self) -> None:
        shares = vote(neighbors([[0.9, 0.8]]), codes(NONE, NONE), 4)
        assert shares[0].tolist() == [0.25] * 4

    def test_cells_do_not_mix(self) -> None:
        shares = vote(neighbors([[0.9, 0.1], [0.2, 0.2]]), codes(A, B, B, B), 2)
        np.testing.assert_allclose(shares, [[0.9, 0.1], [0, 1]], atol=1e-6)

    def test_no_cells(self) -> None:
        assert vote(neighbors([[0.5]]), codes(A), 3)[:0].shape == (0, 3)
        none = Neighbors(np.empty((0, 5), np.int32), np.empty((0, 5), np.float32))
        assert vote(none, codes(A), 3).shape == (0, 3)

    @settings(deadline=None)
    @given(
        similarity=st.lists(st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=6), min_size=1, max_size=8),
        seed=st.integers(0, 99),
    )
    def test_probabilities_whatever_the_neighbours(self, similarity: list[list[float]], seed: int) -> None:
        found = neighbors(similarity)
        labels = np.random.default_rng(seed).integers(-1, 3, found.indices.size).astype(np.int32)
        shares = vote(found, labels, 3)
        assert shares.min() >= 0
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
        assert ((disagreement(shares) >= 0) & (disagreement(shares) <= 1)).all()


class TestTies:
    def test_the_nearer_neighbour_decides(self) -> None:
        found = neighbors([[0.4, 0.3, 0.1]])
        shares = vote(found, codes(B, A, A), 2)
        assert shares[0] == pytest.approx([0.5, 0.5], abs=1e-6)
        assert best_codes(shares, found, codes(B, A, A)).tolist() == [B]

    @pytest.mark.parametrize("order", [(A, B), (B, A)], ids=["A listed first", "B listed first"])
    def test_of_equally_near_neighbours_the_first_class_decides(self, order: tuple[int, int]) -> None:
        found = neighbors([[0.5, 0.5]])
        shares = vote(found, codes(*order), 2)
        assert best_codes(shares, found, codes(*order)).tolist() == [A]

    def test_a_nearer_neighbour_of_a_third_class_has_no_say(self) -> None:
        found = neighbors([[0.6, 0.5, 0.5]])
        probabilities = np.array([[0.45, 0.45, 0.1]], np.float32)
        assert best_codes(probabilities, found, codes(C, B, A)).tolist() == [A]
        nearer = neighbors([[0.6, 0.5, 0.4]])
        assert best_codes(probabilities, nearer, codes(C, B, A)).tolist() == [B]

    def test_where_no_neighbour_is_of_a_tied_class_the_first_of_them_is_taken(self) -> None:
        probabilities = np.array([[0.0, 0.5, 0.5]], np.float32)
        assert best_codes(probabilities, neighbors([[0.9]]), codes(A)).tolist() == [B]
        assert best_codes(probabilities, neighbors([[0.9]]), codes(NONE)).tolist() == [B]


class TestDisagreement:
    def test_one_label_is_agreement_and_an_even_split_is_none(self) -> None:
        found = disagreement(np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32))
        np.testing.assert_allclose(found, [0, 1, 1], atol=1e-6)


class TestLinearHead:
    def separable(self, seed: int = 0) -> tuple[np.ndarray, IntArray]:
        rng = np.random.default_rng(seed)
        labels = np.repeat([A, B, C], 60).astype(np.int32)
        return (4 * np.eye(3, 6)[labels] + rng.normal(size=(180, 6))).astype(np.float32), labels

    def test_it_learns_and_gives_probabilities(self) -> None:
        values, labels = self.separable()
        unseen, truth = self.separable(seed=1)
        found = fit_linear(values, labels, 3).probabilities(unseen)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        assert (found.argmax(1) == truth).mean() > 0.9

    def test_of_two_classes_as_of_three(self) -> None:
        values, labels = self.separable()
        two = labels != C
        found = fit_linear(values[two], labels[two], 2).probabilities(values[two])
        assert (found.argmax(1) == labels[two]).mean() > 0.9
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)

    def test_two_classes_get_the_probabilities_of_a_logistic_regression(self) -> None:
        from sklearn.linear_model import LogisticRegression

        from explorer.doubt.labels import SCALE
        from explorer.neighbors import normalised

        values, labels = self.separable()
        two = labels != C
        unit = normalised(values[two]) * SCALE
        model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(unit, labels[two])
        found = fit_linear(values[two], labels[two], 2).probabilities(values[two])
        np.testing.assert_allclose(found, model.predict_proba(unit), atol=1e-5)

    def test_a_class_without_cells_gets_no_probability(self) -> None:
        values, labels = self.separable()
        present = labels != B
        found = fit_linear(values[present], labels[present], 3).probabilities(values)
        assert found[:, B].max() == 0
        assert (found.argmax(1)[present] == labels[present]).mean() > 0.9

    def test_a_single_class_is_certain(self) -> None:
        values, _ = self.separable()
        found = fit_linear(values, np.full(180, C, np.int32), 3).probabilities(values)
        np.testing.assert_array_equal(found, np.tile([0, 0, 1], (180, 1)))

    def test_cells_without_a_label_teach_nothing(self) -> None:
        values, labels = self.separable()
        rng = np.random.default_rng(3)
        more = np.vstack([values, rng.normal(size=(50, 6))]).astype(np.float32)
        with_more = fit_linear(more, np.append(labels, np.full(50, NONE)).astype(np.int32), 3)
        np.testing.assert_allclose(with_more.weight, fit_linear(values, labels, 3).weight, atol=1e-5)

    def test_rare_classes_are_not_drowned(self) -> None:
        values, labels = self.separable()
        kept = np.append(np.flatnonzero(labels != C), np.flatnonzero(labels == C)[:4])
        found = fit_linear(values[kept], labels[kept], 3).probabilities(values[labels == C])
        assert (found.argmax(1) == C).mean() > 0.8


class TestTemperature:
    def test_one_changes_nothing(self) -> None:
        p = np.array([[0.7, 0.2, 0.1]], np.float32)
        np.testing.assert_allclose(tempered(p, 1.0), p, atol=1e-6)

    def test_half_sharpens_as_published(self) -> None:
        found = tempered(np.array([[0.7, 0.2, 0.1]], np.float32), 0.5)
        np.testing.assert_allclose(found, [[0.9074074074, 0.0740740741, 0.0185185185]], atol=1e-6)

    @pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0], ids=str)
    def test_the_order_of_labels_stays(self, temperature: float) -> None:
        p = np.random.default_rng(0).dirichlet(np.ones(5), 50).astype(np.float32)
        np.testing.assert_array_equal(tempered(p, temperature).argmax(1), p.argmax(1))
        np.testing.assert_allclose(tempered(p, temperature).sum(1), 1, atol=1e-5)

    @pytest.mark.parametrize("truth", [0.5, 1.0, 2.0], ids=["too shy", "just right", "too sure"])
    def test_what_held_out_cells_were_drawn_with_is_found(self, truth: float) -> None:
        rng = np.random.default_rng(0)
        p = rng.dirichlet(np.full(4, 0.7), 4000).astype(np.float32)
        drawn_from = tempered(p, truth)
        labels = np.array([rng.choice(4, p=row / row.sum()) for row in drawn_from.astype(np.float64)])
        assert fit_temperature(p, labels) == pytest.approx(truth, rel=0.1)

    def test_certain_and_wrong_answers_stay_finite(self) -> None:
        p = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
        found = fit_temperature(p, np.array([A, B, B]))
        assert 0.2 <= found <= 5.0
        assert np.isfinite(tempered(p, found)).all()


class TestTransfer:
    """Cells on a circle: A around 0°, B around 90°, and queries wherever a test wants them."""

    rng = np.random.default_rng(0)
    angles = np.radians(np.append(rng.normal(0, 8, 100), rng.normal(90, 8, 100)))
    reference = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    labels = np.repeat([A, B], 100).astype(np.int32)
    members = LabelIndex(reference, labels)
    basis = Basis(np.ones(2, np.float32), np.eye(2, dtype=np.float32), np.ones(2, np.float32))

    def head(self, name: str, temperature: float = 1.0) -> LevelHead:
        held = np.radians(np.append(self.rng.normal(0, 8, 100), self.rng.normal(90, 8, 100)))
        places = np.column_stack([np.cos(held), np.sin(held)]).astype(np.float32)
        shapes = fit_shapes(self.basis, self.reference, self.labels, 2)
        signs = Signs(
            far(self.basis, shapes, places, self.labels), self.rng.normal(-0.5, 0.3, 200).astype(np.float32)
        )
        shares = np.array([[0.8, 0.2], [0.2, 0.8]], np.float32)
        return LevelHead(
            level="type",
            classes=("a", "b"),
            head=name,
            temperature=temperature,
            linear=fit_linear(self.reference, self.labels, 2),
            prototypes=prototypes(self.reference, self.labels, 2),
            expected=Expected(shares, np.ones(2, np.float32)),
            basis=self.basis,
            shapes=shapes,
            held_out=strayed(self.labels, signs, 2),
            scores={},
            reach=1.0,
            examined=Examined(np.arange(2), self.labels[[0, -1]], np.zeros(2, np.int32), np.eye(2, dtype=np.float32)),
        )

    def map(self, degrees: list[float], head: LevelHead, *, counts: bool = False, **options: object) -> LevelLabels:
        angle = np.radians(degrees)
        values = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
        expression = np.expm1(values + 1), np.full(len(degrees), 1e4, np.float32)  # on a circle, too
        if counts:
            expression = np.tile([8, 2], (len(degrees), 1)).astype(np.float32), np.full(len(degrees), 10, np.float32)
        cells = AlignedCells(sparse.csr_matrix(expression[0]), expression[1], counts)
        near = Index(self.reference).search(values, 15)
        own = np.column_stack([np.cos(angle) ** 2, np.sin(angle) ** 2]).astype(np.float32)
        return transfer_level(head, cells, Embedding(values, {"type": own}), near, self.members, **options)

    @pytest.mark.parametrize("name", HEADS)
    def test_every_head_names_what_is_near(self, name: str) -> None:
        found = self.map([2.0, 88.0], self.head(name))
        assert found.labels.tolist() == ["a", "b"]
        assert not found.unknown.any()
        np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(found.confidence, found.probabilities.max(1))

    def test_what_a_method_takes_for_none_of_its_classes_is_unknown_where_its_own_answers_count(self) -> None:
        values = np.array([[1.0, 0.02], [1.0, 0.03]], np.float32)
        own = np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)
        said = Embedding(values, {"type": own}, {"type": np.array([False, True])})
        cells = AlignedCells(sparse.csr_matrix(np.expm1(values + 1)), np.full(2, 1e4, np.float32), False)
        near = Index(self.reference).search(values, 15)
        by_own, by_vote = (transfer_level(self.head(head), cells, said, near, self.members) for head in (OWN, VOTE))
        assert by_own.unknown.tolist() == [False, True]
        assert by_vote.unknown.tolist() == [False, False]

    def test_a_method_that_says_nothing_of_its_own_cannot_be_asked(self) -> None:
        with pytest.raises(ReferenceProblem, match="which gives none at that level"):
            self.map([2.0], replace(self.head(OWN), level="lineage"))

    def test_a_label_that_is_not_allowed_is_not_given(self) -> None:
        head = self.head(LINEAR)
        found = self.map([2.0, 2.0], head, allowed=np.array([[True, True], [False, True]]))
        assert found.labels.tolist() == ["a", "b"]
        assert found.probabilities[1].tolist() == [0, 1]
        np.testing.assert_allclose(found.probabilities[0], self.map([2.0], head).probabilities[0], atol=1e-6)

    def test_a_cell_that_may_get_no_label_at_all_is_unknown(self) -> None:
        found = self.map([2.0, 2.0], self.head(LINEAR), allowed=np.array([[True, True], [False, False]]))
        assert found.unknown.tolist() == [False, True]
        assert found.labels.tolist() == ["a", "a"]

    def test_heads_follow_reference_cells_that_were_moved(self) -> None:
        """All cells turned by 90 degrees: what was the place of A is then that of nothing, and that of B that of A."""
        turned = np.column_stack([-self.reference[:, 1], self.reference[:, 0]])
        for name in (PROTOTYPES, LINEAR):
            head = refitted(self.head(name, 0.7), turned, self.labels)
            assert head.temperature == 0.7
            assert self.map([90.0, 180.0], head).labels.tolist() == ["a", "b"]

    def test_classes_that_a_method_does_not_count_get_nothing(self) -> None:
        said = Embedding(np.zeros((2, 3), np.float32), {"type": np.array([[1, 0], [0.5, 0.5]], np.float32)})
        assert own_answers(said, "type", 3).tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
        assert own_answers(said, "lineage", 3) is None

    def test_what_lies_far_from_its_label_is_novel_though_its_neighbours_agree(self) -> None:
        near, far = self.map([0.0], self.head(VOTE)), self.map([-60.0], self.head(VOTE))
        assert far.disagreement[0] == 0
        assert far.confidence[0] > 0.99
        assert near.novelty[0] < 0.9 < far.novelty[0]
        assert (near.unknown[0], far.unknown[0]) == (False, True)

    def test_what_lies_between_two_labels_is_disputed(self) -> None:
        found = self.map([45.0], self.head(VOTE))
        assert found.disagreement[0] > 0.5

    def test_little_confidence_means_unknown(self) -> None:
        sure, shy = (self.map([0.0], self.head(LINEAR, temperature)) for temperature in (1.0, 1e6))
        assert sure.confidence[0] > UNKNOWN_CONFIDENCE
        assert shy.confidence[0] == pytest.approx(0.5, abs=1e-4)
        assert not sure.unknown[0]

    def test_counts_that_contradict_the_label_are_novel_wherever_the_cell_lies(self) -> None:
        """Cells hold 8 and 2 counts: as A is expected to, and as B is not."""
        head = self.head(VOTE)
        nowhere: dict[str, Any] = {
            "basis": replace(self.basis, loadings=np.zeros((2, 2), np.float32)),
            "shapes": replace(head.shapes, means=np.zeros((2, 2), np.float32)),
        }
        blind = replace(head, **nowhere)
        found = self.map([0.0, 90.0], blind, counts=True)
        assert found.labels.tolist() == ["a", "b"]
        assert found.novelty[1] > 0.99 > found.novelty[0]
        assert found.unknown.tolist() == [False, True]
        assert not self.map([0.0, 90.0], head, counts=False).unknown.any(), "only counts can contradict"

    def test_blocks_join_to_what_one_block_gives(self) -> None:
        head = self.head(VOTE)
        degrees = np.linspace(-90, 180, 40).tolist()
        whole = self.map(degrees, head, counts=True)
        parts = [self.map(degrees[i : i + 7], head, counts=True) for i in range(0, 40, 7)]
        joined = joined_levels(parts)
        for name in ("codes", "probabilities", "confidence", "disagreement", "novelty", "stretch", "unknown", "sets"):
            np.testing.assert_allclose(getattr(joined, name), getattr(whole, name), atol=1e-6)
        assert (joined.level, joined.classes) == ("type", ("a", "b"))

    def test_how_far_a_cell_may_lie_can_be_learned(self) -> None:
        strict, wide = (replace(self.head(VOTE), reach=reach) for reach in (1.0, 1e6))
        assert self.map([-60.0], strict).unknown[0]
        assert not self.map([-60.0], wide).unknown[0], "its reference's own batches lie as far"
        assert self.map([-60.0], wide, by_quantile=True).unknown[0]

    def test_a_cell_is_unknown_by_how_many_times_as_far_it_lies(self) -> None:
        """Also where novelty no longer tells far from very far."""
        found = self.map([0.0, -60.0, -90.0], replace(self.head(VOTE), reach=2.0))
        assert found.stretch.dtype == np.float32
        assert found.novelty[1] == found.novelty[2]
        assert found.stretch[0] < 1 < found.stretch[1] < found.stretch[2]
        np.testing.assert_array_equal(found.unknown, found.stretch > 2.0)

    def test_sets_hold_what_left_out_cells_needed(self) -> None:
        own = np.append(np.full(96, 0.9), np.full(4, 0.1)).astype(np.float32)
        rows, ones = np.arange(100), np.zeros(100, np.int32)
        head = replace(self.head(LINEAR), examined=Examined(rows, ones, ones, np.column_stack([own, 1 - own])))
        found = self.map(np.linspace(0, 90, 50).tolist(), head)
        best = np.eye(2, dtype=bool)[found.codes]
        np.testing.assert_array_equal(found.sets, (found.probabilities >= 0.9) | best)
        assert (found.sets.sum(1) == 1).all()
        shy = replace(head, examined=replace(head.examined, probabilities=np.tile([[0.3, 0.7]], (100, 1))))
        assert self.map([45.0], shy).sets.tolist() == [[True, True]]

    def test_a_label_that_levels_have_settled_on_is_kept_and_in_its_set(self) -> None:
        found = self.map([0.0, 0.0, 90.0], self.head(LINEAR), settled=codes(A, B, NONE))
        assert found.codes.tolist() == [A, B, B]
        assert found.unknown.tolist() == [False, True, True], "hardly probable, and nothing fits"
        np.testing.assert_array_equal(found.confidence, found.probabilities[range(3), found.codes])
        assert found.sets[range(3), found.codes].all()

    def test_logarithms_of_the_answers_prefer_the_nearer_where_probabilities_tie(self) -> None:
        near = Neighbors(np.array([[150, 0]], np.int32), np.array([[0.5, 0.5]], np.float32))
        said = Embedding(self.reference[:1])
        found = log_answers(self.head(VOTE), said, near, self.members)
        np.testing.assert_allclose(found, np.log(0.5), atol=1e-4)
        assert found.argmax() == best_codes(vote(near, self.labels, 2), near, self.labels)[0]


class TestDeepest:
    """Three levels in one another, and one that says something else."""

    @staticmethod
    def level(name: str, classes: int, unknown: list[bool]) -> LevelLabels:
        n = len(unknown)
        some = np.zeros(n, np.float32)
        labels = tuple(f"{name} {i}" for i in range(classes))
        flags = np.zeros((n, classes), bool)
        probabilities = np.full((n, classes), 1 / classes, np.float32)
        found = codes(*[1] * n)
        return LevelLabels(name, labels, found, probabilities, some, some, some, some, np.array(unknown), flags)

    def test_the_finest_level_that_is_known_counts(self) -> None:
        found = LabelTransfer(
            (
                self.level("type", 4, [False, False, True, True, True]),
                self.level("sex", 9, [False, False, False, False, False]),
                self.level("lineage", 2, [False, False, False, True, True]),
                self.level("subtype", 8, [False, True, True, True, False]),
            ),
            {"subtype": "type", "type": "lineage"},
        )
        assert found.deepest.tolist() == [3, 0, 2, -1, 3]
        assert found.deepest_labels.tolist() == ["subtype 1", "type 1", "lineage 1", "unknown", "subtype 1"]

    def test_levels_that_nest_in_nothing_leave_the_first(self) -> None:
        found = LabelTransfer((self.level("type", 4, [False, True]), self.level("sex", 9, [False, False])))
        assert found.deepest_labels.tolist() == ["type 1", "unknown"]
