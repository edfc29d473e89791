"""Whether cells of one label stay together when a model places them. Knows vectors and codes, not labels' names.

The share of a cell's nearest others that carry its label means little by itself: labels that lie among one another in
the cells' own expression cannot lie apart in any latent space. So it stands beside the same share in that expression,
and beside what chance would give (the neighbourhood purity of Luecken et al., Nature Methods 2022, put beside its own
ceiling and floor).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.insight.neighborhoods import others
from explorer.neighbors import normalised

NEIGHBORS = 30
COMPONENTS = 30


@dataclass(frozen=True)
class Preservation:
    """How far labels keep together.

    Attributes
    ----------
    placed
        Mean share of a cell's nearest others in the latent space that carry its label, in [0, 1].
    own
        The same among the nearest in the cells' own expression.
    chance
        The same if labels were dealt out at random.
    cells
        How many were asked.
    """

    placed: float
    own: float
    chance: float
    cells: int

    @property
    def kept(self) -> float:
        """What is left of what the cells' own expression has beyond chance: 1 for all of it; NaN where it has none."""
        beyond = self.own - self.chance
        return (self.placed - self.chance) / beyond if beyond > 0 else float("nan")


def preservation(values: FloatArray, logged: sparse.csr_matrix, codes: IntArray, seed: int = 0) -> Preservation:
    """How far labels keep together among the 30 nearest others, by cosine.

    Parameters
    ----------
    values
        float32 (n, d), where a model places the cells.
    logged
        csr (n, g), log1p expression of the same cells; its first 30 principal components are their own space.
    codes
        int32 (n,), -1 for cells without a label, which are left out.
    seed
        Of the principal components.

    Raises
    ------
    OptionsProblem
        If fewer than two labels, or too few cells, are left.
    """
    require_labels(codes)
    rows = np.flatnonzero(codes >= 0)
    of_cell, n = codes[rows], len(rows)
    counts = np.bincount(of_cell)
    return Preservation(
        placed=_alike(values[rows], of_cell),
        own=_alike(_components(logged[rows], seed), of_cell),
        chance=float((counts * (counts - 1)).sum() / (n * (n - 1))),
        cells=n,
    )


def require_labels(codes: IntArray) -> None:
    """Refuse labels of which it cannot be asked whether they keep together.

    Raises
    ------
    OptionsProblem
        If there are fewer than two labels, or no more cells than neighbours.
    """
    labelled = codes[codes >= 0]
    n_labels = len(np.unique(labelled))
    if n_labels < 2 or len(labelled) <= NEIGHBORS:
        raise OptionsProblem(
            f"Whether labels keep together is asked of two labels at least, and more than {NEIGHBORS} cells; there are "
            f"{n_labels} and {len(labelled)}."
        )


def _alike(values: FloatArray, codes: IntArray) -> float:
    near = others(normalised(values), np.arange(len(codes)), NEIGHBORS)
    return float((codes[near] == codes[:, None]).mean())


def _components(logged: sparse.csr_matrix, seed: int) -> NDArray[np.float32]:
    from sklearn.decomposition import PCA  # takes a second to import; only those who ask wait for it

    n = min(COMPONENTS, *logged.shape)
    solver = "arpack" if n < min(logged.shape) else "full"
    return np.asarray(PCA(n, svd_solver=solver, random_state=seed).fit_transform(logged.toarray()), np.float32)
