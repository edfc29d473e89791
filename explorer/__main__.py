"""The command line: build, map, evaluate, inspect, serve. Installed as `atlas-explorer`, or `python -m explorer`."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

# before torch is imported: two threads that spin while they wait make a busy machine several times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from explorer.errors import AtlasError, OptionsProblem
from explorer.progress import Progress, Report

PROBLEM, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 2 with one sentence on standard error when it could not."""
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
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")

    build = commands.add_parser("build", parents=[device], help="train a reference from annotated cells")
    build.add_argument("source", type=Path, metavar="REF.h5ad")
    build.add_argument("out", type=Path, metavar="OUT.atlas", help="a bundle over the same cells gets one method more")
    build.add_argument("--method", default="concord")
    build.add_argument("--labels", action="append", required=True, metavar="COLUMN", help="repeat; the main one first")
    build.add_argument("--batch", metavar="COLUMN", help="technical batch; left out in turn to measure quality")
    build.add_argument("--sample", metavar="COLUMN", help="biological sample")
    build.add_argument("--condition", action="append", default=[], metavar="COLUMN", help="repeat; e.g. the donor")
    build.add_argument(
        "--proteins", metavar="TABLE", help="obsm table of antibody counts; found by its name, none to leave it out"
    )
    build.add_argument(
        "--gene-sets", action="append", default=[], metavar="FILE.gmt", help="of KIDA; or reactome, go_bp; repeat"
    )
    build.add_argument("--preset", choices=("balanced", "paper", "supervised"), default="balanced")
    build.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method; repeat"
    )
    build.add_argument("--seed", type=int, default=0)
    for text in ("title", "organism", "description", "origin", "licence"):
        build.add_argument(f"--{text}", metavar="TEXT", help="kept in the card")
    build.set_defaults(run=_build)

    mapping = commands.add_parser("map", parents=[device], help="label the cells of a query")
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

    extend = commands.add_parser("extend", parents=[device], help="add cells that you have named to a reference")
    extend.add_argument("reference", type=Path, metavar="REF.atlas")
    extend.add_argument("query", type=Path, metavar="RESULT.h5ad", help="holds counts, and names in an obs column")
    extend.add_argument("--label-column", required=True, metavar="COLUMN", help="names of cells; others are left out")
    extend.add_argument("--level", metavar="LEVEL", help="label level of the names; the main one if not given")
    extend.add_argument("--orthologs", action="store_true", help="translate genes to one-to-one orthologues first")
    extend.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    extend.add_argument("--output", type=Path, required=True, metavar="NEW.atlas")
    extend.set_defaults(run=_extend)

    unknowns = commands.add_parser("unknowns", help="group the cells that got no label, and say what marks each group")
    unknowns.add_argument("result", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    unknowns.add_argument("--sample", metavar="COLUMN", help="says from how many samples a group comes")
    unknowns.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    unknowns.add_argument("--resolution", type=float, default=1.0, metavar="X", help="above 1 for more groups")
    unknowns.add_argument("--seed", type=int, default=0)
    unknowns.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    unknowns.add_argument("--name", action="append", metavar="GROUP=NAME", help="a name of your own; repeat")
    unknowns.add_argument("--named", type=Path, metavar="NAMED.h5ad", help="the result with the groups, for extend")
    unknowns.add_argument("--column", default="new_type", metavar="COLUMN", help="obs column of the groups in it")
    unknowns.add_argument("--output", type=Path, required=True, metavar="GROUPS.csv")
    unknowns.set_defaults(run=_unknowns)

    explain = commands.add_parser("explain", parents=[device], help="genes or pathways that speak for a label")
    explain.add_argument("query", type=Path, metavar="QUERY.h5ad", help="or a RESULT.h5ad, whose labels are then taken")
    explain.add_argument("--reference", type=Path, required=True, metavar="OUT.atlas")
    explain.add_argument("--method", default="concord")
    explain.add_argument("--label", required=True, help="of the reference")
    explain.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    explain.add_argument("--measure", metavar="NAME", help="one of the method's; its first if not given")
    explain.add_argument("--cells", metavar="top|COLUMN=VALUE", help="cells predicted as the label if not given")
    explain.add_argument("--proteins", metavar="TABLE", help="as for map; a RESULT.h5ad knows by itself")
    explain.add_argument("--orthologs", action="store_true", help="translate genes to one-to-one orthologues first")
    explain.add_argument("--refit-shared", action="store_true", help="as for map; a RESULT.h5ad knows by itself")
    explain.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    explain.add_argument("--output", type=Path, required=True, metavar="SIGNATURE.csv")
    explain.set_defaults(run=_explain, csv=None)

    fill = commands.add_parser("fill", help="labels for the cells of a reference that have none at a level")
    fill.add_argument("reference", type=Path, metavar="REF.atlas")
    fill.add_argument("--method", default="concord")
    fill.add_argument("--level", required=True, metavar="LEVEL", help="label level to fill in")
    fill.add_argument("--coarse", metavar="LEVEL", help="a coarser level that the labels shall agree with")
    fill.add_argument("--output", type=Path, required=True, metavar="LABELS.csv")
    fill.set_defaults(run=_fill)

    quality = commands.add_parser("quality", help="how well a reference's methods keep types apart and mix batches")
    quality.add_argument("path", type=Path, metavar="REF.atlas|RESULT.h5ad")
    quality.add_argument("--method", action="append", metavar="NAME", help="repeat; all of the reference if not given")
    quality.add_argument("--batch", metavar="COLUMN", help="of a result: batches or samples")
    quality.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    quality.add_argument("--scib", action="store_true", help="with the measures of scib-metrics, if it is installed")
    quality.add_argument("--seed", type=int, default=0, help="of the cells that are drawn where there are many")
    quality.add_argument("--output", type=Path, metavar="QUALITY.json")
    quality.set_defaults(run=_quality)

    simulate = commands.add_parser("simulate", help="cells whose structure is known, to try methods on")
    simulate.add_argument("--structure", default="clusters", metavar="NAME", help="clusters, trajectory, loop or tree")
    for number, default, meaning in (
        ("states", 6, "clusters, stages or branches"),
        ("batches", 3, "that the cells are spread over"),
        ("cells", 2000, "in all"),
        ("genes", 1000, "in all"),
        ("missing", 0, "states that each batch lacks"),
        ("seed", 0, "of every draw"),
    ):
        simulate.add_argument(f"--{number}", type=int, default=default, metavar="N", help=f"{meaning}; {default}")
    simulate.add_argument("--scale", type=float, default=0.4, metavar="SD", help="of log gene factors between batches")
    simulate.add_argument("--dropout", type=float, default=0.2, metavar="SHARE", help="in the batch that loses most")
    simulate.add_argument("--output", type=Path, required=True, metavar="SIM.h5ad")
    simulate.set_defaults(run=_simulate)

    evaluate = commands.add_parser(
        "evaluate", parents=[device], help="leave batches and types out in turn, and write a scorecard"
    )
    evaluate.add_argument("source", type=Path, metavar="REF.h5ad")
    evaluate.add_argument(
        "--labels", action="append", required=True, metavar="COLUMN", help="repeat; the main one first"
    )
    evaluate.add_argument("--batch", required=True, metavar="COLUMN", help="left out in turn")
    evaluate.add_argument("--methods", nargs="+", default=["all"], metavar="NAME", help="all if not given")
    evaluate.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    evaluate.add_argument(
        "--types", nargs="+", default=["all"], metavar="LABEL", help="left out in turn: all if not given, or none"
    )
    evaluate.add_argument("--cells", type=int, metavar="N", help="draw as many, for a quick look")
    evaluate.add_argument("--preset", choices=("balanced", "paper", "supervised"), default="balanced")
    evaluate.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of every method that has it; repeat"
    )
    evaluate.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time")
    evaluate.add_argument("--into", type=Path, metavar="REF.atlas", help="a reference whose card keeps the summary")
    evaluate.add_argument("--output", type=Path, required=True, metavar="DIR", help="a stopped run goes on from there")
    evaluate.set_defaults(run=_evaluate)

    markers = commands.add_parser("markers", help="genes that tell a group of cells, or of samples, from others")
    markers.add_argument("source", type=Path, metavar="RESULT.h5ad", help="or a query, or a reference's folder")
    markers.add_argument("--group", required=True, metavar="COLUMN[=VALUE]", help="each value against the rest, or one")
    markers.add_argument("--against", metavar="VALUE", help="of the same column; all other cells if not given")
    markers.add_argument("--within", metavar="COLUMN=VALUE", help="look at these cells only")
    markers.add_argument("--test", choices=("wilcoxon", "t"), default="wilcoxon", help="on cells")
    markers.add_argument("--sample", metavar="COLUMN", help="compare samples, by their summed counts, instead of cells")
    markers.add_argument("--donor", metavar="COLUMN", help="of the samples: pairs them where a donor is on both sides")
    markers.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    markers.add_argument("--output", type=Path, required=True, metavar="MARKERS.csv")
    markers.set_defaults(run=_markers)

    enrich = commands.add_parser("enrich", help="gene sets that markers have in common")
    enrich.add_argument("markers", type=Path, metavar="MARKERS.csv", help="as the markers command writes it")
    enrich.add_argument(
        "--gene-sets", action="append", default=[], metavar="FILE.gmt", help="or reactome, go_bp; repeat"
    )
    enrich.add_argument("--top", type=int, default=100, metavar="N", help="first genes looked up of each group")
    enrich.add_argument("--ranking", action="store_true", help="where sets stand in the ranking of all genes, instead")
    enrich.add_argument("--output", type=Path, required=True, metavar="SETS.csv")
    enrich.set_defaults(run=_enrich)

    inspect = commands.add_parser("inspect", help="what a file or a reference holds")
    inspect.add_argument("path", type=Path, metavar="FILE_OR_ATLAS")
    inspect.add_argument("--reference", type=Path, metavar="OUT.atlas", help="of which the genes are looked for")
    inspect.set_defaults(run=_inspect)

    serve = commands.add_parser("serve", help="open the app in a browser")
    serve.add_argument("--reference", type=Path, action="append", default=[], metavar="PATH", help="repeat for several")
    serve.add_argument("--port", type=int, default=5006)
    serve.add_argument("--open", action="store_true", help="open a browser tab")
    serve.set_defaults(run=_serve)
    return parser


