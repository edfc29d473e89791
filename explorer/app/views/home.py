"""Home: look at the reference, bring cells, or take up a project."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from explorer.app import look
from explorer.app.stored import library, references
from explorer.app.stored.projects import Project
from explorer.app.tab import recalling
from explorer.app.tab.session import Session
from explorer.app.tab.training import one_more
from explorer.app.views.base import Standing, View, sheet
from explorer.app.views.map.screen import further_rows, method_rows
from explorer.app.views.source import SourcePicker
from explorer.app.views.training import TrainingView
from explorer.flow import Reference
from explorer.jobs.queue import JobState

_WORDS = {
    JobState.QUEUED: "waiting", JobState.RUNNING: "mapping", JobState.DONE: "mapped", JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}  # fmt: skip
_DOUBLE_CLICK = 600  # milliseconds within which a second press is no answer to what the first one asked


class HomeView(View):
    """The first screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._about = look.html()
        self._standing = Standing()
        self._menu = pmui.Select(label="Reference", options={}, size="small", margin=(0, 0, 10, 0),
                                 sizing_mode="stretch_width", visible=False)  # fmt: skip
        self._menu.param.watch(self._choose_reference, "value")
        self._models = ChoiceTable(
            columns=[{"key": "title", "label": "Models"}, {"key": "state", "label": "Macro-F1, held out"}],
            radio=False, dense=True, sizing_mode="stretch_width", margin=(12, 0, 0, 0), visible=False,
        )  # fmt: skip
        self._models.param.watch(self._choose_model, "value")
        self._models.param.watch(self._train, "acted")
        self._training = TrainingView(session)
        self._explore = pmui.Button(label="Explore the reference", variant="contained", margin=(14, 0, 0, 0), width=190)
        self._explore.on_click(self._open_reference)
        self._projects = ChoiceTable(
            columns=[
                {"key": "title", "label": "Project"},
                {"key": "reference", "label": "Reference"},
                {"key": "state", "label": "State", "width": "140px"},
                {"key": "when", "label": "Last used", "width": "150px"},
            ],
            radio=False, action="Remove", sizing_mode="stretch_width", margin=(6, 0, 0, 0),
        )  # fmt: skip
        self._no_projects = look.html(
            '<p class="soft">None yet. A project is made when you bring a file; it keeps your choices and results, '
            "and its address can be bookmarked.</p>",
            margin=(6, 0, 0, 0),
        )
        self._doomed = "", 0  # the project that was asked to be removed, and when, in milliseconds
        self._projects.param.watch(self._take_up, "value")
        self._projects.param.watch(self._remove, "acted")
        self.panel = self._layout()
        self.watch(self._draw, ["reference", "status", "traits", "offered", "build", "method"])
        self.watch(self._list_projects, ["project", "job", "step"])
        self.watch(self._draw_offer, ["knows_tour"])
        self._draw()
        self._draw_offer()
        self._list_projects()

    def destroy(self) -> None:
        """Let go of the session."""
        self._training.destroy()
        super().destroy()

    def _choose_model(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._models.value = ""
            self.session.use_method(event.new)

    def _layout(self) -> pn.viewable.Viewable:
        card = {"sizing_mode": "stretch_width", "styles": look.CARD, "margin": 0, "align": "auto"}
        left: list[Any] = [
            look.html("<h2>Reference</h2>", margin=(0, 0, 8, 0)), self._menu, self._standing, self._about,
            self._models, self._explore,
        ]  # fmt: skip
        cards = pn.Row(
            pn.Column(*left, **card),
            pn.Spacer(width=16),
            pn.Column(look.html("<h2>Map my data</h2>", margin=(0, 0, 8, 0)), SourcePicker(self.session), **card),
            sizing_mode="stretch_width",
        )
        projects = pn.Column(look.html("<h2>My projects</h2>"), self._no_projects, self._projects, **card)
        title = look.html(
            "<h1>Map your cells onto a reference, and see how sure the answer is and why</h1>", margin=(28, 0, 18, 0)
        )
        return sheet(title, self._build_offer(), cards, pn.Spacer(height=16), self._training.panel, projects)

    def _build_offer(self) -> pn.viewable.Viewable:
        take = pmui.Button(label="Take the tour", variant="outlined", margin=(0, 8, 0, 16))
        take.on_click(lambda _: setattr(self.session, "stop", 0))
        aside = pmui.Button(label="No, thank you", variant="text", margin=0)
        aside.on_click(lambda _: setattr(self.session, "knows_tour", True))
        words = "New here? A tour leads through the six steps, on a demo file."
        said = look.html(words, sizing_mode=None, align="center")
        self._offer = pn.Row(said, take, aside, margin=(0, 0, 16, 0), visible=False)
        return self._offer

    def _draw_offer(self) -> None:
        self._offer.visible = not self.session.knows_tour

    def _choose_reference(self, event: param.parameterized.Event) -> None:
        if event.new and (self.session.reference is None or event.new != str(self.session.reference.folder)):
            self.session.leave()
            self.session.choose_reference(Path(event.new))

    def _train(self, event: param.parameterized.Event) -> None:
        if self.session.reference is not None:
            self.session.train(one_more(self.session.reference, event.new["id"]))

    def _draw(self) -> None:
        self._standing.display(self.session.standing("reference"))
        reference = self.session.reference
        self._draw_menu(reference)
        self._explore.disabled = reference is None
        self._models.visible = reference is not None
        if reference is not None:
            self._about.object = about(reference)
            self._models.rows = model_rows(self.session, reference)

    def _draw_menu(self, reference: Reference | None) -> None:
        offered = {listed.title: str(listed.folder) for listed in self.session.offered}
        if reference is None:  # a menu without a value would choose its first by itself
            return
        here = str(reference.folder)
        options = offered if here in offered.values() else {**offered, reference.title: here}
        self._menu.param.update(options=options, value=here, visible=len(options) > 1)

    def _open_reference(self, _: Any) -> None:
        self.session.leave()
        self.session.step = "explore"

    def _list_projects(self) -> None:
        if self.session.step != "home":
            self._doomed = "", 0
            return
        listed = library.projects().list()
        states = {job.id: job.state for job in library.queue().jobs()}
        self._projects.rows = [_row(project, states, self._doomed[0]) for project in listed]
        self._projects.visible = bool(listed)
        self._no_projects.visible = not listed

    def _take_up(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._projects.value = ""
            self.session.resume(event.new)

    def _remove(self, event: param.parameterized.Event) -> None:
        """Ask once more, since no project comes back; the second press of a double click is no answer."""
        id, at = event.new["id"], event.new.get("at", 0)
        doomed, asked_at = self._doomed
        if id == doomed and at - asked_at < _DOUBLE_CLICK:
            return
        self._doomed = ("", 0) if id == doomed else (id, at)
        if id == doomed:
            library.projects().remove(id)
            recalling.remove(id)
            if self.session.project is not None and self.session.project.id == id:
                self.session.leave()
        self._list_projects()


def about(reference: Reference) -> str:
    """What a reference is, as HTML."""
    card = reference.card
    labels = [f"{level} ({reference.obs[level].nunique()})" for level in reference.levels]
    rows = [
        ("Cells", f"{reference.n_cells:,}"),
        ("Genes", f"{len(reference.genes):,}"),
        ("Organism", card.get("organism") or "not stated"),
        ("Labels", ", ".join(labels)),
        ("Origin", card.get("origin") or "not stated"),
        ("Licence", card.get("licence") or "not stated"),
    ]
    description = card.get("description") or ""
    told = f'<p class="soft" style="margin:4px 0 12px">{look.text(description)}</p>' if description else ""
    return f"<p><b>{look.text(reference.title)}</b></p>{told}{look.facts(rows)}"


def model_rows(session: Session, reference: Reference) -> list[dict[str, str]]:
    """One row a method, those that could still be trained included; scores speak of the main label level."""
    trained = [
        {**row, "note": "", "state": row["macro_f1"],
         "title": row["title"] + (" (in use)" if row["id"] == session.method else "")}
        for row in method_rows(session, reference)
    ]  # fmt: skip
    return [*trained, *({**row, "note": "", "state": "not trained yet"} for row in further_rows(session, reference))]


def _row(project: Project, states: dict[str, JobState], doomed: str) -> dict[str, str]:
    state = next((states[job] for job in reversed(project.jobs) if job in states), None)
    when = time.strftime("%d %b %Y, %H:%M", time.localtime(project.updated))
    return {
        "id": project.id, "title": project.title, "reference": references.title_of(Path(project.reference)),
        "state": _WORDS[state] if state else "not mapped yet", "when": when,
        "action": "Really remove?" if project.id == doomed else "Remove",
    }  # fmt: skip
