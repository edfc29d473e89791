"""What one person chose and what has been computed for her; parameters, no widgets.

A `Session` is the only thing that changes while the app runs. Views read it and write only choices. Whatever
takes time goes through `attempt`. It is stacked from parts, each complete in itself; none knows those below it here:

===============================  =====================================================================
`work.Work`                      what is under way, its answers and problems
`training.Trainings`             the trainings of this server
`mapping_jobs.Mappings`          a project's choices of how to map, its jobs and their results
`inspecting.Inspected`           the project's file
`workspace.Workspace`            the result in view, panes, how cells are drawn
`painting.Painted`               colours
`doubts.Doubts`                  the threshold of confidence, left-out cells, prediction sets
`gating.Gating`                  the selection, saved selections, explanations
`linking.Linked`                 what a link still has to show
`remembering.Remembered`         what is saved with the project, and what can be taken back
`findings.Findings`              answers that several tabs share
`Session`                        projects, references, and which result comes in view
===============================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import param

from components.coloring import Categories, Coloring
from explorer.app.before import choices
from explorer.app.before.choices import Traits
from explorer.app.stored import library, references
from explorer.app.stored.library import Outcome
from explorer.app.stored.projects import Project
from explorer.app.tab import keeping
from explorer.app.tab.findings import ASKED, NOTHING_FOUND, Findings
from explorer.app.tab.inspecting import Inspected
from explorer.app.tab.linking import left_to_show, shared
from explorer.app.tab.remembering import STEPS, Remembered
from explorer.app.tab.status import Phase
from explorer.app.tab.training import Trainings
from explorer.app.tab.workspace import DRAWN
from explorer.flow import Reference
from explorer.jobs.queue import JobState


class Session(Remembered, Inspected, Trainings, Findings):
    """One tab.

    Topics of `attempt`, and of `status`: "project", "reference", "file", "job", "result" (the one in view), "result of
    <method>", "examined", "color", "explain", "build", and what a view adds for itself.
    """

    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    show_names = param.Boolean(default=False, doc="Whether the map carries the names of its categories.")
    stop = param.Integer(default=-1, bounds=(-1, None), doc="Number of the tour's stop; -1 while there is no tour.")
    knows_tour = param.Boolean(default=True, doc="Whether this browser has seen the tour, or put it aside.")

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self.param.watch(self._look_again, ["jobs", "outcomes"])

    # reference

    def choose_reference(self, folder: Path, then: Callable[[], None] = lambda: None) -> None:
        """Open a reference, with the methods that it was given here, and make it the one in use, then go on."""

        def work() -> tuple[Reference, Traits]:
            reference = library.reference(references.current(folder))
            return reference, choices.traits_of(reference)

        def use(opened: tuple[Reference, Traits]) -> None:
            reference, traits = opened
            method = self.method if self.method in reference.methods else choices.recommended(reference)
            methods = [name for name in self.methods if name in reference.methods] or [method]
            level = self.level if self.level in reference.levels else reference.levels[0]
            with self.unremembered():
                self.param.update(reference=reference, traits=traits, method=method, methods=methods, level=level)
            self.recolor()
            then()

        self.attempt("reference", "Opening the reference", work, use)

    def arrange(self, **wanted: Any) -> None:
        """Choose panes and how they are drawn; categories are hidden no longer where other cells come in front."""
        before, is_restyled = self.front, bool({*DRAWN, "held"} & wanted.keys() - {"point_size"})
        self.param.update(**wanted)
        if self.front != before:
            self.param.update(selection=None, recipe=[], explanation=None, hidden=[])
        if is_restyled:
            self.recolor(self.hidden)

    # which result is in view

    def use_method(self, method: str) -> None:
        """Map by this method alone, and look at the reference as it lays it out."""
        self.methods = [method]
        if method in self.jobs or self.outcome is None:
            self._put_in_view(method)

    def show_result(self, method: str) -> None:
        """Put the result of another method in view; pictures, colours and tables follow."""
        if method in self.outcomes and method != self.method:
            self._put_in_view(method)

    def _look_again(self, *_: param.parameterized.Event) -> None:
        """Show the result of the method in view as it is now, or one that there is where that will not come."""
        with self.unremembered():
            if _job_of(self.outcomes.get(self.method)) != _job_of(self.outcome):
                self._put_in_view(self.method)
            if self.outcome is None and self.outcomes and (self.job is None or self.job.state in _GONE):
                self._put_in_view(next(iter(self.outcomes)))

    def _put_in_view(self, method: str) -> None:
        """Draw the result of a method; selected cells stay selected where it speaks of the same cells."""
        self.forget("result", "explain")
        outcome, before = self.at_threshold(self.outcomes.get(method)), self.query_coloring
        self.param.update(method=method, job=self.jobs.get(method), outcome=outcome)
        keeps = outcome is not None and before is not None and _n_cells(before) == outcome.result.n_cells
        with self.unremembered():
            self.param.update(
                query_coloring=None, explanation=None, show=self.show if keeps else "query",
                selection=self.selection if keeps else None,
            )  # fmt: skip
        if not keeps:
            self._begin_history()
            self._select_again()
        self._examine()
        self.recolor()
        self.see_again()

    # project

    def begin(self, source: Path, title: str, *, map_it: bool = False) -> None:
        """Start a project on a file and look the file over; map it at once if it can be, where that was asked."""
        if self.reference is None:
            return
        before, is_unread = self.project, self.preflight is None and self.standing("file").phase is Phase.FAILED
        folder = str(self.reference.folder)
        project = library.projects().create(title=title, reference=folder, query=str(source))
        self._clear()
        if before is not None and is_unread:
            library.projects().remove(before.id)  # its file could not even be read
        self._begin_keeping(anew=True)
        self.param.update(project=project, step="map" if map_it else "data")
        self.look_first(map_it=map_it)
        self.recolor()

    def resume(self, project_id: str, step: str = "") -> None:
        """Take up a project where it was left, in this or any other tab, before or after a restart."""
        self._take_up(lambda: library.projects().get(project_id), step)

    def open_link(self, id: str) -> None:
        """Take up the project of a link, seen as by the person who made the link."""
        self._take_up(lambda: shared(id), "")

    def poll(self) -> None:
        """Read the records of the project's jobs and of trainings, and open what is done."""
        self.follow_builds()
        self.follow_jobs()

    def _take_up(self, find: Callable[[], Project], step: str) -> None:
        self._clear()

        def go_on(project: Project) -> None:
            self._adopt(project)
            wanted = step or project.view.get("step", "")
            self.step = wanted if wanted in STEPS else "data"
            self.link = left_to_show(project.view)
            self.poll()
            self.look()
            self.recolor()
            self.see_again()

        def use(project: Project) -> None:
            self.project = project
            self.choose_reference(Path(project.reference), lambda: go_on(project) if self.project is project else None)

        self.attempt("project", "Opening the project", find, use)

    @property
    def is_opening(self) -> bool:
        """Whether a project is on its way that is not there yet."""
        return self.project is None and self.standing("project").phase is Phase.RUNNING

    def leave(self) -> None:
        """Put the project away; it stays in the list."""
        self._clear()
        self.recolor()

    def _adopt(self, project: Project) -> None:
        """Take over the choices of a project, where the reference still has what they name."""
        kept = keeping.read(self, {**project.options, **project.view})
        methods, levels = (self.reference.methods, self.reference.levels) if self.reference is not None else ((), ())
        kept["methods"] = [name for name in kept["methods"] if name in methods] or self.methods
        kept["method"] = kept["method"] if kept["method"] in methods else self.method
        kept["level"] = kept["level"] if kept["level"] in levels else self.level
        if kept["held"] is not None and kept["held"].level not in levels:
            kept["held"] = None
        with self.unremembered():
            self.param.update(**{**kept, "step": self.step})
        self._begin_keeping(anew=bool(left_to_show(project.view)))  # of a link, all that it shows is to be kept
        self._begin_history()

    def _clear(self) -> None:
        """Forget what belongs to one query."""
        self._save_changes()
        results = [topic for topic in self.status if topic.startswith("result")]
        self.forget("project", "reference", "file", "job", "examined", "color", "explain", *ASKED, *results)
        kept = [name for name in (*keeping.OPTIONS, *keeping.SHOWN) if name not in keeping.OUTLASTS]
        with self.unremembered():
            self.param.update(
                **keeping.unchosen(self, kept), **NOTHING_FOUND, project=None, preflight=None, jobs={}, outcomes={},
                job=None, outcome=None, selection=None, explanation=None, query_coloring=None, hidden=[], examined={},
                link={}, go_to=None,
            )  # fmt: skip
        self._is_taken_up = self._is_unsaved = False
        self._begin_history()

    # training

    def built(self, folder: Path) -> None:
        """Offer a reference that has just been written, and use it in place of the one it was made from."""
        super().built(folder)
        if self.reference is not None and references.current(self.reference.folder) == folder:
            self.choose_reference(folder, self.look)


_GONE = (JobState.FAILED, JobState.CANCELLED)


def _job_of(outcome: Outcome | None) -> str | None:
    return outcome.job if outcome is not None else None


def _n_cells(coloring: Coloring) -> int:
    return len(coloring.codes if isinstance(coloring, Categories) else coloring.values)
