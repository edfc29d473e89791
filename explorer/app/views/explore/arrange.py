"""Above and below the maps: which cells in which panes, and how they are drawn."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.coloring import Categories
from components.embedding_map import EmbeddingMap
from components.menu import Menu
from components.raster import AS_IN_FILE, ORDERS, RANDOM
from explorer.app import look
from explorer.app.colors.captions import drawn_words
from explorer.app.colors.paints import PALETTES
from explorer.app.tab.session import Session
from explorer.app.tab.workspace import (
    ARRANGED,
    CONTENTS,
    DRAWN,
    LARGEST_POINT,
    LAYOUTS,
    MOST_PANES,
    Held,
    likely_split,
    split_columns,
    split_into,
    split_values,
)
from explorer.app.views.base import View
from explorer.app.words import about
from explorer.reading.pictures import picture_title

SLIM = {
    "& .MuiSelect-select, & .MuiInputBase-input": {"paddingTop": "4px", "paddingBottom": "4px", "fontSize": "13px"},
}
_ATLAS = "Reference's picture"
_AUTO = "by cells in view"
_SUITED = "as suits colours"


class ArrangeView(View):
    """The choice of cells, panes and picture."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        slim: dict[str, Any] = {"size": "small", "margin": (7, 6, 0, 0), "sx": SLIM}
        contents = {title: name for name, title in CONTENTS.items()}
        self._show = Menu(label="Cells", options=contents, value=session.show, width=158, **slim)
        self._panes = pmui.RadioButtonGroup(
            options={title: name for name, title in LAYOUTS.items()}, value=session.panes, size="small",
            margin=(7, 8, 0, 2), sx=look.SEGMENTS,
        )  # fmt: skip
        self._split = Menu(label="Split by", options=[], width=130, **slim)
        self._values = pmui.MultiChoice(
            label="Panes", options=[], width=150, max_items=MOST_PANES, chip=False, margin=(7, 6, 0, 0), sx=SLIM
        )
        self._beside = Menu(label="Beside", options=contents, value=session.beside, width=158, **slim)
        self._hold = pmui.Checkbox(
            label="Hold colours", size="small", margin=(7, 6, 0, 0),
            description="The second pane keeps its colours when those of the first change",
        )  # fmt: skip
        self._picture = Menu(label="Picture", options={}, width=158, **slim)
        for widget, react in (
            (self._show, lambda value: self._choose(show=value)),
            (self._panes, self._choose_panes),
            (self._split, lambda value: self._choose(split=value, split_shown=[])),
            (self._values, lambda value: self._choose(split_shown=list(value))),
            (self._beside, lambda value: self._choose(beside=value)),
            (self._hold, self._choose_held),
            (self._picture, lambda value: self._choose(picture=value)),
        ):
            widget.param.watch(self._on(react), "value")
        self.panel = pn.FlexBox(
            self._show, self._panes, self._split, self._values, self._beside, self._hold, self._picture,
            sizing_mode="stretch_width", margin=(0, 8, 0, 10), gap="0px",
        )  # fmt: skip
        self.watch(self._fill, ["outcome", "reference", *ARRANGED])
        self._fill()

    # Filling a widget in raises the same event as a person's choice: so each asks whether it is news.

    def _on(self, react: Any) -> Any:
        return lambda event: react(event.new) if not self._is_filling else None

    _is_filling = False

    def _choose(self, **wanted: Any) -> None:
        if any(value is None for value in wanted.values()):
            return
        if any(getattr(self.session, name) != value for name, value in wanted.items()):
            self.session.arrange(**wanted)

    def _choose_panes(self, layout: str) -> None:
        wanted = {"panes": layout}
        if layout == "split":
            wanted["split"] = likely_split(self.session)
        self._choose(**wanted)

    def _choose_held(self, wanted: bool) -> None:
        if wanted != (self.session.held is not None):
            self.session.arrange(held=Held(self.session.color, self.session.level) if wanted else None)

    def _fill(self) -> None:
        session, outcome = self.session, self.session.outcome
        columns, is_split, is_two = split_columns(session), session.panes == "split", session.panes == "two"
        pictures = outcome.pictures if outcome is not None and session.front == "query" else ()
        values = list(split_values(session)) if is_split else []
        self._is_filling = True
        self._show.param.update(value=session.show, visible=outcome is not None)
        layouts = {title: name for name, title in LAYOUTS.items() if name != "two" or outcome is not None}
        self._panes.param.update(options=layouts, value=session.panes if session.panes in layouts.values() else "one")
        chosen = likely_split(session) or None
        self._split.param.update(options=list(columns), value=chosen, visible=is_split and bool(columns))
        self._values.param.update(
            options=values, value=list(split_into(session)) if is_split else [], visible=len(values) > MOST_PANES
        )
        self._beside.param.update(value=session.beside, visible=is_two and outcome is not None)
        self._hold.param.update(value=session.held is not None, visible=is_two and outcome is not None)
        places = {_ATLAS: "", **{picture_title(name): name for name in pictures}}
        shown = session.picture if session.picture in pictures else ""
        self._picture.param.update(options=places, value=shown, visible=bool(pictures))
        self._is_filling = False


