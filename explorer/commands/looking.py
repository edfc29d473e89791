"""Commands that look closer at a result: signatures, compare, prototypes, cell."""

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
    require_other,
    require_safe,
)


def add(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_signatures(commands, shared)
    _add_compare(commands)
    _add_prototypes(commands, shared)
    _add_cell(commands, shared)


def _add_signatures(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    signatures = add_command(
        commands, "signatures", "genes that speak for labels, or for some cells, beside their expression", shared
    )
    signatures.add_argument("query", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    add_reference(signatures)
    add_method(signatures)
    signatures.add_argument("--label", action="append", metavar="LABEL", help="repeat; all labels if not given")
    signatures.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    signatures.add_argument("--measure", metavar="NAME", help="one of the method's for genes; its first if not given")
    chosen = signatures.add_mutually_exclusive_group()
    chosen.add_argument("--cells", metavar="COLUMN=VALUE", help="of these cells, toward one label")
    chosen.add_argument("--cell", action="append", metavar="NAME", help="of this cell, toward one label; repeat")
    signatures.add_argument(
        "--against", choices=("rest", "reference"), default="rest",
        help="what chosen cells are set beside: other cells, or the reference's of the label",
    )  # fmt: skip
    signatures.add_argument("--dots", type=Path, metavar="DOTS.csv", help="top genes of each label, in all of them")
    add_output(signatures, "SIGNATURES.csv", "a row a gene of each label")
    signatures.set_defaults(run=_signatures)


def _signatures(options: argparse.Namespace) -> None:
    from explorer.asking.chosen import describe_signatures, of_chosen
    from explorer.asking.reasons import signatures_of_labels
    from explorer.errors import OptionsProblem
    from explorer.insight.signatures import joined
    from explorer.reference import open_reference
    from explorer.writing.export import require_writable, write_table

    of_cells = options.cells is not None or options.cell is not None
    if options.dots is not None and of_cells:
        raise OptionsProblem("--dots compares labels: leave --cells and --cell out, or --dots.")
    if options.against != "rest" and not of_cells:
        raise OptionsProblem("--against goes with --cells or --cell: labels are set beside the other labels.")
    for path in filter(None, (options.output, options.dots)):
        require_safe(path, options)
        require_writable(path)
    query, result = opened_result(options.query, options.method)
    reference = open_reference(options.reference)
    asked = {"level": options.level, "measure": options.measure, "device": options.device}
    with Bar() as progress:
        if of_cells:
            chosen = options.cells if options.cells is not None else tuple(options.cell)
            found = [of_chosen(query, reference, result, chosen, options.label, against=options.against,
                               progress=progress, **asked)]  # fmt: skip
            left_out: dict[str, int] = {}
        else:
            all_of_them = signatures_of_labels(
                query, reference, result, labels=options.label, progress=progress, **asked
            )
            found, left_out = list(all_of_them.of_labels), all_of_them.left_out
            if options.dots is not None:
                write_table(all_of_them.dots(), options.dots)
    write_table(joined(found), options.output)
    print(describe_signatures(found, left_out))


def _add_compare(commands: Commands) -> None:
    compare = add_command(commands, "compare", "labels that cells already had, beside those they were given")
    compare.add_argument("result", type=Path, metavar="RESULT.h5ad", help="as map writes it, by one method or several")
    compare.add_argument("--own", required=True, metavar="COLUMN", help="obs column of your own labels")
    compare.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    compare.add_argument(
        "--one-to-one", action="store_true", help="let no two own labels mean the same; else each what most cells got"
    )
    add_output(compare, "TABLE.csv", "what each own label means, and where its cells went")
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from explorer.insight.own_labels import BY_SHARE, ONE_TO_ONE, compare_column, in_words
    from explorer.writing.agreed_files import labels_in_file
    from explorer.writing.export import require_writable, write_table

    require_other(options.output, options.result)
    require_writable(options.output)
    obs, labels = labels_in_file(options.result)
    found = compare_column(obs, labels, options.own, options.level, ONE_TO_ONE if options.one_to_one else BY_SHARE)
    write_table(found.table(), options.output)
    print(in_words(found))


def _add_prototypes(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    prototypes = add_command(
        commands, "prototypes", "labels as points, the cells that each claims, and how far these lie", shared
    )
    prototypes.add_argument("query", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    add_reference(prototypes)
    add_method(prototypes)
    prototypes.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    prototypes.add_argument("--cells", type=Path, metavar="CELLS.csv", help="each cell's nearest, and how far it is")
    add_output(prototypes, "PROTOTYPES.csv", "a row a label")
    prototypes.set_defaults(run=_prototypes)


def _prototypes(options: argparse.Namespace) -> None:
    from explorer.asking.prototypes import in_words, label_points
    from explorer.reference import open_reference
    from explorer.writing.export import require_writable, write_table

    for path in filter(None, (options.output, options.cells)):
        require_safe(path, options)
        require_writable(path)
    _, result = opened_result(options.query, options.method)
    found = label_points(open_reference(options.reference), result, result.method, options.level, options.device)
    write_table(found.table(), options.output)
    if options.cells is not None:
        write_table(found.cells(result.obs.index), options.cells)
    print(in_words(found))


def _add_cell(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    cell = add_command(commands, "cell", "all there is to say of one cell", shared)
    cell.add_argument("result", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    cell.add_argument("name", metavar="CELL", help="its name in obs")
    add_reference(cell)
    add_method(cell)
    cell.set_defaults(run=_cell)


def _cell(options: argparse.Namespace) -> None:
    from explorer.asking.tapped import in_words, row_of, tapped_cell
    from explorer.reference import open_reference

    query, result = opened_result(options.result, options.method)
    reference = open_reference(options.reference)
    print(in_words(tapped_cell(query, reference, result, row_of(result, options.name), device=options.device)))
