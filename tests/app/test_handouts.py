"""What one takes away from a result: the script that repeats it, the paragraph, the table of all classes, the page."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import explorer
from explorer import keys
from explorer.flow import MappingResult
from explorer.prose import consequence, methods_paragraph
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA
from explorer.writing.all_classes import probability_lines, probability_table, write_probabilities
from explorer.writing.result_page import Shown, label_table, result_page
from explorer.writing.scripting import reproducing_script

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def result() -> MappingResult:
    """The demo cells on the sample atlas, mapped with options beside the usual."""
    query = explorer.open_query(DEMO, gene_names="index", name="Häm \"β\" \\ '''")
    mapped = explorer.map_query(
        query, explorer.open_reference(SAMPLE_ATLAS), "concord", batch="condition", independent=True,
        unknown="quantile", device="cpu",
    )  # fmt: skip
    return explorer.refine(mapped)


def repeat(script: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder of its own, as a person does who installed the program."""
    (folder / "reproduce.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "reproduce.py", *words], cwd=folder, env=environment, capture_output=True, text=True,
        check=False, timeout=1_800,
    )  # fmt: skip


def test_the_script_gives_the_same_labels(result: MappingResult, tmp_path: Path) -> None:
    done = repeat(reproducing_script(result, DEMO, SAMPLE_ATLAS), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "differs" not in done.stdout
    for level in result.labels.levels:
        assert f"{level.level}: labels of 832 cells are the same" in done.stdout
    table = pd.read_csv(tmp_path / "repeated.csv")
    assert table["label"].tolist() == result.labels.first.labels.tolist()
    np.testing.assert_allclose(table["confidence"], result.labels.first.confidence, rtol=1e-4)


def test_the_script_says_what_differs(result: MappingResult, tmp_path: Path) -> None:
    told = replace(result.provenance, reference_checksum="0" * 64, versions={"torch": "0.0.1"}, seed=99)
    first = result.labels.first
    others = replace(result.labels, levels=(replace(first, codes=first.codes[::-1]), *result.labels.levels[1:]))
    script = reproducing_script(replace(result, provenance=told, labels=others), "gone.h5ad", "gone.atlas")
    done = repeat(script, tmp_path, str(DEMO), str(SAMPLE_ATLAS))
    assert done.returncode == 1, done.stderr
    assert "0000000000000000 was mapped onto" in done.stdout
    assert re.search(r"differs: torch is \S+; it was 0.0.1", done.stdout)
    assert "it was 99" in done.stdout
    assert f"{first.level}: labels of 832 cells are NOT the same" in done.stdout


def test_the_methods_paragraph_states_every_figure_of_the_record(result: MappingResult) -> None:
    told = result.provenance
    said = methods_paragraph(result, explorer.open_reference(SAMPLE_ATLAS))
    for fact in (
        "832 cells", told.reference, "(5,272 cells)", "CONCORD", f"{told.coverage.found:,} were found",
        "Batches of the query were named by its column condition", f"Random seed {told.seed}",
        told.reference_checksum[:16], told.created[:10], f"torch {told.versions['torch']}",
    ):  # fmt: skip
        assert fact in said, fact
    for level in result.labels.levels:
        told_of = consequence(result, level.level)
        assert f"{int(level.unknown.sum()):,} of 832 cells ({100 * level.unknown.mean():.1f} %)" in told_of
        assert told_of in said


def test_the_table_of_all_classes_is_the_result_block_by_block(
    result: MappingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.writing.all_classes.BLOCK_ROWS", 100)
    first = result.labels.first
    write_probabilities(result, tmp_path / "all.csv")
    table = pd.read_csv(io.BytesIO(b"".join(probability_lines(result, first.level))))
    assert list(table) == [*keys.CSV_COLUMNS[:6], *(f"P({name})" for name in first.classes)]
    np.testing.assert_allclose(table.to_numpy()[:, 6:].astype(float), first.probabilities, atol=1e-5)
    own = [row[f"P({row['label']})"] for _, row in table.iterrows()]
    np.testing.assert_allclose(own, table["confidence"], atol=1e-5)
    assert pd.read_csv(tmp_path / "all.csv").equals(table)
    assert probability_table(result, first.level, slice(3, 5))["cell_id"].tolist() == result.obs.index[3:5].tolist()


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_needs_nothing_else_and_holds_every_label(result: MappingResult) -> None:
    evil = "<script>alert(1)</script>"
    shown = Shown(b"\x89PNG", f"A map of {evil}")
    text = result_page(
        result, title=evil, methods="How it was done.", verdict=["It looks sound."], pictures=[shown],
        samples="condition",
    )  # fmt: skip
    page = Page(text)
    assert "script" not in page.tags
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert len(page.addresses) == 1
    checksum = result.provenance.reference_checksum
    for words in (evil, "How it was done.", "It looks sound.", "Cells by condition", checksum):
        assert words in page.words
    table = label_table(result.labels.first)
    assert table["cells"].sum() == 832
    assert table["share"].sum() == pytest.approx(1)
    assert set(table["label"]) == set(result.labels.first.labels)
    assert all(str(label) in page.words for label in table["label"])
