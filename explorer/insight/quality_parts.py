"""Measures of a latent space by what they need: cells alone, labels and batches, the truth of a simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.flow import FloatArray, IntArray
from explorer.insight.metrics import BATCHES, LABELS, METRICS, PICTURE, SCIB_TITLES
from explorer.insight.mixing import mixing
from explorer.insight.neighborhoods import NEIGHBORS, RADIUS, kni, rbni
from explorer.insight.probes import linear_probe, neighbor_probe
from explorer.insight.spread import nearest_alignment, silhouettes, uniformity
from explorer.insight.structure import recovered

HALF = 0.5    # what unrelated places give
PUBLISHED_DIMENSIONS = 10  # of BA-scVI's latent space, in which a radius of 1 was chosen

Found = dict[str, tuple[float, float]]
"""Value and expectation of some measures, by name."""


@dataclass(frozen=True)
class Cells:
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
    ) -> Cells:
        """From arrays and columns as `explorer.insight.quality.measure` takes them."""
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
class Across:
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


def spread_of(cells: Cells, seed: int) -> Found:
    """How evenly cells are spread."""
    return {
        "nearest_alignment": (nearest_alignment(cells.values, seed=seed), nan),
        "uniformity": (uniformity(cells.values, seed), nan),
    }


def truth_of(truth: FloatArray, values: FloatArray, seed: int) -> Found:
    """How much of where cells truly lie, float32 (n, p), is kept."""
    kept = recovered(truth, values, seed=seed)
    return {
        "true_neighbors": (kept.trustworthiness, HALF),
        "true_continuity": (kept.continuity, HALF),
        "true_distances": (kept.distances, 0.0),
        "true_paths": (kept.paths, 0.0),
    }


def mixing_of(cells: Cells, seed: int) -> Found:
    """How far batches mix."""
    labels = cells.codes if LABELS in cells.has else None
    mixed = mixing(cells.values, cells.batch, labels, seed=seed)
    return {
        "foreign": (mixed.foreign, mixed.expected_foreign),
        "entropy": (mixed.entropy, mixed.expected_entropy),
        "lisi": (mixed.lisi, mixed.expected_lisi),
    }


def across_batches(cells: Cells, seed: int) -> Across:
    """How well batches know one another's labels."""
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
    return Across(found, by_label, by_batch, tuple(_told(k, radius, near.unlike)))


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
