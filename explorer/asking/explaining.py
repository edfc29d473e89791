"""Asks a method why cells are called what they are called: which cells speak for a label, and what their answer is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.explanation import Signature
from explorer.flow import LevelLabels, MappingResult, Query, Reference
from explorer.mapping import panels
from explorer.mapping.corridor import EXPLAINED_CELLS, explain_cells, load_method, map_query
from explorer.methods.base import Measure
from explorer.progress import Progress
from explorer.writing.export import holds_result, read_result

TOP = "top"  # the surest cells of a label


@dataclass(frozen=True)
class Asked:
    """A signature, and whose it is.

    Attributes
    ----------
    rows
        int64, the cells that were asked for; of many a sample answered.
    cells
        Which they are, in words.
    """

    signature: Signature
    measure: Measure
    rows: NDArray[np.int64]
    cells: str


def explain_label(
    query: Query,
    reference: Reference,
    method: str,
    label: str,
    *,
    level: str | None = None,
    measure: str | None = None,
    cells: str | None = None,
    proteins: str | None = None,
    orthologs: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Asked:
    """By what the cells of a label point toward it.

    Parameters
    ----------
    query
        Cells, or the file of a mapping result, whose labels are then taken as they are, and explained by the model
        that gave them where that was refitted on a panel.
    label, level
        A label of the reference, and its level; the main level if not named.
    measure
        One of the measures on the method's card; the first if not named.
    cells
        Which cells: those predicted as the label and not unknown by default; "top" for the surest 128 of them;
        "COLUMN=VALUE" for those that the query's own obs says it of.
    proteins
        As `map_query` takes it; a result is explained as it was mapped.

    Raises
    ------
    OptionsProblem
        If no cell, no such column or no such measure is found.
    ReferenceProblem
        If the reference has no such level or label, or the refitted model behind a result is no longer kept.
    """
    progress = progress or Progress()
    level = level or reference.levels[0]
    if level not in reference.levels:
        raise ReferenceProblem(f"{reference.title} has no label level {level!r}; it has {', '.join(reference.levels)}.")
    known = _result_of(query, method, level)
    if known is not None:
        reference = panels.reopened(reference, known.provenance.panel)
        proteins = known.provenance.options.get("proteins")
    chosen = load_method(reference, method, device).method.card.measure(measure)
    asking = progress.part("Explaining", 0.7, 1.0)
    if cells is not None and cells != TOP:
        rows, told = told_by(query, cells), f"cells with {cells}"
    else:
        mapping = progress.part("", 0.0, 0.7)
        result = known or map_query(
            query, reference, method, proteins=proteins, orthologs=orthologs, device=device, progress=mapping
        )
        rows = _predicted(result.labels.level(level), label, EXPLAINED_CELLS if cells == TOP else None)
        told = f"{'surest ' if cells == TOP else ''}cells predicted as {label}"
    if len(rows) == 0:
        raise OptionsProblem(
            f"{query.name} has no {told}, so there is nothing to explain. Name another label, or choose cells with "
            "COLUMN=VALUE."
        )
    signature = explain_cells(
        query,
        reference,
        method,
        rows,
        label,
        level=level,
        measure=chosen.name,
        proteins=proteins,
        orthologs=orthologs,
        device=device,
        progress=asking,
    )
    return Asked(signature, chosen, rows, told)


def _result_of(query: Query, method: str, level: str) -> MappingResult | None:
    """The result that the query's file holds, if it is one of this method and has this level."""
    if query.path is None or not holds_result(Path(query.path)):
        return None
    result = read_result(query.path)
    levels = [labels.level for labels in result.labels.levels]
    return result if result.method == method and level in levels else None


def _predicted(labels: LevelLabels, label: str, most: int | None) -> NDArray[np.int64]:
    rows = np.flatnonzero((labels.labels == label) & ~labels.unknown)
    if most is None:
        return rows
    return np.sort(rows[np.argsort(-labels.confidence[rows], kind="stable")[:most]])


def told_by(query: Query, told: str) -> NDArray[np.int64]:
    """Rows of the cells of which the query's own obs says so, told as COLUMN=VALUE.

    Raises
    ------
    OptionsProblem
        If there is no such column.
    """
    column, _, value = told.partition("=")
    if column not in query.obs.columns:
        columns = ", ".join(map(str, query.obs.columns)) or "none"
        raise OptionsProblem(
            f"{query.name} has no obs column {column!r}. Say which cells as COLUMN=VALUE, or {TOP}; it has: {columns}."
        )
    return np.flatnonzero(query.obs[column].astype(object).astype(str) == value)
