"""What leaves the program: is the person's own data untouched, is the result whole, does it open again?"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cells import counted, real_file, result_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from explorer.errors import Cancelled, FileProblem, OptionsProblem
from explorer.progress import Progress, Report
from explorer.reading.query import open_query
from explorer.writing.export import gene_names, read_gene_values, read_result, write_csv, write_expression, write_h5ad


def saved(cells: ad.AnnData, path: Path) -> Path:
    cells.write_h5ad(path)
    return path


def rich_cells() -> ad.AnnData:
    """Cells with everything that an AnnData can hold."""
    cells = counted()
    cells.raw = cells.copy()
    cells.layers["spliced"] = cells.X.tocsc()
    cells.obsm["X_pca"] = np.ones((60, 3))
    cells.obsm["X_umap"] = np.arange(120.0).reshape(60, 2)
    cells.obsp["distances"] = sparse.eye(60, format="csr")
    cells.varm["PCs"] = np.ones((80, 3))
    cells.uns["log1p"] = {"base": 2.0}
    cells.obs["novelty"] = "mine"
    return cells


def contents(path: Path) -> dict[str, object]:
    """Every dataset of a file with its type and attributes, by place."""
    found: dict[str, object] = {}

    def note(name: str, element: h5py.Group | h5py.Dataset) -> None:
        attributes = {key: np.asarray(value).tolist() for key, value in element.attrs.items()}
        values = ""
        if isinstance(element, h5py.Dataset):
            values = f"{element.dtype} {np.asarray(element[()]).tolist()!r}"
        found[name] = (attributes, values)

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


# --- h5ad --------------------------------------------------------------------------------------------------


def test_querys_own_data_is_copied_untouched(tmp_path: Path) -> None:
    path = saved(rich_cells(), tmp_path / "query.h5ad")
    before = path.read_bytes()
    query = open_query(path)
    write_h5ad(result_of(query), query, tmp_path / "result.h5ad")

    assert path.read_bytes() == before
    own, all_of_it = contents(path), contents(tmp_path / "result.h5ad")
    moved = {"obsm/X_umap": "obsm/X_umap_own", "obs/novelty": "obs/novelty_own"}
    for name, element in own.items():
        if name == "obs":
            continue
        place = next((name.replace(old, new) for old, new in moved.items() if name.startswith(old)), name)
        assert all_of_it[place] == element, name


def test_result_file_opens_with_anndata_and_holds_what_was_found(tmp_path: Path) -> None:
    query = open_query(saved(rich_cells(), tmp_path / "query.h5ad"))
    result = result_of(query)
    write_h5ad(result, query, tmp_path / "result.h5ad")
    cells = ad.read_h5ad(tmp_path / "result.h5ad")

    assert list(cells.obs) == [
        "batch",
        "score",
        "novelty_own",
        "predicted_cell_type",
        "confidence_cell_type",
        "prediction_set_cell_type",
        "predicted_lineage",
        "confidence_lineage",
        "prediction_set_lineage",
        "novelty",
        "is_unknown",
        "deepest_label",
        "deepest_level",
    ]
    first = result.labels.first
    assert cells.obs["predicted_cell_type"].tolist() == first.labels.tolist()
    np.testing.assert_array_equal(cells.obs["confidence_cell_type"], first.confidence)
    np.testing.assert_array_equal(cells.obs["novelty"], first.novelty)
    np.testing.assert_array_equal(cells.obs["is_unknown"], first.unknown)
    np.testing.assert_array_equal(cells.obsm["X_concord"], result.embedding)
    np.testing.assert_array_equal(cells.obsm["X_umap"], result.layout)
    np.testing.assert_array_equal(cells.obsm["X_umap_own"], np.arange(120.0).reshape(60, 2))
    np.testing.assert_array_equal(cells.obsm["probabilities_cell_type"], first.probabilities)

    told = cells.uns["atlas_explorer"]
    assert told["reference_checksum"] == "0123abcd"
    assert told["coverage"]["share"] == 0.8
    assert told["config"]["hidden"].tolist() == [256, 128]
    assert told["classes"]["cell_type"].tolist() == list(first.classes)
    assert any("'X_umap' is kept as 'X_umap_own'" in notice for notice in told["notices"])
    assert any("'novelty' is kept as 'novelty_own'" in notice for notice in told["notices"])


def test_result_reads_back_as_it_was(tmp_path: Path) -> None:
    query = open_query(saved(counted(), tmp_path / "query.h5ad"))
    result = result_of(query)
    write_h5ad(result, query, tmp_path / "result.h5ad")
    back = read_result(tmp_path / "result.h5ad")

    pd.testing.assert_frame_equal(back.obs, result.obs)
    np.testing.assert_array_equal(back.embedding, result.embedding)
    np.testing.assert_array_equal(back.layout, result.layout)
    for ours, theirs in zip(back.labels.levels, result.labels.levels, strict=True):
        assert (ours.level, ours.classes) == (theirs.level, theirs.classes)
        for part in ("codes", "probabilities", "confidence", "disagreement", "novelty", "stretch", "unknown"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part), err_msg=part)
            assert getattr(ours, part).dtype == getattr(theirs, part).dtype
    told = {key: value for key, value in result.provenance.config.items() if value is not None}
    assert dict(back.provenance.config) == told
    assert back.provenance.coverage == result.provenance.coverage
    assert back.provenance.notices == result.provenance.notices
    assert back.provenance.seconds == {"read and embed": 1.5}


def test_a_result_that_does_not_tell_how_far_cells_lie_is_refused(tmp_path: Path) -> None:
    query = open_query(saved(counted(), tmp_path / "query.h5ad"))
    write_h5ad(result_of(query), query, tmp_path / "result.h5ad")
    cells = ad.read_h5ad(tmp_path / "result.h5ad")
    cells.obsm["doubt_cell_type"] = cells.obsm["doubt_cell_type"][:, :3]
    cells.write_h5ad(tmp_path / "older.h5ad")
    with pytest.raises(FileProblem, match=r"older Atlas Explorer.*Map them again"):
        read_result(tmp_path / "older.h5ad")


def test_mapping_again_replaces_the_earlier_result_and_keeps_what_was_the_persons_own(tmp_path: Path) -> None:
    query = open_query(saved(rich_cells(), tmp_path / "query.h5ad"))
    write_h5ad(result_of(query, ("cell_type", "lineage")), query, tmp_path / "first.h5ad")
    again = open_query(tmp_path / "first.h5ad")
    second = result_of(again, ("tissue",), seed=1)
    write_h5ad(second, again, tmp_path / "second.h5ad")

    cells = ad.read_h5ad(tmp_path / "second.h5ad")
    assert [name for name in cells.obs if "lineage" in name or "cell_type" in name] == []
    assert set(cells.obsm) == {
        "X_pca", "X_umap", "X_umap_own", "X_concord", "probabilities_tissue", "doubt_tissue", "prediction_set_tissue",
    }
    np.testing.assert_array_equal(cells.obsm["X_umap"], second.layout)
    np.testing.assert_array_equal(cells.obsm["X_umap_own"], np.arange(120.0).reshape(60, 2))
    assert set(cells.obs["novelty_own"]) == {"mine"}


def test_colours_of_categories_lie_where_scanpy_looks_for_them(tmp_path: Path) -> None:
    mine = rich_cells()
    mine.obs["predicted_cell_type"] = pd.Categorical(["x", "y"] * 30)
    mine.uns["predicted_cell_type_colors"] = ["#000001", "#000002"]
    query = open_query(saved(mine, tmp_path / "query.h5ad"))
    result = result_of(query, ("cell_type", "lineage"))
    colors = {name: f"#0000{10 + at}" for at, name in enumerate(result.labels.first.classes)}
    asked = {"predicted_cell_type": colors, "predicted_lineage": {"none of them": "#aaaaaa"}, "score": colors}
    write_h5ad(result, query, tmp_path / "first.h5ad", asked)
    cells = ad.read_h5ad(tmp_path / "first.h5ad")
    categories = cells.obs["predicted_cell_type"].cat.categories
    assert list(cells.uns["predicted_cell_type_colors"]) == [colors[name] for name in categories]
    assert list(cells.uns["predicted_cell_type_own_colors"]) == ["#000001", "#000002"]
    assert not {"predicted_lineage_colors", "score_colors"} & set(cells.uns)

    again = open_query(tmp_path / "first.h5ad")
    write_h5ad(result_of(again, ("tissue",), seed=1), again, tmp_path / "second.h5ad")
    uns = ad.read_h5ad(tmp_path / "second.h5ad").uns
    assert [name for name in uns if name.endswith("_colors")] == ["predicted_cell_type_own_colors"]


def test_cells_handed_over_in_memory_are_written_and_left_as_they_were(tmp_path: Path) -> None:
    cells = counted()
    cells.obs["note"] = [f"n{i % 3}" for i in range(60)]
    before = cells.copy()
    query = open_query(cells)
    write_h5ad(result_of(query), query, tmp_path / "result.h5ad")
    written = ad.read_h5ad(tmp_path / "result.h5ad")
    np.testing.assert_array_equal(written.X.toarray(), cells.X.toarray())
    assert "predicted_cell_type" in written.obs
    pd.testing.assert_frame_equal(cells.obs, before.obs)


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_result_is_added_to_a_file_of_an_old_version(tmp_path: Path) -> None:
    path = saved(counted(), tmp_path / "old.h5ad")
    with h5py.File(path, "r+") as file:
        del file["obs"]
        table = np.zeros(60, dtype=[("index", "S6"), ("batch", "i1")])
        table["index"] = [f"cell{i}" for i in range(60)]
        file["obs"], file["uns/batch_categories"] = table, np.array([b"a", b"b"])
        del file["obsm"]
        file["obsm"] = np.zeros(60, dtype=[("X_umap", "f4", (2,))])
    query = open_query(path)
    write_h5ad(result_of(query), query, tmp_path / "result.h5ad")
    cells = ad.read_h5ad(tmp_path / "result.h5ad")
    assert set(cells.obs["batch"]) == {"a"}
    assert cells.obsm["X_umap_own"].shape == (60, 2)
    pd.testing.assert_frame_equal(read_result(tmp_path / "result.h5ad").obs, query.obs)


def test_the_query_itself_is_never_written_over(tmp_path: Path) -> None:
    path = saved(counted(), tmp_path / "query.h5ad")
    query = open_query(path)
    (tmp_path / "link.h5ad").symlink_to(path)
    for target in (path, tmp_path / "link.h5ad"):
        with pytest.raises(OptionsProblem, match="is the query itself"):
            write_h5ad(result_of(query), query, target)


def test_file_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="holds no mapping result"):
        read_result(saved(counted(), tmp_path / "query.h5ad"))


FULL_DISK = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cells import result_of
from explorer.errors import ResourceProblem
from explorer.writing.export import write_csv, write_expression, write_h5ad
from explorer.reading.query import open_query

query, folder = open_query(Path(sys.argv[2])), Path(sys.argv[3])
result = result_of(query)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write in (
    lambda: write_h5ad(result, query, folder / "result.h5ad"),
    lambda: write_expression(query, folder / "expression.h5"),
    lambda: write_csv(result, folder / "table.csv"),
):
    try:
        write()
    except ResourceProblem as problem:
        print(problem)
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="file size limits as a stand-in for a full disk")
def test_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = saved(counted(), tmp_path / "query.h5ad")
    folder = tmp_path / "out"
    command = [sys.executable, "-c", FULL_DISK, str(Path(__file__).parents[1]), str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("There is not enough room for") == 3
    assert list(folder.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.one_of(st.none(), st.text(max_size=8)), min_size=5, max_size=5),
    column=st.text(min_size=1, max_size=8).filter(lambda name: not set("/\0") & set(name)),
    layout=st.sampled_from(["csr", "csc", "dense"]),
)
def test_any_obs_survives_the_round_trip(tmp_path: Path, labels: list[str | None], column: str, layout: str) -> None:
    labels = [label.replace("\0", "") if label else label for label in labels]
    cells = counted(5, 4)
    cells.X = cells.X.toarray() if layout == "dense" else cells.X.asformat(layout)
    cells.X[0, 0] = 3
    cells.obs[column] = pd.Categorical(labels)
    path = tmp_path / "query.h5ad"
    try:
        saved(cells, path)
    except (ValueError, TypeError, UnicodeError):
        return  # a name or a text that AnnData itself cannot write
    query = open_query(path)
    write_h5ad(result_of(query), query, tmp_path / "result.h5ad")
    own, all_of_it = contents(path), contents(tmp_path / "result.h5ad")
    assert {name: all_of_it.get(name) for name in own if name != "obs"} == {n: e for n, e in own.items() if n != "obs"}
    pd.testing.assert_frame_equal(read_result(tmp_path / "result.h5ad").obs, query.obs)


def test_prediction_sets_and_levels_come_back(tmp_path: Path) -> None:
    query = open_query(counted())
    result = result_of(query)
    result = replace(result, labels=replace(result.labels, within={"cell_type": "lineage"}))
    write_h5ad(result, query, tmp_path / "result.h5ad")
    cells, again = ad.read_h5ad(tmp_path / "result.h5ad"), read_result(tmp_path / "result.h5ad")
    assert again.labels.within == {"cell_type": "lineage"}
    for mine, other in zip(result.labels.levels, again.labels.levels, strict=True):
        assert other.sets.dtype == bool
        np.testing.assert_array_equal(mine.sets, other.sets)
        told = [" | ".join(np.array(mine.classes)[held]) for held in mine.sets]
        assert cells.obs[f"prediction_set_{mine.level}"].tolist() == told
    assert cells.obs["deepest_label"].tolist() == again.labels.deepest_labels.tolist()
    known = [level.level for level in result.labels.levels]
    assert cells.obs["deepest_level"].tolist() == [known[at] if at >= 0 else "" for at in again.labels.deepest]


# --- csv ---------------------------------------------------------------------------------------------------


def test_table_has_the_first_level_of_every_cell(tmp_path: Path) -> None:
    query = open_query(counted())
    result = result_of(query)
    write_csv(result, tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table) == [
        "cell_id", "label", "confidence", "novelty", "unknown", "distance_ratio", "prediction_set",
        "deepest_label", "deepest_level",
    ]
    assert table["cell_id"].tolist() == query.obs.index.tolist()
    assert table["label"].tolist() == result.labels.first.labels.tolist()
    np.testing.assert_allclose(table["confidence"], result.labels.first.confidence, rtol=1e-5)
    assert table["unknown"].tolist() == result.labels.first.unknown.tolist()


# --- expression by gene ------------------------------------------------------------------------------------


def test_one_gene_of_all_cells_is_log1p_of_cp10k(tmp_path: Path) -> None:
    cells = counted()
    query = open_query(cells)
    write_expression(query, tmp_path / "expression.h5")
    counts = cells.X.toarray()
    expected = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    assert sorted(gene_names(tmp_path / "expression.h5")) == sorted(cells.var_names)
    for gene in ("G0", "G17", "G79"):
        values = read_gene_values(tmp_path / "expression.h5", gene)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[:, cells.var_names.get_loc(gene)], rtol=1e-3)


def test_blocks_join_to_all_cells(tmp_path: Path) -> None:
    cells = counted(n_cells=40_000, n_genes=3)
    write_expression(open_query(cells), tmp_path / "expression.h5")
    counts = cells.X.toarray()
    expected = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
    np.testing.assert_allclose(read_gene_values(tmp_path / "expression.h5", "G1"), expected[:, 1], rtol=1e-3)


def test_genes_are_looked_up_by_symbol_and_repeated_ones_summed(tmp_path: Path) -> None:
    cells = counted(n_genes=3)
    cells.var_names = ["ENSG00000198851.1", "ENSG00000090382", "ENSG00000198851.2"]
    write_expression(open_query(cells), tmp_path / "expression.h5")
    counts = cells.X.toarray()
    totals = counts.sum(axis=1)
    assert gene_names(tmp_path / "expression.h5") == ["CD3E", "LYZ"]
    np.testing.assert_allclose(
        read_gene_values(tmp_path / "expression.h5", "CD3E"),
        np.log1p((counts[:, 0] + counts[:, 2]) / np.maximum(totals, 1) * 1e4),
        rtol=1e-3,
    )


def test_gene_that_is_not_there_is_said(tmp_path: Path) -> None:
    write_expression(open_query(counted()), tmp_path / "expression.h5")
    with pytest.raises(OptionsProblem, match="no gene called 'CD3E'"):
        read_gene_values(tmp_path / "expression.h5", "CD3E")


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "expression.h5"
    write_expression(open_query(counted(n_genes=5)), path)
    assert len(gene_names(path)) == 5
    write_expression(open_query(counted(n_genes=7)), path)
    assert len(gene_names(path)) == 7


def test_sorting_by_gene_reports_and_stops_without_a_trace(tmp_path: Path) -> None:
    query = open_query(counted(n_cells=40_000, n_genes=3))
    reports: list[Report] = []
    write_expression(query, tmp_path / "expression.h5", Progress.to(reports.append))
    assert reports[-1].fraction == 1.0
    (tmp_path / "expression.h5").unlink()
    with pytest.raises(Cancelled):
        write_expression(query, tmp_path / "expression.h5", Progress.to(reports.append, lambda: len(reports) > 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["pbmc3k_labelled.h5ad", "pbmc_kang_scgen_valid.h5ad", "citeseq_pbmc_2x200.h5ad"])
def test_real_files_go_out_and_come_back(tmp_path: Path, name: str) -> None:
    path = real_file(name)
    query = open_query(path)
    result = result_of(query)
    write_h5ad(result, query, tmp_path / "result.h5ad")
    own, written = contents(path), contents(tmp_path / "result.h5ad")
    assert {key: written[key] for key in own if key.startswith(("X", "var", "layers", "raw"))} == {
        key: element for key, element in own.items() if key.startswith(("X", "var", "layers", "raw"))
    }
    pd.testing.assert_frame_equal(read_result(tmp_path / "result.h5ad").obs, query.obs)
