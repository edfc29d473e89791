"""Nearest reference cells of an embedding. Knows vectors, not labels.

Exact search by inner product of normalised vectors, so that the same input gives the same neighbours.
"""

from __future__ import annotations

import faiss
import numpy as np

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


class LabelIndex:
    """Reference vectors by label: how far is a cell from the cells that carry *its* label?

    Parameters
    ----------
    values
        float32 (m, d).
    codes
        int32 (m,), -1 for unlabelled.
    """

    def __init__(self, values: FloatArray, codes: IntArray) -> None:
        self.codes = codes
        self._rows = {int(code): np.flatnonzero(codes == code) for code in np.unique(codes) if code >= 0}
        self._of_label = {code: Index(values[rows]) for code, rows in self._rows.items()}

    def neighbors(self, values: FloatArray, codes: IntArray, k: int) -> Neighbors:
        """The k nearest reference cells of the label that each cell was given, and of no other.

        Where a label has fewer cells, its last one stands in for the rest with similarity 0; where it has none, the
        reference's first cell does.

        Parameters
        ----------
        values, codes
            float32 (n, d) and int (n,).
        """
        indices = np.zeros((len(values), k), np.int32)
        similarity = np.zeros((len(values), k), np.float32)
        for code in np.unique(codes):
            if int(code) in self._of_label:
                asked = np.flatnonzero(codes == code)
                found = self._of_label[int(code)].search(values[asked], k)
                rows = self._rows[int(code)][found.indices]
                n = rows.shape[1]
                indices[asked] = np.pad(rows, ((0, 0), (0, k - n)), mode="edge")
                similarity[asked] = np.pad(found.similarity, ((0, 0), (0, k - n)))
        return Neighbors(indices, similarity)
