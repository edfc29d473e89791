"""What the results of a project say together: its methods, and the regression on expression where there is one.

Worked out once for the same results, for all tabs. Safe to call from any thread; knows no widgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.agreement import LEAST_VOICES
from explorer.app.stored import library
from explorer.app.stored.library import Outcome, Shelf
from explorer.consensus import Consensus, LevelConsensus
from explorer.errors import AtlasError, OptionsProblem
from explorer.flow import BoolArray, LabelTransfer, Reference
from explorer.jobs.asked import query_of
from explorer.jobs.specs import MapSpec
from explorer.mapping.expression_model import TITLE, read_expression_model
from explorer.mapping.several import agree, ask_expression
from explorer.methods import METHODS

BETWEEN = " "  # of the jobs that a choice of colour names
MOST_PATTERNS = 12


@dataclass(frozen=True)
class Pattern:
    """Cells of which the same methods give the consensus label.

    Attributes
    ----------
    members
        bool (v,), which methods give it.
    cells
        How many cells there are.
    """

    members: tuple[bool, ...]
    cells: int


def names_of(outcomes: Mapping[str, Outcome]) -> str:
    """What a choice of colour calls the results that speak together: their jobs, in the order of the methods."""
    order = {name: at for at, name in enumerate(METHODS)}
    return BETWEEN.join(outcomes[name].job for name in sorted(outcomes, key=lambda name: order.get(name, len(order))))


def has_enough_voices(outcomes: Mapping[str, Outcome], reference: Reference) -> bool:
    """Whether at least two voices can speak: methods, and the regression on expression."""
    return bool(outcomes) and len(outcomes) + ("expression" in reference.card) >= LEAST_VOICES


def consensus_of(jobs: str) -> Consensus:
    """What the results of some jobs say together, as `names_of` names them.

    Raises
    ------
    AtlasError
        If fewer than two voices are left, a result is gone, or they speak of different cells.
    """
    return _found.get(jobs)


def _agreed(jobs: str) -> Consensus:
    ids = jobs.split(BETWEEN) if jobs else []
    if not ids:
        raise OptionsProblem("No results were named. Map the file by at least two methods first.")
    outcomes = [library.outcome(job) for job in ids]
    spec = library.queue().get(ids[0]).mapping
    reference = library.reference(Path(spec.reference))
    said, told = _by_expression(spec, reference)
    return agree([outcome.result for outcome in outcomes], reference, said, notices=told)


def _by_expression(spec: MapSpec, reference: Reference) -> tuple[LabelTransfer | None, tuple[str, ...]]:
    """Labels by the regression on expression; none, and why, where it cannot speak."""
    model = read_expression_model(reference)
    if model is None:
        return None, ()
    try:
        query = query_of(spec)
        return ask_expression(query, reference, model, orthologs=spec.orthologs)
    except AtlasError as problem:  # the methods have spoken, and can be compared without it
        return None, (f"{TITLE} does not speak: {problem}",)


_found: Shelf[str, Consensus] = Shelf(_agreed, size=4)


def disputed(level: LevelConsensus) -> BoolArray:
    """Cells that not all methods label alike, bool (n,)."""
    return np.asarray((level.codes != level.codes[0]).any(0))


def rows_of_label(level: LevelConsensus, label: str) -> NDArray[np.int64]:
    """The disputed cells among those of a consensus label, int64, ascending."""
    return np.flatnonzero(disputed(level) & (level.labels.labels == label))


def rows_of_pair(level: LevelConsensus, a: int, b: int) -> NDArray[np.int64]:
    """Cells that two methods, by their positions, label differently, int64, ascending."""
    return np.flatnonzero(level.codes[a] != level.codes[b])


def patterns(level: LevelConsensus, most: int = MOST_PATTERNS) -> tuple[Pattern, ...]:
    """Which methods agree with the consensus, and in how many cells; the most frequent first."""
    members, counts = np.unique(_behind(level).T, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return tuple(Pattern(tuple(map(bool, members[at])), int(counts[at])) for at in order)


def rows_of_pattern(level: LevelConsensus, members: Sequence[bool]) -> NDArray[np.int64]:
    """Cells of which exactly these methods give the consensus label, int64, ascending."""
    return np.flatnonzero((_behind(level) == np.array(members)[:, None]).all(0))


def _behind(level: LevelConsensus) -> BoolArray:
    return np.asarray(level.codes == level.labels.codes)


def consensus_table(found: Consensus, index: pd.Index, level: str) -> pd.DataFrame:
    """One row a cell: consensus label, confidence, agreement, and the label of every method."""
    at = found.level(level)
    classes = np.array(at.labels.classes, dtype=object)
    table = {
        "cell_id": index.to_numpy(),
        "consensus": at.labels.labels,
        "confidence": at.labels.confidence,
        "agreement": at.agreement,
        "unknown": at.labels.unknown,
    }
    return pd.DataFrame(table | {name: classes[own] for name, own in zip(found.voices, at.codes, strict=True)})
