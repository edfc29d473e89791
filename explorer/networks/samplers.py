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


def batches_per_domain(sizes: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
    """Minibatches an epoch for each dataset, proportional to its cells and at least one."""
    return np.maximum(1, sizes // batch_size)


def pieces(domains: NDArray[np.integer], size: int, rng: np.random.Generator) -> list[Index]:
    """All cells once, in random domain-pure pieces of about `size`."""
    shuffled = [rng.permutation(np.flatnonzero(domains == d)) for d in np.unique(domains)]
    return [piece for members in shuffled for piece in np.array_split(members, max(1, round(len(members) / size)))]


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
        int (n, k), neighbours of every cell over all cells, itself included.
    by_domain
        Whether all minibatches of a dataset follow each other, datasets in random order.
    """

    def __init__(
        self,
        domains: NDArray[np.integer],
        batch_size: int,
        p_knn: float = 0.0,
        p_inside: float = 1.0,
        neighbors: NDArray[np.integer] | None = None,
        by_domain: bool = False,
    ) -> None:
        self.domains = domains
        self.members = [np.flatnonzero(domains == d) for d in np.unique(domains)]
        self.batch_size = batch_size
        self.p_knn = p_knn if neighbors is not None else 0.0
        self.p_inside = p_inside if len(self.members) > 1 else 1.0
        self.neighbors = neighbors
        self.by_domain = by_domain

    def epoch(self, rng: np.random.Generator) -> list[Index]:
        """The minibatches of one epoch in random order; each holds distinct cells."""
        order = rng.permutation(len(self.members)) if self.by_domain else range(len(self.members))
        minibatches = [
            minibatch
            for d in order
            for minibatch in self._of_domain(self.members[d], rng)
            if len(minibatch) >= SMALLEST
        ]
        if self.by_domain:
            return minibatches
        return [minibatches[i] for i in rng.permutation(len(minibatches))]

    def _of_domain(self, members: Index, rng: np.random.Generator) -> list[Index]:
        size = min(self.batch_size, len(members))
        count = int(batches_per_domain(np.array([len(members)]), self.batch_size)[0])
        shares = batch_shares(size, self.p_knn, self.p_inside)
        inside = rng.permutation(members)[: count * shares.far_inside].reshape(count, shares.far_inside)
        cores = rng.permutation(members)[:count]
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
