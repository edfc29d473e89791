"""The front door: open a file of cells, say what was found, choose the matrix, hand out blocks of rows.

Knows which values are best for mapping; does not know genes, references or methods. Whatever a file held,
what leaves here is on a linear scale, so that a logarithm is taken once and only once, later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from explorer import h5ad, values
from explorer.errors import FileProblem, OptionsProblem, ValuesProblem
from explorer.flow import FloatArray, Query, Rows, ValueKind

_SAMPLE_RUNS = 16
_SAMPLE_CELLS = 512
_SAMPLE_VALUES = 2**23
# A block holds at most this many stored values (about 270 MB), however many rows were asked for.
_BLOCK_VALUES = 2**25
_BIG_CSC = 2**28
_COUNT_LAYERS = ("counts", "raw_counts", "raw", "count", "umi", "umis", "umi_counts")
_USABLE = (ValueKind.COUNTS, ValueKind.LOG1P, ValueKind.LINEAR)


@dataclass(frozen=True)
class MatrixFound:
    """One expression matrix of a file.

    Attributes
    ----------
    name
        Where it lies: "X", "raw/X", "layers/counts".
    kind, log_base
        What its values are; the base is 0 unless they are logarithms.
    n_genes
        Its genes; .raw often has more than X.
    base_is_sure
        False where the base of the logarithm is a guess.
    """

    name: str
    kind: ValueKind
    log_base: float
    n_genes: int
    base_is_sure: bool = True


@dataclass(frozen=True)
class ColumnFound:
    """One column of obs: what could be coloured by, or name a batch or a sample.

    Attributes
    ----------
    dtype_kind
        "category", "text", "number" or "bool".
    examples
        Up to three of its values, as text.
    """

    name: str
    n_unique: int
    dtype_kind: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What a file holds, told within a second or two from its tables and a sample of its cells.

    Attributes
    ----------
    path
        `None` for data in memory.
    size_bytes
        Size of the file; 0 for data in memory.
    chosen
        The matrix that mapping would use.
    embeddings
        Names of its obsm.
    notices
        What was chosen or mended, one sentence each.
    """

    name: str
    path: Path | None
    n_cells: int
    n_genes: int
    size_bytes: int
    matrices: tuple[MatrixFound, ...]
    chosen: MatrixFound
    obs_columns: tuple[ColumnFound, ...]
    obs_names_unique: bool
    embeddings: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class MemoryRows:
    """Rows of a matrix in memory, handed out sparse.

    Attributes
    ----------
    matrix
        csr, dense or backed; anything that slices by rows.
    source
        The AnnData that it belongs to, which an export copies.
    """

    matrix: Rows
    source: AnnData

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""
        return self.matrix.shape

    @property
    def stored(self) -> int:
        """Number of stored values."""
        return int(getattr(self.matrix, "nnz", self.shape[0] * self.shape[1]))

    @property
    def empty_rows(self) -> int:
        """Number of cells without a stored value, where that is known without reading."""
        return int((np.diff(self.matrix.indptr) == 0).sum()) if sparse.issparse(self.matrix) else 0

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        block = self.matrix[rows]
        return sparse.csr_matrix(block if sparse.issparse(block) else np.asarray(block))


AnyRows = h5ad.StoredRows | MemoryRows


@dataclass(frozen=True)
class _Contents:
    """What a source holds before anything is chosen."""

    name: str
    path: Path | None
    obs: pd.DataFrame
    vars: Mapping[str, pd.DataFrame]
    matrices: Mapping[str, AnyRows]
    embeddings: tuple[str, ...]


def inspect_file(path: Path) -> Inspection:
    """Say what an h5ad file holds and which of its matrices would be mapped.

    Raises
    ------
    FileProblem
        If the file cannot be read as h5ad, or has no cells or genes.
    ValuesProblem
        If none of its matrices can be mapped.
    """
    return _inspection(_contents_of_file(Path(path), None), Path(path).stat().st_size)


