"""What a person does who maps by several methods at once, changes her mind and reloads, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from pages import hears
from playwright.sync_api import Page, expect
from serving import Server, until

from explorer.jobs.queue import JobState, Queue

pytestmark = pytest.mark.ui

Open = Callable[..., Page]


def button(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def take_demo(page: Page) -> None:
    """Take the demo cells, and three models for them."""
    page.get_by_text("PBMC, control and IFN-beta stimulated").first.click()
    button(page, "Continue to Map")
    expect(page.get_by_role("checkbox", name=re.compile("recommended"))).to_be_checked()
    for name in ("scPoli", "BA-scVI"):
        page.get_by_role("checkbox", name=re.compile(f"^{name}")).click()
        expect(page.get_by_role("checkbox", name=re.compile(f"^{name}"))).to_be_checked()


def test_three_models_map_through_a_double_click_and_a_reload_and_are_shown_in_turn(
    visit: Open, server: Server, idle: None
) -> None:
    page = visit()
    queue = Queue(server.home / "jobs.sqlite")
    before = len(queue.jobs())
    take_demo(page)
    expect(page.get_by_text(re.compile("CONCORD, scPoli, BA-scVI: about .* in all"))).to_be_visible()
    with server.held():
        page.get_by_role("button", name="Start mapping", exact=True).dblclick()
        expect(page.get_by_role("progressbar", name=re.compile("Healthy blood"))).to_have_count(3)
        page.reload()
    for name in ("CONCORD", "scPoli", "BA-scVI"):
        expect(page.get_by_role("button", name=f"Show {name}", exact=True)).to_be_visible()
    assert len(queue.jobs()) == before + 3
    page.get_by_role("button", name="Log", exact=True).nth(1).click()
    expect(page.get_by_text(re.compile(r"Mapping cells: [\d.]+ s"))).to_be_visible()
    button(page, "Show scPoli")
    line = page.get_by_text("832 of 832 cells shown")
    expect(line).to_contain_text("· scPoli")
    page.get_by_role("combobox", name="Mapped by").click()
    page.get_by_role("listbox").get_by_text("BA-scVI", exact=True).click()
    expect(line).to_contain_text("· BA-scVI")
    second = visit(page.url)
    expect(second.get_by_text("832 of 832 cells shown")).to_contain_text("· BA-scVI")


def test_one_of_three_is_cancelled_and_run_again(visit: Open, server: Server, idle: None) -> None:
    page = visit()
    take_demo(page)
    with server.held():
        button(page, "Start mapping")
        cancel = page.get_by_role("button", name="Cancel", exact=True)
        expect(cancel).to_have_count(3)
        cancel.last.click()
        expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Show scPoli", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Show BA-scVI", exact=True)).to_be_hidden()
    button(page, "Run again")
    expect(page.get_by_role("button", name="Show BA-scVI", exact=True)).to_be_visible()
    queue = Queue(server.home / "jobs.sqlite")
    until(lambda: not queue.jobs(JobState.QUEUED, JobState.RUNNING), "the end of the jobs")


def test_choices_are_taken_back_by_key_and_by_button(visit: Open, mapped: str) -> None:
    page = visit(mapped)
    undo, redo = (page.get_by_role("button", name=re.compile(name)) for name in ("^Undo", "^Redo"))
    label = page.get_by_role("checkbox", name=re.compile("CD14 monocyte"))
    expect(label).to_be_visible()
    expect(undo).to_be_disabled()
    page.get_by_role("radio", name="Confidence").check()
    expect(label).to_have_count(0)
    page.get_by_role("heading", name=re.compile("^Colour by")).click()
    hears(page, "Control+Z")
    page.keyboard.press("Control+z")
    expect(label).to_be_visible()
    expect(page.get_by_role("radio", name="Label", exact=True)).to_be_checked()
    redo.click()
    expect(label).to_have_count(0)
    undo.click()
    expect(label).to_be_visible()
    page.get_by_role("radio", name="Gene", exact=True).check()
    box = page.get_by_role("combobox", name="Gene")
    box.press_sequentially("CD3")
    box.press("Control+z")
    expect(page.get_by_role("radio", name="Gene", exact=True)).to_be_checked()
