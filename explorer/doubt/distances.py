"""How far cells lie from prototypes, measured against the cells that the prototypes were made of.

scPoli's uncertainty is the distance to the nearest prototype (De Donno et al., Nature Methods 2023). It has no unit,
and scaled to the range of one query it cannot be compared with another. Here it is set against the distances of each
prototype's own reference cells, which means the same for every query. Knows vectors and label codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.flow import FloatArray, IntArray

QUANTILE = 0.95
CHUNK = 4096


@dataclass(frozen=True)
class Prototypes:
    """Labels as points, and how their cells lie around them.

    Attributes
    ----------
    points
        float32 (classes, d), mean of each class's cells; NaN for a class without cells.
    covariance
        float32 (classes, d, d), of its cells with n - 1; of a class of fewer than two cells the pooled variances of
        all classes, on the diagonal.
    cells
        int64 (classes,), how many there were.
    own
        Distances of its own cells, sorted float32, one array a class.
    """

    points: FloatArray
    covariance: FloatArray
    cells: NDArray[np.int64]
    own: tuple[FloatArray, ...]

    @classmethod
    def of(cls, values: FloatArray, codes: IntArray, n_classes: int) -> Prototypes:
        """From cells float32 (m, d) and codes int32 (m,), -1 for unlabelled."""
        members = [values[codes == code].astype(np.float64) for code in range(n_classes)]
        d = values.shape[1]
        points = np.stack([own.mean(0) if len(own) else np.full(d, np.nan) for own in members])
        several = [own for own in members if len(own) > 1]
        freedom = sum(len(own) - 1 for own in several)
        pooled = sum((((own - own.mean(0)) ** 2).sum(0) for own in several), np.zeros(d)) / max(1, freedom)
        covariance = np.stack(
            [np.cov(own, rowvar=False).reshape(d, d) if len(own) > 1 else np.diag(pooled) for own in members]
        )
        own_distances = tuple(
            np.sort(np.linalg.norm(own - point, axis=1)).astype(np.float32)
            for own, point in zip(members, points, strict=True)
        )
        counts = np.array([len(own) for own in members], np.int64)
        return cls(points.astype(np.float32), covariance.astype(np.float32), counts, own_distances)

    def nearest(self, values: FloatArray) -> tuple[IntArray, FloatArray]:
        """Code of the nearest prototype, int32 (n,), and the distance to it, float32 (n,): scPoli's uncertainty."""
        codes = np.empty(len(values), np.int32)
        distance = np.empty(len(values), np.float32)
        points = np.where(np.isnan(self.points), np.inf, self.points)
        for start in range(0, len(values), CHUNK):
            rows = slice(start, start + CHUNK)
            away = np.linalg.norm(values[rows, None] - points, axis=2)
            codes[rows], distance[rows] = away.argmin(1), away.min(1)
        return codes, distance

    def p_values(self, codes: IntArray, distance: FloatArray) -> FloatArray:
        """Conformal p-value, float32 (n,) in (0, 1]: (1 + own cells at least as far) / (1 + own cells)."""
        out = np.ones(len(codes), np.float32)
        for code in np.unique(codes):
            asked = codes == code
            own = self.own[code]
            farther = len(own) - np.searchsorted(own, distance[asked], side="left")
            out[asked] = (1 + farther) / (1 + len(own))
        return out


def within_query(distance: FloatArray) -> FloatArray:
    """The published scaling: from 0 for the least to 1 for the most distant cell of this query, float32 (n,)."""
    if len(distance) == 0 or np.ptp(distance) == 0:
        return np.zeros(len(distance), np.float32)
    return np.asarray((distance - distance.min()) / np.ptp(distance), np.float32)
