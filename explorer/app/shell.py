"""The page: the steps across the top, the view in front, the address, and the pulse that reads the job's record."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import panel as pn
import panel_material_ui as pmui
import param
from bokeh.models import CustomJS
from panel.io import PeriodicCallback

from components.notice import Notice
from components.page_root import PageRoot
from components.steps import Steps
from explorer.app import look, memory
from explorer.app.stored import library
from explorer.app.tab.remembering import STEPS
from explorer.app.tab.session import Session
from explorer.app.tab.status import NOTHING, Phase
from explorer.app.turns import Turns
from explorer.app.views import VIEWS
from explorer.app.views.base import View
from explorer.app.views.tools import ToolsView
from explorer.beside import Signal
from explorer.jobs.queue import JobState
from explorer.settings import ASSETS, settings

PULSE_MS = 700
THEME_KEPT = "atlas-explorer theme"
TITLES = {"home": "Home", "data": "Data", "map": "Map", "quality": "Quality", "explore": "Explore", "export": "Figures"}
QUALITY_STATES = {Signal.GOOD: ("ready", "ok"), Signal.DOUBTFUL: ("mind", "look"), Signal.BAD: ("problem", "poor")}

RECONNECT_JS = (ASSETS / "reconnect.js").read_text(encoding="utf-8")


class Shell:
    """One tab of the app.

    Attributes
    ----------
    page
        What is served.
    session
        The person's choices.
    """

    def __init__(self) -> None:
        document = pn.state.curdoc
        self._turns = Turns(document, self._own_up) if document is not None else None
        self.session = Session(self._turns) if self._turns is not None else Session()
        self._views: dict[str, View] = {}
        self._pulse: PeriodicCallback | None = None
        self._steps = Steps(steps=self._told(), active=self.session.step)
        self._steps.param.watch(self._go, "active")
        # a length of its own, since the header's row does not let what it holds get narrower
        self._project = look.html(sizing_mode=None, height=20, align="center", margin=(0, 6),
                                  styles={"width": "clamp(124px, 100vw - 1190px, 340px)"})  # fmt: skip
        self._machine = look.html(sizing_mode=None, width=96, height=24, align="center")
        self._root = PageRoot(memory=THEME_KEPT, width=0, height=0, margin=0)
        self._root.param.watch(self._follow_address, "went_to")
        self._root.param.watch(lambda _: self.session.undo(), "undo")
        self._root.param.watch(lambda _: self.session.redo(), "redo")
        self._undo = pmui.IconButton(icon="undo", description="Undo the last choice (Ctrl-Z)", **_TOOL)
        self._undo.on_click(lambda _: self.session.undo())
        self._redo = pmui.IconButton(icon="redo", description="Redo it (Ctrl-Y)", **_TOOL)
        self._redo.on_click(lambda _: self.session.redo())
        self._tools = ToolsView(self.session)
        self._problem = Notice("", kind="error")
        self._problem_row = pn.Row(self._problem, sizing_mode="stretch_width", margin=(4, 16), visible=False)
        self._body = pn.Column(self._problem_row, sizing_mode="stretch_both", margin=0)
        self.page = pmui.Page(
            main=[self._body],
            header=[self._header()],
            theme_config=look.MATERIAL,
            raw_css=[look.page_css()],
            favicon=look.LOGO,
            sx=_PAGE_SX,
            busy_indicator=None,
        )
        _stop_following_busy(self.page)
        self.page.param.watch(self._darken, "dark_theme")
        self._root.param.watch(lambda event: setattr(self.page, "dark_theme", event.new), "dark")
        self._watch(self._show, "step")
        self._watch(self._tell, "step", "status", "project", "preflight", "jobs", "outcome", "reference")
        self._watch(self._tell_steps_back, "can_undo", "can_redo")
        self._watch(self._write_address, "step", "project")
        if document is not None:
            # Panel keeps the handler by document: one that held this page, and with it the document, would keep
            # both for ever
            own_up = weakref.WeakMethod(self._own_up)
            pn.config.exception_handler = lambda problem: (call := own_up()) and call(problem)
            document.js_on_event("connection_lost", CustomJS(code=RECONNECT_JS))
            pn.state.onload(self._begin)
            pn.state.on_session_destroyed(self._destroy)
            self._start()

    def _watch(self, react: Callable[[], None], *names: str) -> None:
        self.session.param.watch(lambda *_: self.session.soon(react), list(names))

    def _header(self) -> pn.viewable.Viewable:
        logo = look.LOGO.read_text(encoding="utf-8")
        brand = look.html(
            f'<div class="brand">{logo}<span>Atlas Explorer</span></div>', sizing_mode=None, width=158, height=48
        )
        return pn.Row(brand, self._steps, pn.HSpacer(), self._project, self._undo, self._redo, self._tools.panel,
                      self._machine, self._root, margin=0, height=48, sizing_mode="stretch_width")  # fmt: skip

    # beginning and end

    def _start(self) -> None:
        """Take up what the address names, or begin at Home."""
        location = pn.state.location
        search = location.search or "" if location is not None else ""
        project, step = asked_for(search)
        self.session.step = step or "home"
        if link := link_in(search):
            self.session.open_link(link)
        elif project:
            self.session.resume(project, step)
        else:
            self.session.choose_reference(settings().references[0])
        self._show()

    def _begin(self) -> None:
        """The page is there: use the answers that came meanwhile, and start the pulse."""
        if self._turns is not None:
            self._turns.open()
        self._pulse = pn.state.add_periodic_callback(self._beat, period=PULSE_MS)

    def _own_up(self, problem: Exception) -> None:
        """Say that something went wrong which nobody foresaw; the page goes on."""
        self.session.report("page", problem)

    def _destroy(self, _: Any) -> None:
        if self._turns is not None:
            self._turns.close()
        if self._pulse is not None:
            self._pulse.stop()
        for view in (*self._views.values(), self._tools):
            view.destroy()
        self._views.clear()
        memory.give_back_soon()

    def _beat(self) -> None:
        """Read the durable records: this project's job, and how much is queued on this machine."""
        self.session.poll()
        self.session.soon(self._tell_machine)

    def _darken(self, event: param.parameterized.Event) -> None:
        self.session.dark = self._root.dark = event.new

    # steps and views

    def _go(self, event: param.parameterized.Event) -> None:
        self.session.step = event.new

    def _show(self) -> None:
        step = self.session.step
        self._steps.active = step
        if step not in self._views:
            self._views[step] = VIEWS[step](self.session)
            self._body.append(self._views[step].panel)
        # Hidden rather than taken out: a figure that leaves the page and returns no longer tells its size.
        for name, view in self._views.items():
            view.panel.visible = name == step

    def _told(self) -> list[dict[str, str]]:
        told = step_states(self.session)
        return [{"key": step, "label": TITLES[step], "state": told[step][0], "detail": told[step][1]} for step in STEPS]

    def _tell(self) -> None:
        told = self._told()
        if told != self._steps.steps:
            self._root.said = changes(self._steps.steps, told) or self._root.said
            self._steps.steps = told
        session = self.session
        if session.standing("project").phase is Phase.FAILED and session.standing("reference") == NOTHING:
            session.choose_reference(settings().references[0])
        topics = ("page", "project", "job") if session.step == "home" else ("page", "project", "job", "reference")
        problems = [session.standing(topic) for topic in topics]
        self._problem.text = " ".join(status.text for status in problems if status.phase is Phase.FAILED)
        self._problem_row.visible = bool(self._problem.text)
        project = self.session.project
        title = look.text(project.title) if project else ""
        self._project.object = f'<div class="clip right" title="{title}">{title}</div>' if title else ""

    def _tell_machine(self) -> None:
        waiting = len(library.queue().jobs(JobState.QUEUED, JobState.RUNNING))
        work = f"{waiting} job{'s' if waiting > 1 else ''}" if waiting else "idle"
        shown = (
            f'<div class="right"><span class="badge{" on" if waiting else ""}">{library.device()} · {work}</span></div>'
        )
        if shown != self._machine.object:
            self._machine.object = shown

    def _tell_steps_back(self) -> None:
        self._undo.disabled, self._redo.disabled = not self.session.can_undo, not self.session.can_redo

    # address

    def _write_address(self) -> None:
        # while its project is opened a page keeps its address, else Back would lead to one without the project
        if pn.state.location is not None and not self.session.is_opening:
            pn.state.location.search = self._address()

    def _address(self) -> str:
        asked = {"project": self.session.project.id} if self.session.project else {}
        if self.session.step != "home" or asked:
            asked["step"] = self.session.step
        return f"?{urlencode(asked)}" if asked else ""

    def _follow_address(self, event: param.parameterized.Event) -> None:
        """Go where the browser's Back and Forward lead."""
        if link := link_in(event.new["search"]):
            self.session.open_link(link)
            return
        project, step = asked_for(event.new["search"])
        known = self.session.project.id if self.session.project else ""
        if project and project != known:
            self.session.resume(project, step)
            return
        if not project and known:
            self.session.leave()
        self.session.step = step or "home"


