"""What samples and conditions are made of: shares of labels, and how sure they are.

Cells of one sample are not independent of each other, so that what differs between conditions is judged on samples:
a share a sample, their mean, and an interval over samples. Within a sample the interval says no more than how well
so many cells show that sample's share. Knows labels and samples, not expression.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from explorer.errors import OptionsProblem

COVERAGE = 0.95
FEWEST = 3            # samples a condition below which an interval says little
MOST_SAMPLES = 40
NO_VALUE = "no value"
# Labels of at least so many cells a sample can show that equal numbers were drawn: by chance, counts lie within half a
# Poisson standard deviation of their median in 38 of 100 samples. More than that is held against chance.
_ENOUGH, _NEAR, _OF_ONE, _OF_ALL = 20, 0.5, 0.005, 0.001
_ALIKE = 1e-12  # shares that differ by less differ by rounding


def sample_columns(obs: pd.DataFrame) -> list[str]:
    """Columns that could name samples."""
    return [
        str(name) for name in obs.columns
        if not pd.api.types.is_float_dtype(obs[name]) and 1 <= obs[name].nunique() <= MOST_SAMPLES
    ]  # fmt: skip


def count_labels(
    codes: NDArray[np.integer], samples: pd.Series, rows: NDArray[np.integer] | None = None
) -> pd.DataFrame:
    """Cells by label (rows, most frequent first) and sample (columns); labels without a cell are left out.

    Parameters
    ----------
    codes
        int (n,), number of each cell's label; -1 for none.
    samples
        Sample of each cell, in the same order.
    rows
        Positions of the cells to count; all if not given.
    """
    of_cell = pd.Series(np.asarray(codes))
    named = samples.astype("object").where(samples.notna(), NO_VALUE).astype(str).reset_index(drop=True)
    if rows is not None:
        of_cell, named = of_cell.iloc[rows], named.iloc[rows]
    counts = pd.crosstab(of_cell, named)
    counts = counts.loc[counts.index >= 0]
    return counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]


def wilson(
    counts: NDArray[np.integer], totals: NDArray[np.integer], coverage: float = COVERAGE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of a share, lower and upper end; 0 to 1 for a sample without a cell (Wilson, JASA 1927)."""
    z = stats.norm.ppf(0.5 + coverage / 2)
    n = np.maximum(np.asarray(totals, np.float64), 1.0)
    share = np.asarray(counts, np.float64) / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    some = np.asarray(totals) > 0
    low = np.where(np.asarray(counts) == 0, 0.0, middle - half)
    high = np.where(np.asarray(counts) == totals, 1.0, middle + half)
    return np.where(some, np.maximum(low, 0.0), 0.0), np.where(some, np.minimum(high, 1.0), 1.0)


