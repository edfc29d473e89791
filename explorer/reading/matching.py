"""Names of genes against names of genes: symbols, Ensembl ids, spelling, species.

Knows names and the two tables of assets/genes; does not know queries, cells or references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer import keys
from explorer.settings import ASSETS

Names = NDArray[np.object_]
ROW_NAMES = "index"  # what a person calls the row names of var, where no column has that name

ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{11})(?:\.\d+)?(?:_PAR_Y)?$")
# A place on a chromosome or contig, in the three spellings in use: chr1:100-200, chr1-100-200, GL000194.1_100_200.
PEAK = re.compile(
    r"^(chr\w+?|\d{1,2}|[XYM]|MT|(?:GL|KI|JH)\d+(?:\.\d+)?)[:_-](\d+)[-_](\d+)$", re.IGNORECASE
)
# scanpy and Seurat tell equal names apart by -1, -2 ...
_MADE_UNIQUE = re.compile(r"^(.+)-\d{1,2}$")
# Cell Ranger writes the genome before the name where it was given more than one.
_GENOME_PREFIX = re.compile(r"^(?:GRCh\d\d|hg\d\d|GRCm\d\d|mm\d\d)_+")
_ENSEMBL_PREFIX = {"human": "ENSG0", "mouse": "ENSMUSG0"}
# Share of the names that must be a species' own before it is named.
_SPECIES_SHARE = 0.1


@dataclass(frozen=True)
class KnownGenes:
    """A reference's genes under each name they answer to.

    Attributes
    ----------
    symbols, ensembl, folded
        Position of a gene by its symbol, its Ensembl id without version, its symbol in upper case.
    species
        "human", "mouse" or "unknown".
    places
        Position of a peak by its place, however it is spelt; empty for genes.
    """

    symbols: Mapping[str, int]
    ensembl: Mapping[str, int]
    folded: Mapping[str, int]
    species: str
    places: Mapping[str, int]

    @classmethod
    def of(cls, genes: pd.DataFrame) -> KnownGenes:
        """From a reference's genes.csv; where a symbol stands twice, its first row answers."""
        symbols = as_names(genes[keys.SYMBOL])
        ids = as_names(genes[keys.ENSEMBL]) if keys.ENSEMBL in genes else np.full(len(symbols), "", object)
        backwards = range(len(symbols) - 1, -1, -1)
        return cls(
            symbols={symbols[at]: at for at in backwards},
            ensembl={unversioned(ids[at]): at for at in backwards if ids[at]},
            folded={symbols[at].upper(): at for at in backwards},
            species=species_of([symbols, ids]),
            places={place_of(symbols[at]): at for at in backwards} if mostly(PEAK, symbols) else {},
        )


@dataclass(frozen=True)
class NameMatch:
    """Where the names of one column lead.

    Attributes
    ----------
    names
        (genes of the query,): the names as the file has them.
    target
        int32 (genes of the query,): position in the reference, or -1.
    by_case
        bool (genes of the query,): matched in spite of upper and lower case.
    """

    names: Names
    target: NDArray[np.int32]
    by_case: NDArray[np.bool_]

    @property
    def n_found(self) -> int:
        """Number of reference genes found."""
        return len(np.unique(self.target[self.target >= 0]))

    def notices(self) -> Iterator[str]:
        """What was mended, one sentence each."""
        matched = self.target >= 0
        versioned = sum("." in name and unversioned(name) != name for name in self.names[matched])
        if versioned:
            yield f"Versions were dropped from {versioned:,} Ensembl ids."
        if self.by_case.any():
            number, example = self.by_case.sum(), self.names[self.by_case][0]
            yield f"{number:,} genes were matched in spite of upper and lower case (such as {example})."
        repeated = pd.Series(self.target[matched]).duplicated(keep=False).to_numpy()
        if repeated.any():
            number, example = len(np.unique(self.target[matched][repeated])), self.names[matched][repeated][0]
            yield f"Genes that stand more than once in the file were summed: {number:,}, such as {example}."


def match_names(names: Names, known: KnownGenes, *, shown: Names) -> NameMatch:
    """Find the reference gene of each name.

    Exact symbols and Ensembl ids come first. Looser ways, each in its turn, only find reference genes that
    nobody has claimed by then, so that no gene is counted twice because of a guess.

    Parameters
    ----------
    names
        Names to match.
    shown
        The same genes as the file names them, for notices.
    """
    target = np.array([_exact(name, known) for name in names], dtype=np.int32)
    present = set(names)
    by_case = np.zeros(len(names), dtype=bool)
    if known.species != "mouse":
        _claim(target, names, lambda name: known.symbols.get(_symbol_of_ensembl().get(unversioned(name), ""), -1))
    if known.places:
        _claim(target, names, lambda name: known.places.get(place_of(name), -1))
    by_case |= _claim(target, names, lambda name: known.folded.get(name.upper(), -1))
    for row in np.flatnonzero(target < 0):
        suffixed = _MADE_UNIQUE.match(names[row])
        if suffixed and suffixed[1] in present:
            target[row] = known.symbols.get(suffixed[1], -1)
    return NameMatch(shown, target, by_case)


