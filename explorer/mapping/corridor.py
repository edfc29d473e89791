"""The query corridor: from a checked file to labels, doubt and a place in the picture."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.beside import ConditionEmbedding, ImputedProteins
from explorer.doubt.labels import joined_levels
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.explanation import Signature
from explorer.flow import AlignedCells, BoolArray, FloatArray, LabelTransfer, MappingResult, Neighbors, Query, Reference
from explorer.layout import place
from explorer.mapping import panels
from explorer.mapping.adapting import learn
from explorer.mapping.learning import stacked
from explorer.mapping.levels import (
    LEFT_OUT_BATCHES,
    Labelling,
    label_levels,
    labelling,
    told_of_added,
    unknown_rule,
)
from explorer.mapping.models import TrainedMethod, load_method
from explorer.methods.base import INSTANT, Method, Toward, takes_proteins
from explorer.neighbors import Index, normalised
from explorer.progress import Progress
from explorer.provenance import Coverage, Provenance
from explorer.reading.genes import aligned_blocks, aligned_rows, coverage, match_genes, require_coverage
from explorer.reading.proteins import LEFT_OUT, NEAREST, OwnProteins, beside, centred_log_ratio, impute, own_proteins

BLOCK = 8192  # cells
NEIGHBORS = 15
EXPLAINED_CELLS = 128  # enough for a stable mean, quick enough to wait for
VERSIONED = ("atlas-explorer", "torch", "anndata", "numpy", "scipy", "faiss-cpu")


def map_query(
    query: Query,
    reference: Reference,
    method: str = "concord",
    *,
    mode: str | None = None,
    hierarchical: bool = False,
    independent: bool = False,
    unknown: str = LEFT_OUT_BATCHES,
    batch: str | None = None,
    own_labels: str | None = None,
    proteins: str | None = None,
    orthologs: bool = False,
    device: str = "auto",
    notices: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> MappingResult:
    """Map a query onto a reference.

    Parameters
    ----------
    query
        From `explorer.open_query`; n cells, read a block at a time.
    reference
        From `explorer.open_reference`, or `explorer.refit_shared` for a targeted panel.
    method
        One of `reference.methods`.
    mode
        One of the modes on the method's card; the first, which learns nothing, if not named. A method that learns
        from the query places its cells, and the reference's, anew; novelty is measured in expression, by no model.
    hierarchical
        Label coarse levels first, and finer ones only with what lies in the label above. By default levels that lie
        in one another agree too, but all have a say: the likeliest path from the coarse to the fine is taken.
    independent
        Label each level by itself; a finer label may then contradict the coarser one.
    unknown
        What makes a cell unknown besides a confidence under 0.5. "left-out": it is stranger to its label than
        leaving batches out allows, so that at most 5 % of the cells of an average left-out batch are called so.
        "quantile": it lies beyond the 99 % quantile of its label's held-out cells, as Concerto's authors do.
    batch
        obs column of the query that names its batches, for modes that tell batches apart.
    own_labels
        obs column of the query with labels it already has, for modes that learn from some of them.
    proteins
        obsm table of the query with counts of surface proteins, for references that have them too: methods that can,
        place cells by both. Where none is named, one is looked for, but only compared with what is imputed: antibodies
        of another laboratory stain otherwise, and would draw cells to the wrong neighbours. "none" looks for none.
    orthologs
        Translate mouse gene symbols to their human one-to-one orthologues first.
    device
        "auto", "cpu" or "cuda".
    notices
        What was done before that belongs into the result's record, one sentence each.
    progress
        Told of stage, share done and time left, and asked whether to go on.

    Returns
    -------
    MappingResult
        Of all n cells, in the query's order, with neighbours (k = 15) and provenance; not judged yet
        (`explorer.judged`), and at the reference's own threshold of confidence (`explorer.result_with_threshold`).

    Raises
    ------
    OptionsProblem
        If the method has no such mode, or the query no such column or table; or if levels are to be labelled both
        coarse first and each by itself; or if there is no such device.
    ReferenceProblem
        If the reference holds no such method, or its files cannot be read; or if the mode learns, and the reference was
        shared without expression.
    GenesProblem
        If too few of the method's genes are found, or the genes are of another species.
    ValuesProblem
        If a block of the file holds NaN, infinite or negative values.
    Cancelled
        From `progress`, within one block of cells.
    """
    progress = progress or Progress()
    asked = labelling(hierarchical, independent, unknown)
    seconds: dict[str, float] = {}

    # 1. the model and everything learned from the reference
    with _timed(seconds, "load model"):
        progress.part("Loading the model", 0.0, 0.02)(0.0)
        _require_columns(query, batch, own_labels)
        trained = load_method(reference, method, device)
        chosen = trained.method.card.mode(mode)
        if own_labels is not None and not chosen.learns_labels:
            able = ", ".join(each.name for each in trained.method.card.modes if each.learns_labels) or "none"
            raise OptionsProblem(
                f"The labels in {own_labels!r} cannot take part: the mode {chosen.name!r} learns no labels. Modes of "
                f"{trained.method.card.title} that do: {able}. Choose one, or leave the labels out."
            )

    # 2. which column of the query is which gene of the model
    with _timed(seconds, "match genes"):
        match = match_genes(query.var, reference.genes, orthologs=orthologs)
        found = coverage(match, reference.genes, trained.positions)
        notices += require_coverage(found, match, way_out=panels.way_out(query, reference, match))
        own = own_proteins(query, reference.proteins, proteins)
        placing_by = _placing(own, trained.method, proteins)
        notices += _told_of(own, trained.method, proteins)
        if placing_by is None and trained.heads_by_rna:
            trained = replace(trained, heads=trained.heads_by_rna)

    # 3. where it is asked for, the model learns from the query first
    mapper = _Mapper(trained, match.found[trained.positions], asked)
    blocks = beside(aligned_blocks(query, match, trained.positions, counted=trained.counted), placing_by)
    conditions: tuple[ConditionEmbedding, ...] = ()
    done_before = 0.02
    if chosen != INSTANT:
        with _timed(seconds, "learn from the query"):
            cells = _all_of(blocks, query.n_cells, progress.part("Reading cells", 0.02, 0.1))
            span = progress.part("", 0.1, 0.8)
            learned = learn(
                query, reference, trained, cells, chosen.name, batch=batch, own_labels=own_labels, progress=span
            )
        mapper = replace(mapper, trained=learned.trained)
        blocks = _again(learned.cells)
        conditions, notices, done_before = learned.conditions, notices + learned.notices, 0.8

    # 4. a block of cells at a time, so that memory does not grow with the file
    mapped: list[_Block] = []
    done = 0
    placing = progress.part("Mapping cells", done_before, 0.99)
    while (block := _next(blocks, seconds)) is not None:
        mapped.append(_map_block(block, mapper, seconds, placing.part(placing.stage, done / query.n_cells, 1.0)))
        done += block.n_cells
        placing(done / query.n_cells)
    result = _joined(mapped)
    notices += told_of_added(trained.heads, result.labels)

    # 5. proteins, as the reference cells around have them
    imputed: ImputedProteins | None = None
    if trained.proteins is not None:
        with _timed(seconds, "proteins"):
            imputed = _imputed(mapper.trained.embedding, trained.proteins, reference.proteins, result, own)

    progress(1.0)
    options = {"mode": chosen.name, "hierarchical": hierarchical, "independent": independent}
    options |= {"unknown": unknown_rule(asked), "orthologs": orthologs, "batch": batch}
    options |= {"gene_names": query.gene_names or None}
    provenance = _provenance(
        query,
        reference,
        trained,
        found,
        seconds,
        query.notices + match.notices + notices,
        {**options, "own_labels": own_labels, "proteins": LEFT_OUT if placing_by is None else proteins},
    )
    return MappingResult(
        query.obs,
        method,
        result.embedding,
        result.neighbors,
        result.labels,
        result.layout,
        provenance,
        conditions,
        imputed,
    )


def _placing(own: OwnProteins | None, method: Method, named: str | None) -> FloatArray | None:
    """Counts to place the cells of a query by; only of a table that was named."""
    return own.placing if own is not None and named is not None and takes_proteins(method) else None


def _told_of(own: OwnProteins | None, method: Method, named: str | None) -> tuple[str, ...]:
    """What part the query's own proteins take in placing its cells."""
    if own is None or not takes_proteins(method):
        return ()
    shared = f"{own.shared} of the reference's {own.counts.shape[1]} surface proteins"
    if named is None:
        return (
            f"obsm/{own.key} holds {shared}; cells were placed by RNA alone, since antibodies stain otherwise in "
            f"another laboratory. If yours were stained like the reference's, name the table: --proteins {own.key}.",
        )
    if own.placing is None:
        return (f"obsm/{own.key} holds {shared}, too few to place cells by: RNA alone did.",)
    return (f"Cells were placed by RNA and by {shared}, from obsm/{own.key}.",)


