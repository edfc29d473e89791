"""The figure card of Export: choices, a preview, the caption and the file."""

from __future__ import annotations

import base64
from typing import Any

import panel as pn
import panel_material_ui as pmui

from explorer.app import downloads, drawing, look
from explorer.app.session import Session
from explorer.app.views.base import Standing, View
from explorer.errors import OptionsProblem
from explorer.figures import FORMATS, Look

_TOPIC = "figure"
_WIDTHS = {"one column, 89 mm": 89, "one and a half, 120 mm": 120, "two columns, 180 mm": 180}


class FigureView(View):
    """A figure of the colouring in front, with the colours of the screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        small: dict[str, Any] = {"size": "small", "margin": (0, 10, 10, 0), "width": 150}
        self._form = pmui.RadioButtonGroup(
            options={form.upper(): form for form in FORMATS},
            value="pdf",
            size="small",
            margin=(0, 10, 12, 0),
            sx=look.SEGMENTS,
        )
        self._width = pmui.Select(label="Width", options=_WIDTHS, value=180, **{**small, "width": 210})
        self._height = pmui.IntInput(label="Height, mm", value=120, start=20, end=300, **small)
        self._dpi = pmui.Select(label="Resolution, dpi", options=[150, 300, 600, 1200], value=600, **small)
        self._font = pmui.IntInput(label="Font size, points", value=7, start=4, end=24, **small)
        self._names = pmui.Checkbox(label="Names on the map", value=False, size="small", margin=(0, 8, 0, 0))
        self._legend = pmui.Checkbox(label="Legend", value=True, size="small", margin=(0, 8, 0, 0))
        self._zoomed = pmui.Checkbox(label="Only the part in view", value=False, size="small", margin=0)
        self._standing = Standing()
        self._picture = look.html()
        self._file = look.html(margin=(12, 0, 0, 0))
        self._offer = downloads.offer(self._make)
        choices = (self._width, self._height, self._dpi, self._font, self._names, self._legend, self._zoomed)
        for choice in (*choices, self._form):
            choice.param.watch(lambda _: self._draw(), "value")
        left = pn.Column(
            self._form, self._width, self._height, self._dpi, self._font, self._names, self._legend, self._zoomed,
            self._file, width=240, margin=(0, 20, 0, 0),
        )  # fmt: skip
        right = pn.Column(self._standing, self._picture, sizing_mode="stretch_width", margin=0)
        self.panel = pn.Row(left, right, sizing_mode="stretch_width", margin=0)
        self.watch(self._draw, ["step", "outcome", "query_coloring", "reference_coloring", "hidden", "show", "view"])
        self.watch(lambda: self._standing.display(session.standing(_TOPIC)), ["status"])
        self._draw()

    def destroy(self) -> None:
        """Let go of the session, and offer the figure no longer."""
        downloads.withdraw(self._offer)
        super().destroy()

    def _look(self) -> Look:
        return Look(
            width=self._width.value,
            height=self._height.value or 120,
            dpi=self._dpi.value,
            font_size=self._font.value or 7,
            names=self._names.value,
            legend=self._legend.value,
        )

    def _make(self) -> downloads.Offered:
        return drawing.offered_figure(self.session, self._look(), self._form.value, as_zoomed=self._zoomed.value)

    def _draw(self) -> None:
        session = self.session
        if session.step != "export" or session.reference is None:
            return
        try:
            style = drawing.look_of(session, self._look())
        except OptionsProblem as problem:
            session.report(_TOPIC, problem)
            self._file.object = ""
            return
        as_zoomed = self._zoomed.value
        session.attempt(
            _TOPIC,
            "Drawing",
            lambda: drawing.preview(drawing.picture_of(session, as_zoomed=as_zoomed), style),
            self._display,
        )

    def _display(self, drawn: tuple[bytes, str]) -> None:
        png, caption = drawn
        image = base64.b64encode(png).decode()
        self._picture.object = (
            f'<img class="figure" alt="{look.text(caption)}" src="data:image/png;base64,{image}">'
            f'<p class="small soft" style="margin-top:8px">{look.text(caption)}</p>'
        )
        address = look.text(look.route("download") + downloads.offer_query(self._offer))
        self._file.object = f'<a class="get" href="{address}" download>Download {self._form.value.upper()}</a>'
