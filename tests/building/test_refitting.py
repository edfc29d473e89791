"""Targeted panels: few of a model's genes are enough once it is refitted on them, and only once for each panel."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from cells import real_file, transformed
from planted import MARKERS, STRANGER, SYMBOLS, TYPES, markers, planted
from sklearn.metrics import accuracy_score

from explorer import keys
from explorer.__main__ import main
from explorer.building.fitting import build_reference
from explorer.building.refitting import refit_shared
from explorer.errors import Cancelled, GenesProblem, OptionsProblem, ReferenceProblem
from explorer.flow import MappingResult, Reference
from explorer.jobs.queue import Job, JobState, Queue
from explorer.jobs.specs import MapSpec
from explorer.jobs.worker import do, run_mapping
from explorer.mapping import panels
from explorer.mapping.corridor import explain_cells, map_query
from explorer.mapping.panels import MOST_KEPT
from explorer.networks import checkpoints
from explorer.progress import Progress, Report
from explorer.reading.genes import match_genes
from explorer.reading.query import open_query
from explorer.reference import open_reference, read_layout, write_card
from explorer.report import describe_fit, describe_result
from explorer.settings import settings
from explorer.writing.export import read_result, write_csv, write_h5ad

LEAST = 50  # planted references have few genes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lab's own folder, and a panel small enough for planted cells."""
    live_in(tmp_path / "home", monkeypatch)
    yield tmp_path / "home"
    settings.cache_clear()


def live_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("ATLAS_EXPLORER_HOME", str(folder))
    patch.setenv("ATLAS_EXPLORER_MIN_PANEL_GENES", str(LEAST))
    settings.cache_clear()


