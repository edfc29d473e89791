"""What a person does, from the first page to the file in her hands, in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from pages import at_rest
from PIL import Image
from playwright.sync_api import Download, Page, expect
from serving import Server, until

from explorer import keys
from explorer.jobs.queue import JobState, Queue

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


def button(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def step(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Steps").get_by_role("button", name=re.compile(name)).click()


def picture_colors(page: Page) -> set[tuple[int, int, int]]:
    """Saturated colours that cover at least 20 pixels of the map."""
    shot = page.locator("canvas").first.screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).reshape(-1, 3)
    colored = pixels[np.ptp(pixels.astype(int), axis=1) > 60]
    found, counts = np.unique(colored, axis=0, return_counts=True)
    return {tuple(color) for color in found[counts >= 20].tolist()}


def see_colors(page: Page, at_least: int) -> set[tuple[int, int, int]]:
    """Wait until the map shows that many colours; a failure says what the map and the page showed instead."""
    found: set[tuple[int, int, int]] = set()

    def enough() -> bool:
        found.clear()
        found.update(picture_colors(page))
        return len(found) >= at_least

    try:
        until(enough, f"{at_least} colours on the map")
    except AssertionError as problem:
        raise AssertionError(f"{problem}; {told_of(page)}") from problem
    return found


def told_of(page: Page) -> str:
    """What the map shows, and what the page says."""
    shot = page.locator("canvas").first.screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).reshape(-1, 3)
    shown, counts = np.unique(pixels, axis=0, return_counts=True)
    most = ", ".join(f"{tuple(shown[i].tolist())} x {counts[i]:,}" for i in np.argsort(-counts)[:8])
    box = page.locator("canvas").first.bounding_box()
    said = page.locator("body").aria_snapshot()
    return f"{page.locator('canvas').count()} canvases, the first at {box} shows {most}; the page:\n{said}"


def upload(page: Page, path: Path, name: str | None = None) -> None:
    page.locator("input[type=file]").first.set_input_files(
        {"name": name or path.name, "mimeType": "application/octet-stream", "buffer": path.read_bytes()}
    )


def explore(visit: Open, address: str, **size: int) -> Page:
    """Open a mapped project at Explore and wait for its picture."""
    page = visit(address, **size)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    see_colors(page, 4)
    return page


def save(download: Download, folder: Path) -> Path:
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def test_sample_atlas_opens_as_a_coloured_picture(visit: Open) -> None:
    page = visit()
    button(page, "Explore the reference")
    expect(page.get_by_text("5,272 reference cells · layout of")).to_be_visible()
    assert len(see_colors(page, 5)) >= 5
    expect(page.get_by_role("checkbox", name=re.compile("CD14 monocyte"))).to_be_visible()


def test_uploaded_cells_are_mapped_labelled_and_downloaded(
    visit: Open, demo: Path, server: Server, tmp_path: Path
) -> None:
    page = visit()
    upload(page, demo)
    expect(page.get_by_text("What the file holds")).to_be_visible()
    button(page, "Continue to Map")
    button(page, "Start mapping")
    button(page, "Explore the result")
    see_colors(page, 4)
    step(page, "Figures")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download", exact=True).nth(1).click()
    table = pd.read_csv(save(waiting.value, tmp_path))
    assert list(table) == [*keys.CSV_COLUMNS, keys.CSV_VERDICT]  # the demo is a state that the atlas lacks
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download", exact=True).nth(0).click()
    result = ad.read_h5ad(save(waiting.value, tmp_path))
    query = ad.read_h5ad(demo)
    assert (result.X != query.X).nnz == 0
    assert result.obs[keys.predicted("cell_type")].astype(str).tolist() == table["label"].tolist()
    step(page, "Explore")
    counts = table["label"].where(~table["unknown"], keys.UNKNOWN).value_counts()
    for label, n in counts.items():
        entry = page.get_by_role("checkbox", name=re.compile(rf"^{re.escape(str(label))}\s*{n:,}$"))
        expect(entry).to_be_visible()


def test_reload_in_the_middle_of_a_job_finds_it_again(visit: Open, server: Server, idle: None) -> None:
    page = visit()
    page.get_by_text("Blood of six people").first.click()
    expect(page.get_by_text("What the file holds")).to_be_visible()
    button(page, "Continue to Map")
    with server.held():
        button(page, "Start mapping")
        expect(page.get_by_role("progressbar", name=re.compile("Healthy blood"))).to_be_visible()
        page.reload()
    button(page, "Explore the result")
    expect(page.get_by_text("2,400 of 2,400 cells shown")).to_be_visible()
    expect(page.get_by_text("shares of these lineages are by design")).to_be_visible()
    queue = Queue(server.home / "jobs.sqlite")
    assert [job.state for job in queue.jobs() if "covid" in job.spec.query] == [JobState.DONE]


def test_double_click_on_start_makes_one_job(visit: Open, server: Server) -> None:
    page = visit()
    page.get_by_text("PBMC, control and IFN-beta stimulated").first.click()
    button(page, "Continue to Map")
    queue = Queue(server.home / "jobs.sqlite")
    before = len(queue.jobs())
    page.get_by_role("button", name="Start mapping", exact=True).dblclick()
    expect(page.get_by_role("button", name="Explore the result", exact=True)).to_be_visible()
    assert len(queue.jobs()) == before + 1


def test_text_renamed_to_h5ad_gets_one_sentence(visit: Open, tmp_path: Path) -> None:
    path = tmp_path / "notes.h5ad"
    path.write_text("these are my notes\n" * 500)
    page = visit()
    upload(page, path)
    refusal = page.get_by_role("alert").filter(has_text="notes.h5ad")
    expect(refusal).to_be_visible()
    assert "Traceback" not in refusal.inner_text()
    expect(page.get_by_text("What the file holds")).to_be_hidden()


def test_truncated_file_gets_one_sentence(visit: Open, demo: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.h5ad"
    path.write_bytes(demo.read_bytes()[:400_000])
    page = visit()
    upload(page, path)
    expect(page.get_by_role("alert").filter(has_text=re.compile("torn|truncated|damaged"))).to_be_visible()
    expect(page.get_by_role("button", name="Continue to Map", exact=True)).to_be_hidden()


def test_targeted_panel_is_offered_a_model_refitted_on_its_genes(visit: Open, demo: Path, tmp_path: Path) -> None:
    few = tmp_path / "panel.h5ad"
    ad.read_h5ad(demo)[:40, ::8].copy().write_h5ad(few)
    page = visit()
    step(page, "Data")
    upload(page, few)
    expect(page.get_by_role("alert").filter(has_text="at least 30 % are needed")).to_be_visible()
    page.get_by_role("button", name=re.compile(r"Refit on the [\d,]+ shared genes")).click()
    expect(page.get_by_role("listitem").filter(has_text="the first time only")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    button(page, "Continue to Map")
    expect(page.get_by_role("button", name="Start mapping", exact=True)).to_be_enabled()
    expect(page.locator("span").filter(has_text="maps these cells refitted on")).to_be_visible()


def test_second_tab_shows_the_same_project(visit: Open, mapped: str) -> None:
    first = explore(visit, mapped)
    second = visit(first.url)
    expect(second.get_by_text("832 of 832 cells shown")).to_be_visible()
    first.get_by_role("radio", name="Confidence").check()
    expect(first.get_by_role("img", name=re.compile("Colour scale from 0 to 1"))).to_be_visible()
    expect(second.get_by_role("checkbox", name=re.compile("CD14 monocyte"))).to_be_visible()
    third = visit(first.url)
    expect(third.get_by_role("img", name=re.compile("Colour scale from 0 to 1"))).to_be_visible()


def test_gene_is_found_by_typing_and_colours_the_map(visit: Open, mapped: str) -> None:
    page = explore(visit, mapped)
    page.get_by_role("radio", name="Gene", exact=True).check()
    box = page.get_by_role("combobox", name="Gene")
    box.fill("ISG15")
    page.get_by_role("option", name="ISG15", exact=True).click()
    expect(page.get_by_text("ISG15, log1p CP10k")).to_be_visible()
    button(page, "2")
    until(lambda: page.locator("canvas").count() >= 2, "two maps")


def test_lasso_says_what_the_cells_are_and_why(visit: Open, mapped: str, tmp_path: Path) -> None:
    page = explore(visit, mapped)
    page.get_by_title("Box Select").click()
    frame = at_rest(page.locator("canvas").first)
    page.mouse.move(frame["x"] + 20, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] - 20, steps=8)
    page.mouse.up()
    link = page.get_by_role("link", name=re.compile(r"Download [\d,]+ cells? as csv"))
    until(lambda: "832" not in link.inner_text(), "a selection")
    n = int(re.sub(r"\D", "", link.inner_text()))
    with page.expect_download() as waiting:
        link.click()
    assert len(pd.read_csv(save(waiting.value, tmp_path))) == n
    button(page, "Why these?")
    expect(page.get_by_text("Mean here")).to_be_visible()
    expect(page.get_by_text("of what they should sum to")).to_be_visible()


def test_hidden_labels_leave_the_picture_and_the_figure(visit: Open, mapped: str, tmp_path: Path) -> None:
    page = explore(visit, mapped)
    page.get_by_role("checkbox", name=re.compile("CD4 T cell")).click()
    expect(page.get_by_text(re.compile(r"^(?!832)\d+ of 832 cells shown"))).to_be_visible()
    step(page, "Figures")
    button(page, "SVG")
    link = page.get_by_role("link", name="Download SVG", exact=True)
    with page.expect_download() as waiting:
        link.click()
    svg = save(waiting.value, tmp_path).read_text(encoding="utf-8")
    assert "CD14 monocyte (" in svg
    assert "CD4 T cell (" not in svg


def test_names_from_a_file_are_text_never_markup(visit: Open, demo: Path, tmp_path: Path) -> None:
    cells = ad.read_h5ad(demo)[:60].copy()
    evil = "<img src=x onerror=\"console.error('ran')\">"
    cells.obs["cell_type"] = pd.Categorical([evil] * 60)
    cells.obs[evil.replace("/", "")] = "a"
    path = tmp_path / "evil.h5ad"
    cells.write_h5ad(path)
    page = visit()
    upload(page, path, "<b>evil</b>.h5ad")
    expect(page.get_by_text("What the file holds")).to_be_visible()
    button(page, "Continue to Map")
    button(page, "Start mapping")
    button(page, "Explore the result")
    page.get_by_role("radio", name="Column").check()
    expect(page.get_by_text("called unknown, less sure")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_back_leads_to_the_step_before(visit: Open, mapped: str) -> None:
    page = explore(visit, mapped)
    step(page, "Map")
    expect(page.get_by_text("Models of this reference")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()


def test_number_keys_change_the_step_but_not_while_typing(visit: Open, mapped: str) -> None:
    page = explore(visit, mapped)
    page.get_by_role("radio", name="Gene", exact=True).check()
    page.get_by_role("combobox", name="Gene").press_sequentially("CD3")
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name=re.compile("^Colour by")).click()
    page.keyboard.press("6")
    expect(page.get_by_text("How this result came about")).to_be_visible()


def test_dark_page_stays_readable(visit: Open) -> None:
    page = visit("?step=explore")
    see_colors(page, 5)
    page.get_by_role("button", name="Toggle theme").click()
    until(lambda: page.evaluate("document.documentElement.dataset.theme") == "dark", "the dark theme")
    ink = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ax-ink')")
    assert ink.strip() == "#e8ecf2"
    page.reload()
    until(lambda: page.evaluate("document.documentElement.dataset.theme") == "dark", "the theme that was left")


@pytest.mark.parametrize("size", [(1440, 900), (1280, 720)], ids=["1440x900", "1280x720"])
def test_workspace_fits_the_window(visit: Open, size: tuple[int, int]) -> None:
    page = visit("?step=explore", *size)
    see_colors(page, 5)
    within = "([width, height]) => document.documentElement.scrollWidth <= width && "
    page.wait_for_function(f"{within} document.documentElement.scrollHeight <= height", arg=list(size))
    expect(page.get_by_role("button", name="Intersect")).to_be_in_viewport(ratio=1)
