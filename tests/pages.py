"""Waiting for what a page does, while the page is let do it."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page

PATIENCE = 120.0  # seconds for whatever a page is to do: no claim of speed, a machine may be busy with other work


def until(met: Callable[[], object], page: Page | None = None, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; the tab's own events are handled meanwhile."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        if page is None:
            time.sleep(0.02)
        else:
            page.wait_for_timeout(20)
