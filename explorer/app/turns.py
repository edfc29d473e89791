"""When a page may change: on its own turns, and all that a turn changes in one go.

Bokeh's models may only be changed while the document is locked, and Panel sends some changes on the spot and
others later: held together, they reach the browser in one message, whole and in order, and are painted once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bokeh.document import Document
from panel.io import unlocked


class Turns:
    """Calls functions on the turns of one page; may be called from the event loop at any time.

    Parameters
    ----------
    document
        The page's.
    own_up
        Called with whatever a function raises.
    """

    def __init__(self, document: Document, own_up: Callable[[Exception], None]) -> None:
        self._document = document
        self._own_up = own_up
        self._is_open = False
        self._is_over = False
        self._waiting: list[Callable[[], None]] = []

    def __call__(self, do: Callable[[], None]) -> None:
        """Call a function on the next turn; on none before the page is open, nor after it is closed."""
        if not self._is_open:
            # what changes between the page's first download and its first breath would not reach the browser
            self._waiting.append(do)
        elif not self._is_over:
            self._document.add_next_tick_callback(partial(self._take, do))

    def open(self) -> None:
        """The page is there: take all turns that were waited for."""
        self._is_open = True
        waiting, self._waiting = self._waiting, []
        for do in waiting:
            self(do)

    def close(self) -> None:
        """The page is gone."""
        self._is_over = True
        self._waiting.clear()

    def _take(self, do: Callable[[], None]) -> None:
        if self._is_over:
            return
        with unlocked():
            try:
                do()
            except Exception as problem:  # noqa: BLE001  (the page says that it is our fault, and goes on)
                self._own_up(problem)
