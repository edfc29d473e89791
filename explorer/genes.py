"""Where a query's genes meet a reference's: which names, which species, how many, and cells over those genes.

Knows names of genes; does not know what a method does with them. Order, duplicates, versions of Ensembl ids,
upper and lower case and the species are settled here, once, for all methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys
from explorer.errors import GenesProblem
from explorer.flow import AlignedCells, BoolArray, Coverage, FloatArray, GeneIds, GeneMatch, Query, ValueKind
from explorer.query import read_blocks
from explorer.settings import ASSETS, settings

_ORTHOLOGS_FILE = ASSETS / "genes" / "human_mouse_one2one.csv"
_ENSEMBL_FILE = ASSETS / "genes" / "human_ensembl_symbol.csv.gz"

_ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{11})(?:\.\d+)?(?:_PAR_Y)?$")
_MADE_UNIQUE = re.compile(r"^(.+)-\d{1,2}$")
_PEAK = re.compile(r"^(?:chr)?[0-9XYM]{1,2}[:_-]\d+[-_]\d+$", re.IGNORECASE)
_GENOME_PREFIX = re.compile(r"^(?:GRCh\d\d|hg\d\d|GRCm\d\d|mm\d\d)_+")
_SPECIES_SHARE = 0.1
_REMEDY = "choose 'map orthologues' (--orthologs on the command line)"
_UNMATCHED_SHOWN = 20


def match_genes(var: pd.DataFrame, genes: pd.DataFrame, *, orthologs: bool = False) -> GeneMatch:
    """Find for each gene of a query the reference gene it is.

    Parameters
    ----------
    var
        The query's table of genes; its index and its text columns are tried as names.
    genes
        A reference's genes: columns symbol, ensembl (may be empty), mean_expression.
    orthologs
        Translate genes of another species by one-to-one orthologues.

    Raises
    ------
    GenesProblem
        If the query is of another species and `orthologs` was not asked for.
    """
    reference = _ReferenceNames.of(genes)
    candidates = _candidates(var)
    species = _species_of(candidates)
    notices: list[str] = []
    if "unknown" not in (species, reference.species) and species != reference.species:
        candidates = _translated(candidates, species, reference, orthologs, notices)
    elif reference.species == "human":
        candidates = {column: _bridged(names, reference) for column, names in candidates.items()}
    matches = {column: _match_names(names, reference) for column, names in candidates.items()}
    best = max(matches, key=lambda column: matches[column].n_found)
    target = _filled_from_others(matches, best, notices)
    names = var.index if best == "" else var[best]
    notices.extend(matches[best].notices(names.astype(str)))
    return GeneMatch(
        selector=_selector(target, len(genes)),
        found=np.isin(np.arange(len(genes)), target),
        ids=_ids_of(names.astype(str).to_numpy(dtype=object), matches[best].n_found),
        column=best,
        species=species,
        notices=tuple(notices),
        unmatched=tuple(names.astype(str).to_numpy(dtype=object)[target < 0][:_UNMATCHED_SHOWN]),
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
    covered: Coverage, match: GeneMatch, *, floor: float | None = None, warn: float | None = None
) -> tuple[str, ...]:
    """Refuse a query that brings too few genes.

    Parameters
    ----------
    floor
        Least share of genes, in [0, 1]; from the settings by default.
    warn
        Share below which a notice is given; from the settings by default.

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
        raise GenesProblem(f"{figures}; at least {_percent(floor)} are needed. {_likely_cause(match, covered)}")
    if covered.share < warn:
        missing = ", ".join(covered.missing[:5])
        return (
            f"{figures}, {_percent(covered.weighted_share)} by expression; the rest count as not expressed. "
            f"Most expressed among the missing: {missing}.",
        )
    return ()


