"""The Bokeh half of a map: a figure that shows ready-made pictures, and the text beside the pointer.

Knows pictures, ranges and events; neither points nor what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from bokeh.events import MouseLeave, MouseMove
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    CustomJS,
    LassoSelectTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.models.annotations import Label
from bokeh.plotting import figure
from numpy.typing import NDArray

from components import theme
from components.gestures import drag_after_rest
from components.points import Extent

_ASK_JS = Path(__file__).with_name("map_ask.js").read_text(encoding="utf-8")
_CLEAR = "#00000000"

TOOLS = ("pan", "lasso", "box")
Written = tuple[str, float, float]
"""A text and its place: text, x, y."""


def _figure(**properties: Any) -> Any:
    """A Bokeh figure, whose glyph methods take more than their type hints say."""
    return figure(**properties)


class MapFigure:
    """A figure without axes that shows one picture of codes, stretched over the view it was painted for."""

    def __init__(self) -> None:
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._mapper = LinearColorMapper(palette=[_CLEAR] * 256, low=0, high=255)
        self._names = ColumnDataSource({"x": [], "y": [], "text": [], "down": []})
        self.x, self.y = Range1d(start=0.0, end=1.0), Range1d(start=0.0, end=1.0)
        wheel, pan = WheelZoomTool(zoom_on_axis=False), PanTool()
        lasso, box = LassoSelectTool(continuous=False), BoxSelectTool(continuous=False)
        self.plot = _figure(
            x_range=self.x, y_range=self.y, tools=[pan, wheel, lasso, box, ResetTool()],
            toolbar_location="right", sizing_mode="stretch_both", min_border=0, outline_line_color=None,
            lod_timeout=50,      # the ranges are told only after this pause; its default is half a second
        )  # fmt: skip
        self._drags: dict[str, Any] = {"pan": pan, "lasso": lasso, "box": box}
        self.plot.toolbar.logo = None
        drag_after_rest(self.plot)
        self.plot.toolbar.active_scroll, self.plot.toolbar.active_drag = wheel, pan
        self.plot.axis.visible = False
        self.plot.grid.visible = False
        self.plot.image(
            "image", x="x", y="y", dw="dw", dh="dh", source=self._image, color_mapper=self._mapper
        )
        # the halo is a text of its own below: an outline is drawn over the letters it belongs to
        self._halo, self._written = (
            self.plot.text(
                "x", "y", "text", source=self._names, text_align="center", text_baseline="middle", y_offset="down",
                text_font_size="12px", text_font_style="bold", text_outline_width=width,
            ).glyph
            for width in (4, 0)
        )  # fmt: skip
        self._marks = ColumnDataSource({"x": [], "y": [], "text": [], "down": []})
        self._diamond = self.plot.scatter("x", "y", source=self._marks, marker="diamond", size=14, line_width=1.5).glyph
        self._mark_halo, self._mark_text = (
            self.plot.text(
                "x", "y", "text", source=self._marks, text_align="center", text_baseline="middle", y_offset="down",
                text_font_size="12px", text_outline_width=width,
            ).glyph
            for width in (4, 0)
        )  # fmt: skip
        self._ring = ColumnDataSource({"x": [], "y": []})
        self._circle = self.plot.scatter(
            "x", "y", source=self._ring, size=12, fill_color=None, line_width=2
        ).glyph
        box_look: dict[str, Any] = {"padding": 6, "border_radius": 4, "border_line_width": 1}
        self._label = Label(
            x=0, y=0, text="", visible=False, text_font_size="12px", text_line_height=1.3, **box_look
        )
        self._note = Label(x=8, y=5, x_units="screen", y_units="screen", text="", visible=False, text_font_size="11px")
        self.plot.add_layout(self._label)
        self.plot.add_layout(self._note)

    # pictures

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The codes shown, uint8 (height, width), row 0 at the bottom."""
        return np.asarray(self._image.data["image"][0])

    def put(self, picture: NDArray[np.uint8], view: Extent) -> None:
        """Show a picture of a view in place of the last one."""
        x0, x1, y0, y1 = view
        self._image.data = {"image": [picture], "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0]}

    def write(self, names: Sequence[Written], lifts: Sequence[float | None]) -> None:
        """Write texts on the picture, centred so many pixels above their places; none where that is `None`."""
        _tell(self._names, names, lifts)

    def mark(self, marks: Sequence[Written], lifts: Sequence[float | None]) -> None:
        """Draw a diamond at each place, and its text as `write` does."""
        _tell(self._marks, marks, lifts)

    def note(self, text: str) -> None:
        """Write a line at the foot of the picture; an empty one takes it away."""
        if text != self._note.text:
            self._note.update(text=text, visible=bool(text))

    def color(self, codes: list[str], *, dark: bool) -> None:
        """Give the codes their 256 colours, and the rest a light or a dark look."""
        if codes != self._mapper.palette:
            self._mapper.palette = codes
        tokens = theme.DARK if dark else theme.LIGHT
        self.plot.background_fill_color = self.plot.border_fill_color = tokens["map"]
        self._circle.line_color = self._label.text_color = self._written.text_color = tokens["ink"]
        self._halo.text_color = self._halo.text_outline_color = tokens["map"]
        self._mark_halo.text_color = self._mark_halo.text_outline_color = tokens["map"]
        self._mark_text.text_color = self._diamond.line_color = tokens["ink"]
        self._diamond.fill_color = tokens["map"]
        self._written.text_outline_color = self._mark_text.text_outline_color = None
        self._label.background_fill_color = tokens["surface"]
        self._label.border_line_color = tokens["line"]
        self._note.text_color = tokens["soft"]
        self._note.background_fill_color = tokens["map"]

    # ranges

    @property
    def is_home(self) -> bool:
        """Whether the view is the one that the reset tool goes to."""
        home: Any = (self.x.reset_start, self.x.reset_end, self.y.reset_start, self.y.reset_end)
        return None not in home and bool(np.allclose(self.view, home, rtol=1e-9))

    @property
    def view(self) -> Extent:
        """x0, x1, y0, y1 as they are now."""
        x0, x1, y0, y1 = cast(Extent, (self.x.start, self.x.end, self.y.start, self.y.end))
        return (float(x0), float(x1), float(y0), float(y1))

    @view.setter
    def view(self, view: Extent) -> None:
        x0, x1, y0, y1 = view
        self.x.update(start=x0, end=x1)
        self.y.update(start=y0, end=y1)

    def set_home(self, view: Extent) -> None:
        """Where the reset tool goes."""
        x0, x1, y0, y1 = view
        self.x.update(reset_start=x0, reset_end=x1)
        self.y.update(reset_start=y0, reset_end=y1)

    def share_ranges(self, other: MapFigure) -> None:
        """Move together with another figure from now on, starting where this one is."""
        other.x, other.y = self.x, self.y
        other.plot.x_range, other.plot.y_range = self.x, self.y

    # what the hand does

    @property
    def tool(self) -> str:
        """What dragging does: one of `TOOLS`."""
        return next(name for name, tool in self._drags.items() if tool is self.plot.toolbar.active_drag)

    @tool.setter
    def tool(self, name: str) -> None:
        if name != self.tool:
            self.plot.toolbar.active_drag = self._drags[name]

    def on_tool(self, told: Callable[[str], None]) -> None:
        """Call `told(name)` when another tool for dragging is pressed."""
        toolbar = self.plot.toolbar
        # the browser keeps which tool is active to itself, so it is told to write it down
        pressed = CustomJS(args={"toolbar": toolbar}, code="if (cb_obj.active) toolbar.active_drag = cb_obj")
        for tool in self._drags.values():
            tool.js_on_change("change:active", pressed)
        toolbar.on_change("active_drag", lambda _attr, _old, _new: told(self.tool))

    def on_pointer(self, told: Callable[[float, float], None]) -> None:
        """Call `told(x, y)` as the pointer moves, NaN when it leaves; one call in flight at a time."""
        ask = self._asking([], lambda values: told(*values))
        self.plot.js_on_event(MouseMove, ask)
        self.plot.js_on_event(MouseLeave, ask)

    def on_motion(self, told: Callable[[], None]) -> None:
        """Call `told()` while the view moves, before Bokeh says where it came to rest; one call at a time."""
        ask = self._asking([self.x, self.y], lambda _: told())
        for side in (self.x, self.y):
            side.js_on_change("start", ask)
            side.js_on_change("end", ask)

    def _asking(self, ranges: list[Range1d], told: Callable[[list[float]], None]) -> CustomJS:
        """The browser's half of a question, which waits for each answer before it asks again."""
        probe, answer = ColumnDataSource({"values": [], "n": []}), ColumnDataSource({"n": [0]})
        ask = CustomJS(args={"probe": probe, "answer": answer, "ranges": ranges}, code=_ASK_JS)
        answer.js_on_change("data", ask)

        def asked(_attr: str, _old: Any, new: dict[str, Any]) -> None:
            try:
                told([float(value) for value in new["values"]])
            finally:
                answer.data = {"n": [answer.data["n"][0] + 1]}      # now the browser may ask again

        probe.on_change("data", asked)
        return ask

    def point_at(self, place: tuple[float, float] | None, text: str = "") -> None:
        """Ring a place and write beside it, toward the middle of the view; `None` takes both away."""
        if place is None:
            self._ring.data = {"x": [], "y": []}
            self._label.visible = False
            return
        x, y = place
        x0, x1, y0, y1 = self.view
        right, top = x > (x0 + x1) / 2, y > (y0 + y1) / 2
        self._ring.data = {"x": [x], "y": [y]}
        self._label.update(
            x=x, y=y, text=text, visible=bool(text),
            anchor=f"{'top' if top else 'bottom'}_{'right' if right else 'left'}",
            x_offset=-10 if right else 10, y_offset=-10 if top else 10,
        )  # fmt: skip


def _tell(source: Any, written: Sequence[Written], lifts: Sequence[float | None]) -> None:
    """Hand texts to the browser unless it has them."""
    data = {
        "x": [x for _, x, _ in written],
        "y": [y for _, _, y in written],
        "text": ["" if lift is None else text for (text, _, _), lift in zip(written, lifts, strict=True)],
        "down": [-(lift or 0.0) for lift in lifts],
    }
    if source.data != data:
        source.data = data
