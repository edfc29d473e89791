"""A result as files that other programs open, and a query's expression sorted by gene for the screen.

Knows files and their columns; computes nothing about cells. Every file is written beside its place under
the name *.part and moved there when it is whole, so a reader never sees half of one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray

from explorer import keys
from explorer.beside import ImputedProteins, Signal, Verdict
from explorer.errors import FileProblem, OptionsProblem
from explorer.explanation import Signature
from explorer.flow import UNKNOWN_CONFIDENCE, FloatArray, LabelTransfer, LevelLabels, MappingResult, Query
from explorer.progress import Progress
from explorer.reading import h5ad
from explorer.reading.genes import display_names
from explorer.reading.query import read_blocks
from explorer.reading.rows import expected_values
from explorer.writing.appending import Additions, append_to_copy, finished_file, reserve
from explorer.writing.records import (
    conditions_record,
    provenance_record,
    read_conditions,
    read_provenance,
    read_verdict,
    storable,
    verdict_record,
)

_EXPRESSION_ROWS = 16384
# float16 value and uint16 row within its block.
_EXPRESSION_BYTES = 4
_CHUNK = 2**16


def write_h5ad(
    result: MappingResult, query: Query, path: Path | str, colors: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Copy the query's own file and append the result; matrices, genes and own columns stay as they are.

    Parameters
    ----------
    path
        Where the annotated file goes; an older one is replaced.
    colors
        "#rrggbb" by column of obs and category, such as `explorer.drawing.coloring.predicted_colors` gives them; for
        uns, where scanpy looks for them.

    Raises
    ------
    OptionsProblem
        If the path is the query's own file.
    ResourceProblem
        If the disk has not enough room.
    """
    append_to_copy(query, Path(path), replace(additions_of(result), colors=colors or {}))


def read_result(path: Path | str) -> MappingResult:
    """Read back what `write_h5ad` wrote; neighbours are not kept.

    Raises
    ------
    FileProblem
        If the file cannot be read, or holds no result of this program.
    """
    path = Path(path)
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        if f"uns/{keys.PROVENANCE}" not in file:
            raise FileProblem(
                f"{path.name} holds no mapping result (uns[{keys.PROVENANCE!r}] is missing). Open a file "
                "that this program has written."
            )
        record = read_elem(file[f"uns/{keys.PROVENANCE}"])
        if "within" not in record:
            raise FileProblem(
                f"{path.name} was written by an older Atlas Explorer, which made no prediction sets. Map the cells "
                "again."
            )
        obs = h5ad.read_table(file, "obs")
        arrays = {name: read_elem(file[f"obsm/{name}"]) for name in record["obsm_written"]}
        tables = {name: read_elem(file[f"obsm/{name}"]) for name in record.get("tables_written", ())}
    return result_of(obs, arrays, tables, record)


def result_of(
    obs: pd.DataFrame,
    arrays: Mapping[str, NDArray[Any]],
    tables: Mapping[str, pd.DataFrame],
    record: Mapping[str, Any],
) -> MappingResult:
    """A result from what `additions_of` gave, as AnnData read it back; `obs` may hold more columns."""
    return MappingResult(
        obs=obs.drop(columns=list(record["obs_written"])),
        method=record["method"],
        embedding=arrays[keys.embedding(record["method"])],
        neighbors=None,
        labels=labels_of(obs, arrays, record),
        layout=arrays[keys.LAYOUT],
        provenance=read_provenance(record),
        conditions=read_conditions(record.get("conditions", {})),
        proteins=_read_proteins(tables),
        verdict=read_verdict(record["verdict"]) if "verdict" in record else None,
    )


def holds_result(path: Path) -> bool:
    """Whether an h5ad file holds a mapping result of this program."""
    with h5ad.reading(path) as file:
        return f"uns/{keys.PROVENANCE}" in file


def write_signature(signature: Signature, path: Path | str) -> None:
    """A signature as a table, the highest score first: what is scored, and its score."""
    with finished_file(Path(path)) as part:
        signature.top(len(signature.names)).to_csv(part, index=False, float_format="%.6g")


