"""The queue of long work: durable records that a page can poll and a worker process can take.

A job is a row in SQLite. It moves queued ─▶ running ─▶ done | failed | cancelled and never back; a second
try is a new job. Every move is one conditional UPDATE, so two tabs, two servers or a worker that was thought
dead cannot make it move twice. `explorer.jobs.worker` runs jobs, `explorer.jobs.supervisor` looks after the worker.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from explorer.errors import OptionsProblem
from explorer.jobs.specs import BuildSpec, ExtendSpec, MapSpec, Spec
from explorer.store import Store

_SCHEMA = (
    (
        """
        CREATE TABLE jobs (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            spec TEXT NOT NULL,
            state TEXT NOT NULL,
            stage TEXT NOT NULL DEFAULT '',
            fraction REAL NOT NULL DEFAULT 0,
            seconds_left REAL,
            error TEXT,
            created REAL NOT NULL,
            started REAL,
            finished REAL,
            cancel_asked REAL,
            worker INTEGER
        )
        """,
        """
        CREATE UNIQUE INDEX one_open_job_a_spec ON jobs (spec)
            WHERE state IN ('queued', 'running') AND cancel_asked IS NULL
        """,
        "CREATE INDEX jobs_by_state ON jobs (state, number)",
        "CREATE TABLE log (job TEXT NOT NULL REFERENCES jobs (id), line TEXT NOT NULL)",
        "CREATE INDEX log_by_job ON log (job)",
    ),
    ("UPDATE jobs SET spec = json_set(spec, '$.kind', 'map')",),  # there was no other kind of work before
)
_ID = re.compile(r"[0-9a-f]{16}")


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


_KINDS: dict[str, type[MapSpec] | type[BuildSpec] | type[ExtendSpec]] = {
    "map": MapSpec, "build": BuildSpec, "extend": ExtendSpec,
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One piece of work as it stood when it was read. Times are seconds since 1970.

    Attributes
    ----------
    stage
        What is being done, in the user's words.
    fraction
        Share done, in [0, 1].
    left
        Estimated seconds until the end; `None` while nobody can tell.
    error
        Why it failed, as a sentence for the person who asked; `None` unless `state` is FAILED.
    cancel_asked
        When somebody asked to stop it; the worker follows within a batch.
    worker
        Process id of the worker that runs or ran it.
    log
        What happened, a line a step, oldest first.
    """

    id: str
    spec: Spec
    state: JobState
    stage: str
    fraction: float
    left: float | None
    error: str | None
    created: float
    started: float | None
    finished: float | None
    cancel_asked: float | None
    worker: int | None
    log: tuple[str, ...]

    @property
    def mapping(self) -> MapSpec:
        """What a job that maps was asked for.

        Raises
        ------
        OptionsProblem
            If the job does something else.
        """
        if not isinstance(self.spec, MapSpec):
            raise OptionsProblem(f"The job {self.id} makes a reference; it maps nothing.")
        return self.spec


