"""How far a reference in the making is: the same few lines on every screen from which one can be started."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.job_status import JobStatus
from components.notice import Notice
from explorer.app import look
from explorer.app.stored import library, references
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import View
from explorer.app.views.job_log import JobLog
from explorer.jobs.queue import Job, JobState
from explorer.jobs.specs import ExtendSpec, Making
from explorer.methods import METHODS


class TrainingView(View):
    """The work in view, with its log; hidden while there is none.

    Parameters
    ----------
    extends
        Whether to tell of extended references alone, in a card without a heading of its own.
    """

    def __init__(self, session: Session, *, extends: bool = False) -> None:
        super().__init__(session)
        self._told_of: type[ExtendSpec] | UnionType = ExtendSpec if extends else Making
        self._job = JobStatus()
        self._job.param.watch(lambda _: session.cancel_build(), "cancel")
        self._job.param.watch(lambda _: session.retry_build(), "retry")
        self._job_box = pn.Column(self._job, sizing_mode="stretch_width", margin=0)
        self._words = look.html(margin=(6, 0, 0, 0))
        self._log = JobLog()
        self._problem = Notice("", kind="error")
        self._use = pmui.Button(label="Open this reference", variant="contained", margin=(10, 0, 0, 0), visible=False)
        self._use.on_click(self._open)
        title = look.html("<h2>Reference in the making</h2>", margin=(0, 0, 10, 0), visible=not extends)
        self.panel = pn.Column(
            title, self._problem, self._job_box, self._words, self._use, self._log.panel,
            styles={} if extends else look.CARD, sizing_mode="stretch_width", margin=(0, 0, 16, 0), visible=False,
        )  # fmt: skip
        self.watch(self._draw, ["build", "status", "reference", "offered"])
        self._draw()

    def _open(self, _: Any) -> None:
        session, job = self.session, self.session.build
        if job is not None and isinstance(job.spec, Making):
            session.leave()
            session.choose_reference(Path(job.spec.out))
            session.step = "home"

    def _draw(self) -> None:
        session = self.session
        job = session.build if session.build is not None and isinstance(session.build.spec, self._told_of) else None
        told = session.standing("build")
        self._problem.text = told.text if told.phase is Phase.FAILED else ""
        self._job_box.visible = job is not None
        self.panel.visible = job is not None or bool(self._problem.text)
        if job is None or not isinstance(job.spec, Making):
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


def title_of(spec: Making) -> str:
    """What is made, in a few words."""
    if isinstance(spec, ExtendSpec):
        return f"Named cells of {spec.name or Path(spec.result).stem} join {references.title_of(Path(spec.reference))}"
    methods = " and ".join(METHODS[name].card.title if name in METHODS else name for name in spec.methods)
    return f"{methods} on {spec.title or references.title_of(Path(spec.reference))}"


def _words(job: Job) -> str:
    if job.state is JobState.DONE and isinstance(job.spec, ExtendSpec):
        return "Written as a reference of its own, in the list on Home; the one that was copied is as it was."
    if job.state is JobState.DONE:
        return "Trained. The reference is in the list, and its models can be chosen under Map."
    if job.state.is_over:
        return ""
    ahead = library.queue().ahead(job.id) if job.state is JobState.QUEUED else 0
    before = f"{ahead} job{'s' if ahead > 1 else ''} before this one. " if ahead else ""
    return f"{before}You may close this page; the work goes on. Mappings wait until it is done."
