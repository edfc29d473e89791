"""Where a query's genes meet a reference's: which, how many, of what species, and cells over those genes.

Order, duplicates, versions of Ensembl ids, spelling and the species are settled here, once, for all methods.
Knows genes and blocks of cells; does not know what a method does with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys
from explorer.errors import GenesProblem
from explorer.flow import AlignedCells, FloatArray, GeneIds, GeneMatch, Query, ValueKind
from explorer.provenance import Coverage
from explorer.reading import matching
from explorer.reading.kinds import require_same_features
from explorer.reading.matching import KnownGenes, NameMatch, Names
from explorer.reading.query import read_blocks, read_rows
from explorer.settings import settings

_REMEDY = "choose 'map orthologues' (--orthologs)"
_UNMATCHED_KEPT = 20
_SYMBOL_COLUMN = re.compile(r"symbol|name", re.IGNORECASE)


def match_genes(var: pd.DataFrame, genes: pd.DataFrame, *, orthologs: bool = False) -> GeneMatch:
    """Find for each gene of a query the reference gene it is.

    The index of `var` and each of its text columns are tried; the one that finds most genes leads, and the
    others may add genes that it misses.

    Parameters
    ----------
    var
        The query's table of genes.
    genes
        A reference's genes: columns symbol, ensembl (may be empty), mean_expression.
    orthologs
        Translate genes of another species by one-to-one orthologues.

    Raises
    ------
    GenesProblem
        If the query is of another species and `orthologs` was not asked for, or one of both is of peaks.
    """
    shown = matching.candidate_names(var)
    require_same_features(shown[""], matching.as_names(genes[keys.SYMBOL]))
    known = KnownGenes.of(genes)
    species = matching.species_of(list(shown.values()))
    names, notices = shown, list[str]()
    if "unknown" not in (species, known.species) and species != known.species:
        names, notices = _translated(shown, species, known, orthologs=orthologs)
    matches = {column: matching.match_names(names[column], known, shown=shown[column]) for column in names}
    best = max(matches, key=lambda column: matches[column].n_found)
    target, more = _completed(matches, best)
    return GeneMatch(
        selector=_selector(target, len(genes)),
        found=np.isin(np.arange(len(genes)), target),
        ids=_ids_of(matches[best]),
        column=best,
        species=species,
        notices=(*notices, *more, *matches[best].notices()),
        unmatched=tuple(shown[best][target < 0][:_UNMATCHED_KEPT]),
    )


def coverage(match: GeneMatch, genes: pd.DataFrame, which: NDArray[Any] | None = None) -> Coverage:
    """How many of a reference's genes, or of those a method uses, a query brings.

    Parameters
    ----------
    which
        Positions among the reference genes; all by default.
    """
    chosen = np.arange(len(genes)) if which is None else np.asarray(which)
    found = match.found[chosen]
    weight = genes[keys.MEAN].to_numpy(dtype=np.float64)[chosen]
    symbols = genes[keys.SYMBOL].astype(str).to_numpy(dtype=object)[chosen]
    order = np.argsort(-weight, kind="stable")
    share = float(found.mean()) if len(chosen) else 0.0
    return Coverage(
        found=int(found.sum()),
        needed=len(chosen),
        share=share,
        weighted_share=float(weight[found].sum() / weight.sum()) if weight.sum() > 0 else share,
        missing=tuple(symbols[order][~found[order]]),
    )


def require_coverage(
    covered: Coverage, match: GeneMatch, *, floor: float | None = None, warn: float | None = None, way_out: str = ""
) -> tuple[str, ...]:
    """Refuse a query that brings too few genes.

    Parameters
    ----------
    floor
        Least share of genes, in [0, 1]; from the settings by default.
    warn
        Share below which a notice is given; from the settings by default.
    way_out
        What else can be done about it, one sentence.

    Returns
    -------
    notices
        One sentence if coverage is low but enough.

    Raises
    ------
    GenesProblem
        Below the floor, with what was found, the likely cause and what to try.
    """
    floor = settings().min_gene_share if floor is None else floor
    warn = settings().warn_gene_share if warn is None else warn
    figures = f"{covered.found:,} of {covered.needed:,} reference genes found ({_percent(covered.share)})"
    if covered.found == 0 or covered.share < floor:
        cause = _likely_cause(match, covered)
        raise GenesProblem(f"{figures}; at least {_percent(floor)} are needed. {cause} {way_out}".strip())
    if covered.share >= warn:
        return ()
    weighted, missing = _percent(covered.weighted_share), ", ".join(covered.missing[:5])
    return (
        f"{figures}, {weighted} by expression; the others count as not expressed. Most expressed among them: "
        f"{missing}.",
    )


def aligned_blocks(
    query: Query,
    match: GeneMatch,
    which: NDArray[Any] | None = None,
    rows: int = 8192,
    *,
    counted: NDArray[Any] | None = None,
) -> Iterator[AlignedCells]:
    """All cells of a query over a reference's genes, a block at a time.

    Parameters
    ----------
    which
        Positions among the reference genes, in the order wanted; all by default.
    rows
        Most cells a block.
    counted
        Positions among the reference genes that totals are summed over; all genes of the file by default.
    """
    selector = _chosen_genes(match, which)
    for values, totals in read_blocks(query, rows):
        totals = totals if counted is None else _totals_over(values, match, counted)
        yield AlignedCells(select_genes(values, selector), totals, query.kind is ValueKind.COUNTS)


def aligned_rows(
    query: Query,
    match: GeneMatch,
    rows: NDArray[np.integer],
    which: NDArray[Any] | None = None,
    *,
    counted: NDArray[Any] | None = None,
) -> AlignedCells:
    """Some cells of a query over a reference's genes, without reading the others.

    Parameters
    ----------
    rows
        Positions of the cells, ascending.
    which, counted
        As `aligned_blocks` takes them.
    """
    values, totals = read_rows(query, rows)
    totals = totals if counted is None else _totals_over(values, match, counted)
    return AlignedCells(select_genes(values, _chosen_genes(match, which)), totals, query.kind is ValueKind.COUNTS)


def select_genes(values: sparse.csr_matrix, selector: sparse.csr_matrix) -> sparse.csr_matrix:
    """Cells over other genes: duplicates summed, missing genes 0, extra ones dropped.

    Parameters
    ----------
    values
        csr, cells x genes of the query.
    selector
        csr, genes of the query x genes wanted.

    Returns
    -------
    selected
        csr, cells x genes wanted, indices sorted: the same bits whatever the order of the query's genes.
    """
    # Turning round twice sorts in linear time, quicker than sort_indices where the orders differ.
    return (values @ selector).tocsc().tocsr()


def ensembl_of(symbols: Sequence[str] | Names) -> Names:
    """Ensembl ids of human symbols; "" where none is known."""
    return matching.ensembl_of(symbols)


def display_names(var: pd.DataFrame) -> Names:
    """The names a person would look for: symbols where the file or the human table has them, else its own."""
    index = var.index.astype(str).to_numpy(dtype=object)
    if not matching.mostly(matching.ENSEMBL, index):
        return index
    for column, names in matching.text_columns(var).items():
        if _SYMBOL_COLUMN.search(column) and not matching.mostly(matching.ENSEMBL, names):
            return np.where(names == "", index, names)
    return matching.symbols_of(index)


def _totals_over(values: sparse.csr_matrix, match: GeneMatch, counted: NDArray[Any]) -> FloatArray:
    """Sum of each cell over some of the reference's genes, float32 (cells,)."""
    of_query = np.asarray(match.selector[:, counted].sum(1), np.float32).ravel()
    return np.asarray(values @ of_query, np.float32)


