"""The card of one cell, as the page tells it: of a mapped cell, of a reference cell, and of none."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from sessions import few_cells, run

from explorer.app.colors.coloring import ColorBy
from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.explore.cell_card import CellCardView
from explorer.jobs import worker
from explorer.settings import SAMPLE_ATLAS


@pytest.fixture
def home(home: Path) -> Path:
    """A home folder of its own, with 40 cells in it."""
    return few_cells(home)


async def mapped(home: Path) -> Session:
    """A session whose 40 cells are mapped by CONCORD."""

    def work() -> None:
        queue = library.queue()
        while job := queue.claim(os.getpid()):
            worker.do(job, queue, worker.run_mapping)

    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.begin(home / "cells.h5ad", "cells")
    await session.settled()
    session.use_method("concord")
    session.start()
    await asyncio.to_thread(work)
    session.poll()
    await session.settled()
    return session


def section(view: CellCardView, title: str) -> dict[str, Any]:
    return next(each for each in view._card.sections if each["title"] == title)


def test_the_card_of_a_mapped_cell_holds_what_the_result_says_and_colours_the_map(home: Path) -> None:
    async def steps() -> None:
        session = await mapped(home)
        view = CellCardView(session)
        view.show(7)
        await session.settled()
        assert view._card.title == session.outcome.result.obs.index[7]
        for level in session.reference.levels:
            best = section(view, level)["rows"][0]
            told = session.outcome.result.labels.level(level)
            assert best["name"] == told.classes[told.probabilities[7].argmax()]
            assert best["share"] == pytest.approx(told.probabilities[7].max())
            assert {row["name"] for row in section(view, level)["rows"] if row["marked"]} <= {
                name for name, inside in zip(told.classes, told.sets[7], strict=True) if inside
            }
        assert f"Your {session.own_label}" in section(view, "How sure, and how far")["words"][0]
        assert len(section(view, "Nearest reference cells")["rows"]) == 5
        gene = section(view, "Its highest genes")["rows"][0]
        view._card.picked = {"section": "Its highest genes", "id": gene["id"], "at": 1}
        assert session.color == ColorBy("gene", gene["name"])
        view._card.picked = {"section": "lineage", "id": "label:lineage", "at": 2}
        assert (session.color, session.level) == (ColorBy("label"), "lineage")
        view._card.closed = {"at": 3}
        assert view._card.sections == []
        assert view._hint.visible
        view.destroy()

    run(steps)


def test_the_card_says_when_the_file_is_gone(home: Path) -> None:
    async def steps() -> None:
        session = await mapped(home)
        (home / "cells.h5ad").unlink()
        view = CellCardView(session)
        view.show(0)
        await session.settled()
        assert session.standing("cell").phase is Phase.FAILED
        assert "cells.h5ad" in session.standing("cell").text
        assert view._card.sections == []

    run(steps)


def test_the_card_of_a_reference_cell_tells_its_labels_and_its_batch(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        session.choose_reference(SAMPLE_ATLAS)
        await session.settled()
        view = CellCardView(session)
        view.show(11)
        rows = {row["name"]: row["value"] for row in view._card.sections[0]["rows"]}
        for column in (*session.reference.levels, session.reference.card["batch"]):
            assert rows[column] == str(session.reference.obs[column].iloc[11])

    run(steps)
