"""Do a query's genes meet the reference's, however they are named, ordered or repeated?"""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cells import counted, real_file
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from explorer import keys
from explorer.errors import GenesProblem, OptionsProblem
from explorer.flow import AlignedCells, GeneIds, GeneMatch, Query
from explorer.reading.genes import (
    aligned_blocks,
    aligned_rows,
    coverage,
    display_names,
    ensembl_of,
    match_genes,
    require_coverage,
    select_genes,
)
from explorer.reading.query import inspect_file, open_query

SYMBOLS = ["CD3E", "MS4A1", "NKX2-1", "TBCE", "C1orf112", "GNLY", "PPBP", "LYZ", "HLA-A", "IL7R"]
ENSEMBL = list(ensembl_of(SYMBOLS))
REFERENCE = pd.DataFrame({keys.SYMBOL: SYMBOLS, keys.ENSEMBL: ENSEMBL, keys.MEAN: [5.0, 1, 1, 1, 1, 1, 1, 20, 8, 1]})


def var(names: list[str], **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object))


def pairs(match: GeneMatch) -> list[str]:
    """The reference symbol that each gene of the query feeds, "" if none."""
    fed = match.selector.toarray()
    return [SYMBOLS[row.argmax()] if row.any() else "" for row in fed]


# --- names -------------------------------------------------------------------------------------------------


def test_symbols_meet_in_any_order_with_missing_and_extra_ones() -> None:
    match = match_genes(var(["LYZ", "XKR4", "CD3E"]), REFERENCE)
    assert pairs(match) == ["LYZ", "", "CD3E"]
    assert np.flatnonzero(match.found).tolist() == [0, 7]
    assert (match.ids, match.column, match.species, match.unmatched) == (GeneIds.SYMBOL, "", "human", ("XKR4",))


def test_versions_of_ensembl_ids_are_dropped_and_said() -> None:
    match = match_genes(var([f"{name}.{i}" for i, name in enumerate(ENSEMBL)]), REFERENCE)
    assert (pairs(match), match.ids) == (SYMBOLS, GeneIds.ENSEMBL)
    assert any("Versions were dropped from 10 Ensembl ids" in notice for notice in match.notices)


def test_ensembl_ids_meet_a_reference_of_symbols_only() -> None:
    without_ids = REFERENCE.assign(**{keys.ENSEMBL: ""})
    assert pairs(match_genes(var(ENSEMBL), without_ids)) == SYMBOLS


def test_the_column_with_most_of_the_genes_is_found() -> None:
    numbered = [str(i) for i in range(len(SYMBOLS))]
    table = var(numbered, feature_types=["Gene Expression"] * 10, gene_ids=ENSEMBL)
    match = match_genes(table, REFERENCE)
    assert (pairs(match), match.column) == (SYMBOLS, "gene_ids")


def test_genes_go_by_the_names_that_were_asked_for_alone(tmp_path: Path) -> None:
    table = var(["GNLY", "NKG7", "CD14"], other=["IL7R", None, "x"], mean=[0.1, 0.2, 0.3])
    table["symbol"] = pd.Categorical(["CD3E", "MS4A1", "LYZ"])
    cells = ad.AnnData(np.arange(6, dtype=np.float32).reshape(2, 3), var=table)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    assert [column.name for column in inspect_file(tmp_path / "cells.h5ad").gene_columns] == ["other", "symbol"]
    asked_and_found = {None: ["CD3E", "MS4A1", "LYZ"], "symbol": ["CD3E", "MS4A1", "LYZ"], "other": ["IL7R", "", ""],
                       "index": ["GNLY", "", ""]}  # fmt: skip
    for asked, found in asked_and_found.items():
        for source in (cells, tmp_path / "cells.h5ad"):
            query = open_query(source, gene_names=asked)
            assert query.gene_names == (asked or "")
            assert pairs(match_genes(query.var, REFERENCE)) == found, asked
    with pytest.raises(OptionsProblem, match=r"no column of text named 'mean'; names can be: 'index', 'other'"):
        open_query(cells, gene_names="mean")


def test_both_ways_of_naming_may_stand_in_one_column() -> None:
    mixed = [symbol if i % 2 else gene for i, (symbol, gene) in enumerate(zip(SYMBOLS, ENSEMBL, strict=True))]
    assert pairs(match_genes(var(mixed), REFERENCE)) == SYMBOLS


def test_a_renamed_gene_is_found_by_its_other_name() -> None:
    renamed = ["FIRRM" if name == "C1orf112" else name for name in SYMBOLS]
    match = match_genes(var(renamed, gene_id=ENSEMBL), REFERENCE.assign(**{keys.ENSEMBL: ensembl_of(renamed)}))
    assert match.found.all()


