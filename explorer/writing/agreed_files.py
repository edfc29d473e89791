"""Results of several methods and their consensus in one h5ad: a copy of the query's own file with all of it appended.

Of the consensus, `consensus_<level>` holds the label, `agreement_<level>` the share of methods behind it, and whatever
a file of one method calls name is called consensus_name; of each method it is called name_method, and the regression
on expression is one of them. Knows files and their columns; computes nothing about cells but what follows from labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata.io import read_elem

from explorer import keys
from explorer.agreement import agreement_of, disputed_cells, positions
from explorer.consensus import AgreedResult, Consensus, LevelConsensus
from explorer.errors import FileProblem
from explorer.flow import LabelTransfer, MappingResult, Query
from explorer.reading import h5ad
from explorer.writing.appending import Additions, append_to_copy
from explorer.writing.export import (
    additions_of,
    label_arrays,
    label_columns,
    label_record,
    label_table,
    labels_of,
    read_result,
    result_of,
    told_in_rows,
    write_table,
)
from explorer.writing.records import read_verdict, storable, verdict_record

Naming = Callable[[str], str]


def write_agreed(agreed: AgreedResult, query: Query, path: Path | str) -> None:
    """Copy the query's own file and append the consensus and every method's own result.

    Raises
    ------
    OptionsProblem
        If the path is the query's own file.
    ResourceProblem
        If the disk has not enough room.
    """
    found = agreed.consensus
    parts = {result.method: additions_of(result) for result in agreed.results}
    parts |= {voice: _of_labels(labels) for voice, labels in agreed.said.items() if voice not in parts}
    own = _of_labels(found.labels)
    columns = _renamed(own.columns, _consensus_name)
    columns |= {keys.agreement(level.labels.level): level.agreement for level in found.levels}
    arrays, tables = _renamed(own.arrays, _consensus_name), dict[str, pd.DataFrame]()
    for method, part in parts.items():
        naming = _naming(method)
        columns |= _renamed(part.columns, naming)
        arrays |= _renamed(part.arrays, naming)
        tables |= _renamed(part.tables, naming)
    record = {
        "voices": storable(found.voices),
        "titles": storable(found.titles),
        "notices": np.array(found.notices, dtype=object),
        "pooled": {level.labels.level: _pooled(level) for level in found.levels},
        "consensus": _with_names(own),
        "methods": {method: _with_names(part) for method, part in parts.items()},
    }
    if found.verdict is not None:
        record["verdict"] = verdict_record(found.verdict)
    append_to_copy(query, Path(path), Additions(columns, arrays, tables, keys.CONSENSUS_RECORD, record))


def write_agreed_csv(agreed: AgreedResult, path: Path | str) -> None:
    """The consensus at the main label level as a table, with the columns of a single method's and the agreement."""
    labels, first = agreed.consensus.labels, agreed.consensus.first
    table = told_in_rows(label_table(agreed.obs.index, labels), labels.first, agreed.consensus.verdict)
    table[keys.agreement(first.labels.level)] = first.agreement
    write_table(table, path)


def write_disputed(agreed: AgreedResult, path: Path | str, level: str | None = None) -> None:
    """The cells that not all methods label alike, as a table; see `explorer.agreement.disputed_cells`."""
    write_table(disputed_cells(agreed.consensus, agreed.obs.index, level), path)


def read_agreed(path: Path | str) -> AgreedResult:
    """Read back what `write_agreed` wrote; neighbours and answers to left-out cells are not kept.

    Raises
    ------
    FileProblem
        If the file cannot be read, or holds no consensus.
    """
    path = Path(path)
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        if f"uns/{keys.CONSENSUS_RECORD}" not in file:
            raise FileProblem(
                f"{path.name} holds no consensus of several methods (uns[{keys.CONSENSUS_RECORD!r}] is missing). Map "
                "the cells by several methods first: atlas-explorer map --method all"
            )
        record = read_elem(file[f"uns/{keys.CONSENSUS_RECORD}"])
        obs = h5ad.read_table(file, "obs")
        held = {name: read_elem(file[f"obsm/{name}"]) for name in [*record["obsm_written"], *record["tables_written"]]}
    parts = {str(voice): _Part(obs, held, record["methods"][voice], _naming(str(voice))) for voice in record["voices"]}
    whose = {str(voice): ("method" in record["methods"][voice]) for voice in record["voices"]}
    said = {voice: part.labels() for voice, part in parts.items()}
    return AgreedResult(
        results=tuple(part.result(list(record["obs_written"])) for voice, part in parts.items() if whose[voice]),
        expression=next((said[voice] for voice in said if not whose[voice]), None),
        consensus=_consensus(record, _Part(obs, held, record["consensus"], _consensus_name).labels(), said, obs),
    )


