"""A really served app and a real browser for the journeys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import PATIENCE
from playwright.sync_api import Browser, ConsoleMessage, Page
from serving import Server, served, until

from explorer.app.stored.projects import Projects
from explorer.jobs.queue import JobState, Queue
from explorer.jobs.specs import MapSpec
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app, served as `panel serve explorer` does, with a home of its own."""
    with served(tmp_path_factory.mktemp("ui") / "home") as running:
        yield running


@pytest.fixture
def visit(chromium: Browser, server: Server) -> Iterator[Open]:
    """Open the app in a new tab; the test fails if any tab wrote an error or asked another host for anything."""
    tabs: list[Page] = []
    problems: list[str] = []

    def go(address: str = "", width: int = 1440, height: int = 900) -> Page:
        tab = chromium.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        tab.set_default_timeout(1_000 * PATIENCE)
        tab.on("console", lambda line: problems.append(line.text) if is_trouble(line) else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda asked: problems.append(asked.url) if is_outside(asked.url) else None)
        tabs.append(tab)
        tab.goto(address if address.startswith("http") else server.url + address)
        return tab

    yield go
    for tab in tabs:
        tab.close()
    assert not problems, problems


def is_trouble(line: ConsoleMessage) -> bool:
    """Whether a line of the console is an error; browsers call it one when an upload is refused, as it should be."""
    return line.type == "error" and "/upload?" not in line.location.get("url", "")


def is_outside(url: str) -> bool:
    """Whether a request would leave this machine."""
    return not url.startswith(("http://localhost:", "ws://localhost:", "data:", "blob:", "about:"))


@pytest.fixture(scope="session")
def demo() -> Path:
    """The stimulated blood cells that ship with the program."""
    return SAMPLE_DATA / "pbmc_ifnb_832.h5ad"


@pytest.fixture(scope="module")
def job(server: Server, demo: Path) -> str:
    """Id of a finished mapping of the demo cells."""
    queue = Queue(server.home / "jobs.sqlite")
    job = queue.submit(MapSpec(query=str(demo), reference=str(SAMPLE_ATLAS), name="PBMC, stimulated"))
    until(lambda: queue.get(job.id).state.is_over, "the mapping")
    assert queue.get(job.id).state is JobState.DONE
    return job.id


@pytest.fixture
def idle(server: Server, job: str) -> None:
    """The server's worker has worked, and waits for more."""
    queue = Queue(server.home / "jobs.sqlite")
    until(lambda: queue.get(job).state.is_over and not queue.jobs(JobState.QUEUED, JobState.RUNNING), "nothing to do")


@pytest.fixture
def mapped(server: Server, demo: Path, job: str) -> str:
    """Address of a fresh project that holds that mapping."""
    options = {"batch": "condition", "own_label": "cell_type", "methods": ["concord"]}
    project = Projects(server.home / "jobs.sqlite").create(
        title="PBMC, stimulated", reference=str(SAMPLE_ATLAS), query=str(demo), options=options, jobs=[job]
    )
    return f"?project={project.id}&step=explore"
