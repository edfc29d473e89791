"""KIDA's tokens, attention and sampling: published numbers, slow twins, and a pathway that was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer.networks.kida import (
    Attention,
    Block,
    KidaNet,
    PathwayTokens,
    balanced_minibatches,
    passed_back,
    pathway_attribution,
)
from explorer.progress import Progress

SETS, SIZE, WIDTH = 12, 5, 4
DISJOINT = [np.arange(j * SIZE, (j + 1) * SIZE) for j in range(SETS)]
OVERLAPPING = [np.array([0, 1]), np.array([1, 2, 3]), np.array([5])]


@pytest.fixture
def tokens() -> PathwayTokens:
    """Twelve pathways of five genes each, no gene in two of them."""
    torch.manual_seed(0)
    return PathwayTokens(DISJOINT, SETS * SIZE, WIDTH)


def masked(layer: PathwayTokens, pathways: list[np.ndarray], n_genes: int) -> Tensor:
    """The weights as one masked matrix, pathways first, as published: float (P, G, h)."""
    weight = torch.zeros(len(pathways), n_genes, layer.weight.shape[2])
    for j, at in enumerate(pathways):
        weight[j, at] = layer.weight[j, : len(at)].detach()
    return weight


def moved(before: Tensor, after: Tensor) -> Tensor:
    """Which tokens differ, bool (B, P)."""
    return ((before - after).abs() > 1e-6).any(2)


def test_tokens_of_the_published_example() -> None:
    """Genes 0 and 1 in the first pathway, 1, 2 and 3 in the second; weights counted up in tenths."""
    full = torch.arange(1, 17).reshape(2, 4, 2) / 10
    layer = PathwayTokens([np.array([0, 1]), np.array([1, 2, 3])], 4, 2)
    with torch.no_grad():
        layer.weight[0, :2], layer.weight[1] = full[0, [0, 1]], full[1, [1, 2, 3]]
        layer.bias.zero_()
    found = layer(torch.tensor([[1.0, 2.0, 0.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[[0.7, 1.0], [6.7, 7.2]]]))


def test_tokens_equal_a_masked_matrix() -> None:
    layer = PathwayTokens(OVERLAPPING, 6, 7)
    x = torch.rand(9, 6)
    slow = torch.einsum("bg,pgh->bph", x, masked(layer, OVERLAPPING, 6)) + layer.bias
    torch.testing.assert_close(layer(x), slow)


def test_a_planted_pathway_moves_its_own_token_and_no_other(tokens: PathwayTokens) -> None:
    """Each of twelve cells has another pathway switched on."""
    x = torch.rand(1, SETS * SIZE).expand(SETS, -1)
    planted = x.clone()
    for cell, at in enumerate(DISJOINT):
        planted[cell, at] += 1
    assert torch.equal(moved(tokens(x), tokens(planted)), torch.eye(SETS, dtype=torch.bool))


def test_the_published_reshape_would_leak_it(tokens: PathwayTokens) -> None:
    """Ordered by pathway and reshaped as if ordered by unit: the planted pathway shows in four tokens."""
    weight = masked(tokens, DISJOINT, SETS * SIZE)

    def scrambled(x: Tensor) -> Tensor:
        return torch.einsum("bg,pgh->bph", x, weight).reshape(len(x), WIDTH, SETS).transpose(1, 2)

    x = torch.rand(1, SETS * SIZE).expand(SETS, -1)
    planted = x.clone()
    for cell, at in enumerate(DISJOINT):
        planted[cell, at] += 1
    leaked = moved(scrambled(x), scrambled(planted))
    assert (leaked.sum(1) == 4).all()
    assert leaked.diagonal().sum() < SETS


def test_every_token_with_the_gene_moves() -> None:
    layer = PathwayTokens(OVERLAPPING, 6, 7)
    x = torch.rand(6, 6)
    members = torch.tensor([[gene in at for at in OVERLAPPING] for gene in range(6)])
    assert torch.equal(moved(layer(x), layer(x + torch.eye(6))), members)


def test_padding_learns_nothing() -> None:
    layer = PathwayTokens(OVERLAPPING, 6, 7)
    layer(torch.rand(9, 6)).sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad[0, 2:] == 0).all()
    assert (layer.weight.grad[0, :2] != 0).all()


TOKENS = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]])  # the class token is the last


@pytest.fixture
def attention() -> Attention:
    """One head with the maps of the published example."""
    attention = Attention(2, 1)
    with torch.no_grad():
        for layer, weight in (
            (attention.query, [[1.0, 0.0], [0.0, 1.0]]),
            (attention.key, [[1.0, 0.5], [0.0, 1.0]]),
            (attention.value, [[1.0, 0.0], [1.0, 1.0]]),
            (attention.out, [[1.0, 0.0], [0.0, 1.0]]),
        ):
            layer.weight.copy_(torch.tensor(weight).T)  # published as x W
            layer.bias.zero_()
    return attention


def test_attention_of_the_published_example(attention: Attention) -> None:
    """The class token asks, of two tokens and itself."""
    found = attention(TOKENS[:, 2:], TOKENS)
    torch.testing.assert_close(found, torch.tensor([[[1.0, 0.470576]]]), atol=1e-5, rtol=0)
    weights = attention.weights(TOKENS[:, 2:], TOKENS)
    torch.testing.assert_close(weights, torch.tensor([[[0.363191, 0.304342, 0.332467]]]), atol=1e-6, rtol=0)


def test_rollout_of_the_published_example(attention: Attention) -> None:
    """Through a second layer of given weights; beside it, the product of whole matrices."""
    first = attention.weights(TOKENS, TOKENS)
    second = torch.tensor([[[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.4, 0.3, 0.3]]])
    row = torch.tensor([[0.0, 0.0, 1.0]])
    found = passed_back(passed_back(row, second), first)
    torch.testing.assert_close(found, torch.tensor([[0.284322, 0.225898, 0.489780]]), atol=1e-6, rtol=0)
    whole = ((second + torch.eye(3)) / 2) @ ((first + torch.eye(3)) / 2)
    torch.testing.assert_close(found, whole[:, 2])
    torch.testing.assert_close(found.sum(1), torch.ones(1))


def test_weights_are_those_that_attention_gathers_by() -> None:
    """With value and output maps that change nothing, what is gathered is the weighted mean of each head's part."""
    torch.manual_seed(0)
    attention = Attention(6, 2)
    with torch.no_grad():
        for layer in (attention.value, attention.out):
            layer.weight.copy_(torch.eye(6))
            layer.bias.zero_()
    tokens = torch.randn(4, 5, 3).repeat(1, 1, 2)  # the same in both heads, so that their mean can be taken first
    found = attention(tokens, tokens)
    heads = found.unflatten(2, (2, 3)).mean(2)
    torch.testing.assert_close(heads, attention.weights(tokens, tokens) @ tokens[:, :, :3])


