"""Compares cells that columns tell apart: markers of a group on cells, or between samples where they are named.

What the command line asks for, in words of columns and values; the arithmetic lies in `explorer.insight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.errors import FileProblem, GenesProblem, OptionsProblem
from explorer.flow import BoolArray, Query, Reference
from explorer.genesets import SHIPPED, read_collections
from explorer.insight.by_gene import of_genes
from explorer.insight.enrichment import TOP, enrich, enrich_ranking, leading_genes
from explorer.insight.markers import Markers, markers, markers_of_each
from explorer.insight.pseudobulk import SampleMarkers, TooFewSamples, compare_samples, sum_by_sample
from explorer.progress import Progress

LISTED = 12


@dataclass(frozen=True)
class Compared:
    """What was found of each group, and groups that had too few cells or samples to be compared."""

    found: tuple[Markers | SampleMarkers, ...]
    left_out: tuple[str, ...] = ()


def compare(
    source: Query | Reference,
    group: str,
    *,
    against: str | None = None,
    within: str | None = None,
    test: str = "wilcoxon",
    sample: str | None = None,
    donor: str | None = None,
    progress: Progress | None = None,
) -> Compared:
    """Markers of one value of a column, or of each.

    Parameters
    ----------
    group
        "COLUMN=VALUE", or "COLUMN" for each of its values against the rest.
    against
        Another value of that column; all other cells if not given.
    within
        "COLUMN=VALUE": only these cells are looked at.
    test
        "wilcoxon" or "t", on cells; not used between samples.
    sample
        Column that names samples: they are then compared, by their summed counts, not cells.
    donor
        Column that names the donor of each sample; samples of donors who are on both sides are compared in pairs.

    Raises
    ------
    OptionsProblem
        If a column or value does not exist, or too few cells or samples are left of all that was asked for.
    """
    obs = source.obs
    looked_at = np.ones(len(obs), bool) if within is None else cells_told(obs, within)
    column, named, value = group.partition("=")
    _require(obs, column)
    told = obs[column].astype("object").where(obs[column].notna()).map(str, na_action="ignore")
    if named:
        inside = _equal(told, column, value) & looked_at
        outside = (told.notna().to_numpy() if against is None else _equal(told, column, against)) & looked_at & ~inside
        other = against or "rest"
        if sample is not None:
            return Compared((_between_samples(source, sample, donor, inside, outside, (value, other), progress),))
        found = markers(of_genes(source), inside, outside, test=test, group=value, against=other, progress=progress)
        return Compared((found,))
    if against is not None:
        raise OptionsProblem(f"--against {against} needs one value to hold against it: --group {column}=VALUE.")
    codes, values = pd.factorize(told.where(looked_at), sort=True, use_na_sentinel=True)
    names = [str(name) for name in values]
    if sample is None:
        of_cells = markers_of_each(of_genes(source), names, codes.astype(np.int32), test=test, progress=progress)
        return Compared(tuple(of_cells.values()), tuple(name for name in names if name not in of_cells))
    return _each_between_samples(source, sample, donor, names, codes, progress or Progress())


def _each_between_samples(
    source: Query | Reference,
    sample: str,
    donor: str | None,
    names: Sequence[str],
    codes: NDArray[np.integer],
    progress: Progress,
) -> Compared:
    answers, problems = [], {}
    for number, name in enumerate(names):
        part = progress.part(progress.stage, number / len(names), (number + 1) / len(names))
        inside, outside = codes == number, (codes >= 0) & (codes != number)
        try:
            answers.append(_between_samples(source, sample, donor, inside, outside, (name, "rest"), part))
        except TooFewSamples as problem:
            problems[name] = problem
    if not answers:
        raise next(iter(problems.values()), OptionsProblem("There is no value to compare: the column is empty."))
    return Compared(tuple(answers), tuple(problems))


def table_of(compared: Compared) -> pd.DataFrame:
    """All tables below one another, with the columns group and against before theirs."""
    parts = []
    for each in compared.found:
        part = each.table.copy()
        part.insert(0, "group", each.group)
        part.insert(1, "against", each.against)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def describe(compared: Compared, top: int = LISTED) -> str:
    """A line a group: what was compared, on how many, and its first genes; then how to read them."""
    lines = []
    for each in compared.found:
        unit = "samples" if isinstance(each, SampleMarkers) else "cells"
        pairs = f", {each.paired} donors on both sides" if isinstance(each, SampleMarkers) and each.paired else ""
        genes = ", ".join(each.table["gene"].astype(str).head(top))
        lines.append(f"{each.group} ({each.inside:,} {unit}) against {each.against} ({each.outside:,}{pairs}): {genes}")
    if compared.left_out:
        lines.append(f"Left out, with too few cells or samples: {', '.join(compared.left_out)}")
    if any(isinstance(each, Markers) for each in compared.found):
        lines.append(
            "p-values take cells for independent, which those of one sample are not: they rank genes. Name a sample "
            "column (--sample) to test between samples."
        )
    return "\n".join(lines)


def read_markers(path: Path) -> pd.DataFrame:
    """A table of markers, as `table_of` makes it.

    Raises
    ------
    FileProblem
        If the file is missing, or lacks the columns gene, score and adjusted_p.
    """
    if not path.is_file():
        raise FileProblem(f"There is no file {path}. Make one with: atlas-explorer markers RESULT.h5ad --group COLUMN")
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (ValueError, UnicodeDecodeError) as error:
        raise FileProblem(f"{path.name} cannot be read as a table of comma-separated values.") from error
    missing = {"gene", "score", "adjusted_p"} - set(table.columns)
    if missing:
        raise FileProblem(
            f"{path.name} lacks the column {', '.join(sorted(missing))}. A table of markers holds gene, score and "
            "adjusted_p, as `atlas-explorer markers` writes it."
        )
    return table


def sets_of(
    table: pd.DataFrame, collections: Sequence[str] = (), *, top: int = TOP, ranking: bool = False
) -> pd.DataFrame:
    """Gene sets that the markers of each group have in common, below one another.

    Parameters
    ----------
    table
        As `table_of` makes it; without a column group it is one group.
    collections
        GMT files, or names of those that come with the program; all of the latter if none is given.
    top
        First genes of each group that are looked up among all genes of the table.
    ranking
        Ask instead where the genes of a set stand in the ranking of all genes.

    Raises
    ------
    FileProblem
        If a collection does not exist.
    GenesProblem
        If no group has a gene that stands out, or the sets do not hold the genes measured.
    """
    sets = read_collections(collections or SHIPPED)
    groups = table.groupby("group", sort=False) if "group" in table else [("", table)]
    parts, without = [], []
    for name, own in groups:
        if ranking:
            found = enrich_ranking(own["gene"].astype(str).to_numpy(object), own["score"].to_numpy(float), sets)
        elif leading := leading_genes(own, top):
            found = enrich(leading, sets, own["gene"].astype(str).to_numpy(object))
        else:
            without.append(str(name))
            continue
        found.insert(0, "group", name)
        parts.append(found)
    if not parts:
        raise GenesProblem(
            f"No gene of {', '.join(without) or 'this table'} has a score above 0 and an adjusted p below 0.05, so "
            "there is nothing to look up. Ask where sets stand in the ranking of all genes instead (--ranking)."
        )
    return pd.concat(parts, ignore_index=True)


def describe_sets(found: pd.DataFrame, top: int = 3) -> str:
    """A line a group with its first gene sets."""
    lines = []
    for name, own in found.groupby("group", sort=False):
        listed = (f"{row.gene_set} (adjusted p {row.adjusted_p:.2g})" for row in own.head(top).itertuples())
        lines.append(f"{str(name) or 'all'}: {', '.join(listed)}")
    return "\n".join(lines)


def _between_samples(
    source: Query | Reference,
    sample: str,
    donor: str | None,
    inside: BoolArray,
    outside: BoolArray,
    names: tuple[str, str],
    progress: Progress | None,
) -> SampleMarkers:
    _require(source.obs, sample)
    donors = None
    if donor is not None:
        _require(source.obs, donor)
        own = source.obs.groupby(source.obs[sample].astype(str), observed=True)[donor]
        if (own.nunique() > 1).any():
            several = str(own.nunique().idxmax())
            raise OptionsProblem(f"Sample {several} of {sample!r} has cells of several donors by {donor!r}.")
        donors = {str(name): str(value) for name, value in own.first().items()}
    summed = sum_by_sample(source, source.obs[sample], inside, outside, progress)
    return compare_samples(summed, donors=donors, group=names[0], against=names[1])


def cells_told(obs: pd.DataFrame, told: str) -> BoolArray:
    """Cells that are told as COLUMN=VALUE, bool (n,).

    Raises
    ------
    OptionsProblem
        If it is no such words, or there is no such column or value.
    """
    column, named, value = told.partition("=")
    if not named:
        raise OptionsProblem(f"Which cells to look at is told by COLUMN=VALUE, not by {told!r}.")
    _require(obs, column)
    return _equal(obs[column].astype("object").map(str, na_action="ignore"), column, value)


def _equal(told: pd.Series, column: str, value: str) -> BoolArray:
    found = (told == value).to_numpy(bool)
    if not found.any():
        values = [str(each) for each in told.dropna().unique()]
        more = f" and {len(values) - LISTED} more" if len(values) > LISTED else ""
        raise OptionsProblem(f"No cell has {column}={value}; there are {', '.join(values[:LISTED])}{more}.")
    return found


def _require(obs: pd.DataFrame, column: str) -> None:
    if column not in obs.columns:
        columns = ", ".join(map(str, obs.columns)) or "none"
        raise OptionsProblem(f"These cells have no column {column!r}; they have: {columns}.")
