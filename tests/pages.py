"""Waiting for what a page does, while the page is let do it."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page

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


def at_rest(part: Locator) -> dict[str, float]:
    """Where a part lies on the page, once it is seen and has come to lie still."""
    seen: list[dict[str, float] | None] = [None]

    def is_still() -> bool:
        seen.append(part.bounding_box())
        return seen[-1] is not None and seen[-1] == seen[-2]

    until(is_still, part.page)
    return {name: float(value) for name, value in (seen[-1] or {}).items()}


def hears(page: Page, key: str) -> None:
    """Wait until the page hears a key: what hears it comes with a script, and shows nothing."""
    page.locator(f"[aria-keyshortcuts~='{key}']").first.wait_for(state="attached")
