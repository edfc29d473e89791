"""A histogram to brush over: `BrushHistogram`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray
from panel.custom import JSComponent

_HERE = Path(__file__).parent
BINS = 40


class BrushHistogram(JSComponent):
    """Distribution of a value among all points, with that of some of them in front, and a range to brush.

    Hand it the values with `display`. Dragging sets `ends` when the mouse lets go, two fields set them by keyboard,
    and a double click or "Clear" takes them away.
    """

    title = param.String(default="")
    bounds = param.Range(default=(0.0, 1.0), doc="Ends of the axis.")
    counts = param.List(default=[], item_type=int, doc="Values in each bin; set by `display`.")
    front = param.List(default=[], item_type=int, doc="Of those, the ones in front; set by `display`.")
    ends: Any = param.Parameter(default=None, doc="[low, high] that was brushed; `None` for no range.")

    _esm = _HERE / "brush_histogram.js"
    _stylesheets: ClassVar[list[str]] = [(_HERE / "brush_histogram.css").read_text(encoding="utf-8")]

    def display(self, values: NDArray[np.floating], some: NDArray[np.bool_] | None = None) -> None:
        """Show the distribution of values.

        Parameters
        ----------
        values
            float (n,); NaN is left out.
        some
            bool (n,), which of them stand in front; `None` for all.
        """
        values = np.asarray(values, np.float64)
        there = np.isfinite(values)
        low, high = (float(end) for end in (values[there].min(), values[there].max())) if there.any() else (0.0, 1.0)
        bounds = (low, high) if high > low else (low - 0.5, high + 0.5)
        chosen = there if some is None else there & some
        self.param.update(
            bounds=bounds,
            counts=np.histogram(values[there], BINS, bounds)[0].tolist(),
            front=np.histogram(values[chosen], BINS, bounds)[0].tolist(),
        )
