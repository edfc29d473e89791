"""scPoli's network (De Donno et al., Nature Methods 2023).

A conditional variational autoencoder: every batch (condition) has a learned vector, added to the first layer of
encoder and decoder, so that the latent space need not hold what the batch explains. Cells may be described by several
columns of conditions, each with a table of vectors of its own, which are put side by side. Late in training cells are
also drawn to the prototype of their label, the mean of its cells.

Follows the authors' code where it differs from the text: the encoder takes log(1 + counts), vectors of conditions
are at most 1 long, dispersion is one number a gene and combination of conditions. Differs from the code on purpose:
what leaves the network is the posterior mean, never a draw. LayerNorm without scale and shift stands before each
activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks import likelihoods
from explorer.networks.sparse import SparseCells, SparseLinear, SparseRows

NB, ZINB, POISSON, MSE = "nb", "zinb", "poisson", "mse"
LIKELIHOODS = (NB, ZINB, POISSON, MSE)
LEAST_VARIANCE = 1e-4
SMOOTHING = 0.05  # of labels, some of which are wrong in every reference


@dataclass(frozen=True)
class Posterior:
    """Where each cell may lie: mean and variance, float (B, d)."""

    mean: Tensor
    variance: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One point a cell, float (B, d)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.variance.sqrt() * noise


@dataclass(frozen=True)
class Conditions:
    """What cells are described by.

    Attributes
    ----------
    rows
        int64 (B, K), each cell's row in the table of each column; -1 for a condition that was never seen.
    combined
        int64 (B,), which combination of them, the row of dispersion.
    """

    rows: Tensor
    combined: Tensor

    def at(self, which: Tensor) -> Conditions:
        """Those of some of the cells."""
        return Conditions(self.rows[which], self.combined[which])


@dataclass(frozen=True)
class CountCells:
    """Cells on the device that computes.

    Attributes
    ----------
    counts, taken
        Counts, and what the encoder takes: n cells.
    totals
        float32 (n,), counts a cell over these genes.
    conditions
        Of each cell. Rows beyond those of a network are new to it: in its tables, and among its combinations.
    """

    counts: SparseCells
    taken: SparseCells
    totals: Tensor
    conditions: Conditions

    def observed(self, which: Tensor, likelihood: str) -> SparseRows:
        """What the decoder must explain of some of the cells."""
        return (self.taken if likelihood == MSE else self.counts).rows(which)


class ScpoliNet(nn.Module):
    """Encoder, decoder and the vectors of the conditions.

    Parameters
    ----------
    n_genes, n_hidden, n_latent
        G, H and d.
    n_conditions, n_combined
        How many conditions each of K columns has, and how many combinations of them occur.
    n_condition
        Size E of a condition's vector.
    likelihood
        "nb", "zinb", "poisson" or "mse": of what the decoder speaks.
    dropout
        Share of hidden units dropped in training.
    seen
        How many conditions of each column the network was trained with; they come first. All unless said.
    """

    def __init__(
        self,
        n_genes: int,
        n_conditions: Sequence[int],
        n_combined: int,
        n_hidden: int,
        n_latent: int,
        n_condition: int,
        likelihood: str = NB,
        dropout: float = 0.05,
        seen: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.dropout = dropout
        self.seen = tuple(n_conditions if seen is None else seen)
        self.tables = nn.ModuleList(nn.Embedding(n, n_condition, max_norm=1.0) for n in n_conditions)
        self.first = SparseLinear(n_genes, n_hidden)
        self.first_condition = nn.Linear(len(n_conditions) * n_condition, n_hidden, bias=False)
        self.mean = nn.Linear(n_hidden, n_latent)
        self.log_variance = nn.Linear(n_hidden, n_latent)
        self.decode = nn.Linear(n_latent, n_hidden, bias=False)
        self.decode_condition = nn.Linear(len(n_conditions) * n_condition, n_hidden, bias=False)
        self.output = nn.Linear(n_hidden, n_genes)
        if likelihood in (NB, ZINB):
            self.log_dispersion = nn.Parameter(torch.randn(n_combined, n_genes))
        if likelihood == ZINB:
            self.dropout_logits = nn.Linear(n_hidden, n_genes)

    @property
    def embeddings(self) -> list[nn.Embedding]:
        """The table of each column."""
        return [table for table in self.tables if isinstance(table, nn.Embedding)]

    def vectors(self) -> list[Tensor]:
        """Of each column: the vectors of its conditions and, last, the mean of those seen, float (C + 1, E)."""
        known = [table(torch.arange(table.num_embeddings, device=table.weight.device)) for table in self.embeddings]
        means = [rows[:n].mean(0, keepdim=True) for rows, n in zip(known, self.seen, strict=True)]
        return [torch.cat(pair) for pair in zip(known, means, strict=True)]

    def describe(self, rows: Tensor) -> Tensor:
        """What cells of conditions int64 (B, K) are described by, float (B, K E); -1 finds the mean of those seen."""
        return torch.cat([vectors[rows[:, k]] for k, vectors in enumerate(self.vectors())], 1)

    def forward(self, x: SparseRows, rows: Tensor) -> Tensor:
        """Posterior mean of cells of conditions int64 (B, K): (B, G) sparse to (B, d)."""
        return self.mean(self._hidden(self.first(x), self.describe(rows)))

    def dense(self, x: Tensor, rows: Tensor) -> Tensor:
        """The same of a dense float (B, G), for gradients with respect to genes."""
        return self.mean(self._hidden(x @ self.first.weight + self.first.bias, self.describe(rows)))

    def encode(self, taken: Tensor, described: Tensor) -> Posterior:
        """Where cells may lie, of what `first` made of them, float (B, H), and what describes them, (B, K E)."""
        hidden = self._hidden(taken, described)
        return Posterior(self.mean(hidden), self.log_variance(hidden).exp() + LEAST_VARIANCE)

    def log_likelihood(
        self, z: Tensor, described: Tensor, log_dispersion: Tensor | None, combined: Tensor, observed: SparseRows,
        totals: Tensor,
    ) -> Tensor:  # fmt: skip
        """How well points explain cells, float (B,).

        Parameters
        ----------
        z, described
            float (B, d) and (B, K E).
        log_dispersion, combined
            float (combinations, G), `None` where the likelihood has none, and each cell's row of it, int64 (B,).
        observed
            Counts; for "mse" what the encoder took.
        totals
            float (B,), counts a cell over these genes.
        """
        hidden = self._activated(self.decode(z) + self.decode_condition(described))  # (B, H)
        if self.likelihood == MSE:
            return likelihoods.squared_error(F.relu(self.output(hidden)), observed)
        log_mean = F.log_softmax(self.output(hidden), 1) + totals.clamp_min(1e-8).log()[:, None]  # (B, G)
        if log_dispersion is None:
            return likelihoods.poisson(log_mean, observed)
        if self.likelihood == NB:
            return likelihoods.negative_binomial(log_mean, log_dispersion, combined, observed)
        lost = self.dropout_logits(hidden)
        return likelihoods.zero_inflated(log_mean, log_dispersion, combined, lost, observed)

    @property
    def dispersion(self) -> Tensor | None:
        """Logarithm of the inverse dispersion, float (combinations, G), where the likelihood has one."""
        return self.log_dispersion if self.likelihood in (NB, ZINB) else None

    def _hidden(self, linear: Tensor, described: Tensor) -> Tensor:
        return self._activated(linear + self.first_condition(described))

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


def near_prototypes(z: Tensor, centres: Tensor) -> Tensor:
    """softmax of minus the distance to each prototype, float (n, d) and (classes, d) to (n, classes); 0 for NaN."""
    absent = centres.isnan().any(1)
    distance = torch.cdist(z, centres.nan_to_num(0.0), compute_mode="donot_use_mm_for_euclid_dist")
    return torch.softmax(-distance.masked_fill(absent, torch.inf), 1)


def contrast_loss(z: Tensor, codes: Tensor, centres: Tensor) -> Tensor:
    """Cross-entropy of labelled cells under `near_prototypes`, a scalar: near their own, and far from the others.

    Not in the paper, whose loss only draws cells together. Parameters as of `prototype_loss`.
    """
    labelled = codes >= 0
    if not labelled.any():
        return z.sum() * 0
    present = ~centres.isnan().any(1)
    among_present = torch.cumsum(present, 0) - 1  # a class without cells has no place to keep away from
    distance = torch.cdist(z[labelled], centres[present])
    return F.cross_entropy(-distance, among_present[codes[labelled]], label_smoothing=SMOOTHING)


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
