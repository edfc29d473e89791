"""The parts below the map, by their parameters: tables, dots, flows, violins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components.distributions import distinct, outlines
from components.paged_table import Column, PagedTable, written
from components.volcano import Volcano

COLUMNS = (Column("gene", "Gene"), Column("score", "score", "number"), Column("p", "adj. p", "p"))


@pytest.fixture
def table() -> PagedTable:
    """A hundred genes, scores falling, three of them without a p-value."""
    p = np.linspace(0, 1, 100)
    p[[4, 5, 6]] = np.nan
    shown = PagedTable(page_size=10)
    scores = {"gene": [f"Gene{i}" for i in range(100)], "score": 100.0 - np.arange(100), "p": p}
    shown.display(pd.DataFrame(scores), COLUMNS)
    return shown


def first(table: PagedTable) -> list[str]:
    return [line[0] for line in table.lines]


def test_a_table_shows_a_page_in_the_order_given(table):
    assert (table.found, table.total, len(table.lines)) == (100, 100, 10)
    assert table.lines[0] == ["Gene0", "100", "0"]
    table.page = 9
    assert first(table)[-1] == "Gene99"
    table.page = 40  # beyond the end
    assert table.page == 9


@pytest.mark.parametrize("downwards", [True, False])
def test_a_table_sorts_all_rows_and_leaves_missing_values_last(table, downwards):
    table.param.update(order_by="p", downwards=downwards)
    assert first(table)[0] == ("Gene99" if downwards else "Gene0")
    table.page = 9
    assert {line[0] for line in table.lines if line[2] == "-"} == {"Gene4", "Gene5", "Gene6"}


def test_a_table_finds_parts_of_names_in_any_case_and_starts_over(table):
    table.page = 5
    table.search = "gENE9"
    assert table.page == 0
    assert first(table) == ["Gene9", *(f"Gene{i}" for i in range(90, 99))]
    assert table.found == 11
    table.search = "("  # no pattern
    assert (table.found, table.lines) == (0, [])


def test_another_table_keeps_the_search_and_forgets_a_column_that_is_gone(table):
    table.param.update(order_by="score", downwards=False, search="a")
    table.display(pd.DataFrame({"gene": ["A", "B", "a2"]}), COLUMNS)
    assert table.order_by == ""
    assert [column["key"] for column in table.columns] == ["gene"]
    assert first(table) == ["A", "a2"]


@pytest.mark.parametrize(("value", "kind", "said"), [
    (0.0123, "share", "1.2 %"), (0.5, "share", "50 %"), (0.0, "share", "0 %"), (1e-12, "p", "1e-12"),
    (12345, "number", "12,345"), (0.123456, "number", "0.123"), (float("nan"), "number", "-"), ("<b>", "text", "<b>"),
])  # fmt: skip
def test_values_are_written_as_people_read_them(value, kind, said):
    assert written(value, kind) == said


def test_values_of_no_kind_are_refused():
    with pytest.raises(ValueError, match="not as 'colour'"):
        written(1, "colour")


def test_a_volcano_labels_only_dots_beyond_both_limits_and_keeps_them():
    volcano = Volcano(least_x=1.0, least_y=1.3)
    names = np.array(["up", "weak", "unsure", "nowhere", "down"], dtype=object)
    volcano.display(names, np.array([3.0, 0.2, 4.0, np.nan, -2.0]), np.array([9.0, 8.0, 0.1, 3.0, 5.0]))
    assert volcano.labelled == ["up", "down"]
    assert volcano.names == ["up", "weak", "unsure", "down"]


def test_dots_of_one_place_are_sent_once():
    random = np.random.default_rng(0)
    x, y = random.normal(size=20_000), np.abs(random.normal(size=20_000)) * 1e-3
    kept = distinct(x, y, finest=100)
    places: dict[tuple[int, int], int] = {}
    for at, (across, up) in enumerate(zip((x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y), strict=True)):
        places.setdefault((int(across * 100), int(up * 100)), at)
    assert kept.tolist() == sorted(places.values())
    assert len(distinct(np.zeros(0), np.zeros(0))) == 0


def test_violins_have_the_median_and_the_form_of_their_values():
    values = np.concatenate([np.zeros(80), np.full(20, 4.0), np.full(50, 2.0)])
    codes = np.repeat([0, 0, 1], [80, 20, 50])
    shapes, medians, top = outlines(values, codes, 3, bins=20)
    assert (medians, top) == ([0.0, 2.0, None], 4.0)
    assert np.argmax(shapes[0]) == 0
    assert shapes[0][-1] < 0.5
    assert np.argmax(shapes[1]) == 10
    assert max(shapes[1]) == 1.0
    assert shapes[2] == []
    assert outlines(np.zeros(5), np.zeros(5, int), 1)[2] == 1.0  # a gene that nobody shows
