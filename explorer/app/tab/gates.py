"""Selections by recipe: what was drawn, brushed and named, step after step, so that it can be done again.

Knows shapes, columns and names, no widgets.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.coloring import Categories, Coloring, Values
from components.points import Points, inside_polygon
from explorer import keys
from explorer.app.colors.coloring import ColorBy, color_query, color_reference
from explorer.app.stored import library
from explorer.app.stored.library import Outcome
from explorer.app.stored.packing import packed, unpacked
from explorer.app.tab.two_values import inside, shape_in_words
from explorer.asking.painting import PROTEIN
from explorer.drawing.coloring import label_colors
from explorer.drawing.columns import is_measured
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, Reference
from explorer.reference import read_gene
from explorer.writing.export import read_gene_values

Mask = NDArray[np.bool_]
REPLACE, ADD, SUBTRACT, INTERSECT, INVERT = MODES = ("replace", "add", "subtract", "intersect", "invert")
_GENE, _PROTEIN = "gene:", "protein:"
SHAPE, RANGE, PLANE, NAMES, ROWS = "shape", "range", "plane", "names", "rows"
CONFIDENCE, NOVELTY, DISAGREEMENT = OF_LABELS = ("confidence", "novelty", "disagreement")


@dataclass(frozen=True)
class Step:
    """One step of a selection.

    Attributes
    ----------
    mode
        How it meets what was selected before, one of `MODES`.
    kind
        `SHAPE`, `RANGE`, `PLANE` (a shape over two values), `NAMES` or `ROWS`; empty for a step that only inverts.
    of
        Of a range, or across a plane: the obs column, one of `OF_LABELS`, a gene as `of_gene` writes it, or a protein
        as `of_protein` does. Of names: the kind of colour they belong to. Of a shape: the query's own picture it was
        drawn on, empty for the reference's.
    name
        Of names: the column. Of a shape: the method whose picture of the reference it was drawn on. Of a plane: the
        value up, as `of` writes the one across.
    level
        Label level of names, and of what labels say.
    x, y
        Corners of a shape; over two values in their units, of a box two opposite ones.
    low, high
        Ends of a range, both within.
    names
        Categories.
    rows
        Single cells, as `packing.packed` writes them.
    within
        Column and value of the pane that was drawn on; empty for all cells.
    without
        Kind, name and level of colour, and names that were hidden, which cannot be meant; empty for none.
    """

    mode: str
    kind: str = ""
    of: str = ""
    name: str = ""
    level: str = ""
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    names: tuple[str, ...] = ()
    rows: str = ""
    within: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """A selection with a name.

    Attributes
    ----------
    id
        Names it among those of a project.
    cells
        Whose: "query" or "reference".
    """

    id: str
    title: str
    cells: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Cells:
    """The cells that steps are asked of.

    Attributes
    ----------
    of
        "query" or "reference".
    outcomes
        By method, for shapes that were drawn on another one's picture.
    """

    of: str
    reference: Reference
    outcome: Outcome | None
    outcomes: Mapping[str, Outcome]
    method: str

    @property
    def n(self) -> int:
        """How many."""
        return self.reference.n_cells if self.outcome is None or self.of == "reference" else self.outcome.result.n_cells

    @property
    def obs(self) -> pd.DataFrame:
        """What they brought."""
        is_query = self.of == "query" and self.outcome is not None
        found: pd.DataFrame = self.outcome.result.obs if is_query and self.outcome else self.reference.obs
        return found


def extended(steps: Sequence[Step], step: Step) -> list[Step]:
    """The steps with one more: a replacement forgets those before, a range those of the same column."""
    if step.mode == REPLACE:
        return [step]
    if step.kind == RANGE:
        return [*(each for each in steps if (each.kind, each.of, each.level) != (RANGE, step.of, step.level)), step]
    return [*steps, step]


def of_rows(rows: NDArray[np.integer], n: int, mode: str = REPLACE) -> Step:
    """Single cells as a step."""
    return Step(mode, ROWS, rows=packed(rows, n))


def mask_of(rows: NDArray[np.integer] | None, n: int) -> Mask | None:
    """Rows as a mask over n cells; `None` for none."""
    if rows is None:
        return None
    mask = np.zeros(n, dtype=np.bool_)
    mask[rows] = True
    return mask


def select_by(steps: Sequence[Step], cells: Cells) -> Mask:
    """Which cells the steps select, bool (n,). Of no steps: none; a first step that intersects begins with all.

    Raises
    ------
    AtlasError
        If a step names a column, a label or a picture that these cells do not have.
    """
    found = np.zeros(cells.n, dtype=np.bool_)
    for number, step in enumerate(steps):
        if step.mode == INVERT:
            found = ~found
            continue
        own = _found_by(step, cells)
        if step.mode == REPLACE:
            found = own
        elif step.mode == ADD:
            found = found | own
        elif step.mode == SUBTRACT:
            found = found & ~own
        else:
            found = own if number == 0 else found & own
    return found


def measured_columns(cells: Cells) -> tuple[str, ...]:
    """What ranges can be asked of: confidence and novelty where there are labels, and every numeric obs column."""
    obs = cells.obs
    columns = tuple(str(name) for name in obs.columns if is_measured(obs[name]) and obs[name].nunique() > 1)
    return (*OF_LABELS[:2], *columns) if cells.of == "query" and cells.outcome is not None else columns


def of_gene(gene: str) -> str:
    """What a range over the expression of a gene is of."""
    return f"{_GENE}{gene}"


def gene_of(of: str) -> str:
    """The gene of what `of_gene` wrote; empty for a range of anything else."""
    return of.removeprefix(_GENE) if of.startswith(_GENE) else ""


def of_protein(protein: str) -> str:
    """What a range over a surface protein is of."""
    return f"{_PROTEIN}{protein}"


def name_of(of: str) -> str:
    """What a range is of, by its own name alone."""
    return of.removeprefix(_GENE).removeprefix(_PROTEIN)


def proteins_of(cells: Cells) -> tuple[str, ...]:
    """Surface proteins that the cells have values of: a query as imputed, where it was mapped so."""
    if cells.of == "query" and cells.outcome is not None:
        found = cells.outcome.result.proteins
        return () if found is None else tuple(found.names)
    return tuple(cells.reference.proteins)


def bands_of(x: str, y: str) -> tuple[bool, bool]:
    """Whether zeros of two values are drawn in a band of their own: those of genes are."""
    return bool(gene_of(x)), bool(gene_of(y))


def measured(cells: Cells, of: str, level: str) -> NDArray[np.float64]:
    """The values of one of `measured_columns`, log1p CP10k of a gene, or a protein's, float64 (n,), NaN for none.

    Raises
    ------
    OptionsProblem
        If there is no such column or protein.
    AtlasError
        If the gene cannot be read.
    """
    if gene := gene_of(of):
        return np.asarray(_expression(cells, gene), np.float64)
    if of.startswith(_PROTEIN):
        return _protein(cells, name_of(of), level)
    if of in OF_LABELS and cells.of == "query" and cells.outcome is not None:
        labels = cells.outcome.result.labels.level(level)
        return np.asarray(getattr(labels, of), np.float64)
    if of not in cells.obs or not is_measured(cells.obs[of]):
        raise OptionsProblem(
            f"There is no column {of!r} of numbers among these cells. Choose another, or make the selection anew."
        )
    return cells.obs[of].to_numpy(np.float64, na_value=np.nan)


def in_words(steps: Sequence[Step]) -> str:
    """The recipe, as one would say it."""
    return ", ".join(_say(step, number) for number, step in enumerate(steps))


def as_records(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Gates as plain values."""
    return [{**asdict(gate), "steps": step_records(gate.steps)} for gate in gates]


