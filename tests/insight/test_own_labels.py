"""Own labels against predicted ones: a table counted by hand, and the measures of a library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cells import level_labels

from explorer.errors import OptionsProblem
from explorer.insight.own_labels import Comparison, compare, correspondence

CLASSES = ("B cell", "NK cell", "T cell")


def _compared(rule: str = "share") -> Comparison:
    own = pd.Series(["t1", "t1", "t1", "t2", "t2", "b", "b", None, "nk", ""])
    codes = [2, 2, 1, 2, 2, 0, 0, 0, 1, 1]
    unknown = [0, 0, 0, 0, 1, 0, 1, 1, 0, 0]
    return compare(own, level_labels(CLASSES, codes, unknown), rule)


def test_a_table_counted_by_hand() -> None:
    found = _compared()
    assert found.cells == 8  # two have no label of their own
    assert found.counts.loc["t1"].to_dict() == {"T cell": 2, "NK cell": 1, "B cell": 0, "unknown": 0}
    assert found.counts.loc["t2", ["T cell", "unknown"]].tolist() == [1, 1]
    assert found.shares.sum(axis=1).tolist() == [1.0] * 4
    assert found.correspondence == {"t1": "T cell", "t2": "T cell", "b": "B cell", "nk": "NK cell"}
    assert found.agreement == pytest.approx((2 + 1 + 1 + 1) / 8)
    row = found.per_label.loc["t1"]
    assert (row["cells"], row["predicted"], row["share"], row["unknown"]) == (3, "T cell", pytest.approx(2 / 3), 0)
    assert found.counts.columns[0] == "T cell"  # of the largest own label: the diagonal begins there


def test_one_to_one_leaves_out_what_has_no_partner() -> None:
    found = _compared("one to one")
    assert found.correspondence == {"t1": "T cell", "b": "B cell", "nk": "NK cell"}
    assert found.agreement == pytest.approx((2 + 1 + 1) / 8)


def test_one_to_one_is_the_best_of_all_pairings() -> None:
    from itertools import permutations

    counts = pd.DataFrame(np.random.default_rng(0).integers(1, 50, (4, 5)), index=list("abcd"), columns=list("vwxyz"))
    best = max(permutations(range(5), 4), key=lambda to: sum(counts.iat[row, at] for row, at in enumerate(to)))
    assert correspondence(counts, "one to one") == {"abcd"[row]: "vwxyz"[at] for row, at in enumerate(best)}


def test_flows_are_the_table_again() -> None:
    found = _compared()
    links = found.links()
    assert links["cells"].sum() == found.cells
    assert links.iloc[0].tolist() == ["t1", "T cell", 2, pytest.approx(2 / 3)]  # the widest first
    back = links.pivot(index="own", columns="predicted", values="cells").fillna(0)
    pd.testing.assert_frame_equal(
        back.loc[found.counts.index, found.counts.columns].astype(int), found.counts, check_names=False
    )


def test_the_same_words_renamed_agree_wholly() -> None:
    codes = np.random.default_rng(0).integers(0, 3, 200)
    own = pd.Series(np.array(["naive", "killer", "helper"], dtype=object)[codes])
    found = compare(own, level_labels(CLASSES, codes))
    assert (found.agreement, found.ari, found.nmi) == (1.0, pytest.approx(1.0), pytest.approx(1.0))
    assert "unknown" not in found.counts


def test_everything_unknown_is_told_as_such() -> None:
    found = compare(pd.Series(["a", "b"]), level_labels(CLASSES, [0, 1], [1, 1]))
    assert found.agreement == 0
    assert found.correspondence == {}
    assert found.per_label["predicted"].tolist() == ["unknown", "unknown"]
    assert found.counts["unknown"].tolist() == [1, 1]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(OptionsProblem, match="No cell carries a label in 'mine'"):
        compare(pd.Series([None, ""], name="mine"), level_labels(CLASSES, [0, 1]))
    with pytest.raises(OptionsProblem, match="share, one to one; not by 'best'"):
        compare(pd.Series(["a", "b"]), level_labels(CLASSES, [0, 1]), "best")
