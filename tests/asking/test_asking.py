"""Why a label: which cells are asked, what is written, what is said; through the function and through the shell."""

from __future__ import annotations

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import markers

from explorer.__main__ import PROBLEM, main
from explorer.asking.explaining import explain_label
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import Query, Reference
from explorer.mapping.corridor import EXPLAINED_CELLS, map_query
from explorer.reading.query import open_query
from explorer.writing.export import write_h5ad


@pytest.fixture(scope="module")
def query(planted_query: ad.AnnData) -> Query:
    """300 planted cells, a fifth of a type that the reference has not seen."""
    return open_query(planted_query)


def test_cells_predicted_as_the_label_speak_for_it(query: Query, planted_reference: Reference) -> None:
    found = explain_label(query, planted_reference, "concord", "beta", device="cpu")
    labels = map_query(query, planted_reference, device="cpu").labels.first
    assert found.rows.tolist() == np.flatnonzero((labels.labels == "beta") & ~labels.unknown).tolist()
    assert found.signature.toward == "beta"
    assert found.signature.top(1)["gene"].iloc[0] in markers("beta")


def test_the_surest_of_them(query: Query, planted_reference: Reference) -> None:
    """At the level of lineages there are more cells than are asked."""
    found = explain_label(
        query, planted_reference, "concord", "first", level="lineage", cells="top", device="cpu"
    )
    labels = map_query(query, planted_reference, device="cpu").labels.level("lineage")
    others = np.flatnonzero((labels.labels == "first") & ~labels.unknown)
    assert len(found.rows) == min(EXPLAINED_CELLS, len(others))
    left = np.setdiff1d(others, found.rows)
    assert labels.confidence[left].max(initial=0) <= labels.confidence[found.rows].min()


def test_cells_that_the_query_names_itself(query: Query, planted_reference: Reference) -> None:
    found = explain_label(query, planted_reference, "concord", "beta", cells="cell_type=gamma", device="cpu")
    assert (query.obs["cell_type"].to_numpy()[found.rows] == "gamma").all()
    assert len(found.rows) == 60


def test_a_result_is_not_mapped_again(query: Query, planted_reference: Reference, tmp_path: Path) -> None:
    result = map_query(query, planted_reference, device="cpu")
    codes = result.labels.first.codes
    codes[:] = 0
    write_h5ad(result, query, tmp_path / "result.h5ad")
    found = explain_label(open_query(tmp_path / "result.h5ad"), planted_reference, "concord", "alpha", device="cpu")
    assert found.rows.tolist() == np.flatnonzero(~result.labels.first.unknown).tolist()


@pytest.mark.parametrize(
    ("options", "problem", "message"),
    [
        ({"label": "delta", "cells": "cell_type=epsilon"}, OptionsProblem, "has no cells with cell_type=epsilon"),
        ({"label": "delta", "cells": "plate=3"}, OptionsProblem, r"no obs column 'plate'\. Say which cells as COLUMN"),
        ({"label": "delta", "level": "tissue"}, ReferenceProblem, "no label level 'tissue'; it has cell_type, lineage"),
        ({"label": "epsilon", "cells": "cell_type=beta"}, ReferenceProblem, "no label 'epsilon' at the level"),
        ({"label": "delta", "measure": "guess"}, OptionsProblem, "explains by: .*not by 'guess'"),
    ],
    ids=["no cell", "no column", "no level", "no label", "no measure"],
)
def test_what_cannot_be_asked(
    query: Query, planted_reference: Reference, options: dict[str, str], problem: type[Exception], message: str
) -> None:
    with pytest.raises(problem, match=message):
        explain_label(query, planted_reference, "concord", device="cpu", **options)


def test_in_a_shell(
    planted_query: ad.AnnData, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_query.write_h5ad(tmp_path / "mine.h5ad")
    words = ["explain", str(tmp_path / "mine.h5ad"), "--reference", str(planted_reference.folder), "--device", "cpu"]
    out = tmp_path / "signature.csv"
    assert main([*words, "--label", "beta", "--output", str(out)]) == 0
    table = pd.read_csv(out)
    assert list(table) == ["gene", "score"]
    assert len(table) == len(set(table["gene"])) == 300
    assert (table["score"].diff().dropna() <= 0).all()
    said = capsys.readouterr().out
    assert re.search(r"\d+ cells predicted as beta: by what they point toward beta", said)
    assert "completeness error" in said
    assert table["gene"].iloc[0] in said
    assert main([*words, "--label", "epsilon", "--cells", "batch=query", "--output", str(out)]) == PROBLEM
    assert main([*words, "--label", "beta", "--output", str(tmp_path / "mine.h5ad")]) == PROBLEM
