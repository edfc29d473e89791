"""Commands that show a result to others: figure, report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer.commands.shared import Commands, opened_result, require_safe

_COLOR = "label, confidence, novelty, gene:NAME or column:NAME; repeat for a map each"


def add(commands: Commands, _: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_figure(commands)
    _add_report(commands)


def _add_figure(commands: Commands) -> None:
    figure = commands.add_parser("figure", help="maps of a result for print, in the colours of the page")
    _add_shared(figure)
    figure.add_argument("--color", action="append", metavar="WHAT", help=f"{_COLOR}; label if not given")
    figure.add_argument("--split", default="", metavar="COLUMN", help="one map for each value of an obs column")
    figure.add_argument("--title", default="", metavar="TEXT", help="written above")
    figure.add_argument("--width", type=float, default=180.0, metavar="MM", help="of the page; 180 if not given")
    figure.add_argument("--height", type=float, metavar="MM", help="of the page; what fits if not given")
    figure.add_argument("--dpi", type=int, default=600, metavar="N", help="of the cells; 600 if not given")
    figure.add_argument("--output", type=Path, required=True, metavar="FIGURE.pdf", help="or .svg, .png")
    figure.set_defaults(run=_figure)


def _add_report(commands: Commands) -> None:
    report = commands.add_parser("report", help="verdict, maps, labels and methods of a result as one HTML page")
    _add_shared(report)
    report.add_argument("--color", action="append", metavar="WHAT", help=f"{_COLOR}; label and confidence if not given")
    report.add_argument("--sample", default="", metavar="COLUMN", help="obs column: cells of each label by its values")
    report.add_argument("--output", type=Path, required=True, metavar="REPORT.html")
    report.set_defaults(run=_report)


def _add_shared(command: argparse.ArgumentParser) -> None:
    command.add_argument("query", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    command.add_argument("--reference", type=Path, required=True, metavar="OUT.atlas")
    command.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")


def _figure(options: argparse.Namespace) -> None:
    from explorer.asking.picturing import LABEL, form_of, write_figure
    from explorer.drawing.composing import Look
    from explorer.reference import open_reference

    require_safe(options.output, options)
    form_of(options.output)
    look = Look(width=options.width, height=options.height, dpi=options.dpi, title=options.title)
    query, result = opened_result(options.query)
    caption = write_figure(
        query, open_reference(options.reference), result, options.output, options.color or (LABEL,),
        level=options.level, split=options.split, look=look,
    )  # fmt: skip
    print(caption)


def _report(options: argparse.Namespace) -> None:
    from explorer.asking.picturing import CONFIDENCE, LABEL
    from explorer.asking.reporting import write_report
    from explorer.reference import open_reference

    require_safe(options.output, options)
    query, result = opened_result(options.query)
    write_report(
        query, open_reference(options.reference), result, options.output, options.color or (LABEL, CONFIDENCE),
        level=options.level, samples=options.sample,
    )  # fmt: skip
    print(f"{result.n_cells:,} cells of {result.provenance.query}: written to {options.output}")
