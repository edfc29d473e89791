"""Every value that moves through the program, in the order in which it moves.

    h5ad ─▶ query ─▶ genes ─▶ method.embed ─▶ neighbors ─▶ labels ─▶ layout ─▶ MappingResult ─▶ export
            Query   Aligned    Embedding      Neighbors  LabelTransfer Layout
                    Cells

All are frozen. n is the number of query cells, m of reference cells, g of genes, d of latent dimensions,
k of neighbours. Arrays are numpy unless said; nothing here knows a file format, a network or a screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


class ValueKind(StrEnum):
    """What the numbers of an expression matrix are."""

    COUNTS = "counts"          # non-negative integers
    LOG1P = "log1p"            # log(1 + x), natural or base 2, of something non-negative
    LINEAR = "linear"          # non-negative, not integer, not logged: CPM, TPM
    SCALED = "scaled"          # negative values: z-scores, corrected residuals
    EMPTY = "empty"            # no value above zero


class GeneIds(StrEnum):
    """How a file names its genes."""

    SYMBOL = "gene symbols"
    ENSEMBL = "Ensembl ids"
    OTHER = "other names"


class Rows(Protocol):
    """A cells x genes matrix, on disk or in memory, that hands out row slices."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def __getitem__(self, rows: slice) -> Any: ...


@dataclass(frozen=True)
class Query:
    """A checked file of cells, opened but not read: values are fetched by blocks of rows.

    Attributes
    ----------
    name
        What to call it on screens and in files.
    path
        The h5ad file; `None` for data handed over in memory.
    matrix
        The chosen expression values, n x genes of the file.
    matrix_name
        Where they lie: "X", "layers/counts", "raw/X".
    kind
        COUNTS, LOG1P or LINEAR; a query is never made of SCALED or EMPTY values.
    log_base
        Base of the logarithm when `kind` is LOG1P, else 0.
    obs
        One row a cell, as found.
    var
        One row a gene of `matrix`, as found.
    notices
        What was chosen or mended, one sentence each.
    of_reads
        Whether peaks hold counts of reads, two a fragment; they become counts of fragments when they are read.
    """

    name: str
    path: Path | None
    matrix: Rows
    matrix_name: str
    kind: ValueKind
    log_base: float
    obs: pd.DataFrame
    var: pd.DataFrame
    notices: tuple[str, ...] = ()
    of_reads: bool = False

    @property
    def n_cells(self) -> int:
        """Number of cells, n."""
        return self.matrix.shape[0]


@dataclass(frozen=True)
class Coverage:
    """How many of the genes a method needs were found in a query.

    Attributes
    ----------
    found, needed
        Counts of genes.
    share
        found / needed.
    weighted_share
        The same, each gene weighted by its mean expression in the reference.
    missing
        Symbols of the genes not found, highest mean expression first.
    """

    found: int
    needed: int
    share: float
    weighted_share: float
    missing: tuple[str, ...]


