"""Two values of the cells in front, ready to be laid out one against the other: read once, named, with their units.

Knows a session's cells and what they have; no widgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.points import Points
from components.zero_band import places
from explorer.app.tab.gates import (
    OF_LABELS,
    Cells,
    bands_of,
    gene_of,
    measured,
    measured_columns,
    name_of,
    of_gene,
    of_protein,
    proteins_of,
)
from explorer.app.tab.two_values import TwoValues
from explorer.insight.two_values import likely_cut
from explorer.reading.genesearch import find_gene

_TITLES = {of: of.capitalize() for of in OF_LABELS}
_KNOWN = (("CD3D", "CD8A"), ("CD4", "CD8A"), ("CD3E", "MS4A1"), ("EPCAM", "VIM"))


@dataclass(frozen=True, eq=False)
class Laid:
    """Two values that were read.

    Attributes
    ----------
    of
        Of which cells, and what, as `of_what` writes it.
    x, y
        float64 (n,) each, NaN for none.
    points
        Where the cells are drawn.
    """

    of: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    points: Points


def lay_out(cells: Cells, chosen: TwoValues, level: str) -> Laid:
    """Read two values of cells, and find where they are drawn.

    Raises
    ------
    AtlasError
        If the cells do not have one of them.
    """
    x, y = (measured(cells, each, level) for each in (chosen.x, chosen.y))
    return Laid(of_what(cells, chosen, level), x, y, places(x, y, bands_of(chosen.x, chosen.y)))


def whose(cells: Cells) -> tuple[str, ...]:
    """Which cells these are."""
    job = cells.outcome.job if cells.of == "query" and cells.outcome is not None else ""
    return (cells.of, cells.reference.checksum, job)


def of_what(cells: Cells, chosen: TwoValues, level: str) -> tuple[str, ...]:
    """Of which cells two values are, and what they are."""
    return (*whose(cells), level if {chosen.x, chosen.y} & set(OF_LABELS) else "", chosen.x, chosen.y)


def cuts_of(laid: Laid, chosen: TwoValues) -> tuple[float, float]:
    """Where two values are cut: as a person said, or where it is likely."""
    if chosen.cuts is not None:
        return chosen.cuts
    x, y = (
        short(likely_cut(values, is_expression=band))
        for values, band in zip((laid.x, laid.y), bands_of(chosen.x, chosen.y), strict=True)
    )
    return x, y


def moved(chosen: TwoValues, at: tuple[float, float]) -> TwoValues:
    """The same values cut elsewhere, to three digits; expression is not cut below zero."""
    x, y = (
        max(0.0, short(cut)) if band else short(cut)
        for cut, band in zip(at, bands_of(chosen.x, chosen.y), strict=True)
    )
    return TwoValues(chosen.x, chosen.y, (x, y))


def short(value: float) -> float:
    """A number to three digits."""
    return float(f"{value:.3g}")


# names


def offered(cells: Cells) -> dict[str, str]:
    """What there is beside genes, by its title: labels' figures, columns of numbers, proteins."""
    return {
        title_of(of): of for of in (*measured_columns(cells), *(of_protein(name) for name in proteins_of(cells)))
    }  # fmt: skip


def find(text: str, others: dict[str, str], genes: tuple[str, ...]) -> str:
    """What a person named: one of `others` by its title, or a gene by any of its names; empty if there is none."""
    named = text.strip()
    if not named or named in others:
        return others.get(named, "")
    gene = find_gene(named, genes)
    return of_gene(gene) if gene is not None else ""


def likely(others: dict[str, str], genes: Sequence[str]) -> TwoValues:
    """Two values to begin with: genes that most know, or else what there is; empty where there is too little."""
    there = set(genes)
    known = next((pair for pair in _KNOWN if there.issuperset(pair)), ())
    x, y, *_ = [*map(of_gene, known), *others.values(), *map(of_gene, sorted(there)[:2]), "", ""]
    return TwoValues(x, y) if x and y else TwoValues()


def title_of(of: str) -> str:
    """What a list calls a value."""
    if of == name_of(of):
        return _TITLES.get(of, of)
    return name_of(of) if gene_of(of) else f"{name_of(of)} (protein)"


def axis_title(of: str, level: str) -> str:
    """What an axis calls a value, with its unit."""
    if gene_of(of):
        return f"{gene_of(of)}, log1p CP10k"
    if of in OF_LABELS:
        return f"{_TITLES[of]}, {level}"
    return f"{name_of(of)}, protein, CLR" if name_of(of) != of else of
