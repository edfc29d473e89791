"""How each chosen method shall map: one table a method that knows several ways, and what all of them share."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.choice_table import ChoiceTable
from explorer.app.before import choices
from explorer.app.before.choices import Way
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.app.views.map.more_options import MoreOptionsView

NONE = "none"


class WaysView(View):
    """The ways to map of the methods chosen, and further options."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tables: dict[str, ChoiceTable] = {}
        self._column = pn.Column(sizing_mode="stretch_width", margin=0)
        wide: dict[str, Any] = {"size": "small", "width": 340, "margin": (14, 16, 0, 0)}
        self._taught = pmui.Select(label="Labels to learn from", options=[NONE], **wide)
        self._taught.param.watch(lambda event: self._choose("taught", event), "value")
        self._proteins = pmui.Select(label="Surface proteins to place cells by", options=[NONE], **wide)
        self._proteins.param.watch(lambda event: self._choose("proteins", event), "value")
        self._more = MoreOptionsView(session)
        self.panel = pn.Column(
            self._column, pn.Row(self._taught, self._proteins, margin=0), self._more.panel, margin=0,
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.watch(self._draw, ["reference", "traits", "preflight", "methods", "modes", "taught", "proteins", "batch"])
        self._draw()

    def destroy(self) -> None:
        """Let go of the session."""
        self._more.destroy()
        super().destroy()

    def _choose(self, name: str, event: Any) -> None:
        chosen = "" if event.new == NONE else event.new
        if chosen != getattr(self.session, name):
            self.session.choose_how(**{name: chosen})

    def _choose_mode(self, method: str, mode: str) -> None:
        if mode and mode != self.session.way_of(method):
            self.session.choose_mode(mode, method)

    def _table(self, method: str) -> ChoiceTable:
        if method not in self._tables:
            table = ChoiceTable(sizing_mode="stretch_width", margin=(10, 0, 0, 0))
            table.columns = [{"key": "title", "label": f"How {title_of(method)} maps"}]
            table.param.watch(lambda event: self._choose_mode(method, event.new), "value")
            self._tables[method] = table
        return self._tables[method]

    def _draw(self) -> None:
        session = self.session
        reference, found = session.reference, session.preflight
        if reference is None:
            return
        several = [name for name in session.methods if len(session.ways_of(name)) > 1]
        for name in several:
            self._table(name).param.update(rows=way_rows(session, name), value=session.way_of(name))
        wanted = [self._tables[name] for name in several]
        if self._column.objects != wanted:
            self._column.objects = wanted
        columns = [column.name for column in found.label_columns()] if found is not None else []
        self._fill(self._taught, columns if learns_labels(session) else [], session.taught)
        by_proteins = any(choices.places_by_proteins(reference, name) for name in session.methods)
        tables = list(found.inspection.embeddings) if found is not None and by_proteins else []
        self._fill(self._proteins, tables, session.proteins)

    def _fill(self, menu: pmui.Select, names: list[str], chosen: str) -> None:
        menu.param.update(options=[NONE, *names], value=chosen if chosen in names else NONE, visible=bool(names))


def learns_labels(session: Session) -> bool:
    """Whether a chosen method would learn labels that the query has."""
    return any(
        way.mode.learns_labels and way.mode.name == session.way_of(name)
        for name in session.methods
        for way in session.ways_of(name)
    )


def way_rows(session: Session, method: str) -> list[dict[str, str]]:
    """One row a way in which a method maps; those not open to this file say why."""
    rows = []
    for way in session.ways_of(method):
        note = f"{way.mode.summary} {way.refusal}" if way.refusal else f"{way.mode.summary}{_batches(session, way)}"
        rows.append({"id": way.mode.name, "title": way.mode.title, "note": note, "disabled": way.refusal})
    return rows


def _batches(session: Session, way: Way) -> str:
    """Of which batches a way that compares batches will speak, as a sentence."""
    if "conditions" not in way.mode.needs:
        return ""
    if session.batch:
        return f" Your batches are those of the column {session.batch}."
    return " Your file counts as one batch; choose its batch column on Data to tell batches apart."
