"""Categories with their number, share and the median of a value: `CellTable`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import param
from numpy.typing import NDArray
from panel.custom import JSComponent

from components.coloring import Categories
from components.modules import html_module

_HERE = Path(__file__).parent


class CellTable(JSComponent):
    """One row a category: name, n, percent, median. Sorts by any column; a click on a name picks it."""

    names = param.List(default=[], item_type=str)
    counts = param.List(default=[], item_type=int)
    median = param.List(default=[], doc="float or `None` for no value, one a category; empty for no column.")
    colors = param.List(default=[], item_type=str, doc="#rrggbb, one a category; may be empty.")
    title = param.String(default="")
    name_title = param.String(default="Label")
    median_title = param.String(default="median")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")

    _esm = html_module("cell_table.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "cell_table.css").read_text(encoding="utf-8")]

    def display(
        self,
        coloring: Categories,
        values: NDArray[np.floating] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count the points of each category that has any, most first.

        Parameters
        ----------
        values
            float (n,), whose median is shown.
        mask
            bool (n,), the points to count; all of them when `None`.
        """
        codes = np.asarray(coloring.codes)
        chosen = (codes >= 0) if mask is None else (codes >= 0) & mask
        counts = np.bincount(codes[chosen], minlength=len(coloring.names))
        listed = [int(c) for c in np.argsort(-counts, kind="stable") if counts[c]]
        self.param.update(
            names=[coloring.names[c] for c in listed],
            colors=[coloring.colors[c] for c in listed],
            counts=[int(counts[c]) for c in listed],
            median=[] if values is None else [_median(values[chosen & (codes == c)]) for c in listed],
        )


def _median(values: NDArray[np.floating]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None
