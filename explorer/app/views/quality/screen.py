"""Quality: whether the mapping can be trusted and why, and how sure is sure enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.notice import Notice
from explorer.app import look
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View, sheet
from explorer.app.views.quality.sureness import SurenessView
from explorer.app.views.quality.threshold import ThresholdView
from explorer.beside import Light, Signal, Verdict
from explorer.insight.verdict import unsaid
from explorer.jobs.queue import JobState

_WORDS = {Signal.GOOD: "ok", Signal.DOUBTFUL: "look", Signal.BAD: "poor"}
_MARKS = {Signal.GOOD: "✓", Signal.DOUBTFUL: "!", Signal.BAD: "×"}


class QualityView(View):
    """The fourth screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._lead = look.html(margin=(4, 0, 14, 0))
        self._level = pmui.Select(label="Label level", options=[], size="small", width=170, margin=(24, 0, 0, 12))
        self._level.param.watch(self._choose_level, "value")
        self._mapped_by = pmui.Select(label="Mapped by", options={}, size="small", width=150, margin=(24, 0, 0, 12))
        self._mapped_by.param.watch(self._choose_result, "value")
        self._missing = Notice("")
        self._go = pmui.Button(label="Go to Map", variant="contained", margin=(6, 0, 12, 0))
        self._go.on_click(lambda _: setattr(session, "step", "map"))
        self._standing = Standing()
        self._verdict = look.html()
        self._threshold = ThresholdView(session)
        self._sureness = SurenessView(session)
        self._explore = pmui.Button(label="Explore the result", variant="contained", margin=(18, 8, 0, 0))
        self._explore.on_click(lambda _: setattr(session, "step", "explore"))
        self._back = pmui.Button(label="Map in another way", variant="text", margin=(18, 0, 0, 0))
        self._back.on_click(lambda _: setattr(session, "step", "map"))
        self.panel = self._layout()
        self.watch(self._draw, ["outcome", "outcomes", "status", "level", "reference", "project", "method"])
        self._draw()

    def destroy(self) -> None:
        """Let go of the session."""
        for part in (self._threshold, self._sureness):
            part.destroy()
        super().destroy()

    def _layout(self) -> pn.viewable.Viewable:
        title = pn.Column(look.html("<h1>Quality</h1>", margin=(28, 0, 0, 0)), self._lead, margin=0,
                          sizing_mode="stretch_width")  # fmt: skip
        self._of_verdict = pn.Column(
            self._verdict, pn.Row(self._explore, self._back, margin=0), styles=look.CARD, sizing_mode="stretch_width",
            margin=(0, 0, 16, 0),
        )  # fmt: skip
        return sheet(
            pn.Row(title, self._mapped_by, self._level, sizing_mode="stretch_width", margin=0), self._missing, self._go,
            self._standing, self._of_verdict, self._threshold.panel, self._sureness.panel,
        )

    def _choose_level(self, event: Any) -> None:
        if event.new and event.new != self.session.level:
            self.session.choose_color(self.session.color, event.new)

    def _choose_result(self, event: Any) -> None:
        if event.new and event.new != self.session.method:
            self.session.show_result(event.new)

    def _draw(self) -> None:
        session, outcome = self.session, self.session.outcome
        reference = session.reference
        has = outcome is not None
        is_late = not has and (session.is_mapping or session.project is None or session.standing("result").text == "")
        self._missing.text = missing_words(session) if is_late else ""
        self._go.visible = not has
        self._standing.display(session.standing("result"))
        self._of_verdict.visible = self._threshold.panel.visible = self._sureness.panel.visible = has
        self._level.visible = has and reference is not None and len(reference.levels) > 1
        if outcome is None or reference is None:
            self._lead.object, self._mapped_by.visible = "", False
            return
        answered = {title_of(name): name for name in session.jobs if name in session.outcomes}
        self._mapped_by.param.update(options=answered, value=session.method, visible=len(answered) > 1)
        self._level.param.update(options=list(reference.levels), value=session.level)
        title = session.project.title if session.project is not None else "Cells"
        self._lead.object = (
            f'<p class="soft">{_cells(outcome.result.n_cells)} of {look.text(title)} on {look.text(reference.title)}, '
            f"by {look.text(title_of(outcome.result.method))}.</p>"
        )
        result = outcome.result
        self._verdict.object = verdict_html(result.verdict) + verdict_note(result.n_cells, session.threshold)


