"""Labels as points of a latent space: the mean of the cells that carry each. Knows vectors and label codes.

A cell is labelled by the prototypes it is near to, as scPoli does (De Donno et al., Nature Methods 2023), here by
cosine, like every neighbour search of this program.
"""

from __future__ import annotations

import numpy as np

from explorer.flow import FloatArray, IntArray
from explorer.neighbors import normalised

SHARPNESS = np.float32(10.0)  # of the softmax, before held-out cells set the temperature
NOWHERE = np.float32(-1e4)    # score of a class that has no prototype


def prototypes(values: FloatArray, codes: IntArray, n_classes: int) -> FloatArray:
    """Mean unit vector of the cells of each class, float32 (n_classes, d); zeros for a class without cells.

    Parameters
    ----------
    values, codes
        float32 (m, d) and int32 (m,); cells coded -1 are left out.
    """
    labelled = np.flatnonzero(codes >= 0)
    out = np.zeros((n_classes, values.shape[1]), np.float64)
    np.add.at(out, codes[labelled], normalised(values[labelled]))
    cells = np.bincount(codes[labelled], minlength=n_classes)
    return np.asarray(out / np.maximum(cells, 1)[:, None], np.float32)


def similarity(values: FloatArray, points: FloatArray) -> FloatArray:
    """Cosine of each cell and each prototype, float32 (n, classes); 0 for a class without cells."""
    return np.asarray(normalised(values) @ normalised(points).T, np.float32)


def probabilities(values: FloatArray, points: FloatArray) -> FloatArray:
    """Softmax over the cosines to the prototypes, float32 (n, classes); a class without cells gets nothing.

    Parameters
    ----------
    values, points
        float32 (n, d) and (classes, d).
    """
    scores = np.where(points.any(1), SHARPNESS * similarity(values, points), NOWHERE)
    shifted = np.exp(scores - scores.max(1, keepdims=True, initial=NOWHERE))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)
