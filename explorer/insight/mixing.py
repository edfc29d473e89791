"""Whether batches lie among one another, with or without labels. Knows vectors and codes.

A share of foreign neighbours can only be read beside what it would be if batches did not matter, which depends on how
many cells each has, and on what cells those are. So each measure comes with its expectation: the same neighbourhoods
with batches dealt out anew, among the cells of a label where labels are known.

Neighbours are the nearest others by cosine, of at most 10,000 cells drawn with a seed. O(asked x n x d) time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.insight.neighborhoods import MOST_ASKED, others, sampled
from explorer.neighbors import normalised

NEIGHBORS = 30
DEALS = 20
CONNECTED_NEIGHBORS = 15


@dataclass(frozen=True)
class Mixing:
    """How batches are spread over neighbourhoods.

    Attributes
    ----------
    entropy
        Mean entropy of the batches among a cell's neighbours over log(batches), in [0, 1].
    lisi
        Mean inverse Simpson index of the same, from 1 to the number of batches: how many batches a neighbourhood
        effectively holds (iLISI of Korsunsky et al., Nature Methods 2019, with equal weights for k neighbours).
    foreign
        Mean share of neighbours from other batches, in [0, 1].
    expected_entropy, expected_lisi, expected_foreign
        The same with batches dealt out at random, mean of 20 deals.
    cells
        How many were asked.
    """

    entropy: float
    lisi: float
    foreign: float
    expected_entropy: float
    expected_lisi: float
    expected_foreign: float
    cells: int

    @property
    def ratio(self) -> float:
        """Foreign neighbours over those expected: 1 where batches do not matter, 0 where they lie apart."""
        return self.foreign / self.expected_foreign


def mixing(
    values: FloatArray,
    batches: IntArray,
    labels: IntArray | None = None,
    k: int = NEIGHBORS,
    seed: int = 0,
) -> Mixing:
    """How batches mix among the k nearest others of each cell.

    Parameters
    ----------
    values, batches
        float32 (n, d) and int32 (n,).
    labels
        int32 (n,), own or predicted; batches are then dealt out within each, so that a batch that holds other types
        than the rest is not taken for one that does not mix. `None` deals them out among all cells.
    seed
        Draws the cells that are asked, and the deals.

    Raises
    ------
    OptionsProblem
        If there are fewer than two batches.
    """
    names, codes = np.unique(batches, return_inverse=True)
    if len(names) < 2:
        raise OptionsProblem(f"Whether batches mix is asked of at least two; there is {len(names)}. Name their column.")
    rng = np.random.default_rng(seed)
    asked = sampled(len(values), MOST_ASKED, seed)
    near = others(normalised(values), asked, k)
    strata = np.zeros(len(codes), np.int32) if labels is None else labels
    dealt = [_spread(_dealt(codes, strata, rng), asked, near, len(names)) for _ in range(DEALS)]
    entropy, lisi, foreign = np.mean(dealt, axis=0).tolist()
    return Mixing(*_spread(codes, asked, near, len(names)), entropy, lisi, foreign, len(asked))


def connectivity(values: FloatArray, codes: IntArray, k: int = CONNECTED_NEIGHBORS, seed: int = 0) -> float:
    """Mean over labels of the share of its cells that hang together in the graph of nearest neighbours, in (0, 1].

    Graph connectivity of Luecken et al. (scIB, Nature Methods 2022): the graph of the k nearest others by cosine is cut
    down to the cells of a label; its largest connected part counts. 1 where every label is in one piece.

    Parameters
    ----------
    codes
        int32 (n,), -1 for unlabelled. At most 10,000 cells are taken, drawn with the seed.

    Raises
    ------
    OptionsProblem
        If no cell is labelled.
    """
    taken = np.flatnonzero(codes >= 0)
    if len(taken) == 0:
        raise OptionsProblem("Whether labels hang together is asked of labelled cells; there is none.")
    taken = taken[sampled(len(taken), MOST_ASKED, seed)]
    n = len(taken)
    near = others(normalised(values[taken]), np.arange(n), k)
    rows = np.repeat(np.arange(n), near.shape[1])
    of_label = codes[taken]
    within = of_label[rows] == of_label[near.ravel()]
    graph = sparse.csr_matrix((np.ones(within.sum()), (rows[within], near.ravel()[within])), (n, n))
    _, part = connected_components(graph, directed=False)
    return float(np.mean([np.bincount(part[of_label == code]).max() / (of_label == code).sum()
                          for code in np.unique(of_label)]))  # fmt: skip


def _dealt(codes: NDArray[np.integer], strata: IntArray, rng: np.random.Generator) -> NDArray[np.integer]:
    """Batches dealt out anew within each stratum, int (n,)."""
    order = np.argsort(strata, kind="stable")
    shuffled = np.lexsort((rng.random(len(codes)), strata))
    out = np.empty_like(codes)
    out[order] = codes[shuffled]
    return out


def _spread(
    codes: NDArray[np.integer], asked: NDArray[np.int64], near: NDArray[np.int64], n_batches: int
) -> tuple[float, float, float]:
    """Entropy, inverse Simpson index and foreign share, means over the asked cells."""
    rows = np.repeat(np.arange(len(asked)), near.shape[1])
    counts = np.bincount(rows * n_batches + codes[near].ravel(), minlength=len(asked) * n_batches)
    shares = counts.reshape(len(asked), n_batches) / near.shape[1]
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1) / np.log(n_batches)
    foreign = 1 - shares[np.arange(len(asked)), codes[asked]]
    return float(entropy.mean()), float((1 / (shares**2).sum(1)).mean()), float(foreign.mean())