def _build(options: argparse.Namespace) -> None:
    from explorer.fitting import build_reference
    from explorer.tuning import assignments

    texts = ("title", "organism", "description", "origin", "licence")
    with _Bar() as progress:
        reference = build_reference(
            options.source,
            options.out,
            labels=tuple(options.labels),
            batch=options.batch,
            sample=options.sample,
            conditions=options.condition,
            proteins=options.proteins,
            method=options.method,
            gene_sets=options.gene_sets,
            preset=options.preset,
            settings=assignments(options.set),
            seed=options.seed,
            device=options.device,
            about={text: getattr(options, text) for text in texts if getattr(options, text) is not None},
            progress=progress,
        )
    from explorer.report import describe_reference

    print(describe_reference(reference))


def _map(options: argparse.Namespace) -> None:
    from explorer.export import require_writable, write_csv, write_h5ad
    from explorer.judging import judged
    from explorer.mapping import map_query
    from explorer.query import open_query
    from explorer.reference import open_reference
    from explorer.refinement import refine
    from explorer.refitting import refit_shared
    from explorer.report import describe_result

    methods = options.method or ["concord"]
    if len(methods) > 1 or methods == ["all"]:
        _map_all(options)
        return
    (method,) = methods
    if options.disagreements is not None:
        raise OptionsProblem("--disagreements needs several methods: name --method twice or more, or --method all.")
    for path in filter(None, (options.output, options.csv)):
        _require_safe(path, options)
        require_writable(path)
    query = open_query(options.query, matrix=options.matrix)
    reference = open_reference(options.reference)
    with _Bar() as progress:
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
            hierarchical=options.hierarchical,
            independent=options.independent,
            unknown=options.unknown,
            batch=options.batch,
            own_labels=options.own_labels,
            proteins=options.proteins,
            orthologs=options.orthologs,
            device=options.device,
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


