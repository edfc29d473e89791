"""Pinned views: kept with the project as plain values, drawn with the screen's colours, changed by their list."""

from __future__ import annotations

import asyncio
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessions import run

from explorer import keys
from explorer.app.colors.coloring import ColorBy
from explorer.app.leaving import drawing, handouts
from explorer.app.stored import library
from explorer.app.stored.packing import packed, unpacked
from explorer.app.tab import pinning, pins
from explorer.app.tab.pins import Pin, as_records, read_records
from explorer.app.tab.session import Session
from explorer.app.views.figures.panel_settings import PanelSettings
from explorer.drawing.charts import Bars, Confusion, Dots, Heat, Histogram
from explorer.drawing.coloring import label_colors
from explorer.drawing.composing import Look
from explorer.drawing.figures import Picture
from explorer.drawing.gene_charts import Violins
from explorer.drawing.tallies import CHARTS
from explorer.errors import OptionsProblem
from explorer.jobs import worker
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"


async def mapped() -> Session:
    """A session with the demo cells mapped onto the sample atlas."""
    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.begin(DEMO, "demo")
    await session.settled()
    session.start()

    def work_off() -> None:
        while job := library.queue().claim(os.getpid()):
            worker.do(job, library.queue(), worker.run_mapping)

    await asyncio.to_thread(work_off)
    session.poll()
    await session.settled()
    return session


PINS = [
    Pin("a", "Häm <b>", hidden=("T cell",), view=(0.0, 1.5, -2.0, 3.0), limits=(0.0, 2.0), split="condition"),
    Pin("b", color=("gene", "CD14"), genes=("A", "B")),
    Pin("c", kind="composition"),
]


def test_pins_survive_json_and_keep_their_order() -> None:
    assert read_records(json.loads(json.dumps(as_records(PINS)))) == PINS


def test_what_a_later_version_writes_besides_is_left_out() -> None:
    assert read_records([{**as_records(PINS)[0], "aroma": "mint"}]) == PINS[:1]


@given(st.integers(1, 2_000), st.data())
def test_a_selection_is_packed_and_found_again(n: int, data: st.DataObject) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1)))), dtype=np.int64)
    mask = unpacked(packed(rows, n), n)
    assert mask is not None
    assert np.flatnonzero(mask).tolist() == rows.tolist()
    assert unpacked(packed(rows, n), n + 8) is None
    assert unpacked(packed(None, n), n) is None


def test_pins_are_moved_renamed_and_removed() -> None:
    assert [pin.id for pin in pins.moved(PINS, "c", -1)] == ["a", "c", "b"]
    assert [pin.id for pin in pins.moved(PINS, "a", -1)] == ["a", "b", "c"]
    assert [pin.id for pin in pins.moved(PINS, "c", 1)] == ["a", "b", "c"]
    assert pins.changed(PINS, "b", title="New")[1] == replace(PINS[1], title="New")
    assert [pin.id for pin in pins.without(PINS, "b")] == ["a", "c"]


