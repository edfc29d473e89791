"""Which texts on a map can be read: those that lie over others move aside or are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.points import Extent

LETTER, LINE = 6.6, 15.0  # pixels of a letter's width and a line's height, about, at 12 px
MARK = 12.0  # pixels across a sign that texts leave free


class Lettering:
    """The room on a map, taken by one text after another; the first come are the first served.

    Parameters
    ----------
    view
        x0, x1, y0, y1 shown.
    size
        Width and height of the picture in pixels.
    marks
        Places x, y of signs that no text may cover.
    """

    def __init__(self, view: Extent, size: tuple[int, int], marks: Iterable[tuple[float, float]] = ()) -> None:
        self._view, self._size = view, size
        self._taken = [_box(*self._pixel(*mark), MARK, MARK) for mark in marks]
        self.left_out = 0
        """Texts in view that found no room."""

    def place(self, text: str, x: float, y: float, lifts: Sequence[float] = (0.0,)) -> float | None:
        """How many pixels above its place the middle of a text lies: the first of `lifts` with room for it, or `None`.

        What lies out of view takes no room and is never left out.
        """
        across, up = self._pixel(x, y)
        if not text or not (0 <= across <= self._size[0] and 0 <= up <= self._size[1]):
            return lifts[0]
        for lift in lifts:
            box = _box(across, up + lift, LETTER * len(text), LINE)
            if not any(_overlap(box, other) for other in self._taken):
                self._taken.append(box)
                return lift
        self.left_out += 1
        return None

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        x0, x1, y0, y1 = self._view
        return (x - x0) / (x1 - x0) * self._size[0], (y - y0) / (y1 - y0) * self._size[1]


def _box(across: float, up: float, wide: float, high: float) -> Extent:
    return (across - wide / 2, across + wide / 2, up - high / 2, up + high / 2)


def _overlap(a: Extent, b: Extent) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
