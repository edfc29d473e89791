"""A reference extended by cells that its user has named, without training anything anew.

A model places a type that it was not trained on too, often apart from the others; what it lacks is the name. The named
cells join a copy of the bundle: their counts, their places in each method's latent space and in the picture, their
label. Heads are fitted again on all cells, and novelty of a new label is measured against its own cells, each taken
as if it were not there. Models, and where the reference's own cells lie, stay as they are (after scPoli's new
prototypes, De Donno et al., Nature Methods 2023; here for every method).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys
from explorer.doubt.examined import Examined
from explorer.doubt.labels import OWN, LevelHead, refitted
from explorer.doubt.novelty import Expected, Signs, Strayed, expected_shares, odd, strangeness
from explorer.doubt.strangeness import Shapes, far, label_means
from explorer.errors import OptionsProblem, ReferenceProblem, ValuesProblem
from explorer.flow import AlignedCells, FloatArray, IntArray, Query, Reference
from explorer.layout import place
from explorer.mapping.corridor import NEIGHBORS
from explorer.mapping.models import TrainedMethod, load_method
from explorer.progress import Progress
from explorer.reading.genes import aligned_rows, coverage, match_genes, require_coverage
from explorer.reading.proteins import own_proteins
from explorer.reference import has_expression, open_reference, read_heads, write_card, write_heads
from explorer.writing.export import require_writable

LEAST_CELLS = 10   # of a label: fewer have no neighbours to vote
PARTS = 10         # a cell's counts are compared with what the cells of the other parts lead one to expect


@dataclass(frozen=True)
class _Named:
    """Cells that join a reference.

    Attributes
    ----------
    cells
        n x all genes of the reference.
    labels
        Text (n,).
    obs
        One row a cell, with the columns of the reference's obs.
    """

    cells: AlignedCells
    labels: NDArray[np.object_]
    obs: pd.DataFrame


def extend_reference(
    reference: Reference,
    query: Query,
    out: Path | str,
    *,
    column: str,
    level: str | None = None,
    orthologs: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Reference:
    """Write a copy of a reference that also holds the cells of a query that its user has named.

    Names that the reference has add cells to its labels; others become labels of their own. Cells without a name, and
    those named "unknown", are left out.

    Parameters
    ----------
    query
        Such as a result opened with `explorer.reading.query.open_query`.
    out
        Folder to write; it must not exist.
    column
        obs column of the query that holds the names.
    level
        Label level of the reference that the names belong to, the main one unless said; at others the cells have
        no label.
    orthologs
        As `map_query` takes it.

    Raises
    ------
    OptionsProblem
        If the column or the level does not exist, a label has too few cells, or `out` exists.
    ReferenceProblem
        If the reference was shared without expression.
    ValuesProblem
        If the reference holds counts and the query does not, or the other way around.
    GenesProblem
        If the query lacks the genes of a method.
    Cancelled
        From `progress`; nothing is left behind.
    """
    progress = progress or Progress()
    out = Path(out)
    level = _checked(reference, query, out, column, level)

    # 1. the named cells, over all genes of the reference
    progress.part("Reading named cells", 0.0, 0.1)(0.0)
    named = _read_named(reference, query, column, level, orthologs, device)

    with _written_beside(reference.folder, out) as folder:
        # 2. counts and labels
        progress.part("Adding cells", 0.1, 0.3)(0.0)
        _add_cells(folder, named)

        # 3. what each method makes of them
        for i, name in enumerate(reference.methods):
            span = progress.part("Placing cells", 0.3 + 0.6 * i / len(reference.methods), 0.9)
            trained = load_method(reference, name, device)
            _extend_method(folder / keys.METHODS_FOLDER / name, trained, named, level, span)

        # 4. what was added from where
        progress.part("Writing", 0.9, 1.0)(0.0)
        added = {
            "from": query.name,
            "column": column,
            "level": level,
            "cells": dict(sorted(Counter(named.labels).items())),
            "orthologs": orthologs,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        # the regression on expression does not know the new labels, and is fitted when a method is added next
        shutil.rmtree(folder / keys.EXPRESSION_FOLDER, ignore_errors=True)
        card = {name: value for name, value in reference.card.items() if name not in ("files", "schema", "expression")}
        told = [*card.get("extended", []), added]
        write_card(folder, {**card, "cells": reference.n_cells + len(named.labels), "extended": told})
    progress(1.0)
    return open_reference(out)


def _checked(reference: Reference, query: Query, out: Path, column: str, level: str | None) -> str:
    """The level that is meant, after everything has been checked that takes no reading."""
    if out.exists():
        raise OptionsProblem(f"{out} already exists. Name a new folder; the reference itself is never changed.")
    require_writable(out)
    if column not in query.obs.columns:
        raise OptionsProblem(
            f"{query.name} has no obs column {column!r}. It has: {', '.join(map(str, query.obs.columns)) or 'none'}."
        )
    if level is not None and level not in reference.levels:
        raise OptionsProblem(
            f"The reference {reference.title} has no label level {level!r}; it has: {', '.join(reference.levels)}."
        )
    if not has_expression(reference):
        raise ReferenceProblem(
            f"The reference {reference.title} was shared without expression values, so cells cannot be added to it. "
            "Ask for the whole reference."
        )
    return level or reference.levels[0]


def _read_named(
    reference: Reference, query: Query, column: str, level: str, orthologs: bool, device: str
) -> _Named:
    text = query.obs[column].astype(object).map(str, na_action="ignore").fillna("").astype(str).str.strip()
    rows = np.flatnonzero(~text.isin(["", keys.UNKNOWN]))
    _require_enough(text.iloc[rows], reference, column, level)
    match = match_genes(query.var, reference.genes, orthologs=orthologs)
    for name in reference.methods:
        positions = load_method(reference, name, device).positions
        require_coverage(coverage(match, reference.genes, positions), match)
    cells = aligned_rows(query, match, rows)
    own = own_proteins(query, reference.proteins)
    if own is not None:
        cells = replace(cells, proteins=own.counts[rows])
    labels = text.iloc[rows].to_numpy(object)
    return _Named(cells, labels, _obs_of(reference, query, rows, level, labels, cells))


def _require_enough(labels: pd.Series, reference: Reference, column: str, level: str) -> None:
    if labels.empty:
        raise OptionsProblem(
            f"No cell carries a name in the obs column {column!r}: all are empty or {keys.UNKNOWN!r}. Name some first."
        )
    known = set(reference.obs[level].dropna().astype(str))
    few = {label: count for label, count in Counter(labels).items() if label not in known and count < LEAST_CELLS}
    if few:
        raise OptionsProblem(
            f"A new label needs at least {LEAST_CELLS} cells; {column!r} holds "
            f"{', '.join(f'{count} of {label!r}' for label, count in few.items())}. Name more cells, or leave these "
            "without a name."
        )


def _obs_of(
    reference: Reference,
    query: Query,
    rows: NDArray[np.int64],
    level: str,
    labels: NDArray[np.object_],
    cells: AlignedCells,
) -> pd.DataFrame:
    """What the reference's obs says of the added cells: label, totals, and the query as batch and sample."""
    own = pd.Index(query.obs.index[rows].astype(str))
    taken = set(reference.obs.index)
    index = [f"{name} of {query.name}" if name in taken else name for name in own]
    obs = pd.DataFrame(index=pd.Index(index), columns=reference.obs.columns, dtype=object)
    obs[level] = labels
    obs[keys.TOTALS] = cells.totals
    for column in {reference.card["batch"], reference.card["sample"]} - {None}:
        obs[column] = query.name
    return obs


