"""Concerto as a method: its presets, how long it trains, and that it learns without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import SYMBOLS, aligned, codes, planted

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray
from explorer.methods.base import Training
from explorer.methods.concerto import Concerto, ConcertoConfig
from explorer.methods.concord import ConcordConfig
from explorer.progress import Progress

CPU = torch.device("cpu")
CELLS = planted(cells=40)
PAPER = ConcertoConfig.named("paper")


def vectors(config: ConcertoConfig, labels: dict[str, np.ndarray]) -> FloatArray:
    training = Training(aligned(CELLS), SYMBOLS, labels, codes(CELLS, "batch"))
    method = Concerto.fit(training, config, device=CPU, progress=Progress())
    return method.embed(training.cells, progress=Progress()).values


def test_presets() -> None:
    assert (PAPER.temperature, PAPER.batch_size, PAPER.lr, PAPER.epochs) == (0.1, 32, 1e-4, 3)
    assert (PAPER.element_mask, PAPER.feature_mask, PAPER.batch_norm) == (0.0, 0.0, "running")
    assert ConcertoConfig.named("balanced").batch_norm == "population"
    with pytest.raises(OptionsProblem, match="'balanced' and 'paper'"):
        ConcertoConfig.named("fast")


def test_settings_of_another_method_are_refused() -> None:
    training = Training(aligned(CELLS), SYMBOLS, {}, codes(CELLS, "batch"))
    with pytest.raises(OptionsProblem, match="ConcertoConfig"):
        Concerto.fit(training, ConcordConfig(), device=CPU, progress=Progress())


@pytest.mark.parametrize("n_cells", [500, 5_000, 50_000, 10_000_000], ids=str)
def test_small_references_take_enough_steps_and_large_ones_not_too_many(n_cells: int) -> None:
    config = ConcertoConfig.named("balanced")
    batch_size, epochs = config.sized(n_cells)
    steps = epochs * n_cells / batch_size
    assert steps >= 1000
    assert epochs == 1 or steps <= 20_000
    assert PAPER.sized(n_cells) == (32, 3)


def test_labels_take_no_part() -> None:
    shuffled = np.random.default_rng(0).permutation(codes(CELLS))
    np.testing.assert_array_equal(vectors(PAPER, {"cell_type": codes(CELLS)}), vectors(PAPER, {"cell_type": shuffled}))


def test_vectors_are_of_length_one_and_not_negative() -> None:
    found = vectors(PAPER, {})
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found.min() >= 0


def test_statistics_of_the_whole_reference_tell_types_apart_better_after_a_short_run() -> None:
    """The published running averages are then mostly what they were before the run."""
    own = codes(CELLS)
    same = own[:, None] == own

    def apart(config: ConcertoConfig) -> float:
        found = vectors(config, {})
        similarity = found @ found.T
        return float(similarity[same].mean() - similarity[~same].mean())

    assert apart(replace(PAPER, batch_norm="population")) > 2 * apart(PAPER)
