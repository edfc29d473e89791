"""Scores of gene sets: the planted type is told by its markers, from whatever file; scanpy agrees."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import TYPES, bundle, markers
from sklearn.metrics import roc_auc_score

from explorer.errors import GenesProblem
from explorer.insight.by_gene import of_genes
from explorer.insight.genescores import mean_expression, score_cells
from explorer.reading.query import open_query
from explorer.writing.export import write_expression

SETS = {name: frozenset(markers(name)) for name in TYPES}


@pytest.fixture(scope="module")
def scores(planted_file: Path) -> pd.DataFrame:
    """Of the planted cells, by the markers of each type."""
    return score_cells(of_genes(open_query(planted_file)), SETS)


def test_types_are_told_by_their_markers(scores: pd.DataFrame, planted_file: Path) -> None:
    told = ad.read_h5ad(planted_file).obs["cell_type"]
    for name in TYPES:
        assert roc_auc_score(told == name, scores[name]) > 0.99
        assert scores.loc[(told == name).to_numpy(), name].mean() > 0.5


def test_plain_mean(planted_file: Path) -> None:
    cells = ad.read_h5ad(planted_file)
    counts = cells.X.toarray()
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    twin = logged[:, np.isin(cells.var_names, list(SETS["beta"]))].mean(1)
    found = score_cells(of_genes(open_query(planted_file)), {"beta": SETS["beta"]}, controls=0)
    assert found["beta"].to_numpy() == pytest.approx(twin, rel=1e-4)


def test_scanpy_agrees(scores: pd.DataFrame, planted_file: Path) -> None:
    """It draws other control genes, so that scores differ by little."""
    import scanpy as sc

    cells = ad.read_h5ad(planted_file)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    sc.tl.score_genes(cells, list(SETS["alpha"]), ctrl_size=50, n_bins=25)
    assert np.corrcoef(cells.obs["score"], scores["alpha"])[0, 1] > 0.97


def test_reference_and_expression_file(scores: pd.DataFrame, planted_file: Path, tmp_path: Path) -> None:
    query = open_query(planted_file)
    write_expression(query, tmp_path / "expression.h5")
    from_file = score_cells(of_genes(tmp_path / "expression.h5"), SETS, mean_expression(of_genes(query)))
    assert from_file.to_numpy() == pytest.approx(scores.to_numpy(), abs=2e-3)
    reference = bundle(ad.read_h5ad(planted_file), tmp_path)
    plain = [score_cells(of_genes(source), SETS, controls=0).to_numpy() for source in (reference, query)]
    assert plain[0] == pytest.approx(plain[1], rel=1e-4, abs=1e-5)


def test_a_set_of_other_genes(planted_file: Path) -> None:
    with pytest.raises(GenesProblem, match="None of the 2 genes of mine was measured"):
        score_cells(of_genes(open_query(planted_file)), {"mine": frozenset({"CD3E", "CD3D"})})
