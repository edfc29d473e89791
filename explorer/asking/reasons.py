"""Asks a method for the signatures of cells, of a selection or of several labels, and sets expression beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer import keys
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.explanation import Signature
from explorer.flow import LevelLabels, MappingResult, Query, Reference
from explorer.insight.signatures import OF_EACH, Expressed, SignatureOf, beside_expression, dots, expressed, joined
from explorer.mapping import panels
from explorer.mapping.corridor import explain_cells
from explorer.progress import Progress
from explorer.reading.genes import aligned_rows, match_genes
from explorer.reference import label_codes, read_gene

REST, REFERENCE = "rest", "reference"
AGAINST = (REST, REFERENCE)
LEAST_CELLS = 5            # of a label, to be given a signature of its own
MOST_COMPARED = 2000       # cells whose expression is read; of more a seeded sample


@dataclass(frozen=True)
class LabelSignatures:
    """Signatures of several labels, over the same genes.

    Attributes
    ----------
    of_labels
        One a label, the label with most cells first.
    groups
        Expression of the genes in the cells of each label.
    left_out
        Labels with fewer than five known cells, and how many they have.
    """

    of_labels: tuple[SignatureOf, ...]
    groups: dict[str, Expressed]
    left_out: dict[str, int]

    def dots(self, n: int = OF_EACH) -> pd.DataFrame:
        """The n top genes of each label in the cells of every label, as `explorer.insight.signatures.dots` has it."""
        return dots(self.of_labels, self.groups, n)

    def write(self, path: Path | str) -> None:
        """All of them as one csv table."""
        joined(self.of_labels).to_csv(path, index=False, float_format="%.6g")


def signature_of_cells(
    query: Query,
    reference: Reference,
    result: MappingResult,
    rows: NDArray[np.integer],
    toward: str,
    *,
    level: str | None = None,
    measure: str | None = None,
    against: str = REST,
    device: str = "auto",
    progress: Progress | None = None,
) -> SignatureOf:
    """By what one cell, or some, point toward a label, beside the expression of those genes.

    Parameters
    ----------
    query, result
        The cells, and how they were mapped.
    rows
        Positions of the cells, at least one; above 128 a seeded sample answers.
    toward, level
        A label of the reference and its level; the main level if not named.
    measure
        One of those on the method's card that scores genes; the first if not named.
    against
        "rest": the other cells of the query. "reference": the reference's own cells of the label.

    Raises
    ------
    OptionsProblem
        If no cell is named, the measure scores something else, or there is nothing to compare with.
    ReferenceProblem
        If the reference has no such label or level, or its expression was not shared and is asked for.
    Cancelled
        From `progress`.
    """
    if against not in AGAINST:
        raise OptionsProblem(f"Cells can be compared with: {', '.join(AGAINST)}; not with {against!r}.")
    level, progress = level_of(reference, level), progress or Progress()
    signature = _explained(query, reference, result, rows, toward, level, measure, device, progress.part("", 0.0, 0.7))
    reading = progress.part("Reading expression", 0.7, 1.0)
    chosen = _expression(query, reference, result, rows, signature)
    reading(0.5)
    if against == REFERENCE:
        others, told = _of_reference(reference, level, toward, signature, reading), f"the reference's {toward}"
    else:
        rest = np.setdiff1d(np.arange(query.n_cells), rows)
        if len(rest) == 0:
            raise OptionsProblem("All cells are chosen, so there are no others. Compare with the reference's label.")
        others, told = _expression(query, reference, result, rest, signature), "all other cells"
    reading(1.0)
    n = len(rows)
    return beside_expression(signature, chosen, others, (f"{n:,} chosen cell{'s' * (n > 1)}", told))


def signatures_of_labels(
    query: Query,
    reference: Reference,
    result: MappingResult,
    *,
    level: str | None = None,
    labels: Sequence[str] | None = None,
    measure: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> LabelSignatures:
    """Signatures of several labels at once, each from the cells that carry it and are not unknown.

    Parameters
    ----------
    labels
        Which; all by default that at least five cells carry.

    Raises
    ------
    OptionsProblem
        If no label has enough cells, or the measure does not score genes.
    ReferenceProblem
        If the reference has no such label or level.
    Cancelled
        From `progress`, between two labels at the latest.
    """
    level, progress = level_of(reference, level), progress or Progress()
    members = _members(result.labels.level(level), labels)
    enough = {label: rows for label, rows in members.items() if len(rows) >= LEAST_CELLS}
    if not enough:
        raise OptionsProblem(
            f"A signature of a label needs at least {LEAST_CELLS} cells that carry it and are not unknown; no label "
            "asked for has as many. Name other labels, or choose cells yourself."
        )
    signatures, groups = {}, {}
    for at, (label, rows) in enumerate(enough.items()):
        part = progress.part(f"Explaining {label}", at / len(enough), (at + 1) / len(enough))
        part(0.0)
        signatures[label] = _explained(query, reference, result, rows, label, level, measure, device, part)
        groups[label] = _expression(query, reference, result, rows, signatures[label])
    carried = {label: _together([groups[other] for other in groups if other != label]) for label in groups}
    told = f"cells of the other {len(groups) - 1} labels"
    found = tuple(
        beside_expression(signatures[label], groups[label], carried[label], (f"cells predicted as {label}", told))
        for label in enough
    )
    progress(1.0)
    return LabelSignatures(found, groups, {label: len(rows) for label, rows in members.items() if label not in enough})


def level_of(reference: Reference, level: str | None) -> str:
    """The level that is meant, the main one if none is named.

    Raises
    ------
    ReferenceProblem
        If there is no such level.
    """
    if level is not None and level not in reference.levels:
        raise ReferenceProblem(f"{reference.title} has no label level {level!r}; it has {', '.join(reference.levels)}.")
    return level or reference.levels[0]


def _members(found: LevelLabels, labels: Sequence[str] | None) -> dict[str, NDArray[np.int64]]:
    asked = found.classes if labels is None else tuple(labels)
    if absent := sorted(set(asked) - set(found.classes)):
        raise ReferenceProblem(f"The reference has no label {absent[0]!r} at the level {found.level!r}.")
    rows = {label: np.flatnonzero((found.codes == found.classes.index(label)) & ~found.unknown) for label in asked}
    carried = {label: of for label, of in rows.items() if len(of) or labels is not None}
    return dict(sorted(carried.items(), key=lambda each: -len(each[1])))


def _explained(
    query: Query,
    reference: Reference,
    result: MappingResult,
    rows: NDArray[np.integer],
    toward: str,
    level: str,
    measure: str | None,
    device: str,
    progress: Progress,
) -> Signature:
    options = result.provenance.options
    return explain_cells(
        query,
        panels.reopened(reference, result.provenance.panel),
        result.method,
        np.asarray(rows),
        toward,
        level=level,
        measure=measure,
        proteins=options.get("proteins"),
        orthologs=bool(options.get("orthologs", False)),
        device=device,
        progress=progress,
    )


def _expression(
    query: Query, reference: Reference, result: MappingResult, rows: NDArray[np.integer], signature: Signature
) -> Expressed:
    """Of the signature's genes in some cells of the query, or in a seeded sample of them."""
    if len(rows) > MOST_COMPARED:
        rows = np.random.default_rng(0).choice(rows, MOST_COMPARED, replace=False)
    match = match_genes(query.var, reference.genes, orthologs=bool(result.provenance.options.get("orthologs", False)))
    return expressed(aligned_rows(query, match, np.sort(rows), _places(reference, signature)).log1p())


