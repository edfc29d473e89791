"""Pictures of a scorecard: bars, curves, dots and tables of colour. Numbers in, svg text out.

Every contender keeps one colour on all pictures. The same numbers give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from components.theme import CATEGORICAL, LIGHT, MISSING_COLOR
from explorer.evaluation.contenders import BASELINES
from explorer.evaluation.scorecard import CONSENSUS, Record, pooled_reliability

_DASHES = {name: (0, (1 + 2 * i, 1.5)) for i, name in enumerate(BASELINES)}  # told apart without colour, too
_GREYS = dict(zip(BASELINES, (MISSING_COLOR, "#5b6472", "#b4866b"), strict=True))
LEAST_IN_BIN = 10  # cells of a bin that says anything
_WIDTH = 7.2  # inches; a page's column
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "scorecard", "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": LIGHT["soft"], "axes.labelcolor": LIGHT["ink"],
    "text.color": LIGHT["ink"], "xtick.color": LIGHT["soft"], "ytick.color": LIGHT["ink"], "axes.axisbelow": True,
    "legend.frameon": False,
}  # fmt: skip


def macro_f1(rows: Sequence[Record], records: Sequence[Record]) -> str:
    """Bars of the mean macro-F1, and a dot for each left-out batch (mean over seeds); the best on top."""
    ordered = sorted(rows, key=lambda row: row["macro_f1"])

    def draw(axes: Axes) -> None:
        for at, row in enumerate(ordered):
            axes.barh(at, row["macro_f1"], color=color(row["contender"]), height=0.62)
            _dots(axes, _by_batch(records, row["contender"], lambda r: r["macro_f1"]).values(), at)
            axes.text(1.012, at, f"{row['macro_f1']:.3f}", va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(ordered)), [row["title"] for row in ordered])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1.005)
        axes.set_xlabel("macro-F1 on left-out batches (dots: single batches)")
        axes.grid(axis="x", color=LIGHT["line"], linewidth=0.6)

    return _svg(draw, 0.9 + 0.32 * len(rows))


def reliability(rows: Sequence[Record], records: Sequence[Record]) -> str:
    """Accuracy against confidence over the cells of all left-out batches; on the diagonal both agree."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=LIGHT["line"], linewidth=1.2)
        for row in rows:
            curve = np.array(pooled_reliability([r for r in records if r["contender"] == row["contender"]]))
            sure, right, cells = curve[curve[:, 2] >= LEAST_IN_BIN].T
            told = f"{row['title']}: error {row['pooled_calibration_error']:.3f}"
            axes.plot(sure, right, label=told, **_line(row["contender"]))
            size = 60 * np.sqrt(cells / cells.sum())
            axes.scatter(sure, right, s=size, color=color(row["contender"]), linewidths=0)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="confidence", ylabel="share of labels that are right")
        _legend(axes)

    return _svg(draw, 3.6)


def risk_coverage(rows: Sequence[Record], records: Sequence[Record]) -> str:
    """Accuracy of the cells that are kept when only what is sure enough counts."""

    def draw(axes: Axes) -> None:
        for row in rows:
            kept, right = _pooled_risk([r for r in records if r["contender"] == row["contender"]])
            axes.plot(kept, right, label=row["title"], **_line(row["contender"]))
        axes.set(xlabel="share of cells kept, from all to the surest", ylabel="accuracy of the kept cells")
        axes.set_xlim(1.005, 0)
        axes.grid(color=LIGHT["line"], linewidth=0.6)
        _legend(axes)

    return _svg(draw, 3.4)


def coverage(rows: Sequence[Record], records: Sequence[Record], promise: str) -> str:
    """How often prediction sets hold the label beside what was asked for and stated (a stroke); small dots: a batch."""
    ordered = list(reversed(rows))

    def draw(axes: Axes) -> None:
        axes.axvspan(float(promise) - 0.02, float(promise) + 0.02, color=LIGHT["tint"])
        axes.axvline(float(promise), color=LIGHT["accent"], linewidth=1)
        for at, row in enumerate(ordered):
            found = row["coverage"][promise]
            _dots(axes, _by_batch(records, row["contender"], lambda r: r["coverage"][promise]["covered"]).values(), at)
            axes.plot(found["stated"], at, "|", color=LIGHT["ink"], markersize=14, markeredgewidth=1.5)
            axes.plot(found["covered"], at, "o", color=color(row["contender"]), markersize=8)
            told = f"{found['covered']:.3f}, {found['mean_size']:.2f} labels"
            axes.text(1.012, at, told, va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(ordered)), [row["title"] for row in ordered])
        axes.tick_params(axis="y", length=0)
        asked = f"asked for: {promise} (band: within 2 points); stroke: stated"
        axes.set_xlabel(f"share of cells whose set holds their label; {asked}")

    return _svg(draw, 0.9 + 0.3 * len(rows))


