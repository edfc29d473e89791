"""What a project keeps of the choices: when it is written, and that it is read again as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sessions import few_cells, opened, run

from explorer.app.colors.coloring import ColorBy
from explorer.app.stored import library
from explorer.app.tab import keeping
from explorer.app.tab.gates import Gate, Step
from explorer.app.tab.pins import Pin
from explorer.app.tab.session import Session
from explorer.app.tab.sharing import share
from explorer.app.tab.status import Phase
from explorer.app.tab.workspace import Held

CHOSEN = {
    "matrix": "layers/counts", "modes": {"concord": "nearest"}, "orthologs": True, "step": "explore",
    "color": ColorBy("gene", "CD14"), "level": "lineage", "tabs": "high", "pins": [Pin("a", view=(0.0, 1.0, 2.0, 3.0))],
    "panes": "two", "held": Held(ColorBy("label"), "lineage"), "clip": (5.0, 90.0), "point_size": 3,
    "gates": [Gate("b", "Mine", "query", (Step("replace", "range", of="novelty", low=0.5),))],
    "recipe": [Step("replace", "names", of="label", names=("B cell",))], "threshold": 0.8, "coverage": 0.99,
}  # fmt: skip


class Page:
    """Turns that come when they are called for."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, do: Callable[[], None]) -> None:
        self.waiting.append(do)

    async def rest(self, session: Session) -> None:
        """Take turns until nothing is under way."""
        await session.settled()
        while self.waiting:
            waiting, self.waiting = self.waiting, []
            for do in waiting:
                do()
            await session.settled()


async def taken_up(page: Page, project: str) -> tuple[Session, list[object]]:
    """A session on a page with a project, and a list that grows by one whenever the project is written."""
    session = Session(page)
    session.resume(project, "data")
    await page.rest(session)
    written: list[object] = []
    session.param.watch(lambda event: written.append(event.new), "project")
    return session, written


def test_all_choices_survive_json(home: Path) -> None:
    session = Session()
    session.param.update(**CHOSEN)
    written = keeping.written(session, (*keeping.OPTIONS, *keeping.SHOWN))
    assert written.keys() >= CHOSEN.keys()
    found = keeping.read(Session(), json.loads(json.dumps(written)))
    assert {name: found[name] for name in CHOSEN} == CHOSEN
    assert found == {name: getattr(session, name) for name in found}


@pytest.mark.parametrize(
    ("name", "value"),
    [("color", ["aroma", ""]), ("held", ["aroma", "", "lineage"]), ("panes", "nine"), ("coverage", 0.5), ("clip", [])],
)
def test_what_means_nothing_any_more_is_as_before_anybody_chose(home: Path, name: str, value: object) -> None:
    session = Session()
    assert keeping.read(session, {name: value})[name] == getattr(session, name)


def test_choices_are_written_once_a_turn_and_only_when_they_change(home: Path) -> None:
    async def steps() -> None:
        first, page = await opened(few_cells(home) / "cells.h5ad"), Page()
        session, written = await taken_up(page, first.project.id)
        await page.rest(session)
        assert written == [], "to open a project is no choice"
        session.open_tab("Markers")
        session.choose_color(ColorBy("gene", "CD14"))
        session.choose_threshold(0.9)
        assert written == []
        await page.rest(session)
        assert len(written) == 1
        kept = library.projects().get(first.project.id).view
        assert (kept["tab"], kept["color"], kept["threshold"]) == ("Markers", ["gene", "CD14"], 0.9)
        session.undo()
        await page.rest(session)
        assert len(written) == 2
        assert library.projects().get(first.project.id).view["threshold"] == 0.5

    run(steps)


def test_what_was_chosen_last_is_written_before_a_project_is_left(home: Path) -> None:
    async def steps() -> None:
        first, page = await opened(few_cells(home) / "cells.h5ad"), Page()
        session, _ = await taken_up(page, first.project.id)
        session.open_tab("Markers")
        session.leave()
        session.open_tab("Samples")
        await page.rest(session)
        assert library.projects().get(first.project.id).view["tab"] == "Markers"

    run(steps)


def test_two_tabs_of_a_project_do_not_take_back_what_the_other_chose(home: Path) -> None:
    async def steps() -> None:
        project, page = (await opened(few_cells(home) / "cells.h5ad")).project.id, Page()
        (one, _), (other, _) = [await taken_up(page, project) for _ in range(2)]
        one.choose_color(ColorBy("gene", "CD14"))
        await page.rest(one)
        other.open_tab("Samples")
        await page.rest(other)
        third, _ = await taken_up(page, project)
        assert (third.color, third.tab) == (ColorBy("gene", "CD14"), "Samples")

    run(steps)


def test_who_goes_on_from_a_link_keeps_all_that_it_shows(home: Path) -> None:
    async def steps() -> None:
        first, page = await opened(few_cells(home) / "cells.h5ad"), Page()
        first.choose_color(ColorBy("gene", "CD14"))
        link = share(first)
        first.choose_color(ColorBy("confidence"))
        guest = Session(page)
        guest.open_link(link)
        await page.rest(guest)
        guest.open_tab("Samples")
        await page.rest(guest)
        again, _ = await taken_up(page, first.project.id)
        assert (again.color, again.tab) == (ColorBy("gene", "CD14"), "Samples")

    run(steps)


def test_a_project_whose_reference_is_gone_keeps_its_choices(home: Path) -> None:
    async def steps() -> None:
        first = await opened(few_cells(home) / "cells.h5ad")
        first.open_tab("Markers")
        library.projects().save(first.project.id, reference=str(home / "gone.atlas"))
        other = Session()
        other.resume(first.project.id)
        await other.settled()
        assert other.standing("reference").phase is Phase.FAILED
        other.param.update(step="quality", tab="Samples")
        kept = library.projects().get(first.project.id)
        assert (kept.view["tab"], kept.options["batch"]) == ("Markers", "batch")

    run(steps)
