"""Named sets of genes: read from GMT files, and chosen by the genes that a model works on.

Knows symbols, not cells. Symbols are matched without regard to case, so that human sets serve mouse symbols too.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.errors import FileProblem
from explorer.settings import ASSETS

GENE_SETS = ASSETS / "genesets"
SHIPPED = "{name}_human.gmt.gz"

GeneSets = dict[str, frozenset[str]]


def read_gmt(path: Path) -> GeneSets:
    """Read a GMT file, plain or gzipped: a line a set, tab-separated name, description, genes.

    Returns
    -------
    dict
        Genes by set, upper-cased, sets in the file's order.

    Raises
    ------
    FileProblem
        If the file is missing, or a line names no gene.
    """
    if not path.is_file():
        raise FileProblem(f"There is no gene set file {path.name} in {path.parent}.")
    open_text = gzip.open if path.suffix == ".gz" else open
    sets: GeneSets = {}
    with open_text(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            name, _, *genes = [*line.rstrip("\n").split("\t"), ""]
            members = frozenset(gene.strip().upper() for gene in genes) - {""}
            if line.strip() and not members:
                raise FileProblem(
                    f"Line {number} of {path.name} names no gene. A GMT line is a name, a description and genes, "
                    "with tabs between them."
                )
            if members:
                sets[name] = members
    return sets


def shipped(names: Iterable[str]) -> GeneSets:
    """The sets of some collections that come with the program, one collection after the other."""
    return {name: genes for each in names for name, genes in read_gmt(GENE_SETS / SHIPPED.format(name=each)).items()}


def most_covered(
    sets: Mapping[str, frozenset[str]],
    genes: Sequence[str] | NDArray[np.object_],
    n: int,
    smallest: int = 5,
    largest: int = 300,
) -> dict[str, NDArray[np.int64]]:
    """The n sets of which most genes are at hand.

    Parameters
    ----------
    genes
        Symbols (g,).
    smallest
        Genes of a set that must be among them.
    largest
        Genes that a set may have in all, wherever they are.

    Returns
    -------
    dict
        Ascending positions among `genes` by set, in the order of `sets`. Equally covered sets are taken by name.
    """
    spelled = [str(gene).upper() for gene in genes]
    found = {
        name: np.flatnonzero([gene in members for gene in spelled])
        for name, members in sets.items()
        if len(members) <= largest
    }
    able = {name: at for name, at in found.items() if len(at) >= smallest}
    best = set(sorted(able, key=lambda name: (-len(able[name]), name))[:n])
    return {name: at for name, at in able.items() if name in best}
