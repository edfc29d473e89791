"""Whether labels that a query brings keep together where a model places its cells, asked of a sample of them."""

from __future__ import annotations

import numpy as np

from explorer.flow import IntArray, MappingResult, Query, Reference
from explorer.insight.preservation import Preservation, preservation, require_labels
from explorer.mapping import panels
from explorer.mapping.models import load_method
from explorer.reading.genes import aligned_rows, match_genes

LOOKED_AT = 2_000  # cells, drawn with a fixed seed


def labels_kept(
    query: Query, reference: Reference, result: MappingResult, codes: IntArray, device: str = "auto"
) -> Preservation:
    """How far labels of a query keep together in a result, beside the query's own expression over the method's genes.

    Parameters
    ----------
    codes
        int32 (n,), one a cell, -1 for none.

    Raises
    ------
    OptionsProblem
        If there are fewer than two labels or too few cells.
    ReferenceProblem
        If the refitted model behind the result is no longer kept.
    """
    require_labels(codes)
    trained = load_method(panels.reopened(reference, result.provenance.panel), result.method, device)
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > LOOKED_AT:
        rows = np.sort(np.random.default_rng(0).choice(rows, LOOKED_AT, replace=False))
    match = match_genes(query.var, reference.genes, orthologs=bool(result.provenance.options.get("orthologs", False)))
    cells = aligned_rows(query, match, rows, trained.positions, counted=trained.counted)
    return preservation(result.embedding[rows], cells.log1p(), codes[rows])
