"""Real mapping jobs in a real worker: the sample query onto the sample atlas."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from planted import STRANGER
from serving import PATIENCE

from explorer import keys
from explorer.asking.judging import judged
from explorer.flow import Reference
from explorer.jobs.extending import write_names
from explorer.jobs.queue import Job, JobState, Queue
from explorer.jobs.specs import BuildSpec, ExtendSpec, MapSpec
from explorer.jobs.supervisor import Supervisor
from explorer.jobs.worker import do, run_mapping
from explorer.mapping.corridor import map_query
from explorer.progress import Progress
from explorer.reading.query import open_query
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA, settings
from explorer.writing import export

QUERY = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"
N_CELLS = 832
FILES = {keys.RESULT_FILE, keys.PREDICTIONS_FILE, keys.EXPRESSION_FILE}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "home" / "jobs.sqlite")
    yield made
    made.close()


@pytest.fixture
def many_cells(tmp_path: Path) -> Path:
    """The sample query 24 times over: work of a few seconds."""
    query = anndata.read_h5ad(QUERY)
    path = tmp_path / "many.h5ad"
    anndata.concat([query] * 24, index_unique="-", keys=[str(copy) for copy in range(24)]).write_h5ad(path)
    return path


@pytest.fixture
def supervisor(queue: Queue) -> Iterator[Supervisor]:
    made = Supervisor(queue, replace(settings(), threads=1), patience=PATIENCE)
    made.start()
    yield made
    made.stop()


def wait(queue: Queue, job: Job, *, fraction: float = 2.0, seconds: float = 2 * PATIENCE) -> Job:
    """The job once it is over, or so far done."""
    give_up = time.monotonic() + seconds
    while not (now := queue.get(job.id)).state.is_over and now.fraction < fraction:
        assert time.monotonic() < give_up, now
        time.sleep(0.005)
    return now


def spec(cells: Path, **options: object) -> MapSpec:
    return replace(MapSpec(str(cells), str(SAMPLE_ATLAS), "concord"), **options)


def test_a_mapping_job_writes_what_mapping_by_hand_gives(queue: Queue, supervisor: Supervisor) -> None:
    job = wait(queue, queue.submit(spec(QUERY)))
    assert (job.state, job.error) == (JobState.DONE, None)
    assert job.worker == supervisor.worker_pid
    folder = queue.result_folder(job.id)
    assert {path.name for path in folder.iterdir()} == FILES

    query, reference = open_query(QUERY), open_reference(SAMPLE_ATLAS)
    by_hand = judged(query, reference, map_query(query, reference, "concord"))
    written = export.read_result(folder / keys.RESULT_FILE)
    np.testing.assert_array_equal(written.labels.first.labels, by_hand.labels.first.labels)
    np.testing.assert_allclose(written.layout, by_hand.layout, atol=1e-4)
    table = pd.read_csv(folder / keys.PREDICTIONS_FILE)
    assert tuple(table.columns) == (*keys.CSV_COLUMNS, keys.CSV_VERDICT)  # half of the cells are a state it lacks
    assert written.verdict is not None
    assert written.verdict == by_hand.verdict
    assert len(table) == N_CELLS
    assert export.read_gene_values(folder / keys.EXPRESSION_FILE, "CD3D").shape == (N_CELLS,)
    assert [line.partition(":")[0] for line in job.log][:2] == ["Reading the file", "Opening the reference"]


def test_killed_in_the_middle_it_says_so_leaves_nothing_and_succeeds_when_tried_again(
    queue: Queue, supervisor: Supervisor, many_cells: Path
) -> None:
    running = wait(queue, queue.submit(spec(many_cells)), fraction=0.06)
    os.kill(running.worker or 0, signal.SIGKILL)
    killed = wait(queue, running)
    assert killed.state is JobState.FAILED
    assert "ended by signal 9" in str(killed.error)
    assert list(queue.results.iterdir()) == []
    again = wait(queue, queue.retry(killed.id))
    assert (again.state, again.error) == (JobState.DONE, None)
    assert again.worker == supervisor.worker_pid != killed.worker


def test_cancelled_in_the_middle_it_leaves_nothing_and_the_file_is_as_it_was(
    queue: Queue, supervisor: Supervisor, many_cells: Path
) -> None:
    before = many_cells.stat()
    running = wait(queue, queue.submit(spec(many_cells)), fraction=0.06)
    queue.cancel(running.id)
    cancelled = wait(queue, running)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.worker == supervisor.worker_pid, "the worker itself followed"
    assert list(queue.results.iterdir()) == []
    assert (many_cells.stat().st_mtime_ns, many_cells.stat().st_size) == (before.st_mtime_ns, before.st_size)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reference": "/nowhere.atlas"}, "no reference"),
        ({"method": "astrology"}, "astrology"),
        ({"matrix": "layers/none"}, "no matrix"),
        ({"query": "/nowhere.h5ad"}, "nowhere.h5ad"),
        ({"device": "abacus"}, "abacus"),
    ],
    ids=["no reference", "no method", "no matrix", "no file", "no device"],
)
def test_what_cannot_be_done_is_told_in_the_engines_own_words(
    queue: Queue, changes: dict[str, str], sentence: str
) -> None:
    queue.submit(spec(QUERY, **changes))
    job = queue.claim(os.getpid())
    assert job
    do(job, queue, run_mapping)
    failed = queue.get(job.id)
    assert failed.state is JobState.FAILED
    assert sentence in str(failed.error)
    assert "on our side" not in str(failed.error)
    assert list(queue.results.iterdir()) == []


def test_a_training_job_gives_a_reference_a_further_method(
    queue: Queue, supervisor: Supervisor, scpoli_reference: Reference, planted_query: anndata.AnnData, tmp_path: Path
) -> None:
    out = tmp_path / "home" / "references" / "planted.atlas"
    training = BuildSpec(str(out), ("kida",), reference=str(scpoli_reference.folder), device="cpu")
    job = wait(queue, queue.submit(training))
    assert (job.state, job.error) == (JobState.DONE, None)
    assert any("Training on all cells" in line for line in job.log)
    trained = open_reference(out)
    assert set(trained.methods) == {"scpoli", "kida"}
    assert open_reference(scpoli_reference.folder).checksum == scpoli_reference.checksum

    planted_query[:40].copy().write_h5ad(tmp_path / "cells.h5ad")
    mapping = wait(queue, queue.submit(MapSpec(str(tmp_path / "cells.h5ad"), str(out), "kida")))
    assert (mapping.state, mapping.error) == (JobState.DONE, None)


def extending(queue: Queue, supervisor: Supervisor, cells: Path, onto: Reference, tmp_path: Path) -> ExtendSpec:
    """The work of adding the strangers among mapped cells to a copy of what they were mapped onto."""
    mapping = MapSpec(str(cells), str(onto.folder), onto.methods[0], device="cpu")
    done = wait(queue, queue.submit(mapping))
    assert (done.state, done.error) == (JobState.DONE, None)
    kinds = anndata.read_h5ad(cells).obs["cell_type"].astype(str).to_numpy(object)
    names = np.where(kinds == STRANGER, "newly named", "").astype(object)
    return ExtendSpec(
        str(tmp_path / "home" / "references" / "wider.atlas"), str(onto.folder),
        str(queue.result_folder(done.id) / keys.RESULT_FILE), str(write_names(names, tmp_path / "named")),
        onto.levels[0], device="cpu",
    )  # fmt: skip


def test_named_cells_join_a_copy_of_the_reference_once_the_job_is_done_and_nothing_stays_of_a_cancelled_one(
    queue: Queue, supervisor: Supervisor, planted_reference: Reference, planted_query: anndata.AnnData, tmp_path: Path
) -> None:
    planted_query.write_h5ad(tmp_path / "cells.h5ad")
    wanted = extending(queue, supervisor, tmp_path / "cells.h5ad", planted_reference, tmp_path)
    stopped = wait(queue, queue.submit(wanted), fraction=0.1)
    queue.cancel(stopped.id)
    assert wait(queue, stopped).state is JobState.CANCELLED
    assert list(Path(wanted.out).parent.iterdir()) == []
    assert Path(wanted.names).exists(), "for another try"

    done = wait(queue, queue.retry(stopped.id))
    assert (done.state, done.error, done.worker) == (JobState.DONE, None, supervisor.worker_pid)
    assert any(line.startswith("Placing cells") for line in done.log)
    wider = open_reference(Path(wanted.out))
    added = wider.n_cells - planted_reference.n_cells
    assert (wider.obs[wanted.level].astype(str) == "newly named").sum() == added > 0
    assert not Path(wanted.names).exists()
    again = wait(queue, queue.retry(done.id))
    assert again.state is JobState.FAILED
    assert "Map the cells and name them again" in str(again.error)


def test_progress_only_grows_and_the_record_holds_the_last_of_it(queue: Queue) -> None:
    queue.submit(spec(QUERY))
    job = queue.claim(os.getpid())
    assert job
    reports = []

    def run(job: Job, folder: Path, progress: Progress) -> None:
        listen = progress.task.listen
        progress.task.listen = lambda report: (reports.append(report), listen(report))[1]
        run_mapping(job, folder, progress)

    do(job, queue, run)
    assert queue.get(job.id).state is JobState.DONE
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len({report.stage for report in reports}) >= 6


def test_a_job_that_is_cancelled_while_its_files_get_their_name_leaves_none(queue: Queue) -> None:
    queue.submit(spec(QUERY))
    job = queue.claim(os.getpid())
    assert job

    def run(job: Job, folder: Path, progress: Progress) -> None:
        run_mapping(job, folder, progress)
        tab = threading.Thread(target=queue.cancel, args=(job.id,))
        tab.start()
        tab.join()

    do(job, queue, run)
    assert queue.get(job.id).state is JobState.CANCELLED
    assert list(queue.results.iterdir()) == []
