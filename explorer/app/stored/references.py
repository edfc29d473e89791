"""The references on offer: those this server was given, and those trained here. Knows folders and cards.

A reference that got further methods here lies twice on the disk: as it was given, and with them in the home folder.
It is offered once, as the one that holds more methods.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from explorer import keys
from explorer.jobs.specs import BuildSpec
from explorer.settings import settings

_UNSAFE = re.compile(r"[^a-z0-9]+")
_DIGITS = 8


@dataclass(frozen=True)
class Listed:
    """A reference on offer.

    Attributes
    ----------
    folder
        Where it lies.
    title
        What menus call it; references that share a title are told apart by their folders.
    methods
        Names of the methods trained on its cells.
    """

    folder: Path
    title: str
    methods: tuple[str, ...]


def listed() -> tuple[Listed, ...]:
    """The references on offer, in menu order: those this server was given, then those trained here by title."""
    best: dict[str, Path] = {}
    for folder in (*settings().references, *_own()):
        key = _cells(folder)
        if key not in best or len(_methods(folder)) > len(_methods(best[key])):
            best[key] = folder
    titles = [title_of(folder) for folder in best.values()]
    return tuple(
        Listed(folder, title if titles.count(title) == 1 else f"{title} ({folder.stem})", _methods(folder))
        for folder, title in zip(best.values(), titles, strict=True)
    )


def current(folder: Path) -> Path:
    """Where a reference lies with the most methods: there, or in the home folder."""
    key = _cells(folder)
    return max((folder, *(own for own in _own() if _cells(own) == key)), key=lambda place: len(_methods(place)))


def title_of(folder: Path) -> str:
    """Title of a reference, from its card alone; the folder's name if that cannot be read."""
    return str(_card(folder).get("title") or folder.name.removesuffix(".atlas"))


def place_for(reference: Path) -> Path:
    """Where a reference lies, or will lie, that gets a further method here."""
    own = settings().own_references
    if reference.parent == own:
        return reference
    return own / f"{_slug(reference.stem)}-{_cells(reference)[:_DIGITS]}.atlas"


def place_for_cells(spec: BuildSpec) -> Path:
    """Where a reference of a person's own cells lies, or will lie; the same for the same file and columns."""
    told = json.dumps([spec.source, spec.labels, spec.batch, spec.sample, spec.title])
    return settings().own_references / f"{_slug(spec.title)}-{_digest(told)[:_DIGITS]}.atlas"


def _own() -> list[Path]:
    found = settings().own_references.glob("*.atlas")
    return sorted((folder for folder in found if _card(folder)), key=lambda folder: (title_of(folder), folder.name))


def _methods(folder: Path) -> tuple[str, ...]:
    return tuple(_card(folder).get("methods", ()))


def _cells(folder: Path) -> str:
    """Names the cells and genes of a reference, whatever was trained on them."""
    files = _card(folder).get("files", {})
    return _digest(json.dumps([files.get(name, str(folder)) for name in (keys.GENES_FILE, keys.CELLS_FILE)]))


def _slug(title: str) -> str:
    return _UNSAFE.sub("-", title.lower()).strip("-")[:40] or "reference"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def changed(folder: Path) -> int:
    """When a reference was written last; 0 where there is none."""
    try:
        return (folder / keys.CARD_FILE).stat().st_mtime_ns
    except OSError:
        return 0


def _card(folder: Path) -> dict[str, Any]:
    return _read_card(folder, changed(folder))


@lru_cache(maxsize=64)
def _read_card(folder: Path, changed: int) -> dict[str, Any]:  # noqa: ARG001  (part of the cache's key)
    try:
        return dict(json.loads((folder / keys.CARD_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
