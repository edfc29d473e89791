"""Which genes tell some cells from others, as one tab asks for it: what can be compared, and what was found.

Pure functions of what was opened; the arithmetic lies in `explorer.insight`. Knows no widgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.coloring import Categories
from components.distributions import outlines
from components.theme import category_colors
from explorer import keys
from explorer.app.colors.coloring import column_colors, label_categories
from explorer.app.colors.paints import PAINTS, Paints
from explorer.app.stored.library import Outcome
from explorer.errors import OptionsProblem
from explorer.flow import BoolArray, FloatArray, Query, Reference
from explorer.insight.by_gene import ByGene, of_genes
from explorer.insight.markers import Markers, markers
from explorer.insight.pseudobulk import SampleMarkers, compare_samples, sum_by_sample
from explorer.jobs.asked import query_of
from explorer.jobs.specs import MapSpec
from explorer.progress import Progress
from explorer.reference import read_gene
from explorer.writing.export import read_gene_values

SELECTION, LABEL = "selection", "label"
REST = "all other cells"
TESTS = {"wilcoxon": "ranks (Wilcoxon)", "t": "means (Welch's t)", "samples": "between samples"}
TOP_GENES = 8
MOST_GENES = 30     # in a picture
MOST_GROUPS = 40    # in a picture


@dataclass(frozen=True)
class Front:
    """The cells in front and where their expression lies.

    Attributes
    ----------
    outcome
        Theirs, where they are a query's; `None` for the reference's own cells.
    spec
        How the query was mapped, to read its counts again.
    paints
        The colours chosen for categories.
    beside
        The query in view while the reference's own cells are in front: a name that both have has one colour.
    """

    reference: Reference
    level: str
    outcome: Outcome | None = None
    spec: MapSpec | None = None
    paints: Paints = PAINTS
    beside: Outcome | None = None

    @property
    def obs(self) -> pd.DataFrame:
        """What is told of each cell."""
        return self.outcome.result.obs if self.outcome is not None else self.reference.obs

    def by_gene(self) -> ByGene:
        """Their expression, a gene at a time.

        Raises
        ------
        AtlasError
            If it was not kept or not shared.
        """
        if self.outcome is None:
            return of_genes(self.reference)
        path = self.outcome.folder / keys.EXPRESSION_FILE
        if not path.exists():
            raise OptionsProblem("This result keeps no expression, so genes cannot be compared. Map the cells again.")
        return of_genes(path)

    def values(self, gene: str) -> FloatArray:
        """log1p CP10k of one gene, float32 (n,)."""
        if self.outcome is None:
            return read_gene(self.reference, gene)
        return read_gene_values(self.outcome.folder / keys.EXPRESSION_FILE, gene)

    def counted(self) -> Query | Reference:
        """Their counts."""
        if self.outcome is None or self.spec is None:
            return self.reference
        return query_of(self.spec)


@dataclass(frozen=True)
class Contrast:
    """What is compared.

    Attributes
    ----------
    by
        `SELECTION`, `LABEL` (those of the level in view) or an obs column.
    group, against
        Names of two groups; `REST` for all other cells.
    test
        One of `TESTS`.
    sample
        obs column that names samples, for the test between them.
    """

    by: str
    group: str
    against: str = REST
    test: str = "wilcoxon"
    sample: str = ""


@dataclass(frozen=True)
class Found:
    """Genes that tell some cells from others.

    Attributes
    ----------
    inside, outside
        bool (n,), the cells compared.
    cells
        Names of all n.
    """

    contrast: Contrast
    markers: Markers | SampleMarkers
    inside: BoolArray
    outside: BoolArray
    cells: pd.Index

    @property
    def table(self) -> pd.DataFrame:
        """All genes, the highest score first."""
        return self.markers.table

    @property
    def words(self) -> str:
        """What was compared with what, on how many, and how to read it."""
        told, sampled = self.markers, isinstance(self.markers, SampleMarkers)
        unit = "samples" if sampled else "cells"
        pairs = f", {told.paired} on both sides" if isinstance(told, SampleMarkers) and told.paired else ""
        caution = (
            "Samples are compared by their summed counts, so p-values hold for samples like these."
            if sampled else "p-values take cells for independent, which those of one sample are not: they rank genes."
        )  # fmt: skip
        return f"{told.group} ({told.inside:,} {unit}) against {told.against} ({told.outside:,}{pairs}). {caution}"


@dataclass(frozen=True)
class Panel:
    """How some genes are expressed in some groups of cells.

    Attributes
    ----------
    means, shares
        Mean log1p CP10k and share of cells with any: a list a group, one a gene.
    shapes, medians, tops
        As `components.distributions.outlines` finds them, a list a gene.
    counts
        Cells of each group.
    """

    genes: tuple[str, ...]
    groups: tuple[str, ...]
    colors: tuple[str, ...]
    means: list[list[float]]
    shares: list[list[float]]
    shapes: list[list[list[float]]]
    medians: list[list[float | None]]
    tops: list[float]
    counts: tuple[int, ...]

    @property
    def scaled(self) -> list[list[float]]:
        """Means as parts of their gene's largest one, in [0, 1], for each gene a list of groups.

        A gene that no group shows is 0 throughout.
        """
        means = np.array(self.means, dtype=float).reshape(len(self.groups), len(self.genes))
        tops = means.max(axis=0, initial=0.0)
        scaled: list[list[float]] = (means / np.where(tops > 0, tops, 1.0)).T.round(4).tolist()
        return scaled

    @property
    def told(self) -> list[list[str]]:
        """What is said of each gene in each group: a list a gene."""
        return [
            [
                f"{gene} in {group} (n = {n:,}): mean log1p CP10k {mean[at]:.2f}, in {share[at]:.0%} of cells"
                for group, n, mean, share in zip(self.groups, self.counts, self.means, self.shares, strict=True)
            ]
            for at, gene in enumerate(self.genes)
        ]


def grouping(front: Front, by: str, selection: NDArray[np.integer] | None = None) -> Categories:
    """The groups that cells in front fall into.

    Raises
    ------
    OptionsProblem
        If nothing is selected, or there is no such column.
    """
    if by == LABEL:
        side = "query" if front.outcome is not None else "reference"
        return label_categories(front.reference, front.outcome, front.level, side, front.paints)
    if by == SELECTION:
        if selection is None or len(selection) == 0:
            raise OptionsProblem("No cells are selected. Draw around some on the map, or compare labels.")
        inside = np.ones(len(front.obs), dtype=np.int32)
        inside[selection] = 0
        return Categories(inside, ("selection", "others"), category_colors(("selection", "others")), "Selection")
    if by not in front.obs:
        raise OptionsProblem(f"There is no column {by!r} among these cells. Choose another one.")
    column = front.obs[by]
    codes, values = pd.factorize(column.astype(object).where(column.notna()), sort=True, use_na_sentinel=True)
    names = tuple(str(value) for value in values)
    known = column_colors(by, front.outcome or front.beside, front.reference, front.level, front.paints)
    return Categories(codes.astype(np.int32), names, category_colors(names, known), by)


def sides(front: Front, contrast: Contrast, selection: NDArray[np.integer] | None) -> tuple[BoolArray, BoolArray]:
    """The cells of a contrast and those that they are held against, bool (n,) each.

    Raises
    ------
    OptionsProblem
        If one of the groups does not exist.
    """
    groups = grouping(front, contrast.by, selection)
    inside = groups.codes == 0 if contrast.by == SELECTION else _of(groups, contrast.group)
    if contrast.against == REST:
        return inside, ~inside & (np.asarray(groups.codes) >= 0)
    others = grouping(front, LABEL) if contrast.by == SELECTION else groups
    return inside, _of(others, contrast.against) & ~inside


def shown_groups(
    front: Front, by: str, selection: NDArray[np.integer] | None = None, found: Found | None = None
) -> Categories:
    """The groups of a picture.

    Parameters
    ----------
    by
        What groups cells, as for `grouping`. A selection is shown beside what it was compared with, or beside all
        other cells where it was not; any other choice waits until its groups are compared.
    found
        What was compared last.

    Raises
    ------
    OptionsProblem
        As `grouping`.
    """
    compared = found.contrast.by if found is not None else ""
    if by == SELECTION:
        sides_now = grouping(front, SELECTION, selection)
        if found is None or compared != SELECTION or not np.array_equal(found.inside, sides_now.codes == 0):
            return _two(sides_now.codes == 0, sides_now.codes == 1, REST)
    if found is not None and compared == SELECTION:
        return _two(found.inside, found.outside, found.contrast.against)
    return grouping(front, compared or by)


def _two(inside: BoolArray, outside: BoolArray, against: str) -> Categories:
    names = ("selection", against)
    return Categories(np.where(inside, 0, np.where(outside, 1, -1)).astype(np.int32), names, category_colors(names))


def find(
    front: Front, contrast: Contrast, selection: NDArray[np.integer] | None, progress: Progress | None = None
) -> Found:
    """Compare all genes.

    Raises
    ------
    AtlasError
        If a side has too few cells or samples, or there is no expression or no counts to compare.
    Cancelled
        From `progress`.
    """
    inside, outside = sides(front, contrast, selection)
    told = ("the selection" if contrast.by == SELECTION else contrast.group, contrast.against)
    if contrast.test != "samples":
        found: Markers | SampleMarkers = markers(
            front.by_gene(), inside, outside, test=contrast.test, group=told[0], against=told[1], progress=progress
        )
        return Found(contrast, found, inside, outside, front.obs.index)
    if contrast.sample not in front.obs:
        raise OptionsProblem("Samples are compared by a column that names them. Choose one under Samples.")
    summed = sum_by_sample(front.counted(), front.obs[contrast.sample], inside, outside, progress)
    between = compare_samples(summed, group=told[0], against=told[1])
    return Found(contrast, between, inside, outside, front.obs.index)


def panel(front: Front, genes: Sequence[str], groups: Categories) -> Panel:
    """How genes are expressed in the groups, those of most cells where there are very many.

    Raises
    ------
    AtlasError
        If a gene cannot be read.
    """
    counts = groups.counts
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_GROUPS])
    kept = kept[counts[kept] > 0]
    place = np.full(len(groups.names) + 1, -1)
    place[kept] = np.arange(len(kept))
    codes = place[np.asarray(groups.codes)]
    n = np.maximum(np.bincount(codes[codes >= 0], minlength=len(kept)), 1)
    means, shares, shapes, medians, tops = [], [], [], [], []
    for gene in genes[:MOST_GENES]:
        values = front.values(gene)
        held = codes >= 0
        means.append(np.bincount(codes[held], values[held], len(kept)) / n)
        shares.append(np.bincount(codes[held], values[held] > 0, len(kept)) / n)
        shape, median, top = outlines(values, codes, len(kept))
        shapes.append(shape)
        medians.append(median)
        tops.append(top)
    return Panel(
        tuple(genes[:MOST_GENES]),
        tuple(groups.names[at] for at in kept),
        tuple(groups.colors[at] for at in kept),
        [[round(float(mean[at]), 4) for mean in means] for at in range(len(kept))],
        [[round(float(share[at]), 4) for share in shares] for at in range(len(kept))],
        shapes,
        medians,
        tops,
        tuple(int(counts[at]) for at in kept),
    )


def _of(groups: Categories, name: str) -> BoolArray:
    if name not in groups.names:
        listed = ", ".join(groups.names[:12])
        raise OptionsProblem(f"There is no group {name!r} among these cells; there are {listed}. Choose one of them.")
    return np.asarray(groups.codes) == groups.names.index(name)
