"""The command that says what a file or a reference holds: inspect."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer.commands.shared import Commands, add_command


def add(commands: Commands, _: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    inspect = add_command(commands, "inspect", "what a file or a reference holds")
    inspect.add_argument("path", type=Path, metavar="FILE_OR_ATLAS", help="an .h5ad file, or a reference's folder")
    inspect.add_argument("--reference", type=Path, metavar="REF.atlas", help="of which the genes are looked for")
    inspect.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> None:
    from explorer.reading.query import inspect_file, open_query
    from explorer.reference import open_reference
    from explorer.report import describe_file, describe_fit, describe_reference
    from explorer.settings import settings

    if options.path.is_dir():
        print(describe_reference(open_reference(options.path)))
        return
    print(describe_file(inspect_file(options.path)))
    for folder in (options.reference,) if options.reference else settings().references:
        print(describe_fit(open_query(options.path), open_reference(folder)))
