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
