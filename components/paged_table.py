"""A table of any length, a page at a time: `PagedTable`. Sorting, searching and paging happen here, not in the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import param
from panel.custom import JSComponent

from components.modules import html_module

_HERE = Path(__file__).parent

KINDS = ("text", "number", "share", "p")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    key
        Column of the data frame.
    label
        Its heading.
    kind
        How values are written: "text", "number" (three digits), "share" (of 1, in percent) or "p" (2e-08).
    tip
        What it is, for the heading's tip.
    is_spare
        Whether a table that is too narrow for all its columns may do without it.
    """

    key: str
    label: str
    kind: str = "text"
    tip: str = ""
    is_spare: bool = False


class PagedTable(JSComponent):
    """Rows of a data frame that sort by any column and are searched by the first. A click on a row picks its name."""

    columns = param.List(default=[], item_type=dict, doc="Set by `display`.")
    lines = param.List(default=[], item_type=list, doc="The texts of the page in view, set here.")
    found = param.Integer(default=0, doc="Rows that the search finds.")
    total = param.Integer(default=0, doc="Rows in all.")
    page = param.Integer(default=0, bounds=(0, None))
    page_size = param.Integer(default=25, bounds=(1, 500))
    order_by = param.String(default="", doc="Key of the column that sorts; empty for the order given.")
    downwards = param.Boolean(default=True, doc="Whether the highest stands first.")
    search = param.String(default="", doc="Part of what the first column says, upper or lower case.")
    picked = param.String(default="", doc="What the first column says in the row clicked last.")
    unit = param.String(default="rows")
    action = param.String(default="", doc="What a click does, for the tip of a row.")

    _esm = html_module("paged_table.js")
    _stylesheets: ClassVar[list[str]] = [(_HERE / "paged_table.css").read_text(encoding="utf-8")]

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._table, self._shown = pd.DataFrame(), np.zeros(0, dtype=np.int64)
        self._columns: tuple[Column, ...] = ()
        self.param.watch(self._arrange, ["order_by", "downwards", "search"])
        self.param.watch(lambda _: self._turn(), ["page", "page_size"])

    def display(self, table: pd.DataFrame, columns: Sequence[Column]) -> None:
        """Show a table from its first page on; a column it sorts by keeps doing so if it is still there.

        Parameters
        ----------
        columns
            Of the table, in order; those it lacks are left out. The first is searched.
        """
        self._table = table
        self._columns = tuple(column for column in columns if column.key in table)
        keys = [column.key for column in self._columns]
        self.columns = [
            {"key": c.key, "label": c.label, "kind": c.kind, "tip": c.tip, "spare": c.is_spare} for c in self._columns
        ]
        if self.order_by not in keys:
            self.order_by = ""
        self._arrange()

    def _arrange(self, *_: param.parameterized.Event) -> None:
        table = self._table
        shown = np.arange(len(table))
        if self.search and self._columns:
            names = table[self._columns[0].key].astype(str).str.upper()
            shown = np.flatnonzero(names.str.contains(self.search.strip().upper(), regex=False).to_numpy(bool))
        if self.order_by in table:
            values = table[self.order_by].iloc[shown].reset_index(drop=True)
            ordered = values.sort_values(ascending=not self.downwards, kind="stable", na_position="last")
            shown = shown[ordered.index.to_numpy()]
        self._shown = shown
        self.param.update(found=len(shown), total=len(table), page=0)
        self._turn()

    def _turn(self) -> None:
        last = max(0, (len(self._shown) - 1) // self.page_size)
        if self.page > last:
            self.page = last
            return
        rows = self._shown[self.page * self.page_size : (self.page + 1) * self.page_size]
        part = self._table.iloc[rows]
        texts = [[written(value, column.kind) for value in part[column.key]] for column in self._columns]
        self.lines = [list(line) for line in zip(*texts, strict=True)]


def written(value: Any, kind: str) -> str:
    """A value as a table shows it; "-" for none.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"Values are written as {', '.join(KINDS)}; not as {kind!r}.")
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "-"
    if kind == "text":
        return str(value)
    if kind == "share":
        percent = 100 * float(value)
        return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"
    if kind == "p":
        return f"{float(value):.2g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{float(value):.3g}"
