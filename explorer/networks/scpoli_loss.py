"""What scPoli learns from: reconstruction, a KL term that grows, and late in training the prototypes of labels.

After De Donno et al., Nature Methods 2023. Differs from the authors' code on purpose: prototypes are means of posterior
means, not of draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from explorer.networks.likelihoods import gaussian_kl
from explorer.networks.scpoli import CountCells, ScpoliNet, contrast_loss, prototype_loss, prototypes

BLOCK = 2048


def grown_weight(epoch: int, full: float, epochs: int) -> float:
    """Weight of the KL term: grows in a straight line from 0 at epoch 0 to `full` at epoch `epochs`."""
    return full * min(1.0, epoch / epochs)


class ScpoliLoss:
    """The loss of a minibatch, a scalar, from int64 cell indices; `begin` sets what of it changes with the epoch.

    Parameters
    ----------
    cells, labels
        What is learned from, and int64 (m,) codes a label level, -1 for unlabelled.
    kl_weight, kl_epochs
        Weight of the KL term, and epochs over which it grows from 0.
    weight, norm, per_class
        eta and p of the prototype loss; mean within each class, summed over classes, or mean over the cells.
    contrast
        Weight of the cross-entropy between prototypes, which the paper does not have.
    pretraining
        Share of the epochs before prototypes take part.
    """

    def __init__(
        self,
        network: ScpoliNet,
        cells: CountCells,
        labels: Sequence[Tensor],
        noise: torch.Generator,
        *,
        kl_weight: float,
        kl_epochs: int,
        weight: float,
        norm: float,
        per_class: bool,
        contrast: float,
        pretraining: float,
    ) -> None:
        self._network, self._cells, self._labels, self._noise = network, cells, labels, noise
        self._full_kl_weight, self._kl_epochs = kl_weight, kl_epochs
        self._weight, self._norm, self._per_class = weight, norm, per_class
        self._contrast, self._pretraining = contrast, pretraining
        self._kl_weight = 0.0
        self._prototypes: list[Tensor] = []  # by label level; none during pretraining

    def begin(self, epoch: int, epochs: int) -> None:
        """The KL term grows; from the end of pretraining on, prototypes follow their cells once an epoch."""
        self._kl_weight = grown_weight(epoch, self._full_kl_weight, self._kl_epochs)
        if max(self._weight, self._contrast) > 0 and epoch >= self._pretraining * epochs:
            z = self._posterior_means()
            self._prototypes = [prototypes(z, codes, int(codes.max()) + 1) for codes in self._labels]

    def __call__(self, which: Tensor) -> Tensor:
        cells, network = self._cells, self._network
        conditions = cells.conditions.at(which)
        described = network.describe(conditions.rows)
        posterior = network.encode(network.first(cells.taken.rows(which)), described)
        z = posterior.draw(self._noise)
        observed = cells.observed(which, network.likelihood)
        totals = cells.totals[which]
        missed = -network.log_likelihood(z, described, network.dispersion, conditions.combined, observed, totals)
        loss = (missed + self._kl_weight * gaussian_kl(posterior.mean, posterior.variance)).mean()
        for codes, centres in zip(self._labels, self._prototypes, strict=False):  # no prototypes: no loss
            loss = loss + self._weight * prototype_loss(z, codes[which], centres, self._norm, self._per_class)
            if self._contrast > 0:
                loss = loss + self._contrast * contrast_loss(z, codes[which], centres)
        return loss

    @torch.no_grad()
    def _posterior_means(self) -> Tensor:
        """Where the training cells lie, each in its own conditions, float (m, d)."""
        self._network.eval()
        cells = self._cells
        pieces = torch.arange(len(cells.totals), device=cells.totals.device).split(BLOCK)
        parts = [self._network(cells.taken.rows(which), cells.conditions.rows[which]) for which in pieces]
        self._network.train()
        return torch.cat(parts)
