"""What a method is: the protocol that all siblings follow.

To add a method, write one network file, one method file beside this one, and one line in `METHODS`; menus,
README table, promises and comparison follow by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.beside import ConditionEmbedding
from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import AlignedCells, Embedding, FloatArray
from explorer.networks.checkpoints import Checkpoint, digest
from explorer.progress import Progress
from explorer.reading.kinds import BY_GENES, DataKind


@dataclass(frozen=True)
class Mode:
    """A way to map a query.

    Attributes
    ----------
    name
        As typed in a shell.
    title, summary
        As shown: what it does and what it costs.
    needs
        "counts" of the query, "conditions" (batches) that the reference was trained with; empty for neither.
    learns_labels
        Whether labels that the query already has take part.
    """

    name: str
    title: str
    summary: str
    needs: tuple[str, ...] = ()
    learns_labels: bool = False


INSTANT = Mode("instant", "As trained", "Places cells with the reference's own model. Seconds; nothing is learned.")


@dataclass(frozen=True)
class Measure:
    """A way to explain an answer.

    Attributes
    ----------
    name
        As typed in a shell.
    of
        What is scored: "gene", "pathway" or "protein".
    summary
        One sentence on what the scores mean.
    """

    name: str
    of: str
    summary: str


GRADIENTS = Measure(
    "integrated gradients",
    "gene",
    "How much each gene moves the cells toward the label, from the reference's mean expression on; scores add up.",
)


@dataclass(frozen=True)
class MethodCard:
    """What menus, tables and tests need to know of a method.

    Attributes
    ----------
    name
        As typed in a shell and used for folders.
    title, paper, summary
        As shown.
    gives
        What a user gets besides labels and uncertainty, one phrase each.
    measures
        Ways to explain, the default first.
    modes
        Ways to map, the default first.
    builds_from, maps
        Data that a reference of it may be trained on, and data that it maps onto one of the same features.
    """

    name: str
    title: str
    paper: str
    summary: str
    gives: tuple[str, ...]
    measures: tuple[Measure, ...] = (GRADIENTS,)
    modes: tuple[Mode, ...] = (INSTANT,)
    builds_from: tuple[DataKind, ...] = BY_GENES
    maps: tuple[DataKind, ...] = BY_GENES

    def measure(self, name: str | None) -> Measure:
        """The measure called `name`; the first for `None`.

        Raises
        ------
        OptionsProblem
            If the method has none of that name.
        """
        return _named(self.measures, name, f"{self.title} explains by")

    def mode(self, name: str | None) -> Mode:
        """The mode called `name`; the first for `None`.

        Raises
        ------
        OptionsProblem
            If the method has none of that name.
        """
        return _named(self.modes, name, f"{self.title} maps by the modes")


_Named = TypeVar("_Named", Mode, Measure)


def _named(all_of: tuple[_Named, ...], name: str | None, told: str) -> _Named:
    for each in all_of:
        if name in (None, each.name):
            return each
    raise OptionsProblem(f"{told}: {', '.join(each.name for each in all_of)}; not by {name!r}.")


@dataclass(frozen=True)
class Config:
    """Settings of a method; each has its own subclass.

    Attributes
    ----------
    preset
        "balanced" or "paper".
    n_genes
        Variable genes of the reference that the method works on.
    seed
        Of initial weights, sampling and masking.
    words
        Of settings that are words, those that there are; any other is an `OptionsProblem`.
    """

    words: ClassVar[dict[str, tuple[str, ...]]] = {}

    preset: str = "balanced"
    n_genes: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in self.words.items():
            if getattr(self, name) not in known:
                raise OptionsProblem(f"{name} is one of {', '.join(known)}; not {getattr(self, name)!r}.")

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """The settings of a preset; every method has `balanced`, its defaults.

        Raises
        ------
        OptionsProblem
            For a preset that does not exist.
        """
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        raise OptionsProblem(f"{cls.__name__} has no preset {preset!r}.")

    def with_gene_sets(self, collections: tuple[str, ...]) -> Self:  # noqa: ARG002
        """The same settings for cells read by other gene sets: files, or collections that come with the program.

        Raises
        ------
        OptionsProblem
            If the method reads no gene sets.
        """
        raise OptionsProblem("Gene sets were named, but this method reads none. Leave them out, or choose KIDA.")

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for files."""
        return asdict(self)


@dataclass(frozen=True)
class Condition:
    """What an obs column says of each cell.

    Attributes
    ----------
    column
        Its name.
    names
        The values that occur, (c,).
    codes
        int32 (n,), position in `names`.
    """

    column: str
    names: tuple[str, ...]
    codes: NDArray[np.int32]

    def rows(self, which: NDArray[Any]) -> Condition:
        """The same names, of some of the cells."""
        return Condition(self.column, self.names, self.codes[which])


@dataclass(frozen=True)
class Training:
    """The cells a method learns from.

    Attributes
    ----------
    cells
        m reference cells over the method's g genes.
    genes
        Symbols (g,) of those genes.
    labels
        int32 (m,) codes by label level, -1 for unlabelled, and how many classes there are.
    batches
        int32 (m,), batch of each cell.
    conditions
        What a method may describe cells by besides: the batch column, and those asked for by name. Empty without any.
    proteins
        Names (p,) of the columns of `cells.proteins`; empty without proteins.
    measured
        Symbols of all genes of the reference, from which `genes` were chosen; `None` where nobody says.
    """

    cells: AlignedCells
    genes: NDArray[np.object_]
    labels: Mapping[str, NDArray[np.int32]]
    batches: NDArray[np.int32]
    conditions: tuple[Condition, ...] = ()
    proteins: tuple[str, ...] = ()
    measured: NDArray[np.object_] | None = None

    def checkpoint(self, folder: Path | None, config: Config, stage: str = "training") -> Checkpoint | None:
        """Where a stage of learning from these cells by these settings keeps its state; nowhere without a folder."""
        return None if folder is None else Checkpoint(folder / f"{stage}.safetensors", digest(self, config))


