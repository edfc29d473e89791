"""Samples told apart: published numbers, independent twins, and planted samples."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from planted import SYMBOLS, TYPES, aligned, codes, planted
from scipy import sparse, stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import adjusted_rand_score, f1_score

from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells
from explorer.insight.by_gene import of_genes
from explorer.insight.samples import (
    association,
    associations,
    classify,
    cross_validated,
    gene_correlations,
    of_samples,
    principal_components,
    sample_means,
)
from explorer.methods.base import Condition, Training
from explorer.methods.scpoli import Scpoli, ScpoliConfig
from explorer.progress import Progress
from explorer.reading.query import open_query

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
COMPONENT = np.array([1, 1.2, 0.8, 3, 3.3, 2.9, -1, -0.7, -1.2, 0.1])
ROWS = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0.5, 0.5, 1)], np.float32)


class TestComponents:
    def test_published_numbers(self) -> None:
        found = principal_components(ROWS)
        np.testing.assert_allclose(found.singular_values, [1.346901, 1, 0.621174], atol=1e-6)
        np.testing.assert_allclose(found.explained, [0.56692, 0.3125, 0.12058], atol=1e-5)

    def test_equals_an_independent_one_up_to_signs(self) -> None:
        values = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
        theirs = PCA().fit_transform(values)
        found = principal_components(values).scores
        np.testing.assert_allclose(np.abs(found), np.abs(theirs), atol=1e-5)
        assert (found.max(0) >= -found.min(0)).all()

    def test_samples_that_are_all_alike(self) -> None:
        found = principal_components(np.ones((3, 2), np.float32))
        assert not found.scores.any()
        assert np.isfinite(found.explained).all()


class TestAssociation:
    @pytest.mark.parametrize(
        ("y", "covariate", "r2", "adjusted"),
        [
            (COMPONENT, list("AAABBBCCCA"), 0.96465102, 0.95455131),
            (COMPONENT, [5, 6, 4, 9, 10, 8, 1, 2, 0, 3], 0.98097217, 0.97859369),
            ([0.1, 0.3, 0.5, 0.4, 1.1, 0.9, 1.6, 1.9], list("00112233"), 0.96917808, 0.94606164),
            ([0.1, 0.3, 0.5, 0.4, 1.1, 0.9, 1.6, 1.9], [0, 0, 1, 1, 2, 2, 3, 3], 0.91369863, None),
        ],
        ids=["three groups", "a number", "four ordered levels as groups", "their score"],
    )
    def test_published_numbers(
        self, y: list[float], covariate: list[object], r2: float, adjusted: float | None
    ) -> None:
        found = association(np.array(y), pd.Series(covariate))
        if adjusted is None:  # published after adjustment
            assert found.adjusted == pytest.approx(r2, abs=1e-8)
        else:
            assert (found.r2, found.adjusted) == pytest.approx((r2, adjusted), abs=1e-8)

    def test_equals_an_independent_regression(self) -> None:
        rng = np.random.default_rng(0)
        y, x = rng.normal(size=20), rng.normal(size=20)
        expected = LinearRegression().fit(x[:, None], y).score(x[:, None], y)
        assert association(y, pd.Series(x)).r2 == pytest.approx(expected)

    def test_samples_without_the_covariate_are_left_out(self) -> None:
        some = pd.Series([*"AAABBBCCC", None])
        found = association(COMPONENT, some)
        assert found.samples == 9
        assert found.r2 == pytest.approx(association(COMPONENT[:9], some[:9]).r2)

    def test_as_many_levels_as_samples_say_nothing(self) -> None:
        assert np.isnan(association(COMPONENT, pd.Series(list("abcdefghij"))).adjusted)

    def test_a_component_without_spread_says_nothing(self) -> None:
        assert np.isnan(association(np.zeros(10), pd.Series(list("AAABBBCCCA"))).r2)

    def test_every_covariate_against_every_component(self) -> None:
        components = principal_components(np.column_stack([COMPONENT, np.tile([0, 0.1], 5)]).astype(np.float32))
        covariates = pd.DataFrame({"group": list("AAABBBCCCA"), "parity": [True, False] * 5, "same": "x"})
        found = associations(components, covariates)
        assert len(found) == 4
        assert tuple(found.loc[0, ["component", "covariate"]]) in ((1, "group"), (2, "parity"))
        best = found.set_index(["component", "covariate"])["adjusted_r2"]
        assert best[1, "group"] > 0.9
        assert best[2, "parity"] > 0.9
        assert best[1, "parity"] < 0.2


class TestGenes:
    component = np.array([-2, -1, -0.5, 0, 0.4, 1, 1.8, 2.2])
    means = np.array(
        [
            [5, 4.6, 4.4, 4.1, 3.9, 3.5, 2.8, 2.6],
            [1, 1.1, 0.9, 1.05, 1, 0.95, 1.1, 1],
            [0.2, 0.5, 0.4, 0.9, 0.7, 1.3, 1.4, 2],
            [3] * 8,
        ],
        np.float32,
    ).T

    def test_published_numbers(self) -> None:
        found = gene_correlations(self.component, self.means, ["down", "flat", "up", "constant"])
        assert list(found["gene"]) == ["down", "up", "flat"]
        np.testing.assert_allclose(found["r"], [-0.98908234, 0.94213230, 0.08171869], atol=1e-6)
        np.testing.assert_allclose(found["p"], [3.2268e-6, 4.6367e-4, 0.84745], rtol=1e-4)
        assert list(found["kept"]) == [True, True, False]
        np.testing.assert_allclose(found["q"], [3 * 3.2268e-6, 1.5 * 4.6367e-4, 0.84745], rtol=1e-4)

    def test_equals_its_slow_twin(self) -> None:
        rng = np.random.default_rng(0)
        y, means = rng.normal(size=9), rng.normal(size=(9, 20)).astype(np.float32)
        found = gene_correlations(y, means, [str(i) for i in range(20)]).set_index("gene")
        for i in range(20):
            r, p = stats.pearsonr(y, means[:, i])
            assert (found.loc[str(i), "r"], found.loc[str(i), "p"]) == pytest.approx((r, p), rel=1e-4)

    def test_published_false_discovery_rates(self) -> None:
        np.testing.assert_allclose(stats.false_discovery_control([0.001, 0.02, 0.03, 0.5]), [0.004, 0.04, 0.04, 0.5])

    def test_means_of_samples(self) -> None:
        cells = ad.AnnData(np.eye(3, dtype=np.float32), var=pd.DataFrame(index=["A", "B", "C"]))
        found = sample_means(of_genes(open_query(cells)), np.array([0, 0, -1], np.int32), 2)
        half = np.log1p(1e4) / 2
        np.testing.assert_allclose(found, [[half, half, 0], [0, 0, 0]], rtol=1e-6)


class TestClassification:
    def test_published_votes(self) -> None:
        values = np.array(
            [(0, 0), (0.1, 0.1), (0.2, 0), (1, 1), (1.1, 0.9), (0.9, 1.2), (1.2, 1.1)], np.float32
        )
        queries = np.array([(0.15, 0.05), (0.5, 0.5), (1, 0.95)], np.float32)
        found, share = classify(values, ["low"] * 3 + ["high"] * 4, queries)
        assert list(found) == ["low", "low", "high"]
        np.testing.assert_allclose(share, [0.75, 0.75, 1])

    def test_published_scores(self) -> None:
        """What the scores mean, on published answers."""
        truth, guess = [0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 2, 2]
        assert f1_score(truth, guess, average="weighted") == pytest.approx(0.727891, abs=1e-6)
        assert f1_score(truth, guess, average="macro") == pytest.approx(0.674603, abs=1e-6)
        assert adjusted_rand_score([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]) == pytest.approx(0.24242424)

    def test_every_sample_is_guessed_when_it_is_left_out(self) -> None:
        values = np.repeat([[0.0], [5.0]], 10, axis=0) + np.random.default_rng(0).normal(size=(20, 3))
        found = cross_validated(values.astype(np.float32), ["a"] * 10 + ["b"] * 10)
        assert (found.accuracy, found.macro_f1, found.weighted_f1) == (1, 1, 1)
        shuffled = np.random.default_rng(1).permutation(["a"] * 10 + ["b"] * 10)
        assert cross_validated(values.astype(np.float32), list(shuffled)).accuracy < 0.9

    @pytest.mark.parametrize("labels", [["a"] * 6, ["a"] * 5 + ["b"]], ids=["one label", "a label of one sample"])
    def test_too_little_to_tell_apart(self, labels: list[str]) -> None:
        with pytest.raises(OptionsProblem, match=r"at least two labels of at least two samples each; found a: \d"):
            cross_validated(np.zeros((6, 2), np.float32), labels)


def test_covariates_are_what_is_the_same_for_all_cells_of_a_sample() -> None:
    obs = pd.DataFrame(
        {"sample": ["s1", "s1", "s2"], "sex": ["f", "f", "m"], "age": [30, 30, 40], "cell_type": ["B", "T", "B"]}
    )
    found = of_samples(obs, "sample", ["s2", "s1"])
    assert list(found.columns) == ["sex", "age"]
    assert list(found["sex"]) == ["m", "f"]


def test_the_state_that_was_planted_in_samples_leads_one_of_their_components() -> None:
    """Ten samples of two states: scPoli's vectors of them tell the states apart."""
    cells = planted(TYPES, [f"sample{i}" for i in range(10)], 8)
    treated = cells.obs["batch"].astype(str).str[-1].astype(int).to_numpy() % 2 == 1
    counts = cells.X.toarray()
    shifted = np.random.default_rng(5).permutation(counts.shape[1])[:100]
    counts[np.ix_(treated, shifted)] = np.floor(counts[np.ix_(treated, shifted)] * 4)
    cells.X = sparse.csr_matrix(counts)
    names = tuple(sorted(set(cells.obs["batch"])))
    sample = Condition("batch", names, codes(cells, "batch"))
    training = Training(aligned(cells), SYMBOLS, {"cell_type": codes(cells)}, sample.codes, (sample,))
    config = ScpoliConfig(epochs=40, batch_size=32, lr=1e-2)
    made = Scpoli.fit(training, config, device=torch.device("cpu"), progress=Progress())
    state = pd.DataFrame({"state": np.where(np.arange(10) % 2 == 1, "treated", "control")})
    found = associations(principal_components(made.conditions[0].values), state)
    assert found.loc[0, "component"] <= 2
    assert found.loc[0, "adjusted_r2"] > 0.6


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the development data beside the checkout")
def test_vectors_of_real_samples_go_along_with_what_is_known_of_them() -> None:
    """Ten glioblastoma samples, five patients with and without a drug: one or the other accounts for a component."""
    cells = ad.read_h5ad(DATA / "glioblastoma_panobinostat_10samples.h5ad")
    names = tuple(sorted(set(cells.obs["sample_id"].astype(str))))
    sample = Condition("sample_id", names, codes(cells, "sample_id"))
    values = sparse.csr_matrix(cells.X).astype(np.float32)
    every = AlignedCells(values, np.asarray(values.sum(1), np.float32).ravel(), is_counts=True)
    training = Training(every, cells.var_names.to_numpy(object), {}, sample.codes, (sample,))
    config = ScpoliConfig(epochs=10)
    made = Scpoli.fit(training, config, device=torch.device("cpu"), progress=Progress())
    components = principal_components(made.conditions[0].values)
    known = of_samples(cells.obs, "sample_id", names)
    found = associations(components, known[["patient_id", "condition"]])
    assert found.loc[0, "adjusted_r2"] > 0.5
