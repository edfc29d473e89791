"""From a view on Explore to a figure in her hands, in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pymupdf
import pytest
from pages import at_rest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from explorer.app.stored import library
from explorer.drawing.coloring import label_colors
from explorer.settings import SAMPLE_ATLAS

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


def step(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Steps").get_by_role("button", name=re.compile(name)).click()


def pin(page: Page) -> None:
    page.get_by_role("button", name="Keep this view as a panel of the figure").click()


def panels(page: Page) -> Locator:
    return page.get_by_role("list", name="Panels").get_by_role("listitem")


def taken(page: Page, label: str, folder: Path) -> Path:
    """Press a download and wait for its file."""
    with page.expect_download() as waiting:
        page.get_by_role("link", name=label, exact=True).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def two_views(visit: Open, mapped: str) -> Page:
    """Labels and confidence pinned, and the Figures screen open."""
    page = visit(mapped)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    expect(page.get_by_role("checkbox", name=re.compile("CD14 monocyte"))).to_be_visible()
    pin(page)
    page.get_by_role("radio", name="Confidence").check()
    expect(page.get_by_role("img", name=re.compile("Colour scale from 0 to 1"))).to_be_visible()
    pin(page)
    step(page, "Figures")
    expect(panels(page)).to_have_count(2)
    return page


def test_two_pinned_views_become_a_pdf_with_the_colours_of_the_screen(
    visit: Open, mapped: str, tmp_path: Path
) -> None:
    page = two_views(visit, mapped)
    expect(page.locator("img.figure")).to_be_visible()
    expect(page.locator("ol img")).to_have_count(2)
    sheet = pymupdf.open(taken(page, "Download PDF", tmp_path))[0]
    assert sheet.rect.width / 72 * 25.4 == pytest.approx(180, abs=0.1)
    words = sheet.get_text()
    for text in ("Predicted cell_type", "Confidence", "CD14 monocyte", "UMAP 1"):
        assert text in words
    assert {"a", "b"} <= set(words.split())
    shown = np.asarray(Image.open(io.BytesIO(sheet.get_pixmap(dpi=600).tobytes("png"))).convert("RGB"))
    colors = {tuple(color) for color in np.unique(shown.reshape(-1, 3), axis=0).tolist()}
    known = label_colors(library.reference(SAMPLE_ATLAS), "cell_type")
    for label in ("CD14 monocyte", "CD4 T cell", "B cell"):
        assert tuple(bytes.fromhex(known[label][1:])) in colors


def test_pins_are_renamed_moved_removed_and_there_after_a_reload(visit: Open, mapped: str) -> None:
    page = two_views(visit, mapped)
    title = page.get_by_role("textbox", name="Title of panel 2")
    title.fill("How sure <b>")
    title.press("Enter")
    page.get_by_role("button", name=re.compile("^Move up: How sure")).click()
    expect(page.get_by_role("textbox", name="Title of panel 1")).to_have_value("How sure <b>")
    page.reload()
    expect(page.get_by_role("textbox", name="Title of panel 1")).to_have_value("How sure <b>")
    expect(page.get_by_text("(a) How sure <b>: ")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Remove: How sure")).click()
    expect(panels(page)).to_have_count(1)


def test_report_script_and_probabilities_are_made_when_asked_for(visit: Open, mapped: str, tmp_path: Path) -> None:
    page = visit(mapped.replace("explore", "export"))
    expect(page.get_by_text("Nothing is pinned yet")).to_be_visible()
    expect(page.get_by_text("832 cells (PBMC, stimulated; X, counts) were mapped onto the reference")).to_be_visible()
    table = pd.read_csv(taken(page, "Download: Labels and all probabilities, csv", tmp_path))
    assert len(table) == 832
    assert sum(name.startswith("P(") for name in table) == 8
    report = taken(page, "Download: Report, HTML", tmp_path)
    assert "data:image/png" in report.read_text(encoding="utf-8")
    script = taken(page, "Download: Script that repeats it, Python", tmp_path)
    assert script.name.endswith(".reproduce.py")
    compile(script.read_text(encoding="utf-8"), script.name, "exec")


@pytest.mark.parametrize("size", [(1440, 900), (1280, 720)], ids=["1440x900", "1280x720"])
def test_the_screen_fits_the_window(visit: Open, mapped: str, size: tuple[int, int]) -> None:
    page = visit(mapped.replace("explore", "export"), *size)
    expect(page.locator("img.figure")).to_be_visible()
    page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=size[0])
    picture = at_rest(page.locator("img.figure"))
    assert picture["x"] + picture["width"] <= size[0]
