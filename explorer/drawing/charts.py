"""Charts beside maps on a page: composition, dots, heat map, confusion, histogram and more. Tables in, axes filled.

All marks and letters are vectors; sizes are those of print. Knows tables, not where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from components.theme import ACCENT, SEQUENTIAL
from explorer.drawing.gene_charts import (
    Violins,
    Volcano,
    describe_violins,
    describe_volcano,
    draw_violins,
    draw_volcano,
)
from explorer.drawing.legends import Group

_LINE = 0.5
_LARGEST_DOT = 28.0  # square points, of a gene that every cell expresses


@dataclass(frozen=True, eq=False)
class Bars:
    """Composition: one stacked bar a sample.

    Attributes
    ----------
    counts
        Samples x categories, cells.
    colors
        "#rrggbb" of each category.
    legend
        What the categories are; a map coloured by the same shares the legend.
    title
        Written above; empty for none.
    """

    counts: pd.DataFrame
    colors: Mapping[str, str]
    legend: str = ""
    title: str = ""


@dataclass(frozen=True, eq=False)
class Dots:
    """Markers: colour is mean expression, size is the share of cells that express the gene.

    Attributes
    ----------
    mean, share
        Labels x genes: mean log1p CP10k, and the share of cells above zero.
    title
        Written above; empty for none.
    """

    mean: pd.DataFrame
    share: pd.DataFrame
    title: str = ""


@dataclass(frozen=True, eq=False)
class Heat:
    """Markers: colour is mean expression as a part of the gene's largest mean, so that genes compare by where they are.

    Attributes
    ----------
    mean
        Labels x genes: mean log1p CP10k.
    counts
        Cells of each label, in the same order.
    title
        Written above; empty for none.
    """

    mean: pd.DataFrame
    counts: Sequence[int]
    title: str = ""

    @property
    def scaled(self) -> pd.DataFrame:
        """Genes x labels in [0, 1]; 0 throughout for a gene that no label shows."""
        return self.mean.div(self.mean.max().where(self.mean.max() > 0, 1.0)).T


@dataclass(frozen=True, eq=False)
class Confusion:
    """Own labels against predicted ones.

    Attributes
    ----------
    counts
        Own x predicted, cells; shown as shares of each row.
    title
        Written above; empty for none.
    """

    counts: pd.DataFrame
    title: str = ""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often a value between 0 and 1 occurs, with the threshold.

    Attributes
    ----------
    values
        float (n,).
    name
        What they are.
    threshold
        Where a line is drawn; `None` for none.
    title
        Written above; empty for none.
    """

    values: NDArray[np.floating] = field(default_factory=lambda: np.zeros(0))
    name: str = "Confidence"
    threshold: float | None = None
    title: str = ""


Chart = Bars | Dots | Heat | Confusion | Histogram | Violins | Volcano


def draw_chart(axes: Axes, chart: Chart, font: float = 7.0) -> None:
    """Fill axes with a chart, in letters of `font` points."""
    for side in axes.spines.values():
        side.set_linewidth(_LINE)
    axes.tick_params(labelsize=font, length=1.5, width=_LINE, pad=1.5)
    match chart:
        case Bars():
            _draw_bars(axes, chart, font)
        case Dots():
            _draw_dots(axes, chart, font)
        case Heat():
            names = [f"{name} (n = {n:,})" for name, n in zip(chart.mean.index, chart.counts, strict=True)]
            _draw_fields(axes, chart.scaled.set_axis(names, axis="columns"))
            for gene in axes.get_yticklabels():
                gene.set_fontstyle("italic")
        case Confusion():
            _draw_fields(axes, _of_rows(chart.counts))
        case Histogram():
            _draw_histogram(axes, chart, font)
        case Violins():
            draw_violins(axes, chart, font)
        case Volcano():
            draw_volcano(axes, chart, font)