def _imputed(
    reference: FloatArray, counts: FloatArray, names: tuple[str, ...], result: _Block, own: OwnProteins | None
) -> ImputedProteins:
    """By the nearest of the reference cells, float32 (m, d), that were measured for proteins, float32 (m, p)."""
    measured = np.isfinite(counts).any(1)
    neighbors = result.neighbors
    if not measured.all():
        neighbors = Index(reference[measured]).search(result.embedding, NEAREST)
    found = impute(neighbors, counts[measured], names)
    return found if own is None else replace(found, measured=centred_log_ratio(own.counts))


def _require_columns(query: Query, *columns: str | None) -> None:
    for column in filter(None, columns):
        if column not in query.obs.columns:
            told = ", ".join(map(str, query.obs.columns)) or "none"
            raise OptionsProblem(f"{query.name} has no obs column {column!r}. It has: {told}.")


def _all_of(blocks: Iterator[AlignedCells], n_cells: int, progress: Progress) -> AlignedCells:
    read: list[AlignedCells] = []
    done = 0
    for block in blocks:
        read.append(block)
        done += block.n_cells
        progress(done / n_cells)
    return stacked(read)


def _again(cells: AlignedCells) -> Iterator[AlignedCells]:
    """Cells in memory, a block at a time."""
    for start in range(0, cells.n_cells, BLOCK):
        yield cells.rows(slice(start, start + BLOCK))


