"""Starting and ending the server: one worker while it runs, none afterwards, whoever ends it and how."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from serving import OURS, PANEL, WORKER, children, is_alive, served, until

from explorer.jobs.queue import JobState, Queue
from explorer.jobs.specs import MapSpec
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA

HERE = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [PANEL, OURS], ids=["panel serve", "python -m explorer serve"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_no_worker_outlives_its_server(tmp_path: Path, command: tuple[str, ...], how: signal.Signals) -> None:
    with served(tmp_path / "home", command=command) as server:
        until(lambda: children(server.process.pid, WORKER), "the worker runs")
        (worker,) = children(server.process.pid, WORKER)
        server.stop(how)
        until(lambda: not is_alive(worker), "the worker ends")


def test_two_servers_on_one_home_share_one_worker(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home) as first:
        until(lambda: children(first.process.pid, WORKER), "the first server's worker runs")
        with served(home) as second:
            queue = Queue(home / "jobs.sqlite")
            job = queue.submit(MapSpec(str(SAMPLE_DATA / "pbmc_ifnb_832.h5ad"), str(SAMPLE_ATLAS)))
            until(lambda: queue.get(job.id).state is JobState.DONE, "a job is done")
            assert [queue.get(job.id).worker] == children(first.process.pid, WORKER)
            assert children(second.process.pid, WORKER) == []
            first.stop()
            until(lambda: children(second.process.pid, WORKER), "the second server takes over")
            queue.close()
