"""Shares and their intervals: as scipy has them, on samples where conditions are compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from explorer.errors import OptionsProblem
from explorer.insight.composition import (
    count_labels,
    differences,
    sample_columns,
    shares_by_condition,
    shares_by_sample,
    warnings,
    wilson,
)

SAMPLES = ["s1", "s2", "s3", "s4", "s5", "s6"]
CONDITIONS = ["mild", "mild", "mild", "critical", "critical", "critical"]


@pytest.fixture
def counts() -> pd.DataFrame:
    """Three labels in six samples; monocytes are more in the critical."""
    cells = [[60, 75, 70, 130, 150, 120], [100, 80, 120, 60, 90, 70], [5, 0, 9, 3, 7, 2]]
    return pd.DataFrame(cells, index=["monocyte", "T cell", "pDC"], columns=SAMPLES)


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0.5, 0.999))
def test_wilson(successes: int, total: int, coverage: float) -> None:
    successes = min(successes, total)
    twin = stats.binomtest(successes, total).proportion_ci(coverage, method="wilson")
    low, high = wilson(np.array([successes]), np.array([total]), coverage)
    assert low[0] == pytest.approx(twin.low, abs=1e-9)
    assert high[0] == pytest.approx(twin.high, abs=1e-9)


def test_an_empty_sample_may_have_any_share() -> None:
    low, high = wilson(np.array([0]), np.array([0]))
    assert (low[0], high[0]) == (0, 1)


def test_shares_within_samples(counts: pd.DataFrame) -> None:
    table = shares_by_sample(counts)
    assert table.groupby("sample")["share"].sum().to_numpy() == pytest.approx(1)
    row = table[(table["label"] == "pDC") & (table["sample"] == "s2")].iloc[0]
    assert (row["cells"], row["total"], row["share"], row["low"]) == (0, 155, 0, 0)
    assert 0 < row["high"] < 0.03


def test_conditions_are_means_over_samples(counts: pd.DataFrame) -> None:
    """However many cells a sample has; the interval is that of so many samples."""
    counts["s1"] *= 100
    table = shares_by_condition(counts, CONDITIONS).set_index(["label", "condition"])
    shares = (counts / counts.sum()).loc["monocyte"].to_numpy()[3:]
    row = table.loc[("monocyte", "critical")]
    twin = stats.ttest_1samp(shares, 0).confidence_interval(0.95)
    assert row["share"] == pytest.approx(shares.mean())
    assert (row["low"], row["high"]) == pytest.approx((twin.low, twin.high))
    assert row["samples"] == 3
    one = shares_by_condition(counts[["s1", "s4"]], ["mild", "critical"])
    assert one[["low", "high"]].isna().all().all()


def test_differences_are_judged_on_samples(counts: pd.DataFrame) -> None:
    table = differences(counts, CONDITIONS, "critical", "mild").set_index("label")
    shares = counts / counts.sum()
    twin = stats.ttest_ind(shares.loc["monocyte"][3:], shares.loc["monocyte"][:3], equal_var=False)
    ends = twin.confidence_interval(0.95)
    row = table.loc["monocyte"]
    assert row["p"] == pytest.approx(twin.pvalue)
    assert (row["low"], row["high"]) == pytest.approx((ends.low, ends.high))
    assert (row["samples"], row["samples_against"]) == (3, 3)
    thousandfold = differences(counts * 1000, CONDITIONS, "critical", "mild").set_index("label")
    assert thousandfold.loc["monocyte", "p"] == pytest.approx(row["p"])


def test_donors_with_both_conditions_are_pairs(counts: pd.DataFrame) -> None:
    donors = ["a", "b", "c", "a", "b", "d"]
    table = differences(counts, CONDITIONS, "critical", "mild", donors=donors).set_index("label")
    shares = (counts / counts.sum()).loc["monocyte"].to_numpy()
    twin = stats.ttest_rel(shares[3:5], shares[:2])
    assert table.loc["monocyte", "p"] == pytest.approx(twin.pvalue)
    assert table.loc["monocyte", "samples"] == 2


def test_a_label_that_is_nowhere_has_no_p(counts: pd.DataFrame) -> None:
    counts.loc["pDC"] = 0
    table = differences(counts, CONDITIONS, "critical", "mild").set_index("label")
    assert np.isnan(table.loc["pDC", ["p", "adjusted_p", "low"]].astype(float)).all()
    assert table.loc[["monocyte", "T cell"], "adjusted_p"].notna().all()


def test_one_sample_is_no_condition(counts: pd.DataFrame) -> None:
    told = ["mild"] + ["critical"] * 5
    with pytest.raises(OptionsProblem, match="critical has 5, mild has 1"):
        differences(counts, told, "critical", "mild")


def test_what_a_reader_should_know(counts: pd.DataFrame) -> None:
    assert warnings(counts, CONDITIONS) == ()
    (few,) = warnings(counts, ["healthy", "healthy", *CONDITIONS[2:]])
    assert few.startswith("Fewer than 3 samples of healthy (2), mild (1)")
    counts.loc["B cell"] = [200, 199, 200, 200, 201, 200]
    (design,) = warnings(counts, CONDITIONS)
    assert "B cell" in design
    assert "monocyte" not in design


def test_samples_drawn_by_lineage_are_seen_through() -> None:
    """Six people of whom about 200 cells of each lineage were drawn, two of whom had fewer of one."""
    drawn = [[208, 200, 196, 207, 206, 200], [191, 183, 190, 193, 195, 197], [200, 200, 200, 107, 200, 199],
             [192, 201, 204, 193, 78, 196], [9, 16, 10, 7, 5, 7]]  # fmt: skip
    names = ["T cell", "Monocyte", "B cell", "NK cell", "Dendritic cell"]
    (told,) = warnings(pd.DataFrame(drawn, index=names, columns=SAMPLES))
    assert all(name in told for name in names[:3])
    assert "Dendritic" not in told


def test_chance_is_not_taken_for_design() -> None:
    rng = np.random.default_rng(0)
    told = [warnings(pd.DataFrame(rng.poisson([[200], [150], [80], [40], [3]], (5, 6)))) for _ in range(200)]
    assert sum(map(bool, told)) <= 12


def test_counting() -> None:
    samples = pd.Series(["a", "b", None, "a", "b"], dtype="category")
    table = count_labels(np.array([1, 1, 0, -1, 1]), samples)
    assert table.index.tolist() == [1, 0]
    assert table.loc[1].to_dict() == {"a": 1, "b": 2, "no value": 0}
    assert count_labels(np.array([1, 1, 0, -1, 1]), samples, np.array([2])).to_numpy().tolist() == [[1]]


def test_columns_that_could_name_samples() -> None:
    columns = {"donor": list("aabb"), "score": [0.1, 0.2, 0.3, 0.4], "empty": [None] * 4, "plate": [1, 1, 2, 2]}
    obs = pd.DataFrame(columns)
    assert sample_columns(obs) == ["donor", "plate"]
