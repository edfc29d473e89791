"""Selections by recipe, panes and drawing: done again, kept with the project, taken back; genes by any name."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sessions import run

from components.coloring import Categories, Values
from explorer import keys
from explorer.app.colors.captions import drawn_words
from explorer.app.colors.coloring import ColorBy, Style
from explorer.app.leaving.gated_files import gated, offered_gated_file
from explorer.app.stored import library
from explorer.app.tab.gates import (
    INTERSECT,
    INVERT,
    NAMES,
    RANGE,
    SHAPE,
    Cells,
    Step,
    as_records,
    extended,
    in_words,
    measured,
    new_gate,
    of_gene,
    of_rows,
    read_records,
    select_by,
)
from explorer.app.tab.session import Session
from explorer.app.tab.workspace import MOST_PANES, likely_split, plan, split_columns, split_into
from explorer.app.views.tabs.filters import FiltersView
from explorer.asking.painting import GENES, genes_named, name_of_genes
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.jobs import worker
from explorer.reading.genesearch import common_names, find_gene, genes_among, suggestions
from explorer.reading.pictures import picture_title
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA, settings

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"
KNOWN = ("MS4A1", "CD3E", "ISG15", "PDCD1", "H2-Ab1")


def with_pictures(folder: Path) -> Path:
    """Some of the demo cells with two pictures of their own and a count."""
    cells = ad.read_h5ad(DEMO)[:300].copy()
    random = np.random.default_rng(0)
    cells.obsm["X_umap"] = random.normal(size=(300, 2)).astype(np.float32)
    cells.obsm["X_pca"] = random.normal(size=(300, 7)).astype(np.float32)
    cells.obsm["protein_counts"] = random.poisson(3, (300, 4)).astype(np.float32)
    cells.obs["n_counts"] = np.asarray(scipy.sparse.csr_matrix(cells.X).sum(axis=1)).ravel()
    cells.obs["sample"] = [f"s{i % 6}" for i in range(300)]
    path = folder / "own.h5ad"
    cells.write_h5ad(path)
    return path


async def mapped(path: Path) -> Session:
    """A session with some cells mapped onto the sample atlas."""
    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.begin(path, path.stem)
    await session.settled()
    session.start()
    queue = library.queue()
    job = queue.claim(os.getpid())
    await asyncio.to_thread(worker.do, job, queue, worker.run_mapping)
    session.poll()
    await session.settled()
    return session


# recipes


def cells_of(reference: Reference) -> Cells:
    return Cells("reference", reference, None, {}, reference.methods[0])


def test_steps_meet_as_they_say(sample_atlas: Reference) -> None:
    cells = cells_of(sample_atlas)
    total = cells.obs[keys.TOTALS].to_numpy()
    some = np.arange(0, cells.n, 3)
    level = sample_atlas.levels[0]
    steps = [
        of_rows(some, cells.n),
        Step(INTERSECT, RANGE, of=keys.TOTALS, low=1_000, high=3_000),
        Step("add", NAMES, of="label", level=level, names=("NK cell",)),
        Step("subtract", NAMES, of="column", name="sample", names=("10x_5prime",)),
        Step(INVERT),
    ]
    chosen = np.zeros(cells.n, dtype=bool)
    chosen[some] = True
    chosen &= (total >= 1_000) & (total <= 3_000)
    chosen |= (cells.obs[level] == "NK cell").to_numpy()
    chosen &= ~(cells.obs["sample"] == "10x_5prime").to_numpy()
    assert np.array_equal(select_by(steps, cells), ~chosen)


def test_a_shape_means_the_same_cells_again_within_its_pane_and_without_the_hidden(sample_atlas: Reference) -> None:
    cells = cells_of(sample_atlas)
    method, level = sample_atlas.methods[0], sample_atlas.levels[0]
    points = library.reference_points(sample_atlas.folder, method)
    places = np.empty((points.n, 2), np.float32)
    places[points.order] = points.xy
    x0, y0 = np.median(places, axis=0).tolist()
    shape = Step(
        "replace", SHAPE, name=method, x=(x0, 1e4, 1e4, x0), y=(y0, y0, 1e4, 1e4), within=("sample", "10x_5prime"),
        without=("label", "", level, "CD4 T cell"),
    )  # fmt: skip
    expected = (places[:, 0] > x0) & (places[:, 1] > y0) & (cells.obs["sample"] == "10x_5prime").to_numpy()
    expected &= (cells.obs[level] != "CD4 T cell").to_numpy()
    found = select_by([shape], cells)
    on_the_line = (places[:, 0] == np.float32(x0)) | (places[:, 1] == np.float32(y0))
    assert expected.sum() > 20
    assert np.array_equal(found[~on_the_line], expected[~on_the_line])


def test_a_range_of_the_same_column_takes_the_place_of_the_one_before() -> None:
    first, other = Step(INTERSECT, RANGE, of="a", low=0, high=1), Step(INTERSECT, RANGE, of="b", low=0, high=1)
    again = Step(INTERSECT, RANGE, of="a", low=2, high=3)
    assert extended([first, other], again) == [other, again]
    assert extended([first, other], Step("replace", NAMES, names=("x",))) == [Step("replace", NAMES, names=("x",))]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("replace", RANGE, of="aroma"), "no column 'aroma'"),
        (Step("replace", NAMES, of="column", name="aroma"), "no column 'aroma'"),
        (Step("replace", "rows", rows=""), "of another file"),
        (Step("replace", NAMES, of="column", name=keys.TOTALS), "holds numbers"),
    ],
    ids=["range", "names", "rows", "numbers"],
)
def test_what_these_cells_lack_is_said(sample_atlas: Reference, step: Step, said: str) -> None:
    with pytest.raises(OptionsProblem, match=said):
        select_by([step], cells_of(sample_atlas))


step_values = st.builds(
    Step, st.sampled_from(["replace", "add", "subtract", "intersect", "invert"]),
    st.sampled_from([SHAPE, RANGE, NAMES]), st.text(max_size=5), x=st.lists(st.floats(-9, 9)).map(tuple),
    low=st.floats(-9, 9), names=st.lists(st.text(max_size=5)).map(tuple),
)  # fmt: skip


@given(st.lists(step_values, max_size=4), st.text())
def test_saved_selections_survive_json(steps: list[Step], title: str) -> None:
    gate = new_gate(title, "query", steps)
    assert read_records(json.loads(json.dumps(as_records([gate])))) == [gate]


# genes


@pytest.mark.parametrize(
    ("text", "gene"),
    [("isg15", "ISG15"), ("cd20", "MS4A1"), ("CD20 (MS4A1)", "MS4A1"), ("ENSG00000187608.12", "ISG15"),
     ("PD-1", "PDCD1"), (" CD3 ", "CD3E"), ("h2-ab1", "H2-Ab1"), ("CD19", None), ("", None)],
)  # fmt: skip
def test_a_gene_is_found_by_any_of_its_names(text: str, gene: str | None) -> None:
    assert find_gene(text, KNOWN) == gene


def test_cells_named_by_ensembl_ids_are_asked_by_symbol() -> None:
    assert find_gene("ISG15", ("ENSG00000187608",)) == "ENSG00000187608"


def test_suggestions_name_only_genes_that_are_there() -> None:
    offered = suggestions(KNOWN)
    assert offered[: len(KNOWN)] == list(KNOWN)
    assert "CD20 (MS4A1)" in offered
    assert not any("FCGR3A" in each for each in offered)


def test_common_names_are_no_symbols_of_other_genes(sample_atlas: Reference) -> None:
    symbols = set(sample_atlas.genes[keys.SYMBOL])
    assert not [name for name, symbol in common_names().items() if name in symbols and symbol != name]


def test_a_list_of_genes_says_what_it_lacks() -> None:
    assert genes_among("CD3, CD20;ISG15\ncd3e foo", KNOWN) == (["CD3E", "MS4A1", "ISG15"], ["foo"])
    assert genes_named(name_of_genes("T: cells", ["CD3E", "CD3D"])) == ("T  cells", ("CD3E", "CD3D"))


# the line below the map


def test_the_line_says_how_values_were_drawn() -> None:
    values = Values(np.array([0.0, 1.0, 2.0, 3.0]), zeros_grey=True, order="low on top", clip=(0.0, 100.0))
    said = drawn_words(values, Style(clip=(0.0, 100.0)), 3, is_automatic=False)
    assert said == "draw order: low on top · zeros grey · scale 1.00 to 3.00, clipped at p0 and p100 · points 3 px"
    fixed = Values(np.array([0.2]), limits=(0.0, 1.0))
    assert "clipped" not in drawn_words(fixed, Style(), 1, is_automatic=True)
    names = Categories(np.array([0]), ("a",), ("#000000",))
    assert drawn_words(names, Style(), 1, is_automatic=True) == "draw order: random · points 1 px by cells in view"


# a session


def test_panes_selections_and_drawing_are_kept_taken_back_and_handed_out(home: Path) -> None:
    async def steps() -> None:
        session = await mapped(with_pictures(home))
        assert session.outcome.pictures == ("X_pca", "X_umap_own")
        assert [picture_title(name) for name in session.outcome.pictures] == ["Your X_pca", "Your X_umap"]

        # panes
        assert [pane.cells for pane in plan(session)] == ["query"]
        session.arrange(panes="two")
        assert [pane.cells for pane in plan(session)] == ["query", "reference"]
        assert "sample" in split_columns(session)
        session.arrange(panes="split", split="sample")
        assert len(split_into(session)) == MOST_PANES
        session.arrange(split_shown=["s1", "s5"], picture="X_umap_own")
        assert [(pane.title, pane.n, pane.picture) for pane in plan(session)] == [
            ("s1", 50, "X_umap_own"), ("s5", 50, "X_umap_own")
        ]  # fmt: skip
        sample = session.outcome.result.obs["sample"]
        assert np.array_equal(plan(session)[0].shown, sample == "s1")

        # a column of the reference's cells splits none of the query's; theirs do instead, until it can again
        session.arrange(show="reference", split="lineage")
        assert likely_split(session) == "lineage"
        session.arrange(show="query")
        assert likely_split(session) != "lineage" and likely_split(session) in split_columns(session)
        assert session.split == "lineage"
        session.arrange(split="sample", split_shown=["s1", "s5"])

        # drawing
        session.choose_color(ColorBy("gene", "ISG15"))
        session.arrange(order="low on top", zeros_grey=False, clip=(5.0, 80.0))
        await session.settled()
        coloring = session.coloring
        assert (coloring.order, coloring.zeros_grey) == ("low on top", False)
        seen = coloring.values[coloring.values != 0]
        assert coloring.scale == pytest.approx(tuple(np.percentile(seen, [5, 80])))
        genes = [read for read in ("ISG15", "IFI6") if read in session.outcome.genes]
        single = [await value_of(session, gene) for gene in genes]
        session.choose_color(ColorBy(GENES, name_of_genes("Interferon", genes)))
        await session.settled()
        assert session.coloring.values == pytest.approx(np.mean(single, axis=0), abs=1e-3)

        # selections
        session.brush("confidence", (0.9, 1.0))
        await session.settled()
        labels = session.outcome.result.labels.level(session.level)
        sure = np.flatnonzero(labels.confidence >= np.float32(0.9))
        assert session.selection.tolist() == sure.tolist()
        session.save_gate("Sure / cells")
        session.invert()
        await session.settled()
        assert session.selection.tolist() == np.flatnonzero(labels.confidence < np.float32(0.9)).tolist()
        session.undo()
        assert session.selection.tolist() == sure.tolist()
        assert list(gated(session)) == ["selection_Sure _ cells"]

        # files
        path = home / "out.h5ad"
        path.write_bytes(b"".join(offered_gated_file(session).blocks))
        written = ad.read_h5ad(path)
        assert np.flatnonzero(written.obs["selection_Sure _ cells"]).tolist() == sure.tolist()
        assert "confidence" in written.uns["atlas_explorer_selections"]["selection_Sure _ cells"]
        assert not list((settings().home / "handouts").iterdir())

        # another tab
        other = Session()
        other.resume(session.project.id)
        await other.settled()
        other.poll()
        await other.settled()
        assert other.selection.tolist() == sure.tolist()
        assert [gate.title for gate in other.gates] == ["Sure / cells"]
        assert (other.panes, other.split, other.split_shown) == ("split", "sample", ["s1", "s5"])
        assert (other.order, other.zeros_grey, other.clip) == ("low on top", False, (5.0, 80.0))
        other.select(None)
        other.apply_gate(other.gates[0].id)
        await other.settled()
        assert other.selection.tolist() == sure.tolist()

    run(steps)


async def value_of(session: Session, gene: str) -> np.ndarray:
    session.choose_color(ColorBy("gene", gene))
    await session.settled()
    return np.array(session.coloring.values)


def test_ranges_of_two_genes_select_the_cells_that_meet_both(home: Path) -> None:
    async def steps() -> None:
        session = await mapped(with_pictures(home))
        view = FiltersView(session)
        view._genes.value = "cd3e, MS4A1 NOGENE"
        assert [view._bars[name].title for name in ("gene:CD3E", "gene:MS4A1")] == ["CD3E", "MS4A1"]
        assert "Not among these cells: NOGENE" in view._said.object
        values = {gene: measured(session.cells, of_gene(gene), session.level) for gene in ("CD3E", "MS4A1")}
        view._bars["gene:CD3E"].ends = [0.5, 9.0]
        await session.settled()
        view._bars["gene:MS4A1"].ends = [0.0, 0.1]
        await session.settled()
        wanted = (values["CD3E"] >= 0.5) & (values["CD3E"] <= 9) & (values["MS4A1"] <= 0.1)
        assert 0 < wanted.sum() < len(wanted)
        assert session.selection.tolist() == np.flatnonzero(wanted).tolist()
        assert in_words(session.recipe) == "CD3E 0.5 to 9, within MS4A1 0 to 0.1"
        view._genes.value = ""
        assert view._bars["gene:CD3E"] in view._row.objects, "a range stays in view"
        view.destroy()

    run(steps)
