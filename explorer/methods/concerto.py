"""Concerto: contrast between an attention network and a dense one (Yang et al., Nature Machine Intelligence 2022)."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from explorer.beside import ConditionEmbedding
from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import AlignedCells, Embedding
from explorer.methods.base import (
    INSTANT,
    Adaptation,
    Adapted,
    Config,
    Measure,
    MethodCard,
    Mode,
    Toward,
    Training,
)
from explorer.methods.common import own_config, read_model, told_of_drift, write_model
from explorer.networks.attention import ALL, EXPRESSED
from explorer.networks.checkpoints import Checkpoint
from explorer.networks.concerto import Views, estimate_statistics
from explorer.networks.concerto_labels import Consistency, Unlabelled, teach
from explorer.networks.concerto_modalities import CLR, LOG, SCALINGS, ModalCells, modal_cells, scaled_proteins
from explorer.networks.concerto_model import ENOUGH, Batches, ConcertoModel, Described
from explorer.networks.concerto_scores import attention_of_unexpressed, attentions, contributions, lifts
from explorer.networks.concerto_tasks import Course, Labelled, anchored, contrast, source_pure
from explorer.networks.training import linear_until, warmup_cosine
from explorer.progress import Progress

STEPS_AN_EPOCH = 150  # the published learning rate reaches its floor after so many, however large the data are
WEIGHT_DECAY = 1e-4   # of adaptation, as published
GO_BY_ALL = f"Batches of fewer than {ENOUGH} cells go by the statistics of the whole reference."

CONTRIBUTION = Measure(
    "contribution",
    "gene",
    "How much farther from the label the cells would point if they did not express the gene.",
)
LIFT = Measure(
    "lift",
    "gene",
    "How much more attention a gene gets than it would unexpressed, as a log ratio. Says nothing of the label.",
)
ATTENTION = Measure(
    "attention",
    "gene",
    "Attention weight, not importance: the published score. Most of it lies on genes that are not expressed.",
)
PROTEIN = Measure(
    "protein contribution",
    "protein",
    "How much farther from the label the cells would point without the protein; for references with proteins.",
)
FINE_TUNED = Mode(
    "fine-tuned",
    "Fine-tuned",
    "Goes on training on your cells, without labels, and places reference and query anew. About a minute for "
    "10,000 cells; says so when the reference moved far.",
)
ADAPTED = Mode(
    "adapted",
    "Adapted to your cells",
    "Learns the reference's labels anew, with labels that some of your cells have, while it must agree with itself on "
    "the others. Minutes. Worth it with such labels; without any it can do worse than as trained.",
    learns_labels=True,
)
PER_BATCH = Mode(
    "per-batch",
    "Each batch by itself",
    "Standardises each batch, yours and the reference's, by its own cells; nothing is learned. Mixes batches most, "
    "but a batch that lacks some types is drawn toward the others. Seconds.",
)


@dataclass(frozen=True)
class ConcertoConfig(Config):
    """Settings of Concerto.

    Attributes
    ----------
    n_latent
        Units of every layer and of the embedding.
    attend
        "all": to every gene. "expressed": to those that a cell expresses, without their batch norm.
    element_mask, feature_mask
        Probability that a stored value, and that a gene, is dropped from a view.
    modality_dropout
        Probability that RNA, or protein, of a cell is dropped from a view, never both.
    dropout
        Probability that a feature is dropped before the last layer.
    temperature
        T of the contrastive loss.
    batch_norm
        "population": statistics of the whole reference. "running": the published running averages.
    protein_scale
        Of surface proteins: "none", "log", "clr" or "l2".
    batch_size, epochs
        0 epochs picks them by the number of cells.
    lr
        Full learning rate of Adam.
    lr_linear
        Whether it falls in a straight line, as published, instead of warm-up and cosine.
    p_inside
        Share of a minibatch drawn from one source; 1 is as published. Under 1 helps where sources differ in the types
        that they hold, and costs where a query comes from another laboratory.
    by_source
        Whether all minibatches of one source follow each other, as published, instead of in random order.
    classifier_weight
        Of the cross-entropy of labelled cells, averaged over label levels, beside the contrast; 0 for no classifier,
        so that labels take no part in it.
    supervised
        Whether the trained teacher goes on to learn the reference's labels, with a fresh classifier.
    patience
        Epochs without a better contrast of left-out cells before training stops; 0 trains to the end on all cells.
    taught_epochs, taught_lr, taught_patience
        Of learning labels; patience 0 learns to the end instead of stopping by held-out cells.
    tuned_lr
        Of fine-tuning on a query, for one epoch.
    threshold
        Probability that a pseudo-label of a query's cell needs, to be learned from in adaptation.
    """

    words: ClassVar = {"attend": (ALL, EXPRESSED), "batch_norm": ("population", "running"), "protein_scale": SCALINGS}
    n_latent: int = 128
    attend: str = ALL
    element_mask: float = 0.2
    feature_mask: float = 0.2
    modality_dropout: float = 0.2
    dropout: float = 0.1
    temperature: float = 0.2
    batch_norm: str = "population"
    protein_scale: str = CLR
    batch_size: int = 64
    epochs: int = 0
    lr: float = 1e-3
    lr_linear: bool = False
    patience: int = 0
    p_inside: float = 1.0
    by_source: bool = False
    classifier_weight: float = 1.0
    supervised: bool = False
    taught_epochs: int = 10
    taught_lr: float = 1e-3
    taught_patience: int = 3
    tuned_lr: float = 1e-4
    threshold: float = 0.8

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default), `supervised` or `paper`: no masks, no classifier, and the published training."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "supervised":  # labels after the contrast instead of along with it
            return cls(preset=preset, seed=seed, classifier_weight=0.0, supervised=True)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                element_mask=0.0, feature_mask=0.0, modality_dropout=0.0, temperature=0.1,
                batch_norm="running", protein_scale=LOG,
                batch_size=32, epochs=3, lr=1e-4, lr_linear=True, by_source=True, classifier_weight=0.0,
                taught_epochs=5, taught_patience=0, tuned_lr=1e-5, threshold=0.0,
            )
        raise OptionsProblem(f"Concerto has the presets 'balanced', 'supervised' and 'paper', not {preset!r}.")

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 1,000 steps."""
        steps = math.ceil(1000 * self.batch_size / n_cells)
        epochs = self.epochs or min(max(10, steps), 20_000 * self.batch_size // n_cells)
        return self.batch_size, max(1, epochs)

    @property
    def views(self) -> Views:
        """How views are drawn and contrasted."""
        return Views(self.element_mask, self.feature_mask, self.modality_dropout, self.temperature)

    def course(self, epochs: int, lr: float, patience: int = 0) -> Course:
        """A stretch of learning with these settings."""
        schedule = linear_until(STEPS_AN_EPOCH * epochs) if self.lr_linear else warmup_cosine
        return Course(self.batch_size, epochs, lr, schedule, self.by_source, patience, self.p_inside)


class Concerto:
    """A trained Concerto: the teacher embeds, the student is kept for fine-tuning."""

    card: ClassVar[MethodCard] = MethodCard(
        name="concerto",
        title="Concerto",
        paper="Yang et al., Nature Machine Intelligence 2022",
        summary="Learns what makes each cell itself by describing it twice, with an attention network over all genes "
        "and with a plain one, and to tell labels meanwhile. Can go on learning from your cells, and takes surface "
        "proteins along.",
        gives=("gene contribution", "attention and its lift", "protein contribution", "its own classifier"),
        measures=(CONTRIBUTION, LIFT, ATTENTION, PROTEIN),
        modes=(INSTANT, FINE_TUNED, ADAPTED, PER_BATCH),
    )
    config_type: ClassVar[type[Config]] = ConcertoConfig

    def __init__(
        self,
        config: ConcertoConfig,
        genes: NDArray[np.object_],
        proteins: tuple[str, ...],
        model: ConcertoModel,
        levels: tuple[str, ...] = (),
        described: Described | None = None,
    ) -> None:
        self.config = config
        self.genes = genes
        self.proteins = proteins
        self._model = model.eval()
        self._levels = levels  # that it has heads for
        self._described = described

    @classmethod
    def fit(
        cls, training: Training, config: Config, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Self:
        """Train teacher and student on source-pure minibatches; labels take part only in a classifier.

        Raises
        ------
        OptionsProblem
            If a setting does not exist, or labels are to be learned and there are none.
        """
        config = own_config(config, ConcertoConfig, "Concerto")
        torch.manual_seed(config.seed)
        cells = _modal(training.cells, training.proteins, config, device)
        sizes = [store.n_genes for store in cells.stores]
        model = ConcertoModel(sizes, config.n_latent, config.dropout, config.attend).to(device)
        _, epochs = config.sized(len(cells))
        share = epochs / (epochs + config.taught_epochs) if config.supervised else 1.0

        # 1. by contrast, and from labels along with it
        labelled = _labelled(model, training, config)
        course = config.course(epochs, config.lr, config.patience)
        span = progress.part(progress.stage, 0.0, share)
        kept = training.checkpoint(checkpoint, config, "contrast")
        contrast(model.network, cells, training.batches, config.views, course, config.seed, span, labelled, kept)
        if config.batch_norm == "population":
            estimate_statistics(model.network.teacher, source_pure(cells, training.batches, config.seed))

        # 2. from labels alone
        if config.supervised:
            kept = training.checkpoint(checkpoint, config, "labels")
            _teach(model, cells, training, config, progress.part(progress.stage, share, 1.0), checkpoint=kept)

        model.centre_on(cells, progress.part(progress.stage, 1.0, 1.0))
        levels = tuple(training.labels) if model.n_classes else ()
        return cls(config, training.genes, training.proteins, model, levels)

    @property
    def conditions(self) -> tuple[ConditionEmbedding, ...]:
        """The batches that it has statistics of, by what sets their mean cell apart; none unless "per-batch"."""
        if self._described is None:
            return ()
        told, values = self._described, self._model.described_sources().cpu().numpy()
        from_query = np.arange(len(told.names)) >= told.n_reference
        return (ConditionEmbedding(told.column, np.array(told.names, dtype=object), values, from_query),)

    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """The teacher's output, rows of length 1, float32 (n, d), and what its classifier says, if it has one."""
        batches = None if cells.conditions is None else cells.conditions[:, 0]
        z = self._model.embed(self._stored(cells), batches, progress)
        scores, rejected = (
            {level: of.cpu().numpy() for level, of in zip(self._levels, by_level, strict=True)}
            for by_level in self._model.answers(z)
        )
        return Embedding(F.normalize(z, dim=1).cpu().numpy(), scores, rejected)

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """By one of the measures, averaged over the cells and 0 for those that do not express the gene.

        A contribution is what a gene adds to how far the cells point from the reference's centre toward the label:
        exact for the pooled vector, one gene left out at a time, and linear in the rest of the network. Neither that
        nor attention adds up to anything, so there is no `error`.

        Raises
        ------
        OptionsProblem
            If there is no such measure, or no protein to score.
        """
        chosen = self.card.measure(measure)
        stored = self._stored(cells)
        x = stored.span(0, len(stored))
        teacher = self._model.network.teacher
        if chosen == LIFT and self.config.attend == EXPRESSED:
            raise OptionsProblem("This model attends to expressed genes only, so there is no lift. Choose attention.")
        if chosen == PROTEIN and len(x.parts) < 2:
            lacking = "These cells were not measured for" if self.proteins else "This model was built without"
            raise OptionsProblem(f"{lacking} surface proteins: there is none to score. Choose another measure.")
        note = ""
        if chosen == ATTENTION:
            scores = attentions(teacher, x)
            elsewhere = float(attention_of_unexpressed(teacher, x).mean())
            note = f"{elsewhere:.0%} of the attention lies on genes that the cells do not express." * (elsewhere > 0)
        elif chosen == LIFT:
            scores = lifts(teacher, x)
        else:
            direction = torch.as_tensor(toward.direction, device=self._model.device) - self._model.center
            scores = contributions(teacher, x, direction, modality=1 if chosen == PROTEIN else 0)
        progress(1.0)
        names = np.array(self.proteins, dtype=object) if chosen == PROTEIN else self.genes
        return Signature(names, scores.cpu().numpy(), toward.label, chosen.name, math.nan, chosen.of, note)

    def adapt(self, to: Adaptation, *, progress: Progress) -> Adapted:
        """Learn from a query's cells.

        "fine-tuned": by contrast; "adapted": from the reference's labels too; "per-batch": statistics, no weights.

        Raises
        ------
        OptionsProblem
            If there is no such mode, the reference has no labels to learn, or the model no longer tells cells apart.
        """
        mode, config = self.card.mode(to.mode), self.config
        torch.manual_seed(config.seed)
        reference, cells = self._stored(to.reference.cells), self._stored(to.cells)
        own, query = to.batches
        model = copy.deepcopy(self._model)
        if mode == PER_BATCH:
            of_both = Batches(reference, own.codes, own.names), Batches(cells, query.codes, query.names)
            described, small = model.learn_batches(*of_both, own.column, config.seed)
            method = Concerto(config, self.genes, self.proteins, model, self._levels, described)
            progress(1.0)
            return Adapted(method, True, (GO_BY_ALL,) if small else (), method.conditions)
        before = anchored(model.network.teacher, reference, config.seed)
        if mode == ADAPTED:
            # all of one source: batches that were sorted by type would teach their statistics instead of their labels
            unlabelled = Unlabelled(cells, np.zeros_like(query.codes), to.own_labels)
            _teach(model, reference, to.reference, config, progress, unlabelled)
        else:
            course = config.course(1, config.tuned_lr)
            contrast(model.network, cells, query.codes, config.views, course, config.seed, progress)
            if config.batch_norm == "population":
                estimate_statistics(model.network.teacher, source_pure(reference, to.reference.batches, config.seed))
        after = anchored(model.network.teacher, reference, config.seed)
        model.centre_on(reference, progress.part(progress.stage, 1.0, 1.0))
        levels = tuple(to.reference.labels) if mode == ADAPTED else self._levels
        method = Concerto(config, self.genes, self.proteins, model, levels)
        return Adapted(method, moved=True, notices=told_of_drift(mode, before, after, is_meant=mode == ADAPTED))

    def _stored(self, cells: AlignedCells) -> ModalCells:
        return _modal(cells, self.proteins, self.config, self._model.device)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        settings = {
            "config": self.config.as_dict(),
            "genes": list(self.genes),
            "proteins": list(self.proteins),
            "classes": dict(zip(self._levels, self._model.n_classes, strict=True)),
            "batches": None if self._described is None else asdict(self._described),
        }
        write_model(folder, settings, self._model.state_dict())

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings, tensors = read_model(folder, device)
        config = ConcertoConfig(**settings["config"])
        genes, proteins = np.array(settings["genes"], dtype=object), tuple(settings["proteins"])
        sizes = [len(genes), len(proteins)] if proteins else [len(genes)]
        classes, told = settings["classes"], settings["batches"]
        described = told and Described(told["column"], tuple(told["names"]), told["n_reference"])
        n_sources = len(described.names) if described else 0
        shape = (sizes, config.n_latent, config.dropout, config.attend)
        model = ConcertoModel(*shape, list(classes.values()), n_sources).to(device)
        model.load_state_dict(tensors)
        return cls(config, genes, proteins, model, tuple(classes), described)


def _modal(
    cells: AlignedCells, proteins: tuple[str, ...], config: ConcertoConfig, device: torch.device
) -> ModalCells:
    """Cells as the networks take them; proteins only where the model knows them and the cells have them."""
    measured = None
    if proteins and cells.proteins is not None:
        measured = scaled_proteins(cells.proteins, config.protein_scale)
    return modal_cells(cells.log1p(), measured, device)


def _labelled(model: ConcertoModel, training: Training, config: ConcertoConfig) -> Labelled | None:
    """Every label level and a fresh head for each; nothing where labels take no part or there are none."""
    if not training.labels or config.classifier_weight <= 0:
        return None
    codes = np.stack(list(training.labels.values()))
    heads = model.new_classifier(_sizes(codes)).heads
    return Labelled(heads, torch.as_tensor(codes, device=model.device).long(), config.classifier_weight)


def _sizes(codes: NDArray[np.integer]) -> list[int]:
    return [int(own.max()) + 1 for own in codes]


def _teach(
    model: ConcertoModel,
    cells: ModalCells,
    training: Training,
    config: ConcertoConfig,
    progress: Progress,
    unlabelled: Unlabelled | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Learn every label level, with fresh heads and the teacher along."""
    if not training.labels:
        raise OptionsProblem("Concerto was asked to learn labels, but the reference has none. Name a label column.")
    codes = np.stack(list(training.labels.values()))
    teach(
        model.new_classifier(_sizes(codes)),
        cells,
        codes,
        training.batches,
        config.views,
        config.course(config.taught_epochs, config.taught_lr, config.taught_patience),
        config.seed,
        progress,
        unlabelled=unlabelled,
        consistency=Consistency(threshold=config.threshold),
        weight_decay=0.0 if unlabelled is None else WEIGHT_DECAY,
        population=config.batch_norm == "population",
        checkpoint=checkpoint,
    )
