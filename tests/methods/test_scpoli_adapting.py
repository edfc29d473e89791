"""scPoli's conditions, and its ways to adapt them to a query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
from planted import SYMBOLS, TYPES, aligned, codes, planted

from explorer.errors import Cancelled, OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells
from explorer.methods.base import Adaptation, Adapted, Adaptive, Condition, Conditioned, Training, condition_codes
from explorer.methods.scpoli import Scpoli, ScpoliConfig
from explorer.neighbors import Index
from explorer.progress import Progress

CPU = torch.device("cpu")
CONFIG = replace(ScpoliConfig.named("paper"), epochs=20, batch_size=64, surgery_steps=60)


def condition(cells: ad.AnnData, column: str = "batch") -> Condition:
    return Condition(column, tuple(sorted(set(cells.obs[column].astype(str)))), codes(cells, column))


def training(cells: ad.AnnData, *columns: str) -> Training:
    described = tuple(condition(cells, column) for column in columns)
    return Training(aligned(cells), SYMBOLS, {"cell_type": codes(cells)}, codes(cells, "batch"), described)


@pytest.fixture(scope="module")
def reference() -> Training:
    """480 cells in three batches; chemistry is a second column."""
    cells = planted(cells=40)
    cells.obs["chemistry"] = np.where(cells.obs["batch"] == "b1", "old", "new")
    return training(cells, "batch", "chemistry")


@pytest.fixture(scope="module")
def method(reference: Training) -> Scpoli:
    return Scpoli.fit(reference, CONFIG, device=CPU, progress=Progress())


@pytest.fixture(scope="module")
def query() -> ad.AnnData:
    """Cells of two batches the reference has not seen."""
    cells = planted(TYPES, ("mine", "yours"), 40, seed=4)
    cells.obs["chemistry"] = "new"
    return cells


def adapted(method: Scpoli, query: ad.AnnData, reference: Training, mode: str, *columns: str) -> Adapted:
    described = tuple(condition(query, column) for column in columns or ("batch", "chemistry"))
    return method.adapt(Adaptation(mode, aligned(query), {}, described, reference), progress=Progress())


def placed(method: Scpoli, cells: AlignedCells) -> np.ndarray:
    return method.embed(cells, progress=Progress()).values


def described(method: Conditioned, cells: AlignedCells, conditions: tuple[Condition, ...]) -> AlignedCells:
    return replace(cells, conditions=condition_codes(method.conditions, conditions))


def test_the_reference_s_own_conditions(method: Scpoli) -> None:
    assert isinstance(method, Conditioned)
    batch, chemistry = method.conditions
    assert (batch.column, list(batch.names), batch.values.shape) == ("batch", ["b1", "b2", "b3"], (3, 5))
    assert (chemistry.column, list(chemistry.names)) == ("chemistry", ["new", "old"])
    assert not batch.from_query.any()
    assert (np.linalg.norm(batch.values, axis=1) <= 1 + 1e-6).all()


def test_conditions_are_stored_with_the_model(method: Scpoli, tmp_path: Path) -> None:
    method.save(tmp_path)
    for mine, other in zip(method.conditions, Scpoli.load(tmp_path, device=CPU).conditions, strict=True):
        np.testing.assert_array_equal(mine.values, other.values)
        assert list(mine.names) == list(other.names)


def test_a_cell_s_condition_matters_where_it_is_told(method: Scpoli, reference: Training) -> None:
    plain = placed(method, reference.cells)
    own = placed(method, described(method, reference.cells, reference.conditions))
    assert not np.allclose(plain, own, atol=1e-3)
    unknown = np.full((reference.cells.n_cells, 2), -1, np.int32)
    np.testing.assert_array_equal(placed(method, replace(reference.cells, conditions=unknown)), plain)


@pytest.mark.parametrize("mode", ["nearest", "surgery"])
class TestAdapting:
    def test_describes_the_query_s_batches(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str
    ) -> None:
        assert isinstance(method, Adaptive)
        found = adapted(method, query, reference, mode)
        batch, chemistry = found.conditions
        assert list(batch.names) == ["b1", "b2", "b3", "mine", "yours"]
        np.testing.assert_array_equal(batch.from_query, [False, False, False, True, True])
        assert list(chemistry.names) == ["new", "old"]  # a known name is the known condition
        assert any("chemistry: new taken to be the reference's" in notice for notice in found.notices)
        assert found.moved

    def test_what_was_known_does_not_move(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str, tmp_path: Path
    ) -> None:
        """Not the network, and neither vectors nor dispersions of the reference's conditions."""
        before = weights(method, tmp_path / "before")
        after = weights(adapted(method, query, reference, mode).method, tmp_path / "after")
        np.testing.assert_array_equal(list(before), list(after))
        for name, value in before.items():
            rows = slice(len(value)) if value.ndim == 2 else slice(None)
            np.testing.assert_array_equal(after[name][rows], value, err_msg=name)
        assert len(after["network.log_dispersion"]) == len(before["network.log_dispersion"]) + 2
        assert len(after["network.tables.0.weight"]) == len(before["network.tables.0.weight"]) + 2
        for mine, other in zip(weights(method, tmp_path / "again").values(), before.values(), strict=True):
            np.testing.assert_array_equal(mine, other)  # and the method itself stays as it was

    def test_one_cell_at_a_time_gives_the_same_vectors_as_all_at_once(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str
    ) -> None:
        made = adapted(method, query, reference, mode).method
        cells = described(made, aligned(query), (condition(query), condition(query, "chemistry")))
        alone = [placed(made, cells.rows(slice(i, i + 1))) for i in range(cells.n_cells)]
        np.testing.assert_allclose(np.concatenate(alone), placed(made, cells), atol=1e-5)

    def test_labels_are_right_and_the_model_can_be_kept(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str, tmp_path: Path
    ) -> None:
        made = adapted(method, query, reference, mode).method
        of_reference = placed(made, described(made, reference.cells, reference.conditions))
        cells = described(made, aligned(query), (condition(query), condition(query, "chemistry")))
        nearest = Index(of_reference).search(placed(made, cells), 1).indices[:, 0]
        assert (reference.labels["cell_type"][nearest] == codes(query)).mean() > 0.95
        made.save(tmp_path)
        np.testing.assert_array_equal(placed(Scpoli.load(tmp_path, device=CPU), cells), placed(made, cells))

    def test_a_column_the_query_does_not_have_is_left_open(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str
    ) -> None:
        found = adapted(method, query, reference, mode, "batch")
        assert list(found.conditions[0].names) == ["b1", "b2", "b3", "mine", "yours"]
        rows = condition_codes(found.conditions, [condition(query)])
        np.testing.assert_array_equal(np.unique(rows[:, 1]), [-1])
        assert np.isfinite(placed(found.method, replace(aligned(query), conditions=rows))).all()

    def test_same_seed_same_vectors(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str
    ) -> None:
        first, second = (adapted(method, query, reference, mode).conditions[0].values for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_needs_to_know_batches_and_counts(
        self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str
    ) -> None:
        without = Adaptation(mode, aligned(query), {}, (), reference)
        with pytest.raises(OptionsProblem, match=r"map --batch COLUMN.*'instant'"):
            method.adapt(without, progress=Progress())
        logged = replace(aligned(query), is_counts=False)
        with pytest.raises(ValuesProblem, match="the query's values are no whole numbers"):
            method.adapt(Adaptation(mode, logged, {}, (condition(query),), reference), progress=Progress())

    def test_can_be_cancelled(self, method: Scpoli, query: ad.AnnData, reference: Training, mode: str) -> None:
        to = Adaptation(mode, aligned(query), {}, (condition(query),), reference)
        with pytest.raises(Cancelled):
            method.adapt(to, progress=Progress.to(lambda _: None, lambda: True))

    @pytest.mark.parametrize("likelihood", ["zinb", "poisson", "mse"])
    def test_whatever_the_likelihood(
        self, query: ad.AnnData, reference: Training, mode: str, likelihood: str
    ) -> None:
        config = replace(CONFIG, likelihood=likelihood, epochs=3, surgery_steps=6)
        made = Scpoli.fit(reference, config, device=CPU, progress=Progress())
        assert np.isfinite(adapted(made, query, reference, mode).conditions[0].values).all()


def weights(method: Scpoli, folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    folder.mkdir()
    method.save(folder)
    found = load_file(folder / "weights.safetensors")
    return {name: value for name, value in found.items() if name.startswith("network.")}


def test_the_nearest_batch_is_the_one_that_cells_were_drawn_like(method: Scpoli, reference: Training) -> None:
    """New cells of b2 under another name take b2's vector."""
    cells = planted(TYPES, ("b2",), 40, seed=9)
    cells.obs["batch"] = "renamed"
    found = adapted(method, cells, reference, "nearest", "batch")
    np.testing.assert_array_equal(found.conditions[0].values[3], found.conditions[0].values[1])
    assert "batch: renamed is treated like the reference's b2." in found.notices


def test_surgery_moves_a_new_batch_toward_the_one_its_cells_were_drawn_like(
    method: Scpoli, reference: Training
) -> None:
    cells = planted(TYPES, ("b2",), 60, seed=9)
    cells.obs["batch"] = "renamed"
    values = adapted(method, cells, reference, "surgery", "batch").conditions[0].values
    start = values[:3].mean(0)
    assert np.linalg.norm(values[3] - start) > 0.05
    assert np.linalg.norm(values[:3] - values[3], axis=1).argmin() == 1


def test_a_query_of_known_conditions_needs_no_surgery(method: Scpoli, reference: Training) -> None:
    cells = planted(TYPES, ("b2",), 5, seed=9)
    cells.obs["chemistry"] = "new"
    found = adapted(method, cells, reference, "surgery")
    assert list(found.conditions[0].names) == ["b1", "b2", "b3"]