def aligned_blocks(
    query: Query, match: GeneMatch, which: NDArray[Any] | None = None, rows: int = 8192
) -> Iterator[AlignedCells]:
    """All cells of a query over a reference's genes, a block at a time.

    Parameters
    ----------
    which
        Positions among the reference genes, in the order wanted; all by default.
    rows
        Most cells a block.
    """
    selector = match.selector if which is None else sparse.csr_matrix(match.selector[:, which])
    target = np.full(selector.shape[0], -1, dtype=np.int32)
    target[np.diff(selector.indptr) > 0] = selector.indices
    for values, totals in read_blocks(query, rows):
        yield AlignedCells(move_columns(values, target, selector.shape[1]), totals, query.kind is ValueKind.COUNTS)


def move_columns(values: sparse.csr_matrix, target: NDArray[np.int32], n_columns: int) -> sparse.csr_matrix:
    """Send each column of a matrix to its place; the same as a product with a selector, but quicker.

    Parameters
    ----------
    values
        csr, cells x genes.
    target
        int32 (genes,): where a column goes; -1 drops it; columns with the same target are summed.
    n_columns
        Columns of the answer.

    Returns
    -------
    moved
        csr of the same type, cells x n_columns, indices sorted and unique.
    """
    places = target[values.indices]
    kept = places >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[values.indptr]
    moved = sparse.csr_matrix((values.data[kept], places[kept], ends), shape=(values.shape[0], n_columns))
    if not moved.has_sorted_indices:
        # Turning round twice sorts in linear time; sort_indices compares.
        moved = moved.tocsc().tocsr()
    moved.sum_duplicates()
    return moved


def ensembl_of(symbols: Sequence[str]) -> NDArray[np.object_]:
    """Ensembl ids of human gene symbols; "" where none is known.

    Where a symbol has several ids (copies on alternative haplotypes) the first of the table is given.
    """
    by_symbol = _ensembl_by_symbol()
    return np.array([by_symbol.get(str(symbol), "") for symbol in symbols], dtype=object)


def display_names(var: pd.DataFrame) -> NDArray[np.object_]:
    """The names a person would look for: symbols where the file or the human table has them, else its own."""
    index = var.index.astype(str).to_numpy(dtype=object)
    if not _mostly(_ENSEMBL, index):
        return index
    for column, names in _text_columns(var).items():
        if re.search(r"symbol|name", column, re.IGNORECASE) and not _mostly(_ENSEMBL, names):
            return np.where(names == "", index, names)
    symbols = _symbol_by_ensembl()
    return np.array([symbols.get(_unversioned(name), name) for name in index], dtype=object)


@dataclass(frozen=True)
class _ReferenceNames:
    """A reference's genes by each way of naming them."""

    symbols: Mapping[str, int]
    ensembl: Mapping[str, int]
    folded: Mapping[str, int]
    species: str

    @classmethod
    def of(cls, genes: pd.DataFrame) -> _ReferenceNames:
        symbols = [str(name) for name in genes[keys.SYMBOL]]
        ids = genes[keys.ENSEMBL].fillna("").astype(str) if keys.ENSEMBL in genes else [""] * len(symbols)
        folded: dict[str, int] = {}
        for position, name in enumerate(symbols):
            folded.setdefault(name.upper(), position)
        return cls(
            symbols={name: position for position, name in reversed(list(enumerate(symbols)))},
            ensembl={_unversioned(name): position for position, name in enumerate(ids) if name},
            folded=folded,
            species=_species_of({"": np.array(symbols, dtype=object), "ids": np.array(list(ids), dtype=object)}),
        )


@dataclass(frozen=True)
class _Match:
    """Where the names of one column lead.

    Attributes
    ----------
    target
        int32 (genes of the query,): position in the reference, or -1.
    how
        (genes of the query,): "exact", "ensembl", "case", "suffix" or "".
    """

    target: NDArray[np.int32]
    how: NDArray[np.object_]

    @property
    def n_found(self) -> int:
        """Reference genes found."""
        return len(np.unique(self.target[self.target >= 0]))

    def notices(self, names: pd.Series | pd.Index) -> list[str]:
        """What was mended, one sentence each."""
        shown = names.to_numpy(dtype=object)
        told = []
        versions = np.array([how == "ensembl" and "." in name for how, name in zip(self.how, shown, strict=True)], dtype=bool)
        if versions.any():
            told.append(f"Versions were dropped from {versions.sum():,} Ensembl ids.")
        if (self.how == "case").any():
            told.append(f"{(self.how == 'case').sum():,} genes were matched in spite of upper and lower case "
                        f"(for instance {shown[self.how == 'case'][0]}).")  # fmt: skip
        repeated = pd.Series(self.target[self.target >= 0]).duplicated(keep=False).to_numpy()
        if repeated.any():
            extra = repeated.sum() - len(np.unique(self.target[self.target >= 0][repeated]))
            told.append(f"{extra:,} genes occur more than once under the same name and were summed "
                        f"(for instance {shown[self.target >= 0][repeated][0]}).")  # fmt: skip
        return told


