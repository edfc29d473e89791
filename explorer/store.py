"""The SQLite file in which jobs and projects outlive tabs, servers and power cuts.

Each room keeps its own tables in the same file and brings its own schema, as steps that are run once and
never edited. Write-ahead logging lets a page read while a worker writes. Knows SQL, not what rows mean.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from explorer.errors import ResourceProblem

BUSY_SECONDS, BUSY_BEAT = 20.0, 0.01
_VERSIONS = "CREATE TABLE IF NOT EXISTS schema (room TEXT PRIMARY KEY, version INTEGER NOT NULL)"


class Store:
    """One room's tables in the file, safe to share between threads.

    Parameters
    ----------
    path
        The SQLite file; made with its folder when first needed.
    room
        Whose tables these are.
    steps
        What leads from an empty file to today's schema, oldest step first; a step is a few SQL statements.
        A new version of the program appends one.

    Raises
    ------
    ResourceProblem
        If the folder cannot be written, the file is no database, or a newer program made it.
    """

    def __init__(self, path: Path, room: str, steps: Sequence[Sequence[str]]) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: a transaction starts only where `change` says so, and thus stays short.
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._write_ahead()
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate(path, room, steps)
        except (OSError, sqlite3.Error) as problem:
            raise ResourceProblem(
                f"The list of jobs and projects at {path} cannot be opened ({problem}). Check that the "
                "folder can be written, or set ATLAS_EXPLORER_HOME to another folder; if the file is "
                "damaged, move it away and a new one is made."
            ) from problem

    def _write_ahead(self) -> None:
        """Turn on write-ahead logging.

        Here alone SQLite does not wait for its turn: of two that open a new file at once, one would be turned away.
        """
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
            time.sleep(BUSY_BEAT)

    def _migrate(self, path: Path, room: str, steps: Sequence[Sequence[str]]) -> None:
        with self.change() as db:
            db.execute(_VERSIONS)
            row = db.execute("SELECT version FROM schema WHERE room = ?", (room,)).fetchone()
            version = row["version"] if row else 0
            if version > len(steps):
                raise ResourceProblem(
                    f"{path} was written by a newer Atlas Explorer ({room} of version {version}, this "
                    f"program knows {len(steps)}). Update the program, or set ATLAS_EXPLORER_HOME to another "
                    "folder."
                )
            for statement in chain.from_iterable(steps[version:]):
                db.execute(statement)
            db.execute("INSERT OR REPLACE INTO schema VALUES (?, ?)", (room, len(steps)))

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: all of it happens, or nothing."""
        with self._lock:
            db = self._connection
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; returns how many rows it changed."""
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of one query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of one query, if there is one."""
        with self._lock:
            return self._connection.execute(sql, values).fetchone()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
