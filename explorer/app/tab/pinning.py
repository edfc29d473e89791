"""Keeps what is on the screen as a pin of the project. Knows the session, no widgets."""

from __future__ import annotations

from collections.abc import Sequence

from components.coloring import Categories, Values
from explorer.app.colors.coloring import STYLE
from explorer.app.colors.saved import SAVED, TITLE
from explorer.app.stored.packing import packed
from explorer.app.tab.pins import Pin, new_id
from explorer.app.tab.session import Session
from explorer.app.tab.workspace import likely_split, own_picture
from explorer.asking.painting import AGREEMENT, CONSENSUS
from explorer.drawing.tallies import CHARTS

_TITLES = {
    "label": "Predicted {level}", "confidence": "Confidence", "novelty": "Novelty",
    CONSENSUS: "Consensus {level}", AGREEMENT: "Agreement of methods, {level}", SAVED: TITLE,
}  # fmt: skip


def keep(session: Session, pins: Sequence[Pin]) -> None:
    """Pin these in place of those before, in the project, too."""
    session.pins = list(pins)


def view_now(session: Session) -> Pin:
    """The map as it is now: its cells, colours, hidden categories, range and selection."""
    coloring = session.coloring
    hidden: tuple[str, ...] = ()
    if isinstance(coloring, Categories):
        hidden = tuple(coloring.names[code] for code in session.hidden if code >= 0)
    return Pin(
        id=new_id(),
        title=title_of(session),
        color=(session.color.kind, session.color.name),
        level=session.level,
        show=_cells(session),
        picture=own_picture(session),
        split=likely_split(session) if session.panes == "split" else "",
        order=session.order,
        limits=_clipped(session),
        zeros_grey=session.zeros_grey,
        hidden=hidden,
        view=tuple(session.view) if session.view is not None else None,
        selected=packed(session.selection, n_in_front(session)),
        names=session.show_names,
    )


def _cells(session: Session) -> str:
    if session.outcome is None:
        return "reference"
    is_pair = session.panes == "two" and session.show == "query" and session.beside == "reference"
    return "both" if is_pair else str(session.show)


def _clipped(session: Session) -> tuple[float, float] | None:
    """Ends of the colour scale where they are not those that a drawing takes by itself."""
    coloring = session.coloring
    if not isinstance(coloring, Values) or coloring.limits is not None or coloring.clip == STYLE.clip:
        return None
    return coloring.scale


def pin_view(session: Session) -> None:
    """Pin the map as it is now."""
    keep(session, [*session.pins, view_now(session)])


def pin_chart(session: Session, kind: str) -> Pin:
    """Pin a chart of the result: one of `CHARTS`."""
    pin = Pin(id=new_id(), title=CHARTS[kind], kind=kind, level=session.level)
    keep(session, [*session.pins, pin])
    return pin


def title_of(session: Session) -> str:
    """What the map shows, in a few words."""
    kind, name = session.color.kind, session.color.name
    if session.front == "reference" and kind in ("label", "confidence", "novelty"):
        return f"Reference, {session.level}"
    return _TITLES.get(kind, name).format(level=session.level)


def n_in_front(session: Session) -> int:
    """How many cells lie in front."""
    if session.front == "query" and session.outcome is not None:
        return int(session.outcome.result.n_cells)
    return int(session.reference.n_cells) if session.reference is not None else 0
