"""Likelihoods against published numbers, against scipy and torch.distributions, and against their own gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import sparse, stats
from torch import Tensor
from torch.distributions import Independent, NegativeBinomial, Normal, Poisson, kl_divergence

from explorer.networks.likelihoods import gaussian_kl, negative_binomial, poisson, squared_error, zero_inflated
from explorer.networks.sparse import SparseCells, SparseRows

DIGITS = 2e-8  # the numbers below have eight digits
ONE = torch.zeros(1, dtype=torch.int64)


def rows(x: Tensor) -> SparseRows:
    """Dense (B, G) as a minibatch."""
    matrix = sparse.csr_matrix(x.numpy())
    cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, x.shape[1])
    return cells.rows(torch.arange(len(cells)))


def double(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


@pytest.fixture
def cells() -> dict[str, Tensor]:
    """12 cells of 3 conditions over 9 genes; a third of the counts is 0, one cell and one gene hold nothing."""
    draw = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.rand(12, 9, generator=draw) * 5, generator=draw)
    counts[torch.rand(12, 9, generator=draw) < 0.3] = 0
    counts[4] = 0
    counts[:, 7] = 0
    return {
        "counts": counts,
        "log_mean": torch.randn(12, 9, generator=draw, dtype=torch.float64),
        "log_dispersion": torch.randn(3, 9, generator=draw, dtype=torch.float64),
        "dropout_logits": torch.randn(12, 9, generator=draw, dtype=torch.float64),
        "condition": torch.arange(12) % 3,
    }


class TestNegativeBinomial:
    @pytest.mark.parametrize(
        ("x", "mean", "dispersion", "expected"),
        [
            (0, 2.5, 1.7, -1.53757567),
            (3, 2.5, 1.7, -2.05350367),
            (7, 2.5, 1.7, -3.63072420),
            (3, 0.1, 0.5, -6.62959000),
            (250, 180, 3.2, -6.08133003),
            (2, 2, 1e6, -1.30685382),
        ],
        ids=str,
    )
    def test_of_one_count(self, x: float, mean: float, dispersion: float, expected: float) -> None:
        found = negative_binomial(double(mean).log(), double(dispersion).log(), ONE, rows(double(x)))
        assert found.item() == pytest.approx(expected, abs=DIGITS)
        assert found.item() == pytest.approx(stats.nbinom.logpmf(x, dispersion, dispersion / (dispersion + mean)))

    @pytest.mark.parametrize(
        ("x", "mean", "dispersion", "by_mean", "by_dispersion"),
        [
            (3, 2.5, 1.7, 0.20238095, 0.34913247),
            (0, 2.5, 1.7, -1.01190476, -0.52567090),
            (7, 0.4, 0.3, 2.82857143, -1.45665742),
        ],
        ids=str,
    )
    def test_its_gradients(
        self, x: float, mean: float, dispersion: float, by_mean: float, by_dispersion: float
    ) -> None:
        log_mean, log_dispersion = (double(v).log().requires_grad_(True) for v in (mean, dispersion))
        negative_binomial(log_mean, log_dispersion, ONE, rows(double(x))).sum().backward()
        assert log_mean.grad.item() == pytest.approx(by_mean, abs=DIGITS)
        assert log_dispersion.grad.item() == pytest.approx(by_dispersion, abs=DIGITS)

    def test_equals_its_slow_twin(self, cells: dict[str, Tensor]) -> None:
        log_mean, log_dispersion, condition = cells["log_mean"], cells["log_dispersion"], cells["condition"]
        found = negative_binomial(log_mean, log_dispersion, condition, rows(cells["counts"]))
        dispersion = log_dispersion.exp()[condition]
        twin = NegativeBinomial(dispersion, logits=log_mean - dispersion.log())
        torch.testing.assert_close(found, twin.log_prob(cells["counts"].double()).sum(1))

    def test_closed_form_of_its_gradients_passes_finite_differences(self, cells: dict[str, Tensor]) -> None:
        observed = rows(cells["counts"])

        def likelihood(log_mean: Tensor, log_dispersion: Tensor) -> Tensor:
            return negative_binomial(log_mean, log_dispersion, cells["condition"], observed)

        inputs = tuple(cells[name].requires_grad_(True) for name in ("log_mean", "log_dispersion"))
        assert torch.autograd.gradcheck(likelihood, inputs)

    @pytest.mark.parametrize("extreme", [-40.0, 40.0], ids=["mean near 0", "mean near infinity"])
    def test_extreme_means_stay_finite(self, extreme: float) -> None:
        log_mean = torch.full((1, 2), extreme, requires_grad=True)
        found = negative_binomial(log_mean, torch.zeros(1, 2), ONE, rows(torch.tensor([[0.0, 5.0]])))
        found.sum().backward()
        assert torch.isfinite(found).all()
        assert torch.isfinite(log_mean.grad).all()


class TestZeroInflated:
    @pytest.mark.parametrize(
        ("x", "mean", "dispersion", "logit", "expected"),
        [
            (0, 2.5, 1.7, -1, -0.85320566),
            (3, 2.5, 1.7, -1, -2.36676536),
            (0, 2.5, 1.7, 2, -0.09825917),
            (3, 2.5, 1.7, 2, -4.18043168),
            (0, 30, 5, 0, -0.69308768),
        ],
        ids=str,
    )
    def test_of_one_count(self, x: float, mean: float, dispersion: float, logit: float, expected: float) -> None:
        found = zero_inflated(double(mean).log(), double(dispersion).log(), ONE, double(logit), rows(double(x)))
        assert found.item() == pytest.approx(expected, abs=DIGITS)

    def test_equals_its_definition(self, cells: dict[str, Tensor]) -> None:
        log_mean, log_dispersion = cells["log_mean"], cells["log_dispersion"]
        logits, condition = cells["dropout_logits"], cells["condition"]
        found = zero_inflated(log_mean, log_dispersion, condition, logits, rows(cells["counts"]))
        dispersion = log_dispersion.exp()[condition]
        x = cells["counts"].double()
        nb = NegativeBinomial(dispersion, logits=log_mean - dispersion.log()).log_prob(x).exp()
        lost = torch.sigmoid(logits)
        torch.testing.assert_close(found, ((1 - lost) * nb + lost * (x == 0)).log().sum(1))

    def test_nothing_lost_is_the_negative_binomial(self, cells: dict[str, Tensor]) -> None:
        shared = cells["log_mean"], cells["log_dispersion"], cells["condition"]
        observed = rows(cells["counts"])
        never = torch.full_like(cells["log_mean"], -50.0)
        torch.testing.assert_close(zero_inflated(*shared, never, observed), negative_binomial(*shared, observed))


class TestDecoder:
    """Counts of one cell under a softmax decoder: likelihoods of the whole, and gradients of its logits."""

    logits = double(0.2, -0.5, 1, 0)
    counts = double(3, 0, 5, 1)
    log_dispersion = double(0, 0.5, -0.3, 1)

    def log_mean(self, logits: Tensor) -> Tensor:
        return torch.log_softmax(logits, 1) + math.log(9)

    def test_means_are_shares_of_the_depth(self) -> None:
        expected = double(1.982005, 0.984234, 4.411033, 1.622728)
        torch.testing.assert_close(self.log_mean(self.logits).exp(), expected, atol=1e-6, rtol=0)

    def test_negative_binomial(self) -> None:
        found = negative_binomial(self.log_mean(self.logits), self.log_dispersion, ONE, rows(self.counts))
        assert -found.item() == pytest.approx(7.20859221, abs=DIGITS)

    def test_poisson_and_its_gradient(self) -> None:
        logits = self.logits.clone().requires_grad_(True)
        found = -poisson(self.log_mean(logits), rows(self.counts))
        found.sum().backward()
        assert found.item() == pytest.approx(5.62227183, abs=DIGITS)
        torch.testing.assert_close(logits.grad, double(-1.017995, 0.984234, -0.588967, 0.622728), atol=1e-6, rtol=0)


def test_poisson_equals_its_slow_twin(cells: dict[str, Tensor]) -> None:
    twin = Poisson(cells["log_mean"].exp()).log_prob(cells["counts"].double()).sum(1)
    torch.testing.assert_close(poisson(cells["log_mean"], rows(cells["counts"])), twin)


def test_squared_error_equals_the_dense_one(cells: dict[str, Tensor]) -> None:
    expected = -((cells["log_mean"] - cells["counts"]) ** 2).sum(1)
    torch.testing.assert_close(squared_error(cells["log_mean"], rows(cells["counts"])), expected)


@pytest.mark.parametrize(
    "likelihood",
    [
        lambda log_mean, cells, observed: zero_inflated(
            log_mean, cells["log_dispersion"], cells["condition"], cells["dropout_logits"], observed
        ),
        lambda log_mean, _cells, observed: poisson(log_mean, observed),
        lambda log_mean, _cells, observed: squared_error(log_mean, observed),
    ],
    ids=["zero-inflated", "poisson", "squared error"],
)
def test_gradients_are_those_of_the_likelihood(
    likelihood: Callable[..., Tensor], cells: dict[str, Tensor]
) -> None:
    log_mean = cells["log_mean"].requires_grad_(True)
    assert torch.autograd.gradcheck(lambda m: likelihood(m, cells, rows(cells["counts"])), log_mean)


class TestKl:
    @pytest.mark.parametrize(("added", "expected"), [(0.0, 0.83386912), (1e-4, 0.83379619)], ids=str)
    def test_of_two_dimensions(self, added: float, expected: float) -> None:
        found = gaussian_kl(double(0.5, -1), double(-1, 0.3).exp() + added)
        assert found.item() == pytest.approx(expected, abs=DIGITS)

    def test_equals_its_slow_twin_one_number_a_cell(self) -> None:
        draw = torch.Generator().manual_seed(0)
        mean, variance = torch.randn(7, 4, generator=draw).double(), torch.rand(7, 4, generator=draw).double() + 0.1
        posterior = Independent(Normal(mean, variance.sqrt()), 1)
        prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
        found = gaussian_kl(mean, variance)
        assert found.shape == (7,)
        torch.testing.assert_close(found, kl_divergence(posterior, prior))

    def test_is_nothing_at_the_prior(self) -> None:
        np.testing.assert_array_equal(gaussian_kl(torch.zeros(2, 3), torch.ones(2, 3)), [0, 0])
