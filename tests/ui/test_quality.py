"""Quality in a real browser: the verdict, and a threshold that every screen obeys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from explorer import keys

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


def step(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Steps").get_by_role("button", name=re.compile(name)).click()


def number(pattern: str, text: str) -> int:
    """The number that a pattern captures in a text of the page."""
    found = re.search(pattern, text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


def test_the_threshold_is_moved_and_every_screen_obeys(visit: Open, mapped: str, tmp_path: Path) -> None:
    page = visit(mapped.replace("step=explore", "step=quality"), width=1280, height=720)
    expect(page.get_by_text("This mapping can be used with care")).to_be_visible()
    expect(page.get_by_text("Likely cause, and what to try")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Quality\\s*look"))).to_be_visible()
    reason = page.get_by_text("genes of the model found")
    expect(reason).to_be_hidden()
    page.get_by_text("why", exact=True).click()
    expect(reason).to_be_visible()
    sentence = page.get_by_text(re.compile(r"^At 0\.\d\d you keep"))
    expect(sentence).to_contain_text("estimated accuracy")
    before = number(r"keep ([\d,]+) of", sentence.inner_text())
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")  # the reference's own rule, below which no label is known
    for _ in range(4):
        page.keyboard.press("PageUp")
    expect(page.get_by_text("At 0.90 you keep")).to_be_visible()
    kept = number(r"keep ([\d,]+) of", sentence.inner_text())
    assert kept < before
    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile("by label, csv")).click()
    waiting.value.save_as(tmp_path / "labels.csv")
    table = pd.read_csv(tmp_path / "labels.csv")
    assert round((table["cells"] * table["kept"]).sum()) == kept
    assert set(table["threshold"]) == {0.9}
    page.get_by_role("button", name="99 %", exact=True).click()
    expect(page.get_by_text("Sets hold the true label of 99 %")).to_be_visible()
    step(page, "Explore")
    expect(page.get_by_text(re.compile(r"threshold 0\.90 keeps \d+ % at \d+ % estimated accuracy"))).to_be_visible()
    entry = page.get_by_role("checkbox", name=re.compile(rf"^{keys.UNKNOWN}\s*{832 - kept}$"))
    expect(entry).to_be_visible()
    page.reload()
    expect(entry).to_be_visible()
    step(page, "Quality")
    page.get_by_role("button", name="Reference's rule, 0.50", exact=True).click()
    expect(page.get_by_text(f"you keep {before} of 832")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.get_by_text(f"you keep {kept} of 832")).to_be_visible()


def test_without_a_result_the_way_on_is_offered(visit: Open) -> None:
    page = visit("?step=quality")
    expect(page.get_by_text("No cells are mapped yet.")).to_be_visible()
    expect(page.get_by_text("Prediction sets")).to_be_hidden()
    page.get_by_role("button", name="Go to Map", exact=True).click()
    expect(page.get_by_role("heading", name="Map", exact=True)).to_be_visible()
