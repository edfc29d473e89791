"""Whatever a lab brings: is it read right, refused in one clear sentence, or mended with a notice?"""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cells import counted, real_file, transformed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from explorer.errors import AtlasError, FileProblem, OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells, Query, ValueKind
from explorer.reading.query import inspect_file, open_query, read_blocks, read_rows

COUNTS, LOG1P, LINEAR, SCALED = ValueKind.COUNTS, ValueKind.LOG1P, ValueKind.LINEAR, ValueKind.SCALED


def saved(cells: ad.AnnData, folder: Path, name: str = "cells.h5ad") -> Path:
    cells.write_h5ad(folder / name)
    return folder / name


def everything(query: Query, rows: int = 8192) -> AlignedCells:
    blocks = list(read_blocks(query, rows))
    values = sparse.csr_matrix(sparse.vstack([values for values, _ in blocks]))
    return AlignedCells(values, np.concatenate([totals for _, totals in blocks]), query.kind is COUNTS)


# --- what the values are -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "kind", "base"),
    [
        ("counts", COUNTS, 0.0),
        ("log1p of CP10k", LOG1P, np.e),
        ("log1p of CPM", LOG1P, np.e),
        ("log2 of CP10k", LOG1P, 2.0),
        ("log2 of CPM", LOG1P, 2.0),
        ("log10 of CP10k", LOG1P, 10.0),
        ("CP10k", LINEAR, 0.0),
        ("CPM", LINEAR, 0.0),
    ],
)
def test_same_cells_in_any_form_give_the_same_log_values(
    tmp_path: Path, stored: str, kind: ValueKind, base: float
) -> None:
    cells = counted()
    expected = np.log1p(cells.X.toarray() / cells.X.toarray().sum(axis=1, keepdims=True) * 1e4)
    cells.X = transformed(cells, stored)
    path = saved(cells, tmp_path)

    found = inspect_file(path).chosen
    assert (found.kind, found.log_base, found.base_is_sure) == (kind, pytest.approx(base), True)
    np.testing.assert_allclose(everything(open_query(path)).log1p().toarray(), expected, rtol=1e-3, atol=1e-4)


def test_base_is_told_even_when_most_genes_were_dropped(tmp_path: Path) -> None:
    cells = counted(n_genes=400)
    cells.X = transformed(cells, "log2 of CP10k")
    found = inspect_file(saved(cells[:, ::5].copy(), tmp_path)).chosen
    assert (found.kind, found.log_base, found.base_is_sure) == (LOG1P, 2.0, True)


def test_unclear_base_is_taken_as_natural_and_said(tmp_path: Path) -> None:
    cells = counted()
    smooth = np.random.default_rng(1).uniform(0.1, 5.0, cells.shape)
    cells.X = sparse.csr_matrix(np.where(cells.X.toarray() > 0, smooth, 0).astype(np.float32))
    inspection = inspect_file(saved(cells, tmp_path))
    assert inspection.chosen.log_base == pytest.approx(np.e)
    assert not inspection.chosen.base_is_sure
    assert any("natural one is taken" in notice for notice in inspection.notices)


def test_one_logged_cell_is_told_from_one_cell_of_counts(tmp_path: Path) -> None:
    cells = counted()
    cells.X = transformed(cells, "log1p of CP10k")
    assert inspect_file(saved(cells[:1].copy(), tmp_path)).chosen.kind is LOG1P


REAL_KINDS = {
    "pbmc_10x_4chemistries.h5ad": COUNTS,
    "pbmc_ifnb_832.h5ad": COUNTS,
    "covid_combat_6patients_unlabelled.h5ad": COUNTS,
    "heart_sinoatrial_1000.h5ad": COUNTS,
    "atac_mouse_forebrain.h5ad": COUNTS,
    "pbmc_kang_scgen_valid.h5ad": LOG1P,
    "pbmc_symphony_3tech.h5ad": LOG1P,
    "pbmc68k_reduced.h5ad": LOG1P,
    "pancreas_xin.h5ad": LOG1P,
    "pancreas_wang.h5ad": LOG1P,
}


