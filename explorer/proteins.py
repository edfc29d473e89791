"""Surface proteins counted beside the genes: found in a query, named alike, and imputed where they were not counted.

Knows tables of antibodies and nearest neighbours, not which method found them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray

from explorer import h5ad
from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import FloatArray, ImputedProteins, Neighbors, Query
from explorer.rows import MemoryRows

NEAREST = 5  # reference cells whose proteins are averaged (Concerto, Yang et al. 2022, figure 4)
_TABLE = re.compile(r"protein|antibod|(?:^|[_.])adt|cite", re.IGNORECASE)
_ADDED = re.compile(r"[_\- .]*(?:TotalSeq.*|ADT)$|^anti[_\- ](?:human|mouse)?[_\- ]*", re.IGNORECASE)
_SAME = {"CD8": "CD8A"}  # antibodies called CD8 bind its alpha chain


@dataclass(frozen=True)
class Proteins:
    """Counts of antibodies.

    Attributes
    ----------
    key
        Where they lie: "obsm/<name>".
    names
        As found (p,).
    values
        float32 (n, p), raw counts.
    """

    key: str
    names: NDArray[np.object_]
    values: FloatArray


def find_proteins(query: Query, key: str | None = None) -> Proteins | None:
    """The protein counts of a query, where it has any.

    Parameters
    ----------
    key
        Name of an obsm table with named columns; `None` takes the first whose name tells of proteins (protein,
        antibody, adt, cite).

    Raises
    ------
    OptionsProblem
        If there is no such table, or its columns have no names.
    ValuesProblem
        If it holds anything but non-negative whole numbers.
    """
    tables = _obsm(query, key)
    chosen = key if key is not None else next((name for name in tables if _TABLE.search(name)), None)
    if chosen is None:
        return None
    if chosen not in tables:
        raise OptionsProblem(f"{query.name} has no obsm table {chosen!r}. It has: {', '.join(tables) or 'none'}.")
    table = tables[chosen]
    if not isinstance(table, pd.DataFrame):
        if key is None:
            return None
        raise OptionsProblem(
            f"The columns of obsm/{chosen} have no names, so nobody can tell its proteins apart. Store it as a table: "
            f"adata.obsm[{chosen!r}] = pandas.DataFrame(counts, index=adata.obs_names, columns=names)."
        )
    values = np.asarray(table.to_numpy(), np.float32)
    if not np.isfinite(values).all() or values.min(initial=0) < 0 or (values != np.rint(values)).any():
        if key is None:
            return None
        raise ValuesProblem(
            f"obsm/{chosen} holds values from {np.nanmin(values):.4g} to {np.nanmax(values):.4g} that are no counts. "
            "Proteins are taken as raw counts of antibodies; store those."
        )
    return Proteins(f"obsm/{chosen}", np.array([str(name) for name in table.columns], dtype=object), values)


def aligned_proteins(proteins: Proteins, wanted: Sequence[str]) -> FloatArray:
    """A query's counts under a reference's protein names, float32 (n, p), NaN where a protein was not measured."""
    at = _positions(proteins.names)
    out = np.full((len(proteins.values), len(wanted)), np.nan, np.float32)
    for column, name in enumerate(wanted):
        found = next((at[alias] for alias in _aliases(name) if alias in at), None)
        if found is not None:
            out[:, column] = proteins.values[:, found]
    return out


def centred_log_ratio(counts: FloatArray) -> FloatArray:
    """log1p of each count less the mean of its cell over the measured proteins, float32 (n, p); NaN stays NaN."""
    logs = np.log1p(counts)
    measured = np.isfinite(logs)
    mean = np.where(measured, logs, 0).sum(1, keepdims=True) / np.maximum(measured.sum(1, keepdims=True), 1)
    return np.asarray(logs - mean, np.float32)


def impute(
    neighbors: Neighbors, counts: FloatArray, names: Sequence[str], k: int = NEAREST, *, weighted: bool = False
) -> ImputedProteins:
    """Protein levels that the nearest reference cells lead one to expect.

    The plain mean over the k nearest cells is the published rule (Yang et al. 2022, figure 4); their standard
    deviation says how far they disagree.

    Parameters
    ----------
    counts
        float32 (m, p) of the reference, raw; NaN where not measured, and such cells are passed over.
    names
        Of its columns.
    weighted
        Whether nearer cells count more, by cosine similarity.

    Returns
    -------
    ImputedProteins
        Centred log ratios; NaN where none of the k cells has the protein measured.
    """
    levels = centred_log_ratio(counts)[neighbors.indices[:, :k]].astype(np.float64)  # (n, k, p)
    similarity = np.maximum(neighbors.similarity[:, :k], 0) if weighted else np.ones((len(levels), levels.shape[1]))
    measured = np.isfinite(levels)
    weight = np.where(measured, similarity[:, :, None], 0.0)
    total = weight.sum(1)
    known = np.where(measured, levels, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weight * known).sum(1) / total
        variance = (weight * (known - mean[:, None]) ** 2).sum(1) / total
    return ImputedProteins(tuple(names), mean.astype(np.float32), np.sqrt(variance).astype(np.float32))


def _obsm(query: Query, key: str | None) -> Mapping[str, Any]:
    """The obsm tables that may hold proteins, read; the others by name only."""
    if isinstance(query.matrix, MemoryRows):
        return dict(query.matrix.source.obsm)
    if query.path is None:
        return {}
    with h5ad.reading(query.path) as file:
        names = h5ad.names_in(file, "obsm")
        return {
            name: read_elem(file[f"obsm/{name}"]) if name == key or (key is None and _TABLE.search(name)) else None
            for name in names
        }


def _positions(names: Iterable[str]) -> dict[str, int]:
    at: dict[str, int] = {}
    for position, name in enumerate(names):
        for alias in _aliases(name):
            at.setdefault(alias, position)
    return at


def _aliases(name: str) -> list[str]:
    """What a protein answers to: its name, and what stands in brackets behind it; spelling apart."""
    plain = _ADDED.sub("", str(name))
    inside = re.findall(r"\(([^)]*)\)", plain)
    spelled = [re.sub(r"[^A-Z0-9]", "", part.upper()) for part in (re.sub(r"\([^)]*\)", "", plain), *inside)]
    return [_SAME.get(part, part) for part in spelled if part]
