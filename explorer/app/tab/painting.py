"""What colours the cells that lie before the person, at which label level. Knows no widgets."""

from __future__ import annotations

from collections.abc import Sequence

import param

from components.coloring import Categories, Coloring, Values
from explorer.app.colors.coloring import ColorBy, color_both
from explorer.app.tab.workspace import Workspace


class Painted(Workspace):
    """The colours of a query and of its reference."""

    color = param.ClassSelector(class_=ColorBy, default=ColorBy("label"))
    level = param.String(default="", doc="Label level in view.")
    hidden = param.List(default=[], item_type=int, doc="Categories of the cells in front that are not drawn.")
    query_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)
    reference_coloring = param.ClassSelector(class_=(Categories, Values), default=None, allow_None=True)

    @property
    def coloring(self) -> Coloring | None:
        """The colouring of the cells in front."""
        found: Coloring | None = self.query_coloring if self.front == "query" else self.reference_coloring
        return found

    def choose_color(self, by: ColorBy, level: str = "") -> None:
        """Colour by something else, at this or another label level."""
        self.param.update(color=by, level=level or self.level)
        self.recolor()

    def recolor(self, hidden: Sequence[int] = ()) -> None:
        """Work the colourings out anew, for the choices and the cells as they are now, some categories left hidden."""
        reference, outcome, by, level = self.reference, self.outcome, self.color, self.level
        style, held = self.style, self.held
        if reference is None:
            return

        def work() -> list[tuple[Coloring | None, Coloring | None]]:
            first = color_both(outcome, reference, by, level, style)
            return [first, color_both(outcome, reference, held.by, held.level, style) if held is not None else first]

        def use(found: list[tuple[Coloring | None, Coloring | None]]) -> None:
            (query, beside), of_held = found
            with self.unremembered():
                self.param.update(
                    hidden=list(hidden), query_coloring=query, reference_coloring=beside, held_colorings=of_held
                )

        self.attempt("color", "Colouring", work, use)
