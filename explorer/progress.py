"""How long work tells where it is, and learns that it should stop.

One `Progress` is handed down a corridor. A step narrows it with `part`, reports with a call, and a call
is also where cancelling happens, so work that reports often stops soon.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from explorer.errors import Cancelled


@dataclass(frozen=True)
class Report:
    """One moment of a running task.

    Attributes
    ----------
    stage
        What is being done, in the user's words.
    fraction
        Share of the whole task that is done, in [0, 1]; never decreases.
    elapsed
        Seconds since the task began.
    left
        Estimated seconds until the end; `None` while too little is done to tell.
    """

    stage: str
    fraction: float
    elapsed: float
    left: float | None


def _ignore(_: Report) -> None:
    return None


def _never() -> bool:
    return False


@dataclass
class _Task:
    """What all parts of one task share."""

    listen: Callable[[Report], None]
    cancelled: Callable[[], bool]
    started: float = field(default_factory=time.monotonic)
    furthest: float = 0.0
    skipped: float = 0.0  # share of the task that was done before, and took no time


@dataclass(frozen=True)
class Progress:
    """A span of a task that reports to whoever listens.

    Parameters
    ----------
    task
        Shared by all spans; build it with `Progress.to`.
    stage
        Text shown while this span runs.
    start, end
        The span's place within the whole task, in [0, 1].
    """

    task: _Task = field(default_factory=lambda: _Task(_ignore, _never))
    stage: str = ""
    start: float = 0.0
    end: float = 1.0

    @classmethod
    def to(cls, listen: Callable[[Report], None], cancelled: Callable[[], bool] = _never) -> Progress:
        """Progress of a new task whose reports go to `listen` and which asks `cancelled` at each report."""
        return cls(_Task(listen, cancelled))

    def part(self, stage: str, start: float, end: float) -> Progress:
        """Narrow to the share [start, end] of this span, under a new stage text."""
        width = self.end - self.start
        return replace(self, stage=stage, start=self.start + width * start, end=self.start + width * end)

    def skip(self, fraction: float) -> None:
        """Say that `fraction` of this span was done already, by an earlier try."""
        task, overall = self.task, self.start + (self.end - self.start) * fraction
        task.skipped += max(0.0, overall - task.furthest)
        task.furthest = max(task.furthest, overall)

    def __call__(self, fraction: float) -> None:
        """Report that `fraction` of this span is done.

        Raises
        ------
        Cancelled
            If somebody asked the task to stop.
        """
        task = self.task
        if task.cancelled():
            raise Cancelled("Stopped on request. Nothing was changed; run it again whenever you like.")
        overall = self.start + (self.end - self.start) * min(max(fraction, 0.0), 1.0)
        task.furthest = max(task.furthest, overall)
        elapsed = time.monotonic() - task.started
        done = task.furthest - task.skipped
        left = elapsed * (1 - task.furthest) / done if done > 0.02 else None
        task.listen(Report(self.stage, task.furthest, elapsed, left))
