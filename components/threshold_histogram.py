"""A histogram with a threshold to drag, which says what it keeps: `ThresholdHistogram`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray
from panel.custom import JSComponent

_HERE = Path(__file__).parent
_BINS = 50


class ThresholdHistogram(JSComponent):
    """Distribution of a value with a line at `threshold`; values at or above it are kept.

    Hand it the values with `display`; `threshold` changes when the mouse lets go, and with the arrow keys.
    """

    threshold = param.Number(default=0.5)
    bounds = param.Range(default=(0.0, 1.0), doc="Ends of the axis.")
    least = param.Number(default=None, allow_None=True, doc="How low the line goes; to the axis' end if not given.")
    step = param.Number(default=0.01, bounds=(0, None), inclusive_bounds=(False, True))
    title = param.String(default="")
    counts = param.List(default=[], item_type=int, doc="Values in each bin; set by `display`.")
    summary = param.String(default="", doc="What the threshold keeps; written anew whenever it moves.")

    _esm = _HERE / "threshold_histogram.js"
    _stylesheets: ClassVar[list[str]] = [(_HERE / "threshold_histogram.css").read_text(encoding="utf-8")]

    def __init__(self, **params: Any) -> None:
        self._sorted: NDArray[np.floating] = np.zeros(0)
        self._tell: Callable[[float, int, int], str] = keeps
        super().__init__(**params)
        self.param.watch(lambda *_: self._summarise(), "threshold")

    def display(
        self, values: NDArray[np.floating], tell: Callable[[float, int, int], str] | None = None
    ) -> None:
        """Show the distribution of values, float (n,); NaN is left out.

        Parameters
        ----------
        tell
            tell(threshold, kept, n) -> the sentence below the picture.
        """
        self._sorted = np.sort(values[~np.isnan(values)])
        self._tell = tell or self._tell
        self.counts = np.histogram(self._sorted, bins=_BINS, range=self.bounds)[0].tolist()
        self._summarise()

    @property
    def kept(self) -> int:
        """How many values are at or above the threshold."""
        return len(self._sorted) - int(np.searchsorted(self._sorted, self.threshold, side="left"))

    def _summarise(self) -> None:
        self.summary = self._tell(float(self.threshold), self.kept, len(self._sorted))


def keeps(threshold: float, kept: int, n: int) -> str:
    """The plain sentence: "0.80 keeps 912 of 1,000 (91 %)"."""
    return f"{threshold:.2f} keeps {kept:,} of {n:,} ({kept / n:.0%})".replace("%", " %") if n else ""
