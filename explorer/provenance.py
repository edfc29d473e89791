"""How a result came about: genes found, the panel that a method was refitted on, versions, seed, seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
