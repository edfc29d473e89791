"""What the page tells of several methods: who agrees with whom, which cells are disputed, and what colours them."""

from __future__ import annotations

import asyncio
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sessions import few_cells, run

from components.coloring import Categories, Values
from components.upset import UpSet
from explorer.agreement import Voice, consensus
from explorer.app.colors.coloring import ColorBy
from explorer.app.stored import agreeing, library
from explorer.app.tab.session import Session
from explorer.app.views.tabs.models import ModelsView, agreement_words, label_rows, pairs_of, upset_of
from explorer.asking.painting import AGREEMENT, CONSENSUS
from explorer.consensus import Consensus
from explorer.flow import LabelTransfer, LevelLabels
from explorer.jobs import worker
from explorer.settings import SAMPLE_ATLAS

CLASSES = ("B", "NK", "T")
SAID = {"one": [0, 0, 1, 2, 2], "two": [0, 1, 1, 2, 2], "three": [0, 0, 2, 2, 1]}


def labels(codes: list[int]) -> LevelLabels:
    """Labels that a voice is 0.8 sure of."""
    n = len(codes)
    p = np.full((n, len(CLASSES)), 0.1, np.float32)
    p[np.arange(n), codes] = 0.8
    nothing = np.zeros(n, np.float32)
    return LevelLabels(
        level="cell_type", classes=CLASSES, codes=np.array(codes, np.int32), probabilities=p, confidence=p.max(1),
        disagreement=nothing, novelty=nothing, stretch=nothing, unknown=nothing > 0, sets=p > 0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Consensus:
    """Three voices on five cells; the majority is B, B, NK, T, T."""
    return consensus([Voice(name, name.title(), LabelTransfer((labels(codes),)), {}) for name, codes in SAID.items()])


def test_cells_are_found_by_label_by_pair_and_by_who_agrees(found: Consensus) -> None:
    at = found.first
    assert at.labels.labels.tolist() == ["B", "B", "NK", "T", "T"]
    assert agreeing.disputed(at).tolist() == [False, True, True, False, True]
    assert agreeing.rows_of_label(at, "T").tolist() == [4]
    assert agreeing.rows_of_pair(at, 0, 1).tolist() == [1]
    assert agreeing.rows_of_pattern(at, [True, True, False]).tolist() == [2, 4]
    told = agreeing.patterns(at)
    assert {each.members: each.cells for each in told} == {
        (True, True, True): 2, (True, True, False): 2, (True, False, True): 1,
    }  # fmt: skip
    assert sum(len(agreeing.rows_of_pattern(at, each.members)) for each in told) == 5


def test_tables_and_pictures_of_the_agreement_hold_its_numbers(found: Consensus) -> None:
    at = found.first
    pairs = pairs_of(found, at, "share")
    assert pairs["texts"] == [["", "0.80", "0.60"], ["0.80", "", "0.40"], ["0.60", "0.40", ""]]
    assert pairs_of(found, at, "kappa")["texts"][0][1] == f"{at.kappa[0, 1]:.2f}"
    rows = {row["id"]: row for row in label_rows(at)}
    assert (rows["B"]["disputed"], rows["B"]["rival"]) == ("1", "NK (1)")
    assert "label 2 of 5 cells alike (40 %); 3 are disputed" in agreement_words(found, at, 0.5)
    table = agreeing.consensus_table(found, pd.Index(list("abcde")), "cell_type")
    assert table["two"].tolist() == ["B", "NK", "NK", "T", "T"]
    shown = UpSet(**upset_of(found, at))
    assert len(shown.members) == len(shown.counts)
    assert shown.names == ["One", "Two", "Three"]


def test_a_stricter_threshold_leaves_fewer_labels_in_the_words(found: Consensus) -> None:
    at = found.first
    assert "0 of its cells are called unknown" in agreement_words(found, at, 0.5)
    n = int((at.labels.confidence < 0.7).sum())
    assert 0 < n < 5
    assert f"{n} of its cells are called unknown" in agreement_words(found, at, 0.7)


@pytest.fixture
def home(home: Path) -> Path:
    """A home folder of its own, with 40 cells in it."""
    return few_cells(home)


async def map_by(session: Session, *methods: str) -> None:
    """Map by these methods, as the worker process does."""

    def work() -> None:
        queue = library.queue()
        while job := queue.claim(os.getpid()):
            worker.do(job, queue, worker.run_mapping)

    session.choose_methods(methods)
    session.start()
    await asyncio.to_thread(work)
    session.poll()
    await session.settled()


def test_a_second_method_brings_agreement_colours_and_the_disputed_cells(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        session.choose_reference(SAMPLE_ATLAS)
        await session.settled()
        session.begin(home / "cells.h5ad", "cells")
        await session.settled()
        view = ModelsView(session)
        assert "Nothing is mapped yet" in view._said.object
        await map_by(session, "concord")
        assert "CONCORD has mapped these cells, and the reference" in view._said.object
        assert "CONCORD and logistic regression on expression label" in view._said.object
        assert view._go in view._box.objects
        await map_by(session, "concord", "bascvi")
        assert view._go not in view._box.objects
        assert {"CONCORD", "BA-scVI"} <= set(view._pairs.rows)
        assert "All 3 voices (2 methods and the regression on expression) label" in view._said.object
        assert "has mapped these cells" not in view._said.object
        at = agreeing.consensus_of(agreeing.names_of(session.outcomes)).level(session.level)
        view._select.clicks += 1
        wanted = np.flatnonzero(agreeing.disputed(at))
        assert (session.selection is None and not len(wanted)) or session.selection.tolist() == wanted.tolist()
        view._tint[CONSENSUS].clicks += 1
        await session.settled()
        assert isinstance(session.coloring, Categories)
        assert session.coloring.title == f"Consensus {session.level}"
        session.choose_threshold(0.99)
        await session.settled()
        unsure = at.labels.unknown | (at.labels.confidence < 0.99)
        assert session.coloring.counts[-1] == unsure.sum()
        view._tint[AGREEMENT].clicks += 1
        await session.settled()
        assert isinstance(session.coloring, Values)
        np.testing.assert_array_equal(session.coloring.values, at.agreement)
        table = pd.read_csv(BytesIO(b"".join(view._offer_all().blocks)))
        assert table["consensus"].tolist() == at.labels.labels.tolist()
        view.destroy()

    run(steps)


def test_colour_of_results_that_are_gone_says_so(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        session.choose_reference(SAMPLE_ATLAS)
        await session.settled()
        session.begin(home / "cells.h5ad", "cells")
        await session.settled()
        await map_by(session, "concord")
        session.choose_color(ColorBy(CONSENSUS, ""))
        await session.settled()
        assert "at least two methods" in session.standing("color").text

    run(steps)
