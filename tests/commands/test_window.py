"""The app in a window of its own: which browser opens it, and that server and window end together."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from browser import FLAGS, find
from serving import OURS, PATIENCE, children, free_port, served, until

from explorer.commands.window import BROWSER, app_command, find_browser
from explorer.errors import OptionsProblem


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """A file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_browser_on_the_path_is_found_and_the_one_named_comes_first(tmp_path: Path) -> None:
    edge, chrome = program(tmp_path / "microsoft-edge"), program(tmp_path / "google-chrome")
    environment = {"PATH": str(tmp_path)}
    assert find_browser("linux", environment) == chrome
    chrome.unlink()
    assert find_browser("linux", environment) == edge
    named = program(tmp_path / "elsewhere" / "mine")
    assert find_browser("linux", {**environment, BROWSER: str(named)}) == named


@pytest.mark.parametrize(
    ("platform", "place", "root"),
    [
        ("darwin", "Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "HOME"),
        ("win32", "Microsoft/Edge/Application/msedge.exe", "PROGRAMFILES(X86)"),
    ],
    ids=["macOS", "Windows"],
)
def test_a_browser_is_found_where_its_installer_puts_it(tmp_path: Path, platform: str, place: str, root: str) -> None:
    installed = program(tmp_path / place)
    assert find_browser(platform, {"PATH": "", root: str(tmp_path)}) == installed


def test_firefox_alone_is_no_browser_for_a_window(tmp_path: Path) -> None:
    program(tmp_path / "firefox")
    assert find_browser("linux", {"PATH": str(tmp_path)}) is None


def test_a_browser_that_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionsProblem, match="which is no program here"):
        find_browser("linux", {"PATH": "", BROWSER: str(tmp_path / "none")})


def test_the_window_has_one_page_and_a_profile_of_its_own(tmp_path: Path) -> None:
    words = app_command(Path("/usr/bin/chromium"), "http://localhost:5006/explorer", tmp_path / "window")
    assert words[1:3] == ["--app=http://localhost:5006/explorer", f"--user-data-dir={tmp_path / 'window'}"]


@pytest.mark.ui
@pytest.mark.skipif(sys.platform != "linux", reason="finds the browser among processes as Linux lists them")
class TestRealWindow:
    """`serve --window` with the browser of this machine, which has no screen."""

    @pytest.fixture
    def port(self) -> int:
        """Where the browser can be asked which pages it shows."""
        return free_port()

    @pytest.fixture
    def env(self, tmp_path: Path, port: int) -> dict[str, str]:
        browser = find()
        if browser is None:
            pytest.skip("no Chromium or Chrome on this machine")
        words = " ".join((*FLAGS, "--headless=new", f"--remote-debugging-port={port}"))
        return {BROWSER: str(program(tmp_path / "browser.sh", f'#!/bin/sh\nexec {browser} {words} "$@"\n'))}

    def pages(self, port: int) -> list[dict[str, str]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                return [page for page in json.load(answer) if page["type"] == "page"]
        except OSError:
            return []

    def test_closing_the_window_ends_the_server(self, tmp_path: Path, port: int, env: dict[str, str]) -> None:
        with served(tmp_path / "home", "--window", command=OURS, env=env) as server:
            until(lambda: [page for page in self.pages(port) if page["url"].startswith(server.url)], "the window")
            assert (server.home / f"window-{server.port}").is_dir()
            (window,) = children(server.process.pid, "--app=")
            os.kill(window, signal.SIGTERM)
            assert server.process.wait(PATIENCE) == 0
            assert "The window was closed: the server ends." in server.log.read_text()

    def test_ending_the_server_closes_the_window(self, tmp_path: Path, port: int, env: dict[str, str]) -> None:
        with served(tmp_path / "home", "--window", command=OURS, env=env) as server:
            until(lambda: self.pages(port), "the window")
            server.stop()
            until(lambda: not self.pages(port), "no window")
