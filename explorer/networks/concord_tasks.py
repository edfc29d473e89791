"""What a CONCORD network is asked of the cells it learns from (Zhu et al., Nature Biotechnology 2026).

Contrast between two views of each cell, and what the optional parts add. Knows codes, not names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.networks.checkpoints import Checkpoint, Generators
from explorer.networks.concord import ConcordNet
from explorer.networks.losses import contrastive_loss
from explorer.networks.sparse import SparseCells, SparseRows
from explorer.networks.training import train, warmup_cosine
from explorer.progress import Progress

EMBED_ROWS = 2048
CLASSIFIER_LR = 1e-3  # on a frozen encoder


@dataclass(frozen=True)
class Terms:
    """What a loss is made of.

    Attributes
    ----------
    masks
        Probability with which a stored value, and with which a gene, is dropped from a view.
    temperature, hardness
        T and beta of the contrast.
    decoder, classifier
        Weights of the reconstruction and of the classification; a part that the network lacks costs nothing.
    penalty, norm
        Of gene weights.
    """

    masks: tuple[float, float]
    temperature: float
    hardness: float
    decoder: float = 0.0
    classifier: float = 0.0
    penalty: float = 0.0
    norm: str = "l1"


@dataclass
class Lesson:
    """A network, its cells, and what is known of them.

    Attributes
    ----------
    domains, codes
        int64 (m,) dataset and (m, levels) labels of each cell, -1 for unlabelled, on the network's device.
    seed
        Of the views.
    views
        What they are drawn from.
    """

    network: ConcordNet
    cells: SparseCells
    domains: Tensor
    codes: Tensor
    terms: Terms
    seed: int

    def __post_init__(self) -> None:
        self.views = self._generator()

    def loss(self, which: Tensor) -> Tensor:
        """Of a minibatch, int64 (B,): contrast, and what the parts of the network add."""
        terms, rows = self.terms, self.cells.rows(which)
        loss, z = self._contrast(rows, self.views)
        if terms.decoder > 0:
            loss = loss + terms.decoder * self.network.reconstruction_loss(z, rows, self.domains[which])
        if terms.classifier > 0:
            loss = loss + terms.classifier * self.network.classification_loss(z, self.codes[which])
        if terms.penalty > 0:
            loss = loss + terms.penalty * self.network.gene_penalty(terms.norm)
        return loss

    @torch.no_grad()
    def check(self, left_out: Sequence[NDArray[np.int64]]) -> float:
        """Mean contrastive loss of minibatches of left-out cells, under the same masks each time.

        Without masks, as in the authors' code, both views would be one point and the loss would tell only how evenly
        the cells are spread.
        """
        views = self._generator()
        rows = (self.cells.rows(torch.as_tensor(minibatch, device=self.domains.device)) for minibatch in left_out)
        return float(np.mean([float(self._contrast(minibatch, views)[0]) for minibatch in rows]))

    def classify(
        self,
        minibatches: Callable[[int], list[NDArray[np.int64]]],
        epochs: int,
        progress: Progress,
        checkpoint: Checkpoint | None = None,
        generators: Generators = (),
    ) -> None:
        """Train the classifiers on the embedding of whole cells; the encoder stays as it is."""
        self.network.requires_grad_(False)
        self.network.classifiers.requires_grad_(True)

        def loss(which: Tensor) -> Tensor:
            return self.network.classification_loss(self.network(self.cells.rows(which)), self.codes[which])

        train(
            self.network,
            minibatches,
            loss,
            epochs=epochs,
            lr=CLASSIFIER_LR,
            schedule=warmup_cosine,
            progress=progress,
            checkpoint=checkpoint,
            generators=generators,
        )

    def _contrast(self, rows: SparseRows, views: torch.Generator) -> tuple[Tensor, Tensor]:
        first, second = self.network.two_views(rows, self.terms.masks, views)
        return contrastive_loss(first, second, self.terms.temperature, self.terms.hardness), first

    def _generator(self) -> torch.Generator:
        return torch.Generator(device=self.domains.device).manual_seed(self.seed)


@torch.no_grad()
def embedded(network: ConcordNet, cells: SparseCells, progress: Progress) -> Tensor:
    """All cells in the network's latent space, float32 (n, d)."""
    device = cells.indptr.device
    parts = [torch.empty(0, len(network.second.bias), device=device)]
    for start in range(0, len(cells), EMBED_ROWS):
        stop = min(start + EMBED_ROWS, len(cells))
        parts.append(network(cells.rows(torch.arange(start, stop, device=device))))
        progress(stop / len(cells))
    return torch.cat(parts)
