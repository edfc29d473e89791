"""Which cells share a minibatch. Knows batch codes and neighbour lists, not expression.

CONCORD's dataset-aware sampler (Zhu et al., Nature Biotechnology 2026): a minibatch is drawn from one dataset
(or mostly from one), so that contrast is between cells of the same batch and batch effects are never
a cue; optionally a share of it comes from the neighbourhood of one core cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
SMALLEST = 4  # a minibatch of fewer cells has too few negatives to learn from
STRATEGIES = ("proportional", "equal", "coverage")
ENRICHED = 0.2  # share of what is expected from which on a dataset counts as present in a cluster


def _share(p: float, n: int) -> int:
    # plain int() makes int(0.29 * 100) = 28
    return int(np.floor(p * n + 1e-9))


@dataclass(frozen=True)
class BatchShares:
    """How a minibatch is put together: cells near the core or from anywhere, inside the dataset or outside."""

    near_inside: int
    near_outside: int
    far_inside: int
    far_outside: int


def batch_shares(size: int, p_knn: float, p_inside: float) -> BatchShares:
    """Split a minibatch of `size` cells: share `p_knn` from the core's neighbours, `p_inside` from its dataset."""
    near = _share(p_knn, size)
    near_inside = _share(p_inside, near)
    far_inside = _share(p_inside, size - near)
    return BatchShares(near_inside, near - near_inside, far_inside, size - near - far_inside)


def batches_per_domain(
    sizes: NDArray[np.int64],
    batch_size: int,
    strategy: str = "proportional",
    coverage: NDArray[np.floating] | None = None,
) -> NDArray[np.int64]:
    """Minibatches an epoch for each dataset, at least one.

    Parameters
    ----------
    sizes
        int (d,), cells of each dataset.
    strategy
        "proportional" to its cells; "equal", the median of the former for all; "coverage", in proportion to
        `coverage`, as many in all as the cells fill.
    coverage
        float (d,), share of the cell states that each dataset holds; from `coverage_of`.
    """
    proportional = np.maximum(1, sizes // batch_size)
    if strategy == "equal":
        return np.full(len(sizes), int(np.median(proportional)), np.int64)
    if strategy == "coverage" and coverage is not None:
        in_all = int(sizes.sum()) // batch_size
        return np.maximum(1, np.floor(coverage / coverage.sum() * in_all + 1e-9).astype(np.int64))
    return proportional


def coverage_of(domains: NDArray[np.integer], clusters: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of the clusters in which each dataset is present: with over a fifth of the cells expected there.

    Parameters
    ----------
    domains, clusters
        int (n,) each.

    Returns
    -------
    NDArray
        float (d,), datasets in ascending order of their codes.
    """
    _, d = np.unique(domains, return_inverse=True)
    _, c = np.unique(clusters, return_inverse=True)
    seen = np.zeros((d.max() + 1, c.max() + 1))
    np.add.at(seen, (d, c), 1)
    expected = np.outer(seen.sum(1), seen.sum(0)) / len(d)
    return np.asarray((seen > ENRICHED * expected).mean(1))


def pieces(domains: NDArray[np.integer], size: int, rng: np.random.Generator) -> list[Index]:
    """All cells once, in random domain-pure pieces of about `size`."""
    shuffled = [rng.permutation(np.flatnonzero(domains == d)) for d in np.unique(domains)]
    return [piece for members in shuffled for piece in np.array_split(members, max(1, round(len(members) / size)))]


def _drawn(members: Index, count: int, each: int, rng: np.random.Generator) -> Index:
    """int (count, each): distinct cells all over while they last, else distinct within a row."""
    if count * each <= len(members):
        return rng.permutation(members)[: count * each].reshape(count, each)
    return np.array([rng.permutation(members)[:each] for _ in range(count)], np.int64).reshape(count, each)


class DomainSampler:
    """Minibatches of one epoch after the other.

    Parameters
    ----------
    domains
        int (n,), dataset of each cell.
    batch_size
        Cells a minibatch (fewer when a dataset is smaller: then every cell of it once).
    p_knn
        Share of a minibatch drawn around a core cell; needs `neighbors`.
    p_inside
        Share of a minibatch drawn from the core's own dataset.
    neighbors
        int (n, k), neighbours of every cell over all cells, itself included. May be set between two epochs, as after
        a warm-up; without it the whole minibatch is drawn from anywhere.
    by_domain
        Whether all minibatches of a dataset follow each other, datasets in random order.
    strategy, coverage
        How many minibatches each dataset gets; see `batches_per_domain`.
    """

    def __init__(
        self,
        domains: NDArray[np.integer],
        batch_size: int,
        p_knn: float = 0.0,
        p_inside: float = 1.0,
        neighbors: NDArray[np.integer] | None = None,
        by_domain: bool = False,
        strategy: str = "proportional",
        coverage: NDArray[np.floating] | None = None,
    ) -> None:
        self.domains = domains
        self.members = [np.flatnonzero(domains == d) for d in np.unique(domains)]
        sizes = np.array([len(members) for members in self.members], np.int64)
        self.counts = batches_per_domain(sizes, batch_size, strategy, coverage)
        self.batch_size = batch_size
        self.p_knn = p_knn
        self.p_inside = p_inside if len(self.members) > 1 else 1.0
        self.neighbors = neighbors
        self.by_domain = by_domain

    def epoch(self, rng: np.random.Generator) -> list[Index]:
        """The minibatches of one epoch in random order; each holds distinct cells."""
        order = rng.permutation(len(self.members)) if self.by_domain else range(len(self.members))
        minibatches = [
            minibatch
            for d in order
            for minibatch in self._of_domain(self.members[d], int(self.counts[d]), rng)
            if len(minibatch) >= SMALLEST
        ]
        if self.by_domain:
            return minibatches
        return [minibatches[i] for i in rng.permutation(len(minibatches))]

    def _of_domain(self, members: Index, count: int, rng: np.random.Generator) -> list[Index]:
        size = min(self.batch_size, len(members))
        shares = batch_shares(size, self.p_knn if self.neighbors is not None else 0.0, self.p_inside)
        inside = _drawn(members, count, shares.far_inside, rng)
        cores = _drawn(members, count, 1, rng)[:, 0]
        return [
            np.unique(
                np.concatenate(
                    [
                        inside[i],
                        self._outside(members, shares.far_outside, rng),
                        self._near(cores[i], members, shares, rng),
                    ]
                )
            )
            for i in range(count)
        ]

    def _outside(self, members: Index, n: int, rng: np.random.Generator) -> Index:
        if n == 0:
            return np.empty(0, np.int64)
        others = np.flatnonzero(self.domains != self.domains[members[0]])
        return rng.choice(others, size=min(n, len(others)), replace=False)

    def _near(self, core: int, members: Index, shares: BatchShares, rng: np.random.Generator) -> Index:
        if self.neighbors is None or shares.near_inside + shares.near_outside == 0:
            return np.empty(0, np.int64)
        near = rng.permutation(self.neighbors[core]).astype(np.int64)
        own = self.domains[near] == self.domains[core]
        inside = near[own][: shares.near_inside]
        # a core in a corner of the data has too few neighbours of its own dataset; its dataset fills the gap
        missing = shares.near_inside - len(inside)
        filled = rng.choice(members, size=missing, replace=missing > len(members)) if missing else inside[:0]
        return np.concatenate([inside, filled, near[~own][: shares.near_outside]])