@dataclass(frozen=True)
class GeneMatch:
    """Which column of a query feeds which reference gene.

    Attributes
    ----------
    selector
        csr float32, genes of the query x genes of the reference; one 1 for each pair that meets, so that
        `values @ selector` sums duplicates, fills missing genes with 0 and drops extra ones.
    found
        bool, one a reference gene.
    ids
        How the file names its genes.
    column
        Column of `var` that held the matching names; "" for the index.
    species
        "human", "mouse" or "unknown", as read from the names.
    notices
        What was mended, one sentence each.
    unmatched
        The first names of the file that met no reference gene.
    """

    selector: sparse.csr_matrix
    found: BoolArray
    ids: GeneIds
    column: str
    species: str
    notices: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlignedCells:
    """Cells over a reference's genes, in the reference's order, on a linear scale.

    Attributes
    ----------
    values
        csr float32, n x g, non-negative: counts where `is_counts`, else expression on the scale of CP10k.
    totals
        float32 (n,), the sum over *all* genes of the file, which normalisation divides by.
    is_counts
        Whether `values` are integers counted in an experiment.
    proteins
        float32 (n, p), raw counts of the reference's surface proteins, NaN where a cell's were not measured; `None`
        when no cell's were.
    conditions
        int32 (n, columns), what each condition column says of a cell, as positions in the names of the method's own
        `ConditionEmbedding`s; -1 where that is not known. `None` asks for no column: every cell is then placed as of
        an average condition.
    """

    values: sparse.csr_matrix
    totals: FloatArray
    is_counts: bool
    proteins: FloatArray | None = None
    conditions: IntArray | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells, n."""
        return self.values.shape[0]

    def log1p(self, target: float = 1e4) -> sparse.csr_matrix:
        """log(1 + values / total * target), csr float32 of the same shape and sparsity."""
        scale = target / np.maximum(self.totals, 1e-12)
        per_value = np.repeat(scale.astype(np.float32), np.diff(self.values.indptr))
        data = np.log1p(self.values.data * per_value)
        return sparse.csr_matrix((data, self.values.indices, self.values.indptr), shape=self.values.shape)

    def rows(self, which: slice | NDArray[Any]) -> AlignedCells:
        """Some of the cells."""
        proteins = None if self.proteins is None else self.proteins[which]
        conditions = None if self.conditions is None else self.conditions[which]
        return AlignedCells(self.values[which], self.totals[which], self.is_counts, proteins, conditions)

    def genes(self, which: NDArray[Any]) -> AlignedCells:
        """Some of the genes; totals still count all of them."""
        return replace(self, values=sparse.csr_matrix(self.values[:, which]))


@dataclass(frozen=True)
class Embedding:
    """Cells in a method's latent space.

    Attributes
    ----------
    values
        float32, n x d.
    scores
        The method's own class probabilities by label level, float32 n x classes, where it has any.
    rejected
        Cells that its own classifier takes for none of its classes, bool (n,) by label level, where it can tell.
    """

    values: FloatArray
    scores: Mapping[str, FloatArray] = field(default_factory=dict)
    rejected: Mapping[str, BoolArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Neighbors:
    """The nearest reference cells of each query cell.

    Attributes
    ----------
    indices
        int32, n x k, rows of the reference, nearest first.
    similarity
        float32, n x k, cosine similarity.
    """

    indices: IntArray
    similarity: FloatArray


@dataclass(frozen=True)
class ImputedProteins:
    """Surface proteins of cells, as their nearest reference cells lead one to expect.

    Attributes
    ----------
    names
        Of the reference's proteins (p,).
    values
        float32 (n, p), centred log ratios; NaN where no neighbour was measured.
    spread
        float32 (n, p), standard deviation among the neighbours.
    measured
        float32 (n, p), what the query itself counted, as centred log ratios over those counted; NaN where it did not.
        `None` for a query without any of these proteins.
    """

    names: tuple[str, ...]
    values: FloatArray
    spread: FloatArray
    measured: FloatArray | None = None


@dataclass(frozen=True)
class Examined:
    """Calibrated answers to reference cells that were left out, at one label level: what promises are computed from.

    Attributes
    ----------
    rows
        int64 (h,), ascending, which reference cells; the same for every method of a reference.
    codes
        int32 (h,), their own labels.
    batches
        int32 (h,), the batch that each was left out with; one for all of a reference without batches.
    probabilities
        float32 (h, classes), what the chosen head said of them, calibrated; rows sum to 1.
    """

    rows: NDArray[np.int64]
    codes: IntArray
    batches: IntArray
    probabilities: FloatArray


UNKNOWN_CONFIDENCE = 0.5  # a label of less is more likely wrong than right


@dataclass(frozen=True)
class LevelLabels:
    """What the cells are, at one label level.

    Attributes
    ----------
    level
        Column of the reference's obs, e.g. "cell_type".
    classes
        The labels a cell can get.
    codes
        int32 (n,), position in `classes` of the best label.
    probabilities
        float32, n x classes, rows sum to 1, calibrated on held-out reference batches.
    confidence
        float32 (n,) in [0, 1]: probability of the best label.
    disagreement
        float32 (n,) in [0, 1]: normalised entropy of the neighbours' votes. Says that neighbours differ.
    novelty
        float32 (n,) in [0, 1]: 1 - conformal p-value. 0.99 means farther from its label than 99 % of the
        reference's own held-out cells. Says that nothing like it is near.
    unknown
        bool (n,): too novel or too little confidence to carry a label.
    sets
        bool (n, classes): labels of which one is the true one with a coverage of 0.95, promised from left-out
        batches; the cell's own label is always among them.
    threshold
        Least confidence, in [0, 1], of a cell that carries its label: those of less are among the unknown.
    """

    level: str
    classes: tuple[str, ...]
    codes: IntArray
    probabilities: FloatArray
    confidence: FloatArray
    disagreement: FloatArray
    novelty: FloatArray
    unknown: BoolArray
    sets: BoolArray
    threshold: float = UNKNOWN_CONFIDENCE

    @property
    def labels(self) -> NDArray[np.object_]:
        """The best label of each cell, as text (n,)."""
        return np.array(self.classes, dtype=object)[self.codes]


@dataclass(frozen=True)
class LabelTransfer:
    """Labels at every level, in the order in which the reference's builder named them.

    Attributes
    ----------
    within
        The coarser level that a level lies in, by its name; empty where no levels nest.
    """

    levels: tuple[LevelLabels, ...]
    within: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> LevelLabels:
        """The level that tables and the csv speak of."""
        return self.levels[0]

    def level(self, name: str) -> LevelLabels:
        """The labels at the level called `name`."""
        return next(level for level in self.levels if level.level == name)

    @property
    def deepest(self) -> IntArray:
        """Finest level at which each cell is not unknown, int32 (n,): position in `levels`, -1 where at none.

        Only levels that nest with the first count: others say something else of a cell, not more.
        """
        names = [level.level for level in self.levels]
        kin = [at for at, name in enumerate(names) if self._top(name) == self._top(names[0])]
        found = np.full(len(self.first.codes), -1, np.int32)
        for at in sorted(kin, key=lambda at: len(self.levels[at].classes)):  # the coarse first, the finer over them
            found[~self.levels[at].unknown] = at
        return found

    @property
    def deepest_labels(self) -> NDArray[np.object_]:
        """Each cell's label at its deepest level, as text (n,); "unknown" where it is so at every level."""
        deepest = self.deepest
        found = np.full(len(deepest), keys.UNKNOWN, dtype=object)
        for at, level in enumerate(self.levels):
            found[deepest == at] = level.labels[deepest == at]
        return found

    def _top(self, level: str) -> str:
        """The coarsest level that a level lies in."""
        while level in self.within:
            level = self.within[level]
        return level