def write_table(table: pd.DataFrame, path: Path | str) -> None:
    """Any table, without its index, numbers to six digits."""
    with finished_file(Path(path)) as part:
        table.to_csv(part, index=False, float_format="%.6g")


def label_table(index: pd.Index, labels: LabelTransfer) -> pd.DataFrame:
    """The first label level and the deepest label of each cell; its columns are `keys.CSV_COLUMNS`."""
    first = labels.first
    deepest = (labels.deepest_labels, _deepest_levels(labels))
    doubts = (first.confidence, first.novelty, first.unknown, first.stretch, sets_in_words(first))
    return pd.DataFrame(dict(zip(keys.CSV_COLUMNS, (index, first.labels, *doubts, *deepest), strict=True)))


def write_csv(result: MappingResult, path: Path | str) -> None:
    """The first label level as a table: cell_id, label, confidence, novelty, unknown, distance_ratio, prediction_set.

    The last two columns hold the label at the deepest level at which a cell is not unknown, and which level that is.
    Of a model refitted on a panel, one column more says in each row on how many genes; of a mapping that is doubtful or
    bad as a whole, one says so; of a threshold of confidence that was raised, one says to what.
    """
    with finished_file(Path(path)) as part:
        predictions_table(result).to_csv(part, index=False, float_format="%.6g")


def predictions_table(result: MappingResult) -> pd.DataFrame:
    """What `write_csv` writes."""
    table = label_table(result.obs.index, result.labels)
    if (panel := result.provenance.panel) is not None:
        table[keys.CSV_REFITTED] = len(panel.genes)
    return told_in_rows(table, result.labels.first, result.verdict)


def told_in_rows(table: pd.DataFrame, labels: LevelLabels, verdict: Verdict | None) -> pd.DataFrame:
    """The table with a column for a verdict that is not good, and one for a threshold that was raised."""
    told: dict[str, Any] = {}
    if verdict is not None and verdict.signal is not Signal.GOOD:
        told[keys.CSV_VERDICT] = str(verdict.signal)
    if labels.threshold != UNKNOWN_CONFIDENCE:
        told[keys.THRESHOLD] = labels.threshold
    return table.assign(**told)


def write_expression(query: Query, path: Path, progress: Progress | None = None) -> None:
    """Write log1p CP10k of all genes of a query so that one gene of all cells is a short read.

    Cells are turned round a block at a time and each block is stored by gene: one pass, flat memory, and a
    gene is one short run a block. Genes that share a name are summed.

    Raises
    ------
    ResourceProblem
        If the disk has not enough room.
    """
    progress = progress or Progress()
    names, place = np.unique(display_names(query.var).astype(str), return_inverse=True)
    with finished_file(path) as part:
        h5py.File(part, "w").close()
        reserve(part, expected_values(query.matrix) * _EXPRESSION_BYTES)
        with h5py.File(part, "r+") as file:
            file["genes"] = np.char.encode(names, "utf-8")
            file.attrs["n_cells"] = query.n_cells
            _write_by_gene(file, query, place, progress)


def _write_by_gene(file: h5py.File, query: Query, place: NDArray[np.int64], progress: Progress) -> None:
    from explorer.reading.turning import ahead, turned  # compiled code, which only this needs

    values = file.create_dataset("values", (0,), np.float16, maxshape=(None,), chunks=(_CHUNK,))
    cells = file.create_dataset("cells", (0,), np.uint16, maxshape=(None,), chunks=(_CHUNK,))
    firsts, starts = [0], []
    for block, totals in ahead(read_blocks(query, _EXPRESSION_ROWS)):
        logged = turned(block, totals, place, 0, len(file["genes"]))
        starts.append(len(values) + logged.starts)
        _extend(values, logged.values)
        _extend(cells, logged.cells)
        firsts.append(firsts[-1] + block.shape[0])
        progress(firsts[-1] / query.n_cells)
    file["starts"] = np.stack(starts)
    file["firsts"] = np.array(firsts[:-1], dtype=np.int64)


