"""A desktop window of its own for the served app: the app mode of a browser that is installed already.

Chromium, Chrome, Edge and Brave open one page without tabs and address bar when started with `--app`. Firefox and
Safari have no such mode; then the app opens in a tab, and that is said.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from explorer.errors import OptionsProblem

BROWSER = "ATLAS_EXPLORER_BROWSER"
_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge",
             "microsoft-edge-stable", "msedge", "brave-browser", "brave")  # fmt: skip
_MAC = ("Google Chrome", "Chromium", "Microsoft Edge", "Brave Browser")
_WINDOWS = ("Google/Chrome/Application/chrome.exe", "Chromium/Application/chrome.exe",
            "Microsoft/Edge/Application/msedge.exe", "BraveSoftware/Brave-Browser/Application/brave.exe")  # fmt: skip
_WINDOWS_ROOTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
SIZE = "1440,900"
_LISTENS_WITHIN, _ENDS_WITHIN, _BEAT = 300.0, 10.0, 0.2  # seconds


def find_browser(platform: str = sys.platform, environment: Mapping[str, str] = os.environ) -> Path | None:
    """A browser with an app mode: the one that ATLAS_EXPLORER_BROWSER names, or else the first that is installed.

    Raises
    ------
    OptionsProblem
        If the one named is not there.
    """
    if named := environment.get(BROWSER, ""):
        found = shutil.which(named)
        if found is None:
            raise OptionsProblem(
                f"{BROWSER} names {named}, which is no program here. Give the full path of Chromium, Chrome, Edge or "
                "Brave, or leave it unset."
            )
        return Path(found)
    on_path = (Path(found) for name in _COMMANDS if (found := shutil.which(name, path=environment.get("PATH"))))
    elsewhere = (place for place in _usual_places(platform, environment) if place.is_file())
    return next(chain(on_path, elsewhere), None)


def _usual_places(platform: str, environment: Mapping[str, str]) -> list[Path]:
    if platform == "darwin":
        roots = [Path("/Applications"), Path(environment.get("HOME", "/")) / "Applications"]
        return [root / f"{name}.app/Contents/MacOS/{name}" for name in _MAC for root in roots]
    if platform == "win32":
        roots = [Path(root) for name in _WINDOWS_ROOTS if (root := environment.get(name))]
        return [root / place for place in _WINDOWS for root in roots]
    return []


def app_command(browser: Path, address: str, profile: Path) -> list[str]:
    """What opens a window on an address.

    A profile of its own keeps the window apart from the person's other windows: it has none of her extensions, and
    the command lasts as long as the window does.
    """
    return [str(browser), f"--app={address}", f"--user-data-dir={profile}", f"--window-size={SIZE}",
            "--no-first-run", "--no-default-browser-check", "--disable-sync"]  # fmt: skip


class Window:
    """The window of one server: opened once the server listens; when it is closed, the server ends.

    Parameters
    ----------
    address
        What it shows.
    port
        TCP port of the server.
    profile
        Folder of the browser's profile; made where there is none. A window on the profile of another one that is
        open would be that one's, so each server needs its own.
    """

    def __init__(self, address: str, port: int, profile: Path) -> None:
        self._address, self._port, self._profile = address, port, profile
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = threading.Event()

    def open_soon(self) -> None:
        """Open it in the background as soon as the server answers.

        Raises
        ------
        OptionsProblem
            If the browser that was asked for is not there.
        """
        browser = find_browser()
        threading.Thread(target=self._show, args=(browser,), name="window", daemon=True).start()

    def close(self) -> None:
        """Close the window as a click on its cross would; it is given some seconds to write its profile."""
        self._is_over.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()

    def _show(self, browser: Path | None) -> None:
        if not self._listens():
            return
        if browser is None:
            print("No Chromium, Chrome, Edge or Brave was found, and other browsers have no window without tabs: "
                  "opening a tab.", flush=True)  # fmt: skip
            webbrowser.open(self._address)
            return
        self._profile.mkdir(parents=True, exist_ok=True)
        command = app_command(browser, self._address, self._profile)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        code = self._process.wait()
        if self._is_over.is_set():
            return
        if code:
            print(f"{browser} opened no window (exit code {code}); open {self._address} in a browser.", flush=True)
        else:
            print("The window was closed: the server ends. Jobs that wait go on with the next start.", flush=True)
            _end_server()

    def _listens(self) -> bool:
        give_up = time.monotonic() + _LISTENS_WITHIN
        while not self._is_over.wait(_BEAT) and time.monotonic() < give_up:
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", self._port)) == 0:
                    return True
        return False


def _end_server() -> None:
    """Ask this process to end as Ctrl-C would."""
    if os.name == "nt":  # where os.kill would end it at once
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
