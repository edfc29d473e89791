"""The cells of a mapping, opened as its job opens them: for the worker, and for whoever asks more of its result."""

from __future__ import annotations

from pathlib import Path

from explorer.flow import Query
from explorer.jobs.specs import MapSpec
from explorer.reading.query import open_query


def query_of(spec: MapSpec, source: Path | None = None) -> Query:
    """The query of a mapping.

    Parameters
    ----------
    source
        A copy of the file to open in its place.

    Raises
    ------
    AtlasError
        If the file is gone, or cannot be read as it was asked for.
    """
    path = Path(spec.query) if source is None else source
    return open_query(path, matrix=spec.matrix, gene_names=spec.gene_names, name=spec.name)
