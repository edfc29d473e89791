"""Genes that stand out: what cells express beside what their label leads one to expect. Knows counts and label codes.

The residuals are those that novelty is measured by (explorer.doubt.novelty), with their sign: a gene far above says
that the cells have something their label should not have, one far below that they lack it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer.doubt.novelty import LARGEST_RESIDUAL, Expected
from explorer.flow import AlignedCells, BoolArray, FloatArray, IntArray


def mean_residuals(
    cells: AlignedCells, codes: IntArray, expected: Expected, found: BoolArray | None = None
) -> FloatArray:
    """Mean signed Pearson residual of each gene over cells, float32 (g,).

    For x counts of a gene in a cell of N counts, label share p and gene spread s: z = (x - N p) / (s sqrt(N p)), capped
    above at 10, as `explorer.doubt.novelty.deviation` has it before squaring.

    Parameters
    ----------
    cells
        n x g; values on the scale of CP10k are taken as if they were counts.
    codes
        int32 (n,), the label of each cell.
    found
        bool (g,), genes that the query holds; the others get 0.
    """
    totals = cells.totals.astype(np.float64)
    root = np.sqrt(np.maximum(totals, 1e-12))
    summed = np.zeros(expected.shares.shape[1])
    for code in np.unique(codes):
        rows = codes == code
        share = expected.shares[code].astype(np.float64)
        summed -= root[rows].sum() * np.sqrt(share) / expected.spread  # as if every count were zero
        part = sparse.csr_matrix(cells.values[rows])
        owner = np.repeat(np.flatnonzero(rows), np.diff(part.indptr))
        mean = np.maximum(totals[owner] * share[part.indices], 1e-12)
        scale = expected.spread[part.indices] * np.sqrt(mean)
        z = np.minimum((part.data - mean) / scale, LARGEST_RESIDUAL)
        summed += np.bincount(part.indices, weights=z + mean / scale, minlength=len(summed))
    genes = np.ones(len(summed), bool) if found is None else found
    return np.asarray(np.where(genes, summed / max(1, cells.n_cells), 0), np.float32)


def standing_out(
    symbols: Sequence[str] | NDArray[np.object_],
    cells: AlignedCells,
    codes: IntArray,
    expected: Expected,
    found: BoolArray | None = None,
) -> pd.DataFrame:
    """Genes by how far they lie above what the cells' labels lead one to expect.

    Returns
    -------
    DataFrame
        A row a gene, the highest residual first: gene, residual, observed and expected (counts per 10,000, pooled over
        the cells), share (of the cells with any).
    """
    members = np.bincount(codes, weights=cells.totals, minlength=len(expected.shares))
    total = max(float(cells.totals.sum()), 1e-12)
    table = pd.DataFrame(
        {
            "gene": np.asarray(symbols, dtype=object),
            "residual": mean_residuals(cells, codes, expected, found),
            "observed": np.asarray(cells.values.sum(0), np.float64).ravel() / total * 1e4,
            "expected": members @ expected.shares.astype(np.float64) / total * 1e4,
            "share": np.asarray((cells.values > 0).sum(0), np.float64).ravel() / max(1, cells.n_cells),
        }
    )
    kept = table if found is None else table[found]
    return kept.sort_values("residual", ascending=False, kind="stable", ignore_index=True)
