"""KIDA's network (Tang et al., Communications Biology 2024): a transformer over pathways.

A cell is a sequence of tokens, one a pathway. A token is a linear map of the genes of its own pathway and of no
other gene; one further token can see the genes of no pathway, so that they are not lost. A class token gathers
from all of them, and is the cell's embedding.

Follows the paper's equations where the authors' code differs: its masked layer is ordered by pathway, but is
reshaped as if ordered by unit, so that a "pathway token" there is fed by as many pathways as it has units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attribution import integrated_gradients
from explorer.progress import Progress

NORM_EPS = 1e-6
MLP_RATIO = 4
MOST_PATHS = 256  # of an explanation, from every class to every cell; more cells share the classes out


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
        self.n_genes = n_genes
        sizes = torch.tensor([len(at) for at in pathways])
        members = torch.full((len(pathways), int(sizes.max())), n_genes)  # a gene that is always 0
        for row, at in zip(members, pathways, strict=True):
            row[: len(at)] = torch.as_tensor(at)
        self.register_buffer("members", members, persistent=False)
        bound = sizes.rsqrt()[:, None]
        self.weight = nn.Parameter((torch.rand(*members.shape, width) * 2 - 1) * bound[..., None])  # (P, L, h)
        self.bias = nn.Parameter((torch.rand(len(pathways), width) * 2 - 1) * bound)  # (P, h)

    def forward(self, x: Tensor, which: Tensor | None = None) -> Tensor:
        """(B, G) to (B, P, h), or of some pathways only, int64 (p,), to (B, p, h)."""
        some = slice(None) if which is None else which
        members, weight, bias = self.members[some], self.weight[some], self.bias[some]
        by_gene = F.pad(x, (0, 1)).T.contiguous()  # (G + 1, B): a gene is one contiguous row
        own = by_gene.index_select(0, members.flatten()).view(*members.shape, len(x))  # (P, L, B)
        return torch.baddbmm(bias[:, None], own.transpose(1, 2), weight).transpose(0, 1)

    def summed(self, x: Tensor) -> Tensor:
        """Sum over each pathway's genes: (B, G) to (B, P)."""
        return F.pad(x, (0, 1))[:, self.members].sum(2)

    def holders(self) -> Tensor:
        """How many pathways hold each gene, int64 (G,)."""
        return torch.bincount(self.members.flatten(), minlength=self.n_genes + 1)[: self.n_genes]


class FreeToken(nn.Module):
    """One token of some genes, whatever pathways they are in: (B, G) to (B, h)."""

    genes: Tensor

    def __init__(self, genes: NDArray[np.integer], width: int) -> None:
        super().__init__()
        self.register_buffer("genes", torch.as_tensor(genes), persistent=False)
        self.dense = nn.Linear(len(genes), width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x[:, self.genes])


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
        query = self._split(self.query, asking)
        key, value = self._split(self.key, tokens), self._split(self.value, tokens)
        gathered = F.scaled_dot_product_attention(query, key, value)
        return self.out(gathered.transpose(1, 2).flatten(2))

    def weights(self, asking: Tensor, tokens: Tensor) -> Tensor:
        """Share of each token in what each asking one gathers, mean over heads: (B, q, n), rows sum to 1."""
        query, key = self._split(self.query, asking), self._split(self.key, tokens)
        return (query @ key.transpose(2, 3) / math.sqrt(query.shape[3])).softmax(3).mean(1)

    def _split(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, tokens, h / heads)


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

    def weights(self, tokens: Tensor, first: int | None = None) -> Tensor:
        """Attention of the first few tokens, or of all, to all: (B, n, h) to (B, first, n)."""
        normed = self.attention_norm(tokens)
        return self.attention.weights(normed[:, :first], normed)