@pytest.mark.parametrize("name", REAL_KINDS)
def test_real_files_are_taken_for_what_they_are(name: str) -> None:
    found = inspect_file(real_file(name)).chosen
    assert found.kind is REAL_KINDS[name]
    if name.startswith("pancreas"):
        assert found.log_base == 2.0
    elif found.kind is LOG1P:
        assert found.log_base == pytest.approx(np.e)


# --- which matrix is taken ---------------------------------------------------------------------------------


def layered() -> ad.AnnData:
    """Scaled X, logarithms in raw with more genes, counts in a layer."""
    cells = counted()
    logged = cells.copy()
    logged.X = transformed(cells, "log1p of CP10k")
    few = cells[:, :50].copy()
    few.layers["counts"] = few.X.copy()
    few.X = np.random.default_rng(0).normal(size=few.shape).astype(np.float32)
    few.raw = logged
    return few


def test_counts_in_a_layer_come_before_logarithms_and_scaled_values(tmp_path: Path) -> None:
    inspection = inspect_file(saved(layered(), tmp_path))
    assert inspection.chosen.name == "layers/counts"
    assert {m.name: m.kind for m in inspection.matrices} == {"X": SCALED, "raw/X": LOG1P, "layers/counts": COUNTS}
    assert any("raw/X has more genes (80 against 50)" in notice for notice in inspection.notices)


def test_raw_logarithms_come_before_scaled_values(tmp_path: Path) -> None:
    cells = layered()
    del cells.layers["counts"]
    query = open_query(saved(cells, tmp_path))
    assert (query.matrix_name, query.kind, len(query.var)) == ("raw/X", LOG1P, 80)


def test_raw_counts_of_all_genes_come_before_counts_of_selected_genes(tmp_path: Path) -> None:
    cells = counted()
    few = cells[:, :50].copy()
    few.layers["counts"] = few.X.copy()
    few.raw = cells
    assert open_query(saved(few, tmp_path)).matrix_name == "raw/X"


def test_spliced_counts_are_taken_if_nothing_is_better(tmp_path: Path) -> None:
    cells = counted()
    cells.layers["unspliced"] = cells.X.copy()
    cells.layers["spliced"] = cells.X.copy()
    cells.X = np.random.default_rng(0).normal(size=cells.shape)
    assert open_query(saved(cells, tmp_path)).matrix_name == "layers/spliced"


@pytest.mark.parametrize("asked", ["raw/X", "raw.X"])
def test_a_matrix_can_be_asked_for(tmp_path: Path, asked: str) -> None:
    assert open_query(saved(layered(), tmp_path), matrix=asked).matrix_name == "raw/X"


def test_asking_for_a_matrix_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(OptionsProblem, match="no matrix 'umis'; it has 'X', 'raw/X', 'layers/counts'"):
        open_query(saved(layered(), tmp_path), matrix="umis")


def test_asking_for_scaled_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValuesProblem, match="X holds scaled values"):
        open_query(saved(layered(), tmp_path), matrix="X")


# --- what cannot be mapped gets one clear sentence ---------------------------------------------------------


def only_scaled(cells: ad.AnnData) -> None:
    cells.X = np.random.default_rng(0).normal(size=cells.shape).astype(np.float32)


def put(value: float) -> Callable[[ad.AnnData], None]:
    def change(cells: ad.AnnData) -> None:
        cells.X.data[7] = value

    return change


def empty(cells: ad.AnnData) -> None:
    cells.X = sparse.csr_matrix(cells.shape, dtype=np.float32)


def without_matrix(cells: ad.AnnData) -> None:
    cells.X = None