def describe_chart(chart: Chart) -> str:
    """The sentence that belongs below a chart, with its n."""
    match chart:
        case Bars():
            n = int(chart.counts.to_numpy().sum())
            return f"Share of cells by {chart.legend} in each of {len(chart.counts):,} samples (n = {n:,} cells)."
        case Dots():
            return (
                f"Expression of {chart.mean.shape[1]:,} genes: colour, mean log1p CP10k; size, share of cells with "
                "at least one count, the largest dot being all of them."
            )
        case Heat():
            return (
                f"Expression of {chart.mean.shape[1]:,} genes: mean log1p CP10k of each group's cells, as a part of "
                f"the gene's largest (n = {sum(chart.counts):,} cells)."
            )
        case Confusion():
            n = int(chart.counts.to_numpy().sum())
            return f"Own labels (rows) against predicted ones (columns), share of each row (n = {n:,} cells)."
        case Histogram():
            n = int(np.isfinite(chart.values).sum())
            if chart.threshold is None:
                return f"{chart.name} of {n:,} cells."
            kept = int((chart.values >= chart.threshold).sum())
            return (
                f"{chart.name} of {n:,} cells; the line marks {chart.threshold:.2f}, which {kept:,} "
                f"({kept / max(n, 1):.0%}) reach."
            )
        case Violins():
            return describe_violins(chart)
        case Volcano():
            return describe_volcano(chart)


def legend_of_chart(chart: Chart) -> Group | None:
    """What the legend of a chart says; `None` for a chart that explains itself."""
    match chart:
        case Bars():
            names = tuple(str(name) for name in chart.counts.columns if chart.counts[name].sum())
            return Group(chart.legend, names, tuple(chart.colors[name] for name in names))
        case Dots():
            return Group("Mean log1p CP10k", scale=(0.0, _top(chart)), colormap=SEQUENTIAL)
        case Heat():
            return Group("Part of the gene's largest mean", scale=(0.0, 1.0), colormap=SEQUENTIAL)
        case Confusion():
            return Group("Share of row", scale=(0.0, 1.0), colormap=SEQUENTIAL)
        case Violins():
            names = tuple(chart.groups.names[at] for at in chart.shown)
            return Group(chart.groups.title, names, tuple(chart.groups.colors[at] for at in chart.shown))
        case _:
            return None


def _top(chart: Dots) -> float:
    return max(float(chart.mean.to_numpy().max(initial=0.0)), 1e-6)


def _draw_bars(axes: Axes, chart: Bars, font: float) -> None:
    totals = chart.counts.sum(axis=1)
    shares = chart.counts.div(totals.clip(lower=1), axis=0)
    left = np.zeros(len(shares))
    for name in shares.columns:
        axes.barh(np.arange(len(shares)), shares[name], left=left, color=chart.colors[str(name)], height=0.8, lw=0)
        left += shares[name].to_numpy()
    labels = [f"{sample} (n = {n:,})" for sample, n in totals.items()]
    axes.set_yticks(np.arange(len(shares)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("Share of cells", fontsize=font)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_dots(axes: Axes, chart: Dots, font: float) -> None:
    rows, columns = np.indices(chart.mean.shape)
    size = chart.share.to_numpy() * _LARGEST_DOT
    axes.scatter(columns, rows, s=size, c=chart.mean.to_numpy(), cmap=SEQUENTIAL, vmin=0, vmax=_top(chart), lw=0)
    axes.set_xticks(np.arange(chart.mean.shape[1]), list(chart.mean.columns), rotation=90, style="italic")
    axes.set_yticks(np.arange(chart.mean.shape[0]), list(chart.mean.index))
    axes.set_xlim(-0.7, chart.mean.shape[1] - 0.3)
    axes.set_ylim(chart.mean.shape[0] - 0.3, -0.7)
    axes.set_xlabel("Size: % of cells", fontsize=max(font - 1, 4))


def _of_rows(counts: pd.DataFrame) -> pd.DataFrame:
    return counts.div(counts.sum(axis=1).clip(lower=1), axis=0)


def _draw_fields(axes: Axes, shares: pd.DataFrame) -> None:
    # squares drawn as shapes stay sharp in every viewer; an image of so few pixels would be smoothed in some
    axes.pcolormesh(shares.to_numpy(), cmap=SEQUENTIAL, vmin=0, vmax=1, edgecolors="white", linewidth=0.25)
    axes.set_xticks(np.arange(shares.shape[1]) + 0.5, [str(name) for name in shares.columns], rotation=90)
    axes.set_yticks(np.arange(shares.shape[0]) + 0.5, [str(name) for name in shares.index])
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)


def _draw_histogram(axes: Axes, chart: Histogram, font: float) -> None:
    values = chart.values[np.isfinite(chart.values)]
    axes.hist(values, bins=np.linspace(0, 1, 41).tolist(), color=ACCENT, lw=0)
    axes.set_xlim(0, 1)
    axes.set_xlabel(chart.name, fontsize=font)
    axes.set_ylabel("Cells", fontsize=font)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.threshold is not None:
        axes.axvline(chart.threshold, color="0.2", lw=0.75, ls="--")
