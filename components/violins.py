"""How values are distributed in each of several groups: `Violins`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import param
from numpy.typing import NDArray
from panel.custom import JSComponent
from scipy.ndimage import gaussian_filter1d

from components.svg import chart_module

_HERE = Path(__file__).parent
BINS = 48
SMOOTH = 1.2  # bins, standard deviation


class Violins(JSComponent):
    """A row a name and a violin a group, each as wide as it may be; a line at its median. A click picks a name."""

    names = param.List(default=[], item_type=str)
    groups = param.List(default=[], item_type=str)
    colors = param.List(default=[], item_type=str, doc="#rrggbb, one a group.")
    shapes = param.List(default=[], item_type=list, doc="As `outlines` finds them: a list a name, a list a group.")
    medians = param.List(default=[], item_type=list, doc="A list a name: float or `None` a group.")
    tops = param.List(default=[], item_type=float, doc="Largest value of each name, the end of its scale.")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")
    unit = param.String(default="")

    _esm = chart_module("violins.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "violins.css").read_text(encoding="utf-8")]


def outlines(
    values: NDArray[np.floating], codes: NDArray[np.integer], n_groups: int, bins: int = BINS
) -> tuple[list[list[float]], list[float | None], float]:
    """How often values of each group lie where: smoothed histograms from 0 to the largest value.

    Parameters
    ----------
    values
        float (n,), 0 or more.
    codes
        int (n,), number of each value's group; -1 for none.

    Returns
    -------
    shapes, medians, top
        For each group `bins` widths of which the largest is 1, empty for a group without a value; its median; and
        where the scale ends.
    """
    held = values[codes >= 0]
    top = float(held.max()) if len(held) and held.max() > 0 else 1.0
    shapes: list[list[float]] = []
    medians: list[float | None] = []
    for group in range(n_groups):
        own = values[codes == group]
        if len(own) == 0:
            shapes.append([])
            medians.append(None)
            continue
        counts = gaussian_filter1d(np.histogram(own, bins, (0, top))[0].astype(float), SMOOTH, mode="constant")
        shapes.append([round(float(width), 3) for width in counts / counts.max()])
        medians.append(round(float(np.median(own)), 3))
    return shapes, medians, top