def explain_cells(
    query: Query,
    reference: Reference,
    method: str,
    rows: NDArray[np.integer],
    toward: str,
    *,
    level: str,
    measure: str | None = None,
    proteins: str | None = None,
    orthologs: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Signature:
    """By what some cells of a query point toward a label.

    Parameters
    ----------
    query, reference, method, orthologs, device, progress
        As `map_query` takes them.
    rows
        int (c,), positions of the cells in the query; above 128 a seeded sample of them is explained.
    toward, level
        A label of the reference and its level.
    measure
        One of the measures on the method's card; the first if not named.
    proteins
        As `map_query` takes it.

    Returns
    -------
    Signature
        One score a gene, pathway or protein, averaged over the cells, with its completeness error.

    Raises
    ------
    ReferenceProblem
        If the reference has no such label, or holds no such method.
    OptionsProblem
        If no cell is named, or the method has no such measure.
    """
    if len(rows) == 0:
        raise OptionsProblem("No cells were chosen to be explained. Choose at least one.")
    progress = progress or Progress()
    trained = load_method(reference, method, device)
    match = match_genes(query.var, reference.genes, orthologs=orthologs)
    rows = np.sort(np.asarray(rows))
    if len(rows) > EXPLAINED_CELLS:
        rows = np.sort(np.random.default_rng(0).choice(rows, EXPLAINED_CELLS, replace=False))
    cells = aligned_rows(query, match, rows, trained.positions, counted=trained.counted)
    counts = _placing(own_proteins(query, reference.proteins, proteins), trained.method, proteins)
    if counts is not None:
        cells = replace(cells, proteins=counts[rows])
    progress.part("Reading cells", 0.0, 0.3)(1.0)
    aim = Toward(toward, _direction(trained, level, toward))
    return trained.method.explain(cells, aim, measure, progress=progress.part("Explaining", 0.3, 1.0))


def _direction(trained: TrainedMethod, level: str, label: str) -> FloatArray:
    for head, members in zip(trained.heads, trained.members, strict=True):
        if head.level == level and label in head.classes:
            cells = trained.embedding[members.codes == head.classes.index(label)]
            return np.asarray(normalised(cells).mean(0), np.float32)
    raise ReferenceProblem(f"The reference has no label {label!r} at the level {level!r}.")


@dataclass(frozen=True)
class _Block:
    """What is known of some cells of a query after mapping."""

    embedding: FloatArray
    neighbors: Neighbors
    labels: LabelTransfer
    layout: FloatArray


@dataclass(frozen=True)
class _Mapper:
    """All that a block of cells is mapped with.

    Attributes
    ----------
    found
        bool (g,), genes of the method that the query holds.
    asked
        How levels are to be labelled.
    """

    trained: TrainedMethod
    found: BoolArray
    asked: Labelling


def _next(blocks: Iterator[AlignedCells], seconds: dict[str, float]) -> AlignedCells | None:
    with _timed(seconds, "read and align"):
        return next(blocks, None)


def _map_block(cells: AlignedCells, mapper: _Mapper, seconds: dict[str, float], progress: Progress) -> _Block:
    trained, quiet = mapper.trained, progress.part(progress.stage, 0.0, 0.0)
    with _timed(seconds, "embed"):
        embedding = trained.method.embed(cells, progress=quiet)
    with _timed(seconds, "neighbors"):
        neighbors = trained.index.search(embedding.values, NEIGHBORS, quiet)
    with _timed(seconds, "labels"):
        labels = label_levels(trained, cells, embedding, neighbors, mapper.asked, mapper.found)
    with _timed(seconds, "layout"):
        layout = place(neighbors, trained.layout)
    return _Block(embedding.values, neighbors, labels, layout)


def _joined(blocks: list[_Block]) -> _Block:
    levels = zip(*(block.labels.levels for block in blocks), strict=True)
    return _Block(
        embedding=np.concatenate([block.embedding for block in blocks]),
        neighbors=Neighbors(
            np.concatenate([block.neighbors.indices for block in blocks]),
            np.concatenate([block.neighbors.similarity for block in blocks]),
        ),
        labels=LabelTransfer(tuple(joined_levels(parts) for parts in levels), blocks[0].labels.within),
        layout=np.concatenate([block.layout for block in blocks]),
    )


def _provenance(
    query: Query,
    reference: Reference,
    trained: TrainedMethod,
    found: Coverage,
    seconds: dict[str, float],
    notices: tuple[str, ...],
    options: Mapping[str, Any],
) -> Provenance:
    return Provenance(
        query=query.name,
        reference=reference.title,
        reference_checksum=reference.checksum,
        method=trained.method.card.name,
        config=trained.method.config.as_dict(),
        versions=versions(),
        seed=trained.method.config.seed,
        device=trained.device,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        matrix=query.matrix_name,
        value_kind=str(query.kind),
        coverage=found,
        seconds={step: round(value, 3) for step, value in seconds.items()},
        notices=notices,
        options=options,
        panel=refitted.panel if (refitted := reference.refitted.get(trained.method.card.name)) else None,
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[package] = "not installed"
    return found


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + perf_counter() - started
