"""Cells that no label fits, grouped: how many, from where, what they are near to, and what they express.

Clusters are Louvain communities in the method's latent space (explorer.insight.clusters); what sets each apart from all
other cells of the query is told by the rank test (explorer.insight.markers). Knows a result and expression, not models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.errors import OptionsProblem
from explorer.flow import IntArray, LevelLabels, MappingResult, Query
from explorer.insight.by_gene import of_genes
from explorer.insight.clusters import clusters
from explorer.insight.markers import FEWEST, Markers, markers_of_each
from explorer.progress import Progress

NAME = "new {}"
LEAST_CELLS = 10      # of a cluster that can become a label of a reference
LEAST_TO_CLUSTER = 3
TOLD_GENES = 5
MANY = 0.5            # share of a cluster's cells at which "most" is said
SURE_P = 0.05         # adjusted, of a gene that is named
OTHERS = "others"


@dataclass(frozen=True)
class Unknowns:
    """Clusters of chosen cells.

    Attributes
    ----------
    n_cells
        Of the query, n.
    rows
        int64 (u,), the cells, ascending.
    codes
        int32 (u,), the cluster of each, the largest first.
    names
        Of the clusters.
    table
        A row a cluster: name, cells, share (of all cells), nearest (label), nearest_share, second (label),
        confidence and novelty (medians), unknown (share), samples (how many it comes from), largest_sample,
        largest_sample_share, markers (top genes), and suggestion, a sentence.
    by_sample
        Clusters x samples, cells; `None` without a sample column.
    markers
        By cluster, all genes against all other cells; without clusters of fewer than three cells.
    seed, resolution
        Of the clustering.
    """

    n_cells: int
    rows: NDArray[np.int64]
    codes: IntArray
    names: tuple[str, ...]
    table: pd.DataFrame
    by_sample: pd.DataFrame | None
    markers: Mapping[str, Markers]
    seed: int
    resolution: float

    def named(self, given: Mapping[str, str] | None = None) -> NDArray[np.object_]:
        """Name of each cell's cluster, text (n,), "" for cells that were not clustered.

        Parameters
        ----------
        given
            The user's names by those of the clusters; clusters without one are left out. By default every cluster
            keeps its own.

        Raises
        ------
        OptionsProblem
            If a cluster is named that does not exist.
        """
        given = {name: name for name in self.names} if given is None else given
        if absent := sorted(set(given) - set(self.names)):
            raise OptionsProblem(f"There is no cluster {absent[0]!r}; there are: {', '.join(self.names)}.")
        told = np.array([given.get(name, "") for name in self.names], dtype=object)
        out = np.full(self.n_cells, "", dtype=object)
        out[self.rows] = told[self.codes]
        return out


def unknowns(
    query: Query,
    result: MappingResult,
    rows: NDArray[np.integer] | None = None,
    *,
    sample: str | None = None,
    level: str | None = None,
    resolution: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Unknowns:
    """Group cells that no label fits, or any others, and tell what is known of each group.

    Parameters
    ----------
    query, result
        The cells, and how they were mapped.
    rows
        Which cells; those unknown at the level by default.
    sample
        obs column that names the cells' samples.
    level
        The main label level if not named.
    resolution
        Above 1 for more and smaller clusters.

    Raises
    ------
    OptionsProblem
        If fewer than three cells are to be clustered, or there is no such column.
    Cancelled
        From `progress`.
    """
    progress = progress or Progress()
    if sample is not None and sample not in result.obs.columns:
        columns = ", ".join(map(str, result.obs.columns)) or "none"
        raise OptionsProblem(f"{query.name} has no obs column {sample!r}. It has: {columns}.")
    labels = result.labels.first if level is None else result.labels.level(level)
    progress.part("Grouping cells", 0.0, 0.2)(0.0)
    chosen = (np.flatnonzero(labels.unknown) if rows is None else np.unique(np.asarray(rows))).astype(np.int64)
    if len(chosen) < LEAST_TO_CLUSTER:
        told = "unknown" if rows is None else "chosen"
        raise OptionsProblem(
            f"{len(chosen)} of {result.n_cells:,} cells are {told}; at least {LEAST_TO_CLUSTER} are needed to find "
            "groups among them. Choose cells yourself."
        )
    codes = clusters(result.embedding[chosen], resolution, seed)
    names = tuple(NAME.format(code + 1) for code in range(int(codes.max()) + 1))
    markers = _markers(query, chosen, codes, names, progress.part("Comparing genes", 0.2, 1.0))
    samples = None if sample is None else result.obs[sample].astype(object).astype(str).to_numpy(object)[chosen]
    table = pd.DataFrame(
        [
            _described(name, result.n_cells, labels, chosen, codes == code, samples, _told(markers, name))
            for code, name in enumerate(names)
        ]
    )
    by_sample = None
    if samples is not None:
        counted = pd.crosstab(pd.Series(np.array(names, dtype=object)[codes], name="name"), pd.Series(samples))
        by_sample = counted.loc[list(names)]
    progress(1.0)
    return Unknowns(result.n_cells, chosen, codes, names, table, by_sample, markers, seed, resolution)


def _described(
    name: str,
    n_cells: int,
    labels: LevelLabels,
    rows: NDArray[np.int64],
    inside: NDArray[np.bool_],
    samples: NDArray[np.object_] | None,
    markers: str,
) -> dict[str, object]:
    """A row of the table of clusters."""
    cells = rows[inside]
    near = pd.Series(labels.labels[cells]).value_counts()
    row = {
        "name": name,
        "cells": len(cells),
        "share": len(cells) / n_cells,
        "nearest": str(near.index[0]),
        "nearest_share": float(near.iloc[0] / len(cells)),
        "second": str(near.index[1]) if len(near) > 1 else "",
        "confidence": float(np.median(labels.confidence[cells])),
        "novelty": float(np.median(labels.novelty[cells])),
        "unknown": float(labels.unknown[cells].mean()),
        **_from_where(samples, inside),
        "markers": markers,
    }
    return {**row, "suggestion": _suggestion(row)}


def _markers(
    query: Query, rows: NDArray[np.int64], codes: IntArray, names: tuple[str, ...], progress: Progress
) -> Mapping[str, Markers]:
    """Genes that tell each cluster from all other cells; none where there are no two groups to compare."""
    groups = np.full(query.n_cells, len(names), np.int32)
    groups[rows] = codes
    cells = np.bincount(groups, minlength=len(names) + 1)
    if (cells >= FEWEST).sum() < 2:
        return {}
    found = markers_of_each(of_genes(query), [*names, OTHERS], groups, progress=progress)
    return {name: of for name, of in found.items() if name != OTHERS}


def _told(markers: Mapping[str, Markers], name: str) -> str:
    if name not in markers:
        return ""
    table = markers[name].table
    clear = table[(table["adjusted_p"] < SURE_P) & (table["log2_fold_change"] > 0)]
    return ", ".join(clear["gene"].head(TOLD_GENES))


def _from_where(samples: NDArray[np.object_] | None, inside: NDArray[np.bool_]) -> dict[str, object]:
    if samples is None:
        return {"samples": None, "largest_sample": "", "largest_sample_share": float("nan")}
    counts = pd.Series(samples[inside]).value_counts()
    share = float(counts.iloc[0] / inside.sum())
    return {"samples": len(counts), "largest_sample": str(counts.index[0]), "largest_sample_share": share}


def _suggestion(row: Mapping[str, object]) -> str:
    """What a cluster may be, and what to do with it, in a sentence or two."""
    cells, nearest, share = int(str(row["cells"])), row["nearest"], float(str(row["nearest_share"]))
    near = f"Most lie nearest to {nearest}" if share >= MANY else f"Between {nearest} and {row['second']}"
    sure = float(str(row["confidence"])) >= 0.8
    kind = "likely a state of it that the reference lacks" if sure and share >= MANY else "likely a type it lacks"
    told = f"{near}: {kind}." if sure or share < MANY else f"{near}, without being sure: {kind}, or doublets."
    if row["samples"] not in (None, 1) and float(str(row["largest_sample_share"])) > 0.9:
        told += f" Nearly all come from {row['largest_sample']}: look whether that sample is sound."
    if cells < LEAST_CELLS:
        told += f" With {cells} cells it is too small to become a label; {LEAST_CELLS} are needed."
    return told
