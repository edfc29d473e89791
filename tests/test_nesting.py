"""Levels in one another: found from the cells, however they are ordered, and only where they do nest."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from explorer.flow import IntArray, Reference
from explorer.mapping import map_query
from explorer.nesting import coarse_first, nesting
from explorer.query import open_query

FINE = np.repeat(np.arange(6), 200).astype(np.int32)
MIDDLE = (FINE // 2).astype(np.int32)
COARSE = (FINE // 4).astype(np.int32)
SIZES = {"fine": 6, "middle": 3, "coarse": 2}


def levels(**codes: IntArray) -> dict[str, IntArray]:
    return codes


def test_each_level_lies_in_the_finest_that_holds_it() -> None:
    found = nesting(levels(middle=MIDDLE, coarse=COARSE, fine=FINE), SIZES)
    assert {level: nested.within for level, nested in found.items()} == {"fine": "middle", "middle": "coarse"}
    np.testing.assert_array_equal(found["fine"].inside, np.repeat(np.eye(3, dtype=bool), 2, axis=1))
    assert found["middle"].inside.tolist() == [[True, True, False], [False, False, True]]


def test_one_cell_in_a_hundred_may_stray() -> None:
    """Two of 200 cells with another coarse label are forgiven, and allow nothing; three are not."""
    for strayed, nests in ((2, True), (3, False)):
        astray = COARSE.copy()
        astray[:strayed] = 1
        found = nesting(levels(coarse=astray, fine=FINE), SIZES)
        assert ("fine" in found) == nests
    astray[2] = 0
    assert nesting(levels(coarse=astray, fine=FINE), SIZES)["fine"].inside[:, 0].tolist() == [True, False]


def test_cells_without_a_label_say_nothing() -> None:
    hidden = np.where(np.arange(1200) % 3 == 0, -1, COARSE).astype(np.int32)
    assert nesting(levels(coarse=hidden, fine=FINE), SIZES)["fine"].within == "coarse"


def test_a_label_that_never_meets_a_coarse_one_lies_nowhere() -> None:
    hidden = np.where(FINE == 5, -1, COARSE).astype(np.int32)
    assert nesting(levels(coarse=hidden, fine=FINE), SIZES)["fine"].inside[:, 5].tolist() == [False, False]


def test_levels_that_cross_do_not_nest() -> None:
    crossing = np.tile([0, 1], 600).astype(np.int32)
    assert not nesting(levels(coarse=crossing, fine=FINE), SIZES)
    assert not nesting(levels(coarse=FINE, fine=FINE), {"coarse": 6, "fine": 6}), "the same labels twice"


def test_the_coarse_come_first_and_the_rest_stay_in_order() -> None:
    found = nesting(levels(fine=FINE, coarse=COARSE, middle=MIDDLE), SIZES)
    assert coarse_first(found, ("fine", "sex", "coarse", "middle")) == ("coarse", "middle", "fine", "sex")


@pytest.mark.parametrize("hierarchical", [False, True], ids=["each level by itself", "coarse levels first"])
def test_levels_of_a_mapping_do_not_contradict_each_other(
    planted_query: ad.AnnData, planted_reference: Reference, hierarchical: bool
) -> None:
    found = map_query(open_query(planted_query), planted_reference, hierarchical=hierarchical, device="cpu")
    first = np.isin(found.labels.level("cell_type").labels, ("alpha", "beta"))
    agree = (found.labels.level("lineage").labels == "first") == first
    assert agree.all() if hierarchical else agree.mean() > 0.8
    assert [level.level for level in found.labels.levels] == ["cell_type", "lineage"]
    np.testing.assert_allclose(found.labels.first.probabilities.sum(1), 1, atol=1e-5)
    assert found.provenance.options["hierarchical"] == hierarchical
