"""Selecting as one tab does it: by shape, range, label or row, with the recipe kept and saved under names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import param

from components.coloring import Categories
from explorer.app.answers.explaining import Explanation, explain
from explorer.app.before import choices
from explorer.app.colors.coloring import ColorBy
from explorer.app.colors.saved import SAVED, name_of_saved
from explorer.app.tab.doubts import Doubts
from explorer.app.tab.gates import (
    INTERSECT,
    INVERT,
    NAMES,
    PLANE,
    RANGE,
    Cells,
    Gate,
    Mask,
    Step,
    extended,
    new_gate,
    of_rows,
    select_by,
)
from explorer.app.tab.two_values import Corners, TwoValues
from explorer.methods.base import Measure

GATED = ("selection", "recipe", "gates")


class Gating(Doubts):
    """What is selected among the cells in front, how it came about, and what speaks for the labels of it."""

    selection = param.Array(default=None, allow_None=True, doc="Selected rows in front, ascending.")
    explanation = param.ClassSelector(class_=Explanation, default=None, allow_None=True)
    measure = param.String(default="", doc="Name of the way to explain; empty for the method's first.")
    recipe: Any = param.List(default=[], item_type=Step, doc="How the selection came about.")
    two_values: Any = param.ClassSelector(class_=TwoValues, default=TwoValues(), doc="""
        What the cells in front are laid out by, one value against another.""")
    gates: Any = param.List(default=[], item_type=Gate, doc="Selections saved under a name.")
    mode: Any = param.Selector(default="replace", objects=["replace", "add", "subtract", "intersect"], doc="""
        How the next gesture meets the selection.""")

    @property
    def cells(self) -> Cells | None:
        """The cells in front as recipes are asked of them; `None` while no reference is open."""
        if self.reference is None:
            return None
        method = self.outcome.result.method if self.outcome is not None else self.method
        return Cells(self.front, self.reference, self.outcome, dict(self.outcomes), method)

    def select(self, rows: np.ndarray | None, step: Step | None = None) -> None:
        """Select some of the cells in front, or none; `step` says how it came about where that was more than rows."""
        steps: Sequence[Step] = []
        if rows is not None and step is not None:
            steps = extended(self.recipe, step)
        elif rows is not None and self.cells is not None:
            steps = [of_rows(rows, self.cells.n)]
        self._settle(rows, steps)

    def select_names(self, names: Sequence[str]) -> None:
        """Select the cells of some categories of what colours the cells in front."""
        self.do_steps(extended(self.recipe, Step(
            self.mode, NAMES, of=self.color.kind, name=self.color.name, level=self.level, names=tuple(names)
        )))  # fmt: skip

    def brush(self, of: str, ends: tuple[float, float] | None) -> None:
        """Keep only cells whose values lie within some ends; `None` takes the range off again."""
        level = self.level
        kept = [step for step in self.recipe if (step.kind, step.of) != (RANGE, of)]
        if ends is not None:
            kept = extended(kept, Step(INTERSECT, RANGE, of=of, level=level, low=ends[0], high=ends[1]))
        self.do_steps(kept)

    def gate(self, corners: Corners) -> None:
        """Select the cells within a shape over the two values, of those that are not hidden."""
        shown = self.two_values
        self.do_steps(extended(self.recipe, Step(
            self.mode, PLANE, of=shown.x, name=shown.y, level=self.level, x=corners[0], y=corners[1],
            without=self.unseen,
        )))  # fmt: skip

    @property
    def unseen(self) -> tuple[str, ...]:
        """Kind, name and level of colour of the cells in front, and what of it is hidden; empty where nothing is."""
        coloring = self.coloring
        if not self.hidden or not isinstance(coloring, Categories):
            return ()
        names = (coloring.names[at] for at in self.hidden if at >= 0)
        return (self.color.kind, self.color.name, self.level, *names)

    def invert(self) -> None:
        """Select what is not selected."""
        self.do_steps([*self.recipe, Step(INVERT)])

    def do_steps(self, steps: Sequence[Step]) -> None:
        """Select by a recipe, done anew."""
        cells = self.cells
        if cells is None:
            return
        if not steps:
            self._settle(None, [])
            return

        self._do(steps, cells, lambda rows: self._settle(rows, steps))

    def _do(self, steps: Sequence[Step], cells: Cells, use: Callable[[np.ndarray | None], None]) -> None:
        def take(found: Mask) -> None:
            use(np.flatnonzero(found) if found.any() else None)

        self.attempt("selection", "Selecting", lambda: select_by(steps, cells), take)

    def save_gate(self, title: str) -> None:
        """Keep the recipe of the selection under a name; one of that name is replaced."""
        if self.recipe and title.strip():
            gate = new_gate(title.strip(), self.front, self.recipe)
            self.gates = [*(each for each in self.gates if each.title != gate.title), gate]

    def apply_gate(self, id: str) -> None:
        """Select again what was saved."""
        gate = next((gate for gate in self.gates if gate.id == id), None)
        if gate is not None and gate.cells == self.front:
            self.do_steps(gate.steps)

    def forget_gate(self, id: str) -> None:
        """Keep it no longer."""
        self.gates = [gate for gate in self.gates if gate.id != id]

    def color_by_saved(self) -> None:
        """Colour the cells in front by the selections saved of them, as these are now; by labels where there is none.

        Colours that stand for them already follow them without a step of their own.
        """
        cells, gates = self.cells, [gate for gate in self.gates if gate.cells == self.front]
        if cells is None or not gates:
            self.choose_color(ColorBy("label"))
            return
        before = self.color

        def use(name: str) -> None:
            with self.unremembered() if before.kind == SAVED else nullcontext():
                if self.color == before != ColorBy(SAVED, name):
                    self.choose_color(ColorBy(SAVED, name))

        self.attempt(
            "saved", "Colouring",
            lambda: name_of_saved(cells.of, {gate.title: select_by(gate.steps, cells) for gate in gates}), use,
        )  # fmt: skip

    def _settle(self, rows: np.ndarray | None, steps: Sequence[Step]) -> None:
        self.forget("explain", "selection")
        self.param.update(selection=rows, recipe=list(steps), explanation=None)

    def _select_again(self) -> None:
        """Do the recipe that a project was left with, once its cells are there; that is no step to take back."""
        steps, cells = list(self.recipe), self.cells

        def use(rows: np.ndarray | None) -> None:
            with self.unremembered():
                self._settle(rows, steps)

        if steps and cells is not None and self.selection is None:
            self._do(steps, cells, use)

    def explain(self, toward: str) -> None:
        """Find what speaks for a label in cells: the selected ones, or else those that carry it."""
        outcome, reference, job, level = self.outcome, self.reference, self.job, self.level
        if outcome is None or reference is None or job is None:
            return
        labels = outcome.result.labels.level(level)
        named = labels.labels == toward
        carried = named & ~labels.unknown
        rows = np.flatnonzero(carried if carried.any() else named) if self.selection is None else self.selection
        measure = self.measure if self.measure in [each.name for each in self.measures] else None
        self.attempt(
            "explain",
            "Finding what speaks for the label",
            lambda: explain(job.mapping, outcome, reference, rows, toward, level, measure),
            lambda found: setattr(self, "explanation", found),
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The ways in which the method of the result explains, the default first."""
        return choices.measures(self.outcome.result.method, self.traits) if self.outcome is not None else ()

    def explain_by(self, measure: str) -> None:
        """Explain in another way from now on; what was explained before is taken away."""
        self.forget("explain")
        self.param.update(measure=measure, explanation=None)
