"""Home: what it asks before it does what cannot be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sessions import own_home, run

from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.views.home import HomeView


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield from own_home(tmp_path, monkeypatch)


def test_a_project_is_removed_when_asked_twice_and_a_double_click_asks_once(home: Path) -> None:
    async def steps() -> None:
        id, other = (library.projects().create(title, reference="/a.atlas").id for title in ("One", "Two"))
        session = Session()
        view = HomeView(session)

        def press(at: int) -> set[str]:
            view._projects.acted = {"id": id, "at": at}
            return {project.id for project in library.projects().list()}

        assert press(1_000) == press(1_150) == {id, other}
        assert {row["action"] for row in view._projects.rows if row["id"] == id} == {"Really remove?"}
        assert press(3_000) == {other}
        view.destroy()

    run(steps)