def _match_names(names: NDArray[np.object_], reference: _ReferenceNames) -> _Match:
    """Exact symbols and Ensembl ids first; looser ways only for reference genes nobody claimed."""
    target = np.full(len(names), -1, dtype=np.int32)
    how = np.full(len(names), "", dtype=object)
    for row, name in enumerate(names):
        if name in reference.symbols:
            target[row], how[row] = reference.symbols[name], "exact"
        elif (stripped := _unversioned(name)) in reference.ensembl:
            target[row], how[row] = reference.ensembl[stripped], "ensembl"
    claimed = set(target[target >= 0])
    present = set(names)
    for row in np.flatnonzero(target < 0):
        name = names[row]
        position = reference.folded.get(name.upper(), -1)
        if position >= 0 and position not in claimed:
            target[row], how[row] = position, "case"
            continue
        suffixed = _MADE_UNIQUE.match(name)
        if suffixed and suffixed[1] in present and suffixed[1] in reference.symbols:
            target[row], how[row] = reference.symbols[suffixed[1]], "suffix"
    return _Match(target, how)


def _filled_from_others(matches: Mapping[str, _Match], best: str, notices: list[str]) -> NDArray[np.int32]:
    """The best column's answer; genes it misses are taken from the others where nobody claims them yet."""
    target = matches[best].target.copy()
    for column, match in matches.items():
        if column == best:
            continue
        free = (target < 0) & (match.target >= 0) & ~np.isin(match.target, target)
        target[free] = match.target[free]
        if free.any():
            where = f"column {column!r}" if column else "the index"
            notices.append(f"{free.sum():,} more genes were found by their names in {where}.")
    return target


def _selector(target: NDArray[np.int32], n_reference: int) -> sparse.csr_matrix:
    rows = np.flatnonzero(target >= 0)
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, target[rows])), shape=(len(target), n_reference))


