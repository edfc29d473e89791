"""Memory of closed tabs goes back to the machine: glibc keeps what Python frees unless it is asked."""

from __future__ import annotations

import ctypes
import sys
import threading

_SECONDS = 3.0  # after a tab's end: Bokeh takes its models apart only then


def give_back_soon() -> None:
    """Ask the C library, a little later, to give free pages back; nothing happens where it knows no such call."""
    if not sys.platform.startswith("linux"):
        return
    later = threading.Timer(_SECONDS, _give_back)
    later.daemon = True
    later.start()


def _give_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
