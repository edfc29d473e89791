"""Names of conditions, and the rows of a network's tables that they stand for. Knows names and codes, not vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Column = tuple[str, Sequence[str], NDArray[np.integer]]
"""Name of a column of conditions, the names of its conditions, and each cell's position among them."""


@dataclass(frozen=True)
class ConditionNames:
    """Which row of which table, and which row of dispersion, belongs to what.

    Attributes
    ----------
    columns
        Names of the K columns.
    names
        Of each column, its conditions in the order of its table: those trained with first.
    seen
        How many of them the network was trained with.
    combinations
        The combinations that occur, as rows of the tables, in the order of the dispersion.
    """

    columns: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    seen: tuple[int, ...]
    combinations: tuple[tuple[int, ...], ...]

    @classmethod
    def learned(cls, columns: Sequence[Column]) -> tuple[Self, NDArray[np.int64], NDArray[np.int64]]:
        """Number what occurs in training; also each cell's rows (m, K) and combination (m,)."""
        empty = cls(tuple(column for column, _, _ in columns), ((),) * len(columns), (0,) * len(columns), ())
        found, rows, combined = empty.extended(columns)
        return cls(found.columns, found.names, tuple(map(len, found.names)), found.combinations), rows, combined

    def extended(self, columns: Sequence[Column]) -> tuple[Self, NDArray[np.int64], NDArray[np.int64]]:
        """Add what a query has besides, without gaps, in the order of its names; a known name is the known condition.

        Parameters
        ----------
        columns
            At least one; a column that is not among them is not known of any cell. Others are not looked at.

        Returns
        -------
        names
            With the new conditions and combinations last.
        rows, combined
            int64 (n, K) and (n,): what each cell stands for; -1 in `rows` for what is not known.
        """
        given = {column: (names, codes) for column, names, codes in columns}
        rows = np.full((len(columns[0][2]), len(self.columns)), -1, np.int64)
        names = list(self.names)
        for k, column in enumerate(self.columns):
            if column in given:
                theirs, codes = given[column]
                occurring = [str(theirs[code]) for code in np.unique(codes)]
                names[k] = (*names[k], *(name for name in occurring if name not in set(names[k])))
                row = {name: i for i, name in enumerate(names[k])}
                rows[:, k] = np.array([row.get(str(name), -1) for name in theirs], np.int64)[codes]
        combinations, which = np.unique(rows, axis=0, return_inverse=True)
        known = {combination: i for i, combination in enumerate(self.combinations)}
        for combination in map(tuple, combinations.tolist()):
            known.setdefault(combination, len(known))
        combined = np.array([known[tuple(each)] for each in combinations.tolist()], np.int64)[which.ravel()]
        return type(self)(self.columns, tuple(names), self.seen, tuple(known)), rows, combined

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for files."""
        return {"columns": self.columns, "names": self.names, "seen": self.seen, "combinations": self.combinations}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """What `as_dict` made, also after a way through JSON."""
        columns, seen = (tuple(found[key]) for key in ("columns", "seen"))
        names, combinations = (tuple(map(tuple, found[key])) for key in ("names", "combinations"))
        return cls(columns, names, seen, combinations)
