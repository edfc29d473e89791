"""What colours the cells that lie before the person, at which label level. Knows no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import param

from components.coloring import Categories, Coloring, Values
from explorer.app.colors.coloring import Both, ColorBy, color_both, painted_of, repainted, shown_by, unpainted
from explorer.app.colors.paints import PAINTS, Paints
from explorer.app.tab.workspace import Workspace


class Painted(Workspace):
    """The colours of a query and of its reference."""

    color = param.ClassSelector(class_=ColorBy, default=ColorBy("label"))
    level = param.String(default="", doc="Label level in view.")
    paints = param.ClassSelector(class_=Paints, default=PAINTS, doc="Palette, and colours chosen for categories.")
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
        style, held, paints = self.style, self.held, self.paints
        if reference is None:
            return

        def work() -> list[Both]:
            first = color_both(outcome, reference, by, level, style, paints)
            if held is None:
                return [first, first]
            return [first, color_both(outcome, reference, held.by, held.level, style, paints)]

        def use(found: list[Both]) -> None:
            (query, beside), of_held = found
            with self.unremembered():
                self.param.update(
                    hidden=list(hidden), query_coloring=query, reference_coloring=beside, held_colorings=of_held
                )
            if self.paints != paints:  # chosen meanwhile
                self._repaint()

        self.attempt("color", "Colouring", work, use)

    # the colours of categories

    @property
    def painted_of(self) -> str:
        """Whose colours are chosen now: the column, or label level, that colours the cells in front."""
        return painted_of(self._seen_by, self.level)

    @property
    def default_colors(self) -> tuple[str, ...]:
        """What the categories in front are coloured while nothing is chosen; none for values."""
        reference, at = self.reference, 0 if self.front == "query" else 1
        if reference is None:
            return ()
        both = (self.query_coloring, self.reference_coloring)
        query, beside = (each.names if isinstance(each, Categories) else () for each in both)
        return unpainted((query, beside), self.outcome, reference, self._seen_by, self.level, self.paints)[at]

    @property
    def _seen_by(self) -> ColorBy:
        return self.color if self.reference is None else shown_by(self.outcome, self.reference, self.color)

    def choose_paint(self, name: str, color: str) -> None:
        """Give a category of what colours the cells in front another colour, "#rrggbb"; "" is its default."""
        self._use_paints(self.paints.choosing(self.painted_of, name, color))

    def forget_paints(self) -> None:
        """Give all categories of what colours the cells in front their defaults."""
        self._use_paints(self.paints.forgetting(self.painted_of))

    def choose_palette(self, palette: str) -> None:
        """Take the colours that nobody chose from another of `paints.PALETTES`."""
        self._use_paints(replace(self.paints, palette=palette))

    def _use_paints(self, paints: Paints) -> None:
        if paints != self.paints:
            self.paints = paints
            self._repaint()

    def _repaint(self) -> None:
        """Give the colourings that there are the colours chosen: at once, for nothing is read or counted anew."""
        reference, outcome, paints, held = self.reference, self.outcome, self.paints, self.held
        if reference is None:
            return

        def anew(both: Both, by: ColorBy, level: str) -> Both:
            return repainted(both, outcome, reference, by, level, paints)

        own = anew((self.query_coloring, self.reference_coloring), self.color, self.level)
        of_held = anew(self.held_colorings, held.by, held.level) if held is not None else own
        with self.unremembered():
            self.param.update(query_coloring=own[0], reference_coloring=own[1], held_colorings=of_held)
