"""What BA-scVI alone promises: batches are hidden, genes that a batch lacks do no harm, counts are needed to learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import SYMBOLS, TYPES, aligned, codes, planted
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells
from explorer.methods.bascvi import Bascvi, BascviConfig
from explorer.methods.base import Config, Training
from explorer.progress import Progress

CPU = torch.device("cpu")
SHORT = BascviConfig(epochs=60, adversary_lr=1e-3)


def training(**changes: object) -> Training:
    cells = planted(cells=40)
    made = Training(aligned(cells), SYMBOLS, {"cell_type": codes(cells)}, codes(cells, "batch"))
    return replace(made, **changes)


def with_values(cells: AlignedCells, values: np.ndarray) -> AlignedCells:
    return AlignedCells(sparse.csr_matrix(values.astype(np.float32)), values.sum(1).astype(np.float32), cells.is_counts)


def fitted(of: Training, config: Config = SHORT) -> Bascvi:
    return Bascvi.fit(of, config, device=CPU, progress=Progress())


def vectors(method: Bascvi, cells: AlignedCells) -> np.ndarray:
    return method.embed(cells, progress=Progress()).values


def logged_and_back(cells: AlignedCells) -> AlignedCells:
    """As a query reads them from a file of log1p CP10k: linear, 10,000 a cell, no counts."""
    return AlignedCells(cells.log1p().expm1(), np.full(cells.n_cells, 1e4, np.float32), is_counts=False)


def test_a_planted_batch_effect_is_removed_by_the_adversary() -> None:
    """Each batch loses its own half of every gene's counts; types stay apart, the batch is harder to tell."""
    plain = training()
    kept = np.random.default_rng(5).beta(2, 2, (3, len(SYMBOLS)))[plain.batches]
    values = np.random.default_rng(6).binomial(plain.cells.values.toarray().astype(int), kept)
    lossy = replace(plain, cells=with_values(plain.cells, values))
    told = {}
    for weight in (0.0, 50.0):
        z = vectors(fitted(lossy, replace(SHORT, epochs=150, adversary_weight=weight)), lossy.cells)
        told[weight] = cross_val_score(KNeighborsClassifier(15), z, lossy.batches, cv=5).mean()
        for b in range(3):
            other = lossy.batches != b
            nearest = KNeighborsClassifier(15).fit(z[other], lossy.labels["cell_type"][other])
            assert nearest.score(z[~other], lossy.labels["cell_type"][~other]) > 0.95
    assert told[50.0] < told[0.0] - 0.05


def test_a_batch_that_lacks_genes_does_no_harm() -> None:
    whole = training()
    values = whole.cells.values.toarray()
    values[np.ix_(whole.batches == 1, np.random.default_rng(4).permutation(len(SYMBOLS))[:60])] = 0
    patchy = replace(whole, cells=with_values(whole.cells, values))
    query = planted(TYPES, ("query",), 30, seed=2)
    method = fitted(patchy)
    nearest = KNeighborsClassifier(15).fit(vectors(method, patchy.cells), patchy.labels["cell_type"])
    assert nearest.score(vectors(method, aligned(query)), codes(query)) > 0.95


def test_normalised_values_are_placed_where_their_counts_are() -> None:
    method = fitted(training(), replace(SHORT, epochs=2))
    cells = aligned(planted(TYPES, ("query",), 10, seed=3))
    deeper = AlignedCells(cells.values * 3, cells.totals * 3, is_counts=True)
    for same in (logged_and_back(cells), deeper):
        np.testing.assert_allclose(vectors(method, same), vectors(method, cells), atol=1e-4)


def test_a_reference_without_counts_is_refused() -> None:
    with pytest.raises(ValuesProblem, match=r"learns from counts.*Build from a file that holds counts"):
        fitted(training(cells=logged_and_back(training().cells)))


def test_only_which_cells_share_a_batch_matters() -> None:
    """Left-out batches leave gaps between the numbers of the others."""
    short = replace(SHORT, epochs=2)
    gaps = training(batches=training().batches * 7 + 2)
    cells = training().cells
    np.testing.assert_array_equal(vectors(fitted(gaps, short), cells), vectors(fitted(training(), short), cells))


def test_one_batch_is_enough() -> None:
    one = training(batches=np.zeros(480, np.int32))
    assert np.isfinite(vectors(fitted(one, replace(SHORT, epochs=2)), one.cells)).all()


def test_published_settings() -> None:
    paper = BascviConfig.named("paper")
    assert (paper.n_hidden, paper.n_layers, paper.n_latent) == (512, 4, 10)
    assert (paper.adversary_weight, paper.lr, paper.adversary_lr) == (10, 5e-5, 1e-2)
    assert paper.sized(5000) == (64, 100)
    with pytest.raises(OptionsProblem, match="'balanced' and 'paper'"):
        BascviConfig.named("fast")


def test_settings_of_another_method_are_refused() -> None:
    with pytest.raises(OptionsProblem, match="trained with a BascviConfig"):
        fitted(training(), Config())
