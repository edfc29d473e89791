"""KIDA's teacher (Tang et al., Communications Biology 2024): a transformer over pathways.

A cell is a sequence of tokens, one a pathway. A token is a linear map of the genes of its own pathway and of no
other gene; one further token sees every gene, so that what no pathway covers is not lost. A class token gathers
from all of them, and is the cell's embedding.

Follows the paper's equations where the authors' code differs: its masked layer is ordered by pathway, but is
reshaped as if ordered by unit, so that a "pathway token" there is fed by as many pathways as it has units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6
MLP_RATIO = 4


class PathwayTokens(nn.Module):
    """One token a pathway: v_j = x[members of j] W_j + b_j.

    Genes are gathered a pathway at a time and padded to the longest, so that the cost is that of the members
    and not of all genes. Weights and biases start uniform within 1 / sqrt(members of j).

    Parameters
    ----------
    pathways
        Positions of each pathway's genes, P times.
    n_genes, width
        G and h.
    """

    members: Tensor

    def __init__(self, pathways: Sequence[NDArray[np.integer]], n_genes: int, width: int) -> None:
        super().__init__()
        sizes = torch.tensor([len(at) for at in pathways])
        members = torch.full((len(pathways), int(sizes.max())), n_genes)  # a gene that is always 0
        for row, at in zip(members, pathways, strict=True):
            row[: len(at)] = torch.as_tensor(at)
        self.register_buffer("members", members, persistent=False)
        bound = sizes.rsqrt()[:, None]
        self.weight = nn.Parameter((torch.rand(*members.shape, width) * 2 - 1) * bound[..., None])  # (P, L, h)
        self.bias = nn.Parameter((torch.rand(len(pathways), width) * 2 - 1) * bound)  # (P, h)

    def forward(self, x: Tensor) -> Tensor:
        """(B, G) to (B, P, h)."""
        by_gene = F.pad(x, (0, 1)).T.contiguous()  # (G + 1, B): a gene is one contiguous row
        own = by_gene.index_select(0, self.members.flatten()).view(*self.members.shape, len(x))  # (P, L, B)
        return torch.baddbmm(self.bias[:, None], own.transpose(1, 2), self.weight).transpose(0, 1)


class Attention(nn.Module):
    """Multi-head attention of some tokens to all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor, tokens: Tensor) -> Tensor:
        """(B, q, h) and (B, n, h) to (B, q, h)."""
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, tokens, h / heads)
            for layer, x in ((self.query, asking), (self.key, tokens), (self.value, tokens))
        )
        gathered = F.scaled_dot_product_attention(query, key, value)
        return self.out(gathered.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer layer that normalises before attention and before its two dense layers."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, NORM_EPS)
        self.attention = Attention(width, heads)
        self.dense_norm = nn.LayerNorm(width, NORM_EPS)
        self.dense = nn.Sequential(nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, first: int | None = None) -> Tensor:
        """(B, n, h) to the same, or to its first few tokens: all others are then only looked at."""
        normed = self.attention_norm(tokens)
        kept = tokens[:, :first] + self.dropout(self.attention(normed[:, :first], normed))
        return kept + self.dropout(self.dense(self.dense_norm(kept)))


class KidaNet(nn.Module):
    """The teacher.

    Parameters
    ----------
    pathways
        Positions of each pathway's genes, P times.
    n_genes, n_classes
        G and A.
    width, depth, heads
        Units of a token, layers, and attention heads of a layer.
    dropout
        Share of what a layer adds to a token that is dropped in training.
    """

    def __init__(
        self,
        pathways: Sequence[NDArray[np.integer]],
        n_genes: int,
        n_classes: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pathway_tokens = PathwayTokens(pathways, n_genes, width)
        self.free_token = nn.Linear(n_genes, width)
        self.class_token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Embed a minibatch: (B, G) dense to (B, h), the class token after the last layer."""
        first = self.class_token.expand(len(x), 1, -1)
        tokens = torch.cat([first, self.free_token(x)[:, None], self.pathway_tokens(x)], 1)  # (B, P + 2, h)
        *whole, last = self.blocks
        for block in whole:
            tokens = block(tokens)
        return self.norm(last(tokens, 1)[:, 0])

    def logits(self, z: Tensor) -> Tensor:
        """Class scores of embedded cells: (B, h) to (B, A)."""
        return self.head(z)


def balanced_minibatches(classes: NDArray[np.integer], size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """As many draws as there are labelled cells, every class as likely as any other.

    Parameters
    ----------
    classes
        int (m,), -1 for unlabelled cells, which are never drawn.
    size
        Cells a minibatch; one cell may be in it twice.
    """
    labelled = np.flatnonzero(classes >= 0)
    weight = 1.0 / np.bincount(classes[labelled])[classes[labelled]]
    drawn = rng.choice(labelled, len(labelled), p=weight / weight.sum())
    return np.array_split(drawn, max(1, len(drawn) // size))
