"""What samples and conditions are made of, as one tab asks for it. Pure functions; knows no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.coloring import Categories
from explorer.errors import OptionsProblem
from explorer.insight.composition import (
    NO_VALUE,
    count_labels,
    differences,
    shares_by_condition,
    shares_by_sample,
    warnings,
)


@dataclass(frozen=True)
class Asked:
    """What samples are compared by.

    Attributes
    ----------
    sample
        obs column that names samples.
    condition
        obs column that is the same for all cells of a sample; empty for none.
    of, against
        Two values of it whose difference is asked for; empty for none.
    donor
        obs column of donors, within whom conditions are then compared; empty for none.
    """

    sample: str
    condition: str = ""
    of: str = ""
    against: str = ""
    donor: str = ""


@dataclass(frozen=True)
class Composed:
    """Shares of labels.

    Attributes
    ----------
    counts
        Cells by label (number) and sample.
    by_sample, by_condition, difference
        As `explorer.insight.composition` has them, with names for labels; `None` where not asked for.
    problem
        Why a difference could not be judged; empty if it could.
    drawn, told
        What a reader should know first, a sentence each: that as many cells were drawn on purpose; all else.
    """

    counts: pd.DataFrame
    by_sample: pd.DataFrame
    by_condition: pd.DataFrame | None = None
    difference: pd.DataFrame | None = None
    problem: str = ""
    drawn: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def of_samples(obs: pd.DataFrame, sample: str, column: str) -> dict[str, str]:
    """What a column says of each sample, by its name; of several values the most frequent."""
    names = _named(obs[sample])
    told = _named(obs[column]).groupby(names.to_numpy(object)).agg(lambda values: values.mode().iloc[0])
    return {str(name): str(value) for name, value in told.items()}


def condition_columns(obs: pd.DataFrame, sample: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of names that say one thing of all cells of a sample, and the same of not every sample."""
    names = _named(obs[sample]).to_numpy(object)
    n = len(set(names.tolist()))
    found = []
    for column in columns:
        values = _named(obs[column])
        if column != sample and values.groupby(names).nunique().max() == 1 and 2 <= values.nunique() < n:
            found.append(str(column))
    return tuple(found)


def compose(labels: Categories, obs: pd.DataFrame, asked: Asked, rows: NDArray[np.integer] | None) -> Composed:
    """Shares of labels in samples, conditions, and between them, of all cells or of some.

    Parameters
    ----------
    labels
        Of the cells in front.
    rows
        Positions of the cells to count; all if not given.
    """
    counts = count_labels(np.asarray(labels.codes), obs[asked.sample], rows)
    by_sample = _with_names(shares_by_sample(counts), labels)
    drawn = warnings(counts)
    if not asked.condition:
        return Composed(counts, by_sample, drawn=drawn)
    condition_of = of_samples(obs, asked.sample, asked.condition)
    conditions = [condition_of[str(sample)] for sample in counts.columns]
    by_condition = _with_names(shares_by_condition(counts, conditions), labels)
    told = warnings(counts, conditions)[len(drawn) :]
    if not asked.of or not asked.against or asked.of == asked.against:
        return Composed(counts, by_sample, by_condition, drawn=drawn, told=told)
    donors = None
    if asked.donor:
        donor_of = of_samples(obs, asked.sample, asked.donor)
        donors = [donor_of[str(sample)] for sample in counts.columns]
    try:
        found = differences(counts, conditions, asked.of, asked.against, donors=donors)
    except OptionsProblem as problem:
        return Composed(counts, by_sample, by_condition, problem=str(problem), drawn=drawn, told=told)
    return Composed(counts, by_sample, by_condition, _with_names(found, labels), drawn=drawn, told=told)


def cards(table: pd.DataFrame, labels: Categories, of: str) -> list[dict[str, Any]]:
    """What `components.interval_bars` draws: a card a label, a bar a sample or condition (column `of`)."""
    colors = dict(zip(labels.names, labels.colors, strict=True))
    return [
        {
            "title": str(label),
            "color": colors.get(str(label), "#8a8f98"),
            "bars": [_bar(told, of) for _, told in own.iterrows()],
        }
        for label, own in table.groupby("label", sort=False)
    ]


def scale_of(table: pd.DataFrame) -> float:
    """Share at which the scale of bars ends: a little beyond the highest end of an interval, at most 1."""
    highest = np.nanmax([*table["high"].to_numpy(float), *table["share"].to_numpy(float), 0.05])
    return float(min(1.0, highest * 1.02))


def _bar(told: pd.Series, of: str) -> dict[str, Any]:
    share, low, high = (_finite(told[name]) for name in ("share", "low", "high"))
    if of == "sample":
        n = f"{int(told['cells']):,} of {int(told['total']):,} cells"
    else:
        n = f"mean of {int(told['samples'])} sample{'s' * (told['samples'] > 1)}"
    ends = f", 95 % interval {percent(low)} to {percent(high)}" if low is not None and high is not None else ""
    return {"name": str(told[of]), "value": share, "low": low, "high": high, "text": percent(share), "tip": n + ends}


def _finite(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 5)


def percent(value: float | None) -> str:
    """A share in percent with one decimal, so that a column of them can be compared; "-" for what is not known."""
    return "-" if value is None or isnan(value) else f"{100 * value:.1f} %"


def _named(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), NO_VALUE).astype(str).reset_index(drop=True)


def _with_names(table: pd.DataFrame, labels: Categories) -> pd.DataFrame:
    return table.assign(label=[labels.names[int(code)] for code in table["label"]])
