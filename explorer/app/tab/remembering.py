"""What is kept of the choices: in the project, to be found again, and step by step, to be taken back.

What follows from other choices is neither a step nor a reason to save, see `Work.unremembered`. Knows no widgets.
"""

from __future__ import annotations

from typing import Any

import param

from explorer.app.stored import library
from explorer.app.stored.own_sets import OwnSets
from explorer.app.tab import keeping
from explorer.app.tab.gating import GATED
from explorer.app.tab.history import History
from explorer.app.tab.linking import Linked
from explorer.app.tab.pins import Pin
from explorer.app.tab.workspace import ARRANGED, DRAWN
from explorer.errors import AtlasError

STEPS = ("home", "data", "map", "quality", "explore", "export")

TABS = ("folded", "low", "high")
"""How much room the tabs below the map take."""

REMEMBERED = ("color", "level", "paints", *ARRANGED, *DRAWN, "hidden", *GATED, "pins", "threshold", "coverage")
"""The choices that can be taken back."""


class Remembered(Linked):
    """The choices of one project, as they are saved and taken back."""

    step: Any = param.Selector(default="home", objects=list(STEPS))
    tab = param.String(default="Composition", doc="Which tab below the map is open.")
    tabs: Any = param.Selector(default="low", objects=list(TABS), doc="How much room the tabs take.")
    pins = param.List(default=[], item_type=Pin, doc="Panels of the figure, in their order.")
    tab_choices: Any = param.Dict(default={}, doc="What was chosen last in tabs that answer at once, by tab.")
    own_sets: Any = param.List(default=[], item_type=OwnSets, doc="Files of gene sets that the person brought.")
    can_undo = param.Boolean(default=False, doc="Whether a choice can be taken back.")
    can_redo = param.Boolean(default=False, doc="Whether a choice that was taken back can be made again.")

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._is_taken_up = self._is_unsaved = False
        self._changed: set[str] = set()
        self._history: History[dict[str, Any]] = History(self._chosen())
        self.param.watch(self._notice, list(REMEMBERED))
        self.param.watch(self._keep, [*keeping.OPTIONS, *keeping.SHOWN])

    def open_tab(self, name: str) -> None:
        """Open one of the tabs below the map."""
        self.tab = name

    def show_tabs(self, room: str) -> None:
        """Give the tabs below the map more or less room."""
        self.tabs = room

    # saving

    def save(self) -> None:
        """Write the choices down at once; those that change are written on the next turn, so that other tabs find them.

        What did not change here is not written: another tab of the project may have changed it.

        Raises
        ------
        OptionsProblem
            If the project was removed.
        """
        if self.project is None or not self._is_taken_up:
            return
        self._is_unsaved = False
        changed, self._changed = self._changed, set()
        kept = (keeping.OPTIONS, keeping.SHOWN)
        options, view = (keeping.written(self, [name for name in names if name in changed]) for names in kept)
        self.project = library.projects().amend(self.project.id, options, view)

    def _keep(self, *events: param.parameterized.Event) -> None:
        """Save soon; what follows from something else is saved with the next choice."""
        if not self._is_taken_up:
            return
        self._changed.update(event.name for event in events)
        if not self._by_itself:
            self._is_unsaved = True
            self.soon(self._save_changes)

    def _begin_keeping(self, *, anew: bool) -> None:
        """From now on keep what changes; with `anew` all choices are this tab's own, not those the project holds."""
        self._is_taken_up = True
        self._changed = {*keeping.OPTIONS, *keeping.SHOWN} if anew else set()

    def _save_changes(self) -> None:
        if not self._is_unsaved:
            return
        try:
            self.save()
        except AtlasError as problem:
            self.report("page", problem)

    # taking choices back

    def undo(self) -> None:
        """Take the last choice back; jobs go on as they are."""
        self._restore(self._history.undo())

    def redo(self) -> None:
        """Make the choice again that was taken back last."""
        self._restore(self._history.redo())

    def _chosen(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in REMEMBERED}

    def _notice(self, *_: param.parameterized.Event) -> None:
        if self._by_itself:
            self._history.amend(self._chosen())
        else:
            self.soon(self._remember)

    def _remember(self) -> None:
        if not _same(self._chosen(), self._history.present):
            self._history.note(self._chosen())
        self._tell_history()

    def _begin_history(self) -> None:
        self._history.begin(self._chosen())
        self._tell_history()

    def _restore(self, chosen: dict[str, Any] | None) -> None:
        if chosen is None:
            return
        self.forget("explain")
        hidden, is_recolored = chosen["hidden"], (chosen["color"], chosen["level"]) != (self.color, self.level)
        is_restyled = any(chosen[name] != getattr(self, name) for name in (*DRAWN, "held"))
        is_repainted = chosen["paints"] != self.paints
        obeys = chosen["threshold"] == self.threshold
        with self.unremembered():
            self.param.update(**{**chosen, "hidden": self.hidden if is_recolored else hidden}, explanation=None)
        if not obeys:
            self._obey()
        if is_recolored or is_restyled:
            self.recolor(hidden)
        elif is_repainted:
            self._repaint()
        self._tell_history()
        self._keep()

    def _tell_history(self) -> None:
        self.param.update(can_undo=self._history.can_undo, can_redo=self._history.can_redo)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two sets of choices agree; arrays are made anew when they change, and never changed."""
    return all(a[name] is b[name] or (name != "selection" and a[name] == b[name]) for name in REMEMBERED)
