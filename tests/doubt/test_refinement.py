"""Labels smoothed over neighbours: what a majority overrules, and what it leaves alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from explorer.doubt.refinement import NEAREST, refine, refined
from explorer.flow import IntArray, LabelTransfer, Neighbors, Reference
from explorer.mapping.corridor import map_query
from explorer.neighbors import Index
from explorer.reading.query import open_query


def ring(n: int, k: int) -> Neighbors:
    """Cells in a circle, each with the k nearest of the others."""
    steps = np.array([sign * step for step in range(1, k // 2 + 1) for sign in (-1, 1)])
    indices = (np.arange(n)[:, None] + steps) % n
    return Neighbors(indices.astype(np.int32), np.ones(indices.shape, np.float32))


def one_by_one(codes: IntArray, neighbors: Neighbors, majority: float) -> list[int]:
    """The same, slowly: count the others' labels of each cell."""
    out = []
    for cell, near in enumerate(neighbors.indices):
        votes = Counter(int(codes[other]) for other in near if other != cell and codes[other] >= 0)
        label, count = votes.most_common(1)[0] if votes else (-1, 0)
        out.append(label if votes and count > majority * sum(votes.values()) else int(codes[cell]))
    return out


def test_a_lone_dissenter_is_overruled_and_a_border_is_not() -> None:
    codes = np.repeat([0, 1], 10).astype(np.int32)
    wrong = codes.copy()
    wrong[[4, 15]] = [1, 0]
    np.testing.assert_array_equal(refined(wrong, ring(20, 4)), codes)


def test_half_is_no_majority() -> None:
    codes = np.array([0, 1, 0, 1, 1, 1], np.int32)
    assert refined(codes, ring(6, 2)).tolist() == [1, 0, 1, 1, 1, 1]
    assert refined(np.array([2, 0, 1, 1, 0, 1], np.int32), ring(6, 2))[0] == 2


def test_cells_without_a_label_have_no_vote_and_receive_one() -> None:
    codes = np.array([-1, 0, -1, -1, -1, -1], np.int32)
    assert refined(codes, ring(6, 2)).tolist() == [0, 0, 0, -1, -1, -1]
    nothing = np.full(6, -1, np.int32)
    assert refined(nothing, ring(6, 2)).tolist() == nothing.tolist()


@pytest.mark.parametrize("majority", [0.0, 0.5, 0.8])
def test_as_counting_one_by_one_finds(majority: float) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 3, 200).astype(np.int32)
    indices = rng.integers(0, 200, (200, 9)).astype(np.int32)
    found = refined(codes, Neighbors(indices, np.ones((200, 9), np.float32)), majority)
    slowly = np.array(one_by_one(codes, Neighbors(indices, np.ones((200, 9), np.float32)), majority))
    tied = np.array([_is_tied(codes[[c for c in near if c != i]]) for i, near in enumerate(indices)])
    np.testing.assert_array_equal(found[~tied], slowly[~tied])


def _is_tied(votes: IntArray) -> bool:
    counts = np.sort(np.bincount(votes[votes >= 0], minlength=2))
    return bool(counts[-1] == counts[-2])


def test_the_labels_handed_over_stay_as_they_are() -> None:
    codes = np.array([0, 0, 1, 0, 0, 0], np.int32)
    before = codes.copy()
    refined(codes, ring(6, 4))
    np.testing.assert_array_equal(codes, before)


def test_mistakes_at_random_are_mended_where_types_lie_apart() -> None:
    """Three types of 100 cells; one label in five is wrong."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 100).astype(np.int32)
    values = (np.eye(3)[truth] + rng.normal(0, 0.1, (300, 3))).astype(np.float32)
    wrong = np.where(rng.random(300) < 0.2, rng.integers(0, 3, 300), truth).astype(np.int32)
    assert (wrong == truth).mean() < 0.9
    assert (refined(wrong, Index(values).search(values, NEAREST + 1)) == truth).mean() > 0.99


def test_a_refined_result_carries_the_majority_and_says_so(
    planted_reference: Reference, planted_query: ad.AnnData
) -> None:
    plain = map_query(open_query(planted_query), planted_reference)
    level = plain.labels.first
    codes = level.codes.copy()
    codes[:5] = (codes[:5] + 1) % len(level.classes)
    wrong = replace(plain, labels=LabelTransfer((replace(level, codes=codes), *plain.labels.levels[1:])))
    found = refine(wrong)
    assert (found.labels.first.codes[:5] == level.codes[:5]).mean() > 0.7
    rows = np.arange(plain.n_cells)
    np.testing.assert_array_equal(
        found.labels.first.confidence, level.probabilities[rows, found.labels.first.codes]
    )
    np.testing.assert_array_equal(found.labels.first.novelty, level.novelty)
    assert f"of 300 labels at {level.level} follow their neighbours' majority" in found.provenance.notices[-2]
    assert found.provenance.options["refine"] is True
    assert "refine" not in plain.provenance.options


def test_refined_levels_do_not_contradict_each_other(planted_reference: Reference, planted_query: ad.AnnData) -> None:
    """Neighbours are told another lineage, but nothing else of the type: their majority cannot be followed."""
    plain = map_query(open_query(planted_query), planted_reference)
    fine, coarse = plain.labels.levels
    moved = coarse.codes.copy()
    alpha = np.flatnonzero(fine.labels == "alpha")
    moved[alpha[1:]] = 1 - moved[alpha[1:]]
    told = replace(coarse, codes=moved)
    result = replace(plain, labels=replace(plain.labels, levels=(fine, told)))
    pairs = set(zip(fine.codes, moved, strict=True))
    found = refine(result).labels
    assert set(zip(found.levels[0].codes, found.levels[1].codes, strict=True)) <= pairs
    assert (found.levels[0].sets[np.arange(plain.n_cells), found.levels[0].codes]).all()
