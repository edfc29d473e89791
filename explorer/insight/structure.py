"""Whether a picture or a latent space keeps what was there: neighbours, distances, paths. Knows vectors only.

For the picture against the latent space, and for a latent space against the truth of a simulation. All measures take
at most 2,000 cells, drawn with a seed, for time and memory grow with the square of their number.

After CONCORD (Zhu et al., Nature Biotechnology 2026), who hold embeddings against noise-free data by trustworthiness
and by the correlation of cosine distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness as of_scikit_learn
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import kneighbors_graph

from explorer.errors import OptionsProblem
from explorer.insight.neighborhoods import sampled

MOST_CELLS = 2_000
NEIGHBORS = 15
SHORTEST, COLLAPSED = 1e-9, 1e-6  # length of an edge between cells in one place, and of a path if all are there
SEVERAL = tuple(range(10, 101, 10))  # numbers of neighbours that the benchmarks of CONCORD average over

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Recovered:
    """How much of a known structure an embedding keeps; 1 is all of it.

    Attributes
    ----------
    trustworthiness
        In [0, 1], mean over 10, 20 ... 100 neighbours: cells that are near in the embedding are so in truth.
    continuity
        In [0, 1], the same the other way round: cells that are near in truth are so in the embedding.
    distances
        Pearson's r of all cosine distances in the one and the other, in [-1, 1].
    paths
        Spearman's rho of path lengths along the graphs of nearest neighbours, in [-1, 1]: a loop that was cut, or
        branches that were joined, lose here what the other measures hardly see.
    """

    trustworthiness: float
    continuity: float
    distances: float
    paths: float

    @property
    def geometry(self) -> float:
        """Mean of trustworthiness and correlation of distances, the geometry score of CONCORD."""
        return (self.trustworthiness + self.distances) / 2


def trustworthiness(
    values: Floats, picture: Floats, k: int = NEIGHBORS, metric: str = "cosine", seed: int = 0
) -> float:
    """Whether cells that are near in a picture are near in the latent space, in [0, 1]; 1 is good.

    Venna & Kaski (2001), by scikit-learn: of each cell's k neighbours in the picture, those that are not among its k
    nearest in the latent space count by how far down they rank there. Unrelated places give about 0.5.

    Parameters
    ----------
    values, picture
        float (n, d) and (n, 2). Distances in the picture are Euclidean; `metric` says how the others are measured.
    k
        Less than half of the cells.

    Raises
    ------
    OptionsProblem
        If k is too large for so few cells.
    """
    taken = sampled(len(values), MOST_CELLS, seed)
    _require_enough(len(taken), k)
    return float(of_scikit_learn(values[taken], picture[taken], n_neighbors=k, metric=metric))


def continuity(values: Floats, picture: Floats, k: int = NEIGHBORS, metric: str = "cosine", seed: int = 0) -> float:
    """Whether cells that are near in the latent space are near in a picture, in [0, 1]; 1 is good.

    Trustworthiness with the two changed round (Venna & Kaski 2001). Parameters and problems as there.
    """
    taken = sampled(len(values), MOST_CELLS, seed)
    _require_enough(len(taken), k)
    far = _ordered(pairwise_distances(picture[taken]))
    return _kept(far, _ordered(pairwise_distances(values[taken], metric=metric)), k)


def distance_correlation(truth: Floats, embedding: Floats, seed: int = 0) -> float:
    """Pearson's r of the cosine distances between all cells in truth and in an embedding, in [-1, 1]; 1 is good.

    NaN where all distances are alike, as of a collapsed embedding.

    Parameters
    ----------
    truth, embedding
        float (n, p) and (n, d).
    """
    taken = sampled(len(truth), MOST_CELLS, seed)
    return _pearson(pdist(truth[taken], "cosine"), pdist(embedding[taken], "cosine"))


def path_correlation(
    truth: Floats, embedding: Floats, k: int = NEIGHBORS, metric: str = "cosine", seed: int = 0
) -> float:
    """Spearman's rho of path lengths along nearest neighbours in truth and in an embedding, in [-1, 1]; 1 is good.

    Paths run along the graph of the k nearest neighbours, the edges as long as their cells are apart. Pairs that no
    path joins in truth, as between clusters, are left out; pairs that a path joins in truth and none in the embedding
    count as the farthest of all. NaN where nothing varies.

    Parameters
    ----------
    truth, embedding
        float (n, p) and (n, d). Distances in truth are Euclidean; `metric` says how others are measured.
    """
    taken = sampled(len(truth), MOST_CELLS, seed)
    _require_enough(len(taken), k)
    upper = np.triu_indices(len(taken), 1)
    real = _paths(truth[taken], k, "euclidean")[upper]
    found = _paths(embedding[taken], k, metric)[upper]
    joined = np.isfinite(real)
    farthest = found[np.isfinite(found)].max(initial=0)
    if farthest < COLLAPSED or np.ptp(real[joined]) == 0:
        return float("nan")
    found = np.where(np.isfinite(found), found, 2 * farthest)
    return float(spearmanr(real[joined], found[joined]).statistic)


def recovered(truth: Floats, embedding: Floats, metric: str = "cosine", seed: int = 0) -> Recovered:
    """How much of the truth of a simulation an embedding keeps.

    Parameters
    ----------
    truth, embedding
        float (n, p) and (n, d); more than 200 cells, for neighbourhoods of up to 100.
    metric
        How distances in the embedding are measured; in truth they are Euclidean.

    Raises
    ------
    OptionsProblem
        If there are too few cells.
    """
    taken = sampled(len(truth), MOST_CELLS, seed)
    _require_enough(len(taken), SEVERAL[-1])
    real = _ordered(pairwise_distances(truth[taken]))
    found = _ordered(pairwise_distances(embedding[taken], metric=metric))
    return Recovered(
        float(np.mean([_kept(real, found, k) for k in SEVERAL])),
        float(np.mean([_kept(found, real, k) for k in SEVERAL])),
        distance_correlation(truth, embedding, seed),
        path_correlation(truth, embedding, metric=metric, seed=seed),
    )


def _ordered(distances: Floats) -> NDArray[np.int64]:
    """The others of each cell, nearest first, int64 (n, n - 1)."""
    apart = distances.astype(np.float64)
    np.fill_diagonal(apart, np.inf)  # a cell comes last among its own
    return np.asarray(np.argsort(apart, axis=1, kind="stable")[:, :-1], np.int64)


def _kept(real: NDArray[np.int64], found: NDArray[np.int64], k: int) -> float:
    """Trustworthiness of the k first of `found`, by how far down they rank in `real`; both as `_ordered`."""
    n = len(real)
    rank = np.zeros((n, n), np.int64)
    np.put_along_axis(rank, real, np.arange(1, n)[None], axis=1)
    beyond = np.take_along_axis(rank, found[:, :k], axis=1) - k
    return float(1 - 2 * np.maximum(beyond, 0).sum() / (n * k * (2 * n - 3 * k - 1)))


def _paths(values: Floats, k: int, metric: str) -> NDArray[np.float64]:
    """Path lengths along the k nearest neighbours, float64 (n, n); infinite where there is no path."""
    graph = kneighbors_graph(values, k, mode="distance", metric=metric)
    graph.data = np.maximum(graph.data, SHORTEST)  # an edge of length 0 would be none
    return np.asarray(shortest_path(graph, directed=False, method="D"))


def _pearson(first: Floats, second: Floats) -> float:
    if not (np.std(first) > 1e-12 and np.std(second) > 1e-12):  # nor where a vector of length 0 has no cosine
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _require_enough(cells: int, k: int) -> None:
    if not 0 < k < cells / 2:
        raise OptionsProblem(
            f"Neighbourhoods of {k} cells are compared among more than {2 * k}; there are {cells}. Take fewer "
            "neighbours."
        )
