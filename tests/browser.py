"""The browser that the tests drive: found on this machine, or installed with what the machine offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Path of a Chromium or Chrome, this machine's own or Playwright's; `None` without one."""
    installed = next((path for name in NAMES if (path := shutil.which(name))), None)
    return installed or _of_playwright()


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return str(path) if path.exists() else None


def ensure() -> None:
    """Install a browser where there is none: from Debian's packages as root, else Playwright's own build.

    Raises
    ------
    SystemExit
        With what to do, where neither works.
    """
    if find() is not None:
        return
    print("No Chromium on this machine; installing one for the browser tests.", flush=True)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    attempts = [[[sys.executable, "-m", "playwright", "install", "chromium"]]]
    if root and shutil.which("apt-get"):
        attempts.insert(0, [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]])
    for commands in attempts:
        if all(subprocess.run(command, check=False).returncode == 0 for command in commands) and find():
            return
    sys.exit("No browser could be installed. Install Chromium (Debian: sudo apt install chromium) and run this again.")
