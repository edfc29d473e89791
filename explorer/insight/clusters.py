"""Cells that have no label, grouped: places of a latent space that a user may want to name. Knows vectors only.

Louvain communities of the graph of nearest neighbours (Blondel et al., Journal of Statistical Mechanics 2008), as
scPoli makes its unlabelled prototypes (De Donno et al., Nature Methods 2023).
"""

from __future__ import annotations

import numpy as np

from explorer.flow import FloatArray, IntArray
from explorer.neighbors import Index, normalised

NEIGHBORS = 15


def clusters(values: FloatArray, resolution: float = 1.0, seed: int = 0) -> IntArray:
    """Cluster of each cell, int32 (n,), the largest first.

    Parameters
    ----------
    values
        float32 (n, d).
    resolution
        Above 1 for more and smaller clusters.
    """
    import networkx  # takes a moment to import

    found = Index(values).search(values, NEIGHBORS + 1)
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(values)))
    graph.add_weighted_edges_from(
        (cell, int(other), float(near))
        for cell, (others, similar) in enumerate(zip(found.indices, found.similarity, strict=True))
        for other, near in zip(others, similar, strict=True)
        if other != cell and near > 0
    )
    communities = networkx.community.louvain_communities(graph, resolution=resolution, seed=seed)
    out = np.empty(len(values), np.int32)
    for code, members in enumerate(sorted(communities, key=lambda each: (-len(each), min(each)))):
        out[list(members)] = code
    return out


def centres(values: FloatArray, codes: IntArray) -> FloatArray:
    """Mean unit vector of each cluster, float32 (clusters, d): prototypes of labels that are yet to be given."""
    unit = normalised(values)
    return np.stack([unit[codes == code].mean(0) for code in range(int(codes.max(initial=-1)) + 1)])
