"""What every view is: reads the session, writes choices, and draws "not yet", "working" and "failed" alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.notice import Notice
from explorer.app import look
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase, Status


class View:
    """One step of the work.

    Attributes
    ----------
    panel
        What is shown; made once, kept while the tab is open.
    """

    panel: pn.viewable.Viewable

    def __init__(self, session: Session) -> None:
        self.session = session
        self._watchers: list[Any] = []

    def watch(self, react: Callable[[], None], names: Sequence[str]) -> None:
        """Draw anew, soon, when one of the session's parameters has changed, until the view is destroyed."""
        self._watchers.append(self.session.param.watch(lambda *_: self.session.soon(react), list(names)))

    def destroy(self) -> None:
        """Let go of the session."""
        for watcher in self._watchers:
            self.session.param.unwatch(watcher)
        self._watchers = []


def sheet(*parts: Any) -> pn.viewable.Viewable:
    """Parts one below the other on a page that scrolls, no wider than can be read."""
    column = pn.Column(
        *parts, pn.Spacer(height=32), max_width=1120, sizing_mode="stretch_width",
        styles={"margin": "0 auto", "width": "100%", "max-height": "none"},
    )  # fmt: skip
    return pn.Column(column, sizing_mode="stretch_both", styles=look.SCROLL, margin=0)


def refill(menu: pmui.Select, options: Mapping[str, Any], value: Any, **more: Any) -> None:
    """Offer other options, by their words, and show the one chosen.

    The page knows the chosen option by its words alone: where these change and the value does not, it is told anew.
    """
    is_reworded = dict(options) != menu.options and value == menu.value
    menu.param.update(options=dict(options), value=value, **more)
    if is_reworded:
        menu.param.trigger("value")


class Standing(pn.viewable.Viewer):
    """The one drawing of where something stands; hidden once it is ready.

    Parameters
    ----------
    nothing
        What to say while it was not asked for; empty hides it.
    """

    def __init__(self, nothing: str = "", **params: Any) -> None:
        super().__init__(**params)
        self._nothing = nothing
        self._notice = Notice("")
        self._wait = look.html()
        self._column = pn.Column(self._wait, self._notice, sizing_mode="stretch_width", margin=0)
        self.display(Status(Phase.NOTHING))

    def display(self, status: Status) -> None:
        """Draw a status. What is quickly done is never seen to run: the style holds the words back at first."""
        is_running = status.phase is Phase.RUNNING
        words = f'<div class="wait" role="status"><i></i><span>{look.text(status.text)} …</span></div>'
        self._wait.object = words if is_running else ""
        said = {Phase.NOTHING: ("info", self._nothing), Phase.FAILED: ("error", status.text),
                Phase.PARTIAL: ("warn", status.text)}  # fmt: skip
        kind, text = said.get(status.phase, ("info", ""))
        self._notice.param.update(kind=kind, text=text)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._column
