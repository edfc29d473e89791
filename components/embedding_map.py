"""A map of a million points that redraws in a blink: `EmbeddingMap`.

The server paints what is in view as one byte a pixel; the browser holds the palette. The figure gets a ready
picture while its ranges change, and keeps the old one until then. Knows points, not cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import panel as pn
import param
from bokeh.events import Event, RangesUpdate, SelectionGeometry, Tap
from numpy.typing import NDArray

from components import raster
from components.coloring import Categories, Coloring, Values, code_colors
from components.layers import colored
from components.lettering import Lettering
from components.map_figure import TOOLS, MapFigure
from components.points import (
    Extent,
    Points,
    count_in,
    fit,
    index_points,
    inside_box,
    inside_polygon,
    nearest,
    union,
)

FOREGROUND = "foreground"
BACKGROUND = "background"
MODES = ("replace", "add", "subtract", "intersect")

_HIT_PIXELS = 8
_MARK_LIFTS = (15.0, -15.0)    # pixels from a diamond up to the middle of its text, or down
_NAME_LIFTS = (0.0, 15.0, -15.0)
_FIRST_SIZE = (800, 600)      # painted before the browser has said how large the frame is

Mask = NDArray[np.bool_]


class EmbeddingMap(pn.viewable.Viewer):
    """Points on a plane in two layers, with zoom, hover, tap, lasso and box selection.

    The background gives context in grey, the foreground lies on it in colour. The background takes its own
    colours when there is no foreground or it is not shown. Every parameter may be set at any time; several at
    once are best set with `map.param.update(...)`, which paints once.
    """

    background = param.ClassSelector(class_=(np.ndarray, Points), doc="""
        float (m, 2), or `points.index_points(xy)` made once and shared by many maps.""")
    foreground = param.ClassSelector(class_=(np.ndarray, Points), doc="float (n, 2), or indexed points.")
    background_coloring = param.ClassSelector(class_=(Categories, Values), doc="Grey density while `None`.")
    foreground_coloring = param.ClassSelector(class_=(Categories, Values), doc="One colour while `None`.")
    show_background = param.Boolean(default=True)
    show_foreground = param.Boolean(default=True)
    show_names = param.Boolean(default=False, doc="""
        Write each visible category's name at its middle, those of most points first, where there is room.""")
    hidden = param.List(default=[], item_type=int, doc="Categories of the coloured layer that are not drawn.")
    shown = param.Array(default=None, allow_None=True, doc="""
        bool, one a point of `selectable`; the others are not drawn, hit or selected. `None` draws all.""")
    highlight = param.Integer(default=None, allow_None=True, doc="Category that keeps its colour; others fade.")
    marks = param.List(default=[], item_type=tuple, doc="""
        (text, x, y): a diamond at a place; its text above or below it where there is room, or under the pointer.""")
    point_size = param.Integer(default=None, allow_None=True, bounds=(1, 40), doc="""
        Pixels across; by the number of points in view while `None`.""")
    dark = param.Boolean(default=False)
    min_height = param.Integer(default=240, constant=True, doc="Pixels that the page leaves it at least.")

    describe = param.Callable(default=None, doc="""
        describe(index, layer) -> plain text for the point at `index` of "foreground" or "background"; lines
        are parted by newlines. It is drawn as text and never read as HTML.""")
    hovered = param.Tuple(default=None, length=2, allow_None=True, doc="(layer, index) under the pointer.")
    tapped = param.Tuple(default=None, length=2, allow_None=True, doc="(layer, index) of the last click.")

    tool: param.Selector[str] = param.Selector(default=TOOLS[0], objects=list(TOOLS), doc="What dragging does.")
    mode: param.Selector[str] = param.Selector(default=MODES[0], objects=list(MODES), doc="What gestures do.")
    selected = param.Array(default=None, allow_None=True, doc="""
        bool, one a point of `selectable`; `None` while nothing is selected.""")

    drawn = param.Dict(default={}, doc="""
        The last shape that was drawn around points: {"x": [...], "y": [...]}, its corners; set before `selected`.""")

    view = param.Tuple(default=None, length=4, allow_None=True, doc="""
        x0, x1, y0, y1 shown. Set it to go somewhere, to `None` to see everything.""")
    in_view = param.Integer(default=0, constant=True, doc="Points of `selectable` within the view, about.")
    pixels = param.Integer(default=1, constant=True, doc="How many pixels across its points are drawn now.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._peers: list[EmbeddingMap] = [self]
        self._watchers: list[param.parameterized.Watcher] = []
        self._points: dict[str, Points] = {}
        self._layers: dict[str, raster.Layer] = {}
        self._size = _FIRST_SIZE
        self._told: dict[str, int] = {}
        self._drawn: Extent | None = None
        self._pointed: tuple[str, float, float] | None = None      # the mark under the pointer
        self._names: list[tuple[str, float, float]] = []      # those of most points first
        self._figure = MapFigure()
        self._figure.tool = self.tool
        for layer in (BACKGROUND, FOREGROUND):
            self._index(layer)
        self._home = self.view is None
        self._go(self.view)
        self._restyle()
        self._listen()

    # what the caller sees

    @property
    def selectable(self) -> str:
        """The layer that selection and legend speak of: the foreground where there is one and it is shown."""
        return FOREGROUND if self.show_foreground and FOREGROUND in self._points else BACKGROUND

    @property
    def coloring(self) -> Coloring | None:
        """The colouring that is seen, hence the one for a legend; `None` while all is plain."""
        coloring: Coloring | None = getattr(self, f"{self.selectable}_coloring")
        return coloring

    @property
    def picture(self) -> NDArray[np.uint8]:
        """What the browser was sent last: raster codes, uint8 (height, width), row 0 at the bottom."""
        return self._figure.picture

    def select(self, mask: Mask | None, mode: str | None = None) -> None:
        """Combine a mask over the points of `selectable` with the selection, by `mode` or the map's own."""
        if mask is None:
            self.selected = None
            return
        mask = np.asarray(mask, dtype=np.bool_)
        before = self.selected if self.selected is not None else np.zeros_like(mask)
        combine: dict[str, Callable[[], Mask]] = {
            "replace": lambda: mask,
            "add": lambda: before | mask,
            "subtract": lambda: before & ~mask,
            "intersect": lambda: before & mask,
        }
        chosen = combine[mode or self.mode]()
        self.selected = chosen if chosen.any() else None

    def link(self, other: EmbeddingMap) -> None:
        """Zoom and pan together with another map from now on, starting at this map's view."""
        peers = [*self._peers, *(peer for peer in other._peers if peer not in self._peers)]
        for peer in peers:
            peer._peers = peers
            if peer is not self:
                self._figure.share_ranges(peer._figure)
        self._moved()

    def destroy(self) -> None:
        """Let go of every array and of linked maps; call it when the page is closed."""
        for peer in self._peers:
            peer._peers = [other for other in peer._peers if other is not self]
        for watcher in self._watchers:
            self.param.unwatch(watcher)
        self._peers, self._watchers = [self], []
        self._layers, self._points = {}, {}
        self.param.update(
            background=None, foreground=None, background_coloring=None, foreground_coloring=None,
            selected=None, describe=None,
        )  # fmt: skip

    def __panel__(self) -> pn.viewable.Viewable:
        return pn.pane.Bokeh(self._figure.plot, sizing_mode="stretch_both", min_height=self.min_height, margin=0)

    def _listen(self) -> None:
        plot = self._figure.plot
        plot.on_event(RangesUpdate, self._on_ranges)
        plot.on_event(SelectionGeometry, self._on_geometry)
        plot.on_event(Tap, self._on_tap)
        plot.on_change("inner_width", self._on_resize)
        plot.on_change("inner_height", self._on_resize)
        self._figure.on_pointer(self._on_pointer)
        self._figure.on_motion(self._on_motion)
        self._figure.on_tool(lambda tool: setattr(self, "tool", tool))
        look = ["background_coloring", "foreground_coloring", "show_background", "show_foreground", "hidden",
                "selected", "show_names", "shown"]  # fmt: skip
        self._watchers = [
            self.param.watch(self._on_points, ["background", "foreground", *look]),
            self.param.watch(lambda *_: self._draw(), "point_size"),
            self.param.watch(lambda *_: self._recolor(), ["dark", "highlight"]),
            self.param.watch(lambda *_: self._letter(), "marks"),
            self.param.watch(self._on_view, "view"),
            self.param.watch(lambda event: setattr(self._figure, "tool", event.new), "tool"),
        ]

    # points, colours and order, ready to be painted

    def _index(self, layer: str) -> None:
        given = getattr(self, layer)
        if given is None:
            self._points.pop(layer, None)
        else:
            self._points[layer] = given if isinstance(given, Points) else index_points(given)

    def _on_points(self, *events: param.parameterized.Event) -> None:
        if all(_is_palette(event) for event in events):
            self._recolor()     # the browser holds the palette: no point is painted anew
            return
        changed = {event.name for event in events}
        for layer in {BACKGROUND, FOREGROUND} & changed:
            self._index(layer)
            self._forget(layer, changed)
        if {BACKGROUND, FOREGROUND} & changed and self._home:
            self._go(None)
        self._restyle()

    def _forget(self, layer: str, changed: set[str]) -> None:
        """Drop what spoke of the points that were here before, unless it was set anew with them."""
        self.hovered = self.tapped = None
        self._figure.point_at(None)
        with param.parameterized.discard_events(self):
            self.highlight = None
            if "selected" not in changed:
                self.selected = None
            if "shown" not in changed:
                self.shown = None
            if f"{layer}_coloring" not in changed:
                setattr(self, f"{layer}_coloring", None)

    def _restyle(self) -> None:
        """Work out codes and draw order of the visible layers, then paint."""
        self._layers = {}
        if self.show_background and BACKGROUND in self._points:
            self._layers[BACKGROUND] = self._styled(BACKGROUND, plain=self.selectable == FOREGROUND)
        if self.show_foreground and FOREGROUND in self._points:
            self._layers[FOREGROUND] = self._styled(FOREGROUND, plain=False)
        self._recolor()
        self._name()
        self._draw()

    def _styled(self, layer: str, *, plain: bool) -> raster.Layer:
        points = self._points[layer]
        coloring: Coloring | None = getattr(self, f"{layer}_coloring")
        selected, shown = (self.selected, self.shown) if layer == self.selectable else (None, None)
        if plain or (coloring is None and layer == BACKGROUND and selected is None and shown is None):
            return raster.Layer(points)
        return colored(points, coloring, hidden=self.hidden, selected=selected, shown=shown, name=layer)

    def _recolor(self) -> None:
        colors = code_colors(self.coloring, dark=self.dark, highlight=self.highlight)
        self._figure.color(colors, dark=self.dark)

    def _name(self) -> None:
        coloring, points = self.coloring, self._points.get(self.selectable)
        self._names = []
        if self.show_names and isinstance(coloring, Categories) and points is not None:
            codes = np.asarray(coloring.codes)[points.order]
            if self.shown is not None:
                codes = np.where(np.asarray(self.shown)[points.order], codes, -1)
            named, counts = np.unique(codes[codes >= 0], return_counts=True)
            for code in named[np.argsort(-counts, kind="stable")].tolist():
                if code not in self.hidden:
                    x, y = np.nanmedian(points.xy[codes == code], axis=0)
                    self._names.append((coloring.names[code], float(x), float(y)))

    def _letter(self) -> None:
        """Write what can be read at this view and size: texts of places, then names of categories."""
        room = Lettering(self._figure.view, self._size, [(x, y) for _, x, y in self.marks])
        lifts = [room.place(text, x, y, _MARK_LIFTS) for text, x, y in self.marks]
        self._figure.mark(self.marks, lifts)
        self._figure.write(self._names, [room.place(text, x, y, _NAME_LIFTS) for text, x, y in self._names])
        hidden = room.left_out
        self._figure.note(f"{hidden} name{'s' * (hidden > 1)} hidden for lack of room" if hidden else "")

    def _draw(self) -> None:
        """Paint what is in view and hand it to the browser."""
        view = self._figure.view
        layers = [raster.sized(layer, self.point_size) for layer in self._layers.values()]
        self._figure.put(raster.paint(layers, view, *self._size), view)
        self._letter()
        self._drawn = view
        points = self._points.get(self.selectable)
        with param.edit_constant(self):
            self.in_view = count_in(points, view) if points is not None else 0
            self.pixels = self.point_size or raster.size_for(self.in_view, self._size[0] * self._size[1])

    def _redraw(self) -> None:
        """Paint unless the picture is of this view already."""
        if self._drawn != self._figure.view:
            self._draw()

    # where the view is

    def _go(self, view: Extent | None) -> None:
        """Turn to a view, or to all points of this map and of those linked to it."""
        if view is not None:
            self._figure.view = fit(view, *self._size, margin=0)
            return
        extents = [points.extent for peer in self._peers for points in peer._points.values()]
        home = fit(union(*extents) if extents else (0.0, 1.0, 0.0, 1.0), *self._size)
        self._figure.view = home
        self._figure.set_home(home)

    def _moved(self) -> None:
        """The shared ranges have changed: every linked map paints anew and says where it is."""
        for peer in self._peers:
            with param.parameterized.discard_events(peer):
                peer._home = self._home
                peer.view = None if self._home else self._figure.view
            peer._redraw()
            peer.param.trigger("view")

    def _on_view(self, event: param.parameterized.Event) -> None:
        if event.type == "triggered":      # told by `_moved`: the ranges are already there
            return
        self._home = event.new is None
        self._go(event.new)
        self._moved()

    # what the browser tells

    def _on_motion(self) -> None:
        for peer in self._peers:
            peer._redraw()

    def _on_ranges(self, _: Event) -> None:
        self._home = self._figure.is_home      # after the reset tool it is
        self._moved()

    def _on_resize(self, attr: str, _old: int, new: int) -> None:
        self._told[attr] = int(new)        # the figure itself raises for a side not yet told
        size = (self._told.get("inner_width", 0), self._told.get("inner_height", 0))
        if min(size) < 2 or size == self._size:
            return
        (x0, x1, y0, y1), before, self._size = self._figure.view, self._size, size
        if self._home:
            self._go(None)
        else:
            # as many units a pixel as before, around the same middle
            wide, high = (x1 - x0) * size[0] / before[0] / 2, (y1 - y0) * size[1] / before[1] / 2
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            self._figure.view = (x - wide, x + wide, y - high, y + high)
        self._draw()

    def _on_geometry(self, event: SelectionGeometry) -> None:
        layer = self._layers.get(self.selectable)
        if layer is None or not event.final or event.geometry is None:
            return
        shape: dict[str, Any] = dict(event.geometry)
        if shape["type"] == "poly":
            corners = [float(x) for x in shape["x"]], [float(y) for y in shape["y"]]
            mask = inside_polygon(layer.points, *corners)
        else:
            (x0, x1), (y0, y1) = sorted([shape["x0"], shape["x1"]]), sorted([shape["y0"], shape["y1"]])
            corners = [x0, x1, x1, x0], [y0, y0, y1, y1]
            mask = inside_box(layer.points, (x0, x1, y0, y1))
        self.drawn = {"x": corners[0], "y": corners[1]}
        if layer.codes is not None:
            mask[layer.points.order] &= layer.codes != raster.EMPTY      # what is hidden cannot be meant
        self.select(mask)

    def _hit(self, x: float, y: float) -> tuple[str, int] | None:
        x0, x1, _, _ = self._figure.view
        reach = _HIT_PIXELS * (x1 - x0) / self._size[0]
        for name in (FOREGROUND, BACKGROUND):
            if name in self._layers and np.isfinite(x) and np.isfinite(y):
                index = nearest(self._layers[name].points, x, y, reach, self._layers[name].codes)
                if index >= 0:
                    return name, index
        return None

    def _on_tap(self, event: Tap) -> None:
        if event.x is not None and event.y is not None:
            self.tapped = self._hit(event.x, event.y)

    def _mark_at(self, x: float, y: float) -> tuple[str, float, float] | None:
        x0, x1, _, _ = self._figure.view
        reach = _HIT_PIXELS * (x1 - x0) / self._size[0]
        return next((mark for mark in self.marks if mark[0] and np.hypot(mark[1] - x, mark[2] - y) < reach), None)

    def _on_pointer(self, x: float, y: float) -> None:
        hit, mark = self._hit(x, y), self._mark_at(x, y)
        if hit == self.hovered and mark == self._pointed:
            return
        self.hovered, self._pointed = hit, mark
        if mark is not None:
            self._figure.point_at(mark[1:], mark[0])
            return
        if hit is None:
            self._figure.point_at(None)
            return
        layer, index = hit
        text = self.describe(index, layer) if self.describe is not None else ""
        self._figure.point_at(self._points[layer].place_of(index), text)


def _is_palette(event: param.parameterized.Event) -> bool:
    """Whether a change gives the same points of the same categories other colours, and nothing else."""
    old, new = event.old, event.new
    if not (isinstance(old, Categories) and isinstance(new, Categories)):
        return False
    return old.codes is new.codes and (old.names, old.order) == (new.names, new.order)