def _map_all(options: argparse.Namespace) -> None:
    from explorer.agreed_files import write_agreed, write_agreed_csv, write_disputed
    from explorer.export import require_writable
    from explorer.query import open_query
    from explorer.reference import open_reference
    from explorer.refitting import refit_shared
    from explorer.report import describe_agreement
    from explorer.several import map_all, named_methods

    for option in ("mode", "own_labels", "refine"):
        if getattr(options, option):
            raise OptionsProblem(
                f"--{option.replace('_', '-')} goes with one method only: map by that method alone, or leave it out."
            )
    for path in filter(None, (options.output, options.csv, options.disagreements)):
        _require_safe(path, options)
        require_writable(path)
    query = open_query(options.query, matrix=options.matrix)
    reference = open_reference(options.reference)
    methods = named_methods(reference, options.method)
    with _Bar() as progress:
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
            hierarchical=options.hierarchical,
            independent=options.independent,
            unknown=options.unknown,
            batch=options.batch,
            proteins=options.proteins,
            orthologs=options.orthologs,
            device=options.device,
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


def _explain(options: argparse.Namespace) -> None:
    from explorer.asking import explain_label
    from explorer.export import require_writable, write_signature
    from explorer.query import open_query
    from explorer.reference import open_reference
    from explorer.refitting import refit_shared
    from explorer.report import describe_signature

    _require_safe(options.output, options)
    require_writable(options.output)
    query = open_query(options.query, matrix=options.matrix)
    reference = open_reference(options.reference)
    with _Bar() as progress:
        asking = progress
        if options.refit_shared:
            refit, asking = progress.part("", 0.0, 0.8), progress.part("", 0.8, 1.0)
            reference, _ = refit_shared(
                query, reference, options.method, orthologs=options.orthologs, device=options.device, progress=refit
            )
        asked = explain_label(
            query,
            reference,
            options.method,
            options.label,
            level=options.level,
            measure=options.measure,
            cells=options.cells,
            proteins=options.proteins,
            orthologs=options.orthologs,
            device=options.device,
            progress=asking,
        )
        write_signature(asked.signature, options.output)
    print(describe_signature(asked))


