"""Links that restore a view: what they keep, for whom, and what happens when their project is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sessions import mapped, opened, run

from explorer.app.colors.coloring import ColorBy
from explorer.app.stored import library
from explorer.app.tab import sharing
from explorer.app.tab.pinning import pin_view
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase


def test_a_link_shows_another_tab_what_was_seen_whatever_was_done_since(home: Path) -> None:
    async def steps() -> None:
        mine = await mapped()
        mine.choose_color(ColorBy("gene", "CD14"))
        await mine.settled()
        mine.choose_color(ColorBy("label"), "lineage")
        await mine.settled()
        mine.param.update(step="explore", hidden=[1], view=(-1.0, 2.0, -3.0, 4.0))
        mine.select(np.array([3, 5, 8]))
        pin_view(mine)
        link = sharing.share(mine)
        mine.choose_color(ColorBy("novelty"))
        mine.select(None)
        await mine.settled()
        assert sharing.share(mine) != link

        hers = Session()
        hers.open_link(link)
        for _ in range(3):
            await hers.settled()
        assert (hers.step, hers.level, hers.color.kind) == ("explore", "lineage", "label")
        assert (hers.hidden, hers.go_to) == ([1], (-1.0, 2.0, -3.0, 4.0))
        assert hers.selection.tolist() == [3, 5, 8]
        assert len(hers.pins) == 1, "pins are the project's"
        assert not hers.can_undo, "what a link shows is where its history begins"
        hers.choose_color(ColorBy("novelty"))
        await hers.settled()
        hers.undo()
        assert (hers.color.kind, hers.selection.tolist()) == ("label", [3, 5, 8])

    run(steps)


def test_the_same_view_has_the_same_link(home: Path) -> None:
    async def steps() -> None:
        session = await opened()
        assert sharing.share(session) == sharing.share(session)
        assert len(sharing.share(session)) <= 12

    run(steps)


def test_a_link_to_a_project_that_is_gone_says_so(home: Path) -> None:
    async def steps() -> None:
        session = await opened()
        link = sharing.share(session)
        library.projects().remove(session.project.id)
        other = Session()
        other.open_link(link)
        await other.settled()
        assert other.standing("project").phase is Phase.FAILED
        assert "was removed from this server" in other.standing("project").text
        other.open_link("0123456789")
        await other.settled()
        assert "There is no shared view 0123456789" in other.standing("project").text

    run(steps)


def test_without_a_project_there_is_no_link(home: Path) -> None:
    assert sharing.share(Session()) == ""
