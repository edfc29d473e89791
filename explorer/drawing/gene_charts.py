"""Charts of genes that need more than fields of a table: violins and a volcano. Numbers in, axes filled.

All marks and letters are vectors; shapes, and which dots carry names, are those of the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from components.coloring import Categories
from components.distributions import outlines, told_apart
from components.theme import ACCENT

_LINE = 0.5
_HALF = 0.44                      # of a violin at its widest, in groups
_UP, _DOWN, _FEW = ACCENT, "#8a5300", "#b4bac3"  # as the volcano of the screen has them
_LEAST_FOLD = 1.0                 # log2; dots nearer to 0 are grey
_HIGHEST = 300.0                  # of -log10 p, where p is 0 to a computer
_NAMED = 12
_PLACES = (
    ((2.0, 0.0), "left", "center"), ((-2.0, 0.0), "right", "center"), ((0.0, 2.0), "center", "bottom"),
    ((0.0, -2.0), "center", "top"), ((2.0, 4.0), "left", "bottom"), ((-2.0, -4.0), "right", "top"),
    ((-2.0, 4.0), "right", "bottom"), ((2.0, -4.0), "left", "top"), ((-4.0, 9.0), "right", "bottom"),
    ((-4.0, -9.0), "right", "top"), ((-4.0, -16.0), "right", "top"), ((4.0, -9.0), "left", "top"),
)  # fmt: skip
"""Where a name may stand beside its dot: offset in points, and what of the name lies there."""


@dataclass(frozen=True, eq=False)
class Violins:
    """How some genes are distributed over groups of cells.

    Attributes
    ----------
    values
        n cells x genes, log1p CP10k.
    groups
        Which of them each cell belongs to; groups without a cell are not drawn. A map coloured by the same shares the
        legend.
    title
        Written above; empty for none.
    """

    values: pd.DataFrame
    groups: Categories
    title: str = ""

    @property
    def shown(self) -> NDArray[np.int64]:
        """Positions of the groups that hold cells."""
        return np.flatnonzero(self.groups.counts)


@dataclass(frozen=True, eq=False)
class Volcano:
    """Genes compared between two groups: how large the difference is beside how sure.

    Attributes
    ----------
    names
        Genes (g,), the most telling first.
    change
        float (g,), log2 fold change.
    p
        float (g,), adjusted.
    compared
        What was compared with what, in words.
    least
        Genes of a larger adjusted p are grey.
    title
        Written above; empty for none.
    """

    names: Sequence[str]
    change: NDArray[np.floating]
    p: NDArray[np.floating]
    compared: str
    least: float = 0.05
    title: str = ""

    @property
    def height(self) -> NDArray[np.float64]:
        """-log10 of the adjusted p, at most 300."""
        return np.asarray(-np.log10(np.maximum(np.asarray(self.p, np.float64), 10**-_HIGHEST)))

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Genes that are not grey."""
        return np.asarray((np.abs(self.change) >= _LEAST_FOLD) & (np.asarray(self.p) <= self.least))


def draw_violins(axes: Axes, chart: Violins, font: float) -> None:
    """A row a gene, each with a scale of its own from 0 to its largest value, and a violin a group."""
    kept = chart.shown
    place = np.full(len(chart.groups.names) + 1, -1)
    place[kept] = np.arange(len(kept))
    codes = place[np.asarray(chart.groups.codes)]
    genes = list(chart.values.columns)
    for row, gene in enumerate(genes):
        shapes, medians, top = outlines(chart.values[gene].to_numpy(float), codes, len(kept))
        floor = len(genes) - row - 1.0
        axes.axhline(floor, color="0.85", lw=_LINE, zorder=0)
        for column, (widths, median) in enumerate(zip(shapes, medians, strict=True)):
            if median is None:
                continue
            y = floor + 0.9 * (np.arange(len(widths)) + 0.5) / len(widths)
            half = _HALF * np.array(widths)
            color = chart.groups.colors[kept[column]]
            axes.fill_betweenx(y, column - half, column + half, facecolor=color, edgecolor="0.35", lw=0.25)
            at = floor + 0.9 * median / top
            axes.plot([column - _HALF / 2, column + _HALF / 2], [at, at], color="black", lw=0.75)
        axes.text(-0.62, floor + 0.9, f"{top:.2g}", fontsize=max(font - 2, 4), va="top", ha="left", color="0.4")
    axes.set_xticks([])  # the legend names the groups, in the order of the violins
    axes.set_yticks(len(genes) - np.arange(len(genes)) - 0.55, genes, style="italic")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.7, len(kept) - 0.3)
    axes.set_ylim(0, len(genes))
    axes.spines[["top", "right", "left"]].set_visible(False)


