"""Concerto's classifier: equation 19 by hand, that unlabelled cells act, what it rejects, how it stops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from explorer.networks.attention import Norm
from explorer.networks.concerto import Teacher, Views
from explorer.networks.concerto_labels import (
    Classifier,
    Consistency,
    Head,
    Unlabelled,
    answers,
    sharpened,
    teach,
)
from explorer.networks.concerto_modalities import ModalCells, modal_cells
from explorer.networks.concerto_tasks import Course
from explorer.networks.training import TrainingLog, constant
from explorer.progress import Progress

LOGITS = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log()
N, G, TYPES = 240, 40, 3
VIEWS = Views(0.1, 0.1, 0.0, 0.2)
CPU = torch.device("cpu")
CODES = np.arange(N) % TYPES


def made(shift: float = 0.0, seed: int = 0) -> ModalCells:
    """Cells of three types with ten genes each of their own; `shift` adds to every gene's rate."""
    rng = np.random.default_rng(seed)
    rate = np.full((N, G), 0.3 + shift)
    for t in range(TYPES):
        rate[np.ix_(t == CODES, np.arange(10 * t, 10 * t + 10))] = 3.0
    expression = np.log1p(rng.poisson(rate)).astype(np.float32)
    return modal_cells(sparse.csr_matrix(expression), None, CPU)


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    teacher = Teacher([G], 16, 0.1)
    return Classifier(teacher, nn.ModuleList(Head(16, n) for n in (TYPES, 2)))


