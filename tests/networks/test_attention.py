"""Attention over all genes: published formulas worked out by hand, and a dense twin of the sparse form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer.networks.attention import (
    EPSILON,
    EXPRESSED,
    ZERO,
    Attended,
    AttentionPool,
    Norm,
    attention,
    contribution,
    lift,
)
from explorer.networks.sparse import SparseCells, SparseRows

B, G, D = 25, 40, 6
VALUES = (2.0, 0.0, 1.0, 0.0)


def rows(dense: Tensor) -> SparseRows:
    """Cells of a dense float (B, G), in its precision."""
    matrix = sparse.csr_matrix(dense.numpy())
    cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1]).rows(torch.arange(len(dense)))
    return SparseRows(cells.offsets, cells.indices, torch.as_tensor(matrix.data), cells.n_genes)


def per_gene(values: Tensor, x: SparseRows) -> Tensor:
    """Values of expressed genes as dense (B, G), NaN elsewhere."""
    out = torch.full((len(x), x.n_genes), torch.nan, dtype=values.dtype)
    out[x.rows, x.indices] = values.detach()
    return out


@pytest.fixture
def toy() -> AttentionPool:
    """Four genes, two units; values are taken as they are, but for the 1e-5."""
    pool = AttentionPool(4, 2).double().eval()
    parameters = {
        "genes": [[0.5, -0.2], [0.1, 0.4], [-0.3, 0.3], [0.2, 0.2]],
        "projection": [[1.0, 0.5], [-0.5, 1.0]],
        "bias": [0.1, -0.1],
        "scorer": [1.0, -1.0],
        "norm.weight": [(1 + EPSILON) ** 0.5],
        "norm.mean": [0.0],
    }
    exact = {name: torch.tensor(value, dtype=torch.float64) for name, value in parameters.items()}
    pool.load_state_dict(exact, strict=False)
    return pool


@pytest.fixture
def pool() -> AttentionPool:
    """Weights far enough from zero that attention is not uniform."""
    torch.manual_seed(0)
    made = AttentionPool(G, D).double()
    with torch.no_grad():
        made.genes.mul_(20)
        made.scorer.mul_(3)
        made.bias.normal_()
        made.norm.weight.fill_(1.3)
        made.norm.bias.fill_(-0.2)
    return made


@pytest.fixture
def expression() -> Tensor:
    """25 cells; the first expresses nothing, the last everything."""
    rng = np.random.default_rng(0)
    made = np.log1p(rng.poisson(0.5, (B, G)) * rng.gamma(2.0, 1.0, (B, G)))
    made[0] = 0
    made[-1] += 0.5
    return torch.from_numpy(made)


def dense_twin(pool: AttentionPool, x: Tensor) -> tuple[Tensor, Tensor]:
    """The published formulas over all genes: attention (B, G) and pooled (B, d)."""
    value = x + ZERO
    if pool.norm.training:
        mean, var = value.mean(), value.var(unbiased=False)
    else:
        mean, var = pool.norm.mean, pool.norm.var
    standardised = pool.norm.weight * (value - mean) / (var + EPSILON).sqrt() + pool.norm.bias
    scaled = standardised[:, :, None] * pool.genes  # (B, G, d)
    logits = (scaled @ pool.projection + pool.bias).tanh() @ pool.scorer
    weights = F.softmax(logits, 1)
    return weights, (weights[:, :, None] * scaled).sum(1)


def all_weights(pool: AttentionPool, x: Tensor) -> tuple[Attended, Tensor]:
    """What the sparse form gives, and its attention to all genes (B, G)."""
    found = pool(rows(x))
    share, _ = attention(found, rows(x))
    everywhere = found.zero_weights.detach() / found.total.detach()[:, None]
    of_expressed = per_gene(share, rows(x))
    return found, torch.where(of_expressed.isnan(), everywhere, of_expressed)


class TestToy:
    def test_attention_over_all_genes(self, toy: AttentionPool) -> None:
        found, weights = all_weights(toy, torch.tensor([VALUES]).double())
        expected = [0.4313505619, 0.2224125428, 0.1238243525, 0.2224125428]
        np.testing.assert_allclose(weights[0], expected, atol=1e-5)
        np.testing.assert_allclose(found.pooled.detach()[0], [0.3942032562, -0.1353929190], atol=1e-5)
        np.testing.assert_allclose(found.pooled.detach().tanh()[0], [0.3749781510, -0.1345716337], atol=1e-5)

    def test_attention_over_expressed_genes(self, toy: AttentionPool) -> None:
        toy.attend = EXPRESSED
        found, weights = all_weights(toy, torch.tensor([VALUES, (0.0, 0.0, 0.0, 0.0)]).double())
        np.testing.assert_allclose(weights[0], [0.7769633510, 0, 0.2230366490, 0], atol=1e-5)
        np.testing.assert_allclose(found.pooled.detach()[0], [0.7100523563, -0.2438743457], atol=1e-4)
        assert not found.pooled[1].any()
        assert not weights[1].any()

    def test_with_standardised_values(self, toy: AttentionPool) -> None:
        with torch.no_grad():
            toy.norm.weight.fill_(1.0)
        toy.norm.mean.fill_(0.3)
        toy.norm.var.fill_(0.49)
        found, weights = all_weights(toy, torch.tensor([VALUES]).double())
        np.testing.assert_allclose(found.values.detach(), [2.4261113522, 0.9989954222], atol=1e-9)
        assert found.zero_value.item() == pytest.approx(-0.4281205079, abs=1e-9)
        expected = [0.4085714129, 0.2561282603, 0.1136894672, 0.2216108596]
        np.testing.assert_allclose(weights[0], expected, atol=1e-9)
        np.testing.assert_allclose(found.pooled.detach()[0], [0.4316066876, -0.2270121066], atol=1e-9)
        # weights are relative to the heaviest unexpressed gene's, which the published sums are not
        relative = (found.zero_weights / found.zero_weights.sum()).sum().item()
        assert relative == pytest.approx(1.0)
        assert (found.total / found.zero_weights.sum()).item() == pytest.approx(5.9804862845 / 5.3870612690, abs=1e-9)


class TestSparseForm:
    @pytest.mark.parametrize("training", [True, False], ids=["minibatch statistics", "buffers"])
    def test_equals_the_dense_one(self, pool: AttentionPool, expression: Tensor, training: bool) -> None:
        pool.train(training)
        expected_weights, expected = dense_twin(pool, expression)
        found, weights = all_weights(pool, expression)
        torch.testing.assert_close(found.pooled, expected, atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(weights, expected_weights.detach(), atol=1e-12, rtol=1e-10)

    @pytest.mark.parametrize("chunk", [7, 4096], ids=str)
    def test_has_the_same_gradients(
        self, pool: AttentionPool, expression: Tensor, chunk: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("explorer.networks.attention.CHUNK", chunk)
        upstream = torch.randn(B, D, generator=torch.Generator().manual_seed(1)).double()
        (dense_twin(pool.train(), expression)[1] * upstream).sum().backward()
        expected = {name: p.grad.clone() for name, p in pool.named_parameters() if p.grad is not None}
        assert len(expected) == 6
        pool.zero_grad()
        (pool(rows(expression)).pooled * upstream).sum().backward()
        for name, parameter in pool.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-10, rtol=1e-8, msg=name)

    def test_in_single_precision(self, pool: AttentionPool, expression: Tensor) -> None:
        exact = dense_twin(pool.eval(), expression)[1]
        torch.testing.assert_close(
            pool.float()(rows(expression.float())).pooled, exact.float(), atol=1e-5, rtol=1e-4
        )

    def test_weights_sum_to_one(self, pool: AttentionPool, expression: Tensor) -> None:
        _, weights = all_weights(pool.eval(), expression)
        torch.testing.assert_close(weights.sum(1), torch.ones(B).double())
        share, rest = attention(pool(rows(expression)), rows(expression))
        torch.testing.assert_close(per_gene(share, rows(expression)).nansum(1) + rest.detach(), torch.ones(B).double())

    def test_a_cell_without_expression_is_finite(self, pool: AttentionPool) -> None:
        found = pool.eval()(rows(torch.zeros(1, G).double()))
        constant = found.zero_value * (found.zero_weights @ pool.genes) / found.zero_weights.sum()
        torch.testing.assert_close(found.pooled[0], constant)
        assert torch.isfinite(found.pooled).all()

    def test_extreme_logits_are_finite(self, pool: AttentionPool, expression: Tensor) -> None:
        with torch.no_grad():
            pool.scorer.mul_(10)
        assert torch.isfinite(pool.eval().float()(rows(expression.float())).pooled).all()


class TestScores:
    def without(self, expression: Tensor, cell: int, gene: int) -> Tensor:
        left_out = expression[cell : cell + 1].clone()
        left_out[0, gene] = 0
        return left_out

    def test_contribution_is_the_change_when_a_gene_is_left_out(
        self, pool: AttentionPool, expression: Tensor
    ) -> None:
        pool.eval()
        toward = torch.randn(B, D, generator=torch.Generator().manual_seed(3)).double()
        x = rows(expression)
        found = pool(x)
        scores = per_gene(contribution(found, x, pool.genes, toward), x)
        for cell, gene in ((1, int(x.indices[0])), (12, 5), (24, 0), (24, 39)):
            changed = pool(rows(self.without(expression, cell, gene))).pooled[0]
            expected = 0.0 if expression[cell, gene] == 0 else ((found.pooled[cell] - changed) @ toward[cell]).item()
            assert float(scores[cell, gene].nan_to_num()) == pytest.approx(expected, abs=1e-12)

    def test_lift_is_how_much_heavier_a_gene_got(self, pool: AttentionPool, expression: Tensor) -> None:
        pool.eval()
        x = rows(expression)
        lifts = per_gene(lift(pool(x), x), x)
        _, weights = all_weights(pool, expression)
        _, before = all_weights(pool, self.without(expression, 24, 3))
        # relative to another gene, which did not change
        expected = (weights[24, 3] / weights[24, 4]).log() - (before[0, 3] / before[0, 4]).log()
        assert float(lifts[24, 3]) == pytest.approx(expected.item(), abs=1e-10)


class TestStatistics:
    def test_of_values_count_every_gene(self) -> None:
        pool = AttentionPool(3, 2).double().train()
        pool.norm.count_cells(True)
        x = torch.tensor([[2.0, 0, 1], [0, 0, 3]]).double()
        found = pool(rows(x))
        assert float(pool.norm.mean) == pytest.approx(1.00001, abs=1e-12)
        assert float(pool.norm.var) == pytest.approx(1.3333333333, abs=1e-9)
        assert found.zero_value.item() == pytest.approx(-0.8657008268, abs=1e-9)
        assert found.values[0].item() == pytest.approx(0.8657008268, abs=1e-9)

    def test_running_variance_keeps_a_residue_of_its_start(self) -> None:
        norm = Norm(3).train()
        for _ in range(50):
            norm(torch.zeros(8, 3))
        torch.testing.assert_close(norm.var, torch.full((3,), 0.99**50))

    def test_normalises_like_batch_norm(self) -> None:
        torch.manual_seed(0)
        x = torch.randn(20, 5)
        ours, theirs = Norm(5).train(), torch.nn.BatchNorm1d(5, eps=EPSILON).train()
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(ours.mean, x.mean(0) * 0.01)

    def test_counted_buffers_weigh_minibatches_by_their_cells(self) -> None:
        torch.manual_seed(0)
        parts = [torch.randn(n, 4) * 3 + n for n in (5, 20, 9)]
        norm = Norm(4).train()
        norm.count_cells(True)
        for part in parts:
            norm(part)
        np.testing.assert_allclose(norm.mean, torch.cat(parts).mean(0), rtol=1e-5)
        spread = sum(len(part) * part.var(0, unbiased=False) for part in parts) / 34
        np.testing.assert_allclose(norm.var, spread, rtol=1e-5)