@dataclass(frozen=True)
class Adaptation:
    """What a method is given to adapt itself to a query.

    Attributes
    ----------
    mode
        Name of one of its modes, not "instant".
    cells
        All n cells of the query over the method's genes.
    labels
        int32 (n,) codes by label level in the order of the reference's, -1 for unlabelled; empty when the query's
        labels are not known.
    conditions
        Of the query, those of `reference.conditions` that it has a column for; their names are the query's own. A query
        that says nothing of batches is one batch, called as it is.
    reference
        What the method was trained on.
    """

    mode: str
    cells: AlignedCells
    labels: Mapping[str, NDArray[np.int32]]
    conditions: tuple[Condition, ...]
    reference: Training

    @property
    def own_labels(self) -> NDArray[np.int32] | None:
        """The query's own labels at the reference's levels, int32 (levels, n), -1 for none; `None` without any."""
        if not self.labels:
            return None
        nothing = np.full(self.cells.n_cells, -1, np.int32)
        return np.stack([self.labels.get(level, nothing) for level in self.reference.labels])

    @property
    def batches(self) -> tuple[Condition, Condition]:
        """The batches of the reference and of the query; all of one where they do not say."""
        every = self.reference.conditions[:1]
        own = every[0] if every else Condition("batch", ("reference",), self.reference.batches)
        unsaid = Condition(own.column, ("query",), np.zeros(self.cells.n_cells, np.int32))
        return own, next((condition for condition in self.conditions if condition.column == own.column), unsaid)


@dataclass(frozen=True)
class Toward:
    """What an explanation is asked to speak for.

    Attributes
    ----------
    label
        Its name.
    direction
        float32 (d,), mean unit embedding of the reference cells that carry it; its length says nothing.
    """

    label: str
    direction: FloatArray


class Method(Protocol):
    """A trained way to place cells in a latent space. An instance that exists is trained."""

    card: ClassVar[MethodCard]
    config_type: ClassVar[type[Config]]

    @property
    def config(self) -> Config:
        """What it was trained with."""
        ...

    @property
    def genes(self) -> NDArray[np.object_]:
        """Symbols (g,) of the genes it works on, in its order."""
        ...

    @classmethod
    def fit(
        cls, training: Training, config: Config, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Self:
        """Train on a reference; where the same was stopped in the folder `checkpoint`, go on from there.

        Raises
        ------
        Cancelled
            From `progress`, within one minibatch.
        """
        ...

    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Place cells (n x g, genes in its order): float32 (n, d), each by itself; probabilities where it has heads."""
        ...

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        """By what cells (c x g, c > 0) on average point toward a label: float32 scores, one a gene, pathway or protein.

        By the first of the card's measures unless one is named; an `OptionsProblem` if there is none of that name.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write config.json and weights.safetensors into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote."""
        ...


@runtime_checkable
class Adaptive(Protocol):
    """A method that can also learn from a query; its card has modes besides "instant"."""

    def adapt(self, to: Adaptation, *, progress: Progress) -> Adapted:
        """Learn from a query's cells; the method itself stays as it is.

        Raises
        ------
        OptionsProblem
            If the query lacks what the mode needs.
        Cancelled
            From `progress`, within one minibatch.
        """
        ...


@runtime_checkable
class Conditioned(Protocol):
    """A method that describes conditions (batches, samples) by vectors it has learned.

    Its `embed` places cells that carry `AlignedCells.conditions` as of those conditions, others as of an average one.
    """

    @property
    def conditions(self) -> tuple[ConditionEmbedding, ...]:
        """One a condition column, in the order of the columns of `AlignedCells.conditions`."""
        ...


@runtime_checkable
class Multimodal(Protocol):
    """A method that places cells by their surface proteins too, where `AlignedCells.proteins` holds them."""

    @property
    def proteins(self) -> tuple[str, ...]:
        """Names (p,) of the proteins that it was trained with; empty for one trained on RNA alone."""
        ...


def takes_proteins(method: Method) -> bool:
    """Whether a trained method places cells by proteins."""
    return isinstance(method, Multimodal) and bool(method.proteins)


def condition_codes(known: Sequence[ConditionEmbedding], of: Sequence[Condition]) -> NDArray[np.int32]:
    """What `AlignedCells.conditions` should say of cells: int32 (n, columns), -1 for what is not known.

    Parameters
    ----------
    known
        The method's own conditions, from `Conditioned.conditions` or `Adapted.conditions`.
    of
        What is known of the cells, at least one column; columns that the method does not know are left out.
    """
    columns = {condition.column: condition for condition in of}
    out = np.full((len(of[0].codes), len(known)), -1, np.int32)
    for at, embedding in enumerate(known):
        if embedding.column in columns:
            condition = columns[embedding.column]
            position = {str(name): i for i, name in enumerate(embedding.names)}
            rows = np.array([*(position.get(str(name), -1) for name in condition.names), -1], np.int32)
            out[:, at] = rows[condition.codes]  # a code of -1 finds the last
    return out


@dataclass(frozen=True)
class Adapted:
    """A method that has learned from a query.

    Attributes
    ----------
    method
        Embeds the query's cells, and the reference's where they moved.
    moved
        Whether reference cells lie elsewhere than before, so that they must be embedded again.
    notices
        What the user should know of it, one sentence each.
    conditions
        The reference's and the query's batches as described, where the method does so.
    """

    method: Method
    moved: bool
    notices: tuple[str, ...] = ()
    conditions: tuple[ConditionEmbedding, ...] = ()
