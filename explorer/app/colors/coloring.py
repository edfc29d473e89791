"""What colours the cells: from a choice on the screen to a colouring that map, legend and figure share.

Pure functions of what was opened, so that screens and files cannot disagree. Knows no widgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from components.coloring import Categories, Coloring
from components.raster import AS_IN_FILE
from explorer import keys
from explorer.app.colors.paints import OWN, PAINTS, Paints, default_colors, label_paints, painted
from explorer.app.colors.saved import SAVED, TITLE, is_of, saved_categories
from explorer.app.stored.agreeing import consensus_of
from explorer.app.stored.library import Outcome
from explorer.asking.painting import AGREEMENT, CONSENSUS, GENES, PROTEIN, mean_of, of_reference, on_scale_of
from explorer.doubt.thresholds import with_threshold
from explorer.drawing.coloring import (
    by_agreement,
    by_column,
    by_confidence,
    by_consensus,
    by_gene,
    by_imputed_protein,
    by_label,
    by_names,
    by_novelty,
    label_colors,
)
from explorer.drawing.columns import is_measured
from explorer.drawing.own_colors import own_colors
from explorer.errors import GenesProblem, OptionsProblem, ReferenceProblem
from explorer.flow import Reference
from explorer.writing.export import read_gene_values

KINDS = ("label", "confidence", "novelty", "column", "gene", GENES, PROTEIN, CONSENSUS, AGREEMENT, SAVED)


@dataclass(frozen=True)
class ColorBy:
    """What a person chose to colour by.

    Attributes
    ----------
    kind
        One of `KINDS`.
    name
        The obs column, gene or protein; a set of genes as `explorer.asking.painting.name_of_genes` writes it; for
        what several methods say together, their jobs as `explorer.app.stored.agreeing.names_of` names them; saved
        selections as `explorer.app.colors.saved.name_of_saved` writes them; empty for the other kinds.
    """

    kind: str
    name: str = ""


@dataclass(frozen=True)
class Style:
    """How a person chose to have colours drawn.

    Attributes
    ----------
    order
        Who lies on top, one of `components.raster.ORDERS`; empty for what suits the colours. Names have no high and
        low: they stay in random order then.
    zeros_grey
        Whether cells without any expression are grey.
    clip
        Percentiles at the ends of a colour scale that has no ends of its own.
    """

    order: str = ""
    zeros_grey: bool = True
    clip: tuple[float, float] = (1.0, 99.0)


def styled(coloring: Coloring, style: Style) -> Coloring:
    """A colouring in a style."""
    if isinstance(coloring, Categories):
        return replace(coloring, order=style.order) if style.order == AS_IN_FILE else coloring
    return replace(
        coloring,
        order=style.order or coloring.order,
        zeros_grey=coloring.zeros_grey and style.zeros_grey,
        clip=style.clip,
    )


STYLE = Style()


Both = tuple[Coloring | None, Coloring | None]
"""Of the query, and of the reference beside it."""


def color_both(
    outcome: Outcome | None,
    reference: Reference,
    by: ColorBy,
    level: str,
    style: Style = STYLE,
    paints: Paints = PAINTS,
) -> Both:
    """Colour the query, where there is one, and the reference beside it.

    Returns
    -------
    query, reference
        `None` for a query that is not there yet, and for a reference beside it that has nothing of that kind.
        A reference without a query shows its labels where the choice was meant for a query.

    Raises
    ------
    AtlasError
        If the cells in front do not have what was chosen.
    """
    known = label_colors(reference, level)
    if outcome is None:
        shown = color_reference(reference, shown_by(None, reference, by), level, known)
        return repainted((None, styled(shown, style)), None, reference, by, level, paints)
    query = styled(color_query(outcome, by, level, known), style)
    beside = None
    with suppress(OptionsProblem, ReferenceProblem, GenesProblem):  # it has nothing of the kind, the legend says so
        beside = on_scale_of(query, styled(color_reference(reference, by, level, known), style))
    return repainted((query, beside), outcome, reference, by, level, paints)


def shown_by(outcome: Outcome | None, reference: Reference, by: ColorBy) -> ColorBy:
    """What cells are coloured by: a reference without a query by its labels where the choice was meant for a query."""
    meant_for_query = (
        by.kind in ("confidence", "novelty", CONSENSUS, AGREEMENT)
        or (by.kind == "column" and by.name not in reference.obs)
        or (by.kind == SAVED and not is_of(by.name, "reference"))
    )
    return ColorBy("label") if outcome is None and meant_for_query else by


def repainted(
    both: Both, outcome: Outcome | None, reference: Reference, by: ColorBy, level: str, paints: Paints
) -> Both:
    """Colourings of the same cells in the colours that were chosen; nothing is read but what a file brought."""
    by = shown_by(outcome, reference, by)
    query, beside = both
    defaults = unpainted((_names(query), _names(beside)), outcome, reference, by, level, paints)
    chosen = paints.of(painted_of(by, level))
    return painted(query, defaults[0], chosen), painted(beside, defaults[1], chosen)


def _names(coloring: Coloring | None) -> tuple[str, ...]:
    return coloring.names if isinstance(coloring, Categories) else ()


def painted_of(by: ColorBy, level: str) -> str:
    """What chosen colours are kept by: the column, or the label level that a choice speaks of."""
    if by.kind == "column":
        return by.name
    return TITLE if by.kind == SAVED else level


def unpainted(
    names: tuple[Sequence[str], Sequence[str]],
    outcome: Outcome | None,
    reference: Reference,
    by: ColorBy,
    level: str,
    paints: Paints,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The colours of categories while none is chosen, of a query's and of its reference's; one name has one in both."""
    is_column, of = by.kind == "column", painted_of(by, level)
    has_own = is_column and outcome is not None and paints.palette == OWN
    brought = brought_colors(outcome, by.name) if has_own and outcome is not None else {}
    query = default_colors(names[0], of, level, reference, paints, brought)
    shared = dict(zip(names[0], query, strict=True)) if is_column else {}
    return query, default_colors(names[1], of, level, reference, paints, shared)


