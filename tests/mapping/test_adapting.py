"""Methods that learn from a query: what they are given, what moves along with them, what stays and is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
from planted import BATCHES, TYPES, planted
from scipy import sparse
from small_method import RECENTRED, Small

from explorer.building.fitting import build_reference
from explorer.errors import Cancelled, OptionsProblem, ReferenceProblem
from explorer.flow import MappingResult, Reference
from explorer.mapping.corridor import load_method, map_query
from explorer.methods import METHODS
from explorer.progress import Progress, Report
from explorer.reading.query import open_query
from explorer.reference import open_reference, write_card
from explorer.report import describe_result
from explorer.writing.export import read_result, write_h5ad


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The small method stands beside the others for as long as these tests run."""
    METHODS["small"] = Small
    yield
    del METHODS["small"]


@pytest.fixture(scope="module")
def reference(planted_file: Path) -> Reference:
    """The planted reference with the small method."""
    return build_reference(
        planted_file,
        planted_file.with_name("small.atlas"),
        labels=("cell_type", "lineage"),
        batch="batch",
        conditions=("donor",),
        method="small",
        device="cpu",
    )


@pytest.fixture(scope="module")
def shifted() -> ad.AnnData:
    """240 cells in two new batches, of which one has ten genes that are no markers eight times too high."""
    cells = planted(TYPES, ("q1", "q2"), 30, seed=3)
    values = cells.X.toarray()
    values[np.ix_(cells.obs["batch"] == "q2", np.arange(280, 290))] *= 8
    cells.X = sparse.csr_matrix(values)
    cells.obs["run"] = cells.obs["batch"].to_numpy()
    return cells


def mapped(cells: ad.AnnData, reference: Reference, **options: object) -> MappingResult:
    return map_query(open_query(cells), reference, "small", device="cpu", **options)


def right(found: MappingResult, cells: ad.AnnData) -> float:
    return float((found.labels.first.labels == cells.obs["cell_type"].astype(str).to_numpy()).mean())


class TestMode:
    def test_labels_are_those_of_the_model_that_learned(self, shifted: ad.AnnData, reference: Reference) -> None:
        found = mapped(shifted, reference, mode="recentred", batch="run")
        assert right(found, shifted) > 0.95
        assert found.provenance.options["mode"] == "recentred"
        assert found.provenance.options["batch"] == "run"
        # batches of both sides lie about their own mean
        for batch in ("q1", "q2"):
            assert np.abs(found.embedding[shifted.obs["run"] == batch].mean(0)).max() < 1e-3
        assert mapped(shifted, reference).provenance.options["mode"] == "instant"

    def test_what_rests_on_the_model_moves_along_and_the_model_itself_stays(
        self, shifted: ad.AnnData, reference: Reference
    ) -> None:
        before = load_method(reference, "small", "cpu")
        own, plain = before.embedding.copy(), mapped(shifted, reference)
        found = mapped(shifted, reference, mode="recentred", batch="run")
        nearest = found.neighbors.indices[:, 0]
        types = reference.obs["cell_type"].astype(str).to_numpy()
        assert (types[nearest] == shifted.obs["cell_type"].to_numpy()).mean() > 0.95
        np.testing.assert_array_equal(load_method(reference, "small", "cpu").embedding, own)
        np.testing.assert_array_equal(mapped(shifted, reference).embedding, plain.embedding)

    def test_novelty_does_not_depend_on_what_was_learned(self, shifted: ad.AnnData, reference: Reference) -> None:
        plain, found = mapped(shifted, reference), mapped(shifted, reference, mode="recentred", batch="run")
        same = plain.labels.first.codes == found.labels.first.codes
        assert same.mean() > 0.9
        np.testing.assert_array_equal(found.labels.first.novelty[same], plain.labels.first.novelty[same])
        assert any("novelty rests on expression" in notice for notice in found.provenance.notices)

    def test_batches_are_described_in_the_result_and_in_its_file(
        self, shifted: ad.AnnData, reference: Reference, tmp_path: Path
    ) -> None:
        found = mapped(shifted, reference, mode="recentred", batch="run")
        write_h5ad(found, open_query(shifted), tmp_path / "result.h5ad")
        again = read_result(tmp_path / "result.h5ad")
        for result in (found, again):
            (batches,) = result.conditions
            assert batches.column == "batch"
            assert batches.names.tolist() == [*BATCHES, "q1", "q2"]
            assert batches.from_query.tolist() == [False] * 3 + [True] * 2
            assert batches.values.dtype == np.float32
        np.testing.assert_array_equal(again.conditions[0].values, found.conditions[0].values)
        assert again.provenance.options["mode"] == "recentred"
        assert not mapped(shifted, reference).conditions
        told = describe_result(found)
        assert "mode recentred" in told
        assert "described batch: q1, q2 beside 3 of the reference" in told

    def test_a_mode_that_does_not_exist(self, shifted: ad.AnnData, reference: Reference) -> None:
        with pytest.raises(OptionsProblem, match="maps by the modes: instant, recentred; not by 'surgery'"):
            mapped(shifted, reference, mode="surgery")

    def test_a_reference_shared_without_expression_only_maps(
        self, shifted: ad.AnnData, reference: Reference, tmp_path: Path
    ) -> None:
        folder = tmp_path / "shared.atlas"
        shutil.copytree(reference.folder, folder)
        with h5py.File(folder / "cells.h5ad", "r+") as file:
            del file["X"]
        write_card(folder, reference.card)
        bare = open_reference(folder)
        assert right(mapped(shifted, bare), shifted) > 0.5
        with pytest.raises(ReferenceProblem, match=r"without expression.*Only the mode 'instant' works"):
            mapped(shifted, bare, mode="recentred")


