"""How fast a large file gets through the upload route, and how much memory the server takes for it.

    python -m tests.benchmarks.upload_speed [--gigabytes 1] [--repeats 3] [--folder DIR]

A real `panel serve explorer` receives a file of random bytes over loopback. Beside it, in the same folder and
run, what the disk itself allows: the same file copied and flushed. The aim is 100 MB/s with 100 MB of memory at
most. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.app.stored import uploads
from tests.benchmarks.tables import report
from tests.serving import Server, served

MB = 2**20


def make_file(path: Path, size: int) -> None:
    """A file of `size` bytes that starts like HDF5 and cannot be compressed."""
    block = os.urandom(16 * MB)
    with path.open("wb") as file:
        file.write(uploads.HDF5_MAGIC)
        left = size - len(uploads.HDF5_MAGIC)
        while left > 0:
            left -= file.write(block[:left])


def seconds_of(work: Callable[[], None]) -> float:
    """Wall-clock seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def copy(source: Path, target: Path) -> None:
    """Copy through memory in the route's block size, and wait until it is on disk."""
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(uploads.BLOCK_BYTES):
            write.write(block)
        write.flush()
        os.fsync(write.fileno())
    target.unlink()


def upload(server: Server, source: Path) -> None:
    """Send the file as a browser does: one PUT, read from disk as it goes."""
    connection = http.client.HTTPConnection("localhost", server.port, timeout=600, blocksize=MB)
    headers = {uploads.HEADER: "1", "Content-Length": str(source.stat().st_size)}
    with source.open("rb") as body:
        words = f"id={secrets.token_hex(16)}&name=cells.h5ad&offset=0"
        connection.request("PUT", f"/explorer/upload?{words}", body, headers)
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise SystemExit(answer.read().decode())
    connection.close()


def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True)
    return int(listed.stdout) / 1024


@contextmanager
def highest_memory(pid: int) -> Iterator[list[float]]:
    """Look at a process ten times a second; the list ends up with its highest resident memory, in MB."""
    seen, ended = [memory(pid)], threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            seen[0] = max(seen[0], memory(pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    yield seen
    ended.set()
    watcher.join()


def measure(folder: Path, size: int, repeats: int) -> list[dict[str, float]]:
    """A row a repeat."""
    source, rows = folder / "cells.h5ad", []
    make_file(source, size)
    with served(folder / "home") as server:
        for _ in range(repeats):
            copied = seconds_of(lambda: copy(source, folder / "copy.h5ad"))
            before = memory(server.process.pid)
            with highest_memory(server.process.pid) as highest:
                sent = seconds_of(lambda: upload(server, source))
            rows.append({
                "MB": size / MB, "copy s": copied, "upload s": sent, "MB/s": size / MB / sent,
                "times the copy": sent / copied, "memory MB": highest[0] - before,
            })  # fmt: skip
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure(Path(folder), int(options.gigabytes * 2**30), options.repeats)
    best = min(rows, key=lambda row: row["upload s"])
    report("upload_speed", rows, best=best)


if __name__ == "__main__":
    main()