def read_records(records: Sequence[Mapping[str, Any]]) -> list[Gate]:
    """Gates from what `as_records` gave, after it went through JSON."""
    return [replace(Gate(**{**record, "steps": ()}), steps=tuple(read_steps(record["steps"]))) for record in records]


def step_records(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Steps as plain values; what is as usual is left out."""
    usual = asdict(Step(""))
    return [{name: value for name, value in asdict(step).items() if value != usual[name]} for step in steps]


def read_steps(records: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Steps from what `step_records` gave, after it went through JSON."""
    return [_read_step(record) for record in records]


def _read_step(record: Mapping[str, Any]) -> Step:
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in record.items()}
    return Step(**values)


def new_gate(title: str, cells: str, steps: Sequence[Step]) -> Gate:
    """A gate under a name of its own."""
    return Gate(secrets.token_urlsafe(6), title, cells, tuple(steps))


# one step


@lru_cache(maxsize=8)
def _of_result(folder: Path, gene: str) -> FloatArray:
    return read_gene_values(folder / keys.EXPRESSION_FILE, gene)


def _expression(cells: Cells, gene: str) -> FloatArray:
    """log1p CP10k of one gene, float32 (n,)."""
    if cells.of == "query" and cells.outcome is not None:
        return _of_result(cells.outcome.folder, gene)
    return read_gene(cells.reference, gene)


