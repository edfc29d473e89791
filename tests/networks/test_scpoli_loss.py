"""What scPoli learns from: the schedule of the KL term, and when prototypes take part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from explorer.networks.likelihoods import gaussian_kl
from explorer.networks.scpoli import Conditions, CountCells, ScpoliNet, contrast_loss, prototype_loss
from explorer.networks.scpoli_loss import ScpoliLoss, grown_weight
from explorer.networks.sparse import SparseCells

SETTINGS = {
    "kl_weight": 0.5,
    "kl_epochs": 100,
    "weight": 3.0,
    "norm": 2.0,
    "per_class": True,
    "contrast": 2.0,
    "pretraining": 0.8,
}
WHICH = torch.arange(12)
LABELS = torch.arange(12) % 2


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0), (1, 0.01), (49, 0.49), (99, 0.99), (100, 1), (150, 1)], ids=str
)
def test_published_growth_of_the_kl_term(epoch: int, expected: float) -> None:
    assert grown_weight(epoch, 1.0, 100) == pytest.approx(expected)


def test_published_share_of_parameters_spared_by_vectors_of_conditions() -> None:
    """One-hot conditions need more for G = 4000 genes, N = 2000 conditions, d = 10 and 64 hidden units a side."""
    genes, conditions, hidden, latent = 4000, 2000, 64, 10
    one_hot = genes * hidden + latent * hidden + conditions * 2 * hidden
    assert one_hot == 512_640
    assert conditions * 2 * hidden / (conditions + 2 * hidden) == pytest.approx(120.30075)


def made(likelihood: str = "nb") -> tuple[ScpoliNet, CountCells]:
    torch.manual_seed(0)
    network = ScpoliNet(20, (3,), 3, 8, 4, 2, likelihood, dropout=0.0)
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (12, 20)).astype(np.float32))
    store = SparseCells.of(counts.indptr, counts.indices, counts.data, 20)
    rows = (torch.arange(12) % 3)[:, None]
    return network, CountCells(store, store, torch.from_numpy(counts.toarray().sum(1)), Conditions(rows, rows[:, 0]))


def test_the_parts_add_up() -> None:
    """Reconstruction, 0.4 of the KL term at epoch 80 of 100, three times the prototype loss, twice the contrast."""
    network, cells = made()
    loss = ScpoliLoss(network, cells, [LABELS], torch.Generator().manual_seed(5), **SETTINGS)
    loss.begin(80, 100)
    found = loss(WHICH)

    described = network.describe(cells.conditions.rows)
    posterior = network.encode(network.first(cells.taken.rows(WHICH)), described)
    z = posterior.draw(torch.Generator().manual_seed(5))
    explained = network.log_likelihood(
        z, described, network.dispersion, cells.conditions.combined, cells.counts.rows(WHICH), cells.totals
    )
    kl = gaussian_kl(posterior.mean, posterior.variance)
    centres = torch.stack([posterior.mean[label == LABELS].mean(0) for label in (0, 1)])
    expected = (-explained + 0.4 * kl).mean() + 3 * prototype_loss(z, LABELS, centres)
    expected = expected + 2 * contrast_loss(z, LABELS, centres)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("epoch", "waits"), [(79, True), (80, False)], ids=["before", "after"])
def test_prototypes_wait_for_the_end_of_pretraining(epoch: int, waits: bool) -> None:
    network, cells = made()
    losses = []
    for labels in ([LABELS], []):
        loss = ScpoliLoss(network, cells, labels, torch.Generator().manual_seed(5), **SETTINGS)
        loss.begin(epoch, 100)
        losses.append(loss(WHICH).item())
    assert (losses[0] == pytest.approx(losses[1])) == waits


def test_contrast_keeps_labels_apart() -> None:
    """It is the cross-entropy of softmax(-distance), blind to unlabelled cells and to classes without cells."""
    z = torch.tensor([[0.0, 0], [3, 4], [9, 9]])
    centres = torch.tensor([[0.0, 0], [3, 4], [torch.nan, torch.nan]])
    found = contrast_loss(z, torch.tensor([0, 2, -1]), centres[[0, 2, 1]])
    right = torch.log_softmax(torch.tensor([0.0, -5.0]), 0)
    expected = -(0.975 * right[0] + 0.025 * right[1])  # 5 % of each label is spread over both
    assert found.item() == pytest.approx(expected.item(), abs=1e-4)
    assert contrast_loss(z, torch.full((3,), -1), centres[:2]).item() == 0
    assert contrast_loss(torch.ones(2, 2, requires_grad=True), torch.tensor([0, 1]), centres[:2]).requires_grad
