"""A consensus of voices whose answers are known: by hand, by scikit-learn, and where they err independently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss

from explorer.agreement import (
    Pool,
    Voice,
    agreement_of,
    consensus,
    disputed_cells,
    disputed_labels,
    pool_weights,
)
from explorer.doubt.examined import Examined
from explorer.doubt.nesting import Nested
from explorer.errors import OptionsProblem
from explorer.flow import BoolArray, FloatArray, IntArray, LabelTransfer, LevelLabels

CLASSES = ("B", "NK", "T")


def level(
    probabilities: Sequence[Sequence[float]] | FloatArray,
    novelty: Sequence[float] | None = None,
    unknown: Sequence[int] | None = None,
    name: str = "cell_type",
    classes: tuple[str, ...] = CLASSES,
    stretch: Sequence[float] | None = None,
) -> LevelLabels:
    p = np.asarray(probabilities, np.float32)
    n = len(p)
    return LevelLabels(
        level=name,
        classes=classes,
        codes=p.argmax(1).astype(np.int32),
        probabilities=p,
        confidence=p.max(1),
        disagreement=np.zeros(n, np.float32),
        novelty=np.zeros(n, np.float32) if novelty is None else np.asarray(novelty, np.float32),
        stretch=np.zeros(n, np.float32) if stretch is None else np.asarray(stretch, np.float32),
        unknown=np.zeros(n, bool) if unknown is None else np.asarray(unknown, bool),
        sets=p > 0.05,
    )


def voice(name: str, *levels: LevelLabels, examined: dict[str, Examined] | None = None, tells: bool = True) -> Voice:
    return Voice(name, name.title(), LabelTransfer(levels), examined or {}, tells)


def erring(
    truth: IntArray, skill: float, rng: np.random.Generator, n_classes: int = len(CLASSES)
) -> FloatArray:
    """Calibrated answers of a voice that is right in that share of the cells, wherever others are."""
    says = np.where(rng.random(len(truth)) < skill, truth, (truth + rng.integers(1, n_classes, len(truth))) % n_classes)
    p = np.full((len(truth), n_classes), (1 - skill) / (n_classes - 1), np.float32)
    p[np.arange(len(truth)), says] = skill
    return p


def left_out(probabilities: FloatArray, codes: IntArray, batches: int = 4) -> Examined:
    rows = np.arange(len(codes), dtype=np.int64)
    return Examined(rows, codes.astype(np.int32), (rows % batches).astype(np.int32), probabilities)


class TestByHand:
    def test_equal_weights_where_nothing_was_left_out(self) -> None:
        one = voice("one", level([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1]]))
        two = voice("two", level([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]))
        found = consensus([one, two]).first
        np.testing.assert_allclose(found.labels.probabilities, [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]], atol=1e-6)
        assert found.labels.labels.tolist() == ["B", "NK"]
        np.testing.assert_allclose(found.labels.confidence, [0.7, 0.6], atol=1e-6)
        np.testing.assert_allclose(found.agreement, [1.0, 0.5])
        np.testing.assert_allclose(found.labels.disagreement, [0, 1], atol=1e-6)
        assert found.codes.tolist() == [[0, 0], [0, 1]]
        np.testing.assert_allclose(found.weights, 0.5)
        assert (found.scores, found.examined) == ({}, None)

    def test_it_says_that_nothing_was_measured(self) -> None:
        (told,) = consensus([voice("one", level([[1, 0, 0]])), voice("two", level([[1, 0, 0]]))]).notices
        assert "weigh alike" in told
        assert "cell_type" in told

    def test_novelty_is_the_median_of_those_that_tell_it(self) -> None:
        sure = [[0.9, 0.05, 0.05]]
        voices = [voice("voice", level(sure, novelty=[novelty])) for novelty in (0.1, 0.4, 0.99)]
        silent = voice("d", level(sure, novelty=[np.nan]), tells=False)
        assert consensus([*voices, silent]).first.labels.novelty == pytest.approx(0.4)

    def test_so_is_how_far_a_cell_lies(self) -> None:
        sure = [[0.9, 0.05, 0.05]]
        voices = [voice("voice", level(sure, stretch=[times])) for times in (0.5, 2.0, 8.0)]
        silent = voice("d", level(sure, stretch=[np.nan]), tells=False)
        assert consensus([*voices, silent]).first.labels.stretch == pytest.approx(2.0)
        assert np.isnan(consensus([silent, silent]).first.labels.stretch).all()

    @pytest.mark.parametrize(("calls", "unknown"), [((1, 1, 0), True), ((1, 0, 0), False), ((0, 0, 0), False)])
    def test_most_voices_make_a_cell_unknown(self, calls: tuple[int, ...], unknown: bool) -> None:
        voices = [voice("voice", level([[0.9, 0.05, 0.05]], unknown=[call])) for call in calls]
        assert consensus(voices).first.labels.unknown.tolist() == [unknown]

    def test_no_pooled_confidence_makes_a_cell_unknown(self) -> None:
        apart = [voice("a", level([[0.9, 0.1, 0]])), voice("b", level([[0, 0.1, 0.9]])), voice("c", level([[0, 1, 0]]))]
        assert consensus(apart).first.labels.unknown.tolist() == [True]

    def test_voices_may_know_different_labels(self) -> None:
        one = voice("one", level([[0.6, 0.4]], classes=("B", "T")))
        two = voice("two", level([[0.1, 0.1, 0.8]], classes=("T", "B", "new")))
        found = consensus([one, two]).first
        assert found.labels.classes == ("B", "T", "new")
        np.testing.assert_allclose(found.labels.probabilities, [[0.35, 0.25, 0.4]], atol=1e-6)
        assert found.codes.tolist() == [[0], [2]]


class TestWeights:
    def test_who_is_always_right_has_all_of_it(self) -> None:
        codes = np.array([0, 1, 2] * 20)
        answers = np.stack([np.eye(3)[codes] * 0.7 + 0.1, np.full((60, 3), 1 / 3)]).astype(np.float32)
        np.testing.assert_allclose(pool_weights(answers, codes), [1, 0], atol=0.01)

    def test_who_know_half_of_it_each_share(self) -> None:
        codes = np.zeros(40, int)
        good = np.repeat([0.9, 0.1], 20)
        answers = np.stack([np.stack([p, 1 - p], 1) for p in (good, 1 - good)]).astype(np.float32)
        np.testing.assert_allclose(pool_weights(answers, codes), 0.5, atol=1e-6)

    def test_round_by_round_the_voice_is_added_that_helps_most(self) -> None:
        """Twin: the library's macro-F1 and surprise of every candidate mean."""
        rng = np.random.default_rng(0)
        codes = rng.choice(4, 400, p=[0.6, 0.25, 0.1, 0.05])
        sure = rng.uniform(0.5, 1.5, (3, 400, 1))
        answers = np.stack([erring(codes, right, rng, n_classes=4) for right in (0.8, 0.7, 0.75)]) ** sure
        answers = (answers / answers.sum(2, keepdims=True)).astype(np.float32)

        def worth(chosen: list[int]) -> float:
            mean = answers[chosen].mean(0, dtype=np.float64)
            score = f1_score(codes, mean.argmax(1), labels=range(4), average="macro", zero_division=0)
            return score - 0.02 * log_loss(codes, mean / mean.sum(1, keepdims=True), labels=range(4))

        chosen: list[int] = []
        for _ in range(20):
            chosen.append(max(range(3), key=lambda voice: worth([*chosen, voice])))
        best = max((chosen[:n] for n in range(1, 21)), key=worth)
        np.testing.assert_allclose(pool_weights(answers, codes), np.bincount(best, minlength=3) / len(best), atol=1e-6)

    def test_a_rare_label_that_one_voice_knows_is_heard(self) -> None:
        """Of 100 cells, two are of a kind that the surer voice takes for another."""
        codes = np.repeat([0, 1, 2], [60, 38, 2])
        blind = np.full((100, 3), 0.02)
        blind[np.arange(100), np.where(codes == 2, 1, codes)] = 0.96
        seeing = np.full((100, 3), 0.2)
        seeing[np.arange(100), codes] = 0.6
        answers = np.stack([blind, seeing]).astype(np.float32)
        pooled = np.tensordot(pool_weights(answers, codes), answers, 1)
        assert (pooled.argmax(1) == codes).all()

    def test_the_mean_is_calibrated_once_more(self) -> None:
        """Of independent voices the mean is less sure than it may be."""
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 3, 2000)
        answers = np.stack([erring(codes, 0.8, rng) for _ in range(5)])
        pool = Pool.of(answers, codes)
        assert pool.temperature < 1
        assert pool(answers).max(1).mean() == pytest.approx((pool(answers).argmax(1) == codes).mean(), abs=0.03)