def _chosen_genes(match: GeneMatch, which: NDArray[Any] | None) -> sparse.csr_matrix:
    return match.selector if which is None else sparse.csr_matrix(match.selector[:, which])


def _completed(matches: Mapping[str, NameMatch], best: str) -> tuple[NDArray[np.int32], list[str]]:
    """The best column's answer, and genes that only another column finds."""
    target, notices = matches[best].target.copy(), []
    for column, match in matches.items():
        free = (target < 0) & (match.target >= 0) & ~np.isin(match.target, target)
        target[free] = match.target[free]
        if free.any():
            where = f"in column {column!r}" if column else "in the index"
            notices.append(f"{free.sum():,} more genes were found by their names {where}.")
    return target, notices


def _selector(target: NDArray[np.int32], n_reference: int) -> sparse.csr_matrix:
    rows = np.flatnonzero(target >= 0)
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, target[rows])), shape=(len(target), n_reference))


def _translated(
    shown: Mapping[str, Names], species: str, known: KnownGenes, *, orthologs: bool
) -> tuple[dict[str, Names], list[str]]:
    """Names of another species as names of the reference's, from the column that has most of them."""
    table = matching.orthologs(species, known.species)
    hits = {column: [name for name in names if name in table] for column, names in shown.items()}
    best = max(hits, key=lambda column: len(hits[column]))
    if not hits[best]:
        raise GenesProblem(
            f"Your genes are {species} Ensembl ids (such as {shown[''][0]}), and this reference is "
            f"{known.species}. Add a column of {species} gene symbols to var, then {_REMEDY}."
        )
    if not orthologs:
        example = next((name for name in hits[best] if table[name] in known.symbols), hits[best][0])
        raise GenesProblem(
            f"Your genes look like {species} symbols (such as {example}), and this reference is "
            f"{known.species}: {_REMEDY}."
        )
    left_out = len(shown[best]) - len(hits[best])
    notice = (
        f"{len(hits[best]):,} {species} genes were translated by one-to-one orthologues; {left_out:,} have "
        "none and were left out."
    )
    return {best: np.array([table.get(name, "") for name in shown[best]], dtype=object)}, [notice]


def _ids_of(match: NameMatch) -> GeneIds:
    if matching.mostly(matching.ENSEMBL, match.names):
        return GeneIds.ENSEMBL
    return GeneIds.SYMBOL if match.n_found else GeneIds.OTHER


def _likely_cause(match: GeneMatch, covered: Coverage) -> str:
    names, n_genes = match.unmatched, match.selector.shape[0]
    if names and matching.mostly(matching.PEAK, names):
        return (
            f"Peaks of two experiments seldom have the same borders ({names[0]} is in your file alone), and none has "
            "in another genome build: count your fragments over the peaks of the reference's genes.csv, and map that."
        )
    if names and all(name.isdigit() for name in names):
        return (
            f"The names are numbers ({names[0]}, {names[-1]}): were gene names lost on the way? Set "
            "adata.var_names to gene symbols or Ensembl ids."
        )
    if match.ids is GeneIds.ENSEMBL and not covered.found:
        return f"The Ensembl ids ({names[0]}) are of another species, or of no known gene: try gene symbols."
    if match.found.sum() > n_genes / 3:
        # whether the file holds a wider matrix beside this one is told where the file is read
        return f"The file has {n_genes:,} genes in all: map the file as it was before genes were selected."
    return (
        f"Names without a match are for instance {', '.join(names[:3])}: use gene symbols or Ensembl ids of "
        "the reference's species."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
