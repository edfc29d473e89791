"""The project's jobs, one below the other: how far each is, its log, a way to stop it and to run it again."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import panel as pn
import panel_material_ui as pmui

from components.job_status import JobStatus, duration
from explorer.app import look
from explorer.app.before.choices import how_words
from explorer.app.stored import library
from explorer.app.stored.library import Outcome
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import View
from explorer.app.views.job_log import JobLog
from explorer.jobs.queue import Job, JobState
from explorer.jobs.specs import MapSpec


class QueueView(View):
    """One `JobRow` a job of the project, in the order in which they were asked for."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._rows: dict[str, JobRow] = {}
        self._column = pn.Column(sizing_mode="stretch_width", margin=0)
        self.panel = self._column
        self.watch(self._draw, ["jobs", "outcomes", "outcome", "status", "reference"])
        self._draw()

    def _draw(self) -> None:
        session = self.session
        self._rows = {name: self._rows.get(name) or JobRow(session, name) for name in session.jobs}
        for row in self._rows.values():
            row.draw()
        wanted = [row.panel for row in self._rows.values()]
        if self._column.objects != wanted:
            self._column.objects = wanted


class JobRow:
    """One job of the project.

    Parameters
    ----------
    session, method
        Whose job it is.
    """

    def __init__(self, session: Session, method: str) -> None:
        self._session, self._method = session, method
        self._job = JobStatus()
        self._job.param.watch(lambda _: session.cancel(method), "cancel")
        self._job.param.watch(lambda _: session.retry(method), "retry")
        self._words = look.html(margin=(2, 0, 0, 0))
        self._log = JobLog()
        self._show = pmui.Button(label=f"Show {title_of(method)}", variant="outlined", size="small",
                                 margin=(4, 0, 0, 12), align="center")  # fmt: skip
        self._show.on_click(self._explore)
        status = pn.Row(self._job, self._show, sizing_mode="stretch_width", margin=0)
        self.panel = pn.Column(status, self._words, self._log.panel, sizing_mode="stretch_width", margin=(0, 0, 14, 0))

    def _explore(self, _: object) -> None:
        self._session.show_result(self._method)
        self._session.step = "explore"

    def draw(self) -> None:
        """Show how the job stands now."""
        session, job = self._session, self._session.jobs[self._method]
        outcome = session.outcomes.get(self._method)
        reference = session.reference.title if session.reference is not None else ""
        self._job.param.update(
            title=f"{title_of(self._method)}{how(job.mapping)} on {reference}",
            state=str(job.state), stage=job.stage, fraction=job.fraction, left=job.left,
            error=session.in_her_words(job.error) if job.error else None,
        )  # fmt: skip
        words = f"{_waits(job)} {_answered(outcome)}".strip() or self._trouble()
        self._words.object = f'<p class="soft small">{look.text(words)}</p>' if words else ""
        self._log.display(job.log)
        self._show.visible = outcome is not None and len(session.jobs) > 1

    def _trouble(self) -> str:
        """Why a result that was written cannot be shown."""
        told = self._session.standing(f"result of {self._method}")
        return told.text if told.phase is Phase.FAILED else ""


def how(spec: MapSpec) -> str:
    """How cells are mapped where that is not as usual, in brackets; empty for as usual."""
    words = how_words(spec.method, asdict(spec))
    return f" ({words})" if words else ""


def _waits(job: Job) -> str:
    ahead = library.queue().ahead(job.id) if job.state is JobState.QUEUED else 0
    return f"{ahead} job{'s' * (ahead > 1)} before this one." if ahead else ""


def _answered(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    result, first = outcome.result, outcome.result.labels.first
    unknown, took = int(first.unknown.sum()), sum(result.provenance.seconds.values())
    return (
        f"{result.n_cells:,} cells, {unknown:,} ({look.share(unknown, result.n_cells)}) without a label; median "
        f"confidence {np.median(first.confidence):.2f} at {first.level}; {took_words(took)}."
    )


def took_words(seconds: float) -> str:
    """How long something took."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
