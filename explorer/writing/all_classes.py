"""The probabilities of all classes as a table, one row a cell, a block of rows at a time.

Knows results and columns; memory stays flat whatever the number of cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from explorer import keys
from explorer.consensus import AgreedResult
from explorer.flow import UNKNOWN_CONFIDENCE, LevelLabels, MappingResult
from explorer.writing.appending import finished_file

BLOCK_ROWS = 20_000
_OF_A_LEVEL = keys.CSV_COLUMNS[:6]  # those of the short table that speak of one level alone


def probability_table(result: MappingResult, level: str, rows: slice = slice(None)) -> pd.DataFrame:
    """Cells with their label and doubt, and the calibrated probability of every class of a level.

    Parameters
    ----------
    rows
        Which cells; all of them by default.

    Returns
    -------
    DataFrame
        cell_id, label, confidence, novelty, unknown and distance_ratio, then one column a class: P(class). Where the
        threshold of confidence was raised, one before them says to what.
    """
    return _table(result.obs.index, result.labels.level(level), rows)


def probability_lines(result: MappingResult, level: str) -> Iterator[bytes]:
    """The same as csv, in UTF-8."""
    return _lines(result.obs.index, result.labels.level(level))


def write_probabilities(
    result: MappingResult | AgreedResult, path: Path | str, level: str | None = None
) -> tuple[Path, ...]:
    """Write the table of a level, of the main one if it is not named, as a csv file.

    Of several methods a file each: the consensus under the name given, each voice beside it as `path_of` names it.

    Returns
    -------
    tuple of Path
        The files written.
    """
    index, path = result.obs.index, Path(path)
    if isinstance(result, MappingResult):
        said = {path: result.labels}
    else:
        said = {path: result.consensus.labels} | {path_of(path, name): own for name, own in result.said.items()}
    for place, labels in said.items():
        with finished_file(place) as part, part.open("wb") as file:
            file.writelines(_lines(index, labels.level(level or labels.first.level)))
    return tuple(said)


def path_of(path: Path, method: str) -> Path:
    """Where what one method said lies, beside the consensus in `path`: all.csv, all_concord.csv."""
    return path.with_name(f"{path.stem}_{method}{path.suffix}")


def _table(index: pd.Index, found: LevelLabels, rows: slice) -> pd.DataFrame:
    doubts = (found.confidence[rows], found.novelty[rows], found.unknown[rows], found.stretch[rows])
    columns = (index[rows], found.labels[rows], *doubts)
    told = dict(zip(_OF_A_LEVEL, columns, strict=True))
    if found.threshold != UNKNOWN_CONFIDENCE:
        told[keys.THRESHOLD] = found.threshold
    probabilities = pd.DataFrame(found.probabilities[rows], columns=[f"P({name})" for name in found.classes])
    return pd.concat([pd.DataFrame(told), probabilities], axis=1)


def _lines(index: pd.Index, found: LevelLabels) -> Iterator[bytes]:
    for start in range(0, max(len(index), 1), BLOCK_ROWS):
        part = _table(index, found, slice(start, start + BLOCK_ROWS))
        yield part.to_csv(index=False, header=start == 0, float_format="%.6g").encode("utf-8")
