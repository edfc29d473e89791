"""How a file of any size gets from the browser to the server's disk, in flat memory, and can be resumed.

    PUT    <app>/upload?id=<32 hex>&name=<name>&offset=<n>   the rest of the file  ─▶ {"id", "name", "size"}
    GET    <app>/upload?id=<32 hex>[&name=<name>&size=<n>]   how much is here      ─▶ {"received": n}
    DELETE <app>/upload?id=<32 hex>                          drop a partial file   ─▶ {"received": 0}

Every request carries the header X-Atlas-Upload, which another site's page cannot send without asking first.
Every refusal is {"error": a sentence}. A GET that names the file and its size is refused where its PUT would
be, so that a browser learns of a full disk before it sends anything. Bytes go to <id>.part; at the end they
are on disk for good (fsync), and the file is renamed to <id>.h5ad, or <id>.gmt for gene sets, beside <id>.json, which
keeps its own name.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from bokeh.server.tornado import BokehTornado
from bokeh.server.urls import per_app_patterns
from bokeh.server.util import check_allowlist
from bokeh.settings import settings as bokeh_settings
from tornado.web import RequestHandler, stream_request_body

from explorer.errors import FileProblem, OptionsProblem
from explorer.settings import settings

log = logging.getLogger(__name__)

ROUTE = "/upload"
HEADER = "X-Atlas-Upload"
SUFFIX = ".h5ad"
OF_SETS = (".gmt.gz", ".gmt")
SET_BYTES = 64 * 2**20  # of a file of gene sets; all sets of MSigDB take less than half of it
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
BLOCK_BYTES = 4 * 2**20
SPARE_BYTES = 256 * 2**20
CHECK_BYTES = 256 * 2**20
LINGER_BYTES = 8 * 2**20
STALE_SECONDS = 24 * 3600.0

_ID = re.compile(r"[0-9a-f]{32}")


def register() -> None:
    """Add the route to every app that this process will serve; call before the server is built, or again."""
    if all(pattern[0] != ROUTE for pattern in per_app_patterns):
        per_app_patterns.append((ROUTE, UploadHandler))


def suffix_of(name: str) -> str:
    """What the file of a name is kept as: gene sets by their own endings, all else as cells."""
    return next((each for each in OF_SETS if name.lower().endswith(each)), SUFFIX)


def upload_path(id: str, suffix: str = SUFFIX) -> Path:
    """The uploaded file; `suffix` is that of `suffix_of` its name.

    Raises
    ------
    OptionsProblem
        If `id` is no upload id.
    FileProblem
        If nothing of that id has arrived completely.
    """
    path = _file(id, suffix)
    if not path.is_file():
        raise FileProblem("This upload is not on the server (any more). Drop the file again.")
    return path


def remove_stale(folder: Path, seconds: float = STALE_SECONDS) -> None:
    """Delete partial files in `folder` that have not grown for `seconds`."""
    for part in folder.glob("*.part"):
        if time.time() - part.stat().st_mtime > seconds:
            log.info("removing %s, an upload that was not resumed", part)
            part.unlink(missing_ok=True)


def _file(id: str, suffix: str) -> Path:
    if not _ID.fullmatch(id):
        raise OptionsProblem("An upload's id is 32 hexadecimal digits. Drop the file again.")
    return settings().uploads / f"{id}{suffix}"


class UploadError(Exception):
    """A request that is answered with a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@stream_request_body
