"""Looks a single cell up: in the result, in the reference around it, and in the query's file."""

from __future__ import annotations

import numpy as np

from explorer.errors import OptionsProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.insight.of_a_cell import TOP_GENES, CellCard, genes_of_cell, level_of_cell, neighbors_of_cell
from explorer.mapping import panels
from explorer.mapping.corridor import NEIGHBORS
from explorer.mapping.models import load_method
from explorer.reading.genes import aligned_rows, match_genes


def tapped_cell(
    query: Query,
    reference: Reference,
    result: MappingResult,
    row: int,
    *,
    genes: int = TOP_GENES,
    device: str = "auto",
) -> CellCard:
    """Everything there is to say of one cell; quick enough for a click.

    Neighbours of a result read back from a file are looked for again, where the reference lies as trained; a model
    that learned from the query has moved the reference's cells, and of such a result they are only told by a fresh
    mapping.

    Parameters
    ----------
    query, reference, result
        As mapped.
    row
        Position of the cell in the query.
    genes
        How many are told.

    Raises
    ------
    OptionsProblem
        If there is no such cell.
    ReferenceProblem
        If the refitted model behind the result is no longer kept.
    """
    if not 0 <= row < result.n_cells:
        name = result.provenance.query
        raise OptionsProblem(f"There is no cell {row:,}; {name} has cells 0 to {result.n_cells - 1:,}.")
    trained = load_method(panels.reopened(reference, result.provenance.panel), result.method, device)
    place = result.embedding[row]
    neighbors, at = result.neighbors, row
    if neighbors is None:
        neighbors, at = trained.index.search(place[None], NEIGHBORS), 0
    heads = {head.level: (head, members) for head, members in zip(trained.heads, trained.members, strict=True)}
    levels = []
    for labels in result.labels.levels:
        head, members = heads[labels.level]
        codes = members.codes[neighbors.indices[at]]
        votes = [head.classes[code] if code >= 0 else "" for code in codes]
        held_out = len(head.held_out.both[labels.codes[row]])
        levels.append(level_of_cell(labels, row, place, head.prototypes, held_out, votes))
    first = result.labels.first
    match = match_genes(query.var, reference.genes, orthologs=bool(result.provenance.options.get("orthologs", False)))
    cell = aligned_rows(query, match, np.array([row]), trained.positions, counted=trained.counted)
    found = match.found[trained.positions]
    head = heads[first.level][0]
    highest, above, below = genes_of_cell(
        cell, int(first.codes[row]), trained.method.genes, head.expected, found, genes
    )
    columns = dict.fromkeys([*reference.levels, *filter(None, (reference.card["batch"], reference.card["sample"]))])
    own = result.obs.iloc[row]
    return CellCard(
        name=str(result.obs.index[row]),
        row=row,
        obs={str(name): str(value) for name, value in own.items()},
        levels=tuple(levels),
        neighbors=neighbors_of_cell(neighbors, at, reference.obs, list(columns)),
        genes=highest,
        above=above,
        below=below,
    )


def row_of(result: MappingResult, name: str) -> int:
    """Position of the cell of that name.

    Raises
    ------
    OptionsProblem
        If there is none, or more than one.
    """
    rows = np.flatnonzero(result.obs.index.astype(str) == name)
    if len(rows) != 1:
        first = ", ".join(map(str, result.obs.index[:3]))
        told = f"{len(rows)} cells are" if len(rows) else "No cell is"
        raise OptionsProblem(f"{told} called {name!r} in {result.provenance.query}; its first are {first}.")
    return int(rows[0])


def in_words(card: CellCard) -> str:
    """A cell's card as plain text: labels, what they rest on, nearest reference cells, and genes that stand out."""
    lines = [card.name, f"  {', '.join(f'{name}: {value}' for name, value in card.obs.items())}"]
    for level in card.levels:
        likely = ", ".join(f"{row.label} {row.probability:.2f}" for row in level.labels.itertuples())
        near = ", ".join(f"{row.label} {row.similarity:.2f}" for row in level.prototypes.itertuples())
        called = f"{level.label}, called unknown" if level.unknown else level.label
        lines += [
            f"{level.level}: {called}",
            f"  probabilities    {likely}",
            f"  prediction set   {', '.join(level.prediction_set)}",
            f"  near prototypes  {near} (cosine)",
            *(f"  {sentence}" for sentence in level.words),
        ]
    lines += ["nearest reference cells:", card.neighbors.to_string(index=False, float_format=lambda x: f"{x:.3f}")]
    for told, genes in (("above", card.above), ("below", card.below)):
        listed = (f"{row.gene} ({row.observed:.3g}, expected {row.expected:.3g})" for row in genes.itertuples())
        lines.append(f"genes {told} what its label leads one to expect, counts per 10,000: {', '.join(listed)}")
    return "\n".join(lines)
