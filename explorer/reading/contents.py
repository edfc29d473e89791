"""What a file of cells, or cells in memory, hold before anything is chosen: tables, matrices, embeddings.

Knows where AnnData keeps things; does not know what values mean or which matrix is best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from anndata import AnnData

from explorer.errors import FileProblem, OptionsProblem
from explorer.reading import h5ad
from explorer.reading.rows import AnyRows, MemoryRows, stored_rows


@dataclass(frozen=True)
class Contents:
    """Cells as a source keeps them.

    Attributes
    ----------
    path
        `None` for cells in memory.
    obs
        One row a cell.
    vars
        One row a gene, for each matrix.
    matrices
        Cells x genes, by name: "X", "raw/X", "layers/<name>".
    embeddings
        Names of its obsm.
    """

    name: str
    path: Path | None
    obs: pd.DataFrame
    vars: Mapping[str, pd.DataFrame]
    matrices: Mapping[str, AnyRows]
    embeddings: tuple[str, ...]


def contents_of_file(path: Path, name: str | None = None) -> Contents:
    """What an h5ad file holds; matrices are found, not read.

    Raises
    ------
    FileProblem
        If the file cannot be read as h5ad, or has no cells, genes or matrix.
    """
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        places = h5ad.matrix_keys(file)
        matrices = {key: stored_rows(file, path, place) for key, (place, _) in places.items()}
        tables = {key: h5ad.read_table(file, key) for key in {"var", *(table for _, table in places.values())}}
        contents = Contents(
            name=name or path.name.removesuffix(".h5ad"),
            path=path,
            obs=h5ad.read_table(file, "obs"),
            vars={key: tables[table] for key, (_, table) in places.items()},
            matrices={key: rows for key, rows in matrices.items() if rows is not None},
            embeddings=h5ad.names_in(file, "obsm"),
        )
    _check(contents, len(tables["var"]))
    return contents


def contents_of_data(data: AnnData, name: str | None = None) -> Contents:
    """What an AnnData holds; one that is backed by a file is read from that file.

    Raises
    ------
    FileProblem
        If it has no cells, genes or matrix.
    OptionsProblem
        If it is a part of a backed AnnData.
    """
    if data.isbacked:
        if data.is_view:
            raise OptionsProblem(
                "These cells are a part of a file opened in backed mode. Read them into memory first: "
                "adata.to_memory()."
            )
        return contents_of_file(Path(data.filename), name)
    named = {"X": data.X, **{f"layers/{key}": layer for key, layer in data.layers.items()}}
    if data.raw is not None:
        named["raw/X"] = data.raw.X
    contents = Contents(
        name=name or "query",
        path=None,
        obs=data.obs,
        vars={key: data.raw.var if key == "raw/X" else data.var for key in named},
        matrices={key: MemoryRows.of(matrix, data) for key, matrix in named.items() if matrix is not None},
        embeddings=tuple(data.obsm),
    )
    _check(contents, data.n_vars)
    return contents


def _check(contents: Contents, n_genes: int) -> None:
    name = contents.name
    if not len(contents.obs) or not n_genes:
        raise FileProblem(
            f"{name} holds {len(contents.obs):,} cells and {n_genes:,} genes; at least one of each is "
            "needed. Were all of them filtered out before saving?"
        )
    if not contents.matrices:
        raise FileProblem(f"{name} holds no expression matrix in X, layers or raw. Save it with counts in X.")
    for key, rows in contents.matrices.items():
        expected = (len(contents.obs), len(contents.vars[key]))
        if tuple(rows.shape) != expected:
            raise FileProblem(
                f"{name} is damaged: {key} is {rows.shape[0]:,} x {rows.shape[1]:,}, but its tables speak of "
                f"{expected[0]:,} cells and {expected[1]:,} genes. Save it again from its source."
            )
