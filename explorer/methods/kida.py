"""KIDA: a transformer over pathways that learns from labels; the teacher (Tang et al., Communications Biology 2024)."""

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
from explorer.errors import GenesProblem, OptionsProblem
from explorer.flow import AlignedCells, Embedding, Signature
from explorer.genesets import most_covered, shipped
from explorer.methods.base import Config, MethodCard, Toward, Training
from explorer.networks.attribution import integrated_gradients
from explorer.networks.kida import KidaNet, balanced_minibatches
from explorer.networks.sparse import SparseCells
from explorer.networks.training import constant, train, warmup_cosine
from explorer.progress import Progress

EMBED_ROWS = 256  # a cell is as many tokens as there are pathways
FEWEST_PATHWAYS = 10

Pathways = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class KidaConfig(Config):
    """Settings of KIDA.

    Attributes
    ----------
    collections
        Gene set collections that pathways are taken from.
    n_pathways
        Pathways, those of which most genes are among the method's.
    n_latent, depth, heads
        Units of a token and of the embedding, layers, and attention heads of a layer.
    dropout
        Share of what a layer adds to a token that is dropped in training.
    batch_size, epochs
        0 epochs picks them by the number of cells.
    lr
        Full learning rate of Adam.
    annealed
        Whether the learning rate warms up and falls off by a cosine; else it stays.
    """

    collections: tuple[str, ...] = ("reactome",)
    n_pathways: int = 100
    n_latent: int = 48
    depth: int = 1
    heads: int = 4
    dropout: float = 0.1
    batch_size: int = 64
    epochs: int = 0
    lr: float = 1e-3
    annealed: bool = True

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: the network of the authors' code, trained as the text says.

        The text names 4 layers of 128 units and 8 heads; the authors' scripts run one of 48 and 2.
        """
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                n_pathways=299,
                n_latent=48,
                depth=1,
                heads=2,
                batch_size=16,
                epochs=6,
                annealed=False,
            )
        raise OptionsProblem(f"KIDA has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 600 steps."""
        steps = math.ceil(600 * self.batch_size / n_cells)
        epochs = self.epochs or min(max(6, steps), 20_000 * self.batch_size // n_cells)
        return self.batch_size, max(1, epochs)


class Kida:
    """A trained KIDA teacher."""

    card: ClassVar[MethodCard] = MethodCard(
        name="kida",
        title="KIDA",
        paper="Tang et al., Communications Biology 2024",
        summary="Reads a cell by its pathways and learns the main labels. Teacher only: no distillation on queries.",
        input_form="log1p",
        gives=("gene attribution",),
    )
    config_type: ClassVar[type[Config]] = KidaConfig

    def __init__(
        self,
        config: KidaConfig,
        genes: NDArray[np.object_],
        pathways: Pathways,
        network: KidaNet,
        baseline: Tensor,
    ) -> None:
        self.config = config
        self.genes = genes
        self._pathways = pathways
        self._network = network.eval()
        self._baseline = baseline  # (g,) mean log1p expression of the reference: where attribution starts

    @classmethod
    def fit(cls, training: Training, config: Config, *, device: torch.device, progress: Progress) -> Self:
        """Train on the main label level, its classes balanced; unlabelled cells take no part, nor do batches.

        Raises
        ------
        GenesProblem
            If hardly any pathway is covered by the method's genes.
        """
        config = _own(config)
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        expression = training.cells.log1p()
        cells = SparseCells.of(expression.indptr, expression.indices, expression.data, len(training.genes), device)
        codes = next(iter(training.labels.values()))
        classes = torch.as_tensor(codes, device=device).long()
        pathways = _pathways_of(training.genes, config)
        network = _network(config, len(training.genes), pathways, int(codes.max()) + 1).to(device)
        batch_size, epochs = config.sized(int((codes >= 0).sum()))

        def loss_of(which: Tensor) -> Tensor:
            return F.cross_entropy(network.logits(network(cells.rows(which).dense())), classes[which])

        train(
            network,
            lambda _epoch: balanced_minibatches(codes, batch_size, rng),
            loss_of,
            epochs=epochs,
            lr=config.lr,
            schedule=warmup_cosine if config.annealed else constant,
            progress=progress,
        )
        baseline = torch.as_tensor(np.asarray(expression.mean(0), np.float32).ravel(), device=device)
        return cls(config, training.genes, pathways, network, baseline)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """The class token after the last layer, float32 (n, d)."""
        expression = cells.log1p()
        device = self._baseline.device
        store = SparseCells.of(expression.indptr, expression.indices, expression.data, len(self.genes), device)
        parts = [np.empty((0, self.config.n_latent), np.float32)]
        for start in range(0, len(store), EMBED_ROWS):
            stop = min(start + EMBED_ROWS, len(store))
            parts.append(self._network(store.rows(torch.arange(start, stop, device=device)).dense()).cpu().numpy())
            progress(stop / len(store))
        return Embedding(np.concatenate(parts))

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Integrated gradients of cos(z, direction) from the reference's mean expression, averaged over the cells.

        `error` is |sum of scores - (f(x) - f(mean))| over the mean size of that difference.
        """
        device = self._baseline.device
        expression = torch.as_tensor(cells.log1p().toarray(), device=device)  # (n, g)
        direction = F.normalize(torch.as_tensor(toward.direction, device=device), dim=0)
        scores, error = integrated_gradients(self._network, expression, self._baseline, direction, progress)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, self.card.measure(measure).name, error)

    def save(self, folder: Path) -> None:
        """Write settings and pathways as JSON and tensors as safetensors."""
        pathways = {name: list(self.genes[at]) for name, at in self._pathways.items()}
        settings = {"config": self.config.as_dict(), "genes": list(self.genes), "pathways": pathways}
        (folder / keys.CONFIG_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        tensors = {f"network.{name}": value.cpu().contiguous() for name, value in self._network.state_dict().items()}
        save_file({**tensors, "baseline": self._baseline.cpu()}, folder / keys.WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings = json.loads((folder / keys.CONFIG_FILE).read_text(encoding="utf-8"))
        config = KidaConfig(**{**settings["config"], "collections": tuple(settings["config"]["collections"])})
        genes = np.array(settings["genes"], dtype=object)
        pathways = {name: np.flatnonzero(np.isin(genes, own)) for name, own in settings["pathways"].items()}
        tensors = load_file(folder / keys.WEIGHTS_FILE, device=str(device))
        baseline = tensors.pop("baseline")
        network = _network(config, len(genes), pathways, len(tensors["network.head.2.bias"])).to(device)
        network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items()})
        return cls(config, genes, pathways, network, baseline)


def _own(config: Config) -> KidaConfig:
    if not isinstance(config, KidaConfig):
        raise OptionsProblem(f"KIDA is trained with a KidaConfig, not a {type(config).__name__}.")
    return config


def _network(config: KidaConfig, n_genes: int, pathways: Pathways, n_classes: int) -> KidaNet:
    members = list(pathways.values())
    return KidaNet(members, n_genes, n_classes, config.n_latent, config.depth, config.heads, config.dropout)


def _pathways_of(genes: NDArray[np.object_], config: KidaConfig) -> Pathways:
    sets = shipped(config.collections)
    pathways = most_covered(sets, genes, config.n_pathways)
    if len(pathways) < FEWEST_PATHWAYS:
        raise GenesProblem(
            f"KIDA reads cells by pathways, but only {len(pathways)} of {len(sets):,} gene sets hold at least 5 of the "
            f"{len(genes):,} genes it would work on (such as {', '.join(map(str, genes[:3]))}); at least "
            f"{FEWEST_PATHWAYS} are needed. Genes must go by human or mouse symbols. Any other method does without."
        )
    return pathways
