"""Concerto's two networks: their published size, a dense twin of the student, views, batch norm statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer.networks.attention import EPSILON, ZERO, Norm
from explorer.networks.concerto import ConcertoNet, Student, Teacher, Views, estimate_statistics, views_loss
from explorer.networks.concerto_modalities import Minibatch
from explorer.networks.losses import contrastive_loss
from explorer.networks.sparse import SparseCells

B, G, D = 30, 50, 16
VIEWS = Views(0.2, 0.2, 0.0, 0.2)


@pytest.fixture
def network() -> ConcertoNet:
    torch.manual_seed(0)
    return ConcertoNet([G], D, 0.1)


@pytest.fixture
def expression() -> np.ndarray:
    """30 cells, log1p; the first has no expression."""
    rng = np.random.default_rng(0)
    made = np.log1p(rng.poisson(0.4, (B, G)) * rng.gamma(2, 1, G)).astype(np.float32)
    made[0] = 0
    return made


def rows(expression: np.ndarray) -> Minibatch:
    matrix = sparse.csr_matrix(expression)
    cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])
    return Minibatch.of(cells.rows(torch.arange(len(cells))))


def dense_student(student: Student, x: Tensor) -> Tensor:
    """The published layers, one after the other; the 1e-5 that the first removes again included."""
    value = x + ZERO
    branch = student.branches[0]
    mean, var = value.mean(0), value.var(0, unbiased=False)
    normed = (value - mean) / (var + EPSILON).sqrt() * branch.gene_norm.weight + branch.gene_norm.bias
    hidden = F.relu(normed @ branch.weight + branch.bias)
    scaled = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + EPSILON).sqrt()
    return F.relu(student.last(scaled * branch.norm.weight + branch.norm.bias))


def test_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in Teacher([2000], 128, 0.1).parameters()) == 289_410
    assert sum(p.numel() for p in Student([2000], 128, 0.1).parameters()) == 276_896


def test_the_sparse_student_is_the_dense_one(expression: np.ndarray) -> None:
    torch.manual_seed(1)
    student = Student([G], D, 0.0).train()
    torch.nn.init.uniform_(student.branches[0].gene_norm.weight, 0.5, 1.5)
    torch.nn.init.normal_(student.branches[0].gene_norm.bias)
    upstream = torch.randn(B, D)
    expected = dense_student(student, torch.from_numpy(expression))
    (expected * upstream).sum().backward()
    gradients = [p.grad.clone() for p in student.parameters()]
    student.zero_grad()
    found = student(rows(expression))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    (found * upstream).sum().backward()
    for parameter, gradient in zip(student.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-3)


class TestTeacher:
    @torch.no_grad()
    def test_embedding_is_not_negative(self, network: ConcertoNet, expression: np.ndarray) -> None:
        assert float(network.eval().teacher(rows(expression)).min()) >= 0

    @torch.no_grad()
    def test_a_cell_alone_gives_what_it_gives_in_a_minibatch(
        self, network: ConcertoNet, expression: np.ndarray
    ) -> None:
        teacher = network.eval().teacher
        alone = torch.cat([teacher(rows(expression[i : i + 1])) for i in range(B)])
        torch.testing.assert_close(alone, teacher(rows(expression)), atol=1e-6, rtol=0)


class TestViews:
    def loss(self, network: ConcertoNet, expression: np.ndarray, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return views_loss(network.train(), rows(expression), VIEWS, torch.Generator().manual_seed(seed))[0]

    def test_are_drawn_from_the_seed_alone(self, network: ConcertoNet, expression: np.ndarray) -> None:
        once, again, other = (self.loss(network, expression, seed).item() for seed in (1, 1, 2))
        assert once == again != other

    def test_both_networks_learn(self, network: ConcertoNet, expression: np.ndarray) -> None:
        self.loss(network, expression, 0).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())

    def test_half_the_published_loss(self) -> None:
        first = torch.tensor([[1.0, 0], [0, 1], [-1, 0]]).double()
        second = torch.tensor([[3.0, 4], [0, 2], [-1, -1]]).double()
        assert 2 * float(contrastive_loss(first, second, 0.1)) == pytest.approx(1.0064297099, abs=1e-10)


class TestStatistics:
    parts = ((0, 12), (12, 20), (20, 30))

    def estimated(self, network: ConcertoNet, expression: np.ndarray, order: tuple[int, ...]) -> dict[str, Tensor]:
        estimate_statistics(network.teacher, [rows(expression[slice(*self.parts[i])]) for i in order])
        return {name: value.clone() for name, value in network.teacher.named_buffers()}

    def test_are_the_mean_over_the_minibatches(self, network: ConcertoNet, expression: np.ndarray) -> None:
        found = self.estimated(network.train(), expression, (0, 1, 2))
        weight = np.array([12, 8, 10]) / B
        values = [expression[slice(*part)].astype(np.float64) + ZERO for part in self.parts]
        scalar = {name.rpartition(".")[2]: value.item() for name, value in found.items() if "attention" in name}
        assert scalar["mean"] == pytest.approx(weight @ [v.mean() for v in values], abs=1e-5)
        assert scalar["var"] == pytest.approx(weight @ [v.var() for v in values], abs=1e-5)
        with torch.no_grad():  # what the second norm meets, from the first one's minibatch statistics
            attend = network.teacher.branches[0].attention.train()
            x = [rows(expression[slice(*part)]).parts[0].x for part in self.parts]
            pooled = [attend(part).pooled.tanh().numpy() for part in x]
        np.testing.assert_allclose(found["branches.0.norm.mean"], weight @ [p.mean(0) for p in pooled], atol=1e-5)
        np.testing.assert_allclose(found["branches.0.norm.var"], weight @ [p.var(0) for p in pooled], atol=1e-5)

    def test_do_not_depend_on_the_order_of_sources(self, network: ConcertoNet, expression: np.ndarray) -> None:
        once, other = (self.estimated(network, expression, order) for order in ((0, 1, 2), (2, 0, 1)))
        for name, value in once.items():
            torch.testing.assert_close(value, other[name], atol=1e-6, rtol=1e-5)

    def test_owe_nothing_to_training_or_dropout(self, network: ConcertoNet, expression: np.ndarray) -> None:
        before = self.estimated(network, expression, (0, 1, 2))
        torch.manual_seed(9)
        network.train()
        network.teacher(rows(expression))
        after = self.estimated(network, expression, (0, 1, 2))
        for name, value in before.items():
            torch.testing.assert_close(value, after[name])

    def test_leave_the_network_ready_to_embed(self, network: ConcertoNet, expression: np.ndarray) -> None:
        buffers = self.estimated(network.train(), expression, (0, 1, 2))
        assert not any(module.training for module in network.teacher.modules() if isinstance(module, Norm))
        with torch.no_grad():
            network.teacher(rows(expression))
        assert all(torch.equal(value, buffers[name]) for name, value in network.teacher.named_buffers())
