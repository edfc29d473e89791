"""How well a cell's neighbours from *other* batches know what it is: KNI and RbNI. Knows vectors and codes.

After Diaz-Mejia et al. (BA-scVI, bioRxiv 2024). Two things have to hold for a cell to count as right: its neighbourhood
mixes batches, and the neighbours from other batches carry its label. An embedding that keeps batches apart scores 0,
and so does one that mixes everything.

Distances are between scaled dimensions, and searched in all cells; of more than `MOST_ASKED` cells some are asked.
The search takes O(asked x m x d) time; at most `BLOCK` distances are held at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from explorer.errors import OptionsProblem
from explorer.flow import BoolArray, FloatArray, IntArray

NEIGHBORS = 50
RADIUS = 1.0
OWN_BATCH = 0.8      # share of neighbours from its own batch from which on a cell is an outlier
MOST_ASKED = 10_000
BLOCK = 2**24


@dataclass(frozen=True)
class Integration:
    """What the neighbours of some cells say of them.

    Attributes
    ----------
    rows
        int64 (a,), the cells that were asked.
    predicted
        int32 (a,), the label that most neighbours of other batches carry; -1 for an outlier.
    correct, diverse
        bool (a,): whether that is the cell's own label, and whether it is no outlier.
    accuracy
        Share of cells whose label most of all their neighbours carry, whatever the batch.
    """

    rows: NDArray[np.int64]
    predicted: IntArray
    correct: BoolArray
    diverse: BoolArray
    accuracy: float

    @property
    def score(self) -> float:
        """Share of cells that are right, in [0, 1]; outliers count as wrong."""
        return float(self.correct.mean())


def quantile_scaled(values: FloatArray) -> NDArray[np.float64]:
    """Each dimension less its mean, over the distance between its quartiles: float64 (n, d); 0 where that is 0."""
    exact = values.astype(np.float64)
    low, high = np.quantile(exact, [0.25, 0.75], axis=0)
    reach = high - low
    return np.where(reach > 0, (exact - exact.mean(0)) / np.where(reach > 0, reach, 1), 0)


def kni(
    values: FloatArray, codes: IntArray, batches: IntArray, k: int = NEIGHBORS, scaled: bool = True, seed: int = 0
) -> Integration:
    """Share of cells whose k nearest others mix batches, and whose neighbours of other batches carry their label.

    A cell is an outlier where at least 80 % of its neighbours are of its own batch. As the authors compute it; the
    formula that they print would ask for 80 % of foreign neighbours. Of labels that are equally frequent the first
    counts.

    Parameters
    ----------
    values
        float32 (n, d).
    codes, batches
        int32 (n,); cells with a code of -1 are unlabelled and take no part.
    k
        Published as 50, of many thousand cells; of few cells take no more than a tenth of them.
    scaled
        Whether dimensions are scaled first, see `quantile_scaled`.
    seed
        Draws the cells that are asked, if there are more than 10,000.

    Raises
    ------
    OptionsProblem
        If fewer than two batches hold labelled cells.

    Notes
    -----
    A dimension that two batches divide has its quartiles as far apart as the batches, so that scaling brings them
    within 1 of each other: batches that lie apart along one or two of many dimensions can pass for mixed. Mixing
    measured by cosine (`explorer.insight.mixing`) sees them.
    """
    places, codes, batches, labelled = _labelled(values, codes, batches, scaled)
    asked = sampled(len(places), MOST_ASKED, seed)
    near = others(places, asked, k)
    own = batches[near] == batches[asked][:, None]
    n_classes = int(codes.max()) + 1
    foreign, everyone = np.zeros((2, len(asked), n_classes), np.int32)
    rows = np.repeat(np.arange(len(asked)), near.shape[1])
    np.add.at(everyone, (rows, codes[near].ravel()), 1)
    np.add.at(foreign, (rows[~own.ravel()], codes[near][~own]), 1)
    outlier = own.sum(1) >= OWN_BATCH * near.shape[1]
    return _integration(labelled[asked], codes[asked], foreign, everyone, outlier)


def rbni(
    values: FloatArray,
    codes: IntArray,
    batches: IntArray,
    radius: float = RADIUS,
    scaled: bool = True,
    seed: int = 0,
) -> Integration:
    """The same with all other cells within a radius; a cell that has none there is an outlier, and counts as wrong.

    Parameters
    ----------
    radius
        In scaled units: 1 is the distance between the quartiles of one dimension.

    Raises
    ------
    OptionsProblem
        If fewer than two batches hold labelled cells.

    Notes
    -----
    How many cells lie within a radius depends on their number, on how many dimensions there are and on how tightly
    types are packed. Compare embeddings of the same cells only, and take a low score beside a high KNI for loose
    packing, not for batches apart.
    """
    places, codes, batches, labelled = _labelled(values, codes, batches, scaled)
    asked = sampled(len(places), MOST_ASKED, seed)
    n_classes = int(codes.max()) + 1
    kind = batches.astype(np.int64) * n_classes + codes  # of each cell, its batch and its label in one
    cells = np.arange(len(places))
    of_kind = sparse.csr_matrix((np.ones(len(places), np.float32), (cells, kind)), (len(places), int(kind.max()) + 1))
    foreign, everyone = np.zeros((2, len(asked), n_classes), np.int64)
    step = max(1, BLOCK // len(places))
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        near = euclidean_distances(places[rows], places) <= radius
        near[np.arange(len(rows)), rows] = False
        counts = np.zeros((len(rows), (int(batches.max()) + 1) * n_classes))
        counts[:, : of_kind.shape[1]] = near.astype(np.float32) @ of_kind
        by_batch = counts.reshape(len(rows), -1, n_classes)
        everyone[start : start + step] = by_batch.sum(1)
        by_batch[np.arange(len(rows)), batches[rows]] = 0
        foreign[start : start + step] = by_batch.sum(1)
    own = (everyone - foreign).sum(1)
    outlier = (everyone.sum(1) == 0) | (own >= OWN_BATCH * everyone.sum(1))
    return _integration(labelled[asked], codes[asked], foreign, everyone, outlier)


def sampled(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Ascending positions of all of n, or of `most` of them drawn at random, int64."""
    if n <= most:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False)).astype(np.int64)


