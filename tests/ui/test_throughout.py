"""What holds on every screen: it can be read and reached by everybody, explained, shown around, and passed on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import PATIENCE
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from serving import until

from explorer.app.tab.guiding import STOPS
from explorer.app.words import WORDS

pytestmark = pytest.mark.ui

Open = Callable[..., Page]
AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
READY = {
    "1": "My projects", "2": "Genes shared with the reference", "3": "Models of this reference",
    "4": "Confidence, and how sure is sure enough", "5": "832 of 832 cells shown", "6": "Methods paragraph",
}  # fmt: skip


def is_at(page: Page, step: str) -> Callable[[], bool]:
    """Whether the page is at a step."""
    current = page.locator("nav button[aria-current=step]")
    return lambda: current.count() == 1 and step in current.inner_text()


def audit(page: Page) -> list[str]:
    """What cannot be read or reached, once colours that change have come to rest."""
    try:
        page.wait_for_function(f"({AUDIT})().length === 0", timeout=1_000 * PATIENCE)
    except PlaywrightTimeoutError:
        return list(page.evaluate(AUDIT))
    return []


def test_every_screen_can_be_read_and_reached_in_both_themes(visit: Open, mapped: str) -> None:
    page = visit(mapped, 1280, 720)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    problems: dict[str, list[str]] = {}
    for theme in ("light", "dark"):
        if theme == "dark":
            page.get_by_role("button", name="Toggle theme").click()
            until(lambda: page.evaluate("document.documentElement.dataset.theme") == "dark", "the dark theme")
        for key, words in READY.items():
            page.keyboard.press(key)
            expect(page.get_by_text(words).first).to_be_visible()
            if found := audit(page):
                problems[f"{words}, {theme}"] = found
    assert not problems, problems


def test_the_tour_leads_through_all_steps_by_keyboard_and_is_remembered(visit: Open) -> None:
    page = visit("", 1280, 720)
    page.get_by_role("button", name="Take the tour").first.focus()
    page.keyboard.press("Enter")
    card = page.get_by_role("dialog").filter(has_text="End the tour")
    names = {"home": "Home", "data": "Data", "map": "Map", "quality": "Quality", "explore": "Explore",
             "export": "Figures"}  # fmt: skip
    for number, stop in enumerate(STOPS):
        expect(card).to_contain_text(f"{number + 1} of {len(STOPS)}")
        expect(card).to_contain_text(stop.title)
        expect(card).to_be_focused()
        until(is_at(page, names[stop.step]), f"the step {stop.step}")
        page.keyboard.press("ArrowRight")
    expect(card).not_to_be_visible()
    page.reload()
    expect(page.get_by_text("My projects")).to_be_visible()
    expect(page.get_by_role("button", name="Take the tour")).not_to_be_visible()
    page.get_by_role("button", name="Help").click()
    page.get_by_role("button", name="Take the tour").click()
    expect(card).to_contain_text(f"1 of {len(STOPS)}")
    page.keyboard.press("Escape")
    expect(card).not_to_be_visible()


def test_help_explains_every_figure_and_is_searched(visit: Open) -> None:
    page = visit("")
    expect(page.get_by_role("button", name="Help")).to_be_visible()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Help")
    for word in WORDS.values():
        expect(sheet.get_by_text(word.name, exact=True)).to_be_attached()
    page.keyboard.type("entropy")
    expect(sheet.get_by_text("Disagreement", exact=True)).to_be_visible()
    expect(sheet.get_by_text("Macro-F1", exact=True)).not_to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).not_to_be_visible()


def test_a_link_shows_somebody_else_the_same_view(visit: Open, mapped: str) -> None:
    page = visit(mapped)
    expect(page.get_by_text("832 of 832 cells shown")).to_be_visible()
    page.get_by_role("radio", name="Novelty").check()
    expect(page.get_by_role("radio", name="Novelty")).to_be_checked()
    page.get_by_role("button", name="Share").click()
    field = page.get_by_label("Link to this view")
    expect(field).to_have_value(re.compile(r"\?view=\w{6,12}$"))
    link = field.input_value()
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="Confidence").check()
    expect(page.get_by_role("radio", name="Confidence")).to_be_checked()
    other = visit(link)
    expect(other.get_by_text("832 of 832 cells shown")).to_be_visible()
    expect(other.get_by_role("radio", name="Novelty")).to_be_checked()


def test_a_link_that_leads_nowhere_says_so(visit: Open) -> None:
    page = visit("?view=0123456789")
    expect(page.get_by_role("alert")).to_contain_text("There is no shared view 0123456789")
    expect(page.get_by_role("button", name="Explore the reference")).to_be_enabled()