BAD_VALUES = {
    "scaled only": (only_scaled, r"offers neither: X holds scaled values \(-\d.*adata.layers\['counts'\]"),
    "not a number": (put(np.nan), r"no numbers \(NaN or infinite\): 1 .*the first \(nan\) in cell cell0, gene G\d+"),
    "infinite": (put(np.inf), r"no numbers \(NaN or infinite\): 1 .*the first \(inf\) in cell cell0"),
    "a negative count": (put(-2), r"negative values, which expression cannot have: 1 .*\(-2\) in cell cell0"),
    "nothing above zero": (empty, "no value above zero"),
    "no matrix": (without_matrix, "no expression matrix"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values_are_refused(tmp_path: Path, case: str) -> None:
    spoil, sentence = BAD_VALUES[case]
    cells = counted()
    spoil(cells)
    path = saved(cells, tmp_path)
    for attempt in (lambda: inspect_file(path), lambda: open_query(path), lambda: open_query(cells)):
        with pytest.raises(AtlasError, match=sentence):
            attempt()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "no numbers"), (-3.0, "negative values"), (0.5, "fractions among counts")],
    ids=["not a number", "negative", "fraction"],
)
def test_bad_values_beyond_the_sample_are_found_when_their_block_is_read(
    tmp_path: Path, value: float, sentence: str
) -> None:
    cells = counted(n_cells=5000, n_genes=10)
    row = 700  # between two runs of the sample
    cells.X = cells.X.toarray()
    cells.X[row, 3] = value
    query = open_query(saved(cells, tmp_path))
    with pytest.raises(ValuesProblem, match=f"{sentence}.*in cell cell{row}, gene G3"):
        list(read_blocks(query, 512))


def group_file(path: Path, *groups: str) -> Path:
    with h5py.File(path, "w") as file:
        for group in groups:
            file.create_group(group)
    return path


def cut(folder: Path, share: float) -> Path:
    whole = saved(counted(), folder, "whole.h5ad").read_bytes()
    return written(folder / "cells.h5ad", whole[: int(len(whole) * share)])


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def folder_named(path: Path) -> Path:
    path.mkdir()
    return path


def without_names(folder: Path) -> Path:
    path = saved(counted(), folder)
    with h5py.File(path, "r+") as file:
        del file["obs"].attrs["_index"]
    return path


def with_wrong_shape(folder: Path) -> Path:
    path = saved(counted(), folder)
    with h5py.File(path, "r+") as file:
        file["X"].attrs["shape"] = [60, 99]
    return path


def with_wrong_index(folder: Path) -> Path:
    path = saved(counted(), folder)
    with h5py.File(path, "r+") as file:
        file["X/indices"][5] = 99
    return path


