"""How many cells of each label every sample has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from components.coloring import Categories
from explorer.app import library, look
from explorer.app.coloring import label_categories
from explorer.app.session import Session
from explorer.app.views.base import View
from explorer.insight.composition import count_labels, sample_columns


class CompositionView(View):
    """Labels by sample, as counts and shares; follows the selection."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._column = pmui.Select(label="By", options=[], size="small", width=190, margin=(6, 12, 4, 0))
        self._column.param.watch(lambda _: self._draw(), "value")
        self._about = look.html(margin=(11, 0, 0, 0))
        self._table = look.html(margin=(0, 0, 6, 0))
        self.panel = pn.Column(
            pn.Row(self._column, self._about, sizing_mode="stretch_width", margin=0), self._table,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.watch(self._fill, ["outcome", "reference", "show", "batch"])
        self.watch(self._draw, ["selection", "level", "outcome", "show", "reference", "batch"])
        self._fill()
        self._draw()

    def _fill(self) -> None:
        obs = self._obs()
        if obs is None:
            return
        columns = sample_columns(obs)
        card = self.session.reference.card if self.session.reference is not None else {}
        wanted = self.session.batch if self.session.front == "query" else card.get("sample") or card.get("batch")
        self._column.param.update(
            options=columns, value=wanted if wanted in columns else (columns[0] if columns else None)
        )

    def _obs(self) -> pd.DataFrame | None:
        session = self.session
        if session.front == "query" and session.outcome is not None:
            return session.outcome.result.obs
        return session.reference.obs if session.reference is not None else None

    def _draw(self) -> None:
        obs, column, session = self._obs(), self._column.value, self.session
        if obs is None or session.reference is None:
            return
        if not column:
            self._table.object = '<p class="soft">These cells have no column that names samples.</p>'
            self._about.object = ""
            return
        labels = label_categories(session.reference, session.outcome, session.level, session.front)
        rows = session.selection
        session.attempt(
            "composition",
            "Counting",
            lambda: composition_html(count_labels(labels.codes, obs[column], rows), labels),
            self._display,
        )

    def _display(self, table: str) -> None:
        session, project = self.session, self.session.project
        demo = library.demo_of(project.query) if project is not None and session.front == "query" else None
        note = f' <span class="mind">{look.text(demo.note)}</span>' if demo is not None and demo.note else ""
        scope = "the selected cells" if session.selection is not None else "all cells"
        self._table.object = table
        self._about.object = f'<p class="soft small">Cells, and share of the sample, of {scope}.{note}</p>'


def composition_html(counts: pd.DataFrame, labels: Categories) -> str:
    """The table, with a swatch for each label."""
    head = "".join(f'<th class="right">{look.text(name)}</th>' for name in counts.columns)
    values = counts.to_numpy()
    totals = values.sum(axis=0)
    body = "".join(
        _label_row(labels.names[code], labels.colors[code], row, totals)
        for code, row in zip(counts.index.tolist(), values, strict=True)
    )
    sums = "".join(f'<td class="right">{total:,}</td>' for total in (*totals, totals.sum()))
    return (
        f'<table class="plain dense"><thead><tr><th>Label</th>{head}<th class="right">all</th></tr></thead>'
        f'<tbody>{body}<tr class="sum"><td>all</td>{sums}</tr></tbody></table>'
    )


def _label_row(name: str, color: str, row: np.ndarray, totals: np.ndarray) -> str:
    swatch = f'<i class="swatch" style="background:{look.text(color)}"></i>'
    cells = "".join(
        f'<td class="right">{n:,} <span class="soft">{look.share(n, total)}</span></td>'
        for n, total in zip(row, totals, strict=True)
    )
    return f'<tr><td>{swatch}{look.text(name)}</td>{cells}<td class="right">{row.sum():,}</td></tr>'
