"""Which genes tell some cells from others: of a label, a cluster, a selection, over all genes.

Three rankings stand beside each other. The rank test (Wilcoxon, Mann and Whitney) and Welch's t-test ask whether a
difference is more than chance; the effect size of scREF (Diaz-Mejia et al., bioRxiv 2024) asks how large it is beside
the spread of all cells. scanpy computes the tests as well and serves as their twin in the tests of this file; it makes
genes dense and holds the whole matrix, which a million cells do not allow.

p-values take cells for independent, which cells of one sample are not: they rank genes. Where there are samples,
`explorer.insight.pseudobulk` tests between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from explorer.errors import OptionsProblem
from explorer.flow import BoolArray, IntArray
from explorer.insight.by_gene import ByGene
from explorer.insight.tally import Doubles, Moments, Tally, tally
from explorer.progress import Progress

TESTS = ("wilcoxon", "t")
FEWEST = 3           # cells a side
PSEUDOCOUNT = 0.1    # CP10k, added to both means of a fold change, so that genes hardly seen change little
DRAWN = 2000         # cells a group that the effect size looks at (Diaz-Mejia et al.)
SHOWN = 20.0         # summed log1p CP10k over the drawn cells that a gene needs for an effect size (Diaz-Mejia et al.)
BROADER = 10.0       # by which the spread of all cells outweighs that of the group (Diaz-Mejia et al.)
SEED = 0


@dataclass(frozen=True)
class Markers:
    """Genes of one group of cells against others.

    Attributes
    ----------
    table
        A row a gene, the highest score first: gene; log2_fold_change; share_in and share_out, of cells that show it;
        mean_in and mean_out, of log1p CP10k; score (z or t, positive for genes of the group); p; adjusted_p
        (Benjamini-Hochberg over all genes); auroc, the chance that a cell of the group shows more of it than another
        (by the rank test only); effect (scREF), NaN for genes hardly seen.
    group, against
        What was compared, in words.
    inside, outside
        Number of cells.
    test
        "wilcoxon" or "t".
    """

    table: pd.DataFrame
    group: str
    against: str
    inside: int
    outside: int
    test: str


def markers(
    expression: ByGene,
    inside: BoolArray,
    outside: BoolArray | None = None,
    *,
    test: str = "wilcoxon",
    group: str = "selection",
    against: str = "rest",
    progress: Progress | None = None,
) -> Markers:
    """Genes that tell some cells from others.

    Parameters
    ----------
    inside, outside
        bool (n,): the cells, and those they are held against; all others if not given.
    test
        "wilcoxon" or "t".
    group, against
        What to call the two.

    Raises
    ------
    OptionsProblem
        If a side has fewer than 3 cells, both share a cell, or the test is not known.
    Cancelled
        If somebody asked to stop.
    """
    outside = ~inside if outside is None else outside
    if (inside & outside).any():
        raise OptionsProblem(
            f"{int((inside & outside).sum()):,} cells are in both groups, {group} and {against}. Compare groups that "
            "share no cell."
        )
    groups = np.where(inside, 0, np.where(outside, 1, -1)).astype(np.int32)
    return _compared(expression, groups, (group, against), test, progress, first=True)[group]


def markers_of_each(
    expression: ByGene,
    labels: Sequence[str] | NDArray[np.object_],
    codes: IntArray,
    *,
    test: str = "wilcoxon",
    progress: Progress | None = None,
) -> Mapping[str, Markers]:
    """Genes of every label against the cells of all other labels; the file is read once for all.

    Parameters
    ----------
    labels
        Names (k,).
    codes
        int32 (n,), position of each cell's label; -1 leaves a cell out.

    Returns
    -------
    dict
        By label, without those of fewer than 3 cells.

    Raises
    ------
    OptionsProblem
        If fewer than two labels have 3 cells, or the test is not known.
    """
    known = np.asarray(codes)
    enough = np.bincount(known[known >= 0], minlength=len(labels)) >= FEWEST
    if enough.sum() < 2:
        raise OptionsProblem(
            f"Markers hold a label against others: at least two labels of {FEWEST} cells are needed, and "
            f"{int(enough.sum())} of {len(labels)} has as many. Name another column."
        )
    place = np.where(enough, np.cumsum(enough) - 1, -1)
    kept = np.where(known >= 0, place[known], -1).astype(np.int32)
    names = [str(label) for label, keep in zip(labels, enough, strict=True) if keep]
    return _compared(expression, kept, names, test, progress)


def draw(groups: IntArray, most: int = DRAWN, seed: int = SEED) -> BoolArray:
    """At most so many cells of each group, bool (n,), drawn without replacement."""
    rng, drawn = np.random.default_rng(seed), np.zeros(len(groups), bool)
    for group in np.unique(groups[groups >= 0]):
        cells = np.flatnonzero(groups == group)
        drawn[cells if len(cells) <= most else rng.choice(cells, most, replace=False)] = True
    return drawn


def effect_sizes(inside: Moments, every: Moments) -> Doubles:
    """The effect size of scREF, float64 (g,): (m_c - m) / sqrt(s_c^2 / n_c + (10 s)^2 / n).

    The mean of a group against that of all cells, the group among them. The spread of all cells counts tenfold, which
    takes away what a t-test gives to genes of tiny variance (Diaz-Mejia et al., bioRxiv 2024). Not a test: no p-value
    belongs to it.

    Parameters
    ----------
    inside, every
        Of one group each.
    """
    spread = inside.variances()[0] / inside.cells[0] + BROADER**2 * every.variances()[0] / every.cells[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = (inside.means()[0] - every.means()[0]) / np.sqrt(spread)
    return np.where((every.sums[0] >= SHOWN) & (spread > 0), effect, np.nan)


def _compared(
    expression: ByGene,
    groups: IntArray,
    names: Sequence[str],
    test: str,
    progress: Progress | None,
    *,
    first: bool = False,
) -> dict[str, Markers]:
    if test not in TESTS:
        raise OptionsProblem(f"Markers are tested by {' or '.join(TESTS)}, not by {test!r}.")
    cells = np.bincount(groups[groups >= 0], minlength=len(names))
    for name, n in zip(names, cells, strict=True):
        if n < FEWEST:
            raise OptionsProblem(f"{name} has {n:,} cells; at least {FEWEST} on each side are needed to compare.")
    found = tally(expression, groups, len(names), draw(groups), ranks=test == "wilcoxon", progress=progress)
    against, every = names[1] if first else "rest", int(cells.sum())
    answers = {}
    for group, name in enumerate(names[:1] if first else names):
        table, own = _table(expression.genes, found, group, test), int(cells[group])
        answers[name] = Markers(table, name, against, own, every - own, test)
    return answers


def _table(genes: NDArray[np.object_], found: Tally, group: int, test: str) -> pd.DataFrame:
    mine = np.arange(len(found.all.cells)) == group
    inside, outside = found.all.merged(mine), found.all.merged(~mine)
    mean_in, mean_out = inside.means()[0], outside.means()[0]
    columns = {
        "gene": genes,
        "log2_fold_change": np.log2((np.expm1(mean_in) + PSEUDOCOUNT) / (np.expm1(mean_out) + PSEUDOCOUNT)),
        "share_in": inside.shown[0] / inside.cells[0],
        "share_out": outside.shown[0] / outside.cells[0],
        "mean_in": mean_in,
        "mean_out": mean_out,
    }
    n, m = float(inside.cells[0]), float(outside.cells[0])
    if test == "wilcoxon":
        score, p, auroc = _rank_test(found.rank_sums[group], found.ties, n, m)
        tested = {"score": score, "p": p, "adjusted_p": stats.false_discovery_control(p), "auroc": auroc}
    else:
        score, p = _welch(inside, outside)
        tested = {"score": score, "p": p, "adjusted_p": stats.false_discovery_control(p)}
    drawn = found.drawn.merged(mine), found.drawn.merged(np.ones_like(mine))
    table = pd.DataFrame({**columns, **tested, "effect": effect_sizes(*drawn)})
    return table.sort_values(["score", "gene"], ascending=[False, True], kind="stable", ignore_index=True)


def _rank_test(rank_sums: Doubles, ties: Doubles, n: float, m: float) -> tuple[Doubles, Doubles, Doubles]:
    """z of the rank sum by its normal limit, corrected for ties; p, two-sided; share of pairs won, ties by half."""
    total = n + m
    won = rank_sums - n * (n + 1) / 2
    variance = n * m / 12 * ((total + 1) - ties / (total * (total - 1)))
    z = np.divide(won - n * m / 2, np.sqrt(variance), out=np.zeros_like(won), where=variance > 1e-9)
    return z, 2 * stats.norm.sf(np.abs(z)), won / (n * m)


def _welch(inside: Moments, outside: Moments) -> tuple[Doubles, Doubles]:
    """t of the difference in means with variances of either side, and p, two-sided; genes that do not vary score 0."""
    shift = inside.means()[0] - outside.means()[0]
    of_in, of_out = (side.variances()[0] / side.cells[0] for side in (inside, outside))
    error = of_in + of_out
    varies = error > 0
    error = np.where(varies, error, 1.0)
    free = error**2 / np.maximum(of_in**2 / (inside.cells[0] - 1) + of_out**2 / (outside.cells[0] - 1), 1e-300)
    t = np.where(varies, shift / np.sqrt(error), 0.0)
    return t, np.where(varies, 2 * stats.t.sf(np.abs(t), free), 1.0)
