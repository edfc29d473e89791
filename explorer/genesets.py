"""Named sets of genes: read from GMT files, and chosen by the genes that a model works on.

Knows symbols, not cells. Symbols are matched without regard to case, so that human sets serve mouse symbols too.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom

from explorer.errors import FileProblem
from explorer.settings import ASSETS

GENE_SETS = ASSETS / "genesets"
SHIPPED = {"reactome": "reactome_tosica.gmt.gz", "go_bp": "go_bp_human.gmt.gz"}
SMALLEST, LARGEST = 5, 300  # genes of a set that must be at hand, and that it may have in all
NEARLY_THE_SAME = 0.8
_COLLECTION = re.compile(r"^(REACTOME|GOBP|GOCC|GOMF|GO|KEGG|HALLMARK|WP|BIOCARTA|PID)_")

GeneSets = dict[str, frozenset[str]]
Members = dict[str, NDArray[np.int64]]
"""Ascending positions among some genes, by set."""


def read_gmt(path: Path) -> GeneSets:
    """Read a GMT file, plain or gzipped: a line a set, tab-separated name, description, genes.

    Returns
    -------
    dict
        Genes by set, upper-cased, sets in the file's order. Of two sets of one name the later counts.

    Raises
    ------
    FileProblem
        If the file is missing or no text, or a line names no gene.
    """
    if not path.is_file():
        raise FileProblem(f"There is no gene set file {path.name} in {path.parent}.")
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8") as lines:
            return sets_in(lines, path.name)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as problem:
        raise FileProblem(
            f"{path.name} is no text that can be read. A GMT file is plain text (UTF-8), or that compressed with gzip "
            "and named .gmt.gz."
        ) from problem


def sets_in(lines: Iterable[str], called: str) -> GeneSets:
    """The sets of a GMT file's lines, as `read_gmt` gives them; `called` is the file's name in messages.

    Raises
    ------
    FileProblem
        If a line names no gene.
    """
    sets: GeneSets = {}
    for number, line in enumerate(lines, 1):
        name, _, *genes = [*line.rstrip("\n").split("\t"), ""]
        members = frozenset(gene.strip().upper() for gene in genes) - {""}
        if line.strip() and not members:
            raise FileProblem(
                f"Line {number} of {called} names no gene. A GMT line is a name, a description and genes, with tabs "
                "between them."
            )
        if members:
            sets[name] = members
    return sets


def collection_file(collection: str) -> Path:
    """Where a collection lies: one that comes with the program by its name, any other by its path.

    Raises
    ------
    FileProblem
        If there is none.
    """
    path = GENE_SETS / SHIPPED[collection] if collection in SHIPPED else Path(collection)
    if not path.is_file():
        raise FileProblem(
            f"There is no gene set file {collection}. Name a GMT file (a line a set: name, description, genes, with "
            f"tabs between them), or a collection that comes with the program: {', '.join(SHIPPED)}."
        )
    return path


def read_collections(collections: Iterable[str]) -> GeneSets:
    """The sets of some collections, one after the other, each named as for `collection_file`.

    Raises
    ------
    FileProblem
        If one does not exist or is no GMT file.
    """
    return {name: genes for each in collections for name, genes in read_gmt(collection_file(each)).items()}


def readable(name: str) -> str:
    """A set's name as one would write it: without the collection's own prefix, and with spaces."""
    words = _COLLECTION.sub("", name).replace("_", " ").strip()
    return words[:1].upper() + words[1:].lower() if words.isupper() else words


def members_among(
    sets: Mapping[str, frozenset[str]], genes: Sequence[str] | NDArray[np.object_], largest: int = LARGEST
) -> Members:
    """Where the genes of each set stand among `genes` (g,), without sets of more than `largest` genes in all."""
    at: dict[str, list[int]] = {}
    for position, gene in enumerate(genes):
        at.setdefault(str(gene).upper(), []).append(position)
    return {
        name: np.array(sorted(position for gene in own & at.keys() for position in at[gene]), np.int64)
        for name, own in sets.items()
        if len(own) <= largest
    }


def most_covered(found: Members, n: int, smallest: int = SMALLEST) -> Members:
    """The n sets of which most genes are at hand, and at least `smallest`; equally covered ones by name.

    Sets stay in the order of `found`.
    """
    able = {name: at for name, at in found.items() if len(at) >= smallest}
    return _first(able, sorted(able, key=lambda name: (-len(able[name]), name)), n)


def most_enriched(found: Members, measured: Members, n_genes: int, n_measured: int, n: int) -> Members:
    """The n sets that are most over-represented among the genes at hand; smallest adjusted p-value first.

    Parameters
    ----------
    found, measured
        Of the same sets: positions among the genes at hand, and among all genes that were measured.
    n_genes, n_measured
        How many of either there are.
    """
    able = {name: at for name, at in found.items() if len(at) >= SMALLEST}
    p = over_representation(
        np.array([len(at) for at in able.values()]),
        np.array([len(measured[name]) for name in able]),
        n_genes,
        n_measured,
    )
    adjusted = dict(zip(able, false_discovery_control(p) if len(p) else p, strict=True))
    raw = dict(zip(able, p, strict=True))  # adjusting makes neighbours equal; the raw value then decides
    return _first(able, sorted(able, key=lambda name: (adjusted[name], raw[name], name)), n)


def over_representation(
    overlap: NDArray[np.integer], size: NDArray[np.integer], n_genes: int, n_measured: int
) -> NDArray[np.float64]:
    """Probability of at least `overlap` genes of a set of `size` among `n_genes` drawn out of `n_measured`.

    The upper tail of the hypergeometric distribution.
    """
    return np.asarray(hypergeom.sf(overlap - 1, n_measured, size, n_genes), np.float64)


def random_twins(sets: Members, n_genes: int, seed: int) -> Members:
    """Sets of the same names and sizes, of genes drawn without replacement: what knowledge is worth beside them."""
    rng = np.random.default_rng(seed)
    return {name: np.sort(rng.choice(n_genes, len(at), replace=False)) for name, at in sets.items()}


def without_near_duplicates(sets: Members, most: float = NEARLY_THE_SAME) -> Members:
    """Leave out each set whose genes overlap with those of a set kept by a Jaccard index above `most`.

    Larger sets are kept before smaller ones, and of equally large ones the first by name.
    """
    kept: dict[str, set[int]] = {}
    for name in sorted(sets, key=lambda name: (-len(sets[name]), name)):
        own = set(sets[name].tolist())
        if all(len(own & other) <= most * len(own | other) for other in kept.values()):
            kept[name] = own
    return {name: at for name, at in sets.items() if name in kept}


def chosen(
    sets: Mapping[str, frozenset[str]],
    genes: NDArray[np.object_],
    measured: NDArray[np.object_],
    n: int,
    *,
    select: str,
    distinct: bool,
    seed: int,
) -> Members:
    """The n sets that a model reads its cells by.

    Parameters
    ----------
    genes, measured
        Symbols of the genes that the model works on, and of all that were measured.
    select
        "overlap" takes the best covered ones, "enrichment" those over-represented among `genes`, "random" draws as
        many genes for each of the best covered.
    distinct
        Whether near-duplicates among those with enough genes are left out first.
    """
    found = members_among(sets, genes)
    if distinct:
        found = without_near_duplicates({name: at for name, at in found.items() if len(at) >= SMALLEST})
    if select == "enrichment":
        everywhere = members_among({name: sets[name] for name in found}, measured)
        return most_enriched(found, everywhere, len(genes), len(measured), n)
    best = most_covered(found, n)
    return random_twins(best, len(genes), seed) if select == "random" else best


def _first(sets: Members, order: Sequence[str], n: int) -> Members:
    best = set(order[:n])
    return {name: at for name, at in sets.items() if name in best}