@pytest.fixture(scope="session")
def refitted_once(
    planted_query: ad.AnnData, planted_reference: Reference, panel: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A lab's own folder in which the method has been refitted on the panel."""
    folder = tmp_path_factory.mktemp("refitted") / "home"
    with pytest.MonkeyPatch.context() as patch:
        live_in(folder, patch)
        refitted(planted_query[:, panel].copy(), planted_reference)
    settings.cache_clear()
    return folder


@pytest.fixture(scope="session")
def quick_reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A reference of 144 cells that was hardly trained: for what does not depend on how good the labels are."""
    folder = tmp_path_factory.mktemp("quick")
    planted(cells=12).write_h5ad(folder / "cells.h5ad")
    return build_reference(
        folder / "cells.h5ad",
        folder / "quick.atlas",
        labels=("cell_type",),
        batch="batch",
        method="concord",
        settings={"epochs": 3},
        device="cpu",
    )


@pytest.fixture
def kept_before(home: Path, refitted_once: Path) -> Path:
    """The lab's own folder, where the method need not be refitted on the panel any more."""
    return shutil.copytree(refitted_once, home)


@pytest.fixture(scope="session")
def panel() -> np.ndarray:
    """80 of 300 genes: half the markers of every type, and some others."""
    half = [gene for name in (*TYPES, STRANGER) for gene in markers(name)[: MARKERS // 2]]
    return np.array([*half, *SYMBOLS[-30:]], dtype=str)


@pytest.fixture
def few(planted_query: ad.AnnData, panel: np.ndarray) -> ad.AnnData:
    """Cells that were measured with the panel."""
    return planted_query[:, panel].copy()


def refitted(cells: ad.AnnData, reference: Reference, progress: Progress | None = None) -> Reference:
    return refit_shared(open_query(cells), reference, device="cpu", progress=progress)[0]


def mapped(cells: ad.AnnData, reference: Reference) -> MappingResult:
    query = open_query(cells)
    fitted, told = refit_shared(query, reference, device="cpu")
    return map_query(query, fitted, device="cpu", notices=told)


def stages(do: Callable[[Progress], object]) -> list[str]:
    """What the progress of some work said, each stage once."""
    heard: list[str] = []

    def listen(report: Report) -> None:
        if report.stage not in heard:
            heard.append(report.stage)

    do(Progress.to(listen))
    return heard


def state(folder: Path) -> dict[str, str]:
    """Every file below a folder, and what is in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kept(home: Path) -> list[Path]:
    """Folders of models refitted so far, and of any left half-written."""
    return sorted(home.glob("panels/*/*/*"))


class TestRefusal:
    def test_too_few_genes_name_the_way_out(self, few: ad.AnnData, planted_reference: Reference) -> None:
        with pytest.raises(GenesProblem, match=r"80 of 300 .*refit on the shared genes.*\(--refit-shared\).*80 genes"):
            map_query(open_query(few), planted_reference, device="cpu")
        assert "--refit-shared" in describe_fit(open_query(few), planted_reference)

    def test_very_few_genes_cannot_be_refitted(self, few: ad.AnnData, planted_reference: Reference, home: Path) -> None:
        some = few[:, : LEAST - 1].copy()
        with pytest.raises(GenesProblem, match=f"{LEAST - 1} of the reference's 300 genes.*at least {LEAST}"):
            refitted(some, planted_reference)
        with pytest.raises(GenesProblem, match="cannot be refitted on the shared genes either"):
            map_query(open_query(some), planted_reference, device="cpu")
        assert not kept(home)

    def test_a_reference_without_expression_cannot_be_refitted(
        self, few: ad.AnnData, planted_reference: Reference, tmp_path: Path
    ) -> None:
        copy = tmp_path / "shared.atlas"
        shutil.copytree(planted_reference.folder, copy)
        with h5py.File(copy / keys.CELLS_FILE, "r+") as file:
            del file["X"]
        write_card(copy, {key: value for key, value in planted_reference.card.items() if key != "files"})
        with pytest.raises(ReferenceProblem, match="shared without expression"):
            refitted(few, open_reference(copy))
        with pytest.raises(GenesProblem, match=r"80 of 300 .*shared without expression"):
            map_query(open_query(few), open_reference(copy), device="cpu")

    def test_enough_genes_change_nothing(
        self, planted_query: ad.AnnData, planted_reference: Reference, home: Path
    ) -> None:
        same, told = refit_shared(open_query(planted_query), planted_reference, device="cpu")
        assert same is planted_reference
        assert "nothing was refitted" in told[0]
        assert not kept(home)

    def test_a_home_that_cannot_be_written_is_told_before_any_training(
        self, few: ad.AnnData, planted_reference: Reference, home: Path
    ) -> None:
        home.write_text("a file where the folder should be")
        with pytest.raises(OptionsProblem, match="cannot be written"):
            refitted(few, planted_reference)


@pytest.mark.usefixtures("kept_before")
class TestAnswers:
    @pytest.fixture
    def result(self, few: ad.AnnData, planted_reference: Reference) -> MappingResult:
        return mapped(few, planted_reference)

    def test_types_are_told_apart(self, result: MappingResult, few: ad.AnnData) -> None:
        truth = few.obs["cell_type"].astype(str).to_numpy()
        known = np.isin(truth, TYPES)
        assert accuracy_score(truth[known], result.labels.first.labels[known]) > 0.9

    def test_an_unseen_type_is_more_novel(self, result: MappingResult, few: ad.AnnData) -> None:
        strange = few.obs["cell_type"].astype(str).to_numpy() == STRANGER
        novelty = result.labels.first.novelty
        assert np.median(novelty[strange]) > np.quantile(novelty[~strange], 0.8)

    def test_known_cells_are_as_novel_as_chance_has_it(
        self, planted_reference: Reference, panel: np.ndarray, few: ad.AnnData
    ) -> None:
        # new cells of the reference's own batches: what 300 - 80 genes lack must not make them strange
        result = mapped(planted(cells=25, seed=5)[:, panel].copy(), planted_reference)
        assert result.labels.first.unknown.mean() < 0.1
        assert np.median(result.labels.first.novelty) < 0.75

    def test_log_values_get_the_labels_that_counts_get(
        self, result: MappingResult, few: ad.AnnData, planted_reference: Reference
    ) -> None:
        logged = few.copy()
        logged.X = transformed(few, "log1p of CP10k")
        labels = mapped(logged, planted_reference).labels.first.labels
        known = few.obs["cell_type"].isin(TYPES).to_numpy()
        assert (labels == result.labels.first.labels)[known].mean() > 0.95

    def test_totals_count_the_shared_genes_only(
        self, result: MappingResult, few: ad.AnnData, planted_reference: Reference
    ) -> None:
        # genes that the reference does not know change nothing, however much they are expressed
        more = ad.concat([few, loud(few)], axis=1)
        more.obs = few.obs
        np.testing.assert_allclose(mapped(more, planted_reference).embedding, result.embedding, atol=1e-5)

    def test_the_picture_is_the_reference_s_own(
        self, few: ad.AnnData, result: MappingResult, planted_reference: Reference
    ) -> None:
        own = read_layout(planted_reference, "concord")
        np.testing.assert_array_equal(read_layout(refitted(few, planted_reference), "concord"), own)
        assert ((result.layout >= own.min(0)) & (result.layout <= own.max(0))).all()

    def test_the_record_says_what_was_done(
        self, result: MappingResult, few: ad.AnnData, planted_reference: Reference, tmp_path: Path
    ) -> None:
        found = result.provenance.panel
        assert found is not None
        assert set(found.genes) == set(few.var_names)
        assert set(found.scores) == set(planted_reference.levels)
        assert 0.5 < found.scores["cell_type"]["macro_f1"] <= 1
        assert "80 of the 300 genes" in " ".join(result.provenance.notices)
        assert "refitted on 80 shared genes" in describe_result(result)
        write_h5ad(result, open_query(few), tmp_path / "result.h5ad")
        back = read_result(tmp_path / "result.h5ad").provenance.panel
        assert back == found
        assert back.scores == found.scores
        write_csv(result, tmp_path / "result.csv")
        assert pd.read_csv(tmp_path / "result.csv")[keys.CSV_REFITTED].eq(80).all()

    def test_cells_are_explained_by_genes_of_the_panel(
        self, result: MappingResult, few: ad.AnnData, planted_reference: Reference
    ) -> None:
        again = panels.reopened(planted_reference, result.provenance.panel)
        rows = np.flatnonzero(few.obs["cell_type"] == "alpha")
        signature = explain_cells(
            open_query(few), again, "concord", rows, "alpha", level="cell_type", device="cpu"
        )
        assert set(signature.names) == set(few.var_names)
        assert len(set(signature.top(10)["gene"]) & set(markers("alpha"))) >= 7


def loud(cells: ad.AnnData) -> ad.AnnData:
    """Genes of nobody, with many counts."""
    counts = np.random.default_rng(0).poisson(500, (cells.n_obs, 5)).astype(np.float32)
    return ad.AnnData(counts, obs=cells.obs, var=pd.DataFrame(index=[f"NOBODY{i}" for i in range(5)]))


class TestKeeping:
    def test_the_next_sample_of_a_panel_is_not_trained_for(
        self, few: ad.AnnData, quick_reference: Reference, home: Path
    ) -> None:
        first = stages(lambda progress: refitted(few, quick_reference, progress))
        before = state(home)
        shuffled = few[::-1, np.random.default_rng(0).permutation(few.n_vars)].copy()
        second = stages(lambda progress: refitted(shuffled, quick_reference, progress))
        assert any("Training on all cells" in stage for stage in first)
        assert not any("Training" in stage or "left-out" in stage for stage in second)
        assert state(home) == before
        assert len(kept(home)) == 1

    @pytest.mark.usefixtures("kept_before")
    def test_a_sample_that_lacks_a_few_genes_uses_the_same_model(
        self, few: ad.AnnData, planted_reference: Reference, home: Path
    ) -> None:
        whole = mapped(few, planted_reference)
        lacking = few[:, few.var_names[:-3]].copy()
        result = mapped(lacking, planted_reference)
        assert len(kept(home)) == 1
        assert result.provenance.panel == whole.provenance.panel
        assert (result.provenance.coverage.found, result.provenance.coverage.needed) == (77, 80)
        known = few.obs["cell_type"].isin(TYPES).to_numpy()
        assert (result.labels.first.labels == whole.labels.first.labels)[known].mean() > 0.95

    def test_another_panel_is_another_model(
        self, few: ad.AnnData, quick_reference: Reference, panel: np.ndarray, home: Path
    ) -> None:
        refitted(few, quick_reference)
        refitted(few[:, :60].copy(), quick_reference)
        assert len(kept(home)) == 2

    def test_a_damaged_model_is_refitted(
        self, few: ad.AnnData, quick_reference: Reference, home: Path
    ) -> None:
        whole = mapped(few, quick_reference)
        weights = next(home.rglob(keys.WEIGHTS_FILE))
        good = weights.read_bytes()
        weights.write_bytes(good[:-8] + b"\0\0\0\0\0\0\0\1")
        again = mapped(few, quick_reference)
        assert weights.read_bytes() == good
        np.testing.assert_array_equal(again.embedding, whole.embedding)
        (weights.parent / keys.PANEL_FILE).write_text("{")
        refitted(few, quick_reference)
        assert len(kept(home)) == 1

    @pytest.mark.usefixtures("kept_before")
    def test_a_model_no_longer_kept_is_told_of(
        self, few: ad.AnnData, planted_reference: Reference, home: Path
    ) -> None:
        result = mapped(few, planted_reference)
        shutil.rmtree(home / "panels")
        with pytest.raises(ReferenceProblem, match=r"no longer kept\. Map the file again"):
            panels.reopened(planted_reference, result.provenance.panel)

    def test_a_read_only_reference_stays_as_it_is(
        self, few: ad.AnnData, quick_reference: Reference, tmp_path: Path
    ) -> None:
        copy = tmp_path / "read-only.atlas"
        shutil.copytree(quick_reference.folder, copy)
        before = state(copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        result = mapped(few, open_reference(copy))
        assert result.provenance.panel is not None
        assert state(copy) == before

    def test_cancel_leaves_nothing(
        self, few: ad.AnnData, quick_reference: Reference, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpoints, "EVERY_SECONDS", float("inf"))  # as on a machine where this takes a second
        heard: list[str] = []
        progress = Progress.to(
            lambda report: heard.append(report.stage), lambda: any("Training on all" in stage for stage in heard)
        )
        with pytest.raises(Cancelled):
            refitted(few, quick_reference, progress)
        assert not home.exists()

    def test_a_refit_that_was_stopped_goes_on(
        self, few: ad.AnnData, quick_reference: Reference, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
        heard: list[Report] = []
        progress = Progress.to(heard.append, lambda: bool(heard) and heard[-1].fraction > 0.6)
        with pytest.raises(Cancelled):
            refitted(few, quick_reference, progress)
        assert [path.name for path in kept(home)] == ["unfinished"]
        told = stages(lambda going_on: refitted(few, quick_reference, going_on))
        assert any("going on from epoch" in stage for stage in told)
        assert "Mapping left-out batches (1 of 3)" not in told
        (model,) = kept(home)
        assert model.name != "unfinished"

    @pytest.mark.usefixtures("kept_before")
    def test_two_at_once_leave_one_model(self, few: ad.AnnData, planted_reference: Reference, home: Path) -> None:
        whole = panels.find(refitted(few, planted_reference), "concord", tuple(few.var_names))
        assert whole is not None
        copy = home / "copy"
        shutil.copytree(whole.folder, copy)
        (copy / keys.PANEL_FILE).unlink()
        shutil.rmtree(home / "panels")
        meet = threading.Barrier(4)

        def write(folder: Path) -> None:
            shutil.copytree(copy, folder, dirs_exist_ok=True)
            meet.wait(240)

        def keep() -> None:
            panels.keep(planted_reference, "concord", whole.panel.genes, whole.panel.scores, write)

        threads = [threading.Thread(target=keep) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert kept(home) == [whole.folder]
        assert panels.find(planted_reference, "concord", whole.panel.genes) == whole

    def test_models_not_used_for_longest_are_forgotten(self, planted_reference: Reference, home: Path) -> None:
        for i in range(MOST_KEPT + 2):
            model = panels.keep(
                planted_reference, "concord", (f"GENE{i}",), {}, lambda folder: (folder / "model").write_text("m")
            )
            os.utime(model.folder / keys.PANEL_FILE, (i, i))
        found = [panels.find(planted_reference, "concord", (f"GENE{i}",)) is not None for i in range(MOST_KEPT + 2)]
        assert found == [False, *[True] * (MOST_KEPT + 1)] or found == [False, False, *[True] * MOST_KEPT]

    @pytest.mark.usefixtures("kept_before")
    def test_a_model_is_kept_for_one_reference_and_one_method(
        self, few: ad.AnnData, planted_reference: Reference
    ) -> None:
        refitted(few, planted_reference)
        genes = panels.shared_genes(planted_reference, match_genes(few.var, planted_reference.genes))
        other = replace(planted_reference, checksum="0" * 64)
        assert panels.find(planted_reference, "concord", genes) is not None
        assert panels.find(planted_reference, "scpoli", genes) is None
        assert panels.find(other, "concord", genes) is None


class TestShell:
    def test_map_refits_and_says_so(
        self, few: ad.AnnData, quick_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        few.write_h5ad(tmp_path / "few.h5ad")
        reference = ["--reference", str(quick_reference.folder), "--device", "cpu"]
        words = ["map", str(tmp_path / "few.h5ad"), *reference, "--output", str(tmp_path / "result.h5ad")]
        assert main(words) == 2
        assert "--refit-shared" in capsys.readouterr().err
        assert main([*words, "--refit-shared"]) == 0
        shown = capsys.readouterr()
        assert "refitted on 80 shared genes" in shown.out
        assert "Training on all cells" in shown.err
        assert main([*words, "--refit-shared"]) == 0
        assert "Training" not in capsys.readouterr().err
        for cells, more in (("result.h5ad", []), ("few.h5ad", ["--refit-shared"])):
            asked = ["explain", str(tmp_path / cells), *reference, "--label", "alpha", *more]
            assert main([*asked, "--output", str(tmp_path / "genes.csv")]) == 0
            assert set(pd.read_csv(tmp_path / "genes.csv")["gene"]) == set(few.var_names)
        capsys.readouterr()


class TestJobs:
    @pytest.fixture
    def queue(self, tmp_path: Path) -> Iterator[Queue]:
        made = Queue(tmp_path / "jobs.sqlite")
        yield made
        made.close()

    def test_a_job_refits(
        self, few: ad.AnnData, quick_reference: Reference, queue: Queue, tmp_path: Path
    ) -> None:
        job = asked(few, quick_reference, queue, tmp_path)
        do(job, queue, run_mapping)
        done = queue.get(job.id)
        assert done.state is JobState.DONE
        assert any("Training on all cells" in line for line in done.log)
        result = read_result(queue.result_folder(job.id) / keys.RESULT_FILE)
        assert result.provenance.panel is not None
        assert len(result.provenance.panel.genes) == few.n_vars

    def test_a_job_cancelled_while_it_refits_leaves_nothing(
        self, few: ad.AnnData, planted_reference: Reference, queue: Queue, tmp_path: Path, home: Path
    ) -> None:
        job = asked(few, planted_reference, queue, tmp_path)

        def run(job: Job, folder: Path, progress: Progress) -> None:
            listen = progress.task.listen

            def hear(report: Report) -> None:
                listen(report)
                if "left-out" in report.stage:
                    queue.cancel(job.id)

            progress.task.listen = hear
            run_mapping(job, folder, progress)

        do(job, queue, run)
        assert queue.get(job.id).state is JobState.CANCELLED
        assert not kept(home)
        assert list(queue.results.iterdir()) == []


def asked(cells: ad.AnnData, reference: Reference, queue: Queue, folder: Path) -> Job:
    """A job that maps cells of a panel, taken by this process."""
    cells.write_h5ad(folder / "few.h5ad")
    query, onto = str(folder / "few.h5ad"), str(reference.folder)
    queue.submit(MapSpec(query=query, reference=onto, refit_shared=True, device="cpu"))
    job = queue.claim(os.getpid())
    assert job
    return job


class TestRealPanels:
    def test_a_pancreas_file_of_219_genes_is_refused_in_words(self, sample_atlas: Reference) -> None:
        settings.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("ATLAS_EXPLORER_MIN_PANEL_GENES")
            query = open_query(real_file("pancreas_wang.h5ad"))
            with pytest.raises(GenesProblem, match="at least 200 are needed"):
                refit_shared(query, sample_atlas, device="cpu")
