"""The command that opens the app in a browser: serve."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from explorer.commands.shared import Commands, add_command
from explorer.commands.window import Window
from explorer.errors import OptionsProblem
from explorer.settings import settings


def add(commands: Commands, _: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    serve = add_command(commands, "serve", "open the app in a browser")
    serve.add_argument("--reference", type=Path, action="append", default=[], metavar="PATH", help="repeat for several")
    serve.add_argument("--port", type=int, default=5006, metavar="N", help="5006 if not given")
    shown = serve.add_mutually_exclusive_group()
    shown.add_argument("--open", action="store_true", help="open a browser tab")
    shown.add_argument("--window", action="store_true", help="open a window of its own; closing it ends the server")
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> None:
    for folder in options.reference:
        if not (folder / "card.json").is_file():
            raise OptionsProblem(f"{folder} is no reference: it holds no card.json.")
    if options.reference:  # the app and its workers read this when they start
        os.environ["ATLAS_EXPLORER_REFERENCES"] = os.pathsep.join(str(path.resolve()) for path in options.reference)
    _require_port(options.port)
    app = Path(__file__).resolve().parents[1]
    address = f"http://localhost:{options.port}/{app.name}"
    window = Window(address, options.port, settings().home / f"window-{options.port}")
    if options.window:
        window.open_soon()
    from panel.command import main as panel

    print(f"Atlas Explorer: open {address} in a browser. Ctrl-C stops it.", flush=True)
    words = ["panel", "serve", str(app), "--port", str(options.port)]
    sys.argv = [*words, "--show"] if options.open else words  # all that Panel's entry point reads
    try:
        panel()
    finally:
        window.close()


def _require_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise OptionsProblem(
                f"Port {port} cannot be used ({error.strerror}). Is Atlas Explorer running already? "
                f"Open http://localhost:{port}/explorer, or choose another: --port {port + 1}"
            ) from error
