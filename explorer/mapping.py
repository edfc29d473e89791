"""The query corridor: from a checked file to labels, doubt and a place in the picture."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from explorer import keys, panels
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import (
    AlignedCells,
    BoolArray,
    Coverage,
    FloatArray,
    LabelTransfer,
    MappingResult,
    Neighbors,
    Provenance,
    Query,
    Reference,
    Refitted,
    Signature,
)
from explorer.genes import aligned_blocks, aligned_rows, coverage, match_genes, require_coverage
from explorer.labels import LevelHead, joined_levels, transfer_level
from explorer.layout import place
from explorer.methods import METHODS
from explorer.methods.base import Method, Toward, device_named
from explorer.neighbors import Index, LabelIndex, normalised
from explorer.progress import Progress
from explorer.reference import (
    label_codes,
    method_folder,
    model_folder,
    open_reference,
    read_embedding,
    read_heads,
    read_layout,
)

NEIGHBORS = 15
EXPLAINED_CELLS = 128  # enough for a stable mean, quick enough to wait for
VERSIONED = ("atlas-explorer", "torch", "anndata", "numpy", "scipy", "faiss-cpu")


@dataclass(frozen=True)
class TrainedMethod:
    """A method of a reference, loaded and ready to map.

    Attributes
    ----------
    positions
        int (g,), the method's genes among the reference's.
    embedding, layout
        float32 (m, d) and (m, 2).
    heads, members
        One a label level: what transfer learned, and the reference cells by label.
    counted
        int (p,), the reference genes that a cell's total is summed over, for a model refitted on a panel; `None` for
        all genes of a file.
    """

    method: Method
    positions: NDArray[np.int64]
    embedding: FloatArray
    layout: FloatArray
    index: Index
    heads: tuple[LevelHead, ...]
    members: tuple[LabelIndex, ...]
    device: str
    counted: NDArray[np.int64] | None = None


def load_method(reference: Reference, name: str, device: str = "auto") -> TrainedMethod:
    """Load a trained method of a reference; the last few stay in memory.

    Raises
    ------
    ReferenceProblem
        If the reference does not hold it, or this version does not know it.
    OptionsProblem
        If the device does not exist.
    """
    method_folder(reference, name)
    if name not in METHODS:
        raise ReferenceProblem(
            f"The reference {reference.title} holds a model of {name!r}, which this Atlas Explorer does not know; it "
            f"knows {', '.join(METHODS)}. Update with: pip install --upgrade atlas-explorer"
        )
    refitted = reference.refitted.get(name)
    return _load_method(reference.folder, reference.checksum, name, str(device_named(device)), refitted)


@lru_cache(maxsize=4)
def _load_method(folder: Path, checksum: str, name: str, device: str, refitted: Refitted | None) -> TrainedMethod:
    reference = open_reference(folder)
    if reference.checksum != checksum:
        raise ReferenceProblem(f"The reference {reference.title} changed while it was in use. Open it again.")
    if refitted is not None:
        reference = replace(reference, refitted={name: refitted})
    place_of = model_folder(reference, name)
    method = METHODS[name].load(place_of, device=device_named(device))
    symbols = reference.genes.reset_index().set_index(keys.SYMBOL)["index"]
    heads = read_heads(place_of)
    embedding = read_embedding(reference, name)
    return TrainedMethod(
        method=method,
        positions=symbols.loc[list(method.genes)].to_numpy(),
        embedding=embedding,
        layout=read_layout(reference, name),
        index=Index(embedding),
        heads=heads,
        members=tuple(LabelIndex(embedding, label_codes(reference, head.level, head.classes)) for head in heads),
        device=device,
        counted=None if refitted is None else symbols.loc[list(refitted.panel.genes)].to_numpy(),
    )


def map_query(
    query: Query,
    reference: Reference,
    method: str = "concord",
    *,
    orthologs: bool = False,
    device: str = "auto",
    notices: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> MappingResult:
    """Map a query onto a reference.

    Parameters
    ----------
    query
        From `explorer.query.open_query`.
    method
        One of `reference.methods`.
    orthologs
        Translate mouse gene symbols to their human one-to-one orthologues first.
    device
        "auto", "cpu" or "cuda".
    notices
        What was done before that belongs into the result's record, one sentence each.

    Raises
    ------
    GenesProblem
        If too few of the method's genes are found, or the genes are of another species.
    ValuesProblem
        If a block of the file holds NaN, infinite or negative values.
    Cancelled
        From `progress`, within one block of cells.
    """
    progress = progress or Progress()
    seconds: dict[str, float] = {}

    # 1. the model and everything learned from the reference
    with _timed(seconds, "load model"):
        progress.part("Loading the model", 0.0, 0.02)(0.0)
        trained = load_method(reference, method, device)

    # 2. which column of the query is which gene of the model
    with _timed(seconds, "match genes"):
        match = match_genes(query.var, reference.genes, orthologs=orthologs)
        found = coverage(match, reference.genes, trained.positions)
        notices += require_coverage(found, match, way_out=panels.way_out(reference, match))

    # 3. a block of cells at a time, so that memory does not grow with the file
    in_query = match.found[trained.positions]
    mapped: list[_Block] = []
    done = 0
    blocks = aligned_blocks(query, match, trained.positions, counted=trained.counted)
    while (cells := _next(blocks, seconds)) is not None:
        span = progress.part("Mapping cells", 0.02 + 0.97 * done / query.n_cells, 0.99)
        mapped.append(_map_block(cells, trained, in_query, seconds, span))
        done += cells.n_cells
        progress.part("Mapping cells", 0.02, 0.99)(done / query.n_cells)
    result = _joined(mapped)

    progress(1.0)
    provenance = _provenance(query, reference, trained, found, seconds, query.notices + match.notices + notices)
    return MappingResult(
        query.obs, method, result.embedding, result.neighbors, result.labels, result.layout, provenance
    )


def explain_cells(
    query: Query,
    reference: Reference,
    method: str,
    rows: NDArray[np.integer],
    toward: str,
    *,
    level: str,
    measure: str | None = None,
    orthologs: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Signature:
    """By what some cells of a query point toward a label.

    Parameters
    ----------
    rows
        Positions of the cells; above 128 a seeded sample of them is explained.
    toward, level
        A label of the reference and its level.
    measure
        One of the measures on the method's card; the first if not named.

    Raises
    ------
    ReferenceProblem
        If the reference has no such label.
    OptionsProblem
        If no cell is named.
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


