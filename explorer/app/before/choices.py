"""What can be chosen of a method for a file: ways to map, ways to explain, and what speaks against each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from explorer import keys
from explorer.app.before.preflight import Preflight
from explorer.doubt.nesting import nesting
from explorer.drawing.columns import usable_columns
from explorer.flow import Reference, ValueKind
from explorer.mapping.levels import QUANTILE
from explorer.methods import METHODS
from explorer.methods.base import INSTANT, Measure, Mode
from explorer.reading.kinds import DataKind, kind_of
from explorer.reference import has_expression, label_codes

_SOME = 10_000  # values, enough to tell counts from logarithms


@dataclass(frozen=True)
class Traits:
    """What a reference allows.

    Attributes
    ----------
    columns
        obs columns that can colour its cells.
    has_expression
        Whether it holds its cells' counts, which whatever learns needs.
    has_proteins
        Whether it holds counts of surface proteins.
    kind
        What its cells are described by.
    nested
        Label levels that lie in another one, each with that one.
    """

    columns: tuple[str, ...] = ()
    has_expression: bool = False
    has_proteins: bool = False
    kind: DataKind = DataKind.RNA_COUNTS
    nested: tuple[tuple[str, str], ...] = ()


def traits_of(reference: Reference) -> Traits:
    """What a reference allows; reads a little of its files."""
    classes = {level: tuple(sorted(set(reference.obs[level].dropna().astype(str)))) for level in reference.levels}
    codes = {level: label_codes(reference, level, names) for level, names in classes.items()}
    inside = nesting(codes, {level: len(names) for level, names in classes.items()})
    with h5py.File(reference.folder / keys.CELLS_FILE, "r") as file:
        has_proteins = f"obsm/{keys.PROTEINS}" in file
        some = file["X/data"][:_SOME] if "X" in file else np.zeros(1)
    is_counts = bool((some == np.round(some)).all())
    return Traits(
        usable_columns(reference.obs),
        has_expression(reference),
        has_proteins,
        kind_of(reference.genes[keys.SYMBOL].to_numpy(object), is_counts=is_counts),
        tuple((fine, found.within) for fine, found in inside.items()),
    )


@dataclass(frozen=True)
class Way:
    """A way to map.

    Attributes
    ----------
    refusal
        Why it cannot be taken, as a sentence; empty if it can.
    """

    mode: Mode
    refusal: str


def ways(reference: Reference, traits: Traits, method: str, found: Preflight | None) -> tuple[Way, ...]:
    """The ways in which a method maps, each with what speaks against it for a file."""
    if method not in METHODS:
        return ()
    return tuple(Way(mode, _refusal(mode, reference, traits, method, found)) for mode in METHODS[method].card.modes)


def _refusal(mode: Mode, reference: Reference, traits: Traits, method: str, found: Preflight | None) -> str:
    if mode == INSTANT:
        return ""
    if not traits.has_expression:
        return f"{reference.title} was shared without expression, which this way of mapping learns from."
    if "conditions" in mode.needs and not _conditions(reference, method):
        return f"{reference.title} was trained without batches, so there are none to compare yours with."
    if "counts" in mode.needs and found is not None and found.matrix.kind is not ValueKind.COUNTS:
        return f"Needs counts; {found.matrix.name} holds {found.matrix.kind}. Choose a matrix of counts on Data."
    return ""


def recommended(reference: Reference) -> str:
    """The method that told labels best on reference batches that it was not trained on; the first if none was measured.

    Judged by macro-F1 at the main label level, which counts rare labels as much as frequent ones.
    """
    return max(reference.methods, key=lambda name: macro_f1(reference, name))


def macro_f1(reference: Reference, method: str) -> float:
    """Macro-F1 of a method at the main label level on left-out reference batches; -1 if not measured."""
    scores = reference.card["methods"][method].get("scores", {}).get(reference.levels[0], {})
    return float(scores.get("macro_f1", -1.0))


def places_by_proteins(reference: Reference, method: str) -> bool:
    """Whether a method of a reference can place cells by surface proteins beside RNA."""
    return bool(reference.card["methods"].get(method, {}).get("proteins", False))


def _conditions(reference: Reference, method: str) -> list[str]:
    told = reference.card["methods"].get(method, {})
    columns = (told.get("batch", reference.card.get("batch")), *told.get("conditions", ()))
    return [column for column in columns if column]


def measures(method: str, traits: Traits) -> tuple[Measure, ...]:
    """The ways in which a method explains cells of a reference, the default first."""
    if method not in METHODS:
        return ()
    return tuple(m for m in METHODS[method].card.measures if m.of != "protein" or traits.has_proteins)


def how_words(method: str, options: Mapping[str, Any]) -> str:
    """How cells were mapped where that is not as usual, in a few words; empty for as usual.

    Parameters
    ----------
    options
        Of a provenance or a `MapSpec`.
    """
    titles = {each.name: each.title for each in METHODS[method].card.modes} if method in METHODS else {}
    mode = options.get("mode")
    told = (
        f"“{titles.get(mode, mode)}”" if mode and mode != INSTANT.name else "",
        "coarse labels first" if options.get("hierarchical") else "",
        "each level by itself" if options.get("independent") else "",
        "unknown beyond the 99 % quantile" if options.get("unknown") == QUANTILE else "",
        "smoothed over neighbours" if options.get("refine") else "",
    )
    return ", ".join(filter(None, told))
