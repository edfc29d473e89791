"""The threshold of confidence: what it does to labels, and that every screen and file obeys the same one."""

from __future__ import annotations

import asyncio
import io
import os
import re
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sessions import run

import explorer
from explorer import keys
from explorer.app.leaving.handouts import offered_predictions, offered_probabilities, offered_result
from explorer.app.leaving.tables import front_table, offered_groups
from explorer.app.shell import step_states
from explorer.app.stored import library
from explorer.app.tab.doubts import COVERAGES, sets_of
from explorer.app.tab.session import Session
from explorer.app.views.quality.screen import missing_words, verdict_html, verdict_note
from explorer.app.views.quality.threshold import doubts_html, offers
from explorer.beside import Signal
from explorer.doubt.conformal import likely_sets
from explorer.doubt.examined import Examined
from explorer.doubt.risk import at_threshold
from explorer.doubt.thresholds import result_with_threshold, with_threshold
from explorer.doubt.trade import Trade, estimate_note, percent
from explorer.errors import OptionsProblem
from explorer.flow import LevelLabels, MappingResult, Reference
from explorer.jobs import worker
from explorer.mapping.left_out import left_out_answers
from explorer.prose import consequence
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA, settings
from explorer.writing.export import read_result, write_h5ad

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"


@pytest.fixture(scope="module")
def result() -> MappingResult:
    """The demo cells on the sample atlas."""
    return explorer.map_query(explorer.open_query(DEMO), explorer.open_reference(SAMPLE_ATLAS), "concord", device="cpu")


async def mapped() -> Session:
    """A session whose demo cells are mapped."""
    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.begin(DEMO, DEMO.stem)
    await session.settled()
    assert step_states(session)["quality"] == ("todo", "after mapping")
    assert "not mapped yet" in missing_words(session)
    session.start()

    def work() -> None:
        queue = library.queue()
        while job := queue.claim(os.getpid()):
            worker.do(job, queue, worker.run_mapping)

    await asyncio.to_thread(work)
    session.poll()
    await session.settled()
    return session


def legend(session: Session) -> dict[str, int]:
    """Cells of each legend entry."""
    coloring = session.coloring
    return {name: n for name, n in zip(coloring.names, coloring.counts.tolist(), strict=True) if n}


class TestLabels:
    def test_less_sure_cells_join_the_unknown_at_every_level_and_nothing_else_changes(
        self, result: MappingResult
    ) -> None:
        strict = result_with_threshold(result, 0.9)
        for before, after in zip(result.labels.levels, strict.labels.levels, strict=True):
            np.testing.assert_array_equal(after.unknown, before.unknown | (before.confidence < 0.9))
            assert after.unknown.sum() > before.unknown.sum()
            assert after.codes is before.codes
            assert (before.threshold, after.threshold) == (0.5, 0.9)

    def test_the_rule_of_the_reference_changes_nothing(self, result: MappingResult) -> None:
        assert result_with_threshold(result, 0.5) is result

    @pytest.mark.parametrize("threshold", [0.49, 1.01, float("nan")])
    def test_a_threshold_outside_is_refused(self, result: MappingResult, threshold: float) -> None:
        with pytest.raises(OptionsProblem, match=r"between 0\.5 and 1"):
            with_threshold(result.labels.first, threshold)

    def test_what_was_called_unknown_stays_so(self, result: MappingResult) -> None:
        strict = with_threshold(result.labels.first, 0.9)
        with pytest.raises(OptionsProblem, match=r"between 0\.9 and 1"):
            with_threshold(strict, 0.6)

    def test_the_file_says_which_threshold_it_was_written_with(self, result: MappingResult, tmp_path: Path) -> None:
        strict = result_with_threshold(result, 0.8)
        write_h5ad(strict, explorer.open_query(DEMO), tmp_path / "strict.h5ad")
        read = read_result(tmp_path / "strict.h5ad")
        assert [level.threshold for level in read.labels.levels] == [0.8] * len(strict.labels.levels)
        np.testing.assert_array_equal(read.labels.first.unknown, strict.labels.first.unknown)
        assert "confidence lies under 0.80" in consequence(read, read.labels.first.level)