def open_query(source: Path | AnnData, *, matrix: str | None = None, name: str | None = None) -> Query:
    """Check a source of cells and choose its expression values; nothing is read but tables and a sample.

    Parameters
    ----------
    source
        An h5ad file, or data in memory.
    matrix
        "X", "raw/X" or "layers/<name>"; `None` chooses the best for mapping.
    name
        What to call it; the file's name by default.

    Raises
    ------
    FileProblem
        If the file cannot be read as h5ad, or has no cells or genes.
    ValuesProblem
        If the values cannot be mapped.
    OptionsProblem
        If there is no such matrix.
    """
    contents = _contents_of_data(source, name) if isinstance(source, AnnData) else _contents_of_file(Path(source), name)
    found = [_found(key, rows) for key, rows in contents.matrices.items()]
    chosen = _choose(found, contents) if matrix is None else _named(found, matrix, contents)
    rows = contents.matrices[chosen.name]
    var = contents.vars[chosen.name]
    values.check_values(_sample(rows), chosen.kind, chosen.name, _sampled_names(rows, contents.obs), var.index)
    return Query(
        name=contents.name,
        path=contents.path,
        matrix=rows,
        matrix_name=chosen.name,
        kind=chosen.kind,
        log_base=chosen.log_base,
        obs=contents.obs,
        var=var,
        notices=(*_notices_of_choice(chosen, found, asked=matrix is not None), *_notices_of_mending(contents, rows)),
    )


def read_blocks(query: Query, rows: int = 8192) -> Iterator[tuple[sparse.csr_matrix, FloatArray]]:
    """All cells in order, a block at a time, on a linear scale.

    Parameters
    ----------
    rows
        Most cells a block; fewer where cells hold very many values, so that memory stays flat.

    Yields
    ------
    values
        csr float32, cells x genes of the file: counts, or expression on the scale of CP10k.
    totals
        float32 (cells,): sum over all genes of the file; 0 for an empty cell.

    Raises
    ------
    ValuesProblem
        If a block holds values that are missing, negative or of another kind than the sample told.
    """
    step = _rows_a_block(query.matrix, rows)
    for start in range(0, query.n_cells, step):
        block = query.matrix[start : start + step]
        cells = query.obs.index[start : start + step]
        values.check_values(block, query.kind, query.matrix_name, cells, query.var.index)
        yield values.to_linear(block, query.kind, query.log_base)


def empty_cells_notice(totals: FloatArray) -> tuple[str, ...]:
    """A sentence about cells without a single value, or none.

    Parameters
    ----------
    totals
        float32 (n,), as `read_blocks` yields them.
    """
    n_empty = int((totals <= 0).sum())
    if not n_empty:
        return ()
    return (f"{n_empty:,} of {len(totals):,} cells have no expression at all; they are kept, and their labels mean nothing.",)


