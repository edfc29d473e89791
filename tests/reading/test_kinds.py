"""Peaks, spots and gene scores at the front door: what is taken, as what, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cells import real_file
from planted import SYMBOLS, TYPES, gene_table, planted
from scipy import sparse

from explorer.building.fitting import build_reference
from explorer.errors import GenesProblem, OptionsProblem
from explorer.flow import AlignedCells, Reference
from explorer.mapping.corridor import map_query
from explorer.methods import METHODS
from explorer.reading.genes import coverage, match_genes, require_coverage
from explorer.reading.kinds import DataKind, are_peaks, kind_of
from explorer.reading.query import inspect_file, open_query, read_blocks, read_rows
from explorer.reading.selection import MOST_PEAKS, accessible_peaks
from explorer.reading.values import fragments

SPELLINGS = ("chr{}:{}-{}", "chr{}_{}_{}", "chr{}-{}-{}", "{}:{}-{}")
OF_GENES = [name for name in METHODS if DataKind.PEAKS not in METHODS[name].card.builds_from]
PEAKS = [(1 + i % 19, 1000 * i, 1000 * i + 500) for i in range(len(SYMBOLS))]


def spelt(spelling: str) -> list[str]:
    return [spelling.format(*peak) for peak in PEAKS]


def opened(cells: ad.AnnData, spelling: str = SPELLINGS[0], *, times: int = 1) -> ad.AnnData:
    """Planted cells as ATAC would show them: a peak for each gene, open where one count in ten is seen."""
    seen = np.random.default_rng(0).binomial(cells.X.toarray().astype(int), 0.1) > 0
    values = sparse.csr_matrix(seen, dtype=np.float32) * times
    return ad.AnnData(values, obs=cells.obs, var=pd.DataFrame(index=spelt(spelling)))


def table(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(index=pd.Index(names, dtype=object))


@pytest.fixture(scope="module")
def peak_reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("peaks")
    opened(planted(cells=30)).write_h5ad(folder / "peaks.h5ad")
    return build_reference(
        folder / "peaks.h5ad", folder / "peaks.atlas", labels=("cell_type",), batch="batch", method="scpoli",
        preset="paper", device="cpu",
    )  # fmt: skip


class TestPeaks:
    @pytest.mark.parametrize("spelling", [*SPELLINGS, "GL00019{}.1:{}-{}", "chrUn_KI2707{}v1_{}_{}"])
    def test_peaks_are_told_by_their_names(self, spelling: str) -> None:
        assert are_peaks(spelt(spelling))
        assert kind_of(np.array(spelt(spelling), object), is_counts=True) is DataKind.PEAKS

    def test_genes_are_not_taken_for_peaks(self) -> None:
        names = ["HLA-DRA", "MT-CO1", "RP11-34-2", "7SK", "AC004556.1", "ENSG00000000003"]
        assert not are_peaks(names)
        assert kind_of(np.array(names, object), is_counts=True) is DataKind.RNA_COUNTS
        assert kind_of(np.array(names, object), is_counts=False) is DataKind.LOG_RNA

    def test_a_peak_is_the_same_however_it_is_spelt(self) -> None:
        genes = gene_table(np.array(spelt(SPELLINGS[0]), object))
        for spelling in SPELLINGS:
            order = np.random.default_rng(0).permutation(len(PEAKS))
            match = match_genes(table([spelt(spelling)[i] for i in order]), genes)
            np.testing.assert_array_equal(match.selector.argmax(1).A1, order)
            assert match.found.all()

    def test_peaks_do_not_meet_a_reference_of_genes(self) -> None:
        with pytest.raises(GenesProblem, match=r"holds peaks \(chr1:0-500 and 299 more\).*of genes\. Compute gene act"):
            match_genes(table(spelt(SPELLINGS[0])), gene_table())

    def test_genes_do_not_meet_a_reference_of_peaks(self) -> None:
        genes = gene_table(np.array(spelt(SPELLINGS[0]), object))
        with pytest.raises(GenesProblem, match=r"reference is of peaks \(such as chr1:0-500\), and your file of genes"):
            match_genes(table(list(SYMBOLS)), genes)

    def test_peaks_with_other_borders_are_refused(self) -> None:
        genes = gene_table(np.array(spelt(SPELLINGS[0]), object))
        match = match_genes(table([f"chr{c}:{start + 7}-{end}" for c, start, end in PEAKS]), genes)
        with pytest.raises(GenesProblem, match=r"0 of 300 .*count your fragments over the peaks of the reference"):
            require_coverage(coverage(match, genes), match)

    def test_the_most_accessible_are_kept(self) -> None:
        rng = np.random.default_rng(0)
        share = rng.uniform(0.01, 0.5, MOST_PEAKS + 500)
        values = sparse.csr_matrix((rng.random((40, len(share))) < share).astype(np.float32))
        cells = _aligned(values)
        kept = accessible_peaks(cells)
        counted = np.asarray(values.sum(0)).ravel()
        assert len(kept) == MOST_PEAKS
        assert (np.diff(kept) > 0).all()
        assert counted[kept].min() >= np.delete(counted, kept).max()

    def test_few_are_kept_all(self) -> None:
        np.testing.assert_array_equal(accessible_peaks(_aligned(sparse.csr_matrix(np.eye(7)))), np.arange(7))


class TestReads:
    def test_two_reads_are_a_fragment(self) -> None:
        reads = sparse.csr_matrix(np.array([[0, 1, 2, 3, 4, 5, 10]], np.float32))
        assert fragments(reads).toarray().tolist() == [[0, 1, 1, 2, 2, 3, 5]]

    def test_reads_are_counted_as_fragments_and_said(self) -> None:
        cells = planted(cells=5)
        query = open_query(opened(cells, times=2))
        assert any("taken as fragments" in notice for notice in query.notices)
        values, totals = next(read_blocks(query))
        expected = opened(cells).X
        assert (values != expected).nnz == 0
        np.testing.assert_array_equal(totals, np.asarray(expected.sum(1)).ravel())
        some, _ = read_rows(query, np.array([1, 3]))
        assert (some != expected[[1, 3]]).nnz == 0

    def test_fragments_stay_as_they_are(self) -> None:
        query = open_query(opened(planted(cells=5)))
        assert not query.of_reads
        assert any("holds peaks (such as chr1:0-500), not genes" in notice for notice in query.notices)

    def test_genes_are_never_halved(self) -> None:
        cells = planted(cells=5)
        cells.X = cells.X * 2
        assert not open_query(cells).of_reads


class TestBuilding:
    @pytest.mark.parametrize("method", OF_GENES)
    def test_a_method_of_genes_refuses_peaks(self, method: str, tmp_path: Path) -> None:
        opened(planted(cells=5)).write_h5ad(tmp_path / "peaks.h5ad")
        with pytest.raises(OptionsProblem, match=r"by peaks \(chr1:0-500 .*Train scPoli.*compute gene activity scores"):
            build_reference(
                tmp_path / "peaks.h5ad", tmp_path / "out.atlas", labels=("cell_type",), method=method, device="cpu"
            )
        assert not (tmp_path / "out.atlas").exists()

    def test_scpoli_models_peaks_by_poisson_and_keeps_them_all(self, peak_reference: Reference) -> None:
        assert peak_reference.card["methods"]["scpoli"]["genes"] == len(PEAKS)
        query = open_query(opened(planted(TYPES, ("query",), 30, seed=2), SPELLINGS[2]))
        result = map_query(query, peak_reference, "scpoli", device="cpu")
        assert result.provenance.config["likelihood"] == "poisson"
        assert (result.labels.first.labels == query.obs["cell_type"].astype(str)).mean() > 0.9

    def test_rna_is_modelled_as_it_was(self) -> None:
        config = METHODS["scpoli"].config_type.named("balanced")
        assert config.as_dict()["likelihood"] == "nb"

    def test_real_peaks_meet_themselves(self) -> None:
        query = open_query(real_file("atac_mouse_forebrain.h5ad"))
        genes = gene_table(query.var.index.to_numpy(object))
        assert match_genes(query.var, genes).found.all()
        assert not query.of_reads


class TestSpots:
    def test_spots_are_mapped_like_cells_and_that_is_said(
        self, planted_query: ad.AnnData, planted_reference: Reference, tmp_path: Path
    ) -> None:
        spots = planted_query.copy()
        spots.obsm["spatial"] = np.random.default_rng(0).random((spots.n_obs, 2))
        spots.write_h5ad(tmp_path / "spots.h5ad")
        assert any("spots are mapped one by one like cells" in n for n in inspect_file(tmp_path / "spots.h5ad").notices)
        name = planted_reference.methods[0]
        result = map_query(open_query(tmp_path / "spots.h5ad"), planted_reference, name, device="cpu")
        plain = map_query(open_query(planted_query), planted_reference, name, device="cpu")
        np.testing.assert_array_equal(result.embedding, plain.embedding)

    def test_real_spots(self) -> None:
        query = open_query(real_file("spatial_dlpfc_151510.h5ad"))
        assert any("spots" in notice for notice in query.notices)


def test_what_each_method_takes_stands_in_the_readme() -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    for method in METHODS.values():
        cells = [
            "build, map" if kind in method.card.builds_from else "map" if kind in method.card.maps else "no"
            for kind in DataKind
        ]
        assert f"| {method.card.title} | {' | '.join(cells)} |" in text, method.card.title


def _aligned(values: sparse.csr_matrix) -> AlignedCells:
    return AlignedCells(values.astype(np.float32), np.asarray(values.sum(1), np.float32).ravel(), is_counts=True)
