"""The command line: build, map, explain, evaluate, inspect, serve. Installed as `atlas-explorer`.

What a command takes and does stands in `explorer/commands`, one file a family; heavy modules are imported when it runs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

# before torch is imported: two threads that spin while they wait make a busy machine several times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from explorer.commands import building, evaluating, explaining, inspecting, looking, mapping, serving, showing
from explorer.commands.shared import device_option
from explorer.errors import AtlasError

PROBLEM, INTERRUPTED = 2, 130
FAMILIES = (building, mapping, explaining, looking, showing, evaluating, inspecting, serving)  # as help lists them


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 2 with one sentence on standard error when it could not."""
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` does; Python would complain once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)  # a cluster ends jobs so; what is half written goes as with Ctrl-C
    try:
        options.run(options)
    except AtlasError as problem:
        print(f"\natlas-explorer: {problem}", file=sys.stderr)
        return PROBLEM
    except KeyboardInterrupt:
        print("\natlas-explorer: stopped; nothing half-written was left behind.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="atlas-explorer", description="Map single-cell data onto a reference atlas.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = (device_option(),)
    for family in FAMILIES:
        family.add(commands, shared)
    return parser


if __name__ == "__main__":
    sys.exit(main())
