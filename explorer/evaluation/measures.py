"""How strange left-out cells are to every label, as the cells left in tell; for an evaluation.

It takes cells and labels and none of the methods, so that all contenders are measured alike, each by the labels it
gives. Genes, components, shapes and expected counts are learned from the cells left in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from explorer.building.fitting import folds
from explorer.doubt.calibration import expectations
from explorer.doubt.novelty import Expected, Signs, odd
from explorer.doubt.strangeness import Basis, far, fit_basis, fit_shapes
from explorer.evaluation.contenders import N_GENES
from explorer.flow import AlignedCells, FloatArray, IntArray
from explorer.mapping.learning import Annotated


@dataclass(frozen=True)
class Measured:
    """Signs of cells by the label they might be given.

    Attributes
    ----------
    far
        float32 (n, classes).
    odd
        float32 (n, classes); `None` without counts.
    """

    far: FloatArray
    odd: FloatArray | None

    def by(self, codes: IntArray) -> Signs:
        """Measured from the label of each cell, int32 (n,)."""
        rows = np.arange(len(codes))
        return Signs(self.far[rows, codes], None if self.odd is None else self.odd[rows, codes])


@dataclass(frozen=True)
class Measures:
    """What cells left in say of cells left out.

    Attributes
    ----------
    fold_of
        int32 (m,), which fold a cell is left out in, -1 for none.
    """

    annotated: Annotated
    fold_of: IntArray
    _left_in: dict[tuple[int, int | None], _LeftIn] = field(default_factory=dict)

    def of(self, rows: NDArray[np.int64], level: str, fold: int, without: int | None = None) -> Measured:
        """Measure cells of a fold.

        Parameters
        ----------
        rows
            int64 (n,).
        without
            The label of the main level that is left out besides.
        """
        known = self._left_in.get((fold, without))
        if known is None:
            known = self._left_in[fold, without] = _LeftIn.of(self.annotated, self._rows(fold, without))
        return known.measured(self.annotated, rows, level)

    def _rows(self, fold: int, without: int | None) -> NDArray[np.int64]:
        kept = self.fold_of != fold
        if without is not None:
            kept &= self.annotated.codes(self.annotated.levels[0]) != without
        return np.flatnonzero(kept)


@dataclass(frozen=True)
class _LeftIn:
    """Cells left in, and what does not depend on the label level.

    Attributes
    ----------
    rows, genes
        int64, positions of the cells and of the genes that vary most among them.
    """

    rows: NDArray[np.int64]
    genes: NDArray[np.int64]
    basis: Basis

    @classmethod
    def of(cls, annotated: Annotated, rows: NDArray[np.int64]) -> _LeftIn:
        genes = annotated.informative(rows, N_GENES)
        return cls(rows, genes, fit_basis(annotated.cells.rows(rows).genes(genes)))

    def measured(self, annotated: Annotated, asked: NDArray[np.int64], level: str) -> Measured:
        codes, n_classes = annotated.codes(level)[self.rows], len(annotated.classes(level))
        known, cells = (annotated.cells.rows(rows).genes(self.genes) for rows in (self.rows, asked))
        shapes = fit_shapes(self.basis, self.basis.places(known), codes, n_classes)
        places = self.basis.places(cells)
        apart = [far(self.basis, shapes, places, same) for same in _each(len(asked), n_classes)]
        return Measured(np.column_stack(apart), self._odd(annotated, known, cells, codes, n_classes))

    def _odd(
        self, annotated: Annotated, known: AlignedCells, cells: AlignedCells, codes: IntArray, n_classes: int
    ) -> FloatArray | None:
        if not cells.is_counts:
            return None
        fold_of = folds(annotated.batches[self.rows], 0)  # of the cells left in: they alone say how far genes vary
        expected: Expected = expectations(known, codes, fold_of, n_classes)[0]
        found = [odd(cells, same, expected) for same in _each(cells.n_cells, n_classes)]
        return np.column_stack([each for each in found if each is not None])


def _each(n: int, n_classes: int) -> list[IntArray]:
    return [np.full(n, code, np.int32) for code in range(n_classes)]
