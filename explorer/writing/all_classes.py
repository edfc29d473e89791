"""The probabilities of all classes as a table, one row a cell, a block of rows at a time.

Knows results and columns; memory stays flat whatever the number of cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from explorer import keys
from explorer.flow import UNKNOWN_CONFIDENCE, MappingResult
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
    found = result.labels.level(level)
    doubts = (found.confidence[rows], found.novelty[rows], found.unknown[rows], found.stretch[rows])
    columns = (result.obs.index[rows], found.labels[rows], *doubts)
    told = dict(zip(_OF_A_LEVEL, columns, strict=True))
    if found.threshold != UNKNOWN_CONFIDENCE:
        told[keys.THRESHOLD] = found.threshold
    probabilities = pd.DataFrame(found.probabilities[rows], columns=[f"P({name})" for name in found.classes])
    return pd.concat([pd.DataFrame(told), probabilities], axis=1)


def probability_lines(result: MappingResult, level: str) -> Iterator[bytes]:
    """The same as csv, in UTF-8."""
    for start in range(0, max(result.n_cells, 1), BLOCK_ROWS):
        part = probability_table(result, level, slice(start, start + BLOCK_ROWS))
        yield part.to_csv(index=False, header=start == 0, float_format="%.6g").encode("utf-8")


def write_probabilities(result: MappingResult, path: Path | str, level: str | None = None) -> None:
    """Write the table of a level, of the main one if it is not named, as a csv file."""
    with finished_file(Path(path)) as part, part.open("wb") as file:
        file.writelines(probability_lines(result, level or result.labels.first.level))
