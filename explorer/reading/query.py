"""The front door: open a file of cells, say what was found, choose the matrix, hand out blocks of rows.

Knows which values are best for mapping; does not know genes, references or methods. Whatever a file held,
what leaves here is on a linear scale, so that a logarithm is taken once and only once, later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import FloatArray, Query, ValueKind
from explorer.reading import values
from explorer.reading.contents import Contents, contents_of_data, contents_of_file
from explorer.reading.kinds import SPATIAL, are_peaks
from explorer.reading.matching import ROW_NAMES, as_names, is_text
from explorer.reading.rows import AnyRows, CscRows, Sample, close_spans, sample, spans

USABLE = (ValueKind.COUNTS, ValueKind.LOG1P, ValueKind.LINEAR)
_COUNT_LAYERS = ("counts", "raw_counts", "raw", "count", "umi", "umis", "umi_counts")
# Parts of the counts: spliced is most of them, the others are too little to map by.
_PARTS_OF_COUNTS = {"spliced": 4, "unspliced": 5, "ambiguous": 6}
_BIG_BYTES = 4 * 2**30


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
        Its genes; raw often has more than X.
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
    n_genes
        Genes of the chosen matrix.
    size_bytes
        Size of the file.
    chosen
        The matrix that mapping would use.
    gene_columns
        Columns of the chosen matrix's table of genes that hold text, and so may name them.
    embeddings
        Names of its obsm.
    notices
        What was chosen or mended, one sentence each.
    """

    name: str
    path: Path
    n_cells: int
    n_genes: int
    size_bytes: int
    matrices: tuple[MatrixFound, ...]
    chosen: MatrixFound
    obs_columns: tuple[ColumnFound, ...]
    obs_names_unique: bool
    gene_columns: tuple[ColumnFound, ...]
    embeddings: tuple[str, ...]
    notices: tuple[str, ...]


def inspect_file(path: Path | str) -> Inspection:
    """Say what an h5ad file holds and which of its matrices would be mapped.

    Raises
    ------
    FileProblem
        If the file cannot be read as h5ad, or has no cells or genes.
    ValuesProblem
        If none of its matrices can be mapped.
    """
    path = Path(path)
    contents = contents_of_file(path, None)
    found, chosen, notices = _chosen(contents, None)
    var = contents.vars[chosen.name]
    return Inspection(
        name=contents.name,
        path=path,
        n_cells=len(contents.obs),
        n_genes=chosen.n_genes,
        size_bytes=path.stat().st_size,
        matrices=tuple(found),
        chosen=chosen,
        obs_columns=tuple(_column(contents.obs[name]) for name in contents.obs),
        obs_names_unique=bool(contents.obs.index.is_unique),
        gene_columns=tuple(_column(var[name]) for name in var if is_text(var[name])),
        embeddings=contents.embeddings,
        notices=notices,
    )


