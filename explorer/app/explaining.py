"""Why some cells got their label: the method's own ranking of genes, beside what those genes do in the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer import keys, panels
from explorer.app.library import Outcome
from explorer.errors import OptionsProblem
from explorer.export import read_gene_values
from explorer.flow import Reference
from explorer.jobs import MapSpec
from explorer.mapping import explain_cells
from explorer.query import open_query

SHOWN_GENES = 20


@dataclass(frozen=True)
class GeneShare:
    """One gene of an explanation.

    Attributes
    ----------
    score
        How much it speaks for the label.
    here, elsewhere
        Mean log1p CP10k in the explained cells and in all others; `None` where the gene is not in the file, or
        there are no others.
    """

    gene: str
    score: float
    here: float | None
    elsewhere: float | None


@dataclass(frozen=True)
class Explanation:
    """The genes by which some cells point toward a label.

    Attributes
    ----------
    n_cells
        How many cells were asked about.
    error
        What the scores fail to account for, relative to what they should sum to; NaN where that has no meaning.
    """

    toward: str
    level: str
    n_cells: int
    genes: tuple[GeneShare, ...]
    measure: str
    error: float


def explain(
    spec: MapSpec, outcome: Outcome, reference: Reference, rows: NDArray[np.integer], toward: str, level: str
) -> Explanation:
    """Ask the method of a finished job why some of its cells point toward a label.

    Parameters
    ----------
    spec
        What the job was asked to do; the cells are read from its query again.
    rows
        Positions of the cells.

    Raises
    ------
    AtlasError
        If the query is gone, or the reference has no such label.
    """
    query = open_query(Path(spec.query), matrix=spec.matrix, name=spec.name)
    fitted = panels.reopened(reference, outcome.result.provenance.panel)
    signature = explain_cells(
        query, fitted, spec.method, rows, toward, level=level, orthologs=spec.orthologs, device=spec.device
    )
    inside = np.zeros(outcome.result.n_cells, dtype=np.bool_)
    inside[rows] = True
    top = signature.top(SHOWN_GENES)
    genes = tuple(
        _gene_share(outcome, str(gene), float(score), inside)
        for gene, score in zip(top["gene"], top["score"], strict=True)
    )
    return Explanation(toward, level, len(rows), genes, signature.measure, signature.error)


def _gene_share(outcome: Outcome, gene: str, score: float, inside: NDArray[np.bool_]) -> GeneShare:
    try:
        values = read_gene_values(outcome.folder / keys.EXPRESSION_FILE, gene)
    except OptionsProblem:
        return GeneShare(gene, score, None, None)
    elsewhere = float(values[~inside].mean()) if not inside.all() else None
    return GeneShare(gene, score, float(values[inside].mean()), elsewhere)
