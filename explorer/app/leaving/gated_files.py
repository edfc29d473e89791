"""Saved selections as columns: of a table, and of the annotated file. Knows no widgets."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import h5py
import numpy as np
from anndata.io import write_elem

from explorer import keys
from explorer.app.leaving.downloads import Offered, blocks_once
from explorer.app.leaving.file_colors import file_colors
from explorer.app.tab.gates import Cells, Gate, Mask, in_words, select_by, step_records
from explorer.app.tab.session import Session
from explorer.errors import OptionsProblem
from explorer.reading.query import open_query
from explorer.settings import settings
from explorer.writing.export import write_h5ad

COLUMN = "selection_{title}"
RECORD = "atlas_explorer_selections"


def gated(session: Session) -> dict[str, Mask]:
    """Which cells of the query each saved selection holds, bool (n,) by name of its column."""
    cells = session.cells
    if cells is None or cells.outcome is None:
        return {}
    own = Cells("query", cells.reference, cells.outcome, cells.outcomes, cells.method)
    return {column_of(gate): select_by(gate.steps, own) for gate in session.gates if gate.cells == "query"}


def column_of(gate: Gate) -> str:
    """The obs column of a saved selection; a slash would part it in the file."""
    return COLUMN.format(title=gate.title.replace("/", "_"))


def offered_gated_file(session: Session) -> Offered:
    """The annotated file with a column of true and false for each saved selection of the query, and their recipes.

    Raises
    ------
    AtlasError
        If no cells are mapped, or a recipe cannot be done on them.
    """
    outcome = session.outcome
    if outcome is None:
        raise OptionsProblem("No cells are mapped yet. Map your cells first.")
    columns = gated(session)
    path = settings().home / "handouts" / f"{secrets.token_urlsafe(12)}.h5ad"
    write_h5ad(outcome.result, open_query(outcome.folder / keys.RESULT_FILE), path, file_colors(session))
    _append(path, columns, session.gates)
    title = session.project.title if session.project is not None else "result"
    return Offered(f"{title}.selections.h5ad", "application/x-hdf5", blocks_once(path))


def _append(path: Path, columns: dict[str, Mask], gates: list[Gate]) -> None:
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        before = [name.decode() if isinstance(name, bytes) else str(name) for name in obs.attrs["column-order"]]
        for name, mask in columns.items():
            if name in obs:
                del obs[name]
            write_elem(obs, name, mask)
        order = [*(name for name in before if name not in columns), *columns]
        obs.attrs["column-order"] = np.array(order, dtype=h5py.string_dtype())
        recipes = {
            column_of(gate): f"{in_words(gate.steps)}; {json.dumps(step_records(gate.steps))}"
            for gate in gates if column_of(gate) in columns
        }  # fmt: skip
        write_elem(file["uns"], RECORD, recipes)
