"""Parts that tell of several methods, of samples and of one cell, in a real browser: drawn, picked and closed."""

from __future__ import annotations

import panel as pn
import pytest
from pages import until

from components.dossier import Dossier
from components.scatter import Scatter
from components.upset import UpSet

pytestmark = [
    pytest.mark.ui,
    # a server of this process that is stopped while it sends drops its last message, and says so much later
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NASTY = "<img src=x onerror=alert(1)>"


def test_a_combination_a_sample_and_a_row_are_picked_and_esc_closes(show):
    upset = UpSet(
        names=["one", NASTY], members=[[True, True], [False, True]], counts=[1200, 7], unit="cells", width=300
    )
    scatter = Scatter(
        names=["s1", "s2", NASTY], x=[0.0, 1.0, 1.0], y=[0.0, 1.0, 1.0], marked=[False, True, False], x_title="PC1",
        legend=[{"name": "yours", "shape": "diamond"}], width=440,
    )  # fmt: skip
    row = {"id": "gene:LYZ", "name": "LYZ", "value": "3.1", "share": 0.4}
    dossier = Dossier(title=NASTY, sections=[{"title": "Genes", "rows": [row], "words": [NASTY]}], width=300)
    page = show(pn.Row(upset, scatter, dossier))
    page.get_by_role("button", name="all: 1,200 cells").wait_for()
    page.get_by_role("button", name=f"{NASTY}: 7 cells").click()
    until(lambda: upset.picked.get("index") == 1)
    upset.param.update(members=[[True, True]], counts=[3])
    page.get_by_role("button", name="all: 3 cells").press("Enter")
    until(lambda: upset.picked.get("index") == 0)
    page.get_by_role("button", name="s1", exact=True).click()
    until(lambda: scatter.picked.get("name") == "s1")
    assert page.locator("polygon.point").count() == 1
    names = page.locator("text.name")
    boxes = [names.nth(i).bounding_box() for i in range(names.count())]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            assert apart or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"], "names overlap"
    page.get_by_text("LYZ").click()
    until(lambda: dossier.picked.get("id") == "gene:LYZ")
    assert page.locator("img").count() == 0, "names stay text"
    page.keyboard.press("Escape")
    until(lambda: dossier.closed != {})
    dossier.sections = []
    page.get_by_text("LYZ").wait_for(state="hidden")


def test_parts_without_anything_say_what_to_do(show):
    page = show(pn.Column(UpSet(empty="Map by two methods."), Scatter(empty="No samples."), Dossier()))
    page.get_by_text("Map by two methods.").wait_for()
    page.get_by_text("No samples.").wait_for()
    assert not page.get_by_role("button").count()
