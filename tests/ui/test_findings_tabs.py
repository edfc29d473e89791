"""From labels to genes to pathways in the tabs below the map, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


def button(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def choose(page: Page, what: str, value: str) -> None:
    page.get_by_role("combobox", name=what, exact=True).click()
    page.get_by_role("listbox").get_by_text(value, exact=True).click()


def search(page: Page, text: str) -> None:
    """Search a table, and wait until it shows what was found: who clicks on a line that goes clicks on nothing."""
    page.get_by_role("searchbox", name="Search the first column").first.fill(text)
    expect(page.get_by_role("status").filter(has_text=re.compile(r" found of [\d,]+$")).first).to_be_visible()


def test_from_disputed_cells_to_their_markers_and_pathways(visit: Open, mapped: str, tmp_path: Path) -> None:
    page = visit(mapped, width=1280, height=720)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    expect(page.get_by_text("95 % interval over its cells")).to_be_visible()
    button(page, "More or less room")

    button(page, "Own vs predicted")
    field = page.get_by_role("button", name=re.compile("^CD14 Mono, unknown: "))
    expect(field).to_be_visible()
    button(page, "Cells")
    expect(field).to_have_text(re.compile(r"^\d+$"))
    n = int(field.inner_text())
    field.click()
    expect(page.get_by_text(f"{n} of 832 cells")).to_be_visible()
    button(page, "Flow")
    expect(page.get_by_role("button", name=f"CD14 Mono to unknown: {n} cells")).to_be_visible()

    button(page, "Markers")
    button(page, "Compare")
    expect(page.get_by_text(f"the selection ({n} cells) against all other cells ({832 - n}).")).to_be_visible()
    search(page, "isg15")
    button(page, "ISG15")
    expect(page.get_by_text("ISG15, log1p CP10k")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="All genes, csv").click()
    waiting.value.save_as(tmp_path / "markers.csv")
    table = pd.read_csv(tmp_path / "markers.csv")
    assert table.set_index("gene")["adjusted_p"]["ISG15"] < 1e-6
    expect(page.get_by_text(f"of {len(table):,}")).to_be_visible()
    button(page, "Dot plot")
    expect(page.get_by_role("group", name="Dot plot")).to_be_visible()
    button(page, "Heat map")
    expect(page.get_by_role("group", name="Heat map")).to_contain_text(f"selection (n = {n})")

    button(page, "Pathways")
    button(page, "Look up")
    search(page, "interferon alpha beta")
    button(page, "Interferon alpha beta signaling")
    expect(page.get_by_text("Interferon alpha beta signaling, mean log1p CP10k")).to_be_visible()

    button(page, "Signatures")
    button(page, "Ask")
    expect(page.get_by_text(re.compile(r"The scores miss [\d.]+ % of what they should sum to"))).to_be_visible()
