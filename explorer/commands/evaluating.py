"""Commands that measure how good a method is: evaluate, quality, simulate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer.commands.shared import Bar, Commands, add_command, add_output
from explorer.errors import OptionsProblem


def add(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_evaluate(commands, shared)
    _add_quality(commands)
    _add_simulate(commands)


def _add_evaluate(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    evaluate = add_command(commands, "evaluate", "leave batches and types out in turn, and write a scorecard", shared)
    evaluate.add_argument("source", type=Path, metavar="REF.h5ad", help="cells with counts and labels in obs")
    evaluate.add_argument(
        "--labels", action="append", required=True, metavar="COLUMN", help="repeat; the main one first"
    )
    evaluate.add_argument("--batch", required=True, metavar="COLUMN", help="left out in turn")
    evaluate.add_argument("--methods", nargs="+", default=["all"], metavar="NAME", help="all if not given")
    evaluate.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="0 if not given")
    evaluate.add_argument(
        "--types", nargs="+", default=["all"], metavar="LABEL", help="left out in turn: all if not given, or none"
    )
    evaluate.add_argument("--cells", type=int, metavar="N", help="draw as many, for a quick look")
    evaluate.add_argument(
        "--preset", choices=("balanced", "paper", "supervised"), default="balanced", help="balanced if not given"
    )
    evaluate.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of every method that has it; repeat"
    )
    evaluate.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time")
    evaluate.add_argument("--into", type=Path, metavar="REF.atlas", help="a reference whose card keeps the summary")
    add_output(evaluate, "DIR", "a stopped run goes on from there")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from explorer.building.tuning import assignments
    from explorer.evaluation.leaving_out import PAGE, evaluate
    from explorer.evaluation.scorecard import in_words

    if options.jobs < 1:
        raise OptionsProblem(f"--jobs is a whole number, 1 or more; not {options.jobs}.")
    with Bar() as progress:
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


def _add_quality(commands: Commands) -> None:
    quality = add_command(commands, "quality", "how well a reference's methods keep types apart and mix batches")
    quality.add_argument("path", type=Path, metavar="REF.atlas|RESULT.h5ad", help="a reference, or what map writes")
    quality.add_argument("--method", action="append", metavar="NAME", help="repeat; all of the reference if not given")
    quality.add_argument("--batch", metavar="COLUMN", help="of a result: batches or samples")
    quality.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    quality.add_argument("--scib", action="store_true", help="with the measures of scib-metrics, if it is installed")
    quality.add_argument("--seed", type=int, default=0, help="of the cells that are drawn where there are many")
    quality.add_argument("--output", type=Path, metavar="QUALITY.json", help="all figures, as a file")
    quality.set_defaults(run=_quality)


def _quality(options: argparse.Namespace) -> None:
    import json

    from explorer.evaluation.simulation import read_truth
    from explorer.insight.quality import of_reference, of_result
    from explorer.reference import open_reference
    from explorer.report import describe_quality
    from explorer.writing.export import read_result, require_writable

    if options.output is not None:
        require_writable(options.output)
    if options.path.is_file():
        result, truth = read_result(options.path), read_truth(options.path)
        checksum = result.provenance.reference_checksum
        found = [of_result(result, options.batch, truth, options.seed, options.scib)]
    else:
        reference = open_reference(options.path)
        checksum, methods, found = reference.checksum, options.method or reference.methods, []
        with Bar() as progress:
            for i, method in enumerate(methods):
                progress.part(f"Measuring {method}", 0.0, 1.0)(i / len(methods))
                found.append(of_reference(reference, method, options.level, options.seed, options.scib))
            progress(1.0)
    if options.output is not None:
        text = json.dumps({"reference": checksum, "quality": [one.as_json() for one in found]}, indent=1)
        options.output.write_text(text + "\n", encoding="utf-8")
    print(describe_quality(found))


def _add_simulate(commands: Commands) -> None:
    simulate = add_command(commands, "simulate", "cells whose structure is known, to try methods on")
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
    add_output(simulate, "SIM.h5ad", "counts, with types and batches in obs")
    simulate.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> None:
    from explorer.evaluation.simulation import Simulation, simulate
    from explorer.writing.export import require_writable

    require_writable(options.output)
    chosen = ("structure", "states", "batches", "cells", "genes", "missing", "seed", "scale", "dropout")
    cells = simulate(Simulation(**{name: getattr(options, name) for name in chosen}))
    cells.write_h5ad(options.output, compression="gzip")
    print(
        f"{cells.n_obs:,} cells, {cells.n_vars:,} genes, {options.batches} batches, {options.structure}: written to "
        f"{options.output}, with cell_type and batch in obs and the truth in obsm"
    )
