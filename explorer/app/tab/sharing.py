"""A view that can be sent to somebody: what a person sees, kept as it was under a short id. Knows no widgets.

A project changes as people work on it; what a link leads to never does. Pins stay the project's own: whoever opens a
link must not lose a figure to it.
"""

from __future__ import annotations

from typing import Any

from explorer.app.stored import library
from explorer.app.stored.packing import packed
from explorer.app.tab import keeping
from explorer.app.tab.linking import FIGURE
from explorer.app.tab.session import Session


def share(session: Session) -> str:
    """Keep what is seen now; the id under which `linking.shared` finds it, and "" while there is no project to show."""
    session.save()
    if session.project is None:
        return ""
    view = keeping.written(session, [name for name in keeping.SHOWN if name != FIGURE])
    return library.projects().keep_view(session.project.id, {**view, **seen(session)})


def seen(session: Session) -> dict[str, Any]:
    """What a link keeps beyond the choices that a project keeps: selected cells, hidden labels, the part in view."""
    return {
        "selection": packed(session.selection, session.n_in_front),
        "hidden": list(session.hidden),
        "extent": None if session.view is None else [float(end) for end in session.view],
    }
