"""Pictures of the tour in the README, taken of the served app as a first-time user sees it.

    python -m tests.benchmarks.tour_pictures [--folder assets/tour]

A served process with a home of its own and a headless Chromium of 1440x900 pixels, light. The demo cells are mapped,
doubted, looked at and pinned.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import FLAGS, find
from tests.serving import ROOT, served

SIZE = (1440, 900)
DEMO = "PBMC, control and IFN-beta stimulated"
ODD = (0.30, 0.40, 0.42, 0.68)  # left, top, right and bottom of the monocytes, as shares of the map


class Camera:
    """Takes pictures of a page once it has come to rest."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._folder = page, folder

    def take(self, name: str) -> None:
        """Write the picture; nothing on the page is busy or under the pointer any more."""
        self._page.mouse.move(SIZE[0] / 2, 70)
        self._page.wait_for_load_state("networkidle")
        expect(self._page.locator(".wait")).to_have_count(0)
        self._page.wait_for_timeout(1200)  # animations of the buttons, and the last tiles of the map
        shown = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        path = self._folder / f"{name}.png"
        shown.save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def step(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Steps").get_by_role("button", name=re.compile(name)).click()


def box(page: Page, shares: tuple[float, float, float, float]) -> None:
    """Draw a box on the map."""
    page.get_by_title("Box Select").first.click()
    frame = page.locator(".bk-Canvas").first.bounding_box()
    assert frame is not None
    left, top, right, bottom = shares
    page.mouse.move(frame["x"] + left * frame["width"], frame["y"] + top * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + right * frame["width"], frame["y"] + bottom * frame["height"], steps=8)
    page.mouse.up()


def walk(page: Page, camera: Camera) -> None:
    """From the first page to the figure."""
    expect(page.get_by_text("My projects")).to_be_visible()
    press(page, "No, thank you")
    page.get_by_text(DEMO).first.click()
    expect(page.get_by_text("1,931 of 2,000").first).to_be_visible()
    camera.take("1-data")
    press(page, "Continue to Map")
    page.get_by_role("checkbox", name=re.compile("^scPoli")).click()
    expect(page.get_by_text("CONCORD, scPoli: about")).to_be_visible()
    camera.take("2-map")
    press(page, "Start mapping")
    for name in ("scPoli", "CONCORD"):
        expect(page.get_by_role("button", name=f"Show {name}", exact=True)).to_be_visible()
    press(page, "Show CONCORD")
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    step(page, "Quality")
    expect(page.get_by_text(re.compile("you keep"))).to_be_visible()
    camera.take("3-quality")
    step(page, "Explore")
    press(page, "Own vs predicted")
    page.keyboard.press("t")
    expect(page.get_by_text("stim · 441 cells")).to_be_visible()
    press(page, "Why these?")
    expect(page.get_by_text("Mean here")).to_be_visible()
    camera.take("explore")
    page.keyboard.press("t")
    expect(page.get_by_text("stim · 441 cells")).not_to_be_visible()
    box(page, ODD)
    expect(page.get_by_text("Selected by: ")).to_be_visible()
    press(page, "Why these?")
    expect(page.get_by_text("Mean here")).to_be_visible()
    camera.take("4-why")
    page.keyboard.press("Escape")
    pin = page.get_by_role("button", name="Keep this view as a panel of the figure")
    pin.click()
    for name in ("Confidence", "Novelty"):
        page.get_by_role("radio", name=name, exact=True).check()
        expect(page.get_by_text(f"{name}, cell_type").first).to_be_visible()
        pin.click()
    step(page, "Figures")
    expect(page.get_by_role("list", name="Panels").get_by_role("listitem")).to_have_count(3)
    expect(page.locator("ol img")).to_have_count(3)
    expect(page.locator("img.figure")).to_be_visible()
    camera.take("5-figures")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "assets" / "tour")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=120_000)
    with tempfile.TemporaryDirectory() as home, served(Path(home) / "home") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(server.url)
        walk(page, Camera(page, folder))
        browser.close()


if __name__ == "__main__":
    main()
