"""What speaks for labels, beside the expression it rests on, as one tab asks for it. Knows no widgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.app.stored.library import Outcome
from explorer.asking.reasons import REST, signature_of_cells, signatures_of_labels
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.insight.signatures import OF_EACH, Expressed, SignatureOf, dots, joined
from explorer.jobs.asked import query_of
from explorer.jobs.specs import MapSpec
from explorer.methods import METHODS
from explorer.methods.base import Measure
from explorer.progress import Progress

ONE, SELECTION, EVERY = "label", "selection", "all"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes
    ----------
    cells
        `ONE` (those that carry the label), `SELECTION`, or `EVERY` (each label by the cells that carry it).
    toward
        The label spoken for; not used for `EVERY`.
    measure
        Name of a way to explain that scores genes.
    against
        `explorer.asking.reasons.REST` or `REFERENCE`; not used for `EVERY`.
    """

    cells: str
    toward: str
    level: str
    measure: str
    against: str = REST


@dataclass(frozen=True)
class Spoken:
    """Signatures of one label or of several.

    Attributes
    ----------
    of_labels
        One a label, that with most cells first.
    groups
        Expression of the genes in the cells of each label; empty where one was asked for.
    left_out
        Labels with too few cells, and how many they have.
    cells
        Names of the cells of the query that was asked about.
    """

    question: Question
    measure: Measure
    of_labels: tuple[SignatureOf, ...]
    groups: dict[str, Expressed]
    left_out: dict[str, int]
    cells: pd.Index

    def of(self, label: str) -> SignatureOf:
        """The signature of a label; the first where it has none."""
        return next((each for each in self.of_labels if each.signature.toward == label), self.of_labels[0])

    def dots(self, n: int = OF_EACH) -> pd.DataFrame:
        """The n top genes of each label in the cells of every label, as `explorer.insight.signatures.dots` has it."""
        return dots(self.of_labels, self.groups, n)

    @property
    def table(self) -> pd.DataFrame:
        """All of them below one another, each row with its label and error."""
        return joined(self.of_labels)


def gene_measures(method: str) -> tuple[Measure, ...]:
    """The ways in which a method scores genes."""
    return tuple(each for each in METHODS[method].card.measures if each.of == "gene") if method in METHODS else ()


def ask(
    spec: MapSpec,
    outcome: Outcome,
    reference: Reference,
    question: Question,
    selection: NDArray[np.integer] | None,
    progress: Progress | None = None,
) -> Spoken:
    """Ask the method of a result.

    Raises
    ------
    OptionsProblem
        If no cell carries the label, nothing is selected, or the method scores no genes that way.
    AtlasError
        If the query is gone, or has too few cells of every label.
    Cancelled
        From `progress`.
    """
    query, result, device = query_of(spec), outcome.result, spec.device
    measure = METHODS[spec.method].card.measure(question.measure)
    if question.cells == EVERY:
        every = signatures_of_labels(
            query, reference, result, level=question.level, measure=measure.name, device=device, progress=progress
        )
        return Spoken(question, measure, every.of_labels, every.groups, every.left_out, result.obs.index)
    if question.cells == SELECTION:
        if selection is None or len(selection) == 0:
            raise OptionsProblem("No cells are selected. Draw around some on the map, or ask about a label.")
        rows = selection
    else:
        labels = result.labels.level(question.level)
        rows = np.flatnonzero((labels.labels == question.toward) & ~labels.unknown)
        if len(rows) == 0:
            raise OptionsProblem(
                f"No cell carries the label {question.toward} at this threshold, so nothing speaks for it. Choose "
                "another label, or select cells."
            )
    one = signature_of_cells(
        query, reference, result, rows, question.toward, level=question.level, measure=measure.name,
        against=question.against, device=device, progress=progress,
    )  # fmt: skip
    return Spoken(question, measure, (one,), {}, {}, result.obs.index)


def words(spoken: Spoken, label: str) -> str:
    """What a signature is, of which cells, and how far it can be trusted."""
    one = spoken.of(label)
    error = one.signature.error
    trust = "" if np.isnan(error) else f" The scores miss {100 * abs(error):.1f} % of what they should sum to."
    few = ", ".join(f"{name} ({n})" for name, n in spoken.left_out.items())
    left = f" Too few cells to ask: {few}." if few else ""
    note = f" {one.signature.note}" if one.signature.note else ""
    return (
        f"{one.signature.toward}, {one.chosen}. {spoken.measure.summary}{note}{trust} Beside it the expression in "
        f"{one.cells:,} of these cells and in {one.others:,} others ({one.against}).{left}"
    )
