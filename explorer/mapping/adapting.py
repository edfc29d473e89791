"""Lets a method learn from a query before it maps it, and moves everything that rests on the method along.

A method says in its card by which modes it can do so. What it learns, it learns on the query's cells and the
reference's; labels of the query take part only where they are handed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from explorer.beside import ConditionEmbedding
from explorer.doubt.labels import LevelHead, refitted
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import AlignedCells, IntArray, Query, Reference
from explorer.mapping.learning import condition_of, read_again
from explorer.mapping.models import TrainedMethod
from explorer.methods.base import Adaptation, Adapted, Adaptive, Condition, Training, condition_codes
from explorer.neighbors import Index, LabelIndex
from explorer.progress import Progress
from explorer.reference import has_expression

SURENESS = (
    "The model has learned from these cells. How sure labels are is told as measured on left-out reference batches "
    "before it did; novelty rests on expression and on no model."
)


@dataclass(frozen=True)
class Learned:
    """A model that has learned from a query, ready to map it.

    Attributes
    ----------
    trained
        The model, and the reference as it sees it now.
    cells
        All cells of the query, with what the model may describe them by.
    conditions
        As in `Adapted`.
    """

    trained: TrainedMethod
    cells: AlignedCells
    conditions: tuple[ConditionEmbedding, ...]
    notices: tuple[str, ...]


def learn(
    query: Query,
    reference: Reference,
    trained: TrainedMethod,
    cells: AlignedCells,
    mode: str,
    *,
    batch: str | None = None,
    own_labels: str | None = None,
    progress: Progress,
) -> Learned:
    """Adapt a method to a query.

    Parameters
    ----------
    cells
        All cells of the query over the method's genes.
    mode
        One of the method's modes that learn.
    batch, own_labels
        obs columns of the query: its batches, and labels that it already has.

    Raises
    ------
    OptionsProblem
        If a column is missing or says nothing, or the query lacks what the mode needs.
    ReferenceProblem
        If the reference was shared without expression.
    Cancelled
        From `progress`, within one minibatch.
    """
    method = trained.method
    if not isinstance(method, Adaptive):
        raise OptionsProblem(f"{method.card.title} learns nothing from a query: it maps by the mode 'instant' only.")
    name = method.card.name
    if not has_expression(reference):
        raise ReferenceProblem(
            f"The reference {reference.title} was shared without expression, which the mode {mode!r} learns from. "
            "Only the mode 'instant' works with it."
        )
    training = training_again(reference, trained, progress.part("Reading the reference's cells", 0.0, 0.1))
    conditions = query_conditions(query, training, reference.card["methods"][name], batch)
    labels, told = ({}, ()) if own_labels is None else query_labels(query, own_labels, trained.heads)
    adaptation = Adaptation(mode, cells, labels, conditions, training)
    adapted = method.adapt(adaptation, progress=progress.part("Learning from the cells", 0.1, 0.9))
    moved = along(trained, adapted, training, progress.part("Placing the reference anew", 0.9, 1.0))
    described = _described(cells, adapted.conditions, conditions)
    return Learned(moved, described, adapted.conditions, (*told, *adapted.notices, SURENESS))


def training_again(reference: Reference, trained: TrainedMethod, progress: Progress) -> Training:
    """What a method of a bundle was trained on, read from the bundle."""
    annotated = read_again(reference, trained.method.card.name, progress)
    training = annotated.training(np.arange(annotated.cells.n_cells), trained.positions)
    if trained.counted is None:
        return training
    totals = np.asarray(annotated.cells.values[:, trained.counted].sum(1), np.float32).ravel()
    return replace(training, cells=replace(training.cells, totals=totals))


def query_conditions(
    query: Query, training: Training, told: Mapping[str, object], batch: str | None
) -> tuple[Condition, ...]:
    """What the query says of its cells that the method may describe them by; its values under the reference's columns.

    `batch` stands for the reference's batch column, other columns for those of the same name; a query that says
    nothing of batches is one batch of its own name.

    Parameters
    ----------
    told
        What the reference's card tells of the method.
    """
    found = []
    for condition in training.conditions:
        is_batch = condition.column == told.get("batch", condition.column)
        column = batch if is_batch and batch is not None else condition.column
        if column in query.obs.columns:
            found.append(replace(condition_of(query.obs, column), column=condition.column))
        elif is_batch:
            found.append(Condition(condition.column, (query.name,), np.zeros(query.n_cells, np.int32)))
    return tuple(found)


def query_labels(
    query: Query, column: str, heads: tuple[LevelHead, ...]
) -> tuple[dict[str, IntArray], tuple[str, ...]]:
    """The query's own labels as codes by level, -1 where the reference knows no such label; and a notice for each.

    Raises
    ------
    OptionsProblem
        If none of them is a label of the reference.
    """
    text = query.obs[column].astype(object).map(str, na_action="ignore")
    by_level = {
        head.level: pd.Categorical(text, categories=list(head.classes)).codes.astype(np.int32) for head in heads
    }
    known = {level: codes for level, codes in by_level.items() if (codes >= 0).any()}
    if not known:
        own = ", ".join(map(repr, text.dropna().unique()[:5])) or "nothing"
        raise OptionsProblem(
            f"No label in the column {column!r} of {query.name} is a label of the reference: it holds {own}; the "
            f"reference knows {', '.join(map(repr, heads[0].classes[:5]))} and so on. Rename them first."
        )
    return known, tuple(
        f"{int((codes >= 0).sum()):,} of {query.n_cells:,} cells took part with the label ({level}) that "
        f"{column!r} gives them."
        for level, codes in known.items()
    )


def along(trained: TrainedMethod, adapted: Adapted, training: Training, progress: Progress) -> TrainedMethod:
    """Everything that rests on a method, after it has learned: reference cells, neighbours, heads."""
    if not adapted.moved:
        progress(1.0)
        return replace(trained, method=adapted.method)
    cells = _described(training.cells, adapted.conditions, training.conditions)
    embedding = adapted.method.embed(cells, progress=progress).values
    codes = [members.codes for members in trained.members]
    return replace(
        trained,
        method=adapted.method,
        embedding=embedding,
        index=Index(embedding),
        heads=tuple(refitted(head, embedding, of) for head, of in zip(trained.heads, codes, strict=True)),
        members=tuple(LabelIndex(embedding, of) for of in codes),
    )


def _described(
    cells: AlignedCells, known: tuple[ConditionEmbedding, ...], conditions: tuple[Condition, ...]
) -> AlignedCells:
    """Cells that say of which condition they are, where the method describes conditions."""
    codes = condition_codes(known, conditions) if known and conditions else None
    return replace(cells, conditions=codes)
