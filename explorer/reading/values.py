"""What the numbers of an expression matrix are, and how they come to a linear scale.

Knows values, not files. A kind is told from a sample of cells; each block of cells is then held to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer.errors import ValuesProblem
from explorer.flow import FloatArray, ValueKind

CP10K = 1e4
_BASES = (float(np.e), 2.0, 10.0)
# ln(1e6) = 13.8: a natural logarithm of counts per million cannot be larger, one of base 2 can (19.9).
_LARGEST_NATURAL = float(np.log1p(1e6))
_LARGEST_LOG = float(np.log2(1 + 1e6)) + 1
# Beyond this the logarithm cannot be undone within float32's range.
_ABSURD_LOG = 80.0
# How far from a whole number a count may lie: what a detour through float32 leaves.
_WHOLE = 1e-6
_AT_ONCE = 2**16

_NAMES = {
    ValueKind.COUNTS: "counts",
    ValueKind.LOG1P: "log-normalised values",
    ValueKind.LINEAR: "normalised values without logarithm",
    ValueKind.SCALED: "scaled values",
    ValueKind.EMPTY: "no value above zero",
}


def kind_in_words(kind: ValueKind) -> str:
    """What a kind is called in a sentence."""
    return _NAMES[kind]


def tell_kind(sample: sparse.csr_matrix, *, whole_cells: bool = True) -> tuple[ValueKind, float, bool]:
    """Tell what kind of values a sample of cells holds.

    Parameters
    ----------
    sample
        Cells x genes, any number type.
    whole_cells
        Whether it holds all genes of its cells; without them the base of a logarithm can only be guessed.

    Returns
    -------
    kind
        What the values are. Integers are counts even where some are negative or missing: `check_values`
        then says how many.
    base
        Base of the logarithm for LOG1P, else 0.
    sure
        False where the base is a guess.
    """
    sample = _finite(sample)
    values = sample.data
    if not values.size:
        return ValueKind.EMPTY, 0.0, True
    if _integers(values):
        return (ValueKind.COUNTS if values.max() > 0 else ValueKind.EMPTY), 0.0, True
    if values.min() < 0:
        return ValueKind.SCALED, 0.0, True
    told = (_by_units(sample) or _by_row_sums(sample)) if whole_cells else None
    if told is not None:
        return (*told, True)
    if values.max() > _LARGEST_LOG:
        return ValueKind.LINEAR, 0.0, True
    base = 2.0 if values.max() > _LARGEST_NATURAL else float(np.e)
    return ValueKind.LOG1P, base, base == 2.0


def _finite(sample: sparse.csr_matrix) -> sparse.csr_matrix:
    data = np.where(np.isfinite(sample.data), sample.data, 0).astype(np.float64)
    # A copy, because zeros are eliminated in place and the sample is still wanted.
    kept = sparse.csr_matrix((data, sample.indices, sample.indptr), shape=sample.shape, copy=True)
    kept.eliminate_zeros()
    return kept


def _integers(values: NDArray[Any]) -> bool:
    # a part at a time stays in the processor's cache
    parts = (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
    return all(bool(np.all(np.abs(part - np.rint(part)) < _WHOLE)) for part in parts)


def _undone(values: NDArray[Any], base: float) -> NDArray[Any]:
    """Values before the logarithm; base 0 stands for no logarithm."""
    return values if base == 0 else np.expm1(values * np.log(base))


def _by_units(sample: sparse.csr_matrix) -> tuple[ValueKind, float] | None:
    """Tell normalised counts by what one molecule is worth.

    Within a cell, normalised counts are whole multiples of the smallest one. The multiples appear only once
    the right logarithm is undone, and they appear even if most genes have been dropped.
    """
    shares = {base: _share_of_unit_cells(sample, base) for base in (0.0, *_BASES)}
    best = max(shares, key=lambda base: shares[base])
    if shares[best] < 0.5:
        return None
    return (ValueKind.LINEAR, 0.0) if best == 0 else (ValueKind.LOG1P, float(best))


def _share_of_unit_cells(sample: sparse.csr_matrix, base: float) -> float:
    """Share of cells whose values are whole multiples of their smallest one."""
    stored = np.diff(sample.indptr)
    filled = stored > 0
    cell = np.repeat(np.arange(filled.sum()), stored[filled])
    # A logarithm undone that never was one overflows; such multiples tell nothing and drop out below.
    with np.errstate(over="ignore", invalid="ignore"):
        values = _undone(sample.data, base)
        multiple = values / np.minimum.reduceat(values, sample.indptr[:-1][filled])[cell]
        whole = np.abs(multiple - np.rint(multiple)) < 0.05
    # Above 20 a rounding error in the file could pass for a fraction; near 1 everything is a multiple.
    telling = (multiple > 1.5) & (multiple < 20.5)
    n_telling = np.bincount(cell[telling], minlength=filled.sum())
    n_whole = np.bincount(cell[telling & whole], minlength=filled.sum())
    judged = n_telling >= 5
    return float((n_whole[judged] > 0.9 * n_telling[judged]).mean()) if judged.any() else 0.0


def _by_row_sums(sample: sparse.csr_matrix) -> tuple[ValueKind, float] | None:
    """Tell normalised values by their sum, which is the same in every cell if all genes are there."""
    spread = {base: _spread_of_sums(sample, base) for base in (0.0, *_BASES)}
    best = min(spread, key=lambda base: spread[base])
    if spread[best] > 0.05:
        return None
    return (ValueKind.LINEAR, 0.0) if best == 0 else (ValueKind.LOG1P, float(best))


def _spread_of_sums(sample: sparse.csr_matrix, base: float) -> float:
    """Standard deviation of the cells' sums, relative to their mean; infinite where it means nothing."""
    with np.errstate(over="ignore"):
        data = _undone(sample.data, base)
    sums = np.asarray(sparse.csr_matrix((data, sample.indices, sample.indptr), shape=sample.shape).sum(axis=1))
    sums = sums[sums > 0]
    if len(sums) < 2 or not np.isfinite(sums).all():
        return float("inf")
    return float(sums.std() / sums.mean())


