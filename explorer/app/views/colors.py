"""Left of the map: what colours the cells, and what the colours mean."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.coloring import Categories, Values
from components.legend import ColorBar, Legend
from explorer import keys
from explorer.app import look
from explorer.app.coloring import ColorBy
from explorer.app.session import Session
from explorer.app.status import READY
from explorer.app.views.base import Standing, View

_KINDS = {
    "Label": "label",
    "Confidence": "confidence",
    "Novelty": "novelty",
    "Column": "column",
    "Gene": "gene",
}


class CategoryList(Legend):
    """The legend under a name that the Material page does not take for Bokeh's own legend, which it would restyle."""


class ColorsView(View):
    """Colour choice and legend."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        wide: dict[str, Any] = {"size": "small", "sizing_mode": "stretch_width", "margin": (6, 0, 0, 0)}
        self._kind = pmui.RadioBoxGroup(
            options=_KINDS, value="label", inline=False, margin=(0, 0, 0, 2), sx=_DENSE, sizing_mode="stretch_width"
        )
        self._level = pmui.Select(label="Label level", options=[], **wide)
        self._column = pmui.Select(label="Column", options=[], **wide)
        self._gene = pmui.AutocompleteInput(
            label="Gene", options=[], case_sensitive=False, min_characters=1, restrict=True,
            search_strategy="includes", placeholder="type a symbol", **wide,
        )  # fmt: skip
        self._kind.param.watch(self._choose_kind, "value")
        self._level.param.watch(self._choose_level, "value")
        self._column.param.watch(self._choose_column, "value")
        self._gene.param.watch(self._choose_gene, "value")
        self._standing = Standing()
        self._legend = CategoryList(sizing_mode="stretch_width", margin=0)
        self._legend.param.watch(self._hide, "hidden")
        self._bar = ColorBar()
        self._below = look.html(margin=(8, 0, 0, 0))
        self._legend_box = pn.Column(self._legend, sizing_mode="stretch_width", margin=0)
        self._bar_box = pn.Column(self._bar, sizing_mode="stretch_width", margin=0)
        self.panel = pn.Column(
            look.html("<h3>Colour by</h3>", margin=(0, 0, 2, 0)), self._kind, self._level, self._column, self._gene,
            self._standing, look.rule(), self._legend_box, self._bar_box, self._below,
            width=264, sizing_mode="stretch_height", styles=look.SIDE, margin=0,
        )  # fmt: skip
        self.watch(self._fill, ["outcome", "reference", "show", "color", "level"])
        self.watch(self._draw, ["query_coloring", "reference_coloring", "show", "outcome", "hidden"])
        self.watch(lambda: self._standing.display(session.standing("color")), ["status"])
        self._fill()
        self._draw()

    # choices

    # Filling a widget in from the session raises the same event as a person's choice: so each asks whether it
    # is news.

    def _choose_kind(self, event: param.parameterized.Event) -> None:
        session = self.session
        if event.new == session.color.kind:
            return
        likely = [name for name in (session.own_label, session.batch, *self._column.options) if name]
        name = {"column": self._column.value or next(iter(likely), ""), "gene": self._gene.value or ""}.get(
            event.new, ""
        )
        if event.new in ("column", "gene") and not name:
            self._uncover(event.new)  # nothing to colour by yet: first let her choose
        else:
            self._choose(ColorBy(event.new, name))

    def _choose_level(self, event: param.parameterized.Event) -> None:
        if event.new and event.new != self.session.level:
            self.session.choose_color(self.session.color, event.new)

    def _choose_column(self, event: param.parameterized.Event) -> None:
        if event.new and self._kind.value == "column":
            self._choose(ColorBy("column", event.new))

    def _choose_gene(self, event: param.parameterized.Event) -> None:
        if event.new and self._kind.value == "gene":
            self._choose(ColorBy("gene", event.new))

    def _choose(self, by: ColorBy) -> None:
        if by != self.session.color:
            self.session.choose_color(by)

    def _hide(self, event: param.parameterized.Event) -> None:
        self.session.hidden = list(event.new)

    # drawing

    def _fill(self) -> None:
        session = self.session
        if session.reference is None:
            return
        outcome = session.outcome if session.front == "query" else None
        self._fill_column(list(outcome.columns if outcome is not None else session.traits.columns))
        self._fill_genes(list(outcome.genes) if outcome is not None else session.reference.genes[keys.SYMBOL].tolist())
        self._level.param.update(options=list(session.reference.levels), value=session.level)
        self._kind.value = session.color.kind
        self._uncover(session.color.kind)

    def _fill_column(self, columns: list[str]) -> None:
        by = self.session.color
        chosen = by.name if by.kind == "column" and by.name in columns else None
        self._column.param.update(options=columns, value=chosen)

    def _fill_genes(self, genes: list[str]) -> None:
        by = self.session.color
        if genes != self._gene.options:
            self._gene.options = genes
        if by.kind == "gene" and by.name in genes:
            self._gene.value = by.name

    def _uncover(self, kind: str) -> None:
        self._level.visible = kind in ("label", "confidence", "novelty")
        self._column.visible = kind == "column"
        self._gene.visible = kind == "gene"

    def _draw(self) -> None:
        coloring = self.session.coloring
        is_categories = isinstance(coloring, Categories)
        self._legend_box.visible = is_categories
        self._bar_box.visible = isinstance(coloring, Values)
        if isinstance(coloring, Categories):
            if _differs(self._legend, coloring):
                self._legend.display(coloring)
            if self._legend.hidden != self.session.hidden:
                self._legend.hidden = list(self.session.hidden)
        elif isinstance(coloring, Values):
            self._bar.display(coloring, "" if coloring.limits else "from the 1st to the 99th percentile")
        words = self._remark()
        self._below.object = f'<p class="soft small">{look.text(words)}</p>' if words else ""

    def _remark(self) -> str:
        """What must be said of a reference that has nothing of the kind that was chosen."""
        session = self.session
        if session.reference is None or session.front == "query":
            return ""
        if session.outcome is None and session.color.kind in ("confidence", "novelty"):
            return f"Only mapped cells have a {session.color.kind}; until then the labels are shown."
        if session.reference_coloring is None and session.standing("color") == READY:
            return "The reference has nothing of this kind; it is drawn in grey."
        return ""


def _differs(legend: Legend, coloring: Categories) -> bool:
    shown = (legend.title, legend.names, legend.colors, legend.counts)
    return shown != (coloring.title, list(coloring.names), list(coloring.colors), coloring.counts.tolist())


_DENSE = {
    "& .MuiFormControlLabel-root": {"marginRight": "0", "minHeight": "26px"},
    "& .MuiRadio-root": {"padding": "3px 8px 3px 2px"},
    "& .MuiFormControlLabel-label": {"fontSize": "14px"},
}
