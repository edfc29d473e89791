"""Commands that ask why and what: explain, markers, enrich, unknowns."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from explorer.commands.shared import Bar, Commands, add_command, add_output, add_reference, require_other, require_safe


def add(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_explain(commands, shared)
    _add_markers(commands)
    _add_enrich(commands)
    _add_unknowns(commands)


def _add_explain(commands: Commands, shared: Sequence[argparse.ArgumentParser]) -> None:
    explain = add_command(commands, "explain", "genes or pathways that speak for a label", shared)
    explain.add_argument("query", type=Path, metavar="QUERY.h5ad", help="or a RESULT.h5ad, whose labels are then taken")
    add_reference(explain)
    explain.add_argument("--method", default="concord", metavar="NAME", help="concord if not given")
    explain.add_argument("--label", required=True, help="of the reference")
    explain.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    explain.add_argument("--measure", metavar="NAME", help="one of the method's; its first if not given")
    explain.add_argument("--cells", metavar="top|COLUMN=VALUE", help="cells predicted as the label if not given")
    explain.add_argument("--proteins", metavar="TABLE", help="as for map; a RESULT.h5ad knows by itself")
    explain.add_argument("--orthologs", action="store_true", help="translate genes to one-to-one orthologues first")
    explain.add_argument("--refit-shared", action="store_true", help="as for map; a RESULT.h5ad knows by itself")
    explain.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    explain.add_argument("--gene-names", metavar="COLUMN", help="var column that names the genes, or index; else all")
    add_output(explain, "SIGNATURE.csv", "gene or pathway, and its score")
    explain.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> None:
    from explorer.asking.explaining import explain_label
    from explorer.building.refitting import refit_shared
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.report import describe_signature
    from explorer.writing.export import require_writable, write_signature

    require_safe(options.output, options)
    require_writable(options.output)
    query = open_query(options.query, matrix=options.matrix, gene_names=options.gene_names)
    reference = open_reference(options.reference)
    with Bar() as progress:
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


def _add_markers(commands: Commands) -> None:
    markers = add_command(commands, "markers", "genes that tell a group of cells, or of samples, from others")
    markers.add_argument("source", type=Path, metavar="RESULT.h5ad", help="or a query, or a reference's folder")
    markers.add_argument("--group", required=True, metavar="COLUMN[=VALUE]", help="each value against the rest, or one")
    markers.add_argument("--against", metavar="VALUE", help="of the same column; all other cells if not given")
    markers.add_argument("--within", metavar="COLUMN=VALUE", help="look at these cells only")
    markers.add_argument("--test", choices=("wilcoxon", "t"), default="wilcoxon", help="on cells")
    markers.add_argument("--sample", metavar="COLUMN", help="compare samples, by their summed counts, instead of cells")
    markers.add_argument("--donor", metavar="COLUMN", help="of the samples: pairs them where a donor is on both sides")
    markers.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    add_output(markers, "MARKERS.csv", "a row a gene of each group")
    markers.set_defaults(run=_markers)


def _markers(options: argparse.Namespace) -> None:
    from explorer.asking.comparing import compare, describe, table_of
    from explorer.reading.query import open_query
    from explorer.reference import open_reference
    from explorer.writing.export import require_writable, write_table

    require_other(options.output, options.source)
    require_writable(options.output)
    of_reference = options.source.is_dir()
    source = open_reference(options.source) if of_reference else open_query(options.source, matrix=options.matrix)
    with Bar() as progress:
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


def _add_enrich(commands: Commands) -> None:
    enrich = add_command(commands, "enrich", "gene sets that markers have in common")
    enrich.add_argument("markers", type=Path, metavar="MARKERS.csv", help="as the markers command writes it")
    enrich.add_argument(
        "--gene-sets", action="append", default=[], metavar="FILE.gmt", help="or reactome, go_bp; repeat"
    )
    enrich.add_argument("--top", type=int, default=100, metavar="N", help="first genes looked up of each group")
    enrich.add_argument("--ranking", action="store_true", help="where sets stand in the ranking of all genes, instead")
    add_output(enrich, "SETS.csv", "a row a gene set of each group")
    enrich.set_defaults(run=_enrich)


def _enrich(options: argparse.Namespace) -> None:
    from explorer.asking.comparing import describe_sets, read_markers, sets_of
    from explorer.writing.export import require_writable, write_table

    require_other(options.output, options.markers)
    require_writable(options.output)
    found = sets_of(read_markers(options.markers), options.gene_sets, top=options.top, ranking=options.ranking)
    write_table(found, options.output)
    print(describe_sets(found))


def _add_unknowns(commands: Commands) -> None:
    unknowns = add_command(commands, "unknowns", "group the cells that got no label, and say what marks each group")
    unknowns.add_argument("result", type=Path, metavar="RESULT.h5ad", help="as map writes it")
    unknowns.add_argument("--sample", metavar="COLUMN", help="says from how many samples a group comes")
    unknowns.add_argument("--level", metavar="LEVEL", help="label level; the main one if not given")
    unknowns.add_argument("--resolution", type=float, default=1.0, metavar="X", help="above 1 for more groups")
    unknowns.add_argument("--seed", type=int, default=0, metavar="N", help="0 if not given")
    unknowns.add_argument("--matrix", metavar="NAME", help="X, raw/X or layers/NAME; chosen by its values if not given")
    unknowns.add_argument("--name", action="append", metavar="GROUP=NAME", help="a name of your own; repeat")
    unknowns.add_argument("--named", type=Path, metavar="NAMED.h5ad", help="the result with the groups, for extend")
    unknowns.add_argument("--column", default="new_type", metavar="COLUMN", help="obs column of the groups in it")
    add_output(unknowns, "GROUPS.csv", "a row a group, with its markers")
    unknowns.set_defaults(run=_unknowns)


def _unknowns(options: argparse.Namespace) -> None:
    from explorer.asking.naming import given_names, write_named
    from explorer.insight.unknowns import unknowns
    from explorer.reading.query import open_query
    from explorer.report import describe_unknowns
    from explorer.writing.export import read_result, require_writable, write_table

    for path in filter(None, (options.output, options.named)):
        require_other(path, options.result)
        require_writable(path)
    given = given_names(options.name)
    with Bar() as progress:
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
