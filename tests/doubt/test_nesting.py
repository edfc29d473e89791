"""Levels in one another: found from the cells, however they are ordered, and only where they do nest."""

from __future__ import annotations

from typing import ClassVar

import anndata as ad
import numpy as np
import pytest

from explorer.doubt.nesting import Nested, coarse_first, likeliest_path, nesting
from explorer.errors import OptionsProblem
from explorer.flow import IntArray, Reference
from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query

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


def test_a_label_that_never_meets_a_coarse_one_may_lie_in_any() -> None:
    hidden = np.where(FINE == 5, -1, COARSE).astype(np.int32)
    assert nesting(levels(coarse=hidden, fine=FINE), SIZES)["fine"].inside[:, 5].tolist() == [True, True]


def test_levels_that_cross_do_not_nest() -> None:
    crossing = np.tile([0, 1], 600).astype(np.int32)
    assert not nesting(levels(coarse=crossing, fine=FINE), SIZES)
    assert not nesting(levels(coarse=FINE, fine=FINE), {"coarse": 6, "fine": 6}), "the same labels twice"


def test_the_coarse_come_first_and_the_rest_stay_in_order() -> None:
    found = nesting(levels(fine=FINE, coarse=COARSE, middle=MIDDLE), SIZES)
    assert coarse_first(found, ("fine", "sex", "coarse", "middle")) == ("coarse", "middle", "fine", "sex")


@pytest.mark.parametrize(
    "options",
    [{}, {"hierarchical": True}, {"independent": True}],
    ids=["all levels have a say", "coarse levels first", "each level by itself"],
)
def test_levels_of_a_mapping_do_not_contradict_each_other(
    planted_query: ad.AnnData, planted_reference: Reference, options: dict[str, bool]
) -> None:
    found = map_query(open_query(planted_query), planted_reference, **options, device="cpu")
    first = np.isin(found.labels.level("cell_type").labels, ("alpha", "beta"))
    agree = (found.labels.level("lineage").labels == "first") == first
    assert agree.mean() > 0.8 if "independent" in options else agree.all()
    assert [level.level for level in found.labels.levels] == ["cell_type", "lineage"]
    assert found.labels.within == {"cell_type": "lineage"}
    np.testing.assert_allclose(found.labels.first.probabilities.sum(1), 1, atol=1e-5)
    told = found.provenance.options
    assert {name: told[name] for name in ("hierarchical", "independent")} == {
        "hierarchical": False,
        "independent": False,
        **options,
    }


def test_levels_cannot_be_labelled_in_two_ways(planted_query: ad.AnnData, planted_reference: Reference) -> None:
    with pytest.raises(OptionsProblem, match="not both"):
        map_query(open_query(planted_query), planted_reference, hierarchical=True, independent=True)


class TestLikeliestPath:
    sizes: ClassVar = {"coarse": 2, "middle": 4, "fine": 7}
    inside_middle = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    inside_fine = np.array([[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1]])
    levels: ClassVar = {"middle": Nested("coarse", inside_middle), "fine": Nested("middle", inside_fine.astype(bool))}

    def scores(self, n: int = 200) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {
            level: np.log(rng.dirichlet(np.ones(size) * 0.5, n)).clip(-14).astype(np.float32)
            for level, size in self.sizes.items()
        }

    def test_as_trying_every_path(self) -> None:
        scores = self.scores()
        found = likeliest_path(scores, self.levels)
        for cell in range(200):
            best = max(
                (
                    (scores["coarse"][cell, c] + scores["middle"][cell, m] + scores["fine"][cell, f], (c, m, f))
                    for f in range(7)
                    for m in np.flatnonzero(self.inside_fine[:, f])
                    for c in np.flatnonzero(self.inside_middle[:, m])
                ),
                key=lambda path: path[0],
            )[1]
            assert tuple(found[level][cell] for level in self.sizes) == best

    def test_two_levels_beside_each_other_in_one(self) -> None:
        scores = self.scores(50)
        levels = {"middle": self.levels["middle"], "other": Nested("coarse", self.inside_middle[::-1])}
        found = likeliest_path({**scores, "other": scores["middle"][::-1]}, levels)
        for name, inside in (("middle", self.inside_middle), ("other", self.inside_middle[::-1])):
            assert inside[found["coarse"], found[name]].all()

    def test_levels_that_nest_in_nothing_are_asked_by_themselves(self) -> None:
        scores = self.scores()
        found = likeliest_path(scores, {})
        for level, of in scores.items():
            np.testing.assert_array_equal(found[level], of.argmax(1))

    def test_a_coarse_label_without_finer_ones_is_neither_better_nor_worse_for_it(self) -> None:
        levels = {"fine": Nested("coarse", np.array([[True, True], [False, False]]))}
        scores = {
            "coarse": np.log(np.array([[0.6, 0.4], [0.4, 0.6]], np.float32)),
            "fine": np.log(np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)),
        }
        found = likeliest_path(scores, levels)
        assert found["coarse"].tolist() == [0, 1]
        assert found["fine"].tolist() == [0, -1], "nothing is finer than the second"

    def test_levels_outvote_a_coarse_one_that_wavers(self) -> None:
        levels = {"fine": Nested("coarse", np.array([[True, True, False], [False, False, True]]))}
        scores = {
            "coarse": np.log(np.array([[0.55, 0.45]], np.float32)),
            "fine": np.log(np.array([[0.05, 0.05, 0.9]], np.float32)),
        }
        found = likeliest_path(scores, levels)
        assert (found["coarse"][0], found["fine"][0]) == (1, 2)
