"""A reference of the person's own cells: which columns, which methods, what speaks against it, and the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.notice import Notice
from explorer.app import look
from explorer.app.before.preflight import Preflight
from explorer.app.tab.session import Session
from explorer.app.tab.training import Plan
from explorer.app.views.base import View, refill
from explorer.app.views.training import TrainingView
from explorer.methods import METHODS

NONE = "none"


class BuildingView(View):
    """Below the pre-flight card: the same file as a reference to map onto."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found: Preflight | None = None
        self._open = pmui.Button(label="Build a reference from this file", variant="outlined", margin=(0, 0, 0, 0))
        self._open.on_click(self._toggle)
        self._about = look.html(
            '<p class="soft small">For cells whose labels you trust: others can then be mapped onto them.</p>',
            margin=(8, 0, 0, 12),
        )
        self._build_form()
        self._training = TrainingView(session)
        self.panel = pn.Column(
            pn.Column(pn.Row(self._open, self._about, margin=0, sizing_mode="stretch_width"), self._form,
                      styles=look.CARD, margin=(16, 0, 16, 0), sizing_mode="stretch_width"),
            self._training.panel, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.watch(self._draw, ["preflight", "project", "build"])
        self._draw()

    def _build_form(self) -> None:
        wide: dict[str, Any] = {"size": "small", "sizing_mode": "stretch_width", "margin": (14, 0, 0, 0)}
        self._title = pmui.TextInput(label="Title of the reference", **wide)
        self._labels = pmui.MultiChoice(
            label="Label columns, the main one first", options=[], sizing_mode="stretch_width", margin=(14, 0, 0, 0)
        )
        self._batch = pmui.Select(label="Batch column", options=[NONE], **wide)
        self._sample = pmui.Select(label="Sample column", options=[NONE], **wide)
        self._methods = pmui.CheckBoxGroup(
            options={method.card.title: name for name, method in METHODS.items()}, value=["concord"], inline=True,
            margin=(6, 0, 0, 0),
        )  # fmt: skip
        self._words = look.html(margin=(10, 0, 0, 0))
        self._refusals = Notice("", kind="warn")
        self._start = pmui.Button(label="Build the reference", variant="contained", margin=(14, 0, 0, 0))
        self._start.on_click(self._build)
        for widget, name in [(self._title, "value_input"), *((widget, "value") for widget in self._choosers())]:
            widget.param.watch(lambda _: self._judge(), name)
        self._form = pn.Column(
            self._title, self._labels, pn.Row(self._batch, pn.Spacer(width=16), self._sample, margin=0,
                                              sizing_mode="stretch_width"),
            look.html("<h3>Models to train</h3>", margin=(14, 0, 0, 0)), self._methods, self._words, self._refusals,
            self._start, sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip

    def _choosers(self) -> tuple[Any, ...]:
        return (self._title, self._labels, self._batch, self._sample, self._methods)

    def destroy(self) -> None:
        """Let go of the session."""
        self._training.destroy()
        super().destroy()

    @property
    def plan(self) -> Plan:
        """What the form says."""
        batch, sample = ("" if menu.value in (None, NONE) else menu.value for menu in (self._batch, self._sample))
        title = self._title.value_input or self._title.value
        return Plan(title, tuple(self._labels.value or ()), batch, sample, tuple(self._methods.value or ()))

    def _toggle(self, _: Any) -> None:
        self._form.visible = not self._form.visible

    def _build(self, _: Any) -> None:
        session, found = self.session, self._found
        if session.project is not None and found is not None and not self.plan.refusals(found):
            session.train(self.plan.spec(Path(session.project.query)))

    # drawing

    def _draw(self) -> None:
        session, found = self.session, self.session.preflight
        if found is not None and (self._found is None or found.inspection != self._found.inspection):
            self._fill(found, session.project.title if session.project is not None else "")
        self._found = found
        self._judge()

    def _fill(self, found: Preflight, title: str) -> None:
        """Begin anew for another file."""
        self._form.visible = False
        labels = [column.name for column in found.label_columns()]
        columns = found.batch_columns()
        batches = {NONE: NONE, **{f"{column.name} ({column.n_unique})": column.name for column in columns}}
        likely = [name for name in (self.session.own_label,) if name in labels]
        self._title.value = self._title.value_input = title
        self._labels.param.update(options=labels, value=likely)
        batch = self.session.batch if self.session.batch in batches.values() else NONE
        refill(self._batch, batches, batch)
        refill(self._sample, batches, NONE)

    def _judge(self) -> None:
        """Say what to expect, or what is missing."""
        found = self._found
        if found is None:
            return
        told = self.plan.refusals(found)
        self._words.object = look.notes(() if told else self.plan.words(found))
        self._refusals.text = "\n".join(told)
        is_busy = self.session.build is not None and not self.session.build.state.is_over
        self._start.disabled = bool(told) or is_busy
