"""Commands that show a result to others: figure, report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer.commands.shared import (
    Bar,
    Commands,
    add_command,
    add_method,
    add_output,
    add_reference,
    opened_result,
    require_safe,
)

_PANEL = "what to draw, such as map, 'map:gene=CD14', composition:COLUMN; repeat"


class _Help(argparse.Action):
    """Says what panels can be, which takes modules that no other option of a command needs."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from explorer.asking.panel_words import panel_help

        print(panel_help())
        parser.exit()


def add(commands: Commands, _: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_figure(commands)
    _add_report(commands)


def _add_figure(commands: Commands) -> None:
    figure = add_command(commands, "figure", "maps and charts of a result for print, in the colours of the page")
    _add_shared(figure, "map if not given")
    figure.add_argument("--title", default="", metavar="TEXT", help="written above")
    figure.add_argument("--width", type=float, default=180.0, metavar="MM", help="of the page; 180 if not given")
    figure.add_argument("--height", type=float, metavar="MM", help="of the page; what fits if not given")
    figure.add_argument("--columns", type=int, metavar="N", help="panels side by side; up to three if not given")
    figure.add_argument("--dpi", type=int, default=600, metavar="N", help="of the cells; 600 if not given")
    figure.add_argument("--font-size", type=float, default=7.0, metavar="PT", help="of the letters; 7 if not given")
    figure.add_argument("--legend", choices=("shared", "each", "none"), default="shared", help="shared if not given")
    figure.add_argument("--no-letters", action="store_true", help="leave out a, b, c above the panels")
    add_output(figure, "FIGURE.pdf", "or .svg, .png")
    figure.set_defaults(run=_figure)


def _add_report(commands: Commands) -> None:
    report = add_command(commands, "report", "verdict, figure, labels and methods of a result as one HTML page")
    _add_shared(report, "labels and confidence if not given")
    add_method(report)
    report.add_argument("--sample", default="", metavar="COLUMN", help="obs column: cells of each label by its values")
    add_output(report, "REPORT.html", "one page that needs nothing else")
    report.set_defaults(run=_report)


def _add_shared(command: argparse.ArgumentParser, otherwise: str) -> None:
    command.add_argument("query", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    add_reference(command)
    command.add_argument("--panel", action="append", metavar="WHAT", help=f"{_PANEL}; {otherwise}")
    command.add_argument("--panels", action=_Help, nargs=0, help="say all that a panel can be, and end")
    command.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    command.add_argument(
        "--gene-sets", action="append", default=[], metavar="FILE.gmt",
        help="where map:set=NAME looks; or reactome, go_bp; repeat",
    )


def _figure(options: argparse.Namespace) -> None:
    from explorer.asking.opening import open_result
    from explorer.asking.picturing import form_of, write_figure
    from explorer.drawing.composing import Look
    from explorer.reference import open_reference

    require_safe(options.output, options)
    form_of(options.output)
    look = Look(
        width=options.width, height=options.height, columns=options.columns, dpi=options.dpi,
        font_size=options.font_size, title=options.title, letters=not options.no_letters, legend=options.legend,
    )  # fmt: skip
    query, result = open_result(options.query)
    reference = open_reference(options.reference)
    with Bar() as progress:
        caption = write_figure(
            query, reference, result, options.output, options.panel or ("map",), level=options.level,
            sets=options.gene_sets, look=look, progress=progress,
        )  # fmt: skip
    print(caption)


def _report(options: argparse.Namespace) -> None:
    from explorer.asking.reporting import PANELS, write_report
    from explorer.reference import open_reference

    require_safe(options.output, options)
    query, result = opened_result(options.query, options.method)
    write_report(
        query, open_reference(options.reference), result, options.output, options.panel or PANELS,
        level=options.level, sets=options.gene_sets, samples=options.sample,
    )  # fmt: skip
    print(f"{result.n_cells:,} cells of {result.provenance.query}: written to {options.output}")
