"""Maps of a result as a figure on paper, in the colours of the screen.

    maps_of(query, reference, result, "gene:CD14")      panels of a page, to combine with others
    write_figure(query, reference, result, "fig.pdf")   the file, and its caption
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.coloring import Coloring
from explorer.asking.reasons import level_of
from explorer.drawing.coloring import by_column, by_confidence, by_gene, by_label, by_novelty, label_colors
from explorer.drawing.composing import FORMATS, Look, caption, render
from explorer.drawing.figures import Picture, split_by
from explorer.drawing.own_colors import own_colors
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import FloatArray, MappingResult, Query, Reference
from explorer.insight.by_gene import of_genes
from explorer.prose import consequence
from explorer.reading.genesearch import find_gene
from explorer.reference import has_model_of, read_layout
from explorer.writing.appending import finished_file
from explorer.writing.export import require_writable

LABEL, CONFIDENCE, NOVELTY, GENE, COLUMN = "label", "confidence", "novelty", "gene", "column"
COLORS = (LABEL, CONFIDENCE, NOVELTY, f"{GENE}:NAME", f"{COLUMN}:NAME")
"""What a map can be coloured by."""


def maps_of(
    query: Query,
    reference: Reference,
    result: MappingResult,
    color: str = LABEL,
    *,
    level: str | None = None,
    split: str = "",
) -> list[Picture]:
    """The mapped cells on the reference, in the colours that the page gives them.

    Parameters
    ----------
    query, reference, result
        As mapped.
    color
        "label", "confidence" or "novelty"; "gene:CD14" for log1p CP10k of a gene, named by symbol, Ensembl id or
        common name; "column:condition" for a column of the query's obs.
    level
        Label level; the main one if not given.
    split
        obs column: one map for each of its values; empty for one map of all cells.

    Raises
    ------
    OptionsProblem
        If there is no such level, gene or column, or it has more values than can be told apart.
    ReferenceProblem
        If the cells were mapped onto another reference, whose picture this one does not hold.
    """
    _require_own(reference, result)
    level = level_of(reference, level)
    title, coloring = _colored(query, reference, result, color, level)
    picture = Picture(
        result.layout, coloring, read_layout(reference, result.method), title=title,
        cells_name=result.provenance.query, background_name=f"reference {reference.title}",
        note=consequence(result, level) if color in (LABEL, CONFIDENCE) else "",
    )  # fmt: skip
    return split_by(picture, result.obs, split)


def write_figure(
    query: Query,
    reference: Reference,
    result: MappingResult,
    path: Path | str,
    colors: Sequence[str] = (LABEL,),
    *,
    level: str | None = None,
    split: str = "",
    look: Look | None = None,
) -> str:
    """Write maps of a result as one page, and return its caption.

    Parameters
    ----------
    query, reference, result
        As mapped.
    path
        Its ending says what is written: pdf, svg or png.
    colors
        Of each map, as `maps_of` takes one.
    level, split
        As `maps_of` takes them.
    look
        Size of the page, resolution and letters; 180 mm at 600 dpi if not given.

    Raises
    ------
    OptionsProblem
        If the ending is none of these, there are too many maps or pixels, and as `maps_of` does.
    """
    path, look = Path(path), look or Look()
    form = form_of(path)
    require_writable(path)
    panels = [each for color in colors for each in maps_of(query, reference, result, color, level=level, split=split)]
    content = render(panels, look, form)
    with finished_file(path) as part:
        part.write_bytes(content)
    return caption(panels, look)


def form_of(path: Path) -> str:
    """What a figure of that name is written as.

    Raises
    ------
    OptionsProblem
        If its ending is none of `FORMATS`.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise OptionsProblem(f"Figures are written as {', '.join(FORMATS)}; {path.name} ends in none of these.")
    return form


def _require_own(reference: Reference, result: MappingResult) -> None:
    told = result.provenance
    if not has_model_of(reference, result.method, told.reference_checksum):
        raise ReferenceProblem(
            f"These cells were mapped onto {told.reference}, checksum {told.reference_checksum[:16]}; "
            f"{reference.title} holds no such {result.method} model, so they have no place in its picture. Name the "
            "reference that they were mapped onto, or map them anew."
        )


def _colored(query: Query, reference: Reference, result: MappingResult, color: str, level: str) -> tuple[str, Coloring]:
    """Title and colours of a map."""
    kind, _, name = color.partition(":")
    labels, known = result.labels.level(level), label_colors(reference, level)
    if color == LABEL:
        title = f"Predicted {level}"
        return title, by_label(labels, title, known)
    if color == CONFIDENCE:
        return "Confidence", by_confidence(labels)
    if color == NOVELTY:
        return "Novelty", by_novelty(labels)
    if kind == GENE and name:
        gene, values = _expression(query, name)
        return gene, by_gene(gene, values)
    if kind == COLUMN and name:
        brought = own_colors(query.path, name) if query.path is not None else {}
        return name, by_column(result.obs, name, {**known, **brought})
    raise OptionsProblem(f"Cells are coloured by {', '.join(COLORS)}; {color!r} was asked for.")


def _expression(query: Query, name: str) -> tuple[str, FloatArray]:
    """A gene as the query names it, and its log1p CP10k in all cells, float32 (n,)."""
    expression = of_genes(query)
    gene = find_gene(name, tuple(expression.genes))
    if gene is None:
        raise OptionsProblem(f"These cells have no gene called {name!r}. Name it by its symbol or its Ensembl id.")
    only = np.asarray(expression.genes == gene, np.float32)[:, None]
    return gene, expression.weighted(only)[:, 0]
