"""What a person does who trains a method for a reference, and maps in another way than usual, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from serving import Server, served

from explorer.flow import Reference
from explorer.genesets import read_collections

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scpoli_reference: Reference) -> Iterator[Server]:
    """The app with one small reference, which holds scPoli alone."""
    folder = tmp_path_factory.mktemp("training")
    given = shutil.copytree(scpoli_reference.folder, folder / "planted.atlas")
    with served(folder / "home", env={"ATLAS_EXPLORER_REFERENCES": str(given)}) as running:
        yield running


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, planted_query: ad.AnnData) -> Path:
    """Some new cells of two batches."""
    some = planted_query[:60].copy()
    some.obs["batch"] = pd.Categorical(["one"] * 30 + ["two"] * 30)
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    some.write_h5ad(path)
    return path


def button(page: Page, name: str | re.Pattern[str]) -> None:
    page.get_by_role("button", name=name, exact=isinstance(name, str)).click()


def bring(page: Page, cells: Path) -> None:
    """Upload the cells."""
    page.locator("input[type=file]").first.set_input_files(
        {"name": cells.name, "mimeType": "application/octet-stream", "buffer": cells.read_bytes()}
    )
    expect(page.get_by_text("What the file holds")).to_be_visible()


def test_cells_are_mapped_by_learning_their_batches(visit: Open, cells: Path) -> None:
    page = visit()
    bring(page, cells)
    button(page, "Continue to Map")
    page.get_by_role("radio", name=re.compile("^Learn my batches")).click()
    expect(page.get_by_role("radio", name=re.compile("those of the column batch"), checked=True)).to_be_visible()
    button(page, "More options")
    page.get_by_role("radio", name=re.compile("^Coarse labels first")).click()
    button(page, "Start mapping")
    expect(page.get_by_text("scPoli (“Learn my batches”, coarse labels first) on Planted cells")).to_be_visible()
    button(page, "Explore the result")
    expect(page.get_by_text("60 of 60 cells shown")).to_be_visible()
    expect(page.get_by_text("“Learn my batches”, coarse labels first, on Planted cells")).to_be_visible()
    page.reload()
    expect(page.get_by_text("“Learn my batches”, coarse labels first, on Planted cells")).to_be_visible()


def test_second_method_is_trained_maps_and_tells_pathways(visit: Open, cells: Path, tmp_path: Path) -> None:
    page = visit()
    bring(page, cells)
    button(page, "Continue to Map")
    button(page, re.compile(r"Train this method \(about 1 min\) KIDA"))
    expect(page.get_by_role("checkbox", name=re.compile("^KIDA"))).to_be_visible(timeout=900_000)
    page.get_by_role("checkbox", name=re.compile("^KIDA")).click()
    page.get_by_role("checkbox", name=re.compile("^scPoli")).click()
    button(page, "Start mapping")
    button(page, "Explore the result")
    expect(page.get_by_text("60 of 60 cells shown")).to_be_visible()
    page.get_by_role("combobox", name="Measured by").click()
    page.get_by_role("listbox").get_by_text("Pathway attribution").click()
    button(page, "Why these?")
    expect(page.get_by_text("of what they should sum to")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Cholesterol biosynthesis"))).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile(r"Download all \d+ pathways as csv")).click()
    path = tmp_path / "pathways.csv"
    waiting.value.save_as(path)
    table = pd.read_csv(path)
    assert list(table) == ["pathway", "score"]
    assert set(table["pathway"]) <= set(read_collections(["reactome"]))
    assert table["score"].is_monotonic_decreasing


def test_a_reference_of_ones_own_cells_says_what_is_missing(visit: Open, cells: Path) -> None:
    page = visit()
    bring(page, cells)
    button(page, "Build a reference from this file")
    start = page.get_by_role("button", name="Build the reference", exact=True)
    expect(start).to_be_enabled()
    page.get_by_role("checkbox", name="CONCORD").uncheck()
    expect(page.get_by_text("Choose at least one method.")).to_be_visible()
    expect(start).to_be_disabled()
