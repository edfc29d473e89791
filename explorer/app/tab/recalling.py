"""What tabs have found stays with the project: written beside it when it is found, read again when a tab is opened.

An answer is kept for the job whose result it is about, or for the reference where it is about that; a result that was
mapped anew has none. Functions on a session; no widgets.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.app.answers import filed
from explorer.app.tab.status import Phase
from explorer.settings import settings

if TYPE_CHECKING:
    from explorer.app.tab.session import Session


@dataclass(frozen=True)
class Place:
    """Where an answer is kept, and what it rests on.

    Attributes
    ----------
    path
        Its file.
    stamp
        The reference, and the threshold by which labels were left.
    """

    path: Path
    stamp: Mapping[str, Any]


def place_of(session: Session, what: str) -> Place | None:
    """The place of an answer about the cells in front; `None` without a project.

    Parameters
    ----------
    what
        Names it among the answers about these cells, e.g. "markers".
    """
    if session.project is None or session.reference is None:
        return None
    job = session.outcome.job if session.front == "query" and session.outcome is not None else "reference"
    stamp = {"reference": session.reference.checksum, "threshold": float(session.threshold)}
    return Place(_folder(session.project.id) / job / f"{what}.npz", stamp)


def keep(session: Session, place: Place | None, answer: object) -> None:
    """Write down what was found; `place` is that of the cells it was asked about."""
    if place is not None:
        _found(session, place)
        topic = f"keep {place.path.stem}"
        session.attempt(
            topic, "Keeping what was found", lambda: filed.write(place.path, answer, place.stamp),
            lambda _: session.forget(topic),
        )  # fmt: skip


def recall(session: Session, what: str, topic: str, use: Callable[[Any], None]) -> None:
    """Read again what was found about the cells in front, if anything was and it still holds.

    Parameters
    ----------
    what
        As for `place_of`.
    topic
        Under which it is asked for: once that is done anew, what was found before is not wanted.
    use
        Called with the answer.
    """
    place, reading, before = place_of(session, what), f"recall {what}", session.standing(topic)
    is_busy = Phase.RUNNING in (before.phase, session.standing(reading).phase)
    if place is None or is_busy or not place.path.is_file():
        return
    cells = _cells(session)

    def take(answer: Any) -> None:
        session.forget(reading)
        if answer is not None and session.standing(topic) == before and place_of(session, what) == place:
            use(answer)
            _found(session, place)

    session.attempt(
        reading, "Reading what was found before", lambda: filed.read(place.path, place.stamp, cells), take
    )


def outdated(session: Session, what: str) -> str:
    """A sentence where an answer about the cells in front was found at another threshold than the one now."""
    found_at = session.found_at.get(what, session.threshold)
    if session.front != "query" or found_at == session.threshold:
        return ""
    return f"Found at a threshold of {found_at:.2f}; it is {session.threshold:.2f} now, so labels are others."


def remove(project: str) -> None:
    """Delete all that was found in a project."""
    shutil.rmtree(_folder(project), ignore_errors=True)


def _found(session: Session, place: Place) -> None:
    session.found_at = {**session.found_at, place.path.stem: place.stamp["threshold"]}


def _folder(project: str) -> Path:
    return settings().home / "found" / project


def _cells(session: Session) -> pd.Index:
    if session.front == "query" and session.outcome is not None:
        return session.outcome.result.obs.index
    return session.reference.obs.index if session.reference is not None else pd.Index([])
