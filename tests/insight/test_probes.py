"""What other batches know of a batch: twins by scikit-learn, planted structure, edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem
from explorer.insight import probes
from explorer.insight.probes import Probed, linear_probe, neighbor_probe

PROBES = {"neighbours": neighbor_probe, "linear": linear_probe}
Cells = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]


def cells(noise: float = 1.0, seed: int = 0) -> Cells:
    """Three labels in directions of their own, 60 cells each, in three batches."""
    rng = np.random.default_rng(seed)
    codes, batches = np.arange(180, dtype=np.int32) % 3, np.arange(180, dtype=np.int32) // 3 % 3
    values = noise * rng.normal(size=(180, 6)) + 3 * np.eye(3, 6)[codes]
    return values.astype(np.float32), codes, batches


def unit(values: NDArray) -> NDArray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


class TestTwins:
    def test_neighbours(self) -> None:
        """Of scikit-learn: the same votes, weighed by similarity."""
        values, codes, batches = cells(noise=1.5)
        found = neighbor_probe(values, codes, batches, k=9)
        guess = np.empty_like(codes)
        for batch in range(3):
            own = batches == batch
            model = KNeighborsClassifier(9, metric="cosine", weights=lambda away: np.maximum(1 - away, 0))
            guess[own] = model.fit(values[~own], codes[~own]).predict(values[own])
        assert found.predicted.tolist() == guess[found.rows].tolist()
        assert found.accuracy == pytest.approx(accuracy_score(codes, guess))
        assert found.macro_f1 == pytest.approx(f1_score(codes, guess, average="macro"))
        assert found.by_batch == pytest.approx([np.mean((guess == codes)[batches == batch]) for batch in range(3)])

    def test_linear(self) -> None:
        values, codes, batches = cells(noise=1.5)
        found = linear_probe(values, codes, batches)
        guess = np.empty_like(codes)
        for batch in range(3):
            own = batches == batch
            model = LogisticRegression(C=10, class_weight="balanced", max_iter=1000)
            guess[own] = model.fit(unit(values[~own]), codes[~own]).predict(unit(values[own]))
        assert np.mean(found.predicted == guess[found.rows]) > 0.98


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
class TestBoth:
    def test_labels_that_lie_apart(self, probe: type[Probed]) -> None:
        found = probe(*cells(noise=0.2))
        assert (found.accuracy, found.macro_f1, found.unlike) == (1, 1, 0)
        assert found.by_batch.tolist() == [1, 1, 1]

    def test_labels_dealt_out(self, probe: type[Probed]) -> None:
        values, codes, batches = cells()
        assert probe(values, np.random.default_rng(0).permutation(codes), batches).accuracy < 0.5

    def test_a_batch_whose_labels_are_turned_round(self, probe: type[Probed]) -> None:
        """It is well told by itself, and not by the others."""
        values, codes, batches = cells(noise=0.2)
        turned = np.where(batches == 2, (codes + 1) % 3, codes).astype(np.int32)
        found = probe(values, turned, batches)
        assert found.by_batch[2] == 0

    def test_a_label_of_one_batch_is_not_asked_for(self, probe: type[Probed]) -> None:
        values, codes, batches = cells(noise=0.2)
        own = np.where((codes == 1) & (batches != 0), -1, codes).astype(np.int32)
        found = probe(values, own, batches)
        assert found.unlike == 20
        assert not np.isin(found.rows, np.flatnonzero((own == 1) | (own == -1))).any()
        assert (found.accuracy, found.macro_f1) == (1, 1)

    def test_no_label_in_common(self, probe: type[Probed]) -> None:
        values, codes, _ = cells()
        with pytest.raises(OptionsProblem, match="a label in common; none has"):
            probe(values, codes, codes)

    def test_few_of_many_cells_are_asked(self, probe: type[Probed], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "MOST_TESTED", 10)
        monkeypatch.setattr(probes, "MOST_TRAINING", 50)
        found = probe(*cells(noise=0.2), seed=4)
        assert len(found.rows) == 30
        assert found.rows.tolist() == probe(*cells(noise=0.2), seed=4).rows.tolist()
        assert found.accuracy == 1