def draw_volcano(axes: Axes, chart: Volcano, font: float) -> None:
    """A dot a gene; those beyond both limits in colour, the first of them with their names."""
    x, y = np.asarray(chart.change, float), chart.height
    kept, labelled = told_apart(x, y, (_LEAST_FOLD, -float(np.log10(chart.least))), _NAMED)
    beyond = chart.beyond
    for rows, color in (
        (kept[~beyond[kept]], _FEW), (kept[beyond[kept] & (x[kept] > 0)], _UP),
        (kept[beyond[kept] & (x[kept] < 0)], _DOWN),
    ):  # fmt: skip
        axes.scatter(x[rows], y[rows], s=3.0, color=color, lw=0)
    far = max(1.0, float(np.abs(x[kept]).max(initial=0.0))) * 1.15
    axes.set_xlim(-far, far)
    axes.set_ylim(0, max(1.0, float(y[kept].max(initial=0.0))) * 1.08)
    axes.axvline(0, color="0.6", lw=_LINE, zorder=0)
    for at in (-_LEAST_FOLD, _LEAST_FOLD):
        axes.axvline(at, color="0.8", lw=_LINE, ls="--", zorder=0)
    axes.axhline(-np.log10(chart.least), color="0.8", lw=_LINE, ls="--", zorder=0)
    axes.set_xlabel("log2 fold change", fontsize=font)
    axes.set_ylabel("−log10 adjusted p", fontsize=font)
    axes.spines[["top", "right"]].set_visible(False)
    for at in labelled:
        axes.annotate(
            chart.names[at], (x[at], y[at]), (2, 0), textcoords="offset points", fontsize=font - 1, style="italic",
            ha="left", va="center",
        )  # fmt: skip


def part_names(axes: Axes) -> None:
    """Move the names of dots to where they lie on no other name and inside the axes; those without a place go.

    The most important come first, so theirs is the first choice.
    """
    room, kept = axes.get_window_extent(), list[Bbox]()
    for text in [each for each in axes.texts if isinstance(each, Annotation)]:
        for offset, horizontal, vertical in _PLACES:
            text.set_position(offset)
            text.set(ha=horizontal, va=vertical)
            box = text.get_window_extent()
            inside = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
            if inside and not any(box.overlaps(other) for other in kept):
                kept.append(box)
                break
        else:
            text.remove()


def describe_violins(chart: Violins) -> str:
    """What a reader must know of violins."""
    n = int(np.asarray(chart.groups.counts).sum())
    return (
        f"Expression of {chart.values.shape[1]:,} genes by {chart.groups.title}, log1p CP10k from 0 to each gene's "
        f"largest value: smoothed histograms in the order of the legend, all as wide at their widest; the line is the "
        f"median (n = {n:,} cells)."
    )


def describe_volcano(chart: Volcano) -> str:
    """What a reader must know of a volcano."""
    beyond = chart.beyond
    up = int((beyond & (np.asarray(chart.change) > 0)).sum())
    return (
        f"{chart.compared}. {len(chart.names):,} genes; in colour {up:,} that are higher and "
        f"{int(beyond.sum()) - up:,} that are lower, by a log2 fold change of at least {_LEAST_FOLD:g} at an adjusted "
        f"p of at most {chart.least:g}."
    )
