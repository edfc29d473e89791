"""The card of one cell: planted cells whose neighbours, prototypes and genes are known."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
from planted import STRANGER, markers

from explorer.asking.tapped import tapped_cell
from explorer.errors import OptionsProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query


@pytest.fixture(scope="module")
def query(planted_query: ad.AnnData) -> Query:
    return open_query(planted_query, name="planted")


@pytest.fixture(scope="module")
def result(query: Query, planted_reference: Reference) -> MappingResult:
    return map_query(query, planted_reference)


def _rows(result: MappingResult, label: str) -> np.ndarray:
    return np.flatnonzero(result.obs["cell_type"].astype(str) == label)


def test_a_cell_lies_among_its_own(query: Query, planted_reference: Reference, result: MappingResult) -> None:
    row = int(_rows(result, "gamma")[0])
    card = tapped_cell(query, planted_reference, result, row)
    assert (card.name, card.row, card.obs["cell_type"]) == (result.obs.index[row], row, "gamma")
    first = card.levels[0]
    assert [level.level for level in card.levels] == ["cell_type", "lineage"]
    assert first.label == first.labels["label"][0] == first.prototypes["label"][0] == "gamma"
    assert first.labels["probability"].is_monotonic_decreasing
    assert first.prediction_set == tuple(first.labels.loc[first.labels["in_set"], "label"])
    assert (card.neighbors["cell_type"] == "gamma").all()
    assert list(card.neighbors.columns) == ["cell", "similarity", "cell_type", "lineage", "batch", "donor"]
    assert card.neighbors["similarity"].is_monotonic_decreasing


def test_neighbours_of_a_result_read_back_are_the_same(
    query: Query, planted_reference: Reference, result: MappingResult
) -> None:
    read_back = replace(result, neighbors=None)
    for row in (0, 7):
        now, then = (tapped_cell(query, planted_reference, of, row) for of in (result, read_back))
        assert now.neighbors["cell"].tolist() == then.neighbors["cell"].tolist()


def test_a_strangers_genes_stand_above_what_its_label_expects(
    query: Query, planted_reference: Reference, result: MappingResult
) -> None:
    row = int(_rows(result, STRANGER)[0])
    card = tapped_cell(query, planted_reference, result, row)
    assert card.above["gene"].isin(markers(STRANGER)).sum() >= 8
    assert card.below["gene"].isin(markers(card.levels[0].label)).sum() >= 5
    assert (card.above["residual"] > 0).all()
    assert (card.below["residual"] < 0).all()
    assert "Nothing like it is near" in card.levels[0].words[-1]


def test_its_highest_genes_are_those_of_the_file(
    query: Query, planted_reference: Reference, result: MappingResult, planted_query: ad.AnnData
) -> None:
    card = tapped_cell(query, planted_reference, result, 3)
    counts = planted_query.X[3].toarray().ravel()
    values = np.log1p(counts / counts.sum() * 1e4)
    assert card.genes["value"].is_monotonic_decreasing
    for gene, value in zip(card.genes["gene"], card.genes["value"], strict=True):
        assert value == pytest.approx(values[planted_query.var_names.get_loc(gene)], rel=1e-5)


def test_a_cell_that_does_not_exist_is_refused(
    query: Query, planted_reference: Reference, result: MappingResult
) -> None:
    with pytest.raises(OptionsProblem, match="There is no cell 300; planted has cells 0 to 299"):
        tapped_cell(query, planted_reference, result, 300)
