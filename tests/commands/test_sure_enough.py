"""How sure is sure enough, asked in a shell: thresholds, wanted accuracy, verdicts, and what is written with them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import explorer
from explorer.__main__ import PROBLEM, main
from explorer.doubt.risk import at_threshold, threshold_for
from explorer.flow import Reference
from explorer.settings import SAMPLE_DATA

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"


@pytest.fixture
def words(sample_atlas: Reference, tmp_path: Path) -> list[str]:
    """The command that maps the demo cells, without what is asked of it."""
    files = ["--output", str(tmp_path / "result.h5ad"), "--csv", str(tmp_path / "labels.csv")]
    return ["map", str(DEMO), "--reference", str(sample_atlas.folder), "--device", "cpu", *files]


def test_a_threshold_is_obeyed_told_and_kept(
    words: list[str], sample_atlas: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--probabilities", str(tmp_path / "all.csv"), "--script", str(tmp_path / "repeat.py")]
    more += ["--paragraph", str(tmp_path / "methods.txt")]
    assert main([*words, "--threshold", "0.8", *more]) == 0
    told = capsys.readouterr().out
    result = explorer.read_result(tmp_path / "result.h5ad")
    plain = explorer.map_query(explorer.open_query(DEMO), sample_atlas, device="cpu")
    strict = explorer.result_with_threshold(plain, 0.8)
    for trade in explorer.trades(strict, sample_atlas).values():
        assert trade.sentence in told
    kept = int((~result.labels.first.unknown).sum())
    right = at_threshold(explorer.left_out_answers(sample_atlas, plain)["cell_type"], 0.8).accuracy
    assert f"At 0.80 you keep {kept} of 832 cells ({round(100 * kept / 832)} %) at {round(100 * right)} %" in told
    assert re.search(r"Estimated on 2,500 reference cells of \d batches that were left out", told)
    np.testing.assert_array_equal(result.labels.first.unknown, strict.labels.first.unknown)
    assert {level.threshold for level in result.labels.levels} == {0.8}
    for name in ("labels.csv", "all.csv"):
        table = pd.read_csv(tmp_path / name)
        assert set(table["threshold"]) == {0.8}
        assert (~table["unknown"]).sum() == kept
    assert "confidence lies under 0.80" in (tmp_path / "methods.txt").read_text(encoding="utf-8")
    script = (tmp_path / "repeat.py").read_text(encoding="utf-8")
    assert '"threshold": 0.8' in script
    done = subprocess.run(
        [sys.executable, "repeat.py", "--output", "again.h5ad"], cwd=tmp_path, capture_output=True, text=True,
        timeout=1_800, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    again = explorer.read_result(tmp_path / "again.h5ad")
    np.testing.assert_array_equal(again.labels.first.unknown, result.labels.first.unknown)


def test_a_wanted_accuracy_finds_its_threshold(
    words: list[str], sample_atlas: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--accuracy", "0.98"]) == 0
    result = explorer.read_result(tmp_path / "result.h5ad")
    found = result.labels.first.threshold
    examined = explorer.left_out_answers(sample_atlas, result)["cell_type"]
    assert found == threshold_for(examined, 0.98)
    assert at_threshold(examined, found).accuracy >= 0.98
    assert f"At {found:.2f} you keep" in capsys.readouterr().out


def test_several_methods_are_judged_and_obey_a_threshold(
    scpoli_reference: Reference, planted_query: ad.AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_query.write_h5ad(tmp_path / "mine.h5ad")
    out = tmp_path / "agreed.h5ad"
    command = ["map", str(tmp_path / "mine.h5ad"), "--reference", str(scpoli_reference.folder), "--method", "all"]
    asked = ["--threshold", "0.9", "--output", str(out), "--csv", str(tmp_path / "l.csv"), "--device", "cpu"]
    assert main([*command, *asked]) == 0
    told = capsys.readouterr().out
    agreed = explorer.read_agreed(out)
    verdict, of_method = agreed.consensus.verdict, agreed.results[0].verdict
    assert verdict is not None
    assert of_method is not None
    assert f"verdict: {verdict.signal}. {verdict.summary}" in told
    assert f"by method: scpoli {of_method.signal}" in told
    assert re.search(r"cell_type: At 0\.90 you keep \d+ of 300 cells", told)
    assert agreed.expression is not None
    for labels in (agreed.consensus.labels.first, agreed.results[0].labels.first, agreed.expression.first):
        assert labels.threshold == 0.9
        assert labels.unknown[labels.confidence < 0.9].all()
    table = pd.read_csv(tmp_path / "l.csv")
    assert set(table["threshold"]) == {0.9}
    assert table["unknown"].tolist() == agreed.consensus.labels.first.unknown.tolist()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--threshold", "80"], "between 0.5 and 1; 80.0 was asked for"),
        (["--threshold", "0.3"], "between 0.5 and 1; 0.3 was asked for"),
        (["--accuracy", "97"], "above 0 and at most 1; 97.0 was asked for"),
        (["--method", "all", "--refine"], "--refine goes with one method only"),
    ],
    ids=["in per cent", "too low", "accuracy in per cent", "refinement of several"],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str], told: str
) -> None:
    assert main([*words, *asked]) == PROBLEM
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