@dataclass(frozen=True)
class Panel:
    """Genes on which a method was refitted, for queries that bring few of those it was first trained on.

    Attributes
    ----------
    key
        Names the set of genes.
    method
        Which method.
    genes
        Symbols (p,) that query and reference share, in the reference's order; totals are summed over these.
    scores
        Of the refitted model on left-out reference batches: by label level, accuracy, macro_f1 and so on.
    """

    key: str
    method: str
    genes: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Any]] = field(compare=False)


@dataclass(frozen=True)
class Refitted:
    """A method refitted on a panel, as it lies on disk."""

    folder: Path
    panel: Panel


@dataclass(frozen=True)
class Provenance:
    """How a result came about; written into every file that leaves the program.

    Attributes
    ----------
    seconds
        Wall-clock seconds a step, in order.
    panel
        What the method was refitted on; `None` for the reference's own model.
    options
        How it was asked for: the mode, whether hierarchical, columns that took part.
    """

    query: str
    reference: str
    reference_checksum: str
    method: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    seed: int
    device: str
    created: str
    matrix: str
    value_kind: str
    coverage: Coverage
    seconds: Mapping[str, float]
    notices: tuple[str, ...]
    panel: Panel | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ConditionEmbedding:
    """Batches or samples as a method has learned to describe them.

    Attributes
    ----------
    column
        obs column that names them.
    names
        Their names (c,).
    values
        float32 (c, e).
    from_query
        bool (c,), which of them came with the query.
    """

    column: str
    names: NDArray[np.object_]
    values: FloatArray
    from_query: BoolArray


