"""Prototypes on the page: what they claim by an obvious twin, where they lie, and unknown cells that become a label."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from planted import STRANGER, TYPES, markers
from sessions import run, work_off

from components.embedding_map import EmbeddingMap
from explorer import keys
from explorer.app.answers.prototyping import readable_marks
from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.views.tabs.prototypes import PrototypesView
from explorer.asking.prototypes import label_points
from explorer.flow import Reference
from explorer.jobs import worker
from explorer.jobs.queue import JobState
from explorer.mapping.models import load_method
from explorer.reference import open_reference, read_layout
from explorer.settings import settings


@pytest.fixture
def home(
    home: Path, planted_reference: Reference, planted_query: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home folder of its own, and planted cells, a fifth of them of a type that the reference lacks."""
    monkeypatch.setenv("ATLAS_EXPLORER_REFERENCES", str(planted_reference.folder))
    settings.cache_clear()
    planted_query.write_h5ad(home / "cells.h5ad")
    return home


async def mapped(home: Path) -> Session:
    """A session whose planted cells are mapped."""

    def work() -> None:
        queue = library.queue()
        while job := queue.claim(os.getpid()):
            worker.do(job, queue, worker.run_mapping)

    session = Session()
    session.choose_reference(settings().references[0])
    await session.settled()
    session.begin(home / "cells.h5ad", "cells")
    await session.settled()
    session.start()
    await asyncio.to_thread(work)
    session.poll()
    await session.settled()
    return session


def test_prototypes_claim_the_cells_nearest_to_the_mean_of_their_own(home: Path) -> None:
    async def steps() -> None:
        session = await mapped(home)
        outcome, reference = session.outcome, session.reference
        found = label_points(reference, outcome.result, session.method, "cell_type", "cpu")
        trained = load_method(reference, session.method, "cpu")
        own = reference.obs["cell_type"].astype(str).to_numpy()
        means = np.stack([trained.embedding[own == name].mean(0) for name in found.names])
        away = np.stack([np.linalg.norm(outcome.result.embedding - mean, axis=1) for mean in means], axis=1)
        table = found.table().set_index("label")
        assert list(found.names) == sorted(TYPES)
        for i, name in enumerate(found.names):
            claimed = np.flatnonzero(away.argmin(1) == i)
            assert found.claimed(name).tolist() == claimed.tolist()
            told = table.loc[name]
            assert told["median_distance"] == pytest.approx(np.median(away[claimed, i]), rel=1e-4)
            of_own = np.linalg.norm(trained.embedding[own == name] - means[i], axis=1)
            assert told["own_distance"] == pytest.approx(np.median(of_own), rel=1e-4)
            assert told["beyond"] == pytest.approx((away[claimed, i] > np.quantile(of_own, 0.95)).mean(), abs=0.02)
        layout = read_layout(reference, session.method)
        for name, x, y in found.marks:
            near = np.linalg.norm(layout - [x, y], axis=1).argsort()[:15]
            assert (own[near] == name).mean() > 0.8, "a prototype lies among its own cells"

    run(steps)


def test_unknown_cells_are_grouped_named_and_become_a_label_of_a_copy_of_the_reference(home: Path) -> None:
    async def steps() -> None:
        session = await mapped(home)
        view = PrototypesView(session)
        await session.settled()
        assert {row["id"] for row in view._table.rows} == set(TYPES)
        assert session.marks == []
        view._on_map.value = True
        assert {name for name, *_ in session.marks} == set(TYPES)
        strangers = np.flatnonzero(session.outcome.result.obs["cell_type"].astype(str) == STRANGER)
        session.select(strangers)  # the cells that are to be grouped
        view._group.clicks += 1
        await session.settled()
        group = view._group_table.rows[0]
        assert set(group["markers"].split(", ")) & set(markers(STRANGER))
        view._group_table.value = group["id"]
        assert set(session.selection) <= set(strangers)
        assert view._extend.disabled, "nothing is named yet"
        for row in list(view._group_table.rows):
            view._group_table.value = row["id"]
            view._name.value = "my own type"
            view._save.clicks += 1
        assert any("my own type" in name for name, *_ in session.marks)
        view._extend.clicks += 1
        view._extend.clicks += 1
        assert len(library.queue().jobs(JobState.QUEUED)) == 1, "the same names are the same work"
        assert view._extend.disabled
        assert view._making.panel.visible
        work_off()
        session.poll()
        await session.settled()
        assert session.build.state is JobState.DONE
        assert "in the list on Home" in view._making._words.object
        added = next(each for each in session.offered if each.folder.parent == settings().own_references)
        wider = open_reference(added.folder)
        assert (wider.obs["cell_type"].astype(str) == "my own type").sum() == len(strangers)
        assert list(settings().named.iterdir()) == []
        assert (session.outcome.folder / keys.RESULT_FILE).exists()
        view.destroy()
        assert session.marks == []

    run(steps)


def test_the_reference_alone_has_prototypes_that_claim_nothing(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        session.choose_reference(settings().references[0])
        await session.settled()
        view = PrototypesView(session)
        await session.settled()
        assert [row["claimed"] for row in view._table.rows] == ["-"] * len(TYPES)
        assert view._group not in view._choices.objects
        assert "Map a file" in view._said.object

    run(steps)


def test_names_of_places_that_lie_close_are_written_once() -> None:
    marks = [("a", 0.0, 0.0), ("b", 0.1, 0.1), ("c", 5.0, 5.0)]
    assert readable_marks(marks, 10.0) == [("a, b", 0.0, 0.0), ("", 0.1, 0.1), ("c", 5.0, 5.0)]
    assert readable_marks([], 0.0) == []


def test_marks_are_drawn_at_their_places() -> None:
    shown = EmbeddingMap(background=np.zeros((3, 2), np.float32), marks=[("a", 1.0, 2.0)])
    told = shown._figure._marks.data
    assert (told["x"], told["y"], told["text"]) == ([1.0], [2.0], ["a"])
    shown.marks = []
    assert shown._figure._marks.data["text"] == []