class TestSession:
    def test_every_count_follows_the_threshold(self, home: Path) -> None:
        async def steps() -> None:
            session = await mapped()
            asked = session.outcomes[session.method].result.labels.level(session.level)
            session.choose_threshold(0.9)
            await session.settled()
            kept = int((~asked.unknown & (asked.confidence >= 0.9)).sum())
            unknown = len(asked.codes) - kept
            assert legend(session)[keys.UNKNOWN] == unknown
            assert sum(legend(session).values()) == 832
            trade = session.trade(session.level)
            assert (trade.kept, trade.cells) == (kept, 832)
            assert front_table(session)[keys.IS_UNKNOWN].sum() == unknown
            tables = [
                pd.read_csv(io.BytesIO(b"".join(offered_groups(session, column).blocks)))
                for column in ("", "condition")
            ]
            for table in tables:
                assert (table["cells"] * table["kept"]).sum() == pytest.approx(kept, abs=0.01)
                assert set(table["threshold"]) == {0.9}
            for offered in (offered_probabilities(session), offered_predictions(session)):
                written = pd.read_csv(io.BytesIO(b"".join(offered.blocks)))
                assert written["unknown"].sum() == unknown
                assert set(written[keys.THRESHOLD]) == {0.9}
            (home / "strict.h5ad").write_bytes(b"".join(offered_result(session).blocks))
            assert not list((settings().home / "handouts").iterdir())
            file, query = ad.read_h5ad(home / "strict.h5ad"), ad.read_h5ad(DEMO)
            assert file.obs[keys.IS_UNKNOWN].sum() == unknown
            assert set(file.obs[query.obs.columns]) == set(query.obs)
            assert (file.X != query.X).nnz == 0
            assert read_result(home / "strict.h5ad").labels.first.threshold == 0.9
            counted = session.outcome.result.labels
            nowhere = np.all([each.unknown for each in counted.levels], axis=0)
            np.testing.assert_array_equal(counted.deepest < 0, nowhere)

        run(steps)

    def test_it_is_kept_undone_and_taken_up_elsewhere(self, home: Path) -> None:
        async def steps() -> None:
            session = await mapped()
            before = legend(session)
            session.select(np.arange(5))
            session.choose_threshold(0.8)
            await session.settled()
            after = legend(session)
            assert after[keys.UNKNOWN] > before[keys.UNKNOWN]
            assert session.selection is not None
            session.choose_coverage(0.99)
            other = Session()
            other.resume(session.project.id, "quality")
            await other.settled()
            await other.settled()
            assert (other.step, other.threshold, other.coverage) == ("quality", 0.8, 0.99)
            assert legend(other) == after
            session.undo()
            session.undo()
            await session.settled()
            assert (session.threshold, session.coverage) == (0.5, 0.95)
            assert legend(session) == before
            session.redo()
            await session.settled()
            assert legend(session) == after

        run(steps)

    def test_another_method_obeys_the_same_threshold(self, home: Path) -> None:
        async def steps() -> None:
            session = await mapped()
            session.choose_threshold(0.9)
            raw = session.outcomes[session.method]
            session.outcomes = {**session.outcomes, "scpoli": replace(raw, job="other")}
            session.show_result("scpoli")
            assert session.outcome.job == "other"
            assert session.outcome.result.labels.first.threshold == 0.9

        run(steps)

    def test_the_step_says_what_the_verdict_says(self, home: Path) -> None:
        async def steps() -> None:
            session = await mapped()
            verdict = session.outcome.result.verdict
            for signal, told in [(Signal.GOOD, ("ready", "ok")), (Signal.DOUBTFUL, ("mind", "look")),
                                 (Signal.BAD, ("problem", "poor"))]:  # fmt: skip
                judged = replace(session.outcome.result, verdict=replace(verdict, signal=signal))
                session.outcome = replace(session.outcome, result=judged)
                assert step_states(session)["quality"] == told
            session.outcome = replace(session.outcome, result=replace(judged, verdict=None))
            assert step_states(session)["quality"] == ("ready", "not judged")
            assert "older Atlas Explorer" in verdict_html(None)

        run(steps)


