"""What can be said of a file before it is mapped: the figures of the pre-flight card. Knows no widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.app.before.remedies import Reading, Remedy, least, meet, remedies
from explorer.app.words import without_flags
from explorer.errors import GenesProblem, OptionsProblem, ValuesProblem
from explorer.flow import GeneMatch, Query, Reference, ValueKind
from explorer.mapping import panels
from explorer.provenance import Coverage
from explorer.reading.genes import require_coverage
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
    gene_names
        What was asked for to name its genes; "" for all that may.
    match
        How its genes meet the reference's; `None` if they do not, see `problem`.
    coverages
        Share of genes found, by method; empty without a match.
    problem
        Why it cannot be mapped as it is; empty if it can.
    remedies
        Other readings of the file that find more genes, the most first; none where it finds enough.
    shared
        Genes that file and reference share, where a method can be refitted on them and needs to be; else none.
    notices
        What was chosen or mended, one sentence each.
    """

    inspection: Inspection
    matrix: MatrixFound
    kind: DataKind
    gene_names: str
    match: GeneMatch | None
    coverages: Mapping[str, Coverage]
    problem: str
    remedies: tuple[Remedy, ...]
    shared: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Whether the file can be mapped as it is."""
        return not self.problem

    @property
    def needs_orthologs(self) -> bool:
        """Whether translating orthologues is a way out of `problem`."""
        return any(remedy.wanted.get("orthologs") for remedy in self.remedies)

    def batch_columns(self) -> list[ColumnFound]:
        """Columns that could name batches or samples, the likeliest first."""
        return _ranked(self.inspection.obs_columns, _BATCH_WORDS)

    def label_columns(self) -> list[ColumnFound]:
        """Columns that could be labels the file brings, the likeliest first."""
        return _ranked(self.inspection.obs_columns, _LABEL_WORDS)


def look_over(path: Path, reference: Reference, reading: Reading, *, refit_shared: bool = False) -> Preflight:
    """Say what a file holds and whether it can be mapped; a second or two, from metadata and a sample.

    Parameters
    ----------
    refit_shared
        Whether a method with too few genes is to be refitted on those shared.

    Raises
    ------
    AtlasError
        If the file cannot be read at all. A matrix or a column that was asked for and cannot be used, and genes that
        do not meet the reference, are no error here: they are told in `problem`, because they have a remedy on the
        same screen.
    """
    inspection, names = inspect_file(path), reading.gene_names or ""
    try:
        query = reading.query(path)
    except (OptionsProblem, ValuesProblem) as refusal:
        if reading.matrix is None and reading.gene_names is None:
            raise
        found = remedies(path, reference, inspection, reading, 0.0)
        asked = next((each for each in inspection.matrices if each.name == reading.matrix), inspection.chosen)
        kind = _kind(open_query(path), inspection)
        told = without_flags(str(refusal))
        return Preflight(inspection, asked, kind, names, None, {}, told, found, (), inspection.notices)
    used = next(found for found in inspection.matrices if found.name == query.matrix_name)
    notices = query.notices
    match, coverages, problem, shared = None, dict[str, Coverage](), "", tuple[str, ...]()
    try:
        match, coverages = meet(query, reference, orthologs=reading.orthologs)
        notices = (*notices, *match.notices)
        if least(coverages) < settings().min_gene_share:
            shared = () if panels.refusal(reference, match) else panels.shared_genes(reference, match)
        if not (refit_shared and shared):
            for covered in coverages.values():
                warned = require_coverage(covered, match, way_out=panels.way_out(query, reference, match))
                notices = (*notices, *(text for text in warned if text not in notices))
    except GenesProblem as refusal:
        problem = without_flags(str(refusal))
    is_short = problem or least(coverages) < settings().warn_gene_share
    found = remedies(path, reference, inspection, reading, least(coverages)) if is_short else ()
    kind = _kind(query, inspection)
    return Preflight(inspection, used, kind, names, match, coverages, problem, found, shared, notices)


def _kind(query: Query, inspection: Inspection) -> DataKind:
    return kind_of(query.var.index.to_numpy(object), is_counts=inspection.chosen.kind is ValueKind.COUNTS)


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
