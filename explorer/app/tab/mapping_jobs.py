"""Mapping from the page: which methods shall map a project's cells and how, their jobs, and their results.

A project has one job and one result a method; one of them is in view. Knows no widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import param

from explorer.app.before import choices
from explorer.app.before.choices import Traits, Way
from explorer.app.before.preflight import Preflight
from explorer.app.before.remedies import Reading
from explorer.app.stored import library
from explorer.app.stored.library import Outcome
from explorer.app.stored.projects import Project
from explorer.app.tab.status import NOTHING, Phase
from explorer.app.tab.work import Work
from explorer.errors import AtlasError
from explorer.flow import Reference
from explorer.jobs.queue import Job, JobState
from explorer.jobs.specs import MapSpec
from explorer.methods import METHODS
from explorer.methods.base import INSTANT
from explorer.reference import has_model_of
from explorer.settings import settings


class Mappings(Work):
    """The mappings of one project as one tab chooses and follows them.

    `job` is that of `method`, the one in view; `jobs` and `outcomes` hold those of all methods, as they were mapped.
    """

    reference = param.ClassSelector(class_=Reference, default=None, allow_None=True)
    traits = param.ClassSelector(class_=Traits, default=Traits(), doc="What the reference allows.")
    project = param.ClassSelector(class_=Project, default=None, allow_None=True)
    preflight = param.ClassSelector(class_=Preflight, default=None, allow_None=True)
    jobs: Any = param.Dict(default={}, doc="The latest `Job` of each method that was asked.")
    outcomes: Any = param.Dict(default={}, doc="The opened `Outcome` of each method that has answered.")
    job = param.ClassSelector(class_=Job, default=None, allow_None=True, doc="The job of the method in view.")

    matrix = param.String(default="", doc="Which matrix of the file to use; empty to let the program choose.")
    gene_names = param.String(default="", doc="var column that names the genes; empty for all that may.")
    batch = param.String(default="", doc="obs column of the query's batches; empty for one batch.")
    own_label = param.String(default="", doc="obs column of the labels the query brings; empty for none.")
    orthologs = param.Boolean(default=False, doc="Read mouse genes as their human orthologues.")
    refit_shared = param.Boolean(default=False, doc="Refit the methods on the genes shared, where those are few.")
    method = param.String(default="", doc="Name of the method in view.")
    methods: Any = param.List(default=[], item_type=str, doc="Names of the methods that are to map.")
    modes: Any = param.Dict(default={}, doc="Name of the way to map, by method; a method's first where none is named.")
    taught = param.String(default="", doc="obs column of the query's labels for modes that learn them; empty for none.")
    proteins = param.String(default="", doc="obsm table of proteins to place cells by as well; empty for none.")
    hierarchical = param.Boolean(default=False, doc="Label coarse levels first, and finer ones within them.")
    independent = param.Boolean(default=False, doc="Label each level by itself; they may contradict.")
    unknown = param.String(default="", doc="Rule of what is too far from its label; empty for the usual one.")
    refine = param.Boolean(default=False, doc="Let labels follow the majority of a cell's neighbours in the query.")

    def _ask(self, do: Callable[[], None]) -> None:
        """Do something quick with the durable records, and say so if they refuse."""
        try:
            do()
        except AtlasError as problem:
            self.report("job", problem)
        else:
            self.forget("job")

    # which methods, and how

    def choose_methods(self, methods: Sequence[str]) -> None:
        """Map by these methods; the choices on screen are those of one of them."""
        known = self.reference.methods if self.reference is not None else ()
        self.methods = [name for name in known if name in methods]
        if self.methods and self.method not in self.methods and self.method not in self.jobs:
            self.method = self._first_of(self.methods)

    def _first_of(self, methods: Sequence[str]) -> str:
        """The method to look at first: the recommended one if it is among them."""
        best = choices.recommended(self.reference) if self.reference is not None else ""
        return best if best in methods else methods[0]

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways in which the method in view maps, each with what speaks against it for this file."""
        return self.ways_of(self.method)

    @property
    def way(self) -> str:
        """Name of the way in which the method in view would map."""
        return self.way_of(self.method)

    def ways_of(self, method: str) -> tuple[Way, ...]:
        """The ways in which a method maps, each with what speaks against it for this file."""
        if self.reference is None:
            return ()
        return choices.ways(self.reference, self.traits, method, self.preflight)

    def way_of(self, method: str) -> str:
        """Name of the way to map: the one chosen, or as trained where that is not open to this file."""
        open_ones = [way.mode.name for way in self.ways_of(method) if not way.refusal]
        chosen = self.modes.get(method, "")
        return chosen if chosen in open_ones else INSTANT.name

    def choose_mode(self, mode: str, method: str = "") -> None:
        """Map in another way, by a method or by the one in view."""
        self.modes = {**self.modes, method or self.method: mode}

    def choose_how(self, **wanted: Any) -> None:
        """Change `hierarchical`, `independent`, `unknown`, `refine`, `taught` or `proteins`."""
        self.param.update(**wanted)

    @property
    def reading(self) -> Reading:
        """How the file is read."""
        return Reading(self.matrix or None, self.gene_names or None, self.orthologs)

    @property
    def spec(self) -> MapSpec | None:
        """What mapping by the method in view would do; `None` while there is nothing that can be mapped."""
        return self.spec_for(self.method)

    def spec_for(self, method: str) -> MapSpec | None:
        """What mapping by a method would do; `None` while there is nothing that can be mapped."""
        found = self.preflight
        if self.project is None or self.reference is None or found is None or not found.is_ready:
            return None
        if self.standing("file").phase is Phase.FAILED:  # with the choices as they are now
            return None
        way = self.way_of(method)
        learns = any(each.mode.name == way and each.mode.learns_labels for each in self.ways_of(method))
        return MapSpec(
            query=self.project.query,
            reference=str(self.reference.folder),
            method=method,
            batch=self.batch or None,
            orthologs=self.orthologs,
            refit_shared=self.refit_shared,
            matrix=self.matrix or None,
            gene_names=self.gene_names or None,
            device=settings().device,
            name=self.project.title,
            mode=None if way == INSTANT.name else way,
            hierarchical=self.hierarchical and bool(self.traits.nested),
            independent=self.independent and bool(self.traits.nested),
            unknown=self.unknown or None,
            refine=self.refine,
            own_labels=self.taught or None if learns else None,
            proteins=self.proteins or None if choices.places_by_proteins(self.reference, method) else None,
        )

    # jobs

    @property
    def is_mapping(self) -> bool:
        """Whether the job in view waits or runs."""
        return self._is_under_way(self.method)

    @property
    def under_way(self) -> tuple[Job, ...]:
        """The project's jobs that wait or run."""
        return tuple(job for job in self.jobs.values() if not job.state.is_over)

    @property
    def is_outdated(self) -> bool:
        """Whether the model was built anew after the result in view: its places mean nothing then."""
        outcome = self.outcomes.get(self.method)
        return outcome is not None and self._is_outdated(outcome)

    @property
    def to_do(self) -> tuple[MapSpec, ...]:
        """What Start would do: map by the chosen methods that have not answered to the choices as they are now.

        Where all of them have, all map again; what waits or runs is left alone.
        """
        chosen = sorted(self.methods, key=lambda name: name != self._first_of(self.methods))
        wanted = [spec for name in chosen if (spec := self.spec_for(name)) is not None]
        free = [spec for spec in wanted if not self._is_under_way(spec.method)]
        unanswered = [spec for spec in free if not self.is_answered(spec)]
        return tuple(unanswered or (free if len(free) == len(wanted) else ()))

    def is_answered(self, spec: MapSpec) -> bool:
        """Whether the project has the result that mapping again would give."""
        job, outcome = self.jobs.get(spec.method), self.outcomes.get(spec.method)
        if job is None or job.state is not JobState.DONE or differ(job.mapping, spec):
            return False
        return outcome is None or not self._is_outdated(outcome)

    def start(self) -> None:
        """Map by the methods chosen, but for what is being done already, here or in another tab."""
        self._ask(self._read_jobs)
        specs = self.to_do
        if specs:
            self._ask(lambda: self._take_on([library.queue().submit(spec) for spec in specs]))

    def cancel(self, method: str = "") -> None:
        """Stop the job of a method, or of the one in view."""
        job = self.jobs.get(method or self.method)
        if job is not None:
            self._ask(lambda: self._follow({**self.jobs, job.mapping.method: library.queue().cancel(job.id)}))

    def retry(self, method: str = "") -> None:
        """Do the job of a method, or of the one in view, once more."""
        job = self.jobs.get(method or self.method)
        if job is not None and job.state.is_over:
            self._ask(lambda: self._take_on([library.queue().retry(job.id)]))

    def follow_jobs(self) -> None:
        """Read the records of the project's jobs, and open what is done."""
        self._ask(self._read_jobs)
        for method, job in self.jobs.items():
            if job.state is JobState.DONE and self._lacks(method, job):
                self._open(method, job)

    def _take_on(self, jobs: Sequence[Job]) -> None:
        """Make jobs the project's own, instead of those that the same methods had."""
        by_method = {job.mapping.method: job for job in jobs}
        before = [self.jobs[name].id for name in by_method if name in self.jobs]
        if self.project is not None:
            self.project = library.projects().answer(self.project.id, [job.id for job in jobs], before)
        if self.method not in self.outcomes and self.method not in by_method and not self.is_mapping:
            self.method = next(iter(by_method))
        self._follow({**self.jobs, **by_method})

    def _read_jobs(self) -> None:
        if self.project is None:
            return
        known = library.projects().get(self.project.id).jobs  # another tab may have started newer ones
        jobs = [library.queue().get(id) for id in known]
        self._follow({job.mapping.method: job for job in jobs})

    def _follow(self, jobs: Mapping[str, Job]) -> None:
        """Take in how the jobs stand; what a new job answers anew is put away."""
        if jobs == self.jobs:
            return
        anew = [name for name in {**self.jobs, **jobs} if _id(self.jobs.get(name)) != _id(jobs.get(name))]
        self.forget(*(self._topic(name) for name in anew))
        kept = {name: outcome for name, outcome in self.outcomes.items() if name not in anew}
        self.param.update(jobs=dict(jobs), outcomes=kept, job=jobs.get(self.method))

    def _topic(self, method: str) -> str:
        return "result" if method == self.method else f"result of {method}"

    def _lacks(self, method: str, job: Job) -> bool:
        opened = self.outcomes.get(method)
        return (opened is None or opened.job != job.id) and self.standing(self._topic(method)) == NOTHING

    def _open(self, method: str, job: Job) -> None:
        topic, words = self._topic(method), "Opening the result"
        self.attempt(topic, words, lambda: library.outcome(job.id), lambda found: self._use(method, found))

    def _use(self, method: str, found: Outcome) -> None:
        if _id(self.jobs.get(method)) == found.job:
            self.outcomes = {**self.outcomes, method: found}

    def _is_under_way(self, method: str) -> bool:
        job = self.jobs.get(method)
        return job is not None and not job.state.is_over

    def _is_outdated(self, outcome: Outcome) -> bool:
        if self.reference is None:
            return False
        result = outcome.result
        return not has_model_of(self.reference, result.method, result.provenance.reference_checksum)


def _id(job: Job | None) -> str | None:
    return job.id if job is not None else None


def differ(done: MapSpec, wanted: MapSpec) -> bool:
    """Whether two mappings differ in a choice; a reference that got a further method is the same reference."""
    return replace(done, reference=wanted.reference) != wanted


def title_of(method: str) -> str:
    """What a method is called on screens."""
    return METHODS[method].card.title if method in METHODS else method
