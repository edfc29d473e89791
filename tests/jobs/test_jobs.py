"""The queue, the worker and its supervisor: with real files, real processes and real deaths."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from serving import PATIENCE, is_alive, until

from explorer.errors import OptionsProblem, ResourceProblem
from explorer.jobs.queue import Job, JobState, Queue
from explorer.jobs.specs import BuildSpec, MapSpec
from explorer.jobs.supervisor import Supervisor, obituary
from explorer.settings import settings

HERE = Path(__file__).parents[1]
SPEC = MapSpec("/cells.h5ad", "/pbmc.atlas", "answers")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "home" / "jobs.sqlite")
    yield made
    made.close()


def asked(how: str, number: int = 0) -> MapSpec:
    return MapSpec(f"/cells{number}.h5ad", "/pbmc.atlas", how)


def over(queue: Queue, job: Job) -> Job:
    until(lambda: queue.get(job.id).state.is_over, f"job {job.spec.method!r} over")
    return queue.get(job.id)


def running(queue: Queue, job: Job) -> Job:
    until(lambda: queue.get(job.id).fraction > 0, f"job {job.spec.method!r} running")
    return queue.get(job.id)


class TestRecords:
    def test_a_hurried_double_click_is_one_job(self, queue: Queue) -> None:
        assert queue.submit(SPEC) == queue.submit(SPEC)
        queue.claim(worker=1)
        assert len({queue.submit(SPEC).id for _ in range(3)}) == 1, "also while it runs"

    def test_the_same_work_may_be_asked_for_again_once_it_is_over_or_being_cancelled(
        self, queue: Queue
    ) -> None:
        first = queue.submit(SPEC)
        queue.claim(worker=1)
        queue.finish(first.id)
        second = queue.submit(SPEC)
        queue.claim(worker=1)
        queue.cancel(second.id)
        third = queue.submit(SPEC)
        assert len({first.id, second.id, third.id}) == 3

    def test_many_tabs_at_once_make_one_job_and_many_workers_take_each_job_once(self, queue: Queue) -> None:
        def tab(number: int) -> tuple[str, list[str]]:
            mine = Queue(queue.path)
            same = mine.submit(SPEC).id
            mine.submit(asked("answers", number + 1))
            taken = []
            while job := mine.claim(number):
                taken.append(job.id)
            mine.close()
            return same, taken

        with ThreadPoolExecutor(8) as tabs:
            answers = list(tabs.map(tab, range(8)))
        taken = [id for _, ids in answers for id in ids]
        everything = [job.id for job in queue.jobs()]
        assert sorted(taken) == sorted(everything)
        assert all(job.state is JobState.RUNNING for job in queue.jobs())

    def test_who_opens_the_file_while_another_makes_it_waits_for_its_turn(self, tmp_path: Path) -> None:
        making = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
        making.execute("BEGIN IMMEDIATE")
        making.execute("CREATE TABLE something (number INTEGER)")
        with ThreadPoolExecutor(1) as another:
            opening = another.submit(Queue, tmp_path / "jobs.sqlite")
            assert not wait([opening], timeout=0.3).done
            making.execute("COMMIT")
            opening.result().close()
        making.close()

    def test_jobs_are_taken_in_the_order_in_which_they_were_asked_for(self, queue: Queue) -> None:
        ids = [queue.submit(asked("answers", number)).id for number in range(5)]
        assert [queue.ahead(id) for id in ids] == [0, 1, 2, 3, 4]
        assert [job.id for _ in ids if (job := queue.claim(1))] == ids
        assert queue.claim(1) is None

    def test_what_was_asked_comes_back_as_it_was(self, queue: Queue) -> None:
        spec = MapSpec(
            "/β cells.h5ad",
            "/x",
            "scpoli",
            batch="donor",
            orthologs=True,
            matrix="layers/counts",
            device="cuda",
            name="Ω",
            mode="surgery",
            hierarchical=True,
        )
        assert queue.submit(spec).spec == spec

    def test_a_training_comes_back_as_it_was(self, queue: Queue) -> None:
        spec = BuildSpec("/own.atlas", ("kida", "scpoli"), source="/cells.h5ad", labels=("type", "line"), batch="day")
        job = queue.submit(spec)
        assert job.spec == spec
        assert queue.submit(spec).id == job.id
        with pytest.raises(OptionsProblem, match="maps nothing"):
            _ = job.mapping

    def test_another_mode_is_other_work(self, queue: Queue) -> None:
        plain, surgery = (queue.submit(replace(SPEC, mode=mode)) for mode in (None, "surgery"))
        assert plain.id != surgery.id
        assert queue.submit(replace(SPEC, mode="surgery")).id == surgery.id

    def test_a_waiting_job_is_cancelled_at_once_and_one_that_is_over_stays_as_it_is(
        self, queue: Queue
    ) -> None:
        waiting = queue.submit(SPEC)
        assert queue.cancel(waiting.id).state is JobState.CANCELLED
        assert queue.claim(1) is None
        done = queue.submit(SPEC)
        queue.claim(1)
        queue.finish(done.id)
        assert queue.cancel(done.id).state is JobState.DONE

    def test_a_worker_that_was_given_up_cannot_bring_its_job_back(self, queue: Queue) -> None:
        job = queue.submit(SPEC)
        queue.claim(1)
        queue.give_up(job.id, "The worker died.")
        queue.report(job.id, "Still here", 0.9, 1.0)
        assert queue.should_stop(job.id)
        assert not queue.finish(job.id)
        assert (queue.get(job.id).state, queue.get(job.id).error) == (JobState.FAILED, "The worker died.")

    def test_removing_forgets_the_job_and_its_files_and_may_be_repeated(self, queue: Queue) -> None:
        job = queue.submit(SPEC)
        queue.claim(1)
        with pytest.raises(OptionsProblem, match="still running"):
            queue.remove(job.id)
        queue.result_folder(job.id).mkdir(parents=True)
        queue.finish(job.id)
        queue.note(job.id, "a line")
        queue.remove(job.id)
        queue.remove(job.id)
        assert not queue.result_folder(job.id).exists()
        with pytest.raises(OptionsProblem, match=f"no job {job.id}"):
            queue.get(job.id)

    @pytest.mark.parametrize("id", ["", "..", "../../etc", "0123456789abcdeg", "0123456789abcdef/../x"])
    def test_nothing_typed_into_an_address_becomes_a_path(self, queue: Queue, id: str) -> None:
        with pytest.raises(OptionsProblem, match="no job id"):
            queue.result_folder(id)

    def test_records_outlive_the_program(self, queue: Queue) -> None:
        job = queue.submit(SPEC)
        queue.note(job.id, "Reading the file: 0.1 s")
        again = Queue(queue.path)
        assert again.get(job.id).log == ("Reading the file: 0.1 s",)
        again.close()

    def test_a_file_of_a_newer_program_is_refused(self, queue: Queue) -> None:
        with sqlite3.connect(queue.path) as db:
            db.execute("UPDATE schema SET version = 99")
        db.close()
        with pytest.raises(ResourceProblem, match="newer Atlas Explorer"):
            Queue(queue.path)

    def test_a_damaged_file_is_refused_with_a_way_out(self, tmp_path: Path) -> None:
        (tmp_path / "jobs.sqlite").write_bytes(b"this is no database, " * 100)
        with pytest.raises(ResourceProblem, match="move it away"):
            Queue(tmp_path / "jobs.sqlite")


@pytest.fixture
def supervise(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Supervisor]]:
    """Start supervisors whose workers behave as `job_runners` says; all of them end with the test."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    started: list[Supervisor] = []

    def start(run: str = "job_runners:act", patience: float = PATIENCE) -> Supervisor:
        made = Supervisor(queue, replace(settings(), threads=1), run=run, patience=patience)
        made.start()
        started.append(made)
        return made

    yield start
    for supervisor in started:
        supervisor.stop()


