"""Steps taken, taken back and taken again, beside a plain list with a finger in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from explorer.app.tab.history import History

MOVES = st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["undo", "redo"])), max_size=60)


@given(MOVES)
def test_history_is_a_list_and_a_finger(moves: list[int | str]) -> None:
    history = History(-1, most=5)
    line, at = [-1], 0
    for move in moves:
        if move == "undo":
            assert history.undo() == (line[at - 1] if at else None)
            at = max(at - 1, 0)
        elif move == "redo":
            assert history.redo() == (line[at + 1] if at + 1 < len(line) else None)
            at = min(at + 1, len(line) - 1)
        else:
            history.note(move)
            line = [*line[: at + 1], move][-6:]
            at = len(line) - 1
        assert history.present == line[at]
        assert (history.can_undo, history.can_redo) == (at > 0, at + 1 < len(line))


def test_what_follows_by_itself_is_no_step() -> None:
    history = History("red")
    history.note("blue")
    history.amend("blue, nothing hidden")
    assert history.undo() == "red"
    assert history.redo() == "blue, nothing hidden"
    history.begin("new cells")
    assert not history.can_undo
