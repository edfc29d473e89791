"""Labels as points of a method's latent space, and the cells that each claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.asking.reasons import level_of
from explorer.doubt.distances import QUANTILE, Prototypes, within_query
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray, MappingResult, Reference
from explorer.layout import place
from explorer.mapping import panels
from explorer.mapping.corridor import NEIGHBORS
from explorer.mapping.models import load_method
from explorer.methods.base import INSTANT

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
    p_value
        float32 (n,) in (0, 1], conformal: (1 + own reference cells at least as far) / (1 + own reference cells).
    """

    names: tuple[str, ...]
    places: FloatArray
    distances: FloatArray
    own: FloatArray
    reference_cells: NDArray[np.int64]
    reach: FloatArray
    nearest: IntArray | None = None
    away: FloatArray | None = None
    p_value: FloatArray | None = None

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

    def cells(self, index: pd.Index) -> pd.DataFrame:
        """A row a query cell: cell_id, prototype, distance, uncertainty, times_reach, p_value.

        `uncertainty` is scPoli's as published: 0 for the nearest and 1 for the most distant cell of this query, which
        cannot be compared with another's. `times_reach` is above 1 for a cell farther than 95 % of the prototype's own,
        and `p_value` its conformal p-value among these; both mean the same for every query.

        Parameters
        ----------
        index
            Names of the cells (n,).

        Raises
        ------
        OptionsProblem
            If there is no query.
        """
        if self.nearest is None or self.away is None or self.p_value is None:
            raise OptionsProblem("No cells were mapped, so no prototype claims any. Map your cells first.")
        return pd.DataFrame(
            {
                "cell_id": index,
                "prototype": np.array(self.names, dtype=object)[self.nearest],
                "distance": self.away,
                "uncertainty": within_query(self.away),
                "times_reach": self.away / np.maximum(self.reach[self.nearest], 1e-12),
                "p_value": self.p_value,
            }
        )


def label_points(
    reference: Reference, result: MappingResult | None, method: str, level: str | None = None, device: str = "auto"
) -> LabelPoints:
    """The prototypes of a level as a method has them, and what they claim of a query.

    Parameters
    ----------
    result
        The query as it was mapped, by its own method; `None` for the reference alone.
    method
        One of the reference's, where there is no result.
    level
        Label level; the main one if not named.

    Raises
    ------
    OptionsProblem
        If the method has learned from the query, which has moved the reference's cells.
    ReferenceProblem
        If there is no such level, or the model behind the result is no longer kept.
    """
    level = level_of(reference, level)
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
    nearest = away = p_value = None
    if result is not None:
        told, away = found.nearest(result.embedding)
        nearest, p_value = np.searchsorted(has, told).astype(np.int32), found.p_values(told, away)
    return LabelPoints(
        names=tuple(classes[i] for i in has),
        places=place(trained.index.search(points, NEIGHBORS), trained.layout),
        distances=np.linalg.norm(points[:, None] - points, axis=2).astype(np.float32),
        own=np.array([np.median(found.own[i]) for i in has], np.float32),
        reference_cells=found.cells[has],
        reach=np.array([np.quantile(found.own[i], QUANTILE) for i in has], np.float32),
        nearest=nearest,
        away=away,
        p_value=p_value,
    )


def in_words(found: LabelPoints) -> str:
    """The prototypes as a table, with how many are told of."""
    table = found.table().to_string(index=False, float_format=lambda value: f"{value:.3g}", na_rep="")
    return f"{len(found.names)} prototypes; distances in the latent space\n{table}"
