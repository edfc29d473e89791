"""What stands around a page: steps, help, link and tour, and charts that are picked from; by parameters and hand."""

from __future__ import annotations

import panel as pn
import pytest
from pages import at_rest, until
from playwright.sync_api import expect

from components.alluvial import Alluvial
from components.dot_plot import DotPlot
from components.heat_map import HeatMap
from components.heat_table import HeatTable
from components.help_sheet import HelpSheet
from components.interval_bars import IntervalBars
from components.page_root import PageRoot
from components.share_link import ShareLink
from components.steps import STATES, Steps
from components.tour import Tour
from components.violins import Violins

pytestmark = [
    pytest.mark.ui,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # see test_parts_page
]
NASTY = "<img src=x onerror=alert(1)>"


def test_steps_are_clicked_walked_and_announced(show):
    steps = [{"key": state, "label": state, "state": state, "detail": NASTY} for state in STATES]
    part, root = Steps(steps=steps, active="todo"), PageRoot()
    page = show(pn.Column(part, root))
    page.get_by_role("button", name="ready").click()
    until(lambda: part.active == "ready")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(lambda: part.active == "running")
    page.keyboard.press("4")
    until(lambda: part.active == "mind")
    assert page.locator("img").count() == 0
    root.said = "Map: done."
    expect(page.get_by_role("status")).to_have_text("Map: done.")


def test_help_opens_by_key_but_not_while_typing_and_is_searched(show):
    rows = [{"name": "Novelty", "text": NASTY, "source": "A paper"}, {"name": "Confidence", "text": "How sure"}]
    part = HelpSheet(sections=[{"title": "Words", "rows": rows}], action="Take the tour")
    page = show(pn.Column(part, pn.widgets.TextInput(label="Name")))
    sheet = page.get_by_role("dialog")
    expect(page.get_by_role("button", name="Help")).to_be_visible()
    page.get_by_label("Name").press("?")
    expect(sheet).not_to_be_visible()
    page.get_by_label("Name").blur()
    page.keyboard.press("?")
    expect(sheet.get_by_text(NASTY)).to_be_visible()
    page.keyboard.type("sure")
    expect(sheet.get_by_text("Novelty")).not_to_be_visible()
    page.get_by_role("button", name="Take the tour").click()
    expect(sheet).not_to_be_visible()
    until(lambda: "at" in part.acted)


def test_a_link_is_asked_for_shown_whole_and_refused_in_words(show):
    part = ShareLink(note="It stays.")
    answers = iter([{"link": "?view=12ab"}, {"problem": NASTY}])
    part.param.watch(lambda event: setattr(part, "answer", {**next(answers), **event.new}), "asked")
    page = show(part)
    button = page.get_by_role("button", name="Share")
    button.click()
    expect(page.get_by_label("Link to this view")).to_have_value(page.url + "?view=12ab")
    page.keyboard.press("Escape")
    button.click()
    expect(page.get_by_text(NASTY)).to_be_visible()
    page.keyboard.press("Escape")
    part.disabled = True
    expect(button).to_be_disabled()


def test_a_tour_points_at_what_is_seen_and_gives_the_focus_back(show):
    stops = [{"title": "Here", "text": NASTY, "at": ['button:has-text("Second")']},
             {"title": "Nowhere", "text": "In the middle", "at": [".none"]}]  # fmt: skip
    first, second = pn.widgets.Button(label="First"), pn.widgets.Button(label="Second")
    part = Tour(stops=stops, memory="a tour")
    page = show(pn.Column(first, second, part))
    until(lambda: part.seen is False)
    page.get_by_role("button", name="First").focus()
    part.stop = 0
    card, ring = page.get_by_role("dialog"), page.locator(".ring")
    expect(card).to_be_focused()
    expect(card.get_by_text(NASTY)).to_be_visible()
    second_button = page.get_by_role("button", name="Second")
    until(lambda: abs(at_rest(ring)["y"] + 4 - at_rest(second_button)["y"]) < 4, page)
    page.keyboard.press("ArrowRight")
    expect(card).to_contain_text("2 of 2")
    expect(ring).not_to_be_visible()
    page.keyboard.press("Escape")
    until(lambda: part.stop == -1 and part.seen is True)
    expect(page.get_by_role("button", name="First")).to_be_focused()


def test_charts_say_what_was_picked_and_follow_their_parameters(show):
    bars = IntervalBars(empty="No samples yet.")
    bands = Alluvial(left=["a", NASTY], right=["b"], links=[{"row": "a", "column": "b", "size": 3}], height=120)
    heat = HeatTable(rows=["a"], columns=["b"], texts=[["12"]], shades=[[0.5]])
    dots = DotPlot(names=["CD14"], groups=["T"], shares=[[0.5]], values=[[1.0]])
    shapes = Violins(
        names=["LYZ"], groups=["T"], colors=["#0072b2"], shapes=[[[0.5, 1.0]]], medians=[[0.4]], tops=[1.0]
    )
    fields = HeatMap(names=["MS4A1"], groups=["T", NASTY], shades=[[0.0, 1.0]], tips=[["low", NASTY]], title="mean")
    page = show(pn.Column(bars, bands, heat, dots, shapes, fields))
    expect(page.get_by_text("No samples yet.")).to_be_visible()
    page.get_by_text("12", exact=True).click()
    until(lambda: (heat.picked.get("row"), heat.picked.get("column")) == ("a", "b"))
    page.get_by_role("button", name="CD14").click()
    until(lambda: dots.picked == "CD14")
    page.get_by_role("button", name="LYZ").click()
    until(lambda: shapes.picked == "LYZ")
    page.get_by_role("button", name="MS4A1").click()
    until(lambda: fields.picked == "MS4A1")
    ends = [fields.palette[0], fields.palette[-1]]
    drawn = page.get_by_role("group", name="Heat map").locator("rect.field")
    assert [each.get_attribute("fill") for each in drawn.all()] == ends
    assert drawn.last.locator("title").text_content() == NASTY
    fields.shades = [[1.0, 0.0]]
    until(lambda: [each.get_attribute("fill") for each in drawn.all()] == ends[::-1])
    heat.texts = [["34"]]
    expect(page.get_by_text("34", exact=True)).to_be_visible()
    assert page.locator("img").count() == 0
