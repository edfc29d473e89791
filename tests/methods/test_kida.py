"""What only KIDA does: pathways by name, and cells without a label."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import PATHWAYS, SYMBOLS, TYPES, aligned, codes, planted

from explorer import keys
from explorer.errors import GenesProblem
from explorer.methods.base import Training
from explorer.methods.kida import Kida, KidaConfig
from explorer.progress import Progress

CPU = torch.device("cpu")
SHORT = replace(KidaConfig.named("balanced"), epochs=2)


def training(unlabelled: float = 0.0) -> Training:
    """240 planted cells, a share of them without a label."""
    cells = planted(cells=20)
    labels = codes(cells)
    labels[np.random.default_rng(0).random(len(labels)) < unlabelled] = -1
    return Training(aligned(cells), SYMBOLS, {"cell_type": labels}, codes(cells, "batch"))


def fit(cells: Training, config: KidaConfig = SHORT) -> Kida:
    return Kida.fit(cells, config, device=CPU, progress=Progress())


def test_the_pathways_it_reads_stand_in_its_settings(tmp_path: Path) -> None:
    fit(training()).save(tmp_path)
    pathways = json.loads((tmp_path / keys.CONFIG_FILE).read_text(encoding="utf-8"))["pathways"]
    for name in PATHWAYS:
        assert len(pathways[name]) >= 20
        assert set(pathways[name]) <= set(SYMBOLS)


def test_genes_of_no_pathway_are_refused() -> None:
    cells = training()
    numbered = np.array([f"GENE{i:03d}" for i in range(len(SYMBOLS))], dtype=object)
    with pytest.raises(GenesProblem, match=r"only 0 of 1,743 gene sets hold at least 5 of the 300 genes"):
        fit(Training(cells.cells, numbered, cells.labels, cells.batches))


def test_cells_without_a_label_teach_nothing() -> None:
    """The same model comes out whatever they express; only the mean that attribution starts from knows them."""
    some = training(unlabelled=0.3)
    blank = some.labels["cell_type"] < 0
    other = some.cells.values.tolil()
    other[np.flatnonzero(blank)] = 7
    changed = replace(some, cells=replace(some.cells, values=other.tocsr()))
    query = aligned(planted(TYPES, ("query",), 5, seed=2))
    first, second = (fit(cells).embed(query, progress=Progress()).values for cells in (some, changed))
    np.testing.assert_array_equal(first, second)


def test_small_references_take_more_rounds() -> None:
    config = KidaConfig.named("balanced")
    assert config.sized(600) == (64, 64)
    assert config.sized(5272) == (64, 8)
    assert config.sized(1_000_000) == (64, 1)
    assert KidaConfig.named("paper").sized(5272) == (16, 6)
