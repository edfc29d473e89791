"""Seconds from a file on disk to labels, layout and result file: cold process, warm worker, 10,000 cells by any method.

    python -m tests.benchmarks.mapping_speed [--reference FOLDER]

Needs the development data beside the checkout (../shared/data). The limit beside which the times stand is what
this machine needs to read the file's values once and to copy the file, which any mapping to a result file must do.
10,000 cells are mapped by every method of the reference, with seconds a step; the aim is 8 seconds on two cores.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np

from explorer.flow import Reference
from explorer.jobs.queue import JobState, Queue
from explorer.jobs.specs import MapSpec
from explorer.jobs.supervisor import Supervisor
from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query, read_blocks
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS, settings
from explorer.writing.export import write_h5ad
from tests.benchmarks.tables import report
from tests.benchmarks.transfer_sets import DATA

COVID = DATA / "covid_combat_6patients_unlabelled.h5ad"


def cold(atlas: Path, folder: Path) -> float:
    """A new process by the command line, imports and all."""
    started = time.perf_counter()
    words = ["map", str(COVID), "--reference", str(atlas), "--output", str(folder / "cold.h5ad")]
    subprocess.run([sys.executable, "-m", "explorer", *words], check=True, capture_output=True)
    return time.perf_counter() - started


def warm(atlas: Path, folder: Path) -> float:
    """The second job of a server's worker, from submitting it to its result being there."""
    queue = Queue(folder / "jobs.sqlite", folder / "results")
    supervisor = Supervisor(queue, settings())
    supervisor.start()
    try:
        _run(queue, MapSpec(str(COVID), str(atlas)))
        return _run(queue, MapSpec(str(COVID), str(atlas)))
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


def ten_thousand(folder: Path) -> Path:
    """A file of 10,000 cells drawn with replacement from the COVID cells."""
    cells = anndata.read_h5ad(COVID)
    chosen = cells[np.random.default_rng(0).integers(0, cells.n_obs, 10_000)].copy()
    chosen.obs_names_make_unique()
    path = folder / "ten_thousand.h5ad"
    chosen.write_h5ad(path)
    return path


def in_process(path: Path, reference: Reference, method: str, folder: Path) -> dict[str, float]:
    """Seconds a step from file to result file, and their total; imports and the model's file are part of it once."""
    started = time.perf_counter()
    query = open_query(path)
    opened = time.perf_counter() - started
    result = map_query(query, reference, method)
    writing = time.perf_counter()
    write_h5ad(result, query, folder / "result.h5ad")
    steps = {"open": opened, **result.provenance.seconds, "write": time.perf_counter() - writing}
    return {**steps, "total": time.perf_counter() - started}


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=SAMPLE_ATLAS)
    atlas = parser.parse_args().reference
    reference = open_reference(atlas)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = ten_thousand(folder)
        limits = {"4,591 cells": limit(COVID, folder), "10,000 cells": limit(path, folder)}
        steps = {method: in_process(path, reference, method, folder) for method in reference.methods}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = [
            ("4,591 cells", "cold process", "concord", cold(atlas, folder)),
            ("4,591 cells", "warm worker", "concord", warm(atlas, folder)),
            *(("10,000 cells", "in process", method, found["total"]) for method, found in steps.items()),
        ]
    rows = [
        {"query": query, "way": way, "method": method, "seconds": seconds, "times the limit": seconds / limits[query]}
        for query, way, method, seconds in times
    ]
    report("mapping_speed", rows, limit_seconds=limits, steps_of_10000=steps, peak_mb=peak)
    for method, found in steps.items():
        print(f"10,000 cells by {method}, seconds a step:", {step: round(value, 3) for step, value in found.items()})


if __name__ == "__main__":
    main()
