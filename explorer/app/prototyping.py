"""Labels as points of a method's latent space, the cells that each claims, and cells that want a label of their own.

Safe to call from any thread; knows no widgets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer import keys
from explorer.app.library import Outcome
from explorer.asking.naming import write_named
from explorer.building.extension import extend_reference
from explorer.doubt.distances import QUANTILE, Prototypes
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray, Reference
from explorer.insight.unknowns import Unknowns, unknowns
from explorer.jobs.asked import query_of
from explorer.jobs.queue import MapSpec
from explorer.layout import place
from explorer.mapping import panels
from explorer.mapping.corridor import NEIGHBORS
from explorer.mapping.models import load_method
from explorer.methods.base import INSTANT
from explorer.progress import Progress
from explorer.settings import settings

NAMED = "named_here"  # obs column of the names that were given on the page
_UNSAFE = re.compile(r"[^a-z0-9]+")

CLOSE = 0.04       # of the picture's extent: names of places nearer to one another would lie over each other

Mark = tuple[str, float, float]


@dataclass(frozen=True)
class LabelPoints:
    """The prototypes of one label level; labels without reference cells have none.

    Attributes
    ----------
    names
        The labels (c,).
    places
        float32 (c, 2), where they lie in the reference's picture: among their nearest reference cells.
    distances
        float32 (c, c), Euclidean, in the latent space.
    own
        float32 (c,), median distance of the label's own reference cells to it.
    reference_cells
        int64 (c,), how many those are.
    nearest
        int32 (n,), the nearest prototype of each query cell; `None` without a query.
    away
        float32 (n,), the distance to it.
    reach
        float32 (c,), the distance within which 95 % of its own reference cells lie.
    """

    names: tuple[str, ...]
    places: FloatArray
    distances: FloatArray
    own: FloatArray
    reference_cells: NDArray[np.int64]
    reach: FloatArray
    nearest: IntArray | None = None
    away: FloatArray | None = None

    @property
    def marks(self) -> list[Mark]:
        """Name and place of each, for a map."""
        return [(name, float(x), float(y)) for name, (x, y) in zip(self.names, self.places, strict=True)]

    def claimed(self, name: str) -> NDArray[np.int64]:
        """Query cells to which this prototype is the nearest, int64, ascending."""
        if self.nearest is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.nearest == self.names.index(name))

    def table(self) -> pd.DataFrame:
        """A row a prototype: label, reference_cells, own_distance, nearest_label, its distance, and of the query cells
        claimed, median_distance, ratio (to the own distance) and beyond (share farther than 95 % of the own)."""
        others = self.distances + np.where(np.eye(len(self.names), dtype=bool), np.inf, 0).astype(np.float32)
        has_others = len(self.names) > 1
        rows = []
        for i, name in enumerate(self.names):
            row: dict[str, object] = {
                "label": name,
                "reference_cells": int(self.reference_cells[i]),
                "own_distance": float(self.own[i]),
                "nearest_label": self.names[int(others[i].argmin())] if has_others else "",
                "nearest_distance": float(others[i].min()) if has_others else float("nan"),
            }
            if self.nearest is not None and self.away is not None:
                away = self.away[self.nearest == i]
                middle = float(np.median(away)) if len(away) else float("nan")
                row |= {
                    "claimed": len(away),
                    "median_distance": middle,
                    "ratio": middle / max(float(self.own[i]), 1e-12),
                    "beyond": float((away > self.reach[i]).mean()) if len(away) else float("nan"),
                }
            rows.append(row)
        return pd.DataFrame(rows)


def label_points(reference: Reference, outcome: Outcome | None, method: str, level: str, device: str) -> LabelPoints:
    """The prototypes of a level as a method has them, and what they claim of a query.

    Raises
    ------
    OptionsProblem
        If the method has learned from the query, which has moved the reference's cells.
    ReferenceProblem
        If the model behind the result is no longer kept.
    """
    result = outcome.result if outcome is not None else None
    if result is not None:
        method = result.method
        if result.provenance.options.get("mode", INSTANT.name) != INSTANT.name:
            raise OptionsProblem(
                "This model learned from your cells, and the reference's cells have moved with it: its prototypes are "
                f"those of another space. Map by “{INSTANT.title}”, or look at another method."
            )
        reference = panels.reopened(reference, result.provenance.panel)
    trained = load_method(reference, method, device)
    at = next(i for i, head in enumerate(trained.heads) if head.level == level)
    classes, codes = trained.heads[at].classes, trained.members[at].codes
    found = Prototypes.of(trained.embedding, codes, len(classes))
    has = np.flatnonzero(found.cells > 0)
    points = found.points[has]
    nearest = away = None
    if result is not None:
        told, away = found.nearest(result.embedding)
        nearest = np.searchsorted(has, told).astype(np.int32)
    return LabelPoints(
        names=tuple(classes[i] for i in has),
        places=place(trained.index.search(points, NEIGHBORS), trained.layout),
        distances=np.linalg.norm(points[:, None] - points, axis=2).astype(np.float32),
        own=np.array([np.median(found.own[i]) for i in has], np.float32),
        reference_cells=found.cells[has],
        reach=np.array([np.quantile(found.own[i], QUANTILE) for i in has], np.float32),
        nearest=nearest,
        away=away,
    )


def group_unknown(
    spec: MapSpec, outcome: Outcome, level: str, rows: NDArray[np.integer] | None, sample: str, progress: Progress
) -> Unknowns:
    """Groups among the unknown cells, or among those chosen, each with its markers.

    Raises
    ------
    OptionsProblem
        If there are too few of them.
    """
    query = query_of(spec)
    column = sample if sample in outcome.result.obs else None
    return unknowns(query, outcome.result, rows, sample=column, level=level, progress=progress)


def marks_of(found: Unknowns, layout: FloatArray) -> list[Mark]:
    """Name and place of each group: the median of its cells in the reference's picture, float32 (n, 2)."""
    return [
        (name, *map(float, np.median(layout[found.rows[found.codes == code]], axis=0)))  # type: ignore[misc]
        for code, name in enumerate(found.names)
    ]


