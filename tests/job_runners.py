"""What the workers of the queue's tests do instead of mapping; `spec.method` says which.

Worker processes import this module by name, so it stands on its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

from explorer.errors import GenesProblem
from explorer.jobs.queue import Job
from explorer.progress import Progress


def act(job: Job, folder: Path, progress: Progress) -> None:
    """Behave as `job.spec.method` says, having written something that must not stay when the job fails."""
    (folder / "answer.txt").write_text("42", encoding="utf-8")
    match job.spec.method:
        case "answers":
            progress.part("Thinking", 0.0, 0.5)(1.0)
            progress.part("Writing", 0.5, 1.0)(1.0)
        case "tells":
            threads = __import__("torch").get_num_threads()
            told = {"threads": threads, "omp": os.environ["OMP_WAIT_POLICY"], "panel": "panel" in sys.modules}
            (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
        case "waits":
            while True:
                progress.part("Waiting for a word", 0.0, 1.0)(0.5)
                time.sleep(0.01)
        case "is deaf":
            progress.part("Hearing nothing", 0.0, 1.0)(0.5)
            while True:
                time.sleep(1.0)
        case "refuses":
            raise GenesProblem("412 of 2,000 reference genes found (21 %); at least 30 % are needed.")
        case "has a bug":
            raise ZeroDivisionError("a divisor nobody thought of")
        case "crashes":
            ctypes.string_at(0)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exits":
            os._exit(3)
        case "has no memory":
            raise MemoryError
        case "fills the disk":
            Path("/dev/full").write_bytes(b"x")
