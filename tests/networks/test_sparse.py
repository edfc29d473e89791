"""Sparse cells do what dense ones would, at the cost of their values; masks drop what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from explorer.networks.sparse import SparseCells, SparseLinear, SparseRows

N, G, H = 30, 17, 5


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    """Cells of which two have no value at all."""
    made = sparse.random(N, G, 0.3, format="lil", random_state=2, dtype=np.float32)
    made[0] = 0
    made[29] = 0
    return made.tocsr()


def cells_of(matrix: sparse.csr_matrix) -> SparseCells:
    return SparseCells.of(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])


def rows_of(matrix: sparse.csr_matrix) -> SparseRows:
    return cells_of(matrix).rows(torch.arange(matrix.shape[0]))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "which",
    [[0], [29], [3, 3, 3], [29, 0, 7, 12], list(range(N)), []],
    ids=["empty cell", "last", "one cell thrice", "any order", "all", "none"],
)
def test_gathered_rows_are_the_rows_asked_for(matrix: sparse.csr_matrix, which: list[int]) -> None:
    found = cells_of(matrix).rows(torch.tensor(which, dtype=torch.int64))
    assert len(found) == len(which)
    np.testing.assert_array_equal(found.dense().numpy(), matrix[which].toarray())


def test_linear_layer_equals_the_dense_product_and_its_gradients(matrix: sparse.csr_matrix) -> None:
    layer = SparseLinear(G, H)
    torch.nn.init.normal_(layer.bias, generator=generator())
    upstream = torch.randn(N, H, generator=generator(1))
    (layer(rows_of(matrix)) * upstream).sum().backward()
    dense = torch.from_numpy(matrix.toarray())
    weight, bias = (p.detach().clone().requires_grad_(True) for p in (layer.weight, layer.bias))
    product = dense @ weight + bias
    (product * upstream).sum().backward()
    torch.testing.assert_close(layer(rows_of(matrix)), product)
    torch.testing.assert_close(layer.weight.grad, weight.grad)
    torch.testing.assert_close(layer.bias.grad, bias.grad)


def test_a_cell_without_values_gets_the_bias(matrix: sparse.csr_matrix) -> None:
    layer = SparseLinear(G, H)
    torch.nn.init.normal_(layer.bias, generator=generator())
    out = layer(rows_of(matrix))
    torch.testing.assert_close(out[0], layer.bias)
    torch.testing.assert_close(out[29], layer.bias)


def test_weights_start_kaiming_normal_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    layer = SparseLinear(400, 300)
    assert layer.weight.detach().std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert layer.weight.detach().mean().item() == pytest.approx(0, abs=1e-3)
    assert not layer.bias.any()


class TestMasks:
    """100,000 values of 1 to 1,000, so that a kept value can be told by its size."""

    values = np.tile(np.arange(1, 1001, dtype=np.float32), (100, 1))
    cells = rows_of(sparse.csr_matrix(values))

    def kept(self, element: float, feature: float, seed: int = 0) -> np.ndarray:
        return self.cells.masked(element, feature, generator(seed)).dense().numpy()

    def test_published_masks_keep_42_percent(self) -> None:
        share = np.mean([(self.kept(0.4, 0.3, seed) > 0).mean() for seed in range(10)])
        assert share == pytest.approx(0.42, abs=0.01)

    def test_what_stays_keeps_its_value(self) -> None:
        kept = self.kept(0.4, 0.3)
        assert np.isin(kept, [0]).any()
        np.testing.assert_array_equal(kept[kept > 0], self.values[kept > 0])

    def test_a_dropped_gene_is_dropped_from_all_cells_of_a_view(self) -> None:
        of_gene = (self.kept(0.0, 0.3) > 0).mean(0)
        assert set(of_gene.tolist()) == {0.0, 1.0}
        assert of_gene.mean() == pytest.approx(0.7, abs=0.05)

    def test_each_view_drops_other_genes(self) -> None:
        source = generator()
        first, second = (self.cells.masked(0.0, 0.3, source).dense()[0] > 0 for _ in range(2))
        assert (first != second).any()

    def test_values_are_dropped_one_by_one(self) -> None:
        kept = self.kept(0.4, 0.0) > 0
        assert kept.mean() == pytest.approx(0.6, abs=0.01)
        assert kept.mean(0).std() == pytest.approx((0.6 * 0.4 / 100) ** 0.5, rel=0.1)

    def test_no_mask_changes_nothing(self) -> None:
        np.testing.assert_array_equal(self.kept(0.0, 0.0), self.values)

    def test_zeros_stay_zero(self, matrix: sparse.csr_matrix) -> None:
        masked = rows_of(matrix).masked(0.4, 0.3, generator()).dense().numpy()
        dense = matrix.toarray()
        assert not masked[dense == 0].any()
        assert np.isin(masked, [0, *dense.ravel()]).all()

    def test_everything_can_be_dropped(self, matrix: sparse.csr_matrix) -> None:
        masked = rows_of(matrix).masked(1.0, 0.0, generator())
        assert len(masked) == N
        assert not masked.dense().any()
