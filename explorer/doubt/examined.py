"""What a reference keeps of its own examination: answers to cells whose labels are known but were left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examined:
    """Calibrated answers to reference cells that were left out, at one label level: what promises are computed from.

    Attributes
    ----------
    rows
        int64 (h,), ascending, which reference cells; the same for every method of a reference.
    codes
        int32 (h,), their own labels.
    batches
        int32 (h,), the batch that each was left out with; one for all of a reference without batches.
    probabilities
        float32 (h, classes), what the chosen head said of them, calibrated; rows sum to 1.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int32]
    batches: NDArray[np.int32]
    probabilities: NDArray[np.float32]

    def of(self, cells: NDArray[np.bool_]) -> Examined:
        """Some of the left-out cells, by bool (h,)."""
        return Examined(self.rows[cells], self.codes[cells], self.batches[cells], self.probabilities[cells])