class UploadHandler(RequestHandler):
    """Receives one file; see the module's text for what it is asked.

    Blocks are written by position, and the file is opened anew for each: so a connection that breaks leaves
    nothing open, and a browser that resumes before the server has noticed the break does no harm.
    """

    def initialize(self, **_: Any) -> None:
        """Take what Bokeh hands to every handler of an app, none of which is needed here."""
        self._refused: UploadError | None = None
        self._discarded = 0
        self._block = bytearray()
        self._at = 0
        self._checked_at = 0

    def check_xsrf_cookie(self) -> None:
        """Nothing: the header that `prepare` asks for does what the cookie would do."""

    async def prepare(self) -> None:
        """Decide whether this request may happen, before a byte of its body is read."""
        self.set_header("Cache-Control", "no-store")
        if self.request.method == "PUT":
            # Tornado would end a body that is too large without a word; `_begin` refuses it with one.
            self.request.connection.set_max_body_size(sys.maxsize)  # type: ignore[union-attr]
        with self._refusing():
            await self._check_sender()
            self._id = self.get_query_argument("id", "")
            self._suffix = suffix_of(_plain(self.get_query_argument("name", "")))
            self._part, self._final = _file(self._id, ".part"), _file(self._id, self._suffix)
            if self.request.method == "PUT":
                self._begin()

    async def _check_sender(self) -> None:
        if HEADER not in self.request.headers:
            raise UploadError(
                HTTPStatus.FORBIDDEN, f"Uploads need the header {HEADER}. Use the page's drop zone."
            )
        origin = self.request.headers.get("Origin")
        server = cast(BokehTornado, self.application)
        # the address in the browser is as good as for the page's own websocket
        allowed = (*(bokeh_settings.allowed_ws_origin() or server.websocket_origins), self.request.host.lower())
        if origin and not check_allowlist(urlsplit(origin).netloc.lower(), allowed):
            raise UploadError(
                HTTPStatus.FORBIDDEN,
                f"This server takes no files from pages of {origin}. Open it under the address it was "
                "started with, or start it with --allow-websocket-origin.",
            )
        door: Any = server.auth_provider
        user: Any = "anybody"
        if door.get_user_async is not None:
            user = await door.get_user_async(self)
        elif door.get_user is not None:
            user = door.get_user(self)
        if not user:
            raise UploadError(
                HTTPStatus.UNAUTHORIZED, "You are not signed in (any more). Reload the page, then try again."
            )

    def _begin(self) -> None:
        """Check the file that is announced, and make room for what comes."""
        self._name = _plain(self.get_query_argument("name", ""))
        self._at = self._checked_at = self._number("offset")
        self._size = self._at + self._number("Content-Length", self.request.headers.get("Content-Length", ""))
        if self._final.exists():
            return
        _check_file(self._name, self._size, self._size - self._at)
        here = _size(self._part)
        if self._at > here:
            raise UploadError(
                HTTPStatus.CONFLICT,
                f"The file was to be resumed at byte {self._at:,}, but only {here:,} have arrived. Try "
                "again.",
            )
        with self._part.open("ab") as part:
            part.truncate(self._at)

    def _number(self, name: str, text: str | None = None) -> int:
        text = self.get_query_argument(name, "0") if text is None else text
        if not text.isdecimal():
            raise UploadError(
                HTTPStatus.BAD_REQUEST, f"{name} must be a whole number; got {text!r}. Drop the file again."
            )
        return int(text)

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body; while this waits for the disk, the sender waits too."""
        if self._refused:
            # Closing on a browser that is still sending would hide the sentence from it: first let a short
            # file come to its end, and give up only on a long one.
            self._discarded += len(chunk)
            if self._discarded > LINGER_BYTES and not self._finished:
                self.set_header("Connection", "close")
                self._answer_refusal(self._refused)
            return
        if self.request.method != "PUT":
            return
        self._block += chunk
        if len(self._block) >= BLOCK_BYTES:
            with self._refusing():
                await self._write_block()

    async def _write_block(self) -> None:
        block, self._block = self._block, bytearray()
        if self._final.exists() or not block:
            return
        if self._suffix == SUFFIX and self._at == 0 and not block.startswith(HDF5_MAGIC):
            self._part.unlink()
            raise _not_hdf5(block, self._name)
        if self._at - self._checked_at >= CHECK_BYTES:
            self._checked_at = self._at
            _check_room(self._size - self._at)
        await asyncio.to_thread(_write_at, self._part, self._at, block)
        self._at += len(block)

    async def put(self) -> None:
        """All of the body has come: make it a file."""
        with self._refusing():
            if not self._refused:
                await self._write_block()
                await asyncio.to_thread(_complete, self._part, self._final, self._name, self._size)
        self._answer(lambda: {"id": self._id, "name": self._name, "size": self._size})

    def get(self) -> None:
        """Say how much of a file is here, and whether the rest would be taken."""
        with self._refusing():
            if not self._refused and self.get_query_argument("size", ""):
                name, size = _plain(self.get_query_argument("name", "")), self._number("size")
                if not self._final.exists():
                    _check_file(name, size, size - _size(self._part))
        self._answer(lambda: {"received": _size(self._final) or _size(self._part)})

    def delete(self) -> None:
        """Drop a file that has not come to its end."""
        with self._refusing():
            if not self._refused:
                self._part.unlink(missing_ok=True)
        self._answer(lambda: {"received": _size(self._final)})

    def _answer(self, body: Callable[[], dict[str, Any]]) -> None:
        if self._finished:
            return
        if self._refused:
            self._answer_refusal(self._refused)
        else:
            self.finish(body())

    def _answer_refusal(self, refusal: UploadError) -> None:
        self.set_status(refusal.status)
        self.finish({"error": str(refusal)})

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Keep whatever is wrong as the sentence to answer with."""
        try:
            yield
        except UploadError as refusal:
            self._refused = refusal
        except OptionsProblem as problem:
            self._refused = UploadError(HTTPStatus.BAD_REQUEST, str(problem))
        except FileNotFoundError:
            gone = "This upload was cancelled. Drop the file again."
            self._refused = UploadError(HTTPStatus.CONFLICT, gone)
        except OSError as problem:
            log.exception("an upload could not be written")
            full = problem.errno == errno.ENOSPC
            self._part.unlink(missing_ok=True)
            self._refused = UploadError(
                HTTPStatus.INSUFFICIENT_STORAGE if full else HTTPStatus.INTERNAL_SERVER_ERROR,
                "The server's disk filled up while the file came in. Free some space there, then drop it "
                "again."
                if full
                else "The server could not write the file. Look into its log, or ask whoever runs it.",
            )


