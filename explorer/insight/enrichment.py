"""What a list of genes has in common: gene sets that hold more of it than chance would, from files at hand.

The background is the genes measured, never all genes there are: a set can only be found through genes that were seen.
Knows symbols and their scores, not cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm, rankdata

from explorer.errors import GenesProblem
from explorer.genesets import LARGEST, SMALLEST, Members, members_among, over_representation

TOP = 100            # genes of a ranking that are looked up
ADJUSTED_P = 0.05
SHOWN_GENES = 30


def leading_genes(table: pd.DataFrame, most: int = TOP, adjusted_p: float = ADJUSTED_P) -> list[str]:
    """The first genes of a table of markers that speak for the group: score above 0 and adjusted p below 0.05.

    Parameters
    ----------
    table
        Of `markers` or `compare_samples`: columns gene, score, adjusted_p.
    """
    found = table[(table["score"] > 0) & (table["adjusted_p"] < adjusted_p)]
    return found.nlargest(most, "score")["gene"].astype(str).tolist()


def enrich(
    genes: Sequence[str],
    sets: Mapping[str, frozenset[str]],
    measured: Sequence[str] | NDArray[np.object_],
    largest: int = LARGEST,
) -> pd.DataFrame:
    """Gene sets over-represented among some genes: the upper tail of the hypergeometric distribution (Fisher's).

    Parameters
    ----------
    genes
        Symbols that stand out.
    sets
        As `genesets.read_collections` reads them.
    measured
        All symbols that could have stood out.
    largest
        Sets of more genes are left out; so are sets of which fewer than 5 were measured.

    Returns
    -------
    DataFrame
        A row a set, the smallest p first: gene_set, size (genes measured), found, expected, fold, p, adjusted_p
        (Benjamini-Hochberg over sets), genes (up to 30 of those found, in the order given).

    Raises
    ------
    GenesProblem
        If no gene is given, or no set holds 5 of the genes measured.
    """
    universe = list(dict.fromkeys(str(gene).upper() for gene in measured))
    known = set(universe)
    own = [gene for gene in dict.fromkeys(str(gene).upper() for gene in genes) if gene in known]
    if not own:
        raise GenesProblem(
            f"None of the {len(genes):,} genes is among the {len(universe):,} measured, so there is nothing to look "
            "up. A list of markers holds genes with a score above 0 and an adjusted p below 0.05."
        )
    able = _able(sets, universe, largest)
    among, place = set(own), {gene: at for at, gene in enumerate(own)}
    found = {name: [universe[at] for at in places if universe[at] in among] for name, places in able.items()}
    overlap = np.array([len(names) for names in found.values()])
    size = np.array([len(places) for places in able.values()])
    p = over_representation(overlap, size, len(own), len(universe))
    expected = size * len(own) / len(universe)
    table = pd.DataFrame(
        {
            "gene_set": list(able),
            "size": size,
            "found": overlap,
            "expected": expected,
            "fold": overlap / expected,
            "p": p,
            "adjusted_p": false_discovery_control(p),
            "genes": [" ".join(sorted(names, key=place.__getitem__)[:SHOWN_GENES]) for names in found.values()],
        }
    )
    return table.sort_values(["p", "gene_set"], kind="stable", ignore_index=True)


def enrich_ranking(
    genes: Sequence[str] | NDArray[np.object_],
    scores: NDArray[np.floating],
    sets: Mapping[str, frozenset[str]],
    largest: int = LARGEST,
) -> pd.DataFrame:
    """Gene sets that stand high or low in a ranking of all genes, by the rank sum of their genes.

    Takes genes for independent, which genes of one pathway are not: p-values are too small, and rank the sets.

    Parameters
    ----------
    genes, scores
        All genes measured (g,) and what ranks them, the highest for the group.

    Returns
    -------
    DataFrame
        A row a set, the highest z first: gene_set, size, auroc (chance that a gene of the set ranks above another), z,
        p (two-sided), adjusted_p.

    Raises
    ------
    GenesProblem
        If no set holds 5 of the genes.
    """
    ranks = rankdata(np.asarray(scores, np.float64))
    able = _able(sets, [str(gene).upper() for gene in genes], largest)
    n = len(ranks)
    size = np.array([len(places) for places in able.values()], np.float64)
    others = n - size
    won = np.array([ranks[places].sum() for places in able.values()]) - size * (size + 1) / 2
    z = (won - size * others / 2) / np.sqrt(size * others * (n + 1) / 12)
    p = 2 * norm.sf(np.abs(z))
    table = pd.DataFrame(
        {
            "gene_set": list(able),
            "size": size.astype(int),
            "auroc": won / (size * others),
            "z": z,
            "p": p,
            "adjusted_p": false_discovery_control(p),
        }
    )
    return table.sort_values(["z", "gene_set"], ascending=[False, True], kind="stable", ignore_index=True)


def _able(sets: Mapping[str, frozenset[str]], genes: Sequence[str], largest: int) -> Members:
    """Sets with enough of the genes, and not with all of them."""
    members = members_among(sets, genes, largest)
    able = {name: places for name, places in members.items() if SMALLEST <= len(places) < len(genes)}
    if not able:
        raise GenesProblem(
            f"None of the {len(sets):,} gene sets holds {SMALLEST} of the {len(genes):,} genes measured. Are they of "
            "the same naming (symbols such as ISG15)?"
        )
    return able
