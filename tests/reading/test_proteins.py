"""Surface proteins: found in files, named alike, imputed from neighbours."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import planted

from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import Neighbors
from explorer.reading.proteins import LEFT_OUT, aligned_proteins, centred_log_ratio, find_proteins, impute
from explorer.reading.query import open_query


def with_proteins(values: np.ndarray, names: list[str], key: str = "protein_counts") -> ad.AnnData:
    cells = planted(cells=5)[: len(values)].copy()
    cells.obsm[key] = pd.DataFrame(values, index=cells.obs_names, columns=names)
    return cells


def test_protein_counts_are_found_in_a_file_and_in_memory(tmp_path: Path) -> None:
    cells = with_proteins(np.array([[3, 0], [1, 7]]), ["CD3", "CD19_TotalSeqB"])
    cells.obsm["X_pca"] = np.zeros((2, 3))
    cells.write_h5ad(tmp_path / "cite.h5ad")
    for query in (open_query(tmp_path / "cite.h5ad"), open_query(cells)):
        found = find_proteins(query)
        assert found is not None
        assert found.key == "obsm/protein_counts"
        assert found.names.tolist() == ["CD3", "CD19_TotalSeqB"]
        np.testing.assert_array_equal(found.values, [[3, 0], [1, 7]])


def test_a_file_without_proteins_has_none() -> None:
    assert find_proteins(open_query(planted(cells=5))) is None


def test_a_table_can_be_named() -> None:
    cells = with_proteins(np.array([[3, 0], [1, 7]]), ["CD3", "CD19"], key="surface")
    assert find_proteins(open_query(cells)) is None
    named = find_proteins(open_query(cells), "surface")
    assert named is not None
    assert named.names.tolist() == ["CD3", "CD19"]


def test_what_cannot_be_used_is_told() -> None:
    cells = with_proteins(np.array([[3.5, 0], [1, 7]]), ["CD3", "CD19"])
    with pytest.raises(ValuesProblem, match="no counts"):
        find_proteins(open_query(cells), "protein_counts")
    with pytest.raises(OptionsProblem, match="no obsm table 'adt'"):
        find_proteins(open_query(cells), "adt")
    cells.obsm["adt"] = np.ones((2, 2))
    with pytest.raises(OptionsProblem, match="have no names"):
        find_proteins(open_query(cells), "adt")
    assert find_proteins(open_query(cells)) is None
    cells.obsm["adt"] = pd.DataFrame({"CD3": ["many", "few"]}, index=cells.obs_names)
    with pytest.raises(ValuesProblem, match="holds text"):
        find_proteins(open_query(cells), "adt")
    cells.obsm["adt"] = pd.DataFrame([[1, 2], [3, 4]], index=cells.obs_names, columns=["CD3", "CD3"])
    with pytest.raises(OptionsProblem, match="two columns called 'CD3'"):
        find_proteins(open_query(cells), "adt")


def test_none_takes_none() -> None:
    assert find_proteins(open_query(with_proteins(np.array([[3, 0], [1, 7]]), ["CD3", "CD19"])), LEFT_OUT) is None


def test_the_first_table_of_counts_is_taken() -> None:
    """Not levels that somebody made of them, and not what an earlier mapping imputed."""
    cells = with_proteins(np.array([[3, 1], [1, 7]]), ["CD3", "CD19"], key="protein_raw")
    levels = pd.DataFrame([[0.5, -0.5], [1, -1]], index=cells.obs_names, columns=["CD3", "CD19"])
    cells.obsm = {"protein_clr": levels, "proteins_imputed": levels * 0, **cells.obsm}
    found = find_proteins(open_query(cells))
    assert found is not None
    assert found.key == "obsm/protein_raw"


def test_cells_without_a_single_count_were_not_measured() -> None:
    cells = with_proteins(np.array([[0, 0], [np.nan, np.nan], [0, 7], [np.nan, 2]]), ["CD3", "CD19"])
    found = find_proteins(open_query(cells))
    assert found is not None
    np.testing.assert_array_equal(found.values, [[np.nan] * 2, [np.nan] * 2, [0, 7], [np.nan, 2]])


def test_names_can_be_stored() -> None:
    found = find_proteins(open_query(with_proteins(np.array([[1], [2]]), ["HLA-A/B/C"])))
    assert found is not None
    assert found.names.tolist() == ["HLA-A-B-C"]
    np.testing.assert_array_equal(aligned_proteins(found, ["HLA-A,B,C"])[:, 0], [1, 2])


@pytest.mark.parametrize(
    ("own", "wanted"),
    [("CD3_TotalSeqB", "CD3"), ("PD-1 (CD279)", "PD-1"), ("PD-1 (CD279)", "CD279"), ("IL7Ralpha (CD127)", "CD127"),
     ("CD8", "CD8a"), ("anti-human CD4", "CD4"), ("cd45ra", "CD45RA"), ("CD16-TotalSeqC", "CD16")],
)  # fmt: skip
def test_a_protein_is_known_by_its_other_spellings(own: str, wanted: str) -> None:
    found = find_proteins(open_query(with_proteins(np.array([[4], [9]]), [own])))
    assert found is not None
    np.testing.assert_array_equal(aligned_proteins(found, [wanted])[:, 0], [4, 9])


def test_proteins_are_reordered_and_those_not_measured_stay_empty() -> None:
    found = find_proteins(open_query(with_proteins(np.array([[4, 1], [9, 2]]), ["CD4", "CD45RO"])))
    assert found is not None
    np.testing.assert_array_equal(
        aligned_proteins(found, ["CD45RO", "CD45RA", "CD4"]), [[1, np.nan, 4], [2, np.nan, 9]]
    )


def test_centred_log_ratios_are_centred_over_what_was_measured() -> None:
    levels = centred_log_ratio(np.array([[np.e - 1, np.e**3 - 1, np.nan], [0, 0, 0]], np.float32))
    np.testing.assert_allclose(levels, [[-1, 1, np.nan], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_imputed_levels_are_those_of_the_neighbours(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(5, (30, 3)).astype(np.float32)
    counts[rng.random((30, 3)) < 0.2] = np.nan
    neighbors = Neighbors(rng.integers(0, 30, (8, 6)).astype(np.int32), rng.uniform(-0.2, 1, (8, 6)).astype(np.float32))
    found = impute(neighbors, counts, ["a", "b", "c"], k=4, weighted=weighted)
    levels = centred_log_ratio(counts)
    for cell in range(8):
        for protein in range(3):
            near = levels[neighbors.indices[cell, :4], protein]
            weights = np.maximum(neighbors.similarity[cell, :4], 0) if weighted else np.ones(4)
            known = np.isfinite(near) & (weights > 0)
            if not known.any():
                assert np.isnan(found.values[cell, protein])
                continue
            mean = np.average(near[known], weights=weights[known])
            spread = np.sqrt(np.average((near[known] - mean) ** 2, weights=weights[known]))
            assert found.values[cell, protein] == pytest.approx(mean, abs=1e-5)
            assert found.spread[cell, protein] == pytest.approx(spread, abs=1e-5)
