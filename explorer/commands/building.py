"""Commands that make a reference or add to one: build, extend, fill."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.commands.shared import Bar, Commands, add_command, add_output
from explorer.errors import OptionsProblem

if TYPE_CHECKING:
    from explorer.flow import Reference
    from explorer.progress import Progress


def add(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_build(commands, shared)
    _add_extend(commands, shared)
    _add_fill(commands)


def _add_build(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    build = add_command(commands, "build", "train a reference from annotated cells", shared)
    build.add_argument("source", type=Path, metavar="REF.h5ad", help="cells with counts and labels in obs")
    build.add_argument("out", type=Path, metavar="OUT.atlas", help="a bundle over the same cells gets one method more")
    build.add_argument("--method", default="concord", metavar="NAME", help="concord if not given")
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
    build.add_argument(
        "--preset", choices=("balanced", "paper", "supervised"), default="balanced", help="balanced if not given"
    )
    build.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method; repeat"
    )
    build.add_argument("--seed", type=int, default=0, metavar="N", help="0 if not given")
    build.add_argument(
        "--evaluate", type=Path, metavar="DIR", help="then leave batches and types out; the card keeps the summary"
    )
    build.add_argument("--types", nargs="+", metavar="LABEL", help="left out by --evaluate: all if not given, or none")
    build.add_argument("--jobs", type=int, metavar="N", help="trainings at a time of --evaluate")
    for text in ("title", "organism", "description", "origin", "licence"):
        build.add_argument(f"--{text}", metavar="TEXT", help="kept in the card")
    build.set_defaults(run=_build)


def _build(options: argparse.Namespace) -> None:
    from explorer.building.fitting import build_reference
    from explorer.building.tuning import assignments

    _require_evaluable(options)
    texts = ("title", "organism", "description", "origin", "licence")
    with Bar() as progress:
        building = progress if options.evaluate is None else progress.part("", 0.0, 0.3)
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
            progress=building,
        )
        if options.evaluate is not None:
            reference = _evaluated(options, reference, progress.part("", 0.3, 1.0))
    from explorer.report import describe_reference

    print(describe_reference(reference))


def _require_evaluable(options: argparse.Namespace) -> None:
    """Refuse an evaluation that could not be made, before the reference is built."""
    from explorer.writing.export import require_writable

    if options.evaluate is None:
        for option in ("types", "jobs"):
            if getattr(options, option) is not None:
                raise OptionsProblem(f"--{option} goes with --evaluate: name a folder for it, or leave it out.")
        return
    if options.batch is None:
        raise OptionsProblem("--evaluate leaves batches out in turn: name the column that tells them, --batch COLUMN.")
    if options.gene_sets:
        raise OptionsProblem(
            "--evaluate trains methods with the gene sets that they come with. Build without --gene-sets, or evaluate "
            "by itself: atlas-explorer evaluate"
        )
    require_writable(options.evaluate / "scorecard.json")


def _evaluated(options: argparse.Namespace, reference: Reference, progress: Progress) -> Reference:
    """The reference with the scorecard of its methods, of this and of those that it held before, in its card."""
    from explorer.building.tuning import assignments
    from explorer.evaluation.leaving_out import evaluate
    from explorer.reference import open_reference

    evaluate(
        options.source,
        options.evaluate,
        labels=options.labels,
        batch=options.batch,
        methods=reference.methods,
        seeds=(options.seed,),
        types=options.types or ("all",),
        preset=options.preset,
        settings=assignments(options.set),
        device=options.device,
        jobs=options.jobs or 1,
        into=reference.folder,
        progress=progress,
    )
    return open_reference(reference.folder)


def _add_extend(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    extend = add_command(commands, "extend", "add cells that you have named to a reference", shared)
    extend.add_argument("reference", type=Path, metavar="REF.atlas", help="folder of the reference; never changed")
    extend.add_argument("query", type=Path, metavar="RESULT.h5ad", help="holds counts, and names in an obs column")
    extend.add_argument("--label-column", required=True, metavar="COLUMN", help="names of cells; others are left out")
    extend.add_argument("--level", metavar="LEVEL", help="label level of the names; the main one if not given")
    extend.add_argument("--orthologs", action="store_true", help="translate genes to one-to-one orthologues first")
    extend.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    add_output(extend, "NEW.atlas", "a copy with the cells")
    extend.set_defaults(run=_extend)


def _extend(options: argparse.Namespace) -> None:
    from explorer.building.extension import extend_reference
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_reference

    with Bar() as progress:
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


def _add_fill(commands: Commands) -> None:
    fill = add_command(commands, "fill", "labels for the cells of a reference that have none at a level")
    fill.add_argument("reference", type=Path, metavar="REF.atlas", help="folder of the reference; never changed")
    fill.add_argument("--method", default="concord", metavar="NAME", help="of the reference; concord if not given")
    fill.add_argument("--level", required=True, metavar="LEVEL", help="label level to fill in")
    fill.add_argument("--coarse", metavar="LEVEL", help="a coarser level that the labels shall agree with")
    add_output(fill, "LABELS.csv", "cell, label, confidence")
    fill.set_defaults(run=_fill)


def _fill(options: argparse.Namespace) -> None:
    from explorer.building.propagation import missing_labels
    from explorer.reference import open_reference
    from explorer.writing.export import require_writable

    require_writable(options.output)
    found = missing_labels(open_reference(options.reference), options.method, options.level, options.coarse)
    found.to_csv(options.output, index_label="cell_id")
    print(f"{len(found):,} cells without a label at {options.level!r}: written to {options.output}")
