"""The measures of scIB as the package scib-metrics computes them, where it is installed. Knows vectors and codes.

Luecken et al., Nature Methods 2022. An extra, for it brings JAX and igraph along. At most 10,000 labelled cells are
drawn with a seed; neighbours are exact and Euclidean, as in the package.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from sklearn.neighbors import NearestNeighbors

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.insight.neighborhoods import MOST_ASKED, sampled

NEIGHBORS = {"kbet": 50, "lisi": 90, "clusters": 15}  # with the cell itself, as the package's own benchmark takes them
BIOLOGY = ("scib_isolated_labels", "scib_nmi", "scib_ari", "scib_silhouette_label", "scib_clisi")
BATCH = ("scib_bras", "scib_ilisi", "scib_kbet", "scib_connectivity")


def scib_measures(values: FloatArray, codes: IntArray, batches: IntArray, seed: int = 0) -> dict[str, float]:
    """All scIB measures of an embedding but the regression against uncorrected data, each in [0, 1], 1 the best.

    Parameters
    ----------
    values, codes, batches
        float32 (n, d) and int32 (n,); cells with a code of -1 take no part.

    Returns
    -------
    dict
        The five of `BIOLOGY` (labels kept apart; Leiden clusters at the resolution that fits the labels best), the four
        of `BATCH`, their means scib_biology and scib_batch, and scib_total, 0.6 of the one and 0.4 of the other.

    Raises
    ------
    OptionsProblem
        If scib-metrics is not installed, or there are fewer than two labels, two batches or 100 labelled cells.
    """
    require_scib()
    taken = np.flatnonzero(codes >= 0)
    taken = taken[sampled(len(taken), MOST_ASKED, seed)]
    labels, batch = codes[taken], batches[taken]
    if len(taken) < 100 or len(np.unique(labels)) < 2 or len(np.unique(batch)) < 2:
        raise OptionsProblem(
            "scIB compares at least two batches and two labels over at least 100 labelled cells; there are "
            f"{len(np.unique(batch))}, {len(np.unique(labels))} and {len(taken)}."
        )
    found = _computed(np.asarray(values[taken], np.float32), labels, batch, seed)
    biology, mixing = (float(np.mean([found[name] for name in names])) for names in (BIOLOGY, BATCH))
    return found | {"scib_biology": biology, "scib_batch": mixing, "scib_total": 0.6 * biology + 0.4 * mixing}


def require_scib() -> None:
    """See that scib-metrics is installed.

    Raises
    ------
    OptionsProblem
        If it is not, with the line that installs it.
    """
    if find_spec("scib_metrics") is None:
        raise OptionsProblem(
            "The measures of scIB are computed by the package scib-metrics, which is not installed. Install it with: "
            "pip install 'atlas-explorer[metrics]'"
        )


def _computed(values: FloatArray, labels: IntArray, batches: IntArray, seed: int) -> dict[str, float]:
    import scib_metrics as scib  # brings JAX: only here
    from scib_metrics.nearest_neighbors import NeighborsResults

    search = NearestNeighbors(n_neighbors=NEIGHBORS["lisi"], algorithm="brute").fit(values)
    distances, indices = search.kneighbors(values)
    near = NeighborsResults(indices=indices, distances=distances)
    clusters = scib.nmi_ari_cluster_labels_leiden(near.subset_neighbors(NEIGHBORS["clusters"]), labels, seed=seed)
    found = {
        "scib_isolated_labels": scib.isolated_labels(values, labels, batches),
        "scib_nmi": clusters["nmi"],
        "scib_ari": clusters["ari"],
        "scib_silhouette_label": scib.silhouette_label(values, labels),
        "scib_clisi": scib.clisi_knn(near, labels),
        "scib_bras": scib.bras(values, labels, batches),
        "scib_ilisi": scib.ilisi_knn(near, batches),
        "scib_kbet": scib.kbet_per_label(near.subset_neighbors(NEIGHBORS["kbet"]), batches, labels),
        "scib_connectivity": scib.graph_connectivity(near.subset_neighbors(NEIGHBORS["clusters"]), labels),
    }
    return {name: float(value) for name, value in found.items()}
