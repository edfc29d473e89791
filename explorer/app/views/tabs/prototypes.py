"""Prototypes: labels as points, the cells each claims, and groups of unknown cells that may become labels."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param
from numpy.typing import NDArray

from components.choice_table import ChoiceTable
from components.heat_table import HeatTable
from explorer.app import look
from explorer.app.answers.prototyping import extension, group_unknown, marks_of, readable_marks
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.tab import recalling
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing
from explorer.app.views.tabs.tab import TabView, column, part, row, side_by_side
from explorer.app.views.training import TrainingView
from explorer.app.words import told as told_of
from explorer.asking.prototypes import LabelPoints, Mark, label_points
from explorer.errors import OptionsProblem
from explorer.insight.unknowns import Unknowns
from explorer.jobs.specs import ExtendSpec
from explorer.settings import settings

_ABOUT = (
    "A prototype is the mean of a label's reference cells; every cell is claimed by the nearest one. A ratio far above "
    "1 says that your cells lie farther from the label than the reference's own do. Click a row to select its cells."
)
_ABOUT_REFERENCE = (
    "A prototype is the mean of a label's reference cells. Map a file to see which of its cells each claims."
)
_COLUMNS = [
    {"key": "label", "label": "Prototype"},
    {"key": "cells", "label": "Reference cells", "align": "right"},
    {"key": "claimed", "label": "Claims", "align": "right"},
    {"key": "ratio", "label": "Distance / own", "align": "right", "help": told_of("prototype distance")},
    {"key": "beyond", "label": "Beyond 95 %", "align": "right", "help": told_of("beyond")},
    {"key": "near", "label": "Nearest other"},
]
_GROUPS = [
    {"key": "name", "label": "Group"},
    {"key": "cells", "label": "Cells", "align": "right"},
    {"key": "novelty", "label": "Novelty", "align": "right"},
    {"key": "markers", "label": "Higher than elsewhere"},
]


class PrototypesView(TabView):
    """Where labels lie and what they claim; unknown cells grouped, named and added to the reference."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found: LabelPoints | None = None
        self._groups: Unknowns | None = None
        self._given: dict[str, str] = {}
        self._asked: tuple[Any, ...] = ()
        self._on_map = pmui.Checkbox(label="Show on the map", value=False, size="small", margin=(6, 12, 2, 0))
        self._on_map.param.watch(lambda _: self._mark(), "value")
        self._group = pmui.Button(
            label="Group unknown cells", icon="bubble_chart", variant="outlined", size="small", margin=(4, 8, 4, 0)
        )
        self._group.on_click(lambda _: self._ask_groups())
        self._link = self.link("Prototypes, csv", self._offered)
        self._standing, self._grouping = Standing(), Standing()
        self._said = look.html(margin=(2, 0, 4, 0))
        self._table = ChoiceTable(columns=_COLUMNS, radio=False, dense=True, margin=0, sizing_mode="stretch_width")
        self._table.param.watch(self._choose_label, "value")
        self._distances = HeatTable(corner="distance", margin=0, sizing_mode="stretch_width")
        self._build_naming()
        self._of_labels = (
            part("Labels", self._table, width=640), part("Distances between prototypes", self._distances, width=820)
        )  # fmt: skip
        self._choices, self._body = row(self._on_map, self._link), side_by_side()
        self.panel = column(self._choices, self._standing, self._grouping, self._said, self._body)
        self.watch(self._ask, ["outcome", "reference", "method", "level", "show"])
        self.watch(self._stand, ["status", "build", "threshold", "found_at"])
        self._ask()

    def _build_naming(self) -> None:
        self._group_table = ChoiceTable(columns=_GROUPS, dense=True, margin=0, sizing_mode="stretch_width")
        self._group_table.param.watch(self._choose_group, "value")
        self._name = pmui.TextInput(label="Name of the chosen group", size="small", width=220, margin=(8, 8, 0, 0))
        self._save = pmui.Button(label="Save as label", variant="outlined", size="small", margin=(10, 8, 0, 0))
        self._save.on_click(lambda _: self._name_group())
        self._extend = pmui.Button(label="Add to the reference", variant="contained", size="small",
                                   margin=(10, 8, 0, 0))  # fmt: skip
        self._extend.on_click(lambda _: self._add())
        self._making = TrainingView(self.session, extends=True)
        self._late = look.html(margin=0)
        self._naming = part(
            "Groups of unknown cells", self._late, self._group_table,
            pn.Row(self._name, self._save, self._extend, margin=0, styles={"flex-wrap": "wrap"}),
            self._making.panel, width=560,
        )  # fmt: skip

    def destroy(self) -> None:
        """Let go of the session, and of its marks on the map."""
        self.session.marks = []
        self._making.destroy()
        super().destroy()

    # what is asked

    def _ask(self) -> None:
        """Find the prototypes for what is in view, if they are others than those shown."""
        session = self.session
        reference = session.reference
        if reference is None:
            return
        outcome = session.outcome if session.front == "query" else None
        result = outcome.result if outcome is not None else None
        method, level = session.method, session.level
        asked = (reference.checksum, outcome.job if outcome is not None else "", method, level)
        if asked == self._asked:
            return
        self._asked, self._found, self._groups, self._given = asked, None, None, {}
        session.forget("groups")
        session.attempt(
            "prototypes", "Finding prototypes",
            lambda: label_points(reference, result, method, level, settings().device), self._take_in,
        )  # fmt: skip
        self._draw()
        if outcome is not None:
            recalling.recall(session, self._kept_as, "groups", self._recall_groups)

    @property
    def _kept_as(self) -> str:
        return f"groups {hashlib.sha256(self.session.level.encode()).hexdigest()[:8]}"  # any sign may be in a level

    def _recall_groups(self, kept: dict[str, Any]) -> None:
        self._groups, self._given = kept["groups"], kept["given"]
        self._draw()

    def _keep_groups(self) -> None:
        answer = {"groups": self._groups, "given": self._given}
        recalling.keep(self.session, recalling.place_of(self.session, self._kept_as), answer)

    def _take_in(self, found: LabelPoints) -> None:
        self._found = found
        self._draw()

    def _ask_groups(self) -> None:
        session = self.session
        outcome, job, level, sample = session.outcome, session.job, session.level, session.batch
        if outcome is not None and job is not None:
            spec, rows = job.mapping, session.selection
            session.pursue(
                "groups", "Grouping cells",
                lambda progress: group_unknown(spec, outcome, level, rows, sample, progress), self._take_groups,
            )  # fmt: skip

    def _take_groups(self, found: Unknowns) -> None:
        self._groups, self._given = found, {}
        self._keep_groups()
        self._on_map.value = True
        self._draw()

    def _add(self) -> None:
        session, found = self.session, self._groups
        outcome, job, reference = session.outcome, session.job, session.reference
        if outcome is not None and job is not None and reference is not None and found is not None and self._given:
            session.train(extension(job.mapping, outcome, reference, session.level, found.named(self._given)))

    # what is chosen

    def _choose_label(self, event: param.parameterized.Event) -> None:
        found = self._found
        if event.new and found is not None:
            self._table.value = ""
            self._choose(found.claimed(event.new))

    def _choose_group(self, event: param.parameterized.Event) -> None:
        found = self._groups
        if event.new and found is not None:
            self._name.value = self._given.get(event.new, "")
            self._choose(found.rows[found.codes == found.names.index(event.new)])

    def _choose(self, rows: NDArray[np.int64]) -> None:
        if self.session.front == "query":
            self.session.select(rows if len(rows) else None)

    def _name_group(self) -> None:
        group, name = self._group_table.value, (self._name.value_input or self._name.value or "").strip()
        if group:
            others = {known: given for known, given in self._given.items() if known != group}
            self._given = {**others, group: name} if name else others
            self._keep_groups()
            self._draw()

    # what is drawn

    def _stand(self) -> None:
        session = self.session
        self._standing.display(session.standing("prototypes"))
        self._grouping.display(session.standing("groups"))
        late = recalling.outdated(session, self._kept_as) if self._groups is not None else ""
        self._late.object = f'<p class="small mind">{late}</p>' if late else ""
        job = session.build
        is_busy = job is not None and isinstance(job.spec, ExtendSpec) and not job.state.is_over
        self._extend.disabled = not self._given or is_busy

    def _draw(self) -> None:
        session, found = self.session, self._found
        has_query = session.front == "query" and session.outcome is not None
        _fill(self._choices, [self._on_map, *([self._group] * has_query), self._link])
        naming = [self._naming] * (has_query and self._groups is not None)
        _fill(self._body, [*naming, *self._of_labels] if found is not None else [])
        self.show_link(self._link, found is not None)
        self._said.object = f'<p class="small soft">{_ABOUT if has_query else _ABOUT_REFERENCE}</p>'
        if found is not None:
            self._table.rows = prototype_rows(found)
            self._distances.param.update(**distance_table(found))
        self._group_table.rows = [] if self._groups is None else group_rows(self._groups, self._given)
        if self._groups is None:
            self._name.value, self._group_table.value = "", ""
        self._mark()
        self._stand()

    def _mark(self) -> None:
        session, marks = self.session, list[Mark]()
        if self._on_map.value and self._found is not None:
            marks = self._found.marks
            if self._groups is not None and session.outcome is not None:
                groups = marks_of(self._groups, session.outcome.result.layout)
                marks = marks + [(self._given.get(name, name), x, y) for name, x, y in groups]
            marks = readable_marks(marks, float(np.ptp(self._found.places)))
        if marks != session.marks:
            session.marks = marks

    def _offered(self) -> Offered:
        if self._found is None:
            raise OptionsProblem("There are no prototypes yet. Open a reference first.")
        return offered_frame(self.session, f"prototypes, {self.session.level}", self._found.table())