def _rows_a_block(matrix: Rows, rows: int) -> int:
    n_cells, n_genes = matrix.shape
    a_row = max(1, getattr(matrix, "stored", n_cells * n_genes) // n_cells)
    return int(max(1, min(rows, _BLOCK_VALUES // a_row)))


def _contents_of_file(path: Path, name: str | None) -> _Contents:
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        matrices = h5ad.stored_matrices(file, path)
        obs = h5ad.read_table(file, "obs")
        tables = {key: h5ad.read_table(file, key) for key in {"var", *map(h5ad.var_key, matrices)}}
        embeddings = tuple(file["obsm"]) if "obsm" in file and not hasattr(file["obsm"], "dtype") else ()
    name_of = name or path.name.removesuffix(".h5ad")
    variables = {key: tables[h5ad.var_key(key)] for key in matrices}
    return _checked(_Contents(name_of, path, obs, variables, matrices, embeddings), len(tables["var"]))


def _contents_of_data(data: AnnData, name: str | None) -> _Contents:
    named = {"X": data.X, **{f"layers/{key}": layer for key, layer in data.layers.items()}}
    if data.raw is not None:
        named["raw/X"] = data.raw.X
    matrices = {key: MemoryRows(_by_rows(matrix), data) for key, matrix in named.items() if matrix is not None}
    variables = {key: data.raw.var if key == "raw/X" else data.var for key in matrices}
    contents = _Contents(name or "query", None, data.obs, variables, matrices, tuple(data.obsm))
    return _checked(contents, data.n_vars)


def _by_rows(matrix: Rows) -> Rows:
    """A matrix that slices by rows without turning round each time."""
    return matrix.tocsr() if sparse.issparse(matrix) and matrix.format != "csr" else matrix


def _checked(contents: _Contents, n_genes: int) -> _Contents:
    name = contents.name
    if not len(contents.obs) or not n_genes:
        raise FileProblem(f"{name} holds {len(contents.obs):,} cells and {n_genes:,} genes; at least one of each is "
                          "needed. Were all of them filtered out before saving?")  # fmt: skip
    if not contents.matrices:
        raise FileProblem(f"{name} holds no expression matrix (X, layers and raw are empty). Save it with counts in X.")
    for key, rows in contents.matrices.items():
        expected = (len(contents.obs), len(contents.vars[key]))
        if tuple(rows.shape) != expected:
            raise FileProblem(f"{name} is damaged: {key} is {rows.shape[0]:,} x {rows.shape[1]:,}, its tables speak of "
                              f"{expected[0]:,} cells and {expected[1]:,} genes. Save it again from its source.")  # fmt: skip
    return contents


def _sample_starts(rows: AnyRows) -> list[slice]:
    """Runs of cells spread over the whole matrix: neighbours in a file often come from one batch."""
    n_cells = rows.shape[0]
    n_sampled = int(np.clip(_SAMPLE_VALUES * n_cells // max(1, rows.stored), _SAMPLE_RUNS, _SAMPLE_CELLS))
    if n_cells <= n_sampled:
        return [slice(0, n_cells)]
    length = n_sampled // _SAMPLE_RUNS
    return [slice(start, start + length) for start in np.linspace(0, n_cells - length, _SAMPLE_RUNS).astype(int)]


def _sample(rows: AnyRows) -> sparse.csr_matrix:
    return sparse.vstack([rows[run] for run in _sample_starts(rows)], format="csr")


def _sampled_names(rows: AnyRows, obs: pd.DataFrame) -> pd.Index:
    return obs.index[np.concatenate([np.arange(run.start, run.stop) for run in _sample_starts(rows)])]


def _found(name: str, rows: AnyRows) -> MatrixFound:
    kind, base, sure = values.tell_kind(_sample(rows))
    return MatrixFound(name, kind, base, rows.shape[1], sure)


def _choose(found: list[MatrixFound], contents: _Contents) -> MatrixFound:
    usable = [matrix for matrix in found if matrix.kind in _USABLE]
    if not usable:
        raise ValuesProblem(_nothing_usable(found, contents))
    return min(usable, key=_preference)


def _preference(matrix: MatrixFound) -> tuple[int, int, int]:
    """Counts before logarithms before the rest; then more genes; then the place where such values usually lie."""
    layer = matrix.name.removeprefix("layers/").lower()
    if matrix.name.startswith("layers/"):
        if layer in _COUNT_LAYERS:
            place = 0
        else:
            # Parts of the counts: spliced is most of them, the others are too little to map by.
            place = {"spliced": 4, "unspliced": 6, "ambiguous": 7}.get(layer, 3)
    else:
        place = 1 if matrix.name == "X" else 2
    return _USABLE.index(matrix.kind), -matrix.n_genes, place


def _named(found: list[MatrixFound], asked: str, contents: _Contents) -> MatrixFound:
    name = {"raw": "raw/X", "raw.X": "raw/X"}.get(asked, asked)
    for matrix in found:
        if matrix.name in {name, f"layers/{name}"}:
            if matrix.kind not in _USABLE:
                raise ValuesProblem(_nothing_usable([matrix], contents))
            return matrix
    raise OptionsProblem(f"{contents.name} has no matrix {asked!r}; it has {_listed(m.name for m in found)}.")


def _listed(names: Iterator[str] | list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _nothing_usable(found: list[MatrixFound], contents: _Contents) -> str:
    what = "; ".join(f"{matrix.name} holds {_in_figures(_sample(contents.matrices[matrix.name]), matrix)}" for matrix in found)
    return (
        f"Mapping needs counts or log-normalised expression, and {contents.name} has neither: {what}. "
        "Keep the counts when you scale (adata.layers['counts'] = adata.X.copy(), or adata.raw = adata before it) "
        "and save the file again."
    )


def _in_figures(sample: sparse.csr_matrix, matrix: MatrixFound) -> str:
    if matrix.kind is ValueKind.EMPTY:
        return "no value above zero"
    data = sample.data[np.isfinite(sample.data)]
    negative = (data < 0).sum() / max(1, np.prod(sample.shape))
    return f"scaled values ({data.min():.1f} to {data.max():.1f}, {negative:.0%} of them negative)".replace("%", " %")


def _notices_of_choice(chosen: MatrixFound, found: list[MatrixFound], *, asked: bool) -> list[str]:
    notices = []
    if not asked and len(found) > 1:
        others = ", ".join(f"{m.name}: {values.kind_in_words(m.kind)}" for m in found if m is not chosen)
        notices.append(f"{chosen.name} is used: {values.kind_in_words(chosen.kind)} (beside it, {others}).")
    elif chosen.kind is not ValueKind.COUNTS:
        notices.append(f"{chosen.name} holds {values.kind_in_words(chosen.kind)}, not counts; they are brought back "
                       "to a linear scale, and no logarithm is taken twice.")  # fmt: skip
    if not chosen.base_is_sure:
        notices.append("The base of the logarithm cannot be told from these genes; the natural one is taken.")
    wider = [m for m in found if m.kind in _USABLE and m.n_genes > chosen.n_genes]
    if wider and not asked:
        notices.append(f"{wider[0].name} has more genes ({wider[0].n_genes:,} against {chosen.n_genes:,}), as "
                       f"{values.kind_in_words(wider[0].kind)}; choose it if too few genes are found.")  # fmt: skip
    return notices


def _notices_of_mending(contents: _Contents, rows: AnyRows) -> list[str]:
    notices = []
    repeated = int(contents.obs.index.duplicated().sum())
    if repeated:
        notices.append(f"{repeated:,} cell names occur more than once; cells are kept in their order and told apart by it.")
    if rows.empty_rows:
        notices.append(f"{rows.empty_rows:,} of {len(contents.obs):,} cells have no expression at all; they are kept, "
                       "and their labels mean nothing.")  # fmt: skip
    if isinstance(rows, h5ad.CscRows):
        size = f", which takes {rows.stored * 16 / 2**30:.0f} GB of memory" if rows.stored > _BIG_CSC else ""
        notices.append(f"The matrix is stored by gene (CSC) and was turned round{size}. "
                       "Saved by cell (CSR) it can be read part by part.")  # fmt: skip
    return notices


def _inspection(contents: _Contents, size: int) -> Inspection:
    found = tuple(_found(key, rows) for key, rows in contents.matrices.items())
    chosen = _choose(list(found), contents)
    rows = contents.matrices[chosen.name]
    names = _sampled_names(rows, contents.obs)
    values.check_values(_sample(rows), chosen.kind, chosen.name, names, contents.vars[chosen.name].index)
    return Inspection(
        name=contents.name,
        path=contents.path,
        n_cells=len(contents.obs),
        n_genes=chosen.n_genes,
        size_bytes=size,
        matrices=found,
        chosen=chosen,
        obs_columns=tuple(_column(contents.obs[name]) for name in contents.obs),
        obs_names_unique=bool(contents.obs.index.is_unique),
        embeddings=contents.embeddings,
        notices=(*_notices_of_choice(chosen, list(found), asked=False), *_notices_of_mending(contents, rows)),
    )


def _column(column: pd.Series) -> ColumnFound:
    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = "category"
    elif pd.api.types.is_bool_dtype(column):
        kind = "bool"
    elif pd.api.types.is_numeric_dtype(column):
        kind = "number"
    else:
        kind = "text"
    unique = column.dropna().unique()
    return ColumnFound(str(column.name), len(unique), kind, tuple(str(value) for value in unique[:3]))
