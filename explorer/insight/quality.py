"""How good a latent space is: one table of measures, beside what chance would give.

Measures that need labels ask how well types stay apart, and how well batches know one another's; measures that need
batches ask whether these mix; the picture is held against the latent space. `METRICS` says what each one is.

A reference's own cells were seen in training, so these figures compare methods on one reference; how a method does on
cells that it has not seen is on the reference's card. All work is bounded by samples drawn with a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import pandas as pd

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, MappingResult, Reference
from explorer.insight.metrics import BATCHES, LABELS, METRICS
from explorer.insight.mixing import connectivity
from explorer.insight.quality_parts import HALF, Cells, across_batches, mixing_of, spread_of, truth_of
from explorer.insight.scib import require_scib, scib_measures
from explorer.insight.spread import alignment, silhouettes
from explorer.insight.structure import continuity, trustworthiness
from explorer.reference import read_embedding, read_layout

FEWEST = 100  # cells; of fewer, a neighbourhood is the whole data


@dataclass(frozen=True)
class Measured:
    """One measure of one latent space.

    Attributes
    ----------
    name
        In `METRICS`.
    value
        NaN where it cannot be told.
    expected
        What chance gives: batches or labels that have nothing to do with where cells lie. NaN where that has no number.
    """

    name: str
    value: float
    expected: float = nan


@dataclass(frozen=True)
class Quality:
    """All measures of one latent space.

    Attributes
    ----------
    of
        What was measured, e.g. a method.
    level
        Column of the labels; "" without any.
    cells
        How many there are; each measure takes a sample of them where there are many.
    seed
        Of the samples.
    measured
        In the order of `METRICS`; those that need what is not there are left out.
    by_label
        One row a label: label, cells, kni, silhouette. Empty without labels or batches.
    by_batch
        One row a batch: batch, cells, kni, neighbor_accuracy, linear_accuracy. Empty without labels or batches.
    notes
        What was left out, or how a measure had to be changed; one sentence each.
    """

    of: str
    level: str
    cells: int
    seed: int
    measured: tuple[Measured, ...]
    by_label: pd.DataFrame
    by_batch: pd.DataFrame
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> float:
        """The value of one measure."""
        return next(found.value for found in self.measured if found.name == name)

    def table(self) -> pd.DataFrame:
        """One row a measure, for a screen or a file: name, title, value, expected, lowest, highest, better, says."""
        rows = []
        for found in self.measured:
            metric = METRICS[found.name]
            numbers = (found.value, found.expected, metric.lowest, metric.highest)
            rows.append((found.name, metric.title, *numbers, metric.better, metric.says))
        columns = ["name", "title", "value", "expected", "lowest", "highest", "better", "says"]
        return pd.DataFrame(rows, columns=columns)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values that json can write; what cannot be told is null."""
        return {
            "of": self.of,
            "level": self.level,
            "cells": self.cells,
            "seed": self.seed,
            "measures": {
                found.name: {"value": _plain(found.value), "expected": _plain(found.expected)}
                for found in self.measured
            },
            "by_label": _records(self.by_label),
            "by_batch": _records(self.by_batch),
            "notes": list(self.notes),
        }


def of_reference(
    reference: Reference, method: str, level: str | None = None, seed: int = 0, scib: bool = False
) -> Quality:
    """How good the latent space of one of a reference's methods is, by the reference's own cells.

    Parameters
    ----------
    level
        Label level; the main one if not given.
    scib
        Whether to add the measures of scIB, which need the package scib-metrics.

    Raises
    ------
    OptionsProblem
        If there is no such label level, or scib-metrics is asked for and not installed.
    ReferenceProblem
        If the reference does not hold that method.
    """
    level = level or reference.levels[0]
    if level not in reference.levels:
        raise OptionsProblem(f"Label levels of {reference.title}: {', '.join(reference.levels)}; not {level!r}.")
    batch = reference.card.get("batch")
    return measure(
        read_embedding(reference, method),
        read_layout(reference, method),
        labels=reference.obs[level],
        batches=reference.obs[batch] if batch else None,
        of=method,
        level=level,
        seed=seed,
        scib=scib,
    )