def _add_cells(folder: Path, named: _Named) -> None:
    """Append counts and obs to the bundle's cells; genes, and so the contract, stay as they are."""
    path = folder / keys.CELLS_FILE
    old = read_h5ad(path)
    is_counts = bool(old.X.dtype.kind in "iu") or not bool(np.any(old.X.data % 1))
    if is_counts != named.cells.is_counts:
        raise ValuesProblem(
            f"The reference holds {'counts' if is_counts else 'normalised values'} and the named cells "
            f"{'do not' if is_counts else 'are counts'}; they cannot lie in one file. Take the named cells from a file "
            "of the same kind."
        )
    values = sparse.vstack([sparse.csr_matrix(old.X).astype(np.float32), named.cells.values], format="csc")
    values.sort_indices()
    if is_counts and values.data.max(initial=0) < 2**16:
        values = values.astype(np.uint16)
    added = AnnData(values, obs=_joined_obs(old.obs, named.obs), var=old.var)
    for key, known in old.obsm.items():  # of the added cells, nobody has measured more than their proteins
        new = np.full((len(named.labels), known.shape[1]), np.nan, np.float32)
        if key == keys.PROTEINS and named.cells.proteins is not None:
            new = named.cells.proteins
        both = np.concatenate([np.asarray(known, np.float32), new])
        is_table = isinstance(known, pd.DataFrame)
        added.obsm[key] = pd.DataFrame(both, added.obs_names, known.columns) if is_table else both
    added.uns = old.uns
    added.write_h5ad(path, compression="gzip", compression_opts=9)


