"""The command line as a user types it: real processes, their files, their exit codes and what they say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import TYPES, planted
from scipy import sparse

from explorer.__main__ import INTERRUPTED, PROBLEM, main
from explorer.flow import Reference
from explorer.reference import open_reference
from explorer.settings import ASSETS, SAMPLE_ATLAS, SAMPLE_DATA

ROOT = Path(__file__).resolve().parents[2]
COVID, IFNB = SAMPLE_DATA / "covid_combat_2400.h5ad", SAMPLE_DATA / "pbmc_ifnb_832.h5ad"
# "Mapping cells  42%|████   | 3 s left", as often as the bar is drawn
BAR = re.compile(r".*\d%\|.*\|")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "explorer", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """As after installing, with a home of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=folder, env=environment(), capture_output=True, text=True, timeout=1_800, check=False
    )


def said(errors: str) -> list[str]:
    """What is on standard error beside the progress bar."""
    return [line.strip() for line in re.split(r"[\r\n]", errors) if line.strip() and not BAR.match(line)]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


class TestBuildInspectMap:
    """The whole story in a shell, on planted cells, in one folder."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Cells to build from and cells to map."""
        made = tmp_path_factory.mktemp("shell")
        planted(cells=20).write_h5ad(made / "cells.h5ad")
        planted(TYPES, ("query",), 20, seed=1).write_h5ad(made / "mine.h5ad")
        return made

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, folder: Path) -> subprocess.CompletedProcess[str]:
        """The command that builds."""
        labels = ("--labels", "cell_type", "--labels", "lineage", "--batch", "batch", "--sample", "donor")
        texts = ("--title", "Planted cells", "--origin", "a test", "--licence", "CC0")
        return run(folder, "build", "cells.h5ad", "out.atlas", *labels, *texts, "--preset", "paper", "--device", "cpu")

    def test_build(self, folder: Path, build: subprocess.CompletedProcess[str]) -> None:
        assert build.returncode == 0, build.stderr
        assert said(build.stderr) == []
        assert "Mapping left-out batches" in build.stderr, "the progress bar"
        assert "Planted cells: 240 human cells, 300 genes" in build.stdout
        assert re.search(r"cell_type +accuracy [01]\.\d+ +macro-F1 [01]\.\d+", build.stdout)
        reference = open_reference(folder / "out.atlas")
        assert (reference.title, reference.levels) == ("Planted cells", ("cell_type", "lineage"))
        assert (reference.card["origin"], reference.card["licence"]) == ("a test", "CC0")
        assert not list(folder.glob("*.part"))

    def test_inspect(self, folder: Path, build: subprocess.CompletedProcess[str]) -> None:
        assert build.returncode == 0
        done = run(folder, "inspect", "mine.h5ad", "--reference", "out.atlas")
        assert (done.returncode, said(done.stderr)) == (0, [])
        assert "mine: 80 cells, 300 genes" in done.stdout
        assert "X (counts)" in done.stdout
        assert "Planted cells / concord: can be mapped: 300 of 300 genes (100%" in done.stdout

    def test_map(self, folder: Path, build: subprocess.CompletedProcess[str]) -> None:
        assert build.returncode == 0
        before = ad.read_h5ad(folder / "mine.h5ad")
        words = ("--reference", "out.atlas", "--output", "result.h5ad", "--csv", "labels.csv", "--batch", "batch")
        done = run(folder, "map", "mine.h5ad", *words, "--device", "cpu")
        assert (done.returncode, said(done.stderr)) == (0, [])
        assert "80 cells" in done.stdout
        assert "cells by batch" in done.stdout
        result, table = ad.read_h5ad(folder / "result.h5ad"), pd.read_csv(folder / "labels.csv")
        of_levels = [f"{what}_{level}" for level in ("cell_type", "lineage")
                     for what in ("predicted", "confidence", "prediction_set")]
        ends = ["novelty", "is_unknown", "deepest_label", "deepest_level"]
        assert list(result.obs) == [*before.obs, *of_levels, *ends]
        pd.testing.assert_frame_equal(result.obs[list(before.obs)], before.obs)
        assert (result.X != before.X).nnz == 0
        assert {"X_concord", "X_umap", "probabilities_cell_type", "probabilities_lineage"} <= set(result.obsm)
        for column in ("confidence_cell_type", "confidence_lineage", "novelty"):
            assert result.obs[column].between(0, 1).all()
        told = result.uns["atlas_explorer"]
        assert (told["reference"], told["method"], int(told["seed"])) == ("Planted cells", "concord", 0)
        assert {"reference_checksum", "config", "versions", "device", "seconds", "coverage"} <= set(told)
        assert list(table)[:6] == ["cell_id", "label", "confidence", "novelty", "unknown", "distance_ratio"]
        np.testing.assert_allclose(table["distance_ratio"], result.obsm["doubt_cell_type"][:, 3], rtol=1e-5)
        assert table["cell_id"].tolist() == result.obs_names.tolist()
        assert table["label"].tolist() == result.obs["predicted_cell_type"].astype(str).tolist()
        np.testing.assert_allclose(table["novelty"], result.obs["novelty"], rtol=1e-5)
        assert table["unknown"].tolist() == result.obs["is_unknown"].tolist()
        assert (table["label"] == before.obs["cell_type"].astype(str).to_numpy()).mean() > 0.9
        assert not list(folder.glob("*.part"))