def of_result(
    result: MappingResult,
    batch: str | None = None,
    truth: FloatArray | None = None,
    seed: int = 0,
    scib: bool = False,
) -> Quality:
    """How the cells of a query lie in the latent space, by their predicted labels; unknown cells count as unlabelled.

    Parameters
    ----------
    batch
        obs column that tells the query's batches or samples apart; without it nothing is said of mixing.
    truth
        float32 (n, p), where the cells of a simulation truly lie.
    scib
        As for `of_reference`.

    Raises
    ------
    OptionsProblem
        If there is no such column.
    """
    if batch is not None and batch not in result.obs.columns:
        there = ", ".join(map(str, result.obs.columns))
        raise OptionsProblem(f"The query has no obs column {batch!r}. It has: {there}.")
    first = result.labels.first
    return measure(
        result.embedding,
        result.layout,
        labels=pd.Series(first.labels).mask(first.unknown),
        batches=None if batch is None else result.obs[batch],
        truth=truth,
        of=result.method,
        level=first.level,
        seed=seed,
        scib=scib,
    )


def measure(
    values: FloatArray,
    picture: FloatArray | None = None,
    *,
    labels: pd.Series | None = None,
    batches: pd.Series | None = None,
    truth: FloatArray | None = None,
    of: str = "",
    level: str = "",
    seed: int = 0,
    scib: bool = False,
) -> Quality:
    """Every measure that labels, batches and a picture allow.

    Parameters
    ----------
    values, picture, truth
        float32 (n, d), (n, 2) and (n, p); the last is where the cells of a simulation truly lie.
    labels, batches
        One a cell; missing labels count as unlabelled. Cells whose batch is missing are left out of everything.
    scib
        Whether to add `explorer.insight.scib`, where there are labels and batches.

    Raises
    ------
    OptionsProblem
        If there are fewer than 100 cells, or scib-metrics is asked for and not installed.
    """
    if scib:
        require_scib()
    cells = Cells.of(values, picture, labels, batches, truth)
    if len(cells.values) < FEWEST:
        raise OptionsProblem(
            f"How good a latent space is can be told from {FEWEST} cells on; there are {len(cells.values)}."
        )
    found = {**spread_of(cells, seed)}
    by_label, by_batch, notes = pd.DataFrame(), pd.DataFrame(), cells.notes()
    if cells.has >= {LABELS}:
        found |= {"alignment": (alignment(cells.values, cells.codes), nan)}
        found |= {"connectivity": (connectivity(cells.values, cells.codes, seed=seed), nan)}
    if cells.has >= {BATCHES}:
        found |= mixing_of(cells, seed)
    if cells.has >= {LABELS, BATCHES}:
        across = across_batches(cells, seed)
        found |= across.found
        by_label, by_batch, notes = across.by_label, across.by_batch, (*notes, *across.notes)
    elif cells.has >= {LABELS}:
        found |= {"label_silhouette": (silhouettes(cells.values, cells.codes, cells.batch, seed).label, HALF)}
    if scib:
        by_scib = scib_measures(cells.values, cells.codes, cells.batch, seed)
        found |= {name: (value, nan) for name, value in by_scib.items()}
    if cells.picture is not None:
        found |= {"trustworthiness": (trustworthiness(cells.values, cells.picture, seed=seed), HALF)}
        found |= {"continuity": (continuity(cells.values, cells.picture, seed=seed), HALF)}
    if cells.truth is not None:
        found |= truth_of(cells.truth, cells.values, seed)
    ordered = tuple(Measured(name, *found[name]) for name in METRICS if name in found)
    return Quality(of, level, len(cells.values), seed, ordered, by_label, by_batch, notes)


def _plain(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.to_dict("records")
    return [{str(k): _plain(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
