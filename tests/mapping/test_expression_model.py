"""The regression on expression: against a plain dense twin, with genes missing, on disk, and in a card."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from planted import TYPES, aligned, codes, planted
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from explorer.building.fitting import left_out_in
from explorer.doubt.labels import tempered
from explorer.errors import ReferenceProblem
from explorer.flow import FloatArray, Reference
from explorer.mapping.expression_model import (
    ExpressionModel,
    expression_summary,
    fit_expression,
    fitted_on,
    read_expression_model,
)
from explorer.mapping.learning import Annotated, read_annotated
from explorer.progress import Progress
from explorer.reference import method_folder, open_reference, read_heads


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    path = tmp_path_factory.mktemp("expression") / "cells.h5ad"
    planted(cells=15).write_h5ad(path)
    return read_annotated(path, ("cell_type", "lineage"), "batch", None, Progress())


@pytest.fixture(scope="module")
def model(annotated: Annotated) -> ExpressionModel:
    return fit_expression(annotated, left_out_in(annotated, 0), 0, Progress())


def twin(annotated: Annotated, level: str, values: FloatArray, rows: np.ndarray | slice = slice(None)) -> FloatArray:
    """What scikit-learn says of dense values, having learned from some cells, dense too."""
    known = annotated.cells.log1p().toarray()[rows]
    fitted = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000, tol=1e-6)
    return np.asarray(fitted.fit(known, annotated.codes(level)[rows]).predict_proba(values))


@pytest.mark.parametrize("level", ["cell_type", "lineage"])
def test_it_is_the_regression_of_scikit_learn(annotated: Annotated, model: ExpressionModel, level: str) -> None:
    """Of four labels as of two."""
    query = aligned(planted(TYPES, ("query",), 10, seed=3))
    found = next(of for of in model.levels if of.level == level)
    expected = tempered(twin(annotated, level, query.log1p().toarray()), found.temperature)
    np.testing.assert_allclose(found.probabilities(query.log1p()), expected, atol=5e-3)


def test_left_out_cells_are_answered_by_what_had_not_seen_them(annotated: Annotated, model: ExpressionModel) -> None:
    found = model.levels[0]
    examined = found.examined
    fold = left_out_in(annotated, 0)
    values = annotated.cells.log1p().toarray()
    for out in np.unique(fold):
        said = twin(annotated, "cell_type", values[fold == out], fold != out)
        np.testing.assert_allclose(
            examined.probabilities[fold == out], tempered(said.astype(np.float32), found.temperature), atol=5e-3
        )
    assert examined.codes.tolist() == annotated.codes("cell_type").tolist()
    assert examined.batches.tolist() == annotated.batches.tolist()


def test_rare_labels_are_found(tmp_path: Path) -> None:
    many, few = planted(TYPES[:2], cells=60), planted(TYPES[2:3], cells=4, seed=4)
    cells = anndata.concat([many, few], index_unique="-")
    cells.write_h5ad(tmp_path / "rare.h5ad")
    annotated = read_annotated(tmp_path / "rare.h5ad", ("cell_type",), "batch", None, Progress())
    (found,) = fit_expression(annotated, left_out_in(annotated, 0), 0, Progress()).levels
    query = aligned(planted(TYPES[2:3], ("query",), 20, seed=5))
    assert (found.probabilities(query.log1p()).argmax(1) == found.classes.index(TYPES[2])).mean() > 0.9


class TestMissingGenes:
    """A panel brings a third of the genes and nothing else."""

    def test_a_label_is_still_found(self, model: ExpressionModel) -> None:
        query = planted(TYPES, ("query",), 40, seed=3)
        found = np.random.default_rng(0).random(query.n_vars) < 0.33
        panel = query[:, found]
        values = aligned(query).log1p().toarray()
        own = np.asarray(panel.X.sum(1)).ravel()
        values[:, found] = np.log1p(panel.X.toarray() / own[:, None] * 1e4)
        values[:, ~found] = 0
        said = model.levels[0].probabilities(sparse.csr_matrix(values), found)
        ignored = model.levels[0].probabilities(sparse.csr_matrix(values))
        right = (said.argmax(1) == codes(query)).mean()
        assert right > 0.8
        assert right >= (ignored.argmax(1) == codes(query)).mean()

    def test_filled_as_a_loop_would(self, model: ExpressionModel) -> None:
        """Twin: one cell at a time, every missing gene written out."""
        query = aligned(planted(TYPES, ("query",), 3, seed=3))
        found = np.arange(query.values.shape[1]) % 2 == 0
        of = model.levels[0]
        logged = query.log1p().toarray() * found
        expected = []
        for cell in logged:
            average = np.where(found, cell, of.typical.mean(0))
            scores = average @ of.weight + of.bias
            likely = np.exp(scores - scores.max())
            filled = np.where(found, cell, likely / likely.sum() @ of.typical)
            again = filled @ of.weight + of.bias
            p = np.exp(again - again.max())
            expected.append(tempered((p / p.sum())[None].astype(np.float32), of.temperature)[0])
        np.testing.assert_allclose(of.probabilities(sparse.csr_matrix(logged), found), expected, atol=1e-3)

    def test_nothing_is_filled_where_nothing_is_missing(self, model: ExpressionModel) -> None:
        logged = aligned(planted(TYPES, ("query",), 3, seed=3)).log1p()
        every = np.ones(logged.shape[1], bool)
        np.testing.assert_array_equal(
            model.levels[0].probabilities(logged, every), model.levels[0].probabilities(logged)
        )


class TestInAReference:
    def test_it_is_read_back_and_stands_in_the_card(self, scpoli_reference: Reference) -> None:
        found = read_expression_model(scpoli_reference)
        assert found is not None
        assert [of.level for of in found.levels] == ["cell_type", "lineage"]
        told = scpoli_reference.card["expression"]
        assert told == expression_summary(found)
        assert {"accuracy", "macro_f1", "calibration_error"} <= set(told["scores"]["cell_type"])
        assert found.positions(scpoli_reference.genes["symbol"].to_numpy(object)).tolist() == list(range(300))

    def test_it_examined_the_cells_that_the_methods_did(self, scpoli_reference: Reference) -> None:
        found = read_expression_model(scpoli_reference)
        assert found is not None
        for head, of in zip(read_heads(method_folder(scpoli_reference, "scpoli")), found.levels, strict=True):
            assert head.examined.rows.tolist() == of.examined.rows.tolist()
            assert head.examined.codes.tolist() == of.examined.codes.tolist()
            assert head.examined.batches.tolist() == of.examined.batches.tolist()

    def test_other_labels_are_other_cells(self, annotated: Annotated, model: ExpressionModel) -> None:
        assert fitted_on(annotated) == model.of
        assert fitted_on(replace(annotated, has_batch=False)) != model.of
        assert fitted_on(replace(annotated, levels=("cell_type",))) != model.of

    def test_a_damaged_one_is_named(self, scpoli_reference: Reference, tmp_path: Path) -> None:
        folder = shutil.copytree(scpoli_reference.folder, tmp_path / "copy.atlas")
        reference = open_reference(folder)
        (folder / "expression" / "config.json").write_text("{}")
        with pytest.raises(ReferenceProblem, match=r"regression on expression in .* cannot be read"):
            read_expression_model(reference)

    def test_none_where_there_is_none(self, scpoli_reference: Reference, tmp_path: Path) -> None:
        folder = shutil.copytree(scpoli_reference.folder, tmp_path / "copy.atlas")
        reference = open_reference(folder)
        shutil.rmtree(folder / "expression")
        assert read_expression_model(reference) is None