class Signal(StrEnum):
    """How something stands, as a traffic light says it."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True)
class Light:
    """One thing that was looked at to tell whether a mapping can be trusted.

    Attributes
    ----------
    name
        What, e.g. "genes".
    value
        The figure found.
    reason
        The figure in a sentence, beside what is expected.
    """

    name: str
    signal: Signal
    value: float
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Whether the mapping of a query as a whole can be trusted, told without knowing any label.

    Attributes
    ----------
    summary
        One sentence for the person who mapped.
    causes
        What is likely wrong, the likeliest first; empty where nothing is.
    advice
        What to try, one for each cause.
    lights
        What it was told from.
    """

    signal: Signal
    summary: str
    causes: tuple[str, ...]
    advice: tuple[str, ...]
    lights: tuple[Light, ...]


@dataclass(frozen=True)
class MappingResult:
    """A query mapped onto a reference by one method.

    Attributes
    ----------
    obs
        The query's own obs, as found; its index names the cells.
    embedding
        float32, n x d.
    layout
        float32, n x 2, in the reference's own frame.
    neighbors
        Nearest reference cells; `None` in a result read back from a file that does not keep them.
    conditions
        Batches of the reference and of the query as the method describes them, where it has learned to.
    proteins
        Surface proteins as the nearest reference cells have them, where the reference was measured for any.
    verdict
        Whether the mapping as a whole can be trusted; `None` where nobody has looked.
    """

    obs: pd.DataFrame
    method: str
    embedding: FloatArray
    neighbors: Neighbors | None
    labels: LabelTransfer
    layout: FloatArray
    provenance: Provenance
    conditions: tuple[ConditionEmbedding, ...] = ()
    proteins: ImputedProteins | None = None
    verdict: Verdict | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells, n."""
        return len(self.obs)


@dataclass(frozen=True)
class LevelConsensus:
    """What several methods say together of the same cells, at one label level.

    Attributes
    ----------
    labels
        Labels, pooled probabilities and doubt, as of a single method. `disagreement` is here that of the methods'
        labels.
    agreement
        float32 (n,) in [0, 1]: share of the methods that give the consensus label.
    codes
        int32 (v, n), the label that each of v methods gives, as its position in `labels.classes`.
    share
        float32 (v, v), share of the cells that two methods label alike.
    kappa
        float32 (v, v), Cohen's kappa of two methods: the same beyond chance; 1 is perfect, 0 is chance.
    weights
        float32 (v,), what each method's probabilities count; they sum to 1.
    temperature
        Divides the log of the pooled probabilities.
    scores
        Of the consensus on left-out reference batches, each judged by the others: accuracy, macro_f1,
        calibration_error and so on; empty where the reference kept no left-out answers.
    examined
        The consensus' answers to the left-out cells, each batch by weights and temperature of the others; `None`
        where the reference kept none.
    """

    labels: LevelLabels
    agreement: FloatArray
    codes: IntArray
    share: FloatArray
    kappa: FloatArray
    weights: FloatArray
    temperature: float
    scores: Mapping[str, Any]
    examined: Examined | None = None


@dataclass(frozen=True)
class Consensus:
    """What several methods say together of the same cells.

    Attributes
    ----------
    voices, titles
        Names of the methods, and what to call them on screens (v,).
    levels
        In the order in which the reference's builder named them.
    within
        Which level lies in which, by the name of the finer one.
    notices
        Who could not take part, and what could not be calibrated, one sentence each.
    """

    voices: tuple[str, ...]
    titles: tuple[str, ...]
    levels: tuple[LevelConsensus, ...]
    within: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def first(self) -> LevelConsensus:
        """The main label level."""
        return self.levels[0]

    @property
    def labels(self) -> LabelTransfer:
        """Its labels, as those of a single method."""
        return LabelTransfer(tuple(level.labels for level in self.levels), self.within)

    def level(self, name: str) -> LevelConsensus:
        """The consensus at the level called `name`."""
        return next(level for level in self.levels if level.labels.level == name)


@dataclass(frozen=True)
class AgreedResult:
    """A query mapped by several methods, and what they say together.

    Attributes
    ----------
    results
        One a method, over the same cells.
    expression
        Labels by the regression on expression, which places no cells; `None` where the reference has none or the
        query lacks its genes.
    """

    results: tuple[MappingResult, ...]
    expression: LabelTransfer | None
    consensus: Consensus

    @property
    def obs(self) -> pd.DataFrame:
        """The query's own obs, as found; its index names the cells."""
        return self.results[0].obs


