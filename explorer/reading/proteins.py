"""Surface proteins counted beside the genes: found in a query, named alike, and imputed where they were not counted.

Knows tables of antibodies and nearest neighbours, not which method found them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray

from explorer import keys
from explorer.beside import ImputedProteins
from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells, FloatArray, Neighbors, Query
from explorer.reading import h5ad
from explorer.reading.rows import MemoryRows

NEAREST = 5  # reference cells whose proteins are averaged (Concerto, Yang et al. 2022, figure 4)
LEFT_OUT = "none"    # named instead of a table, where proteins shall take no part
LEAST_SHARE = 0.5    # of the reference's proteins that a query needs, to be placed by its own
LEAST_CELLS = 3      # with both values; a correlation of fewer says nothing
_BLOCK = 4096        # cells imputed at a time, so that memory stays flat
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
        float32 (n, p), raw counts; NaN where not measured, as in cells without a single count.
    """

    key: str
    names: NDArray[np.object_]
    values: FloatArray


@dataclass(frozen=True)
class OwnProteins:
    """A query's own counts, under a reference's names.

    Attributes
    ----------
    key
        Name of the obsm table that holds them.
    counts
        float32 (n, p), NaN where not measured.
    """

    key: str
    counts: FloatArray

    @property
    def shared(self) -> int:
        """How many of the reference's proteins were counted in any cell."""
        return int(np.isfinite(self.counts).any(0).sum())

    @property
    def placing(self) -> FloatArray | None:
        """The counts, where they are enough of the reference's proteins to place cells by."""
        return self.counts if self.shared >= LEAST_SHARE * self.counts.shape[1] else None


def find_proteins(query: Query, key: str | None = None) -> Proteins | None:
    """The protein counts of a query, where it has any.

    Parameters
    ----------
    key
        Name of an obsm table with named columns. `None` takes the first table of counts whose name tells of proteins
        (protein, antibody, adt, cite), "none" takes none.

    Raises
    ------
    OptionsProblem
        If there is no such table, or its columns have no names or one name twice.
    ValuesProblem
        If it holds anything but non-negative whole numbers.
    """
    if key == LEFT_OUT:
        return None
    tables = _obsm(query, key)
    if key is None:
        likely = (name for name in tables if _TABLE.search(name) and name not in keys.RESULT_PROTEINS)
        return next((_counted(name, tables[name]) for name in likely if not _objection(name, tables[name])), None)
    if key not in tables:
        raise OptionsProblem(f"{query.name} has no obsm table {key!r}. It has: {', '.join(tables) or 'none'}.")
    if problem := _objection(key, tables[key]):
        raise problem
    return _counted(key, tables[key])


def own_proteins(query: Query, wanted: Sequence[str], key: str | None = None) -> OwnProteins | None:
    """A query's own counts of a reference's proteins; `None` where it has none of them.

    Parameters
    ----------
    wanted
        Names of the reference's proteins.
    key
        As `find_proteins` takes it.
    """
    found = find_proteins(query, key) if wanted else None
    own = None if found is None else OwnProteins(found.key.removeprefix("obsm/"), aligned_proteins(found, wanted))
    return own if own is not None and own.shared else None


def beside(blocks: Iterator[AlignedCells], counts: FloatArray | None) -> Iterator[AlignedCells]:
    """Blocks of cells in their order, each with the proteins of its own cells.

    Parameters
    ----------
    counts
        float32 (n, p), of all cells; `None` leaves blocks as they are.
    """
    done = 0
    for block in blocks:
        yield block if counts is None else replace(block, proteins=counts[done : done + block.n_cells])
        done += block.n_cells


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
    n = len(neighbors.indices)
    values, spread = np.empty((2, n, len(names)), np.float32)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        near = neighbors.indices[rows, :k]
        levels = centred_log_ratio(counts[near.ravel()]).reshape(*near.shape, -1)
        similarity = np.maximum(neighbors.similarity[rows, :k], 0) if weighted else np.ones(near.shape)
        values[rows], spread[rows] = _mean_and_spread(levels.astype(np.float64), similarity)
    return ImputedProteins(tuple(names), values, spread)


def _mean_and_spread(
    levels: NDArray[np.float64], weights: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Over the k neighbours of each cell, (n, k, p) and (n, k) to (n, p) each; NaN is passed over."""
    measured = np.isfinite(levels)
    weight = np.where(measured, weights[:, :, None], 0.0)
    known = np.where(measured, levels, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weight * known).sum(1) / weight.sum(1)
        variance = (weight * (known - mean[:, None]) ** 2).sum(1) / weight.sum(1)
    return mean, np.sqrt(variance)


def agreement(proteins: ImputedProteins) -> dict[str, float]:
    """Pearson's r over the cells, of what was imputed against what was measured, by protein.

    The published score (Yang et al. 2022, figure 4). NaN where fewer than 3 cells were measured, or all are alike;
    empty where the query brought no proteins of its own.
    """
    if proteins.measured is None:
        return {}
    pairs = zip(proteins.names, proteins.values.T, proteins.measured.T, strict=True)
    return {name: _pearson(imputed, measured) for name, imputed, measured in pairs}


def _pearson(x: FloatArray, y: FloatArray) -> float:
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < LEAST_CELLS or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        return float("nan")
    return float(np.corrcoef(x[both].astype(np.float64), y[both].astype(np.float64))[0, 1])


def _objection(key: str, table: Any) -> OptionsProblem | ValuesProblem | None:
    """Why a table cannot be taken as counts of proteins."""
    if not isinstance(table, pd.DataFrame):
        return OptionsProblem(
            f"The columns of obsm/{key} have no names, so nobody can tell its proteins apart. Store it as a table: "
            f"adata.obsm[{key!r}] = pandas.DataFrame(counts, index=adata.obs_names, columns=names)."
        )
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        return OptionsProblem(f"obsm/{key} has two columns called {twice!r}. Give each protein a name of its own.")
    numbers = all(pd.api.types.is_numeric_dtype(column) for column in table.dtypes)
    values = table.to_numpy(np.float32, na_value=np.nan) if numbers else np.zeros((0, 0), np.float32)
    known = values[~np.isnan(values)]
    if numbers and np.isfinite(known).all() and known.min(initial=0) >= 0 and (known == np.rint(known)).all():
        return None
    held = f"values from {known.min():.4g} to {known.max():.4g} that are" if known.size else "text, which is"
    return ValuesProblem(
        f"obsm/{key} holds {held} no counts. Proteins are taken as raw counts of antibodies; store those."
    )


def _counted(key: str, table: pd.DataFrame) -> Proteins:
    values = table.to_numpy(np.float32, copy=True, na_value=np.nan)
    values[np.nansum(values, 1) == 0] = np.nan  # antibodies always leave some counts: of such cells RNA alone was taken
    # files keep columns by their names, which can hold no slash
    return Proteins(f"obsm/{key}", np.array([str(name).replace("/", "-") for name in table.columns], object), values)


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
