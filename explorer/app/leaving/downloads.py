"""How files leave the server: streamed in flat memory, whatever their size, and made off the event loop.

    GET <app>/download?job=<id>&file=<one of FILES>&name=<file name>      a file of a finished job
    GET <app>/download?offer=<token>                                     what a tab offers, made when asked

Registered like uploads. Of a job's result folder only the named files can be asked for; an offer lives as long
as the tab that made it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from bokeh.server.tornado import BokehTornado
from bokeh.server.urls import per_app_patterns
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from explorer import keys
from explorer.app.stored import library
from explorer.errors import AtlasError, OptionsProblem

log = logging.getLogger(__name__)

ROUTE = "/download"
BLOCK_BYTES = 1 << 20
FILES = {
    keys.RESULT_FILE: "application/x-hdf5",
    keys.PREDICTIONS_FILE: "text/csv; charset=utf-8",
}
_UNSAFE = re.compile(r"[^\w.\- ]+")


@dataclass(frozen=True)
class Offered:
    """Something to download.

    Attributes
    ----------
    name
        File name for the browser.
    kind
        Media type.
    blocks
        The bytes, a block at a time; taken in a thread.
    """

    name: str
    kind: str
    blocks: Iterator[bytes]


_offers: dict[str, Callable[[], Offered]] = {}


def register() -> None:
    """Add the route to every app that this process will serve; call before the server is built, or again."""
    if all(pattern[0] != ROUTE for pattern in per_app_patterns):
        per_app_patterns.append((ROUTE, DownloadHandler))


def offer(make: Callable[[], Offered]) -> str:
    """Offer what `make` returns, called in a thread at each download; returns the token to withdraw it by."""
    token = secrets.token_urlsafe(24)
    _offers[token] = make
    return token


def withdraw(token: str) -> None:
    """Offer it no longer."""
    _offers.pop(token, None)


def offer_query(token: str) -> str:
    """The query part of the address of an offer."""
    return "?" + urlencode({"offer": token})


def job_query(job: str, file: str, name: str) -> str:
    """The query part of the address of a job's file, to be saved under a name."""
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
        offered = await self._wanted()
        self.set_header("Content-Type", offered.kind)
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(safe_name(offered.name))}")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        while (block := await asyncio.to_thread(next, offered.blocks, None)) is not None:
            self.write(block)
            try:
                await self.flush()
            except StreamClosedError:  # she closed the page, or cancelled
                return

    async def _is_signed_in(self) -> bool:
        door: Any = cast(BokehTornado, self.application).auth_provider
        if door.get_user_async is not None:
            return bool(await door.get_user_async(self))
        return door.get_user is None or bool(door.get_user(self))

    async def _wanted(self) -> Offered:
        make = _offers.get(self.get_query_argument("offer", ""))
        if make is None:
            return self._file_of_job()
        try:
            return await asyncio.to_thread(make)
        except AtlasError as problem:
            log.warning("an offered download could not be made: %s", problem)
            raise HTTPError(409, reason="Not possible with these choices") from problem

    def _file_of_job(self) -> Offered:
        file = self.get_query_argument("file", "")
        if file not in FILES:
            raise HTTPError(404)
        try:
            path = library.queue().result_folder(self.get_query_argument("job", "")) / file
        except OptionsProblem as problem:
            raise HTTPError(404) from problem
        if not path.is_file():
            raise HTTPError(404)
        self.set_header("Content-Length", str(path.stat().st_size))
        return Offered(self.get_query_argument("name", path.name), FILES[file], blocks_of(path))


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file, a block at a time."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def blocks_once(path: Path) -> Iterator[bytes]:
    """A file, a block at a time, which goes when it was read or nobody reads on."""
    try:
        yield from blocks_of(path)
    finally:
        path.unlink(missing_ok=True)
