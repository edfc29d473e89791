"""One project mapped by several methods: jobs side by side, results in turn, and what can go wrong with one of them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sessions import few_cells, run

from explorer.app.before import choices, estimates
from explorer.app.colors.coloring import ColorBy
from explorer.app.shell import step_states
from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.views.map.consensus_offer import ConsensusOffer, consensus_words
from explorer.app.views.map.more_options import BY_ITSELF, COARSE_FIRST, JOINTLY, MoreOptionsView
from explorer.app.views.map.screen import advice, method_rows, start_words
from explorer.app.views.map.ways import learns_labels
from explorer.jobs import worker
from explorer.jobs.queue import JobState
from explorer.jobs.specs import MapSpec
from explorer.mapping.levels import LEFT_OUT_BATCHES, QUANTILE
from explorer.settings import SAMPLE_ATLAS


@pytest.fixture
def home(home: Path) -> Path:
    """A home folder of its own, with 40 cells in it."""
    return few_cells(home)


async def work_off(session: Session, jobs: int = 9) -> None:
    """Do some waiting jobs, as the worker process does, and let the session see it."""

    def work() -> None:
        queue = library.queue()
        for _ in range(jobs):
            if job := queue.claim(os.getpid()):
                worker.do(job, queue, worker.run_mapping)

    await asyncio.to_thread(work)
    session.poll()
    await session.settled()


async def opened(home: Path, *methods: str) -> Session:
    """A session with a project on the cells, to be mapped by these methods."""
    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.begin(home / "cells.h5ad", "cells")
    await session.settled()
    session.choose_methods(methods)
    return session


async def tab_on(session: Session) -> Session:
    """Another tab on the same project."""
    other = Session()
    other.resume(session.project.id)
    await other.settled()
    await other.settled()
    return other


def states(session: Session) -> dict[str, JobState]:
    return {name: job.state for name, job in session.jobs.items()}


def test_several_methods_map_and_either_result_is_put_in_view(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "scpoli", "bascvi", "concord")
        assert session.methods == ["concord", "scpoli", "bascvi"]
        session.start()
        session.start()
        assert states(session) == dict.fromkeys(["concord", "scpoli", "bascvi"], JobState.QUEUED)
        assert step_states(session)["map"] == ("running", "0 of 3 done")
        await work_off(session)
        assert set(session.outcomes) == {"concord", "scpoli", "bascvi"}
        assert step_states(session)["map"] == ("ready", "3 models")
        assert (session.method, session.outcome) == ("concord", session.outcomes["concord"])
        session.select(np.array([3, 5]))
        session.show_result("scpoli")
        await session.settled()
        assert (session.outcome.result.method, session.job) == ("scpoli", session.jobs["scpoli"])
        assert session.selection.tolist() == [3, 5], "the same cells"
        labels = session.outcome.result.labels.level(session.level)
        shown = np.asarray(session.coloring.names, object)[session.coloring.codes]
        np.testing.assert_array_equal(shown[~labels.unknown], labels.labels[~labels.unknown])
        other = await tab_on(session)
        assert (other.method, other.outcome, set(other.outcomes)) == ("scpoli", session.outcome, set(session.outcomes))

    run(steps)


def test_start_maps_only_by_what_has_not_answered_to_the_choices(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord", "scpoli")
        assert [spec.method for spec in session.to_do] == ["concord", "scpoli"]
        session.start()
        await work_off(session)
        before = dict(session.outcomes)
        session.choose_methods(["concord", "scpoli", "bascvi"])
        assert [spec.method for spec in session.to_do] == ["bascvi"]
        session.choose_methods(["concord", "scpoli"])
        session.choose_mode("nearest", "scpoli")
        assert [(spec.method, spec.mode) for spec in session.to_do] == [("scpoli", "nearest")]
        assert "have changed" in start_words(session)
        session.start()
        assert set(session.outcomes) == {"concord"}
        assert session.outcome is before["concord"], "the one in view stays"
        await work_off(session)
        assert session.outcomes["scpoli"].job != before["scpoli"].job
        assert len(library.projects().get(session.project.id).jobs) == 2, "a newer result takes the place of its own"
        assert len(session.to_do) == 2, "all have answered: all map again"

    run(steps)


def test_one_of_three_is_cancelled_and_asked_again_from_another_tab(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord", "scpoli", "bascvi")
        session.start()
        session.cancel("scpoli")
        await work_off(session)
        done, cancelled = JobState.DONE, JobState.CANCELLED
        assert states(session) == {"concord": done, "scpoli": cancelled, "bascvi": done}
        assert step_states(session)["map"] == ("ready", "2 of 3 done")
        other = await tab_on(session)
        other.retry("scpoli")
        session.poll()
        assert states(session)["scpoli"] is JobState.QUEUED
        await work_off(session)
        assert set(session.outcomes) == {"concord", "scpoli", "bascvi"}
        session.retry()
        assert (session.method, session.outcome) == ("concord", None)
        session.cancel()
        assert session.outcome is session.outcomes[session.method], "another one, for the one that will not come"

    run(steps)


def test_a_file_that_goes_while_jobs_wait_fails_what_is_left_and_the_rest_is_shown(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord", "bascvi")
        session.show_result("bascvi")
        assert session.method == "concord", "nothing to show yet"
        session.start()
        await work_off(session, jobs=1)
        (home / "cells.h5ad").unlink()
        await work_off(session)
        assert states(session) == {"concord": JobState.DONE, "bascvi": JobState.FAILED}
        assert "cells.h5ad" in session.jobs["bascvi"].error
        assert step_states(session)["map"] == ("problem", "1 of 2 done")
        session.show_result("bascvi")
        assert session.method == "concord", "nothing to show"

    run(steps)


def test_two_tabs_that_start_different_methods_make_one_project(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord")
        other = await tab_on(session)
        other.choose_methods(["scpoli"])
        session.start()
        other.start()
        await work_off(session)
        other.poll()
        await other.settled()
        assert set(session.outcomes) == set(other.outcomes) == {"concord", "scpoli"}
        assert len(library.queue().jobs()) == 2

    run(steps)


def test_labels_are_learned_only_in_ways_that_learn_them(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concerto", "concord")
        session.choose_how(taught="cell_type", proteins="X_adt")
        assert not learns_labels(session)
        assert {spec.own_labels for spec in session.to_do} == {None}
        session.choose_mode("adapted", "concerto")
        assert learns_labels(session)
        assert {spec.method: spec.own_labels for spec in session.to_do} == {"concerto": "cell_type", "concord": None}
        assert {spec.proteins for spec in session.to_do} == {None}, "no model of this reference places by proteins"
        other = await tab_on(session)
        assert other.to_do == session.to_do

    run(steps)


def test_labels_reach_the_mapping(home: Path) -> None:
    spec = MapSpec(str(home / "cells.h5ad"), str(SAMPLE_ATLAS), own_labels="cell_type")
    job = library.queue().submit(spec)
    worker.do(library.queue().claim(os.getpid()), library.queue(), worker.run_mapping)
    assert "'cell_type' cannot take part" in library.queue().get(job.id).error


def test_the_best_on_left_out_batches_is_recommended_with_its_figure(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord")
        reference = session.reference
        scores = {name: choices.macro_f1(reference, name) for name in reference.methods}
        best = max(scores, key=scores.__getitem__)
        assert choices.recommended(reference) == best
        assert f"{scores[best]:.3f}" in advice(session, reference)
        assert [row["id"] for row in method_rows(session, reference) if row["badge"]] == [best]
        card = {**reference.card, "methods": {name: {} for name in reference.methods}}
        unmeasured = replace(reference, card=card)
        assert "none is recommended" in advice(session, unmeasured)
        assert not any(row["badge"] for row in method_rows(session, unmeasured))
        session.choose_methods([])
        assert session.to_do == ()
        assert "at least one" in start_words(session)

    run(steps)


def test_a_consensus_is_announced_with_its_voices_and_what_it_was_worth(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord", "scpoli")
        view = ConsensusOffer(session)
        measured = session.reference.card["evaluation"]["contenders"]["consensus"]["macro_f1"]
        assert "CONCORD, scPoli and logistic regression on expression" in view._said.object
        assert f"the consensus has macro-F1 {measured:.3f}" in view._said.object
        assert not view._see.visible, "nothing is mapped yet"
        bare = {name: value for name, value in session.reference.card.items() if name != "evaluation"}
        (_, worth, _) = consensus_words(replace(session.reference, card=bare), ["concord"])
        assert "was not measured" in worth
        del bare["expression"]
        assert "Choose a second model" in consensus_words(replace(session.reference, card=bare), ["concord"])[0]
        session.start()
        await work_off(session)
        assert view._see.visible
        view._see.clicks += 1
        assert (session.step, session.tab) == ("explore", "Models")
        view.destroy()

    run(steps)


def test_further_options_are_chosen_on_the_page_and_reach_the_job(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord")
        view = MoreOptionsView(session)
        assert not view._body.visible
        view._levels.value = BY_ITSELF
        assert (session.spec.independent, session.spec.hierarchical) == (True, False)
        view._levels.value = COARSE_FIRST
        assert (session.spec.independent, session.spec.hierarchical) == (False, True)
        view._rules.value = QUANTILE
        view._refine.value = True
        assert (session.spec.unknown, session.spec.refine) == (QUANTILE, True)
        assert view._open.label == "More options (3 changed)"
        view._levels.value, view._rules.value = JOINTLY, LEFT_OUT_BATCHES
        assert (session.spec.unknown, session.spec.hierarchical) == (None, False)
        view.destroy()

    run(steps)


def test_more_cells_and_learning_take_longer_and_more_memory() -> None:
    few, many = (estimates.seconds("kida", "instant", n, 5000) for n in (1000, 100_000))
    assert few < many < estimates.seconds("kida", "student", 100_000, 5000)
    assert estimates.memory("instant", 1000, 5000) < estimates.memory("student", 1000, 5000)
    told = {1: "about 5 s", 58: "about 1 min", 200: "about 3 min", 9000: "about 2.5 h"}
    assert {seconds: estimates.about(seconds) for seconds in told} == told


def test_choices_are_taken_back_and_made_again(home: Path) -> None:
    async def steps() -> None:
        session = await opened(home, "concord")
        session.start()
        await work_off(session)
        assert not session.can_undo, "what came before the result spoke of other cells"
        session.hidden = [1]
        session.choose_color(ColorBy("confidence"))
        await session.settled()
        assert session.hidden == []
        session.select(np.array([2]))
        session.undo()
        assert session.selection is None
        assert session.can_redo
        session.undo()
        await session.settled()
        assert (session.color, session.hidden) == (ColorBy("label"), [1]), "what was hidden is hidden again"
        session.undo()
        assert (session.hidden, session.can_undo) == ([], False)
        session.undo()
        for _ in range(3):
            session.redo()
            await session.settled()
        assert (session.color, session.selection.tolist(), session.can_redo) == (ColorBy("confidence"), [2], False)
        assert states(session) == {"concord": JobState.DONE}, "jobs go on as they are"
        session.leave()
        assert not session.can_undo

    run(steps)
