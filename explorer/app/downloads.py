"""How a result leaves the server: streamed from disk in flat memory, whatever its size.

    GET <app>/download?job=<id>&file=<one of FILES>&name=<file name>

Registered like uploads. Only the named files of a job's result folder can be asked for.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from bokeh.server.tornado import BokehTornado
from bokeh.server.urls import per_app_patterns
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from explorer import keys
from explorer.app import library
from explorer.errors import OptionsProblem

ROUTE = "/download"
BLOCK_BYTES = 1 << 20
FILES = {
    keys.RESULT_FILE: "application/x-hdf5",
    keys.PREDICTIONS_FILE: "text/csv; charset=utf-8",
}
_UNSAFE = re.compile(r"[^\w.\- ]+")


def register() -> None:
    """Add the route to every app that this process will serve; call before the server is built, or again."""
    if all(pattern[0] != ROUTE for pattern in per_app_patterns):
        per_app_patterns.append((ROUTE, DownloadHandler))


def query_of(job: str, file: str, name: str) -> str:
    """The query part of an address that downloads a file of a job under a name."""
    return "?" + urlencode({"job": job, "file": file, "name": name})


def safe_name(name: str) -> str:
    """A name that every file system takes."""
    return _UNSAFE.sub("_", name).strip(" .") or "result"


class DownloadHandler(RequestHandler):
    """Sends one file."""

    def initialize(self, **_: Any) -> None:
        """Take what Bokeh hands to every handler of an app, none of which is needed here."""

    async def get(self) -> None:
        """Send the file in blocks; each waits until the one before has left, so memory stays flat."""
        if not await self._is_signed_in():
            raise HTTPError(401)
        path, kind = self._wanted()
        name = safe_name(self.get_query_argument("name", path.name))
        self.set_header("Content-Type", kind)
        self.set_header("Content-Length", str(path.stat().st_size))
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name)}")
        self.set_header("X-Content-Type-Options", "nosniff")
        with path.open("rb") as file:
            while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
                self.write(block)
                try:
                    await self.flush()
                except StreamClosedError:
                    return

    async def _is_signed_in(self) -> bool:
        door: Any = cast(BokehTornado, self.application).auth_provider
        if door.get_user_async is not None:
            return bool(await door.get_user_async(self))
        return door.get_user is None or bool(door.get_user(self))

    def _wanted(self) -> tuple[Path, str]:
        file = self.get_query_argument("file", "")
        if file not in FILES:
            raise HTTPError(404)
        try:
            path = library.queue().result_folder(self.get_query_argument("job", "")) / file
        except OptionsProblem as problem:
            raise HTTPError(404) from problem
        if not path.is_file():
            raise HTTPError(404)
        return path, FILES[file]
