"""The smaller parts, by their parameters."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from components.brush_histogram import BrushHistogram
from components.cell_table import CellTable
from components.coloring import Categories, Values
from components.file_drop import FileDrop
from components.job_status import JobStatus, duration
from components.legend import ColorBar, Legend, readable
from components.menu import Menu
from components.notice import KINDS, Notice
from components.selection_panel import SelectionPanel
from components.small_charts import Curve, bars, curves
from components.threshold_histogram import ThresholdHistogram

NASTY = "<img src=x onerror=alert(1)>"
LABELS = Categories(np.array([0, 0, 0, 1, 1, 2, -1]), ("T", "B", NASTY), ("#0072b2", "#e69f00", "#009e73"), "Label")


def html(part) -> str:
    """All HTML that a part shows."""
    pane = part.__panel__()
    return "".join(str(child.object) for child in pane.select() if hasattr(child, "object"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_notice_escapes_what_it_says(kind):
    said = html(Notice(NASTY, title=NASTY, kind=kind))
    assert "<img" not in said
    assert said.count("&lt;img") == 2
    assert ('role="alert"' in said) == (kind == "error")


def test_a_notice_without_words_is_not_there():
    notice = Notice("Something.")
    assert notice.__panel__().visible
    notice.text = ""
    assert not notice.__panel__().visible


def test_a_running_job_says_stage_percent_and_time_left():
    status = JobStatus(title=NASTY, state="running", stage="Embedding", fraction=0.42, left=75)
    said = html(status)
    assert "Embedding · 42 % · 1 min 15 s left" in said
    assert 'aria-valuenow="42"' in said
    assert 'aria-live="polite"' in said
    assert "<img" not in said


def test_a_failed_job_says_why_and_offers_to_run_again():
    status = JobStatus(state="running", fraction=0.2)
    assert buttons(status) == ["Cancel"]
    status.param.update(state="failed", error=f"Out of memory {NASTY}.")
    assert buttons(status) == ["Run again"]
    assert "Out of memory &lt;img" in html(status)
    status.state = "done"
    assert buttons(status) == []
    assert "Out of memory" not in html(status)


def buttons(status: JobStatus) -> list[str]:
    return [part.label for part in status.__panel__()[1:] if part.visible]


@pytest.mark.parametrize(("name", "event"), [("Cancel", "cancel"), ("Run again", "retry")])
def test_the_buttons_of_a_job_are_events(name, event):
    status, heard = JobStatus(), []
    status.param.watch(lambda _: heard.append(event), event)
    next(part for part in status.__panel__()[1:] if part.label == name).clicks += 1
    assert heard == [event]


@pytest.mark.parametrize(("seconds", "said"), [
    (0.2, "0 s"), (59, "59 s"), (75, "1 min 15 s"), (1_500, "25 min"), (3_900, "1 h 5 min"),
])  # fmt: skip
def test_durations_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_a_legend_lists_a_colouring_and_knows_what_is_visible():
    legend = Legend(hidden=[1])
    legend.display(LABELS)
    assert (legend.names, legend.counts, legend.hidden) == (["T", "B", NASTY], [3, 2, 1], [])
    legend.hidden = [0, 2]
    assert legend.visible_names == ["B"]


def test_a_legend_takes_groups_and_forgets_them_with_the_next_colouring():
    legend = Legend()
    legend.display(LABELS, ["Lymphocyte", "Lymphocyte", ""])
    assert legend.groups == ["Lymphocyte", "Lymphocyte", ""]
    legend.display(LABELS)
    assert legend.groups == []


def test_a_brushed_histogram_counts_all_and_those_in_front():
    bars = BrushHistogram()
    bars.display(np.array([0.0, 0.0, 5.0, 10.0, np.nan]), np.array([True, False, False, True, True]))
    assert bars.bounds == (0.0, 10.0)
    assert (sum(bars.counts), bars.counts[0], bars.counts[-1]) == (4, 2, 1)
    assert (sum(bars.front), bars.front[0], bars.front[-1]) == (2, 1, 1)
    bars.display(np.full(3, 2.0))
    assert bars.bounds == (1.5, 2.5)
    bars.display(np.full(3, np.nan))
    assert sum(bars.counts) == 0


def test_a_colour_bar_shows_the_ends_of_its_scale():
    bar = ColorBar()
    bar.display(Values(np.array([0.0, 1.0, 2.0]), NASTY, limits=(0.5, 2.0), zeros_grey=True), note="clipped")
    said = html(bar)
    assert ">0.500<" in said
    assert ">2.00<" in said
    assert "zero" in said
    assert "clipped" in said
    assert "<img" not in said


@pytest.mark.parametrize(("value", "said"), [
    (0, "0"), (1.2345, "1.23"), (0.0123, "0.0123"), (12345, "12,345"), (1e-5, "1.0e-05"), (float("nan"), "-"),
])  # fmt: skip
def test_numbers_beside_a_scale_are_readable(value, said):
    assert readable(value) == said


def test_a_selection_is_counted_and_its_labels_listed():
    panel = SelectionPanel()
    assert "lasso" in html(panel)
    panel.display(np.array([1, 1, 0, 1, 0, 1, 1], dtype=bool), LABELS)
    said = html(panel)
    assert "5<" in said
    assert " of 7 cells (71.4 %)" in said
    assert "without a label" in said
    assert "<img" not in said
    panel.display(np.zeros(7, dtype=bool), LABELS)
    assert "lasso" in html(panel)


def test_the_rest_of_many_labels_is_summed_up():
    panel = SelectionPanel()
    panel.display(np.ones(120, dtype=bool), Categories.of([f"type {i % 12}" for i in range(120)]))
    assert "4 more" in html(panel)
    assert "<td>40</td><td>33 %</td>" in html(panel)


def test_a_table_counts_what_is_masked_and_gives_medians():
    table = CellTable()
    values = np.array([0.9, 0.7, np.nan, 0.5, 0.1, np.nan, 0.3])
    table.display(LABELS, values, mask=np.array([1, 1, 1, 1, 1, 1, 0], dtype=bool))
    assert (table.names, table.counts) == (["T", "B", NASTY], [3, 2, 1])
    assert table.median[:2] == pytest.approx([0.8, 0.3])
    assert table.median[2] is None


def test_a_threshold_keeps_what_is_at_or_above_it():
    histogram = ThresholdHistogram(threshold=0.5)
    histogram.display(np.array([0.1, 0.5, 0.9, np.nan]))
    assert (histogram.kept, histogram.summary) == (2, "0.50 keeps 2 of 3 (67 %)")
    assert sum(histogram.counts) == 3
    histogram.threshold = 0.6
    assert histogram.summary == "0.60 keeps 1 of 3 (33 %)"
    histogram.display(np.array([0.7, 0.8]), lambda threshold, kept, n: f"{kept}/{n} at {threshold}")
    assert histogram.summary == "2/2 at 0.6"


def test_small_charts_say_what_they_show_and_where_lines_are_crossed():
    drawn = curves([Curve(NASTY, [0, 0.5, 1], [0.8, 0.9, 1.0]), Curve("kept", [0, 1], [1, 0], dashed=True)], (0, 1),
                   f"Trade {NASTY}", at=0.4)  # fmt: skip
    root = fromstring(f"<body>{drawn}</body>")
    assert root.find("svg").get("aria-label") == f"Trade {NASTY}"
    texts = [each.text for each in root.iter("text")]
    assert texts.count("90 %") == 1  # of the next point: what a threshold in between keeps
    assert texts.count("0 %") == 2
    beyond = fromstring(f"<body>{curves([Curve('a', [0, 0.5], [1, 1])], (0, 1), 'Ends before', at=0.6)}</body>")
    assert not list(beyond.iter("circle"))
    assert len(list(root.iter("polyline"))) == 2
    assert [each.get("stroke-dasharray") for each in root.iter("polyline")] == [None, "5 4"]
    alike = curves([Curve("a", [0, 1], [0, 0]), Curve("b", [0, 1], [0.01, 0.01])], (0, 1), "Both low", at=0.5)
    heights = [float(each.get("y")) for each in fromstring(f"<body>{alike}</body>").iter("text") if each.get("stroke")]
    assert abs(heights[0] - heights[1]) >= 15
    root = fromstring(bars([0.0, 0.001, 0.999], (0, 1), "Shares", expected=0.5))
    high = [float(each.get("height")) for each in root.iter("rect")]
    assert high[0] == 0
    assert 1 <= high[1] < high[2]
    assert any(each.get("stroke-dasharray") for each in root.iter("line"))
    assert not list(fromstring(bars([], (0, 1), "Nothing")).iter("rect"))


def test_a_file_drop_can_be_emptied():
    drop = FileDrop(state="done", file_name="a.h5ad", size=3, fraction=1.0, response={"id": "x"})
    drop.reset()
    assert (drop.state, drop.file_name, drop.size, drop.fraction, drop.response) == ("idle", "", 0, 0.0, {})


def test_a_menu_drops_a_choice_that_is_no_longer_offered():
    menu = Menu(options=["condition", "donor"], value="donor")
    menu._process_events({"value": "lineage"})
    assert menu.value == "donor"
    menu._process_events({"value": "condition"})
    assert menu.value == "condition"
    named = Menu(options={"Sample": "a", "Donor": "b"}, value="a")
    named._process_events({"value": "b"})
    assert named.value == "b"