def column_colors(
    column: str, outcome: Outcome | None, reference: Reference, level: str, paints: Paints = PAINTS
) -> dict[str, str]:
    """The colour of each name in a column of a query and of its reference, as maps have them."""
    query = _names_in(outcome.result.obs, column) if outcome is not None else ()
    names = query, _names_in(reference.obs, column)
    defaults = unpainted(names, outcome, reference, ColorBy("column", column), level, paints)
    first, second = (dict(zip(of, colors, strict=True)) for of, colors in zip(names, defaults, strict=True))
    return {**second, **first, **paints.of(column)}


def _names_in(obs: pd.DataFrame, column: str) -> tuple[str, ...]:
    if column not in obs or is_measured(obs[column]):
        return ()
    return tuple(map(str, obs[column].astype("category").cat.remove_unused_categories().cat.categories))


def color_query(outcome: Outcome, by: ColorBy, level: str, known: Mapping[str, str]) -> Coloring:
    """Colour the cells of a query.

    Parameters
    ----------
    level
        Label level that labels and confidence speak of.
    known
        Colours of the labels of `level`; a column of the query that uses the same names gets the same colours, unless
        the query brought its own.

    Raises
    ------
    OptionsProblem
        If the column does not exist, or holds more categories than can be told apart.
    AtlasError
        If the gene cannot be read.
    """
    labels = outcome.result.labels.level(level)
    if by.kind == "confidence":
        return by_confidence(labels)
    if by.kind == "novelty":
        return by_novelty(labels)
    if by.kind == "gene":
        return by_gene(by.name, read_gene_values(outcome.folder / keys.EXPRESSION_FILE, by.name))
    if by.kind == "column":
        return by_column(outcome.result.obs, by.name, {**known, **brought_colors(outcome, by.name)})
    if by.kind == GENES:
        return mean_of(by.name, outcome.folder / keys.EXPRESSION_FILE)
    if by.kind == PROTEIN:
        return by_imputed_protein(outcome.result.proteins, by.name)
    if by.kind == SAVED:
        return saved_categories(by.name, "query", outcome.result.n_cells)
    if by.kind in (CONSENSUS, AGREEMENT):
        return _together(by, level, known, labels.threshold)
    return _labels(outcome, level, known)


def brought_colors(outcome: Outcome, column: str) -> dict[str, str]:
    """Colours that a query brought for a column of its own, by category; they go before all others."""
    file = outcome.folder / keys.RESULT_FILE
    return own_colors(file, column) if file.is_file() else {}


def label_categories(
    reference: Reference, outcome: Outcome | None, level: str, front: str, paints: Paints = PAINTS
) -> Categories:
    """The labels of the cells in front, whatever colours them now."""
    known = label_paints(reference, level, paints)
    if front == "query" and outcome is not None:
        return _labels(outcome, level, known)
    return by_names(reference.obs[level], level, known)


def _together(by: ColorBy, level: str, known: Mapping[str, str], threshold: float) -> Coloring:
    """What several methods say together, with the threshold of the result in view."""
    found = consensus_of(by.name).level(level)
    if by.kind == AGREEMENT:
        return by_agreement(found.agreement, level)
    return by_consensus(with_threshold(found.labels, threshold), known)


def _labels(outcome: Outcome, level: str, known: Mapping[str, str]) -> Categories:
    """What a query's cells were called, with those called unknown apart."""
    return by_label(outcome.result.labels.level(level), f"Predicted {level}", known)


def color_reference(reference: Reference, by: ColorBy, level: str, known: Mapping[str, str]) -> Coloring:
    """Colour the cells of a reference by its own labels, a column of its own, or a gene.

    Raises
    ------
    OptionsProblem, ReferenceProblem
        If it has no such column or gene, or has not been mapped and so has no confidence.
    """
    if by.kind == SAVED:
        return saved_categories(by.name, "reference", reference.n_cells)
    return of_reference(reference, by.kind, by.name, level, known)


def text_of(coloring: Coloring, row: int) -> str:
    """What one cell carries, as plain text."""
    if isinstance(coloring, Categories):
        code = int(coloring.codes[row])
        return coloring.names[code] if code >= 0 else "no value"
    value = float(coloring.values[row])
    return "no value" if np.isnan(value) else f"{value:.2f}"