def _next(blocks: Iterator[AlignedCells], seconds: dict[str, float]) -> AlignedCells | None:
    with _timed(seconds, "read and align"):
        return next(blocks, None)


def _map_block(
    cells: AlignedCells, trained: TrainedMethod, found: BoolArray, seconds: dict[str, float], progress: Progress
) -> _Block:
    with _timed(seconds, "embed"):
        embedding = trained.method.embed(cells, progress=progress.part(progress.stage, 0.0, 0.0))
    with _timed(seconds, "neighbors"):
        neighbors = trained.index.search(embedding.values, NEIGHBORS, progress.part(progress.stage, 0.0, 0.0))
    with _timed(seconds, "labels"):
        labels = tuple(
            transfer_level(head, cells, embedding, neighbors, members, found)
            for head, members in zip(trained.heads, trained.members, strict=True)
        )
    with _timed(seconds, "layout"):
        layout = place(neighbors, trained.layout)
    return _Block(embedding.values, neighbors, LabelTransfer(labels), layout)


def _joined(blocks: list[_Block]) -> _Block:
    levels = zip(*(block.labels.levels for block in blocks), strict=True)
    return _Block(
        embedding=np.concatenate([block.embedding for block in blocks]),
        neighbors=Neighbors(
            np.concatenate([block.neighbors.indices for block in blocks]),
            np.concatenate([block.neighbors.similarity for block in blocks]),
        ),
        labels=LabelTransfer(tuple(joined_levels(parts) for parts in levels)),
        layout=np.concatenate([block.layout for block in blocks]),
    )


def _provenance(
    query: Query,
    reference: Reference,
    trained: TrainedMethod,
    found: Coverage,
    seconds: dict[str, float],
    notices: tuple[str, ...],
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
