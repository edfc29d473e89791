"""What can be said of a file before it is mapped: the figures of the pre-flight card. Knows no widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import GenesProblem
from explorer.flow import GeneMatch, Reference, ValueKind
from explorer.mapping import panels
from explorer.mapping.models import load_method
from explorer.provenance import Coverage
from explorer.reading.genes import coverage, match_genes, require_coverage
from explorer.reading.kinds import DataKind, kind_of
from explorer.reading.query import ColumnFound, Inspection, MatrixFound, inspect_file, open_query
from explorer.settings import settings

_BATCH_WORDS = ("batch", "sample", "donor", "library", "orig.ident", "patient", "channel", "lane")
_LABEL_WORDS = ("cell_type", "celltype", "cell.type", "annotation", "label", "cluster", "cell_class")
_MOST_BATCHES = 200


@dataclass(frozen=True)
class Preflight:
    """One file beside one reference.

    Attributes
    ----------
    inspection
        What the file holds.
    matrix
        The matrix that is used: the one asked for, or the one chosen.
    kind
        What the file's cells are described by, going by the matrix that the program chooses.
    match
        How its genes meet the reference's; `None` if they do not, see `problem`.
    coverages
        Share of genes found, by method; empty without a match.
    problem
        Why it cannot be mapped as it is; empty if it can.
    needs_orthologs
        Whether translating orthologues is the way out of `problem`.
    shared
        Genes that file and reference share, where a method can be refitted on them and needs to be; else none.
    notices
        What was chosen or mended, one sentence each.
    """

    inspection: Inspection
    matrix: MatrixFound
    kind: DataKind
    match: GeneMatch | None
    coverages: Mapping[str, Coverage]
    problem: str
    needs_orthologs: bool
    shared: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Whether the file can be mapped as it is."""
        return not self.problem

    def batch_columns(self) -> list[ColumnFound]:
        """Columns that could name batches or samples, the likeliest first."""
        return _ranked(self.inspection.obs_columns, _BATCH_WORDS)

    def label_columns(self) -> list[ColumnFound]:
        """Columns that could be labels the file brings, the likeliest first."""
        return _ranked(self.inspection.obs_columns, _LABEL_WORDS)


def look_over(
    path: Path, reference: Reference, matrix: str | None, *, orthologs: bool, refit_shared: bool = False
) -> Preflight:
    """Say what a file holds and whether it can be mapped; a second or two, from metadata and a sample.

    Parameters
    ----------
    matrix
        Which matrix to use; `None` lets the program choose.
    refit_shared
        Whether a method with too few genes is to be refitted on those shared.

    Raises
    ------
    AtlasError
        If the file cannot be read at all. Genes that do not meet the reference are no error here: they are
        told in `problem`, because they have a remedy on the same screen.
    """
    inspection = inspect_file(path)
    query = open_query(path, matrix=matrix)
    used = next(found for found in inspection.matrices if found.name == query.matrix_name)
    notices = query.notices
    match, coverages, problem, remedy, shared = None, {}, "", False, tuple[str, ...]()
    try:
        match = match_genes(query.var, reference.genes, orthologs=orthologs)
        notices = (*notices, *match.notices)
        for name in reference.methods:
            coverages[name] = coverage(match, reference.genes, load_method(reference, name).positions)
        if min(found.share for found in coverages.values()) < settings().min_gene_share:
            shared = () if panels.refusal(reference, match) else panels.shared_genes(reference, match)
        if not (refit_shared and shared):
            for found in coverages.values():
                warned = require_coverage(found, match, way_out=panels.way_out(reference, match))
                notices = (*notices, *(text for text in warned if text not in notices))
    except GenesProblem as refusal:
        problem, remedy = str(refusal), not orthologs and "orthologues" in str(refusal)
    kind = kind_of(query.var.index.to_numpy(object), is_counts=inspection.chosen.kind is ValueKind.COUNTS)
    return Preflight(inspection, used, kind, match, coverages, problem, remedy, shared, notices)


def likely(columns: list[ColumnFound], words: tuple[str, ...]) -> str:
    """The first column that one of the words names; empty if none does."""
    return next((column.name for column in columns if _rank(column.name, words) < len(words)), "")


def likely_batch(found: Preflight) -> str:
    """The column most likely to name batches; empty if none does."""
    return likely(found.batch_columns(), _BATCH_WORDS)


def likely_label(found: Preflight) -> str:
    """The column most likely to hold labels; empty if none does."""
    return likely(found.label_columns(), _LABEL_WORDS)


def _ranked(columns: tuple[ColumnFound, ...], words: tuple[str, ...]) -> list[ColumnFound]:
    named = [column for column in columns if column.dtype_kind != "number" or _rank(column.name, words) < len(words)]
    usable = [column for column in named if 1 <= column.n_unique <= _MOST_BATCHES]
    return sorted(usable, key=lambda column: _rank(column.name, words))


def _rank(name: str, words: tuple[str, ...]) -> int:
    lowered = name.lower()
    return next((i for i, word in enumerate(words) if word in lowered), len(words))
