"""Pinned views: what one looked at, as plain values that a project keeps and a figure is made of.

A pin holds the recipe and no picture, so that it is drawn anew from the cells, as sharp as print asks for. Knows no
widgets.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.points import Extent
from explorer.app.colors.coloring import ColorBy

MAP = "map"


@dataclass(frozen=True)
class Pin:
    """One panel.

    Attributes
    ----------
    id
        Names it among the pins of a project.
    title
        What stands above the panel.
    kind
        `MAP`, or one of `explorer.drawing.tallies.CHARTS`.
    color
        Kind and name of a `ColorBy`.
    level
        Label level.
    show
        Which cells: "query" on the reference, "alone", "reference", or "both" for the query and the reference beside.
    picture
        obsm key of the query's own picture; empty for the reference's.
    hidden
        Names of the categories that are left out.
    view
        x0, x1, y0, y1 in view; `None` for all.
    selected
        Which cells were selected, see `packing.packed`; empty for no selection.
    names
        Whether the map carries the names of its categories.
    split
        obs column by whose values the map falls into several; empty for one map.
    order
        Who lies on top; empty for what the colouring has.
    colormap
        Of values; empty for what the screen has.
    limits
        Ends of the colour scale; `None` for the percentiles that the screen takes.
    zeros_grey
        Whether cells without any expression are grey.
    point
        Diameter of a cell in mm; `None` for what fits.
    genes
        Of a chart of genes by label.
    """

    id: str
    title: str = ""
    kind: str = MAP
    color: tuple[str, str] = ("label", "")
    level: str = ""
    show: str = "query"
    hidden: tuple[str, ...] = ()
    view: Extent | None = None
    selected: str = ""
    names: bool = False
    split: str = ""
    order: str = ""
    colormap: str = ""
    limits: tuple[float, float] | None = None
    point: float | None = None
    genes: tuple[str, ...] = ()
    picture: str = ""
    zeros_grey: bool = True

    @property
    def by(self) -> ColorBy:
        """What colours it."""
        return ColorBy(*self.color)


_LISTS = ("color", "hidden", "view", "limits", "genes")


def new_id() -> str:
    """A name that no other pin has."""
    return secrets.token_urlsafe(6)


def as_records(pins: Sequence[Pin]) -> list[dict[str, Any]]:
    """Pins as plain values."""
    return [asdict(pin) for pin in pins]


def read_records(records: Sequence[Mapping[str, Any]]) -> list[Pin]:
    """Pins from what `as_records` gave, after it went through JSON."""
    known = set(Pin.__dataclass_fields__)
    found = []
    for record in records:
        values = {name: value for name, value in record.items() if name in known}
        values |= {name: tuple(values[name]) for name in _LISTS if values.get(name) is not None}
        found.append(Pin(**values))
    return found


def changed(pins: Sequence[Pin], id: str, **changes: Any) -> list[Pin]:
    """The pins with one of them changed."""
    return [replace(pin, **changes) if pin.id == id else pin for pin in pins]


def moved(pins: Sequence[Pin], id: str, by: int) -> list[Pin]:
    """The pins with one of them further up (by -1) or down (by 1), as far as there is room."""
    order = list(pins)
    at = next(i for i, pin in enumerate(order) if pin.id == id)
    order.insert(min(max(at + by, 0), len(order) - 1), order.pop(at))
    return order


def without(pins: Sequence[Pin], id: str) -> list[Pin]:
    """The pins less one of them."""
    return [pin for pin in pins if pin.id != id]
