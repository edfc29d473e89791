"""Labels that the cells brought beside those they were given: who agrees with whom, and which cells do not."""

from __future__ import annotations

from typing import Any

import pandas as pd
import panel_material_ui as pmui
import param

from components.alluvial import Alluvial
from components.heat_table import HeatTable
from components.menu import Menu
from explorer import keys
from explorer.app import look
from explorer.app.colors.paints import label_paints
from explorer.app.leaving.confusion import SHOWN_NAMES, cells_of, confusion, labels_in_force, named_columns, summary
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import Standing
from explorer.app.views.tabs.tab import SLIM, TabView, column, row, said
from explorer.app.words import about
from explorer.errors import OptionsProblem
from explorer.insight.own_labels import BY_SHARE, ONE_TO_ONE, Comparison

_RULES = {"what most of its cells got": BY_SHARE, "one each, no two the same": ONE_TO_ONE}
_PICTURES = ("Cells", "Share", "Flow")
_MEASURES = {"adjusted Rand index": "rand index", "normalised mutual information": "mutual information"}
_ASK = (
    "Labels that your cells brought stand here beside the predicted ones. Map a file, and put its "
    "cells in front."
)
_NONE = "Your file has no column of names that could be labels, so there is nothing to compare with."


class OwnLabelsView(TabView):
    """Confusion of own and predicted labels; a click selects the cells of a field or band on the map."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found: Comparison | None = None
        self._column = Menu(label="Your labels", options=[], size="small", width=138, margin=(8, 8, 4, 0),
                                   sx=SLIM)  # fmt: skip
        self._rule = Menu(label="An own label means", options=_RULES, value=BY_SHARE, size="small", width=216,
                                 margin=(8, 8, 4, 0), sx=SLIM)  # fmt: skip
        self._picture = pmui.RadioButtonGroup(
            options=list(_PICTURES), value=_PICTURES[1], size="small", margin=(8, 8, 4, 0), sx=look.SEGMENTS
        )
        self._only = pmui.Checkbox(label="Selected only", value=False, size="small", margin=(6, 0, 0, 0))
        self._link = self.link("Table, csv", self._offered)
        self._choices = row(self._column, self._rule, self._picture, self._only)
        self._standing = Standing()
        self._said = look.html(margin=(2, 0, 4, 0))
        self._table = HeatTable(corner="yours \\ predicted", action="Click to select these cells", margin=0,
                                sizing_mode="stretch_width")  # fmt: skip
        self._flow = Alluvial(sizing_mode="stretch_width", margin=0, left_title="Your labels", right_title="Predicted")
        self._per_label = look.html(margin=(10, 0, 12, 0))
        self._body = column(self._table, self._per_label)
        self.panel = column(self._choices, self._standing, said(self._said, self._link), self._body)
        for part in (self._column, self._rule, self._only):
            part.param.watch(lambda _: self._count(), "value")
        self._picture.param.watch(lambda _: self._draw(), "value")
        for drawn in (self._table, self._flow):
            drawn.param.watch(self._select, "picked")
        self.watch(self._fill, ["outcome", "own_label", "show"])
        self.watch(self._count, ["outcome", "level", "show"])
        self.watch(self._draw, ["paints"])
        self.watch(self._follow, ["selection"])
        self.watch(self._stand, ["status", "outcome", "show"])
        self._fill()
        self._follow()
        self._count()

    # what is compared

    def _fill(self) -> None:
        outcome = self.session.outcome
        columns = list(named_columns(outcome.result.obs)) if outcome is not None else []
        kept = self._column.value if self._column.value in columns else ""
        own = self.session.own_label if self.session.own_label in columns else ""
        self._column.param.update(options=columns, value=kept or own or next(iter(columns), None))

    def _follow(self) -> None:
        """A click here selects cells too, so the table keeps to all cells unless told otherwise."""
        self._only.disabled = self.session.selection is None
        if self._only.value:
            self._count()

    def _count(self) -> None:
        session, column, rule = self.session, self._column.value, self._rule.value
        self._stand()
        if session.outcome is None or not self._has_cells() or not column:
            return
        obs, labels = session.outcome.result.obs, labels_in_force(session)
        rows = session.selection if self._only.value else None
        session.attempt(
            "own labels", "Comparing labels", lambda: confusion(obs[column], labels, rule, rows), self._take_in
        )

    def _has_cells(self) -> bool:
        return self.session.front == "query"

    def _take_in(self, found: Comparison) -> None:
        self._found = found
        self._draw()

    # drawing

    def _stand(self) -> None:
        standing = self.session.standing("own labels")
        has = self._has_cells() and bool(self._column.value)
        self._standing.display(standing)
        self._choices.visible = has
        self._body.visible = has and self._found is not None and standing.phase is not Phase.FAILED
        self.show_link(self._link, self._body.visible)
        if not has:
            self._said.object = f'<p class="soft">{_NONE if self._has_cells() else _ASK}</p>'
        elif not self._body.visible:
            self._said.object = ""

    def _draw(self) -> None:
        found, session = self._found, self.session
        if found is None or session.reference is None:
            return
        scope = " Of the selected cells." if self._only.value and session.selection is not None else ""
        told = look.text(summary(found))
        for name, word in _MEASURES.items():
            told = told.replace(name, f"{name}{about(word)}")
        self._said.object = f'<p class="small soft">{told}{scope}</p>'
        colors = label_paints(session.reference, session.level, session.paints)
        if self._picture.value == _PICTURES[2]:
            self._flow.param.update(colors=colors, **flow(found))
        else:
            as_share = self._picture.value == _PICTURES[1]
            names = [str(name) for name in found.counts.columns]
            self._table.param.update(colors=[colors.get(name, "#8a8f98") for name in names], **heat(found, as_share))
        wanted = [self._flow if self._picture.value == _PICTURES[2] else self._table, self._per_label]
        if self._body.objects != wanted:
            self._body.objects = wanted
        self._per_label.object = per_label_html(found)
        self._stand()

    def _select(self, event: param.parameterized.Event) -> None:
        session, column = self.session, self._column.value
        if not event.new or not column or session.outcome is None or not self._has_cells():
            return
        mine, predicted = event.new["row"], event.new["column"]
        rows = cells_of(session.outcome.result.obs[column], labels_in_force(session), mine, predicted)
        session.select(rows if len(rows) else None)

    def _offered(self) -> Offered:
        if self._found is None:
            raise OptionsProblem("No labels are compared yet. Choose a column of your own labels first.")
        return offered_frame(self.session, f"own vs predicted, {self._column.value}", self._found.links())


def heat(found: Comparison, as_share: bool) -> dict[str, Any]:
    """Rows, columns, texts and shades of a table; shades are shares of the row either way."""
    shares, counts = found.shares.to_numpy(float), found.counts.to_numpy()
    texts = [
        ["" if n == 0 else (look.share(n, 1 if total == 0 else total) if as_share else f"{n:,}") for n in line]
        for line, total in zip(counts.tolist(), counts.sum(axis=1).tolist(), strict=True)
    ]
    return {
        "rows": [str(name) for name in found.counts.index],
        "columns": [str(name) for name in found.counts.columns],
        "texts": texts,
        "shades": [[round(float(share), 4) for share in line] for line in shares],
    }


def flow(found: Comparison) -> dict[str, Any]:
    """Names and bands of a picture of flows; of very many names those with most cells."""
    own = [str(name) for name in found.counts.sum(axis=1).nlargest(SHOWN_NAMES).index]
    table = found.links()
    table = table[table["own"].astype(str).isin(own)]
    reached = set(table["predicted"].astype(str))
    bands: list[dict[str, Any]] = [
        {"row": str(mine), "column": str(given), "size": int(cells)}
        for mine, given, cells in zip(table["own"], table["predicted"], table["cells"], strict=True)
    ]
    order = {name: at for at, name in enumerate(map(str, found.counts.index))}
    return {
        "left": sorted(own, key=order.__getitem__),
        "right": [str(name) for name in found.counts.columns if str(name) in reached],
        "links": bands,
    }


def per_label_html(found: Comparison) -> str:
    """What became of each own label, as a table."""
    lines = []
    for name, told in found.per_label.iterrows():
        meaning = found.correspondence.get(str(name), "-")
        figures = (look.share(told["share"], 1), _number(told["confidence"]), look.share(told[keys.UNKNOWN], 1))
        lines.append(
            f'<tr><td>{look.text(name)}</td><td class="right">{int(told["cells"]):,}</td>'
            f'<td class="apart">{look.text(meaning)}</td>'
            + "".join(f'<td class="right">{figure}</td>' for figure in figures)
            + "</tr>"
        )
    titles = "".join(f'<th class="right">{title}</th>' for title in ("largest share", "median confidence", "unknown"))
    head = f'<th>Your label</th><th class="right">cells</th><th class="apart">means</th>{titles}'
    return f'<table class="plain dense"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.2f}"
