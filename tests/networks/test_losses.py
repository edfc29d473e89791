"""The contrastive loss against numbers computed elsewhere, and against itself written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from explorer.networks.losses import contrastive_loss, cross_entropies

FIRST = torch.tensor([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)], dtype=torch.float64)
SECOND = torch.tensor([(3.0, 4.0), (0.0, 2.0), (-1.0, -1.0)], dtype=torch.float64)
DIGITS = 1e-9  # the numbers below have ten digits


def importance(similarities: list[float], temperature: float, hardness: float) -> list[float]:
    """Weights of an anchor's negatives: exp(beta s / T) over its mean."""
    raw = [math.exp(hardness * s / temperature) for s in similarities]
    return [w * len(raw) / sum(raw) for w in raw]


def per_anchor(
    first: Tensor, second: Tensor, temperature: float, hardness: float = 0.0, class_prior: float = 0.0
) -> list[float]:
    """The loss of each anchor, one pair of cells after the other."""
    z = [[float(v) / math.hypot(*row) for v in row] for row in [*first.tolist(), *second.tolist()]]
    cells = len(first)
    losses = []
    for k in range(2 * cells):
        partner = k + cells if k < cells else k - cells
        similarity = [sum(a * b for a, b in zip(z[k], row, strict=True)) for row in z]
        negatives = [similarity[m] for m in range(2 * cells) if m not in (k, partner)]
        weights = importance(negatives, temperature, hardness)
        positive = math.exp(similarity[partner] / temperature)
        total = sum(w * math.exp(s / temperature) for w, s in zip(weights, negatives, strict=True))
        if class_prior:
            n = len(negatives)
            total = max((total - class_prior * n * positive) / (1 - class_prior), n * math.exp(-1 / temperature))
        losses.append(math.log((positive + total) / positive))
    return losses


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def loss(temperature: float, hardness: float = 0.0, class_prior: float = 0.0) -> float:
    return float(contrastive_loss(FIRST, SECOND, temperature, hardness, class_prior))


@pytest.mark.parametrize(
    ("temperature", "expected"), [(0.1, 0.5032148549), (0.4, 0.5780655999), (0.5, 0.6619455592)], ids=str
)
def test_plain_loss_is_the_published_nt_xent(temperature: float, expected: float) -> None:
    assert loss(temperature) == pytest.approx(expected, abs=DIGITS)


@pytest.mark.parametrize(
    ("temperature", "hardness", "expected"),
    [
        (0.5, 0.5, 0.8378432407),
        (0.5, 1.0, 0.9387060599),
        (0.5, 2.0, 1.0154386315),
        (0.4, 0.5, 0.7887349315),
        (0.4, 1.0, 0.8900290965),
        (0.4, 2.0, 0.9490306163),
        (0.1, 1.0, 0.7162757764),
    ],
    ids=str,
)
def test_hard_negatives_weigh_as_published(temperature: float, hardness: float, expected: float) -> None:
    assert loss(temperature, hardness) == pytest.approx(expected, abs=DIGITS)


@pytest.mark.parametrize(
    ("class_prior", "expected"), [(0.0, 0.9387060599), (0.05, 0.8876177920), (0.1, 0.8409836091)], ids=str
)
def test_debiased_loss_allows_for_negatives_of_the_same_class(class_prior: float, expected: float) -> None:
    assert loss(0.5, 1.0, class_prior) == pytest.approx(expected, abs=DIGITS)


def test_a_trace_of_hardness_changes_almost_nothing() -> None:
    assert 0 < abs(loss(0.5, 1e-6) - loss(0.5)) < 2e-6


def test_four_identical_orthogonal_pairs() -> None:
    cells = torch.eye(4, dtype=torch.float64)
    expected = -2 + math.log(math.exp(2) + 6)
    assert expected == pytest.approx(0.5944376642, abs=DIGITS)
    assert float(contrastive_loss(cells, cells, 0.5)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.4, 1.0], ids=str)
