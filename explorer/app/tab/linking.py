"""What a link that was opened leads to, and shows once its cells are there. Knows no widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import param

from explorer.app.stored import library
from explorer.app.stored.packing import unpacked
from explorer.app.stored.projects import Project
from explorer.app.tab.gating import Gating

FIGURE = "pins"
SEEN = ("selection", "hidden", "extent")


class Linked(Gating):
    """What is in view of the map, and what a link still has to show of it."""

    view = param.Parameter(default=None, doc="x0, x1, y0, y1 on the map; `None` while all of it is in view.")
    link = param.Dict(default={}, doc="Some of `SEEN`, until their cells are there.")
    go_to = param.Parameter(default=None, doc="x0, x1, y0, y1 that the map turns to when it is drawn next.")

    @property
    def n_in_front(self) -> int:
        """How many cells are in front."""
        if self.front == "query" and self.outcome is not None:
            return int(self.outcome.result.n_cells)
        return int(self.reference.n_cells) if self.reference is not None else 0

    def see_again(self) -> None:
        """Show what a link kept, once its cells are there: those of a result, or the reference's if there is none."""
        waits = self.outcome is None and self.project is not None and bool(self.project.jobs)
        if not self.link or waits:
            return
        link, self.link = self.link, {}
        extent = link.get("extent")
        self.recolor(link.get("hidden", ()))
        selected = unpacked(link.get("selection", ""), self.n_in_front)
        rows = None if selected is None else np.flatnonzero(selected)
        with self.unremembered():  # what a link shows is where its history begins
            self.param.update(selection=rows, go_to=tuple(extent) if extent else None)


def shared(id: str) -> Project:
    """The project that a link leads to, as it is now but seen as it was then.

    Raises
    ------
    OptionsProblem
        If there is no such link, or its project was removed.
    """
    projects = library.projects()
    project_id, view = projects.kept_view(id)
    project = projects.get(project_id)
    return replace(project, view={**view, FIGURE: project.view.get(FIGURE, [])})


def left_to_show(view: Mapping[str, Any]) -> dict[str, Any]:
    """What of a view waits for its cells; nothing where it is no link's."""
    return {name: view[name] for name in SEEN if name in view}
