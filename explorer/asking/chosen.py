"""Signatures of cells that are told by name or by a column, and signatures in a few lines of plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.asking.explaining import told_by
from explorer.asking.reasons import LEAST_CELLS, REST, level_of, signature_of_cells
from explorer.asking.tapped import row_of
from explorer.errors import OptionsProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.insight.signatures import ABSENCE, OF_EACH, SHOWN, SignatureOf
from explorer.progress import Progress


def of_chosen(
    query: Query,
    reference: Reference,
    result: MappingResult,
    chosen: str | Sequence[str],
    labels: Sequence[str] | None = None,
    *,
    level: str | None = None,
    measure: str | None = None,
    against: str = REST,
    device: str = "auto",
    progress: Progress | None = None,
) -> SignatureOf:
    """`signature_of_cells`, of cells that are named.

    Parameters
    ----------
    chosen
        "COLUMN=VALUE" for cells of which the query's obs says so, or names of cells.
    labels
        The one label that they are asked toward; the one that most of them carry if not named.

    Raises
    ------
    OptionsProblem
        If no such cell or column is found, or several labels are named; and as `signature_of_cells` does.
    ReferenceProblem
        As `signature_of_cells` does.
    """
    if labels is not None and len(labels) > 1:
        raise OptionsProblem(f"Chosen cells are asked toward one label; {', '.join(labels)} were named. Name one.")
    if isinstance(chosen, str):
        rows, told = told_by(query, chosen), chosen
    else:
        rows, told = np.sort([row_of(result, name) for name in chosen]), ", ".join(chosen)
    if len(rows) == 0:
        raise OptionsProblem(f"{query.name} has no cells with {told}. Choose others.")
    found = result.labels.level(level_of(reference, level))
    toward = labels[0] if labels else found.classes[int(np.bincount(found.codes[rows]).argmax())]
    return signature_of_cells(
        query, reference, result, rows, toward, level=level, measure=measure, against=against, device=device,
        progress=progress,
    )  # fmt: skip


def describe_signatures(found: Sequence[SignatureOf], left_out: Mapping[str, int], n: int = SHOWN) -> str:
    """A line a label with its first genes, or the table of one; what the scores are, and what they fail to explain."""
    first = found[0].signature
    lines = [f"{first.measure}: by what cells point toward a label"]
    for each in found:
        error = "" if np.isnan(each.signature.error) else f", completeness error {each.signature.error:.3g}"
        said = f"{each.signature.toward} ({each.cells:,} cells, beside {each.against}{error})"
        if len(found) == 1:
            table = each.top(n).drop(columns="difference").to_string(index=False, float_format=lambda x: f"{x:.3g}")
            lines += [said, table]
        else:
            top = each.top(OF_EACH)
            genes = (f"{row.gene} (lacks)" if row.speaks_by == ABSENCE else str(row.gene) for row in top.itertuples())
            lines.append(f"{said}: {', '.join(genes)}")
    lines += [f"{each.signature.toward}: {each.signature.note}" for each in found if each.signature.note]
    if left_out:
        few = ", ".join(f"{label} ({count})" for label, count in left_out.items())
        lines.append(f"Left out, with fewer than {LEAST_CELLS} known cells: {few}")
    return "\n".join(lines)
