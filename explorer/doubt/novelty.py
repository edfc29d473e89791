"""How strange a cell is to its label, and how unusual that is. Knows counts, distances and label codes.

Two signs are taken: how far its expression lies from that of the label's cells (explorer.doubt.strangeness), and how
odd its counts are beside those that the label leads one to expect. On the scale of the reference's own left-out cells
they add up to one figure, the strangeness. Its place among left-out cells of the same label is the conformal p-value
that is reported; and how many times as strange a cell is as 99 % of them all, the stretch, goes on where p-values
end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from explorer.flow import AlignedCells, BoolArray, FloatArray, IntArray

LARGEST_RESIDUAL = 10.0   # so that one gene cannot speak for a cell
LEAST_SHARE = 1e-6        # of all counts, expected even of a gene that a label never showed
LEAST_DEVIATION = 1e-3   # so that a logarithm can be taken
USUAL_QUANTILE = 0.95
UNKNOWN_QUANTILE = 0.99
FALSE_UNKNOWN = 0.05      # share of left-out cells that may be called unknown for being strange


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
class Signs:
    """What may tell that cells do not belong to a label.

    Attributes
    ----------
    far
        float32 (n,), relative Mahalanobis distance of their expression from the label's cells.
    odd
        float32 (n,), logarithm of the `deviation` of their counts; `None` for cells without counts.
    """

    far: FloatArray
    odd: FloatArray | None

    def rows(self, which: NDArray[Any]) -> Signs:
        """Of some of the cells."""
        return Signs(self.far[which], None if self.odd is None else self.odd[which])


@dataclass(frozen=True)
class Strayed:
    """How strange the reference's own left-out cells were to their own label.

    Attributes
    ----------
    scale
        float32 (2, 2), of both signs the median and how far the 95 % quantile lies above it.
    both, alone
        Strangeness by both signs and by distance alone; sorted float32, one array a class, rounded to half precision,
        as they are stored.
    added
        How many of the last labels were added by a user: their cells were never left out of a training, and were
        compared with the others of their label instead.
    """

    scale: FloatArray
    both: tuple[FloatArray, ...]
    alone: tuple[FloatArray, ...]
    added: int = 0

    def ranked(self, signs: Signs) -> tuple[FloatArray, ...]:
        """The strangeness of left-out cells that some signs can be compared with."""
        return self.alone if signs.odd is None else self.both


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


def odd(cells: AlignedCells, codes: IntArray, expected: Expected, found: BoolArray | None = None) -> FloatArray | None:
    """Logarithm of the `deviation` of counts, float32 (n,); `None` where values are no counts."""
    return logarithm(deviation(cells, codes, expected, found)) if cells.is_counts else None


def logarithm(deviating: FloatArray) -> FloatArray:
    """Of deviations, float32; cells without counts deviate from nothing."""
    return np.log(np.maximum(deviating, LEAST_DEVIATION))


def strayed(codes: IntArray, signs: Signs, n_classes: int) -> Strayed:
    """Learn the scale of both signs from left-out cells of all labels, and sort their strangeness by label.

    Parameters
    ----------
    codes
        int32 (h,), own labels of left-out cells.
    signs
        How far from these, and how odd, as the cells of other folds tell. Where there are no counts, distance counts
        alone.
    """
    rows = [_scale(signs.far), _scale(signs.far if signs.odd is None else signs.odd)]
    scale = np.array(rows, np.float32)
    alone = _sorted(codes, strangeness(Signs(signs.far, None), scale), n_classes)
    both = _sorted(codes, strangeness(signs, scale), n_classes)
    return Strayed(scale, both, alone)


def strangeness(signs: Signs, scale: FloatArray) -> FloatArray:
    """Sum of the signs, each from its median in units of how far the 95 % quantile lies above it; float32 (n,).

    Parameters
    ----------
    scale
        As `Strayed` has it.
    """
    total = (signs.far - scale[0, 0]) / scale[0, 1]
    return total if signs.odd is None else np.asarray(total + (signs.odd - scale[1, 0]) / scale[1, 1], np.float32)


def conformal(codes: IntArray, signs: Signs, held_out: Strayed) -> tuple[FloatArray, BoolArray]:
    """Novelty of cells, and whether it is beyond the 99 % quantile of their label's held-out cells.

    Parameters
    ----------
    codes
        int32 (n,), the label that each cell was given.
    signs
        Measured from that label.

    Returns
    -------
    novelty
        float32 (n,) in [0, 1]: 1 - p with p = (1 + held-out cells at least as strange) / (1 + held-out cells).
    beyond
        bool (n,).
    """
    novelty = np.zeros(len(codes), np.float32)
    beyond = np.zeros(len(codes), bool)
    strange = strangeness(signs, held_out.scale)
    for code in np.unique(codes):
        asked = np.flatnonzero(codes == code)
        ranked = held_out.ranked(signs)[code]
        stranger = len(ranked) - np.searchsorted(ranked, strange[asked], side="left")
        novelty[asked] = 1 - (1 + stranger) / (1 + len(ranked))
        beyond[asked] = strange[asked] > (np.quantile(ranked, UNKNOWN_QUANTILE) if len(ranked) else np.inf)
    return novelty, beyond


def stretch(codes: IntArray, signs: Signs, held_out: Strayed) -> FloatArray:
    """How many times as strange cells are as 99 % of all held-out cells, float32 (n,), at least 0.

    0 where no cell was held out. Unlike a rank it goes on where held-out cells end, so that strange and very strange
    stay apart. A label that was added is measured by its own cells where these are stranger to one another than the
    reference's are, since components and spreads were learned without them; it changes nothing for the others.

    Parameters
    ----------
    codes
        int32 (n,), the label that each cell was given.
    signs
        Measured from that label.
    """
    ranked = held_out.ranked(signs)
    old = len(ranked) - held_out.added
    usual = _usual(np.concatenate(ranked[:old]))
    of_label = np.array([usual] * old + [np.fmax(usual, _usual(own)) for own in ranked[old:]], np.float32)
    return _times(strangeness(signs, held_out.scale), of_label[codes])


def in_words(times: float) -> str:
    """A stretch as a person reads it; "" for a cell no stranger than 99 % of the reference's own."""
    return f"{times:.1f} times as strange as 99 % of the reference's own left-out cells" if times > 1 else ""