def _of_reference(
    reference: Reference, level: str, label: str, signature: Signature, progress: Progress
) -> Expressed:
    """Of the signature's genes in the reference's cells of a label."""
    inside = label_codes(reference, level, (label,)) == 0
    mean, share = np.zeros(len(signature.names), np.float32), np.zeros(len(signature.names), np.float32)
    for at, gene in enumerate(signature.names):
        values = read_gene(reference, str(gene))[inside]
        mean[at], share[at] = values.mean(), (values > 0).mean()
        progress(0.5 + 0.5 * at / len(signature.names))
    return Expressed(mean, share, int(inside.sum()))


def _places(reference: Reference, signature: Signature) -> NDArray[np.int64]:
    if signature.of != "gene":
        raise OptionsProblem(
            f"{signature.measure} scores {signature.of}s; expression stands beside genes only. Choose a measure that "
            "scores genes."
        )
    return pd.Index(reference.genes[keys.SYMBOL]).get_indexer(pd.Index(signature.names)).astype(np.int64)


def _together(groups: Sequence[Expressed]) -> Expressed:
    """Mean and share over the cells of several groups; zeros without any."""
    cells = sum(group.cells for group in groups)
    if cells == 0:
        return Expressed(np.zeros(0, np.float32), np.zeros(0, np.float32), 0)
    weights = [group.cells / cells for group in groups]
    mean = sum(weight * group.mean for weight, group in zip(weights, groups, strict=True))
    share = sum(weight * group.share for weight, group in zip(weights, groups, strict=True))
    return Expressed(np.asarray(mean, np.float32), np.asarray(share, np.float32), cells)