def gene_names(path: Path) -> list[str]:
    """Genes that `read_gene_values` knows, in alphabetical order."""
    return list(expression_directory(path).position)


def read_gene_values(path: Path, gene: str) -> FloatArray:
    """log1p CP10k of one gene in every cell, float32 (n,), to three digits.

    Raises
    ------
    OptionsProblem
        If the file has no such gene.
    """
    directory = expression_directory(path)
    if gene not in directory.position:
        raise OptionsProblem(f"These cells have no gene called {gene!r}. Choose one from the list.")
    at = directory.position[gene]
    answer = np.zeros(directory.n_cells, dtype=np.float32)
    # Without a chunk cache only the bytes of this gene are read.
    with h5py.File(path, "r", rdcc_nbytes=0) as file:
        values, cells = file["values"], file["cells"]
        for first, (start, stop) in zip(directory.firsts, directory.starts[:, at : at + 2], strict=True):
            answer[first + cells[start:stop].astype(np.int64)] = values[start:stop]
    return answer


@dataclass(frozen=True)
class ExpressionDirectory:
    """Where each gene lies in an expression file.

    Attributes
    ----------
    position
        Column of each gene.
    starts
        int64, blocks x (genes + 1): where each gene begins in each block.
    firsts
        int64 (blocks,): first cell of each block.
    """

    position: Mapping[str, int]
    starts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    n_cells: int


