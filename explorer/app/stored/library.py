"""What all tabs of one server share: references, results and their arrays, opened once; the queue; the projects.

Everything here is read-only once opened, and safe to call from any thread. Reading may block: views go
through `Session.attempt`, which keeps it off the event loop.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from components.points import Points, index_points
from explorer import keys
from explorer.app.stored import references
from explorer.app.stored.projects import Projects
from explorer.drawing.columns import usable_columns
from explorer.flow import MappingResult, Reference
from explorer.jobs.queue import Queue
from explorer.methods.common import device_named
from explorer.reading.pictures import own_pictures, read_picture
from explorer.reference import open_reference, read_layout
from explorer.settings import SAMPLE_DATA, settings
from explorer.writing.export import gene_names, read_result

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Shelf(Generic[Key, Value]):
    """Values made once for each key, the least recently used given up when there are too many.

    Two tabs that ask for the same key at the same time wait for one loading; different keys do not wait for
    each other. A loading that fails is tried again by whoever asks next.

    Parameters
    ----------
    load
        Makes the value of a key.
    size
        How many values are kept.
    """

    def __init__(self, load: Callable[[Key], Value], size: int) -> None:
        self._load = load
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._loading: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value:
        """The value of a key, made if it is not here."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            turn = self._loading.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            value = self._load(key)
            with self._lock:
                self._values[key] = value
                self._loading.pop(key, None)
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
            return value

    def known(self, key: Key) -> Value | None:
        """The value of a key if it is here already, without waiting."""
        with self._lock:
            return self._values.get(key)


@dataclass(frozen=True)
class Outcome:
    """A finished mapping as screens use it.

    Attributes
    ----------
    job
        Id of the job that made it.
    folder
        Its result folder.
    result
        The mapping, read back from the result file.
    points
        Its cells' places in the reference's picture, indexed for drawing.
    columns
        obs columns that can colour its cells.
    genes
        Names of the genes whose expression can be shown, in the file's order; empty if it keeps none.
    pictures
        obsm keys of the pictures that the query brought.
    """

    job: str
    folder: Path
    result: MappingResult
    points: Points
    columns: tuple[str, ...]
    genes: tuple[str, ...]
    pictures: tuple[str, ...] = ()


def _read_outcome(job: str) -> Outcome:
    folder = queue().result_folder(job)
    result = read_result(folder / keys.RESULT_FILE)
    expression = folder / keys.EXPRESSION_FILE
    genes = tuple(gene_names(expression)) if expression.exists() else ()
    pictures = own_pictures(folder / keys.RESULT_FILE)
    return Outcome(job, folder, result, index_points(result.layout), usable_columns(result.obs), genes, pictures)


def _read_own_points(of: tuple[Path, str]) -> Points:
    folder, picture = of
    return index_points(read_picture(folder / keys.RESULT_FILE, picture))


def _read_points(of: tuple[Path, int, str]) -> Points:
    folder, _, method = of
    return index_points(read_layout(reference(folder), method))


def _open_reference(of: tuple[Path, int]) -> Reference:
    folder, _ = of
    return open_reference(folder)


# the time of writing is part of the key: a reference may get a further method while it is on the shelf
_points: Shelf[tuple[Path, int, str], Points] = Shelf(_read_points, size=8)
_references: Shelf[tuple[Path, int], Reference] = Shelf(_open_reference, size=8)
_outcomes: Shelf[str, Outcome] = Shelf(_read_outcome, size=12)
_own_points: Shelf[tuple[Path, str], Points] = Shelf(_read_own_points, size=4)


def reference(folder: Path) -> Reference:
    """A reference, opened once for all tabs as long as nothing is added to it.

    Raises
    ------
    ReferenceProblem
        If it is missing, damaged or newer than this program.
    """
    return _references.get((folder, references.changed(folder)))


def reference_points(folder: Path, method: str) -> Points:
    """The places of a reference's cells in a method's picture, indexed for drawing."""
    return _points.get((folder, references.changed(folder), method))


def outcome(job: str) -> Outcome:
    """The result of a finished job; the last few are kept.

    Raises
    ------
    AtlasError
        If its files are gone or damaged.
    """
    return _outcomes.get(job)


def own_points(folder: Path, picture: str) -> Points:
    """The places of a result's cells in a picture that the query brought, indexed for drawing."""
    return _own_points.get((folder, picture))


@cache
def queue() -> Queue:
    """The queue of this server."""
    return Queue(settings().jobs_file, settings().results)


@cache
def projects() -> Projects:
    """The projects of this server."""
    return Projects(settings().jobs_file)


@cache
def device() -> str:
    """What models run on here: "GPU" or "CPU"."""
    return "GPU" if str(device_named(settings().device)).startswith("cuda") else "CPU"


@dataclass(frozen=True)
class Demo:
    """A query that comes with the program.

    Attributes
    ----------
    path
        The h5ad file.
    title, description
        What it is, for menus.
    note
        What must be said wherever its composition is shown; empty for nothing.
    sample, label
        obs columns that name its samples and its own labels; empty for none.
    """

    path: Path
    title: str
    description: str = ""
    note: str = ""
    sample: str = ""
    label: str = ""


@cache
def demos() -> tuple[Demo, ...]:
    """The queries that come with the program, in the order of their list."""
    listed = SAMPLE_DATA / "queries.json"
    told = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    named = [SAMPLE_DATA / name for name in told if (SAMPLE_DATA / name).is_file()]
    others = sorted(path for path in SAMPLE_DATA.glob("*.h5ad") if path not in named)
    return tuple(_demo(path, told.get(path.name, {})) for path in (*named, *others))


def _demo(path: Path, told: dict[str, Any]) -> Demo:
    texts = {name: told.get(name) or "" for name in ("description", "note", "sample", "label")}
    return Demo(path, told.get("title") or path.stem, **texts)


def demo_of(path: str) -> Demo | None:
    """The bundled query at a path, if it is one."""
    return next((demo for demo in demos() if str(demo.path) == path), None)
