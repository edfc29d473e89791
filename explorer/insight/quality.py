"""How good a latent space is: one table of measures, beside what chance would give.

Measures that need labels ask how well types stay apart, and how well batches know one another's; measures that need
batches ask whether these mix; the picture is held against the latent space. `METRICS` says what each one is.

A reference's own cells were seen in training, so these figures compare methods on one reference; how a method does on
cells that it has not seen is on the reference's card. All work is bounded by samples drawn with a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray, MappingResult, Reference
from explorer.insight.metrics import BATCHES, LABELS, METRICS, PICTURE, SCIB_TITLES
from explorer.insight.mixing import connectivity, mixing
from explorer.insight.neighborhoods import NEIGHBORS, RADIUS, kni, rbni
from explorer.insight.probes import linear_probe, neighbor_probe
from explorer.insight.scib import require_scib, scib_measures
from explorer.insight.spread import alignment, nearest_alignment, silhouettes, uniformity
from explorer.insight.structure import continuity, recovered, trustworthiness
from explorer.reference import read_embedding, read_layout

FEWEST = 100  # cells; of fewer, a neighbourhood is the whole data
HALF = 0.5    # what unrelated places give
PUBLISHED_DIMENSIONS = 10  # of BA-scVI's latent space, in which a radius of 1 was chosen


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
    cells = _Cells.of(values, picture, labels, batches, truth)
    if len(cells.values) < FEWEST:
        raise OptionsProblem(
            f"How good a latent space is can be told from {FEWEST} cells on; there are {len(cells.values)}."
        )
    found = {**_spread(cells, seed)}
    by_label, by_batch, notes = pd.DataFrame(), pd.DataFrame(), cells.notes()
    if cells.has >= {LABELS}:
        found |= {"alignment": (alignment(cells.values, cells.codes), nan)}
        found |= {"connectivity": (connectivity(cells.values, cells.codes, seed=seed), nan)}
    if cells.has >= {BATCHES}:
        found |= _mixed(cells, seed)
    if cells.has >= {LABELS, BATCHES}:
        across = _across(cells, seed)
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
        found |= _true(cells.truth, cells.values, seed)
    ordered = tuple(Measured(name, *found[name]) for name in METRICS if name in found)
    return Quality(of, level, len(cells.values), seed, ordered, by_label, by_batch, notes)


Found = dict[str, tuple[float, float]]
"""Value and expectation of some measures, by name."""


@dataclass(frozen=True)
class _Cells:
    """What is measured: vectors, and codes of what is known about them; -1 for unlabelled."""

    values: FloatArray
    picture: FloatArray | None
    codes: IntArray
    labels: tuple[str, ...]
    batch: IntArray
    batches: tuple[str, ...]
    truth: FloatArray | None

    @classmethod
    def of(
        cls,
        values: FloatArray,
        picture: FloatArray | None,
        labels: pd.Series | None,
        batches: pd.Series | None,
        truth: FloatArray | None,
    ) -> _Cells:
        kept = np.ones(len(values), bool) if batches is None else batches.notna().to_numpy()
        placed = None if picture is None else np.asarray(picture)[kept]
        real = None if truth is None else np.asarray(truth)[kept]
        return cls(np.asarray(values, np.float32)[kept], placed, *_codes(labels, kept), *_codes(batches, kept), real)

    @property
    def has(self) -> frozenset[str]:
        """Of what `Metric.needs` names, what there is."""
        there = ((LABELS, len(self.labels) > 1), (BATCHES, len(self.batches) > 1), (PICTURE, self.picture is not None))
        return frozenset(name for name, is_there in there if is_there)

    def notes(self) -> tuple[str, ...]:
        """What cannot be told, in one sentence."""
        missing = [name for name in (LABELS, BATCHES, PICTURE) if name not in self.has]
        untold = [
            metric.title
            for name, metric in METRICS.items()
            if metric.needs & set(missing) and name not in SCIB_TITLES
        ]
        return (f"Without {' and '.join(missing)} to compare, not told: {', '.join(untold)}.",) if missing else ()


@dataclass(frozen=True)
class _Across:
    """What cells of other batches know of a cell."""

    found: Found
    by_label: pd.DataFrame
    by_batch: pd.DataFrame
    notes: tuple[str, ...]


def _codes(column: pd.Series | None, kept: NDArray[np.bool_]) -> tuple[IntArray, tuple[str, ...]]:
    """int32 code of each kept cell, -1 where it has none, and the names in order."""
    if column is None:
        return np.full(int(kept.sum()), -1, np.int32), ()
    text = column[kept].astype(object)
    codes, names = pd.factorize(text.where(text.isna(), text.astype(str)), sort=True)
    return codes.astype(np.int32), tuple(map(str, names))


def _spread(cells: _Cells, seed: int) -> Found:
    return {
        "nearest_alignment": (nearest_alignment(cells.values, seed=seed), nan),
        "uniformity": (uniformity(cells.values, seed), nan),
    }


def _true(truth: FloatArray, values: FloatArray, seed: int) -> Found:
    kept = recovered(truth, values, seed=seed)
    return {
        "true_neighbors": (kept.trustworthiness, HALF),
        "true_continuity": (kept.continuity, HALF),
        "true_distances": (kept.distances, 0.0),
        "true_paths": (kept.paths, 0.0),
    }


def _mixed(cells: _Cells, seed: int) -> Found:
    labels = cells.codes if LABELS in cells.has else None
    mixed = mixing(cells.values, cells.batch, labels, seed=seed)
    return {
        "foreign": (mixed.foreign, mixed.expected_foreign),
        "entropy": (mixed.entropy, mixed.expected_entropy),
        "lisi": (mixed.lisi, mixed.expected_lisi),
    }


def _across(cells: _Cells, seed: int) -> _Across:
    where = (cells.values, cells.codes, cells.batch)
    labelled = cells.codes >= 0
    k = min(NEIGHBORS, int(labelled.sum()) // 10)
    radius = RADIUS * sqrt(cells.values.shape[1] / PUBLISHED_DIMENSIONS)
    nearest, within = kni(*where, k=k, seed=seed), rbni(*where, radius=radius, seed=seed)
    near, linear = neighbor_probe(*where, seed=seed), linear_probe(*where, seed=seed)
    apart = silhouettes(*where, seed)
    most = float(np.bincount(cells.codes[near.rows]).max() / len(near.rows))  # who always says the commonest label
    by_label = pd.DataFrame(
        {
            "label": cells.labels,
            "cells": np.bincount(cells.codes[labelled], minlength=len(cells.labels)),
            "kni": _means(nearest.correct, cells.codes[nearest.rows], len(cells.labels)),
            "neighbor_accuracy": _means(
                near.predicted == cells.codes[near.rows], cells.codes[near.rows], len(cells.labels)
            ),
            "silhouette": apart.by_label,
        }
    )
    by_batch = pd.DataFrame(
        {
            "batch": cells.batches,
            "cells": np.bincount(cells.batch, minlength=len(cells.batches)),
            "kni": _means(nearest.correct, cells.batch[nearest.rows], len(cells.batches)),
            "neighbor_accuracy": near.by_batch,
            "linear_accuracy": linear.by_batch,
        }
    )
    found = {
        "kni": (nearest.score, nan),
        "kni_diverse": (float(nearest.diverse.mean()), nan),
        "rbni": (within.score, nan),
        "neighbor_accuracy": (near.accuracy, most),
        "neighbor_macro_f1": (near.macro_f1, nan),
        "linear_accuracy": (linear.accuracy, most),
        "linear_macro_f1": (linear.macro_f1, nan),
        "label_silhouette": (apart.label, HALF),
        "batch_silhouette": (apart.batch, nan),
    }
    return _Across(found, by_label, by_batch, tuple(_told(k, radius, near.unlike)))


def _told(k: int, radius: float, unlike: int) -> Iterator[str]:
    if k < NEIGHBORS:
        yield f"KNI takes {k} neighbours, a tenth of the cells, in place of {NEIGHBORS}."
    if radius != RADIUS:
        yield f"RbNI takes a radius of {radius:.2f}, which is 1 in {PUBLISHED_DIMENSIONS} dimensions."
    if unlike:
        yield f"{unlike:,} cells have a label that no other batch has; the probes were not asked about them."


def _means(right: NDArray[np.bool_], group: IntArray, n_groups: int) -> NDArray[np.float64]:
    """Share that is right in each group, NaN for a group without cells."""
    cells = np.bincount(group, minlength=n_groups)
    return np.where(cells > 0, np.bincount(group, right, minlength=n_groups) / np.maximum(cells, 1), nan)


def _plain(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.to_dict("records")
    return [{str(k): _plain(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
