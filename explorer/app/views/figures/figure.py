"""The figure of pinned views: its panels on the left, the page as it will be printed, and how it is made."""

from __future__ import annotations

import base64
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.copied_text import CopiedText
from components.get_link import GetLink
from components.panel_list import PanelList
from explorer.app import look
from explorer.app.colors.paints import Paints
from explorer.app.leaving import downloads, drawing
from explorer.app.tab import pinning, pins
from explorer.app.tab.pins import MAP, Pin
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.figures.panel_settings import PanelSettings
from explorer.drawing.composing import FORMATS, LEGENDS, WIDTHS, Look, fonts
from explorer.drawing.tallies import CHARTS
from explorer.errors import AtlasError

_TOPIC, _SMALL = "figure", "thumbnails"
_ADD = {"Add a chart …": "", **{title: kind for kind, title in CHARTS.items()}}
_AUTO = "as fits"


class FigureView(View):
    """A figure of what was pinned, with the colours of the screen; of the current view while nothing is pinned."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._images: dict[tuple[Pin, _Seen], str] = {}
        self._list = PanelList(sizing_mode="stretch_width", margin=(8, 0, 0, 0))
        self._list.param.watch(self._act, "acted")
        self._list.param.watch(lambda event: self._settings.show(event.new), "value")
        self._settings = PanelSettings(session)
        self._hint = look.html(margin=(4, 0, 0, 0))
        self._pin = pmui.Button(label="Pin the current view", variant="outlined", margin=(0, 8, 0, 0))
        self._pin.on_click(lambda _: pinning.pin_view(session))
        self._add = pmui.Select(options=_ADD, value="", size="small", width=150, margin=0)
        self._add.param.watch(self._add_chart, "value")
        self._offer = downloads.offer(self._make)
        self._file = GetLink(primary=True, margin=(0, 8, 10, 0))
        self._build_page()
        self._standing = Standing()
        self._picture = look.html()
        self._caption = CopiedText(sizing_mode="stretch_width", margin=(10, 0, 0, 0))
        left = pn.Column(
            pn.Row(self._pin, self._add, margin=0), self._hint, self._list, self._settings.panel,
            width=310, margin=(0, 20, 0, 0),
        )  # fmt: skip
        right = pn.Column(
            self._page, self._standing, self._picture, self._caption, sizing_mode="stretch_width", margin=0,
            styles={"min-width": "0"},
        )  # fmt: skip
        self.panel = pn.Row(left, right, sizing_mode="stretch_width", margin=0)
        self.watch(self._draw, ["step", "outcome", "pins", "query_coloring", "reference_coloring", "hidden", "show",
                                "view", "selection", "paints"])  # fmt: skip
        self.watch(self._list_pins, ["step", "pins", "outcome", "reference", "paints"])
        self.watch(lambda: self._standing.display(session.standing(_TOPIC)), ["status"])
        self._list_pins()
        self._draw()

    def _build_page(self) -> None:
        small: dict[str, Any] = {"size": "small", "margin": (0, 8, 10, 0)}
        self._form = pmui.RadioButtonGroup(
            options={form.upper(): form for form in FORMATS}, value="pdf", size="small", margin=(0, 8, 10, 0),
            sx=look.SEGMENTS,
        )  # fmt: skip
        widths = {f"{name}, {width:g} mm": width for name, width in WIDTHS.items()}
        self._width = pmui.Select(label="Width", options=widths, value=180.0, width=190, **small)
        self._height = pmui.Select(
            label="Height, mm", options=[_AUTO, 60, 80, 100, 120, 150, 180, 220], value=_AUTO, width=105, **small
        )
        self._columns = pmui.Select(label="Side by side", options=[_AUTO, 1, 2, 3, 4], value=_AUTO, width=105, **small)
        self._dpi = pmui.Select(label="Dots per inch", options=[150, 300, 600, 1200], value=600, width=110, **small)
        self._font = pmui.Select(label="Font", options=list(fonts()), value=fonts()[0], width=150, **small)
        self._size = pmui.Select(label="Points", options=[5, 6, 7, 8, 9, 10, 12], value=7, width=80, **small)
        self._legend = pmui.Select(label="Legend", options=list(LEGENDS), value="shared", width=105, **small)
        self._title = pmui.TextInput(label="Title", value="", width=200, **small)
        self._letters = pmui.Checkbox(label="Letters", value=True, size="small", margin=(4, 8, 0, 0))
        choices = (
            self._width, self._height, self._columns, self._legend, self._font, self._size, self._dpi, self._title,
            self._letters,
        )  # fmt: skip
        for choice in (*choices, self._form):
            choice.param.watch(lambda _: self._draw(), "value")
        self._page = pn.Column(
            pn.FlexBox(*choices, sizing_mode="stretch_width", margin=0, gap="0px"),
            pn.Row(self._form, self._file, margin=0),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def destroy(self) -> None:
        """Let go of the session, and offer the figure no longer."""
        downloads.withdraw(self._offer)
        self._settings.destroy()
        super().destroy()

    # panels

    @property
    def pins(self) -> list[Pin]:
        """What is pinned, or the view of the moment while nothing is."""
        return list(self.session.pins) or [pinning.view_now(self.session)]

    def _add_chart(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._add.value = ""
            self._list.value = pinning.pin_chart(self.session, event.new).id

    def _act(self, event: param.parameterized.Event) -> None:
        asked, now = event.new, self.session.pins
        match asked.get("action"):
            case "rename":
                pinning.keep(self.session, pins.changed(now, asked["id"], title=str(asked["title"])))
            case "up" | "down":
                pinning.keep(self.session, pins.moved(now, asked["id"], -1 if asked["action"] == "up" else 1))
            case "remove":
                pinning.keep(self.session, pins.without(now, asked["id"]))

    def _list_pins(self) -> None:
        session = self.session
        is_empty = not session.pins
        self._hint.object = _HINT if is_empty else ""
        self._add.visible = session.outcome is not None
        self._show_list()
        if is_empty or session.step != "export" or session.reference is None:
            return
        source = drawing.source_of(session)
        seen = _seen(session)
        missing = [pin for pin in session.pins if (pin, seen) not in self._images]

        def work() -> dict[tuple[Pin, _Seen], str]:
            return {(pin, seen): _address_of(source, pin) for pin in missing}

        def use(drawn: dict[tuple[Pin, _Seen], str]) -> None:
            self._images |= drawn
            self._show_list()

        if missing:
            session.attempt(_SMALL, "Drawing the panels", work, use)

    def _show_list(self) -> None:
        seen = _seen(self.session)
        self._list.items = [
            {"id": pin.id, "title": pin.title, "detail": words_of(pin), "image": self._images.get((pin, seen), "")}
            for pin in self.session.pins
        ]
        chosen = self._list.value if self._list.value in {pin.id for pin in self.session.pins} else ""
        if chosen != self._list.value:
            self._list.value = chosen
        self._settings.show(chosen)

    # page

    def _look(self) -> Look:
        return Look(
            width=self._width.value,
            height=None if self._height.value == _AUTO else self._height.value,
            columns=None if self._columns.value == _AUTO else self._columns.value,
            dpi=self._dpi.value,
            font_size=self._size.value,
            font=self._font.value,
            title=self._title.value,
            letters=self._letters.value,
            legend=self._legend.value,
        )

    def _make(self) -> downloads.Offered:
        source, form = drawing.source_of(self.session), self._form.value
        return drawing.offered_figure(source, self.pins, self._look(), form)

    def _draw(self) -> None:
        session = self.session
        if session.step != "export" or session.reference is None or session.coloring is None:
            return
        source, wanted, style = drawing.source_of(session), self.pins, self._look()
        session.attempt(_TOPIC, "Drawing", lambda: drawing.preview(source, wanted, style), self._display)

    def _display(self, drawn: tuple[bytes, str]) -> None:
        png, caption = drawn
        image = base64.b64encode(png).decode()
        self._picture.object = (
            f'<img class="figure" alt="{look.text(caption)}" src="data:image/png;base64,{image}">'
        )
        self._caption.text = caption
        address = look.route("download") + downloads.offer_query(self._offer)
        self._file.param.update(href=address, label=f"Download {self._form.value.upper()}")


def words_of(pin: Pin) -> str:
    """A pin in a few words, below its title."""
    if pin.kind != MAP:
        return "chart"
    kind, name = pin.color
    parts = [name or kind]
    if pin.split:
        parts.append(f"split by {pin.split}")
    if pin.selected:
        parts.append("a selection")
    if pin.view is not None:
        parts.append("a part of the map")
    if pin.hidden:
        parts.append(f"without {len(pin.hidden)}")
    return ", ".join(parts)


_Seen = tuple[str, Paints]
"""Whose cells a pin shows, and in which colours."""


def _seen(session: Session) -> _Seen:
    return session.outcome.job if session.outcome is not None else "", session.paints


def _address_of(source: drawing.Source, pin: Pin) -> str:
    """The thumbnail of a pin as an address; empty for a panel that cannot be drawn yet, which the page says."""
    try:
        png = drawing.thumbnail(source, pin)
    except AtlasError:
        return ""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


_HINT = (
    '<p class="small soft">Nothing is pinned yet: the figure shows what Explore shows now. <b>Pin</b> on Explore keeps '
    "a view as a panel; come back with as many as the figure needs.</p>"
)
