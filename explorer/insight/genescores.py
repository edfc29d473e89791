"""How much each cell shows of a gene set: the mean of its genes less that of genes alike, after Tirosh et al. (2016).

A score of 0 says that the set is seen as much as genes of the same mean expression are. Knows expression by gene.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.errors import GenesProblem
from explorer.flow import FloatArray
from explorer.insight.by_gene import ByGene
from explorer.progress import Progress

CONTROLS = 50    # genes drawn from each bin of mean expression that holds a gene of the set
BINS = 25
SEED = 0


def mean_expression(expression: ByGene, progress: Progress | None = None) -> NDArray[np.float64]:
    """Mean log1p CP10k of each gene over all cells, float64 (g,): what `score_cells` matches genes by."""
    parts = [run.sum(0, dtype=np.float64) for _, run in expression.runs(progress)]
    return np.asarray(np.hstack(parts)).ravel() / expression.n_cells


def score_cells(
    expression: ByGene,
    sets: Mapping[str, frozenset[str]],
    means: NDArray[np.float64] | None = None,
    *,
    controls: int = CONTROLS,
    seed: int = SEED,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score every cell by each set.

    Parameters
    ----------
    sets
        Upper-cased symbols by name, as `genesets.read_collections` reads them.
    means
        As `mean_expression` finds them; computed if not given and needed.
    controls
        Genes drawn a bin; 0 for the plain mean of the set, which reads its own genes only.

    Returns
    -------
    DataFrame
        float32, a row a cell and a column a set.

    Raises
    ------
    GenesProblem
        If none of a set's genes was measured.
    """
    progress = progress or Progress()
    first = 0.0
    if controls and means is None:
        means, first = mean_expression(expression, progress.part(progress.stage, 0.0, 0.5)), 0.5
    genes = np.array([str(gene).upper() for gene in expression.genes], dtype=object)
    columns = [_weights(genes, name, own, means, controls, seed) for name, own in sets.items()]
    weights = np.column_stack(columns) if columns else np.zeros((len(genes), 0), np.float32)
    scores = expression.weighted(weights, progress.part(progress.stage, first, 1.0))
    return pd.DataFrame(scores, columns=list(sets))


def _weights(
    genes: NDArray[np.object_],
    name: str,
    own: frozenset[str],
    means: NDArray[np.float64] | None,
    controls: int,
    seed: int,
) -> FloatArray:
    """1 / size for genes of the set, -1 / number for their controls, float32 (g,)."""
    member = np.fromiter((gene in own for gene in genes), bool, len(genes))
    if not member.any():
        raise GenesProblem(
            f"None of the {len(own):,} genes of {name} was measured. Are they of the same naming (symbols such as "
            "ISG15)?"
        )
    weights = np.where(member, 1 / member.sum(), 0.0)
    if controls and means is not None:
        chosen = _controls(member, means, controls, seed)
        if len(chosen):
            weights[chosen] = -1 / len(chosen)
    return weights.astype(np.float32)


def _controls(member: NDArray[np.bool_], means: NDArray[np.float64], controls: int, seed: int) -> NDArray[np.int64]:
    """Genes outside the set, drawn from the bins of equal number, by mean expression, in which it has genes."""
    rng, seen = np.random.default_rng(seed), np.flatnonzero(means > 0)
    bins = np.full(len(means), -1)
    order = seen[np.argsort(means[seen], kind="stable")]
    bins[order] = np.arange(len(order)) * BINS // max(len(order), 1)
    chosen = []
    for at in np.unique(bins[member & (bins >= 0)]):
        able = np.flatnonzero((bins == at) & ~member)
        chosen.append(able if len(able) <= controls else rng.choice(able, controls, replace=False))
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
