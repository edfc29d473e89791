"""Every value that moves through the program, in the order in which it moves.

    h5ad ─▶ query ─▶ genes ─▶ method.embed ─▶ neighbors ─▶ labels ─▶ layout ─▶ MappingResult ─▶ export
            Query   Aligned    Embedding      Neighbors  LabelTransfer Layout
                    Cells

All are frozen. n is the number of query cells, m of reference cells, g of genes, d of latent dimensions,
k of neighbours. Arrays are numpy unless said; nothing here knows a file format, a network or a screen.

Beside the corridor lie `provenance` (how a result came about), `beside` (what else a result carries: its verdict,
proteins, batches), `examined` (a reference's answers to left-out cells), `explanation` (why) and `consensus` (what
several methods say together).
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
from explorer.beside import ConditionEmbedding, ImputedProteins, Verdict
from explorer.errors import OptionsProblem
from explorer.provenance import Provenance, Refitted

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
        One row a gene of `matrix`: as found, or with nothing but the names that were asked for.
    notices
        What was chosen or mended, one sentence each.
    of_reads
        Whether peaks hold counts of reads, two a fragment; they become counts of fragments when they are read.
    gene_names
        Which column of the file's var names the genes, "index" for its row names; "" where all of them may.
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
    gene_names: str = ""

    @property
    def n_cells(self) -> int:
        """Number of cells, n."""
        return self.matrix.shape[0]


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
        """log(1 + values / total * target), natural, csr float32 of the same shape and sparsity.

        Parameters
        ----------
        target
            Counts that every cell is brought to, over all genes of its file.
        """
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
        float32 (n,) in [0, 1]: 1 - conformal p-value. 0.99 means stranger to its label, by its expression, than 99 % of
        the reference's own held-out cells of it. Says that nothing like it is near.
    stretch
        float32 (n,), at least 0: how many times as strange to its label as 99 % of all held-out cells are to theirs.
        Goes on where `novelty` has reached its top, so that strange and very strange stay apart.
    unknown
        bool (n,): too strange, by `stretch`, or too little confidence to carry a label.
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
    stretch: FloatArray
    unknown: BoolArray
    sets: BoolArray
    threshold: float = UNKNOWN_CONFIDENCE

    @property
    def labels(self) -> NDArray[np.object_]:
        """The best label of each cell, as text (n,)."""
        return np.array(self.classes, dtype=object)[self.codes]


@dataclass(frozen=True)
class LabelTransfer:
    """Labels at every level.

    Attributes
    ----------
    levels
        In the order in which the reference's builder named them, the main one first.
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
        """The labels at the level called `name`.

        Raises
        ------
        OptionsProblem
            If there is no such level.
        """
        for level in self.levels:
            if level.level == name:
                return level
        told = ", ".join(level.level for level in self.levels)
        raise OptionsProblem(f"There is no label level {name!r}. Choose one of: {told}.")

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
class MappingResult:
    """A query mapped onto a reference by one method.

    Attributes
    ----------
    obs
        The query's own obs, as found; its index names the cells.
    method
        Name of the method, as its card has it.
    embedding
        float32, n x d.
    labels
        Labels and how sure they are, at every level.
    layout
        float32, n x 2, in the reference's own frame.
    neighbors
        Nearest reference cells; `None` in a result read back from a file that does not keep them.
    provenance
        How the result came about.
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
