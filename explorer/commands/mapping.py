"""The command that labels the cells of a query: map, by one method or by several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explorer.commands.shared import Bar, Commands, require_safe
from explorer.errors import OptionsProblem


def add(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    mapping = commands.add_parser("map", parents=shared, help="label the cells of a query")
    mapping.add_argument("query", type=Path, metavar="QUERY.h5ad")
    mapping.add_argument("--reference", type=Path, required=True, metavar="OUT.atlas")
    mapping.add_argument(
        "--method", action="append", metavar="NAME", help="concord if not given; repeat, or all, for a consensus"
    )
    mapping.add_argument(
        "--disagreements", type=Path, metavar="CELLS.csv", help="cells that several methods do not label alike"
    )
    mapping.add_argument("--mode", metavar="NAME", help="how the method maps, as its card says; instant if not given")
    mapping.add_argument("--batch", metavar="COLUMN", help="the query's batches: told apart where a mode learns them")
    mapping.add_argument("--own-labels", metavar="COLUMN", help="labels the query has, for modes that learn from them")
    mapping.add_argument(
        "--proteins", metavar="TABLE", help="obsm table to place cells by, if stained like the reference's"
    )
    mapping.add_argument("--hierarchical", action="store_true", help="let the coarse level decide; else all have a say")
    mapping.add_argument("--independent", action="store_true", help="label each level by itself; they may contradict")
    mapping.add_argument(
        "--unknown", choices=("left-out", "quantile"), default="left-out", help="what makes a far cell unknown"
    )
    mapping.add_argument("--refine", action="store_true", help="let labels follow the majority of a cell's neighbours")
    mapping.add_argument("--orthologs", action="store_true", help="translate genes to one-to-one orthologues first")
    mapping.add_argument(
        "--refit-shared", action="store_true", help="for targeted panels: train the method anew on the genes shared"
    )
    mapping.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    mapping.add_argument("--output", type=Path, required=True, metavar="RESULT.h5ad")
    mapping.add_argument("--csv", type=Path, metavar="PREDICTIONS.csv")
    mapping.set_defaults(run=_map)


def _map(options: argparse.Namespace) -> None:
    from explorer.asking.judging import judged
    from explorer.building.refitting import refit_shared
    from explorer.doubt.refinement import refine
    from explorer.mapping.corridor import map_query
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_result
    from explorer.writing.export import require_writable, write_csv, write_h5ad

    methods = options.method or ["concord"]
    if len(methods) > 1 or methods == ["all"]:
        _map_all(options)
        return
    (method,) = methods
    if options.disagreements is not None:
        raise OptionsProblem("--disagreements needs several methods: name --method twice or more, or --method all.")
    for path in filter(None, (options.output, options.csv)):
        require_safe(path, options)
        require_writable(path)
    query = open_query(options.query, matrix=options.matrix)
    reference = open_reference(options.reference)
    with Bar() as progress:
        placing, told = progress.part("", 0.0, 0.95), tuple[str, ...]()
        if options.refit_shared:
            reference, told = refit_shared(
                query,
                reference,
                method,
                orthologs=options.orthologs,
                device=options.device,
                progress=placing.part("", 0.0, 0.9),
            )
            placing = placing.part("", 0.9, 1.0)
        result = map_query(
            query,
            reference,
            method,
            mode=options.mode,
            own_labels=options.own_labels,
            **_asked(options),
            notices=told,
            progress=placing,
        )
        if options.refine:
            result = refine(result)
        progress.part("Looking it over", 0.93, 0.95)(0.0)
        result = judged(query, reference, result, batch=options.batch, device=options.device)
        progress.part("Writing", 0.95, 1.0)(0.0)
        write_h5ad(result, query, options.output)
        if options.csv is not None:
            write_csv(result, options.csv)
        progress(1.0)
    print(describe_result(result, options.batch))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked alike of one method and of several."""
    names = ("hierarchical", "independent", "unknown", "batch", "proteins", "orthologs", "device")
    return {name: getattr(options, name) for name in names}


def _map_all(options: argparse.Namespace) -> None:
    from explorer.building.refitting import refit_shared
    from explorer.mapping.several import map_all, named_methods
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_agreement
    from explorer.writing.agreed_files import write_agreed, write_agreed_csv, write_disputed
    from explorer.writing.export import require_writable

    for option in ("mode", "own_labels", "refine"):
        if getattr(options, option):
            raise OptionsProblem(
                f"--{option.replace('_', '-')} goes with one method only: map by that method alone, or leave it out."
            )
    for path in filter(None, (options.output, options.csv, options.disagreements)):
        require_safe(path, options)
        require_writable(path)
    query = open_query(options.query, matrix=options.matrix)
    reference = open_reference(options.reference)
    methods = named_methods(reference, options.method)
    with Bar() as progress:
        placing, told = progress.part("", 0.0, 0.95), tuple[str, ...]()
        if options.refit_shared:
            for at, method in enumerate(methods):
                span = placing.part("", 0.9 * at / len(methods), 0.9 * (at + 1) / len(methods))
                reference, more = refit_shared(
                    query, reference, method, orthologs=options.orthologs, device=options.device, progress=span
                )
                told += more
            placing = placing.part("", 0.9, 1.0)
        agreed = map_all(
            query,
            reference,
            methods,
            **_asked(options),
            notices=told,
            progress=placing,
        )
        progress.part("Writing", 0.95, 1.0)(0.0)
        write_agreed(agreed, query, options.output)
        if options.csv is not None:
            write_agreed_csv(agreed, options.csv)
        if options.disagreements is not None:
            write_disputed(agreed, options.disagreements)
        progress(1.0)
    print(describe_agreement(agreed))
