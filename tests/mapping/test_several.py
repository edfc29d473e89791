"""Several methods on one query through the public functions: mapped, pooled, written, read back, asked in a shell."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import TYPES, planted

import explorer
from explorer.__main__ import PROBLEM, main
from explorer.agreement import disputed_cells
from explorer.consensus import AgreedResult
from explorer.errors import Cancelled, FileProblem, OptionsProblem, ReferenceProblem
from explorer.flow import Query, Reference
from explorer.mapping.expression_model import NAME, read_expression_model
from explorer.mapping.several import agree, ask_expression, map_all
from explorer.progress import Progress, Report
from explorer.reference import open_reference
from explorer.report import describe_agreement
from explorer.settings import SAMPLE_DATA
from explorer.writing.agreed_files import write_agreed_csv, write_disputed


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 new cells of a batch of their own."""
    path = tmp_path_factory.mktemp("several") / "mine.h5ad"
    planted(TYPES, ("query",), 20, seed=1).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def query(file: Path) -> Query:
    return explorer.open_query(file)


@pytest.fixture(scope="module")
def agreed(query: Query, scpoli_reference: Reference) -> AgreedResult:
    """scPoli and the regression on expression."""
    return map_all(query, scpoli_reference, device="cpu")


def assert_same(one: Any, other: Any, place: str = "") -> None:
    """The same values all the way down, where both have any."""
    if is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{place}.{field.name}")
    elif isinstance(one, tuple | list):
        assert len(one) == len(other), place
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{place}[{at}]")
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=place)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif not isinstance(one, dict) or place.endswith("scores"):
        assert one == other, place


def without_expression(reference: Reference, folder: Path) -> Reference:
    """As a bundle of earlier times was: neither a regression nor a line of it in the card."""
    copy = shutil.copytree(reference.folder, folder / "earlier.atlas")
    opened = open_reference(copy)
    shutil.rmtree(copy / "expression")
    return opened


class TestMapAll:
    def test_who_speaks(self, agreed: AgreedResult) -> None:
        assert agreed.consensus.voices == ("scpoli", NAME)
        assert agreed.consensus.titles == ("scPoli", "Logistic regression on expression")
        assert [result.method for result in agreed.results] == ["scpoli"]
        assert [of.labels.level for of in agreed.consensus.levels] == ["cell_type", "lineage"]
        assert agreed.consensus.notices == ()

    def test_labels_are_right_and_calibrated_on_left_out_batches(self, agreed: AgreedResult, query: Query) -> None:
        first = agreed.consensus.first
        assert (first.labels.labels == query.obs["cell_type"].astype(str).to_numpy()).mean() > 0.9
        assert {"accuracy", "macro_f1", "calibration_error"} <= set(first.scores)
        assert first.examined is not None

    def test_each_voice_says_what_it_says_alone(
        self, agreed: AgreedResult, query: Query, scpoli_reference: Reference
    ) -> None:
        alone = explorer.map_query(query, scpoli_reference, "scpoli", device="cpu")
        assert agreed.consensus.first.codes[0].tolist() == alone.labels.first.codes.tolist()
        assert agreed.expression is not None
        assert agreed.consensus.first.codes[1].tolist() == agreed.expression.first.codes.tolist()

    def test_levels_agree(self, agreed: AgreedResult) -> None:
        fine, coarse = agreed.consensus.levels
        assert agreed.consensus.labels.within == {"cell_type": "lineage"}
        assert (np.isin(fine.labels.labels, TYPES[:2]) == (coarse.labels.labels == "first")).all()

    def test_without_the_regression_one_method_is_too_few(
        self, query: Query, scpoli_reference: Reference, tmp_path: Path
    ) -> None:
        with pytest.raises(OptionsProblem, match=r"at least two methods; of .* only scpoli would speak"):
            map_all(query, without_expression(scpoli_reference, tmp_path), device="cpu")

    def test_a_method_that_is_not_there(self, query: Query, scpoli_reference: Reference) -> None:
        with pytest.raises(ReferenceProblem, match="no model called 'kida'"):
            map_all(query, scpoli_reference, ("scpoli", "kida"))

    def test_progress_goes_up_to_the_end_and_cancel_stops(self, query: Query, scpoli_reference: Reference) -> None:
        reports: list[Report] = []
        map_all(query, scpoli_reference, device="cpu", progress=Progress.to(reports.append))
        fractions = [report.fraction for report in reports]
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1)
        with pytest.raises(Cancelled):
            map_all(query, scpoli_reference, device="cpu", progress=Progress.to(lambda _: None, lambda: True))

    def test_too_few_genes_silence_the_regression(self, scpoli_reference: Reference, agreed: AgreedResult) -> None:
        few = planted(TYPES, ("query",), 5, seed=1)[:, :60].copy()
        model = read_expression_model(scpoli_reference)
        assert model is not None
        said, (told,) = ask_expression(explorer.open_query(few, name="few"), scpoli_reference, model)
        assert said is None
        assert told.startswith("Logistic regression on expression does not speak: 60 of 300 reference genes found")


