"""Who looks after the worker: starts it, notices its death, says why in words, starts the next one.

One supervisor a home folder: whoever holds the lock beside the jobs file. A second server on the same folder
may submit and watch, and takes over when the first one ends. The worker is a process of its own and not a
thread, because only a process can be killed, limited and replaced; it is started as a fresh interpreter and
not through `multiprocessing`, whose children import the parent's main module and with it the whole of Panel.
"""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

from explorer.jobs.queue import JobState, Queue
from explorer.settings import Settings, settings

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.25
TROUBLE_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
GRACE_SECONDS = 5.0
HOPELESS_STARTS = 3
SOUND_SECONDS = 30.0

_SIGNALS = {6: "a crash", 9: "usually: out of memory", 11: "a crash", 15: "ended from outside"}

SERVER_STOPPED = "The server was stopped while this job ran. Nothing of your file was changed; run it again."


class Supervisor:
    """Keeps one warm worker at work on a queue.

    Parameters
    ----------
    queue
        Whose jobs to run.
    settings
        How many threads the worker may use.
    run
        module:function that does a job's work, see `explorer.jobs.worker.Run`.
    patience
        Seconds a worker gets to follow a request to stop before it is killed.
    """

    def __init__(
        self, queue: Queue, settings: Settings, *, run: str | None = None, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._run = run
        self._patience = patience
        self._lock = _Lock(queue.path.with_suffix(".lock"))
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._bad_starts = 0
        self._started = 0.0
        self._next_start = 0.0

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker; `None` while there is none, or another server has it."""
        worker = self._worker
        return worker.pid if worker else None

    def start(self) -> None:
        """Begin; nothing happens if it has begun."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """End the worker and say so in the record of the job it was running; nothing happens if it has "
        "ended."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None
            atexit.unregister(self.stop)

    def _watch(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._tend()
                    self._stopping.wait(WATCH_SECONDS)
                except (sqlite3.Error, OSError):
                    # A full disk or a busy file passes; the next round finds everything as it is.
                    log.exception("the queue could not be tended")
                    self._stopping.wait(TROUBLE_SECONDS)
        finally:
            self._end_worker()
            self._lock.release()

    def _tend(self) -> None:
        if not self._lock.held:
            if not self._lock.take():
                return
            self._bury(None, SERVER_STOPPED)
            self._queue.tidy()
        worker = self._worker
        if worker is not None and worker.poll() is not None:
            self._mourn(worker)
        elif worker is not None:
            self._kill_if_deaf(worker)
        elif time.monotonic() >= self._next_start:
            self._started = time.monotonic()
            self._worker = subprocess.Popen(
                command(self._queue, self._run),
                stdin=subprocess.PIPE,
                env=environment(self._settings.threads),
                start_new_session=True,  # Ctrl-C in the server's terminal is for the server
            )

    def _mourn(self, worker: subprocess.Popen[bytes]) -> None:
        """Write down why the worker ended, and wait a little longer each time it ends without having "
        "worked."""
        reason = obituary(worker.returncode)
        log.warning("worker %d: %s", worker.pid, reason)
        if self._bury(worker.pid, reason) or time.monotonic() - self._started > SOUND_SECONDS:
            self._bad_starts = 0
        else:
            self._bad_starts += 1
        if self._bad_starts >= HOPELESS_STARTS:
            for job in self._queue.jobs(JobState.QUEUED):
                self._queue.give_up(job.id, f"No worker process could be started. {reason}")
        self._forget(worker)
        self._next_start = time.monotonic() + min(2.0**self._bad_starts - 1, 30.0)

    def _bury(self, worker: int | None, reason: str) -> bool:
        """Give up the running jobs of a worker that is gone, or of all workers; `True` if there was one."""
        lost = [job for job in self._queue.jobs(JobState.RUNNING) if worker is None or job.worker == worker]
        for job in lost:
            self._queue.give_up(job.id, reason)
        return bool(lost)

    def _kill_if_deaf(self, worker: subprocess.Popen[bytes]) -> None:
        for job in self._queue.jobs(JobState.RUNNING):
            if job.cancel_asked and time.time() - job.cancel_asked > self._patience:
                self._queue.note(job.id, "The worker did not stop by itself and was ended.")
                worker.kill()

    def _end_worker(self) -> None:
        worker = self._worker
        if worker is None:
            return
        if worker.stdin:
            worker.stdin.close()
        try:
            worker.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        self._bury(worker.pid, SERVER_STOPPED)
        self._forget(worker)

    def _forget(self, worker: subprocess.Popen[bytes]) -> None:
        if worker.stdin:
            worker.stdin.close()
        self._worker = None


class _Lock:
    """A lock between processes that its holder cannot forget to release by dying.

    SQLite's own file lock: it works on every system Python runs on and never outlives its process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @property
    def held(self) -> bool:
        return self._connection is not None

    def take(self) -> bool:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as problem:
            connection.close()
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        self._connection = connection
        return True

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def command(queue: Queue, run: str | None = None) -> list[str]:
    """The command line of a worker process."""
    # -P: a stray random.py in the folder where somebody started the server must not be imported.
    words = [sys.executable, "-P", "-c", "from explorer.jobs.worker import main; main()"]
    words += [str(queue.path), str(queue.results)]
    return words if run is None else [*words, "--run", run]


def environment(threads: int) -> dict[str, str]:
    """The environment of a worker process: thread counts, and threads that sleep while they wait.

    Without OMP_WAIT_POLICY=PASSIVE two torch threads on two busy cores become 7 to 10 times slower.
    """
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads)
    )
    return {**os.environ, **counts, "OMP_WAIT_POLICY": "PASSIVE"}


def obituary(code: int) -> str:
    """Why a worker process ended, for the person whose job it was running."""
    if code < 0:
        cause = _SIGNALS.get(-code, "ended from outside")
        return (
            f"The worker process was ended by signal {-code} ({cause}). Nothing of your file was changed; "
            "close other programs or take a smaller file, and run it again."
        )
    return (
        f"The worker process ended by itself with code {code}. Nothing of your file was changed; run it "
        "again, and if it fails again, look into the server's log."
    )


@cache
def supervisor() -> Supervisor:
    """The supervisor of this server."""
    here = settings()
    return Supervisor(Queue(here.jobs_file, here.results), here)
