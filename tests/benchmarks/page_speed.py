"""What open pages take and closed ones leave: seconds until a page is there, and the server's memory.

    python -m tests.benchmarks.page_speed [--sessions 12]

A real `panel serve explorer` and a headless Chromium. A mapping of the sample cells is opened in one tab after the
other, each closed once its map is there; then in as many tabs at once, twice. Once Bokeh has let go of closed ones the
server may have grown by 50 MB at most: after tabs in turn, and from the first time of many at once to the second, since
the process keeps what it once needed at a time. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from explorer.app.stored.projects import Projects
from explorer.jobs.queue import JobState, Queue
from explorer.jobs.specs import MapSpec
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA
from tests.benchmarks.tables import report
from tests.benchmarks.upload_speed import memory
from tests.browser import FLAGS, find
from tests.serving import Server, served, until

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"
LIMIT = 50            # MB
FORGOTTEN = 8         # seconds after which Bokeh, told to look every second, has let go of closed tabs
SOON = ("--unused-session-lifetime", "1000", "--check-unused-sessions", "1000")
WARM = 3              # sessions that fill what all of them share


def project(server: Server) -> str:
    """Address of a finished mapping of the sample cells."""
    queue = Queue(server.home / "jobs.sqlite")
    job = queue.submit(MapSpec(query=str(DEMO), reference=str(SAMPLE_ATLAS), name="PBMC"))
    until(lambda: queue.get(job.id).state.is_over, "the mapping")
    if queue.get(job.id).state is not JobState.DONE:
        raise SystemExit(queue.get(job.id).error)
    options = {"methods": ["concord"]}
    made = Projects(server.home / "jobs.sqlite").create(
        title="PBMC", reference=str(SAMPLE_ATLAS), query=str(DEMO), options=options, jobs=[job.id]
    )
    return f"{server.url}?project={made.id}&step=explore"


def opened(browser: Browser, address: str, with_map: bool = True) -> tuple[Page, float, float]:
    """A tab that is there; seconds until its steps were seen, and until its map was."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    began = time.perf_counter()
    page.goto(address, timeout=120_000)
    page.locator("nav").first.wait_for(timeout=120_000)
    shell = time.perf_counter() - began
    if with_map:
        page.locator("canvas >> visible=true").first.wait_for(timeout=120_000)
    return page, shell, time.perf_counter() - began


def in_turn(browser: Browser, address: str, times: int) -> None:
    """Open and close the page so many times, and wait until the server has let go of it."""
    for _ in range(times):
        opened(browser, address)[0].close()
    time.sleep(FORGOTTEN)


def measure(server: Server, times: int) -> list[dict[str, object]]:
    """All figures of one served app."""

    def taken() -> float:
        return memory(server.process.pid)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(FLAGS))
        first = opened(browser, server.url, with_map=False)[1]
        address = project(server)
        in_turn(browser, address, WARM)
        steps, tabs = [taken()], []
        in_turn(browser, address, times)
        steps.append(taken())
        for _ in range(2):
            tabs = [opened(browser, address) for _ in range(times)]
            steps.append(taken())
            for page, _, _ in tabs:
                page.close()
            time.sleep(FORGOTTEN)
            steps.append(taken())
        browser.close()
    before, after, many, kept, _, kept_again = steps
    return [
        {"what": "page shell, first visitor, s", "found": first, "limit": 3.0},
        {"what": "page shell of a mapping, s", "found": statistics.median(tab[1] for tab in tabs), "limit": 3.0},
        {"what": "its map, s", "found": statistics.median(tab[2] for tab in tabs)},
        {"what": f"{times} sessions closed in turn, MB", "found": after - before, "limit": LIMIT},
        {"what": f"{times} open at once, MB", "found": many - after},
        {"what": "kept of them when closed, MB", "found": kept - after},
        {"what": f"{times} more at once and closed, MB", "found": kept_again - kept, "limit": LIMIT},
    ]


def main() -> None:
    """Serve, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "home", *SOON) as server:
        rows = measure(server, options.sessions)
    report("page_speed", rows, sessions=options.sessions)


if __name__ == "__main__":
    main()