def _stop_following_busy(page: pmui.Page) -> None:
    """Part a page from Panel's own busy state, which would keep it in memory for ever.

    Nothing here shows it, and following it costs two messages an event.
    """
    for watcher in pn.state.param.watchers.get("busy", {}).get("value", []):
        if getattr(getattr(watcher.fn, "__self__", None), "self", None) is page:
            pn.state.param.unwatch(watcher)


def asked_for(search: str) -> tuple[str, str]:
    """The project and the step that an address names; "" for none."""
    asked = parse_qs(search.lstrip("?"))
    project, step = (asked.get(key, [""])[0] for key in ("project", "step"))
    return project, step if step in STEPS else ""


def link_in(search: str) -> str:
    """The id of the shared view that an address names; "" for none."""
    return parse_qs(search.lstrip("?")).get("view", [""])[0]


def changes(before: list[dict[str, str]], now: list[dict[str, str]]) -> str:
    """What has come to an end or begun, for those who do not see the steps: "Map: done. Quality: ok."."""
    news = [new for old, new in zip(before, now, strict=True) if new["state"] not in (old["state"], "todo")]
    return " ".join(f"{step['label']}: {step['detail']}." for step in news)


def step_states(session: Session) -> dict[str, tuple[str, str]]:
    """State and a few words for each step; states are those of `components.steps.STATES`."""
    return {
        "home": ("todo", "start here" if session.project is None else "projects"),
        "data": _data_state(session),
        "map": _map_state(session),
        "quality": _quality_state(session),
        "explore": _explore_state(session),
        "export": ("ready", "files ready") if session.outcome else ("todo", "after mapping"),
    }


