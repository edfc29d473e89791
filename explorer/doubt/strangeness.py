"""How far a cell's expression lies from that of a label's cells, beyond what sets it apart from all cells.

Knows expression and label codes, not how labels came about. A cell is placed along the principal components of the
reference's log expression, where labels differ by their means and share one covariance within. Its distance from a
label is the relative Mahalanobis distance (Ren et al., "A simple fix to Mahalanobis distance for improving near-OOD
detection", arXiv:2106.09022, 2021). No method's latent space takes part: what a method drops because its reference did
not vary in it is what an unseen type would be told by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.flow import AlignedCells, BoolArray, FloatArray, IntArray

COMPONENTS = 30
MOST_CELLS = 20_000  # that components are learned from
MOST_DENSE = 100     # cells or genes up to which a matrix is small enough to be taken apart whole
RIDGE = 1e-3         # of the mean variance of a component, so that a covariance can be inverted


@dataclass(frozen=True)
class Basis:
    """Principal components of centred log1p CP10k over a method's genes.

    Attributes
    ----------
    mean
        float32 (g,).
    loadings
        float32 (g, k), rounded to half precision, as they are stored.
    variance
        float32 (k,), of all cells along each component.
    """

    mean: FloatArray
    loadings: FloatArray
    variance: FloatArray

    @property
    def ridge(self) -> float:
        """What is added to every variance."""
        return max(RIDGE * float(self.variance.mean()), 1e-12)

    def places(self, cells: AlignedCells, found: BoolArray | None = None) -> FloatArray:
        """Where cells lie, float32 (n, k).

        Parameters
        ----------
        cells
            n x g.
        found
            bool (g,), genes that the query holds; the others count as at their mean.
        """
        loadings = self.loadings if found is None else self.loadings * found[:, None]
        return np.asarray(cells.log1p() @ loadings - self.mean @ loadings, np.float32)


@dataclass(frozen=True)
class Shapes:
    """Where the cells of each label lie.

    Attributes
    ----------
    means
        float32 (classes, k); that of all cells for a label without any.
    inverse
        float32 (k, k), of the covariance within labels.
    """

    means: FloatArray
    inverse: FloatArray


def fit_basis(cells: AlignedCells, seed: int = 0) -> Basis:
    """Learn components from at most 20,000 cells, drawn with the seed; a matrix of cells and genes stays sparse."""
    from sklearn.decomposition import PCA

    if cells.n_cells > MOST_CELLS:
        cells = cells.rows(np.sort(np.random.default_rng(seed).choice(cells.n_cells, MOST_CELLS, replace=False)))
    logged = cells.log1p()
    smaller = min(logged.shape)
    if smaller <= MOST_DENSE:
        model = PCA(min(COMPONENTS, smaller), svd_solver="full").fit(logged.toarray())
    else:
        model = PCA(COMPONENTS, svd_solver="arpack", random_state=seed).fit(logged)  # centres without filling zeros
    loadings = model.components_.T.astype(np.float16).astype(np.float32)
    mean = np.asarray(logged.mean(0), np.float32).ravel()
    places = np.asarray(logged @ loadings, np.float32)
    return Basis(mean, loadings, places.var(0))


def fit_shapes(basis: Basis, places: FloatArray, codes: IntArray, n_classes: int) -> Shapes:
    """Means of labels and the covariance that they share.

    Parameters
    ----------
    places, codes
        float32 (m, k) and int32 (m,); cells coded -1 take no part.
    """
    means = label_means(places, codes, n_classes)
    labelled = codes >= 0
    beside = (places[labelled] - means[codes[labelled]]).astype(np.float64)
    covariance = beside.T @ beside / max(1, len(beside))
    inverse = np.linalg.inv(covariance + basis.ridge * np.eye(len(covariance)))
    return Shapes(means, inverse.astype(np.float32))


def label_means(places: FloatArray, codes: IntArray, n_classes: int) -> FloatArray:
    """Mean place of each label's cells, float32 (n_classes, k); 0, the mean of all, for a label without any."""
    labelled = np.flatnonzero(codes >= 0)
    summed = np.zeros((n_classes, places.shape[1]))
    np.add.at(summed, codes[labelled], places[labelled])
    cells = np.bincount(codes[labelled], minlength=n_classes)
    return (summed / np.maximum(cells, 1)[:, None]).astype(np.float32)


def far(basis: Basis, shapes: Shapes, places: FloatArray, codes: IntArray) -> FloatArray:
    """Relative Mahalanobis distance of cells from their labels, float32 (n,).

    For a cell at z, a label with mean m, the covariance W within labels and T of all cells, whose mean is 0:
    (z - m)' W^-1 (z - m) - z' T^-1 z.

    Parameters
    ----------
    places, codes
        float32 (n, k) and int32 (n,).
    """
    beside = places - shapes.means[codes]
    within = np.einsum("nk,nk->n", beside @ shapes.inverse, beside)
    return np.asarray(within - (places**2) @ (1 / (basis.variance + basis.ridge)), np.float32)
