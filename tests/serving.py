"""A really served app in a process of its own, and waiting for what other processes do."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PANEL = ("-m", "panel", "serve", str(ROOT / "explorer"))
OURS = ("-m", "explorer", "serve")
WORKER = "explorer.jobs.worker"  # in the command line of a worker process
BELOW_EPHEMERAL = range(20_000, 32_000)
PATIENCE = 240.0  # seconds for whatever another process is to do: no claim of speed


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that another process does; an assertion fails if it does not."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped by its parent does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")


def children(pid: int, saying: str = "") -> list[int]:
    """Processes that a process has started, that still run, and whose command line has some words."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True)
    lines = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return [int(line[0]) for line in lines if int(line[1]) == pid and saying in line[-1] and is_alive(int(line[0]))]


def free_port() -> int:
    """A TCP port that nobody listens on, and which no connection is given as its own end meanwhile."""
    while True:
        port = secrets.choice(BELOW_EPHEMERAL)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass(frozen=True)
class Server:
    """A served app.

    Attributes
    ----------
    process
        The server; its worker is a child of it.
    home
        Its home folder.
    log
        Everything it printed.
    """

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    log: Path

    @property
    def url(self) -> str:
        """Address of the app."""
        return f"http://localhost:{self.port}/explorer"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what waits keep waiting: the worker, which must have nothing to do, stands still meanwhile."""
        (worker,) = children(self.process.pid, WORKER)
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; returns the exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@contextmanager
def served(
    home: Path, *words: str, command: tuple[str, ...] = PANEL, env: dict[str, str] | None = None
) -> Iterator[Server]:
    """Serve the app until the block ends.

    Parameters
    ----------
    home
        Where it keeps uploads, jobs and results.
    words
        Further words of the command line.
    command
        `PANEL` or `OURS`.
    env
        Further environment variables.
    """
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}-{port}.log"
    environment = {
        **os.environ,
        "ATLAS_EXPLORER_HOME": str(home),
        "ATLAS_EXPLORER_THREADS": "1",
        **(env or {}),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port), *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        # The port, and not a page: every request for a page runs the app.
        until(lambda: process.poll() is not None or _listens(port), "the server listens")
        assert process.poll() is None, log.read_text(errors="replace")
        yield Server(process, port, home, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