class DrawnView(View):
    """How the maps are drawn: one line that says it, and the choices behind a button."""

    def __init__(self, session: Session, first: EmbeddingMap) -> None:
        super().__init__(session)
        self._first = first
        slim: dict[str, Any] = {"size": "small", "margin": (4, 10, 0, 0), "sx": SLIM}
        self._said = look.html(margin=(5, 0, 0, 0))
        self._open = pmui.IconButton(icon="tune", description="How cells are drawn", size="small", margin=(0, 4))
        self._order = Menu(label="Draw order", options={}, width=156, **slim)
        self._zeros = pmui.Checkbox(label="Zeros grey", size="small", margin=(4, 10, 0, 0))
        self._clip = pmui.RangeSlider(
            label="Clip at percentiles", start=0, end=100, step=0.5, value=session.clip, width=150, size="small",
            margin=(0, 10, 0, 8),
        )  # fmt: skip
        self._about_clip = _about("colour scale")
        sizes = {_AUTO: 0, **{f"{n} px": n for n in range(1, LARGEST_POINT + 1)}}
        self._size = Menu(label="Point size", options=sizes, value=0, width=132, **slim)
        palettes = {title: name for name, title in PALETTES.items()}
        self._palette = Menu(label="Palette", options=palettes, value=session.paints.palette, width=178, **slim)
        # a box that wraps, since a row as wide as all its parts would keep the middle of the page from being narrower
        self._choices = pn.FlexBox(
            self._order, _about("draw order"), self._zeros, self._size, self._palette, self._clip, self._about_clip,
            sizing_mode="stretch_width", margin=(2, 14, 4, 14), visible=False, gap="0px",
        )  # fmt: skip
        self._open.on_click(self._fold)
        self._order.param.watch(self._changed(lambda value: {"order": value}), "value")
        self._zeros.param.watch(self._changed(lambda value: {"zeros_grey": value}), "value")
        self._size.param.watch(self._changed(lambda value: {"point_size": value or None}), "value")
        self._palette.param.watch(lambda event: session.choose_palette(event.new), "value")
        self._clip.param.watch(self._changed(_ends), "value_throttled")
        self.panel = pn.Column(
            self._choices,
            pn.Row(self._said, self._open, sizing_mode="stretch_width", margin=(0, 6, 0, 14), height=28),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._watcher = first.param.watch(lambda *_: session.soon(self._say), "pixels")
        self.watch(self._fill, ["query_coloring", "reference_coloring", "show", "outcome", "paints", *DRAWN])
        self._fill()

    def destroy(self) -> None:
        """Let go of the session and of the map."""
        self._first.param.unwatch(self._watcher)
        super().destroy()

    def _fold(self, _: Any) -> None:
        self._choices.visible = not self._choices.visible

    def _changed(self, read: Any) -> Any:
        def react(event: param.parameterized.Event) -> None:
            wanted = read(event.new)
            if any(getattr(self.session, name) != value for name, value in wanted.items()):
                self.session.arrange(**wanted)

        return react

    def _fill(self) -> None:
        session, coloring = self.session, self.session.coloring
        is_named = coloring is None or isinstance(coloring, Categories)
        # one title for what suits: a list whose titles change goes on showing the old one
        orders = {_SUITED: "", **{name: name for name in ((RANDOM, AS_IN_FILE) if is_named else ORDERS)}}
        chosen = session.order if session.order in orders.values() else ""
        self._order.param.update(options=orders, value=chosen)
        self._zeros.param.update(value=session.zeros_grey, visible=not is_named)
        self._clip.param.update(value=session.clip, visible=not is_named)
        self._about_clip.visible = not is_named
        self._size.value = session.point_size or 0
        self._palette.param.update(value=session.paints.palette, visible=is_named)
        self._say()

    def _say(self) -> None:
        session = self.session
        words = drawn_words(
            session.coloring, session.style, self._first.pixels, is_automatic=session.point_size is None
        )
        self._said.object = f'<div class="clip small soft num">{look.text(words[:1].upper() + words[1:])}</div>'


def _about(word: str) -> pn.pane.HTML:
    return look.html(about(word), sizing_mode=None, width=24, margin=(10, 10, 0, 0))


def _ends(value: tuple[float, float]) -> dict[str, tuple[float, float]]:
    low, high = value
    return {"clip": (float(low), float(high))} if high > low else {}