class TestWork:
    def test_a_job_runs_to_its_end(self, queue: Queue, supervise: Callable[..., Supervisor]) -> None:
        supervise()
        job = over(queue, queue.submit(SPEC))
        assert (job.state, job.fraction, job.error) == (JobState.DONE, 1.0, None)
        assert job.created <= job.started <= job.finished
        assert [line.split(":")[0] for line in job.log] == ["Thinking", "Writing"], (
            "each stage with its seconds"
        )
        assert [path.name for path in queue.results.iterdir()] == [job.id]
        assert (queue.result_folder(job.id) / "answer.txt").read_text() == "42"

    def test_one_warm_worker_takes_all_jobs_with_threads_that_sleep(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        supervisor = supervise()
        jobs = [over(queue, queue.submit(asked("tells", number))) for number in range(2)]
        assert {job.worker for job in jobs} == {supervisor.worker_pid}
        told = json.loads((queue.result_folder(jobs[0].id) / "told.json").read_text())
        assert told == {"threads": 1, "omp": "PASSIVE", "panel": False}

    @pytest.mark.parametrize(
        ("how", "sentence"),
        [
            ("refuses", "412 of 2,000 reference genes found (21 %)"),
            ("has a bug", "Something went wrong on our side (reference "),
            ("has no memory", "There was not enough memory"),
            pytest.param(
                "fills the disk",
                "The disk filled up",
                marks=pytest.mark.skipif(
                    not Path("/dev/full").exists(), reason="this system has no /dev/full"
                ),
            ),
            ("is killed", "ended by signal 9 (usually: out of memory)"),
            ("crashes", "ended by signal 11 (a crash)"),
            ("exits", "ended by itself with code 3"),
        ],
    )
    def test_a_failure_is_told_in_words_leaves_nothing_and_the_next_job_runs(
        self, queue: Queue, supervise: Callable[..., Supervisor], how: str, sentence: str
    ) -> None:
        supervise()
        job, following = queue.submit(asked(how)), queue.submit(SPEC)
        failed = over(queue, job)
        assert failed.state is JobState.FAILED
        assert sentence in str(failed.error)
        assert over(queue, following).state is JobState.DONE
        assert [path.name for path in queue.results.iterdir()] == [following.id]

    def test_our_own_bugs_are_logged_under_the_reference_that_the_person_sees(
        self, queue: Queue, supervise: Callable[..., Supervisor], capfd: pytest.CaptureFixture[str]
    ) -> None:
        supervise()
        error = str(over(queue, queue.submit(asked("has a bug"))).error)
        reference = error.partition("(reference ")[2].partition(")")[0]
        logged = capfd.readouterr().err
        assert reference in logged
        assert "ZeroDivisionError: a divisor nobody thought of" in logged

    def test_cancel_stops_a_running_job_and_the_worker_lives_on(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        supervisor = supervise()
        job = running(queue, queue.submit(asked("waits")))
        queue.cancel(job.id)
        cancelled = over(queue, job)
        assert (cancelled.state, cancelled.error) == (JobState.CANCELLED, None)
        assert cancelled.worker == supervisor.worker_pid
        assert list(queue.results.iterdir()) == []

    def test_a_worker_that_does_not_hear_a_cancel_is_replaced(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        supervise(patience=0.3)
        job = running(queue, queue.submit(asked("is deaf")))
        queue.cancel(job.id)
        assert over(queue, job).state is JobState.CANCELLED
        after = over(queue, queue.submit(SPEC))
        assert after.state is JobState.DONE
        assert after.worker != job.worker

    def test_a_killed_worker_is_replaced_and_its_job_can_be_tried_again(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        supervise()
        job = running(queue, queue.submit(asked("waits")))
        os.kill(job.worker or 0, signal.SIGKILL)
        assert "signal 9" in str(over(queue, job).error)
        again = running(queue, queue.retry(job.id))
        assert again.spec == job.spec
        assert again.id != job.id
        assert again.worker != job.worker

    def test_a_worker_that_never_starts_fails_what_waits_instead_of_waiting_for_ever(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        job = queue.submit(SPEC)
        supervise("no_such_module:act")
        assert "No worker process could be started" in str(over(queue, job).error)

    def test_stopping_ends_the_worker_and_says_so_and_what_waits_keeps_waiting(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        supervisor = supervise()
        job, following = running(queue, queue.submit(asked("waits"))), queue.submit(SPEC)
        supervisor.stop()
        supervisor.stop()
        assert not is_alive(job.worker or 0)
        assert "server was stopped" in str(queue.get(job.id).error)
        assert queue.get(following.id).state is JobState.QUEUED
        supervisor.start()
        assert over(queue, following).state is JobState.DONE

    def test_two_servers_on_one_home_have_one_worker_and_the_second_takes_over(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        first = supervise()
        until(lambda: first.worker_pid is not None, "first server's worker")
        second = supervise()
        job = running(queue, queue.submit(asked("waits")))
        assert (job.worker, second.worker_pid) == (first.worker_pid, None)
        first.stop()
        until(lambda: second.worker_pid is not None, "second server's worker")
        assert over(queue, queue.submit(SPEC)).state is JobState.DONE

    def test_nothing_is_left_of_a_server_that_was_killed_and_the_next_one_goes_on(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        script = (
            "import sys, time; from pathlib import Path; from explorer.jobs.queue import Queue; "
            "from explorer.settings import settings; from explorer.jobs.supervisor import Supervisor; "
            "Supervisor(Queue(Path(sys.argv[1])), settings(), run='job_runners:act').start(); time.sleep(600)"
        )
        job, following = queue.submit(asked("is deaf")), queue.submit(SPEC)
        server = subprocess.Popen([sys.executable, "-c", script, str(queue.path)])
        try:
            worker = running(queue, job).worker or 0
        finally:
            server.kill()
            server.wait()
        until(lambda: not is_alive(worker), "the worker follows its server")
        assert queue.get(job.id).state is JobState.RUNNING, "nobody was left to write it down"
        supervise()
        assert "server was stopped" in str(over(queue, job).error)
        assert over(queue, following).state is JobState.DONE
        assert [path.name for path in queue.results.iterdir()] == [following.id]

    def test_what_a_power_cut_left_among_the_results_is_cleared_and_nothing_else(
        self, queue: Queue, supervise: Callable[..., Supervisor]
    ) -> None:
        for name in ("0123456789abcdef", "fedcba9876543210.part", "my own notes.part"):
            (queue.results / name).mkdir(parents=True)
        supervise()
        done = over(queue, queue.submit(SPEC))
        assert {path.name for path in queue.results.iterdir()} == {
            done.id,
            "0123456789abcdef",
            "my own notes.part",
        }

    def test_supervising_leaves_no_thread_behind(self, supervise: Callable[..., Supervisor]) -> None:
        before = set(threading.enumerate())
        supervise().stop()
        assert set(threading.enumerate()) <= before


def test_an_obituary_names_the_cause() -> None:
    assert "signal 9 (usually: out of memory)" in obituary(-9)
    assert "signal 34 (ended from outside)" in obituary(-34)
    assert "code 1" in obituary(1)
