"""Gene sets that a person brings as a GMT file: taken in, kept on the server by checksum, read again by name.

A project remembers which files it uses, not what they hold; tables and captions name the file and its checksum. Safe to
call from any thread; knows no widgets.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.app.stored.library import Shelf
from explorer.app.stored.uploads import SET_BYTES, suffix_of
from explorer.errors import FileProblem, GenesProblem
from explorer.genesets import GeneSets, read_gmt
from explorer.reading.matching import ENSEMBL, symbols_of
from explorer.settings import settings

MOST_SETS = 50_000
_DIGITS = 8  # of a checksum that are shown


@dataclass(frozen=True)
class OwnSets:
    """A file of gene sets.

    Attributes
    ----------
    name
        What it is called on the person's computer; for the eyes, never a path.
    checksum
        SHA-256 of the file, 64 hex digits.
    sets, genes
        How many it holds.
    found
        How many of its genes the cells had among which it was taken in.
    """

    name: str
    checksum: str
    sets: int
    genes: int
    found: int

    @property
    def path(self) -> Path:
        """Where this server keeps it."""
        return settings().own_gene_sets / f"{self.checksum}{suffix_of(self.name)}"

    @property
    def mark(self) -> str:
        """File and checksum, short enough to stand behind the name of a set."""
        return f"{self.name} {self.checksum[:_DIGITS]}"

    @property
    def told(self) -> str:
        """File and checksum in words."""
        return f"{self.name} ({self.sets:,} {'sets' if self.sets != 1 else 'set'}, SHA-256 {self.checksum[:_DIGITS]}…)"


def take_in(path: Path, name: str, genes: Iterable[str]) -> OwnSets:
    """Check a GMT file and keep a copy of it.

    Parameters
    ----------
    name
        What to call it.
    genes
        Those of the cells that its sets are to be used for.

    Raises
    ------
    FileProblem
        If it is no GMT file, holds no set, or more than 50,000, or is larger than 64 MB.
    GenesProblem
        If the cells have none of its genes.
    """
    if path.stat().st_size > SET_BYTES:
        raise FileProblem(f"{name} is larger than {SET_BYTES >> 20} MB. Bring a file with fewer gene sets.")
    sets = _named_after(name, lambda: read_gmt(path), path)
    if not sets:
        raise FileProblem(
            f"{name} holds no gene set. A GMT line is a name, a description and genes, with tabs between them."
        )
    if len(sets) > MOST_SETS:
        raise FileProblem(f"{name} holds {len(sets):,} gene sets; at most {MOST_SETS:,} can be used. Bring fewer.")
    named = frozenset().union(*_by_symbol(sets).values())
    found = named & {gene.upper() for gene in genes}
    if not found:
        raise GenesProblem(_none_known(name, sorted(named)))
    brought = OwnSets(name, _checksum(path), len(sets), len(named), len(found))
    _keep(path, brought.path)
    return brought


def read(own: OwnSets) -> GeneSets:
    """The sets of a file that was taken in: symbols in upper case by set, Ensembl ids read as symbols.

    Raises
    ------
    FileProblem
        If it is not on this server any more.
    """
    if not own.path.is_file():
        raise FileProblem(f"{own.name} is not on this server any more. Bring the file again.")
    return _shelf.get(own.path)


def as_records(brought: Sequence[OwnSets]) -> list[dict[str, Any]]:
    """Files as plain values."""
    return [asdict(each) for each in brought]


def read_records(records: Sequence[Mapping[str, Any]]) -> list[OwnSets]:
    """Files from what `as_records` gave, after it went through JSON."""
    return [OwnSets(**record) for record in records]


def _by_symbol(sets: GeneSets) -> GeneSets:
    """Sets with Ensembl ids replaced by symbols, where these are known."""
    ids = sorted({gene for genes in sets.values() for gene in genes if ENSEMBL.match(gene)})
    if not ids:
        return sets
    symbols = dict(zip(ids, (str(name).upper() for name in symbols_of(np.array(ids, object))), strict=True))
    return {name: frozenset(symbols.get(gene, gene) for gene in genes) for name, genes in sets.items()}


def _read(path: Path) -> GeneSets:
    return _by_symbol(read_gmt(path))


_shelf: Shelf[Path, GeneSets] = Shelf(_read, size=4)


def _named_after(name: str, work: Callable[[], GeneSets], path: Path) -> GeneSets:
    """Work whose problems speak of the file by the name that the person knows."""
    try:
        return work()
    except FileProblem as problem:
        raise FileProblem(str(problem).replace(path.name, name)) from problem


def _none_known(name: str, genes: Sequence[str]) -> str:
    few = ", ".join(genes[:3])
    way_out = "Bring sets of gene symbols such as ISG15, of the same species."
    if all(gene.isdigit() for gene in genes[:20]):
        way_out = "They look like Entrez ids: take the same collection with gene symbols (its name has 'symbols')."
    return f"None of the {len(genes):,} genes of {name} is among those of these cells (it names {few}). {way_out}"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(path: Path, place: Path) -> None:
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    coming = place.with_name(f"{place.name}.part")
    shutil.copyfile(path, coming)
    coming.rename(place)
