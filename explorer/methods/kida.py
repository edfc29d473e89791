"""KIDA: a transformer over pathways and its student on the query (Tang et al., Communications Biology 2024)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from explorer.errors import GenesProblem, OptionsProblem
from explorer.explanation import PathwayGenes, Signature
from explorer.flow import AlignedCells, Embedding, FloatArray, IntArray
from explorer.genesets import Members, chosen, collection_file, read_collections
from explorer.methods.base import (
    GRADIENTS,
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
from explorer.methods.common import own_config, part_of, read_model, tensors_of, write_model
from explorer.networks.attribution import integrated_gradients
from explorer.networks.kida import KidaNet, balanced_minibatches, pathway_attribution
from explorer.networks.kida_student import anchors, teach
from explorer.networks.losses import cross_entropies
from explorer.networks.sparse import SparseCells
from explorer.networks.training import constant, train, warmup_cosine
from explorer.progress import Progress

EMBED_ROWS = 256  # a cell is as many tokens as there are pathways
FEWEST_PATHWAYS = 10
FEWEST_ANCHORS = 50

ATTRIBUTION = Measure(
    "pathway attribution",
    "pathway",
    "How much each pathway moves the cells toward the label, from the mean cells of all labels on; below 0 is away.",
)
ATTENTION = Measure(
    "attention",
    "pathway",
    "Weight that the last layer gives each pathway. A weight, not an effect: it can miss what decides the label.",
)
ROLLOUT = Measure(
    "roll-out",
    "pathway",
    "Weight of each pathway followed through all layers. A weight, not an effect, like attention.",
)
STUDENT = Mode(
    "student",
    "Taught on your cells",
    "A copy of the model goes on learning from the cells of your file that it is surest of. Takes a minute or more.",
)


@dataclass(frozen=True)
class KidaConfig(Config):
    """Settings of KIDA.

    Attributes
    ----------
    collections
        Gene set collections that pathways are taken from: names of those that come with the program, or GMT files.
    select
        How pathways are chosen: "overlap", "enrichment" or "random", as `genesets.chosen` has it.
    n_pathways
        Pathways at most.
    distinct
        Whether pathways of nearly the same genes are left out.
    free
        Genes that one more token sees: every gene ("all") as in the authors' code, those of no pathway ("rest"), or
        none ("none"). It is no pathway and never shown as one. Answers are best where it sees all, but attention then
        tells little of pathways; attribution does, because it follows genes through this token too.
    n_latent, depth, heads
        Units of a token and of the embedding, layers, and attention heads of a layer.
    dropout, token_dropout
        Share of what a layer adds to a token that is dropped in training, and of tokens that a minibatch does without.
    batch_size, epochs
        0 epochs picks them by the number of cells.
    lr
        Full learning rate of Adam.
    annealed
        Whether the learning rate warms up and falls off by a cosine; else it stays.
    anchors
        Share of the query's cells of a predicted label that the student learns from.
    temperature, distil, cluster
        Of the student's loss: softening of the teacher's answers, weight of them, weight of keeping classes apart.
    student_epochs, student_lr
        Rounds over the anchors, at least 100 steps, and the full learning rate.
    unsure
        Confidence under which the paper gives a cell no label; only told, the reference's own rule decides.
    """

    words: ClassVar = {"select": ("overlap", "enrichment", "random"), "free": ("all", "rest", "none")}
    collections: tuple[str, ...] = ("reactome",)
    select: str = "overlap"
    n_pathways: int = 100
    distinct: bool = False
    free: str = "all"
    n_latent: int = 48
    depth: int = 1
    heads: int = 4
    dropout: float = 0.1
    token_dropout: float = 0.2
    batch_size: int = 64
    epochs: int = 0
    lr: float = 1e-3
    annealed: bool = True
    anchors: float = 0.4
    temperature: float = 3.0
    distil: float = 0.8
    cluster: float = 0.2
    student_epochs: int = 3
    student_lr: float = 2e-4
    unsure: float = 0.7

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """`balanced` (default) or `paper`: the network of the authors' code, trained as the text says.

        The text names 4 layers of 128 units and 8 heads; the authors' scripts run one of 48 and 2.
        """
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        if preset == "paper":
            return cls(
                preset=preset, seed=seed, n_pathways=299, n_latent=48, depth=1, heads=2, token_dropout=0.0,
                batch_size=16, epochs=6, annealed=False, student_lr=1e-3,
            )
        raise OptionsProblem(f"KIDA has the presets 'balanced' and 'paper', not {preset!r}.")

    def with_gene_sets(self, collections: tuple[str, ...]) -> Self:
        """The same settings for other collections; each must be there.

        Raises
        ------
        FileProblem
            If one is not.
        """
        for collection in collections:
            collection_file(collection)
        return replace(self, collections=collections)

    def sized(self, n_cells: int) -> tuple[int, int]:
        """Batch size and epochs for a reference of `n_cells`: small ones need more rounds to take 600 steps."""
        steps = math.ceil(600 * self.batch_size / n_cells)
        epochs = self.epochs or min(max(6, steps), 20_000 * self.batch_size // n_cells)
        return self.batch_size, max(1, epochs)


class Kida:
    """A trained KIDA model: the teacher, or a student of it."""

    card: ClassVar[MethodCard] = MethodCard(
        name="kida",
        title="KIDA",
        paper="Tang et al., Communications Biology 2024",
        summary="Reads a cell by its pathways and learns your labels; says which pathways speak for an answer.",
        gives=("gene attribution", "pathway attribution", "pathway attention"),
        measures=(GRADIENTS, ATTRIBUTION, ATTENTION, ROLLOUT),
        modes=(INSTANT, STUDENT),
    )
    config_type: ClassVar[type[Config]] = KidaConfig

    def __init__(
        self,
        config: KidaConfig,
        genes: NDArray[np.object_],
        pathways: Members,
        levels: dict[str, int],
        network: KidaNet,
        typical: Tensor,
        mean: Tensor,
        spread: Tensor,
    ) -> None:
        self.config = config
        self.genes = genes
        self._pathways = pathways
        self._levels = levels  # classes by label level
        self._network = network.eval()
        self._typical = typical  # (classes, g) mean log1p expression by main label: where attribution starts
        self._mean = mean  # (g,) the same of all cells
        self._spread = spread  # (g,) its standard deviation

    @classmethod
    def fit(
        cls, training: Training, config: Config, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Self:
        """Train on all label levels at once, the classes of the main one balanced.

        Cells without a main label take no part, nor do batches.

        Raises
        ------
        GenesProblem
            If hardly any pathway is covered by the method's genes.
        """
        config = own_config(config, KidaConfig, "KIDA")
        torch.manual_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        pathways = _pathways_of(training, config)
        config = replace(config, collections=tuple(Path(each).name for each in config.collections))
        cells = _on_device(training.cells, device)
        codes = next(iter(training.labels.values()))
        classes = [torch.as_tensor(of_level, device=device).long() for of_level in training.labels.values()]
        levels = {level: max(1, int(of_level.max()) + 1) for level, of_level in training.labels.items()}
        network = _network(config, len(training.genes), pathways, levels).to(device)
        batch_size, epochs = config.sized(int((codes >= 0).sum()))

        def loss_of(which: Tensor) -> Tensor:
            logits = network.logits(network(cells.rows(which).dense()))
            return cross_entropies(logits, [of_level[which] for of_level in classes]).sum()

        train(
            network, lambda _epoch: balanced_minibatches(codes, batch_size, rng), loss_of,
            epochs=epochs, lr=config.lr,
            schedule=warmup_cosine if config.annealed else constant,
            progress=progress,
            checkpoint=training.checkpoint(checkpoint, config), generators=(rng,),
        )
        known = [torch.as_tensor(each, device=device) for each in _known(training.cells, codes)]
        return cls(config, training.genes, pathways, levels, network, *known)

    @torch.no_grad()
    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """The class token after the last layer, float32 (n, d), and class probabilities at every level."""
        z = self._over(cells, self._network, self.config.n_latent, progress)
        answers = self._network.logits(z)
        scores = {level: given.softmax(1).cpu().numpy() for level, given in zip(self._levels, answers, strict=True)}
        return Embedding(z.cpu().numpy(), scores)

    def adapt(self, to: Adaptation, *, progress: Progress) -> Adapted:
        """Teach a student, which starts as a copy, by this model's own answers for the query's surest cells.

        Too few of them, or of one label only, and the model stays what it is.

        Raises
        ------
        OptionsProblem
            For a mode that the card does not have.
        Cancelled
            From `progress`, within one minibatch.
        """
        if self.card.mode(to.mode) is not STUDENT:
            raise OptionsProblem(f"KIDA learns from a query by the mode {STUDENT.name!r}, not {to.mode!r}.")
        config = self.config
        torch.manual_seed(config.seed)
        with torch.no_grad():
            z = self._over(to.cells, self._network, config.n_latent, progress.part(progress.stage, 0.0, 0.2))
            told = self._network.logits(z)
        p = told[0].softmax(1)
        which = anchors(p, config.anchors)
        n_labels = len(p[which].argmax(1).unique())
        if len(which) < FEWEST_ANCHORS or n_labels < 2:
            progress(1.0)
            return Adapted(self, False, (_too_little(len(which), n_labels),))
        student = copy.deepcopy(self._network)
        cells = _on_device(to.cells, self._mean.device)
        teach(
            student,
            lambda rows: cells.rows(rows).dense(),
            which,
            [level[which] for level in told],
            temperature=config.temperature,
            distil=config.distil,
            cluster=config.cluster,
            batch_size=config.batch_size,
            epochs=config.student_epochs,
            lr=config.student_lr,
            rng=np.random.default_rng(config.seed),
            progress=progress.part(progress.stage, 0.2, 0.9),
        )
        taught = copy.copy(self)
        taught._network = student.eval()
        main = next(iter(self._levels))
        after = taught.embed(to.cells, progress=progress.part(progress.stage, 0.9, 1.0)).scores[main]
        return Adapted(taught, True, (self._told(p.cpu().numpy(), after, len(which), n_labels),))

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """Which genes or pathways the cells rest on, averaged over them.

        Both attributions are integrated gradients of cos(z, direction): on the genes, from the reference's mean
        expression, and on the tokens, from the mean cell of each main label. `error` is |sum of scores - (f(x) -
        f(start))| over the mean size of that difference. Attention has no such identity.
        """
        chosen_measure = self.card.measure(measure)
        if chosen_measure in (ATTENTION, ROLLOUT):
            look = self._network.attention if chosen_measure is ATTENTION else self._network.rollout
            with torch.no_grad():
                scores, error = self._over(cells, look, len(self._pathways), progress).mean(0), math.nan
        else:
            scores, error = self._attributed(cells, toward, chosen_measure, progress)
        names = self.genes if chosen_measure.of == "gene" else np.array(list(self._pathways), dtype=object)
        return Signature(names, scores.cpu().numpy(), toward.label, chosen_measure.name, error, chosen_measure.of)

    def pathway_genes(self, names: Sequence[str]) -> tuple[PathwayGenes, ...]:
        """The genes of some pathways as the model weighs them, for `insight.key_genes`.

        Raises
        ------
        OptionsProblem
            If it reads no pathway of that name.
        """
        weights, spread = self._network.pathway_tokens.weight.detach().cpu().numpy(), self._spread.cpu().numpy()
        row_of = {name: row for row, name in enumerate(self._pathways)}
        if missing := [name for name in names if name not in row_of]:
            raise OptionsProblem(f"This model reads no pathway {missing[0]!r}; it reads {len(row_of)} others.")
        return tuple(
            PathwayGenes(name, self.genes[at], weights[row_of[name], : len(at)], spread[at])
            for name, at in ((name, self._pathways[name]) for name in names)
        )

    def save(self, folder: Path) -> None:
        """Write settings, pathways and label levels as JSON and tensors as safetensors."""
        genes, pathways = list(self.genes), {name: list(self.genes[at]) for name, at in self._pathways.items()}
        settings = {"config": self.config.as_dict(), "genes": genes, "levels": self._levels, "pathways": pathways}
        own = {"typical": self._typical, "mean": self._mean, "spread": self._spread}
        write_model(folder, settings, {**tensors_of(self._network, "network"), **own})

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote, onto `device`."""
        settings, tensors = read_model(folder, device)
        config = KidaConfig(**{**settings["config"], "collections": tuple(settings["config"]["collections"])})
        genes = np.array(settings["genes"], dtype=object)
        pathways = {name: np.flatnonzero(np.isin(genes, own)) for name, own in settings["pathways"].items()}
        known = [tensors.pop(name) for name in ("typical", "mean", "spread")]
        network = _network(config, len(genes), pathways, settings["levels"]).to(device)
        network.load_state_dict(part_of(tensors, "network"))
        return cls(config, genes, pathways, settings["levels"], network, *known)

    def _over(self, cells: AlignedCells, what: Callable[[Tensor], Tensor], width: int, progress: Progress) -> Tensor:
        """What a function of dense cells gives for all of them, a few at a time: float (n, width)."""
        device = self._mean.device
        store = _on_device(cells, device)
        parts = [torch.empty((0, width), device=device)]
        for start in range(0, len(store), EMBED_ROWS):
            stop = min(start + EMBED_ROWS, len(store))
            parts.append(what(store.rows(torch.arange(start, stop, device=device)).dense()))
            progress(stop / len(store))
        return torch.cat(parts)

    def _attributed(
        self, cells: AlignedCells, toward: Toward, measure: Measure, progress: Progress
    ) -> tuple[Tensor, float]:
        """Signed scores of genes or of pathways, and their completeness error."""
        x = torch.as_tensor(cells.log1p().toarray(), device=self._mean.device)  # (n, g)
        direction = F.normalize(torch.as_tensor(toward.direction, device=x.device), dim=0)
        if measure.of == "gene":
            return integrated_gradients(self._network, x, self._mean, direction, progress)
        return pathway_attribution(self._network, x, self._typical, direction, progress)

    def _told(self, before: FloatArray, after: FloatArray, n_anchors: int, n_labels: int) -> str:
        """What the user should know of a student: what it learned from, what it changed, what it is unsure of."""
        moved = int((before.argmax(1) != after.argmax(1)).sum())
        unsure = int((after.max(1) < self.config.unsure).sum())
        return (
            f"KIDA's student learned from the {n_anchors:,} surest of {len(after):,} cells, of {n_labels} labels. By "
            f"its own probabilities {moved:,} cells change their label, and {unsure:,} stay under the "
            f"{self.config.unsure:.2f} at which the paper gives a label; which cells are called unknown here "
            "is decided by the reference's rule."
        )


