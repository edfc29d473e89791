"""Seconds to rank all genes between two large groups of cells, and to score cells by 50 genes.

    python -m tests.benchmarks.markers_speed [--cells 310000] [--genes 20000] [--shown 1000] [--scanpy-cells 6000]

Cells are drawn with about so many genes shown a cell, and written as a file of cells and as the file sorted by gene
that lies beside a result. scanpy ranks the first of them in memory, in the same run, since it makes genes dense; the
ratio is that of processor seconds for as many cells. Seconds are given by the clock and of the processor, which other
load on the machine does not stretch. The aim is 10 s by the clock for 130,000 against 180,000 cells on two cores, and
0.3 s for a score of 50 genes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy
from scipy import sparse

from explorer.insight.by_gene import ByGene, of_genes
from explorer.insight.genescores import score_cells
from explorer.insight.markers import markers
from explorer.reading.query import open_query
from explorer.writing.export import write_expression
from tests.benchmarks.tables import report

INSIDE = 130 / 310
AIMED_AT = 310_000
BLOCK = 10_000


def drawn(cells: int, genes: int, shown: int) -> sparse.csr_matrix:
    """Counts of cells that show about so many genes each, csr float32 (cells, genes)."""
    rng, parts = np.random.default_rng(0), []
    weight = rng.gamma(0.3, 1.0, genes) + 1e-3
    share = np.cumsum(weight / weight.sum())
    for start in range(0, cells, BLOCK):
        n = min(BLOCK, cells - start)
        depth = rng.poisson(shown * 1.25, n)
        gene = np.searchsorted(share, rng.random(depth.sum())).clip(max=genes - 1)
        cell = np.repeat(np.arange(n), depth)
        parts.append(sparse.csr_matrix((np.ones(len(gene), np.float32), (cell, gene)), shape=(n, genes)))
    return sparse.csr_matrix(sparse.vstack(parts))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one run, by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def of_scanpy(cells: ad.AnnData, test: str) -> tuple[float, float]:
    """The same for normalised cells in memory."""
    method = {"wilcoxon": "wilcoxon", "t": "t-test"}[test]
    more = {"tie_correct": True} if test == "wilcoxon" else {}
    return timed(lambda: scanpy.tl.rank_genes_groups(cells, "side", groups=["in"], method=method, **more))


def _row(clock: float, processor: float, cells: int) -> dict[str, float]:
    times = {"cells": cells, "seconds": clock, "of the processor": processor}
    return {**times, "processor at 310,000": processor * AIMED_AT / cells}


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=AIMED_AT)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--shown", type=int, default=1_000)
    parser.add_argument("--scanpy-cells", type=int, default=6_000)
    options = parser.parse_args()
    counts = drawn(options.cells, options.genes, options.shown)
    inside = np.random.default_rng(1).random(options.cells) < INSIDE
    names = pd.DataFrame(index=[f"GENE{i}" for i in range(options.genes)])
    cells = ad.AnnData(counts, obs=pd.DataFrame(index=np.arange(options.cells).astype(str)), var=names)
    few = cells[: min(options.scanpy_cells, options.cells)].copy()
    few.obs["side"] = pd.Categorical(np.where(inside[: few.n_obs], "in", "out"))
    scanpy.pp.normalize_total(few, target_sum=1e4)
    scanpy.pp.log1p(few)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        cells.write_h5ad(Path(name) / "cells.h5ad")
        query = open_query(Path(name) / "cells.h5ad")
        del cells
        write_expression(query, Path(name) / "expression.h5")
        sources: dict[str, ByGene] = {
            "sorted by gene": of_genes(Path(name) / "expression.h5"), "file of cells": of_genes(query)
        }  # fmt: skip
        markers(sources["sorted by gene"], inside)  # compiled, and read into the disk cache
        for test in ("wilcoxon", "t"):
            of_scanpy(few, test)  # compiled
            twin = of_scanpy(few, test)[1] / few.n_obs * options.cells
            for place, source in sources.items():
                clock, processor = timed(lambda source=source, test=test: markers(source, inside, test=test))
                found = {"question": f"markers, {test}", "cells lie": place, **_row(clock, processor, options.cells)}
                rows.append({**found, "scanpy's over ours": twin / processor})
        some = frozenset(names.index[:: options.genes // 50][:50])
        clock, processor = timed(lambda: score_cells(sources["sorted by gene"], {"some": some}, controls=0))
        rows.append(
            {"question": "score of 50 genes", "cells lie": "sorted by gene", **_row(clock, processor, options.cells)}
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report("markers_speed", rows, values_per_cell=counts.nnz / options.cells, peak_mb=peak)


if __name__ == "__main__":
    main()
