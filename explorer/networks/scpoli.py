"""scPoli's network (De Donno et al., Nature Methods 2023).

A conditional variational autoencoder: every batch (condition) has a learned vector, added to the first layer of
encoder and decoder, so that the latent space need not hold what the batch explains. Late in training cells are
also drawn to the prototype of their label, the mean of its cells.

Follows the authors' code where it differs from the text: the encoder takes log(1 + counts), vectors of conditions
are at most 1 long, dispersion is one number a gene and condition. Differs from the code on purpose: what leaves
the network is the posterior mean, never a draw. LayerNorm without scale and shift stands before each activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks import likelihoods
from explorer.networks.sparse import SparseLinear, SparseRows

NB, ZINB, POISSON, MSE = "nb", "zinb", "poisson", "mse"
LIKELIHOODS = (NB, ZINB, POISSON, MSE)
LEAST_VARIANCE = 1e-4


@dataclass(frozen=True)
class Posterior:
    """Where each cell may lie: mean and variance, float (B, d)."""

    mean: Tensor
    variance: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One point a cell, float (B, d)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.variance.sqrt() * noise


class ScpoliNet(nn.Module):
    """Encoder, decoder and the vectors of the conditions.

    Parameters
    ----------
    n_genes, n_conditions, n_hidden, n_latent, n_condition
        G, C, H, d and the size E of a condition's vector.
    likelihood
        "nb", "zinb", "poisson" or "mse": of what the decoder speaks.
    dropout
        Share of hidden units dropped in training.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: int,
        n_hidden: int,
        n_latent: int,
        n_condition: int,
        likelihood: str = NB,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.dropout = dropout
        self.conditions = nn.Embedding(n_conditions, n_condition, max_norm=1.0)
        self.first = SparseLinear(n_genes, n_hidden)
        self.first_condition = nn.Linear(n_condition, n_hidden, bias=False)
        self.mean = nn.Linear(n_hidden, n_latent)
        self.log_variance = nn.Linear(n_hidden, n_latent)
        self.decode = nn.Linear(n_latent, n_hidden, bias=False)
        self.decode_condition = nn.Linear(n_condition, n_hidden, bias=False)
        self.output = nn.Linear(n_hidden, n_genes)
        if likelihood in (NB, ZINB):
            self.log_dispersion = nn.Parameter(torch.randn(n_conditions, n_genes))
        if likelihood == ZINB:
            self.dropout_logits = nn.Linear(n_hidden, n_genes)

    def mean_condition(self) -> Tensor:
        """The vector of a condition that was never seen: the mean of those that were, float (E,)."""
        return self.conditions(torch.arange(self.conditions.num_embeddings, device=self.first.bias.device)).mean(0)

    def forward(self, x: SparseRows) -> Tensor:
        """Posterior mean of cells of whatever condition: (B, G) sparse to (B, d)."""
        return self.mean(self._hidden(self.first(x), self.mean_condition()))

    def dense(self, x: Tensor) -> Tensor:
        """The same of a dense float (B, G), for gradients with respect to genes."""
        return self.mean(self._hidden(x @ self.first.weight + self.first.bias, self.mean_condition()))

    def encode(self, x: SparseRows, condition: Tensor) -> Posterior:
        """Where cells of known conditions, int64 (B,), may lie."""
        hidden = self._hidden(self.first(x), self.conditions(condition))
        return Posterior(self.mean(hidden), self.log_variance(hidden).exp() + LEAST_VARIANCE)

    def log_likelihood(self, z: Tensor, condition: Tensor, observed: SparseRows, totals: Tensor) -> Tensor:
        """How well points explain cells, float (B,).

        Parameters
        ----------
        z, condition
            float (B, d) and int64 (B,).
        observed
            Counts; for "mse" what the encoder took.
        totals
            float (B,), counts a cell over these genes.
        """
        linear = self.decode(z) + self.decode_condition(self.conditions(condition))
        hidden = self._activated(linear)  # (B, H)
        if self.likelihood == MSE:
            return likelihoods.squared_error(F.relu(self.output(hidden)), observed)
        log_mean = F.log_softmax(self.output(hidden), 1) + totals.clamp_min(1e-8).log()[:, None]  # (B, G)
        if self.likelihood == POISSON:
            return likelihoods.poisson(log_mean, observed)
        if self.likelihood == NB:
            return likelihoods.negative_binomial(log_mean, self.log_dispersion, condition, observed)
        lost = self.dropout_logits(hidden)
        return likelihoods.zero_inflated(log_mean, self.log_dispersion, condition, lost, observed)

    def _hidden(self, linear: Tensor, condition: Tensor) -> Tensor:
        return self._activated(linear + self.first_condition(condition))

    def _activated(self, linear: Tensor) -> Tensor:
        return F.dropout(F.relu(F.layer_norm(linear, linear.shape[1:])), self.dropout, self.training)


def prototypes(z: Tensor, codes: Tensor, n_classes: int) -> Tensor:
    """Mean point of the cells of each class, float (n_classes, d); NaN for a class without cells.

    Parameters
    ----------
    codes
        int64 (n,), -1 for unlabelled.
    """
    labelled = codes >= 0
    total = z.new_zeros(n_classes, z.shape[1]).index_add(0, codes[labelled], z[labelled])
    return total / torch.bincount(codes[labelled], minlength=n_classes)[:, None]


def prototype_loss(z: Tensor, codes: Tensor, centres: Tensor, norm: float = 2.0, per_class: bool = True) -> Tensor:
    """Distance of labelled cells to the prototype of their class, a scalar.

    Parameters
    ----------
    z, codes, centres
        float (B, d), int64 (B,) with -1 for unlabelled, and float (classes, d).
    norm
        p of the Minkowski distance.
    per_class
        Mean within each class, summed over the classes present, as the code has it; else mean over the cells,
        as the text has it.
    """
    labelled = codes >= 0
    codes = codes[labelled]
    if len(codes) == 0:
        return z.sum() * 0
    distance = torch.linalg.vector_norm(z[labelled] - centres[codes], ord=norm, dim=1)
    if not per_class:
        return distance.mean()
    return (distance / torch.bincount(codes)[codes]).sum()