def prototype_rows(found: LabelPoints) -> list[dict[str, str]]:
    """Prototypes as rows of a table."""
    return [
        {
            "id": str(told["label"]),
            "label": str(told["label"]),
            "cells": f"{told['reference_cells']:,}",
            "claimed": f"{told['claimed']:,}" if "claimed" in told else "-",
            "ratio": _number(told.get("ratio")),
            "beyond": "-" if pd.isna(told.get("beyond")) else look.share(float(told["beyond"]), 1),
            "near": f"{told['nearest_label']} ({told['nearest_distance']:.2f})" if told["nearest_label"] else "-",
        }
        for told in found.table().to_dict("records")
    ]


def distance_table(found: LabelPoints) -> dict[str, Any]:
    """Distances between prototypes, as parameters of `HeatTable`; the nearer, the darker."""
    n, most = len(found.names), max(float(found.distances.max(initial=0)), 1e-12)
    texts = [["" if i == j else f"{found.distances[i, j]:.2f}" for j in range(n)] for i in range(n)]
    shades = (1 - found.distances / most).round(4).tolist()
    return {"rows": list(found.names), "columns": list(found.names), "texts": texts, "shades": shades}


def group_rows(found: Unknowns, given: dict[str, str]) -> list[dict[str, str]]:
    """Groups of cells as rows of a table, with the names they were given."""
    return [
        {
            "id": str(told["name"]),
            "name": str(told["name"]),
            "badge": given.get(str(told["name"]), ""),
            "note": str(told["suggestion"]),
            "cells": f"{told['cells']:,}",
            "novelty": _number(told["novelty"]),
            "markers": str(told["markers"]) or "-",
        }
        for told in found.table.to_dict("records")
    ]


def _fill(box: pn.Row, parts: list[pn.viewable.Viewable]) -> None:
    if box.objects != parts:
        box.objects = parts


def _number(value: Any) -> str:
    return "-" if pd.isna(value) else f"{float(value):.2f}"