def expression_directory(path: Path) -> ExpressionDirectory:
    """Where the genes of a file that `write_expression` wrote lie in it."""
    return _read_directory(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read_directory(path: Path, changed: int) -> ExpressionDirectory:  # noqa: ARG001  (rewritten, it is another)
    with h5ad.reading(path) as file:
        position = {name.decode(): at for at, name in enumerate(file["genes"][:])}
        return ExpressionDirectory(position, file["starts"][:], file["firsts"][:], int(file.attrs["n_cells"]))


def _extend(dataset: h5py.Dataset, more: NDArray[Any]) -> None:
    stored = len(dataset)
    dataset.resize(stored + len(more), axis=0)
    dataset[stored:] = more.astype(dataset.dtype)


def require_writable(path: Path) -> None:
    """Refuse at once what could not be written in the end: nothing is made or changed.

    Raises
    ------
    OptionsProblem
        If no file or folder can be put at `path`.
    """
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir():
        raise OptionsProblem(f"{path} cannot be written: {place} is no folder. Name a place in a folder.")
    if not os.access(place, os.W_OK):
        raise OptionsProblem(f"{path} cannot be written: you may not write into {place}. Name another folder.")


def additions_of(result: MappingResult) -> Additions:
    """What a result adds to its query's file."""
    record = provenance_record(result.provenance) | label_record(result.labels)
    record["conditions"] = conditions_record(result.conditions)
    if result.verdict is not None:
        record["verdict"] = verdict_record(result.verdict)
    places = {keys.embedding(result.method): result.embedding, keys.LAYOUT: result.layout}
    arrays = {**places, **label_arrays(result.labels)}
    return Additions(label_columns(result.labels), arrays, _new_tables(result), keys.PROVENANCE, record)


def label_record(labels: LabelTransfer) -> dict[str, Any]:
    """What `labels_of` needs to know besides columns and arrays."""
    return dict(
        storable(
            {
                "levels": [level.level for level in labels.levels],
                "classes": {level.level: level.classes for level in labels.levels},
                "within": dict(labels.within),
                "thresholds": {level.level: level.threshold for level in labels.levels},
            }
        )
    )


def label_columns(labels: LabelTransfer) -> dict[str, Any]:
    """What labels add to obs."""
    columns: dict[str, Any] = {}
    for level in labels.levels:
        columns[keys.predicted(level.level)] = pd.Categorical.from_codes(level.codes, pd.Index(level.classes))
        columns[keys.confidence(level.level)] = level.confidence
        columns[keys.prediction_set(level.level)] = sets_in_words(level)
    columns[keys.NOVELTY] = labels.first.novelty
    columns[keys.IS_UNKNOWN] = labels.first.unknown
    columns[keys.DEEPEST_LABEL] = pd.Categorical(labels.deepest_labels)
    columns[keys.DEEPEST_LEVEL] = pd.Categorical(_deepest_levels(labels))
    return columns


def label_arrays(labels: LabelTransfer) -> dict[str, NDArray[Any]]:
    """What labels add to obsm."""
    arrays: dict[str, NDArray[Any]] = {}
    for level in labels.levels:
        doubts = (level.disagreement, level.novelty, level.unknown, level.stretch)
        arrays[keys.probabilities(level.level)] = level.probabilities
        arrays[keys.doubt(level.level)] = np.column_stack(doubts).astype(np.float32)
        arrays[keys.prediction_set(level.level)] = level.sets
    return arrays


def sets_in_words(level: LevelLabels) -> pd.Categorical:
    """The prediction set of each cell as text, e.g. "CD4 T cell | CD8 T cell"; the labels in their own order."""
    packed = np.packbits(level.sets, axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    texts = [keys.BETWEEN.join(label for label, held in zip(level.classes, level.sets[row], strict=True) if held)
             for row in first]
    return pd.Categorical.from_codes(which.ravel(), pd.Index(texts, dtype=object))


def _deepest_levels(labels: LabelTransfer) -> NDArray[np.object_]:
    """Name of each cell's deepest level, "" where it is unknown at every one."""
    names = np.array([*(level.level for level in labels.levels), ""], dtype=object)
    return np.asarray(names[labels.deepest])


def _new_tables(result: MappingResult) -> dict[str, pd.DataFrame]:
    """obsm with named columns."""
    proteins = result.proteins
    if proteins is None:
        return {}
    held = {keys.PROTEINS_IMPUTED: proteins.values, keys.PROTEINS_SPREAD: proteins.spread}
    if proteins.measured is not None:
        held[keys.PROTEINS_MEASURED] = proteins.measured
    columns = list(proteins.names)
    return {name: pd.DataFrame(values, index=result.obs.index, columns=columns) for name, values in held.items()}


def _read_proteins(tables: Mapping[str, pd.DataFrame]) -> ImputedProteins | None:
    if keys.PROTEINS_IMPUTED not in tables:
        return None
    held = {name: table.to_numpy(np.float32) for name, table in tables.items()}
    return ImputedProteins(
        names=tuple(map(str, tables[keys.PROTEINS_IMPUTED].columns)),
        values=held[keys.PROTEINS_IMPUTED],
        spread=held[keys.PROTEINS_SPREAD],
        measured=held.get(keys.PROTEINS_MEASURED),
    )


def labels_of(
    obs: pd.DataFrame, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]
) -> LabelTransfer:
    """Labels from what `label_columns`, `label_arrays` and `label_record` gave."""
    levels = tuple(_read_level(name, obs, arrays, record) for name in record["levels"])
    return LabelTransfer(levels, {str(fine): str(coarse) for fine, coarse in record["within"].items()})


def _read_level(
    name: str, obs: pd.DataFrame, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]
) -> LevelLabels:
    doubts = arrays[keys.doubt(name)].T
    if len(doubts) != 4:
        raise FileProblem(
            "This result was written by an older Atlas Explorer, which did not keep how far cells lie. Map them again."
        )
    disagreement, novelty, unknown, stretch = doubts
    return LevelLabels(
        level=str(name),
        classes=tuple(str(label) for label in record["classes"][name]),
        codes=np.asarray(obs[keys.predicted(name)].cat.codes, dtype=np.int32),
        probabilities=arrays[keys.probabilities(name)],
        confidence=obs[keys.confidence(name)].to_numpy(dtype=np.float32),
        disagreement=disagreement,
        novelty=novelty,
        stretch=stretch,
        unknown=unknown > 0.5,
        sets=np.asarray(arrays[keys.prediction_set(name)], bool),
        threshold=float(record.get("thresholds", {}).get(name, UNKNOWN_CONFIDENCE)),
    )
