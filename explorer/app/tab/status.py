"""Where something stands: the five answers every part of a screen can give instead of, or beside, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The five answers."""

    NOTHING = "nothing"  # not asked for yet
    RUNNING = "running"  # being worked on
    PARTIAL = "partial"  # there, with something missing that is named
    FAILED = "failed"  # not there, with the reason
    READY = "ready"  # there


@dataclass(frozen=True)
class Status:
    """One answer.

    Attributes
    ----------
    phase
        Which of the five.
    text
        A sentence for the person in front of the screen; plain text, to be escaped where it is drawn.
    """

    phase: Phase
    text: str = ""


NOTHING = Status(Phase.NOTHING)
READY = Status(Phase.READY)


def running(text: str) -> Status:
    """Work goes on; `text` says which."""
    return Status(Phase.RUNNING, text)


def failed(text: str) -> Status:
    """It could not be done; `text` is the reason."""
    return Status(Phase.FAILED, text)
