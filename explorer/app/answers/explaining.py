"""Why some cells got their label: the method's own ranking of genes, pathways or proteins.

Genes stand beside what they do in the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer import keys
from explorer.app.stored.library import Outcome
from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import Reference
from explorer.jobs.asked import query_of
from explorer.jobs.specs import MapSpec
from explorer.mapping import panels
from explorer.mapping.corridor import explain_cells
from explorer.methods import METHODS
from explorer.methods.base import INSTANT, Measure
from explorer.writing.export import read_gene_values

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
    """What speaks for a label in some cells.

    Attributes
    ----------
    signature
        The method's whole answer: every name with its score, and its error.
    measure
        In which way it was asked.
    n_cells
        How many cells were asked about.
    genes
        The highest scores, where genes are scored; else empty.
    is_untaught
        Whether the model that explains is the one before it learned from the query.
    """

    signature: Signature
    measure: Measure
    level: str
    n_cells: int
    genes: tuple[GeneShare, ...] = ()
    is_untaught: bool = False

    @property
    def toward(self) -> str:
        """The label spoken for."""
        return self.signature.toward

    @property
    def error(self) -> float:
        """What the scores fail to account for, relative to what they should sum to; NaN where that has no meaning."""
        return self.signature.error


def explain(
    spec: MapSpec,
    outcome: Outcome,
    reference: Reference,
    rows: NDArray[np.integer],
    toward: str,
    level: str,
    measure: str | None = None,
) -> Explanation:
    """Ask the method of a finished job why some of its cells point toward a label.

    Parameters
    ----------
    spec
        What the job was asked to do; the cells are read from its query again.
    rows
        Positions of the cells.
    measure
        Name of the way to explain; `None` for the method's first.

    Raises
    ------
    AtlasError
        If the query is gone, or the reference has no such label or the method no such measure.
    """
    query = query_of(spec)
    fitted = panels.reopened(reference, outcome.result.provenance.panel)
    asked = METHODS[spec.method].card.measure(measure)
    signature = explain_cells(
        query, fitted, spec.method, rows, toward, level=level, measure=asked.name, proteins=spec.proteins,
        orthologs=spec.orthologs, device=spec.device,
    )  # fmt: skip
    untaught = outcome.result.provenance.options.get("mode", INSTANT.name) != INSTANT.name
    if signature.of != "gene":
        return Explanation(signature, asked, level, len(rows), is_untaught=untaught)
    inside = np.zeros(outcome.result.n_cells, dtype=np.bool_)
    inside[rows] = True
    top = signature.top(SHOWN_GENES)
    genes = tuple(
        _gene_share(outcome, str(gene), float(score), inside)
        for gene, score in zip(top["gene"], top["score"], strict=True)
    )
    return Explanation(signature, asked, level, len(rows), genes, untaught)


def _gene_share(outcome: Outcome, gene: str, score: float, inside: NDArray[np.bool_]) -> GeneShare:
    try:
        values = read_gene_values(outcome.folder / keys.EXPRESSION_FILE, gene)
    except OptionsProblem:
        return GeneShare(gene, score, None, None)
    elsewhere = float(values[~inside].mean()) if not inside.all() else None
    return GeneShare(gene, score, float(values[inside].mean()), elsewhere)