def _network(config: KidaConfig, n_genes: int, pathways: Members, levels: dict[str, int]) -> KidaNet:
    return KidaNet(
        list(pathways.values()),
        n_genes,
        list(levels.values()),
        config.n_latent,
        config.depth,
        config.heads,
        config.dropout,
        _free(config, n_genes, pathways),
        config.token_dropout,
    )


def _free(config: KidaConfig, n_genes: int, pathways: Members) -> NDArray[np.int64]:
    """The genes that the free token sees."""
    if config.free == "none":
        return np.empty(0, np.int64)
    genes = np.arange(n_genes)
    return genes if config.free == "all" else np.setdiff1d(genes, np.concatenate(list(pathways.values())))


def _on_device(cells: AlignedCells, device: torch.device) -> SparseCells:
    expression = cells.log1p()
    return SparseCells.of(expression.indptr, expression.indices, expression.data, expression.shape[1], device)


def _known(cells: AlignedCells, codes: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean log1p expression of each class (C, g) and of all cells (g,), and its standard deviation (g,); float32."""
    expression = cells.log1p()
    typical = [np.asarray(expression[codes == c].mean(0), np.float32).ravel() for c in np.unique(codes[codes >= 0])]
    mean = np.asarray(expression.mean(0), np.float64).ravel()
    square = np.asarray(expression.multiply(expression).mean(0), np.float64).ravel()
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.stack(typical), mean.astype(np.float32), spread.astype(np.float32)


def _pathways_of(training: Training, config: KidaConfig) -> Members:
    if training.measured is None and config.select == "enrichment":
        raise OptionsProblem("Pathways are chosen by enrichment among all measured genes, which were not named.")
    sets = read_collections(config.collections)
    genes = training.genes
    measured = genes if training.measured is None else training.measured
    pathways = chosen(
        sets, genes, measured, config.n_pathways, select=config.select, distinct=config.distinct, seed=config.seed
    )
    if len(pathways) < FEWEST_PATHWAYS:
        raise GenesProblem(
            f"KIDA reads cells by pathways, but only {len(pathways)} of {len(sets):,} gene sets hold at least 5 of the "
            f"{len(genes):,} genes it would work on (such as {', '.join(map(str, genes[:3]))}); at least "
            f"{FEWEST_PATHWAYS} are needed. Genes must go by human or mouse symbols. Any other method does without."
        )
    return pathways


def _too_little(n_anchors: int, n_labels: int) -> str:
    return (
        f"KIDA's student was not trained: it needs {FEWEST_ANCHORS} sure cells of at least 2 labels, and your file has "
        f"{n_anchors} of {n_labels}. The labels are those of the model as it was trained on the reference."
    )
