"""CONCORD's network (Zhu et al., Nature Biotechnology 2026).

Two views of a cell are two random maskings of its genes. An encoder of two linear layers, each followed by
LayerNorm and LeakyReLU, maps them to one point; all other cells of the minibatch, which come from the same
dataset, push it away. The encoder never sees the batch, so cells of an unseen batch can be embedded as they are.

Follows the authors' code where it differs from the text: the second view carries no gradient (same quality at
30 % less time), and hard-negative weights act on temperature-scaled logits. LayerNorm after a linear layer makes
the encoder nearly blind to sequencing depth: f(2x) = f(x).

Departs from that code where it errs: the decoder is asked for the whole expression, not for the masked one, which
would teach it to put out dropouts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.losses import cross_entropies
from explorer.networks.sparse import SparseLinear, SparseRows
from explorer.progress import Progress

SLOPE = 0.1
DOMAIN_UNITS = 8


def dense_layer(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer with Kaiming-normal weights (fan-in, gain sqrt 2) and zero biases."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=(2.0 / n_in) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class Parts:
    """What a network has besides its encoder.

    Attributes
    ----------
    weighs_genes
        Whether each gene has a weight of its own, in (0, 1).
    n_domains
        Datasets that the decoder tells apart; 0 for no decoder.
    n_classes
        Classes of each label level that is classified; empty for no classifier.
    """

    weighs_genes: bool = False
    n_domains: int = 0
    n_classes: tuple[int, ...] = ()


class Decoder(nn.Module):
    """From a point, and what is known of a dataset, to the log1p expression that the dataset would show there."""

    def __init__(self, n_latent: int, n_domains: int, n_hidden: int, n_genes: int) -> None:
        super().__init__()
        self.domains = nn.Embedding(n_domains, DOMAIN_UNITS)
        self.hidden = dense_layer(n_latent + DOMAIN_UNITS, n_hidden)
        self.norm = nn.LayerNorm(n_hidden)
        self.output = dense_layer(n_hidden, n_genes)

    def forward(self, z: Tensor, domain: Tensor) -> Tensor:
        """(B, d), and (B, 8) or (8,) describing datasets, to (B, G) >= 0."""
        hidden = self.hidden(torch.cat([z, domain.expand(len(z), -1)], dim=1))
        return F.relu(self.output(F.leaky_relu(self.norm(hidden), SLOPE)))


class Classifier(nn.Sequential):
    """From a point to the scores of the labels of one level: (B, d) to (B, C)."""

    def __init__(self, n_latent: int, n_classes: int) -> None:
        super().__init__(
            dense_layer(n_latent, n_latent),
            nn.LayerNorm(n_latent),
            nn.LeakyReLU(SLOPE),
            dense_layer(n_latent, n_classes),
        )


class ConcordNet(nn.Module):
    """The encoder, and the parts asked for.

    Parameters
    ----------
    n_genes, n_hidden, n_latent
        G, H and d.
    """

    def __init__(self, n_genes: int, n_hidden: int, n_latent: int, parts: Parts | None = None) -> None:
        super().__init__()
        parts = parts or Parts()
        self.first = SparseLinear(n_genes, n_hidden)
        self.first_norm = nn.LayerNorm(n_hidden)
        self.second = dense_layer(n_hidden, n_latent)
        self.second_norm = nn.LayerNorm(n_latent)
        self.gene_logits = nn.Parameter(torch.ones(n_genes)) if parts.weighs_genes else None  # weights start at 0.73
        self.decoder = Decoder(n_latent, parts.n_domains, n_hidden, n_genes) if parts.n_domains else None
        self.classifiers = nn.ModuleList(Classifier(n_latent, n) for n in parts.n_classes)

    @property
    def gene_weights(self) -> Tensor | None:
        """What each gene's expression is multiplied by, (G,) in (0, 1), where genes are weighed."""
        return None if self.gene_logits is None else torch.sigmoid(self.gene_logits)

    def forward(self, x: SparseRows) -> Tensor:
        """Embed a minibatch: (B, G) sparse to (B, d)."""
        weights = self.gene_weights
        if weights is not None:
            x = SparseRows(x.offsets, x.indices, x.values * weights[x.indices], x.n_genes)
        return self._after_first(self.first(x))

    def dense(self, x: Tensor) -> Tensor:
        """The same of a dense float (B, G), for gradients with respect to genes."""
        return self._after_first(x @ self._first_weight() + self.first.bias)

    def _first_weight(self) -> Tensor:
        weights = self.gene_weights
        return self.first.weight if weights is None else weights[:, None] * self.first.weight  # (G, H)

    def _after_first(self, linear: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.first_norm(linear), SLOPE)  # (B, H)
        return F.leaky_relu(self.second_norm(self.second(hidden)), SLOPE)  # (B, d)

    def two_views(
        self, cells: SparseRows, masks: tuple[float, float], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Two random views of a minibatch, embedded, (B, d) each; the second carries no gradient.

        Parameters
        ----------
        masks
            Probability with which a stored value, and with which a gene, is dropped from a view.
        """
        first = self(cells.masked(*masks, generator))
        with torch.no_grad():
            second = self(cells.masked(*masks, generator))
        return first, second

    def reconstruction_loss(self, z: Tensor, cells: SparseRows, domains: Tensor) -> Tensor:
        """Mean squared error of decoding points (B, d) to whole cells of the datasets (B,); 0 without a decoder."""
        if self.decoder is None:
            return z.new_zeros(())
        return F.mse_loss(self.decoder(z, self.decoder.domains(domains)), cells.dense())

    def classification_loss(self, z: Tensor, codes: Tensor) -> Tensor:
        """Mean cross-entropy of labelled cells, averaged over levels; 0 without a classifier.

        Parameters
        ----------
        z, codes
            float (B, d) and int64 (B, levels), -1 for unlabelled.
        """
        if not self.classifiers:
            return z.new_zeros(())
        return cross_entropies([classifier(z) for classifier in self.classifiers], codes.T).mean()

    def gene_penalty(self, norm: str) -> Tensor:
        """Size of the gene weights, as "l1" (their mean) or "l2" (their root mean square); 0 without weights."""
        weights = self.gene_weights
        if weights is None:
            return self.first.bias.new_zeros(())
        return weights.mean() if norm == "l1" else weights.square().mean().sqrt()

    @torch.no_grad()
    def after_first(self, x: Tensor) -> Tensor:
        """Derivative of every unit by the first layer's linear output, (B, d, H), of cells (B, G), in closed form.

        D2 LN2' W2 D1 LN1', where D are the slopes of LeakyReLU and LN' = (diag(g) / s) (I - 11'/n - uu'/n).
        """
        linear = x @ self._first_weight() + self.first.bias
        hidden = F.leaky_relu(self.first_norm(linear), SLOPE)
        outer = _through(self.second_norm, self.second(hidden), torch.eye(len(self.second.bias)).to(x))  # (B, d, d)
        return _through(self.first_norm, linear, outer @ self.second.weight)

    @torch.no_grad()
    def unit_gradients(self, x: Tensor) -> Tensor:
        """Gradient of every unit by every gene, averaged over cells: (B, G) to (d, G).

        The authors' saliency without d backward passes: all but the first layer is averaged before that is
        multiplied in.
        """
        return self.after_first(x).mean(0) @ self._first_weight().T

    @torch.no_grad()
    def unit_attribution(
        self, x: Tensor, baseline: Tensor, progress: Progress, steps: int = 16
    ) -> tuple[Tensor, Tensor]:
        """Integrated gradients of every unit from a baseline (G,), averaged over cells (B, G).

        Returns
        -------
        scores
            float (d, G); rows sum to the mean of z(x) - z(baseline) up to the error.
        errors
            float (d,): mean over cells of |sum - difference|, relative to the mean |difference|.
        """
        way = x - baseline
        total = torch.zeros(len(x), len(self.second.bias), len(self.first.bias)).to(x)
        for step in range(steps):  # the first layer is linear, so that it can wait until the path is averaged
            total += self.after_first(baseline + (step + 0.5) / steps * way) / steps
            progress((step + 1) / steps)
        weight = self._first_weight()
        scores = torch.stack([((total[:, j] @ weight.T) * way).mean(0) for j in range(total.shape[1])])
        explained = torch.einsum("bdh,bh->bd", total, way @ weight)
        difference = self.dense(x) - self.dense(baseline[None])
        errors = (explained - difference).abs().mean(0) / difference.abs().mean(0).clamp_min(1e-12)
        return scores, errors


def _through(norm: nn.LayerNorm, x: Tensor, left: Tensor) -> Tensor:
    """`left` times the derivative of leaky_relu(layer_norm(x)): (..., r, n) with (B, n) to (B, r, n)."""
    spread = (x.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    unit = ((x - x.mean(1, keepdim=True)) / spread)[:, None]  # (B, 1, n)
    slope = torch.where(norm(x) > 0, 1.0, SLOPE).to(x)
    scaled = left * (slope * norm.weight / spread)[:, None]
    return scaled - scaled.mean(2, keepdim=True) - (scaled * unit).mean(2, keepdim=True) * unit
