"""What of a result colours cells, and with what: the same for the screen, a figure and a report.

Pure functions of labels and tables; where values are read from, and what was chosen, others know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from components.coloring import Categories, Coloring, Values
from components.theme import MISSING_COLOR, category_colors
from explorer import keys
from explorer.beside import ImputedProteins
from explorer.drawing.columns import MOST_CATEGORIES, is_measured
from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, LevelLabels, Reference

_LISTED = 12  # names in a message


def label_colors(reference: Reference, level: str) -> dict[str, str]:
    """The one colour of each label of a level, for every screen and figure."""
    known = reference.card.get("colors", {}).get(level, {})
    names = tuple(known) or tuple(sorted({str(name) for name in reference.obs[level].dropna().unique()}))
    return dict(zip(names, category_colors(names, known), strict=True)) | {keys.UNKNOWN: MISSING_COLOR}


def predicted_colors(reference: Reference, levels: Sequence[str]) -> dict[str, dict[str, str]]:
    """The colours of labels for a file that others open: by column of predicted labels, and label."""
    return {keys.predicted(level): label_colors(reference, level) for level in levels}


def by_label(labels: LevelLabels, title: str, known: Mapping[str, str]) -> Categories:
    """What cells were called, with those called unknown apart; colours of labels as `label_colors` gives them."""
    names = (*labels.classes, keys.UNKNOWN)
    codes = np.where(labels.unknown, len(labels.classes), labels.codes).astype(np.int32)
    return Categories(codes, names, category_colors(names, known), title)


def by_confidence(labels: LevelLabels) -> Values:
    """How sure the labels are, from 0 to 1."""
    return Values(labels.confidence, f"Confidence, {labels.level}", limits=(0.0, 1.0), order="low on top")


def by_novelty(labels: LevelLabels) -> Values:
    """How strange cells are to their labels, from 0 to 1."""
    return Values(labels.novelty, f"Novelty, {labels.level}", limits=(0.0, 1.0))


def by_gene(name: str, values: FloatArray) -> Values:
    """log1p CP10k of a gene, float32 (n,)."""
    return Values(values, f"{name}, log1p CP10k", zeros_grey=True)


def by_genes(title: str, values: FloatArray) -> Values:
    """Mean log1p CP10k over a set of genes, float32 (n,)."""
    return Values(values, f"{title}, mean log1p CP10k", zeros_grey=True)


def by_protein(name: str, values: FloatArray) -> Values:
    """A protein that cells were stained for, as centred log ratio, float32 (n,)."""
    return Values(values, f"{name}, protein, CLR")


def by_imputed_protein(found: ImputedProteins | None, name: str) -> Values:
    """A protein as the nearest reference cells have it.

    Raises
    ------
    OptionsProblem
        If the cells have no such protein.
    """
    if found is None:
        raise OptionsProblem(
            "These cells have no surface proteins: the reference that they were mapped onto was measured for none."
        )
    if name not in found.names:
        more = f" and {len(found.names) - _LISTED} more" if len(found.names) > _LISTED else ""
        listed = ", ".join(found.names[:_LISTED])
        raise OptionsProblem(f"These cells have no surface protein called {name!r}; they have {listed}{more}.")
    return Values(found.values[:, found.names.index(name)], f"{name}, protein of the nearest reference cells, CLR")


def by_agreement(agreement: FloatArray, level: str) -> Values:
    """Share of several methods that give the consensus label, float32 (n,)."""
    return Values(agreement, f"Share of methods that agree, {level}", limits=(0.0, 1.0), order="low on top")


def by_consensus(labels: LevelLabels, known: Mapping[str, str]) -> Categories:
    """What several methods say together that cells are."""
    return by_label(labels, f"Consensus {labels.level}", known)


def by_column(obs: pd.DataFrame, name: str, known: Mapping[str, str]) -> Coloring:
    """A column of obs: measurements on a scale, names in a colour each.

    Raises
    ------
    OptionsProblem
        If there is no such column, or it holds more categories than can be told apart.
    """
    if name not in obs.columns:
        raise OptionsProblem(f"There is no column {name!r} among these cells. Choose another one to colour by.")
    if is_measured(obs[name]):
        return Values(obs[name].to_numpy(np.float32, na_value=np.nan), name)
    return by_names(obs[name], name, known)


def by_names(column: pd.Series, title: str, known: Mapping[str, str]) -> Categories:
    """A column of names, in known colours where it uses names that have one.

    Raises
    ------
    OptionsProblem
        If it holds more categories than can be told apart.
    """
    named = column.astype("category").cat.remove_unused_categories().cat
    names = tuple(str(category) for category in named.categories)
    if len(names) > MOST_CATEGORIES:
        raise OptionsProblem(
            f"{title!r} has {len(names):,} different values; at most {MOST_CATEGORIES} can be told apart by colour. "
            "Choose another column."
        )
    return Categories(named.codes.to_numpy(np.int32), names, category_colors(names, known), title)
