"""A result as files that other programs open, and a query's expression sorted by gene for the screen.

Knows files and their columns; computes nothing about cells. Every file is written beside its place under
the name *.part and moved there when it is whole, so a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem, write_elem
from numpy.typing import NDArray

from explorer import h5ad, keys
from explorer.errors import FileProblem, OptionsProblem, ResourceProblem
from explorer.flow import AlignedCells, Coverage, FloatArray, LabelTransfer, LevelLabels, MappingResult, Provenance, Query
from explorer.genes import display_names, move_columns
from explorer.progress import Progress
from explorer.query import MemoryRows, read_blocks

_SPARE_BYTES = 16 * 2**20
_EXPRESSION_ROWS = 16384


def write_h5ad(result: MappingResult, query: Query, path: Path) -> None:
    """Copy the query's own file and append the result; matrices, genes and own columns stay as they are.

    Parameters
    ----------
    path
        Where the annotated file goes; an older one is replaced.

    Raises
    ------
    OptionsProblem
        If the path is the query's own file.
    ResourceProblem
        If the disk has not enough room.
    """
    if query.path is not None and path.exists() and path.samefile(query.path):
        raise OptionsProblem(f"{path.name} is the query itself, which is never changed. Choose another name.")
    own = query.path.stat().st_size if query.path else query.matrix.shape[0] * 8
    _require_space(path, own + _added_bytes(result))
    with _finished_file(path) as part:
        if query.path is not None:
            shutil.copyfile(query.path, part)
        elif isinstance(query.matrix, MemoryRows):
            query.matrix.source.write_h5ad(part, convert_strings_to_categoricals=False)
        with h5py.File(part, "r+") as file:
            _append(file, result)


def read_result(path: Path) -> MappingResult:
    """Read back what `write_h5ad` wrote; neighbours are not kept.

    Raises
    ------
    FileProblem
        If the file cannot be read, or holds no result of this program.
    """
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        if f"uns/{keys.PROVENANCE}" not in file:
            raise FileProblem(f"{path.name} holds no mapping result (uns[{keys.PROVENANCE!r}] is missing). "
                              "Open a file that this program has written.")  # fmt: skip
        record = read_elem(file[f"uns/{keys.PROVENANCE}"])
        obs = h5ad.read_table(file, "obs")
        obsm = {key: read_elem(file[f"obsm/{key}"]) for key in record["obsm_written"]}
    levels = tuple(_level(name, obs, obsm, record) for name in record["levels"])
    return MappingResult(
        obs=obs.drop(columns=list(record["obs_written"])),
        method=record["method"],
        embedding=obsm[keys.embedding(record["method"])],
        neighbors=None,
        labels=LabelTransfer(levels),
        layout=obsm[keys.LAYOUT],
        provenance=_provenance(record),
    )


def write_csv(result: MappingResult, path: Path) -> None:
    """The first label level as a table: cell_id, label, confidence, novelty, unknown."""
    first = result.labels.first
    columns = (result.obs.index, first.labels, first.confidence, first.novelty, first.unknown)
    table = pd.DataFrame(dict(zip(keys.CSV_COLUMNS, columns, strict=True)))
    with _finished_file(path) as part:
        table.to_csv(part, index=False, float_format="%.6g")


def write_expression(query: Query, path: Path, progress: Progress | None = None) -> None:
    """Write log1p CP10k of all genes of a query so that one gene of all cells is a short read.

    Cells are turned round a block at a time, and each block is stored by gene: one pass, flat memory.

    Raises
    ------
    ResourceProblem
        If the disk has not enough room.
    """
    progress = progress or Progress()
    names, place = np.unique(display_names(query.var).astype(str), return_inverse=True)
    _require_space(path, 5 * getattr(query.matrix, "stored", query.matrix.shape[0] * query.matrix.shape[1]))
    with _finished_file(path) as part, h5py.File(part, "w") as file:
        file["genes"] = np.char.encode(names, "utf-8")
        file.attrs["n_cells"] = query.n_cells
        values = file.create_dataset("values", (0,), np.float16, maxshape=(None,), chunks=(2**16,))
        cells = file.create_dataset("cells", (0,), np.uint16, maxshape=(None,), chunks=(2**16,))
        starts = file.create_dataset("starts", (0, len(names) + 1), np.int64, maxshape=(None, len(names) + 1))
        firsts = []
        done = 0
        for block, totals in read_blocks(query, _EXPRESSION_ROWS):
            by_gene = AlignedCells(move_columns(block, place.astype(np.int32), len(names)), totals, True).log1p().tocsc()
            stored = len(values)
            _extend(values, by_gene.data)
            _extend(cells, by_gene.indices)
            starts.resize(len(starts) + 1, axis=0)
            starts[-1] = stored + by_gene.indptr.astype(np.int64)
            firsts.append(done)
            done += block.shape[0]
            progress(done / query.n_cells)
        file["firsts"] = np.array(firsts, dtype=np.int64)


def gene_names(path: Path) -> list[str]:
    """Genes that `read_gene_values` knows, in alphabetical order."""
    return list(_index_of(path, path.stat().st_mtime_ns).position)


def read_gene_values(path: Path, gene: str) -> FloatArray:
    """log1p CP10k of one gene in every cell, float32 (n,).

    Raises
    ------
    OptionsProblem
        If the file has no such gene.
    """
    index = _index_of(path, path.stat().st_mtime_ns)
    if gene not in index.position:
        raise OptionsProblem(f"These cells have no gene called {gene!r}. Choose one from the list.")
    at = index.position[gene]
    answer = np.zeros(index.n_cells, dtype=np.float32)
    with h5ad.reading(path) as file:
        values, cells = file["values"], file["cells"]
        for first, (start, stop) in zip(index.firsts, index.starts[:, at : at + 2], strict=True):
            answer[first + cells[start:stop].astype(np.int64)] = values[start:stop]
    return answer


class _Index:
    """Where each gene lies in an expression file; kept, since every gene asks for it."""

    def __init__(self, path: Path) -> None:
        with h5ad.reading(path) as file:
            self.position = {name.decode(): at for at, name in enumerate(file["genes"][:])}
            self.starts: NDArray[np.int64] = file["starts"][:]
            self.firsts: NDArray[np.int64] = file["firsts"][:]
            self.n_cells = int(file.attrs["n_cells"])


@lru_cache(maxsize=8)
def _index_of(path: Path, changed: int) -> _Index:  # noqa: ARG001  (a rewritten file is another one)
    return _Index(path)


def _extend(dataset: h5py.Dataset, more: NDArray[Any]) -> None:
    stored = len(dataset)
    dataset.resize(stored + len(more), axis=0)
    dataset[stored:] = more.astype(dataset.dtype)


@contextmanager
def _finished_file(path: Path) -> Iterator[Path]:
    """A place to write to; what is written there takes the name `path` when it is whole, or vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _require_space(path: Path, needed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < needed + _SPARE_BYTES:
        raise ResourceProblem(f"{path.name} needs {needed / 2**30:.1f} GB, and {free / 2**30:.1f} GB are free in "
                              f"{path.parent}. Make room there, or choose another disk.")  # fmt: skip


def _added_bytes(result: MappingResult) -> int:
    classes = sum(len(level.classes) + 5 for level in result.labels.levels)
    return result.n_cells * 4 * (result.embedding.shape[1] + 2 + classes + 4)


def _new_columns(result: MappingResult) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for level in result.labels.levels:
        columns[keys.predicted(level.level)] = pd.Categorical.from_codes(level.codes, list(level.classes))
        columns[keys.confidence(level.level)] = level.confidence
    columns[keys.NOVELTY] = result.labels.first.novelty
    columns[keys.IS_UNKNOWN] = result.labels.first.unknown
    return columns


def _new_arrays(result: MappingResult) -> dict[str, FloatArray]:
    arrays = {keys.embedding(result.method): result.embedding, keys.LAYOUT: result.layout}
    for level in result.labels.levels:
        doubts = (level.disagreement, level.novelty, level.unknown)
        arrays[keys.probabilities(level.level)] = level.probabilities
        arrays[keys.doubt(level.level)] = np.column_stack(doubts).astype(np.float32)
    return arrays


def _append(file: h5py.File, result: MappingResult) -> None:
    """Add a result to an open copy of the query's file."""
    columns, arrays = _new_columns(result), _new_arrays(result)
    _modernise(file)
    _drop_previous(file)
    kept = [*_set_aside(file["obs"], columns, "column"), *_set_aside(file["obsm"], arrays, "embedding")]
    order = [name for name in _column_order(file["obs"]) if name in file["obs"]]
    order += [name for name in file["obs"] if name.endswith("_own") and name not in order]
    for name, values in columns.items():
        write_elem(file["obs"], name, values)
    file["obs"].attrs["column-order"] = np.array([*order, *columns], dtype=h5py.string_dtype())
    for name, array in arrays.items():
        write_elem(file["obsm"], name, array)
    record = _record(result, kept)
    record |= {"obs_written": list(columns), "obsm_written": list(arrays)}
    write_elem(file["uns"], keys.PROVENANCE, _storable(record))


def _modernise(file: h5py.File) -> None:
    """Bring tables of AnnData versions before 0.7 to a form that columns can be added to."""
    if isinstance(file["obs"], h5py.Dataset) or "__categories" in file["obs"]:
        write_elem(file, "obs", h5ad.read_table(file, "obs"))
    for name in ("obsm", "uns"):
        if name not in file:
            write_elem(file, name, {})
    if isinstance(file["obsm"], h5py.Dataset):
        records = file["obsm"][()]
        write_elem(file, "obsm", {name: records[name] for name in records.dtype.names})


def _column_order(obs: h5py.Group) -> list[str]:
    return [name if isinstance(name, str) else name.decode() for name in obs.attrs["column-order"]]


def _drop_previous(file: h5py.File) -> None:
    """Forget an earlier mapping of the same cells."""
    if keys.PROVENANCE not in file["uns"]:
        return
    record = read_elem(file["uns"][keys.PROVENANCE])
    for group, written in (("obs", "obs_written"), ("obsm", "obsm_written")):
        for name in record.get(written, ()):
            file[group].pop(name, None)
    del file["uns"][keys.PROVENANCE]


def _set_aside(group: h5py.Group, new: Mapping[str, Any], what: str) -> list[str]:
    """Keep what the query has under names that the result needs, under another name."""
    notices = []
    for name in new:
        if name not in group:
            continue
        aside = keys.own(name)
        while aside in group:
            aside = keys.own(aside)
        group.move(name, aside)
        notices.append(f"The query's own {what} {name!r} is kept as {aside!r}.")
    return notices


def _record(result: MappingResult, kept: list[str]) -> dict[str, Any]:
    provenance = replace(result.provenance, notices=(*result.provenance.notices, *kept))
    record = asdict(provenance)
    record["levels"] = [level.level for level in result.labels.levels]
    record["classes"] = {level.level: list(level.classes) for level in result.labels.levels}
    return record


def _storable(value: Any) -> Any:
    """A JSON-like value in types that every AnnData version reads back."""
    if isinstance(value, Mapping):
        return {str(key): _storable(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        if all(isinstance(inner, str) for inner in value):
            return np.array(value, dtype=object)
        if all(isinstance(inner, int | float) for inner in value):
            return np.array(value)
        return json.dumps(value)
    return value


def _level(name: str, obs: pd.DataFrame, obsm: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> LevelLabels:
    disagreement, novelty, unknown = obsm[keys.doubt(name)].T
    return LevelLabels(
        level=str(name),
        classes=tuple(str(label) for label in record["classes"][name]),
        codes=obs[keys.predicted(name)].cat.codes.to_numpy(dtype=np.int32),
        probabilities=obsm[keys.probabilities(name)],
        confidence=obs[keys.confidence(name)].to_numpy(dtype=np.float32),
        disagreement=disagreement,
        novelty=novelty,
        unknown=unknown > 0.5,
    )


def _provenance(record: Mapping[str, Any]) -> Provenance:
    found = record["coverage"]
    return Provenance(
        query=record["query"],
        reference=record["reference"],
        reference_checksum=record["reference_checksum"],
        method=record["method"],
        config=_plain(record["config"]),
        versions=_plain(record["versions"]),
        seed=int(record["seed"]),
        device=record["device"],
        created=record["created"],
        matrix=record["matrix"],
        value_kind=record["value_kind"],
        coverage=Coverage(
            found=int(found["found"]),
            needed=int(found["needed"]),
            share=float(found["share"]),
            weighted_share=float(found["weighted_share"]),
            missing=tuple(found["missing"]),
        ),
        seconds=_plain(record["seconds"]),
        notices=tuple(record["notices"]),
    )


def _plain(value: Any) -> Any:
    """numpy scalars and arrays, as AnnData reads them, as Python values."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