def _require_safe(path: Path, options: argparse.Namespace) -> None:
    if path.resolve() == options.query.resolve():
        raise OptionsProblem(f"{path} is the query itself, which is never changed. Name another file to write to.")
    if options.reference.resolve() in path.resolve().parents:
        raise OptionsProblem(f"{path} lies inside the reference {options.reference}. Name a file elsewhere.")
    if path.is_dir():
        raise OptionsProblem(f"{path} is a folder. Name a file in it, such as {path / 'result.h5ad'}.")
    if options.csv is not None and options.csv.resolve() == options.output.resolve():
        raise OptionsProblem(f"--output and --csv both name {path}. Name two files.")


def _extend(options: argparse.Namespace) -> None:
    from explorer.extension import extend_reference
    from explorer.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_reference

    with _Bar() as progress:
        reference = extend_reference(
            open_reference(options.reference),
            open_query(options.query, matrix=options.matrix),
            options.output,
            column=options.label_column,
            level=options.level,
            orthologs=options.orthologs,
            device=options.device,
            progress=progress,
        )
    print(describe_reference(reference))


def _unknowns(options: argparse.Namespace) -> None:
    from explorer.export import read_result, require_writable, write_table
    from explorer.insight.unknowns import unknowns
    from explorer.naming import given_names, write_named
    from explorer.query import open_query
    from explorer.report import describe_unknowns

    for path in filter(None, (options.output, options.named)):
        _require_other(path, options.result)
        require_writable(path)
    given = given_names(options.name)
    with _Bar() as progress:
        found = unknowns(
            open_query(options.result, matrix=options.matrix),
            read_result(options.result),
            sample=options.sample,
            level=options.level,
            resolution=options.resolution,
            seed=options.seed,
            progress=progress,
        )
    named = found.named(given)
    write_table(found.table, options.output)
    if options.named is not None:
        write_named(options.result, options.named, named, options.column)
    print(describe_unknowns(found))


def _fill(options: argparse.Namespace) -> None:
    from explorer.export import require_writable
    from explorer.propagation import missing_labels
    from explorer.reference import open_reference

    require_writable(options.output)
    found = missing_labels(open_reference(options.reference), options.method, options.level, options.coarse)
    found.to_csv(options.output, index_label="cell_id")
    print(f"{len(found):,} cells without a label at {options.level!r}: written to {options.output}")


def _quality(options: argparse.Namespace) -> None:
    import json

    from explorer.export import read_result, require_writable
    from explorer.insight.quality import of_reference, of_result
    from explorer.reference import open_reference
    from explorer.report import describe_quality
    from explorer.simulation import read_truth

    if options.output is not None:
        require_writable(options.output)
    if options.path.is_file():
        result, truth = read_result(options.path), read_truth(options.path)
        checksum = result.provenance.reference_checksum
        found = [of_result(result, options.batch, truth, options.seed, options.scib)]
    else:
        reference = open_reference(options.path)
        checksum, methods, found = reference.checksum, options.method or reference.methods, []
        with _Bar() as progress:
            for i, method in enumerate(methods):
                progress.part(f"Measuring {method}", 0.0, 1.0)(i / len(methods))
                found.append(of_reference(reference, method, options.level, options.seed, options.scib))
            progress(1.0)
    if options.output is not None:
        text = json.dumps({"reference": checksum, "quality": [one.as_json() for one in found]}, indent=1)
        options.output.write_text(text + "\n", encoding="utf-8")
    print(describe_quality(found))