@dataclass(frozen=True)
class Signature:
    """What an answer rests on: scores of genes or of pathways.

    Attributes
    ----------
    names
        Gene symbols or pathways (g,), in the method's order.
    scores
        float32 (g,), signed: what scores above 0 speaks for `toward`.
    toward
        What they speak for, e.g. a label.
    measure
        How they were computed, in a few words.
    error
        Completeness error of the explanation: what the scores fail to account for, relative to what they
        should sum to; NaN where a measure has no such identity.
    of
        What `names` are: "gene", "pathway" or "protein".
    """

    names: NDArray[np.object_]
    scores: FloatArray
    toward: str
    measure: str
    error: float
    of: str = "gene"

    def top(self, n: int = 20) -> pd.DataFrame:
        """The n that speak most for `toward`: columns named after what they are (gene, pathway), and score."""
        order = np.argsort(-self.scores, kind="stable")[:n]
        return pd.DataFrame({self.of: self.names[order], "score": self.scores[order]})


@dataclass(frozen=True)
class PathwayGenes:
    """The genes of a pathway as a model weighs them.

    Attributes
    ----------
    pathway
        Its name.
    genes
        Symbols (k,).
    weights
        float32 (k, h), what each gene adds to the pathway's token per unit of expression.
    spread
        float32 (k,), standard deviation of each gene's expression in the reference.
    """

    pathway: str
    genes: NDArray[np.object_]
    weights: FloatArray
    spread: FloatArray


@dataclass(frozen=True)
class Reference:
    """A reference bundle, opened. Arrays of its methods stay on disk until asked for.

    Attributes
    ----------
    folder
        Where it lies.
    card
        Title, organism, label levels, batch and sample column, methods with their scores, origin, licence.
    genes
        symbol, ensembl, mean_expression (mean CP10k); the order is the contract.
    obs
        One row a reference cell.
    checksum
        sha256 over the bundle's files.
    refitted
        Models that stand in for the bundle's own, by method: those of the panel that a query was measured with.
    """

    folder: Path
    card: Mapping[str, Any]
    genes: pd.DataFrame
    obs: pd.DataFrame
    checksum: str
    refitted: Mapping[str, Refitted] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What to call it on screens."""
        return str(self.card["title"])

    @property
    def levels(self) -> tuple[str, ...]:
        """Label columns, the main one first."""
        return tuple(self.card["labels"])

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods trained on these cells."""
        return tuple(self.card["methods"])

    @property
    def proteins(self) -> tuple[str, ...]:
        """Names of the surface proteins counted beside the genes; empty without any."""
        return tuple(self.card.get("proteins", ()))

    @property
    def n_cells(self) -> int:
        """Number of reference cells, m."""
        return len(self.obs)