class TestPlanted:
    """Five voices that err independently, one of which guesses."""

    SKILLS = (0.8, 0.75, 0.7, 0.7, 1 / 3)

    @pytest.fixture(scope="class")
    @classmethod
    def asked(cls) -> tuple[list[Voice], IntArray]:
        """Voices with 1,000 left-out cells, on 2,000 further cells of known labels."""
        rng = np.random.default_rng(1)
        known, truth = (rng.choice(3, n, p=[0.6, 0.3, 0.1]).astype(np.int32) for n in (1000, 2000))
        voices = []
        for at, skill in enumerate(cls.SKILLS):
            kept = {"cell_type": left_out(erring(known, skill, rng), known)}
            voices.append(voice(f"voice{at}", level(erring(truth, skill, rng)), examined=kept))
        return voices, truth

    def test_the_consensus_beats_each(self, asked: tuple[list[Voice], IntArray]) -> None:
        voices, truth = asked
        found = consensus(voices).first
        scores = [f1_score(truth, codes, average="macro") for codes in found.codes]
        assert f1_score(truth, found.labels.codes, average="macro") > max(scores) + 0.05

    def test_it_is_calibrated(self, asked: tuple[list[Voice], IntArray]) -> None:
        voices, truth = asked
        found = consensus(voices).first
        right = found.labels.codes == truth
        assert found.labels.confidence.mean() == pytest.approx(right.mean(), abs=0.03)
        assert found.scores["calibration_error"] < 0.05
        assert found.scores["accuracy"] == pytest.approx(right.mean(), abs=0.03)

    def test_its_sets_hold_what_they_promise(self, asked: tuple[list[Voice], IntArray]) -> None:
        voices, truth = asked
        sets = consensus(voices).first.labels.sets
        assert sets[np.arange(len(truth)), truth].mean() == pytest.approx(0.95, abs=0.02)
        assert sets.sum(1).mean() < 3

    def test_who_guesses_does_no_harm(self, asked: tuple[list[Voice], IntArray]) -> None:
        voices, truth = asked
        with_it, without = (consensus(some).first.labels.codes for some in (voices, voices[:-1]))
        assert f1_score(truth, with_it, average="macro") == pytest.approx(
            f1_score(truth, without, average="macro"), abs=0.02
        )

    def test_only_cells_that_all_answered_teach(self, asked: tuple[list[Voice], IntArray]) -> None:
        voices, _ = asked
        first = voices[0].examined["cell_type"]
        part = Examined(*(values[200:] for values in (first.rows, first.codes, first.batches, first.probabilities)))
        cut = [replace(voices[0], examined={"cell_type": part}), *voices[1:]]
        found = consensus(cut).first.examined
        assert found is not None
        assert found.rows.tolist() == list(range(200, 1000))
        assert consensus([replace(voices[0], examined={}), *voices[1:]]).first.examined is None