def labels_in_file(path: Path | str) -> tuple[pd.DataFrame, LabelTransfer]:
    """The query's own obs and the labels of a result, of the consensus where several methods gave it.

    Raises
    ------
    FileProblem
        If the file cannot be read, or holds no result of this program.
    """
    path = Path(path)
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        of_several = f"uns/{keys.CONSENSUS_RECORD}" in file
    if of_several:
        agreed = read_agreed(path)
        return agreed.obs, agreed.consensus.labels
    result = read_result(path)
    return result.obs, result.labels


@dataclass(frozen=True)
class _Part:
    """What one voice, or the consensus, wrote into a file."""

    obs: pd.DataFrame
    held: Mapping[str, Any]
    record: Mapping[str, Any]
    naming: Naming

    def columns(self) -> pd.DataFrame:
        return pd.DataFrame({name: self.obs[self.naming(name)] for name in self.record["obs_written"]})

    def of(self, kind: str) -> dict[str, Any]:
        return {name: self.held[self.naming(name)] for name in self.record[kind]}

    def labels(self) -> LabelTransfer:
        return labels_of(self.columns(), self.of("obsm_written"), self.record)

    def result(self, all_written: Sequence[str]) -> MappingResult:
        obs = pd.concat([self.obs.drop(columns=all_written), self.columns()], axis=1)
        return result_of(obs, self.of("obsm_written"), self.of("tables_written"), self.record)


def _consensus(
    record: Mapping[str, Any], labels: LabelTransfer, said: Mapping[str, LabelTransfer], obs: pd.DataFrame
) -> Consensus:
    levels = []
    for level in labels.levels:
        told = [each.level(level.level) for each in said.values()]
        codes = np.stack([positions(level.classes, each.classes)[each.codes] for each in told])
        share, kappa = agreement_of(codes, len(level.classes))
        pooled = record["pooled"][level.level]
        agreed = obs[keys.agreement(level.level)].to_numpy(np.float32)
        levels.append(
            LevelConsensus(
                labels=level,
                agreement=agreed,
                codes=codes,
                share=share,
                kappa=kappa,
                weights=np.asarray(pooled["weights"], np.float32),
                temperature=float(pooled["temperature"]),
                scores=json.loads(pooled["scores"]),
            )
        )
    return Consensus(
        voices=tuple(said),
        titles=tuple(map(str, record["titles"])),
        levels=tuple(levels),
        within=labels.within,
        notices=tuple(map(str, record["notices"])),
        verdict=read_verdict(record["verdict"]) if "verdict" in record else None,
    )


def _of_labels(labels: LabelTransfer) -> Additions:
    return Additions(label_columns(labels), label_arrays(labels), record=label_record(labels))


def _with_names(part: Additions) -> dict[str, Any]:
    written = {"obs_written": part.columns, "obsm_written": part.arrays, "tables_written": part.tables}
    return {**part.record, **{kind: np.array(list(names), dtype=object) for kind, names in written.items()}}


def _pooled(level: LevelConsensus) -> dict[str, Any]:
    return {"weights": level.weights, "temperature": level.temperature, "scores": json.dumps(dict(level.scores))}


def _renamed(values: Mapping[str, Any], naming: Naming) -> dict[str, Any]:
    return {naming(name): value for name, value in values.items()}


def _consensus_name(name: str) -> str:
    return keys.CONSENSUS.format(name=name.removeprefix(keys.predicted("")))


def _naming(method: str) -> Naming:
    """What a file of several methods calls something of one of them; its embedding is called after it anyway."""
    own = keys.embedding(method)
    return lambda name: name if name == own else keys.of_method(name, method)
