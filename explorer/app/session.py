"""What one person chose and what has been computed for her; parameters, no widgets.

A `Session` is the only thing that changes while the app runs. Views read it and write only choices. Whatever
takes time goes through `attempt`, see `explorer.app.work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import param

from components.coloring import Categories, Coloring, Values
from explorer.app import choices, keeping, library, references
from explorer.app.choices import Traits
from explorer.app.coloring import ColorBy, color_both
from explorer.app.explaining import explain
from explorer.app.findings import ASKED, NOTHING_FOUND, Findings
from explorer.app.gating import GATED, Gating
from explorer.app.guiding import Guided
from explorer.app.history import History
from explorer.app.library import Outcome
from explorer.app.pins import Pin
from explorer.app.preflight import Preflight, likely_batch, likely_label, look_over
from explorer.app.projects import Project
from explorer.app.sharing import Linked, left_to_show, see_again, shared
from explorer.app.status import Phase
from explorer.app.training import Trainings
from explorer.app.workspace import ARRANGED, DRAWN, Workspace
from explorer.errors import AtlasError
from explorer.flow import Reference
from explorer.jobs.queue import JobState
from explorer.methods.base import Measure
from explorer.settings import settings

TABS = ("folded", "low", "high")
"""How much room the tabs below the map take."""

STEPS = ("home", "data", "map", "quality", "explore", "export")

REMEMBERED = ("color", "level", *ARRANGED, *DRAWN, "hidden", *GATED, "pins", "threshold", "coverage")
"""The choices that can be taken back."""


class Session(Gating, Trainings, Workspace, Findings, Linked, Guided):
    """One tab.

    Topics of `attempt`, and of `status`: "project", "reference", "file", "job", "result" (the one in view), "result of
    <method>", "examined", "color", "explain", "build", and what a view adds for itself.
    """

    step: Any = param.Selector(default="home", objects=list(STEPS))
    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    measure = param.String(default="", doc="Name of the way to explain; empty for the method's first.")

    tab = param.String(default="Composition", doc="Which tab below the map is open.")
    tabs: Any = param.Selector(default="low", objects=list(TABS), doc="How much room the tabs take.")
    show_names = param.Boolean(default=False, doc="Whether the map carries the names of its categories.")
    view = param.Parameter(default=None, doc="x0, x1, y0, y1 on the map; `None` while all of it is in view.")
    query_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    reference_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    pins = param.List(default=[], item_type=Pin, doc="Panels of the figure, in their order.")

    can_undo = param.Boolean(default=False, doc="Whether a choice can be taken back.")
    can_redo = param.Boolean(default=False, doc="Whether a choice that was taken back can be made again.")

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._columns_unset = self._map_when_ready = self._by_itself = self._is_taken_up = self._is_unsaved = False
        self._history: History[dict[str, Any]] = History(self._chosen())
        self.param.watch(self._notice, list(REMEMBERED))
        self.param.watch(self._look_again, ["jobs", "outcomes"])
        self.param.watch(self._keep, [*keeping.OPTIONS, *keeping.SHOWN])

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

    # colour and selection

    @property
    def front(self) -> str:
        """Whose cells are in front, "query" or "reference": what legend, selection and figure speak of."""
        return "query" if self.outcome is not None and self.show != "reference" else "reference"

    @property
    def coloring(self) -> Coloring | None:
        """The colouring of the cells in front."""
        found: Coloring | None = self.query_coloring if self.front == "query" else self.reference_coloring
        return found

    def choose_color(self, by: ColorBy, level: str = "") -> None:
        """Colour by something else, at this or another label level."""
        self.param.update(color=by, level=level or self.level)
        self.recolor()

    def recolor(self, hidden: Sequence[int] = ()) -> None:
        """Work the colourings out anew, for the choices and the cells as they are now, some categories left hidden."""
        reference, outcome, by, level = self.reference, self.outcome, self.color, self.level
        style, held = self.style, self.held
        if reference is None:
            return

        def work() -> list[tuple[Coloring | None, Coloring | None]]:
            first = color_both(outcome, reference, by, level, style)
            return [first, color_both(outcome, reference, held.by, held.level, style) if held is not None else first]

        def use(found: list[tuple[Coloring | None, Coloring | None]]) -> None:
            (query, beside), of_held = found
            with self.unremembered():
                self.param.update(
                    hidden=list(hidden), query_coloring=query, reference_coloring=beside, held_colorings=of_held
                )

        self.attempt("color", "Colouring", work, use)

    def arrange(self, **wanted: Any) -> None:
        """Choose panes and how they are drawn; categories are hidden no longer where other cells come in front."""
        before, is_restyled = self.front, bool({*DRAWN, "held"} & wanted.keys() - {"point_size"})
        self.param.update(**wanted)
        if self.front != before:
            self.param.update(selection=None, recipe=[], explanation=None, hidden=[])
        if is_restyled:
            self.recolor(self.hidden)

    def explain(self, toward: str) -> None:
        """Find what speaks for a label in cells: the selected ones, or else those that carry it."""
        outcome, reference, job, level = self.outcome, self.reference, self.job, self.level
        if outcome is None or reference is None or job is None:
            return
        labels = outcome.result.labels.level(level)
        rows = np.flatnonzero(labels.labels == toward) if self.selection is None else self.selection
        measure = self.measure if self.measure in [each.name for each in self.measures] else None
        self.attempt(
            "explain",
            "Finding what speaks for the label",
            lambda: explain(job.mapping, outcome, reference, rows, toward, level, measure),
            lambda found: setattr(self, "explanation", found),
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The ways in which the method of the result explains, the default first."""
        return choices.measures(self.outcome.result.method, self.traits) if self.outcome is not None else ()

    def explain_by(self, measure: str) -> None:
        """Explain in another way from now on; what was explained before is taken away."""
        self.forget("explain")
        self.param.update(measure=measure, explanation=None)

    def open_tab(self, name: str) -> None:
        """Open one of the tabs below the map."""
        self.tab = name

    def show_tabs(self, room: str) -> None:
        """Give the tabs below the map more or less room."""
        self.tabs = room

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
        see_again(self)

    # taking choices back

    def undo(self) -> None:
        """Take the last choice back; jobs go on as they are."""
        self._restore(self._history.undo())

    def redo(self) -> None:
        """Make the choice again that was taken back last."""
        self._restore(self._history.redo())

    def _chosen(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in REMEMBERED}

    def _notice(self, *_: param.parameterized.Event) -> None:
        if self._by_itself:
            self._history.amend(self._chosen())
        else:
            self.soon(self._remember)

    def _remember(self) -> None:
        if not _same(self._chosen(), self._history.present):
            self._history.note(self._chosen())
        self._tell_history()

    @contextmanager
    def unremembered(self) -> Iterator[None]:
        """Changes that follow from others are no steps of their own."""
        before, self._by_itself = self._by_itself, True
        try:
            yield
        finally:
            self._by_itself = before

    def _begin_history(self) -> None:
        self._history.begin(self._chosen())
        self._tell_history()

    def _restore(self, chosen: dict[str, Any] | None) -> None:
        if chosen is None:
            return
        self.forget("explain")
        hidden, is_recolored = chosen["hidden"], (chosen["color"], chosen["level"]) != (self.color, self.level)
        is_restyled = any(chosen[name] != getattr(self, name) for name in (*DRAWN, "held"))
        obeys = chosen["threshold"] == self.threshold
        with self.unremembered():
            self.param.update(**{**chosen, "hidden": self.hidden if is_recolored else hidden}, explanation=None)
        if not obeys:
            self._obey()
        if is_recolored or is_restyled:
            self.recolor(hidden)
        self._tell_history()
        self._keep()

    def _tell_history(self) -> None:
        self.param.update(can_undo=self._history.can_undo, can_redo=self._history.can_redo)

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
        self._columns_unset, self._map_when_ready, self._is_taken_up = True, map_it, True
        self.param.update(project=project, step="map" if map_it else "data")
        self.look()
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
            see_again(self)

        def use(project: Project) -> None:
            self.project = project
            self.choose_reference(Path(project.reference), lambda: go_on(project) if self.project is project else None)

        self.attempt("project", "Opening the project", find, use)

    def leave(self) -> None:
        """Put the project away; it stays in the list."""
        self._clear()
        self.recolor()

    def save(self) -> None:
        """Write the choices down at once; those that change are written on the next turn, so that other tabs find them.

        Raises
        ------
        OptionsProblem
            If the project was removed.
        """
        if self.project is None or not self._is_taken_up:
            return
        self._is_unsaved = False
        options, view = (keeping.written(self, names) for names in (keeping.OPTIONS, keeping.SHOWN))
        self.project = library.projects().save(self.project.id, options=options, view=view)

    def _keep(self, *_: param.parameterized.Event) -> None:
        """Save soon, unless what changed follows from something else."""
        if not self._by_itself:
            self._is_unsaved = True
            self.soon(self._save_changes)

    def _save_changes(self) -> None:
        if not self._is_unsaved:
            return
        try:
            self.save()
        except AtlasError as problem:
            self.report("page", problem)

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
        self._is_taken_up = True
        self._begin_history()

    def _clear(self) -> None:
        """Forget what belongs to one query."""
        self._save_changes()
        results = [topic for topic in self.status if topic.startswith("result")]
        self.forget("project", "reference", "file", "job", "examined", "color", "explain", *ASKED, *results)
        kept = {*keeping.OPTIONS, *keeping.SHOWN} - {*keeping.OUTLASTS}
        with self.unremembered():
            self.param.update(
                **keeping.unchosen(self, kept), **NOTHING_FOUND, project=None, preflight=None, jobs={}, outcomes={},
                job=None, outcome=None, selection=None, explanation=None, query_coloring=None, hidden=[], examined={},
                link={}, go_to=None,
            )  # fmt: skip
        self._is_taken_up = False
        self._begin_history()

    # file

    def look(self) -> None:
        """Look the project's file over, with the choices as they are now."""
        if self.project is None or self.reference is None:
            return
        path, reference = Path(self.project.query), self.reference
        reading, refit_shared, in_her_words = self.reading, self.refit_shared, self.in_her_words

        def work() -> Preflight:
            try:
                return look_over(path, reference, reading, refit_shared=refit_shared)
            except AtlasError as problem:
                raise type(problem)(in_her_words(str(problem))) from problem

        self.attempt("file", "Reading the file", work, self._take_in)

    def in_her_words(self, text: str) -> str:
        """A sentence with the name that an uploaded file had on the person's computer."""
        path = Path(self.project.query) if self.project is not None else Path()
        if self.project is None or not path.is_relative_to(settings().uploads):
            return text
        return text.replace(path.name, f"{self.project.title}.h5ad")

    def _take_in(self, found: Preflight) -> None:
        if not self._columns_unset:
            self.preflight = found
            return
        self._columns_unset = False
        demo = library.demo_of(self.project.query) if self.project is not None else None
        batch, label = (demo.sample, demo.label) if demo else (likely_batch(found), likely_label(found))
        self.param.update(preflight=found, batch=batch, own_label=label)
        if self._map_when_ready:
            self.start()

    def read_by(self, **wanted: Any) -> None:
        """Read the file otherwise: change `matrix`, `gene_names`, `orthologs` or `refit_shared`."""
        self.param.update(**wanted)
        self.look()

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


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two sets of choices agree; arrays are made anew when they change, and never changed."""
    return all(a[name] is b[name] or (name != "selection" and a[name] == b[name]) for name in REMEMBERED)
