"""Concerto: contrast between an attention network and a dense one (Yang et al., Nature Machine Intelligence 2022)."""

from __future__ import annotations

import copy
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
from explorer.networks.attention import ALL, EXPRESSED
from explorer.networks.concerto import ConcertoNet, Views, embedded, estimate_statistics
from explorer.networks.concerto_labels import Classifier, Consistency, Unlabelled, teach
from explorer.networks.concerto_scores import attentions, contributions, lifts
from explorer.networks.concerto_tasks import Course, anchored, contrast, source_pure
from explorer.networks.geometry import alignment, uniformity
from explorer.networks.modalities import CLR, LOG, ModalCells, modal_cells, scaled_proteins
from explorer.networks.training import linear_until, warmup_cosine
from explorer.progress import Progress

STEPS_AN_EPOCH = 150  # the published learning rate reaches its floor after so many, however large the data are
WEIGHT_DECAY = 1e-4   # of adaptation, as published
COLLAPSED = 0.25      # share of its former spread (uniformity) under which a model is of no use any more
DRIFTED = 0.95        # mean cosine to where they were; below, the user is told

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
    "Learns the reference's labels anew while it must also agree with itself on your cells. Minutes; answers come "
    "from its own classifier where that does best.",
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
    by_source
        Whether all minibatches of one source follow each other, as published, instead of in random order.
    supervised
        Whether the trained teacher goes on to learn the reference's labels, with a classifier of its own.
    taught_epochs, taught_lr, patience
        Of learning labels; patience 0 learns to the end instead of stopping by held-out cells.
    tuned_lr
        Of fine-tuning on a query, for one epoch.
    threshold
        Probability that a pseudo-label of a query's cell needs, to be learned from in adaptation.
    """

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
    by_source: bool = False
    supervised: bool = False
    taught_epochs: int = 10
    taught_lr: float = 1e-3
    patience: int = 3
    tuned_lr: float = 1e-4
    threshold: float = 0.8

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: no masks, and the published training and batch norm."""
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset,
                seed=seed,
                element_mask=0.0,
                feature_mask=0.0,
                modality_dropout=0.0,
                temperature=0.1,
                batch_norm="running",
                protein_scale=LOG,
                batch_size=32,
                epochs=3,
                lr=1e-4,
                lr_linear=True,
                by_source=True,
                taught_epochs=5,
                patience=0,
                tuned_lr=1e-5,
                threshold=0.0,
            )
        raise OptionsProblem(f"Concerto has the presets 'balanced' and 'paper', not {preset!r}.")

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
        return Course(self.batch_size, epochs, lr, schedule, self.by_source, patience)


