"""BA-scVI's network: what may depend on the batch and what not, who learns from which loss, published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.distributions import NegativeBinomial
from torch.nn import functional as F

from explorer.networks.bascvi import Adversary, BascviNet, Discriminator, slots
from explorer.networks.sparse import SparseCells, SparseRows

CELLS, GENES, HIDDEN = 24, 30, 16
SIZES = (2, 3)  # studies and samples


@pytest.fixture
def network() -> BascviNet:
    torch.manual_seed(0)
    return BascviNet(GENES, SIZES, HIDDEN, 2, 5).eval()


@pytest.fixture
def adversary() -> Adversary:
    torch.manual_seed(1)
    return Adversary(HIDDEN, SIZES)


@pytest.fixture
def counts() -> Tensor:
    """24 cells, half of the genes expressed; one cell without any."""
    draw = torch.Generator().manual_seed(0)
    made = torch.poisson(torch.rand(CELLS, GENES, generator=draw), generator=draw)
    made[5] = 0
    return made


@pytest.fixture
def batch() -> Tensor:
    """Study and sample of each cell."""
    sample = torch.arange(CELLS) % 3
    return torch.stack([sample // 2, sample], 1)


def another(batch: Tensor) -> Tensor:
    """The next sample, and the other study."""
    return (batch + 1) % torch.tensor(SIZES)


def rows(x: Tensor) -> SparseRows:
    matrix = sparse.csr_matrix(x.numpy())
    cells = SparseCells.of(matrix.indptr, matrix.indices, matrix.data, x.shape[1])
    return cells.rows(torch.arange(len(cells)))


def likelihood(network: BascviNet, counts: Tensor, batch: Tensor, measured: Tensor) -> Tensor:
    decoded = network.decoded(network(rows(counts.log1p())), batch)
    return network.log_likelihood(decoded, rows(counts), counts.sum(1), measured)


class TestEncoder:
    def test_sparse_and_dense_input_give_the_same(self, network: BascviNet, counts: Tensor) -> None:
        torch.testing.assert_close(network(rows(counts)), network.dense(counts))

    def test_a_cell_is_placed_at_the_mean_of_where_it_may_lie(self, network: BascviNet, counts: Tensor) -> None:
        encoded = network.encode(rows(counts))
        torch.testing.assert_close(network(rows(counts)), encoded.mean)
        assert (encoded.variance > 1e-4).all()
        draws = torch.stack([encoded.draw(torch.Generator().manual_seed(s)) for s in range(2000)])
        torch.testing.assert_close(draws.mean(0), encoded.mean, atol=0.15, rtol=0)
        torch.testing.assert_close(draws.var(0), encoded.variance, atol=0, rtol=0.25)

    def test_a_cell_alone_gives_what_it_gives_in_a_minibatch(self, network: BascviNet, counts: Tensor) -> None:
        alone = torch.cat([network(rows(counts[i : i + 1])) for i in range(CELLS)])
        torch.testing.assert_close(alone, network(rows(counts)), atol=1e-6, rtol=0)


class TestDecoder:
    def test_the_batch_changes_expression_and_nothing_before_it(self, network: BascviNet, batch: Tensor) -> None:
        z = torch.randn(CELLS, 5, generator=torch.Generator().manual_seed(0))
        one, other = network.decoded(z, batch), network.decoded(z, another(batch))
        torch.testing.assert_close(one.hidden, other.hidden)
        assert (one.log_share - other.log_share).abs().mean() > 0.01
        torch.testing.assert_close(one.log_share.exp().sum(1), torch.ones(CELLS))

    def test_each_level_has_its_own_slots(self) -> None:
        """The first of two studies and the second of four samples."""
        vector = torch.zeros(6)
        vector[slots(torch.tensor([[1, 2]]), (2, 4))[0]] = 1
        assert vector.tolist() == [0, 1, 0, 0, 1, 0]

    def test_rows_of_a_batch_are_a_linear_layer_of_its_multi_hot_vector(
        self, network: BascviNet, batch: Tensor
    ) -> None:
        z = torch.randn(CELLS, 5, generator=torch.Generator().manual_seed(0))
        hidden = F.relu(network.decoder_norms[0](network.decode(z)))
        for layer, added, norm in zip(network.decoder, network.batches, network.decoder_norms[1:], strict=True):
            joined = torch.cat([layer.weight, added.weight.T], 1)  # type: ignore[union-attr, list-item]
            multi_hot = torch.cat([F.one_hot(batch[:, 0], 2), F.one_hot(batch[:, 1], 3)], 1).float()
            linear = torch.cat([hidden, multi_hot], 1) @ joined.T + layer.bias
            hidden = F.relu(norm(linear))
        expected = F.log_softmax(network.output(hidden), 1)
        torch.testing.assert_close(network.decoded(z, batch).log_share, expected)

    def test_likelihood_equals_its_definition(self, network: BascviNet, counts: Tensor, batch: Tensor) -> None:
        network = network.double()
        counts = counts.double()
        measured = (torch.rand(CELLS, GENES, generator=torch.Generator().manual_seed(3)) < 0.7).double()
        decoded = network.decoded(torch.randn(CELLS, 5).double(), batch)
        mean = decoded.log_share.exp() * counts.sum(1).clamp_min(1e-8)[:, None]
        dispersion = network.log_dispersion.exp()
        nb = NegativeBinomial(dispersion, logits=mean.log() - dispersion.log()).log_prob(counts).exp()
        lost = torch.sigmoid(decoded.dropout_logits)
        expected = (((1 - lost) * nb + lost * (counts == 0)).log() * measured).sum(1)
        found = network.log_likelihood(decoded, rows(counts), counts.sum(1), measured)
        torch.testing.assert_close(found, expected)

    def test_a_gene_that_was_not_measured_does_not_count(
        self, network: BascviNet, counts: Tensor, batch: Tensor
    ) -> None:
        """Not its observed count, its dispersion or its chance of being lost."""
        measured = torch.ones(CELLS, GENES)
        measured[:, 7] = 0
        changed = counts.clone()
        changed[:, 7] += 3
        decoded = network.decoded(network(rows(counts)), batch)
        totals = counts.sum(1)
        found = network.log_likelihood(decoded, rows(counts), totals, measured)
        torch.testing.assert_close(network.log_likelihood(decoded, rows(changed), totals, measured), found)
        found.sum().backward()
        assert network.log_dispersion.grad[0, 7] == 0
        assert network.dropout_logits.bias.grad[7] == 0
        assert (network.log_dispersion.grad[0, :7] != 0).all()

    def test_one_step_teaches_every_parameter(self, network: BascviNet, counts: Tensor, batch: Tensor) -> None:
        """The dispersion too, which the published code leaves where it started."""
        before = {name: value.detach().clone() for name, value in network.named_parameters()}
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        encoded = network.encode(rows(counts))
        decoded = network.decoded(encoded.draw(torch.Generator().manual_seed(0)), batch)
        network.log_likelihood(decoded, rows(counts), counts.sum(1), torch.ones(CELLS, GENES)).sum().backward()
        optimizer.step()
        for name, value in network.named_parameters():
            assert not torch.equal(value, before[name]), name

    def test_an_empty_cell_is_finite(self, network: BascviNet, counts: Tensor, batch: Tensor) -> None:
        assert torch.isfinite(likelihood(network, counts, batch, torch.ones(CELLS, GENES))).all()


class Columns(nn.Module):
    """Some columns of what it reads."""

    def __init__(self, which: slice) -> None:
        super().__init__()
        self.which = which

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden[:, self.which]


class TestAdversary:
    def test_levels_are_averaged_and_both_places_summed(self) -> None:
        """Two cells: their logits at the levels study and sample, the same in both places."""
        adversary = Adversary(5, (2, 3))
        for guessers in (adversary.of_encoder, adversary.of_decoder):
            for level, columns in enumerate((slice(0, 2), slice(2, 5))):
                guessers[level] = Columns(columns)
        read = torch.tensor([[1.0, 0.0, 0.5, 0.0, 0.0], [0.0, 2.0, 0.0, 0.2, 1.0]], dtype=torch.float64)
        truth = torch.tensor([[0, 0], [1, 2]])
        found = adversary.missed(adversary.of_encoder, read, truth)
        assert found.tolist() == pytest.approx([0.22009485, 0.69583912], abs=1e-7)
        assert found.mean().item() == pytest.approx(0.45796697, abs=1e-7)
        assert adversary(read, read, truth).item() == pytest.approx(0.91593397, abs=1e-7)

    def test_chance(self) -> None:
        """Two and three batches, the mean of both levels, in two places."""
        assert Adversary(4, (2, 3)).chance == pytest.approx(1.79175947, abs=1e-8)

    @pytest.mark.parametrize(
        ("n_batches", "expected"), [(1, 0.0), (2, 0.12692801), (4, 0.26079546), (50, 0.03800269)], ids=str
    )
    def test_normalised_logits_cannot_be_surer_than_this(self, n_batches: int, expected: float) -> None:
        normalise = Discriminator(4, n_batches).layers[-1]
        logits = normalise(1e3 * F.one_hot(torch.arange(n_batches), n_batches).float())
        assert F.cross_entropy(logits, torch.arange(n_batches)).item() == pytest.approx(expected, abs=1e-6)

    def test_each_side_learns_from_its_own_loss_alone(self, adversary: Adversary, batch: Tensor) -> None:
        read = [torch.randn(CELLS, HIDDEN, requires_grad=True) for _ in range(2)]
        adversary.lesson(*read, batch).backward()
        assert all(hidden.grad is None for hidden in read)
        assert all(weights.grad is not None for weights in adversary.parameters())
        adversary.zero_grad()
        adversary.chance = math.inf
        adversary.reward(*read, batch).backward()
        assert all(hidden.grad.abs().sum() > 0 for hidden in read)
        assert all(weights.grad is None for weights in adversary.parameters())

    def test_beyond_chance_there_is_nothing_to_gain(self, adversary: Adversary, batch: Tensor) -> None:
        """Each guess is sure and wrong; hiding the batch any better would only tell it upside down."""
        wrong = F.one_hot(another(batch)[:, 1], HIDDEN).float().requires_grad_(True)
        for _ in range(300):  # taught the wrong batches
            adversary.zero_grad()
            adversary.lesson(wrong, wrong, another(batch)).backward()
            with torch.no_grad():
                for weights in adversary.parameters():
                    weights -= 0.1 * weights.grad
        assert adversary(wrong, wrong, batch) > adversary.chance
        reward = adversary.reward(wrong, wrong, batch)
        assert reward.item() == pytest.approx(adversary.chance)
        reward.backward()
        np.testing.assert_array_equal(wrong.grad, 0)

    def test_a_single_batch_cannot_be_guessed(self) -> None:
        alone = Adversary(HIDDEN, (1,))
        read = torch.randn(CELLS, HIDDEN, requires_grad=True)
        reward = alone.reward(read, read, torch.zeros(CELLS, 1, dtype=torch.int64))
        reward.backward()
        assert reward.item() == 0
        np.testing.assert_array_equal(read.grad, 0)
