"""Scores of genes and proteins: leaving a gene out really does what its contribution says, and where attention lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer.networks.attention import attention, lift
from explorer.networks.concerto import Teacher
from explorer.networks.concerto_modalities import Minibatch, ModalCells, modal_cells
from explorer.networks.concerto_scores import attention_of_unexpressed, attentions, contributions, lifts

N, G, P, D = 20, 30, 5, 8


@pytest.fixture
def teacher() -> Teacher:
    """Weights far enough from zero that attention is not uniform."""
    torch.manual_seed(0)
    made = Teacher([G, P], D, 0.0).eval()
    with torch.no_grad():
        for branch in (made.branch(0), made.branch(1)):
            branch.attention.genes.mul_(20)
            branch.attention.scorer.mul_(3)
    return made


@pytest.fixture
def cells() -> ModalCells:
    """20 cells; proteins were measured in the first 12."""
    rng = np.random.default_rng(0)
    proteins = rng.gamma(2.0, 1.0, (N, P)).astype(np.float32)
    proteins[12:] = np.nan
    expression = sparse.csr_matrix(np.log1p(rng.poisson(0.6, (N, G))).astype(np.float32))
    return modal_cells(expression, proteins, torch.device("cpu"))


def everything(cells: ModalCells) -> Minibatch:
    return cells.span(0, len(cells))


def change_by_hand(teacher: Teacher, x: Minibatch, direction: Tensor, modality: int, gene: int) -> Tensor:
    """How much leaving a gene out changes the pooled vector, times the gradient there, averaged over cells."""
    part = x.parts[modality]
    without = part.x.dense()
    without[:, gene] = 0
    matrix = sparse.csr_matrix(without.numpy())
    left_out = modal_cells(matrix, None, torch.device("cpu")).span(0, len(without)).parts[0].x
    pooled = teacher.branch(modality).attend(part.x).pooled.detach().requires_grad_(True)
    other = x.parts[1 - modality]
    total = torch.zeros(len(x), D).index_add(0, other.at, teacher.branch(1 - modality)(other.x).detach())
    total = total.index_add(0, part.at, teacher.branch(modality).after_pooling(pooled))
    F.cosine_similarity(teacher.after_sum(total), direction[None]).sum().backward()
    change = pooled.detach() - teacher.branch(modality).attend(left_out).pooled.detach()
    return (change * pooled.grad).sum() / len(change)


@pytest.mark.parametrize("modality", [0, 1], ids=["genes", "proteins"])
def test_contribution_is_the_change_without_the_gene(teacher: Teacher, cells: ModalCells, modality: int) -> None:
    direction = torch.randn(D, generator=torch.Generator().manual_seed(2))
    x = everything(cells)
    found = contributions(teacher, x, direction, modality)
    for gene in range(4):
        torch.testing.assert_close(found[gene], change_by_hand(teacher, x, direction, modality, gene))


def test_attention_and_its_remainder_add_up_to_one(teacher: Teacher, cells: ModalCells) -> None:
    x = everything(cells)
    rest = attention_of_unexpressed(teacher, x)
    assert float(attentions(teacher, x).detach().sum() + rest.mean()) == pytest.approx(1, abs=1e-5)
    assert 0 < float(rest.min()) < float(rest.max()) < 1


@torch.no_grad()
def test_scores_are_means_over_the_cells_and_zero_where_nothing_is_expressed(
    teacher: Teacher, cells: ModalCells
) -> None:
    x = everything(cells)
    part = x.parts[0].x
    found = teacher.branch(0).attend(part)
    for score, of_value in ((attentions, attention(found, part)[0]), (lifts, lift(found, part))):
        expected = np.zeros((N, G))
        expected[part.rows, part.indices] = of_value
        np.testing.assert_allclose(score(teacher, x), expected.mean(0), atol=1e-6)
    silent = modal_cells(sparse.csr_matrix((3, G), dtype=np.float32), None, torch.device("cpu"))
    assert not attentions(teacher, everything(silent)).any()
    torch.testing.assert_close(attention_of_unexpressed(teacher, everything(silent)), torch.ones(3))