class Concerto:
    """A trained Concerto: the teacher embeds, the student is kept for fine-tuning."""

    card: ClassVar[MethodCard] = MethodCard(
        name="concerto",
        title="Concerto",
        paper="Yang et al., Nature Machine Intelligence 2022",
        summary="Learns what makes each cell itself by describing it twice, with an attention network over all genes "
        "and with a plain one. Can go on learning from your cells, and takes surface proteins along.",
        input_form="log1p",
        gives=("gene contribution", "attention and its lift", "protein contribution", "its own classifier"),
        measures=(CONTRIBUTION, LIFT, ATTENTION, PROTEIN),
        modes=(INSTANT, FINE_TUNED, ADAPTED),
    )
    config_type: ClassVar[type[Config]] = ConcertoConfig

    def __init__(
        self,
        config: ConcertoConfig,
        genes: NDArray[np.object_],
        proteins: tuple[str, ...],
        network: ConcertoNet,
        classifier: Classifier | None,
        levels: tuple[str, ...],
        center: Tensor,
    ) -> None:
        self.config = config
        self.genes = genes
        self.proteins = proteins
        self._network = network.eval()
        self._classifier = classifier  # its teacher is the network's
        self._levels = levels  # of the classifier's heads
        self._center = center  # (d,) mean unit embedding of the reference: what a label's direction starts from

    @classmethod
    def fit(cls, training: Training, config: Config, *, device: torch.device, progress: Progress) -> Self:
        """Train teacher and student on source-pure minibatches; labels take part only where `supervised`.

        Raises
        ------
        OptionsProblem
            If a setting does not exist, or labels are to be learned and there are none.
        """
        config = _own(config)
        torch.manual_seed(config.seed)
        cells = _modal(training.cells, training.proteins, config, device)
        sizes = [store.n_genes for store in cells.stores]
        network = ConcertoNet(sizes, config.n_latent, config.dropout, config.attend).to(device)
        _, epochs = config.sized(len(cells))
        share = epochs / (epochs + config.taught_epochs) if config.supervised else 1.0

        # 1. by contrast
        course = config.course(epochs, config.lr)
        span = progress.part(progress.stage, 0.0, share)
        contrast(network, cells, training.batches, config.views, course, config.seed, span)
        if config.batch_norm == "population":
            estimate_statistics(network.teacher, source_pure(cells, training.batches, config.seed))

        # 2. from labels
        classifier = None
        if config.supervised:
            span = progress.part(progress.stage, share, 1.0)
            classifier = _taught(network, cells, training, config, span)

        values = embedded(network.teacher.eval(), cells, progress.part(progress.stage, 1.0, 1.0))
        center = F.normalize(values, dim=1).mean(0)
        levels = tuple(training.labels) if config.supervised else ()
        return cls(config, training.genes, training.proteins, network, classifier, levels, center)

    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """The teacher's output, rows of length 1, float32 (n, d), and what its classifier says, if it has one."""
        z = embedded(self._network.teacher, self._stored(cells), progress)
        values = F.normalize(z, dim=1).cpu().numpy()
        if self._classifier is None:
            return Embedding(values)
        with torch.no_grad():
            scores = [F.softmax(head(z), dim=1).cpu().numpy() for head in self._classifier.of_levels]
        return Embedding(values, dict(zip(self._levels, scores, strict=True)))

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
        teacher = self._network.teacher
        if chosen == LIFT and self.config.attend == EXPRESSED:
            raise OptionsProblem("This model attends to expressed genes only, so there is no lift. Choose attention.")
        if chosen == PROTEIN and len(x.parts) < 2:
            raise OptionsProblem(_no_proteins(self.proteins))
        if chosen == ATTENTION:
            scores = attentions(teacher, x)
        elif chosen == LIFT:
            scores = lifts(teacher, x)
        else:
            direction = torch.as_tensor(toward.direction, device=self._center.device) - self._center
            scores = contributions(teacher, x, direction, modality=1 if chosen == PROTEIN else 0)
        progress(1.0)
        names = np.array(self.proteins, dtype=object) if chosen == PROTEIN else self.genes
        return Signature(names, scores.cpu().numpy(), toward.label, chosen.name, math.nan, chosen.of)

    def adapt(self, to: Adaptation, *, progress: Progress) -> Adapted:
        """Learn from a query's cells: by contrast ("fine-tuned"), or from the reference's labels too ("adapted").

        Raises
        ------
        OptionsProblem
            If there is no such mode, the reference has no labels to learn, or the model no longer tells cells apart.
        """
        mode = self.card.mode(to.mode)
        torch.manual_seed(self.config.seed)
        device = self._center.device
        reference = _modal(to.reference.cells, self.proteins, self.config, device)
        query = Unlabelled(self._stored(to.cells), _sources(to))
        network, classifier = copy.deepcopy(self._network), None
        before = anchored(self._network.teacher, reference, self.config.seed)
        if mode == ADAPTED:
            classifier = _taught(network, reference, to.reference, self.config, progress, query)
        else:
            course = self.config.course(1, self.config.tuned_lr)
            contrast(network, query.cells, query.sources, self.config.views, course, self.config.seed, progress)
            if self.config.batch_norm == "population":
                estimate_statistics(network.teacher, source_pure(reference, to.reference.batches, self.config.seed))
        after = anchored(network.teacher, reference, self.config.seed)
        levels = () if classifier is None else tuple(to.reference.labels)
        method = Concerto(self.config, self.genes, self.proteins, network, classifier, levels, after.mean(0))
        return Adapted(method, moved=True, notices=_notices(mode, before, after))

    def _stored(self, cells: AlignedCells) -> ModalCells:
        return _modal(cells, self.proteins, self.config, self._center.device)

    def save(self, folder: Path) -> None:
        """Write settings as JSON and tensors as safetensors."""
        heads = [] if self._classifier is None else [head.linear.out_features for head in self._classifier.of_levels]
        settings = {
            "config": self.config.as_dict(),
            "genes": list(self.genes),
            "proteins": list(self.proteins),
            "classes": dict(zip(self._levels, heads, strict=True)),
        }
        (folder / keys.CONFIG_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        if self._classifier is not None:
            tensors |= {f"heads.{name}": value for name, value in self._classifier.heads.state_dict().items()}
        tensors["center"] = self._center
        written = {name: value.cpu().contiguous() for name, value in tensors.items()}
        save_file(written, folder / keys.WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings = json.loads((folder / keys.CONFIG_FILE).read_text(encoding="utf-8"))
        config = ConcertoConfig(**settings["config"])
        genes, proteins = np.array(settings["genes"], dtype=object), tuple(settings["proteins"])
        tensors = load_file(folder / keys.WEIGHTS_FILE, device=str(device))
        sizes = [len(genes), len(proteins)] if proteins else [len(genes)]
        network = ConcertoNet(sizes, config.n_latent, config.dropout, config.attend).to(device)
        network.load_state_dict(_under("network.", tensors))
        classifier = None
        if settings["classes"]:
            classifier = Classifier(network.teacher, list(settings["classes"].values())).to(device)
            classifier.heads.load_state_dict(_under("heads.", tensors))
        return cls(config, genes, proteins, network, classifier, tuple(settings["classes"]), tensors["center"])


def _own(config: Config) -> ConcertoConfig:
    if not isinstance(config, ConcertoConfig):
        raise OptionsProblem(f"Concerto is trained with a ConcertoConfig, not a {type(config).__name__}.")
    return config


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _modal(
    cells: AlignedCells, proteins: tuple[str, ...], config: ConcertoConfig, device: torch.device
) -> ModalCells:
    """Cells as the networks take them; proteins only where the model knows them and the cells have them."""
    measured = None
    if proteins and cells.proteins is not None:
        measured = scaled_proteins(cells.proteins, config.protein_scale)
    return modal_cells(cells.log1p(), measured, device)


def _taught(
    network: ConcertoNet,
    cells: ModalCells,
    training: Training,
    config: ConcertoConfig,
    progress: Progress,
    unlabelled: Unlabelled | None = None,
) -> Classifier:
    """A classifier over the network's teacher, which learns along, for each label level."""
    if not training.labels:
        raise OptionsProblem("Concerto was asked to learn labels, but the reference has none. Name a label column.")
    codes = np.stack(list(training.labels.values()))
    classifier = Classifier(network.teacher, [int(own.max()) + 1 for own in codes]).to(cells.device)
    teach(
        classifier,
        cells,
        codes,
        training.batches,
        config.views,
        config.course(config.taught_epochs, config.taught_lr, config.patience),
        config.seed,
        progress,
        unlabelled=unlabelled,
        consistency=Consistency(threshold=config.threshold),
        weight_decay=0.0 if unlabelled is None else WEIGHT_DECAY,
        population=config.batch_norm == "population",
    )
    return classifier


def _sources(to: Adaptation) -> NDArray[np.int32]:
    """int32 (n,), batch of each of the query's cells; all of one where the query does not say."""
    batch = next((condition.column for condition in to.reference.conditions), None)
    found = next((own.codes for own in to.conditions if own.column == batch), None)
    return np.zeros(to.cells.n_cells, np.int32) if found is None else found


def _notices(mode: Mode, before: Tensor, after: Tensor) -> tuple[str, ...]:
    """What to say of how far reference cells moved, float (k, d) each.

    Raises
    ------
    OptionsProblem
        If the model no longer tells cells apart.
    """
    moved = float((before * after).sum(1).mean())
    if uniformity(after) > COLLAPSED * uniformity(before):
        raise OptionsProblem(
            f"In the mode '{mode.name}' the model came to see all cells as alike: the mean squared distance of a "
            f"reference cell to its nearest fell from {alignment(before):.3f} to {alignment(after):.3f}. Nothing was "
            "mapped. Choose the mode 'instant'."
        )
    if moved >= DRIFTED:
        return ()
    return (
        f"In the mode '{mode.name}' the reference moved: its cells point to where they were with a mean cosine of "
        f"{moved:.2f} (1 is no move). Compare the labels with those of the mode 'instant' before you rely on them.",
    )


def _no_proteins(proteins: tuple[str, ...]) -> str:
    if proteins:
        return "No surface protein was measured in these cells, so there is none to score. Choose another measure."
    return "This reference's model was built without surface proteins. Choose another measure, such as 'contribution'."
