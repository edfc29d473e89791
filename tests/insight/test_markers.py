"""Markers: the same figures as scipy and scanpy, from files read in parts, and biology that is beyond dispute."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import bundle, codes, planted
from planted import markers as planted_markers
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from explorer.errors import Cancelled, OptionsProblem
from explorer.flow import Reference
from explorer.insight import by_gene
from explorer.insight.by_gene import of_genes
from explorer.insight.markers import draw, markers, markers_of_each
from explorer.progress import Progress
from explorer.reading.query import open_query
from explorer.settings import SAMPLE_DATA
from explorer.writing.export import write_expression

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"


@pytest.fixture(scope="module")
def few() -> ad.AnnData:
    """90 cells, 40 genes; counts so low that ties abound, a gene never seen and a gene in every cell."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(rng.gamma(0.8, 1.2, 40) + 0.1, (90, 40)).astype(np.float32)
    counts[:, 0], counts[:, 1] = 0, 50
    obs = pd.DataFrame({"side": rng.choice(["one", "other", "third"], 90)}, index=[f"c{i}" for i in range(90)])
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=[f"G{i:02d}" for i in range(40)]))


def dense(cells: ad.AnnData) -> np.ndarray:
    """log1p CP10k to the last bit, which ties hang on: as it is read."""
    return np.hstack([run.toarray() for _, run in of_genes(open_query(cells)).runs()])


class TestAgainstTwins:
    def test_values(self, few: ad.AnnData) -> None:
        counts = few.X.toarray().astype(np.float64)
        assert dense(few) == pytest.approx(np.log1p(counts * 1e4 / counts.sum(1, keepdims=True)), rel=1e-5)

    def test_rank_test(self, few: ad.AnnData) -> None:
        """Of scipy and of scikit-learn, a gene at a time."""
        inside, outside = ((few.obs["side"] == side).to_numpy() for side in ("one", "other"))
        found = markers(of_genes(open_query(few)), inside, outside).table.set_index("gene").loc[few.var_names]
        for gene, values in zip(few.var_names, dense(few).T, strict=True):
            row = found.loc[gene]
            if gene == "G00":
                assert (row["score"], row["p"], row["auroc"]) == (0, 1, 0.5)
                continue
            twin = stats.mannwhitneyu(values[inside], values[outside], use_continuity=False, method="asymptotic")
            assert row["p"] == pytest.approx(twin.pvalue, rel=1e-6)
            both = inside | outside
            assert row["auroc"] == pytest.approx(roc_auc_score(inside[both], values[both]), abs=1e-9)
            assert row["share_in"] == (values[inside] > 0).mean()
        assert found["adjusted_p"].to_numpy() == pytest.approx(stats.false_discovery_control(found["p"]))

    def test_t_test(self, few: ad.AnnData) -> None:
        inside = (few.obs["side"] == "one").to_numpy()
        found = markers(of_genes(open_query(few)), inside, test="t").table.set_index("gene").loc[few.var_names[2:]]
        values = dense(few).astype(np.float64)[:, 2:]
        twin = stats.ttest_ind(values[inside], values[~inside], equal_var=False)
        assert found["score"].to_numpy() == pytest.approx(twin.statistic, rel=1e-5)
        assert found["p"].to_numpy() == pytest.approx(twin.pvalue, rel=1e-5)
        assert "auroc" not in found

    def test_scanpy(self, few: ad.AnnData) -> None:
        """All groups at once, each against the rest; values handed over as they are ranked here."""
        import scanpy as sc

        logged = ad.AnnData(dense(few)[:, 1:], obs=few.obs.astype("category"), var=few.var[1:])
        sc.tl.rank_genes_groups(logged, "side", method="wilcoxon", tie_correct=True)
        found = markers_of_each(of_genes(open_query(few)), ["one", "other", "third"], codes(few, "side"))
        for side, of_side in found.items():
            twin = sc.get.rank_genes_groups_df(logged, side).set_index("names").loc[few.var_names[1:]]
            own = of_side.table.set_index("gene").loc[few.var_names[1:]]
            assert own["score"].to_numpy() == pytest.approx(twin["scores"].to_numpy(), rel=1e-4, abs=1e-5)
            assert own["p"].to_numpy() == pytest.approx(twin["pvals"].to_numpy(), rel=1e-3)

    def test_effect_size(self, few: ad.AnnData) -> None:
        """Of the paper's formula, on all cells; NaN for genes hardly seen."""
        inside, values = (few.obs["side"] == "one").to_numpy(), dense(few).astype(np.float64)
        found = markers(of_genes(open_query(few)), inside).table.set_index("gene").loc[few.var_names, "effect"]
        own, n = values[inside], len(values)
        with np.errstate(invalid="ignore"):
            spread = own.var(0, ddof=1) / len(own) + 100 * values.var(0, ddof=1) / n
            twin = (own.mean(0) - values.mean(0)) / np.sqrt(spread)
        seen = values.sum(0) >= 20
        assert 0 < (~seen).sum() < 39
        assert np.isnan(found[~seen]).all()
        assert found[seen].to_numpy() == pytest.approx(twin[seen], rel=1e-4)

    def test_cells_are_drawn_evenly_for_it(self) -> None:
        groups = np.repeat([0, 1, -1], [50, 7, 20]).astype(np.int32)
        drawn = draw(groups, most=10)
        assert np.bincount(groups[drawn]).tolist() == [10, 7]
        assert (drawn == draw(groups, most=10)).all()


