"""Training from the page: which methods a reference could still get, what a file needs to become one, and the jobs.

Knows no widgets. The work itself is `explorer.jobs.building`, done by the worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import param

from explorer.app.before.choices import Traits
from explorer.app.before.preflight import Preflight
from explorer.app.stored import library, references
from explorer.app.tab.work import Work
from explorer.errors import AtlasError
from explorer.flow import Reference
from explorer.jobs.building import minutes
from explorer.jobs.queue import Job, JobState
from explorer.jobs.specs import BuildSpec, Making
from explorer.mapping.learning import LEAST_CELLS
from explorer.methods import METHODS
from explorer.reading.kinds import DataKind
from explorer.reading.query import ColumnFound
from explorer.settings import settings


@dataclass(frozen=True)
class Further:
    """A method that a reference does not hold yet.

    Attributes
    ----------
    method
        Its name.
    minutes
        About how long it takes to train.
    refusal
        Why it cannot be trained on these cells, as a sentence; empty if it can.
    """

    method: str
    minutes: int
    refusal: str


def further(reference: Reference, traits: Traits) -> tuple[Further, ...]:
    """The methods that a reference does not hold yet."""
    batch = reference.card.get("batch")
    n_batches = int(reference.obs[batch].nunique()) if batch in reference.obs else 1
    about = minutes(reference.n_cells, n_batches)
    without = f"{reference.title} was shared without expression, so nothing can be trained on its cells."
    return tuple(
        Further(name, about, refusal(name, traits.kind) if traits.has_expression else without)
        for name in METHODS
        if name not in reference.methods
    )


def refusal(method: str, kind: DataKind) -> str:
    """Why a method cannot be trained on cells of a kind, as a sentence; empty if it can."""
    card = METHODS[method].card
    return "" if kind in card.builds_from else f"{card.title} learns from {_listed(card.builds_from)}, not from {kind}."


def _listed(kinds: Sequence[DataKind]) -> str:
    *first, last = kinds
    return f"{', '.join(first)} or {last}" if first else str(last)


def one_more(reference: Reference, method: str) -> BuildSpec:
    """The work of training a further method on the cells of a reference."""
    place = references.place_for(reference.folder)
    return BuildSpec(str(place), (method,), reference=str(reference.folder), device=settings().device)


@dataclass(frozen=True)
class Plan:
    """What a person wants a file to become.

    Attributes
    ----------
    title
        What the reference shall be called.
    labels
        Label columns, the main one first.
    batch, sample
        obs columns; "" for none.
    methods
        Names of the methods to train.
    """

    title: str
    labels: tuple[str, ...]
    batch: str
    sample: str
    methods: tuple[str, ...]

    def spec(self, source: Path) -> BuildSpec:
        """The work of it."""
        spec = BuildSpec(
            "", self.methods, source=str(source), labels=self.labels, batch=self.batch or None,
            sample=self.sample or None, title=self.title.strip(), device=settings().device,
        )  # fmt: skip
        return BuildSpec(**{**vars(spec), "out": str(references.place_for_cells(spec))})

    def refusals(self, found: Preflight) -> tuple[str, ...]:
        """What is missing before it can begin, a sentence each; a job refuses the same, but only once it runs."""
        inspection, columns = found.inspection, {column.name: column for column in found.inspection.obs_columns}
        told = []
        if inspection.n_cells < LEAST_CELLS:
            told.append(f"The file holds {inspection.n_cells} cells; a reference needs at least {LEAST_CELLS}.")
        if not self.title.strip():
            told.append("Give the reference a title.")
        if not self.labels:
            told.append("Choose at least one column of labels.")
        told += [_too_few(columns[name]) for name in self.labels if name in columns and columns[name].n_unique < 2]
        if not self.methods:
            told.append("Choose at least one method.")
        told += filter(None, (refusal(method, found.kind) for method in self.methods))
        return tuple(told)

    def words(self, found: Preflight) -> tuple[str, ...]:
        """What to expect, a sentence each."""
        cells, columns = found.inspection.n_cells, {column.name: column for column in found.inspection.obs_columns}
        n_batches = columns[self.batch].n_unique if self.batch in columns else 1
        about = minutes(cells, n_batches) * len(self.methods)
        left_out = "each batch is left out in turn" if n_batches > 1 else "a fifth of the cells is left out in turn"
        told = [f"Training on {cells:,} cells takes about {about} min here; {left_out} to measure quality."]
        if self.labels and self.labels[0] in columns:
            n_labels = columns[self.labels[0]].n_unique
            told.append(f"The main labels are those of {self.labels[0]}: {n_labels:,} of them.")
            if n_labels > cells / LEAST_CELLS:
                told.append(f"That is fewer than {LEAST_CELLS} cells a label; a reference needs hundreds to be of use.")
        return tuple(told)


def _too_few(column: ColumnFound) -> str:
    return (
        f"The label column {column.name!r} holds {column.n_unique} label{'s' * (column.n_unique != 1)}; at least 2 are "
        "needed to tell cells apart. Choose another column."
    )


class Trainings(Work):
    """The references in the making on this server, as one tab follows them."""

    offered: Any = param.Parameter(default=(), doc="The references on offer, each a `references.Listed`.")
    build = param.ClassSelector(class_=Job, default=None, allow_None=True, doc="The work on a reference to be told of.")

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self.offered = references.listed()

    def train(self, spec: Making) -> None:
        """Train or extend a reference; it goes on when the page is closed, and every tab tells of it."""
        self._take(lambda: library.queue().submit(spec))

    def cancel_build(self) -> None:
        """Stop the training in view."""
        job = self.build
        if job is not None:
            self._take(lambda: library.queue().cancel(job.id))

    def retry_build(self) -> None:
        """Do the training in view once more."""
        job = self.build
        if job is not None and job.state.is_over:
            self._take(lambda: library.queue().retry(job.id))

    def follow_builds(self) -> None:
        """Read the record of the training in view, or of the next one under way."""
        self._take(self._read_build)

    def built(self, folder: Path) -> None:  # noqa: ARG002  (a session asks whether it is the one in use)
        """Offer a reference that has just been written."""
        self.offered = references.listed()

    def _take(self, find: Any) -> None:
        try:
            found = find()
        except AtlasError as problem:
            self.report("build", problem)
            return
        self.forget("build")
        before, self.build = self.build, found
        ended = found is not None and found.state is JobState.DONE
        if ended and (before is None or not before.state.is_over) and isinstance(found.spec, Making):
            self.built(Path(found.spec.out))

    def _read_build(self) -> Job | None:
        queue, known = library.queue(), self.build
        if known is not None and not known.state.is_over:
            return queue.get(known.id)
        under_way = queue.jobs(JobState.RUNNING, JobState.QUEUED)
        return next((queue.get(job.id) for job in under_way if isinstance(job.spec, Making)), known)
