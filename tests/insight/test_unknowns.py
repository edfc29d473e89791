"""Groups of unknown cells: a planted stranger is found, named and added; stimulated blood shows its response."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from cells import real_file
from planted import STRANGER, markers

from explorer.__main__ import main
from explorer.asking.naming import given_names, write_named
from explorer.errors import FileProblem, OptionsProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.insight.unknowns import Unknowns, unknowns
from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query
from explorer.writing.export import read_result, write_h5ad

INTERFERON = {"ISG15", "ISG20", "IFIT1", "IFIT2", "IFIT3", "IFI6", "IFI44L", "RSAD2", "CXCL10", "CXCL11",
              "CCL8", "IDO1", "APOBEC3A", "TNFSF10", "MX1", "LY6E", "OAS1", "GBP1", "IL4I1",
              "CCL2", "IFITM2", "IFITM3", "SOD2"}  # fmt: skip  (the last four: MSigDB Hallmark)


@pytest.fixture(scope="module")
def query(planted_query: ad.AnnData) -> Query:
    return open_query(planted_query, name="planted")


@pytest.fixture(scope="module")
def result(query: Query, planted_reference: Reference) -> MappingResult:
    return map_query(query, planted_reference)


@pytest.fixture(scope="module")
def found(query: Query, result: MappingResult) -> Unknowns:
    return unknowns(query, result, sample="batch", resolution=0.5)


def test_the_largest_group_is_the_stranger(found: Unknowns, result: MappingResult) -> None:
    truth = result.obs["cell_type"].astype(str).to_numpy()
    group = found.rows[found.codes == 0]
    assert (truth[group] == STRANGER).mean() > 0.8
    table = found.markers["new 1"].table
    assert set(table["gene"].head(15)) <= set(markers(STRANGER))
    told = found.table.iloc[0]
    assert set(told["markers"].split(", ")) <= set(markers(STRANGER))
    assert (told["cells"], told["samples"], told["largest_sample"]) == (len(group), 1, "query")


def test_every_chosen_cell_is_in_one_group(found: Unknowns, result: MappingResult) -> None:
    np.testing.assert_array_equal(found.rows, np.flatnonzero(result.labels.first.unknown))
    assert found.table["cells"].sum() == len(found.rows)
    assert found.table["cells"].is_monotonic_decreasing
    assert found.by_sample is not None
    assert found.by_sample.to_numpy().sum() == len(found.rows)


def test_the_same_seed_gives_the_same_groups(query: Query, result: MappingResult, found: Unknowns) -> None:
    again = unknowns(query, result, sample="batch", resolution=0.5)
    np.testing.assert_array_equal(again.codes, found.codes)
    assert again.table.equals(found.table)


def test_cells_of_ones_own_choice_can_be_grouped(query: Query, result: MappingResult) -> None:
    rows = np.flatnonzero(result.obs["cell_type"].astype(str).isin(["alpha", "beta"]))
    found = unknowns(query, result, rows, resolution=0.3)
    assert found.table["nearest"].isin(["alpha", "beta"]).all()
    assert found.by_sample is None


def test_names_go_to_the_groups_they_were_given(found: Unknowns) -> None:
    named = found.named({"new 1": "newcomer"})
    assert set(named) == {"newcomer", ""}
    np.testing.assert_array_equal(np.flatnonzero(named == "newcomer"), found.rows[found.codes == 0])
    assert set(found.named()) == {*found.names, ""}
    with pytest.raises(OptionsProblem, match="There is no cluster 'old'; there are: new 1"):
        found.named({"old": "x"})


def test_too_few_cells_are_no_groups(query: Query, result: MappingResult) -> None:
    with pytest.raises(OptionsProblem, match="2 of 300 cells are chosen; at least 3 are needed"):
        unknowns(query, result, np.array([3, 4]))
    with pytest.raises(OptionsProblem, match="no obs column 'donor id'"):
        unknowns(query, result, sample="donor id")


def test_from_unknown_cells_to_a_label_of_the_reference(
    query: Query,
    result: MappingResult,
    planted_reference: Reference,
    planted_query: ad.AnnData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Map, group, name, extend and map again, as one would in a shell."""
    mapped, named, wider = tmp_path / "mapped.h5ad", tmp_path / "named.h5ad", tmp_path / "wider.atlas"
    write_h5ad(result, query, mapped)
    words = ["unknowns", str(mapped), "--resolution", "0.5", "--sample", "batch", "--name", "new 1=newcomer"]
    assert main([*words, "--named", str(named), "--output", str(tmp_path / "groups.csv")]) == 0
    assert "new 1" in capsys.readouterr().out
    assert main(["extend", str(planted_reference.folder), str(named), "--label-column", "new_type", "--device", "cpu",
                 "--output", str(wider)]) == 0  # fmt: skip
    from explorer.reference import open_reference

    again = map_query(query, open_reference(wider))
    strangers = (planted_query.obs["cell_type"] == STRANGER).to_numpy()
    assert (again.labels.first.labels[strangers] == "newcomer").mean() > 0.9
    assert (again.labels.first.labels[~strangers] == "newcomer").mean() < 0.05


def test_a_named_copy_is_the_result_and_one_column(query: Query, result: MappingResult, tmp_path: Path) -> None:
    mapped, named = tmp_path / "mapped.h5ad", tmp_path / "named.h5ad"
    write_h5ad(result, query, mapped)
    names = np.full(result.n_cells, "", dtype=object)
    names[:5] = "mine"
    for _ in range(2):  # the column is replaced the second time
        write_named(mapped, named, names, "mine too")
    held = ad.read_h5ad(named)
    assert held.obs["mine too"].astype(str).tolist() == names.tolist()
    assert list(held.obs.columns) == [*ad.read_h5ad(mapped).obs.columns, "mine too"]
    np.testing.assert_array_equal(read_result(named).embedding, result.embedding)
    with pytest.raises(OptionsProblem, match="is the result itself"):
        write_named(mapped, mapped, names, "mine")
    with pytest.raises(OptionsProblem, match="5 names were given for 300 cells"):
        write_named(mapped, named, names[:5], "mine")


def test_a_file_that_was_not_mapped_is_refused(planted_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="holds no mapping result"):
        write_named(planted_file, tmp_path / "out.h5ad", np.array([], dtype=object), "mine")


def test_names_as_typed_in_a_shell() -> None:
    assert given_names(["new 1=a = b", " new 2 = c "]) == {"new 1": "a = b", "new 2": "c"}
    assert given_names(None) is None
    with pytest.raises(OptionsProblem, match="'new 1' names no group"):
        given_names(["new 1"])


def test_stimulated_blood_shows_its_response_without_being_told(sample_atlas: Reference) -> None:
    """Interferon-stimulated cells on healthy blood: the largest group is of theirs, and marked by the response."""
    query = open_query(real_file("pbmc_ifnb_832.h5ad"))
    result = map_query(query, sample_atlas)
    found = unknowns(query, result, sample="condition")
    told = found.table.iloc[0]
    assert told["largest_sample"] == "stim"
    assert told["largest_sample_share"] > 0.8
    table = found.markers["new 1"].table
    assert len(set(table["gene"].head(20)) & INTERFERON) >= 8
