"""BA-scVI's network (Diaz-Mejia et al., bioRxiv 2024).

A variational autoencoder whose encoder never sees the batch, so that cells of an unseen batch can be embedded as
they are. The decoder is given the batch, in every layer but the first. Discriminators read the last hidden layer of
the encoder and the first of the decoder and guess the batch; what they read is trained to tell them nothing. A batch
may be told at several levels (study, sample): the decoder gets all of them, and each has its own two discriminators.
Beside the publication, labels may be read from z by a linear layer that is trained along.

Follows the authors' code where it differs from the text: the decoder keeps the batch (without it types do not
separate), and discriminators read hidden layers, not z. Differs from the code on purpose:
the dispersion is trained, depth is what was observed, and fooling a discriminator pays only down to chance: beyond
it the batch would be told upside down. Both sides step at once, each on its own loss; the paper's alternating steps
have the same gradients, one step apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def batch_rows(n_values: int, n_hidden: int) -> nn.EmbeddingBag:
    """A row a value of any level; their sum is what a linear layer makes of the multi-hot vector of a batch."""
    rows = nn.EmbeddingBag(n_values, n_hidden, mode="sum")
    nn.init.xavier_uniform_(rows.weight)
    return rows


def slots(batch: Tensor, sizes: Sequence[int]) -> Tensor:
    """Places of the ones in the multi-hot vector: int64 (B, L), each level's values after those of the one before.

    Parameters
    ----------
    batch
        int64 (B, L), a cell's value at each level.
    sizes
        Values of each level.
    """
    before = torch.tensor([0, *sizes[:-1]], device=batch.device).cumsum(0)  # (L,)
    return batch + before


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
    n_genes, n_hidden, n_layers, n_latent
        G, H, layers of each half besides the one that discriminators read, and d.
    sizes
        Values of each of the L levels that tell a batch.
    """

    def __init__(self, n_genes: int, sizes: Sequence[int], n_hidden: int, n_layers: int, n_latent: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.first = SparseLinear(n_genes, n_hidden)
        self.encoder = nn.ModuleList(dense_layer(n_hidden, n_hidden) for _ in range(n_layers))
        self.encoder_norms = nn.ModuleList(nn.LayerNorm(n_hidden) for _ in range(n_layers + 1))
        self.mean = dense_layer(n_hidden, n_latent)
        self.log_variance = dense_layer(n_hidden, n_latent)
        self.decode = dense_layer(n_latent, n_hidden)
        self.decoder = nn.ModuleList(dense_layer(n_hidden, n_hidden) for _ in range(n_layers))
        self.batches = nn.ModuleList(batch_rows(sum(sizes), n_hidden) for _ in range(n_layers))
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
        """Expression of points (B, d) as each batch, int64 (B, L), would show it."""
        told = slots(batch, self.sizes)
        first = hidden = F.relu(self.decoder_norms[0](self.decode(z)))  # (B, H)
        for layer, rows, norm in zip(self.decoder, self.batches, self.decoder_norms[1:], strict=True):
            hidden = F.relu(norm(layer(hidden) + rows(told)))
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


class Reader(nn.Module):
    """Reads labels from points: a linear layer a label level.

    Parameters
    ----------
    n_latent
        d.
    sizes
        Classes of each of the K label levels.
    """

    def __init__(self, n_latent: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(dense_layer(n_latent, n) for n in sizes)

    def forward(self, z: Tensor) -> list[Tensor]:
        """Logits of the classes of each level, float (B, classes)."""
        return [level(z) for level in self.levels]


class Discriminator(nn.Module):
    """Guesses one level of the batch from a hidden layer: (B, H) to logits (B, values), which are normalised too."""

    def __init__(self, n_hidden: int, n_values: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            dense_layer(n_hidden, n_hidden),
            nn.LayerNorm(n_hidden),
            nn.LeakyReLU(),
            dense_layer(n_hidden, n_values),
            nn.LayerNorm(n_values),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits of the values."""
        return self.layers(hidden)


class Adversary(nn.Module):
    """The discriminators of the encoder's and of the decoder's hidden layer, one of each a level.

    Parameters
    ----------
    n_hidden
        H.
    sizes
        Values of each of the L levels.
    """

    def __init__(self, n_hidden: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.of_encoder = nn.ModuleList(Discriminator(n_hidden, n) for n in sizes)
        self.of_decoder = nn.ModuleList(Discriminator(n_hidden, n) for n in sizes)
        self.chance = 2 * sum(math.log(n) for n in sizes) / len(sizes)

    def forward(self, of_encoder: Tensor, of_decoder: Tensor, batch: Tensor) -> Tensor:
        """Mean cross-entropy of the levels, summed over both places: a scalar.

        Parameters
        ----------
        of_encoder, of_decoder
            Hidden layers, (B, H).
        batch
            int64 (B, L).
        """
        places = ((self.of_encoder, of_encoder), (self.of_decoder, of_decoder))
        return torch.stack([self.missed(guessers, hidden, batch).mean() for guessers, hidden in places]).sum()

    @staticmethod
    def missed(guessers: nn.ModuleList, hidden: Tensor, batch: Tensor) -> Tensor:
        """Cross-entropy of each level, float (L,)."""
        guesses = (guess(hidden) for guess in guessers)
        return torch.stack([F.cross_entropy(logits, own) for logits, own in zip(guesses, batch.T, strict=True)])

    def lesson(self, of_encoder: Tensor, of_decoder: Tensor, batch: Tensor) -> Tensor:
        """What the discriminators descend on; nothing reaches what they read."""
        return self(of_encoder.detach(), of_decoder.detach(), batch)

    def reward(self, of_encoder: Tensor, of_decoder: Tensor, batch: Tensor) -> Tensor:
        """What the autoencoder ascends on, up to chance; nothing reaches the discriminators."""
        fixed = {name: weights.detach() for name, weights in self.named_parameters()}
        missed = torch.func.functional_call(self, fixed, (of_encoder, of_decoder, batch))
        return missed.clamp_max(self.chance)
