"""CONCORD's encoder and its attribution: known properties, and answers known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attribution import averaged_gradient, integrated_gradients
from explorer.networks.concord import SLOPE, ConcordNet, Parts
from explorer.networks.concord_tasks import Lesson, Terms
from explorer.networks.losses import contrastive_loss
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


def stored(expression: np.ndarray) -> SparseCells:
    matrix = sparse.csr_matrix(expression)
    return SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])


def rows(expression: np.ndarray) -> SparseRows:
    return stored(expression).rows(torch.arange(len(expression)))


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
        views = network.two_views(rows(expression), self.masks, torch.Generator().manual_seed(seed))
        return contrastive_loss(*views, 0.4, 1.0)

    @torch.no_grad()
    def test_views_are_drawn_from_the_generator_alone(self, network: ConcordNet, expression: np.ndarray) -> None:
        once, again, other = (self.loss(network, expression, seed).item() for seed in (1, 1, 2))
        assert once == again != other

    def test_only_the_first_view_carries_a_gradient(self, network: ConcordNet, expression: np.ndarray) -> None:
        first, second = network.two_views(rows(expression), self.masks, torch.Generator().manual_seed(0))
        assert first.requires_grad
        assert not second.requires_grad

    def test_all_parameters_learn(self, network: ConcordNet, expression: np.ndarray) -> None:
        self.loss(network, expression, 0).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())

    @torch.no_grad()
    def test_without_masks_both_views_are_one_point(self, network: ConcordNet, expression: np.ndarray) -> None:
        """The positive's similarity is then 1, so that the loss is that of the cells among themselves."""
        views = network.two_views(rows(expression), (0.0, 0.0), torch.Generator())
        loss = contrastive_loss(*views, 0.4)
        z = F.normalize(network(rows(expression)), dim=1)
        logits = torch.cat([z, z]) @ torch.cat([z, z]).T / 0.4
        logits.fill_diagonal_(-math.inf)
        assert float(loss) == pytest.approx(float((torch.logsumexp(logits, 1) - 1 / 0.4).mean()), abs=1e-5)


class TestParts:
    """The optional ones: weights of genes, a decoder, classifiers; and that none is there unless asked for."""

    def made(self, **parts: object) -> ConcordNet:
        torch.manual_seed(0)
        return ConcordNet(GENES, HIDDEN, LATENT, Parts(**parts))  # type: ignore[arg-type]

    def test_the_encoder_starts_the_same_whatever_else_there_is(self) -> None:
        plain, whole = self.made(), self.made(weighs_genes=True, n_domains=3, n_classes=(4, 2))
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(whole.state_dict()[name], value)

    def test_published_number_of_parameters_of_a_decoder_and_a_classifier(self) -> None:
        def size(network: ConcordNet) -> int:
            return sum(p.numel() for p in network.parameters())

        decoder = (LATENT + 8) * HIDDEN + 3 * HIDDEN + HIDDEN * GENES + GENES + 8 * 3
        assert size(self.made(n_domains=3)) - size(self.made()) == decoder
        classifier = LATENT * LATENT + LATENT + 2 * LATENT + LATENT * 4 + 4
        assert size(self.made(n_classes=(4,))) - size(self.made()) == classifier

    def test_gene_weights_start_at_073_and_reach_sparse_and_dense_alike(self, expression: np.ndarray) -> None:
        network = self.made(weighs_genes=True)
        weights = network.gene_weights
        assert weights is not None
        torch.testing.assert_close(weights, torch.full((GENES,), 0.7310586))
        with torch.no_grad():
            network.gene_logits.normal_()  # type: ignore[union-attr]
        torch.testing.assert_close(network(rows(expression)), network.dense(torch.from_numpy(expression)))

    def test_penalty_of_gene_weights(self) -> None:
        network = self.made(weighs_genes=True)
        with torch.no_grad():
            network.gene_logits.copy_(torch.logit(torch.linspace(0.1, 0.9, GENES)))  # type: ignore[union-attr]
        weights = np.linspace(0.1, 0.9, GENES)
        assert network.gene_penalty("l1").item() == pytest.approx(np.abs(weights).sum() / GENES)
        assert network.gene_penalty("l2").item() == pytest.approx(np.linalg.norm(weights) / GENES**0.5)

    def test_the_decoder_is_asked_for_the_whole_cell(self, expression: np.ndarray) -> None:
        """Not for the masked one, as the authors' code does: its loss is that against what was measured."""
        network = self.made(n_domains=2)
        domains = torch.tensor([0, 1] * 20)
        z = network(rows(expression))
        assert network.decoder is not None
        decoded = network.decoder(z, network.decoder.domains(domains))
        expected = (decoded - torch.from_numpy(expression)).square().mean()
        torch.testing.assert_close(network.reconstruction_loss(z, rows(expression), domains), expected)

    def test_cells_without_a_label_cost_the_classifier_nothing(self, expression: np.ndarray) -> None:
        network = self.made(n_classes=(3, 2))
        z = network(rows(expression))
        codes = torch.stack([torch.arange(40) % 3, torch.arange(40) % 2], 1)
        codes[:10, 0] = -1
        codes[:, 1] = -1
        expected = F.cross_entropy(network.classifiers[0](z[10:]), codes[10:, 0])
        torch.testing.assert_close(network.classification_loss(z, codes), expected / 2)  # of two levels
        assert network.classification_loss(z, torch.full((40, 2), -1)).item() == 0


