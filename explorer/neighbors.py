"""Nearest reference cells of an embedding. Knows vectors, not labels.

Exact search by inner product of normalised vectors, so that the same input gives the same neighbours.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from explorer.flow import FloatArray, IntArray, Neighbors
from explorer.progress import Progress

CHUNK = 4096  # queries a search, so that progress and cancel come often


def normalised(values: FloatArray) -> FloatArray:
    """Rows scaled to length 1, float32; a row of zeros stays zero."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.ascontiguousarray(values / np.maximum(length, 1e-12), dtype=np.float32)


class Index:
    """Reference vectors, ready to be searched.

    Parameters
    ----------
    values
        float32 (m, d); need not be normalised.
    """

    def __init__(self, values: FloatArray) -> None:
        unit = normalised(values)
        self._flat = faiss.IndexFlatIP(unit.shape[1])
        self._flat.add(unit)

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    def search(self, values: FloatArray, k: int, progress: Progress | None = None) -> Neighbors:
        """The k nearest reference vectors of each row of `values`, float32 (n, d), by cosine similarity."""
        unit = normalised(values)
        k = min(k, len(self))
        indices = np.empty((len(unit), k), np.int32)
        similarity = np.empty((len(unit), k), np.float32)
        for start in range(0, len(unit), CHUNK):
            chunk = slice(start, start + CHUNK)
            similarity[chunk], indices[chunk] = self._flat.search(unit[chunk], k)
            if progress is not None:
                progress(min(1.0, (start + CHUNK) / len(unit)))
        return Neighbors(indices, similarity)


def distance_to_label(
    values: FloatArray, codes: IntArray, reference: FloatArray, reference_codes: NDArray[np.integer], k: int = 5
) -> FloatArray:
    """Mean cosine distance of each cell to the k nearest reference cells that carry *its* label.

    Parameters
    ----------
    values, codes
        float32 (n, d) and int (n,): cells and the label each was given.
    reference, reference_codes
        float32 (m, d) and int (m,): reference cells and their labels.

    Returns
    -------
    float32 (n,) in [0, 2]; 2 where the reference has no cell of that label.
    """
    out = np.full(len(values), 2.0, np.float32)
    for code in np.unique(codes):
        members = np.flatnonzero(reference_codes == code)
        asked = np.flatnonzero(codes == code)
        if len(members) and code >= 0:
            found = Index(reference[members]).search(values[asked], k)
            out[asked] = 1 - found.similarity.mean(1)
    return out
