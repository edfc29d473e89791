"""How a file is read, how its genes then meet a reference, and which other reading would find more of them.

Knows no widgets. What is offered has been tried: each remedy says what it would find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from explorer.errors import GenesProblem, OptionsProblem, ValuesProblem
from explorer.flow import GeneMatch, Query, Reference
from explorer.mapping.models import load_method
from explorer.provenance import Coverage
from explorer.reading.genes import coverage, match_genes
from explorer.reading.matching import ROW_NAMES
from explorer.reading.query import USABLE, Inspection, open_query
from explorer.reading.values import kind_in_words
from explorer.settings import settings

MOST = 4          # ways out offered at once
MOST_COLUMNS = 8  # of names that are tried
_WORTH = 0.01     # of a method's genes: less is no reason to read a file otherwise


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    Attributes
    ----------
    matrix, gene_names
        As `open_query` takes them; `None` lets the program choose.
    orthologs
        Whether genes of another species are translated.
    """

    matrix: str | None = None
    gene_names: str | None = None
    orthologs: bool = False

    def query(self, path: Path) -> Query:
        """The file, read so."""
        return open_query(path, matrix=self.matrix, gene_names=self.gene_names)


@dataclass(frozen=True)
class Remedy:
    """A way out that takes one click.

    Attributes
    ----------
    title
        What it does.
    effect
        What it rests on, and what it would find.
    share
        Least share of a method's genes that is found then, in [0, 1].
    wanted
        Choices of a session, by name, that make it so.
    """

    title: str
    effect: str
    share: float
    wanted: Mapping[str, Any]


def meet(query: Query, reference: Reference, *, orthologs: bool) -> tuple[GeneMatch, dict[str, Coverage]]:
    """How the genes of a query meet a reference's, and how many of each method's genes it brings.

    Raises
    ------
    GenesProblem
        If they are of another species.
    """
    match = match_genes(query.var, reference.genes, orthologs=orthologs)
    covered = {
        name: coverage(match, reference.genes, load_method(reference, name).positions) for name in reference.methods
    }
    return match, covered


def least(covered: Mapping[str, Coverage]) -> float:
    """Share of its genes that the worst served method finds, in [0, 1]; 0 without any."""
    return min((found.share for found in covered.values()), default=0.0)


def remedies(
    path: Path, reference: Reference, inspection: Inspection, reading: Reading, share: float
) -> tuple[Remedy, ...]:
    """Other readings of a file that find enough genes and clearly more, the most first; four at most.

    Parameters
    ----------
    share
        What is found as the file is read now, see `least`.
    """
    floor = max(share + _WORTH, settings().min_gene_share)
    tried = (_tried(path, reference, *each) for each in _others(inspection, reading))
    found = [remedy for remedy in tried if remedy is not None and remedy.share >= floor]
    return tuple(sorted(found, key=lambda remedy: -remedy.share)[:MOST])


def _others(inspection: Inspection, reading: Reading) -> Iterator[tuple[str, str, Reading]]:
    """Title, what it rests on, and the reading of each way in which a file could be read otherwise."""
    used = reading.matrix or inspection.chosen.name
    for matrix in inspection.matrices:
        if matrix.name != used and matrix.kind in USABLE:
            about = f"{kind_in_words(matrix.kind)}, {matrix.n_genes:,} genes"
            yield f"Use {matrix.name}", about, replace(reading, matrix=matrix.name)
    if reading.gene_names is not None:
        yield "Try all names of genes", "the row names and every column of text", replace(reading, gene_names=None)
    names = [column.name for column in inspection.gene_columns if column.name != reading.gene_names]
    for name in names[:MOST_COLUMNS]:
        example = next(iter(_named(inspection, name)), "")
        yield f"Take gene names from {name}", f"such as {example}", replace(reading, gene_names=name)
    if reading.gene_names not in (None, ROW_NAMES):
        yield "Take the row names for gene names", "as the file has them", replace(reading, gene_names=ROW_NAMES)
    if not reading.orthologs:
        yield "Map orthologues", "genes with one partner in the other species", replace(reading, orthologs=True)


def _named(inspection: Inspection, name: str) -> tuple[str, ...]:
    return next(column.examples for column in inspection.gene_columns if column.name == name)


def _tried(path: Path, reference: Reference, title: str, about: str, reading: Reading) -> Remedy | None:
    try:
        share = least(meet(reading.query(path), reference, orthologs=reading.orthologs)[1])
    except (GenesProblem, OptionsProblem, ValuesProblem):  # then this is no way out
        return None
    wanted = {
        "matrix": reading.matrix or "", "gene_names": reading.gene_names or "", "orthologs": reading.orthologs,
    }  # fmt: skip
    return Remedy(title, f"{about}; finds {100 * share:.0f} % of the genes needed", share, wanted)
