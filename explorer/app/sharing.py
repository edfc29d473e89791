"""A view that can be sent to somebody: what a person sees, kept as it was under a short id. Knows no widgets.

A project changes as people work on it; what a link leads to never does. Pins stay the project's own: whoever opens a
link must not lose a figure to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import param

from explorer.app import library
from explorer.app.pins import packed, unpacked
from explorer.app.projects import Project

if TYPE_CHECKING:
    from explorer.app.session import Session

FIGURE = "pins"
SEEN = ("selection", "hidden", "extent")


class Linked(param.Parameterized):
    """What a link that was opened still has to show, part of a session."""

    link = param.Dict(default={}, doc="Some of `SEEN`, until their cells are there.")
    go_to = param.Parameter(default=None, doc="x0, x1, y0, y1 that the map turns to when it is drawn next.")


def share(session: Session) -> str:
    """Keep what is seen now; the id under which `shared` finds it, and "" while there is no project to show."""
    session.save()
    if session.project is None:
        return ""
    view = {name: value for name, value in session.project.view.items() if name != FIGURE}
    return library.projects().keep_view(session.project.id, {**view, **seen(session)})


def shared(id: str) -> Project:
    """The project that a link leads to, as it is now but seen as it was then.

    Raises
    ------
    OptionsProblem
        If there is no such link, or its project was removed.
    """
    projects = library.projects()
    project_id, view = projects.kept_view(id)
    project = projects.get(project_id)
    return replace(project, view={**view, FIGURE: project.view.get(FIGURE, [])})


def seen(session: Session) -> dict[str, Any]:
    """What a link keeps beyond the choices that a project keeps: selected cells, hidden labels, the part in view."""
    return {
        "selection": packed(session.selection, _n_in_front(session)),
        "hidden": list(session.hidden),
        "extent": None if session.view is None else [float(end) for end in session.view],
    }


def left_to_show(view: Mapping[str, Any]) -> dict[str, Any]:
    """What of a view waits for its cells; nothing where it is no link's."""
    return {name: view[name] for name in SEEN if name in view}


def see_again(session: Session) -> None:
    """Show what a link kept, once its cells are there: those of a result, or the reference's if there is none."""
    waits = session.outcome is None and session.project is not None and bool(session.project.jobs)
    if not session.link or waits:
        return
    link, session.link = session.link, {}
    extent = link.get("extent")
    session.recolor(link.get("hidden", ()))
    selected = unpacked(link.get("selection", ""), _n_in_front(session))
    rows = None if selected is None else np.flatnonzero(selected)
    with session.unremembered():  # what a link shows is where its history begins
        session.param.update(selection=rows, go_to=tuple(extent) if extent else None)


def _n_in_front(session: Session) -> int:
    if session.front == "query" and session.outcome is not None:
        return session.outcome.result.n_cells
    return session.reference.n_cells if session.reference is not None else 0
