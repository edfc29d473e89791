"""Genes that differ between groups of samples: counts are summed by sample, and each sample is one observation.

Cells of one sample share whatever befell the sample; tests on cells take that for a difference between conditions.
Here they are: log2 CPM of summed counts (Law et al., Genome Biology 2014), a linear model
with donors as blocks where they are on both sides, and a t-test whose variances borrow strength from all genes (Smyth,
Statistical Applications in Genetics and Molecular Biology 2004). No library of a permissive licence does this without
a heavy tail of dependencies; the planted samples and the plain t-test in the tests stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats
from scipy.special import digamma, polygamma

from explorer import keys
from explorer.errors import OptionsProblem, ReferenceProblem, ValuesProblem
from explorer.flow import BoolArray, Query, Reference, ValueKind
from explorer.progress import Progress
from explorer.reading.genes import display_names
from explorer.reading.query import read_blocks
from explorer.reading.values import kind_in_words

Doubles = NDArray[np.float64]

FEWEST_SAMPLES = 2   # a side
FEWEST_CELLS = 10    # of a sample on a side; fewer are no measurement
SEEN = 10.0          # counts that a gene needs in a sample of middle size, in as many samples as the smaller side has
_CELLS_AT_ONCE = 8192
_GENES_AT_ONCE = 1024


class TooFewSamples(OptionsProblem):
    """Too few samples on a side to tell a difference between them from chance."""


@dataclass(frozen=True)
class Summed:
    """Counts summed by sample and side.

    Attributes
    ----------
    units
        One row a sum: sample, inside (bool), cells.
    genes
        Symbols (g,).
    counts
        float64 (units, g).
    """

    units: pd.DataFrame
    genes: NDArray[np.object_]
    counts: Doubles


@dataclass(frozen=True)
class SampleMarkers:
    """Genes of some samples against others.

    Attributes
    ----------
    table
        A row a gene that enough samples show, the highest score first: gene; log2_fold_change; mean_in and mean_out,
        of log2 CPM over samples; score (moderated t); p; adjusted_p (Benjamini-Hochberg).
    group, against
        What was compared, in words.
    inside, outside
        Number of samples on either side.
    paired
        Number of donors on both sides; 0 where samples were not paired.
    prior
        Degrees of freedom that a gene's variance borrows from all genes; infinite where they are all alike.
    """

    table: pd.DataFrame
    group: str
    against: str
    inside: int
    outside: int
    paired: int
    prior: float


def sum_by_sample(
    source: Query | Reference,
    samples: pd.Series,
    inside: BoolArray,
    outside: BoolArray,
    progress: Progress | None = None,
) -> Summed:
    """Sum counts of the cells of either side by sample; a sample's cells on a side count from 10 on.

    Parameters
    ----------
    samples
        Sample of each cell (n,); cells without one are left out.
    inside, outside
        bool (n,), cells of the group, and those they are held against.

    Raises
    ------
    ValuesProblem
        If the source holds no counts.
    ReferenceProblem
        If the reference was shared without them.
    """
    codes, names = pd.factorize(samples.astype("object").where(samples.notna()), use_na_sentinel=True)
    unit = np.where((codes >= 0) & (inside | outside), codes * 2 + inside, -1)
    cells = np.bincount(unit[unit >= 0], minlength=2 * len(names))
    kept = np.flatnonzero(cells >= FEWEST_CELLS)
    place = np.full(2 * len(names) + 1, -1)
    place[kept] = np.arange(len(kept))
    genes, counts = _summed(source, place[unit], len(kept), progress or Progress())
    units = pd.DataFrame(
        {"sample": [str(names[at // 2]) for at in kept.tolist()], "inside": kept % 2 == 1, "cells": cells[kept]}
    )
    return Summed(units, genes, counts)


def compare_samples(
    summed: Summed,
    *,
    donors: dict[str, str] | None = None,
    group: str = "selection",
    against: str = "rest",
) -> SampleMarkers:
    """Genes that differ between the samples of either side.

    Parameters
    ----------
    donors
        Donor of each sample by its name. Donors with samples on both sides are compared within themselves. Without it
        that is done for samples that are themselves on both sides, as those of a label against the rest are.
    group, against
        What to call the two sides.

    Raises
    ------
    TooFewSamples
        If a side has fewer than 2 samples, or too few are left to tell a difference from chance.
    """
    units = summed.units
    inside = units["inside"].to_numpy(bool)
    n_in, n_out = int(inside.sum()), int((~inside).sum())
    if min(n_in, n_out) < FEWEST_SAMPLES:
        raise TooFewSamples(
            f"A comparison of samples needs at least {FEWEST_SAMPLES} on each side, each with {FEWEST_CELLS} cells or "
            f"more: {group} has {n_in}, {against} has {n_out}. Compare cells instead (without a sample column), and "
            "read the p-values as a ranking."
        )
    blocks = units["sample"].map(donors) if donors is not None else units["sample"]
    design, paired = _design(inside, blocks)
    free = len(units) - int(np.linalg.matrix_rank(design))
    if free < 1:
        raise TooFewSamples(
            f"{n_in} samples of {group} and {n_out} of {against} leave nothing to judge chance by once donors are "
            "accounted for. Compare them without donors, or add samples."
        )
    logged, shown = _log_cpm(summed.counts, min(n_in, n_out))
    genes = summed.genes[shown]
    shift, variances, unscaled = _fitted(logged, design, free)
    prior, common = common_variance(variances, free)
    weights = (1.0, 0.0) if np.isinf(prior) else (prior / (prior + free), free / (prior + free))
    t = shift / np.sqrt(np.maximum(weights[0] * common + weights[1] * variances, 1e-12) * unscaled)
    p = 2 * stats.t.sf(np.abs(t), free + prior)
    table = pd.DataFrame(
        {
            "gene": genes,
            "log2_fold_change": shift,
            "mean_in": logged[inside].mean(0),
            "mean_out": logged[~inside].mean(0),
            "score": t,
            "p": p,
            "adjusted_p": stats.false_discovery_control(p) if len(p) else p,
        }
    ).sort_values(["score", "gene"], ascending=[False, True], kind="stable", ignore_index=True)
    return SampleMarkers(table, group, against, n_in, n_out, paired, prior)


def common_variance(variances: Doubles, free: int) -> tuple[float, float]:
    """What the variances of many genes have in common: how many degrees of freedom it is worth, and its value.

    Each is s^2 chi^2_d / d around an s^2 that itself varies among genes as s0^2 d0 / chi^2_d0; d0 and s0^2 are found by
    the mean and variance of logarithms (Smyth 2004, section 6.2).

    Parameters
    ----------
    variances
        float64 (g,), each of `free` degrees of freedom.

    Returns
    -------
    prior
        d0; infinite where genes vary no more than chance would have it, 0 for less than two genes.
    common
        s0^2.
    """
    if len(variances) < 2:
        return 0.0, 1.0
    floor = 1e-5 * max(float(np.median(variances)), 1e-12)  # a gene that does not vary at all has no logarithm
    logs = np.log(np.maximum(variances, floor)) - digamma(free / 2) + np.log(free / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, free / 2))
    if excess <= 0:
        return float("inf"), float(np.exp(logs.mean()))
    half = _trigamma_inverse(excess)
    return 2 * half, float(np.exp(logs.mean() + digamma(half) - np.log(half)))


def _design(inside: BoolArray, blocks: pd.Series) -> tuple[Doubles, int]:
    """Intercept, side, and a column a block but the first where at least two blocks are on both sides; their number."""
    sides = pd.Series(inside).groupby(blocks.to_numpy()).nunique()
    paired = int((sides == 2).sum())
    columns = [np.ones(len(inside)), inside.astype(np.float64)]
    if paired >= FEWEST_SAMPLES:
        columns += list(pd.get_dummies(blocks.astype(str), drop_first=True).to_numpy(np.float64).T)
    return np.column_stack(columns), paired if paired >= FEWEST_SAMPLES else 0


def _log_cpm(counts: Doubles, samples: int) -> tuple[Doubles, BoolArray]:
    """log2((count + 0.5) / (total + 1) * 1e6) of genes seen in enough samples, (units, genes kept), and which."""
    totals = counts.sum(1, keepdims=True)
    seen = counts / totals >= SEEN / np.median(totals)
    shown = (seen.sum(0) >= samples) & (counts.sum(0) > 0)
    return np.log2((counts[:, shown] + 0.5) / (totals + 1) * 1e6), shown


def _fitted(logged: Doubles, design: Doubles, free: int) -> tuple[Doubles, Doubles, float]:
    """Effect of the side (g,), residual variances (g,), and the effect's variance in units of those."""
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ logged
    left = logged - design @ coefficients
    return coefficients[1], (left**2).sum(0) / free, float((inverse[1] ** 2).sum())


