"""A session as a tab has one, without a browser: a home folder of its own, and an event loop for its steps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import pytest

from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA, settings

if TYPE_CHECKING:
    from explorer.app.tab.session import Session

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"


def own_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`folder`, in which this process keeps what it stores for as long as the iterator lives."""
    from explorer.app.stored import library

    cached = (settings, library.queue, library.projects)
    monkeypatch.setenv("ATLAS_EXPLORER_HOME", str(folder / "home"))
    for function in cached:
        function.cache_clear()
    yield folder
    library.queue().close()
    library.projects().close()
    for function in cached:
        function.cache_clear()


def few_cells(folder: Path) -> Path:
    """`folder`, with 40 of the demo cells in cells.h5ad."""
    ad.read_h5ad(DEMO)[::20][:40].copy().write_h5ad(folder / "cells.h5ad")
    return folder


def run(steps: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end, as the server's event loop would; this thread's may be a browser's."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(steps())).result()


def work_off() -> None:
    """Do all waiting jobs, as the worker process does."""
    from explorer.app.stored import library
    from explorer.jobs import worker

    queue = library.queue()
    while job := queue.claim(os.getpid()):
        worker.do(job, queue, worker.run_job)


async def opened(path: Path = DEMO) -> Session:
    """A session with the sample atlas and a project on a file."""
    from explorer.app.tab.session import Session

    session = Session()
    session.choose_reference(SAMPLE_ATLAS)
    await session.settled()
    session.begin(path, path.stem)
    await session.settled()
    return session


async def mapped() -> Session:
    """A session whose project is mapped."""
    session = await opened()
    session.start()
    await asyncio.to_thread(work_off)
    session.poll()
    await session.settled()
    return session