def test_the_sample_queries_are_mapped_by_the_sample_atlas(tmp_path: Path) -> None:
    done = run(tmp_path, "map", IFNB, "--reference", SAMPLE_ATLAS, "--output", "out/result.h5ad", "--csv", "out/l.csv")
    assert (done.returncode, said(done.stderr)) == (0, [])
    result = ad.read_h5ad(tmp_path / "out/result.h5ad")
    assert result.n_obs == 832
    assert {"predicted_cell_type", "predicted_lineage", "predicted_cell_subtype"} <= set(result.obs)
    assert names(tmp_path) == ["out", "out/l.csv", "out/result.h5ad"]


def test_a_reference_says_what_it_holds(tmp_path: Path) -> None:
    done = run(tmp_path, "inspect", SAMPLE_ATLAS)
    assert (done.returncode, said(done.stderr)) == (0, [])
    assert "5,272 human cells, 13,003 genes" in done.stdout
    assert "all files verified" in done.stdout


def _renamed_text(path: Path) -> None:
    path.write_text("cell,gene,count\n" * 100)


def _truncated(path: Path) -> None:
    path.write_bytes(IFNB.read_bytes()[:200_000])


def _missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def _edited(change: Callable[[ad.AnnData], ad.AnnData]) -> Callable[[Path], None]:
    return lambda path: change(planted(TYPES, ("query",), 10)).write_h5ad(path)


def _with_value(cells: ad.AnnData, value: float) -> ad.AnnData:
    cells.X.data[::50] = value
    return cells


