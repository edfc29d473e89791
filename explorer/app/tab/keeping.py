"""The choices that a project keeps: which they are, and how each is written down and read again.

Knows no widgets, and of a session only its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import astuple, dataclass
from typing import Any

import param

from explorer.app.colors import paints
from explorer.app.colors.coloring import KINDS, ColorBy
from explorer.app.stored import own_sets
from explorer.app.tab import gates, pins
from explorer.app.tab.two_values import TwoValues
from explorer.app.tab.workspace import ARRANGED, DRAWN, Held

OPTIONS = (
    "matrix", "gene_names", "batch", "own_label", "orthologs", "refit_shared", "methods", "modes", "taught", "proteins",
    "hierarchical", "independent", "unknown", "refine",
)  # fmt: skip
"""How to map: `options` of a project."""

SHOWN = (
    "step", "color", "level", "paints", "method", "measure", "tab", "tabs", "pins", *ARRANGED, *DRAWN, "gates",
    "recipe", "two_values", "threshold", "coverage", "own_sets", "tab_choices",
)  # fmt: skip
"""What is looked at, and how: `view` of a project."""

OUTLASTS = ("step", "level", "method", "methods", "tab", "tabs", "own_sets")
"""Those of them that are the person's rather than the query's: they stay when a project is put away."""


@dataclass(frozen=True)
class _Form:
    """How a choice that is no plain value becomes one, and back; `None` for one that means nothing here."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _color(written: Any) -> ColorBy | None:
    kind, name = written
    return ColorBy(kind, name) if kind in KINDS else None


def _held(written: Any) -> Held | None:
    *by, level = written or ("", "", "")
    return Held(ColorBy(*by), level) if by[0] in KINDS else None


def _two_values(written: Any) -> TwoValues:
    x, y, cuts = written
    return TwoValues(x, y, None if cuts is None else (cuts[0], cuts[1]))


_FORMS: Mapping[str, _Form] = {
    "color": _Form(lambda color: list(astuple(color)), _color),
    "held": _Form(lambda held: None if held is None else [*astuple(held.by), held.level], _held),
    "clip": _Form(list, lambda written: tuple(written) if written else None),
    "paints": _Form(paints.as_record, paints.read_record),
    "pins": _Form(pins.as_records, pins.read_records),
    "gates": _Form(gates.as_records, gates.read_records),
    "recipe": _Form(gates.step_records, gates.read_steps),
    "two_values": _Form(lambda shown: list(astuple(shown)), _two_values),
    "own_sets": _Form(own_sets.as_records, own_sets.read_records),
}


def written(of: param.Parameterized, names: Collection[str]) -> dict[str, Any]:
    """Some choices as plain values."""
    values = {name: getattr(of, name) for name in names}
    return {name: _FORMS[name].write(value) if name in _FORMS else value for name, value in values.items()}


def read(of: param.Parameterized, kept: Mapping[str, Any]) -> dict[str, Any]:
    """All choices from what `written` gave; those before anybody chose where nothing was, or it holds no longer."""
    found = unchosen(of, (*OPTIONS, *SHOWN))
    for name in found.keys() & kept.keys():
        value = _FORMS[name].read(kept[name]) if name in _FORMS else kept[name]
        if value is not None if name in _FORMS else _is_offered(of.param[name], value):
            found[name] = value
    return found


def _is_offered(choice: param.Parameter, value: Any) -> bool:
    return not isinstance(choice, param.Selector) or value in choice.objects


def unchosen(of: param.Parameterized, names: Collection[str]) -> dict[str, Any]:
    """Choices as they are before anybody chose."""
    return {name: copy(of.param[name].default) for name in names}
