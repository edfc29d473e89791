"""CONCORD: dataset-aware contrast with hard negatives (Zhu et al., Nature Biotechnology 2026)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from explorer import keys
from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells, Embedding, Signature
from explorer.methods.base import Config, MethodCard, Toward, Training
from explorer.networks.attribution import integrated_gradients
from explorer.networks.concord import ConcordNet, views_loss
from explorer.networks.samplers import DomainSampler
from explorer.networks.sparse import SparseCells
from explorer.networks.training import decay_per_epoch, train, warmup_cosine
from explorer.progress import Progress

EMBED_ROWS = 2048


@dataclass(frozen=True)
class ConcordConfig(Config):
    """Settings of CONCORD.

    Attributes
    ----------
    n_hidden, n_latent
        Units of the hidden layer and of the embedding.
    element_mask, feature_mask
        Probability that a stored value, and that a gene, is dropped from a view.
    temperature, hardness
        T and beta of the contrastive loss.
    p_inside
        Share of a minibatch drawn from one dataset.
    batch_size, epochs
        0 picks them by the number of cells.
    lr
        Full learning rate of Adam.
    lr_decay
        Factor an epoch; 0 takes warm-up and cosine.
    """

    n_hidden: int = 1000
    n_latent: int = 100
    element_mask: float = 0.4
    feature_mask: float = 0.3
    temperature: float = 0.4
    hardness: float = 1.0
    p_inside: float = 1.0
    batch_size: int = 0
    epochs: int = 0
    lr: float = 1e-3
    lr_decay: float = 0.0

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: the published learning rate, its decay, batch size and epochs."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(preset=preset, seed=seed, batch_size=256, epochs=15, lr=1e-2, lr_decay=0.97**2)
        raise OptionsProblem(f"CONCORD has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,000 steps."""
        batch_size = self.batch_size or (256 if n_cells >= 2500 else 64)
        epochs = self.epochs or min(max(15, math.ceil(1000 * batch_size / n_cells)), 20_000 * batch_size // n_cells)
        return batch_size, max(1, epochs)


class Concord:
    """A trained CONCORD encoder."""

    card: ClassVar[MethodCard] = MethodCard(
        name="concord",
        title="CONCORD",
        paper="Zhu et al., Nature Biotechnology 2026",
        summary="Contrasts cells within each dataset, so that batches are never a cue. Quick to train and to map.",
        input_form="log1p",
        gives=("gene attribution",),
    )
    config_type: ClassVar[type[Config]] = ConcordConfig

    def __init__(
        self, config: ConcordConfig, genes: NDArray[np.object_], network: ConcordNet, baseline: Tensor
    ) -> None:
        self.config = config
        self.genes = genes
        self._network = network.eval()
        self._baseline = baseline  # (g,) mean log1p expression of the reference: where attribution starts

    @classmethod
    def fit(cls, training: Training, config: Config, *, device: torch.device, progress: Progress) -> Self:
        """Train the encoder with the hcl loss on dataset-pure minibatches; labels take no part."""
        config = _own(config)
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        masks = torch.Generator(device=device).manual_seed(config.seed)
        expression = training.cells.log1p()
        cells = SparseCells.of(expression.indptr, expression.indices, expression.data, len(training.genes), device)
        network = ConcordNet(len(training.genes), config.n_hidden, config.n_latent).to(device)
        batch_size, epochs = config.sized(len(cells))
        sampler = DomainSampler(training.batches, batch_size, p_inside=config.p_inside)

        def loss_of(which: Tensor) -> Tensor:
            drop = (config.element_mask, config.feature_mask)
            return views_loss(network, cells.rows(which), drop, config.temperature, config.hardness, masks)

        train(
            network,
            lambda _epoch: sampler.epoch(rng),
            loss_of,
            epochs=epochs,
            lr=config.lr,
            schedule=decay_per_epoch(config.lr_decay) if config.lr_decay else warmup_cosine,
            progress=progress,
        )
        baseline = torch.as_tensor(np.asarray(expression.mean(0), np.float32).ravel(), device=device)
        return cls(config, training.genes, network, baseline)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Encoder output, not normalised, float32 (n, d)."""
        expression = cells.log1p()
        device = self._baseline.device
        store = SparseCells.of(expression.indptr, expression.indices, expression.data, len(self.genes), device)
        parts = [np.empty((0, self._network.second.out_features), np.float32)]
        for start in range(0, len(store), EMBED_ROWS):
            stop = min(start + EMBED_ROWS, len(store))
            parts.append(self._network(store.rows(torch.arange(start, stop, device=device))).cpu().numpy())
            progress(stop / len(store))
        return Embedding(np.concatenate(parts))

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Integrated gradients of cos(z, direction) from the reference's mean expression, averaged over the cells.

        A zero baseline does not converge (LayerNorm is singular there); from the mean, 16 midpoint steps do.
        `error` is |sum of scores - (f(x) - f(mean))| over the mean size of that difference.
        """
        device = self._baseline.device
        expression = torch.as_tensor(cells.log1p().toarray(), device=device)  # (n, g)
        direction = F.normalize(torch.as_tensor(toward.direction, device=device), dim=0)
        scores, error = integrated_gradients(self._network.dense, expression, self._baseline, direction, progress)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, self.card.measure(measure).name, error)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {"config": self.config.as_dict(), "genes": list(self.genes)}
        (folder / keys.CONFIG_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        tensors = {f"network.{name}": value.cpu().contiguous() for name, value in self._network.state_dict().items()}
        save_file({**tensors, "baseline": self._baseline.cpu()}, folder / keys.WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings = json.loads((folder / keys.CONFIG_FILE).read_text(encoding="utf-8"))
        config = ConcordConfig(**settings["config"])
        genes = np.array(settings["genes"], dtype=object)
        tensors = load_file(folder / keys.WEIGHTS_FILE, device=str(device))
        baseline = tensors.pop("baseline")
        network = ConcordNet(len(genes), config.n_hidden, config.n_latent).to(device)
        network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items()})
        return cls(config, genes, network, baseline)


def _own(config: Config) -> ConcordConfig:
    if not isinstance(config, ConcordConfig):
        raise OptionsProblem(f"CONCORD is trained with a ConcordConfig, not a {type(config).__name__}.")
    return config
