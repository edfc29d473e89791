"""How far a training is: the same few lines on every screen from which one can be started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.job_status import JobStatus
from components.notice import Notice
from explorer.app import library, look, references
from explorer.app.session import Session
from explorer.app.status import Phase
from explorer.app.views.base import View
from explorer.app.views.job_log import JobLog
from explorer.jobs.queue import BuildSpec, Job, JobState
from explorer.methods import METHODS


class TrainingView(View):
    """The training in view, with its log; hidden while there is none."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._job = JobStatus()
        self._job.param.watch(lambda _: session.cancel_build(), "cancel")
        self._job.param.watch(lambda _: session.retry_build(), "retry")
        self._job_box = pn.Column(self._job, sizing_mode="stretch_width", margin=0)
        self._words = look.html(margin=(6, 0, 0, 0))
        self._log = JobLog()
        self._problem = Notice("", kind="error")
        self._use = pmui.Button(label="Open this reference", variant="contained", margin=(10, 0, 0, 0), visible=False)
        self._use.on_click(self._open)
        self.panel = pn.Column(
            look.html("<h2>Training</h2>", margin=(0, 0, 10, 0)), self._problem, self._job_box, self._words, self._use,
            self._log.panel, styles=look.CARD, sizing_mode="stretch_width", margin=(0, 0, 16, 0), visible=False,
        )  # fmt: skip
        self.watch(self._draw, ["build", "status", "reference", "offered"])
        self._draw()

    def _open(self, _: Any) -> None:
        session, job = self.session, self.session.build
        if job is not None and isinstance(job.spec, BuildSpec):
            session.leave()
            session.choose_reference(Path(job.spec.out))
            session.step = "home"

    def _draw(self) -> None:
        session, job = self.session, self.session.build
        told = session.standing("build")
        self._problem.text = told.text if told.phase is Phase.FAILED else ""
        self._job_box.visible = job is not None
        self.panel.visible = job is not None or bool(self._problem.text)
        if job is None or not isinstance(job.spec, BuildSpec):
            return
        self._job.param.update(
            title=title_of(job.spec), state=str(job.state), stage=job.stage, fraction=job.fraction, left=job.left,
            error=job.error,
        )  # fmt: skip
        words = _words(job)
        self._words.object = f'<p class="soft small">{look.text(words)}</p>' if words else ""
        in_use = session.reference is not None and session.reference.folder == Path(job.spec.out)
        self._use.visible = job.state is JobState.DONE and not in_use
        self._log.display(job.log)


def title_of(spec: BuildSpec) -> str:
    """What a training does, in a few words."""
    methods = " and ".join(METHODS[name].card.title if name in METHODS else name for name in spec.methods)
    return f"{methods} on {spec.title or references.title_of(Path(spec.reference))}"


def _words(job: Job) -> str:
    if job.state is JobState.DONE:
        return "Trained. The reference is in the list, and its models can be chosen under Map."
    if job.state.is_over:
        return ""
    ahead = library.queue().ahead(job.id) if job.state is JobState.QUEUED else 0
    before = f"{ahead} job{'s' if ahead > 1 else ''} before this one. " if ahead else ""
    return f"{before}You may close this page; the work goes on. Mappings wait until it is done."
