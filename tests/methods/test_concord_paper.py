"""CONCORD against what its paper and its authors' package give: a small simulation, and weights carried over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from explorer.flow import AlignedCells
from explorer.methods.base import Training
from explorer.methods.concord import Concord, ConcordConfig
from explorer.networks.concord import ConcordNet
from explorer.networks.losses import contrastive_loss
from explorer.networks.sparse import SparseCells
from explorer.networks.training import decay_per_epoch
from explorer.progress import Progress

CELLS, GENES, SPREAD = (200, 100, 100, 50, 30), (100, 100, 50, 30, 20), (5, 4, 4, 3, 2)
LEVEL = 5.0
SHARED = {(0, 1): 0.7, (2, 3): 0.4}
COMMON = 0.1
BATCH_GENES = 45


def simulated(seed: int = 42) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The paper's five clusters in two batches: counts (480, 390), cluster and batch of each cell.

    Every cluster expresses genes of its own at one level; two pairs of clusters share many, and a tenth are common to
    all. Normal noise, wider in larger clusters. Each batch has 45 genes that only it expresses.
    """
    rng = np.random.default_rng(seed)
    cluster, of_gene = np.repeat(range(5), CELLS), np.repeat(range(5), GENES)
    mean = np.where(cluster[:, None] == of_gene, LEVEL, 0.0)
    for pair, share in SHARED.items():
        genes = np.flatnonzero(np.isin(of_gene, pair))
        chosen = rng.choice(genes, int(share * len(genes)), replace=False)
        mean[np.ix_(np.isin(cluster, pair), chosen)] = LEVEL
    mean[:, rng.choice(len(of_gene), int(COMMON * len(of_gene)), replace=False)] = LEVEL
    values = rng.normal(mean, np.array(SPREAD)[cluster][:, None])
    batch = rng.permutation(len(cluster)) % 2
    own = [np.where(batch[:, None] == b, rng.normal(LEVEL, 3, (len(batch), BATCH_GENES)), 0) for b in (0, 1)]
    return np.trunc(np.maximum(np.hstack([values, *own]), 0)).astype(np.float32), cluster, batch


def probe(values: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of 30 neighbours, weighted by distance, on a fifth held out."""
    train, test, own, asked = train_test_split(values, truth, test_size=0.2, random_state=0, stratify=truth)
    return KNeighborsClassifier(30, weights="distance").fit(train, own).score(test, asked)


class TestFiveClusters:
    """The authors' package: clusters 1.000 with hcl and kNN, 0.906 without; batch error 0.135, 0.115 and 0.000.

    Ours when this was written: 1.000, 0.990 and 0.927; 0.146, 0.229 and 0.000. The package takes values as they are, so
    they are given on a scale whose log1p is the simulated value. After normalisation to a common depth, which the
    batches' own genes differ in, neither mixes batches (error 0.02).
    """

    counts, cluster, batch = simulated()

    def embedded(self, sampler: str) -> np.ndarray:
        cells = AlignedCells(sparse.csr_matrix(np.expm1(self.counts)), np.full(480, 1e4, np.float32), is_counts=False)
        genes = np.array([f"g{i}" for i in range(390)], dtype=object)
        config = replace(ConcordConfig.named("paper"), n_latent=30, batch_size=32, epochs=20, sampler=sampler)
        training = Training(cells, genes, {}, self.batch.astype(np.int32))
        method = Concord.fit(training, config, device=torch.device("cpu"), progress=Progress())
        return method.embed(cells, progress=Progress()).values

    @pytest.mark.parametrize("sampler", ["hcl", "knn"])
    def test_contrast_within_batches_finds_clusters_and_mixes_batches(self, sampler: str) -> None:
        values = self.embedded(sampler)
        assert probe(values, self.cluster) >= 0.98
        assert 1 - probe(values, self.batch) >= 0.1

    def test_contrast_among_all_cells_keeps_batches_apart(self) -> None:
        assert 1 - probe(self.embedded("naive"), self.batch) <= 0.02


def test_published_schedule_of_a_run() -> None:
    """Learning rate in epochs 0, 1, 5 and 14 of the 15."""
    config = ConcordConfig.named("paper")
    share = decay_per_epoch(config.lr_decay)
    found = [config.lr * share(0, 0, epoch) for epoch in (0, 1, 5, 14)]
    assert found == pytest.approx([0.01, 0.009409, 0.0073742413, 0.0042619521], rel=1e-7)


class TestAuthorsPackage:
    """Weights of concord-sc carried over; skips itself where the package is not installed."""

    def test_the_encoder_embeds_as_theirs(self) -> None:
        model = pytest.importorskip("concord.model.model", reason="the authors' package concord-sc is not installed")
        theirs = model.ConcordModel(120, 100, 1, 0, encoder_dims=[1000], use_decoder=False)
        ours = ConcordNet(120, 1000, 100)
        weights = theirs.encoder.state_dict()
        with torch.no_grad():
            ours.first.weight.copy_(weights["0.weight"].T)
            ours.first.bias.copy_(weights["0.bias"])
            ours.second.weight.copy_(weights["4.weight"])
            ours.second.bias.copy_(weights["4.bias"])
            for norm, at in ((ours.first_norm, 1), (ours.second_norm, 5)):
                norm.weight.copy_(weights[f"{at}.weight"])
                norm.bias.copy_(weights[f"{at}.bias"])
            x = torch.rand(50, 120) * (torch.rand(50, 120) > 0.6)
            matrix = sparse.csr_matrix(x.numpy())
            cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, 120)
            expected = theirs.encoder.eval()(x)
            torch.testing.assert_close(ours(cells.rows(torch.arange(50))), expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("hardness", [0.0, 1.0, 2.0], ids=str)
    def test_the_loss_is_theirs(self, hardness: float) -> None:
        loss = pytest.importorskip("concord.model.loss", reason="the authors' package concord-sc is not installed")
        first, second = torch.rand(2, 16, 10, dtype=torch.float64)
        expected = loss.NTXent_general(temperature=0.4, beta=hardness)(first, second)
        torch.testing.assert_close(contrastive_loss(first, second, 0.4, hardness), expected, atol=1e-10, rtol=0)
