"""Seconds to train every method on 10,000 cells x 2,000 genes, and to embed as many, beside what was aimed at.

    python -m tests.benchmarks.training_speed [--methods NAME ...] [--cells 10000] [--threads 2]

Cells are drawn with replacement from the sample atlas, so that types, batches, genes and the share of zeros are real.
Settings are the balanced ones, scPoli's with 50 epochs, which its aim is for. In the same run, as a peer: 50 principal
components and logistic regression. Each contender has a process of its own; aims are for two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.settings import SAMPLE_ATLAS
from tests.benchmarks.tables import report

ROOT = Path(__file__).resolve().parents[2]
PEER = "PCA + logistic regression"
AIMS = {"concord": 20, "concerto": 40, "scpoli": 40, "kida": 180, "bascvi": 180}  # seconds
EPOCHS = {"scpoli": 50}
N_GENES = 2000


def run_one(name: str, n_cells: int) -> dict[str, Any]:
    """Train one contender and embed the cells it was trained on."""
    import torch
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from explorer.mapping.learning import read_annotated
    from explorer.methods import METHODS
    from explorer.progress import Progress
    from explorer.reading.selection import variable_genes
    from tests.benchmarks.contenders import Spent, measured
    from tests.benchmarks.transfer_sets import LEVEL

    annotated = read_annotated(SAMPLE_ATLAS / "cells.h5ad", (LEVEL,), "batch", None, Progress())
    rows = np.random.default_rng(0).integers(0, annotated.cells.n_cells, n_cells)
    training = annotated.training(rows, variable_genes(annotated.cells, annotated.batches, N_GENES))
    trained, embedded = Spent(), Spent()
    if name == PEER:
        values = training.cells.log1p().toarray()
        peer = make_pipeline(PCA(50, random_state=0), LogisticRegression(max_iter=500))
        with measured(trained):
            peer.fit(values, training.labels[LEVEL])
        with measured(embedded):
            peer.predict(values)
    else:
        config = METHODS[name].config_type.named("balanced")
        config = replace(config, epochs=EPOCHS[name]) if name in EPOCHS else config
        with measured(trained):
            method = METHODS[name].fit(training, config, device=torch.device("cpu"), progress=Progress())
        with measured(embedded):
            method.embed(training.cells, progress=Progress())
    density = training.cells.values.nnz / np.prod(training.cells.values.shape)
    return {"density": float(density), "trained": asdict(trained), "embedded": asdict(embedded)}


def in_child(name: str, n_cells: int, threads: int) -> dict[str, Any]:
    """`run_one` in a process of its own."""
    words = ["--one", name, "--cells", str(n_cells)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.training_speed", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", choices=[*AIMS, PEER], default=[*AIMS, PEER])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", choices=[*AIMS, PEER], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(options.one, options.cells)))
        return
    rows = []
    for name in options.methods:
        found = in_child(name, options.cells, options.threads)
        trained, embedded = found["trained"], found["embedded"]
        aim = AIMS.get(name, "")
        rows.append(
            {
                "method": name,
                "train s": trained["seconds"],
                "CPU s": trained["cpu_seconds"],
                "aim s": aim,
                "reached": "" if aim == "" else "yes" if trained["seconds"] < aim else "no",
                "embed s": embedded["seconds"],
                "peak MB": trained["peak_mb"],
                "values above 0": found["density"],
            }
        )
        print(rows[-1], flush=True)
    report("training_speed", rows, cells=options.cells, genes=N_GENES, threads=options.threads, epochs=EPOCHS)


if __name__ == "__main__":
    main()
