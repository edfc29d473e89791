"""Projects: what a person works on, under one address, kept outside any tab.

A project remembers the choices and which jobs answer them; the data stay where they are. A view is a plain
dict that the screens write and read; nothing here looks into it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.errors import OptionsProblem
from explorer.store import Store

_SCHEMA = (
    (
        """
        CREATE TABLE projects (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            reference TEXT NOT NULL,
            query TEXT NOT NULL,
            options TEXT NOT NULL,
            job TEXT,
            view TEXT NOT NULL
        )
        """,
    ),
    (
        "ALTER TABLE projects ADD COLUMN jobs TEXT NOT NULL DEFAULT '[]'",
        "UPDATE projects SET jobs = json_array(job) WHERE job IS NOT NULL",  # there was one at most before
        "ALTER TABLE projects DROP COLUMN job",
    ),
    ("CREATE TABLE views (id TEXT PRIMARY KEY, project TEXT NOT NULL, view TEXT NOT NULL, kept REAL NOT NULL)",),
)
_LINK_DIGITS = 10
_AS_JSON = ("options", "jobs", "view")
_CHANGEABLE = ("title", "reference", "query", "options", "jobs", "view")


@dataclass(frozen=True)
class Project:
    """One piece of work as it stood when it was read. Times are seconds since 1970.

    Attributes
    ----------
    id
        Short, for the address.
    title
        What the person calls it.
    reference
        Folder of the reference bundle; "" until one is chosen.
    query
        Path of the h5ad file; "" until there is one.
    options
        How to map: method, batch column and the like.
    jobs
        Ids of the jobs that answer, one a method, the latest last; empty until it was asked.
    view
        What the screens show: colours, selections, thresholds.
    """

    id: str
    title: str
    created: float
    updated: float
    reference: str = ""
    query: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    view: Mapping[str, Any] = field(default_factory=dict)


class Projects:
    """All projects of one home folder, in the same SQLite file as the jobs.

    Parameters
    ----------
    path
        The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._store = Store(Path(path), "projects", _SCHEMA)

    def create(self, title: str = "Untitled", **choices: Any) -> Project:
        """Begin a project; `choices` are fields of `Project` that are known already."""
        now = time.time()
        project = Project(secrets.token_urlsafe(6), title, now, now)
        columns = {**vars(project), **_checked(choices)}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._store.write(f"INSERT INTO projects ({names}) VALUES ({marks})", _values(columns))
        return self.get(project.id)

    def get(self, id: str) -> Project:
        """One project.

        Raises
        ------
        OptionsProblem
            If there is none of that id.
        """
        row = self._store.row("SELECT * FROM projects WHERE id = ?", (id,))
        if row is None:
            raise OptionsProblem(
                f"There is no project {id} on this server. Choose one from the list, or start a new one."
            )
        return _project(row)

    def save(self, id: str, **changes: Any) -> Project:
        """Change some fields at once and leave the others as they are, also when another tab changes those.

        Raises
        ------
        OptionsProblem
            If there is no such project, or a field cannot be changed.
        """
        columns = {**_checked(changes), "updated": time.time()}
        sets = ", ".join(f"{name} = ?" for name in columns)
        self._store.write(f"UPDATE projects SET {sets} WHERE id = ?", (*_values(columns), id))
        return self.get(id)

    def amend(self, id: str, options: Mapping[str, Any], view: Mapping[str, Any]) -> Project:
        """Note some choices of how to map and of what is shown; the others stay as another tab may have left them.

        Raises
        ------
        OptionsProblem
            If there is no such project.
        """
        with self._store.change() as db:
            row = db.execute("SELECT options, view FROM projects WHERE id = ?", (id,)).fetchone()
            if row is not None:
                both = ({**json.loads(row["options"]), **options}, {**json.loads(row["view"]), **view})
                db.execute(
                    "UPDATE projects SET options = ?, view = ?, updated = ? WHERE id = ?",
                    (*map(json.dumps, both), time.time(), id),
                )
        return self.get(id)

    def answer(self, id: str, jobs: Sequence[str], instead_of: Collection[str] = ()) -> Project:
        """Note which jobs answer from now on, instead of some earlier ones; what other tabs note stays.

        Raises
        ------
        OptionsProblem
            If there is no such project.
        """
        with self._store.change() as db:
            row = db.execute("SELECT jobs FROM projects WHERE id = ?", (id,)).fetchone()
            before = json.loads(row["jobs"]) if row is not None else []
            kept = [job for job in before if job not in instead_of and job not in jobs]
            db.execute(
                "UPDATE projects SET jobs = ?, updated = ? WHERE id = ?", (json.dumps([*kept, *jobs]), time.time(), id)
            )
        return self.get(id)

    def list(self) -> tuple[Project, ...]:
        """All projects, the one that changed last first."""
        return tuple(
            _project(row)
            for row in self._store.rows("SELECT * FROM projects ORDER BY updated DESC, rowid DESC")
        )

    def remove(self, id: str) -> None:
        """Forget a project; its file and its job's results stay. Nothing happens if it is gone already."""
        self._store.write("DELETE FROM projects WHERE id = ?", (id,))

    def keep_view(self, id: str, view: Mapping[str, Any]) -> str:
        """Keep a view of a project for good; its own id, the same for the same view, short enough for an address."""
        written = json.dumps(view, sort_keys=True)
        link = hashlib.sha256(f"{id} {written}".encode()).hexdigest()[:_LINK_DIGITS]
        self._store.write("INSERT OR IGNORE INTO views VALUES (?, ?, ?, ?)", (link, id, written, time.time()))
        return link

    def kept_view(self, link: str) -> tuple[str, dict[str, Any]]:
        """The project of a view that was kept, and the view.

        Raises
        ------
        OptionsProblem
            If there is none of that id, or its project was removed.
        """
        row = self._store.row(
            "SELECT views.project, views.view, projects.id FROM views "
            "LEFT JOIN projects ON projects.id = views.project WHERE views.id = ?",
            (link,),
        )
        if row is None:
            raise OptionsProblem(
                f"There is no shared view {link} on this server. Check the link, or ask for it again: it holds only on "
                "the server that made it."
            )
        if row["id"] is None:
            raise OptionsProblem("The project of this link was removed from this server, and its view with it.")
        return row["project"], json.loads(row["view"])

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    for name in changes:
        if name not in _CHANGEABLE:
            raise OptionsProblem(
                f"A project has no changeable field {name!r}; it has {', '.join(_CHANGEABLE)}."
            )
    return changes


def _values(columns: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(json.dumps(value) if name in _AS_JSON else value for name, value in columns.items())


def _project(row: sqlite3.Row) -> Project:
    columns = dict(row)
    read = {**columns, **{name: json.loads(columns[name]) for name in _AS_JSON}}
    return Project(**{**read, "jobs": tuple(read["jobs"])})