def taught(network: Classifier, epochs: int = 8, patience: int = 0, **more: object) -> TrainingLog:
    codes = np.stack([CODES, CODES // 2])
    course = Course(32, epochs, 1e-2, constant, patience=patience)
    return teach(network, made(), codes, np.zeros(N, int), VIEWS, course, 0, Progress(), **more)


class TestConsistency:
    def test_pseudo_labels_are_sharpened_from_logits(self) -> None:
        found = sharpened(LOGITS, 0.5)[0]
        np.testing.assert_allclose(found, [0.9074074074, 0.0740740741, 0.0185185185], atol=1e-10)
        twice = F.softmax(F.softmax(LOGITS, 1) / 0.5, 1)[0]  # as the authors' code has it
        np.testing.assert_allclose(twice, [0.5991347345, 0.2204093514, 0.1804559142], atol=1e-10)
        assert (found - twice).abs().max() > 0.3

    def test_is_the_cross_entropy_to_the_pseudo_label(self) -> None:
        other = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64)
        q, p = [0.9074074074, 0.0740740741, 0.0185185185], F.softmax(other, 1)[0]
        expected = -sum(a * math.log(b) for a, b in zip(q, p.tolist(), strict=True))
        assert float(Consistency(threshold=0.9).loss(LOGITS, other)) == pytest.approx(expected, abs=1e-9)

    def test_unsure_pseudo_labels_are_left_out(self) -> None:
        unsure = torch.zeros(1, 3, dtype=torch.float64)
        both = Consistency(threshold=0.9).loss(torch.cat([LOGITS, unsure]), torch.zeros(2, 3).double())
        assert float(both) == pytest.approx(math.log(3))
        assert float(Consistency(threshold=0.95).loss(LOGITS, LOGITS)) == 0

    def test_no_gradient_flows_through_the_guess(self) -> None:
        guess, other = LOGITS.clone().requires_grad_(), torch.zeros(1, 3).double().requires_grad_()
        Consistency(threshold=0.0).loss(guess, other).backward()
        assert guess.grad is None
        assert other.grad.abs().sum() > 0

    def test_unlabelled_cells_alone_move_the_network(self) -> None:
        """In the authors' code they do not: its gradient is of the labelled loss."""

        def moved(consistency: Consistency) -> float:
            network = classifier()
            before = [parameter.detach().clone() for parameter in network.parameters()]
            codes = np.full((2, N), -1)  # nothing to learn from labels
            course = Course(32, 1, 1e-2, constant)
            query = Unlabelled(made(0.3, seed=1), np.zeros(N, int))
            teach(
                network, made(), codes, np.zeros(N, int), VIEWS, course, 0, Progress(),
                unlabelled=query, consistency=consistency,
            )
            return sum(float((a - b.detach()).abs().sum()) for a, b in zip(before, network.parameters(), strict=True))

        assert moved(Consistency(weight=1.0, threshold=0.0)) > 1
        assert moved(Consistency(weight=0.0, threshold=0.0)) == 0


class TestLearning:
    def test_labels_of_every_level_are_learned(self) -> None:
        network = classifier()
        taught(network)
        other = made(seed=5)
        fine, coarse = answers(network, other, np.arange(N))
        assert (fine.argmax(1).numpy() == CODES).mean() > 0.95
        assert (coarse.argmax(1).numpy() == CODES // 2).mean() > 0.95

    def test_stops_when_held_out_cells_say_so(self) -> None:
        log = taught(classifier(), epochs=40, patience=2)
        assert len(log.checks) == log.epochs < 40
        assert min(log.checks) < log.checks[0]

    def test_cells_of_another_origin_are_told_apart_after_adaptation(self) -> None:
        network, query = classifier(), made(0.5, seed=3)
        taught(network, unlabelled=Unlabelled(query, np.zeros(N, int)), consistency=Consistency())
        assert (answers(network, query, np.arange(N))[0].argmax(1).numpy() == CODES).mean() > 0.9

    def test_labels_that_those_cells_have_are_learned(self) -> None:
        """One type is labelled in no cell of the reference and in half of the others."""
        network, query = classifier(), made(0.5, seed=3)
        told = np.stack([np.where(CODES == 0, -1, CODES), CODES // 2])
        own = np.stack([CODES, CODES // 2])
        own[:, ::2] = -1
        teach(
            network, made(), told, np.zeros(N, int), VIEWS, Course(32, 8, 1e-2, constant), 0, Progress(),
            unlabelled=Unlabelled(query, np.zeros(N, int), own), consistency=Consistency(),
        )  # fmt: skip
        found = answers(network, query, np.arange(N))[0].argmax(1).numpy()
        silent = (np.arange(N) % 2 == 0) & (CODES == 0)
        assert (found == CODES)[silent].mean() > 0.9

    def test_penalty_leaves_batch_norms_alone(self) -> None:
        network = classifier()
        norms = [module for module in network.modules() if isinstance(module, Norm)]
        with torch.no_grad():
            for norm in norms:
                norm.weight.fill_(2.0)
        codes = np.full((2, N), -1)
        course = Course(32, 1, 1e-2, constant)
        before = network.heads[0].linear.weight.detach().abs().sum()
        teach(network, made(), codes, np.zeros(N, int), VIEWS, course, 0, Progress(), weight_decay=1.0)
        assert network.heads[0].linear.weight.abs().sum() < before
        assert all(bool((norm.weight == 2.0).all()) for norm in norms)


class TestRejection:
    def probabilities(self, largest: list[float], called: list[int]) -> torch.Tensor:
        out = torch.zeros(len(largest), 3)
        for row, (p, label) in enumerate(zip(largest, called, strict=True)):
            out[row] = (1 - p) / 2
            out[row, label] = p
        return out

    def test_scale_comes_from_held_out_cells(self) -> None:
        head = Head(4, 3)
        head.calibrate(self.probabilities([0.5, 0.9, 0.7], [0, 1, 2]))
        found = head.confidence(self.probabilities([0.5, 0.7, 0.9, 0.4, 1.0], [0, 0, 0, 0, 0]))
        torch.testing.assert_close(found, torch.tensor([0.0, 0.5, 1.0, 0.0, 1.0]))

    def test_a_twentieth_of_held_out_cells_would_be_rejected(self) -> None:
        rng = np.random.default_rng(0)
        held_out = self.probabilities(rng.uniform(0.5, 1, 1000).tolist(), rng.integers(0, 3, 1000).tolist())
        head = Head(4, 3)
        head.calibrate(held_out)
        assert float(head.rejects(held_out).float().mean()) == pytest.approx(0.05, abs=0.005)

    def test_a_common_label_has_a_threshold_of_its_own(self) -> None:
        sure, unsure = np.linspace(0.9, 1.0, 100), np.linspace(0.4, 0.6, 100)
        head = Head(4, 3)
        head.calibrate(self.probabilities([*sure, *unsure, 0.95], [0] * 100 + [1] * 100 + [2]))
        rejected = head.rejects(self.probabilities([0.8, 0.8, 0.41], [0, 1, 1]))
        assert rejected.tolist() == [True, False, False]

    def test_without_held_out_cells_nothing_is_rejected(self) -> None:
        head = Head(4, 3)
        head.calibrate(torch.zeros(0, 3))
        assert not bool(head.rejects(self.probabilities([0.34], [0])).any())