def _protein(cells: Cells, name: str, level: str) -> NDArray[np.float64]:
    coloring = _colored(cells, ColorBy(PROTEIN, name), level, {})
    if not isinstance(coloring, Values):
        raise OptionsProblem(f"{name} holds names, no numbers. Make the selection anew.")
    return np.asarray(coloring.values, np.float64)


def _colored(cells: Cells, by: ColorBy, level: str, known: Mapping[str, str]) -> Coloring:
    if cells.of == "query" and cells.outcome is not None:
        return color_query(cells.outcome, by, level, known)
    return color_reference(cells.reference, by, level, known)


def _found_by(step: Step, cells: Cells) -> Mask:
    if step.kind == SHAPE:
        found = inside_polygon(_places(step, cells), step.x, step.y)
    elif step.kind == RANGE:
        values = measured(cells, step.of, step.level)
        found = (values >= step.low) & (values <= step.high)
    elif step.kind == PLANE:
        x, y = (measured(cells, of, step.level) for of in (step.of, step.name))
        found = inside(x, y, (step.x, step.y), bands_of(step.of, step.name))
    elif step.kind == NAMES:
        found = _named(step.of, step.name, step.level, step.names, cells)
    else:
        kept = unpacked(step.rows, cells.n)
        if kept is None:
            raise OptionsProblem("This selection was made of single cells, of another file. Make it anew.")
        found = kept
    if step.within:
        column, value = step.within
        if column not in cells.obs:
            raise OptionsProblem(f"There is no column {column!r} among these cells. Save the selection anew.")
        found = found & (cells.obs[column].astype(str) == value).to_numpy(np.bool_)
    if step.without:
        kind, name, level, *names = step.without
        found = found & ~_named(kind, name, level, names, cells)
    return np.asarray(found, np.bool_)


def _places(step: Step, cells: Cells) -> Points:
    if cells.of == "reference":
        return library.reference_points(cells.reference.folder, step.name or cells.method)
    outcome = cells.outcomes.get(step.name, cells.outcome if step.name in ("", cells.method) else None)
    if outcome is None:
        raise OptionsProblem(
            f"This selection was drawn on the picture of {step.name}, which these cells are not mapped by. Map them by "
            f"{step.name} too, or draw it anew."
        )
    if step.of and step.of not in outcome.pictures:
        raise OptionsProblem(f"This selection was drawn on {step.of}, which these cells do not have. Draw it anew.")
    return library.own_points(outcome.folder, step.of) if step.of else outcome.points


def _named(kind: str, name: str, level: str, names: Sequence[str], cells: Cells) -> Mask:
    level = level or cells.reference.levels[0]
    coloring = _colored(cells, ColorBy(kind, name), level, label_colors(cells.reference, level))
    if not isinstance(coloring, Categories):
        raise OptionsProblem(f"{coloring.title} holds numbers, no names to select by. Make the selection anew.")
    return np.isin(coloring.codes, [at for at, each in enumerate(coloring.names) if each in names])


_VERBS = {REPLACE: "", ADD: "and ", SUBTRACT: "without ", INTERSECT: "within ", INVERT: "all others"}


def _say(step: Step, number: int) -> str:
    verb = "" if number == 0 and step.mode != INVERT else _VERBS[step.mode]
    if step.mode == INVERT:
        return verb
    if step.kind == RANGE:
        what = f"{name_of(step.of)} {step.low:.3g} to {step.high:.3g}"
    elif step.kind == PLANE:
        names = name_of(step.of), name_of(step.name)
        what = shape_in_words(names, (step.x, step.y), bands_of(step.of, step.name))
    elif step.kind == NAMES:
        what = f"{', '.join(step.names[:3])}{' …' if len(step.names) > 3 else ''}"
    else:
        what = "a shape" if step.kind == SHAPE else "single cells"
    return verb + what + (f" in {step.within[1]}" if step.within else "")