@pytest.mark.parametrize("hardness", [0.0, 1.0, 3.0], ids=str)
def test_collapsed_cells_cost_the_same_whatever_the_settings(temperature: float, hardness: float) -> None:
    cells = torch.ones(3, 5, dtype=torch.float64)
    assert float(contrastive_loss(cells, cells, temperature, hardness)) == pytest.approx(math.log(5), abs=1e-12)


class TestTheLoopsThemselves:
    """The twin is only worth something if it meets the numbers as well."""

    def test_each_anchor(self) -> None:
        expected = [0.5402150802, 0.6800076764, 0.4652178797, 1.4148714206, 0.6800076764, 0.1913536218]
        assert per_anchor(FIRST, SECOND, 0.5) == pytest.approx(expected, abs=DIGITS)

    def test_importance_weights(self) -> None:
        weights = importance([0.2, 0.8, -0.5], 0.4, 1.0)
        assert weights == pytest.approx([0.53046055, 2.37735923, 0.09218022], abs=1e-8)
        assert mean(weights) == pytest.approx(1, abs=1e-12)
        reweighted = [s / 0.4 + math.log(w) for s, w in zip([0.2, 0.8, -0.5], weights, strict=True)]
        assert reweighted == pytest.approx([-0.13400969, 2.86599031, -3.63400969], abs=1e-8)


@pytest.mark.parametrize("temperature", [0.1, 0.4], ids=str)
@pytest.mark.parametrize("hardness", [0.0, 1.0, 2.5], ids=str)
@pytest.mark.parametrize("class_prior", [0.0, 0.05], ids=str)
def test_loss_equals_its_loops_on_random_cells(temperature: float, hardness: float, class_prior: float) -> None:
    first, second = torch.randn(2, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = mean(per_anchor(first, second, temperature, hardness, class_prior))
    found = contrastive_loss(first, second, temperature, hardness, class_prior)
    assert float(found) == pytest.approx(expected, abs=1e-10)


def test_length_of_vectors_and_order_of_views_do_not_matter() -> None:
    scaled = contrastive_loss(FIRST * 7, SECOND * 0.01, 0.4, 1.0)
    swapped = contrastive_loss(SECOND, FIRST, 0.4, 1.0)
    assert float(scaled) == pytest.approx(loss(0.4, 1.0), abs=1e-12)
    assert float(swapped) == pytest.approx(loss(0.4, 1.0), abs=1e-12)


@pytest.mark.parametrize("hardness", [0.0, 1.0], ids=str)
@pytest.mark.parametrize("class_prior", [0.0, 0.05], ids=str)
def test_gradients_are_those_of_the_loss(hardness: float, class_prior: float) -> None:
    first, second = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    first, second = first.requires_grad_(True), second.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, 0.4, hardness, class_prior), (first, second))


def test_half_precision_is_computed_in_single() -> None:
    half = contrastive_loss(FIRST.bfloat16(), SECOND.bfloat16(), 0.4, 1.0)
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(loss(0.4, 1.0), abs=1e-6)


def test_opposite_and_identical_cells_stay_finite_at_low_temperature() -> None:
    cells = torch.tensor([(1.0, 0.0), (1.0, 0.0), (-1.0, 0.0)], requires_grad=True)
    value = contrastive_loss(cells, cells.detach().flip(0), 0.01, 2.0)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(cells.grad).all()


def test_each_level_is_learned_from_the_cells_that_have_a_label_there() -> None:
    fine, coarse = torch.randn(4, 3), torch.randn(4, 2)
    found = cross_entropies([fine, coarse], torch.tensor([[0, 2, 1, -1], [-1, -1, 1, 0]]))
    by_hand = -fine.log_softmax(1)[[0, 1, 2], [0, 2, 1]].mean(), -coarse.log_softmax(1)[[2, 3], [1, 0]].mean()
    torch.testing.assert_close(found, torch.stack(by_hand))
    none = cross_entropies([fine, coarse], torch.tensor([[0, 2, 1, -1], [-1, -1, -1, -1]]))
    torch.testing.assert_close(none, torch.stack([by_hand[0], torch.tensor(0.0)]))
