"""What scPoli alone promises: what it does with values that are no counts, and with batches and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import SYMBOLS, TYPES, aligned, codes, planted

from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells
from explorer.methods.base import Config, Training
from explorer.methods.scpoli import Scpoli, ScpoliConfig
from explorer.neighbors import Index, normalised
from explorer.progress import Progress

CPU = torch.device("cpu")
SHORT = replace(ScpoliConfig.named("paper"), epochs=5)


def training(**changes: object) -> Training:
    cells = planted(cells=20)
    made = Training(aligned(cells), SYMBOLS, {"cell_type": codes(cells)}, codes(cells, "batch"))
    return replace(made, **changes)


def fitted(config: Config = SHORT, **changes: object) -> Scpoli:
    return Scpoli.fit(training(**changes), config, device=CPU, progress=Progress())


def logged_and_back(cells: AlignedCells) -> AlignedCells:
    """As a query reads them from a file of log1p CP10k: linear, 10,000 a cell, no counts."""
    values = cells.log1p().expm1()
    return AlignedCells(values, np.full(cells.n_cells, 1e4, np.float32), is_counts=False)


def vectors(method: Scpoli, cells: AlignedCells) -> np.ndarray:
    return method.embed(cells, progress=Progress()).values


@pytest.mark.parametrize("depth", [1, 3], ids=["as it is", "three times as deep"])
def test_balanced_places_normalised_values_where_it_places_counts(depth: int) -> None:
    method = fitted(replace(ScpoliConfig.named("balanced"), epochs=3))
    cells = aligned(planted(TYPES, ("query",), 10, seed=3))
    deeper = AlignedCells(cells.values * depth, cells.totals * depth, is_counts=True)
    np.testing.assert_allclose(vectors(method, logged_and_back(cells)), vectors(method, deeper), atol=1e-4)


def test_paper_brings_normalised_values_to_the_reference_s_depth() -> None:
    """Not 10,000 a cell, which would be five times as deep as any cell it has seen."""
    method = fitted(ScpoliConfig.named("paper"))
    cells = aligned(planted(TYPES, ("query",), 10, seed=3))
    unit = normalised(vectors(method, logged_and_back(cells)))
    assert ((unit * normalised(vectors(method, cells))).sum(1) > 0.9).mean() > 0.9


def test_a_reference_without_counts_is_refused() -> None:
    with pytest.raises(ValuesProblem, match=r"learns from counts.*Build from a file that holds counts"):
        fitted(cells=logged_and_back(training().cells))


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "mse"])
def test_every_likelihood_learns_what_was_planted(likelihood: str) -> None:
    """New cells of another batch lie nearest to cells of their own type."""
    config = replace(SHORT, likelihood=likelihood, epochs=40, batch_size=32, lr=3e-3, eps=1e-8)
    method = fitted(config)
    query = planted(TYPES, ("query",), 20, seed=3)
    reference = Index(vectors(method, training().cells))
    nearest = reference.search(vectors(method, aligned(query)), 1).indices[:, 0]
    assert (training().labels["cell_type"][nearest] == codes(query)).mean() > 0.9


def test_only_which_cells_share_a_batch_matters() -> None:
    """Left-out batches leave gaps between the numbers of the others."""
    batches = training().batches
    np.testing.assert_array_equal(
        vectors(fitted(batches=batches * 7 + 2), training().cells), vectors(fitted(), training().cells)
    )


def test_one_batch_is_enough() -> None:
    assert np.isfinite(vectors(fitted(batches=np.zeros(240, np.int32)), training().cells)).all()


def test_labels_are_not_needed() -> None:
    without = fitted(labels={})
    unlabelled = fitted(labels={"cell_type": np.full(240, -1, np.int32)})
    np.testing.assert_array_equal(vectors(without, training().cells), vectors(unlabelled, training().cells))


def test_prototypes_draw_cells_of_a_label_together() -> None:
    """Mean distance of cells to the mean of their label, with prototypes in the last rounds and without."""

    def distance(weight: float) -> float:
        z = vectors(fitted(replace(SHORT, epochs=20, batch_size=32, prototype_weight=weight)), training().cells)
        own = codes(planted(cells=20))
        means = np.stack([z[own == c].mean(0) for c in np.unique(own)])
        return float(np.linalg.norm(z - means[own], axis=1).mean())

    assert distance(10.0) < 0.8 * distance(0.0)


def test_labels_by_prototypes_at_every_level() -> None:
    """A name that occurs at two levels is a prototype at each; a class without cells gets no probability."""
    own = codes(planted(cells=20))
    lineage = np.where(own == 2, -1, own // 2 * 2).astype(np.int32)  # classes 0 and 2; one type is unlabelled
    method = fitted(replace(SHORT, epochs=20, batch_size=32), labels={"cell_type": own, "lineage": lineage})
    found = method.embed(training().cells, progress=Progress())
    assert list(found.scores) == ["cell_type", "lineage"]
    assert (found.scores["cell_type"].argmax(1) == own).mean() > 0.95
    assert found.scores["lineage"].shape == (240, 3)
    assert not found.scores["lineage"][:, 1].any()
    np.testing.assert_allclose(found.scores["lineage"].sum(1), 1, atol=1e-6)
    centres = np.stack([found.values[own == c].mean(0) for c in range(4)])
    nearest = np.linalg.norm(found.values[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_array_equal(found.scores["cell_type"].argmax(1), nearest)


@pytest.mark.parametrize("cells", [500, 5000, 10_000, 20_000, 200_000, 5_000_000], ids=str)
def test_small_references_get_the_steps_they_need_and_large_ones_no_more(cells: int) -> None:
    batch_size, epochs = ScpoliConfig.named("balanced").sized(cells)
    assert 1500 <= epochs * cells / batch_size <= 20_000


def test_published_settings() -> None:
    config = ScpoliConfig.named("paper")
    assert (config.n_hidden, config.n_latent, config.n_condition, config.likelihood) == (45, 10, 5, "nb")
    assert (config.prototype_weight, config.kl_epochs, config.pretraining) == (10, 100, 0.8)
    assert config.sized(5000) == (128, 100)
    assert (config.lr, config.eps, config.annealed, config.per_class) == (1e-3, 1e-2, False, True)


def test_other_presets_and_settings_are_refused() -> None:
    with pytest.raises(OptionsProblem, match="scPoli has the presets 'balanced' and 'paper'"):
        ScpoliConfig.named("quick")
    with pytest.raises(OptionsProblem, match="trained with a ScpoliConfig, not a Config"):
        fitted(Config())
