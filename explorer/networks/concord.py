"""CONCORD's network (Zhu et al., Nature Biotechnology 2026).

Two views of a cell are two random maskings of its genes. An encoder of two linear layers, each followed by
LayerNorm and LeakyReLU, maps them to one point; all other cells of the minibatch, which come from the same
dataset, push it away. The encoder never sees the batch, so cells of an unseen batch can be embedded as they are.

Follows the authors' code where it differs from the text: the second view carries no gradient (same quality at
30 % less time), and hard-negative weights act on temperature-scaled logits. LayerNorm after a linear layer makes
the encoder nearly blind to sequencing depth: f(2x) = f(x).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.losses import contrastive_loss
from explorer.networks.sparse import SparseLinear, SparseRows

SLOPE = 0.1


def dense_layer(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer with Kaiming-normal weights (fan-in, gain sqrt 2) and zero biases."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=(2.0 / n_in) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer


class ConcordNet(nn.Module):
    """The encoder.

    Parameters
    ----------
    n_genes, n_hidden, n_latent
        G, H and d.
    """

    def __init__(self, n_genes: int, n_hidden: int, n_latent: int) -> None:
        super().__init__()
        self.first = SparseLinear(n_genes, n_hidden)
        self.first_norm = nn.LayerNorm(n_hidden)
        self.second = dense_layer(n_hidden, n_latent)
        self.second_norm = nn.LayerNorm(n_latent)

    def forward(self, x: SparseRows) -> Tensor:
        """Embed a minibatch: (B, G) sparse to (B, d)."""
        return self._after_first(self.first(x))

    def dense(self, x: Tensor) -> Tensor:
        """The same of a dense float (B, G), for gradients with respect to genes."""
        return self._after_first(x @ self.first.weight + self.first.bias)

    def _after_first(self, linear: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.first_norm(linear), SLOPE)  # (B, H)
        return F.leaky_relu(self.second_norm(self.second(hidden)), SLOPE)  # (B, d)


def views_loss(
    network: ConcordNet,
    cells: SparseRows,
    masks: tuple[float, float],
    temperature: float,
    hardness: float,
    generator: torch.Generator,
) -> Tensor:
    """Contrastive loss of a minibatch between two random views of its cells.

    Parameters
    ----------
    masks
        Probability with which a stored value, and with which a gene, is dropped from a view.
    """
    first = network(cells.masked(*masks, generator))
    with torch.no_grad():
        second = network(cells.masked(*masks, generator))
    return contrastive_loss(first, second, temperature, hardness)
