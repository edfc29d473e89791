"""How large differences are beside how sure: `Volcano`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import param
from numpy.typing import NDArray
from panel.custom import JSComponent

from components.distributions import told_apart
from components.modules import chart_module

_HERE = Path(__file__).parent


class Volcano(JSComponent):
    """Dots by x and y, those beyond both limits in colour, the first with their names. A click picks the nearest."""

    names = param.List(default=[], item_type=str)
    x = param.List(default=[], doc="float, one a name.")
    y = param.List(default=[], doc="float, one a name.")
    least_x = param.Number(default=1.0, doc="Dots nearer to 0 than this are grey.")
    least_y = param.Number(default=0.0, doc="Dots lower than this are grey.")
    labelled = param.List(default=[], item_type=str, doc="Names to write beside their dots, the most important first.")
    x_title = param.String(default="")
    y_title = param.String(default="")
    picked = param.String(default="", doc="The name that was clicked; empty for none.")
    tall = param.Integer(default=280, doc="Height in pixels.")

    _esm = chart_module("volcano.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "volcano.css").read_text(encoding="utf-8")]

    def display(
        self, names: NDArray[np.object_], x: NDArray[np.floating], y: NDArray[np.floating], top: int = 12
    ) -> None:
        """Show dots; those of one place are sent once, and the first of them stands for all.

        Parameters
        ----------
        names, x, y
            n dots, the most important first; those without a finite place are left out.
        top
            How many of the first are labelled, and as many half of the last.
        """
        kept, labelled = told_apart(x, y, (self.least_x, self.least_y), top)
        self.param.update(
            names=[str(name) for name in names[kept]],
            x=[round(float(value), 3) for value in x[kept]],
            y=[round(float(value), 3) for value in y[kept]],
            labelled=[str(names[at]) for at in labelled],
        )