def _joined_obs(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Both, each column of the kind it was."""
    joined = pd.DataFrame(index=old.index.append(new.index))
    for column in old.columns:
        both = [*old[column].astype(object), *new[column]]
        if pd.api.types.is_numeric_dtype(old[column]) and not pd.api.types.is_bool_dtype(old[column]):
            joined[column] = pd.to_numeric(pd.Series(both, index=joined.index)).astype(np.float64)
        else:
            text = pd.Series(both, index=joined.index, dtype=object).map(str, na_action="ignore")
            joined[column] = pd.Categorical(text)
    joined[keys.TOTALS] = joined[keys.TOTALS].astype(np.float32)
    return joined


def _extend_method(
    folder: Path, trained: TrainedMethod, named: _Named, level: str, progress: Progress
) -> None:
    """Place the added cells, and teach the heads about them."""
    cells = replace(named.cells.genes(trained.positions), proteins=None)  # placed as a query is, by RNA
    values = trained.method.embed(cells, progress=progress.part(progress.stage, 0.0, 0.0)).values
    layout = place(trained.index.search(values, NEIGHBORS), trained.layout)
    embedding = np.concatenate([trained.embedding, values])
    np.save(folder / keys.EMBEDDING_FILE, embedding, allow_pickle=False)
    np.save(folder / keys.LAYOUT_FILE, np.concatenate([trained.layout, layout]), allow_pickle=False)
    for place_of in filter(Path.is_dir, (folder, folder / keys.RNA_FOLDER)):
        write_heads(place_of, _with_added(read_heads(place_of), trained, named, level, values, cells))


def _with_added(
    of: tuple[LevelHead, ...],
    trained: TrainedMethod,
    named: _Named,
    level: str,
    values: FloatArray,
    cells: AlignedCells,
) -> tuple[LevelHead, ...]:
    """Heads that know the added cells, float32 (n, d) and n x g, at the level of their labels."""
    embedding = np.concatenate([trained.embedding, values])
    heads = []
    for head, members in zip(of, trained.members, strict=True):
        if head.level != level:
            unlabelled = np.full(len(values), -1, np.int32)
            heads.append(refitted(head, embedding, np.concatenate([members.codes, unlabelled])))
            continue
        wider = _widened(head, named, cells)
        codes = pd.Categorical(named.labels, categories=list(wider.classes)).codes.astype(np.int32)
        heads.append(refitted(wider, embedding, np.concatenate([members.codes, codes])))
    return tuple(heads)


def _widened(head: LevelHead, named: _Named, cells: AlignedCells) -> LevelHead:
    """The head with the new labels as further classes; what it knows of the others stays.

    A method's own answers do not know the new labels, so the best of the other heads takes their place.
    """
    new = tuple(sorted(set(named.labels) - set(head.classes)))
    if not new:
        return head
    codes = pd.Categorical(named.labels, categories=list(new)).codes.astype(np.int32)
    chosen = head.head
    if chosen == OWN:
        others = {name: score for name, score in head.scores.items() if name != OWN}
        chosen = max(others, key=lambda name: others[name]["macro_f1"])
    shares = np.concatenate([head.expected.shares, expected_shares(cells, codes, len(new))])
    both, alone = _held_out(head, cells, codes, len(new))
    means = label_means(head.basis.places(cells), codes, len(new))
    return replace(
        head,
        classes=head.classes + new,
        head=chosen,
        temperature=head.scores[chosen]["temperature"],
        expected=Expected(shares, head.expected.spread),
        shapes=Shapes(np.concatenate([head.shapes.means, means]), head.shapes.inverse),
        held_out=_joined_held_out(head.held_out, both, alone),
        examined=_without_new(head.examined, len(new)),
    )


def _joined_held_out(old: Strayed, both: tuple[FloatArray, ...], alone: tuple[FloatArray, ...]) -> Strayed:
    """With the new labels as those that were added; scale and the reference's own cells stay."""
    return Strayed(old.scale, old.both + both, old.alone + alone, old.added + len(both))


def _without_new(examined: Examined, n_new: int) -> Examined:
    """What left-out cells were answered, with no probability for the labels that nobody knew then."""
    return replace(examined, probabilities=np.pad(examined.probabilities, ((0, 0), (0, n_new))))


def _held_out(
    head: LevelHead, cells: AlignedCells, codes: IntArray, n_classes: int
) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """How strange cells of new labels are to the others of their label, by both signs and by distance alone; sorted.

    Each tenth in turn is compared with the rest; components, covariances and scale stay those of the reference.
    """
    places = head.basis.places(cells)
    both, alone = [], []
    for code in range(n_classes):
        own = np.flatnonzero(codes == code)
        parts = []
        for part in range(PARTS):
            out = own[part::PARTS]
            rest = np.setdiff1d(own, out)
            expected = Expected(expected_shares(cells.rows(rest), codes[rest], n_classes), head.expected.spread)
            shapes = Shapes(label_means(places[rest], codes[rest], n_classes), head.shapes.inverse)
            apart = far(head.basis, shapes, places[out], codes[out])
            parts.append(Signs(apart, odd(cells.rows(out), codes[out], expected)))
        scale = head.held_out.scale
        both.append(np.sort(np.concatenate([strangeness(signs, scale) for signs in parts])))
        alone.append(np.sort(np.concatenate([strangeness(Signs(signs.far, None), scale) for signs in parts])))
    return tuple(both), tuple(alone)


@contextmanager
def _written_beside(source: Path, out: Path) -> Iterator[Path]:
    """A copy of a bundle to change, which gets its name only when all went well."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(source, part)
        yield part
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
