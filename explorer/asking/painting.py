"""What colours cells, from a kind and a name, as page and shell choose it: a reference's own cells, sets of genes.

    of_reference(reference, "gene", "CD14", level, known)     as the page shows it beside a query
    of_reference(reference, "genes", "My set: CD14 LYZ", ...)  a set as `name_of_genes` writes it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from components.coloring import Coloring, Values
from explorer.drawing.coloring import by_column, by_gene, by_genes, by_protein
from explorer.errors import OptionsProblem
from explorer.flow import Query, Reference
from explorer.insight.by_gene import of_genes
from explorer.insight.genescores import score_cells
from explorer.reading.proteins import centred_log_ratio
from explorer.reference import read_gene, read_proteins

LABEL, CONFIDENCE, NOVELTY = "label", "confidence", "novelty"
CONSENSUS, AGREEMENT = "consensus", "agreement"
GENE, GENES, PROTEIN, COLUMN = "gene", "genes", "protein", "column"
OF_MAPPED = (CONFIDENCE, NOVELTY, AGREEMENT)
"""What only mapped cells have."""


def name_of_genes(title: str, genes: Sequence[str]) -> str:
    """How a set of genes is written as a name: "Title: A B C"."""
    return f"{title.replace(':', ' ').strip()}: {' '.join(genes)}"


def genes_named(name: str) -> tuple[str, tuple[str, ...]]:
    """Title and genes of what `name_of_genes` wrote."""
    title, _, genes = name.partition(":")
    return title, tuple(genes.split())


def mean_of(name: str, source: Query | Reference | Path) -> Values:
    """Mean log1p CP10k over a set of genes; only their own values are read.

    Parameters
    ----------
    name
        As `name_of_genes` writes it.
    source
        As `explorer.insight.by_gene.of_genes` takes it.

    Raises
    ------
    GenesProblem
        If none of the genes was measured.
    """
    title, genes = genes_named(name)
    scores = score_cells(of_genes(source), {title: frozenset(gene.upper() for gene in genes)}, controls=0)
    return by_genes(title, scores[title].to_numpy(np.float32))


def of_reference(reference: Reference, kind: str, name: str, level: str, known: Mapping[str, str]) -> Coloring:
    """Colour the cells of a reference by its own labels, a column of its own, genes or a protein.

    Parameters
    ----------
    kind, name
        What, and which: a label or consensus needs no name and shows the reference's own labels.
    known
        Colours of the labels of `level`.

    Raises
    ------
    OptionsProblem, ReferenceProblem
        If it has no such column, gene or protein, or has not been mapped and so has no confidence.
    """
    if kind == GENE:
        return by_gene(name, read_gene(reference, name))
    if kind == GENES:
        return mean_of(name, reference)
    if kind == PROTEIN:
        return _protein_in(reference, name)
    if kind in OF_MAPPED:
        raise OptionsProblem(f"Only mapped cells have a {kind}. Colour the reference by its labels or a gene.")
    return by_column(reference.obs, name if kind == COLUMN else level, known)


def on_scale_of(query: Coloring, beside: Coloring) -> Coloring:
    """The colours of other cells with the scale of the query's: the same colour must mean the same value in both."""
    if isinstance(query, Values) and isinstance(beside, Values):
        return replace(beside, limits=query.scale)
    return beside


def _protein_in(reference: Reference, name: str) -> Values:
    counts = read_proteins(reference)
    if counts is None or name not in reference.proteins:
        raise OptionsProblem(f"The reference has no surface protein called {name!r}. Choose another colour.")
    return by_protein(name, centred_log_ratio(counts)[:, reference.proteins.index(name)])