def strangers(types: Sequence[Record], rows: Sequence[Record], score: str) -> str:
    """Area under the ROC curve of a score, by type that was left out (rows) and contender; the hardest type on top.

    Parameters
    ----------
    score
        Its name in the records; contenders that do not have it are left out.
    """
    shown = [row for row in rows if row[score] is not None]
    cells = {r["type"]: r["unseen"] for r in types}
    values = np.full((len(cells), len(shown)), np.nan)
    for i, label in enumerate(cells):
        for j, row in enumerate(shown):
            found = [r[score] for r in types if (r["type"], r["contender"]) == (label, row["contender"])]
            values[i, j] = np.mean(found) if found else np.nan
    order = [int(i) for i in np.argsort(np.nanmean(values, 1), kind="stable")]
    names = [f"{label} ({n})" for label, n in cells.items()]

    def draw(axes: Axes) -> None:
        _table(axes, values[order], [names[i] for i in order], [row["title"] for row in shown], 0.5, 1.0)

    return _svg(draw, 1.3 + 0.28 * len(cells))


def confusion(records: Sequence[Record], classes: Sequence[str]) -> str:
    """How the cells of each label (rows) were labelled by the consensus, as shares of the row."""
    counts = np.sum([r["confusion"] for r in records if r["contender"] == CONSENSUS], axis=0)
    present = np.flatnonzero(counts.sum(1)).tolist()
    shares = counts[present][:, present] / np.maximum(counts[present].sum(1, keepdims=True), 1)
    names = [classes[i] for i in present]

    def draw(axes: Axes) -> None:
        _table(axes, shares, names, names, 0.0, 1.0, least=0.005)
        axes.set_ylabel("own label")
        axes.set_title("label given", fontsize=9)

    return _svg(draw, 1.6 + 0.3 * len(names))


def color(contender: str) -> str:
    """Baselines are grey or brown, the consensus is ink, methods have the colours of categories."""
    from explorer.methods import METHODS

    if contender == CONSENSUS:
        return LIGHT["ink"]
    return _GREYS[contender] if contender in _GREYS else CATEGORICAL[list(METHODS).index(contender)]


def _line(contender: str) -> dict[str, Any]:
    width = 2.0 if contender == CONSENSUS else 1.3
    return {"color": color(contender), "linewidth": width, "linestyle": _DASHES.get(contender, "-")}


def _dots(axes: Axes, values: Any, at: int) -> None:
    points = list(values)
    axes.plot(points, [at] * len(points), "o", markersize=3.2, color="white", markeredgecolor=LIGHT["ink"],
              markeredgewidth=0.7)  # fmt: skip


def _by_batch(records: Sequence[Record], contender: str, pick: Any) -> Mapping[str, float]:
    of = [r for r in records if r["contender"] == contender]
    return {
        batch: float(np.mean([pick(r) for r in of if r["left_out"] == batch]))
        for batch in dict.fromkeys(r["left_out"] for r in of)
    }


def _pooled_risk(of: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of cells kept and their accuracy, over the cells of all left-out batches, at each threshold."""
    total = sum(r["cells"] for r in of)
    kept: dict[float, float] = {}
    right: dict[float, float] = {}
    for record in of:
        for threshold, share, accuracy in record["risk_coverage"]:
            kept[threshold] = kept.get(threshold, 0.0) + share * record["cells"]
            right[threshold] = right.get(threshold, 0.0) + share * record["cells"] * accuracy
    cells = np.array([kept[each] for each in sorted(kept)])
    return cells / total, np.array([right[each] for each in sorted(kept)]) / cells


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, handlelength=2.4)


def _table(
    axes: Axes,
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    low: float,
    high: float,
    least: float = -np.inf,
) -> None:
    """A table of colour with its numbers; those below `least` are left out."""
    colors = LinearSegmentedColormap.from_list("page", [LIGHT["surface"], LIGHT["accent"]])
    axes.imshow(values, cmap=colors, vmin=low, vmax=high, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value) and value >= least:
            is_dark = (value - low) / (high - low) > 0.55
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if is_dark else "black")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color=LIGHT["line"])


def _svg(draw: Any, height: float) -> str:
    out = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    return out.getvalue()