BAD_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "cells.h5ad", "There is no file"),
    "folder": (lambda d: folder_named(d / "cells.h5ad"), "is a folder"),
    "no bytes": (lambda d: written(d / "cells.h5ad", b""), r"empty \(0 bytes\)"),
    "text": (lambda d: written(d / "cells.h5ad", b"gene\tcell1\nCD3E\t4\n"), r"text that begins with 'gene\\tcell1"),
    "csv": (lambda d: written(d / "cells.csv", b"gene,cell1\nCD3E,4\n"), "read_csv"),
    "R object": (lambda d: written(d / "cells.rds", gzip.compress(b"RDX3")), "zellkonverter"),
    "compressed": (lambda d: written(d / "cells.h5ad.gz", gzip.compress(b"x")), "Unpack it first"),
    "picture": (lambda d: written(d / "cells.h5ad", b"\x89PNG\r\n\x1a\n\0\0"), "a format this program does not know"),
    "cut in the middle": (lambda d: cut(d, 0.5), "is truncated: it ends after"),
    "cut at the end": (lambda d: cut(d, 0.99), "is truncated: it ends after"),
    "10x": (lambda d: group_file(d / "cells.h5", "matrix/features"), "read_10x_h5"),
    "loom": (lambda d: group_file(d / "cells.loom", "matrix", "row_attrs", "col_attrs"), "read_loom"),
    "several modalities": (
        lambda d: group_file(d / "a.h5mu", "mod/rna", "mod/adt", "obs", "var"),
        r"modalities \(adt, rna\)",
    ),
    "other HDF5": (lambda d: group_file(d / "cells.h5ad", "weights"), "no table of cells"),
    "no cells": (lambda d: saved(counted()[:0].copy(), d), "holds 0 cells and 80 genes"),
    "no genes": (lambda d: saved(counted()[:, :0].copy(), d), "holds 60 cells and 0 genes"),
    "no cell names": (without_names, "cells of this file have no names"),
    "wrong shape": (with_wrong_shape, "X is 60 x 99, but its tables speak of 60 cells and 80 genes"),
    "wrong index": (with_wrong_index, "damaged: X speaks of genes beyond its 80"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_no_h5ad_file_is_told_what_it_is(tmp_path: Path, case: str) -> None:
    make, sentence = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(FileProblem, match=sentence):
        inspect_file(path)
    with pytest.raises(FileProblem, match=sentence):
        open_query(path)


# --- what is unusual but fine ------------------------------------------------------------------------------

LAYOUTS: dict[str, Callable[[sparse.csr_matrix], object]] = {
    "csr": lambda x: x,
    "csc": lambda x: x.tocsc(),
    "dense": lambda x: x.toarray(),
    "dense, column by column": lambda x: np.asfortranarray(x.toarray()),
    "csr of int32": lambda x: x.astype(np.int32),
    "csc of float64": lambda x: x.tocsc().astype(np.float64),
    "dense of uint16": lambda x: x.toarray().astype(np.uint16),
    "dense of float64": lambda x: x.toarray().astype(np.float64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("place", ["file", "memory", "backed"])
def test_layout_and_number_type_change_nothing(tmp_path: Path, layout: str, place: str) -> None:
    cells = counted()
    expected = cells.X.toarray()
    cells.X = LAYOUTS[layout](cells.X)
    path = saved(cells, tmp_path)
    if place == "backed":
        backed = ad.read_h5ad(path, backed="r")
        query = open_query(backed)
    else:
        query = open_query(path if place == "file" else cells)
    values = everything(query, rows=17)
    assert (query.kind, values.values.dtype, values.totals.dtype) == (COUNTS, np.float32, np.float32)
    np.testing.assert_array_equal(values.values.toarray(), expected)
    np.testing.assert_allclose(values.totals, expected.sum(axis=1))
    if place == "backed":
        backed.file.close()


def test_matrix_stored_by_gene_is_turned_round_with_a_notice(tmp_path: Path) -> None:
    cells = counted()
    cells.X = cells.X.tocsc()
    assert any("stored by gene (CSC)" in notice for notice in open_query(saved(cells, tmp_path)).notices)


def test_large_matrix_stored_by_gene_is_not_read_to_be_inspected(tmp_path: Path) -> None:
    n_cells, n_genes = 200, 50_000
    stored = n_cells * n_genes
    path = saved(counted(n_cells, 10), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["X"], file["var"]
        ad.io.write_elem(file, "var", pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]))
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csc_matrix", "encoding-version": "0.1.0", "shape": [n_cells, n_genes]})
        # Every gene is counted once in every cell; filled by default values, so the file itself is small.
        group.create_dataset("data", (stored,), np.float32, chunks=True, fillvalue=1)
        group.create_dataset("indices", data=np.tile(np.arange(n_cells, dtype=np.int32), n_genes), compression="gzip")
        group["indptr"] = np.arange(0, stored + 1, n_cells)
    tracemalloc.start()
    assert inspect_file(path).chosen.kind is COUNTS
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < stored * 16 / 2


def test_repeated_cell_names_are_kept_with_a_notice(tmp_path: Path) -> None:
    cells = counted()
    cells.obs_names = ["same"] * cells.n_obs
    with pytest.warns(UserWarning, match="not unique"):
        path = saved(ad.AnnData(cells.X, obs=cells.obs, var=cells.var), tmp_path)
    query = open_query(path)
    assert query.n_cells == cells.n_obs
    assert any("59 cell names occur more than once" in notice for notice in query.notices)
    assert not inspect_file(path).obs_names_unique


def test_one_cell_is_enough(tmp_path: Path) -> None:
    query = open_query(saved(counted()[:1].copy(), tmp_path))
    values = everything(query)
    assert (query.n_cells, values.values.shape) == (1, (1, 80))


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_cells_without_expression_are_kept_with_a_notice(tmp_path: Path, layout: str) -> None:
    cells = counted()
    dense = cells.X.toarray()
    dense[[3, 9]] = 0
    cells.X = LAYOUTS[layout](sparse.csr_matrix(dense))
    query = open_query(saved(cells, tmp_path))
    values = everything(query)
    assert any("2 of 60 cells have no expression" in notice for notice in query.notices)
    assert np.flatnonzero(values.totals == 0).tolist() == [3, 9]
    assert np.isfinite(values.log1p().toarray()).all()


def test_columns_are_described_for_the_choice_of_batch_and_colour(tmp_path: Path) -> None:
    cells = counted()
    cells.obs["flag"] = True
    cells.obs["note"] = [f"n{i}" for i in range(cells.n_obs)]
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path, convert_strings_to_categoricals=False)
    columns = {column.name: column for column in inspect_file(path).obs_columns}
    assert {name: column.dtype_kind for name, column in columns.items()} == {
        "batch": "category",
        "score": "number",
        "flag": "bool",
        "note": "text",
    }
    assert columns["batch"].examples == ("a", "b")
    assert columns["note"].n_unique == 60


def old_file(path: Path, cells: ad.AnnData) -> Path:
    """A file as AnnData 0.6 wrote it: tables as compound datasets, categories in uns, raw at the top."""
    obs = np.zeros(cells.n_obs, dtype=[("index", "S10"), ("batch", "i1"), ("score", "f8")])
    obs["index"], obs["batch"], obs["score"] = cells.obs_names, cells.obs["batch"].cat.codes, cells.obs["score"]
    var = np.zeros(cells.n_vars, dtype=[("index", "S10")])
    var["index"] = cells.var_names
    with h5py.File(path, "w") as file:
        file["obs"], file["var"], file["raw.var"] = obs, var, var
        file["uns/batch_categories"] = np.array([b"a", b"b"])
        for key, matrix in (("X", transformed(cells, "log1p of CP10k")), ("raw.X", cells.X)):
            group = file.create_group(key)
            group.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": cells.shape})
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(matrix, part)
    return path


def test_files_of_old_versions_are_read(tmp_path: Path) -> None:
    cells = counted()
    query = open_query(old_file(tmp_path / "old.h5ad", cells))
    assert (query.matrix_name, query.kind) == ("raw/X", COUNTS)
    np.testing.assert_array_equal(everything(query).values.toarray(), cells.X.toarray())
    assert query.obs["batch"].tolist() == cells.obs["batch"].tolist()
    assert query.obs.index.tolist() == cells.obs_names.tolist()


def test_part_of_a_backed_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    backed = ad.read_h5ad(saved(counted(), tmp_path), backed="r")
    with pytest.raises(OptionsProblem, match=r"adata.to_memory\(\)"):
        open_query(backed[:10])
    backed.file.close()


# --- reading by parts --------------------------------------------------------------------------------------


def test_memory_stays_flat_when_a_dense_file_is_far_larger(tmp_path: Path) -> None:
    n_cells, n_genes = 40_000, 5_000
    path = saved(counted(10, 10), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["X"], file["obs"], file["var"]
        ad.io.write_elem(file, "obs", pd.DataFrame(index=[f"c{i}" for i in range(n_cells)]))
        ad.io.write_elem(file, "var", pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]))
        # Chunks that are never written read as 0 and take no room on disk.
        file.create_dataset("X", (n_cells, n_genes), np.float32, chunks=(1000, n_genes))[0, 0] = 1
    query = open_query(path)
    tracemalloc.start()
    assert sum(values.shape[0] for values, _ in read_blocks(query)) == n_cells
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_cells * n_genes * 4 / 4


