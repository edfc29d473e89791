"""Cells of which several things were measured, such as RNA and surface proteins, not every thing of every cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from explorer.networks.sparse import SparseCells, SparseRows

NONE, LOG, CLR, L2 = "none", "log", "clr", "l2"
SCALINGS = (NONE, LOG, CLR, L2)


@dataclass(frozen=True)
class Measured:
    """One modality of a minibatch.

    Attributes
    ----------
    x
        The b of the minibatch's B cells in which it was measured.
    at
        int64 (b,), their places in the minibatch.
    """

    x: SparseRows
    at: Tensor


@dataclass(frozen=True)
class Minibatch:
    """B cells, in each of which at least one modality was measured.

    Attributes
    ----------
    n_cells
        B.
    parts
        One a modality, RNA first; there may be fewer than a network knows.
    """

    n_cells: int
    parts: tuple[Measured, ...]

    def __len__(self) -> int:
        return self.n_cells

    @classmethod
    def of(cls, x: SparseRows) -> Minibatch:
        """Cells of which only RNA was measured."""
        return cls(len(x), (Measured(x, torch.arange(len(x), device=x.offsets.device)),))

    def masked(self, element: float, feature: float, generator: torch.Generator) -> Minibatch:
        """Drop values and features of every modality at random, as `SparseRows.masked` does."""
        return Minibatch(
            self.n_cells, tuple(Measured(part.x.masked(element, feature, generator), part.at) for part in self.parts)
        )

    def thinned(self, probability: float, generator: torch.Generator) -> Minibatch:
        """Drop each modality of each cell with a probability, but never the last one of a cell."""
        if probability == 0 or len(self.parts) == 1:
            return self
        device = self.parts[0].at.device
        measured = torch.zeros(len(self.parts), self.n_cells, dtype=torch.bool, device=device)
        for q, part in enumerate(self.parts):
            measured[q, part.at] = True
        drawn = torch.rand(measured.shape, generator=generator, device=device)
        keep = measured & (drawn >= probability)
        keep |= measured & (drawn == drawn.masked_fill(~measured, -1).amax(0)) & ~keep.any(0)
        return Minibatch(
            self.n_cells, tuple(_chosen(part, keep[q, part.at]) for q, part in enumerate(self.parts))
        )


def _chosen(part: Measured, keep: Tensor) -> Measured:
    if bool(keep.all()):
        return part
    whole = SparseCells(part.x.offsets, part.x.indices, part.x.values, part.x.n_genes)
    return Measured(whole.rows(keep.nonzero()[:, 0]), part.at[keep])


@dataclass(frozen=True)
class ModalCells:
    """All cells of a data set, one store a modality.

    Attributes
    ----------
    stores
        n cells each, RNA first.
    measured
        bool (n,) by modality; `None` where it was measured in every cell.
    """

    stores: tuple[SparseCells, ...]
    measured: tuple[Tensor | None, ...]

    def __len__(self) -> int:
        return len(self.stores[0])

    @property
    def device(self) -> torch.device:
        """Where the cells lie."""
        return self.stores[0].indptr.device

    def rows(self, which: Tensor) -> Minibatch:
        """The minibatch of the cells `which`, int64 (B,)."""
        parts = []
        for store, measured in zip(self.stores, self.measured, strict=True):
            own = measured[which] if measured is not None else torch.ones_like(which, dtype=torch.bool)
            at = own.nonzero()[:, 0]
            parts.append(Measured(store.rows(which[at]), at))
        return Minibatch(len(which), tuple(parts))

    def subset(self, which: Tensor) -> ModalCells:
        """The cells `which`, int64 (k,)."""
        chosen = [store.rows(which) for store in self.stores]
        return ModalCells(
            tuple(SparseCells(x.offsets, x.indices.int(), x.values, x.n_genes) for x in chosen),
            tuple(None if measured is None else measured[which] for measured in self.measured),
        )

    def span(self, start: int, stop: int) -> Minibatch:
        """The minibatch of the cells from `start` up to `stop`."""
        return self.rows(torch.arange(start, stop, device=self.device))


def modal_cells(
    expression: sparse.csr_matrix, proteins: NDArray[np.float32] | None, device: torch.device
) -> ModalCells:
    """Cells as networks take them.

    Parameters
    ----------
    expression
        csr float32 (n, g), what the RNA network takes.
    proteins
        float32 (n, p) from `scaled_proteins`, rows of NaN where not measured; `None` for RNA alone.
    """
    stores = [_stored(expression, device)]
    measured: list[Tensor | None] = [None]
    if proteins is not None:
        has = np.isfinite(proteins).any(1)
        stores.append(_stored(sparse.csr_matrix(np.nan_to_num(proteins)), device))
        measured.append(torch.as_tensor(has, device=device))
    return ModalCells(tuple(stores), tuple(measured))


def _stored(matrix: sparse.csr_matrix, device: torch.device) -> SparseCells:
    return SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1], device)


def scaled_proteins(counts: NDArray[np.float32], scaling: str) -> NDArray[np.float32]:
    """Counts of surface proteins brought to a scale on which cells can be compared, float32 (n, p).

    Zero stays zero, and NaN (not measured) stays NaN and is left out of every sum.

    Parameters
    ----------
    counts
        float32 (n, p).
    scaling
        "none"; "log": log(1 + 10,000 counts / total); "clr": log(1 + counts / geometric mean of 1 + counts), the
        centred log ratio in the form that keeps zeros; "l2": rows of length 1.
    """
    x = counts.astype(np.float64)
    seen = np.maximum(np.isfinite(x).sum(1, keepdims=True), 1)
    if scaling == LOG:
        x = np.log1p(1e4 * x / np.maximum(np.nansum(x, 1, keepdims=True), 1e-12))
    elif scaling == CLR:
        x = np.log1p(x / np.exp(np.nansum(np.log1p(x), 1, keepdims=True) / seen))
    elif scaling == L2:
        x = x / np.maximum(np.sqrt(np.nansum(np.square(x), 1, keepdims=True)), 1e-12)
    return x.astype(np.float32)