def test_upper_and_lower_case_are_mended_and_said() -> None:
    match = match_genes(var(["C1ORF112", "lyz", "CD3E", "GNLY"]), REFERENCE)
    assert pairs(match) == ["C1orf112", "LYZ", "CD3E", "GNLY"]
    assert any("2 genes were matched in spite of upper and lower case" in notice for notice in match.notices)


def test_another_spelling_of_a_gene_that_is_there_is_left_out() -> None:
    assert pairs(match_genes(var(["LYZ", "Lyz", "CD3E"]), REFERENCE)) == ["LYZ", "", "CD3E"]


def test_repeated_symbols_made_unique_are_summed_but_real_names_with_a_number_are_not() -> None:
    match = match_genes(var(["TBCE", "TBCE-1", "NKX2-1", "PPBP-1", "CD3E"]), REFERENCE)
    # PPBP-1 stays out: without PPBP it may be anything.
    assert pairs(match) == ["TBCE", "TBCE", "NKX2-1", "", "CD3E"]
    assert any("summed: 1, such as TBCE" in notice for notice in match.notices)


def test_genome_written_before_the_name_is_dropped() -> None:
    assert pairs(match_genes(var([f"GRCh38_{name}" for name in SYMBOLS]), REFERENCE)) == SYMBOLS


def test_ids_of_symbols_are_those_of_the_primary_assembly() -> None:
    expected = ["ENSG00000198851", "ENSG00000206503", "ENSG00000232810", ""]
    assert ensembl_of(["CD3E", "HLA-A", "TNF", "no gene"]).tolist() == expected


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (var(["CD3E", "LYZ"], gene_ids=["ENSG00000198851", "ENSG00000090382"]), ["CD3E", "LYZ"]),
        (var(["ENSG00000198851.3", "ENSG00000090382"], feature_name=["CD3E", "LYZ"]), ["CD3E", "LYZ"]),
        (var(["ENSG00000198851.3", "ENSG00000000000"]), ["CD3E", "ENSG00000000000"]),
    ],
    ids=["symbols in the index", "symbols in a column", "symbols from the table"],
)
def test_people_are_shown_symbols(table: pd.DataFrame, shown: list[str]) -> None:
    assert display_names(table).tolist() == shown


# --- species -----------------------------------------------------------------------------------------------

MOUSE = var(["Cd3e", "Ms4a1", "Nkx2-1", "Tbce", "Ppbp", "Gm1992", "Il7r"])


def test_mouse_symbols_for_a_human_reference_are_refused_with_the_remedy() -> None:
    with pytest.raises(
        GenesProblem, match=r"mouse symbols \(such as Cd3e\), and this reference is human: choose 'map ort"
    ):
        match_genes(MOUSE, REFERENCE)


def test_mouse_symbols_are_translated_when_asked() -> None:
    match = match_genes(MOUSE, REFERENCE, orthologs=True)
    assert pairs(match) == ["CD3E", "MS4A1", "NKX2-1", "TBCE", "PPBP", "", "IL7R"]
    assert match.species == "mouse"
    assert any("6 mouse genes were translated" in notice and "1 have none" in notice for notice in match.notices)


def test_mouse_symbols_beside_mouse_ids_are_translated() -> None:
    table = var([f"ENSMUSG0000000000{i}" for i in range(len(MOUSE))], gene_symbol=list(MOUSE.index))
    assert pairs(match_genes(table, REFERENCE, orthologs=True))[0] == "CD3E"


def test_mouse_ids_without_symbols_cannot_be_translated_and_that_is_said() -> None:
    table = var([f"ENSMUSG0000000000{i}" for i in range(9)])
    with pytest.raises(GenesProblem, match=r"mouse Ensembl ids .* Add a column of mouse gene symbols"):
        match_genes(table, REFERENCE, orthologs=True)


def test_human_query_meets_a_mouse_reference_by_orthologues() -> None:
    reference = pd.DataFrame({keys.SYMBOL: MOUSE.index, keys.ENSEMBL: "", keys.MEAN: 1.0})
    match = match_genes(var(["LYZ", "CD3E", "IL7R"]), reference, orthologs=True)
    assert np.flatnonzero(match.found).tolist() == [0, 6]


@pytest.mark.parametrize("name", ["hematopoiesis_paul15_mouse.h5ad", "pancreas_endocrinogenesis_mouse.h5ad"])
def test_real_mouse_files_are_recognised(name: str) -> None:
    with pytest.raises(GenesProblem, match="mouse symbols"):
        match_genes(open_query(real_file(name)).var, REFERENCE)