@pytest.mark.parametrize("free", [[0, 4], []], ids=["with a free token", "without"])
def test_attention_is_told_of_pathways_alone(free: list[int]) -> None:
    """Neither the class token's share nor the free one's is given away as a pathway's."""
    torch.manual_seed(0)
    network = KidaNet(OVERLAPPING, 6, [3], 8, 2, 2, 0.1, np.array(free, int)).eval()
    free_token = bool(free)
    x = torch.rand(5, 6)
    tokens = network.tokens(x)
    assert tokens.shape == (5, 4 + free_token, 8)
    torch.testing.assert_close(tokens[:, 1 + free_token :], network.pathway_tokens(x))
    last = network.blocks[1].weights(network.blocks[0](tokens), 1)[:, 0]
    torch.testing.assert_close(network.attention(x), last[:, 1 + free_token :])
    maps = [network.blocks[0].weights(tokens), network.blocks[1].weights(network.blocks[0](tokens))]
    slow = ((maps[1] + torch.eye(4 + free_token)) / 2) @ ((maps[0] + torch.eye(4 + free_token)) / 2)
    torch.testing.assert_close(network.rollout(x), slow[:, 0, 1 + free_token :])


def test_a_layer_that_keeps_its_first_token_gives_it_what_the_whole_layer_would() -> None:
    torch.manual_seed(0)
    block = Block(8, 2, 0.1).eval()
    tokens = torch.randn(3, 6, 8)
    torch.testing.assert_close(block(tokens, 1), block(tokens)[:, :1])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_order_of_pathways_does_not_matter(depth: int) -> None:
    """Tokens carry no positions: a pathway is known by its weights alone."""
    torch.manual_seed(0)
    network = KidaNet(OVERLAPPING, 6, [3, 2], 8, depth, 2, 0.1, np.array([0, 4])).eval()
    x = torch.rand(5, 6)
    before = network(x)
    order = [2, 0, 1]
    layer = network.pathway_tokens
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        layer.bias.copy_(layer.bias[order].clone())
        layer.members.copy_(layer.members[order].clone())
    torch.testing.assert_close(network(x), before)
    assert [level.shape for level in network.logits(before)] == [(5, 3), (5, 2)]