def others(values: NDArray[np.floating], asked: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k nearest cells of each asked one but itself, int64 (a, k), nearest first, by Euclidean distance.

    Parameters
    ----------
    values, asked
        float (n, d), and int64 (a,), rows of it. k is at most n - 1.
    """
    k = min(k, len(values) - 1)
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(values)
    near = search.kneighbors(values[asked], return_distance=False)
    itself = near == asked[:, None]
    itself[~itself.any(1), -1] = True  # among cells in the same place it may not be its own nearest
    return np.asarray(near[~itself].reshape(len(asked), k), np.int64)


def _labelled(
    values: FloatArray, codes: IntArray, batches: IntArray, scaled: bool
) -> tuple[NDArray[np.float64], IntArray, IntArray, NDArray[np.int64]]:
    kept = np.flatnonzero(codes >= 0).astype(np.int64)
    _, of_batch = np.unique(batches[kept], return_inverse=True)
    if len(kept) == 0 or of_batch.max() == 0:
        raise OptionsProblem(
            f"Whether batches mix is asked of at least two batches with labelled cells; there is {min(1, len(kept))}. "
            "Name the column that tells batches apart."
        )
    places = quantile_scaled(values[kept]) if scaled else values[kept].astype(np.float64)
    return places, codes[kept], of_batch.astype(np.int32), kept


def _integration(
    rows: NDArray[np.int64], codes: IntArray, foreign: NDArray[np.integer], everyone: NDArray[np.integer],
    outlier: BoolArray,
) -> Integration:  # fmt: skip
    predicted = np.where(outlier, -1, foreign.argmax(1)).astype(np.int32)
    accuracy = float(((everyone.argmax(1) == codes) & (everyone.sum(1) > 0)).mean())
    return Integration(rows, predicted, predicted == codes, ~outlier, accuracy)
