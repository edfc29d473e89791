"""What a person does below the map: where methods disagree, what lies near a cell, what its samples are like."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from pages import at_rest, hears
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from serving import Server, until

from components.points import fit, index_points, union
from explorer import keys
from explorer.app.stored.projects import Projects
from explorer.jobs.queue import JobState, Queue
from explorer.jobs.specs import MapSpec
from explorer.settings import SAMPLE_ATLAS

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def by_two(server: Server, demo: Path) -> str:
    """Address of a project whose cells two methods have mapped."""
    queue = Queue(server.home / "jobs.sqlite")
    jobs = [
        queue.submit(MapSpec(query=str(demo), reference=str(SAMPLE_ATLAS), method=method, name="PBMC, stimulated")).id
        for method in ("concord", "scpoli")
    ]
    until(lambda: all(queue.get(job).state.is_over for job in jobs), "both mappings")
    assert [queue.get(job).state for job in jobs] == [JobState.DONE] * 2
    options = {"batch": "condition", "own_label": "cell_type", "methods": ["concord", "scpoli"]}
    project = Projects(server.home / "jobs.sqlite").create(
        title="PBMC, stimulated", reference=str(SAMPLE_ATLAS), query=str(demo), options=options, jobs=jobs
    )
    return f"?project={project.id}&step=explore"


def tab(page: Page, name: str) -> None:
    page.get_by_role("group").get_by_role("button", name=name, exact=True).first.click()


def click_a_cell(page: Page, server: Server, address: str) -> Locator:
    """Click where a cell of the query lies among many others of the same mapping; returns its card."""
    project = Projects(server.home / "jobs.sqlite").get(address.partition("=")[2].partition("&")[0])
    queue = Queue(server.home / "jobs.sqlite")
    job = next(job for job in project.jobs if queue.get(job).mapping.method == "concord")
    with h5py.File(queue.result_folder(job) / keys.RESULT_FILE) as file:
        cells = index_points(file[f"obsm/{keys.LAYOUT}"][:])
    reference = index_points(np.load(SAMPLE_ATLAS / "methods" / "concord" / keys.LAYOUT_FILE))
    frame = at_rest(page.locator("canvas").first)
    x0, x1, y0, y1 = fit(union(cells.extent, reference.extent), int(frame["width"]) - 30, int(frame["height"]))
    middle = cells.xy[np.abs(cells.xy - np.median(cells.xy, axis=0)).sum(1).argmin()]
    x = frame["x"] + (middle[0] - x0) / (x1 - x0) * (frame["width"] - 30)
    y = frame["y"] + (y1 - middle[1]) / (y1 - y0) * frame["height"]
    card = page.get_by_role("heading", name="Nearest reference cells", exact=True)

    def is_told_of() -> bool:
        page.mouse.click(float(x), float(y))  # a click that a busy machine draws out counts as a press: again
        try:
            card.wait_for(timeout=10_000)
        except PlaywrightTimeoutError:
            return False
        return True

    until(is_told_of, "the card of a cell")
    return card


def test_from_the_disagreement_to_a_cell_to_its_prototype_and_its_sample(
    visit: Open, server: Server, by_two: str
) -> None:
    page = visit(by_two)
    selection = page.get_by_text(re.compile(r"^[\d,]+ of 832 cells \("))
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    tab(page, "Models")
    said = page.get_by_text(re.compile(r"label [\d,]+ of 832 cells alike"))
    expect(said).to_be_visible()
    disputed = re.search(r"([\d,]+) are disputed", said.inner_text()).group(1)
    page.get_by_role("button", name="Show the disagreement").click()
    expect(selection).to_contain_text(f"{disputed} of 832")
    page.get_by_role("button", name="Colour by consensus").click()
    expect(page.get_by_text("Consensus cell_type").first).to_be_visible()

    card = click_a_cell(page, server, by_two)
    expect(page.get_by_role("heading", name="Nearest prototypes, cell_type")).to_be_visible()
    hears(page, "Escape")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(selection).to_contain_text(f"{disputed} of 832")

    tab(page, "Prototypes")
    expect(page.get_by_text("A prototype is the mean of a label's reference cells")).to_be_visible()
    expect(said).to_be_hidden()
    line = page.get_by_role("link", name=re.compile("^B cell"))
    expect(line).to_be_visible()
    claimed = line.get_by_role("cell").nth(2).inner_text()
    line.click()
    expect(selection).to_contain_text(f"{claimed} of 832")
    page.get_by_role("checkbox", name="Show on the map").check()

    tab(page, "Samples")
    expect(page.get_by_text("CONCORD learns nothing of samples")).to_be_visible()
    page.get_by_role("combobox", name="Mapped by").click()
    page.get_by_role("listbox").get_by_text("scPoli", exact=True).click()
    expect(page.get_by_role("button", name="10x_5prime")).to_be_visible()
    page.get_by_role("button", name="Find genes").click()
    expect(page.get_by_role("heading", name="Genes that go along with the component")).to_be_visible()