def _blood_of_mice(path: Path) -> None:
    table = pd.read_csv(ASSETS / "genes" / "human_mouse_one2one.csv")
    symbols = table["mouse_symbol"].drop_duplicates()
    counts = np.random.default_rng(0).poisson(0.1, (20, len(symbols))).astype(np.float32)
    ad.AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=symbols.to_numpy())).write_h5ad(path)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a text file renamed": (_renamed_text, r"not an h5ad|no h5ad|HDF5"),
    "a truncated file": (_truncated, r"incomplete|truncated|cut"),
    "no file": (_missing, r"no file|not exist|no such file"),
    "no gene in common": (_edited(lambda cells: cells), r"of 2,000 reference genes found \(0 %\); at least 30 %"),
    "an empty matrix": (_edited(lambda cells: cells[:0].copy()), r"0 cells"),
    "no value above zero": (_edited(lambda cells: _with_value(cells[:, :0].copy(), 0)), r"0 genes"),
    "NaN": (_edited(lambda cells: _with_value(cells, np.nan)), r"NaN"),
    "negative values": (_edited(lambda cells: _with_value(cells, -3)), r"negative"),
    "mouse symbols": (_blood_of_mice, r"mouse symbols .* human: choose 'map orthologues' \(--orthologs\)"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    make, message = BAD[what]
    make(tmp_path / "mine.h5ad")
    before = names(tmp_path)
    words = ("--reference", SAMPLE_ATLAS, "--output", "result.h5ad", "--csv", "labels.csv")
    done = run(tmp_path, "map", "mine.h5ad", *words)
    assert done.returncode == PROBLEM
    assert done.stdout == ""
    (sentence,) = said(done.stderr)
    assert sentence.startswith("atlas-explorer: ")
    assert re.search(message, sentence), sentence
    assert names(tmp_path) == before


def test_mouse_cells_are_mapped_when_orthologues_are_asked_for(tmp_path: Path) -> None:
    _blood_of_mice(tmp_path / "mine.h5ad")
    words = ("map", "mine.h5ad", "--reference", SAMPLE_ATLAS, "--orthologs", "--output", "result.h5ad")
    done = run(tmp_path, *words)
    assert (done.returncode, said(done.stderr)) == (0, [])
    assert "translated by one-to-one orthologues" in done.stdout


@pytest.mark.parametrize(
    ("words", "stage"),
    [
        (("build", "cells.h5ad", "out.atlas", "--labels", "cell_type", "--batch", "batch"), "Mapping left-out"),
        (("map", COVID, "--reference", SAMPLE_ATLAS, "--output", "result.h5ad"), "Loading the model"),
    ],
    ids=["build", "map"],
)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_an_interrupted_command_leaves_nothing(
    tmp_path: Path, words: tuple[object, ...], stage: str, how: signal.Signals
) -> None:
    planted(cells=60).write_h5ad(tmp_path / "cells.h5ad")
    with subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        heard = b""
        while stage.encode() not in heard:
            more = process.stderr.read1()
            assert more, f"ended before {stage}: {heard.decode()}"
            heard += more
        process.send_signal(how)
        heard += process.stderr.read()
    assert process.returncode == INTERRUPTED
    assert said(heard.decode()) == ["atlas-explorer: stopped; nothing half-written was left behind."]
    assert names(tmp_path) == ["cells.h5ad"]


class TestWhereResultsGo:
    """Asked of the same function that the shell calls; it refuses before anything is read."""

    @pytest.fixture
    def query(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        planted(TYPES, ("query",), 5).write_h5ad("mine.h5ad")
        return Path("mine.h5ad")

    def refused(self, capsys: pytest.CaptureFixture[str], *words: object) -> str:
        assert main([str(word) for word in words]) == PROBLEM
        out, errors = capsys.readouterr()
        assert out == ""
        (sentence,) = said(errors)
        return sentence.removeprefix("atlas-explorer: ")

    @pytest.mark.parametrize("option", ["--output", "--csv"])
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("mine.h5ad", "is the query itself, which is never changed"),
            ("./sub/../mine.h5ad", "is the query itself, which is never changed"),
            ("link.h5ad", "is the query itself, which is never changed"),
            ("ref.atlas/genes.csv", "lies inside the reference"),
            ("folder", "is a folder"),
            ("mine.h5ad/result.h5ad", "is no folder"),
        ],
    )
    def test_nothing_of_value_is_overwritten(
        self,
        query: Path,
        planted_reference: Reference,
        capsys: pytest.CaptureFixture[str],
        option: str,
        target: str,
        message: str,
    ) -> None:
        Path("sub").mkdir()
        Path("folder").mkdir()
        Path("link.h5ad").symlink_to(query)
        Path("ref.atlas").symlink_to(planted_reference.folder, target_is_directory=True)
        before, files = query.read_bytes(), names(Path.cwd())
        places = {"--output": "result.h5ad", "--csv": "labels.csv", option: target}
        words = [word for pair in places.items() for word in pair]
        assert message in self.refused(capsys, "map", query, "--reference", "ref.atlas", *words)
        assert query.read_bytes() == before
        assert names(Path.cwd()) == files
        open_reference(planted_reference.folder)

    def test_one_name_for_two_files(
        self, query: Path, planted_reference: Reference, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("--reference", planted_reference.folder, "--output", "x.h5ad", "--csv", "./x.h5ad")
        assert "both name" in self.refused(capsys, "map", query, *words)

    def test_a_batch_column_that_is_not_there(
        self, query: Path, planted_reference: Reference, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("--reference", planted_reference.folder, "--output", "x.h5ad", "--batch", "plate")
        sentence = self.refused(capsys, "map", query, *words)
        assert "mine has no obs column 'plate'. It has: cell_type, lineage, batch, donor." in sentence
        assert not Path("x.h5ad").exists()

    @pytest.mark.parametrize("given", ["nowhere.atlas", "mine.h5ad"])
    def test_a_reference_that_is_none(self, query: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
        sentence = self.refused(capsys, "map", query, "--reference", given, "--output", "x.h5ad")
        assert f"{given} is no reference" in sentence
        assert "Build one with" in sentence

    def test_a_method_that_the_reference_does_not_hold(
        self, query: Path, planted_reference: Reference, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("--reference", planted_reference.folder, "--output", "x.h5ad", "--method", "scvi")
        assert "holds no model called 'scvi'; it holds: concord" in self.refused(capsys, "map", query, *words)
        assert names(Path.cwd()) == ["mine.h5ad"]

    def test_an_older_result_is_replaced(self, query: Path, planted_reference: Reference) -> None:
        Path("result.h5ad").write_text("an older one")
        words = ("--reference", planted_reference.folder, "--output", "result.h5ad", "--device", "cpu")
        assert main(["map", str(query), *map(str, words)]) == 0
        assert ad.read_h5ad("result.h5ad").n_obs == 20


def test_who_reads_only_the_first_lines_gets_them_and_no_complaint(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("figure", "--panels"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # at once: whatever is written meets nobody
    assert process.wait(600) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("words", [[], ["draw"], ["map", "x.h5ad"], ["build", "x.h5ad", "y.atlas"]], ids=" ".join)
def test_words_that_make_no_command_are_answered_with_the_usage(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: atlas-explorer" in capsys.readouterr().err