def test_what_pathways_add_is_the_difference_that_a_cell_makes() -> None:
    """Disjoint pathways and a free token of all genes: nothing is lost on the way, and shares are those of genes."""
    torch.manual_seed(0)
    network = KidaNet(DISJOINT, SETS * SIZE, [3], 8, 2, 2, 0.0, np.arange(SETS * SIZE)).eval()
    starts = torch.rand(2, SETS * SIZE)
    x = starts.mean(0) + torch.rand(4, SETS * SIZE)  # every pathway is expressed more than in the mean cell
    direction = torch.nn.functional.normalize(torch.randn(8), dim=0)
    scores, error = pathway_attribution(network, x, starts, direction, Progress())
    with torch.no_grad():
        reached, begun = (torch.cosine_similarity(network(cells), direction[None], dim=1) for cells in (x, starts))
    assert error < 0.05
    assert float(scores.sum()) == pytest.approx(float(reached.mean() - begun.mean()), abs=0.01)
    torch.testing.assert_close(network.pathway_tokens.holders(), torch.ones(SETS * SIZE, dtype=torch.int64))


def test_the_free_token_sees_its_own_genes_and_no_pathway_does() -> None:
    network = KidaNet(OVERLAPPING, 6, [2], 8, 1, 2, 0.0, np.array([4])).eval()
    x = torch.rand(6, 6)
    changed = moved(network.tokens(x), network.tokens(x + torch.eye(6)))  # class, free, pathways
    assert changed[:, 1].tolist() == [gene == 4 for gene in range(6)]
    assert not changed[4, 2:].any()


def test_a_minibatch_in_training_can_do_without_some_tokens() -> None:
    torch.manual_seed(0)
    network = KidaNet(DISJOINT, SETS * SIZE, [2], 8, 1, 2, 0.0, np.arange(5), token_dropout=0.5)
    x = torch.rand(4, SETS * SIZE)
    seen = {network.tokens(x).shape[1] for _ in range(20)}
    assert 3 < min(seen) < max(seen) < 2 + SETS
    assert network.eval().tokens(x).shape[1] == 2 + SETS


def test_classes_are_drawn_alike_and_the_unlabelled_never() -> None:
    classes = np.repeat([0, 1, -1], [900, 100, 500])
    minibatches = balanced_minibatches(classes, 64, np.random.default_rng(0))
    drawn = np.concatenate(minibatches)
    assert len(drawn) == 1000
    assert max(map(len, minibatches)) <= 67
    assert set(classes[drawn]) == {0, 1}
    assert (classes[drawn] == 1).mean() == pytest.approx(0.5, abs=0.06)