class TestConditions:
    def names(self, found: MappingResult) -> list[str]:
        (batches,) = found.conditions
        return batches.names[batches.from_query].tolist()

    def test_a_column_of_the_same_name_is_taken(self, shifted: ad.AnnData, reference: Reference) -> None:
        assert self.names(mapped(shifted, reference, mode="recentred")) == ["q1", "q2"]

    def test_a_column_that_is_named_goes_before_it(self, shifted: ad.AnnData, reference: Reference) -> None:
        cells = shifted.copy()
        cells.obs["plate"] = np.where(np.arange(240) < 100, 7, 8)
        assert self.names(mapped(cells, reference, mode="recentred", batch="plate")) == ["7", "8"]

    def test_without_any_the_query_is_one_batch_of_its_own_name(
        self, shifted: ad.AnnData, reference: Reference
    ) -> None:
        bare = ad.AnnData(shifted.X, shifted.obs[["cell_type"]], shifted.var)
        query = open_query(bare)
        found = map_query(query, reference, "small", mode="recentred", device="cpu")
        assert self.names(found) == [query.name]

    @pytest.mark.parametrize("option", ["batch", "own_labels"])
    def test_a_column_that_is_missing(self, shifted: ad.AnnData, reference: Reference, option: str) -> None:
        with pytest.raises(OptionsProblem, match=r"no obs column 'plate'\. It has: cell_type"):
            mapped(shifted, reference, mode="recentred", **{option: "plate"})


class TestOwnLabels:
    def test_those_the_reference_knows_take_part(self, shifted: ad.AnnData, reference: Reference) -> None:
        cells = shifted.copy()
        named = cells.obs["cell_type"].astype(object)
        named[100:] = None
        named[:10] = "something else"
        cells.obs["sorted"] = named
        found = mapped(cells, reference, mode="recentred", own_labels="sorted")
        assert "Labels that took part: {'cell_type': 90}." in found.provenance.notices
        assert any("90 of 240 cells took part with the label (cell_type)" in n for n in found.provenance.notices)

    def test_labels_that_the_reference_does_not_know(self, shifted: ad.AnnData, reference: Reference) -> None:
        with pytest.raises(OptionsProblem, match="holds 'q1', 'q2'; the reference knows 'alpha', 'beta'"):
            mapped(shifted, reference, mode="recentred", own_labels="run")

    def test_they_are_of_no_use_where_nothing_learns(self, shifted: ad.AnnData, reference: Reference) -> None:
        with pytest.raises(OptionsProblem, match=r"learns no labels\. Modes of Small that do: recentred"):
            mapped(shifted, reference, own_labels="cell_type")


class TestProgress:
    def test_it_rises_and_ends_at_one(self, shifted: ad.AnnData, reference: Reference) -> None:
        heard: list[Report] = []
        mapped(shifted, reference, mode=RECENTRED.name, progress=Progress.to(heard.append))
        fractions = [report.fraction for report in heard]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        stages = {report.stage for report in heard}
        assert {"Learning from the cells", "Placing the reference anew", "Mapping cells"} <= stages

    def test_cancelled_while_it_learns(self, shifted: ad.AnnData, reference: Reference) -> None:
        heard: list[Report] = []
        stop = Progress.to(heard.append, lambda: any(report.stage == "Learning from the cells" for report in heard))
        with pytest.raises(Cancelled):
            mapped(shifted, reference, mode="recentred", progress=stop)
        assert heard[-1].stage == "Learning from the cells"