def open_query(
    source: Path | str | AnnData,
    *,
    matrix: str | None = None,
    gene_names: str | None = None,
    name: str | None = None,
) -> Query:
    """Check a source of cells and choose its expression values; only tables and a sample are read.

    There is nothing to close: files are opened for each read.

    Parameters
    ----------
    source
        An h5ad file, or data in memory.
    matrix
        "X", "raw/X" or "layers/<name>"; `None` chooses the best for mapping.
    gene_names
        The var column that names the genes, or "index" for the row names; `None` tries all of them.
    name
        What to call it; the file's name by default.

    Raises
    ------
    FileProblem
        If the file cannot be read as h5ad, or has no cells or genes.
    ValuesProblem
        If the values cannot be mapped.
    OptionsProblem
        If there is no such matrix, or no such column of text.
    """
    in_memory = isinstance(source, AnnData)
    contents = contents_of_data(source, name) if in_memory else contents_of_file(Path(source), name)
    _, chosen, notices = _chosen(contents, matrix)
    return Query(
        name=contents.name,
        path=contents.path,
        matrix=contents.matrices[chosen.name],
        matrix_name=chosen.name,
        kind=chosen.kind,
        log_base=chosen.log_base,
        obs=contents.obs,
        var=_named_by(contents.vars[chosen.name], gene_names, chosen.name),
        notices=notices,
        of_reads=_has_reads(contents, chosen),
        gene_names=gene_names or "",
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
        If a block holds values that are missing, negative, or of another kind than the sample told.
    """
    for span in spans(query.matrix, rows):
        yield _read(query, span)


def read_rows(query: Query, rows: NDArray[np.integer]) -> tuple[sparse.csr_matrix, FloatArray]:
    """Some cells, on a linear scale, without reading the others.

    Parameters
    ----------
    rows
        Positions in ascending order.

    Returns
    -------
    values, totals
        As `read_blocks` yields them.
    """
    parts = []
    for span, inside in close_spans(np.asarray(rows)):
        block, totals = _read(query, span)
        parts.append((block[inside], totals[inside]))
    return sparse.csr_matrix(sparse.vstack([block for block, _ in parts])), np.concatenate([t for _, t in parts])


def _read(query: Query, span: slice) -> tuple[sparse.csr_matrix, FloatArray]:
    block = query.matrix[span]
    values.check_values(block, query.kind, query.matrix_name, query.obs.index[span], query.var.index)
    if query.of_reads:
        block = values.fragments(block)
    return values.to_linear(block, query.kind, query.log_base)


def _chosen(contents: Contents, asked: str | None) -> tuple[list[MatrixFound], MatrixFound, tuple[str, ...]]:
    """All matrices, the one to map, and the notices; a sample of the chosen one has been checked."""
    samples = {name: sample(rows) for name, rows in contents.matrices.items()}
    found = [_found(name, samples[name], contents.matrices[name].shape[1]) for name in samples]
    offered = found if asked is None else [_named(found, asked, contents.name)]
    usable = [matrix for matrix in offered if matrix.kind in USABLE]
    if not usable:
        raise ValuesProblem(_nothing_usable(offered, samples, contents.name))
    chosen = min(usable, key=_preference)
    taken = samples[chosen.name]
    cells, genes = contents.obs.index[taken.cells], contents.vars[chosen.name].index[taken.genes]
    values.check_values(taken.values, chosen.kind, chosen.name, cells, genes)
    notices = (
        *_about_choice(chosen, found, asked),
        *_about_kind(contents, chosen),
        *_about_mending(contents, contents.matrices[chosen.name]),
    )
    return found, chosen, notices


def _found(name: str, taken: Sample, n_genes: int) -> MatrixFound:
    kind, base, sure = values.tell_kind(taken.values, whole_cells=taken.whole_cells)
    return MatrixFound(name, kind, base, n_genes, sure)


def _named(found: Sequence[MatrixFound], asked: str, source: str) -> MatrixFound:
    wanted = {asked, f"layers/{asked}", asked.replace("raw.X", "raw/X")}
    for matrix in found:
        if matrix.name in wanted:
            return matrix
    raise OptionsProblem(f"{source} has no matrix {asked!r}; it has {_listed(m.name for m in found)}.")


def _named_by(var: pd.DataFrame, asked: str | None, matrix: str) -> pd.DataFrame:
    """A table of genes that goes by the names asked for alone."""
    if asked is None:
        return var
    if asked in var and is_text(var[asked]):
        return pd.DataFrame(index=pd.Index(as_names(var[asked])))
    if asked == ROW_NAMES:
        return pd.DataFrame(index=var.index)
    able = _listed([ROW_NAMES, *(str(name) for name in var if is_text(var[name]))])
    raise OptionsProblem(f"The genes of {matrix} have no column of text named {asked!r}; names can be: {able}.")


def _preference(matrix: MatrixFound) -> tuple[int, int, int]:
    """Counts before logarithms before the rest; then more genes; then where such values usually lie."""
    layer = matrix.name.removeprefix("layers/")
    if layer == matrix.name:
        place = 1 if matrix.name == "X" else 2
    else:
        place = 0 if layer.lower() in _COUNT_LAYERS else _PARTS_OF_COUNTS.get(layer.lower(), 3)
    return USABLE.index(matrix.kind), -matrix.n_genes, place


def _nothing_usable(offered: Sequence[MatrixFound], samples: Mapping[str, Sample], source: str) -> str:
    what = "; ".join(f"{matrix.name} holds {_in_figures(samples[matrix.name], matrix.kind)}" for matrix in offered)
    if all(matrix.kind is ValueKind.EMPTY for matrix in offered):
        return f"{source} has no expression: {what}. Save it with counts in X."
    return (
        f"Mapping needs counts or log-normalised expression, and {source} offers neither: {what}. Keep the "
        "counts when you scale (adata.layers['counts'] = adata.X.copy(), or adata.raw = adata) and save the "
        "file again."
    )


def _in_figures(taken: Sample, kind: ValueKind) -> str:
    if kind is ValueKind.EMPTY:
        return "no value above zero"
    data = taken.values.data[np.isfinite(taken.values.data)]
    negative = 100 * (data < 0).sum() / np.prod(taken.values.shape)
    return f"scaled values ({data.min():.1f} to {data.max():.1f}, {negative:.0f} % of them negative)"


def _about_choice(chosen: MatrixFound, found: Sequence[MatrixFound], asked: str | None) -> Iterator[str]:
    if asked is None and len(found) > 1:
        others = ", ".join(f"{m.name}: {values.kind_in_words(m.kind)}" for m in found if m is not chosen)
        yield f"{chosen.name} is used: {values.kind_in_words(chosen.kind)} (beside it, {others})."
    if chosen.kind is not ValueKind.COUNTS:
        yield (
            f"{chosen.name} holds {values.kind_in_words(chosen.kind)}, not counts. They are brought back to "
            "a linear scale first, so no logarithm is taken twice."
        )
    if not chosen.base_is_sure:
        yield "The base of the logarithm cannot be told from these values; the natural one is taken."
    wider = [m for m in found if m.kind in USABLE and m.n_genes > chosen.n_genes]
    if wider and asked is None:
        yield (
            f"{wider[0].name} has more genes ({wider[0].n_genes:,} against {chosen.n_genes:,}), as "
            f"{values.kind_in_words(wider[0].kind)}; choose it if too few genes are found."
        )


def _has_reads(contents: Contents, chosen: MatrixFound) -> bool:
    counted = chosen.kind is ValueKind.COUNTS and are_peaks(contents.vars[chosen.name].index)
    return counted and values.of_reads(sample(contents.matrices[chosen.name]).values)


def _about_kind(contents: Contents, chosen: MatrixFound) -> Iterator[str]:
    names = contents.vars[chosen.name].index
    if are_peaks(names):
        yield f"{chosen.name} holds peaks (such as {names[0]}), not genes: a reference of peaks is needed to map them."
    if _has_reads(contents, chosen):
        yield (
            f"{chosen.name} holds more twos than ones, as counts of reads do, two a fragment: they are taken as "
            "fragments, half of the reads rounded up."
        )
    if SPATIAL in contents.embeddings:
        yield (
            f"obsm[{SPATIAL!r}] holds places: spots are mapped one by one like cells, whatever lies beside them. A "
            "spot of several cells gets the label it is most like."
        )


def _about_mending(contents: Contents, rows: AnyRows) -> Iterator[str]:
    repeated = int(contents.obs.index.duplicated().sum())
    if repeated:
        yield f"{repeated:,} cell names occur more than once; such cells are told apart by their order."
    if rows.n_empty:
        yield (
            f"{rows.n_empty:,} of {len(contents.obs):,} cells have no expression at all; they are kept, and their "
            "labels mean nothing."
        )
    if isinstance(rows, CscRows):
        memory = rows.bytes_needed / 2**30
        needs = f", which needs {memory:.0f} GB of memory" if rows.bytes_needed > _BIG_BYTES else ""
        yield (
            f"{rows.key} is stored by gene (CSC) and is turned round{needs}. Saved by cell (CSR) it can be "
            "read part by part."
        )


def _column(column: pd.Series) -> ColumnFound:
    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = "category"
    elif pd.api.types.is_bool_dtype(column):
        kind = "bool"
    else:
        kind = "number" if pd.api.types.is_numeric_dtype(column) else "text"
    unique = column.dropna().unique()
    return ColumnFound(str(column.name), len(unique), kind, tuple(str(value) for value in unique[:3]))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
