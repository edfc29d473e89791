"""Home: look at the reference, bring cells, or take up a project."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from explorer.app import library, look
from explorer.app.projects import Project
from explorer.app.session import Session
from explorer.app.views.base import Standing, View, sheet
from explorer.app.views.source import SourcePicker
from explorer.flow import Reference
from explorer.jobs import JobState
from explorer.methods import METHODS
from explorer.settings import settings

_WORDS = {
    JobState.QUEUED: "waiting", JobState.RUNNING: "mapping", JobState.DONE: "mapped", JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}  # fmt: skip


class HomeView(View):
    """The first screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._about = look.html()
        self._standing = Standing()
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
        self._projects.param.watch(self._take_up, "value")
        self._projects.param.watch(self._remove, "acted")
        self.panel = self._layout()
        self.watch(self._draw, ["reference", "status"])
        self.watch(self._list_projects, ["project", "job", "step"])
        self._draw()
        self._list_projects()

    def _layout(self) -> pn.viewable.Viewable:
        card = {"sizing_mode": "stretch_width", "styles": look.CARD, "margin": 0, "align": "auto"}
        left: list[Any] = [look.html("<h2>Reference</h2>", margin=(0, 0, 8, 0))]
        if len(settings().references) > 1:
            left.append(self._reference_menu())
        left += [self._standing, self._about, self._explore]
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
        return sheet(title, cards, pn.Spacer(height=16), projects)

    def _reference_menu(self) -> pn.viewable.Viewable:
        options = {library.title_of(folder): str(folder) for folder in settings().references}
        menu = pmui.Select(label="Reference", options=options, size="small", margin=(0, 0, 10, 0),
                           sizing_mode="stretch_width")  # fmt: skip

        def choose(event: param.parameterized.Event) -> None:
            self.session.leave()
            self.session.choose_reference(Path(event.new))

        menu.param.watch(choose, "value")
        return menu

    def _draw(self) -> None:
        self._standing.display(self.session.standing("reference"))
        reference = self.session.reference
        self._explore.disabled = reference is None
        self._about.object = about(reference) if reference is not None else ""

    def _open_reference(self, _: Any) -> None:
        self.session.leave()
        self.session.step = "explore"

    def _list_projects(self) -> None:
        if self.session.step != "home":
            return
        listed = library.projects().list()
        states = {job.id: job.state for job in library.queue().jobs()}
        self._projects.rows = [_row(project, states) for project in listed]
        self._projects.visible = bool(listed)
        self._no_projects.visible = not listed

    def _take_up(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._projects.value = ""
            self.session.resume(event.new)

    def _remove(self, event: param.parameterized.Event) -> None:
        library.projects().remove(event.new["id"])
        if self.session.project is not None and self.session.project.id == event.new["id"]:
            self.session.leave()
        self._list_projects()


def about(reference: Reference) -> str:
    """What a reference is, as HTML."""
    card = reference.card
    labels = [f"{level} ({reference.obs[level].nunique()})" for level in reference.levels]
    methods = ", ".join(METHODS[name].card.title if name in METHODS else name for name in reference.methods)
    rows = [
        ("Cells", f"{reference.n_cells:,}"),
        ("Genes", f"{len(reference.genes):,}"),
        ("Organism", card.get("organism") or "not stated"),
        ("Labels", ", ".join(labels)),
        ("Models", methods),
        ("Origin", card.get("origin") or "not stated"),
        ("Licence", card.get("licence") or "not stated"),
    ]
    description = card.get("description") or ""
    told = f'<p class="soft" style="margin:4px 0 12px">{look.text(description)}</p>' if description else ""
    return f"<p><b>{look.text(reference.title)}</b></p>{told}{look.facts(rows)}"


def _row(project: Project, states: dict[str, JobState]) -> dict[str, str]:
    state = states.get(project.job or "")
    when = time.strftime("%d %b %Y, %H:%M", time.localtime(project.updated))
    return {
        "id": project.id, "title": project.title, "reference": library.title_of(Path(project.reference)),
        "state": _WORDS[state] if state else "not mapped yet", "when": when,
    }  # fmt: skip