class TestEstimates:
    def test_left_out_answers_belong_to_the_model_behind_the_result(
        self, result: MappingResult, sample_atlas: Reference
    ) -> None:
        found = left_out_answers(sample_atlas, result)
        assert set(found) == {level.level for level in result.labels.levels}
        level = result.labels.first
        trade = Trade.of(with_threshold(level, 0.8), found[level.level])
        assert trade.estimate == at_threshold(found[level.level], 0.8)
        told = f"{round(100 * trade.kept / 832)} % at {round(100 * trade.estimate.accuracy)} % estimated accuracy"
        assert trade.words == f"threshold 0.80 keeps {told}"

    def test_offered_thresholds_are_as_right_as_they_say(self) -> None:
        sure = np.linspace(0.5, 1, 200, dtype=np.float32)
        probabilities = np.stack([sure, 1 - sure], axis=1)
        codes = (np.arange(200) % 4 == 0).astype(np.int32)
        codes[120:] = 0  # above 0.8 all are right
        examined = Examined(np.arange(200), codes, np.zeros(200, np.int32), probabilities)
        for name, at in offers(examined)[1:]:
            assert at_threshold(examined, at).accuracy >= float(name.split(" %")[0]) / 100
        assert len(offers(examined)) == 4
        assert offers(None) == [("Reference's rule, 0.50", 0.5)]

    @pytest.mark.parametrize("coverage", COVERAGES)
    def test_sets_hold_the_label_also_without_left_out_answers(
        self, result: MappingResult, sample_atlas: Reference, coverage: float
    ) -> None:
        level = result.labels.first
        for examined in (None, left_out_answers(sample_atlas, result)[level.level]):
            sets = sets_of(level, examined, coverage)
            assert sets[np.arange(len(sets)), level.codes].all()
        assert (sets_of(level, None, 0.8) >= likely_sets(level.probabilities, 0.8)).all()

    def test_references_without_left_out_cells_and_doubtful_mappings_say_so(self) -> None:
        assert "No labelled reference cell was left out" in estimate_note(None, False)
        examined = Examined(np.arange(2), np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.eye(2, dtype="f4"))
        assert "2 reference cells of 2 batches" in estimate_note(examined, False)
        assert "fewer of your labels" in estimate_note(examined, True)

    def test_the_two_doubts_divide_all_cells(self, result: MappingResult) -> None:
        labels = with_threshold(result.labels.first, 0.9)
        counts = [int(each.replace(",", "")) for each in re.findall(r'right">([\d,]+)</td>', doubts_html(labels))]
        sure, far = labels.confidence >= 0.9, labels.stretch > 1
        assert counts == [(sure & ~far).sum(), (~sure & ~far).sum(), (sure & far).sum(), (~sure & far).sum()]
        assert sum(counts) == 832

    def test_a_verdict_says_what_it_does_not_speak_of(self) -> None:
        assert verdict_note(832, 0.5) == ""
        assert "before the threshold rose to 0.80" in verdict_note(832, 0.8)
        assert "on 1 cell says little" in verdict_note(1, 0.5)

    def test_nothing_kept_is_said_and_not_divided_by(self, result: MappingResult) -> None:
        one = _only(result.labels.first, 1)
        none = replace(one, confidence=np.zeros(1, np.float32), unknown=np.ones(1, bool))
        trade = Trade.of(none, None)
        assert trade.words == "threshold 0.50 keeps 0 %"
        assert "no cell carries a label" in trade.sentence
        assert (percent(1, 1000), percent(999, 1000), percent(1, 1)) == ("< 1 %", "> 99 %", "100 %")


def _only(labels: LevelLabels, n: int) -> LevelLabels:
    per_cell = ("codes", "probabilities", "confidence", "disagreement", "novelty", "stretch", "unknown", "sets")
    return replace(labels, **{name: getattr(labels, name)[:n] for name in per_cell})
