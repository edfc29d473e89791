"""Samples on the page: by planted vectors with known figures, and by what scPoli has learned of a query's batches."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import planted

from components.points import index_points
from components.scatter import Scatter
from components.theme import MISSING_COLOR
from explorer import map_query, open_query
from explorer.app.answers.sampling import (
    CELLS,
    FROM,
    QUERY,
    classified,
    conditions_of,
    genes_along,
    methods_that_describe,
    sample_map,
)
from explorer.app.stored.library import Outcome
from explorer.app.views.tabs.samples import association_rows, colors_of, guessed_html, sample_table, scatter_of
from explorer.beside import ConditionEmbedding
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.progress import Progress


@pytest.fixture(scope="module")
def learned(scpoli_reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Two batches of planted cells whose descriptions scPoli has learned, each from a place of its own."""
    path = tmp_path_factory.mktemp("samples") / "cells.h5ad"
    cells = planted(batches=("q1", "q2"), cells=10, seed=3)
    cells.obs["place"] = np.where(cells.obs["batch"] == "q1", "here", "there")
    cells.write_h5ad(path)
    result = map_query(open_query(path), scpoli_reference, "scpoli", mode="surgery", batch="batch", device="cpu")
    return Outcome("0", path.parent, result, index_points(result.layout), (), ())


def described(n: int = 16) -> ConditionEmbedding:
    """Samples on a line, of which the second half lies apart."""
    values = np.zeros((n, 3), np.float32)
    values[:, 0] = np.arange(n) + 20 * (np.arange(n) >= n // 2)
    values[:, 1] = 0.1 * np.cos(np.arange(n))
    return ConditionEmbedding("sample", np.array([f"s{i}" for i in range(n)], object), values, np.zeros(n, bool))


def reference_of(planted_reference: Reference, n: int = 16) -> Reference:
    """A reference whose cells come from n samples, half of them of group a; the last one's group is not known."""
    at = np.arange(planted_reference.n_cells) % n
    group = pd.Series(np.where(at < n // 2, "a", "b"), dtype=object)
    group[at == n - 1] = None
    obs = planted_reference.obs.assign(sample=[f"s{i}" for i in at], group=group.to_numpy())
    return replace(planted_reference, obs=obs)


def test_a_planted_group_explains_the_first_component_and_is_guessed(planted_reference: Reference) -> None:
    found = sample_map(reference_of(planted_reference), None, described(), None)
    best = found.associations.iloc[0]
    assert (best["covariate"], best["component"], best["samples"]) == ("group", 1, 15)
    assert best["adjusted_r2"] > 0.95
    assert found.labelled == ("group",)
    assert found.covariates[CELLS].sum() == planted_reference.n_cells
    told = classified(found, "group")
    assert told.scores.accuracy == 1.0
    assert told.guessed.to_dict("records") == [{"sample": "s15", "label": "b", "share": 1.0}]
    assert "s15" in guessed_html(told)
    assert association_rows(found)[0]["id"] == "1:group"
    shown = Scatter(**scatter_of(found, "group"))
    assert shown.colors[15] == MISSING_COLOR
    assert len(set(shown.colors)) == 3
    assert shown.x == pytest.approx(found.components.scores[:, 0].tolist())


def test_a_gene_that_follows_the_samples_is_found(planted_reference: Reference) -> None:
    by_batch = planted_reference.obs["batch"].astype(str)
    names = sorted(by_batch.unique())
    values = np.array([[0.0, 0.0], [1.0, 0.1], [5.0, -0.1]], np.float32)
    known = ConditionEmbedding("batch", np.array(names, object), values, np.zeros(3, bool))
    found = sample_map(planted_reference, None, known, None)
    along = genes_along(found, planted_reference, None, 0, Progress()).set_index("gene")
    cells = ad.read_h5ad(planted_reference.folder / "cells.h5ad")
    logged = np.log1p(1e4 * cells.X.toarray() / cells.obs["total_counts"].to_numpy()[:, None])
    means = np.stack([logged[(by_batch == name).to_numpy()].mean(0) for name in names])
    gene = along.index[0]
    at = cells.var_names.get_loc(gene)
    expected = np.corrcoef(found.components.scores[:, 0], means[:, at])[0, 1]
    assert along.loc[gene, "r"] == pytest.approx(expected, abs=1e-3)


def test_batches_of_a_query_stand_beside_those_of_the_reference(
    learned: Outcome, scpoli_reference: Reference
) -> None:
    (known,) = conditions_of(scpoli_reference, learned, "scpoli", "cpu")
    found = sample_map(scpoli_reference, learned, known, "batch")
    assert found.names[-2:] == ("q1", "q2")
    assert found.covariates[FROM].tolist()[-2:] == [QUERY, QUERY]
    assert found.covariates["place"].tolist()[-2:] == ["here", "there"]
    own = learned.result.obs["batch"].astype(str).to_numpy()
    assert np.array(found.names)[found.codes[1]].tolist() == own.tolist()
    assert scatter_of(found, "place")["marked"] == found.from_query.tolist()
    assert {"q1", "q2"} <= set(sample_table(found)["batch"])


def test_a_method_without_descriptions_has_none_and_others_are_named(planted_reference: Reference) -> None:
    assert conditions_of(planted_reference, None, planted_reference.methods[0], "cpu") == ()
    assert "scPoli" in methods_that_describe()


def test_two_samples_are_too_few(planted_reference: Reference) -> None:
    few = described()
    few = replace(few, names=few.names[:2], values=few.values[:2], from_query=few.from_query[:2])
    with pytest.raises(OptionsProblem, match="2 samples are described; at least 3"):
        sample_map(reference_of(planted_reference), None, few, None)


def test_numbers_are_coloured_from_low_to_high() -> None:
    colors, legend = colors_of(pd.Series([1.0, np.nan, 3.0]))
    assert colors[1] == MISSING_COLOR
    assert [entry["name"] for entry in legend] == ["1", "3"]
    assert (colors[0], colors[2]) == (legend[0]["color"], legend[1]["color"])