class TestAgreementOfTwo:
    @pytest.mark.parametrize("seed", range(3))
    def test_kappa_as_in_scikit_learn(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        codes = rng.choice(4, (3, 100), p=[0.6, 0.2, 0.1, 0.1]).astype(np.int32)
        codes[1, :60] = codes[0, :60]
        share, kappa = agreement_of(codes, 4)
        for a in range(3):
            for b in range(3):
                assert kappa[a, b] == pytest.approx(cohen_kappa_score(codes[a], codes[b]), abs=1e-6)
                assert share[a, b] == pytest.approx((codes[a] == codes[b]).mean())

    def test_two_that_say_one_thing_agree(self) -> None:
        _, kappa = agreement_of(np.zeros((2, 5), np.int32), 2)
        np.testing.assert_array_equal(kappa, 1)


class TestTables:
    def test_where_voices_disagree(self) -> None:
        b, t = [0.9, 0.05, 0.05], [0.05, 0.05, 0.9]
        voices = [voice("x", level([b, b, t])), voice("y", level([b, b, t])), voice("z", level([b, t, t]))]
        found = consensus(voices)
        table = disputed_labels(found.first)
        assert table["label"].tolist() == ["B", "T"]
        assert table["cells"].tolist() == [2, 1]
        assert table["disputed"].tolist() == [1, 0]
        np.testing.assert_allclose(table["agreement"], [5 / 6, 1], atol=1e-6)
        assert table["rival"].tolist() == ["T", ""]
        assert table["rival_cells"].tolist() == [1, 0]
        cells = disputed_cells(found, pd.Index(["c1", "c2", "c3"]))
        assert cells[["cell_id", "consensus", "x", "y", "z"]].to_numpy().tolist() == [["c2", "B", "B", "B", "T"]]
        assert cells["agreement"].tolist() == pytest.approx([2 / 3])


class TestLevels:
    INSIDE: BoolArray = np.array([[True, False, False], [False, True, True]])

    def test_they_do_not_contradict_each_other(self) -> None:
        fine = level([[0.45, 0.4, 0.15]])  # a B cell by a hair
        coarse = level([[0.1, 0.9]], name="lineage", classes=("B lineage", "T and NK"))
        voices = [voice(name, fine, coarse) for name in "ab"]
        assert consensus(voices).first.labels.labels.tolist() == ["B"]
        found = consensus(voices, {"cell_type": Nested("lineage", self.INSIDE)})
        assert [of.labels.labels.tolist() for of in found.levels] == [["NK"], ["T and NK"]]
        assert found.first.labels.confidence.tolist() == pytest.approx([0.4])
        assert found.first.agreement.tolist() == [0.0]
        assert found.labels.within == {"cell_type": "lineage"}

    def test_only_what_all_speak_of(self) -> None:
        both = voice("a", level([[1, 0, 0]]), level([[1, 0]], name="lineage", classes=("x", "y")))
        assert [of.labels.level for of in consensus([both, voice("b", level([[1, 0, 0]]))]).levels] == ["cell_type"]


class TestRefusals:
    def test_one_voice(self) -> None:
        with pytest.raises(OptionsProblem, match="at least two methods; 1 can"):
            consensus([voice("one", level([[1, 0, 0]]))])

    def test_different_cells(self) -> None:
        with pytest.raises(OptionsProblem, match=r"One 1, Two 2"):
            consensus([voice("one", level([[1, 0, 0]])), voice("two", level([[1, 0, 0]] * 2))])

    def test_no_common_level(self) -> None:
        with pytest.raises(OptionsProblem, match="share no label level"):
            consensus([voice("one", level([[1, 0, 0]])), voice("two", level([[1, 0, 0]], name="lineage"))])
