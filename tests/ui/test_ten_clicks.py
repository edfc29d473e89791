"""From a file to a figure for a paper, as one person does it in one sitting, in a real browser.

Drop the file, read its card, take the recommended model, raise the threshold on Quality, split Explore by condition
at a finer label level, lasso the cells that look odd, ask why, keep them under a name, pin three views, take the
figure home: ten things, for which the clicks are counted. What one screen says is held against every other, and
against the files.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pymupdf
import pytest
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from pages import PATIENCE, at_rest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from serving import Server, until

from components.points import fit, index_points, union
from explorer import keys
from explorer.app.stored.projects import Projects
from explorer.jobs.queue import Queue
from explorer.settings import SAMPLE_ATLAS

pytestmark = pytest.mark.ui

Open = Callable[..., Page]
Points = NDArray[np.float32]

LEVEL, THRESHOLD, GATE = "cell_subtype", 0.8, "odd monocytes"
MOST_CLICKS = 22  # for the ten things that the story tells: a menu takes two, a line drawn counts as one
AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
UNKNOWN_AT = 2  # its column in the file's table of doubts
TOOLBAR = 30  # pixels on the right of a map
DROP_JS = """(zone, [name, content]) => {
  const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0))
  const dataTransfer = new DataTransfer()
  dataTransfer.items.add(new File([bytes], name))
  zone.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}))
}"""


@dataclass
class Hand:
    """A person's hand, whose every click, drag and drop is counted."""

    page: Page
    clicks: int = 0
    said: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        self.clicks += 1
        self.said.append(what)

    def drop(self, path: Path) -> None:
        """Drop a file onto the page, as a file manager does."""
        content = base64.b64encode(path.read_bytes()).decode()
        self.page.locator(".drop").first.evaluate(DROP_JS, [path.name, content])
        self.count(f"drop {path.name}")

    def click(self, on: Locator, what: str) -> None:
        on.click()
        self.count(what)

    def button(self, name: str) -> None:
        self.click(self.page.get_by_role("button", name=name, exact=True).first, name)

    def step(self, name: str) -> None:
        steps = self.page.get_by_role("navigation", name="Steps")
        self.click(steps.get_by_role("button", name=re.compile(name)), name)

    def choose(self, what: str, value: str) -> None:
        """Open a menu and take one of its values: two clicks."""
        self.click(self.page.get_by_role("combobox", name=what, exact=True), what)
        self.click(self.page.get_by_role("listbox").get_by_text(value, exact=True), value)

    def draw(self, corners: Points) -> None:
        """Draw a closed line through places on the page, with the button held down."""
        mouse = self.page.mouse
        mouse.move(*map(float, corners[0]))
        mouse.down()
        for x, y in corners[1:]:
            mouse.move(float(x), float(y), steps=2)
        mouse.up()
        self.count("draw")


@dataclass(frozen=True)
class Cells:
    """What a result says of each cell, read from the file and not from the page.

    Attributes
    ----------
    labels
        Of `LEVEL` (n,), `keys.UNKNOWN` where the threshold or the distance forbids one.
    condition
        Text (n,).
    places, reference
        Layout of the query (n, 2) and of the reference, in the same picture.
    """

    labels: NDArray[np.object_]
    condition: NDArray[np.object_]
    places: Points
    reference: Points

    def counts(self, rows: NDArray[np.integer] | slice = slice(None)) -> dict[str, int]:
        """Cells of each label that has any."""
        return pd.Series(self.labels[rows]).value_counts().to_dict()


def read_cells(path: Path) -> Cells:
    """The cells of a result at `THRESHOLD`, by the file's own confidences."""
    result = ad.read_h5ad(path)
    called = result.obs[keys.predicted(LEVEL)].astype(str).to_numpy(object)
    too_far = np.asarray(result.obsm[keys.doubt(LEVEL)])[:, UNKNOWN_AT] > 0
    unsure = result.obs[keys.confidence(LEVEL)].to_numpy() < THRESHOLD
    return Cells(
        labels=np.where(too_far | unsure, keys.UNKNOWN, called),
        condition=result.obs["condition"].astype(str).to_numpy(object),
        places=np.asarray(result.obsm[keys.LAYOUT], dtype=np.float32),
        reference=np.load(SAMPLE_ATLAS / "methods" / "concord" / keys.LAYOUT_FILE),
    )


