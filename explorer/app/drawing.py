"""The figure of what is on the screen: the same cells, colours and hidden categories. Knows no widgets."""

from __future__ import annotations

from dataclasses import replace

from components.points import Points
from explorer import figures
from explorer.app import library
from explorer.app.downloads import Offered
from explorer.app.session import Session
from explorer.errors import OptionsProblem
from explorer.figures import Look, Picture

PREVIEW_PIXELS = 1100


def picture_of(session: Session, *, as_zoomed: bool) -> Picture:
    """The cells in front on the reference, coloured as on the screen.

    Parameters
    ----------
    as_zoomed
        Show the part that the map shows; else everything.

    Raises
    ------
    OptionsProblem
        If there is no picture yet.
    """
    reference, outcome = session.reference, session.outcome
    if reference is None:
        raise OptionsProblem("There is no picture to draw yet. Open a reference first.")
    method = outcome.result.method if outcome is not None else session.method
    below: Points = library.reference_points(reference.folder, method)
    view = session.view if as_zoomed else None
    hidden = tuple(session.hidden)
    if session.front == "query" and outcome is not None:
        return Picture(outcome.points, session.coloring, below, hidden, view)
    return Picture(below, session.coloring, None, hidden, view)


def look_of(session: Session, look: Look) -> Look:
    """A look with the names of the cells in front filled in for the caption."""
    title = session.reference.title if session.reference is not None else "reference"
    if session.front == "query" and session.project is not None:
        return replace(look, cells_name=session.project.title, background_name=f"reference {title}")
    return replace(look, cells_name=title)


def preview(picture: Picture, look: Look) -> tuple[bytes, str]:
    """A png small enough for the page, and the caption."""
    dpi = int(PREVIEW_PIXELS / (look.width / 25.4))
    return figures.render(picture, replace(look, dpi=min(max(dpi, 50), 300)), "png"), figures.caption(picture, look)


def offered_figure(session: Session, look: Look, form: str, *, as_zoomed: bool) -> Offered:
    """The figure as a file.

    Raises
    ------
    OptionsProblem
        If there is nothing to draw.
    """
    picture = picture_of(session, as_zoomed=as_zoomed)
    name = session.project.title if session.project is not None else "reference"
    content = figures.render(picture, look_of(session, look), form)
    return Offered(f"{name}.{form}", figures.FORMATS[form], iter([content]))
