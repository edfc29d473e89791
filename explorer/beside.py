"""What a result carries beside labels and places: proteins, batches as a method sees them, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


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
    values: NDArray[np.float32]
    spread: NDArray[np.float32]
    measured: NDArray[np.float32] | None = None


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
    values: NDArray[np.float32]
    from_query: NDArray[np.bool_]


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
