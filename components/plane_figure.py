"""The Bokeh half of a plane of values: a figure with axes that shows one ready-made picture, with two cuts across it.

Knows pictures, ranges, ticks and events; neither points nor what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from bokeh.events import SelectionGeometry
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    FixedTicker,
    LassoSelectTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from components import theme, zero_band
from components.gestures import drag_after_rest
from components.points import Extent

_CLEAR = "#00000000"
_TEXT = "12px"
_EVERY = 70  # pixels between ticks, about
_ROOM = 0.06  # of a tick's step that it keeps from the band of zeros


def _figure(**properties: Any) -> Any:
    """A Bokeh figure, whose glyph methods take more than their type hints say."""
    return figure(**properties)


class PlaneFigure:
    """Two axes, a picture between them, and two cuts that can be dragged."""

    def __init__(self) -> None:
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._mapper = LinearColorMapper(palette=[_CLEAR] * 256, low=0, high=255)
        self.x, self.y = Range1d(start=0.0, end=1.0), Range1d(start=0.0, end=1.0)
        box, lasso = BoxSelectTool(continuous=False), LassoSelectTool(continuous=False)
        self.plot = _figure(
            x_range=self.x, y_range=self.y, tools=[box, lasso, PanTool(), WheelZoomTool(), ResetTool()],
            toolbar_location="right", sizing_mode="stretch_both", min_border=0, outline_line_color=None,
            lod_timeout=50,      # the ranges are told only after this pause; its default is half a second
        )  # fmt: skip
        self.plot.toolbar.logo = None
        drag_after_rest(self.plot)
        # the wheel scrolls what the plane lies in, until the person asks for more
        self.plot.toolbar.active_drag, self.plot.toolbar.active_scroll = box, None
        self.plot.grid.visible = False
        self._tickers = FixedTicker(ticks=[]), FixedTicker(ticks=[])
        for axis, ticker in zip(self._axes, self._tickers, strict=True):
            axis.ticker, axis.minor_tick_line_color = ticker, None
            axis.major_label_text_font_size = axis.axis_label_text_font_size = _TEXT
            axis.axis_label_text_font_style, axis.axis_label_standoff, axis.major_tick_in = "normal", 4, 0
            axis.major_label_overrides = {zero_band.MIDDLE: "0"}
        self._bands = (
            BoxAnnotation(left=zero_band.LOW, right=zero_band.HIGH, line_color=None, level="underlay", visible=False),
            BoxAnnotation(bottom=zero_band.LOW, top=zero_band.HIGH, line_color=None, level="underlay", visible=False),
        )
        self._lines = tuple(
            Span(dimension=along, location=0.0, editable=True, visible=False, line_dash="dashed", line_width=1.5,
                 hover_line_width=3)
            for along in ("height", "width")
        )  # fmt: skip
        for part in (*self._bands, *self._lines):
            self.plot.add_layout(part)
        self.plot.image("image", x="x", y="y", dw="dw", dh="dh", source=self._image, color_mapper=self._mapper)

    @property
    def _axes(self) -> tuple[Any, Any]:
        return self.plot.xaxis[0], self.plot.yaxis[0]

    # pictures

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The codes shown, uint8 (height, width), row 0 at the bottom."""
        return np.asarray(self._image.data["image"][0])

    def put(self, picture: NDArray[np.uint8], view: Extent) -> None:
        """Show a picture of a view in place of the last one."""
        x0, x1, y0, y1 = view
        self._image.data = {"image": [picture], "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0]}

    def color(self, codes: list[str], *, dark: bool) -> None:
        """Give the codes their 256 colours, and the rest a light or a dark look."""
        if codes != self._mapper.palette:
            self._mapper.palette = codes
        tokens = theme.DARK if dark else theme.LIGHT
        self.plot.background_fill_color = self.plot.border_fill_color = tokens["map"]
        for axis in self._axes:
            axis.axis_line_color = axis.major_tick_line_color = tokens["line"]
            axis.major_label_text_color, axis.axis_label_text_color = tokens["soft"], tokens["ink"]
        for band in self._bands:
            band.fill_color, band.fill_alpha = tokens["raised"], 1.0
        for line in self._lines:
            line.line_color, line.hover_line_color = tokens["soft"], tokens["accent"]

    # axes

    @property
    def view(self) -> Extent:
        """x0, x1, y0, y1 as they are now."""
        x0, x1, y0, y1 = cast(Extent, (self.x.start, self.x.end, self.y.start, self.y.end))
        return (float(x0), float(x1), float(y0), float(y1))

    def go(self, view: Extent) -> None:
        """Turn to a view, and let the reset tool go there."""
        for side, (start, end) in zip((self.x, self.y), (view[:2], view[2:]), strict=True):
            side.update(start=start, end=end, reset_start=start, reset_end=end)

    def name(self, x: str, y: str, bands: tuple[bool, bool]) -> None:
        """Name the axes, and say which of them have a band of zeros."""
        for axis, title in zip(self._axes, (x, y), strict=True):
            axis.axis_label = title
        for shade, has in zip(self._bands, bands, strict=True):
            shade.visible = has

    def tick(self, size: tuple[int, int]) -> None:
        """Place ticks for the view; an axis with a band of zeros has one in its middle, called 0."""
        x0, x1, y0, y1 = self.view
        for ticker, ends, pixels, shade in zip(
            self._tickers, ((x0, x1), (y0, y1)), size, self._bands, strict=True
        ):
            steps = MaxNLocator(nbins=max(2, pixels // _EVERY), steps=[1, 2, 5, 10]).tick_values(*ends)
            least = _ROOM * float(steps[1] - steps[0]) if shade.visible else -np.inf
            ticks = [float(tick) for tick in steps if ends[0] <= tick <= ends[1] and tick > least]
            ticker.ticks = [zero_band.MIDDLE, *ticks] if shade.visible else ticks

    # cuts

    def cut(self, at: tuple[float, float] | None) -> None:
        """Draw a line up and one across; `None` takes them away."""
        for line, place in zip(self._lines, at or (0.0, 0.0), strict=True):
            line.update(location=place, visible=at is not None)

    def on_cut(self, told: Callable[[tuple[float, float]], None]) -> None:
        """Call `told((x, y))` when a line was dragged."""
        up, across = self._lines

        def dragged(_attr: str, _old: Any, _new: Any) -> None:
            x, y = cast(tuple[float, float], (up.location, across.location))
            told((float(x), float(y)))

        for line in self._lines:
            line.on_change("location", dragged)

    # what the hand does

    def on_shape(self, told: Callable[[list[float], list[float]], None]) -> None:
        """Call `told(x, y)` with what was drawn: the corners of a lasso, or two opposite ones of a box, low first."""

        def drawn(event: SelectionGeometry) -> None:
            if not event.final or event.geometry is None:
                return
            shape: dict[str, Any] = dict(event.geometry)
            if shape["type"] == "poly":
                told([float(x) for x in shape["x"]], [float(y) for y in shape["y"]])
            else:
                told(*(sorted(float(shape[f"{side}{end}"]) for end in (0, 1)) for side in ("x", "y")))

        self.plot.on_event(SelectionGeometry, drawn)
