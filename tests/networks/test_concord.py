"""CONCORD's encoder and its attribution: known properties, and answers known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attribution import integrated_gradients
from explorer.networks.concord import SLOPE, ConcordNet, views_loss
from explorer.networks.sparse import SparseCells, SparseRows
from explorer.progress import Progress

GENES, HIDDEN, LATENT = 120, 60, 20


@pytest.fixture
def network() -> ConcordNet:
    """Weights as at the start, but with norms and biases that are not at rest, as after training."""
    torch.manual_seed(0)
    made = ConcordNet(GENES, HIDDEN, LATENT)
    for norm in (made.first_norm, made.second_norm):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)
    return made.eval()


@pytest.fixture
def expression() -> np.ndarray:
    """40 cells, log1p, a third of the genes expressed."""
    rng = np.random.default_rng(0)
    return np.log1p(rng.poisson(0.4, (40, GENES)) * rng.gamma(2, 1, GENES)).astype(np.float32)


def rows(expression: np.ndarray) -> SparseRows:
    matrix = sparse.csr_matrix(expression)
    cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])
    return cells.rows(torch.arange(len(cells)))


def jacobian(network: ConcordNet, x: Tensor) -> Tensor:
    """d z / d x of one cell in closed form, (d, g): slopes, normalisations and weights multiplied out."""
    linear = x @ network.first.weight + network.first.bias
    first = _activated(network.first_norm, linear) @ network.first.weight.T
    hidden = F.leaky_relu(network.first_norm(linear), SLOPE)
    return _activated(network.second_norm, network.second(hidden)) @ network.second.weight @ first


def _activated(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Derivative of leaky_relu(layer_norm(x)) at x, (n, n)."""
    n = len(x)
    spread = (x.var(unbiased=False) + norm.eps).sqrt()
    unit = (x - x.mean()) / spread
    centred = torch.eye(n, dtype=x.dtype) - 1 / n - torch.outer(unit, unit) / n
    slope = torch.where(norm(x) > 0, 1.0, SLOPE).to(x.dtype)
    return torch.diag(slope * norm.weight / spread) @ centred


class TestEncoder:
    def test_published_number_of_parameters(self) -> None:
        assert sum(p.numel() for p in ConcordNet(765, 1000, 100).parameters()) == 1000 * 765 + 103_300

    def test_sparse_and_dense_input_give_the_same(self, network: ConcordNet, expression: np.ndarray) -> None:
        torch.testing.assert_close(network(rows(expression)), network.dense(torch.from_numpy(expression)))

    @torch.no_grad()
    def test_the_last_layer_is_normalised_before_its_activation(self, expression: np.ndarray) -> None:
        torch.manual_seed(1)
        fresh = ConcordNet(GENES, HIDDEN, 100)
        z = fresh(rows(expression))
        before = torch.where(z > 0, z, z / SLOPE)  # the activation undone
        torch.testing.assert_close(before.mean(1), torch.zeros(40), atol=1e-5, rtol=0)
        torch.testing.assert_close(before.var(1, unbiased=False), torch.ones(40), atol=1e-3, rtol=0)
        assert float(before.norm(dim=1).mean()) == pytest.approx(10.0, abs=0.01)

    @torch.no_grad()
    def test_depth_does_not_matter(self, expression: np.ndarray) -> None:
        torch.manual_seed(1)
        fresh = ConcordNet(GENES, 1000, 100)
        similarity = F.cosine_similarity(fresh(rows(expression)), fresh(rows(2 * expression)), dim=1)
        assert float(similarity.min()) > 0.999

    @torch.no_grad()
    def test_a_cell_alone_gives_what_it_gives_in_a_minibatch(
        self, network: ConcordNet, expression: np.ndarray
    ) -> None:
        together = network(rows(expression))
        alone = torch.cat([network(rows(expression[i : i + 1])) for i in range(len(expression))])
        torch.testing.assert_close(alone, together, atol=1e-6, rtol=0)

    @torch.no_grad()
    def test_an_empty_cell_is_finite(self, network: ConcordNet) -> None:
        assert torch.isfinite(network(rows(np.zeros((2, GENES), np.float32)))).all()


class TestViews:
    masks = (0.4, 0.3)

    def loss(self, network: ConcordNet, expression: np.ndarray, seed: int) -> Tensor:
        return views_loss(network, rows(expression), self.masks, 0.4, 1.0, torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def test_views_are_drawn_from_the_generator_alone(self, network: ConcordNet, expression: np.ndarray) -> None:
        once, again, other = (self.loss(network, expression, seed).item() for seed in (1, 1, 2))
        assert once == again != other

    def test_all_parameters_learn(self, network: ConcordNet, expression: np.ndarray) -> None:
        self.loss(network, expression, 0).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())

    @torch.no_grad()
    def test_without_masks_both_views_are_one_point(self, network: ConcordNet, expression: np.ndarray) -> None:
        """The positive's similarity is then 1, so that the loss is that of the cells among themselves."""
        loss = views_loss(network, rows(expression), (0.0, 0.0), 0.4, 0.0, torch.Generator())
        z = F.normalize(network(rows(expression)), dim=1)
        logits = torch.cat([z, z]) @ torch.cat([z, z]).T / 0.4
        logits.fill_diagonal_(-math.inf)
        assert float(loss) == pytest.approx(float((torch.logsumexp(logits, 1) - 1 / 0.4).mean()), abs=1e-5)


