"""What BA-scVI alone promises: batches are hidden, genes that a batch lacks do no harm, counts are needed to learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import SYMBOLS, TYPES, aligned, codes, planted
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells
from explorer.methods.bascvi import Bascvi, BascviConfig, measured
from explorer.methods.base import Condition, Config, Training
from explorer.progress import Progress, Report

CPU = torch.device("cpu")
SHORT = BascviConfig(epochs=60)


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
    """As it comes: each batch loses its own half of every gene's counts; types stay apart, batches are hard to tell."""
    plain = training()
    kept = np.random.default_rng(5).beta(2, 2, (3, len(SYMBOLS)))[plain.batches]
    values = np.random.default_rng(6).binomial(plain.cells.values.toarray().astype(int), kept)
    lossy = replace(plain, cells=with_values(plain.cells, values))
    told = {}
    as_it_comes = BascviConfig()
    for weight in (0.0, as_it_comes.adversary_weight):
        z = vectors(fitted(lossy, replace(as_it_comes, adversary_weight=weight)), lossy.cells)
        told[weight] = cross_val_score(KNeighborsClassifier(15), z, lossy.batches, cv=5).mean()
        for b in range(3):
            other = lossy.batches != b
            nearest = KNeighborsClassifier(15).fit(z[other], lossy.labels["cell_type"][other])
            assert nearest.score(z[~other], lossy.labels["cell_type"][~other]) > 0.95
    assert told[as_it_comes.adversary_weight] < told[0.0] - 0.05


BLANK = np.random.default_rng(4).permutation(len(SYMBOLS))[:60]


def patchy() -> Training:
    """The second batch lacks a fifth of the genes."""
    whole = training()
    values = whole.cells.values.toarray()
    values[np.ix_(whole.batches == 1, BLANK)] = 0
    return replace(whole, cells=with_values(whole.cells, values))


def test_genes_that_a_batch_lacks_are_told_from_genes_it_hardly_has() -> None:
    of = patchy()
    found = measured(of.cells, of.batches.astype(np.int64))
    np.testing.assert_array_equal(np.flatnonzero(found[1] == 0), np.sort(BLANK))
    assert found[[0, 2]].all()
    few = np.concatenate([np.flatnonzero(of.batches != 1), np.flatnonzero(of.batches == 1)[:1]])
    assert measured(of.cells.rows(few), of.batches[few].astype(np.int64))[1].mean() > found[1].mean(), "one cell"


def test_genes_that_a_batch_lacks_are_left_out_of_its_likelihood() -> None:
    """As published: what it would have shown of them is read off the other batches, in the place of zeros."""
    of = patchy()
    expected = {}
    for masked in (True, False):
        method = fitted(of, replace(SHORT, masked=masked))
        z = torch.as_tensor(vectors(method, of.cells)[of.batches == 1])
        with torch.no_grad():
            share = method._network.decoded(z, torch.ones(len(z), 1, dtype=torch.int64)).log_share.exp()
        expected[masked] = float(share[:, BLANK].sum(1).mean())
    assert expected[True] > 3 * expected[False]


def test_a_batch_that_lacks_genes_does_no_harm() -> None:
    query = planted(TYPES, ("query",), 30, seed=2)
    patched = patchy()
    method = fitted(patched)
    nearest = KNeighborsClassifier(15).fit(vectors(method, patched.cells), patched.labels["cell_type"])
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
    method = fitted(one, replace(SHORT, epochs=2))
    assert np.isfinite(vectors(method, one.cells)).all()
    assert method.mixing == {}


def test_each_condition_of_several_values_is_hidden() -> None:
    plain = training()
    study = Condition("study", ("s1", "s2"), (plain.batches > 0).astype(np.int32))
    sample = Condition("batch", ("b1", "b2", "b3"), plain.batches)
    same = Condition("organ", ("blood",), np.zeros_like(plain.batches))
    method = fitted(replace(plain, conditions=(sample, study, same)), replace(SHORT, epochs=3))
    assert set(method.mixing) == {"batch", "study"}
    assert method._network.sizes == (3, 2)


def test_how_well_batches_are_hidden_is_kept(tmp_path: Path) -> None:
    method = fitted(training(), replace(SHORT, epochs=2))
    method.save(tmp_path)
    assert Bascvi.load(tmp_path, device=CPU).mixing == method.mixing
    assert 0 < method.mixing["batch"] < 1.5


def test_labels_are_read_only_where_asked_for(tmp_path: Path) -> None:
    of = training()
    assert fitted(of, replace(SHORT, label_weight=0.0, epochs=2)).embed(of.cells, progress=Progress()).scores == {}
    method = fitted(of, replace(SHORT, label_weight=10.0))
    query = aligned(planted(TYPES, ("query",), 30, seed=2))
    read = method.embed(query, progress=Progress()).scores["cell_type"]
    np.testing.assert_allclose(read.sum(1), 1, atol=1e-5)
    assert (read.argmax(1) == codes(planted(TYPES, ("query",), 30, seed=2))).mean() > 0.95
    method.save(tmp_path)
    again = Bascvi.load(tmp_path, device=CPU).embed(query, progress=Progress()).scores["cell_type"]
    np.testing.assert_array_equal(again, read)


def test_cells_without_labels_take_part() -> None:
    of = training()
    none = replace(of, labels={"cell_type": np.full_like(of.labels["cell_type"], -1)})
    assert np.isfinite(vectors(fitted(none, replace(SHORT, label_weight=10.0, epochs=2)), of.cells)).all()


def test_published_settings() -> None:
    paper = BascviConfig.named("paper")
    assert (paper.n_hidden, paper.n_layers, paper.n_latent) == (512, 4, 10)
    assert (paper.adversary_weight, paper.lr, paper.adversary_lr) == (10, 5e-5, 1e-2)
    assert paper.sized(5000) == (64, 100)
    assert paper.label_weight == 0
    with pytest.raises(OptionsProblem, match="'balanced' and 'paper'"):
        BascviConfig.named("fast")


def test_settings_of_another_method_are_refused() -> None:
    with pytest.raises(OptionsProblem, match="trained with a BascviConfig"):
        fitted(training(), Config())


def test_left_out_cells_say_when_to_stop() -> None:
    """Whoever learns fast soon learns the cells by heart, and models others no better."""
    heard: list[Report] = []
    hasty = BascviConfig(epochs=150, lr=5e-3, batch_size=64, patience=2)
    method = Bascvi.fit(training(), hasty, device=CPU, progress=Progress.to(heard.append))
    assert 0.1 < heard[-2].fraction < 0.9
    assert heard[-1].fraction == 1.0
    others = planted(cells=20, seed=5)
    told = method.embed(aligned(others), progress=Progress()).scores["cell_type"].argmax(1)
    assert (told == codes(others)).mean() > 0.95
