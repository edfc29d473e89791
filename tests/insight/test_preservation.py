"""Labels that keep together: planted structure with known shares, and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from explorer.errors import OptionsProblem
from explorer.insight.preservation import NEIGHBORS, preservation


def planted(apart: float, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three labels of n cells each, in directions of their own."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(3, dtype=np.int32), n)
    values = rng.normal(size=(3 * n, 40)).astype(np.float32)
    values[np.arange(3 * n), codes] += apart
    return values, codes


def test_labels_kept_torn_and_never_apart() -> None:
    apart, codes = planted(20)
    mixed, _ = planted(0, seed=1)
    kept = preservation(apart, sparse.csr_matrix(apart), codes)
    assert (kept.placed, kept.own) == (1.0, 1.0)
    assert kept.kept == pytest.approx(1)
    assert kept.chance == pytest.approx(59 / 179)
    torn = preservation(mixed, sparse.csr_matrix(apart), codes)
    assert torn.placed == pytest.approx(torn.chance, abs=0.05)
    assert torn.kept == pytest.approx(0, abs=0.08)
    assert preservation(apart, sparse.csr_matrix(mixed), codes).own < 0.45


def test_share_is_that_of_counting_cell_by_cell_and_unlabelled_cells_are_left_out() -> None:
    values, codes = planted(3)
    codes = codes.copy()
    codes[::7] = -1
    rows = np.flatnonzero(codes >= 0)
    unit = values[rows] / np.linalg.norm(values[rows], axis=1, keepdims=True)
    near = np.argsort(9 * np.eye(len(rows)) - unit @ unit.T, axis=1)[:, :NEIGHBORS]
    slow = np.mean([[codes[rows][j] == codes[rows][i] for j in near[i]] for i in range(len(rows))])
    found = preservation(values, sparse.csr_matrix(values), codes)
    assert found.cells == len(rows)
    assert found.placed == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize("codes", [np.zeros(90, np.int32), np.repeat([0, 1, -1], [10, 10, 70]).astype(np.int32)],
                         ids=["one label", "too few cells"])  # fmt: skip
def test_what_cannot_be_asked_is_refused_with_figures(codes: np.ndarray) -> None:
    with pytest.raises(OptionsProblem, match="two labels at least, and more than 30 cells"):
        preservation(np.zeros((90, 3), np.float32), sparse.csr_matrix((90, 5), dtype=np.float32), codes)