def test_pins_are_drawn_as_the_screen_shows_them(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        names = session.coloring.names
        session.param.update(hidden=[names.index(keys.UNKNOWN)], selection=np.arange(100), view=(0.0, 9.0, 0.0, 9.0))
        pinning.pin_view(session)
        (pin,) = session.pins
        (panel,) = drawing.panels_of(drawing.source_of(session), [pin])
        assert isinstance(panel, Picture)
        assert panel.coloring.colors == session.coloring.colors
        known = label_colors(session.reference, session.level)
        assert dict(zip(panel.coloring.names, panel.coloring.colors, strict=True)).items() <= known.items()
        assert (panel.hidden, panel.view) == (tuple(session.hidden), (0.0, 9.0, 0.0, 9.0))
        assert np.flatnonzero(panel.selected).tolist() == list(range(100))

        whole = replace(pin, view=None, selected="")
        offered = drawing.offered_figure(drawing.source_of(session), [whole], Look(dpi=100), "svg")
        svg = b"".join(offered.blocks).decode()
        counts = dict(zip(names, session.coloring.counts.tolist(), strict=True))
        assert f"n = {832 - counts[keys.UNKNOWN]:,}" in svg
        for name, n in counts.items():
            assert (f"{name} ({n:,})" in svg) == (n > 0 and name != keys.UNKNOWN)
        assert "were called unknown because their confidence lies under 0.50" in svg

        two = drawing.panels_of(drawing.source_of(session), [replace(whole, split="condition", hidden=())])
        condition = session.outcome.result.obs["condition"].astype(str)
        assert [panel.shown.sum() for panel in two] == condition.value_counts().sort_index().tolist()
        with pytest.raises(OptionsProblem, match="no column 'nonsense'"):
            drawing.panels_of(drawing.source_of(session), [replace(whole, split="nonsense")])

    run(steps)


def test_pins_are_there_again_in_another_tab_and_can_be_taken_back(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        pinning.pin_view(session)
        session.choose_color(ColorBy("gene", "CD14"))
        await session.settled()
        pinning.pin_view(session)
        other = Session()
        other.resume(session.project.id)
        await other.settled()
        assert other.pins == session.pins
        assert [pin.title for pin in other.pins] == [f"Predicted {session.level}", "CD14"]
        session.undo()
        await session.settled()
        assert [pin.title for pin in session.pins] == [f"Predicted {session.level}"]
        session.leave()
        assert session.pins == []

    run(steps)


def test_charts_count_the_cells_of_the_result(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        for kind in CHARTS:
            pinning.pin_chart(session, kind)
        source = drawing.source_of(session)
        *three, dots, heat, violins = session.pins
        bars, confusion, histogram = drawing.panels_of(source, three)
        assert isinstance(bars, Bars)
        assert isinstance(confusion, Confusion)
        assert isinstance(histogram, Histogram)
        obs, labels = session.outcome.result.obs, session.outcome.result.labels.level(session.level)
        called = np.where(labels.unknown, keys.UNKNOWN, labels.labels)
        for chart, column in ((bars, "condition"), (confusion, "cell_type")):
            expected = pd.crosstab(obs[column].astype(str).to_numpy(), called.astype(str))
            assert chart.counts.to_dict() == expected[chart.counts.columns].to_dict()
        with pytest.raises(OptionsProblem, match="no genes yet"):
            drawing.panels_of(source, [dots])
        settings_of = PanelSettings(session)
        settings_of.show(dots.id)
        settings_of._genes.value = "CD14; ISG15,CD14 "
        settings_of.show(heat.id)
        settings_of._genes.value = "ISG15, CD14"
        settings_of.show(violins.id)
        settings_of._genes.value = "ISG15"
        panel, fields, shapes = drawing.panels_of(source, session.pins[-3:])
        assert isinstance(panel, Dots)
        assert isinstance(fields, Heat)
        assert list(panel.mean.columns) == ["CD14", "ISG15"]
        assert panel.share.to_numpy().max() <= 1
        pd.testing.assert_frame_equal(fields.mean, panel.mean[["ISG15", "CD14"]])
        assert fields.scaled.max(axis=1).tolist() == [1, 1]
        assert dict(zip(fields.mean.index, fields.counts, strict=True)) == pd.Series(called).value_counts().to_dict()
        assert isinstance(shapes, Violins)
        assert shapes.groups.counts.sum() == len(shapes.values) == len(called)
        settings_of.destroy()

    run(steps)


def test_everything_handed_out_speaks_of_the_same_cells(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        pinning.pin_view(session)
        table = pd.read_csv(io.BytesIO(b"".join(handouts.offered_probabilities(session).blocks)))
        assert table["label"].tolist() == session.outcome.result.labels.level(session.level).labels.tolist()
        page = b"".join(handouts.offered_report(session, session.pins).blocks).decode()
        assert page.count("data:image/png;base64,") == 1
        assert handouts.paragraph(session).split(".")[0] in page
        script = b"".join(handouts.offered_script(session).blocks).decode()
        assert session.outcome.result.provenance.reference_checksum in script
        compile(script, "reproduce.py", "exec")

    run(steps)


def test_without_a_result_the_reference_is_drawn_and_the_rest_says_what_to_do(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        with pytest.raises(OptionsProblem, match="Open a reference first"):
            drawing.source_of(session)
        session.choose_reference(SAMPLE_ATLAS)
        await session.settled()
        (panel,) = drawing.panels_of(drawing.source_of(session), [pinning.view_now(session)])
        assert panel.background is None
        with pytest.raises(OptionsProblem, match="Map your cells first"):
            handouts.paragraph(session)
        with pytest.raises(OptionsProblem, match="none are mapped yet"):
            drawing.panels_of(drawing.source_of(session), [Pin("x", kind="composition")])

    run(steps)