class TestGradients:
    def test_closed_form_equals_what_autograd_finds(self, network: ConcordNet, expression: np.ndarray) -> None:
        network = network.double()
        for cell in torch.from_numpy(expression[:5]).double():
            found = torch.autograd.functional.jacobian(network.dense, cell)
            torch.testing.assert_close(found, jacobian(network, cell), atol=1e-9, rtol=1e-6)

    def test_gradient_times_input_sums_to_nothing(self, expression: np.ndarray) -> None:
        """Because depth does not matter; hence attribution has to start from a mean cell, not from zero."""
        torch.manual_seed(1)
        fresh = ConcordNet(GENES, 1000, 100).double()
        cell = torch.from_numpy(expression[0]).double()
        products = torch.autograd.functional.jacobian(fresh.dense, cell) * cell
        assert float(products.sum().abs()) < 0.01 * float(products.abs().sum())


class Linear(nn.Module):
    """A toy of which the cosine to (1, 0) is w . x: the second coordinate makes each point a unit vector."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def dense(self, x: Tensor) -> Tensor:
        along = x @ self.weight
        return torch.stack([along, (1 - along**2).sqrt()], dim=1)


class TestAttribution:
    def explained(self, network: nn.Module, x: Tensor, baseline: Tensor, steps: int = 16) -> tuple[Tensor, float]:
        direction = F.normalize(torch.randn(LATENT, generator=torch.Generator().manual_seed(2)), dim=0)
        return integrated_gradients(network.dense, x, baseline, direction.to(x.dtype), Progress(), steps)

    @pytest.mark.parametrize("steps", [1, 16], ids=str)
    def test_of_a_linear_model_is_its_weights_times_the_way(self, steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        x, baseline = torch.rand(7, 5, generator=generator).double(), torch.rand(5, generator=generator).double()
        weight = torch.tensor([0.3, -0.2, 0.1, 0.0, 0.15]).double()
        direction = torch.tensor([1.0, 0.0]).double()
        scores, error = integrated_gradients(Linear(weight).dense, x, baseline, direction, Progress(), steps)
        torch.testing.assert_close(scores, (weight * (x - baseline)).mean(0))
        assert error < 1e-12
        assert float(scores[3]) == 0

    def test_scores_sum_to_what_they_explain(self, network: ConcordNet, expression: np.ndarray) -> None:
        x = torch.from_numpy(expression).double()
        baseline = x.mean(0)
        network = network.double()
        scores, error = self.explained(network, x, baseline)
        direction = F.normalize(torch.randn(LATENT, generator=torch.Generator().manual_seed(2)), dim=0).double()
        value = F.cosine_similarity(network.dense(x), direction[None], dim=1)
        start = F.cosine_similarity(network.dense(baseline[None]), direction[None], dim=1)
        assert float(scores.sum()) == pytest.approx((value - start).mean().detach().item(), abs=0.01)
        assert error < 0.05

    def test_the_error_it_reports_is_the_error_it_makes(self, network: ConcordNet, expression: np.ndarray) -> None:
        """For one cell: what the scores sum to, what they should sum to, and nothing between."""
        x = torch.from_numpy(expression[:1]).double()
        baseline = torch.from_numpy(expression.mean(0)).double()
        network = network.double()
        direction = F.normalize(torch.randn(LATENT, generator=torch.Generator().manual_seed(2)), dim=0).double()
        ends = F.cosine_similarity(network.dense(torch.cat([x, baseline[None]])), direction[None], dim=1).detach()
        for steps in (1, 4, 16):
            scores, error = self.explained(network, x, baseline, steps)
            missed = (scores.sum() - (ends[0] - ends[1])).abs()
            assert error == pytest.approx((missed / (ends[0] - ends[1]).abs()).item(), rel=1e-9)

    def test_more_steps_leave_less_unexplained(self, network: ConcordNet, expression: np.ndarray) -> None:
        x = torch.from_numpy(expression).double()
        errors = [self.explained(network.double(), x, x.mean(0), steps)[1] for steps in (1, 4, 64)]
        assert errors == sorted(errors, reverse=True)

    def test_a_gene_that_is_as_in_the_baseline_explains_nothing(
        self, network: ConcordNet, expression: np.ndarray
    ) -> None:
        x = torch.from_numpy(expression)
        x[:, 7] = 0.25
        baseline = x.mean(0)
        baseline[7] = 0.25
        assert float(self.explained(network, x, baseline)[0][7]) == 0
