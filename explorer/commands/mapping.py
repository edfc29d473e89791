"""The command that labels the cells of a query: map, by one method or by several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.commands.shared import Bar, Commands, add_command, add_output, add_reference, require_safe
from explorer.errors import OptionsProblem

if TYPE_CHECKING:
    from explorer.consensus import AgreedResult
    from explorer.doubt.examined import Examined
    from explorer.flow import MappingResult, Query, Reference


def add(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    mapping = add_command(commands, "map", "label the cells of a query", shared)
    mapping.add_argument("query", type=Path, metavar="QUERY.h5ad", help="counts or log values of cells; never changed")
    add_reference(mapping)
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
    sure = mapping.add_mutually_exclusive_group()
    sure.add_argument(
        "--threshold", type=float, metavar="X", help="call cells of less confidence unknown; 0.5 if not given"
    )
    sure.add_argument(
        "--accuracy", type=float, metavar="X", help="take the threshold that makes this share of left-out cells right"
    )
    mapping.add_argument("--refine", action="store_true", help="let labels follow the majority of a cell's neighbours")
    mapping.add_argument("--orthologs", action="store_true", help="translate genes to one-to-one orthologues first")
    mapping.add_argument(
        "--refit-shared", action="store_true", help="for targeted panels: train the method anew on the genes shared"
    )
    mapping.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    mapping.add_argument("--gene-names", metavar="COLUMN", help="var column that names the genes, or index; else all")
    add_output(mapping, "RESULT.h5ad", "the query with its labels")
    mapping.add_argument("--csv", type=Path, metavar="PREDICTIONS.csv", help="labels as a table, a row a cell")
    mapping.add_argument(
        "--probabilities", type=Path, metavar="ALL.csv",
        help="of every label, at the main level; of several methods beside it, a file each",
    )  # fmt: skip
    mapping.add_argument("--paragraph", type=Path, metavar="METHODS.txt", help="how labels came about, to publish")
    mapping.add_argument("--script", type=Path, metavar="REPEAT.py", help="maps the file again, and says what differs")
    mapping.set_defaults(run=_map)


def _map(options: argparse.Namespace) -> None:
    from explorer.asking.judging import judged
    from explorer.building.refitting import refit_shared
    from explorer.doubt.refinement import refine
    from explorer.doubt.thresholds import result_with_threshold
    from explorer.drawing.coloring import predicted_colors
    from explorer.mapping.corridor import map_query
    from explorer.mapping.left_out import left_out_answers
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_result
    from explorer.writing.export import write_csv, write_h5ad

    _require_sureness(options)
    methods = options.method or ["concord"]
    if len(methods) > 1 or methods == ["all"]:
        _map_all(options)
        return
    (method,) = methods
    if options.disagreements is not None:
        raise OptionsProblem("--disagreements needs several methods: name --method twice or more, or --method all.")
    _require_places(options, "output", "csv", "probabilities", "paragraph", "script")
    query = open_query(options.query, matrix=options.matrix, gene_names=options.gene_names)
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
        examined = left_out_answers(reference, result)
        threshold = _threshold(options, examined.get(result.labels.first.level))
        result = result_with_threshold(result, threshold)
        progress.part("Writing", 0.95, 1.0)(0.0)
        colors = predicted_colors(reference, [found.level for found in result.labels.levels])
        write_h5ad(result, query, options.output, colors)
        if options.csv is not None:
            write_csv(result, options.csv)
        _write_words(result, query, reference, options)
        progress(1.0)
    print(describe_result(result, options.batch, examined))


def _write_words(
    result: MappingResult | AgreedResult, query: Query, reference: Reference, options: argparse.Namespace
) -> None:
    """Write probabilities, paragraph and script, where they were asked for."""
    from explorer.prose import write_paragraph
    from explorer.writing.all_classes import write_probabilities
    from explorer.writing.scripting import write_script

    if options.probabilities is not None:
        write_probabilities(result, options.probabilities)
    if options.paragraph is not None:
        write_paragraph(result, options.paragraph, reference)
    if options.script is not None:
        write_script(
            result, options.query, options.reference, options.script, matrix=options.matrix, name=query.name,
            refit_shared=options.refit_shared,
        )  # fmt: skip


def _require_sureness(options: argparse.Namespace) -> None:
    """Refuse a threshold or an accuracy that is none, before hours go into a mapping."""
    from explorer.doubt.risk import require_accuracy
    from explorer.doubt.thresholds import require_threshold

    if options.threshold is not None:
        require_threshold(options.threshold)
    if options.accuracy is not None:
        require_accuracy(options.accuracy)


def _threshold(options: argparse.Namespace, examined: Examined | None) -> float:
    """The threshold that was asked for, or that makes so many left-out cells right."""
    from explorer.doubt.risk import wanted_threshold
    from explorer.flow import UNKNOWN_CONFIDENCE

    if options.accuracy is not None:
        return wanted_threshold(examined, options.accuracy)
    return UNKNOWN_CONFIDENCE if options.threshold is None else float(options.threshold)


def _require_places(options: argparse.Namespace, *names: str, beside: Sequence[str] = ()) -> None:
    """Refuse files that would take the place of something else, or of one another.

    Probabilities of several methods lie in a file each, `beside` that of the consensus.
    """
    from explorer.writing.all_classes import path_of
    from explorer.writing.export import require_writable

    places = {name: path for name in names if (path := getattr(options, name)) is not None}
    if "probabilities" in places:
        places |= {f"probabilities of {each}": path_of(places["probabilities"], each) for each in beside}
    for path in places.values():
        require_safe(path, options)
        require_writable(path)
    for (one, path), (other, same) in combinations(places.items(), 2):
        if path.resolve() == same.resolve():
            raise OptionsProblem(f"--{one} and --{other} both name {path}. Name two files.")


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked alike of one method and of several."""
    names = ("hierarchical", "independent", "unknown", "batch", "proteins", "orthologs", "device")
    return {name: getattr(options, name) for name in names}


def _map_all(options: argparse.Namespace) -> None:
    from explorer.asking.judging import judged_together
    from explorer.building.refitting import refit_shared
    from explorer.mapping.expression_model import NAME as EXPRESSION
    from explorer.mapping.several import map_all, named_methods
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_agreement
    from explorer.writing.agreed_files import write_agreed, write_agreed_csv, write_disputed

    for option in ("mode", "own_labels", "refine"):
        if getattr(options, option):
            raise OptionsProblem(
                f"--{option.replace('_', '-')} goes with one method only: map by that method alone, or leave it out."
            )
    reference = open_reference(options.reference)
    methods = named_methods(reference, options.method)
    _require_places(options, "output", "csv", "disagreements", "probabilities", "paragraph", "script",
                    beside=(*methods, EXPRESSION))  # fmt: skip
    query = open_query(options.query, matrix=options.matrix, gene_names=options.gene_names)
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
        progress.part("Looking it over", 0.93, 0.95)(0.0)
        agreed = judged_together(query, reference, agreed, batch=options.batch, device=options.device)
        agreed = agreed.with_threshold(_threshold(options, agreed.consensus.first.examined))
        progress.part("Writing", 0.95, 1.0)(0.0)
        write_agreed(agreed, query, options.output)
        if options.csv is not None:
            write_agreed_csv(agreed, options.csv)
        if options.disagreements is not None:
            write_disputed(agreed, options.disagreements)
        _write_words(agreed, query, reference, options)
        progress(1.0)
    print(describe_agreement(agreed))
