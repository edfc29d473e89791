"""What one person chose and what has been computed for her; parameters, no widgets.

A `Session` is the only thing that changes while the app runs. Views read it and write only choices; what
takes time goes through `attempt`, which keeps it off the event loop, turns problems into sentences and drops
answers that are no longer wanted. All of it but `attempt`'s work runs on the event loop of the person's tab.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import param

from components.coloring import Categories, Coloring, Values
from explorer.app import library
from explorer.app.coloring import KINDS, ColorBy, color_both
from explorer.app.explaining import Explanation, explain
from explorer.app.library import Outcome
from explorer.app.preflight import Preflight, likely_batch, likely_label, look_over
from explorer.app.projects import Project
from explorer.app.status import NOTHING, READY, Status, failed, running
from explorer.errors import AtlasError
from explorer.flow import Reference
from explorer.jobs import Job, JobState, MapSpec
from explorer.settings import settings

SHOWS = ("query", "both", "reference")
"""The query on the grey reference, the two side by side, or the reference alone."""

STEPS = ("home", "data", "map", "explore", "export")
log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Session(param.Parameterized):
    """One tab.

    Topics of `attempt`, and of `status`: "reference", "file", "result", and whatever a view adds for itself.
    """

    step = param.Selector(default="home", objects=list(STEPS))
    reference = param.ClassSelector(class_=Reference, default=None, allow_None=True)
    project = param.ClassSelector(class_=Project, default=None, allow_None=True)
    preflight = param.ClassSelector(class_=Preflight, default=None, allow_None=True)
    job = param.ClassSelector(class_=Job, default=None, allow_None=True)
    outcome = param.ClassSelector(class_=Outcome, default=None, allow_None=True)

    matrix = param.String(default="", doc="Which matrix of the file to use; empty to let the program choose.")
    batch = param.String(default="", doc="obs column of the query's batches; empty for one batch.")
    own_label = param.String(default="", doc="obs column of the labels the query brings; empty for none.")
    orthologs = param.Boolean(default=False, doc="Read mouse genes as their human orthologues.")
    method = param.String(default="", doc="Name of the chosen method of the reference.")

    color = param.ClassSelector(class_=ColorBy, default=ColorBy("label"))
    level = param.String(default="", doc="Label level in view.")
    show = param.Selector(default="query", objects=list(SHOWS), doc="Which cells are in view.")
    show_names = param.Boolean(default=False, doc="Whether the map carries the names of its categories.")
    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    hidden = param.List(default=[], item_type=int, doc="Categories of the colouring in front that are not drawn.")
    selection = param.Array(default=None, allow_None=True, doc="Selected rows of the cells in front, ascending.")
    query_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    reference_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    explanation = param.ClassSelector(class_=Explanation, default=None, allow_None=True)

    status: dict[str, Status] = param.Dict(default={}, doc="Where each topic stands.")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._tickets: dict[str, object] = {}
        self._columns_unset = False

    # work that takes time

    async def attempt(self, topic: str, text: str, work: Callable[[], Answer]) -> Answer | None:
        """Do blocking work in a thread; its answer, or `None` if it failed or something newer was asked.

        Parameters
        ----------
        topic
            What the work is about; a later attempt at the same topic makes this one's answer unwanted.
        text
            What to say meanwhile.
        work
            Called without arguments in a thread; touches nothing of this session.
        """
        ticket = self._tickets[topic] = object()
        self._tell(topic, running(text))
        try:
            answer, status = await asyncio.to_thread(work), READY
        except AtlasError as problem:
            answer, status = None, failed(str(problem))
        except Exception:
            number = secrets.token_hex(4)
            log.exception("Problem %s while working on %r", number, topic)
            answer, status = None, failed(
                f"Something went wrong that is not your fault. The server's log has the details under {number}; "
                "please pass that number on to whoever runs it."
            )
        if self._tickets.get(topic) is not ticket:
            return None
        self._tell(topic, status)
        return answer

    def forget(self, *topics: str) -> None:
        """Make answers on their way unwanted, and the topics blank."""
        for topic in topics:
            self._tickets.pop(topic, None)
        self.status = {name: status for name, status in self.status.items() if name not in topics}

    def standing(self, topic: str) -> Status:
        """Where a topic stands."""
        return self.status.get(topic, NOTHING)

    def _tell(self, topic: str, status: Status) -> None:
        self.status = {**self.status, topic: status}

    # reference

    async def choose_reference(self, folder: Path) -> None:
        """Open a reference and make it the one in use."""
        reference = await self.attempt("reference", "Opening the reference", lambda: library.reference(folder))
        if reference is not None:
            method = self.method if self.method in reference.methods else reference.methods[0]
            level = self.level if self.level in reference.levels else reference.levels[0]
            self.param.update(reference=reference, method=method, level=level)
            await self.recolor()

    # colour and selection

    @property
    def front(self) -> str:
        """Whose cells are in front, "query" or "reference": what legend, selection and figure speak of."""
        return "query" if self.outcome is not None and self.show != "reference" else "reference"

    @property
    def coloring(self) -> Coloring | None:
        """The colouring of the cells in front."""
        return self.query_coloring if self.front == "query" else self.reference_coloring

    async def choose_color(self, by: ColorBy, level: str | None = None) -> None:
        """Colour by something else, at this or another label level."""
        self.param.update(color=by, level=level or self.level)
        await self.recolor()
        self.save()

    async def recolor(self) -> None:
        """Work the colourings out anew, for the choices and the cells as they are now."""
        reference, outcome, by, level = self.reference, self.outcome, self.color, self.level
        if reference is None:
            return
        found = await self.attempt("color", "Colouring", lambda: color_both(outcome, reference, by, level))
        if found is not None:
            self.param.update(hidden=[], query_coloring=found[0], reference_coloring=found[1])

    async def explain(self, toward: str) -> None:
        """Find the genes by which cells point toward a label: the selected ones, or else those that carry it."""
        outcome, reference, job, level = self.outcome, self.reference, self.job, self.level
        if outcome is None or reference is None or job is None:
            return
        labels = outcome.result.labels.level(level)
        rows = np.flatnonzero(labels.labels == toward) if self.selection is None else self.selection
        found = await self.attempt(
            "explain", "Finding the genes", lambda: explain(job.spec, outcome, reference, rows, toward, level)
        )
        if found is not None:
            self.explanation = found

    def select(self, rows: np.ndarray | None) -> None:
        """Select some of the cells in front, or none."""
        self.forget("explain")
        self.param.update(selection=rows, explanation=None)

    # project

    async def begin(self, source: Path, title: str) -> None:
        """Start a project on a file and look the file over."""
        if self.reference is None:
            return
        folder = str(self.reference.folder)
        project = library.projects().create(title=title, reference=folder, query=str(source))
        self._clear()
        self._columns_unset = True
        self.param.update(project=project, step="data")
        await self.look()

    async def resume(self, project_id: str, step: str = "") -> None:
        """Take up a project where it was left, in this or any other tab, before or after a restart."""
        project = await self.attempt("project", "Opening the project", lambda: library.projects().get(project_id))
        if project is None:
            self.step = "home"
            return
        self._clear()
        await self.choose_reference(Path(project.reference))
        self._adopt(project)
        wanted = step if step in STEPS else project.view.get("step", "data")
        self.step = wanted if wanted in STEPS else "data"
        await self.poll()
        await self.look()

    def leave(self) -> None:
        """Put the project away; it stays in the list."""
        self._clear()
        self.project = None

    def save(self) -> None:
        """Write the choices down, so that another tab finds them."""
        if self.project is None:
            return
        options = {
            "matrix": self.matrix, "batch": self.batch, "own_label": self.own_label,
            "orthologs": self.orthologs, "method": self.method,
        }
        view = {"step": self.step, "color": [self.color.kind, self.color.name], "level": self.level}
        job = self.job.id if self.job else self.project.job
        self.project = library.projects().save(self.project.id, options=options, view=view, job=job)

    def _adopt(self, project: Project) -> None:
        options, view = project.options, project.view
        kind, name = view.get("color", ["label", ""])
        self.param.update(
            project=project,
            matrix=options.get("matrix", ""),
            batch=options.get("batch", ""),
            own_label=options.get("own_label", ""),
            orthologs=bool(options.get("orthologs", False)),
            method=options.get("method") or self.method,
            color=ColorBy(kind, name) if kind in KINDS else ColorBy("label"),
            level=view.get("level") or self.level,
        )

    def _clear(self) -> None:
        """Forget what belongs to one query."""
        self.forget("file", "result", "explain", "project", "color")
        self.param.update(
            preflight=None, job=None, outcome=None, selection=None, explanation=None, query_coloring=None,
            matrix="", batch="", own_label="", orthologs=False, color=ColorBy("label"), show="query", hidden=[],
        )

    # file

    async def look(self) -> None:
        """Look the project's file over, with the matrix and the orthologue choice as they are now."""
        if self.project is None or self.reference is None:
            return
        path, reference = Path(self.project.query), self.reference
        matrix, orthologs = self.matrix or None, self.orthologs
        found = await self.attempt(
            "file", "Reading the file", lambda: look_over(path, reference, matrix, orthologs=orthologs)
        )
        if found is None:
            return
        if self._columns_unset:
            self._columns_unset = False
            demo = library.demo_of(self.project.query)
            batch, label = (demo.sample, demo.label) if demo else (likely_batch(found), likely_label(found))
            self.param.update(preflight=found, batch=batch, own_label=label)
            self.save()
        else:
            self.preflight = found

    async def use_matrix(self, name: str) -> None:
        """Take another matrix of the file; empty lets the program choose."""
        self.matrix = name
        self.save()
        await self.look()

    async def use_orthologs(self, wanted: bool) -> None:
        """Read mouse genes as their human orthologues, or stop doing so."""
        self.orthologs = wanted
        self.save()
        await self.look()

    # job

    @property
    def spec(self) -> MapSpec | None:
        """What Start would do; `None` while there is nothing to map."""
        if self.project is None or self.reference is None or self.preflight is None or not self.preflight.is_ready:
            return None
        return MapSpec(
            query=self.project.query,
            reference=str(self.reference.folder),
            method=self.method,
            batch=self.batch or None,
            orthologs=self.orthologs,
            matrix=self.matrix or None,
            device=settings().device,
            name=self.project.title,
        )

    @property
    def is_mapping(self) -> bool:
        """Whether the project's job waits or runs."""
        return self.job is not None and not self.job.state.is_over

    def start(self) -> None:
        """Map the file, unless that is being done already, here or in another tab."""
        spec = self.spec
        if spec is None or self.is_mapping:
            return
        self._drop_result(library.queue().submit(spec))
        self.save()

    def cancel(self) -> None:
        """Stop the project's job."""
        if self.job is not None:
            self.job = library.queue().cancel(self.job.id)

    def retry(self) -> None:
        """Do the project's job once more."""
        if self.job is not None and self.job.state.is_over:
            self._drop_result(library.queue().retry(self.job.id))
            self.save()

    def _drop_result(self, job: Job) -> None:
        """Make room for the result of a new job."""
        self.forget("result", "explain")
        self.param.update(job=job, outcome=None, query_coloring=None, selection=None, explanation=None)

    async def poll(self) -> None:
        """Read the job's record, and open its result when it is done."""
        if self.project is None:
            return
        known = self.job.id if self.job else library.projects().get(self.project.id).job
        if known is None:
            return
        job = library.queue().get(known)
        if job != self.job:
            self.job = job
        if job.state is JobState.DONE and self._lacks(job):
            found = await self.attempt("result", "Opening the result", lambda: library.outcome(job.id))
            if found is not None and self.job is not None and self.job.id == found.job:
                self.param.update(outcome=found, show="query", selection=None, explanation=None)
                await self.recolor()

    def _lacks(self, job: Job) -> bool:
        opened = self.outcome is not None and self.outcome.job == job.id
        return not opened and self.standing("result") == NOTHING
