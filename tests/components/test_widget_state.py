"""A widget that is told one thing after another while it draws, in a real browser."""

from __future__ import annotations

import panel_material_ui as pmui
import pytest
from pages import until
from playwright.sync_api import expect

from components.widget_state import keep_widgets_true

pytestmark = [
    pytest.mark.ui,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # see test_parts_page
]

# words that come closely one after another, some of them between a drawing and its end; what else the widget says
TELL_MUCH = """async () => {
  const {data} = [...Bokeh.documents[0]._all_models.values()].find((each) => each.class_name === "RadioBoxGroup")
  const answers = []
  let told = null
  data.property("value").change.connect(() => { if (data.value !== told) answers.push([told, data.value]) })
  const moment = () => new Promise((over) => {
    const {port1, port2} = new MessageChannel()
    port1.onmessage = over
    port2.postMessage(0)
  })
  for (let i = 0; i < 1500; i++) {
    told = ["one", "two", "three"][i % 3]
    data.setv({value: told}, {sync: false})
    for (let j = 0; j < i % 7; j++) await moment()
  }
  return answers
}"""


def test_a_widget_shows_the_last_word_and_answers_none(show):
    choice = pmui.RadioBoxGroup(options=["one", "two", "three"], value="one")

    def app():
        keep_widgets_true()
        return choice

    page = show(app)
    page.get_by_role("radio", name="one").wait_for()
    assert page.evaluate(TELL_MUCH) == []
    expect(page.get_by_role("radio", name="three")).to_be_checked()
    assert choice.value == "one", "the server was told nothing"


def test_what_a_person_does_is_told_at_once(show):
    parts = {
        "choice": pmui.RadioBoxGroup(options=["one", "two"], value="one"),
        "text": pmui.TextInput(label="Name"),
        "switch": pmui.Checkbox(label="Sure"),
    }

    def app():
        keep_widgets_true()
        return pmui.Column(*parts.values())

    page = show(app)
    page.get_by_role("radio", name="two").check()
    page.get_by_role("checkbox", name="Sure").check()
    page.get_by_role("textbox", name="Name").press_sequentially("cells")
    page.keyboard.press("Enter")
    until(lambda: [part.value for part in parts.values()] == ["two", "cells", True], page)
    parts["choice"].value = "one"
    expect(page.get_by_role("radio", name="one")).to_be_checked()
