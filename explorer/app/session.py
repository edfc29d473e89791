"""What one person chose and what has been computed for her; parameters, no widgets.

A `Session` is the only thing that changes while the app runs. Views read it and write only choices. Whatever
takes time goes through `attempt`, see `explorer.app.work`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import param

from components.coloring import Categories, Coloring, Values
from explorer.app import choices, library, references
from explorer.app.choices import Traits, Way
from explorer.app.coloring import KINDS, ColorBy, color_both
from explorer.app.explaining import Explanation, explain
from explorer.app.library import Outcome
from explorer.app.pins import Pin, as_records, read_records
from explorer.app.preflight import Preflight, likely_batch, likely_label, look_over
from explorer.app.projects import Project
from explorer.app.status import NOTHING, Phase
from explorer.app.training import Trainings
from explorer.errors import AtlasError
from explorer.flow import Reference
from explorer.jobs import Job, JobState, MapSpec
from explorer.methods.base import INSTANT, Measure
from explorer.reference import has_model_of
from explorer.settings import settings

SHOWS = ("query", "both", "reference")
"""The query on the grey reference, the two side by side, or the reference alone."""

TABS = ("folded", "low", "high")
"""How much room the tabs below the map take."""

STEPS = ("home", "data", "map", "explore", "export")


class Session(Trainings):
    """One tab.

    Topics of `attempt`, and of `status`: "project", "reference", "file", "job", "result", "color", "explain",
    "build", and what a view adds for itself.
    """

    step: Any = param.Selector(default="home", objects=list(STEPS))
    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    reference = param.ClassSelector(class_=Reference, default=None, allow_None=True)
    traits = param.ClassSelector(class_=Traits, default=Traits(), doc="What the reference allows.")
    project = param.ClassSelector(class_=Project, default=None, allow_None=True)
    preflight = param.ClassSelector(class_=Preflight, default=None, allow_None=True)
    job = param.ClassSelector(class_=Job, default=None, allow_None=True)
    outcome = param.ClassSelector(class_=Outcome, default=None, allow_None=True)

    matrix = param.String(default="", doc="Which matrix of the file to use; empty to let the program choose.")
    batch = param.String(default="", doc="obs column of the query's batches; empty for one batch.")
    own_label = param.String(default="", doc="obs column of the labels the query brings; empty for none.")
    orthologs = param.Boolean(default=False, doc="Read mouse genes as their human orthologues.")
    refit_shared = param.Boolean(default=False, doc="Refit the method on the genes shared, where those are few.")
    method = param.String(default="", doc="Name of the chosen method of the reference.")
    mode = param.String(default="", doc="Name of the way to map; empty for the method's first.")
    hierarchical = param.Boolean(default=False, doc="Label coarse levels first, and finer ones within them.")
    measure = param.String(default="", doc="Name of the way to explain; empty for the method's first.")

    color = param.ClassSelector(class_=ColorBy, default=ColorBy("label"))
    level = param.String(default="", doc="Label level in view.")
    show: Any = param.Selector(default="query", objects=list(SHOWS), doc="Which cells are in view.")
    tab = param.String(default="Composition", doc="Which tab below the map is open.")
    tabs: Any = param.Selector(default="low", objects=list(TABS), doc="How much room the tabs take.")
    show_names = param.Boolean(default=False, doc="Whether the map carries the names of its categories.")
    view = param.Parameter(default=None, doc="x0, x1, y0, y1 on the map; `None` while all of it is in view.")
    hidden = param.List(default=[], item_type=int, doc="Categories of the cells in front that are not drawn.")
    selection = param.Array(default=None, allow_None=True, doc="Selected rows in front, ascending.")
    query_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    reference_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    explanation = param.ClassSelector(class_=Explanation, default=None, allow_None=True)
    pins = param.List(default=[], item_type=Pin, doc="Panels of the figure, in their order.")

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._columns_unset = self._map_when_ready = False

    def _ask(self, do: Callable[[], None]) -> None:
        """Do something quick with the durable records, and say so if they refuse."""
        try:
            do()
        except AtlasError as problem:
            self.report("job", problem)
        else:
            self.forget("job")

    # reference

    def choose_reference(self, folder: Path, then: Callable[[], None] = lambda: None) -> None:
        """Open a reference, with the methods that it was given here, and make it the one in use, then go on."""

        def work() -> tuple[Reference, Traits]:
            reference = library.reference(references.current(folder))
            return reference, choices.traits_of(reference)

        def use(opened: tuple[Reference, Traits]) -> None:
            reference, traits = opened
            method = self.method if self.method in reference.methods else reference.methods[0]
            level = self.level if self.level in reference.levels else reference.levels[0]
            self.param.update(reference=reference, traits=traits, method=method, level=level)
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
        self.save()

    def recolor(self) -> None:
        """Work the colourings out anew, for the choices and the cells as they are now."""
        reference, outcome, by, level = self.reference, self.outcome, self.color, self.level
        if reference is None:
            return

        def use(found: tuple[Coloring | None, Coloring | None]) -> None:
            self.param.update(hidden=[], query_coloring=found[0], reference_coloring=found[1])

        self.attempt("color", "Colouring", lambda: color_both(outcome, reference, by, level), use)

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
        self.save()

    def select(self, rows: np.ndarray | None) -> None:
        """Select some of the cells in front, or none."""
        self.forget("explain")
        self.param.update(selection=rows, explanation=None)

    def open_tab(self, name: str) -> None:
        """Open one of the tabs below the map."""
        self.tab = name
        self.save()

    def show_tabs(self, room: str) -> None:
        """Give the tabs below the map more or less room."""
        self.tabs = room
        self.save()

    # project

    def begin(self, source: Path, title: str, *, map_it: bool = False) -> None:
        """Start a project on a file and look the file over; map it at once if it can be, where that was asked."""
        if self.reference is None:
            return
        if self.project is not None and self.preflight is None and self.standing("file").phase is Phase.FAILED:
            library.projects().remove(self.project.id)  # its file could not even be read
        folder = str(self.reference.folder)
        project = library.projects().create(title=title, reference=folder, query=str(source))
        self._clear()
        self._columns_unset, self._map_when_ready = True, map_it
        self.param.update(project=project, step="map" if map_it else "data")
        self.look()
        self.recolor()

    def resume(self, project_id: str, step: str = "") -> None:
        """Take up a project where it was left, in this or any other tab, before or after a restart."""
        self._clear()

        def go_on(project: Project) -> None:
            self._adopt(project)
            wanted = step or project.view.get("step", "")
            self.step = wanted if wanted in STEPS else "data"
            self.poll()
            self.look()
            self.recolor()

        def use(project: Project) -> None:
            self.project = project
            self.choose_reference(Path(project.reference), lambda: go_on(project) if self.project is project else None)

        self.attempt("project", "Opening the project", lambda: library.projects().get(project_id), use)

    def leave(self) -> None:
        """Put the project away; it stays in the list."""
        self._clear()
        self.recolor()

    def save(self) -> None:
        """Write the choices down, so that another tab finds them."""
        if self.project is None:
            return
        options = {
            "matrix": self.matrix, "batch": self.batch, "own_label": self.own_label,
            "orthologs": self.orthologs, "refit_shared": self.refit_shared, "method": self.method, "mode": self.mode,
            "hierarchical": self.hierarchical,
        }  # fmt: skip
        view = {"step": self.step, "color": [self.color.kind, self.color.name], "level": self.level,
                "measure": self.measure, "tab": self.tab, "tabs": self.tabs, "pins": as_records(self.pins)}  # fmt: skip
        self.project = library.projects().save(self.project.id, options=options, view=view)

    def _adopt(self, project: Project) -> None:
        options, view = project.options, project.view
        kind, name = view.get("color", ["label", ""])
        reference = self.reference
        method, level = options.get("method", ""), view.get("level", "")
        self.param.update(
            matrix=options.get("matrix", ""),
            batch=options.get("batch", ""),
            own_label=options.get("own_label", ""),
            orthologs=bool(options.get("orthologs", False)),
            refit_shared=bool(options.get("refit_shared", False)),
            method=method if reference and method in reference.methods else self.method,
            mode=options.get("mode", ""),
            hierarchical=bool(options.get("hierarchical", False)),
            measure=view.get("measure", ""),
            tab=view.get("tab", "Composition"),
            tabs=tabs if (tabs := view.get("tabs")) in TABS else "low",
            pins=read_records(view.get("pins", [])),
            color=ColorBy(kind, name) if kind in KINDS else ColorBy("label"),
            level=level if reference and level in reference.levels else self.level,
        )

    def _clear(self) -> None:
        """Forget what belongs to one query."""
        self.forget("project", "reference", "file", "job", "result", "color", "explain")
        self.param.update(
            project=None, preflight=None, job=None, outcome=None, selection=None, explanation=None,
            query_coloring=None, matrix="", batch="", own_label="", orthologs=False, refit_shared=False,
            mode="", hierarchical=False, measure="", color=ColorBy("label"), show="query", hidden=[], pins=[],
        )  # fmt: skip

    # file

    def look(self) -> None:
        """Look the project's file over, with the choices as they are now."""
        if self.project is None or self.reference is None:
            return
        path, reference = Path(self.project.query), self.reference
        matrix, in_her_words = self.matrix or None, self.in_her_words
        orthologs, refit_shared = self.orthologs, self.refit_shared

        def work() -> Preflight:
            try:
                return look_over(path, reference, matrix, orthologs=orthologs, refit_shared=refit_shared)
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
        self.save()
        if self._map_when_ready:
            self.start()

    def use_matrix(self, name: str) -> None:
        """Take another matrix of the file; empty lets the program choose."""
        self.matrix = name
        self.save()
        self.look()

    def use_orthologs(self, wanted: bool) -> None:
        """Read mouse genes as their human orthologues, or stop doing so."""
        self.orthologs = wanted
        self.save()
        self.look()

    def use_shared(self, wanted: bool) -> None:
        """Refit the method on the genes that file and reference share, or stop doing so."""
        self.refit_shared = wanted
        self.save()
        self.look()

    # how to map

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways in which the chosen method maps, each with what speaks against it for this file."""
        if self.reference is None:
            return ()
        return choices.ways(self.reference, self.traits, self.method, self.preflight)

    @property
    def way(self) -> str:
        """Name of the way to map: the one chosen, or as trained where that is not open to this file."""
        open_ones = [way.mode.name for way in self.ways if not way.refusal]
        return self.mode if self.mode in open_ones else INSTANT.name

    def choose_mode(self, mode: str) -> None:
        """Map in another way."""
        self.mode = mode
        self.save()

    def choose_hierarchical(self, wanted: bool) -> None:
        """Label coarse levels first, or all levels by themselves."""
        self.hierarchical = wanted
        self.save()

    # job

    @property
    def spec(self) -> MapSpec | None:
        """What Start would do; `None` while there is nothing that can be mapped."""
        found = self.preflight
        if self.project is None or self.reference is None or found is None or not found.is_ready:
            return None
        if self.standing("file").phase is Phase.FAILED:  # with the choices as they are now
            return None
        return MapSpec(
            query=self.project.query,
            reference=str(self.reference.folder),
            method=self.method,
            batch=self.batch or None,
            orthologs=self.orthologs,
            refit_shared=self.refit_shared,
            matrix=self.matrix or None,
            device=settings().device,
            name=self.project.title,
            mode=None if self.way == INSTANT.name else self.way,
            hierarchical=self.hierarchical and bool(self.traits.nested),
        )

    @property
    def is_mapping(self) -> bool:
        """Whether the project's job waits or runs."""
        return self.job is not None and not self.job.state.is_over

    @property
    def is_outdated(self) -> bool:
        """Whether the model was built anew after the result in view: its places mean nothing then."""
        if self.outcome is None or self.reference is None:
            return False
        result = self.outcome.result
        return not has_model_of(self.reference, result.method, result.provenance.reference_checksum)

    def start(self) -> None:
        """Map the file, unless that is being done already, here or in another tab."""
        spec = self.spec
        if spec is not None and not self.is_mapping:
            self._ask(lambda: self._take_on(library.queue().submit(spec)))

    def cancel(self) -> None:
        """Stop the project's job."""
        job = self.job
        if job is not None:
            self._ask(lambda: setattr(self, "job", library.queue().cancel(job.id)))

    def retry(self) -> None:
        """Do the project's job once more."""
        job = self.job
        if job is not None and job.state.is_over:
            self._ask(lambda: self._take_on(library.queue().retry(job.id)))

    def _take_on(self, job: Job) -> None:
        """Make a job the project's own, and room for its result."""
        self.forget("result", "explain")
        self.param.update(job=job, outcome=None, query_coloring=None, selection=None, explanation=None)
        if self.project is not None:
            self.project = library.projects().save(self.project.id, job=job.id)
        self.recolor()

    def poll(self) -> None:
        """Read the records of the project's job and of trainings, and open what is done."""
        self.follow_builds()
        self._ask(self._read_job)
        job = self.job
        if job is not None and job.state is JobState.DONE and self._lacks(job):
            self.attempt("result", "Opening the result", lambda: library.outcome(job.id), self._open)

    def _read_job(self) -> None:
        if self.project is None:
            return
        known = library.projects().get(self.project.id).job  # another tab may have started a newer one
        if known is not None:
            job = library.queue().get(known)
            if self.job is None or job.id == self.job.id:
                if job != self.job:
                    self.job = job
            else:
                self._take_on(job)

    # training

    def built(self, folder: Path) -> None:
        """Offer a reference that has just been written, and use it in place of the one it was made from."""
        super().built(folder)
        if self.reference is not None and references.current(self.reference.folder) == folder:
            self.choose_reference(folder, self.look)

    def _lacks(self, job: Job) -> bool:
        opened = self.outcome is not None and self.outcome.job == job.id
        return not opened and self.standing("result") == NOTHING

    def _open(self, found: Outcome) -> None:
        if self.job is not None and self.job.id == found.job:
            self.param.update(outcome=found, show="query", selection=None, explanation=None)
            self.recolor()