def _candidates(var: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """Columns that may hold names of genes: the index as "", and text columns in which most values differ."""
    index = np.array([_GENOME_PREFIX.sub("", name) for name in var.index.astype(str)], dtype=object)
    return {"": index, **_text_columns(var)}


def _text_columns(var: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    found = {}
    for column in var.columns:
        values = var[column]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            continue
        names = values.astype(object).where(values.notna(), "").astype(str).to_numpy(dtype=object)
        if len(set(names)) > len(names) / 2:
            found[str(column)] = names
    return found


def _unversioned(name: str) -> str:
    found = _ENSEMBL.match(name)
    return found[1] if found else name


def _mostly(pattern: re.Pattern[str], names: Sequence[str] | NDArray[np.object_]) -> bool:
    return len(names) > 0 and sum(bool(pattern.match(name)) for name in names) > len(names) / 2


def _species_of(candidates: Mapping[str, NDArray[np.object_]]) -> str:
    """ "human", "mouse" or "unknown": whose names are there most, exactly as written."""
    table = _orthologs()
    human, mouse = set(table["human_symbol"]), set(table["mouse_symbol"])
    votes = {"human": 0, "mouse": 0}
    for names in candidates.values():
        for species, symbols, prefix in (("human", human, "ENSG0"), ("mouse", mouse, "ENSMUSG0")):
            hits = sum(name in symbols or name.startswith(prefix) for name in names)
            votes[species] = max(votes[species], hits)
    winner = max(votes, key=lambda species: votes[species])
    total = len(next(iter(candidates.values())))
    return winner if votes[winner] > max(_SPECIES_SHARE * total, min(votes.values())) else "unknown"


def _translated(candidates: dict[str, NDArray[np.object_]], species: str, reference: _ReferenceNames,
                orthologs: bool, notices: list[str]) -> dict[str, NDArray[np.object_]]:  # fmt: skip
    table = _orthologs()
    own, theirs = f"{species}_symbol", f"{reference.species}_symbol"
    to_theirs = dict(zip(table[own], table[theirs], strict=True))
    hits = {column: [name for name in names if name in to_theirs] for column, names in candidates.items()}
    best = max(hits, key=lambda column: len(hits[column]))
    if not hits[best]:
        raise GenesProblem(f"Your genes are {species} Ensembl ids ({candidates[''][0]}); this reference is "
                           f"{reference.species}. Add a column of {species} symbols to var, then {_REMEDY}.")  # fmt: skip
    if not orthologs:
        example = next((name for name in hits[best] if to_theirs[name] in reference.symbols), hits[best][0])
        raise GenesProblem(f"Your genes look like {species} symbols (for instance {example}); this reference is "
                           f"{reference.species}: {_REMEDY}.")  # fmt: skip
    notices.append(f"{len(hits[best]):,} {species} genes were translated by one-to-one orthologues; the other "
                   f"{len(candidates[best]) - len(hits[best]):,} have none and were left out.")  # fmt: skip
    return {best: np.array([to_theirs.get(name, "") for name in candidates[best]], dtype=object)}


def _bridged(names: NDArray[np.object_], reference: _ReferenceNames) -> NDArray[np.object_]:
    """Ensembl ids that the reference does not list, as symbols: another haplotype's id, or a symbol-only reference."""
    if not _mostly(_ENSEMBL, names):
        return names
    symbols = _symbol_by_ensembl()

    def known(name: str) -> str:
        stripped = _unversioned(name)
        return name if stripped in reference.ensembl else symbols.get(stripped, name)

    return np.array([known(name) for name in names], dtype=object)


def _ids_of(names: NDArray[np.object_], n_found: int) -> GeneIds:
    if _mostly(_ENSEMBL, names):
        return GeneIds.ENSEMBL
    return GeneIds.SYMBOL if n_found else GeneIds.OTHER


def _likely_cause(match: GeneMatch, covered: Coverage) -> str:
    names = match.unmatched
    if _mostly(_PEAK, names):
        return (f"The names look like places on chromosomes ({names[0]}), as in ATAC data: map the RNA of these "
                "cells, or gene activity scores.")  # fmt: skip
    if names and all(name.isdigit() for name in names):
        return (f"The names are numbers ({names[0]}, {names[-1]}): were gene names lost on the way? "
                "Set adata.var_names to gene symbols or Ensembl ids.")  # fmt: skip
    if match.ids is GeneIds.ENSEMBL and covered.found == 0:
        return f"The Ensembl ids ({names[0]}) are of another species or of no gene known here: try gene symbols."
    if match.selector.shape[0] < covered.needed:
        return (f"The file has {match.selector.shape[0]:,} genes in all: map the file from before genes were "
                "selected, or choose a matrix with more genes (raw/X).")  # fmt: skip
    shown = ", ".join(names[:3])
    return f"Names without a match are for instance {shown}: use gene symbols or Ensembl ids of the reference's species."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


@cache
def _orthologs() -> pd.DataFrame:
    return pd.read_csv(_ORTHOLOGS_FILE, dtype=str, keep_default_na=False)


@cache
def _symbol_by_ensembl() -> dict[str, str]:
    table = pd.read_csv(_ENSEMBL_FILE, dtype=str, keep_default_na=False)
    return dict(zip(table["ensembl_id"], table["symbol"], strict=True))


@cache
def _ensembl_by_symbol() -> dict[str, str]:
    return {symbol: ensembl for ensembl, symbol in reversed(_symbol_by_ensembl().items())}
