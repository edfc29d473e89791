"""What tabs share, and what a server lets them open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.app.stored.library import Shelf
from explorer.app.views.source import allowed_path
from explorer.errors import FileProblem, OptionsProblem
from explorer.settings import settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose subfolder "data" may be opened by path."""
    monkeypatch.setenv("ATLAS_EXPLORER_SERVER_PATHS", str(tmp_path / "data"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_server_paths_stay_inside_their_folders(home: Path) -> None:
    inside = home / "data"
    inside.mkdir()
    (inside / "cells.h5ad").write_bytes(b"")
    (home / "secret.h5ad").write_bytes(b"")
    (inside / "link.h5ad").symlink_to(home / "secret.h5ad")
    assert allowed_path(str(inside / "cells.h5ad")) == inside / "cells.h5ad"
    for asked in (home / "secret.h5ad", inside / ".." / "secret.h5ad", inside / "link.h5ad"):
        with pytest.raises(OptionsProblem, match="outside the folders"):
            allowed_path(str(asked))
    with pytest.raises(OptionsProblem, match="no file"):
        allowed_path(str(inside / "absent.h5ad"))


def test_shelf_loads_once_for_two_askers_and_again_after_a_failure() -> None:
    loaded: list[int] = []
    both = threading.Barrier(2)

    def load(key: int) -> int:
        loaded.append(key)
        if len(loaded) == 1:
            raise FileProblem("not now")
        return key * 10

    shelf = Shelf(load, size=2)
    with pytest.raises(FileProblem):
        shelf.get(1)
    answers: list[int] = []

    def ask() -> None:
        both.wait()
        answers.append(shelf.get(1))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [10, 10]
    assert loaded == [1, 1]


def test_shelf_gives_up_what_was_used_longest_ago() -> None:
    loaded: list[int] = []
    shelf = Shelf(lambda key: loaded.append(key) or key, size=2)
    for key in (1, 2, 1, 3, 1, 2):
        shelf.get(key)
    assert loaded == [1, 2, 3, 2]
