"""Which genes of the top pathways stand in the middle of them (Tang et al., Communications Biology 2024).

Genes are nodes; those that a model gives weights of a similar direction are joined. Five centralities rank each
gene, and the Q statistic of order statistics (Stuart et al., Science 2003; Aerts et al., Nature Biotechnology 2006)
joins the ranks. The centralities depend on one another, so that Q is a score, not a p-value. Knows weights of genes in
pathways, not cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from explorer.errors import OptionsProblem
from explorer.explanation import PathwayGenes
from explorer.flow import FloatArray

PER_PATHWAY = 2
SIMILAR = 0.5
MOST_EDGES = 20
MOST_SOURCES = 300  # of shortest paths; above as many nodes betweenness is estimated from a seeded sample of them
DECIMALS = 10       # centralities that differ by less are equal: eigenvectors come with noise
IMPORTANCE = ("scaled", "sum", "largest")


def key_genes(
    pathways: Sequence[PathwayGenes],
    per_pathway: int | None = PER_PATHWAY,
    importance: str = "scaled",
    similar: float = SIMILAR,
    most_edges: int = MOST_EDGES,
) -> pd.DataFrame:
    """Rank the most important genes of some pathways, the top ones for a label, by how central they are.

    Parameters
    ----------
    pathways
        From a method's `pathway_genes`; the paper takes the 10 top ones.
    per_pathway
        Genes taken from each; `None` takes all.
    importance
        As for `gene_importance`.
    similar
        Least cosine similarity of two joined genes.
    most_edges
        Joins of a gene, its most similar; a gene can have more by those of others.

    Returns
    -------
    DataFrame
        A row a gene, the most central first: gene, pathways (how many took it), the five centralities, and q in (0, 1],
        small for genes that rank high in all five. A score, not a p-value.

    Raises
    ------
    OptionsProblem
        If `importance` is none of those known, or no pathway is given.
    """
    if not pathways:
        raise OptionsProblem("Key genes are asked of at least one pathway. Name some, e.g. the 10 top ones of a label.")
    genes, taken, vectors = _vectors(pathways, per_pathway, importance)
    central = centralities(similar_genes(vectors, similar, most_edges))
    q = q_statistic(ranks(central))
    table = pd.DataFrame({"gene": genes, "pathways": taken, **{name: central[name] for name in central}, "q": q})
    return table.sort_values(["q", "gene"], kind="stable", ignore_index=True)


def gene_importance(pathway: PathwayGenes, importance: str = "scaled") -> FloatArray:
    """How much each gene matters to a pathway's token, float32 (k,).

    Parameters
    ----------
    importance
        "scaled": length of its weights times the spread of its expression. "sum": sum of its weights, signed, as the
        paper has it. "largest": its largest weight by size, as TOSICA has it.

    Raises
    ------
    OptionsProblem
        For any other.
    """
    weights = pathway.weights
    if importance == "scaled":
        return np.asarray(np.linalg.norm(weights, axis=1) * pathway.spread, np.float32)
    if importance == "sum":
        return np.asarray(weights.sum(1), np.float32)
    if importance == "largest":
        return np.asarray(np.abs(weights).max(1), np.float32)
    raise OptionsProblem(f"Genes matter by: {', '.join(IMPORTANCE)}; not by {importance!r}.")


def similar_genes(vectors: FloatArray, similar: float = SIMILAR, most_edges: int = MOST_EDGES) -> nx.Graph:
    """Nodes 0 to n - 1, joined where the cosine of their vectors (n, h) is at least `similar`.

    Each node joins its most similar ones only, at most `most_edges`.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(vectors)))
    for node, row in enumerate(cosine):
        nearest = np.argsort(-row, kind="stable")[:most_edges]
        graph.add_edges_from((node, int(other)) for other in nearest if row[other] >= similar)
    return graph


def centralities(graph: nx.Graph) -> dict[str, NDArray[np.float64]]:
    """Degree, betweenness, eigenvector, PageRank and closeness of nodes 0 to n - 1, unweighted."""
    n = len(graph)
    sources = None if n <= MOST_SOURCES else MOST_SOURCES
    found = {
        "degree": nx.degree_centrality(graph),
        "betweenness": nx.betweenness_centrality(graph, k=sources, seed=0),
        "pagerank": nx.pagerank(graph, alpha=0.85, tol=1e-12, max_iter=1000),
        "closeness": nx.closeness_centrality(graph),
    }
    by_node = {name: np.array([of[node] for node in range(n)]) for name, of in found.items()}
    return {**by_node, "eigenvector": _eigenvector(nx.to_numpy_array(graph, nodelist=range(n)))}


def ranks(central: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rank of each node in each centrality, 1 the highest and ties averaged, over their number: (n, centralities)."""
    each = [rankdata(-np.round(values, DECIMALS), method="average") / len(values) for values in central.values()]
    return np.stack(each, axis=1)


def q_statistic(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that the order statistics of N uniform numbers are all at most those given: (n, N) to (n,).

    With r_1 <= ... <= r_N: V_0 = 1, V_k = sum_i (-1)^(i - 1) V_(k - i) r_(N - k + 1)^i / i!, Q = N! V_N.
    """
    ordered = np.sort(ratios, axis=1)
    n = ordered.shape[1]
    v = [np.ones(len(ordered))]
    for k in range(1, n + 1):
        r = ordered[:, n - k]
        terms = [(-1) ** (i - 1) * v[k - i] * r**i / factorial(i) for i in range(1, k + 1)]
        v.append(np.sum(terms, axis=0))
    return factorial(n) * v[n]


def _vectors(
    pathways: Sequence[PathwayGenes], per_pathway: int | None, importance: str
) -> tuple[list[str], list[int], FloatArray]:
    """Genes, how many pathways took each, and their weights (n, h): mean over the pathways that took them."""
    found: dict[str, list[FloatArray]] = {}
    for pathway in pathways:
        order = np.argsort(-gene_importance(pathway, importance), kind="stable")[:per_pathway]
        for at in order:
            found.setdefault(str(pathway.genes[at]), []).append(pathway.weights[at])
    means = [np.mean(weights, axis=0) for weights in found.values()]
    return list(found), [len(weights) for weights in found.values()], np.asarray(means, np.float32)


def _eigenvector(adjacent: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector that power iteration from equal values ends at, also where the graph has several parts alike."""
    values, vectors = np.linalg.eigh(adjacent)
    leading = vectors[:, values >= values[-1] - 1e-9]
    reached = leading @ leading.sum(0)
    return np.abs(reached) / np.linalg.norm(reached)
