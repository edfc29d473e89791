"""Missing labels of reference cells, filled in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted

from explorer.__main__ import main
from explorer.building.fitting import build_reference
from explorer.building.propagation import missing_labels, propagate
from explorer.errors import ReferenceProblem
from explorer.flow import Reference
from explorer.reference import open_reference

VALUES = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2], [0.2, 1], [1, 0.9]], np.float32)
NONE = -1


def test_missing_labels_come_from_the_nearest_and_known_ones_stay() -> None:
    codes = np.array([0, 0, 1, 1, NONE, NONE, NONE], np.int32)
    found = propagate(VALUES, codes)
    np.testing.assert_array_equal(found.codes[:4], codes[:4])
    np.testing.assert_array_equal(found.codes[4:6], [0, 1])
    np.testing.assert_array_equal(found.filled, codes < 0)
    assert (found.confidence[:4] == 1).all()
    assert found.confidence[6] < found.confidence[4] < 1


def test_a_coarse_label_says_who_may_vote() -> None:
    codes = np.array([0, 0, 1, 1, NONE, NONE, NONE], np.int32)
    coarse = np.array([0, 0, 1, 1, 1, NONE, 2], np.int32)
    found = propagate(VALUES, codes, coarse)
    assert list(found.codes[4:]) == [1, 1, NONE]  # of the last one's kind no cell has a label
    assert found.confidence[4] == 1
    assert found.confidence[6] == 0
    assert not found.filled[6]


def test_nothing_is_known() -> None:
    found = propagate(VALUES, np.full(7, NONE, np.int32))
    assert (found.codes == NONE).all()
    assert not found.filled.any()


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, pd.Series]:
    """A reference of which one batch has coarse labels only; and what its cells are."""
    cells = planted(cells=40)
    truth = cells.obs["cell_type"].astype(str)
    cells.obs["cell_type"] = truth.where(cells.obs["batch"] != "b3", np.nan)
    folder = tmp_path_factory.mktemp("partly")
    cells.write_h5ad(folder / "partly.h5ad")
    made = build_reference(
        folder / "partly.h5ad",
        folder / "partly.atlas",
        labels=("lineage", "cell_type"),
        batch="batch",
        method="scpoli",
        preset="paper",
        device="cpu",
    )
    return made, truth


def test_fine_labels_from_coarse_ones(partly: tuple[Reference, pd.Series]) -> None:
    """Published: 0.84 of the cells of a real study get the fine label that was hidden."""
    reference, truth = partly
    found = missing_labels(reference, "scpoli", "cell_type", coarse="lineage")
    assert len(found) == 160
    assert (found["label"] == truth[found.index]).mean() > 0.95
    assert found["confidence"].between(0, 1).all()


def test_from_a_shell(
    partly: tuple[Reference, pd.Series], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, _ = partly
    words = ["fill", str(reference.folder), "--method", "scpoli", "--output", str(tmp_path / "labels.csv")]
    assert main([*words, "--level", "cell_type"]) == 0
    assert "160 cells without a label" in capsys.readouterr().out
    assert list(pd.read_csv(tmp_path / "labels.csv").columns) == ["cell_id", "label", "confidence"]
    assert main([*words, "--level", "clan"]) == 2


def test_levels_that_are_not_there(planted_reference: Reference) -> None:
    with pytest.raises(ReferenceProblem, match="no label level 'clan'; it has: cell_type, lineage"):
        missing_labels(open_reference(planted_reference.folder), "concord", "clan")
