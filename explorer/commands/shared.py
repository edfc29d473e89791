"""What several commands share: the option for the device, a progress bar, results, and files never written over."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from explorer.errors import OptionsProblem
from explorer.progress import Progress, Report

if TYPE_CHECKING:
    from explorer.flow import MappingResult, Query

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # what `add_subparsers` returns


def add_command(
    commands: Commands, name: str, told: str, parents: Sequence[argparse.ArgumentParser] = ()
) -> argparse.ArgumentParser:
    """A command, told of in the same words by its own help as among the others."""
    return commands.add_parser(name, help=told, description=f"{told[:1].upper()}{told[1:]}.", parents=parents)


def add_reference(command: argparse.ArgumentParser) -> None:
    """`--reference`, for commands that cannot do without one."""
    command.add_argument("--reference", type=Path, required=True, metavar="REF.atlas", help="folder of the reference")


def add_output(command: argparse.ArgumentParser, file: str, told: str) -> None:
    """`--output`, the file that a command is for."""
    command.add_argument("--output", type=Path, required=True, metavar=file, help=told)


def device_option() -> argparse.ArgumentParser:
    """`--device`, for commands that compute with a model."""
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")
    return device


def require_safe(path: Path, options: argparse.Namespace) -> None:
    """Refuse to write over the query, into the reference, or where a folder is."""
    if path.resolve() == options.query.resolve():
        raise OptionsProblem(f"{path} is the query itself, which is never changed. Name another file to write to.")
    if options.reference.resolve() in path.resolve().parents:
        raise OptionsProblem(f"{path} lies inside the reference {options.reference}. Name a file elsewhere.")
    if path.is_dir():
        raise OptionsProblem(f"{path} is a folder. Name a file in it, such as {path / 'result.h5ad'}.")


def require_other(path: Path, source: Path) -> None:
    """Refuse to write over `source`, or into it where it is a folder."""
    if source.resolve() in (path.resolve(), *path.resolve().parents):
        raise OptionsProblem(f"{path} is or lies in {source}, which is never changed. Name another file to write to.")


def add_method(command: argparse.ArgumentParser) -> None:
    """`--method`, for commands that speak of one method of a result."""
    command.add_argument("--method", metavar="NAME", help="which one to speak of, where several methods mapped")


def opened_result(path: Path, method: str | None = None) -> tuple[Query, MappingResult]:
    """The cells of a result, read as they were when they were mapped, and what one method said of them."""
    from explorer.asking.opening import open_result, result_of_one

    query, result = open_result(path)
    return query, result_of_one(result, method)


class Bar:
    """A progress bar on standard error: stage, percent, time left."""

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        self._stage = ""
        self._bar = tqdm(total=1000, bar_format="{desc:<42} {percentage:3.0f}%|{bar:30}| {postfix}", file=sys.stderr)
        return Progress.to(self._show)

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _show(self, report: Report) -> None:
        left = "" if report.left is None or report.fraction >= 1 else f"{report.left:.0f} s left"
        self._bar.set_postfix_str(left, refresh=False)
        self._bar.set_description_str(report.stage, refresh=False)
        self._bar.update(int(report.fraction * 1000) - self._bar.n)
        if report.stage != self._stage:  # a stage that begins is shown at once, however soon after the last
            self._stage = report.stage
            self._bar.refresh()
