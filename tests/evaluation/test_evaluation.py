"""Leaving batches and types out in turn: through the real command, and piece by piece against what is known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from planted import TYPES, planted

from explorer.__main__ import PROBLEM, main
from explorer.errors import Cancelled, OptionsProblem
from explorer.evaluation.contenders import BASELINES, Answers, mixing
from explorer.evaluation.crosscalibration import Asked, Calibration, Judged, consensus, crossed
from explorer.evaluation.leaving_out import PAGE, SCORECARD, evaluate
from explorer.evaluation.measures import Measured
from explorer.evaluation.scorecard import CONSENSUS, auroc, judged_record, stranger_record
from explorer.evaluation.trainings import FOLDER, MOST_FOLDS, Plan, Task, drawn, kept, run_all, write_plan
from explorer.flow import Reference
from explorer.progress import Progress
from explorer.reference import open_reference
from explorer.report import describe_reference

VOID = {"meta", "img", "br"}
HOW = ("--labels", "cell_type", "--batch", "batch", "--methods", "concord", "--set", "epochs=2", "--types", "alpha",
       "--device", "cpu", "--jobs", "2")  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """144 planted cells in three batches."""
    path = tmp_path_factory.mktemp("evaluated") / "planted.h5ad"
    planted(cells=12).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def output(source: Path, sample_atlas: Reference) -> Path:
    """What the command writes of them; the card of a reference keeps its summary."""
    out = source.with_name("out")
    shutil.copytree(sample_atlas.folder, source.with_name("kept.atlas"))
    words = ["evaluate", str(source), *HOW, "--into", str(source.with_name("kept.atlas")), "--output", str(out)]
    assert main(words) == 0
    return out


@pytest.fixture(scope="module")
def scorecard(output: Path) -> dict[str, Any]:
    """Read back."""
    return dict(json.loads((output / SCORECARD).read_text(encoding="utf-8")))


def test_a_reference_is_built_and_evaluated_by_one_command(
    source: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its trainings are those that lie in the folder already."""
    shutil.copytree(output, tmp_path / "out")
    how = ("--labels", "cell_type", "--batch", "batch", "--set", "epochs=2", "--types", "alpha", "--device", "cpu")
    words = ["build", str(source), str(tmp_path / "new.atlas"), *how]
    assert main([*words, "--evaluate", str(tmp_path / "out")]) == 0
    assert "scorecard of " in capsys.readouterr().out
    found, alone = (open_reference(place).card["evaluation"]["contenders"]
                    for place in (tmp_path / "new.atlas", source.with_name("kept.atlas")))  # fmt: skip
    assert set(found) == set(alone) >= {"concord", *BASELINES}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--evaluate", "out"], "--evaluate leaves batches out in turn: name the column"),
        (["--batch", "batch", "--gene-sets", "go_bp", "--evaluate", "out"], "gene sets that they come with"),
        (["--batch", "batch", "--types", "none"], "--types goes with --evaluate"),
    ],
    ids=["no batch", "gene sets", "types alone"],
)
def test_an_evaluation_that_cannot_be_made_is_refused_before_building(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["build", str(source), str(tmp_path / "new.atlas"), "--labels", "cell_type", *words]) == PROBLEM
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class Tags(HTMLParser):
    """Counts tags, and whatever would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestCommand:
    def test_every_contender_is_judged_on_every_batch(self, scorecard: dict[str, Any]) -> None:
        contenders = {"concord", *BASELINES, CONSENSUS}
        found = {(r["contender"], r["left_out"]) for r in scorecard["records"]}
        assert found == {(name, batch) for name in contenders for batch in ("b1", "b2", "b3")}
        assert {row["contender"] for row in scorecard["summaries"]} == contenders

    def test_planted_types_are_found(self, scorecard: dict[str, Any]) -> None:
        by_name = {row["contender"]: row for row in scorecard["summaries"]}
        for name in ("logistic", CONSENSUS):
            assert by_name[name]["macro_f1"] > 0.95
        assert by_name["concord"]["auroc_stretch"] > 0.8
        assert by_name["concord"]["auroc_novelty"] > 0.8
        assert by_name["logistic"]["auroc_stretch"] > 0.8, "measured alike, whoever gives the labels"

    def test_costs_are_of_single_trainings(self, scorecard: dict[str, Any]) -> None:
        for record in scorecard["records"]:
            if record["contender"] != CONSENSUS:
                assert record["train_seconds"] > 0
                assert 50 < record["peak_mb"] < 4000

    def test_the_type_left_out_is_told_of(self, scorecard: dict[str, Any]) -> None:
        assert {r["type"] for r in scorecard["types"]} == {"alpha"}
        assert {(r["unseen"], r["seen"]) for r in scorecard["types"]} == {(12, 36)}

    def test_page_is_whole_and_needs_nothing_else(self, output: Path) -> None:
        tags = Tags()
        tags.feed((output / PAGE).read_text(encoding="utf-8"))
        assert tags.open == []
        assert len(tags.fetched) >= 6
        assert all(text.startswith("data:image/svg+xml;base64,") for text in tags.fetched)

    def test_a_card_keeps_the_summary(self, output: Path) -> None:
        reference = open_reference(output.with_name("kept.atlas"))
        assert set(reference.card["evaluation"]["contenders"]) == {"concord", *BASELINES, CONSENSUS}
        assert "3 left-out batches" in describe_reference(reference)

    def test_goes_on_where_it_stopped_and_finds_the_same(self, output: Path, scorecard: dict[str, Any]) -> None:
        again = output.with_name("again")
        shutil.copytree(output, again)
        gone = again / FOLDER / "svm-seed-0-fold-1.safetensors"
        gone.unlink()
        others = {path: path.stat().st_mtime_ns for path in (again / FOLDER).iterdir()}
        assert main(["evaluate", str(output.with_name("planted.h5ad")), *HOW, "--output", str(again)]) == 0
        assert gone.exists()
        assert {path: path.stat().st_mtime_ns for path in others} == others
        found = json.loads((again / SCORECARD).read_text(encoding="utf-8"))
        spent = ("train_seconds", "map_seconds", "cpu_seconds", "peak_mb")
        for one, other in zip(found["records"], scorecard["records"], strict=True):
            assert {k: v for k, v in one.items() if k not in spent} == {
                k: v for k, v in other.items() if k not in spent
            }
        assert found["types"] == scorecard["types"]

    def test_stops_when_asked(self, source: Path, tmp_path: Path) -> None:
        asked = False

        def listen(report: Any) -> None:
            nonlocal asked
            asked = asked or report.stage.startswith("Training")

        with pytest.raises(Cancelled):
            evaluate(
                source, tmp_path / "out", labels=("cell_type",), batch="batch", methods=("concord",), device="cpu",
                progress=Progress.to(listen, lambda: asked),
            )  # fmt: skip
        assert not (tmp_path / "out" / SCORECARD).exists()

    def test_a_training_that_fails_is_told_and_the_next_goes_on(self, source: Path, tmp_path: Path) -> None:
        plan = Plan(str(source), "", ("cell_type",), "batch", None, "balanced", {"n_genes": "0"}, "cpu", {})
        write_plan(tmp_path, plan)
        tasks = [Task("concord", 0, 0), Task("svm", 0, 0)]
        failed = list(run_all(tmp_path, tasks, 1, lambda task: task.name, Progress()))
        assert [task for task, _ in failed] == tasks[:1]
        assert failed[0][1]
        assert [kept(tmp_path, task, plan) is None for task in tasks] == [True, False]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--types", "omega"], "no type 'omega'"),
            (["--methods", "harmony"], "no method 'harmony'"),
            (["--set", "epoch=3"], "no setting 'epoch'"),
            (["--cells", "0"], "--cells is a whole number"),
            (["--jobs", "0"], "--jobs is a whole number"),
            (["--batch", "plate"], "no obs column 'plate'"),
        ],
    )  # fmt: skip
    def test_says_what_cannot_be(
        self, source: Path, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        base = ["evaluate", str(source), "--labels", "cell_type", "--batch", "batch", "--output", str(tmp_path / "o")]
        assert main([*base, *words]) == PROBLEM
        assert told in capsys.readouterr().err

    def test_needs_two_batches_with_labels(self, tmp_path: Path) -> None:
        cells = planted(cells=5)
        labels = cells.obs["cell_type"].astype(object)
        labels[cells.obs["batch"].to_numpy() != "b1"] = None
        cells.obs["cell_type"] = labels
        cells.write_h5ad(tmp_path / "one.h5ad")
        with pytest.raises(OptionsProblem, match="1 batch of 'batch' has labels"):
            evaluate(tmp_path / "one.h5ad", tmp_path / "out", labels=("cell_type",), batch="batch")


def some_answers(rng: np.random.Generator, n: int = 60, sure: float = 2.0) -> Asked:
    """Of two heads, the second better, with distances from all labels."""
    codes = rng.integers(0, 3, n).astype(np.int32)
    scores = rng.normal(size=(2, n, 3))
    scores[:, np.arange(n), codes] += np.array([0.5, sure])[:, None]
    p = (np.exp(scores) / np.exp(scores).sum(2, keepdims=True)).astype(np.float32)
    far, odd = rng.spawn(1)[0].random((2, n, 3)).astype(np.float32)
    return Asked(Answers(np.arange(n), codes, {"vote": p[0], "linear": p[1]}), Measured(far, odd))


def corrupted(asked: Asked) -> Asked:
    """The same answers to cells whose labels are others."""
    turned = ((asked.answers.codes + 1) % 3).astype(np.int32)
    return replace(asked, answers=replace(asked.answers, codes=turned))


class TestCrossCalibration:
    def test_the_labels_of_a_batch_do_not_touch_its_own_answers(self) -> None:
        rng = np.random.default_rng(0)
        answers = [some_answers(rng) for _ in range(4)]
        asked, others, calibration = crossed(answers, 1)
        lied = [corrupted(each) if fold == 1 else each for fold, each in enumerate(answers)]
        again, others_again, calibration_again = crossed(lied, 1)
        assert calibration.temperature == calibration_again.temperature
        assert calibration.head == calibration_again.head == "linear"
        np.testing.assert_array_equal(asked.probabilities, again.probabilities)
        np.testing.assert_array_equal(asked.unknown, again.unknown)
        np.testing.assert_array_equal(asked.novelty, again.novelty)
        together, _ = consensus([asked, asked], [others, others])
        together_again, _ = consensus([again, again], [others_again, others_again])
        np.testing.assert_array_equal(together.probabilities, together_again.probabilities)

    def test_the_labels_of_other_batches_do(self) -> None:
        rng = np.random.default_rng(0)
        answers = [some_answers(rng) for _ in range(4)]
        lied = [corrupted(each) if fold == 2 else each for fold, each in enumerate(answers)]
        assert crossed(answers, 1)[2].temperature != crossed(lied, 1)[2].temperature

    def test_sets_hold_what_they_promise(self) -> None:
        rng = np.random.default_rng(1)
        answers = [some_answers(rng, 1500, 1.0) for _ in range(4)]
        for fold in range(4):
            asked, others, _ = crossed(answers, fold)
            coverage = judged_record(asked, others)["coverage"]
            for promise in ("0.90", "0.95"):
                assert coverage[promise]["covered"] == pytest.approx(float(promise), abs=0.02)

    def test_a_contender_without_distances_is_called_unknown_by_confidence_alone(self) -> None:
        bare = [replace(each, measured=None) for each in map(some_answers, [np.random.default_rng(3)] * 3)]
        calibration = Calibration.of(bare)
        judged = calibration.applied(bare[0])
        assert calibration.held_out is None
        assert judged.novelty is None
        np.testing.assert_array_equal(judged.unknown, judged.confidence < 0.5)


def judged_as(probabilities: list[list[float]], codes: list[int], unknown: list[bool] | None = None) -> Judged:
    return Judged(
        np.array(codes, np.int32),
        np.array(probabilities, np.float32),
        None,
        np.zeros(len(codes), bool) if unknown is None else np.array(unknown),
    )


class TestScores:
    def test_calibration_error_by_hand(self) -> None:
        """Two cells at 0.9 of which one is right, two at 0.6 that both are: 0.5 * 0.4 + 0.5 * 0.4."""
        judged = judged_as([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], [0, 1, 0, 0])
        record = judged_record(judged, [judged])
        assert record["calibration_error"] == pytest.approx(0.4)
        assert record["accuracy"] == 0.75
        assert record["confusion"] == [[3, 0], [1, 0]]

    def test_risk_and_coverage_by_hand(self) -> None:
        judged = judged_as([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], [0, 1, 1, 0])
        at = {row[0]: row[1:] for row in judged_record(judged, [judged])["risk_coverage"]}
        assert at[0.0] == [1.0, 0.5]
        assert at[0.75] == [0.5, 1.0]
        assert 0.95 not in at

    def test_auroc_is_the_share_of_pairs_in_order(self) -> None:
        rng = np.random.default_rng(2)
        unseen, score = rng.random(80) < 0.3, rng.integers(0, 6, 80).astype(np.float32)
        pairs = [float(a > b) + 0.5 * float(a == b) for a in score[unseen] for b in score[~unseen]]
        assert auroc(unseen, score) == pytest.approx(np.mean(pairs))

    def test_strangers_by_hand(self) -> None:
        judged = judged_as([[0.6, 0.4], [0.9, 0.1], [0.95, 0.05], [0.8, 0.2]], [1, 1, 0, 0], [True, False, True, False])
        record = stranger_record(judged, 1)
        assert record["flagged_unseen"] == record["flagged_seen"] == 0.5
        assert record["auroc_doubt"] == 0.75
        assert record["auroc_novelty"] is None

    def test_strangers_beyond_all_held_out_cells_are_told_apart_by_stretch(self) -> None:
        """By the p-value they tie with the one known cell that lies beyond, too."""
        judged = replace(
            judged_as([[0.9, 0.1]] * 4, [1, 1, 0, 0]),
            novelty=np.array([0.99, 0.99, 0.99, 0.2], np.float32),
            stretched=np.array([3.0, 5.0, 1.1, 0.3], np.float32),
        )
        record = stranger_record(judged, 1)
        assert (record["auroc_novelty"], record["auroc_stretch"]) == (0.75, 1.0)


class TestMixing:
    @pytest.mark.parametrize(("apart", "low", "high"), [(0.0, 0.9, 1.0), (50.0, 0.0, 0.01)], ids=["mixed", "apart"])
    def test_planted(self, apart: float, low: float, high: float) -> None:
        rng = np.random.default_rng(0)
        codes = np.repeat([0, 1], 60).astype(np.int32)
        center: NDArray[np.float64] = np.eye(6)[codes] * 20
        here = (center + rng.normal(size=(120, 6))).astype(np.float32)
        there = (center + apart * np.eye(6)[5] + rng.normal(size=(120, 6))).astype(np.float32)
        found = mixing(here, codes, there, codes, 0)
        assert found is not None
        assert low <= found <= high

    def test_labels_of_few_cells_tell_nothing(self) -> None:
        values = np.eye(4, dtype=np.float32)
        assert mixing(values, np.zeros(4, np.int32), values, np.zeros(4, np.int32), 0) is None


class TestCells:
    def test_drawn_in_their_shares(self) -> None:
        groups = np.repeat([0, 1, 2], [600, 300, 100])
        rows = drawn(groups, 100)
        assert np.bincount(groups[rows]).tolist() == [60, 30, 10]
        np.testing.assert_array_equal(rows, drawn(groups, 100))

    def test_many_batches_share_turns(self, tmp_path: Path) -> None:
        from explorer.evaluation.trainings import folds_of
        from explorer.mapping.learning import read_annotated

        names = [f"b{i}" for i in range(MOST_FOLDS + 3)]
        cells = planted(TYPES[:2], [*names, "spare"], 2)
        cells.obs["cell_type"] = cells.obs["cell_type"].where(cells.obs["batch"] != "spare")
        cells.write_h5ad(tmp_path / "many.h5ad")
        annotated = read_annotated(tmp_path / "many.h5ad", ("cell_type",), "batch", None, Progress())
        fold_of, folds = folds_of(annotated)
        assert len(folds) == MOST_FOLDS
        assert sorted(name for fold in folds for name in fold.split(", ")) == sorted(names)
        assert set(fold_of[cells.obs["batch"].to_numpy() == "spare"]) == {-1}
        for name in names:
            assert len(set(fold_of[cells.obs["batch"].to_numpy() == name])) == 1
