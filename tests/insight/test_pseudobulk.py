"""Samples against samples: sums that can be added up, p-values that are honest, and refusals that say the numbers."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import BATCHES, TYPES, bundle, planted
from planted import markers as planted_markers
from scipy import stats

from explorer.errors import OptionsProblem, ValuesProblem
from explorer.insight.pseudobulk import Summed, common_variance, compare_samples, sum_by_sample
from explorer.reading.query import open_query

GENES = 2000


def samples(inside: list[bool], names: list[str], *, shifted: int = 0, of_donor: float = 0.0, seed: int = 0) -> Summed:
    """Sums of negative binomial counts; the first genes are fourfold in the group, donors differ in all of them."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(2.0, 50.0, GENES)
    donors = {name: np.exp(rng.normal(0, of_donor, GENES)) for name in dict.fromkeys(names)}
    own = np.array([mean * donors[name] for name in names])
    own[np.ix_(np.array(inside), np.arange(shifted))] *= 4
    depth = rng.lognormal(0, 0.3, (len(names), 1))
    counts = rng.poisson(rng.gamma(10.0, own * depth / 10.0)).astype(float)
    units = pd.DataFrame({"sample": [f"s{i}" for i in range(len(names))], "inside": inside, "cells": 100})
    return Summed(units, np.array([f"G{i:04d}" for i in range(GENES)], dtype=object), counts)


class TestSums:
    def test_by_sample_and_side(self) -> None:
        cells = planted(cells=15)
        inside = (cells.obs["cell_type"] == "alpha").to_numpy()
        summed = sum_by_sample(open_query(cells), cells.obs["batch"], inside, ~inside)
        assert sorted(summed.units["sample"]) == ["b1", "b1", "b2", "b2", "b3", "b3"]
        counts = pd.DataFrame(cells.X.toarray(), columns=cells.var_names)
        expected = counts.groupby([cells.obs["batch"].to_numpy(), inside]).sum()
        for unit, values in zip(summed.units.itertuples(), summed.counts, strict=True):
            assert values == pytest.approx(expected.loc[(unit.sample, unit.inside), list(summed.genes)].to_numpy())
        assert summed.units["cells"].sum() == cells.n_obs

    def test_of_a_reference(self, tmp_path: Path) -> None:
        cells = planted(cells=15)
        inside = (cells.obs["cell_type"] == "beta").to_numpy()
        own = sum_by_sample(bundle(cells, tmp_path), cells.obs["batch"], inside, ~inside)
        twin = sum_by_sample(open_query(cells), cells.obs["batch"], inside, ~inside)
        order = np.argsort(own.genes.astype(str))
        assert own.genes[order].tolist() == twin.genes.tolist()
        assert (own.counts[:, order] == twin.counts).all()

    def test_a_handful_of_cells_is_no_sample(self) -> None:
        cells = planted(cells=15)
        inside = np.zeros(cells.n_obs, bool)
        inside[np.flatnonzero(cells.obs["batch"] == "b1")[:9]] = True
        inside[np.flatnonzero(cells.obs["batch"] == "b2")[:10]] = True
        units = sum_by_sample(open_query(cells), cells.obs["batch"], inside, ~inside).units
        assert units.loc[units["inside"], "sample"].tolist() == ["b2"]

    def test_needs_counts(self) -> None:
        cells = planted(cells=15)
        cells.X = cells.X.log1p() * 0.37
        inside = (cells.obs["cell_type"] == "alpha").to_numpy()
        with pytest.raises(ValuesProblem, match="compared by their summed counts"):
            sum_by_sample(open_query(cells), cells.obs["batch"], inside, ~inside)