def shares_by_sample(counts: pd.DataFrame, coverage: float = COVERAGE) -> pd.DataFrame:
    """Share of each label in each sample, with Wilson's interval over its cells.

    Parameters
    ----------
    counts
        Cells by label and sample, as `count_labels` has them.

    Returns
    -------
    DataFrame
        A row a label and sample: label, sample, cells, total, share, low, high.
    """
    cells = counts.to_numpy()
    totals = np.broadcast_to(cells.sum(0), cells.shape)
    low, high = wilson(cells, totals, coverage)
    share = np.divide(cells, totals, out=np.full(cells.shape, np.nan), where=totals > 0)
    return pd.DataFrame(
        {
            "label": np.repeat(counts.index.to_numpy(object), cells.shape[1]),
            "sample": np.tile(counts.columns.to_numpy(object), cells.shape[0]),
            "cells": cells.ravel(),
            "total": totals.ravel(),
            "share": share.ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )


def shares_by_condition(
    counts: pd.DataFrame, conditions: Sequence[str], coverage: float = COVERAGE
) -> pd.DataFrame:
    """Mean share of each label over the samples of each condition, with a t interval over samples.

    Parameters
    ----------
    counts
        Cells by label and sample.
    conditions
        Condition of each sample, in the order of the columns.

    Returns
    -------
    DataFrame
        A row a label and condition: label, condition, samples, share (mean over samples, each counting the same), low,
        high; NaN ends where there is one sample only.
    """
    shares = _shares(counts)
    told, rows = np.asarray(conditions, dtype=object), []
    for condition in dict.fromkeys(told.tolist()):
        own = shares[:, told == condition]
        for label, of_samples in zip(counts.index, own, strict=True):
            mean, low, high = _interval(of_samples, coverage)
            rows.append((label, condition, len(of_samples), mean, max(low, 0.0), min(high, 1.0)))
    return pd.DataFrame(rows, columns=["label", "condition", "samples", "share", "low", "high"])


def differences(
    counts: pd.DataFrame,
    conditions: Sequence[str],
    condition: str,
    against: str,
    *,
    donors: Sequence[str] | None = None,
    coverage: float = COVERAGE,
) -> pd.DataFrame:
    """How much more of each label one condition has than another: an interval over samples, never over cells.

    Welch's t between the samples of either; with donors that have both, the t of their own differences.

    Parameters
    ----------
    counts
        Cells by label and sample.
    conditions
        Condition of each sample, in the order of the columns.
    donors
        Donor of each sample; differences are then taken within each donor that has both conditions.

    Returns
    -------
    DataFrame
        A row a label, the largest difference first: label, share and share_against (means over samples), difference,
        low, high, p, adjusted_p (Benjamini-Hochberg over labels), samples and samples_against; with donors, both are
        the number of donors that have both.

    Raises
    ------
    OptionsProblem
        If either condition has fewer than 2 samples, or fewer than 2 donors have both.
    """
    shares, told = _shares(counts), np.asarray(conditions, dtype=object)
    one, other = shares[:, told == condition], shares[:, told == against]
    if donors is not None:
        one, other = _paired(shares, told, np.asarray(donors, dtype=object), condition, against)
    if min(one.shape[1], other.shape[1]) < 2:
        raise OptionsProblem(
            f"A difference between conditions is judged on samples, and at least 2 of each are needed: {condition} has "
            f"{one.shape[1]}, {against} has {other.shape[1]}. Look at the shares of each sample instead."
        )
    rows = []
    for label, mine, theirs in zip(counts.index, one, other, strict=True):
        low, high, p = _tested(mine, theirs, coverage, paired=donors is not None)
        rows.append((label, mine.mean(), theirs.mean(), mine.mean() - theirs.mean(), low, high, p))
    table = pd.DataFrame(rows, columns=["label", "share", "share_against", "difference", "low", "high", "p"])
    known = table["p"].notna()
    table.loc[known, "adjusted_p"] = stats.false_discovery_control(table.loc[known, "p"]) if known.any() else np.nan
    table["samples"], table["samples_against"] = one.shape[1], other.shape[1]
    return table.sort_values("difference", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def warnings(counts: pd.DataFrame, conditions: Sequence[str] | None = None) -> tuple[str, ...]:
    """What a reader of these shares should know first, one sentence each.

    Parameters
    ----------
    counts
        Cells by label and sample.
    conditions
        Condition of each sample, where they are compared.
    """
    told = []
    if counts.shape[1] >= FEWEST and (alike := _drawn_alike(counts)):
        told.append(
            f"Samples hold nearly the same number of cells of {', '.join(alike)}: as many were drawn on purpose, so it "
            "seems, and then shares mean nothing."
        )
    if conditions is not None:
        few = {name: n for name, n in pd.Series(list(conditions)).value_counts(sort=False).items() if n < FEWEST}
        if few:
            listed = ", ".join(f"{name} ({n})" for name, n in few.items())
            told.append(f"Fewer than {FEWEST} samples of {listed}: their shares may be those of a person, no more.")
    return tuple(told)


def _tested(
    mine: NDArray[np.float64], theirs: NDArray[np.float64], coverage: float, *, paired: bool
) -> tuple[float, float, float]:
    """Ends of the interval of a difference and its p; NaN where nothing varies, by which it could be judged."""
    spread = np.ptp(mine - theirs) if paired else np.ptp(mine) + np.ptp(theirs)
    if spread <= _ALIKE:
        return float("nan"), float("nan"), float("nan")
    found = stats.ttest_rel(mine, theirs) if paired else stats.ttest_ind(mine, theirs, equal_var=False)
    low, high = found.confidence_interval(coverage)
    return float(low), float(high), float(found.pvalue)


def _shares(counts: pd.DataFrame) -> NDArray[np.float64]:
    cells = counts.to_numpy(np.float64)
    return cells / np.maximum(cells.sum(0), 1e-300)


def _interval(values: NDArray[np.float64], coverage: float) -> tuple[float, float, float]:
    n, mean = len(values), float(values.mean())
    if n < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.5 + coverage / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def _paired(
    shares: NDArray[np.float64], told: NDArray[np.object_], donors: NDArray[np.object_], condition: str, against: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean share of each donor under either condition, donors that have both."""
    both = [
        donor for donor in dict.fromkeys(donors.tolist())
        if {condition, against} <= set(told[donors == donor].tolist())
    ]  # fmt: skip

    def of(wanted: str) -> NDArray[np.float64]:
        parts = [shares[:, (donors == donor) & (told == wanted)].mean(1) for donor in both]
        return np.stack(parts, axis=1) if parts else np.zeros((len(shares), 0))

    return of(condition), of(against)


def _drawn_alike(counts: pd.DataFrame) -> list[str]:
    """Labels whose cells differ less between samples than chance would have it, a sample that fell short aside."""
    cells = counts.to_numpy(np.float64)
    middle = np.median(cells, axis=1)
    names = counts.index.to_numpy(object)[middle >= _ENOUGH]
    cells, middle = cells[middle >= _ENOUGH], middle[middle >= _ENOUGH, None]
    near = np.abs(cells - middle) <= _NEAR * np.sqrt(middle)
    chance = stats.norm.cdf(_NEAR) - stats.norm.cdf(-_NEAR)
    alone = stats.binom.sf(near.sum(1) - 1, near.shape[1], chance) < _OF_ONE
    together = stats.binom.sf(near.sum() - 1, near.size, chance) < _OF_ALL
    return [str(name) for name in names[alone | (together & (near.mean(1) > 0.5))]]