class KidaNet(nn.Module):
    """Teacher and student alike.

    Parameters
    ----------
    pathways
        Positions of each pathway's genes, P times.
    n_genes
        G.
    n_classes
        Classes of each label level, A of the first.
    width, depth, heads
        Units of a token, layers, and attention heads of a layer.
    dropout
        Share of what a layer adds to a token that is dropped in training.
    free
        Positions of the genes that a token beside those of pathways sees; without any, there is none.
    token_dropout
        Probability with which a minibatch in training does without a token, pathway or free.
    """

    def __init__(
        self,
        pathways: Sequence[NDArray[np.integer]],
        n_genes: int,
        n_classes: Sequence[int],
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        free: NDArray[np.integer],
        token_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.token_dropout = token_dropout
        self.pathway_tokens = PathwayTokens(pathways, n_genes, width)
        self.free_token = FreeToken(free, width) if len(free) else None
        self.class_token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n)) for n in n_classes
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed a minibatch: (B, G) dense to (B, h), the class token after the last layer."""
        return self.place(self.tokens(x))

    def tokens(self, x: Tensor) -> Tensor:
        """(B, G) dense to (B, n, h): the class token, the free one if any, and P of pathways; fewer in training."""
        which, free = None, True
        if self.training and self.token_dropout > 0:
            kept = torch.rand(len(self.pathway_tokens.members) + 1, device=x.device) >= self.token_dropout
            which, free = torch.nonzero(kept[1:])[:, 0], bool(kept[0])
        return self.beside(x if free else None, self.pathway_tokens(x, which))

    def beside(self, x: Tensor | None, pathways: Tensor) -> Tensor:
        """Class token and, of cells (B, G), the free one, if there is one, before tokens of pathways (B, p, h)."""
        parts = [self.class_token.expand(len(pathways), 1, -1)]
        if self.free_token is not None and x is not None:
            parts.append(self.free_token(x)[:, None])
        return torch.cat([*parts, pathways], 1)

    def place(self, tokens: Tensor) -> Tensor:
        """(B, n, h) to (B, h)."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return self.norm(self.blocks[-1](tokens, 1)[:, 0])

    def logits(self, z: Tensor) -> list[Tensor]:
        """Class scores of embedded cells at each label level: (B, h) to (B, classes)."""
        return [head(z) for head in self.heads]

    def pathways_of(self, by_token: Tensor) -> Tensor:
        """The part of a row of tokens (B, n) that is of pathways (B, P)."""
        return by_token[:, -len(self.pathway_tokens.members) :]

    def attention(self, x: Tensor) -> Tensor:
        """What the class token looks at in the last layer, mean over heads: (B, G) to (B, P)."""
        tokens = self.tokens(x)
        *whole, last = self._layers()
        for block in whole:
            tokens = block(tokens)
        return self.pathways_of(last.weights(tokens, 1)[:, 0])

    def rollout(self, x: Tensor) -> Tensor:
        """What the class token looks at through all layers: (B, G) to (B, P).

        With A_l the mean over heads of layer l, the row of the class token of (A_L + I) / 2 ... (A_1 + I) / 2.
        """
        tokens = self.tokens(x)
        before = []
        for block in self._layers():
            before.append(tokens)
            tokens = block(tokens)
        row = torch.zeros_like(tokens[:, :, 0])
        row[:, 0] = 1  # of the class token
        for block, seen in zip(reversed(self._layers()), reversed(before), strict=True):
            row = passed_back(row, block.weights(seen))
        return self.pathways_of(row)

    def _layers(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]


def passed_back(row: Tensor, attention: Tensor) -> Tensor:
    """Shares of tokens after a layer to shares before it, half of them passing by: (B, n), (B, n, n) to (B, n)."""
    return (row + torch.einsum("bn,bnm->bm", row, attention)) / 2


def pathway_attribution(
    network: KidaNet, x: Tensor, starts: Tensor, direction: Tensor, progress: Progress
) -> tuple[Tensor, float]:
    """What each pathway adds to cos(z, direction), averaged over cells, and the completeness error.

    Integrated gradients on the tokens of pathways and on the genes of the free token; what a gene adds through the
    latter is shared among the pathways that hold it. Paths start at the mean cell of each class: the mean of all cells
    is of some class to the network, and nothing would speak for that one.

    Parameters
    ----------
    x
        float (n, G).
    starts
        float (C, G), mean cell of each class.
    direction
        float (h,), length 1.

    Returns
    -------
    scores
        float (P,); 0 for pathways that the cells express less than the mean over classes, which speak by their
        absence. With those, and the genes of no pathway, they add up to the difference that the error is of.
    """
    layer = network.pathway_tokens
    n, classes = len(x), len(starts)
    times = classes if n * classes <= MOST_PATHS else math.ceil(classes / n)
    with torch.no_grad():
        ends, begins = (torch.cat([layer(cells).flatten(1), cells], 1) for cells in (x, starts))  # (., P h + G)
    ends = ends.repeat_interleave(times, 0)
    begins = begins[torch.arange(len(ends), device=x.device) % classes]
    n_units = layer.bias.numel()

    def place(flat: Tensor) -> Tensor:
        pathways = flat[:, :n_units].unflatten(1, layer.bias.shape)
        return network.place(network.beside(flat[:, n_units:], pathways))

    by_unit, error = integrated_gradients(place, ends, begins, direction, progress)
    own, freely = by_unit[:n_units].view(layer.bias.shape).sum(1), by_unit[n_units:]
    scores = own + layer.summed((freely / layer.holders().clamp_min(1))[None])[0]
    return scores * (layer.summed((x.mean(0) - starts.mean(0))[None])[0] > 0), error


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
