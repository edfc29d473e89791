"""What a file's cells were measured by, and what of it a method takes.

Knows names and values; does not know files, networks or labels. Gene activity scores of ATAC look like expression and
are taken as such; peaks are told by their names, spots by the places that a file keeps for them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

import pandas as pd

from explorer.errors import GenesProblem, OptionsProblem
from explorer.reading import matching
from explorer.reading.matching import PEAK, Names

SPATIAL = "spatial"  # where AnnData keeps the places of spots, in obsm

GENE_SCORES_REMEDY = (
    "Compute gene activity scores first (GeneActivity of Signac, gene scores of ArchR, make_gene_matrix of SnapATAC2), "
    "save them as X with gene symbols"
)


class DataKind(StrEnum):
    """What the numbers of a file describe cells by."""

    RNA_COUNTS = "RNA counts"
    LOG_RNA = "log-normalised RNA"
    GENE_SCORES = "ATAC gene scores"
    SPOTS = "spatial spots"
    PEAKS = "peak counts"


BY_GENES = (DataKind.RNA_COUNTS, DataKind.LOG_RNA, DataKind.GENE_SCORES, DataKind.SPOTS)
COUNTED_GENES = (DataKind.RNA_COUNTS, DataKind.SPOTS)


def are_peaks(names: Sequence[str] | Names | pd.Index) -> bool:
    """Whether most names are places on chromosomes, such as chr1:100-200, chr1-100-200 or chr1_100_200."""
    return matching.mostly(PEAK, list(names))


def kind_of(names: Names, *, is_counts: bool) -> DataKind:
    """What cells are described by, as far as names and values tell."""
    if are_peaks(names):
        return DataKind.PEAKS
    return DataKind.RNA_COUNTS if is_counts else DataKind.LOG_RNA


def require_learnable(title: str, builds_from: Collection[DataKind], kind: DataKind, names: Names) -> None:
    """Refuse to build from cells that a method cannot learn from.

    Parameters
    ----------
    title
        Of the method.
    builds_from
        What it learns from.
    kind, names
        What was found, and the names of genes or peaks.

    Raises
    ------
    OptionsProblem
        With what was found and what to do.
    """
    if kind not in builds_from and kind is DataKind.PEAKS:
        raise OptionsProblem(
            f"These cells are described by peaks ({names[0]} and {len(names) - 1:,} more), and {title} learns from "
            f"{_listed(builds_from)}. Train scPoli, which takes peak counts too. Or: {_lowered(GENE_SCORES_REMEDY)}, "
            "and build from that file."
        )


def require_same_features(names: Names, reference: Names) -> None:
    """Refuse peaks for a reference of genes, and genes for a reference of peaks.

    Raises
    ------
    GenesProblem
        With what was found and what to do.
    """
    if are_peaks(names) and not are_peaks(reference):
        raise GenesProblem(
            f"Your file holds peaks ({names[0]} and {len(names) - 1:,} more), as in ATAC data, and this reference is "
            f"of genes. {GENE_SCORES_REMEDY}, and map that file."
        )
    if are_peaks(reference) and not are_peaks(names):
        raise GenesProblem(
            f"This reference is of peaks (such as {reference[0]}), and your file of genes (such as {names[0]}). "
            "Map the fragments of your cells, counted over the reference's peaks; for RNA choose a reference of genes."
        )


def _listed(kinds: Collection[DataKind]) -> str:
    *first, last = kinds
    return f"{', '.join(first)} and {last}" if first else str(last)


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
