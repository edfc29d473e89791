"""Key genes: published numbers of every step, and a planted hub."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from explorer.errors import OptionsProblem
from explorer.explanation import PathwayGenes
from explorer.insight.key_genes import centralities, gene_importance, key_genes, q_statistic, ranks, similar_genes

EXAMPLE = nx.Graph([(0, 1), (0, 2), (0, 3), (1, 2), (3, 4), (4, 5)])


@pytest.mark.parametrize(
    ("ratios", "q"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5), 0.01296),
        ((0.05,) * 5, 3.125e-7),
        ((1.0,) * 5, 1.0),
        ((0.1, 0.1, 0.9, 0.9, 0.9), 0.05801),
        ((0.5,), 0.5),
        ((0.6, 0.2), 0.2),
    ],
)
def test_q_of_the_published_examples(ratios: tuple[float, ...], q: float) -> None:
    assert q_statistic(np.array([ratios]))[0] == pytest.approx(q, rel=1e-6)


def test_q_is_the_share_of_uniform_draws_that_rank_as_high() -> None:
    drawn = np.sort(np.random.default_rng(0).random((200_000, 5)), axis=1)
    ratios = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert q_statistic(ratios[None])[0] == pytest.approx((drawn <= ratios).all(1).mean(), abs=1e-3)


def test_centralities_of_the_published_example() -> None:
    found = centralities(EXAMPLE)
    told = {
        "degree": [0.6, 0.4, 0.4, 0.4, 0.4, 0.2],
        "betweenness": [0.6, 0, 0, 0.6, 0.4, 0],
        "eigenvector": [0.595249, 0.484601, 0.484601, 0.357208, 0.200728, 0.090080],
        "pagerank": [0.229889, 0.156757, 0.156757, 0.168580, 0.184572, 0.103444],
        "closeness": [0.625, 0.454545, 0.454545, 0.625, 0.5, 0.357143],
    }
    assert set(found) == set(told)
    for name, values in told.items():
        np.testing.assert_allclose(found[name], values, atol=2e-6, err_msg=name)
    q = q_statistic(ranks(found))
    assert q[1] == q[2]  # alike in the graph, whatever the noise of an eigenvector
    assert np.argsort(q, kind="stable").tolist() == [0, 3, 4, 1, 2, 5]
    np.testing.assert_allclose(q[[0, 3, 5]], [0.000772, 0.074219, 0.999871], atol=1e-6)


def test_two_parts_alike_share_the_eigenvector() -> None:
    """Any mix of the two is an eigenvector; none may come out ahead by chance."""
    found = centralities(nx.Graph([(0, 1), (1, 2), (3, 4), (4, 5)]))["eigenvector"]
    np.testing.assert_allclose(found[:3], found[3:])
    assert found[1] > found[0] > 0


def test_genes_of_similar_weights_are_joined() -> None:
    vectors = np.array([[1, 0], [0.9, 0.3], [0, 1], [-0.5, 0.8]], np.float32)
    assert set(similar_genes(vectors).edges) == {(0, 1), (2, 3)}
    assert set(similar_genes(vectors, similar=0.848).edges) == {(0, 1)}
    assert set(similar_genes(vectors, similar=0.3).edges) == {(0, 1), (1, 2), (2, 3)}


def test_a_gene_joins_its_most_similar_only() -> None:
    angle = np.array([0, 1, 2, 3, 30]) * np.pi / 180
    graph = similar_genes(np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32), most_edges=1)
    assert set(graph.edges) == {(0, 1), (1, 2), (2, 3), (3, 4)}


PATHWAY = PathwayGenes(
    "p", np.array(["A", "B", "C"], dtype=object), np.array([[3, 4], [-6, 0], [2, 2]], np.float32), np.array([1, 0.5, 2])
)


@pytest.mark.parametrize(
    ("importance", "told"), [("scaled", [5, 3, 32**0.5]), ("sum", [7, -6, 4]), ("largest", [4, 6, 2])]
)
def test_how_a_gene_matters(importance: str, told: list[float]) -> None:
    np.testing.assert_allclose(gene_importance(PATHWAY, importance), told, rtol=1e-6)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(OptionsProblem, match="by: scaled, sum, largest; not by 'attention'"):
        gene_importance(PATHWAY, "attention")
    with pytest.raises(OptionsProblem, match="at least one pathway"):
        key_genes([])


def test_a_gene_that_all_others_resemble_comes_first() -> None:
    """Six pathways around one direction; a gene of two pathways counts once, by its mean weights."""
    around = np.arange(6) * np.pi / 3
    petals = np.stack([np.ones(6), np.cos(around), np.sin(around)], 1).astype(np.float32)
    pathways = [
        PathwayGenes(
            f"pathway {i}",
            np.array(["HUB", f"PETAL{i}", "WEAK"], dtype=object),
            np.array([[2, 0.01 * i - 0.025, 0], petals[i], [0.1, 0, 0]], np.float32),
            np.ones(3, np.float32),
        )
        for i in range(6)
    ]
    found = key_genes(pathways, similar=0.6)
    assert found["gene"].iloc[0] == "HUB"
    assert found["pathways"].iloc[0] == 6
    assert sorted(found["gene"][1:]) == [f"PETAL{i}" for i in range(6)]
    assert found["q"].is_monotonic_increasing
    assert "WEAK" in set(key_genes(pathways, per_pathway=None, similar=0.6)["gene"])
