"""What was chosen, step after step: a step can be taken back, and taken again. Knows states, not what they mean."""

from __future__ import annotations

from typing import Generic, TypeVar

State = TypeVar("State")

MOST_STEPS = 100


class History(Generic[State]):
    """States in the order in which they were reached, and which of them is the present one.

    Parameters
    ----------
    present
        The state to begin with.
    most
        How many steps back are kept.
    """

    def __init__(self, present: State, most: int = MOST_STEPS) -> None:
        self._most = most
        self.begin(present)

    def begin(self, present: State) -> None:
        """Forget all steps; nothing can be taken back before this state."""
        self.present = present
        self._before: list[State] = []
        self._after: list[State] = []

    def note(self, state: State) -> None:
        """A further step was taken; what had been taken back is given up."""
        self._before = [*self._before, self.present][-self._most :]
        self._after = []
        self.present = state

    def amend(self, state: State) -> None:
        """The present state became another one without a step of its own."""
        self.present = state

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to take again."""
        return bool(self._after)

    def undo(self) -> State | None:
        """The state before, which is the present one from now on; `None` if there is none."""
        if not self._before:
            return None
        self._after.append(self.present)
        self.present = self._before.pop()
        return self.present

    def redo(self) -> State | None:
        """The state that was taken back last, which is the present one from now on; `None` if there is none."""
        if not self._after:
            return None
        self._before.append(self.present)
        self.present = self._after.pop()
        return self.present