class TestSources:
    @pytest.fixture(scope="class")
    @classmethod
    def in_memory(cls, planted_file: Path) -> pd.DataFrame:
        """Markers of alpha from cells in memory."""
        cells = ad.read_h5ad(planted_file)
        inside = (cells.obs["cell_type"] == "alpha").to_numpy()
        return markers(of_genes(open_query(cells)), inside).table.set_index("gene")

    def test_planted_markers_come_first(self, in_memory: pd.DataFrame) -> None:
        assert set(in_memory.index[:20]) == set(planted_markers("alpha"))
        assert set(in_memory.sort_values("effect", ascending=False).index[:20]) == set(planted_markers("alpha"))

    @pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
    def test_files_in_parts(
        self, layout: str, in_memory: pd.DataFrame, planted_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file read in many passes over few cells at a time gives the same."""
        cells = ad.read_h5ad(planted_file)
        cells.X = {"csr": cells.X.tocsr, "csc": cells.X.tocsc, "dense": cells.X.toarray}[layout]()
        cells.write_h5ad(tmp_path / "cells.h5ad")
        for name, value in {"_PASS_VALUES": 20_000, "_RUN_VALUES": 2_000, "_BLOCK_ROWS": 100}.items():
            monkeypatch.setattr(by_gene, name, value)
        expression = of_genes(open_query(tmp_path / "cells.h5ad"))
        assert len(list(expression.runs())) > 10
        inside = (cells.obs["cell_type"] == "alpha").to_numpy()
        pd.testing.assert_frame_equal(markers(expression, inside).table.set_index("gene"), in_memory, rtol=1e-6)

    def test_cells_of_a_reference(self, in_memory: pd.DataFrame, planted_file: Path, tmp_path: Path) -> None:
        reference = bundle(ad.read_h5ad(planted_file), tmp_path)
        inside = (reference.obs["cell_type"] == "alpha").to_numpy()
        found = markers(of_genes(reference), inside).table.set_index("gene")
        pd.testing.assert_frame_equal(found, in_memory, rtol=1e-5)

    def test_expression_file_of_a_result(self, in_memory: pd.DataFrame, planted_file: Path, tmp_path: Path) -> None:
        """It keeps three digits."""
        query = open_query(planted_file)
        write_expression(query, tmp_path / "expression.h5")
        found = markers(of_genes(tmp_path / "expression.h5"), (query.obs["cell_type"] == "alpha").to_numpy())
        table = found.table.set_index("gene").loc[in_memory.index]
        assert table["score"].to_numpy() == pytest.approx(in_memory["score"].to_numpy(), abs=0.02)
        assert table["mean_in"].to_numpy() == pytest.approx(in_memory["mean_in"].to_numpy(), abs=2e-3)

    def test_genes_of_one_name_are_summed(self) -> None:
        cells = planted(cells=4)
        halves = cells.X.toarray()
        first = np.floor(halves / 2)[:, :100]
        halves[:, :100] -= first
        names = [*cells.var_names[:100], *cells.var_names]
        genes = pd.DataFrame({"symbol": names}, index=[f"ENSG{i:011d}" for i in range(len(names))])
        split = ad.AnnData(np.hstack([first, halves]), obs=cells.obs, var=genes)
        inside = (cells.obs["cell_type"] == "beta").to_numpy()
        expected = markers(of_genes(open_query(cells)), inside).table
        pd.testing.assert_frame_equal(markers(of_genes(open_query(split)), inside).table, expected)


class TestKnownBiology:
    def test_interferon_comes_out_on_top(self) -> None:
        query = open_query(DEMO)
        stimulated = (query.obs["condition"] == "stim").to_numpy()
        for label, enough in (("CD14 Mono", 5), ("B", 7)):
            of_label = (query.obs["cell_type"] == label).to_numpy()
            table = markers(of_genes(query), of_label & stimulated, of_label & ~stimulated).table
            known = {"ISG15", "IFI6", "IFIT1", "IFIT3", "ISG20", "LY6E", "MX1"}
            assert len(known & set(table["gene"][:12])) >= enough, label
            assert len(known & set(table.nlargest(12, "effect")["gene"])) >= enough, label

    def test_cell_types_of_blood(self, sample_atlas: Reference) -> None:
        labels = pd.Categorical(sample_atlas.obs["cell_type"])
        found = markers_of_each(of_genes(sample_atlas), list(labels.categories), labels.codes.astype(np.int32))
        known = {
            "B cell": {"CD79A", "MS4A1"}, "NK cell": {"NKG7", "GNLY"}, "CD14 monocyte": {"LYZ", "CD14"},
            "CD8 T cell": {"CD8A", "CD8B"},
        }  # fmt: skip
        for label, genes in known.items():
            table = found[label].table
            assert genes <= set(table["gene"][:20]), label
            assert genes <= set(table.nlargest(30, "effect")["gene"]), label


class TestRefusals:
    @pytest.fixture
    def inside(self, few: ad.AnnData) -> np.ndarray:
        """One side of the few cells."""
        return (few.obs["side"] == "one").to_numpy()

    def test_too_few_cells(self, few: ad.AnnData, inside: np.ndarray) -> None:
        inside[np.flatnonzero(inside)[2:]] = False
        with pytest.raises(OptionsProblem, match="my cells has 2 cells; at least 3"):
            markers(of_genes(open_query(few)), inside, group="my cells")

    def test_groups_that_share_cells(self, few: ad.AnnData, inside: np.ndarray) -> None:
        with pytest.raises(OptionsProblem, match="cells are in both groups"):
            markers(of_genes(open_query(few)), inside, inside)

    def test_unknown_test(self, few: ad.AnnData, inside: np.ndarray) -> None:
        with pytest.raises(OptionsProblem, match="wilcoxon or t, not by 'anova'"):
            markers(of_genes(open_query(few)), inside, test="anova")

    def test_one_label_only(self, few: ad.AnnData) -> None:
        with pytest.raises(OptionsProblem, match="1 of 2 has as many"):
            markers_of_each(of_genes(open_query(few)), ["a", "b"], np.zeros(90, np.int32))

    def test_small_labels_are_left_out(self, few: ad.AnnData) -> None:
        of_cell = np.repeat([0, 1, 2], [45, 43, 2]).astype(np.int32)
        assert list(markers_of_each(of_genes(open_query(few)), ["a", "b", "c"], of_cell)) == ["a", "b"]

    def test_cancelling(self, few: ad.AnnData, inside: np.ndarray) -> None:
        with pytest.raises(Cancelled):
            markers(of_genes(open_query(few)), inside, progress=Progress.to(lambda _: None, lambda: True))

    def test_progress_ends_at_one(self, few: ad.AnnData, inside: np.ndarray) -> None:
        reports: list[float] = []
        markers(of_genes(open_query(few)), inside, progress=Progress.to(lambda report: reports.append(report.fraction)))
        assert reports == sorted(reports)
        assert reports[-1] == pytest.approx(1)


