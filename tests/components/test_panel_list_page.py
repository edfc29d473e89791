"""The parts of the Figures screen in a real browser: a list of panels, a link to what is made, text to copy."""

from __future__ import annotations

import panel as pn
import pytest
from pages import until

from components.copied_text import CopiedText
from components.get_link import GetLink
from components.panel_list import PanelList

pytestmark = [
    pytest.mark.ui,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # see test_parts_page
]

NASTY = "<img src=x onerror=alert(1)>"
ITEMS = [
    {"id": "a", "title": "Labels", "detail": "label", "image": ""},
    {"id": "b", "title": NASTY, "detail": NASTY, "image": ""},
]


def test_a_panel_is_chosen_renamed_moved_and_removed(show):
    panels = PanelList(items=ITEMS)
    page = show(panels)
    page.get_by_role("listitem").first.click(position={"x": 10, "y": 10})
    until(lambda: panels.value == "a", page)
    title = page.get_by_role("textbox", name="Title of panel 1")
    title.fill("Types")
    title.press("Enter")
    until(lambda: panels.acted.get("title") == "Types" and panels.acted["id"] == "a", page)
    page.get_by_role("button", name="Move down: Labels").click()
    until(lambda: (panels.acted["id"], panels.acted["action"]) == ("a", "down"), page)
    assert page.get_by_role("button", name="Move up: Labels").is_disabled()
    page.get_by_role("button", name="Remove: Labels").click()
    until(lambda: panels.acted["action"] == "remove", page)
    assert page.locator("img[src=x]").count() == 0


def test_a_link_that_leads_nowhere_says_so(show):
    link = GetLink(label="Download", about="a figure")
    page = show(link)
    shown = page.get_by_text("Download", exact=True)
    shown.click()
    assert link.state == ""
    link.href = "data:text/plain,hello"
    until(lambda: shown.get_attribute("href") is not None, page)
    assert shown.get_attribute("aria-label") == "Download: a figure"
    with page.expect_download():
        shown.click()
    until(lambda: link.state == "done", page)
    link.href = "http://localhost:9/nobody"
    until(lambda: "nobody" in (shown.get_attribute("href") or ""), page)
    shown.click()
    until(lambda: link.state == "failed", page)
    page.get_by_text("could not be made").wait_for()
    page.problems.clear()     # the browser calls that an error, as it should


def test_a_paragraph_is_text_and_is_copied(show):
    paragraph = CopiedText(text=f"832 cells {NASTY}")
    page = show(pn.Column(paragraph))
    page.get_by_text("832 cells <img").wait_for()
    page.get_by_role("button", name="Copy").click()
    until(lambda: paragraph.copied == 1, page)
    assert page.locator("img[src=x]").count() == 0