def missing_words(session: Session) -> str:
    """Why there is nothing to judge yet, and the way on."""
    if session.is_opening:
        return "Opening the project …"
    if session.is_mapping and session.job is not None:
        return f"Your cells are being mapped ({session.job.fraction:.0%}). How good the mapping is, is told here then."
    if session.job is not None and session.job.state is JobState.FAILED:
        return "Mapping your cells failed, so there is nothing to judge. Map says why, and runs it again."
    if session.project is not None:
        return "Your cells are not mapped yet. Once they are, this page tells how far the labels can be trusted."
    return "No cells are mapped yet. Map a file or a demo, and this page tells how far its labels can be trusted."


def verdict_html(verdict: Verdict | None) -> str:
    """The verdict with its lights, what is likely wrong and what to try, as HTML."""
    if verdict is None:
        return (
            '<p class="soft">Nobody has judged this mapping as a whole: it was made by an older Atlas Explorer. Map '
            "the cells again for a verdict. Confidence, novelty and prediction sets below hold all the same.</p>"
        )
    first, _, _ = verdict.summary.partition(" Likely cause:")
    tried = "".join(
        f"<dt>{_sentence(cause)}</dt><dd>{look.text(way)}</dd>"
        for cause, way in zip(verdict.causes, verdict.advice, strict=True)
    )
    causes = f'<h3>Likely cause, and what to try</h3><dl class="tried">{tried}</dl>' if tried else ""
    ordered = sorted(verdict.lights, key=lambda light: list(_WORDS)[::-1].index(light.signal))
    good = [light for light in ordered if light.signal is Signal.GOOD]
    names = "".join(f"<span>{_lamp(light.signal, word=_sentence(light.name))}</span>" for light in good)
    folded = f'<details class="fine"><summary>{names}<u>why</u></summary>{_lights(good)}</details>' if good else ""
    return (
        f'<div class="verdict">{_lamp(verdict.signal, large=True)}<p class="big">{look.text(first)}</p></div>'
        f"{causes}{_lights([light for light in ordered if light.signal is not Signal.GOOD])}{folded}"
    )


def _lights(lights: Sequence[Light]) -> str:
    """Lights with their reasons, as HTML."""
    return f'<table class="plain lights"><tbody>{"".join(map(_light_row, lights))}</tbody></table>' if lights else ""


def verdict_note(n_cells: int, threshold: float) -> str:
    """What a verdict does not speak of, as HTML; empty where it speaks of everything."""
    told = unsaid(n_cells, threshold)
    return f'<p class="soft small more">{" ".join(told)}</p>' if told else ""


def _cells(n: int) -> str:
    return f"{n:,} cell{'s' if n != 1 else ''}"


def _sentence(text: str) -> str:
    return look.text(text[:1].upper() + text[1:])


def _light_row(light: Light) -> str:
    return (
        f"<tr><td>{_lamp(light.signal)}</td><td><b>{_sentence(light.name)}</b></td>"
        f'<td class="soft">{look.text(light.reason)}</td></tr>'
    )


def _lamp(signal: Signal, *, large: bool = False, word: str = "") -> str:
    """A light that can be told by its shape and its word as well."""
    size = " large" if large else ""
    return (
        f'<span class="lamp {signal}{size}"><i aria-hidden="true">{_MARKS[signal]}</i>'
        f"<span>{word or _WORDS[signal]}</span></span>"
    )
