"""Whether a query was mapped well as a whole, told without knowing any label: lights, the likely cause, what to try.

Every threshold stands here, beside what it was drawn from: queries of blood, of other tissues, of mice, of shuffled or
shifted gene names, of thinned counts, halved genes and added-up cells, mapped onto a reference of healthy blood. Knows
measured figures, not files or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from explorer.beside import Light, Signal, Verdict
from explorer.flow import UNKNOWN_CONFIDENCE

# Share of the model's genes found, weighted by expression: half of all genes (0.57) made 35 of 100 sound cells unknown,
# 0.91 none.
GENES = (0.80, 0.50)
# How far mean confidence may lie below that of the reference's left-out cells: sound files 0.06 at most, blurred ones
# (added-up cells, five of 100 counts) 0.10, other tissues 0.27 and more.
CONFIDENCE = (0.08, 0.20)
# Share of cells without a label: sound files 0.10 at most, a stimulated one 0.43, other tissues 0.71 and more.
UNKNOWN = (0.15, 0.50)
# Share beyond 99 of 100 left-out cells of the reference, where 0.01 is expected: sound files 0.08 at most.
FAR = (0.15, 0.50)
# Correlation with what the labels lead one to expect: blood 0.76 to 0.96, other tissues 0.18 to 0.52, wrong names 0.06.
PROFILE = (0.70, 0.55)
NONSENSE = 0.15
# Counts a cell over the reference's: at 0.33 no cell was lost, at 0.11 six of 100, at 0.06 28.
DEPTH = (0.25, 0.08)
DOUBLED = 1.6
# Largest over smallest value of a cell, after undoing the logarithm: 40 and more after one, 3 to 6 after two.
NARROW = 12.0
# Share of a batch's neighbours beyond chance: six patients 0.18, one sorted population a batch 0.66, half of a file
# stimulated 0.84, half of it of another tissue 0.96.
APART = (0.70, 0.90)
# Unknown cells of a batch that stands out, at least three times those of the others: stimulated 0.43, sorted 0.29.
LOST_BATCH = 0.35
# Labels more in a prediction set than in one of a left-out cell of the reference.
MORE_LABELS = (1.0, 2.0)
RARE, COMMON = 0.02, 0.30  # a label that holds so few of the reference's cells and so many of the query's
OF_OTHERS = 0.5       # share of genes standing out that some other label of the reference has
TOLD_GENES = 6
FEWEST = 10  # cells to judge a mapping by
DECISIVE = ("values", "expression", "confidence", "unknown cells")  # one of them bad, and the mapping is


@dataclass(frozen=True)
class Batch:
    """What is known of one batch of a query."""

    name: str
    cells: int
    unknown: float


@dataclass(frozen=True)
class Measured:
    """Figures of a mapping, all that a verdict is told from.

    Attributes
    ----------
    cells
        Of the query.
    genes_found, genes_needed, genes_weighted
        How many of the model's genes; the share weighted by expression.
    confidence, confidence_expected
        Mean, of the query and of the reference's left-out cells.
    unknown
        Share of cells without a label.
    far
        Share of cells beyond 99 of 100 left-out cells of their label.
    profile
        Correlation of log expression, pooled by label, with what the labels lead one to expect; NaN where too few cells
        carry any label.
    standing_out
        Genes that lie above what labels lead one to expect, the farthest first: in cells without a label where there
        are ten of them, else in all.
    of_others
        Share of those genes that another label of the reference expresses as much.
    affected
        Label that most unknown cells are nearest to.
    depth
        Median counts a cell over the reference's; NaN where the query holds no counts.
    value_range
        Median over cells of largest over smallest value; NaN for counts, where it says nothing.
    largest, largest_share, largest_expected
        The label that most cells carry, its share, and its share of the reference.
    orthologs
        Whether genes were translated from another species.
    set_size, set_size_expected
        Mean labels in a prediction set, of the query and of the left-out cells; NaN where no sets were made.
    apart
        How far neighbours share a batch beyond chance, in [0, 1]; NaN without batches.
    batches
        Of the query, where a column names them.
    """

    cells: int
    genes_found: int
    genes_needed: int
    genes_weighted: float
    confidence: float
    confidence_expected: float
    unknown: float
    far: float
    profile: float
    standing_out: tuple[str, ...]
    of_others: float
    affected: str
    depth: float
    value_range: float
    largest: str
    largest_share: float
    largest_expected: float
    orthologs: bool
    set_size: float = float("nan")
    set_size_expected: float = float("nan")
    apart: float = float("nan")
    batches: tuple[Batch, ...] = ()


def judge(of: Measured) -> Verdict:
    """Lights, the likely causes and what to try."""
    lights = tuple(_lights(of))
    causes = tuple(_causes(of))
    signals = {light.name: light.signal for light in lights}
    worst = Signal.GOOD if all(signal is Signal.GOOD for signal in signals.values()) else Signal.DOUBTFUL
    if any(signals.get(name) is Signal.BAD for name in DECISIVE):
        worst = Signal.BAD
    told = {
        Signal.GOOD: "This mapping looks sound",
        Signal.DOUBTFUL: "This mapping can be used with care",
        Signal.BAD: "Do not trust this mapping",
    }[worst]
    cells = f"{of.cells:,} cells carry" if of.cells != 1 else "1 cell carries"
    figures = f"{_percent(1 - of.unknown)} of {cells} a label, mean confidence {of.confidence:.2f}"
    likely = f" Likely cause: {causes[0][0]}" if causes else ""
    summary = f"{told}: {figures}.{likely}"
    return Verdict(worst, summary, tuple(cause for cause, _ in causes), tuple(way for _, way in causes), lights)


def unsaid(n_cells: int, threshold: float) -> tuple[str, ...]:
    """What a verdict does not speak of, one sentence each; nothing where it speaks of everything.

    Parameters
    ----------
    threshold
        Of confidence, in [0.5, 1], that labels are shown or written at.
    """
    told = []
    if n_cells < FEWEST:
        cells = f"{n_cells:,} cell{'s' if n_cells != 1 else ''}"
        told.append(f"A verdict on {cells} says little: look at what each cell resembles.")
    if threshold > UNKNOWN_CONFIDENCE:
        told.append(f"The verdict is on the labels as they were mapped, before the threshold rose to {threshold:.2f}.")
    return tuple(told)


def _lights(of: Measured) -> Iterator[Light]:
    yield Light(
        "genes",
        _at_least(of.genes_weighted, GENES),
        of.genes_weighted,
        f"{of.genes_found:,} of {of.genes_needed:,} genes of the model found, {_percent(of.genes_weighted)} of its "
        f"expression; below {_percent(GENES[0])} cells begin to look strange for want of genes.",
    )
    if not np.isnan(of.value_range):
        narrow = of.value_range < NARROW
        yield Light(
            "values",
            Signal.BAD if narrow else Signal.GOOD,
            of.value_range,
            f"The highest value of a cell is {of.value_range:.0f} times its lowest; normalised expression spans "
            f"{NARROW:.0f} times and more.",
        )
    if not np.isnan(of.depth):
        yield Light(
            "counts a cell",
            _at_least(of.depth, DEPTH),
            of.depth,
            f"A cell has {of.depth:.2f} times the counts of a reference cell (medians); below {DEPTH[0]} labels get "
            "lost.",
        )
    if not np.isnan(of.profile):
        yield Light(
            "expression",
            _at_least(of.profile, PROFILE),
            of.profile,
            f"Correlation with what the labels lead one to expect is {of.profile:.2f}; the same tissue of another "
            f"laboratory reaches {PROFILE[0]:.2f}, another tissue stays below {PROFILE[1]}.",
        )
    yield Light(
        "confidence",
        _at_most(of.confidence_expected - of.confidence, CONFIDENCE),
        of.confidence,
        f"Mean confidence {of.confidence:.2f}; the reference's own left-out cells have {of.confidence_expected:.2f}.",
    )
    yield Light(
        "unknown cells",
        _at_most(of.unknown, UNKNOWN),
        of.unknown,
        f"{_percent(of.unknown)} of the cells carry no label; sound files stay below {_percent(UNKNOWN[0])}.",
    )
    yield Light(
        "distance",
        _at_most(of.far, FAR),
        of.far,
        f"{_percent(of.far)} of the cells lie farther from their label than 99 % of the reference's left-out cells; "
        "1 % would by chance.",
    )
    if not np.isnan(of.set_size):
        yield Light(
            "labels that fit",
            _at_most(of.set_size - of.set_size_expected, MORE_LABELS),
            of.set_size,
            f"{of.set_size:.1f} labels of a cell cannot be told apart at 95 %; {of.set_size_expected:.1f} of the "
            "reference's left-out cells.",
        )
    odd = of.largest_expected < RARE and of.largest_share > COMMON
    yield Light(
        "labels",
        Signal.DOUBTFUL if odd else Signal.GOOD,
        of.largest_share,
        f"The commonest label is {of.largest}, with {_percent(of.largest_share)} of the cells and "
        f"{_percent(of.largest_expected)} of the reference's"
        + ("; a rare label that takes in so many is often the last resort of cells that fit nowhere." if odd else "."),
    )
    if not np.isnan(of.apart):
        yield Light(
            "batches",
            _batch_signal(of),
            of.apart,
            f"Cells of one label share the batch of their neighbours {_percent(of.apart)} beyond chance"
            + (f"; {_percent(lost.unknown)} of {lost.name} carry no label." if (lost := _lost_batch(of)) else "."),
        )


def _causes(of: Measured) -> Iterator[tuple[str, str]]:
    """What is likely wrong and what to try, the likeliest first."""
    genes, lost = ", ".join(of.standing_out[:TOLD_GENES]), _lost_batch(of)
    strange = of.unknown > UNKNOWN[0]
    if of.value_range < NARROW:
        yield (
            "the logarithm was taken twice: values of a cell lie too close together.",
            "Map the counts, or the values as they were before the last log1p (--matrix names a layer).",
        )
    if of.profile < NONSENSE:
        yield (
            "gene names do not belong to the values: what cells express has nothing in common with any label.",
            "Check that the table of genes has the order of the matrix's columns; a table that was sorted or cut alone "
            "does this.",
        )
        return
    if lost is not None:
        yield (
            f"one batch stands apart: {_percent(lost.unknown)} of {lost.name} carry no label, and few of the others. "
            f"What stands out in cells without one: {genes}.",
            f"Look at {lost.name} alone: a treatment, another tissue, or a failed sample. Map the rest without it.",
        )
    elif of.profile < PROFILE[1]:
        what = "another species, or another tissue" if of.orthologs else "another tissue, or cells unlike any in it"
        yield (
            f"the reference does not hold these cells: {what}. Genes that no label explains: {genes}.",
            "Choose a reference of the same tissue, or build one from labelled cells of it.",
        )
    if of.genes_weighted < GENES[0]:
        yield (
            f"few genes: {_percent(of.genes_weighted)} of the expression that the model reads is in the file.",
            "Map the file with all its genes, or refit the model on the genes shared (--refit-shared).",
        )
    if of.depth < DEPTH[0]:
        yield (
            f"few counts: a cell has {of.depth:.2f} times those of a reference cell.",
            "Leave out cells with few counts (empty droplets), or sequence deeper; coarse label levels hold longer.",
        )
    fits = lost is None and of.profile >= PROFILE[1]
    blurred = strange or of.confidence_expected - of.confidence > CONFIDENCE[0]
    if fits and blurred and of.depth > DOUBLED and of.of_others >= OF_OTHERS:
        yield (
            f"doublets: cells have {of.depth:.1f} times the counts of a reference cell, and what stands out ({genes}) "
            "belongs to other labels.",
            "Find doublets before mapping (e.g. Scrublet), and leave them out.",
        )
    elif fits and strange and of.of_others < OF_OTHERS:
        yield (
            f"a state or type that the reference lacks, mostly near {of.affected}. What stands out: {genes}.",
            "Labels may still be right where confidence is high. Group the unknown cells (Prototypes on "
            "Explore, or atlas-explorer unknowns) and look at their markers; name them, and add them to the reference.",
        )


def _lost_batch(of: Measured) -> Batch | None:
    """The batch whose cells carry no label while those of the others do, if there is one."""
    if len(of.batches) < 2:
        return None
    worst = max(of.batches, key=lambda batch: batch.unknown)
    others = [batch for batch in of.batches if batch is not worst]
    rest = sum(batch.unknown * batch.cells for batch in others) / sum(batch.cells for batch in others)
    return worst if worst.unknown > LOST_BATCH and worst.unknown > 3 * rest else None


def _batch_signal(of: Measured) -> Signal:
    return Signal.DOUBTFUL if _lost_batch(of) is not None else _at_most(of.apart, APART)


def _at_least(value: float, of: tuple[float, float]) -> Signal:
    return Signal.GOOD if value >= of[0] else Signal.DOUBTFUL if value >= of[1] else Signal.BAD


def _at_most(value: float, of: tuple[float, float]) -> Signal:
    return Signal.GOOD if value <= of[0] else Signal.DOUBTFUL if value <= of[1] else Signal.BAD


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
