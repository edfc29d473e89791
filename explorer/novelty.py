"""How far a cell is from its label, and how unusual that is. Knows vectors, counts and label codes.

Two distances are taken, because each is blind where the other sees. In the latent space a cell can lie beside a
label it has never been told from: an encoder only keeps what its reference varied in. In expression the same cell
stands out by the genes that its label should not have (or should), whatever the encoder made of them. Each
distance becomes its rank among the reference's own held-out cells of that label; the larger rank counts; and its
place among the larger ranks of the same held-out cells is the conformal p-value that is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from explorer.flow import AlignedCells, BoolArray, FloatArray, IntArray

LARGEST_RESIDUAL = 10.0   # so that one gene cannot speak for a cell
LEAST_SHARE = 1e-6        # of all counts, expected even of a gene that a label never showed
UNKNOWN_QUANTILE = 0.99
FALSE_UNKNOWN = 0.05      # share of left-out cells that may be called unknown for lying far


@dataclass(frozen=True)
class Expected:
    """What counts of cells of each label look like.

    Attributes
    ----------
    shares
        float32 (classes, g), expected share of a cell's counts.
    spread
        float32 (g,), at least 1: root mean square Pearson residual of held-out cells. Above 1 where a gene varies
        more than counting does, within labels or between batches.
    """

    shares: FloatArray
    spread: FloatArray


@dataclass(frozen=True)
class Strayed:
    """How far the reference's own held-out cells lay from their own label; sorted float32, one array a class.

    Attributes
    ----------
    latent, expression
        Distances.
    either
        Larger of both ranks of each cell, in [0, 1].
    """

    latent: tuple[FloatArray, ...]
    expression: tuple[FloatArray, ...]
    either: tuple[FloatArray, ...]


def expected_shares(cells: AlignedCells, codes: IntArray, n_classes: int) -> FloatArray:
    """Share of all counts that falls on each gene, by label: float32 (n_classes, g)."""
    labelled = np.flatnonzero(codes >= 0)
    member = sparse.csr_matrix(
        (np.ones(len(labelled)), (codes[labelled], labelled)), shape=(n_classes, cells.n_cells)
    )
    summed = np.asarray((member @ cells.values).todense())
    return np.asarray(summed / np.maximum(member @ cells.totals, 1)[:, None] + LEAST_SHARE, np.float32)


def squared_residuals(cells: AlignedCells, codes: IntArray, shares: FloatArray) -> NDArray[np.float64]:
    """Sum over cells of the squared, capped Pearson residual of each gene, float64 (g,).

    Counting noise alone would make each squared residual 1 on average.
    """
    total = np.zeros(shares.shape[1])
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        part = cells.rows(rows)
        total += part.totals.sum() * shares[code]
        surplus = _surplus(part, np.full(len(rows), code, np.int32), Expected(shares, np.ones(len(total), np.float32)))
        total += np.bincount(part.values.indices, weights=surplus, minlength=len(total))
    return total


def deviation(cells: AlignedCells, codes: IntArray, expected: Expected, found: BoolArray | None = None) -> FloatArray:
    """Mean squared Pearson residual of each cell's counts from what its label leads one to expect, float32 (n,).

    For x counts of a gene in a cell of N counts, label share p and gene spread s: z = (x - N p) / (s sqrt(N p)),
    capped above at 10. Zeros are summed in closed form, so the cost is that of the expressed genes.

    Parameters
    ----------
    cells
        n x g counts; with other values the residual has no unit and should not be asked for.
    codes
        int32 (n,), the label of each cell.
    found
        bool (g,), genes that the query holds; the others are left out.
    """
    genes = np.ones(cells.values.shape[1], bool) if found is None else found
    weight = np.where(genes, 1 / expected.spread**2, 0)
    zeros = cells.totals * (expected.shares @ weight)[codes]
    surplus = _surplus(cells, codes, expected) * genes[cells.values.indices]
    # a row's surplus, also for rows without any value
    rows = np.repeat(np.arange(cells.n_cells), np.diff(cells.values.indptr))
    summed = zeros + np.bincount(rows, weights=surplus, minlength=cells.n_cells)
    return np.asarray(summed / max(1, genes.sum()), np.float32)


def _surplus(cells: AlignedCells, codes: IntArray, expected: Expected) -> NDArray[np.float64]:
    """What each stored count adds to the squared residual that a zero would have had, float64 (nnz,)."""
    values = cells.values
    rows = np.repeat(np.arange(cells.n_cells), np.diff(values.indptr))
    # a cell without counts may still hold stored zeros, of which none are expected
    mean = np.maximum(cells.totals[rows] * expected.shares[codes[rows], values.indices], 1e-12)
    spread = expected.spread[values.indices]
    residual = np.minimum((values.data - mean) / (spread * np.sqrt(mean)), LARGEST_RESIDUAL)
    return np.asarray(residual**2 - mean / spread**2)


def strayed(codes: IntArray, latent: FloatArray, expression: FloatArray, n_classes: int) -> Strayed:
    """Sort held-out distances by label, and rank them together.

    Parameters
    ----------
    codes
        int32 (h,), own labels of held-out cells.
    latent, expression
        float32 (h,), distances to the own label.
    """
    members = [np.flatnonzero(codes == code) for code in range(n_classes)]
    far = tuple(np.sort(latent[i]) for i in members)
    odd = tuple(np.sort(expression[i]) for i in members)
    either = tuple(
        np.sort(np.maximum(_rank(latent[i], far[c]), _rank(expression[i], odd[c]))) for c, i in enumerate(members)
    )
    return Strayed(far, odd, either)


def conformal(
    codes: IntArray, latent: FloatArray, expression: FloatArray | None, held_out: Strayed
) -> tuple[FloatArray, BoolArray]:
    """Novelty of cells, and whether it is beyond the 99 % quantile of their label's held-out cells.

    Parameters
    ----------
    codes
        int32 (n,), the label that each cell was given.
    latent
        float32 (n,).
    expression
        float32 (n,); `None` for a query without counts, which is then judged by the latent distance alone.

    Returns
    -------
    novelty
        float32 (n,) in [0, 1]: 1 - p with p = (1 + held-out cells at least as far) / (1 + held-out cells).
    beyond
        bool (n,).
    """
    novelty = np.zeros(len(codes), np.float32)
    beyond = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        asked = np.flatnonzero(codes == code)
        ranked = held_out.latent[code] if expression is None else held_out.either[code]
        score = latent[asked]
        if expression is not None:
            score = np.maximum(
                _rank(score, held_out.latent[code]), _rank(expression[asked], held_out.expression[code])
            )
        farther = len(ranked) - np.searchsorted(ranked, score, side="left")
        novelty[asked] = 1 - (1 + farther) / (1 + len(ranked))
        beyond[asked] = score > (np.quantile(ranked, UNKNOWN_QUANTILE) if len(ranked) else np.inf)
    return novelty, beyond


def stretch(codes: IntArray, latent: FloatArray, expression: FloatArray | None, held_out: Strayed) -> FloatArray:
    """How many times as far a cell lies as 99 % of the held-out cells of its label, float32 (n,).

    Of both distances the larger multiple counts. 0 where the label has no held-out cells. Unlike a rank it goes on
    where held-out cells end, so that far and very far stay apart.

    Parameters
    ----------
    codes, latent, expression
        As `conformal` takes them.
    """
    found = np.zeros(len(codes), np.float32)
    for code in np.unique(codes):
        if len(held_out.latent[code]) == 0:
            continue
        asked = np.flatnonzero(codes == code)
        found[asked] = latent[asked] / _usual(held_out.latent[code])
        if expression is not None:
            found[asked] = np.maximum(found[asked], expression[asked] / _usual(held_out.expression[code]))
    return found


def in_words(times: float) -> str:
    """A stretch as a person reads it: "2.3 times as far as its label's own cells reach"; "" for a cell within reach."""
    return f"{times:.1f} times as far as its label's own cells reach" if times > 1 else ""


def reach(codes: IntArray, latent: FloatArray, expression: FloatArray, batches: IntArray, n_classes: int) -> float:
    """The stretch beyond which a cell is called unknown: at most 5 % of the cells of an average left-out batch are.

    Each batch in turn is measured against the held-out cells of the others, as a query would be, and every batch
    counts the same. At least 1, so that nothing is unknown that lies as near as 99 % of its label do.

    Parameters
    ----------
    codes, latent, expression
        int32, float32 and float32 (h,): own labels of held-out cells and distances to them.
    batches
        int32 (h,), at least two different.
    """
    stretched, weight = np.zeros(len(codes), np.float32), np.zeros(len(codes))
    for batch in np.unique(batches):
        own, others = batches == batch, batches != batch
        measure = strayed(codes[others], latent[others], expression[others], n_classes)
        stretched[own] = stretch(codes[own], latent[own], expression[own], measure)
        weight[own] = 1 / own.sum()
    farthest = np.argsort(-stretched, kind="stable")
    beyond = np.cumsum(weight[farthest]) / max(weight.sum(), 1e-12)
    at = np.searchsorted(beyond, FALSE_UNKNOWN + 1e-9, side="right")  # the first that would be one too many
    return max(1.0, float(stretched[farthest[at]])) if at < len(codes) else 1.0


def _usual(ranked: FloatArray) -> float:
    return max(float(np.quantile(ranked, UNKNOWN_QUANTILE)), 1e-6)  # held-out cells may all lie where their label does


def _rank(values: FloatArray, ranked: Sequence[float] | FloatArray) -> FloatArray:
    """Share of `ranked` that is smaller, float32."""
    return np.asarray(np.searchsorted(ranked, values, side="left") / max(1, len(ranked)), np.float32)