def _data_state(session: Session) -> tuple[str, str]:
    status = session.standing("file")
    if status.phase is Phase.RUNNING:
        return "running", "reading"
    if status.phase is Phase.FAILED or (session.preflight is not None and not session.preflight.is_ready):
        return "problem", "needs attention"
    if session.preflight is not None:
        n = session.preflight.inspection.n_cells
        return "ready", f"{n:,} cell{'s' * (n != 1)}"
    return "todo", "no file yet"


def _map_state(session: Session) -> tuple[str, str]:
    jobs = tuple(session.jobs.values())
    states = [job.state for job in jobs]
    done = states.count(JobState.DONE)
    of = f"{done} of {len(jobs)} " if len(jobs) > 1 else ""
    if session.under_way:
        fraction = sum(job.fraction for job in session.under_way) / len(session.under_way)
        is_running = JobState.RUNNING in states
        return "running", f"{of}done" if of else f"{round(100 * fraction)} %" if is_running else "waiting"
    if JobState.FAILED in states:
        return "problem", f"{of}done" if done else "failed"
    if done:
        return "ready", f"{of}done" if done < len(jobs) else f"{done} models" if of else "done"
    return "todo", "cancelled" if jobs else "not started"


def _quality_state(session: Session) -> tuple[str, str]:
    if session.outcome is None:
        return "todo", "after mapping"
    verdict = session.outcome.result.verdict
    return QUALITY_STATES[verdict.signal] if verdict is not None else ("ready", "not judged")


def _explore_state(session: Session) -> tuple[str, str]:
    if session.outcome is not None:
        return "ready", f"{session.outcome.result.n_cells:,} mapped"
    return ("ready", "reference") if session.reference is not None else ("todo", "")


_TOOL: dict[str, Any] = {"size": "small", "margin": 0, "align": "center", "disabled": True}
_PAGE_SX: dict[str, Any] = {
    ".MuiAppBar-root": {
        "backgroundColor": "background.paper", "color": "text.primary", "borderBottom": "1px solid",
        "borderColor": "divider", "backgroundImage": "none",
    },
    ".MuiToolbar-root": {"minHeight": "48px !important", "height": "48px", "padding": "0 16px !important"},
}  # fmt: skip