def reach(signs: Signs, batches: IntArray) -> float:
    """The stretch beyond which a cell is called unknown: at most 5 % of the cells of an average left-out batch are.

    Each batch in turn is measured against the held-out cells of the others, as a query would be, and every batch
    counts the same. At least 1, so that nothing is unknown that is no stranger than 99 % of the held-out cells.

    Parameters
    ----------
    signs
        Of held-out cells, from their own labels.
    batches
        int32 (h,), at least two different.
    """
    stretched, weight = np.zeros(len(batches), np.float32), np.zeros(len(batches))
    for batch in np.unique(batches):
        own, others = batches == batch, batches != batch
        scale = np.array([_scale(sign[others]) for sign in (signs.far, signs.odd) if sign is not None], np.float32)
        strange = strangeness(signs, scale)
        stretched[own] = _times(strange[own], _usual(strange[others]))
        weight[own] = 1 / own.sum()
    farthest = np.argsort(-stretched, kind="stable")
    beyond = np.cumsum(weight[farthest]) / max(weight.sum(), 1e-12)
    at = np.searchsorted(beyond, FALSE_UNKNOWN + 1e-9, side="right")  # the first that would be one too many
    return max(1.0, float(stretched[farthest[at]])) if at < len(batches) else 1.0


def _scale(values: FloatArray) -> tuple[float, float]:
    if len(values) == 0:
        return 0.0, 1.0
    middle, high = np.quantile(values, (0.5, USUAL_QUANTILE))
    return float(middle), max(float(high - middle), 1e-6)  # left-out cells may all lie where their label does


def _sorted(codes: IntArray, strange: FloatArray, n_classes: int) -> tuple[FloatArray, ...]:
    rounded = strange.astype(np.float16).astype(np.float32)
    return tuple(np.sort(rounded[codes == code]) for code in range(n_classes))


def _usual(held_out: FloatArray) -> float:
    """What 99 % of the held-out cells do not exceed, above 0; NaN without any."""
    return max(float(np.quantile(held_out, UNKNOWN_QUANTILE)), 1e-6) if len(held_out) else float("nan")


def _times(strange: FloatArray, usual: float | FloatArray) -> FloatArray:
    """Of what is usual, float32; 0 where that is not known."""
    return np.nan_to_num(np.maximum(strange, 0) / usual, nan=0.0).astype(np.float32)