def _simulate(options: argparse.Namespace) -> None:
    from explorer.export import require_writable
    from explorer.simulation import Simulation, simulate

    require_writable(options.output)
    chosen = ("structure", "states", "batches", "cells", "genes", "missing", "seed", "scale", "dropout")
    cells = simulate(Simulation(**{name: getattr(options, name) for name in chosen}))
    cells.write_h5ad(options.output, compression="gzip")
    print(
        f"{cells.n_obs:,} cells, {cells.n_vars:,} genes, {options.batches} batches, {options.structure}: written to "
        f"{options.output}, with cell_type and batch in obs and the truth in obsm"
    )


def _evaluate(options: argparse.Namespace) -> None:
    from explorer.evaluation import PAGE, evaluate
    from explorer.scorecard import in_words
    from explorer.tuning import assignments

    if options.jobs < 1:
        raise OptionsProblem(f"--jobs is a whole number, 1 or more; not {options.jobs}.")
    with _Bar() as progress:
        scorecard = evaluate(
            options.source,
            options.output,
            labels=options.labels,
            batch=options.batch,
            methods=options.methods,
            seeds=options.seeds,
            types=options.types,
            cells=options.cells,
            preset=options.preset,
            settings=assignments(options.set),
            device=options.device,
            jobs=options.jobs,
            into=options.into,
            progress=progress,
        )
    print(in_words(scorecard["summaries"]))
    print(f"written to {options.output / PAGE}")


def _markers(options: argparse.Namespace) -> None:
    from explorer.comparing import compare, describe, table_of
    from explorer.export import require_writable, write_table
    from explorer.query import open_query
    from explorer.reference import open_reference

    _require_other(options.output, options.source)
    require_writable(options.output)
    of_reference = options.source.is_dir()
    source = open_reference(options.source) if of_reference else open_query(options.source, matrix=options.matrix)
    with _Bar() as progress:
        found = compare(
            source,
            options.group,
            against=options.against,
            within=options.within,
            test=options.test,
            sample=options.sample,
            donor=options.donor,
            progress=progress.part("Comparing genes", 0.0, 1.0),
        )
    write_table(table_of(found), options.output)
    print(describe(found))


def _enrich(options: argparse.Namespace) -> None:
    from explorer.comparing import describe_sets, read_markers, sets_of
    from explorer.export import require_writable, write_table

    _require_other(options.output, options.markers)
    require_writable(options.output)
    found = sets_of(read_markers(options.markers), options.gene_sets, top=options.top, ranking=options.ranking)
    write_table(found, options.output)
    print(describe_sets(found))


def _require_other(path: Path, source: Path) -> None:
    if source.resolve() in (path.resolve(), *path.resolve().parents):
        raise OptionsProblem(f"{path} is or lies in {source}, which is never changed. Name another file to write to.")


def _inspect(options: argparse.Namespace) -> None:
    from explorer.query import inspect_file, open_query
    from explorer.reference import open_reference
    from explorer.report import describe_file, describe_fit, describe_reference
    from explorer.settings import settings

    if options.path.is_dir():
        print(describe_reference(open_reference(options.path)))
        return
    print(describe_file(inspect_file(options.path)))
    for folder in (options.reference,) if options.reference else settings().references:
        print(describe_fit(open_query(options.path), open_reference(folder)))


def _serve(options: argparse.Namespace) -> None:
    for folder in options.reference:
        if not (folder / "card.json").is_file():
            raise OptionsProblem(f"{folder} is no reference: it holds no card.json.")
    if options.reference:  # the app and its workers read this when they start
        os.environ["ATLAS_EXPLORER_REFERENCES"] = os.pathsep.join(str(path.resolve()) for path in options.reference)
    _require_port(options.port)
    from panel.command import main as panel

    app = Path(__file__).resolve().parent
    address = f"http://localhost:{options.port}/{app.name}"
    print(f"Atlas Explorer: open {address} in a browser. Ctrl-C stops it.", flush=True)
    words = ["panel", "serve", str(app), "--port", str(options.port)]
    sys.argv = [*words, "--show"] if options.open else words  # all that Panel's entry point reads
    panel()


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


class _Bar:
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


if __name__ == "__main__":
    sys.exit(main())