class TestFiles:
    def test_they_are_read_back(self, agreed: AgreedResult, query: Query, tmp_path: Path) -> None:
        explorer.write_agreed(agreed, query, tmp_path / "result.h5ad")
        found = explorer.read_agreed(tmp_path / "result.h5ad")
        levels = tuple(replace(of, examined=None) for of in agreed.consensus.levels)
        results = tuple(replace(result, neighbors=None) for result in agreed.results)
        assert_same(replace(agreed, results=results, consensus=replace(agreed.consensus, levels=levels)), found)

    def test_what_was_read_back_can_be_pooled_again(
        self, agreed: AgreedResult, query: Query, scpoli_reference: Reference, tmp_path: Path
    ) -> None:
        explorer.write_agreed(agreed, query, tmp_path / "result.h5ad")
        found = explorer.read_agreed(tmp_path / "result.h5ad")
        assert_same(agreed.consensus, agree(found.results, scpoli_reference, found.expression))

    def test_the_querys_own_stays(self, agreed: AgreedResult, query: Query, file: Path, tmp_path: Path) -> None:
        explorer.write_agreed(agreed, query, tmp_path / "result.h5ad")
        before, after = ad.read_h5ad(file), ad.read_h5ad(tmp_path / "result.h5ad")
        pd.testing.assert_frame_equal(after.obs[list(before.obs)], before.obs)
        assert (after.X != before.X).nnz == 0
        assert {
            "consensus_cell_type", "consensus_confidence_cell_type", "consensus_novelty", "consensus_is_unknown",
            "agreement_cell_type", "agreement_lineage", "predicted_cell_type_scpoli", "predicted_cell_type_expression",
        } <= set(after.obs)  # fmt: skip
        assert {"X_scpoli", "X_umap_scpoli", "probabilities_cell_type_expression"} <= set(after.obsm)
        assert "atlas_explorer" not in after.uns

    def test_a_second_writing_replaces_the_first(self, agreed: AgreedResult, query: Query, tmp_path: Path) -> None:
        explorer.write_agreed(agreed, query, tmp_path / "once.h5ad")
        again = explorer.open_query(tmp_path / "once.h5ad")
        explorer.write_agreed(agreed, again, tmp_path / "twice.h5ad")
        once, twice = (ad.read_h5ad(tmp_path / name) for name in ("once.h5ad", "twice.h5ad"))
        assert list(once.obs) == list(twice.obs)
        assert set(once.obsm) == set(twice.obsm)

    def test_a_file_of_one_method_says_so(self, file: Path) -> None:
        with pytest.raises(FileProblem, match="no consensus of several methods"):
            explorer.read_agreed(file)

    def test_tables(self, agreed: AgreedResult, tmp_path: Path) -> None:
        write_agreed_csv(agreed, tmp_path / "labels.csv")
        table = pd.read_csv(tmp_path / "labels.csv")
        assert table["label"].tolist() == agreed.consensus.first.labels.labels.tolist()
        np.testing.assert_allclose(table["agreement_cell_type"], agreed.consensus.first.agreement)
        write_disputed(agreed, tmp_path / "disputed.csv")
        cells = pd.read_csv(tmp_path / "disputed.csv")
        assert cells["cell_id"].tolist() == disputed_cells(agreed.consensus, agreed.obs.index)["cell_id"].tolist()

    def test_in_words(self, agreed: AgreedResult) -> None:
        told = describe_agreement(agreed)
        assert "by 2 methods: 80 cells" in told
        assert "on left-out reference batches: accuracy" in told
        assert "Cohen's kappa" in told


