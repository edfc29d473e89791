"""BA-scVI's network (Diaz-Mejia et al., bioRxiv 2024).

A variational autoencoder whose encoder never sees the batch, so that cells of an unseen batch can be embedded as
they are. The decoder is given the batch, in every layer but the first. Discriminators read the last hidden layer of
the encoder and the first of the decoder and guess the batch; what they read is trained to tell them nothing.

Follows the authors' code where it differs from the text: the decoder keeps the batch (without it types do not
separate), and discriminators read hidden layers, not z. Differs from the code on purpose:
the dispersion is trained, depth is what was observed, and fooling a discriminator pays only down to chance: beyond
it the batch would be told upside down. Both sides step at once, each on its own loss; the paper's alternating steps
have the same gradients, one step apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.likelihoods import zero_inflated
from explorer.networks.sparse import SparseLinear, SparseRows

LEAST_VARIANCE = 1e-4
DROPOUT = 0.1


def dense_layer(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and zero biases."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def batch_rows(n_batches: int, n_hidden: int) -> nn.Embedding:
    """A row a batch; to add it is what a linear layer does to a one-hot vector of the batch."""
    rows = nn.Embedding(n_batches, n_hidden)
    nn.init.xavier_uniform_(rows.weight)
    return rows


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of B cells: its last hidden layer (B, H), and mean and variance of z (B, d)."""

    hidden: Tensor
    mean: Tensor
    variance: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One point a cell, float (B, d)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.variance.sqrt() * noise


@dataclass(frozen=True)
class Decoded:
    """What the decoder says of B points.

    Attributes
    ----------
    hidden
        Its first hidden layer (B, H), which has not been told the batch.
    log_share
        Logarithm of each gene's share of a cell's counts, (B, G).
    dropout_logits
        (B, G), of a count being lost.
    """

    hidden: Tensor
    log_share: Tensor
    dropout_logits: Tensor


class BascviNet(nn.Module):
    """Encoder and decoder.

    Parameters
    ----------
    n_genes, n_batches, n_hidden, n_layers, n_latent
        G, C, H, layers of each half besides the one that discriminators read, and d.
    """

    def __init__(self, n_genes: int, n_batches: int, n_hidden: int, n_layers: int, n_latent: int) -> None:
        super().__init__()
        self.first = SparseLinear(n_genes, n_hidden)
        self.encoder = nn.ModuleList(dense_layer(n_hidden, n_hidden) for _ in range(n_layers))
        self.encoder_norms = nn.ModuleList(nn.LayerNorm(n_hidden) for _ in range(n_layers + 1))
        self.mean = dense_layer(n_hidden, n_latent)
        self.log_variance = dense_layer(n_hidden, n_latent)
        self.decode = dense_layer(n_latent, n_hidden)
        self.decoder = nn.ModuleList(dense_layer(n_hidden, n_hidden) for _ in range(n_layers))
        self.batches = nn.ModuleList(batch_rows(n_batches, n_hidden) for _ in range(n_layers))
        self.decoder_norms = nn.ModuleList(nn.LayerNorm(n_hidden) for _ in range(n_layers + 1))
        self.output = dense_layer(n_hidden, n_genes)
        self.dropout_logits = dense_layer(n_hidden, n_genes)
        self.log_dispersion = nn.Parameter(torch.zeros(1, n_genes))

    def forward(self, x: SparseRows) -> Tensor:
        """Posterior means of z: (B, G) sparse to (B, d)."""
        return self.mean(self._after_first(self.first(x)))

    def dense(self, x: Tensor) -> Tensor:
        """The same of a dense float (B, G), for gradients with respect to genes."""
        return self.mean(self._after_first(x @ self.first.weight + self.first.bias))

    def encode(self, x: SparseRows) -> Encoded:
        """Where cells may lie, whatever their batch."""
        hidden = self._after_first(self.first(x))
        return Encoded(hidden, self.mean(hidden), self.log_variance(hidden).exp() + LEAST_VARIANCE)

    def decoded(self, z: Tensor, batch: Tensor) -> Decoded:
        """Expression of points (B, d) as each batch, int64 (B,), would show it."""
        first = hidden = F.relu(self.decoder_norms[0](self.decode(z)))  # (B, H)
        for layer, rows, norm in zip(self.decoder, self.batches, self.decoder_norms[1:], strict=True):
            hidden = F.relu(norm(layer(hidden) + rows(batch)))
        return Decoded(first, F.log_softmax(self.output(hidden), 1), self.dropout_logits(hidden))

    def log_likelihood(self, decoded: Decoded, counts: SparseRows, totals: Tensor, measured: Tensor) -> Tensor:
        """How well decoded points explain cells, float (B,).

        Parameters
        ----------
        totals
            float (B,), counts a cell over these genes.
        measured
            float (B, G), 0 for a gene that the cell's batch did not measure: it is left out of the sum.
        """
        log_mean = decoded.log_share + totals.clamp_min(1e-8).log()[:, None]  # (B, G)
        one = torch.zeros(len(totals), dtype=torch.int64, device=totals.device)
        return zero_inflated(log_mean, self.log_dispersion, one, decoded.dropout_logits, counts, measured)

    def _after_first(self, linear: Tensor) -> Tensor:
        hidden = F.relu(self.encoder_norms[0](linear))
        for layer, norm in zip(self.encoder, self.encoder_norms[1:], strict=True):
            hidden = F.relu(norm(layer(F.dropout(hidden, DROPOUT, self.training))))
        return hidden  # (B, H)


class Discriminator(nn.Module):
    """Guesses the batch from a hidden layer: float (B, H) to logits (B, C), which are normalised too."""

    def __init__(self, n_hidden: int, n_batches: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            dense_layer(n_hidden, n_hidden),
            nn.LayerNorm(n_hidden),
            nn.LeakyReLU(),
            dense_layer(n_hidden, n_batches),
            nn.LayerNorm(n_batches),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits of the batches."""
        return self.layers(hidden)


class Adversary(nn.Module):
    """The discriminators of the encoder's and of the decoder's hidden layer.

    Parameters
    ----------
    n_hidden, n_batches
        H and C.
    """

    def __init__(self, n_hidden: int, n_batches: int) -> None:
        super().__init__()
        self.of_encoder = Discriminator(n_hidden, n_batches)
        self.of_decoder = Discriminator(n_hidden, n_batches)
        self.chance = 2 * math.log(n_batches)

    def forward(self, of_encoder: Tensor, of_decoder: Tensor, batch: Tensor) -> Tensor:
        """Sum of both cross-entropies, a scalar, from two hidden layers (B, H) and batches int64 (B,)."""
        guesses = (self.of_encoder(of_encoder), self.of_decoder(of_decoder))
        return F.cross_entropy(guesses[0], batch) + F.cross_entropy(guesses[1], batch)

    def lesson(self, of_encoder: Tensor, of_decoder: Tensor, batch: Tensor) -> Tensor:
        """What the discriminators descend on; nothing reaches what they read."""
        return self(of_encoder.detach(), of_decoder.detach(), batch)

    def reward(self, of_encoder: Tensor, of_decoder: Tensor, batch: Tensor) -> Tensor:
        """What the autoencoder ascends on, up to chance; nothing reaches the discriminators."""
        fixed = {name: weights.detach() for name, weights in self.named_parameters()}
        missed = torch.func.functional_call(self, fixed, (of_encoder, of_decoder, batch))
        return missed.clamp_max(self.chance)
