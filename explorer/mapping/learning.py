"""What a method learns from: cells, labels, batches and conditions, out of an annotated file.

Knows files and their columns; trains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys
from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells, IntArray, Reference
from explorer.methods.base import Condition, Training
from explorer.progress import Progress
from explorer.reading.genes import aligned_blocks, match_genes
from explorer.reading.kinds import DataKind, kind_of
from explorer.reading.proteins import LEFT_OUT, beside, find_proteins
from explorer.reading.query import open_query
from explorer.reading.selection import accessible_peaks, gene_table, variable_genes

LEAST_CELLS = 10  # fewer have no neighbours to vote and no batch to learn from
NOT_GIVEN = "not given"  # cells without a value are one batch more


@dataclass(frozen=True)
class Annotated:
    """Reference cells in memory: m cells, g genes.

    Attributes
    ----------
    cells
        Counts over all genes of the file.
    genes
        symbol, ensembl, mean_expression.
    levels
        Label columns, main one first.
    conditions
        What a method may describe cells by: the batch first where there is one.
    has_batch
        Whether the first of them is the technical batch.
    proteins
        Names (p,) of the columns of `cells.proteins`; empty without proteins.
    """

    cells: AlignedCells
    genes: pd.DataFrame
    obs: pd.DataFrame
    levels: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    has_batch: bool = False
    proteins: tuple[str, ...] = ()

    @property
    def batches(self) -> IntArray:
        """int32 (m,), batch of each cell; all 0 without batches."""
        return self.conditions[0].codes if self.has_batch else np.zeros(self.cells.n_cells, np.int32)

    @property
    def kind(self) -> DataKind:
        """What the cells are described by."""
        return kind_of(self.genes[keys.SYMBOL].to_numpy(object), is_counts=self.cells.is_counts)

    def classes(self, level: str) -> tuple[str, ...]:
        """Labels of a level, sorted."""
        text = self.obs[level].dropna().astype(str)
        return tuple(sorted(set(text) - {""}))

    def codes(self, level: str) -> IntArray:
        """int32 (m,), -1 for unlabelled."""
        text = self.obs[level].astype(object)
        return pd.Categorical(text, categories=list(self.classes(level))).codes.astype(np.int32)

    def informative(self, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """Positions of the n genes that vary most among some of the cells, ascending; of peaks, those open in most."""
        cells = self.cells.rows(rows)
        if self.kind is DataKind.PEAKS:
            return accessible_peaks(cells)
        return variable_genes(cells, self.batches[rows], n)

    def training(self, rows: NDArray[np.int64], positions: NDArray[np.int64]) -> Training:
        """Some of the cells over some of the genes, as a method learns from them; codes mean what they mean here."""
        return Training(
            cells=self.cells.rows(rows).genes(positions),
            genes=self.genes[keys.SYMBOL].to_numpy(object)[positions],
            labels={level: self.codes(level)[rows] for level in self.levels},
            batches=self.batches[rows],
            conditions=tuple(condition.rows(rows) for condition in self.conditions),
            proteins=self.proteins,
            measured=self.genes[keys.SYMBOL].to_numpy(object),
        )


def read_annotated(
    source: Path,
    labels: tuple[str, ...],
    batch: str | None,
    sample: str | None,
    progress: Progress,
    conditions: tuple[str, ...] = (),
    proteins: str | None = None,
) -> Annotated:
    """Read annotated cells into memory; those labelled "unknown" count as unlabelled.

    Parameters
    ----------
    proteins
        obsm table of protein counts, as `explorer.reading.proteins.find_proteins` takes it.

    Raises
    ------
    OptionsProblem
        If a named column or table is missing, a label has fewer than two values, or the cells are too few.
    ValuesProblem
        If the table named holds no counts.
    """
    query = open_query(source)
    if query.n_cells < LEAST_CELLS:
        raise OptionsProblem(
            f"{query.name} holds {query.n_cells} cells; a reference needs at least {LEAST_CELLS}, and hundreds of each "
            "label to be of use. Choose a larger file."
        )
    for column in (*labels, *conditions, *filter(None, (batch, sample))):
        if column not in query.obs.columns:
            raise OptionsProblem(
                f"{query.name} has no obs column {column!r}. It has: {', '.join(map(str, query.obs.columns))}."
            )
    found = find_proteins(query, proteins)
    genes = gene_table(query.var)
    match = match_genes(query.var, genes)
    blocks = []
    done = 0
    for block in beside(aligned_blocks(query, match, None), None if found is None else found.values):
        blocks.append(block)
        done += block.n_cells
        progress(done / query.n_cells)
    obs = query.obs.copy()
    cells = stacked(blocks)
    scale = 1e4 / np.maximum(cells.totals, 1e-12)
    genes[keys.MEAN] = np.round(np.asarray(scale @ cells.values).ravel() / cells.n_cells, 6)
    obs[keys.TOTALS] = cells.totals
    for level in labels:  # clusters are often numbers; labels are text everywhere else
        obs[level] = pd.Categorical(obs[level].astype(object).map(_label, na_action="ignore"))
    described = tuple(condition_of(obs, column) for column in condition_columns(batch, conditions))
    names = () if found is None else tuple(found.names)
    annotated = Annotated(cells, genes, obs, labels, described, batch is not None, names)
    for level in labels:
        if len(annotated.classes(level)) < 2:
            raise OptionsProblem(
                f"The label column {level!r} holds {len(annotated.classes(level))} label(s); a reference needs at "
                "least 2 to tell cells apart. Choose another column."
            )
    return annotated


def read_again(reference: Reference, method: str, progress: Progress) -> Annotated:
    """The cells of a bundle, described as they were when the method was trained on them."""
    card = reference.card
    told = card["methods"][method]
    batch, conditions = told.get("batch", card["batch"]), tuple(told.get("conditions", ()))
    source = reference.folder / keys.CELLS_FILE
    proteins = keys.PROTEINS if reference.proteins else LEFT_OUT
    return read_annotated(source, reference.levels, batch, card["sample"], progress, conditions, proteins)


def _label(value: object) -> str | None:
    text = str(value)
    return None if text.strip().casefold() == keys.UNKNOWN else text


def stacked(blocks: Sequence[AlignedCells]) -> AlignedCells:
    """Blocks of cells over the same genes as one, in their order."""
    proteins = [block.proteins for block in blocks if block.proteins is not None]
    return AlignedCells(
        sparse.csr_matrix(sparse.vstack([block.values for block in blocks])),
        np.concatenate([block.totals for block in blocks]),
        blocks[0].is_counts,
        np.concatenate(proteins) if len(proteins) == len(blocks) else None,
    )


def condition_columns(batch: str | None, conditions: Sequence[str]) -> tuple[str, ...]:
    """obs columns that a method may describe cells by: the batch first, each once."""
    return tuple(dict.fromkeys((*filter(None, (batch,)), *conditions)))


def condition_of(obs: pd.DataFrame, column: str) -> Condition:
    """What a column says of each cell; its values as text, sorted."""
    text = obs[column].astype(object).map(str, na_action="ignore").fillna("").astype(str).replace("", NOT_GIVEN)
    names = tuple(sorted(set(text)))
    return Condition(column, names, pd.Categorical(text, categories=list(names)).codes.astype(np.int32))
