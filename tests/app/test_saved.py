"""Saved selections as a colour: what each cell is called, and that colours follow what is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sessions import mapped, run

from components.theme import MISSING_COLOR
from explorer.app.colors.coloring import ColorBy
from explorer.app.colors.saved import NONE, SAVED, SEVERAL, is_of, name_of_saved, saved_categories
from explorer.app.leaving import drawing
from explorer.app.tab.pinning import view_now
from explorer.app.views.explore.colors import ColorsView
from explorer.errors import OptionsProblem


def mask(*rows: int) -> np.ndarray:
    return np.isin(np.arange(6), rows)


def test_each_name_is_a_category_and_cells_in_several_stand_apart() -> None:
    name = name_of_saved("query", {"odd": mask(0, 1), "Häm <b>": mask(1, 2)})
    found = saved_categories(name, "query", 6)
    assert found.names == ("odd", "Häm <b>", SEVERAL, NONE)
    assert found.codes.tolist() == [0, 2, 1, 3, 3, 3]
    assert found.counts.tolist() == [1, 1, 1, 3]
    assert found.colors[3] == MISSING_COLOR and len(set(found.colors)) == 4


def test_other_cells_have_none_of_it() -> None:
    name = name_of_saved("query", {"odd": mask(0)})
    assert is_of(name, "query") and not is_of(name, "reference") and not is_of("", "query")
    for cells, n in (("reference", 6), ("query", 60)):
        with pytest.raises(OptionsProblem, match="No selection of these cells is saved"):
            saved_categories(name, cells, n)


def test_colours_follow_what_is_saved(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        view = ColorsView(session, highlight=lambda _: None)
        assert SAVED not in view._kind.options.values()
        session.select(np.array([1, 2, 3]))
        session.save_gate("first")
        assert SAVED in view._kind.options.values()
        view._kind.value = SAVED
        await session.settled()
        assert session.coloring.names == ("first", SEVERAL, NONE)
        panel = drawing.panels_of(drawing.source_of(session), [view_now(session)])[0]
        assert panel.coloring.names == session.coloring.names
        session.select(np.array([3, 4]))
        session.save_gate("second")
        await session.settled()
        assert dict(zip(session.coloring.names, session.coloring.counts, strict=True)) == {
            "first": 2, "second": 1, SEVERAL: 1, NONE: session.outcome.result.n_cells - 4
        }  # fmt: skip
        session.select_names(["second"])
        await session.settled()
        assert session.selection.tolist() == [4]
        for gate in list(session.gates):
            session.forget_gate(gate.id)
        await session.settled()
        assert session.color == ColorBy("label")
        view.destroy()

    run(steps)
