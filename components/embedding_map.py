"""A map of a million points that redraws in a blink: `EmbeddingMap`.

The server paints what is in view as one byte a pixel; the browser holds the palette. The figure gets a ready
picture whenever its ranges have changed, and keeps the old one until then. Knows points, not cells.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import param
from bokeh.events import MouseLeave, MouseMove, RangesUpdate, Reset, SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    CustomJS,
    Label,
    LassoSelectTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from components import raster, theme
from components.coloring import Categories, Coloring, Values, code_colors
from components.raster import Extent, Points

FOREGROUND = "foreground"
BACKGROUND = "background"
MODES = ("replace", "add", "subtract", "intersect")

_HOVER_JS = Path(__file__).with_name("embedding_map_hover.js").read_text(encoding="utf-8")
_HIT_PIXELS = 8
_FIRST_SIZE = (800, 600)      # painted before the browser has said how large the frame is


class EmbeddingMap(pn.viewable.Viewer):
    """Points on a plane in two layers, with zoom, hover, tap, lasso and box selection.

    The background gives context in grey, the foreground lies on it in colour. The background takes its own
    colours when there is no foreground or it is not shown. Every parameter may be set at any time.
    """

    background = param.ClassSelector(class_=(np.ndarray, Points), doc="""
        float (m, 2), or `raster.index_points(xy)` made once and shared by many maps.""")
    foreground = param.ClassSelector(class_=(np.ndarray, Points), doc="float (n, 2), or indexed points.")
    background_coloring = param.ClassSelector(class_=(Categories, Values), doc="Grey density while `None`.")
    foreground_coloring = param.ClassSelector(class_=(Categories, Values), doc="One colour while `None`.")
    show_background = param.Boolean(default=True)
    show_foreground = param.Boolean(default=True)
    hidden = param.List(default=[], item_type=int, doc="Categories of the coloured layer that are not drawn.")
    radius = param.Integer(default=None, allow_None=True, bounds=(0, 20), doc="""
        Pixels a point reaches beyond its own; by the number of points in view while `None`.""")
    dark = param.Boolean(default=False)

    describe = param.Callable(default=None, doc="""
        describe(index, layer) -> plain text for the point at `index` of "foreground" or "background"; lines
        are parted by newlines. It is drawn as text and never read as HTML.""")
    hovered = param.Tuple(default=None, length=2, allow_None=True, doc="(layer, index) under the pointer.")
    tapped = param.Tuple(default=None, length=2, allow_None=True, doc="(layer, index) of the last click.")

    mode = param.Selector(default="replace", objects=list(MODES), doc="What a new gesture does.")
    selected = param.Array(default=None, allow_None=True, doc="""
        bool, one a point of `selectable`; `None` while nothing is selected.""")

    view = param.Tuple(default=None, length=4, allow_None=True, doc="""
        x0, x1, y0, y1 shown. Set it to go somewhere, to `None` to see everything.""")
    in_view = param.Integer(default=0, constant=True, doc="Points of `selectable` within the view, about.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._peers: list[EmbeddingMap] = [self]
        self._layers: dict[str, tuple[Points, NDArray[np.uint8] | None, NDArray[np.uint16] | None]] = {}
        self._size = _FIRST_SIZE
        self._told: dict[str, int] = {}
        self._home = self.view is None
        self._build_figure()
        self._index(BACKGROUND)
        self._index(FOREGROUND)
        self._go_home() if self._home else self._apply_view()
        self._restyle()
        self._watch()

    # what the caller sees

    @property
    def selectable(self) -> str:
        """The layer that hover, tap and selection speak of first: the foreground where it is shown."""
        return FOREGROUND if self.show_foreground and FOREGROUND in self._points else BACKGROUND

    @property
    def coloring(self) -> Coloring | None:
        """The colouring that is seen, hence the one for a legend; `None` while all is plain."""
        return self.foreground_coloring if self.selectable == FOREGROUND else self.background_coloring

    @property
    def picture(self) -> NDArray[np.uint8]:
        """What the browser was sent last: raster codes, uint8 (height, width), row 0 at the bottom."""
        return np.asarray(self._image.data["image"][0])

    def select(self, mask: NDArray[np.bool_] | None, mode: str | None = None) -> None:
        """Combine a mask over the points of `selectable` with the selection, by `mode` or the map's own."""
        if mask is None:
            self.selected = None
            return
        mask = np.asarray(mask, dtype=np.bool_)
        before = self.selected if self.selected is not None else np.zeros_like(mask)
        combine: dict[str, Callable[[], NDArray[np.bool_]]] = {
            "replace": lambda: mask,
            "add": lambda: before | mask,
            "subtract": lambda: before & ~mask,
            "intersect": lambda: before & mask,
        }
        chosen = combine[mode or self.mode]()
        self.selected = chosen if chosen.any() else None

    def link(self, other: EmbeddingMap) -> None:
        """Zoom and pan together with another map from now on; both start at this map's view."""
        other._figure.x_range, other._figure.y_range = self._figure.x_range, self._figure.y_range
        peers = [*self._peers, *(peer for peer in other._peers if peer not in self._peers)]
        for peer in peers:
            peer._peers = peers
        self._moved()

    def destroy(self) -> None:
        """Let go of every array and of linked maps; call it when the page is closed."""
        for peer in self._peers:
            if peer is not self:
                peer._peers = [other for other in peer._peers if other is not self]
        self._peers = [self]
        for watcher in self._watchers:
            self.param.unwatch(watcher)
        self._layers, self._points, self._watchers = {}, {}, []
        self.describe = None
        self.background = self.foreground = self.background_coloring = self.foreground_coloring = None
        self.selected = None

    def __panel__(self) -> pn.viewable.Viewable:
        return pn.pane.Bokeh(self._figure, sizing_mode="stretch_both", min_height=320, margin=0)

    # the figure

    def _build_figure(self) -> None:
        self._points: dict[str, Points] = {}
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._mapper = LinearColorMapper(palette=["#00000000"] * 256, low=0, high=255)
        wheel = WheelZoomTool(zoom_on_axis=False)
        pan = PanTool()
        plot = figure(
            x_range=Range1d(0, 1), y_range=Range1d(0, 1), tools=[], toolbar_location="right",
            sizing_mode="stretch_both", min_border=0, outline_line_color=None,
            lod_timeout=50,      # the ranges are told only after this pause; its default is half a second
        )  # fmt: skip
        lasso, box = LassoSelectTool(continuous=False), BoxSelectTool(continuous=False)
        plot.add_tools(pan, wheel, lasso, box, ResetTool())
        plot.toolbar.logo = None
        plot.toolbar.active_scroll, plot.toolbar.active_drag = wheel, pan
        plot.axis.visible = False
        plot.grid.visible = False
        plot.image("image", x="x", y="y", dw="dw", dh="dh", source=self._image, color_mapper=self._mapper)
        self._figure = plot
        self._build_hover()
        plot.on_event(RangesUpdate, self._on_ranges)
        plot.on_event(Reset, self._on_reset)
        plot.on_event(SelectionGeometry, self._on_geometry)
        plot.on_event(Tap, self._on_tap)
        plot.on_change("inner_width", self._on_resize)
        plot.on_change("inner_height", self._on_resize)

    def _build_hover(self) -> None:
        self._ring = ColumnDataSource({"x": [], "y": []})
        self._ring_glyph = self._figure.scatter(
            "x", "y", source=self._ring, size=11, fill_color=None, line_width=2, line_color=theme.LIGHT["ink"]
        ).glyph
        self._label = Label(
            x=0, y=0, text="", visible=False, padding=6, border_radius=4, x_offset=10, y_offset=10,
            text_font_size="12px", text_line_height=1.3, border_line_width=1,
        )  # fmt: skip
        self._figure.add_layout(self._label)
        self._probe = ColumnDataSource({"x": [], "y": []}, tags=[{"waiting": False, "next": None}])
        self._answer = ColumnDataSource({"n": [0]})
        ask = CustomJS(args={"probe": self._probe, "answer": self._answer}, code=_HOVER_JS)
        self._figure.js_on_event(MouseMove, ask)
        self._figure.js_on_event(MouseLeave, ask)
        self._answer.js_on_change("data", ask)
        self._probe.on_change("data", self._on_probe)

    def _watch(self) -> None:
        watch = self.param.watch
        self._watchers = [
            watch(lambda _: self._replace_points(BACKGROUND), "background"),
            watch(lambda _: self._replace_points(FOREGROUND), "foreground"),
            watch(
                lambda *_: self._restyle(),
                ["background_coloring", "foreground_coloring", "show_background", "show_foreground", "hidden",
                 "selected"],
            ),
            watch(lambda *_: self._draw(), "radius"),
            watch(lambda *_: self._recolor(), "dark"),
            watch(self._on_view, "view"),
        ]

    # points, colours and order, ready to be painted

    def _index(self, layer: str) -> None:
        given = getattr(self, layer)
        if given is None:
            self._points.pop(layer, None)
        else:
            self._points[layer] = given if isinstance(given, Points) else raster.index_points(given)

    def _replace_points(self, layer: str) -> None:
        self._index(layer)
        self._forget_pointer()
        with param.parameterized.discard_events(self):
            self.selected = None
            coloring = getattr(self, f"{layer}_coloring")
            if coloring is not None and layer in self._points and _length(coloring) != self._points[layer].n:
                setattr(self, f"{layer}_coloring", None)      # it belongs to the points that were here before
        if self._home:
            self._go_home()
        self._restyle()

    def _restyle(self) -> None:
        """Work out codes and draw order of the visible layers, then paint."""
        self._layers = {}
        if self.show_background and BACKGROUND in self._points:
            self._layers[BACKGROUND] = self._styled(BACKGROUND, plain=self.selectable == FOREGROUND)
        if self.show_foreground and FOREGROUND in self._points:
            self._layers[FOREGROUND] = self._styled(FOREGROUND, plain=False)
        self._recolor()
        self._draw()

    def _styled(
        self, layer: str, *, plain: bool
    ) -> tuple[Points, NDArray[np.uint8] | None, NDArray[np.uint16] | None]:
        points = self._points[layer]
        coloring: Coloring | None = getattr(self, f"{layer}_coloring")
        selected = self.selected if layer == self.selectable else None
        if plain or (coloring is None and layer == BACKGROUND and selected is None):
            return points, None, None
        if coloring is None:
            codes, order = np.full(points.n, raster.FIRST_COLOR, dtype=np.uint8), "random"
        else:
            _require_length(coloring, points.n, layer)
            codes, order = coloring.raster_codes(self.hidden)[points.order], coloring.order
        rank = raster.draw_rank(points, codes, order)
        if selected is not None:
            codes, rank = raster.raise_selected(codes, rank, np.asarray(selected)[points.order])
        return points, codes, rank

    def _recolor(self) -> None:
        colors = code_colors(self.coloring, dark=self.dark)
        if colors != self._mapper.palette:
            self._mapper.palette = colors
        tokens = theme.DARK if self.dark else theme.LIGHT
        self._figure.background_fill_color = self._figure.border_fill_color = tokens["map"]
        self._ring_glyph.line_color = tokens["ink"]
        self._label.update(
            text_color=tokens["ink"],
            background_fill_color=tokens["surface"],
            border_line_color=tokens["line"],
        )

    def _draw(self) -> None:
        """Paint what is in view and hand it to the browser."""
        x0, x1, y0, y1 = view = self._current()
        width, height = self._size
        layers = [
            raster.Layer(points, codes, rank, self.radius) for points, codes, rank in self._layers.values()
        ]
        self._image.data = {
            "image": [raster.paint(layers, view, width, height)],
            "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0],
        }  # fmt: skip
        points = self._points.get(self.selectable)
        with param.edit_constant(self):
            self.in_view = raster.count_in(points, view) if points is not None else 0

    # where the view is

    def _current(self) -> Extent:
        x, y = self._figure.x_range, self._figure.y_range
        return (float(x.start), float(x.end), float(y.start), float(y.end))

    def _set_ranges(self, view: Extent) -> None:
        x0, x1, y0, y1 = view
        self._figure.x_range.update(start=x0, end=x1)
        self._figure.y_range.update(start=y0, end=y1)

    def _go_home(self) -> None:
        """Show everything, and tell the reset tool that this is where to return to."""
        extents = [points.extent for peer in self._peers for points in peer._points.values()]
        home = raster.fit(raster.union(*extents) if extents else (0.0, 1.0, 0.0, 1.0), *self._size)
        self._set_ranges(home)
        self._figure.x_range.update(reset_start=home[0], reset_end=home[1])
        self._figure.y_range.update(reset_start=home[2], reset_end=home[3])
        self._home = True

    def _apply_view(self) -> None:
        if self.view is not None:
            self._set_ranges(raster.fit(self.view, *self._size, margin=0))

    def _moved(self) -> None:
        """The shared ranges have changed: every linked map paints anew and says where it is."""
        for peer in self._peers:
            with param.parameterized.discard_events(peer):
                peer._home = self._home
                peer.view = None if self._home else self._current()
            peer._draw()
            peer.param.trigger("view")

    def _on_view(self, event: param.parameterized.Event) -> None:
        if event.type == "triggered":      # told by `_moved`; the ranges are already there
            return
        self._home = event.new is None
        self._go_home() if self._home else self._apply_view()
        self._moved()

    # what the browser tells

    def _on_ranges(self, _: RangesUpdate) -> None:
        self._home = False
        self._moved()

    def _on_reset(self, _: Reset) -> None:
        self._go_home()
        self._moved()

    def _on_resize(self, attr: str, _old: int, new: int) -> None:
        self._told[attr] = int(new)        # the figure itself raises for a side not yet told
        size = (self._told.get("inner_width", 0), self._told.get("inner_height", 0))
        if min(size) < 2 or size == self._size:
            return
        before, self._size = self._size, size
        if self._home:
            self._go_home()
        else:
            x0, x1, y0, y1 = self._current()
            unit, x, y = (x1 - x0) / before[0], (x0 + x1) / 2, (y0 + y1) / 2
            self._set_ranges((x - unit * size[0] / 2, x + unit * size[0] / 2,
                              y - unit * size[1] / 2, y + unit * size[1] / 2))  # fmt: skip
        self._draw()

    def _on_geometry(self, event: SelectionGeometry) -> None:
        points = self._points.get(self.selectable)
        if points is None or not event.final or event.geometry is None:
            return
        shape: dict[str, Any] = dict(event.geometry)
        if shape["type"] == "poly":
            mask = raster.inside_polygon(points, shape["x"], shape["y"])
        elif shape["type"] == "rect":
            xs, ys = sorted([shape["x0"], shape["x1"]]), sorted([shape["y0"], shape["y1"]])
            mask = raster.inside_box(points, (xs[0], xs[1], ys[0], ys[1]))
        else:
            return
        drawn = self._layers.get(self.selectable)
        if drawn is not None and drawn[1] is not None:
            seen = np.empty(points.n, dtype=np.bool_)
            seen[points.order] = drawn[1] != raster.EMPTY
            mask &= seen                                   # what is hidden cannot be meant
        self.select(mask)

    def _hit(self, x: float, y: float) -> tuple[str, int] | None:
        x0, x1, _, _ = self._current()
        reach = _HIT_PIXELS * (x1 - x0) / self._size[0]
        for layer in (FOREGROUND, BACKGROUND):
            if layer in self._layers:
                points, codes, _ = self._layers[layer]
                index = raster.nearest(points, x, y, reach, codes)
                if index >= 0:
                    return layer, index
        return None

    def _on_tap(self, event: Tap) -> None:
        if event.x is not None and event.y is not None:
            self.tapped = self._hit(event.x, event.y)

    def _on_probe(self, _attr: str, _old: Any, new: dict[str, Any]) -> None:
        x, y = (float(new[axis][0]) if len(new[axis]) else np.nan for axis in "xy")
        hit = self._hit(x, y) if np.isfinite(x) and np.isfinite(y) else None
        if hit != self.hovered:
            self.hovered = hit
            self._point_at(hit)
        self._answer.data = {"n": [self._answer.data["n"][0] + 1]}     # the browser may ask again

    def _point_at(self, hit: tuple[str, int] | None) -> None:
        text = self.describe(hit[1], hit[0]) if hit is not None and self.describe is not None else ""
        if hit is None:
            self._ring.data = {"x": [], "y": []}
            self._label.visible = False
            return
        points = self._points[hit[0]]
        x, y = self._place_of(points, hit[1])
        x0, x1, y0, y1 = self._current()
        right, top = x > (x0 + x1) / 2, y > (y0 + y1) / 2      # the text grows toward the middle
        self._ring.data = {"x": [x], "y": [y]}
        self._label.update(
            x=x, y=y, text=text, visible=bool(text),
            anchor="bottom_right" if right and not top else "top_right" if right else "top_left" if top
            else "bottom_left",
            x_offset=-10 if right else 10, y_offset=-10 if top else 10,
        )  # fmt: skip

    def _place_of(self, points: Points, index: int) -> tuple[float, float]:
        place = int(np.flatnonzero(points.order == index)[0])
        return float(points.xy[place, 0]), float(points.xy[place, 1])

    def _forget_pointer(self) -> None:
        self.hovered = self.tapped = None
        self._point_at(None)


def _length(coloring: Coloring) -> int:
    return len(coloring.codes if isinstance(coloring, Categories) else coloring.values)


def _require_length(coloring: Coloring, n: int, layer: str) -> None:
    if _length(coloring) != n:
        raise ValueError(f"The {layer} has {n:,} points but its colouring is for {_length(coloring):,}.")
