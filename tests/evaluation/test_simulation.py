"""Simulated cells: their structure, their batches, what is known of them, and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem
from explorer.evaluation.simulation import (
    BATCH,
    LABEL,
    PROGRAM_GENES,
    PROGRAMS,
    PSEUDOTIME,
    STRUCTURES,
    TRUTH,
    Simulation,
    simulate,
)
from explorer.insight.structure import path_correlation, recovered

SMALL = Simulation(cells=600, genes=300, batches=3)
PLAIN = replace(SMALL, batches=1, scale=0, shift=0, own_genes=0, dropout=0, batch_depth=0, unbalanced=0)
ROOT = Path(__file__).resolve().parents[2]


def logged(cells: ad.AnnData) -> np.ndarray:
    """log1p of counts per 2,000, dense."""
    counts = cells.X.toarray()
    return np.log1p(2000 * counts / counts.sum(1, keepdims=True))


def means(cells: ad.AnnData, column: str) -> np.ndarray:
    """Mean counts of each value of an obs column, in the order of their names."""
    return np.array([cells.X[(cells.obs[column] == name).to_numpy()].mean(0).A1 for name in names(cells, column)])


def names(cells: ad.AnnData, column: str) -> list[str]:
    return sorted(set(cells.obs[column].astype(str)))


class TestStructures:
    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_counts_and_truth(self, structure: str) -> None:
        cells = simulate(replace(SMALL, structure=structure))
        assert cells.shape == (600, 300)
        assert sparse.issparse(cells.X)
        assert cells.X.dtype == np.float32
        assert (cells.X.data == np.round(cells.X.data)).all()
        assert cells.X.data.min() > 0
        assert len(names(cells, LABEL)) == 6
        assert len(names(cells, BATCH)) == 3
        assert cells.obsm[TRUTH].shape == (600, 6)
        assert 0 <= cells.obsm[TRUTH].min() < cells.obsm[TRUTH].max() <= 1
        assert cells.varm[PROGRAMS].shape == (300, 6)
        assert cells.var_names.is_unique
        assert cells.uns["simulation"]["structure"] == structure

    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_the_same_seed_gives_the_same_cells(self, structure: str) -> None:
        asked = replace(SMALL, structure=structure)
        first, again, other = simulate(asked), simulate(asked), simulate(replace(asked, seed=1))
        assert (first.X != again.X).nnz == 0
        assert first.obs.equals(again.obs)
        assert (first.obsm[TRUTH] == again.obsm[TRUTH]).all()
        assert (first.X != other.X).nnz > 0

    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_labels_can_be_read_from_counts(self, structure: str) -> None:
        """Well where the structure has gaps; along a path neighbouring stages run into one another."""
        cells = simulate(replace(PLAIN, structure=structure))
        places = PCA(10, random_state=0).fit_transform(logged(cells))
        labels = cells.obs[LABEL].astype(str).to_numpy()
        right = KNeighborsClassifier(15).fit(places[:400], labels[:400]).score(places[400:], labels[400:])
        assert right > (0.95 if structure == "clusters" else 0.75)

    @pytest.mark.parametrize("structure", ["trajectory", "loop", "tree"])
    def test_structure_can_be_found_in_counts_and_not_in_noise(self, structure: str) -> None:
        cells = simulate(replace(PLAIN, structure=structure, depth=20_000, size=50))
        found = recovered(cells.obsm[TRUTH], PCA(10, random_state=0).fit_transform(logged(cells)), metric="euclidean")
        assert found.paths > 0.8
        assert found.distances > 0.8
        assert found.trustworthiness > 0.85

    def test_a_loop_closes_and_a_trajectory_does_not(self) -> None:
        ends = {}
        for structure in ("loop", "trajectory"):
            cells = simulate(replace(PLAIN, structure=structure))
            time = cells.obs[PSEUDOTIME].to_numpy()
            first, last = (cells.obsm[TRUTH][rows].mean(0) for rows in (time < 0.03, time > 0.97))
            ends[structure] = np.linalg.norm(first - last)
        assert ends["loop"] < 0.2 < 1 < ends["trajectory"]

    def test_time_runs_along_a_trajectory(self) -> None:
        cells = simulate(replace(PLAIN, structure="trajectory"))
        time = cells.obs[PSEUDOTIME].to_numpy()[:, None]
        assert path_correlation(time, cells.obsm[TRUTH], metric="euclidean") > 0.98

    def test_a_tree_does_not_jump_where_it_branches(self) -> None:
        """Cells at the start of a branch are like those at the end of the branch before it."""
        cells = simulate(replace(PLAIN, structure="tree", states=7, cells=3000))
        label, truth = cells.obs[LABEL].astype(str).to_numpy(), cells.obsm[TRUTH]
        along = 3 * cells.obs[PSEUDOTIME].to_numpy() % 1
        for child in range(1, 7):
            parent = (child - 1) // 2
            start = truth[(label == f"branch {child + 1}") & (along < 0.05)].mean(0)
            end = truth[(label == f"branch {parent + 1}") & (along > 0.95)].mean(0)
            assert np.linalg.norm(start - end) < 0.1
        assert truth[label == "branch 4", 2].max() == 0, "no program of another branch"

    def test_clusters_have_no_time(self) -> None:
        assert simulate(SMALL).obs[PSEUDOTIME].isna().all()


class TestBatches:
    def test_without_effects_batches_are_alike(self) -> None:
        cells = simulate(replace(PLAIN, batches=2, cells=2000))
        first, second = means(cells, BATCH)
        assert np.abs(first - second).max() < 6 * np.sqrt(first.max() / 500)
        np.testing.assert_allclose(first.sum(), second.sum(), rtol=0.05)

    def test_factors_of_genes(self) -> None:
        cells = simulate(replace(PLAIN, batches=2, cells=2000, scale=0.5))
        first, second = means(cells, BATCH)
        expressed = np.minimum(first, second) > 1
        assert np.std(np.log(first / second)[expressed]) == pytest.approx(0.5 * np.sqrt(2), rel=0.2)

    def test_genes_of_one_batch_only(self) -> None:
        cells = simulate(replace(SMALL, own_genes=0.1))
        silent = (means(cells, BATCH) == 0) & (cells.X.sum(0).A1 > 60)
        assert (silent.sum(0) == 2).sum() == pytest.approx(30, abs=8)
        assert not silent[:, : 6 * PROGRAM_GENES].any()

    def test_depth_and_dropout(self) -> None:
        deep = simulate(replace(PLAIN, batches=3, batch_depth=1.0))
        totals = means(deep, BATCH).sum(1)
        assert totals.max() > 1.5 * totals.min()
        lossy = simulate(replace(PLAIN, batches=3, dropout=0.8, cells=900))
        found = [(lossy.X[(lossy.obs[BATCH] == name).to_numpy()] > 0).mean() for name in names(lossy, BATCH)]
        assert found[0] > found[1] > found[2]

    def test_molecules_that_are_of_the_batch_and_not_of_the_cell(self) -> None:
        """They blur the types."""
        clean, mixed = (simulate(replace(PLAIN, batches=2, shift=shift)) for shift in (0.0, 0.5))
        apart = [np.linalg.norm(np.diff(means(cells, LABEL)[:2], axis=0)) for cells in (clean, mixed)]
        assert apart[1] < 0.7 * apart[0]

    def test_every_batch_lacks_other_states(self) -> None:
        cells = simulate(replace(SMALL, missing=2))
        held = cells.obs.groupby(BATCH, observed=True)[LABEL].agg(lambda of: frozenset(of.astype(str)))
        assert {len(names) for names in held} == {4}
        assert len(set(held)) == 3
        assert frozenset().union(*held) == set(names(cells, LABEL))

    def test_unbalanced(self) -> None:
        def spread(share: float) -> float:
            cells = simulate(replace(SMALL, unbalanced=share, cells=3000))
            counts = cells.obs.groupby([BATCH, LABEL], observed=True).size().unstack(fill_value=0)
            return float(counts.div(counts.sum(axis=1), axis=0).to_numpy().std())

        assert spread(0.0) < 0.03 < 0.08 < spread(1.0)


class TestProblems:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"structure": "star"}, "clusters, trajectory, loop, tree; not as 'star'"),
            ({"states": 2}, "2 states are too few"),
            ({"batches": 0}, "0 batches are too few"),
            ({"cells": 100}, "100 cells are too few for 6 states in 3 batches: at least 180"),
            ({"genes": 100}, "100 genes are too few"),
            ({"missing": 6}, "lacks 6 of 6 states"),
            ({"batches": 2, "missing": 5}, "some state is in no batch"),
            ({"dropout": 1.5}, "dropout is a share"),
            ({"scale": -1}, "scale is a standard deviation"),
            ({"depth": 0}, "depth is more than 0"),
        ],
    )
    def test_settings_that_do_not_fit(self, change: dict[str, object], told: str) -> None:
        with pytest.raises(OptionsProblem, match=told):
            simulate(replace(SMALL, **change))


def test_the_command(tmp_path: Path) -> None:
    words = ["simulate", "--structure", "tree", "--batches", "4", "--cells", "600", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "explorer", *words, "--output", "SIM.h5ad"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "600 cells, 1,000 genes, 4 batches, tree" in done.stdout
    written = ad.read_h5ad(tmp_path / "SIM.h5ad")
    assert (written.X != simulate(Simulation("tree", batches=4, cells=600, seed=3)).X).nnz == 0
    assert written.uns["simulation"]["seed"] == 3