@settings(max_examples=40, deadline=None)
@given(
    counts=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 5)),
    rows=st.integers(1, 14),
)
def test_every_layout_and_block_size_gives_the_same_cells(tmp_path: Path, counts: np.ndarray, rows: int) -> None:
    counts[0, 0] = 1
    names = {"obs": pd.DataFrame(index=[f"c{i}" for i in range(len(counts))]),
             "var": pd.DataFrame(index=[f"g{i}" for i in range(counts.shape[1])])}  # fmt: skip
    for layout in (sparse.csr_matrix, sparse.csc_matrix, np.asarray):
        query = open_query(saved(ad.AnnData(layout(counts.astype(np.float32)), **names), tmp_path))
        values = everything(query, rows)
        np.testing.assert_array_equal(values.values.toarray(), counts)
        np.testing.assert_array_equal(values.totals, counts.sum(axis=1))


def test_some_rows_are_the_rows_of_the_whole(tmp_path: Path) -> None:
    query = open_query(saved(counted(n_cells=500), tmp_path))
    which = np.array([0, 1, 40, 200, 203, 499])
    values, totals = read_rows(query, which)
    whole = everything(query)
    np.testing.assert_array_equal(values.toarray(), whole.values.toarray()[which])
    np.testing.assert_array_equal(totals, whole.totals[which])