def _plain(name: str) -> str:
    """A file's own name without folders and control characters, for the eyes."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(sign for sign in last if sign.isprintable())[:200]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _gb(count: int) -> str:
    return f"{count / 2**30:,.2f} GB" if count >= 2**30 / 10 else f"{count / 2**20:,.1f} MB"


def _check_file(name: str, size: int, coming: int) -> None:
    """Refuse a file by its name and size."""
    limit = settings().max_upload if suffix_of(name) == SUFFIX else SET_BYTES
    if not name.lower().endswith((SUFFIX, *OF_SETS)):
        raise UploadError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{name or 'This file'} is not an h5ad file. Save your cells as .h5ad (in Python: "
            "adata.write_h5ad('cells.h5ad')), then drop that file.",
        )
    if size == 0:
        raise UploadError(HTTPStatus.BAD_REQUEST, f"{name} is empty (0 bytes). Save it again, then drop it.")
    if size > limit:
        raise UploadError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{name} has {_gb(size)}; this server takes files up to {_gb(limit)}. Drop fewer cells, or ask "
            "whoever runs the server to raise ATLAS_EXPLORER_MAX_UPLOAD."
            if suffix_of(name) == SUFFIX
            else f"{name} has {_gb(size)}; files of gene sets may have up to {_gb(limit)}. Drop one with fewer sets.",
        )
    _check_room(coming)


def _check_room(coming: int) -> None:
    """Refuse what would fill the disk."""
    folder = settings().uploads
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free - SPARE_BYTES < coming:
        raise UploadError(
            HTTPStatus.INSUFFICIENT_STORAGE,
            f"{_gb(coming)} are still to come, but only {_gb(max(free - SPARE_BYTES, 0))} are free on the "
            "server's disk. Free some space there, then drop the file again.",
        )


def _not_hdf5(start: bytes | bytearray, name: str) -> UploadError:
    advice = "it was damaged or only renamed: save it again with adata.write_h5ad"
    if start.startswith(b"\x1f\x8b"):
        advice = "it is compressed with gzip: unpack it first"
    elif start.startswith(b"PK\x03\x04"):
        advice = "it is a zip archive: unpack it first"
    return UploadError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"{name} ends in {SUFFIX}, but its first bytes are not those of an HDF5 file; {advice}, then drop "
        "it.",
    )


def _write_at(path: Path, position: int, block: bytearray) -> None:
    with path.open("r+b") as part:
        part.seek(position)
        part.write(block)


def _complete(part: Path, final: Path, name: str, size: int) -> None:
    """Give a file that is all there its proper name; a second request for the same file finds it done."""
    if final.exists():
        return
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    part.with_suffix(".json").write_text(json.dumps({"name": name, "size": size}), encoding="utf-8")
    part.rename(final)
