"""CONCORD: dataset-aware contrast with hard negatives (Zhu et al., Nature Biotechnology 2026)."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import AlignedCells, Embedding, FloatArray, IntArray
from explorer.methods.base import GRADIENTS, Config, Measure, MethodCard, Toward, Training
from explorer.methods.common import kept_out, own_config, part_of, read_model, tensors_of, write_model
from explorer.neighbors import Index
from explorer.networks.attribution import averaged_gradient, detected, integrated_gradients
from explorer.networks.concord import ConcordNet, Parts
from explorer.networks.concord_tasks import EMBED_ROWS, Lesson, Terms, embedded
from explorer.networks.samplers import STRATEGIES, DomainSampler, coverage_of, pieces
from explorer.networks.sparse import SparseCells
from explorer.networks.training import decay_per_epoch, train, warmup_cosine
from explorer.progress import Progress

log = logging.getLogger(__name__)

SAMPLERS = ("hcl", "knn", "naive")
MOST_NEIGHBORS = 1000
CLUSTERS = 20          # cell states that coverage is counted over
LEAST_INSIDE = 0.95    # of a minibatch from one dataset, for hard negatives to be of cell states
GRADIENT = Measure(
    "gradient",
    "gene",
    "How fast the cells would move toward the label if they expressed a little more of each gene; adds up to nothing.",
)


@dataclass(frozen=True)
class ConcordConfig(Config):
    """Settings of CONCORD.

    Attributes
    ----------
    n_hidden, n_latent
        Units of the hidden layer and of the embedding.
    element_mask, feature_mask
        Probability that a stored value, and that a gene, is dropped from a view.
    temperature
        T of the contrastive loss.
    sampler
        "hcl": minibatches of one dataset, hard negatives; "knn": a share of each comes from around a core cell;
        "naive": minibatches of all cells, for comparison.
    hardness
        beta of the loss, of hcl.
    p_inside
        Share of a minibatch drawn from one dataset; hcl wants at least 0.95.
    p_knn, n_neighbors, warmup_epochs
        Of knn: share of a minibatch drawn from the neighbours of its core, how many those are (0: a tenth of the cells,
        at most 1,000), and epochs before the embedding is good enough to find them in.
    strategy
        Minibatches of a dataset: "proportional" to its cells, "equal", or by its "coverage" of cell states.
    batch_size, epochs
        0 picks them by the number of cells.
    lr
        Full learning rate of Adam.
    lr_decay
        Factor an epoch; 0 takes warm-up and cosine.
    patience
        Epochs without a better contrast of left-out cells before training stops; 0 trains to the end on all cells.
    classifier_weight
        Of the cross-entropy of labelled cells, averaged over label levels; 0 for no classifier, so that labels take no
        part.
    frozen
        Whether the classifier learns after the encoder and leaves it as it is.
    decoder_weight
        Of the squared error of reconstructed expression; 0 for no decoder.
    gene_penalty, penalty_norm
        Of the weights of genes, and their "l1" or "l2" norm; a negative penalty is no penalty and no weights.
    """

    words: ClassVar = {"sampler": SAMPLERS, "strategy": STRATEGIES, "penalty_norm": ("l1", "l2")}
    n_hidden: int = 1000
    n_latent: int = 100
    element_mask: float = 0.4
    feature_mask: float = 0.3
    temperature: float = 0.4
    sampler: str = "hcl"
    hardness: float = 1.0
    p_inside: float = 1.0
    p_knn: float = 0.3
    n_neighbors: int = 0
    warmup_epochs: int = 2
    strategy: str = "proportional"
    batch_size: int = 0
    epochs: int = 0
    lr: float = 1e-3
    lr_decay: float = 0.0
    patience: int = 0
    classifier_weight: float = 1.0
    frozen: bool = False
    decoder_weight: float = 0.0
    gene_penalty: float = -1.0
    penalty_norm: str = "l1"

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: no classifier, and the published learning rate, batch size and epochs."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                batch_size=256,
                epochs=15,
                lr=1e-2,
                lr_decay=0.97**2,
                classifier_weight=0.0,
            )
        raise OptionsProblem(f"CONCORD has the presets 'balanced' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,000 steps."""
        batch_size = self.batch_size or (256 if n_cells >= 5000 else 64)
        epochs = self.epochs or min(max(15, math.ceil(1000 * batch_size / n_cells)), 20_000 * batch_size // n_cells)
        return batch_size, max(1, epochs)

    def terms(self) -> Terms:
        """What the loss is made of."""
        return Terms(
            masks=(self.element_mask, self.feature_mask),
            temperature=self.temperature,
            hardness=self.hardness if self.sampler == "hcl" else 0.0,
            decoder=self.decoder_weight,
            classifier=0.0 if self.frozen else self.classifier_weight,
            penalty=self.gene_penalty,
            norm=self.penalty_norm,
        )

    def parts(self, n_domains: int, n_classes: tuple[int, ...]) -> Parts:
        """What the network has besides its encoder."""
        return Parts(
            weighs_genes=self.gene_penalty >= 0,
            n_domains=n_domains if self.decoder_weight > 0 else 0,
            n_classes=n_classes if self.classifier_weight > 0 else (),
        )


@dataclass(frozen=True)
class Outputs:
    """What the network's outputs are called.

    Attributes
    ----------
    domains
        Names of the datasets that the decoder knows.
    levels
        Label levels of the classifiers.
    n_classes
        Classes of each level.
    """

    domains: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    n_classes: tuple[int, ...] = ()


class Concord:
    """A trained CONCORD encoder."""

    card: ClassVar[MethodCard] = MethodCard(
        name="concord",
        title="CONCORD",
        paper="Zhu et al., Nature Biotechnology 2026",
        summary="Contrasts cells within each batch, so that batches are never a cue, and learns to tell labels along. "
        "Quick to train and to map.",
        gives=("gene attribution",),
        measures=(GRADIENTS, GRADIENT),
    )
    config_type: ClassVar[type[Config]] = ConcordConfig

    def __init__(
        self,
        config: ConcordConfig,
        genes: NDArray[np.object_],
        network: ConcordNet,
        baseline: Tensor,
        outputs: Outputs,
    ) -> None:
        self.config = config
        self.genes = genes
        self._network = network.eval()
        self._baseline = baseline  # (g,) mean log1p expression of the reference: where attribution starts
        self._outputs = outputs

    @classmethod
    def fit(
        cls, training: Training, config: Config, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Self:
        """Train on minibatches put together as the settings say; labels take part only in a classifier."""
        config = _own(config)
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        expression = training.cells.log1p()
        cells = SparseCells.of(expression.indptr, expression.indices, expression.data, len(training.genes), device)
        outputs = _outputs(training)
        parts = config.parts(len(outputs.domains), outputs.n_classes)
        network = ConcordNet(len(training.genes), config.n_hidden, config.n_latent, parts).to(device)
        domains = torch.as_tensor(np.unique(training.batches, return_inverse=True)[1], device=device)
        codes = np.array([*training.labels.values()], np.int64).reshape(-1, len(cells)).T
        lesson = Lesson(network, cells, domains, torch.as_tensor(codes, device=device), config.terms(), config.seed)
        batch_size, epochs = config.sized(len(cells))
        learnt, left_out = kept_out(len(cells), config.patience, rng)
        sampler = _sampler(config, training.batches[learnt], expression[learnt], batch_size)
        checked = [left_out[piece] for piece in pieces(training.batches[left_out], batch_size, rng) if len(piece) > 1]
        found: dict[str, IntArray] = {}

        def minibatches(epoch: int) -> list[NDArray[np.int64]]:
            if config.sampler == "knn" and epoch == config.warmup_epochs and not found:
                found["neighbors"] = _graph(network, cells, learnt, config.n_neighbors)
            sampler.neighbors = found.get("neighbors")
            return [learnt[minibatch] for minibatch in sampler.epoch(rng)]

        classified = config.frozen and parts.n_classes
        train(
            network, minibatches, lesson.loss,
            epochs=epochs, lr=config.lr,
            schedule=decay_per_epoch(config.lr_decay) if config.lr_decay else warmup_cosine,
            progress=progress.part(progress.stage, 0.0, 0.8 if classified else 1.0),
            check=(lambda: lesson.check(checked)) if checked else None,
            patience=config.patience,
            checkpoint=training.checkpoint(checkpoint, config), generators=(rng, lesson.views),
            found=found,
        )
        if classified:
            kept = training.checkpoint(checkpoint, config, "classifier")
            lesson.classify(minibatches, epochs, progress.part(progress.stage, 0.8, 1.0), kept, (rng,))
        baseline = torch.as_tensor(np.asarray(expression.mean(0), np.float32).ravel(), device=device)
        return cls(config, training.genes, network, baseline, outputs)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Encoder output, not normalised, float32 (n, d); with a classifier, its probabilities."""
        expression = cells.log1p()
        device = self._baseline.device
        store = SparseCells.of(expression.indptr, expression.indices, expression.data, len(self.genes), device)
        z = embedded(self._network, store, progress)
        scores = {
            level: F.softmax(classifier(z), 1).cpu().numpy()
            for level, classifier in zip(self._outputs.levels, self._network.classifiers, strict=False)
        }
        return Embedding(z.cpu().numpy(), scores)

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Which genes turn the cells, on average, toward a direction.

        Integrated gradients start from the reference's mean expression. A zero baseline does not converge (LayerNorm
        is singular there); from the mean, 16 midpoint steps do. `error` is |sum of scores - (f(x) - f(mean))| over the
        mean size of that difference. The averaged gradient is the published measure, of one direction; in blood it
        ranks known markers 115th in the median, integrated gradients 2nd, because genes that few cells express move
        the network most.
        """
        chosen = self.card.measure(measure)
        x = self._dense(cells)
        direction = F.normalize(torch.as_tensor(toward.direction, device=x.device), dim=0)
        place = self._network.dense
        if chosen == GRADIENT:
            scores, error = averaged_gradient(place, x, direction, progress), math.nan
        else:
            scores, error = integrated_gradients(place, x, self._baseline, direction, progress)
        return Signature(self.genes, scores.cpu().numpy(), toward.label, chosen.name, error)

    def unit_attribution(
        self, cells: AlignedCells, measure: str | None = None, *, progress: Progress
    ) -> tuple[FloatArray, FloatArray]:
        """Which genes drive each unit of the embedding in these cells, on average; for single cells, hand over one.

        The measure "gradient" is the authors' saliency, in closed form.

        Returns
        -------
        scores
            float32 (d, g), 0 for genes hardly detected in the cells.
        errors
            float32 (d,), completeness error of each unit over all genes; NaN for the measure "gradient".
        """
        x = self._dense(cells)
        if self.card.measure(measure) == GRADIENT:
            scores = self._network.unit_gradients(x)
            errors = torch.full((len(scores),), math.nan)
            progress(1.0)
        else:
            scores, errors = self._network.unit_attribution(x, self._baseline, progress)
        return (scores * detected(x)).cpu().numpy(), errors.cpu().numpy()

    @torch.no_grad()
    def corrected(self, cells: AlignedCells, batch: str | None = None, *, progress: Progress) -> FloatArray:
        """log1p expression as one batch of the reference would show it, float32 (n, g).

        Parameters
        ----------
        batch
            Name of that batch; the mean of all that were trained if not named.

        Raises
        ------
        OptionsProblem
            If the model has no decoder, or no such batch.
        """
        decoder = self._network.decoder
        if decoder is None:
            raise OptionsProblem(
                "This CONCORD model has no decoder, so it cannot correct expression. Train one with a decoder_weight "
                "above 0."
            )
        names = self._outputs.domains
        if batch is not None and batch not in names:
            raise OptionsProblem(f"This CONCORD model knows the batches {', '.join(names)}; not {batch!r}.")
        table = decoder.domains.weight
        domain = table.mean(0) if batch is None else table[names.index(batch)]
        values = torch.as_tensor(self.embed(cells, progress=progress).values, device=table.device)
        parts = [decoder(part, domain).cpu().numpy() for part in values.split(EMBED_ROWS)]
        return np.concatenate([np.empty((0, len(self.genes)), np.float32), *parts])

    def _dense(self, cells: AlignedCells) -> Tensor:
        return torch.as_tensor(cells.log1p().toarray(), device=self._baseline.device)  # (n, g)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {"config": self.config.as_dict(), "genes": list(self.genes), "outputs": asdict(self._outputs)}
        write_model(folder, settings, {**tensors_of(self._network, "network"), "baseline": self._baseline})

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings, tensors = read_model(folder, device)
        config = ConcordConfig(**settings["config"])
        genes = np.array(settings["genes"], dtype=object)
        outputs = Outputs(**{name: tuple(values) for name, values in settings.get("outputs", {}).items()})
        baseline = tensors.pop("baseline")
        parts = config.parts(len(outputs.domains), outputs.n_classes)
        network = ConcordNet(len(genes), config.n_hidden, config.n_latent, parts).to(device)
        network.load_state_dict(part_of(tensors, "network"))
        return cls(config, genes, network, baseline, outputs)


def _own(config: Config) -> ConcordConfig:
    own = own_config(config, ConcordConfig, "CONCORD")
    if own.sampler == "hcl" and own.p_inside < LEAST_INSIDE:
        log.warning(
            "CONCORD's hcl was asked to draw %.0f %% of each minibatch from one batch; below 95 %% cells of other "
            "batches become hard negatives, and batches are pushed apart. Use the sampler 'knn', or p_inside = 1.",
            100 * own.p_inside,
        )
    return own


def _graph(network: ConcordNet, cells: SparseCells, which: NDArray[np.int64], k: int) -> IntArray:
    """int32 (n, k), nearest of the cells `which` to each of them, itself included, by cosine similarity."""
    values = embedded(network, cells, Progress())[torch.as_tensor(which)].cpu().numpy()
    return Index(values).search(values, k or min(MOST_NEIGHBORS, max(1, len(which) // 10))).indices


def _outputs(training: Training) -> Outputs:
    codes, first = np.unique(training.batches, return_index=True)
    if training.conditions:
        batch = training.conditions[0]
        domains = tuple(batch.names[batch.codes[cell]] for cell in first)
    else:
        domains = tuple(str(code) for code in codes)
    n_classes = tuple(int(codes.max()) + 1 for codes in training.labels.values())
    return Outputs(domains, tuple(training.labels), n_classes)


def _sampler(
    config: ConcordConfig, batches: NDArray[np.int32], expression: sparse.csr_matrix, batch_size: int
) -> DomainSampler:
    if config.sampler == "naive":
        return DomainSampler(np.zeros_like(batches), batch_size)
    return DomainSampler(
        batches,
        batch_size,
        p_knn=config.p_knn if config.sampler == "knn" else 0.0,
        p_inside=config.p_inside,
        strategy=config.strategy,
        coverage=coverage_of(batches, _clusters(expression, config.seed)) if config.strategy == "coverage" else None,
    )


def _clusters(expression: sparse.csr_matrix, seed: int) -> NDArray[np.int32]:
    """Rough cell states: k-means on principal axes of log expression."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD

    axes = min(50, min(expression.shape) - 1)
    values = TruncatedSVD(axes, random_state=seed).fit_transform(expression)
    return np.asarray(KMeans(min(CLUSTERS, len(values)), random_state=seed).fit_predict(values), np.int32)
