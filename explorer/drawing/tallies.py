"""Charts from cells: what is counted and averaged for the panels beside maps, alike for the page and the shell.

    composition(labels, samples)           cells by sample and label
    confusion(labels, own)                 cells by own label and label
    sureness(level)                        how often which confidence occurs
    genes_by_group(DOTS, values, groups)   genes by label, as dots, a heat map or violins
    compared_genes(markers)                genes of a comparison, as a volcano

Knows columns and colours, not where they were read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.coloring import Categories
from explorer.drawing.charts import Bars, Chart, Confusion, Dots, Heat, Histogram
from explorer.drawing.columns import MOST_CATEGORIES, is_measured
from explorer.drawing.gene_charts import Violins, Volcano
from explorer.errors import OptionsProblem
from explorer.flow import LevelLabels

DOTS, HEAT, VIOLINS = "dots", "heat", "violins"
GENES_BY_GROUP: Mapping[str, str] = {
    DOTS: "Genes by label",
    HEAT: "Genes by label, heat map",
    VIOLINS: "Genes by label, violins",
}
"""Charts of genes in groups of cells: names and titles."""

COMPOSITION, CONFUSION, CONFIDENCE = "composition", "confusion", "confidence"
CHARTS: Mapping[str, str] = {
    COMPOSITION: "Composition",
    CONFUSION: "Own vs predicted",
    CONFIDENCE: "Confidence",
    **GENES_BY_GROUP,
}
"""Charts of one result: names and titles."""

NO_VALUE = "no value"
_LISTED = 12


def names_in(obs: pd.DataFrame, column: str) -> NDArray[np.object_]:
    """What a column calls each cell, as text (n,).

    Raises
    ------
    OptionsProblem
        If there is no such column, or it holds measurements.
    """
    if column not in obs:
        told = [str(name) for name in obs.columns]
        more = f" and {len(told) - _LISTED} more" if len(told) > _LISTED else ""
        listed = f"{', '.join(told[:_LISTED])}{more}" if told else "none"
        raise OptionsProblem(f"There is no column {column!r} among these cells; they have {listed}. Name one of them.")
    if is_measured(obs[column]) and obs[column].nunique() > MOST_CATEGORIES:
        raise OptionsProblem(
            f"The column {column!r} holds no names to group cells by, but {obs[column].nunique():,} different numbers. "
            "Choose a column of names."
        )
    named = obs[column].astype(object)
    return named.where(named.notna(), NO_VALUE).astype(str).to_numpy(object)


def composition(labels: Categories, samples: NDArray[np.object_], title: str = "") -> Bars:
    """A bar a sample; only labels that occur take part.

    Parameters
    ----------
    labels
        Of n cells, with those called unknown as one more.
    samples
        Of the same cells, text (n,).
    """
    colors = dict(zip(labels.names, labels.colors, strict=True))
    return Bars(_crossed(samples, labels), colors, labels.title, title)


def confusion(labels: Categories, own: NDArray[np.object_], title: str = "") -> Confusion:
    """Labels that n cells brought, text (n,), against those that they were given."""
    return Confusion(_crossed(own, labels), title)


def sureness(found: LevelLabels, title: str = "") -> Histogram:
    """How often which confidence occurs, with the threshold."""
    return Histogram(found.confidence, f"Confidence, {found.level}", found.threshold, title)


def genes_by_group(kind: str, values: pd.DataFrame, groups: Categories, title: str = "") -> Chart:
    """Genes in groups of cells; groups without a cell take no part.

    Parameters
    ----------
    kind
        One of `GENES_BY_GROUP`.
    values
        n cells x genes, log1p CP10k.
    groups
        Of the same cells.
    """
    if kind == VIOLINS:
        return Violins(values, groups, title)
    codes = np.asarray(groups.codes)
    of = values[codes >= 0].groupby(codes[codes >= 0])
    mean, n = of.mean(), of.size()
    mean.index = pd.Index([groups.names[code] for code in mean.index])
    if kind == HEAT:
        return Heat(mean, [int(count) for count in n], title)
    share = (values > 0)[codes >= 0].groupby(codes[codes >= 0]).mean()
    return Dots(mean, share.set_axis(mean.index), title)


def compared_genes(table: pd.DataFrame, compared: str, title: str = "") -> Volcano:
    """A volcano of a comparison.

    Parameters
    ----------
    table
        Columns gene, log2_fold_change and adjusted_p, the highest score first.
    compared
        What was compared with what, in words.
    """
    change, p = table["log2_fold_change"].to_numpy(float), table["adjusted_p"].to_numpy(float)
    return Volcano(tuple(table["gene"].astype(str)), change, p, compared, title=title)


def _crossed(rows: NDArray[np.object_], labels: Categories) -> pd.DataFrame:
    """Cells by row and label; only labels that occur."""
    named = np.array([*labels.names, NO_VALUE], dtype=object)[np.asarray(labels.codes)]
    table = pd.crosstab(rows, named)
    return table[[name for name in labels.names if name in table]]
