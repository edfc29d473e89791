"""Which colour each category has: the one that a person chose, else the file's own, else the next of a palette.

Choices are kept by column, or label level, and by the category's name, so that they hold for every view, for a figure,
and for a mapping made anew. Knows colours and names; knows no widgets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.coloring import Categories, Coloring
from components.distinct import lookalikes, many_colors
from components.theme import CATEGORICAL, MISSING_COLOR, category_colors
from explorer import keys
from explorer.app.colors.saved import NONE, TITLE
from explorer.drawing.coloring import label_colors
from explorer.flow import Reference

OWN, SAFE, MANY = "own", "safe", "many"
PALETTES: Mapping[str, str] = {OWN: "as files have them", SAFE: "colour-blind safe", MANY: "for many categories"}
"""Names of palettes, and titles. Of the first, categories without a colour in the file are colour-blind safe, too."""

_HEX = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Paints:
    """A palette, and the colours chosen beside it.

    Attributes
    ----------
    palette
        One of `PALETTES`.
    chosen
        Column or label level, category, and "#rrggbb", in this order.
    """

    palette: str = OWN
    chosen: tuple[tuple[str, str, str], ...] = ()

    @property
    def colors(self) -> tuple[str, ...]:
        """The palette's colours."""
        return many_colors() if self.palette == MANY else CATEGORICAL

    def of(self, column: str) -> dict[str, str]:
        """The colours chosen for a column or label level, by category."""
        return {name: color for of, name, color in self.chosen if of == column}

    def choosing(self, column: str, name: str, color: str) -> Paints:
        """These with another colour of one category; "" is its default."""
        others = tuple(each for each in self.chosen if each[:2] != (column, name))
        is_color = _HEX.fullmatch(color.lower()) is not None
        return replace(self, chosen=(*others, (column, name, color.lower())) if is_color else others)

    def forgetting(self, column: str) -> Paints:
        """These with nothing chosen for a column or label level."""
        return replace(self, chosen=tuple(each for each in self.chosen if each[0] != column))


PAINTS = Paints()


def as_record(paints: Paints) -> dict[str, Any]:
    """Paints as plain values."""
    return {"palette": paints.palette, "chosen": [list(each) for each in paints.chosen]}


def read_record(record: Mapping[str, Any]) -> Paints:
    """Paints from what `as_record` gave, after it went through JSON; what is no colour is left out."""
    found = Paints(record["palette"] if record["palette"] in PALETTES else OWN)
    for column, name, color in record["chosen"]:
        found = found.choosing(column, name, color)
    return found


def label_paints(reference: Reference, level: str, paints: Paints = PAINTS) -> dict[str, str]:
    """The one colour of each label of a level, for every screen and figure."""
    return {**_label_defaults(reference, level, paints), **paints.of(level)}


def default_colors(
    names: Sequence[str], column: str, level: str, reference: Reference, paints: Paints, known: Mapping[str, str]
) -> tuple[str, ...]:
    """The colours of categories of a column while none of them is chosen.

    Parameters
    ----------
    column
        What they are categories of: an obs column, a label level, or `saved.TITLE`.
    level
        Label level in view; categories that are called as its labels have their colours, chosen ones too.
    known
        Colours by category that a file has for the column, or that it has elsewhere.
    """
    if column == TITLE:
        return category_colors(names, {NONE: MISSING_COLOR}, paints.colors)
    colors = category_colors(names, {**_label_defaults(reference, level, paints), **known}, paints.colors)
    chosen = {} if column == level else {name: color for name, color in paints.of(level).items() if name not in known}
    return tuple(chosen.get(name, color) for name, color in zip(names, colors, strict=True))


def painted(coloring: Coloring | None, defaults: Sequence[str], chosen: Mapping[str, str]) -> Coloring | None:
    """A colouring in the colours chosen by category, else the defaults; itself where it has them, or has values."""
    if not isinstance(coloring, Categories):
        return coloring
    colors = tuple(chosen.get(name, color) for name, color in zip(coloring.names, defaults, strict=True))
    return coloring if colors == coloring.colors else replace(coloring, colors=colors)


def lookalike_words(coloring: Categories, chosen: Sequence[str], hidden: Sequence[int]) -> str:
    """Which of the chosen categories can hardly be told from another one that is seen; empty if all can."""
    seen = [at for at in range(len(coloring.names)) if at not in hidden]
    pairs = [(seen[a], seen[b]) for a, b in lookalikes([coloring.colors[at] for at in seen])]
    named = [(coloring.names[a], coloring.names[b]) for a, b in pairs]
    found = [pair for pair in named if set(pair) & set(chosen)]
    if not found:
        return ""
    a, b = found[0]
    more = f", and {len(found) - 1} more such pair{'s' * (len(found) > 2)}" if len(found) > 1 else ""
    return f"{a} and {b} have nearly the same colour{more}."


def _label_defaults(reference: Reference, level: str, paints: Paints) -> dict[str, str]:
    known = label_colors(reference, level)
    if paints.palette == OWN:
        return known
    names = [name for name in known if name != keys.UNKNOWN]
    return dict(zip(names, category_colors(names, {}, paints.colors), strict=True)) | {keys.UNKNOWN: MISSING_COLOR}