def island(cells: Cells, label: str) -> Points:
    """Corners of a line around the cells of a label, drawn where the map is empty, in the picture's own units."""
    middle = np.median(cells.places[cells.labels == label], axis=0)
    away = np.sort(np.hypot(*(np.vstack([cells.places, cells.reference]) - middle).T))
    near = away[away < 4 * np.quantile(np.hypot(*(cells.places[cells.labels == label] - middle).T), 0.9)]
    widest = int(np.diff(near).argmax())
    radius = (near[widest] + near[widest + 1]) / 2
    turn = np.linspace(0, 2 * np.pi, 24)
    return np.asarray(middle + radius * np.column_stack([np.cos(turn), np.sin(turn)]), dtype=np.float32)


def on_page(corners: Points, cells: Cells, frame: dict[str, float]) -> Points:
    """Where places of the picture lie on the page, on a map that shows all of it."""
    extent = union(index_points(cells.places).extent, index_points(cells.reference).extent)
    x0, x1, y0, y1 = fit(extent, int(frame["width"]) - TOOLBAR, int(frame["height"]))
    x = frame["x"] + (corners[:, 0] - x0) / (x1 - x0) * (frame["width"] - TOOLBAR)
    y = frame["y"] + (y1 - corners[:, 1]) / (y1 - y0) * frame["height"]
    return np.column_stack([x, y])


