"""The workspace in a real browser: panes, keys, colours, and a selection that is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import pytest
from pages import at_rest, hears
from playwright.sync_api import Page, expect
from serving import until

from explorer import keys

PINK = "#ff00aa"

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


def selected(page: Page) -> int:
    """How many cells the link below the selection offers."""
    link = page.get_by_role("link", name=re.compile(r"Download [\d,]+ cells? as csv"))
    return int(re.sub(r"\D", "", link.inner_text()))


def test_cells_are_split_coloured_selected_and_kept(visit: Open, mapped: str, tmp_path: Path) -> None:
    page = visit(mapped, width=1280, height=720)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    expect(page.get_by_text("Draw order: random")).to_be_visible()

    # panes, by key: their counts are those of the column
    hears(page, "t")
    page.keyboard.press("t")
    expect(page.get_by_text("391 cells")).to_be_visible()
    expect(page.get_by_text("441 cells")).to_be_visible()
    until(lambda: page.locator("canvas").count() >= 2, "two maps")

    # a gene by the common name of its protein
    page.keyboard.press("g")
    box = page.get_by_role("combobox", name="Gene", exact=True)
    expect(box).to_be_focused()
    box.fill("CD20")
    box.press("Enter")
    expect(page.get_by_text("MS4A1, log1p CP10k")).to_be_visible()
    expect(page.get_by_text("high on top · zeros grey · scale")).to_be_visible()

    # a lineage from the legend, less the cells that are not sure
    page.get_by_role("radio", name="Label", exact=True).check()
    lineage = page.get_by_role("checkbox", name=re.compile("^Monocyte"))
    expect(lineage).to_be_visible()
    n = int(re.sub(r"\D", "", lineage.inner_text()))
    lineage.hover()
    page.get_by_role("button", name="Select Monocyte").click()
    until(lambda: selected(page) == n, "the monocytes")
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_role("spinbutton", name="Confidence from").fill("0.9")
    page.keyboard.press("Tab")
    until(lambda: 0 < selected(page) < n, "fewer of them")
    sure = selected(page)

    # another colour for one label
    dye = page.get_by_label("Colour of B cell", exact=True)
    usual = dye.input_value()
    dye.fill(PINK)
    expect(page.get_by_role("button", name="Default colour of B cell")).to_be_visible()
    expect(page.locator(".legend .row", has=dye).locator(".swatch")).to_have_css("background-color", "rgb(255, 0, 170)")

    # kept under a name, in the project and in the file
    page.get_by_role("textbox", name="Save selection as").fill("sure monocytes")
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download h5ad with saved selections").click()
    path = tmp_path / "gated.h5ad"
    waiting.value.save_as(path)
    cells = ad.read_h5ad(path)
    obs, column = cells.obs, keys.predicted("cell_type")
    assert dict(zip(obs[column].cat.categories, cells.uns[keys.colors(column)], strict=True))["B cell"] == PINK
    chosen = obs[obs["selection_sure monocytes"]]
    assert len(chosen) == sure
    assert set(chosen[keys.predicted("cell_type")]) <= {"CD14 monocyte", "CD16 monocyte"}
    assert (chosen[keys.confidence("cell_type")] >= 0.9).all()
    page.reload()
    expect(page.get_by_text("391 cells")).to_be_visible()
    until(lambda: selected(page) == sure, "the same cells after a reload")
    expect(dye).to_have_value(PINK)
    page.get_by_role("button", name="Default colours").click()
    expect(dye).to_have_value(usual)
    page.get_by_role("heading", name=re.compile("^Colour by")).click()
    hears(page, "Escape")
    page.keyboard.press("Escape")
    until(lambda: selected(page) == 832, "no selection")
    page.get_by_role("button", name="sure monocytes", exact=True).click()
    until(lambda: selected(page) == sure, "the saved selection")


def test_two_genes_lie_against_each_other_and_gates_select_on_the_map(visit: Open, mapped: str) -> None:
    page = visit(mapped, width=1280, height=720)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    page.get_by_role("button", name="Two values", exact=True).click()
    page.get_by_role("button", name="Show CD3D against CD8A").click()
    expect(page.get_by_text(re.compile(r"^832 cells, \d+ zero in both\. Pearson 0\.\d\d, Spearman"))).to_be_visible()
    double = page.get_by_role("button", name=re.compile(r"CD3D\+\sCD8A\+$"))
    n = int(double.inner_text().partition("(")[0])
    double.click()
    until(lambda: selected(page) == n, "the double positive cells")

    # a box on the plane, which narrows what is selected
    page.get_by_role("button", name="Intersect", exact=True).click()
    expect(page.get_by_text("it narrows the selection on the map")).to_be_visible()
    frame = at_rest(page.locator("canvas").last)
    page.mouse.move(frame["x"] + 0.5 * frame["width"], frame["y"] + 5)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.7 * frame["width"], frame["y"] + 0.3 * frame["height"], steps=4)
    page.mouse.move(frame["x"] + 0.8 * frame["width"], frame["y"] + 0.6 * frame["height"], steps=4)
    page.mouse.up()
    said = re.compile(r"^Selected by: CD3D over 0 with CD8A over 0, within CD3D [\d.]+ to [\d.]+ with")
    expect(page.get_by_text(said)).to_be_visible()
    until(lambda: 0 < selected(page) < n, "fewer of them")
    within = selected(page)

    # confidence in place of a gene, and both kept
    across = page.get_by_role("combobox", name="Across", exact=True)
    across.fill("Confidence")
    across.press("Enter")
    expect(page.get_by_role("button", name=re.compile(r"Confidence\+\sCD8A\+$"))).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name=re.compile(r"Confidence\+\sCD8A\+$"))).to_be_visible()
    until(lambda: selected(page) == within, "the same cells after a reload")
