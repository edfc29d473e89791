"""Tables to take away: the cells in front, or the selected ones among them; what speaks for a label.

Knows no widgets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from explorer import keys
from explorer.app.leaving.downloads import Offered
from explorer.app.tab.session import Session
from explorer.errors import OptionsProblem
from explorer.flow import UNKNOWN_CONFIDENCE
from explorer.insight.composition import NO_VALUE
from explorer.insight.sureness import by_group

BLOCK_ROWS = 20_000
CSV = "text/csv; charset=utf-8"


def offered_table(session: Session) -> Offered:
    """The selected cells in front, or all of them, one row each, as csv."""
    table = front_table(session)
    rows = np.arange(len(table)) if session.selection is None else session.selection
    name = session.project.title if session.front == "query" and session.project is not None else "reference"
    what = "cells" if session.selection is None else "selection"
    return Offered(f"{name}.{what}.csv", CSV, _written(table, rows))


def offered_groups(session: Session, column: str = "") -> Offered:
    """How sure the cells of each sample are, or of each label where no column is named, as csv.

    Raises
    ------
    OptionsProblem
        If nothing is mapped, or there is no such column.
    """
    labels, sets = session.labels_at(session.level), session.sets_at(session.level)
    if session.outcome is None or labels is None or sets is None:
        raise OptionsProblem("No cells are mapped yet. Map your cells first.")
    obs = session.outcome.result.obs
    if column and column not in obs:
        raise OptionsProblem(f"There is no column {column!r} among these cells. Choose another one.")
    table = by_group(labels, names_of(obs[column]) if column else labels.labels, sets)
    table = table.rename(columns={"group": column or session.level})
    table.insert(2, "threshold", labels.threshold)
    table.insert(3, "coverage_of_sets", session.coverage)
    title = session.project.title if session.project is not None else "result"
    return Offered(f"{title}.quality by {column or 'label'}.csv", CSV, _written(table, np.arange(len(table))))


def names_of(column: pd.Series) -> np.ndarray:
    """The values of a column as text (n,)."""
    named: np.ndarray = column.astype(object).where(column.notna(), NO_VALUE).astype(str).to_numpy(object)
    return named


def offered_signature(session: Session) -> Offered:
    """Every gene, pathway or protein of the explanation in view with its score, the highest first, as csv.

    Raises
    ------
    OptionsProblem
        If nothing was explained.
    """
    said, project = session.explanation, session.project
    if said is None:
        raise OptionsProblem("Nothing has been explained yet. Ask 'Why these?' first.")
    table = said.signature.top(len(said.signature.names))
    title = project.title if project is not None else "cells"
    return Offered(f"{title}.{said.toward}.{said.measure.name}.csv", CSV, _written(table, np.arange(len(table))))


def offered_frame(session: Session, what: str, table: pd.DataFrame) -> Offered:
    """A table of a finding as csv, named after the project and what it is."""
    title = session.project.title if session.project is not None and session.front == "query" else "reference"
    return Offered(f"{title}.{what}.csv", CSV, _written(table, np.arange(len(table))))


def _written(table: pd.DataFrame, rows: np.ndarray) -> Iterator[bytes]:
    for start in range(0, max(len(rows), 1), BLOCK_ROWS):
        part = table.iloc[rows[start : start + BLOCK_ROWS]]
        yield part.to_csv(index=False, header=start == 0, float_format="%.6g").encode()


def front_table(session: Session) -> pd.DataFrame:
    """One row a cell in front: what it brought, and for a query what it was called."""
    if session.front == "reference" or session.outcome is None:
        return session.reference.obs.rename_axis("cell_id").reset_index() if session.reference else pd.DataFrame()
    result = session.outcome.result
    columns: dict[str, Any] = {"cell_id": result.obs.index}
    for found in result.labels.levels:
        columns[keys.predicted(found.level)] = found.labels
        columns[keys.confidence(found.level)] = found.confidence
    first = result.labels.first
    columns |= {keys.NOVELTY: first.novelty, keys.IS_UNKNOWN: first.unknown}
    if first.threshold != UNKNOWN_CONFIDENCE:
        columns[keys.THRESHOLD] = first.threshold
    return pd.concat([pd.DataFrame(columns), result.obs.reset_index(drop=True)], axis=1)
