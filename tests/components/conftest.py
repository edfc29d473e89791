"""A real browser for the parts: each test serves one part and drives it with mouse and keys."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import panel as pn
import pytest
from pages import PATIENCE, until
from playwright.sync_api import Browser, Page
from serving import free_port

Show = Callable[..., Page]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab of 900x700 pixels; the test fails if the page wrote an error or asked the internet for anything.

    A test that provokes such an error empties `page.problems`.
    """
    tab = chromium.new_page(viewport={"width": 900, "height": 700})
    tab.set_default_timeout(1_000 * PATIENCE)
    problems: list[str] = []
    tab.problems = problems
    tab.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: problems.append(request.url) if _is_outside(request.url) else None)
    yield tab
    tab.close()
    assert not problems, problems


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://localhost:", "ws://localhost:", "data:", "blob:", "about:"))


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """What stopped servers leave behind is said here, and not in a test that has nothing to do with it."""
    yield
    gc.collect()


@pytest.fixture
def show(page: Page) -> Iterator[Show]:
    """Serve a part of this process, or what a function makes for each visit, and open it."""
    servers: list[threading.Thread] = []

    def serve(part: pn.viewable.Viewable | Callable[[], pn.viewable.Viewable], **options: int) -> Page:
        port = free_port()
        servers.append(pn.serve(part, port=port, threaded=True, show=False, verbose=False, **options))
        until(lambda: _listens(port))
        page.goto(f"http://localhost:{port}")
        return page

    yield serve
    page.goto("about:blank")
    for server in servers:
        server.stop()
        server.join(PATIENCE)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as caller:
        return caller.connect_ex(("localhost", port)) == 0
