"""Surface proteins through both corridors: kept with a reference, placed by, imputed, written, told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import KINDS, PROTEINS, TYPES, planted, with_proteins

from explorer import keys
from explorer.asking.explaining import explain_label
from explorer.building.extension import extend_reference
from explorer.building.fitting import build_reference
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import MappingResult, Reference
from explorer.mapping.adapting import training_again
from explorer.mapping.corridor import BLOCK, map_query
from explorer.mapping.learning import read_annotated
from explorer.mapping.models import load_method
from explorer.progress import Progress
from explorer.reading.proteins import agreement, centred_log_ratio
from explorer.reading.query import open_query
from explorer.reference import read_proteins
from explorer.report import describe_reference, describe_result
from explorer.writing.export import read_result, write_h5ad

OF_TYPES = PROTEINS[: len(TYPES)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 planted cells with proteins: four types in three batches."""
    path = tmp_path_factory.mktemp("multimodal") / "cite.h5ad"
    with_proteins(planted(cells=25)).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def reference(source: Path) -> Reference:
    """CONCORD, which places cells by RNA alone, and Concerto, which places them by both."""
    out = source.with_name("cite.atlas")
    settings = {"labels": ("cell_type", "kind"), "batch": "batch", "preset": "paper", "device": "cpu"}
    build_reference(source, out, method="concord", **settings)
    return build_reference(source, out, method="concerto", **settings)


@pytest.fixture(scope="module")
def query() -> ad.AnnData:
    """80 cells of a batch of its own, with proteins."""
    return with_proteins(planted(TYPES, ("query",), 20, seed=1), seed=1)


NAMED = "protein_counts"


def mapped(cells: ad.AnnData, reference: Reference, method: str, **options: object) -> MappingResult:
    return map_query(open_query(cells, name="query"), reference, method, device="cpu", **options)


def without_proteins(cells: ad.AnnData) -> ad.AnnData:
    out = cells.copy()
    del out.obsm["protein_counts"]
    return out