class TestShell:
    """On the sample atlas, as a user types it."""

    @pytest.fixture(scope="class")
    @classmethod
    def mine(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("shell") / "mine.h5ad"
        ad.read_h5ad(SAMPLE_DATA / "pbmc_ifnb_832.h5ad")[:200].write_h5ad(path)
        return path

    def test_two_methods(self, mine: Path, sample_atlas: Reference, capsys: pytest.CaptureFixture[str]) -> None:
        out = mine.with_name("result.h5ad")
        words = ["map", str(mine), "--reference", str(sample_atlas.folder), "--method", "concord", "--method", "kida"]
        files = ["--output", str(out), "--csv", str(out) + ".csv", "--disagreements", str(out) + ".cells.csv"]
        assert main([*words, *files, "--device", "cpu"]) == 0
        told = capsys.readouterr().out
        found = explorer.read_agreed(out)
        assert found.consensus.voices[:2] == ("concord", "kida")
        if "expression" not in sample_atlas.card:
            assert "holds no regression on expression" in told
        table = pd.read_csv(str(out) + ".csv")
        assert table["label"].tolist() == found.consensus.first.labels.labels.tolist()
        disputed = pd.read_csv(str(out) + ".cells.csv")
        assert 0 < len(disputed) < 200
        assert (disputed["concord"] != disputed["kida"]).any()

    def test_words_and_figures_of_each_and_of_all(
        self, mine: Path, sample_atlas: Reference, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = mine.parent / "words"
        out = folder / "result.h5ad"
        given = {"probabilities": "all.csv", "paragraph": "methods.txt", "script": "repeat.py"}
        files = [word for name, file in given.items() for word in (f"--{name}", str(folder / file))]
        words = ["map", str(mine), "--reference", str(sample_atlas.folder), "--method", "concord", "--method", "kida"]
        assert main([*words, "--threshold", "0.7", *files, "--output", str(out), "--device", "cpu"]) == 0
        query, found = explorer.open_result(out)
        assert isinstance(found, AgreedResult)

        for voice, labels in {"": found.consensus.labels, **found.said}.items():
            table = pd.read_csv(folder / f"all_{voice}.csv" if voice else folder / "all.csv")
            assert table["label"].tolist() == labels.first.labels.tolist()
            np.testing.assert_allclose(table.filter(like="P("), labels.first.probabilities, atol=1e-5)
            assert set(table["threshold"]) == {0.7}

        consensus, *each = (folder / "methods.txt").read_text(encoding="utf-8").strip().split("\n\n")
        assert f"{100 * (found.consensus.first.agreement == 1).mean():.1f} % of the cells the same label" in consensus
        assert f"macro-F1 of {found.consensus.first.scores['macro_f1']:.3f}" in consensus
        for said, result in zip(each, found.results, strict=True):
            assert said.startswith(explorer.methods_paragraph(result, sample_atlas).partition("Versions:")[0])

        monkeypatch.setattr("sys.argv", ["repeat.py", "--csv", str(folder / "again.csv")])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(folder / "repeat.py"), run_name="__main__")
        assert ended.value.code == 0
        told = capsys.readouterr().out
        for voice, labels in {"consensus": found.consensus.labels, **found.said}.items():
            assert all(f"{voice}, {level.level}: labels of 200 cells are the same" in told for level in labels.levels)

        asked = ["map", "map:agreement", "map; method=kida", "composition:condition", "confidence; method=concord"]
        together, share, kida, bars, sure = explorer.panels_of(query, sample_atlas, found, asked)
        first = found.consensus.first
        np.testing.assert_array_equal(together.coloring.codes == len(first.labels.classes), first.labels.unknown)
        np.testing.assert_array_equal(share.coloring.values, first.agreement)
        np.testing.assert_array_equal(kida.cells, found.results[1].layout)
        assert (together.title, kida.title) == ("Consensus cell_type", "Predicted cell_type, KIDA")
        assert bars.legend == "Consensus cell_type"
        np.testing.assert_array_equal(sure.values, found.results[0].labels.first.confidence)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--method", "all", "--mode", "per-batch"], "--mode goes with one method only"),
            (["--method", "all", "--refine"], "--refine goes with one method only"),
            (["--disagreements", "cells.csv"], "--disagreements needs several methods"),
        ],
        ids=["mode", "refine", "disagreements"],
    )
    def test_what_does_not_go_together(
        self, mine: Path, sample_atlas: Reference, capsys: pytest.CaptureFixture[str], words: list[str], told: str
    ) -> None:
        place = mine.with_name("never.h5ad")
        command = ["map", str(mine), "--reference", str(sample_atlas.folder), "--output", str(place), *words]
        assert main(command) == PROBLEM
        assert told in capsys.readouterr().err
        assert not place.exists()