def number(text: str, pattern: str) -> int:
    """The number that a pattern captures."""
    found = re.search(pattern, text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


def is_fit(page: Page) -> None:
    """Nothing on the page is too small, too faint, cut off, without a name, or beyond the window's edge."""
    try:
        page.wait_for_function(f"({AUDIT})().length === 0", timeout=1_000 * PATIENCE)
    finally:
        assert page.evaluate(AUDIT) == []


def legend(page: Page) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Counts and colours of the labels in the legend, as the browser shows them."""
    lines = page.locator(".legend li:not(.group)").evaluate_all(
        """lines => lines.map((line) => [...[".name", ".count"].map((part) => line.querySelector(part).textContent),
          getComputedStyle(line.querySelector(".swatch")).backgroundColor])"""
    )
    counts = {name: int(count.replace(",", "")) for name, count, _ in lines}
    return counts, {name: tuple(map(int, re.findall(r"\d+", color)[:3])) for name, _, color in lines}


def threshold_on_quality(hand: Hand) -> int:
    """Move the line to `THRESHOLD` with one click; returns how many cells Quality says are kept."""
    slider = hand.page.get_by_role("slider")
    box = at_rest(slider)
    slider.click(position={"x": THRESHOLD * box["width"], "y": box["height"] / 2})
    hand.count(f"{THRESHOLD}")
    said = hand.page.get_by_text(f"At {THRESHOLD:.2f} you keep")
    expect(said).to_be_visible()
    return number(said.inner_text(), r"keep ([\d,]+) of 832")


def lasso(hand: Hand, cells: Cells) -> NDArray[np.integer]:
    """Draw around the stimulated monocytes; returns the rows that lie within the line, counted here."""
    at = 1  # the pane of the stimulated cells
    corners = island(cells, "CD14 monocyte")
    tool, pane = hand.page.get_by_title("Lasso Select").nth(at), hand.page.locator(".bk-Canvas").nth(at)
    hand.click(tool, "lasso")
    expect(tool).to_have_class(re.compile("active"))
    until(lambda: surrounds(corners, cells, pane), "a picture in which the line runs through empty places")
    hand.draw(on_page(corners, cells, at_rest(pane)))
    inside = Outline(corners, closed=True).contains_points(cells.places)
    return np.flatnonzero(inside & (cells.condition == "stim"))


def surrounds(corners: Points, cells: Cells, pane: Locator) -> bool:
    """Whether the pane shows coloured cells within a line and none on it: its picture has come to rest."""
    frame = at_rest(pane)
    shot = np.asarray(Image.open(io.BytesIO(pane.screenshot())).convert("RGB")).astype(int)
    colored = np.ptp(shot, axis=2) > 60
    line = on_page(corners, cells, frame) - (frame["x"], frame["y"])
    rows, columns = np.indices(colored.shape)
    inside = Outline(line, closed=True).contains_points(np.column_stack([columns.ravel(), rows.ravel()]))
    x, y = np.clip(line.astype(int), 0, np.array(colored.shape[::-1]) - 1).T
    return bool(colored.ravel()[inside].sum() > 20 and not colored[y, x].any())


def result_of(page: Page, server: Server) -> Path:
    """The annotated file of the project that the page shows."""
    found = re.search(r"project=([\w-]+)", page.url)
    assert found is not None
    project = Projects(server.home / "jobs.sqlite").get(found[1])
    return Queue(server.home / "jobs.sqlite").result_folder(project.jobs[0]) / keys.RESULT_FILE


def listed(page: Page) -> dict[str, int]:
    """Cells of each label among the selected ones, as the selection's own table says."""
    lines = page.locator("tr:has(td.name)")
    cells = lines.evaluate_all("lines => lines.map(({cells}) => [cells[1].innerText, cells[2].innerText])")
    return {name: int(count.replace(",", "")) for name, count in cells}


def table_of(page: Page) -> dict[str, int]:
    """Cells of each label in the table of Composition."""
    lines = page.locator("table.dense:has(tr.sum) tbody tr:not(.sum)")
    expect(lines.first).to_be_visible()
    cells = lines.evaluate_all(
        "lines => lines.map(({cells}) => [cells[0].innerText.trim(), cells[cells.length - 1].innerText])"
    )
    return {name: int(count.replace(",", "")) for name, count in cells}


def taken(page: Page, link: Locator, folder: Path) -> Path:
    """Press a download and wait for its file."""
    with page.expect_download() as waiting:
        link.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def is_for_a_paper(figure: pymupdf.Document, colors: dict[str, tuple[int, ...]]) -> None:
    """One page of 180 mm, cells rasterised at 600 dpi, text that can be edited, a legend in the screen's colours."""
    (sheet,) = figure
    assert sheet.rect.width / 72 * 25.4 == pytest.approx(180, abs=0.1)
    for picture in sheet.get_image_info():
        left, _, right, _ = picture["bbox"]
        assert picture["width"] / (right - left) * 72 == pytest.approx(600, rel=0.02)
    kinds = {kind for _, _, kind, *_ in sheet.get_fonts()}
    assert kinds
    assert "Type3" not in kinds  # letters as shapes, which no program edits
    words = sheet.get_text()
    for text in (f"Predicted {LEVEL}", "Novelty", "log1p CP10k", "ctrl", "stim", *colors):
        assert text in words
    for name, color in colors.items():
        assert color in [beside(sheet, place) for place in sheet.search_for(name)], name


def beside(sheet: pymupdf.Page, place: pymupdf.Rect) -> tuple[int, ...]:
    """The colour that fills most of what lies left of a text, white apart."""
    clip = pymupdf.Rect(place.x0 - place.height, place.y0, place.x0 - 0.5, place.y1)
    shown = sheet.get_pixmap(dpi=600, clip=clip)
    pixels = np.frombuffer(shown.samples, np.uint8).reshape(-1, shown.n)[:, :3]
    found, counts = np.unique(pixels[(pixels < 250).any(1)], axis=0, return_counts=True)
    return tuple(found[counts.argmax()].tolist()) if len(found) else ()


def files_agree(page: Page, cells: Cells, rows: NDArray[np.integer], folder: Path) -> None:
    """What is taken home says what the screens said, threshold and saved selection with it."""
    said = pd.read_csv(taken(page, page.get_by_role("link", name=re.compile("all probabilities")), folder))
    assert said["label"].where(~said["unknown"], keys.UNKNOWN).tolist() == cells.labels.tolist()
    whole = ad.read_h5ad(taken(page, page.get_by_role("link", name="Download", exact=True).first, folder))
    unknown = np.asarray(whole.obsm[keys.doubt(LEVEL)])[:, UNKNOWN_AT] > 0
    assert unknown.tolist() == (cells.labels == keys.UNKNOWN).tolist()
    assert np.flatnonzero(whole.obs[f"selection_{GATE}"]).tolist() == rows.tolist()

    page.get_by_role("navigation", name="Steps").get_by_role("button", name=re.compile("Explore")).click()
    page.get_by_role("button", name="Table", exact=True).click()
    expect(page.get_by_text("Cells, and share of the sample, of the selected cells.")).to_be_visible()
    until(lambda: table_of(page) == cells.counts(rows), "a table of their composition")
    chosen = pd.read_csv(taken(page, page.get_by_role("link", name=f"Download {len(rows)} cells as csv"), folder))
    assert chosen["cell_id"].tolist() == whole.obs_names[rows].tolist()
    gated = ad.read_h5ad(taken(page, page.get_by_role("link", name="Download h5ad with saved selections"), folder))
    assert np.flatnonzero(gated.obs[f"selection_{GATE}"]).tolist() == rows.tolist()
    assert gated.obs[keys.IS_UNKNOWN].tolist() == whole.obs[keys.IS_UNKNOWN].tolist()


def test_from_a_file_to_a_figure_for_a_paper(visit: Open, server: Server, demo: Path, tmp_path: Path) -> None:
    page = visit()
    hand = Hand(page)
    expect(page.get_by_text("Drop an .h5ad file here")).to_be_visible()
    hand.drop(demo)
    expect(page.get_by_text("1,931 of 2,000").first).to_be_visible()
    is_fit(page)
    hand.button("Continue to Map")
    expect(page.get_by_role("checkbox", name=re.compile("recommended"))).to_be_checked()
    is_fit(page)
    hand.button("Start mapping")
    hand.button("How good is it?")
    n_kept = threshold_on_quality(hand)
    is_fit(page)

    hand.step("Explore")
    line = page.get_by_text("832 of 832 cells shown")
    expect(line).to_contain_text(f"{832 - n_kept} called unknown")
    hand.choose("Label level", LEVEL)
    hand.button("Split")
    hand.choose("Split by", "condition")
    cells = read_cells(result_of(page, server))
    for value, n in pd.Series(cells.condition).value_counts().items():
        expect(page.get_by_text(f"{value} · {n} cells")).to_be_visible()
    expect(page.locator(".legend .title")).to_have_text(f"Predicted {LEVEL}")
    until(lambda: {name: n for name, n in legend(page)[0].items() if n} == cells.counts(), "a legend of all cells")
    counts, colors = legend(page)
    expect(line).to_contain_text(f"{counts[keys.UNKNOWN]} called unknown")
    is_fit(page)

    rows = lasso(hand, cells)
    expect(page.get_by_text(f"{len(rows)} of 832 cells (")).to_be_visible()
    until(lambda: listed(page) == cells.counts(rows), "a table of the selected cells")
    hand.button("Why these?")
    gene = page.get_by_role("table").filter(has_text="Mean here").locator("tbody tr").first
    expect(gene).to_be_visible()
    is_fit(page)
    hand.click(page.get_by_role("textbox", name="Save selection as"), "name")
    page.keyboard.type(GATE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=GATE, exact=True)).to_be_visible()

    pin = page.get_by_role("button", name="Keep this view as a panel of the figure")
    hand.click(pin, "Pin")
    hand.click(page.get_by_role("radio", name="Novelty"), "Novelty")
    expect(page.get_by_text(f"Novelty, {LEVEL}")).to_be_visible()
    hand.click(pin, "Pin")
    hand.click(gene, "the first gene")
    expect(page.get_by_text(f"{gene.locator('td').first.inner_text()}, log1p CP10k")).to_be_visible()
    hand.click(pin, "Pin")
    hand.step("Figures")
    expect(page.get_by_role("list", name="Panels").get_by_role("listitem")).to_have_count(3)
    expect(page.locator("img.figure")).to_be_visible()
    is_fit(page)
    hand.count("Download PDF")
    figure = pymupdf.open(taken(page, page.get_by_role("link", name="Download PDF", exact=True), tmp_path))
    assert hand.clicks <= MOST_CLICKS, hand.said

    is_for_a_paper(figure, {name: colors[name] for name in cells.counts()})
    files_agree(page, cells, rows, tmp_path)
