"""The process that runs jobs, one after the other, with torch and references kept warm between them.

Started by `explorer.jobs.supervisor` with a pipe as its standard input. Nothing is ever written into that pipe:
when it ends, the server is gone, and so is the worker. A job's files are written into a folder that gets its
proper name only when all of them are there.
"""

from __future__ import annotations

import argparse
import errno
import faulthandler
import importlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from explorer import keys
from explorer.errors import AtlasError, Cancelled, ResourceProblem
from explorer.flow import Reference
from explorer.jobs.queue import Job, Queue
from explorer.jobs.specs import BuildSpec, ExtendSpec
from explorer.progress import Progress, Report
from explorer.settings import settings

log = logging.getLogger(__name__)

Run = Callable[[Job, Path, Progress], None]
"""What does a job's work: writes files into the folder, reports to the progress, raises when it cannot."""

WORK = "explorer.jobs.worker:run_job"
IDLE_SECONDS = 0.1
REPORT_SECONDS = 0.2
ASK_SECONDS = 0.1


def run_job(job: Job, folder: Path, progress: Progress) -> None:
    """Do what a job was asked for: map, or train or extend a reference, which is written into the home folder."""
    if isinstance(job.spec, BuildSpec):
        from explorer.jobs.building import build

        build(job.spec, progress)
    elif isinstance(job.spec, ExtendSpec):
        from explorer.jobs.extending import extend

        extend(job.spec, folder, progress)
    else:
        run_mapping(job, folder, progress)


def run_mapping(job: Job, folder: Path, progress: Progress) -> None:
    """Map a file of cells onto a reference and write the annotated file, the table and the expression.

    Parameters
    ----------
    job
        What to map onto what.
    folder
        An empty folder for `keys.RESULT_FILE`, `keys.PREDICTIONS_FILE` and `keys.EXPRESSION_FILE`.
    progress
        Told about every stage; raises `Cancelled` when somebody asked to stop.

    Raises
    ------
    AtlasError
        Whatever the file, its genes or the machine do not allow.
    """
    from explorer.asking import judging
    from explorer.building import refitting
    from explorer.doubt.refinement import refine
    from explorer.drawing.coloring import predicted_colors
    from explorer.jobs.asked import query_of
    from explorer.mapping import corridor
    from explorer.mapping.levels import LEFT_OUT_BATCHES
    from explorer.writing import export

    spec = job.mapping
    progress.part("Reading the file", 0.0, 0.02)(0.0)
    query = query_of(spec)
    _require_disk(folder, Path(spec.query).stat().st_size)

    progress.part("Opening the reference", 0.02, 0.05)(0.0)
    reference = open_reference(Path(spec.reference))

    device = settings().device if spec.device == "auto" else spec.device
    placing, told = progress.part("", 0.05, 0.75), tuple[str, ...]()
    if spec.refit_shared:
        refit = placing.part("Refitting on the shared genes", 0.0, 0.9)
        reference, told = refitting.refit_shared(
            query, reference, spec.method, orthologs=spec.orthologs, device=device, progress=refit
        )
        placing = placing.part("", 0.9, 1.0)
    result = corridor.map_query(
        query,
        reference,
        spec.method,
        mode=spec.mode,
        hierarchical=spec.hierarchical,
        independent=spec.independent,
        unknown=spec.unknown or LEFT_OUT_BATCHES,
        batch=spec.batch,
        own_labels=spec.own_labels,
        proteins=spec.proteins,
        orthologs=spec.orthologs,
        device=device,
        notices=told,
        progress=placing.part("Placing cells in the picture", 0.0, 1.0),
    )
    if spec.refine:
        result = refine(result)
    result = judging.judged(query, reference, result, batch=spec.batch, device=device)
    writing = progress.part("Writing the annotated file", 0.75, 0.85)
    writing(0.0)
    colors = predicted_colors(reference, [found.level for found in result.labels.levels])
    export.write_h5ad(result, query, folder / keys.RESULT_FILE, colors)
    export.write_csv(result, folder / keys.PREDICTIONS_FILE)
    export.write_expression(
        query, folder / keys.EXPRESSION_FILE, progress.part("Sorting expression by gene", 0.85, 1.0)
    )


def open_reference(folder: Path) -> Reference:
    """A reference, checked; one that was used lately and has not changed is not read again."""
    card = folder / keys.CARD_FILE
    return _opened(folder, card.stat().st_mtime_ns if card.exists() else 0)


@lru_cache(maxsize=2)
def _opened(folder: Path, changed: int) -> Reference:  # noqa: ARG001  (part of the cache's key)
    from explorer import reference

    return reference.open_reference(folder)


