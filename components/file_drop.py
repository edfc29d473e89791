"""A place to drop one file of any size, streamed to the server past Python's own memory: `FileDrop`.

The browser sends the file with one PUT to `url`, as the file's raw bytes:

    PUT    <url>?name=<file name>&id=<32 hex digits>&offset=<n>    header X-Atlas-Upload: 1
           200 {"id": …, "name": …, "size": …, …}      or 4xx, 5xx {"error": "one sentence"}
    GET    <url>?id=&name=&size=                       200 {"received": n}, or an error; asked before the
                                                       first byte and after a break
    DELETE <url>?id=                                   drops what has arrived, sent on cancel

Knows bytes and progress; what the file holds is the server's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import param
from panel.custom import JSComponent

from components.modules import html_module

STATES = ("idle", "uploading", "done", "failed", "cancelled")
_HERE = Path(__file__).parent


class FileDrop(JSComponent):
    """Drop zone and Browse button with true progress, speed, time left and Cancel.

    Watch `state`: with "done" the server's answer is in `response`, with "failed" one sentence is in `error`.
    """

    url = param.String(default="", doc="Where to send the file; relative to the page or absolute.")
    headers = param.Dict(default={}, doc="Further request headers, e.g. an XSRF token.")
    accept = param.List(default=[".h5ad"], item_type=str, doc="Endings of acceptable names; empty takes any.")
    max_size = param.Integer(default=0, bounds=(0, None), doc="Largest file in bytes; 0 for no limit.")
    label = param.String(default="Drop a file here")
    hint = param.String(default="")

    state: param.Selector[str] = param.Selector(default="idle", objects=list(STATES))
    file_name = param.String(default="")
    size = param.Integer(default=0, doc="Bytes of the chosen file.")
    fraction = param.Number(default=0.0, bounds=(0.0, 1.0), doc="Share sent, in steps of at least 0.01.")
    seconds = param.Number(default=0.0, doc="How long the last complete transfer took.")
    response = param.Dict(default={}, doc="The server's JSON answer to a complete transfer.")
    error = param.String(default="", doc="Why it failed, one sentence.")
    cancel = param.Event(doc="Trigger to stop a running transfer from Python.")

    _esm = html_module("file_drop.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "file_drop.css").read_text(encoding="utf-8")]

    def reset(self) -> None:
        """Back to an empty drop zone."""
        self.param.update(state="idle", file_name="", size=0, fraction=0.0, response={}, error="")