def readable_marks(marks: Sequence[Mark], extent: float) -> list[Mark]:
    """The same places; of those that lie closer than a twenty-fifth of the picture's extent, one carries all names."""
    leaders: dict[int, list[str]] = {}
    for i, (name, x, y) in enumerate(marks):
        near = (at for at in leaders if np.hypot(marks[at][1] - x, marks[at][2] - y) < extent * CLOSE)
        leaders.setdefault(next(near, i), []).append(name)
    return [(", ".join(leaders.get(i, [])), x, y) for i, (_, x, y) in enumerate(marks)]


def add_to_reference(
    spec: MapSpec,
    outcome: Outcome,
    reference: Reference,
    level: str,
    names: NDArray[np.object_],
    progress: Progress,
) -> Path:
    """A copy of the reference that also holds the cells that were named, among this server's own references.

    Parameters
    ----------
    names
        Text (n,), "" for cells without a name.

    Returns
    -------
    Path
        Where it lies.

    Raises
    ------
    AtlasError
        If a name has too few cells, the reference was shared without expression, or the query lacks genes of a method.
    """
    own = settings().own_references
    own.mkdir(parents=True, exist_ok=True)
    named = outcome.folder / f"{NAMED}.h5ad"
    write_named(outcome.folder / keys.RESULT_FILE, named, names, NAMED)
    try:
        query = query_of(spec, named)
        out = _free(own, reference.folder.stem)
        extend_reference(
            reference, query, out, column=NAMED, level=level, orthologs=spec.orthologs, device=spec.device,
            progress=progress,
        )  # fmt: skip
    finally:
        named.unlink(missing_ok=True)
    return out


def _free(folder: Path, stem: str) -> Path:
    """A folder that does not exist yet, named after the reference that is extended."""
    slug = _UNSAFE.sub("-", stem.lower()).strip("-")[:40] or "reference"
    numbered = (folder / f"{slug}-extended{'' if n == 1 else f'-{n}'}.atlas" for n in range(1, 10_000))
    return next(path for path in numbered if not path.exists())