def _trigamma_inverse(value: float) -> float:
    """Where the trigamma function takes a value above 0: Newton's method on its reciprocal (Smyth 2004, appendix)."""
    at = 0.5 + 1 / value
    for _ in range(50):
        here = float(polygamma(1, at))
        step = here * (1 - here / value) / float(polygamma(2, at))
        at += step
        if abs(step) < 1e-10 * at:
            break
    return at


def _summed(
    source: Query | Reference, unit: NDArray[np.integer], n_units: int, progress: Progress
) -> tuple[NDArray[np.object_], Doubles]:
    cells = np.flatnonzero(unit >= 0)
    members = sparse.csr_matrix((np.ones(len(cells)), (unit[cells], cells)), shape=(n_units, len(unit)))
    if isinstance(source, Reference):
        parts = [np.asarray((members @ run).todense()) for run in _reference_counts(source, progress)]
        return source.genes[keys.SYMBOL].to_numpy(object), np.hstack(parts)
    if source.kind is not ValueKind.COUNTS:
        raise ValuesProblem(
            f"Samples are compared by their summed counts, and {source.matrix_name} of {source.name} holds "
            f"{kind_in_words(source.kind)}. Name a matrix of counts (--matrix), or compare cells."
        )
    counts, done = np.zeros((n_units, source.matrix.shape[1])), 0
    for block, _ in read_blocks(source, _CELLS_AT_ONCE):
        counts += (members[:, done : done + block.shape[0]] @ block).toarray()
        done += block.shape[0]
        progress(done / source.n_cells)
    names, place = np.unique(display_names(source.var).astype(str), return_inverse=True)
    by_name = sparse.csr_matrix((np.ones(len(place)), (np.arange(len(place)), place)), shape=(len(place), len(names)))
    return names.astype(object), np.asarray(counts @ by_name)


def _reference_counts(reference: Reference, progress: Progress) -> Iterator[sparse.csc_matrix]:
    n = len(reference.genes)
    with h5py.File(reference.folder / keys.CELLS_FILE, "r") as file:
        if "X" not in file:
            raise ReferenceProblem(f"The reference {reference.title} was shared without expression values.")
        if file["X/data"].dtype.kind not in "ui":
            raise ValuesProblem(f"Samples are compared by their summed counts, and {reference.title} holds none.")
        indptr = file["X/indptr"][:].astype(np.int64)
        for start in range(0, n, _GENES_AT_ONCE):
            own = indptr[start : start + _GENES_AT_ONCE + 1]
            parts = (file["X/data"][own[0] : own[-1]].astype(np.float64), file["X/indices"][own[0] : own[-1]])
            yield sparse.csc_matrix((*parts, own - own[0]), shape=(reference.n_cells, len(own) - 1))
            progress(min(start + _GENES_AT_ONCE, n) / n)
