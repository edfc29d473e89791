"""Where cells are drawn. The reference's picture is made once; query cells are placed in it, never move it."""

from __future__ import annotations

import warnings

import numpy as np

from explorer.flow import FloatArray, Neighbors


def reference_layout(values: FloatArray, seed: int = 0) -> FloatArray:
    """UMAP of a reference embedding, float32 (m, 2), by cosine distance, seeded.

    Parameters
    ----------
    values
        float32 (m, d).
    """
    from umap import UMAP  # compiles for seconds at import; only building a reference needs it

    neighbors = min(15, len(values) - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a seed makes umap run on one thread, as wanted
        warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
        fitted = UMAP(n_neighbors=neighbors, min_dist=0.3, metric="cosine", random_state=seed).fit_transform(values)
    return np.asarray(fitted, np.float32)


def place(neighbors: Neighbors, layout: FloatArray) -> FloatArray:
    """Place cells among their reference neighbours, float32 (n, 2).

    A cell goes to the mean of that half of its neighbours which lies closest to their similarity-weighted
    median. The median keeps it out of the empty space between two far groups; the mean keeps cells with the
    same median from falling on one point.

    Parameters
    ----------
    neighbors
        Of n cells, k each.
    layout
        float32 (m, 2), the reference's picture.
    """
    points = layout[neighbors.indices]  # (n, k, 2)
    weights = np.maximum(neighbors.similarity, 1e-6)
    center = np.stack([_weighted_median(points[:, :, axis], weights) for axis in (0, 1)], axis=1)
    away = np.linalg.norm(points - center[:, None], axis=2)
    half = np.argsort(away, axis=1, kind="stable")[:, : max(1, points.shape[1] // 2)]
    near = np.take_along_axis(points, half[:, :, None], axis=1)
    near_weights = np.take_along_axis(weights, half, axis=1)[:, :, None]
    return np.asarray((near * near_weights).sum(1) / near_weights.sum(1), np.float32)


def _weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = (reached >= reached[:, -1:] / 2).argmax(axis=1)
    return np.asarray(ordered[np.arange(len(values)), middle], np.float32)
