"""Work that takes time, done without making anybody wait for it.

The work runs in a thread; its answer is used on the page's next turn, when Bokeh's models may change, and only
if it is still wanted. Every topic says where it stands, and problems become sentences here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import param

from explorer.app.tab.status import NOTHING, READY, Phase, Status, failed, running
from explorer.errors import AtlasError
from explorer.progress import Progress, Report

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


def in_words(problem: Exception, topic: str) -> str:
    """What to tell the person; anything that is not an `AtlasError` is our fault, and is logged with a number."""
    if isinstance(problem, AtlasError):
        return str(problem)
    number = secrets.token_hex(4)
    log.error("problem %s, about %r", number, topic, exc_info=problem)
    return (
        f"Something went wrong on our side (reference {number}). Try again; if it fails again, send this "
        "reference and the server's log to whoever runs this server."
    )


def _at_once(use: Callable[[], None]) -> None:
    use()


class Work(param.Parameterized):
    """What a tab is busy with.

    Parameters
    ----------
    on_turn
        Calls a function when the page may change; at once where there is no page.
    """

    status = param.Dict(default={}, doc="Where each topic stands: its `Status`.")

    def __init__(self, on_turn: Callable[[Callable[[], None]], Any] = _at_once, **params: Any) -> None:
        super().__init__(**params)
        self._on_turn = on_turn
        self._tickets: dict[str, object] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._soon: dict[Callable[[], None], None] = {}
        self._stops: dict[str, threading.Event] = {}
        self._by_itself = False

    def attempt(self, topic: str, text: str, work: Callable[[], Answer], use: Callable[[Answer], None]) -> None:
        """Do blocking work in a thread, and use its answer unless something newer was asked meanwhile.

        Parameters
        ----------
        topic
            What the work is about; a later attempt at the same topic makes this one's answer unwanted.
        text
            What to say meanwhile.
        work
            Called without arguments in a thread; changes nothing of this session.
        use
            Called with the answer on the page's turn.
        """
        self._stop(topic)
        ticket = self._tickets[topic] = object()
        self._tell(topic, running(text))

        async def go() -> None:
            try:
                answer = await asyncio.to_thread(work)
            except Exception as problem:  # noqa: BLE001  (the one place where problems of work become sentences)
                status = failed(in_words(problem, topic))
                self._on_turn(lambda: self._arrive(topic, ticket, status, lambda: None))
            else:
                self._on_turn(lambda: self._arrive(topic, ticket, READY, lambda: use(answer)))

        task = asyncio.get_running_loop().create_task(go())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pursue(
        self, topic: str, text: str, work: Callable[[Progress], Answer], use: Callable[[Answer], None]
    ) -> None:
        """As `attempt`, for work that tells how far it is, and stops soon once its topic is forgotten or tried anew.

        Parameters
        ----------
        work
            Called in a thread with the progress to report to.
        """
        loop, stop, told = asyncio.get_running_loop(), threading.Event(), [0]

        def listen(report: Report) -> None:
            percent = int(100 * report.fraction)
            if percent > told[0]:
                told[0] = percent
                loop.call_soon_threadsafe(self._on_turn, lambda: self._advance(topic, stop, f"{text}, {percent} %"))

        self.attempt(topic, text, lambda: work(Progress.to(listen, stop.is_set)), use)
        self._stops[topic] = stop

    def _advance(self, topic: str, stop: threading.Event, text: str) -> None:
        if self._stops.get(topic) is stop and self.standing(topic).phase is Phase.RUNNING:
            self._tell(topic, running(text))

    def _stop(self, topic: str) -> None:
        if (stop := self._stops.pop(topic, None)) is not None:
            stop.set()

    def _arrive(self, topic: str, ticket: object, status: Status, use: Callable[[], None]) -> None:
        if self._tickets.get(topic) is ticket:
            use()
        if self._tickets.get(topic) is ticket:
            self._tell(topic, status)

    def soon(self, react: Callable[[], None]) -> None:
        """Call a function on the page's next turn: once, however often it is asked for until then."""
        first = not self._soon
        self._soon[react] = None
        if first:
            self._on_turn(self._catch_up)

    def _catch_up(self) -> None:
        reactions, self._soon = self._soon, {}
        for react in reactions:
            react()

    @contextmanager
    def unremembered(self) -> Iterator[None]:
        """Changes within follow from others: they are no steps to take back, and nothing to save by themselves."""
        before, self._by_itself = self._by_itself, True
        try:
            yield
        finally:
            self._by_itself = before

    async def settled(self) -> None:
        """Wait until no work is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def report(self, topic: str, problem: Exception) -> None:
        """Say that something about a topic failed."""
        self._tell(topic, failed(in_words(problem, topic)))

    def forget(self, *topics: str) -> None:
        """Make answers on their way unwanted, and the topics blank; work that can be stopped stops."""
        for topic in topics:
            self._stop(topic)
            self._tickets.pop(topic, None)
        if any(topic in self.status for topic in topics):
            self.status = {name: status for name, status in self.status.items() if name not in topics}

    def standing(self, topic: str) -> Status:
        """Where a topic stands."""
        status: Status = self.status.get(topic, NOTHING)
        return status

    def _tell(self, topic: str, status: Status) -> None:
        if self.standing(topic) != status:
            self.status = {**self.status, topic: status}