class TestComparison:
    def test_chance_is_called_chance(self) -> None:
        """No gene differs, so that p-values are spread evenly and none stays after adjusting."""
        table = compare_samples(samples([True] * 4 + [False] * 4, list("abcdefgh"))).table
        assert (table["p"] < 0.05).mean() == pytest.approx(0.05, abs=0.015)
        assert stats.kstest(table["p"], "uniform").pvalue > 0.001
        assert (table["adjusted_p"] < 0.05).sum() <= 1

    def test_planted_genes_are_found(self) -> None:
        found = compare_samples(samples([True] * 3 + [False] * 3, list("abcdef"), shifted=40))
        planted_genes = {f"G{i:04d}" for i in range(40)}
        kept = set(found.table.loc[found.table["adjusted_p"] < 0.05, "gene"])
        assert len(kept & planted_genes) >= 38
        assert len(kept - planted_genes) <= 6
        assert found.table.set_index("gene").loc[sorted(kept & planted_genes), "log2_fold_change"].median() == (
            pytest.approx(2, abs=0.25)
        )
        assert (found.inside, found.outside, found.paired) == (3, 3, 0)

    def test_pairs_see_through_donors(self) -> None:
        """Donors that differ more than the conditions do hide them, unless each is compared within."""
        summed = samples([True, False] * 4, list("aabbccdd"), shifted=40, of_donor=1.5)
        donors = {f"s{i}": donor for i, donor in enumerate("aabbccdd")}
        apart, paired = compare_samples(summed), compare_samples(summed, donors=donors)
        assert (apart.paired, paired.paired) == (0, 4)
        kept = [int((found.table["adjusted_p"] < 0.05).sum()) for found in (apart, paired)]
        assert kept[0] < 10
        assert kept[1] >= 35

    def test_against_plain_t(self) -> None:
        """Between a gene's own variance and the common one, by the degrees of freedom reported."""
        found = compare_samples(samples([True] * 4 + [False] * 3, list("abcdefg")))
        summed = samples([True] * 4 + [False] * 3, list("abcdefg"))
        logged = np.log2((summed.counts + 0.5) / (summed.counts.sum(1, keepdims=True) + 1) * 1e6)
        plain = pd.DataFrame({"t": stats.ttest_ind(logged[:4], logged[4:]).statistic}, index=summed.genes)
        table = found.table.set_index("gene")
        shift, scale = table["log2_fold_change"], 1 / 4 + 1 / 3
        own = (shift / plain["t"].loc[table.index]) ** 2 / scale
        used = (shift / table["score"]) ** 2 / scale
        slope, intercept = np.polyfit(own, used, 1)
        assert used.to_numpy() == pytest.approx((intercept + slope * own).to_numpy(), rel=1e-6)
        assert slope == pytest.approx(5 / (5 + found.prior))

    @pytest.mark.parametrize("prior", [3.0, 8.0, 30.0])
    def test_common_variance(self, prior: float) -> None:
        """Found again from variances drawn as the model says."""
        rng = np.random.default_rng(1)
        true = 0.2 * prior / rng.chisquare(prior, 20_000)
        found, common = common_variance(true * rng.chisquare(6, 20_000) / 6, 6)
        assert found == pytest.approx(prior, rel=0.15)
        assert common == pytest.approx(0.2, rel=0.03)

    def test_alike_genes_share_one_variance(self) -> None:
        assert common_variance(np.full(500, 0.3), 5)[0] == np.inf

    def test_markers_of_a_type_across_samples(self) -> None:
        """Samples that hold both sides are pairs by themselves."""
        cells = planted(TYPES, BATCHES, 30)
        inside = (cells.obs["cell_type"] == "alpha").to_numpy()
        found = compare_samples(sum_by_sample(open_query(cells), cells.obs["batch"], inside, ~inside))
        assert found.paired == 3
        assert set(found.table["gene"][:20]) == set(planted_markers("alpha"))

    def test_two_samples_a_side_at_least(self) -> None:
        with pytest.raises(OptionsProblem, match="stim has 1, ctrl has 4"):
            compare_samples(samples([True] + [False] * 4, list("abcde")), group="stim", against="ctrl")

    def test_real_patients(self) -> None:
        """Panobinostat, which inhibits histone deacetylases, raises metallothioneins in glioblastoma of 5 patients."""
        path = Path(__file__).resolve().parents[3] / "shared" / "data" / "glioblastoma_panobinostat_10samples.h5ad"
        if not path.is_file():
            pytest.skip("needs the development data beside the checkout")
        cells = ad.read_h5ad(path)
        inside = (cells.obs["condition"] == "panobinostat").to_numpy()
        summed = sum_by_sample(open_query(path), cells.obs["sample_id"], inside, ~inside)
        donors = cells.obs.groupby("sample_id", observed=True)["donor"].first().astype(str).to_dict()
        found = compare_samples(summed, donors=donors)
        assert (found.inside, found.outside, found.paired) == (5, 5, 5)
        assert {"MT1X", "MT2A", "MT1E"} <= set(found.table["gene"][:8])
