"""Settings of a method changed one by one, by their names, beyond what its presets say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, get_type_hints

from explorer.errors import OptionsProblem
from explorer.methods.base import Config

Setting = int | float | bool | str

_Config = TypeVar("_Config", bound=Config)
_ELSEWHERE = {"preset": "--preset", "seed": "--seed", "collections": "--gene-sets"}
_WORDS = {int: "a whole number, 0 or more", float: "a number", bool: "true or false", str: "a word"}
_TRUTHS = {"true": True, "false": False}


def tuned(config: _Config, title: str, settings: Mapping[str, Setting]) -> _Config:
    """The same settings but for some, each checked against the type that its name asks for.

    Parameters
    ----------
    title
        The method's, for messages.
    settings
        Values by name; texts, as typed in a shell, are read as what the name asks for.

    Raises
    ------
    OptionsProblem
        If there is no setting of a name, or a value is not one that it can have.
    """
    hints = get_type_hints(type(config))
    types = {field.name: hints[field.name] for field in fields(config)}
    for name in settings:
        if name in _ELSEWHERE and name in types:
            raise OptionsProblem(f"{name!r} is not set like other settings: it has the option {_ELSEWHERE[name]}.")
        if name not in types:
            known = ", ".join(each for each in types if each not in _ELSEWHERE)
            raise OptionsProblem(f"{title} has no setting {name!r}; it has: {known}.")
    changed: dict[str, Any] = {name: _value(title, name, types[name], given) for name, given in settings.items()}
    return replace(config, **changed)


def assignments(texts: list[str]) -> dict[str, str]:
    """Values by name, from texts like NAME=VALUE; of a name given twice the last counts.

    Raises
    ------
    OptionsProblem
        If a text is none of those.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not (name.strip() and equals):
            raise OptionsProblem(f"--set takes NAME=VALUE, such as epochs=40; not {text!r}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _value(title: str, name: str, kind: type, given: Setting) -> Setting:
    value = _read(kind, given)
    if value is None:
        raise OptionsProblem(f"{title}'s setting {name!r} is {_WORDS[kind]}; not {given!r}.")
    return value


def _read(kind: type, given: Setting) -> Setting | None:
    """The value as the type asked for; `None` if it is none."""
    if kind is bool:
        return _TRUTHS.get(str(given).lower())
    if kind is str:
        return given if isinstance(given, str) and given else None
    if isinstance(given, bool):
        return None
    try:
        number = float(given)
    except ValueError:
        return None
    if kind is float:
        return number if math.isfinite(number) else None
    return int(number) if number >= 0 and number.is_integer() else None
