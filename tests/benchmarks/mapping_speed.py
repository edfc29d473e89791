"""Seconds from a file on disk to labels, layout and result file: cold process, warm worker, 10,000 cells.

    python -m tests.benchmarks.mapping_speed

Needs the development data beside the checkout (../shared/data). The limit beside which the times stand is what
this machine needs to read the file's values once and to copy the file, which any mapping to a result file must do.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np

from explorer.export import write_h5ad
from explorer.jobs import JobState, MapSpec, Queue
from explorer.mapping import map_query
from explorer.query import open_query, read_blocks
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS, settings
from explorer.supervisor import Supervisor
from tests.benchmarks.tables import report
from tests.benchmarks.transfer_sets import DATA

COVID = DATA / "covid_combat_6patients_unlabelled.h5ad"


def cold(folder: Path) -> float:
    """A new process by the command line, imports and all."""
    started = time.perf_counter()
    words = ["map", str(COVID), "--reference", str(SAMPLE_ATLAS), "--output", str(folder / "cold.h5ad")]
    subprocess.run([sys.executable, "-m", "explorer", *words], check=True, capture_output=True)
    return time.perf_counter() - started


def warm(folder: Path) -> float:
    """The second job of a server's worker, from submitting it to its result being there."""
    queue = Queue(folder / "jobs.sqlite", folder / "results")
    supervisor = Supervisor(queue, settings())
    supervisor.start()
    try:
        _run(queue, MapSpec(str(COVID), str(SAMPLE_ATLAS)))
        return _run(queue, MapSpec(str(COVID), str(SAMPLE_ATLAS)))
    finally:
        supervisor.stop()


def _run(queue: Queue, spec: MapSpec) -> float:
    started = time.perf_counter()
    job = queue.submit(spec)
    while not (job := queue.get(job.id)).state.is_over:
        time.sleep(0.01)
    if job.state is not JobState.DONE:
        raise RuntimeError(job.error)
    return time.perf_counter() - started


def limit(path: Path, folder: Path) -> float:
    """Seconds to read a file's values once and to copy the file."""
    started = time.perf_counter()
    for _ in read_blocks(open_query(path)):
        pass
    shutil.copyfile(path, folder / "copy.h5ad")
    return time.perf_counter() - started


def ten_thousand(folder: Path) -> tuple[Path, dict[str, float]]:
    """10,000 cells drawn with replacement from the COVID cells: seconds a step, file to result file."""
    cells = anndata.read_h5ad(COVID)
    chosen = cells[np.random.default_rng(0).integers(0, cells.n_obs, 10_000)].copy()
    chosen.obs_names_make_unique()
    path = folder / "ten_thousand.h5ad"
    chosen.write_h5ad(path)
    reference = open_reference(SAMPLE_ATLAS)
    started = time.perf_counter()
    query = open_query(path)
    opened = time.perf_counter() - started
    result = map_query(query, reference)
    writing = time.perf_counter()
    write_h5ad(result, query, folder / "result.h5ad")
    steps = {"open": opened, **result.provenance.seconds, "write": time.perf_counter() - writing}
    return path, {**steps, "total": time.perf_counter() - started}


def main() -> None:
    """Measure all three."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, steps = ten_thousand(folder)
        limits = {"4,591 cells": limit(COVID, folder), "10,000 cells": limit(path, folder)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = [
            ("4,591 cells", "cold process", cold(folder)),
            ("4,591 cells", "warm worker", warm(folder)),
            ("10,000 cells", "in process", steps["total"]),
        ]
    rows = [
        {"query": query, "way": way, "seconds": seconds, "times the limit": seconds / limits[query]}
        for query, way, seconds in times
    ]
    report("mapping_speed", rows, limit_seconds=limits, steps_of_10000=steps, peak_mb=peak)
    print("10,000 cells, seconds a step:", {step: round(seconds, 3) for step, seconds in steps.items()})


if __name__ == "__main__":
    main()
