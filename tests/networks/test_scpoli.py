"""scPoli's network: published numbers, and what a conditional autoencoder promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn

from explorer.networks.scpoli import (
    LEAST_VARIANCE,
    LIKELIHOODS,
    Posterior,
    ScpoliNet,
    prototype_loss,
    prototypes,
)
from explorer.networks.sparse import SparseCells, SparseRows

GENES, CONDITIONS = 60, 3
POINTS = torch.tensor([(0.0, 0), (2, 0), (1, 3), (5, 5), (7, 5), (6, 8)], dtype=torch.float64)
CLASSES = torch.tensor([0, 0, 0, 1, 1, 1])
FINER = torch.tensor([0, 0, 1, 2, 2, 2])


def rows(counts: np.ndarray) -> SparseRows:
    matrix = sparse.csr_matrix(counts)
    cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])
    return cells.rows(torch.arange(len(cells)))


@pytest.fixture
def counts() -> np.ndarray:
    """20 cells, the last without any count."""
    made = np.random.default_rng(0).poisson(0.8, (20, GENES)).astype(np.float32)
    made[19] = 0
    return made


@pytest.fixture
def condition() -> Tensor:
    return torch.arange(20) % CONDITIONS


def network(likelihood: str = "nb") -> ScpoliNet:
    torch.manual_seed(0)
    return ScpoliNet(GENES, (CONDITIONS,), CONDITIONS, 16, 4, 5, likelihood).eval()


class TestPrototypes:
    def test_are_the_means_of_their_cells(self) -> None:
        found = prototypes(POINTS, torch.tensor([0, 0, 0, 1, 1, -1]), 3)
        torch.testing.assert_close(found[:2], torch.tensor([(1.0, 1), (6, 5)], dtype=torch.float64))
        assert found[2].isnan().all()

    @pytest.mark.parametrize(
        ("cells", "per_class", "expected"),
        [(6, False, 1.60947571), (6, True, 3.21895142), (4, False, 1.56066017), (4, True, 3.02368927)],
        ids=["all, by cell", "all, by class", "four, by cell", "four, by class"],
    )
    def test_published_loss(self, cells: int, per_class: bool, expected: float) -> None:
        centres = prototypes(POINTS, CLASSES, 2)
        found = prototype_loss(POINTS[:cells], CLASSES[:cells], centres, per_class=per_class)
        assert found.item() == pytest.approx(expected, abs=1e-8)

    def test_two_levels_add_up(self) -> None:
        levels = [(CLASSES, prototypes(POINTS, CLASSES, 2)), (FINER, prototypes(POINTS, FINER, 3))]
        total = sum(prototype_loss(POINTS, codes, centres, per_class=False) for codes, centres in levels)
        assert float(total) == pytest.approx(2.74754690, abs=1e-8)

    @pytest.mark.parametrize(("norm", "expected"), [(1.0, 7.0), (2.0, 5.0), (3.0, 4.49794145)], ids=str)
    def test_minkowski_distance(self, norm: float, expected: float) -> None:
        at = torch.tensor([(3.0, 4.0)], dtype=torch.float64)
        found = prototype_loss(at, torch.tensor([0]), torch.zeros(1, 2, dtype=torch.float64), norm)
        assert found.item() == pytest.approx(expected, abs=1e-8)

    def test_of_distances_of_two_by_p_1(self) -> None:
        found = prototype_loss(POINTS, CLASSES, prototypes(POINTS, CLASSES, 2), norm=1.0, per_class=False)
        assert found.item() == pytest.approx(2.0)

    def test_unlabelled_cells_take_no_part(self) -> None:
        codes = torch.tensor([0, -1, 0, 1, -1, 1])
        centres = prototypes(POINTS, CLASSES, 2)
        kept = codes >= 0
        expected = prototype_loss(POINTS[kept], codes[kept], centres)
        torch.testing.assert_close(prototype_loss(POINTS, codes, centres), expected)

    def test_minibatch_without_labels_costs_nothing_and_can_learn(self) -> None:
        z = POINTS.clone().requires_grad_(True)
        found = prototype_loss(z, torch.full((6,), -1), prototypes(POINTS, CLASSES, 2))
        found.backward()
        assert found.item() == 0
        assert not z.grad.any()

    def test_cell_at_its_prototype_has_no_gradient(self) -> None:
        z = torch.ones(1, 2, requires_grad=True)
        prototype_loss(z, torch.tensor([0]), torch.ones(1, 2)).backward()
        assert not z.grad.any()


class TestConditions:
    def test_published_number_of_parameters(self) -> None:
        made = ScpoliNet(4000, (2000,), 2000, 64, 10, 10)
        counted = [made.tables, made.first_condition, made.decode, made.decode_condition]
        found = made.first.weight.numel() + sum(p.numel() for module in counted for p in module.parameters())
        assert found == 277_920

    def test_vectors_are_at_most_one_long(self) -> None:
        made = ScpoliNet(GENES, (1,), 1, 16, 4, 2)
        with torch.no_grad():
            made.tables[0].weight[:] = torch.tensor([3.0, 4.0])
        torch.testing.assert_close(made.describe(torch.tensor([[0]])), torch.tensor([[0.6, 0.8]]))

    @torch.no_grad()
    def test_unseen_condition_is_the_mean_of_the_seen(self, counts: np.ndarray) -> None:
        made, unseen = network(), torch.full((20, 1), -1)
        seen = made.describe(torch.arange(CONDITIONS)[:, None])
        torch.testing.assert_close(made.describe(unseen), seen.mean(0).expand(20, -1))
        made.tables[0].weight[:] = seen.mean(0)
        torch.testing.assert_close(made(rows(counts), unseen), made(rows(counts), torch.zeros_like(unseen)))

    @torch.no_grad()
    def test_several_columns_are_put_side_by_side(self) -> None:
        made = ScpoliNet(GENES, (2, 4), 5, 16, 4, 3)
        found = made.describe(torch.tensor([[1, 3], [0, -1]]))
        first, second = made.vectors()
        torch.testing.assert_close(found[0], torch.cat([first[1], second[3]]))
        torch.testing.assert_close(found[1], torch.cat([first[0], second[:4].mean(0)]))

    @torch.no_grad()
    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_condition_matters_to_encoder_and_decoder(
        self, likelihood: str, counts: np.ndarray, condition: Tensor
    ) -> None:
        made, other = network(likelihood), (condition + 1) % CONDITIONS
        x, totals = rows(counts), torch.from_numpy(counts.sum(1))
        assert not torch.allclose(made(x, condition[:, None]), made(x, other[:, None]))
        z = made(x, condition[:, None])
        here, there = (
            made.log_likelihood(z, made.describe(c[:, None]), made.dispersion, c, x, totals)[:19]
            for c in (condition, other)
        )
        assert not torch.isclose(here, there).any()


class TestNetwork:
    @torch.no_grad()
    def test_sparse_and_dense_input_give_the_same(self, counts: np.ndarray, condition: Tensor) -> None:
        of = condition[:, None]
        torch.testing.assert_close(network()(rows(counts), of), network().dense(torch.from_numpy(counts), of))

    @torch.no_grad()
    def test_a_cell_alone_gives_what_it_gives_in_a_minibatch(self, counts: np.ndarray, condition: Tensor) -> None:
        made, of = network(), condition[:, None]
        alone = torch.cat([made(rows(counts[i : i + 1]), of[i : i + 1]) for i in range(20)])
        torch.testing.assert_close(alone, made(rows(counts), of), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_all_parameters_learn_and_an_empty_cell_is_finite(
        self, likelihood: str, counts: np.ndarray, condition: Tensor
    ) -> None:
        made, x = network(likelihood).train(), rows(counts)
        described = made.describe(condition[:, None])
        z = made.encode(made.first(x), described).draw(torch.Generator().manual_seed(0))
        found = made.log_likelihood(z, described, made.dispersion, condition, x, torch.from_numpy(counts.sum(1)))
        assert torch.isfinite(found).all()
        (found.sum() + prototype_loss(z, condition, torch.zeros(CONDITIONS, 4))).backward()
        for name, parameter in made.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name

    @torch.no_grad()
    def test_draws_spread_as_the_posterior_says(self) -> None:
        posterior = Posterior(torch.full((20_000, 2), 3.0), torch.tensor([[0.25, 4.0]]).expand(20_000, 2))
        drawn = posterior.draw(torch.Generator().manual_seed(0))
        torch.testing.assert_close(drawn.mean(0), torch.tensor([3.0, 3.0]), atol=0.05, rtol=0)
        torch.testing.assert_close(drawn.var(0), torch.tensor([0.25, 4.0]), atol=0, rtol=0.05)

    @torch.no_grad()
    def test_variance_never_vanishes(self, counts: np.ndarray, condition: Tensor) -> None:
        made = network()
        nn.init.constant_(made.log_variance.bias, -100)
        variance = made.encode(made.first(rows(counts)), made.describe(condition[:, None])).variance
        torch.testing.assert_close(variance, torch.full_like(variance, LEAST_VARIANCE))