def _require_disk(folder: Path, query_bytes: int) -> None:
    """The result holds a copy of the file and a second copy of its expression, sorted by gene."""
    needed = 3 * query_bytes + 100 * 2**20
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceProblem(
            f"The results need about {needed / 2**30:.1f} GB of disk at {folder.parent}, {free / 2**30:.1f} "
            "GB are free. Remove results that are no longer needed, then run it again."
        )


class Reporter:
    """Carries the reports of one job to its record, a few times a second, and asks there for a stop.

    Parameters
    ----------
    queue, job
        Where the record is.
    """

    def __init__(self, queue: Queue, job: Job) -> None:
        self._queue = queue
        self._id = job.id
        self._stage = ""
        self._stage_began = time.monotonic()
        self._written = 0.0
        self._asked = 0.0
        self._stop = False

    def __call__(self, report: Report) -> None:
        """Write a report down, if it is a new stage or the last one is old enough."""
        now = time.monotonic()
        changed = report.stage != self._stage
        if changed:
            self.end_stage()
            self._stage = report.stage
        if changed or now - self._written >= REPORT_SECONDS:
            self._written = now
            self._queue.report(self._id, report.stage, report.fraction, report.left)

    def end_stage(self) -> None:
        """Note how long the stage took that ends now."""
        now = time.monotonic()
        if self._stage:
            self._queue.note(self._id, f"{self._stage}: {now - self._stage_began:.1f} s")
        self._stage, self._stage_began = "", now

    def should_stop(self) -> bool:
        """Whether somebody asked to stop; looked up ten times a second at most."""
        now = time.monotonic()
        if not self._stop and now - self._asked >= ASK_SECONDS:
            self._asked = now
            self._stop = self._queue.should_stop(self._id)
        return self._stop


def do(job: Job, queue: Queue, run: Run) -> None:
    """Run one claimed job to its end, whatever that is, and write the end down."""
    reporter = Reporter(queue, job)
    progress = Progress.to(reporter, reporter.should_stop)
    partial, final = queue.partial_folder(job.id), queue.result_folder(job.id)
    try:
        partial.mkdir(parents=True)
        run(job, partial, progress)
        reporter.end_stage()
        partial.rename(final)
        if not queue.finish(job.id):
            raise Cancelled("Stopped on request.")
    except Exception as problem:  # noqa: BLE001  (the one place where a job's failure becomes a sentence)
        queue.drop_files(job.id)
        error = in_words(problem, job)
        queue.note(job.id, error)
        queue.give_up(job.id, error)


def in_words(problem: Exception, job: Job) -> str:
    """What to tell the person who asked; anything that is not an `AtlasError` is logged with an id."""
    if isinstance(problem, AtlasError):
        return str(problem)
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return (
            "There was not enough memory for this job on this machine. Close other programs or wait for "
            "other jobs to end, then run it again; if it was the GPU's memory, choose the CPU."
        )
    if _is_full_disk(problem):
        return "The disk filled up while results were written. Remove what is not needed, then run it again."
    id = secrets.token_hex(4)
    log.error("job %s failed (reference %s): %s", job.id, id, job.spec, exc_info=problem)
    return (
        f"Something went wrong on our side (reference {id}). Your file was not changed. Run it again; if it "
        "fails again, send this reference and the server's log to whoever runs this server."
    )


def _is_full_disk(problem: Exception) -> bool:
    # HDF5 and SQLite tell it in words only.
    told = str(problem).lower()
    return (
        getattr(problem, "errno", None) == errno.ENOSPC or "no space left" in told or "disk is full" in told
    )


def work(queue: Queue, run: Run) -> None:
    """Take jobs as they come, for ever."""
    while True:
        job = queue.claim(os.getpid()) if queue.has_waiting() else None
        if job is None:
            time.sleep(IDLE_SECONDS)
        else:
            do(job, queue, run)


def _end_with_server() -> None:
    # os.read and not sys.stdin, whose lock would be held by this thread when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(0)


def _volunteer_for_oom() -> None:
    """Let Linux end the worker, which can be replaced, rather than the server when memory runs out."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("500")


def _warm(run: str) -> None:
    """Import what the first job would otherwise wait for."""
    if run == WORK:
        importlib.import_module("explorer.mapping.corridor")
        importlib.import_module("explorer.writing.export")


def main() -> None:
    """Entry point of the process; see `explorer.jobs.supervisor.command`."""
    parser = argparse.ArgumentParser(description="Run the jobs of one home folder until the server ends.")
    parser.add_argument("jobs_file", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--run", default=WORK, help="module:function that does a job's work")
    options = parser.parse_args()
    faulthandler.enable()
    logging.basicConfig(format="%(asctime)s worker %(levelname)s %(message)s")
    threading.Thread(target=_end_with_server, daemon=True).start()
    _volunteer_for_oom()
    _warm(options.run)
    module, _, name = options.run.partition(":")
    run: Run = getattr(importlib.import_module(module), name)
    work(Queue(options.jobs_file, options.results), run)
