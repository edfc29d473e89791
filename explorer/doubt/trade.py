"""What a threshold of confidence leaves of a query, and how right that is. Knows labels and left-out answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.doubt.examined import Examined
from explorer.doubt.risk import Kept, at_threshold
from explorer.flow import LevelLabels


@dataclass(frozen=True)
class Trade:
    """What the threshold costs and buys at one label level.

    Attributes
    ----------
    threshold
        In [0.5, 1].
    cells, kept
        Of the query, and those that carry a label.
    unsure
        Cells of less confidence than the threshold; what is neither kept nor unsure lies too far from its label.
    estimate
        What left-out reference cells say of the same threshold; `None` where none was left out.
    """

    threshold: float
    cells: int
    kept: int
    unsure: int
    estimate: Kept | None

    @classmethod
    def of(cls, labels: LevelLabels, examined: Examined | None) -> Trade:
        """What the threshold of labels leaves of them; `examined` are answers to left-out cells at their level."""
        return cls(
            threshold=labels.threshold,
            cells=len(labels.codes),
            kept=int((~labels.unknown).sum()),
            unsure=int((labels.confidence < labels.threshold).sum()),
            estimate=None if examined is None else at_threshold(examined, labels.threshold),
        )

    @property
    def words(self) -> str:
        """"threshold 0.80 keeps 91 % at 97 % estimated accuracy"."""
        return f"threshold {self.threshold:.2f} keeps {percent(self.kept, self.cells)}{self._accuracy}"

    @property
    def sentence(self) -> str:
        """What is kept of the query and how right that is, with all that is lost."""
        share = percent(self.kept, self.cells)
        said = f"At {self.threshold:.2f} you keep {self.kept:,} of {self.cells:,} cells ({share}){self._accuracy}"
        far = self.cells - self.kept - self.unsure
        lost = [f"{self.unsure:,} are less sure"] * bool(self.unsure)
        lost += [f"{far:,} lie too far from their label"] * bool(far)
        if self.kept == 0:
            lost.append("no cell carries a label: lower the threshold, or see the verdict above")
        return f"{said}. {'; '.join(lost)[:1].upper()}{'; '.join(lost)[1:]}." if lost else f"{said}."

    @property
    def _accuracy(self) -> str:
        if self.estimate is None or self.estimate.share == 0:
            return ""
        return f" at {percent(self.estimate.accuracy, 1)} estimated accuracy"


def estimate_note(examined: Examined | None, is_bad: bool) -> str:
    """What the estimate rests on, and where it does not hold: for a query whose mapping is bad as a whole."""
    if examined is None:
        return (
            "No labelled reference cell was left out of training, so nobody can tell how accurate labels are at a "
            "threshold. Build the reference from two batches or more to learn that."
        )
    n, batches = len(examined.codes), len(np.unique(examined.batches))
    said = f"Estimated on {n:,} reference cells of {batches} batches that were left out of training in turn."
    warned = " Your cells are not like them (see the verdict), so fewer of your labels will be right."
    return said + (warned if is_bad else " It holds as far as your cells are like another batch of these.")


def percent(part: float, whole: float) -> str:
    """A share in percent; all only where nothing is missing, none only where nothing is there."""
    if whole <= 0:
        return "-"
    rounded = round(100 * part / whole)
    if rounded == 100 and part < whole:
        return "> 99 %"
    return "< 1 %" if rounded == 0 and part > 0 else f"{rounded} %"
