"""Gates over two values: what they hold, in words, kept and done again; and the tab that draws them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from sessions import run

from components import raster
from explorer import keys
from explorer.app.look import share
from explorer.app.tab.against import axis_title, find, likely, moved, offered
from explorer.app.tab.gates import (
    PLANE,
    Cells,
    Step,
    as_records,
    in_words,
    measured,
    measured_columns,
    new_gate,
    of_gene,
    of_protein,
    read_records,
    select_by,
)
from explorer.app.tab.keeping import read, written
from explorer.app.tab.session import Session
from explorer.app.tab.two_values import OPEN, TwoValues, inside, quadrant
from explorer.app.views.tabs.two_values import TITLE, TwoValuesView
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.settings import SAMPLE_ATLAS

BOTH = (True, True)
CD3D, CD8A = of_gene("CD3D"), of_gene("CD8A")

# shapes over two values

amounts = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.5])] * 2), min_size=1, max_size=30)


@given(amounts, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 2.0]))
def test_four_quarters_hold_every_cell_once(cells: list[tuple[float, float]], cut_x: float, cut_y: float) -> None:
    x, y = np.array(cells).T
    found = {
        (over_x, over_y): inside(x, y, quadrant((cut_x, cut_y), over_x=over_x, over_y=over_y), BOTH)
        for over_x in (False, True) for over_y in (False, True)
    }  # fmt: skip
    for (over_x, over_y), held in found.items():
        assert held.tolist() == [(a > cut_x) is over_x and (b > cut_y) is over_y for a, b in cells]


def test_a_lasso_holds_what_an_outline_does_and_zeros_as_one() -> None:
    random = np.random.default_rng(1)
    x, y = random.uniform(0.1, 4, (2, 2_000)).astype(np.float32)
    x[:600] = 0
    corners = ((-0.5, 2.0, 3.0, -0.5), (0.5, 0.5, 3.0, 2.0))
    placed = np.column_stack([np.where(x == 0, -0.15, x), y])
    outline = Outline(np.column_stack(corners))
    assert np.array_equal(inside(x, y, corners, (True, False)), outline.contains_points(placed))
    beside = ((-0.1, 2.0, 2.0, -0.1), (0.0, 0.0, 5.0, 5.0))
    assert not inside(x, y, beside, (True, False))[:600].any(), "a shape beside the middle of the band holds no zero"


def test_a_cell_without_a_value_is_in_no_shape() -> None:
    x, y = np.array([np.nan, 1.0, 1.0]), np.array([1.0, np.nan, 1.0])
    assert inside(x, y, ((-OPEN, OPEN), (-OPEN, OPEN)), (False, False)).tolist() == [False, False, True]
    assert inside(x, y, ((0, 3, 3, 0), (0, 0, 3, 3)), (False, False)).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ((0.5, 3.0), (1.0, 4.0), "CD3D 0.5 to 3 with CD8A 1 to 4"),
        (*quadrant((0.0, 1.5), over_x=True, over_y=False), "CD3D over 0 with CD8A up to 1.5"),
        (*quadrant((0.0, 0.0), over_x=False, over_y=False), "no CD3D with no CD8A"),
        ((-0.3, 2.0), (-0.1, 2.0), "CD3D up to 2 with CD8A over 0 to 2"),
        ((-OPEN, OPEN), (1.0, OPEN), "CD8A over 1"),
        ((0.0, 1.0, 1.0), (0.0, 0.0, 1.0), "a shape of CD3D against CD8A"),
    ],
    ids=["box", "quarter", "neither", "with zeros", "open", "lasso"],
)
def test_a_gate_is_said_in_words(x: tuple[float, ...], y: tuple[float, ...], said: str) -> None:
    assert in_words([Step("replace", PLANE, of=CD3D, name=CD8A, x=x, y=y)]) == said


def test_a_gate_means_the_same_of_other_cells_and_after_json(sample_atlas: Reference) -> None:
    cells = Cells("reference", sample_atlas, None, {}, sample_atlas.methods[0])
    total = cells.obs[keys.TOTALS].to_numpy(np.float64)
    x, y = quadrant((0.0, 2_000.0), over_x=True, over_y=False)
    step = Step("replace", PLANE, of=CD3D, name=keys.TOTALS, x=x, y=y)
    gate = new_gate("T", "reference", [step])
    assert json.loads(json.dumps(as_records([gate]), allow_nan=False)) == json.loads(json.dumps(as_records([gate])))
    again = read_records(json.loads(json.dumps(as_records([gate]))))[0]
    found = select_by(again.steps, cells)
    assert np.array_equal(found, (measured(cells, CD3D, "") > 0) & (total <= 2_000))
    assert 20 < found.sum() < cells.n - 20
    with pytest.raises(OptionsProblem, match="no column 'aroma'"):
        select_by([Step("replace", PLANE, of="aroma", name=CD3D, x=x, y=y)], cells)


def test_proteins_are_values_too(sample_atlas: Reference, tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(4, (sample_atlas.n_cells, 2)).astype(np.float32)
    with h5py.File(tmp_path / keys.CELLS_FILE, "w") as file:
        table = pd.DataFrame(counts, index=sample_atlas.obs.index, columns=["CD4", "CD19"])
        write_elem(file, f"obsm/{keys.PROTEINS}", table)
    cite = replace(sample_atlas, folder=tmp_path, card={**sample_atlas.card, "proteins": ["CD4", "CD19"]})
    cells = Cells("reference", cite, None, {}, cite.methods[0])
    assert offered(cells)["CD4 (protein)"] == of_protein("CD4")
    x, y = quadrant((0.0, 2_000.0), over_x=True, over_y=True)
    held = select_by([Step("replace", PLANE, of=of_protein("CD4"), name=keys.TOTALS, x=x, y=y)], cells)
    logs = np.log1p(counts)
    over = (logs[:, 0] > logs.mean(axis=1)) & (cite.obs[keys.TOTALS] > 2_000)
    assert np.array_equal(held, over)


# names, units, cuts


def test_values_are_found_by_any_name_and_titled_with_their_unit(sample_atlas: Reference) -> None:
    others = {"Confidence": "confidence", "CD4 (protein)": "protein:CD4"}
    genes = ("CD3D", "CD8A", "MS4A1")
    asked = ("Confidence", "CD4 (protein)", "cd20", "nogene", "")
    assert [find(text, others, genes) for text in asked] == ["confidence", "protein:CD4", "gene:MS4A1", "", ""]
    assert likely(others, genes) == TwoValues(CD3D, CD8A)
    assert likely(others, ()) == TwoValues("confidence", "protein:CD4")
    assert likely({}, ("A",)) == TwoValues()
    titles = [axis_title(of, "cell_type") for of in (CD3D, "novelty", "protein:CD4", "n_counts")]
    assert titles == ["CD3D, log1p CP10k", "Novelty, cell_type", "CD4, protein, CLR", "n_counts"]


def test_expression_is_not_cut_below_zero() -> None:
    assert moved(TwoValues(CD3D, "novelty"), (-0.2, 0.123456)).cuts == (0.0, 0.123)


def test_what_lies_against_what_is_kept_with_the_project() -> None:
    session = Session()
    session.two_values = TwoValues(CD3D, "novelty", (0.0, 0.5))
    kept = json.loads(json.dumps(written(session, ["two_values"])))
    assert read(Session(), kept)["two_values"] == session.two_values


# the tab


async def of_reference() -> Session:
    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.param.update(tab=TITLE, tabs="high")
    return session


def label_of(view: TwoValuesView, over_x: bool, over_y: bool) -> str:
    return str(view._quarters[(over_x, over_y)].label).replace("\N{NO-BREAK SPACE}", " ")


def test_the_tab_lays_cells_out_and_what_is_drawn_is_selected(home: Path) -> None:
    async def steps() -> None:
        session = await of_reference()
        view = TwoValuesView(session)
        assert view._example.label == "Show CD3D against CD8A" and view.panel.objects == [view._side]
        view._names[0].value, view._names[1].value = "cd3d", "CD8A"
        await session.settled()
        assert session.two_values == TwoValues(CD3D, CD8A) and view._names[0].value == "CD3D"
        cells = session.cells
        x, y = measured(cells, CD3D, ""), measured(cells, CD8A, "")
        neither = int(((x == 0) & (y == 0)).sum())
        assert view.panel.objects[0] is view._picture
        assert f"{cells.n:,} cells, {neither:,} zero in both. Pearson 0." in view._said.object
        assert label_of(view, False, False) == f"{neither:,} ({share(neither, cells.n)}) CD3D− CD8A−"
        assert view.plane.x_title == "CD3D, log1p CP10k" and view.plane.coloring is session.coloring

        # a quarter, then a box that narrows it, as the mode says
        view._quarters[(True, True)].clicks += 1
        await session.settled()
        assert session.selection.tolist() == np.flatnonzero((x > 0) & (y > 0)).tolist()
        assert view.plane.selected.sum() == len(session.selection)
        session.mode = "intersect"
        assert "narrows the selection" in view._hint.object
        view.plane.drawn = {"x": [1.0, 9.0], "y": [-0.3, 2.0]}
        await session.settled()
        both = (x >= 1) & (y > 0) & (y <= 2)
        assert session.selection.tolist() == np.flatnonzero(both).tolist()
        assert in_words(session.recipe) == "CD3D over 0 with CD8A over 0, within CD3D 1 to 9 with CD8A up to 2"

        # kept under a name and done again
        session.save_gate("double")
        session.select(None)
        session.apply_gate(session.gates[0].id)
        await session.settled()
        assert session.selection.tolist() == np.flatnonzero(both).tolist()

        # other cuts
        view.plane.cuts = (1.23456, 0.5)
        assert session.two_values.cuts == (1.23, 0.5) and view._cuts[0].value == 1.23
        assert label_of(view, True, True).startswith(f"{int(((x > 1.23) & (y > 0.5)).sum()):,} (")
        view.destroy()
        await asyncio.sleep(0)

    run(steps)


def test_what_is_hidden_is_neither_counted_nor_meant(home: Path) -> None:
    async def steps() -> None:
        session = await of_reference()
        view = TwoValuesView(session)
        view._take_example(None)
        await session.settled()
        session.hidden = [0]
        await session.settled()
        seen = session.coloring.raster_codes([0]) != raster.EMPTY
        x = measured(session.cells, CD3D, "")
        assert f"{int(seen.sum()):,} of {session.cells.n:,} cells" in view._said.object
        session.gate(quadrant((0.0, OPEN), over_x=True, over_y=False))
        await session.settled()
        assert session.selection.tolist() == np.flatnonzero((x > 0) & seen).tolist()
        view.destroy()

    run(steps)


def test_what_is_not_there_is_said(home: Path) -> None:
    async def steps() -> None:
        session = await of_reference()
        view = TwoValuesView(session)
        view._names[0].value = "NOGENE"
        assert "Not among these cells: NOGENE" in view._said.object
        session.two_values = TwoValues("gene:NOGENE", CD3D)
        await session.settled()
        assert "no gene called 'NOGENE'" in session.standing("two values").text
        assert view.panel.objects == [view._side]
        session.two_values = TwoValues("confidence", CD3D)
        await session.settled()
        view._names[0].value = None
        assert session.two_values.x == "confidence", "other cells may have it"
        assert "no column 'confidence'" in session.standing("two values").text
        columns = measured_columns(session.cells)
        session.two_values = TwoValues(columns[0], columns[-1])
        await session.settled()
        assert view.panel.objects[0] is view._picture and view.plane.bands == (False, False)
        view.destroy()

    run(steps)