class TestLeftOutCells:
    def lesson(self, network: ConcordNet, expression: np.ndarray) -> Lesson:
        terms = Terms((0.4, 0.3), 0.4, 1.0)
        return Lesson(network, stored(expression), torch.zeros(40, dtype=torch.int64), torch.zeros(40, 0), terms, 7)

    def test_are_masked_the_same_way_each_time(self, network: ConcordNet, expression: np.ndarray) -> None:
        lesson = self.lesson(network, expression)
        minibatches = [np.arange(20), np.arange(20, 40)]
        once = lesson.check(minibatches)
        lesson.loss(torch.arange(40))  # training draws from a generator of its own
        assert lesson.check(minibatches) == once

    def test_their_views_differ_as_those_of_training_do(self, network: ConcordNet, expression: np.ndarray) -> None:
        unmasked = network.two_views(rows(expression), (0.0, 0.0), torch.Generator())
        with torch.no_grad():
            uniformity = contrastive_loss(*unmasked, 0.4, 1.0).item()
        assert self.lesson(network, expression).check([np.arange(40)]) > uniformity + 0.1


class TestGradients:
    def test_all_units_at_once_and_averaged_as_autograd_finds_them(
        self, network: ConcordNet, expression: np.ndarray
    ) -> None:
        network.gene_logits = nn.Parameter(torch.linspace(-1, 2, GENES))
        network = network.double()
        x = torch.from_numpy(expression).double()
        expected = torch.stack([torch.autograd.functional.jacobian(network.dense, cell) for cell in x]).mean(0)
        torch.testing.assert_close(network.unit_gradients(x), expected, atol=1e-9, rtol=1e-6)

    def test_of_units_integrated_as_autograd_would(self, network: ConcordNet, expression: np.ndarray) -> None:
        network = network.double()
        x = torch.from_numpy(expression[:3]).double()
        baseline = torch.from_numpy(expression).double().mean(0)
        scores, errors = network.unit_attribution(x, baseline, Progress(), steps=4)
        expected = torch.zeros_like(scores)
        for cell in x:
            for step in range(4):
                point = baseline + (step + 0.5) / 4 * (cell - baseline)
                expected += torch.autograd.functional.jacobian(network.dense, point) * (cell - baseline) / 12
        torch.testing.assert_close(scores, expected, atol=1e-9, rtol=1e-6)
        difference = network.dense(x) - network.dense(baseline[None])
        _, alone = network.unit_attribution(x[:1], baseline, Progress(), steps=4)
        assert errors.shape == alone.shape == (LATENT,)
        missed = (network.unit_attribution(x[:1], baseline, Progress(), steps=4)[0].sum(1) - difference[0]).abs()
        torch.testing.assert_close(alone, (missed / difference[0].abs()).detach(), atol=1e-9, rtol=1e-6)

    def test_of_units_sum_to_how_far_the_cells_went(self, network: ConcordNet, expression: np.ndarray) -> None:
        x = torch.from_numpy(expression).double()
        scores, _ = network.double().unit_attribution(x, x.mean(0), Progress(), steps=128)
        went = (network.dense(x) - network.dense(x.mean(0)[None])).mean(0).detach()
        torch.testing.assert_close(scores.sum(1), went, atol=0.01, rtol=0)

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
        """For one cell that expresses all genes: what the scores sum to, what they should, and nothing between."""
        x = torch.from_numpy(expression[:1]).double() + 0.1
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

    def test_the_averaged_gradient_is_that_of_each_cell(self, network: ConcordNet, expression: np.ndarray) -> None:
        network = network.double()
        x = torch.from_numpy(expression).double()
        direction = F.normalize(torch.randn(LATENT, generator=torch.Generator().manual_seed(2)), dim=0).double()
        z = network.dense(x).detach()
        of_cosine = direction / z.norm(dim=1, keepdim=True) - (z @ direction / z.norm(dim=1) ** 3)[:, None] * z
        expected = torch.stack([by @ jacobian(network, cell) for by, cell in zip(of_cosine, x, strict=True)]).mean(0)
        torch.testing.assert_close(averaged_gradient(network.dense, x, direction, Progress()), expected.detach())

    def test_no_measure_names_a_gene_that_the_cells_hardly_express(
        self, network: ConcordNet, expression: np.ndarray
    ) -> None:
        """1 of 40 cells is 2.5 %; what it adds is still in the sum that the error is told by."""
        x = torch.from_numpy(expression).double()
        x[:, 5], x[1:, 6], x[2:, 7] = 0, 0, 0
        x[0, 6], x[:2, 7] = 1, 1
        baseline = x.mean(0) + 0.2
        direction = F.normalize(torch.randn(LATENT, generator=torch.Generator().manual_seed(2)), dim=0).double()
        network = network.double()
        scores, error = integrated_gradients(network.dense, x, baseline, direction, Progress())
        gradient = averaged_gradient(network.dense, x, direction, Progress())
        for found in (scores, gradient):
            assert [float(found[gene]) != 0 for gene in (5, 6, 7)] == [False, False, True]
        assert error < 0.1