def check_values(block: sparse.csr_matrix, kind: ValueKind, where: str, cells: pd.Index, genes: pd.Index) -> None:
    """Hold a block of cells to the kind that the sample told.

    Parameters
    ----------
    block
        Cells x genes, as stored.
    where
        Name of the matrix.
    cells, genes
        Names of its rows and columns.

    Raises
    ------
    ValuesProblem
        If values are missing, infinite, negative, or of another kind; it says how many, and where the first
        is.
    """
    data = block.data
    fault = _fault_of(data, kind)
    if fault is None:
        return
    bad, what, remedy = fault
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))[bad]
    first = f"the first ({data[bad][0]:g}) in cell {cells[rows[0]]}, gene {genes[block.indices[bad][0]]}"
    raise ValuesProblem(f"{where} holds {what}: {bad.sum():,} in these cells, {first}. {remedy}")


def _fault_of(data: NDArray[Any], kind: ValueKind) -> tuple[NDArray[np.bool_], str, str] | None:
    """Which values cannot be, what they are, and the way out."""
    if data.size == 0 or data.dtype.kind in "bu":
        return None
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        remedy = "Set them to 0, or drop these cells or genes, and save the file again."
        return ~np.isfinite(data), "values that are no numbers (NaN or infinite)", remedy
    if data.min() < 0:
        remedy = "Choose another matrix of the file, or save the raw counts in adata.layers['counts']."
        return data < 0, "negative values, which expression cannot have", remedy
    joined = "Were samples of two kinds joined? Save counts of all cells in adata.layers['counts']."
    if kind is ValueKind.COUNTS and data.dtype.kind == "f" and not _integers(data):
        return np.abs(data - np.rint(data)) >= _WHOLE, "fractions among counts", joined
    if kind is ValueKind.LOG1P and data.max() > _ABSURD_LOG:
        return data > _ABSURD_LOG, "values too large to be logarithms, as the rest are", joined
    return None


def of_reads(sample: sparse.csr_matrix) -> bool:
    """Whether counts over peaks are of reads: they come in pairs, so that 2 is more frequent than 1."""
    return int((sample.data == 2).sum()) > int((sample.data == 1).sum())


def fragments(reads: sparse.csr_matrix) -> sparse.csr_matrix:
    """Fragments behind counts of reads, ceil(reads / 2): the same cells and peaks (De Donno et al., 2023)."""
    data = np.ceil(reads.data / 2).astype(np.float32)
    return sparse.csr_matrix((data, reads.indices, reads.indptr), shape=reads.shape)


def to_linear(block: sparse.csr_matrix, kind: ValueKind, base: float) -> tuple[sparse.csr_matrix, FloatArray]:
    """Bring a block to a linear scale; a logarithm is undone, never taken.

    Parameters
    ----------
    block
        Cells x genes, checked by `check_values`.
    kind, base
        What its values are.

    Returns
    -------
    values
        csr float32: counts as they are; log1p and linear values on the scale of CP10k.
    totals
        float32 (cells,): sum over all genes; 0 for an empty cell.
    """
    # float64 because the exponential of a float32 logarithm would lose the whole numbers behind it.
    data = _undone(block.data.astype(np.float64), base) if kind is ValueKind.LOG1P else block.data
    values = sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape)
    totals = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    if kind is not ValueKind.COUNTS:
        scale = CP10K / np.where(totals > 0, totals, CP10K)
        values.data = values.data * np.repeat(scale, np.diff(values.indptr))
        totals = np.where(totals > 0, CP10K, 0.0)
    return values.astype(np.float32, copy=False), totals.astype(np.float32)