class Queue:
    """All jobs of one home folder. Cheap to make; any number of threads and processes may hold one.

    Parameters
    ----------
    path
        The SQLite file.
    results
        Folder that holds one result folder a job; "results" beside `path` when not given.
    """

    def __init__(self, path: Path, results: Path | None = None) -> None:
        self.path = Path(path)
        self.results = results or self.path.parent / "results"
        self._store = Store(self.path, "jobs", _SCHEMA)

    # what people do

    def submit(self, spec: Spec) -> Job:
        """Put work at the end of the queue, or find the same work that is already waiting or running."""
        text = _written(spec)
        with self._store.change() as db:
            known = db.execute(
                "SELECT id FROM jobs WHERE spec = ? AND state IN ('queued', 'running') AND cancel_asked IS "
                "NULL",
                (text,),
            ).fetchone()
            if known:
                return self.get(known["id"])
            id = secrets.token_hex(8)
            db.execute(
                "INSERT INTO jobs (id, spec, state, stage, created) VALUES (?, ?, 'queued', 'Waiting', ?)",
                (id, text, time.time()),
            )
        return self.get(id)

    def retry(self, id: str) -> Job:
        """Put the same work in the queue once more, as a new job."""
        return self.submit(self.get(id).spec)

    def cancel(self, id: str) -> Job:
        """Stop a job: at once if it waits, within a batch if it runs; a job that is over stays as it is."""
        now = time.time()
        with self._store.change() as db:
            db.execute(
                "UPDATE jobs SET state = 'cancelled', stage = 'Cancelled', finished = ? "
                "WHERE id = ? AND state = 'queued'",
                (now, id),
            )
            db.execute(
                "UPDATE jobs SET cancel_asked = ?, stage = 'Stopping' "
                "WHERE id = ? AND state = 'running' AND cancel_asked IS NULL",
                (now, id),
            )
        return self.get(id)

    def remove(self, id: str) -> None:
        """Forget a job and delete its results; nothing happens if it is gone already.

        Raises
        ------
        OptionsProblem
            If the job is running.
        """
        folder = self.result_folder(id)
        with self._store.change() as db:
            row = db.execute("SELECT state FROM jobs WHERE id = ?", (id,)).fetchone()
            if row and row["state"] == JobState.RUNNING:
                raise OptionsProblem("This job is still running. Cancel it first, then remove it.")
            db.execute("DELETE FROM log WHERE job = ?", (id,))
            db.execute("DELETE FROM jobs WHERE id = ?", (id,))
        _delete(folder)

    # what people look at

    def get(self, id: str) -> Job:
        """One job.

        Raises
        ------
        OptionsProblem
            If there is none of that id.
        """
        row = self._store.row("SELECT * FROM jobs WHERE id = ?", (id,))
        if row is None:
            raise OptionsProblem(f"There is no job {id} here; it may have been removed. Start a new one.")
        lines = self._store.rows("SELECT line FROM log WHERE job = ? ORDER BY rowid", (id,))
        return _job(row, (line["line"] for line in lines))

    def jobs(self, *states: JobState) -> tuple[Job, ...]:
        """All jobs, or those in some states, in the order in which they were asked for; without their "
        "logs."""
        wanted = states or tuple(JobState)
        marks = ", ".join("?" * len(wanted))
        rows = self._store.rows(f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY number", wanted)
        return tuple(_job(row, ()) for row in rows)

    def ahead(self, id: str) -> int:
        """How many jobs wait or run before this one."""
        row = self._store.row(
            "SELECT COUNT(*) AS ahead FROM jobs WHERE state IN ('queued', 'running') "
            "AND number < (SELECT number FROM jobs WHERE id = ?)",
            (id,),
        )
        return int(row["ahead"]) if row else 0

    def result_folder(self, id: str) -> Path:
        """Where a finished job's files lie; the folder exists only once the job is done.

        Raises
        ------
        OptionsProblem
            If `id` is no job id, so that nothing typed into an address becomes a path.
        """
        if not _ID.fullmatch(id):
            raise OptionsProblem(f"{id!r} is no job id.")
        return self.results / id

    def partial_folder(self, id: str) -> Path:
        """Where a running job writes."""
        return self.result_folder(id).with_suffix(".part")

    # what workers do

    def claim(self, worker: int) -> Job | None:
        """Take the oldest waiting job for the process `worker`; `None` if nothing waits."""
        with self._store.change() as db:
            row = db.execute(
                "UPDATE jobs SET state = 'running', stage = 'Starting', started = ?, worker = ? WHERE number "
                "= (SELECT MIN(number) FROM jobs WHERE state = 'queued') RETURNING id",
                (time.time(), worker),
            ).fetchone()
        return self.get(row["id"]) if row else None

    def has_waiting(self) -> bool:
        """Whether a job waits; asked often, so it only reads."""
        return self._store.row("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1") is not None

    def report(self, id: str, stage: str, fraction: float, left: float | None) -> None:
        """Write down how far a running job is."""
        self._store.write(
            "UPDATE jobs SET stage = ?, fraction = ?, seconds_left = ? "
            "WHERE id = ? AND state = 'running' AND cancel_asked IS NULL",
            (stage, fraction, left, id),
        )

    def note(self, id: str, line: str) -> None:
        """Append a line to a job's log; lines of a removed job are dropped."""
        self._store.write("INSERT INTO log (job, line) SELECT id, ? FROM jobs WHERE id = ?", (line, id))

    def should_stop(self, id: str) -> bool:
        """Whether the one who runs this job should stop: asked to, or the job is no longer his."""
        row = self._store.row("SELECT state, cancel_asked FROM jobs WHERE id = ?", (id,))
        return row is None or row["state"] != JobState.RUNNING or row["cancel_asked"] is not None

    def finish(self, id: str) -> bool:
        """Mark a running job as done; `False` if it was cancelled or given up in the meantime."""
        changed = self._store.write(
            "UPDATE jobs SET state = 'done', stage = 'Done', fraction = 1, seconds_left = 0, finished = ? "
            "WHERE id = ? AND state = 'running' AND cancel_asked IS NULL",
            (time.time(), id),
        )
        return changed == 1

    def give_up(self, id: str, error: str) -> None:
        """Mark a waiting or running job as failed, or as cancelled if that was asked, and drop its files."""
        with self._store.change() as db:
            row = db.execute(
                "UPDATE jobs SET state = CASE WHEN cancel_asked IS NULL THEN 'failed' ELSE 'cancelled' END, "
                "stage = CASE WHEN cancel_asked IS NULL THEN 'Failed' ELSE 'Cancelled' END, "
                "error = CASE WHEN cancel_asked IS NULL THEN ? END, seconds_left = NULL, finished = ? "
                "WHERE id = ? AND state IN ('queued', 'running') RETURNING id",
                (error, time.time(), id),
            ).fetchone()
            if row:
                self.drop_files(id)  # before anybody reads that the job is over

    def drop_files(self, id: str) -> None:
        """Delete what a job wrote."""
        _delete(self.partial_folder(id))
        _delete(self.result_folder(id))

    def tidy(self) -> None:
        """Delete what jobs left half-written; only while no worker runs.

        A whole folder that no record knows stays: the records may have been moved away, the work is still good.
        """
        for folder in self.results.glob("*.part"):
            if _ID.fullmatch(folder.stem):
                _delete(folder)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()


def _written(spec: Spec) -> str:
    kind = next(name for name, of in _KINDS.items() if isinstance(spec, of))
    return json.dumps({"kind": kind, **asdict(spec)}, sort_keys=True)


def _read(text: str) -> Spec:
    plain: dict[str, Any] = json.loads(text)
    make: Callable[..., Spec] = _KINDS[plain.pop("kind")]
    return make(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})


def _job(row: sqlite3.Row, log: Iterable[str]) -> Job:
    return Job(
        id=row["id"],
        spec=_read(row["spec"]),
        state=JobState(row["state"]),
        stage=row["stage"],
        fraction=row["fraction"],
        left=row["seconds_left"],
        error=row["error"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        cancel_asked=row["cancel_asked"],
        worker=row["worker"],
        log=tuple(log),
    )


def _delete(folder: Path) -> None:
    """Delete a folder if it is there; another tab may be deleting it at this moment."""
    shutil.rmtree(folder, ignore_errors=True)
