"""The student's anchors and losses: published numbers and slow twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.networks.kida import KidaNet
from explorer.networks.kida_student import (
    anchors,
    clustering_loss,
    distillation_loss,
    entropy,
    median_kernel,
    student_loss,
    teach,
)
from explorer.progress import Progress

ANSWERS = torch.tensor(
    [
        [0.97, 0.02, 0.01], [0.6, 0.3, 0.1], [0.34, 0.33, 0.33], [0.9, 0.05, 0.05], [0.5, 0.49, 0.01],
        [0.1, 0.8, 0.1], [0.05, 0.9, 0.05], [0.2, 0.5, 0.3], [0.01, 0.98, 0.01], [0.3, 0.3, 0.4],
    ],
    dtype=torch.float64,
)  # fmt: skip
PLACES = torch.tensor([[0, 0], [1, 0], [0, 2], [2, 2]], dtype=torch.float64)
THREE = torch.tensor([[2, 0, -1], [1.5, 0.5, 0], [-1, 2, 0], [0, 0, 1]], dtype=torch.float64)
FOUR = torch.tensor([[2, 0, -1, 0], [1.5, 0.5, 0, 0], [-1, 2, 0, 0], [0, 0, 1, 3]], dtype=torch.float64)


def printed_kernel(z: Tensor) -> Tensor:
    """As the paper has it."""
    return torch.exp(-torch.cdist(z, z).square())


def test_entropy_of_the_published_example() -> None:
    told = [0.153838, 0.897946, 1.098513, 0.394398, 0.742167, 0.639032, 0.394398, 1.029653, 0.111902, 1.088900]
    np.testing.assert_allclose(entropy(ANSWERS), told, atol=1e-6)
    assert entropy(torch.tensor([[1.0, 0.0]])).tolist() == [0.0]


def test_anchors_of_the_published_example() -> None:
    """Cells 0 and 3 of the first class, 6 and 8 of the second, 9, though unsure, of the third."""
    assert anchors(ANSWERS, 0.4).tolist() == [0, 3, 6, 8, 9]
    assert torch.nonzero(ANSWERS.amax(1) < 0.7)[:, 0].tolist() == [1, 2, 4, 7, 9]


def test_of_equally_sure_cells_the_first_are_anchors() -> None:
    assert anchors(torch.tensor([[0.9, 0.1]] * 5), 0.4).tolist() == [0, 1]


def test_distillation_of_the_published_example() -> None:
    teacher = torch.tensor([[3, 0, 0], [0, 1, 2]], dtype=torch.float64)
    student = torch.tensor([[1, 1, 0], [0, 0, 0]], dtype=torch.float64)
    each = [float(distillation_loss(student[i : i + 1], teacher[i : i + 1])) for i in (0, 1)]
    np.testing.assert_allclose(each, [0.094675, 0.036035], atol=1e-6)
    assert float(distillation_loss(student, teacher)) == pytest.approx(0.06535511, abs=1e-8)
    assert float(distillation_loss(teacher, teacher)) == pytest.approx(0, abs=1e-12)


def test_clustering_of_the_published_example() -> None:
    """With three classes the printed factor 1 / C and ours, 2 / (C (C - 1)), are the same; with four not."""
    assert float(clustering_loss(THREE.softmax(1), printed_kernel(PLACES))) == pytest.approx(0.42681228, abs=1e-7)
    assert float(clustering_loss(FOUR.softmax(1), printed_kernel(PLACES))) == pytest.approx(0.49737656, abs=1e-7)
    assert float(clustering_loss(FOUR.softmax(1), median_kernel(PLACES))) == pytest.approx(0.51185129, abs=1e-6)


def test_clustering_of_certain_answers() -> None:
    certain = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2]]
    assert float(clustering_loss(certain, printed_kernel(PLACES)) * 3) == pytest.approx(0.03773930, abs=1e-7)
    assert float(clustering_loss(certain, torch.eye(4, dtype=torch.float64))) == 0


def test_the_printed_kernel_sees_no_two_cells_alike() -> None:
    """Class tokens of 48 units after normalisation: the reason why the median's is taken."""
    z = torch.nn.functional.layer_norm(torch.randn(64, 48, generator=torch.Generator().manual_seed(0)), (48,))
    off = ~torch.eye(64, dtype=torch.bool)
    assert printed_kernel(z)[off].max() < 1e-15
    assert median_kernel(z)[off].median() == pytest.approx(np.exp(-1 / 0.3), rel=0.05)


def test_classes_that_no_cell_has_are_not_told_apart() -> None:
    z, told = torch.randn(6, 4), torch.zeros(6, 3)
    two = torch.tensor([[5.0, 1, -20], [4, 2, -20], [1, 6, -20], [0, 3, -20], [2, 1, -20], [1, 2, -20]])
    found = student_loss(z, [two], [told], 3.0, distil=0.0, cluster=1.0)
    torch.testing.assert_close(found, clustering_loss(two.softmax(1)[:, :2], median_kernel(z)))
    one = torch.tensor([[9.0, 0, 0]] * 6)
    assert float(student_loss(z, [one], [told], 3.0, distil=0.0, cluster=1.0)) == 0


def test_a_student_comes_nearer_to_what_it_is_told() -> None:
    torch.manual_seed(0)
    student = KidaNet([np.arange(4), np.arange(3, 8)], 8, [3, 2], 8, 1, 2, 0.0, np.empty(0, int))
    x = torch.rand(60, 8)
    which = torch.arange(0, 60, 2)
    told = [torch.randn(30, 3) * 0.1 + torch.tensor([2.0, 0, 0]), torch.zeros(30, 2)]

    @torch.no_grad()
    def apart() -> float:
        answers = student.eval().logits(student(x[which]))
        return sum(float(distillation_loss(own, of, 3.0)) for own, of in zip(answers, told, strict=True))

    before = apart()
    teach(
        student, lambda rows: x[rows], which, told, temperature=3.0, distil=1.0, cluster=0.0, batch_size=16, epochs=3,
        lr=1e-3, rng=np.random.default_rng(0), progress=Progress(),
    )  # fmt: skip
    assert apart() < before / 2