def _exact(name: str, known: KnownGenes) -> int:
    at = known.symbols.get(name, -1)
    return at if at >= 0 else known.ensembl.get(unversioned(name), -1)


def _claim(target: NDArray[np.int32], names: Names, find: Callable[[str], int]) -> NDArray[np.bool_]:
    """Fill `target` in place where `find` leads to a gene that nobody had claimed; say which."""
    claimed = set(target[target >= 0])
    found = np.zeros(len(names), dtype=bool)
    for row in np.flatnonzero(target < 0):
        at = find(names[row])
        if at >= 0 and at not in claimed:
            target[row], found[row] = at, True
    return found


def candidate_names(var: pd.DataFrame) -> dict[str, Names]:
    """Columns of a query that may name its genes: the index as "", and text in which most values differ."""
    index = np.array([_GENOME_PREFIX.sub("", name) for name in var.index.astype(str)], dtype=object)
    return {"": index, **text_columns(var)}


def text_columns(var: pd.DataFrame) -> dict[str, Names]:
    """Columns of text in which most values differ."""
    columns = {str(name): var[name] for name in var.columns}
    texts = {name: as_names(values) for name, values in columns.items() if is_text(values)}
    return {name: values for name, values in texts.items() if len(set(values)) > len(values) / 2}


def as_names(values: pd.Series) -> Names:
    """A column as text, "" where there is none."""
    return values.astype(object).where(values.notna(), "").astype(str).to_numpy(dtype=object)


def is_text(values: pd.Series) -> bool:
    """Whether a column holds text, not numbers or yes and no."""
    return not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))


def unversioned(name: str) -> str:
    """An Ensembl id without its version; any other name as it is."""
    found = ENSEMBL.match(name)
    return found[1] if found else name


def place_of(peak: str) -> str:
    """A peak spelt in one way, such as 1:100-200; any other name as it is."""
    found = PEAK.match(peak)
    return f"{found[1].lower().removeprefix('chr')}:{found[2]}-{found[3]}" if found else peak


def mostly(pattern: re.Pattern[str], names: Sequence[str] | Names) -> bool:
    """Whether more than half of the names have a form."""
    return sum(bool(pattern.match(name)) for name in names) > len(names) / 2


def species_of(columns: Sequence[Names]) -> str:
    """ "human", "mouse" or "unknown": whose names most of a column are, exactly as written."""
    votes = {
        species: max(
            sum(name in symbols or name.startswith(_ENSEMBL_PREFIX[species]) for name in names) for names in columns
        )
        for species, symbols in _own_symbols().items()
    }
    first, second = sorted(votes, key=lambda species: -votes[species])
    return first if votes[first] > max(_SPECIES_SHARE * len(columns[0]), votes[second]) else "unknown"


@cache
def _own_symbols() -> dict[str, frozenset[str]]:
    table = _orthologs()
    return {species: frozenset(table[f"{species}_symbol"]) for species in _ENSEMBL_PREFIX}


def orthologs(species: str, other: str) -> dict[str, str]:
    """Symbols of one species to symbols of the other, for genes that are one another's only orthologue."""
    table = _orthologs()
    return dict(zip(table[f"{species}_symbol"], table[f"{other}_symbol"], strict=True))


def symbols_of(ensembl: Names) -> Names:
    """Symbols of human Ensembl ids; an id that is not known stays."""
    known = _symbol_of_ensembl()
    return np.array([known.get(unversioned(name), name) for name in ensembl], dtype=object)


def ensembl_of(symbols: Sequence[str] | Names) -> Names:
    """Ensembl ids of human symbols; "" where none is known.

    Of several ids (copies on alternative haplotypes) the primary assembly's is given.
    """
    known = _ensembl_of_symbol()
    return np.array([known.get(str(symbol), "") for symbol in symbols], dtype=object)


@cache
def _orthologs() -> pd.DataFrame:
    return pd.read_csv(ASSETS / "genes" / "human_mouse_one2one.csv", dtype=str, keep_default_na=False)


@cache
def _symbol_of_ensembl() -> dict[str, str]:
    table = pd.read_csv(ASSETS / "genes" / "human_ensembl_symbol.csv.gz", dtype=str, keep_default_na=False)
    return dict(zip(table["ensembl_id"], table["symbol"], strict=True))


@cache
def _ensembl_of_symbol() -> dict[str, str]:
    # The table names the primary assembly's id first; the last to be set stays.
    return {symbol: ensembl for ensembl, symbol in reversed(_symbol_of_ensembl().items())}