@pytest.mark.parametrize("name", ["pbmc_ifnb_832.h5ad", "pbmc_kang_ctrl_8donors.h5ad", "heart_sinoatrial_1000.h5ad"])
def test_real_human_files_are_recognised(name: str) -> None:
    match = match_genes(open_query(real_file(name)).var, REFERENCE)
    assert match.species == "human"


# --- coverage ----------------------------------------------------------------------------------------------


def test_coverage_counts_plainly_and_by_expression() -> None:
    match = match_genes(var(["LYZ", "CD3E"]), REFERENCE)
    covered = coverage(match, REFERENCE)
    assert (covered.found, covered.needed, covered.share) == (2, 10, pytest.approx(0.2))
    assert covered.weighted_share == pytest.approx(25 / 40)
    assert covered.missing[0] == "HLA-A"
    assert coverage(match, REFERENCE, np.array([0, 7])).share == 1.0


def test_low_coverage_is_a_notice_and_full_coverage_is_none() -> None:
    match = match_genes(var(SYMBOLS[:6]), REFERENCE)
    (notice,) = require_coverage(coverage(match, REFERENCE), match)
    assert notice.startswith("6 of 10 reference genes found (60 %), 25 % by expression")
    assert "LYZ, HLA-A" in notice
    match = match_genes(var(SYMBOLS), REFERENCE)
    assert require_coverage(coverage(match, REFERENCE), match) == ()


TOO_FEW = {
    "numbers": ([str(i) for i in range(20)], r"The names are numbers \(0, 19\)"),
    "unknown Ensembl ids": ([f"ENSDARG000000000{i:02}" for i in range(20)], "of another species, or of no known gene"),
    "few genes": (["CD3E", "LYZ"], "The file has 2 genes in all"),
    "other names": ([f"probe_{i}_at" for i in range(20)], "for instance probe_0_at, probe_1_at, probe_2_at"),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_too_few_genes_are_refused_with_figures_and_a_likely_cause(case: str) -> None:
    names, cause = TOO_FEW[case]
    match = match_genes(var(names), REFERENCE)
    found = coverage(match, REFERENCE).found
    with pytest.raises(
        GenesProblem, match=rf"{found} of 10 reference genes found .* at least 30 % are needed\. .*{cause}"
    ):
        require_coverage(coverage(match, REFERENCE), match, floor=0.3)


# --- cells over the reference's genes ----------------------------------------------------------------------


def slow_twin(counts: np.ndarray, names: list[str]) -> np.ndarray:
    """Each reference gene is the sum of the query's columns of that name."""
    answer = np.zeros((len(counts), len(SYMBOLS)))
    for column, name in enumerate(names):
        if name in SYMBOLS:
            answer[:, SYMBOLS.index(name)] += counts[:, column]
    return answer


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from([*SYMBOLS, "XKR4", "SAMD11"]), min_size=1, max_size=20),
    seed=st.integers(0, 1000),
)
def test_alignment_is_the_same_as_adding_up_by_hand(names: list[str], seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(1.0, (6, len(names)))
    aligned = select_genes(sparse.csr_matrix(counts.astype(np.float32)), match_genes(var(names), REFERENCE).selector)
    np.testing.assert_array_equal(aligned.toarray(), slow_twin(counts, names))
    assert aligned.has_canonical_format


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_order_of_the_querys_genes_changes_not_a_bit(seed: int) -> None:
    cells = counted(n_genes=10)
    cells.var_names = SYMBOLS
    shuffled = cells[:, np.random.default_rng(seed).permutation(10)].copy()
    first, second = (_aligned(open_query(data)) for data in (cells, shuffled))
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(first.values, part), getattr(second.values, part))


def _aligned(query: Query, which: np.ndarray | None = None) -> AlignedCells:
    (block,) = aligned_blocks(query, match_genes(query.var, REFERENCE), which)
    return block


def test_chosen_genes_come_in_the_order_asked_and_totals_count_all_genes() -> None:
    cells = counted(n_genes=12)
    cells.var_names = [*SYMBOLS, "XKR4", "SAMD11"]
    query = open_query(cells)
    which = np.array([7, 0, 3])
    block = _aligned(query, which)
    counts = cells.X.toarray()
    np.testing.assert_array_equal(block.values.toarray(), counts[:, which])
    np.testing.assert_allclose(block.totals, counts.sum(axis=1))
    assert block.is_counts


def test_some_cells_are_aligned_as_all_are() -> None:
    cells = counted(n_cells=300, n_genes=10)
    cells.var_names = SYMBOLS
    query = open_query(cells)
    rows = np.array([3, 4, 150, 299])
    some = aligned_rows(query, match_genes(query.var, REFERENCE), rows)
    np.testing.assert_array_equal(some.values.toarray(), _aligned(query).values.toarray()[rows])
