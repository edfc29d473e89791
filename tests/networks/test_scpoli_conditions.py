"""Names of conditions and the rows they stand for."""

from __future__ import annotations

import json

import numpy as np

from explorer.networks.scpoli_conditions import Column, ConditionNames

DONORS: Column = ("donor", ("d1", "d2", "d3"), np.array([0, 2, 2, 0]))
CHEMISTRIES: Column = ("chemistry", ("v2", "v3"), np.array([1, 0, 1, 1]))


def test_only_what_occurs_gets_a_row() -> None:
    names, rows, combined = ConditionNames.learned([DONORS, CHEMISTRIES])
    assert names.names == (("d1", "d3"), ("v2", "v3"))
    assert names.seen == (2, 2)
    np.testing.assert_array_equal(rows, [[0, 1], [1, 0], [1, 1], [0, 1]])
    assert [names.combinations[i] for i in combined] == [(0, 1), (1, 0), (1, 1), (0, 1)]
    assert len(names.combinations) == 3


def test_new_ones_come_after_the_known_and_known_names_keep_their_rows() -> None:
    names, _, _ = ConditionNames.learned([DONORS, CHEMISTRIES])
    query: Column = ("donor", ("d3", "mine"), np.array([1, 0, 1]))
    after, rows, combined = names.extended([query])
    assert after.names == (("d1", "d3", "mine"), ("v2", "v3"))
    assert after.seen == (2, 2)
    np.testing.assert_array_equal(rows, [[2, -1], [1, -1], [2, -1]])
    assert after.combinations[: len(names.combinations)] == names.combinations
    assert [after.combinations[i] for i in combined] == [(2, -1), (1, -1), (2, -1)]


def test_columns_that_were_not_trained_with_are_not_looked_at() -> None:
    names, _, _ = ConditionNames.learned([DONORS])
    after, rows, _ = names.extended([("colour", ("red",), np.zeros(2, int))])
    assert after.names == names.names
    np.testing.assert_array_equal(rows, [[-1], [-1]])


def test_a_way_through_json_changes_nothing() -> None:
    names, _, _ = ConditionNames.learned([DONORS, CHEMISTRIES])
    assert ConditionNames.from_dict(json.loads(json.dumps(names.as_dict()))) == names