class TestReference:
    def test_proteins_are_kept_with_their_names(self, source: Path, reference: Reference) -> None:
        assert reference.proteins == PROTEINS
        table = ad.read_h5ad(reference.folder / "cells.h5ad").obsm["proteins"]
        assert list(table.columns) == list(PROTEINS)
        own = ad.read_h5ad(source).obsm["protein_counts"].to_numpy()
        np.testing.assert_array_equal(table.to_numpy(), own)
        np.testing.assert_array_equal(read_proteins(reference), own)

    def test_the_card_says_who_places_cells_by_them(self, reference: Reference) -> None:
        assert {name: told["proteins"] for name, told in reference.card["methods"].items()} == {
            "concord": False,
            "concerto": True,
        }
        told = describe_reference(reference)
        assert f"proteins {', '.join(PROTEINS)}" in told
        assert "concerto (paper, 300 genes and proteins)" in told
        assert "concord (paper, 300 genes)," in told

    def test_quality_without_proteins_is_measured_without_them(self, reference: Reference) -> None:
        """The two kinds differ by a protein and by no gene: only with proteins can they be told apart."""
        told = reference.card["methods"]["concerto"]
        assert told["scores"]["kind"]["accuracy"] > 0.9
        assert told["scores_by_rna"]["kind"]["accuracy"] < 0.65
        assert reference.card["methods"]["concord"]["scores_by_rna"] == {}

    @pytest.mark.parametrize("method", ["concord", "concerto"])
    def test_a_method_that_learns_on_finds_them_again(self, reference: Reference, method: str) -> None:
        training = training_again(reference, load_method(reference, method, "cpu"), Progress())
        assert training.proteins == PROTEINS
        np.testing.assert_array_equal(training.cells.proteins, read_proteins(reference))

    def test_they_can_be_left_out(self, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "rna.atlas"
        settings = {"labels": ("cell_type",), "batch": "batch", "preset": "paper", "device": "cpu"}
        found = build_reference(source, out, method="concerto", proteins="none", **settings)
        assert found.proteins == ()
        assert not found.card["methods"]["concerto"]["proteins"]
        assert "proteins" not in ad.read_h5ad(out / "cells.h5ad").obsm
        again = build_reference(source, out, method="concord", **settings)
        assert again.proteins == PROTEINS

    def test_other_proteins_do_not_join_a_reference(self, source: Path, reference: Reference, tmp_path: Path) -> None:
        cells = ad.read_h5ad(source)
        cells.obsm["protein_counts"] = cells.obsm["protein_counts"].iloc[:, :2]
        cells.write_h5ad(tmp_path / "fewer.h5ad")
        with pytest.raises(ReferenceProblem, match=r"other surface proteins.*--proteins none"):
            build_reference(
                tmp_path / "fewer.h5ad", reference.folder, labels=("cell_type", "kind"), batch="batch", device="cpu"
            )

    def test_a_table_that_is_not_there(self, source: Path) -> None:
        with pytest.raises(OptionsProblem, match="no obsm table 'adt'"):
            read_annotated(source, ("cell_type",), None, None, Progress(), proteins="adt")

    def test_unknown_is_no_label(self, source: Path, tmp_path: Path) -> None:
        cells = ad.read_h5ad(source)
        names = cells.obs["cell_type"].astype(object)
        names.iloc[:7] = ["unknown", "Unknown", "UNKNOWN", "unknown ", None, "", "alpha"]
        cells.obs["cell_type"] = names.to_numpy(object)
        cells.obs["cell_type"] = pd.Categorical(cells.obs["cell_type"])
        cells.write_h5ad(tmp_path / "some.h5ad")
        found = read_annotated(tmp_path / "some.h5ad", ("cell_type",), None, None, Progress())
        assert found.classes("cell_type") == tuple(sorted(TYPES))
        assert np.flatnonzero(found.codes("cell_type") < 0).tolist() == [0, 1, 2, 3, 4, 5]

    def test_labels_of_one_batch_are_measured_within_it(self, source: Path, tmp_path: Path) -> None:
        """Left out as a whole, there would be no label to give its cells."""
        cells = ad.read_h5ad(source)
        names = cells.obs["cell_type"].astype(object)
        cells.obs["cell_type"] = pd.Categorical(names.where(cells.obs["batch"] == "b1", None))
        cells.write_h5ad(tmp_path / "one.h5ad")
        found = build_reference(
            tmp_path / "one.h5ad", tmp_path / "one.atlas", labels=("cell_type",), batch="batch", preset="paper",
            device="cpu",
        )  # fmt: skip
        scores = found.card["methods"]["concord"]["scores"]["cell_type"]
        assert scores["cells"] == 100
        assert scores["accuracy"] > 0.95


class TestMapping:
    @pytest.mark.parametrize("method", ["concord", "concerto"])
    def test_proteins_are_imputed_for_cells_without(
        self, query: ad.AnnData, reference: Reference, method: str
    ) -> None:
        result = mapped(without_proteins(query), reference, method)
        assert result.proteins.names == PROTEINS
        assert result.proteins.values.shape == result.proteins.spread.shape == (80, len(PROTEINS))
        assert result.proteins.measured is None
        near = result.neighbors.indices[:, :5]
        levels = centred_log_ratio(read_proteins(reference))
        np.testing.assert_allclose(result.proteins.values, levels[near].mean(1), atol=1e-5)
        np.testing.assert_allclose(result.proteins.spread, levels[near].std(1), atol=1e-5)

    def test_imputed_is_what_was_hidden(self, query: ad.AnnData, reference: Reference) -> None:
        """Each type's own protein is highest in it; what RNA knows nothing of stays unknown."""
        own = mapped(query, reference, "concord")
        found = agreement(own.proteins)
        assert min(found[name] for name in OF_TYPES) > 0.8
        assert abs(found[PROTEINS[-1]]) < 0.4
        hidden = mapped(without_proteins(query), reference, "concord")
        np.testing.assert_array_equal(own.embedding, hidden.embedding)
        np.testing.assert_array_equal(own.proteins.values, hidden.proteins.values)
        np.testing.assert_allclose(
            own.proteins.measured, centred_log_ratio(query.obsm["protein_counts"].to_numpy(np.float32)), atol=1e-6
        )

    def test_proteins_tell_what_genes_do_not(self, query: ad.AnnData, reference: Reference) -> None:
        own = query.obs["kind"].astype(str).to_numpy()
        by_both, by_rna = (mapped(query, reference, "concerto", proteins=table) for table in (NAMED, "none"))
        assert set(KINDS) == set(by_both.labels.level("kind").classes)
        assert (by_both.labels.level("kind").labels == own).mean() > 0.7
        assert (by_rna.labels.level("kind").labels == own).mean() < 0.65
        assert any("placed by RNA and by 6 of the reference's 6" in told for told in by_both.provenance.notices)
        assert by_both.provenance.options["proteins"] == "protein_counts"
        assert by_rna.provenance.options["proteins"] == "none"

    def test_proteins_that_nobody_named_are_compared_only(self, query: ad.AnnData, reference: Reference) -> None:
        """Stained otherwise, they would draw cells to the wrong neighbours."""
        unnamed, by_rna = (mapped(query, reference, "concerto", proteins=table) for table in (None, "none"))
        np.testing.assert_array_equal(unnamed.embedding, by_rna.embedding)
        assert unnamed.provenance.options["proteins"] == "none"
        assert any(f"--proteins {NAMED}" in told for told in unnamed.provenance.notices)
        assert len(agreement(unnamed.proteins)) == len(PROTEINS)
        assert by_rna.proteins.measured is None

    def test_cells_without_are_judged_by_what_was_learned_without(
        self, query: ad.AnnData, reference: Reference
    ) -> None:
        """Heads and calibration are those of left-out cells that had no proteins either.

        This model took few steps: by RNA alone it knows little, and says so.
        """
        trained = load_method(reference, "concerto", "cpu")
        head, by_rna = trained.heads[1], trained.heads_by_rna[1]
        assert (head.level, by_rna.level) == ("kind", "kind")
        assert by_rna.scores[by_rna.head]["accuracy"] < head.scores[head.head]["accuracy"] - 0.2
        first = mapped(without_proteins(query), reference, "concerto").labels.first
        right = (first.labels == query.obs["cell_type"].astype(str)).mean()
        assert first.confidence.mean() == pytest.approx(right, abs=0.2)

    def test_few_proteins_do_not_place_cells(self, query: ad.AnnData, reference: Reference) -> None:
        few = query.copy()
        few.obsm["protein_counts"] = few.obsm["protein_counts"].iloc[:, :2]
        result = mapped(few, reference, "concerto", proteins=NAMED)
        np.testing.assert_array_equal(
            result.embedding, mapped(without_proteins(query), reference, "concerto").embedding
        )
        assert any("too few to place cells by" in told for told in result.provenance.notices)
        assert np.isfinite(list(agreement(result.proteins).values())).sum() == 2

    def test_names_and_order_of_a_querys_proteins_change_nothing(
        self, query: ad.AnnData, reference: Reference
    ) -> None:
        other = query.copy()
        table = other.obsm["protein_counts"].rename(columns={"CD3": "CD3_TotalSeqB", "CD14": "anti-human CD14"})
        other.obsm["adt"] = table.iloc[:, ::-1]
        del other.obsm["protein_counts"]
        a, b = (
            mapped(cells, reference, "concerto", proteins=table) for cells, table in ((query, NAMED), (other, "adt"))
        )
        np.testing.assert_array_equal(a.embedding, b.embedding)
        np.testing.assert_array_equal(a.proteins.measured, b.proteins.measured)

    def test_rows_of_later_blocks_get_their_own_proteins(self, query: ad.AnnData, reference: Reference) -> None:
        times = BLOCK // query.n_obs + 1
        many = ad.concat([query] * times, index_unique="-")
        result = mapped(many, reference, "concerto", proteins=NAMED)
        assert many.n_obs > BLOCK
        once = mapped(query, reference, "concerto", proteins=NAMED)
        np.testing.assert_allclose(result.embedding[-80:], once.embedding, atol=1e-5)

    def test_cells_that_were_not_stained_go_by_rna(self, query: ad.AnnData, reference: Reference) -> None:
        half = query.copy()
        table = half.obsm["protein_counts"].copy()
        table.iloc[:40] = 0
        half.obsm["protein_counts"] = table
        result, whole = (mapped(cells, reference, "concerto", proteins=NAMED) for cells in (half, query))
        alone = mapped(query, reference, "concerto", proteins="none")
        np.testing.assert_allclose(result.embedding[:40], alone.embedding[:40], atol=1e-5)
        np.testing.assert_allclose(result.embedding[40:], whole.embedding[40:], atol=1e-5)
        assert np.isnan(result.proteins.measured[:40]).all()

    def test_a_mode_that_learns_takes_them_along(self, query: ad.AnnData, reference: Reference) -> None:
        result = mapped(query, reference, "concerto", mode="per-batch", proteins=NAMED)
        assert result.provenance.options["proteins"] == "protein_counts"
        assert (result.labels.first.labels == query.obs["cell_type"].astype(str)).mean() > 0.8

    def test_a_reference_without_proteins_imputes_none(
        self, query: ad.AnnData, planted_reference: Reference
    ) -> None:
        result = mapped(query, planted_reference, "concord")
        assert result.proteins is None
        assert "surface proteins" not in describe_result(result)


class TestAfterwards:
    def test_a_result_file_holds_them_as_tables(
        self, query: ad.AnnData, reference: Reference, tmp_path: Path
    ) -> None:
        opened = open_query(query, name="query")
        result = map_query(opened, reference, "concerto", proteins=NAMED, device="cpu")
        write_h5ad(result, opened, tmp_path / "result.h5ad")
        tables = ad.read_h5ad(tmp_path / "result.h5ad").obsm
        for name, values in zip(
            keys.RESULT_PROTEINS,
            (result.proteins.values, result.proteins.spread, result.proteins.measured),
            strict=True,
        ):
            assert list(tables[name].columns) == list(PROTEINS)
            np.testing.assert_array_equal(tables[name].to_numpy(), values)
        again = read_result(tmp_path / "result.h5ad").proteins
        assert again.names == PROTEINS
        for own, read in zip(vars(result.proteins).values(), vars(again).values(), strict=True):
            np.testing.assert_array_equal(own, read)

    def test_a_mapped_file_can_be_mapped_again(self, query: ad.AnnData, reference: Reference, tmp_path: Path) -> None:
        """What an earlier mapping imputed is neither taken for counts nor kept."""
        query.write_h5ad(tmp_path / "query.h5ad")
        first, second = tmp_path / "first.h5ad", tmp_path / "second.h5ad"
        for path, out, name in ((tmp_path / "query.h5ad", first, "concord"), (first, second, "concerto")):
            opened = open_query(path)
            write_h5ad(map_query(opened, reference, name, device="cpu"), opened, out)
        assert set(ad.read_h5ad(second).obsm) == {
            "X_concerto", "X_umap", "doubt_cell_type", "doubt_kind", "probabilities_cell_type", "probabilities_kind",
            "prediction_set_cell_type", "prediction_set_kind", "protein_counts", *keys.RESULT_PROTEINS,
        }  # fmt: skip

    def test_the_report_tells_how_far_imputed_and_measured_agree(
        self, query: ad.AnnData, reference: Reference
    ) -> None:
        told = describe_result(mapped(query, reference, "concord"))
        assert "6 surface proteins imputed from the 5 nearest reference cells, of cells placed by RNA alone" in told
        assert "Pearson's r against the query's own counts: median 0." in told
        assert "RNA and these proteins" in describe_result(mapped(query, reference, "concerto", proteins=NAMED))
        assert "Pearson" not in describe_result(mapped(without_proteins(query), reference, "concord"))

    def test_proteins_explain_labels(self, query: ad.AnnData, reference: Reference, tmp_path: Path) -> None:
        """A planted protein comes first for the type that has it, in the cells of a result file."""
        opened = open_query(query, name="query")
        result = map_query(opened, reference, "concerto", proteins=NAMED, device="cpu")
        write_h5ad(result, opened, tmp_path / "result.h5ad")
        asked = explain_label(
            open_query(tmp_path / "result.h5ad"), reference, "concerto", "alpha", measure="protein contribution",
            device="cpu",
        )  # fmt: skip
        assert asked.signature.of == "protein"
        assert asked.signature.top(1)["protein"].tolist() == [PROTEINS[0]]

    def test_named_cells_bring_theirs_into_a_reference(
        self, query: ad.AnnData, reference: Reference, tmp_path: Path
    ) -> None:
        named = query.copy()
        named.obs["mine"] = np.where(np.arange(80) < 40, "omega", "")
        for name, cells in (("with", named), ("without", without_proteins(named))):
            opened = open_query(cells, name="query")
            wider = extend_reference(reference, opened, tmp_path / f"{name}.atlas", column="mine", device="cpu")
            counts = read_proteins(wider)
            assert counts.shape == (340, len(PROTEINS))
            np.testing.assert_array_equal(counts[:300], read_proteins(reference))
            own = named.obsm["protein_counts"].to_numpy()[:40]
            np.testing.assert_array_equal(counts[300:], own if name == "with" else np.full_like(own, np.nan))
            heads = load_method(wider, "concerto", "cpu").heads_by_rna
            assert "omega" in heads[0].classes
            result = mapped(query, wider, "concerto")
            assert np.isfinite(result.proteins.values).all()  # by cells that were measured, however near the others


def test_agreement_of_too_few_or_equal_values_is_unknown(query: ad.AnnData, reference: Reference) -> None:
    found = mapped(query, reference, "concord").proteins
    measured = found.measured.copy()
    measured[2:, 0], measured[:, 1] = np.nan, 1.0
    told = agreement(replace(found, measured=measured))
    assert np.isnan(told[PROTEINS[0]])
    assert np.isnan(told[PROTEINS[1]])
    assert told[PROTEINS[2]] > 0.8
    assert agreement(replace(found, measured=None)) == {}
