"""Points on two axes of values, a million in a blink, with boxes, lassos and two cuts: `ValuePlane`.

As on a map, the server paints what is in view as one byte a pixel and the browser holds the palette. Knows values, not
cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import param
from bokeh.events import Event, RangesUpdate
from numpy.typing import NDArray

from components import raster, zero_band
from components.coloring import Categories, Values, code_colors
from components.layers import colored
from components.plane_figure import PlaneFigure
from components.points import Extent, Points

_FIRST_SIZE = (400, 250)  # painted before the browser has said how large the frame is
_LEAST = 120  # pixels of its height
_MARGIN = 0.04  # of an axis, left empty at either end


class ValuePlane(pn.viewable.Viewer):
    """Points by two values, in the colours of a map.

    A box or a lasso that is drawn sets `drawn`; what it selects is for the caller to say, who sets `selected`.
    """

    points = param.ClassSelector(class_=Points, doc="As `zero_band.places` gives them.")
    coloring = param.ClassSelector(class_=(Categories, Values), doc="One colour while `None`.")
    hidden = param.List(default=[], item_type=int, doc="Categories that are not drawn.")
    selected = param.Array(default=None, allow_None=True, doc="bool, one a point; the others are muted.")
    dark = param.Boolean(default=False)
    x_title = param.String(default="", doc="With its unit.")
    y_title = param.String(default="", doc="With its unit.")
    bands = param.Tuple(default=(False, False), length=2, doc="Which axes have a band of zeros.")
    cuts = param.Tuple(default=None, length=2, allow_None=True, doc="Where the lines across lie; dragging sets it.")
    drawn = param.Dict(default={}, doc="""
        The last shape: {"x": [...], "y": [...]}, the corners of a lasso, or two opposite ones of a box, low first.""")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._size = _FIRST_SIZE
        self._told: dict[str, int] = {}
        self._drawn: Extent | None = None
        self._layer: raster.Layer | None = None
        self._figure = PlaneFigure()
        plot = self._figure.plot
        plot.on_event(RangesUpdate, self._on_ranges)
        plot.on_change("inner_width", self._on_resize)
        plot.on_change("inner_height", self._on_resize)
        self._figure.on_shape(lambda x, y: setattr(self, "drawn", {"x": x, "y": y}))
        self._figure.on_cut(lambda at: setattr(self, "cuts", at) if self.cuts is not None else None)
        self._watchers = [
            self.param.watch(self._on_points, ["points", "coloring", "hidden", "selected", "bands"]),
            self.param.watch(lambda *_: self._recolor(), ["dark"]),
            self.param.watch(lambda *_: self._name(), ["x_title", "y_title", "bands"]),
            self.param.watch(lambda *_: self._figure.cut(self.cuts), ["cuts"]),
        ]
        self._go_home()
        self._restyle()
        self._figure.cut(self.cuts)

    @property
    def picture(self) -> NDArray[np.uint8]:
        """What the browser was sent last: raster codes, uint8 (height, width), row 0 at the bottom."""
        return self._figure.picture

    @property
    def view(self) -> Extent:
        """x0, x1, y0, y1 shown."""
        return self._figure.view

    def destroy(self) -> None:
        """Let go of every array; call it when the page is closed."""
        for watcher in self._watchers:
            self.param.unwatch(watcher)
        self._watchers, self._layer = [], None
        self.param.update(points=None, coloring=None, selected=None)

    def __panel__(self) -> pn.viewable.Viewable:
        # without a least height it never gets lower than it once was
        return pn.pane.Bokeh(self._figure.plot, sizing_mode="stretch_both", min_height=_LEAST, margin=0)

    # painting

    def _on_points(self, *events: param.parameterized.Event) -> None:
        changed = {event.name for event in events}
        if "points" in changed:
            with param.parameterized.discard_events(self):      # what spoke of the points before
                self.coloring = self.coloring if "coloring" in changed else None
                self.selected = self.selected if "selected" in changed else None
        if {"points", "bands"} & changed:
            self._go_home()
        self._restyle()

    def _go_home(self) -> None:
        extent = self.points.extent if self.points is not None else (0.0, 1.0, 0.0, 1.0)
        sides = []
        for low, high, band in zip(extent[::2], extent[1::2], self.bands, strict=True):
            least = min(low, zero_band.LOW) if band else low
            margin = _MARGIN * (high - least)
            sides += [least - margin, high + margin]
        x0, x1, y0, y1 = sides
        self._figure.go((x0, x1, y0, y1))

    def _restyle(self) -> None:
        points = self.points
        self._layer = None if points is None else colored(
            points, self.coloring, hidden=self.hidden, selected=self.selected, name="plane"
        )  # fmt: skip
        self._name()
        self._recolor()
        self._draw()

    def _name(self) -> None:
        self._figure.name(self.x_title, self.y_title, self.bands)

    def _recolor(self) -> None:
        self._figure.color(code_colors(self.coloring, dark=self.dark), dark=self.dark)

    def _draw(self) -> None:
        """Paint what is in view and hand it to the browser."""
        view = self._figure.view
        self._figure.put(raster.paint([self._layer] if self._layer is not None else [], view, *self._size), view)
        self._figure.tick(self._size)
        self._drawn = view

    # what the browser tells

    def _on_ranges(self, _: Event) -> None:
        if self._drawn != self._figure.view:
            self._draw()

    def _on_resize(self, attr: str, _old: int, new: int) -> None:
        self._told[attr] = int(new)        # the figure itself raises for a side not yet told
        size = (self._told.get("inner_width", 0), self._told.get("inner_height", 0))
        if min(size) >= 2 and size != self._size:
            self._size = size
            self._draw()
