"""Which genes a reference has, and which of them are worth learning from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted import MARKERS, SYMBOLS, TYPES, aligned, codes, markers, planted
from scipy import sparse

from explorer.flow import AlignedCells
from explorer.reading.selection import gene_table, variable_genes


class TestGeneTable:
    def test_symbols_get_the_ensembl_ids_of_the_bundled_table(self) -> None:
        table = gene_table(pd.DataFrame(index=["CD3E", "MS4A1", "no such gene"]))
        assert table["symbol"].tolist() == ["CD3E", "MS4A1", "no such gene"]
        assert table["ensembl"].tolist() == ["ENSG00000198851", "ENSG00000156738", ""]

    @pytest.mark.parametrize("column", ["gene_id", "gene_ids", "ensembl"])
    def test_ensembl_ids_of_the_file_come_first(self, column: str) -> None:
        table = gene_table(pd.DataFrame({column: ["ENSG00000000001.4", "ENSG00000000002"]}, index=["CD3E", "MS4A1"]))
        assert table["ensembl"].tolist() == ["ENSG00000000001", "ENSG00000000002"]

    @pytest.mark.parametrize("column", ["feature_name", "symbol", "gene_short_name"])
    def test_a_file_named_by_ensembl_ids_keeps_its_symbols(self, column: str) -> None:
        index = ["ENSG00000198851.12", "ENSG00000156738"]
        table = gene_table(pd.DataFrame({column: ["CD3E", "MS4A1"]}, index=index))
        assert table["symbol"].tolist() == ["CD3E", "MS4A1"]
        assert table["ensembl"].tolist() == ["ENSG00000198851", "ENSG00000156738"]

    def test_a_gene_that_stands_twice_is_one_gene(self) -> None:
        table = gene_table(pd.DataFrame(index=["CD3E", "MS4A1", "CD3E"]))
        assert table["symbol"].tolist() == ["CD3E", "MS4A1"]
        assert table.index.tolist() == [0, 1]


class TestVariableGenes:
    planted_markers = np.flatnonzero(np.isin(SYMBOLS, np.concatenate([markers(label) for label in TYPES])))

    def test_planted_markers_are_found_and_positions_ascend(self) -> None:
        cells = planted(cells=30)
        found = variable_genes(aligned(cells), codes(cells, "batch"), len(TYPES) * MARKERS)
        assert len(found) == len(TYPES) * MARKERS
        assert (np.diff(found) > 0).all()
        assert np.isin(found, self.planted_markers).mean() > 0.9

    def test_values_that_are_no_counts_are_ranked_by_dispersion(self) -> None:
        cells = planted(cells=30)
        counts = aligned(cells)
        scaled = AlignedCells(counts.values * np.float32(1.37), counts.totals * np.float32(1.37), is_counts=False)
        found = variable_genes(scaled, codes(cells, "batch"), len(TYPES) * MARKERS)
        assert np.isin(found, self.planted_markers).mean() > 0.5

    def test_all_genes_where_fewer_are_there_than_asked_for(self) -> None:
        cells = planted(cells=10)
        assert variable_genes(aligned(cells), codes(cells, "batch"), 2000).tolist() == list(range(len(SYMBOLS)))

    def test_one_batch(self) -> None:
        cells = planted(batches=("only",), cells=40)
        found = variable_genes(aligned(cells), codes(cells, "batch"), 80)
        assert np.isin(found, self.planted_markers).mean() > 0.9

    @pytest.mark.parametrize("few", [1, 2, 3], ids=str)
    def test_a_batch_of_very_few_cells_does_not_matter(self, few: int) -> None:
        cells = planted(cells=30)
        batch = codes(cells, "batch").copy()
        batch[:few] = 3
        found = variable_genes(aligned(cells), batch, 80)
        assert len(found) == 80
        assert np.isin(found, self.planted_markers).mean() > 0.5

    def test_genes_that_nobody_expresses_are_not_chosen(self) -> None:
        cells = planted(cells=30)
        counts = aligned(cells)
        silent = counts.values.tolil()
        silent[:, 200:] = 0
        found = variable_genes(AlignedCells(silent.tocsr(), counts.totals, True), codes(cells, "batch"), 100)
        assert found.max() < 200

    def test_same_cells_same_genes(self) -> None:
        cells = planted(cells=20)
        once, again = (variable_genes(aligned(cells), codes(cells, "batch"), 50) for _ in range(2))
        np.testing.assert_array_equal(once, again)

    def test_cells_stay_as_they_are(self) -> None:
        cells = aligned(planted(cells=10))
        before = cells.values.copy()
        variable_genes(cells, np.zeros(cells.n_cells, np.int32), 50)
        assert (sparse.csr_matrix(before) != cells.values).nnz == 0
