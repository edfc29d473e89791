"""Two values of the cells in front against each other, such as two genes, with gates to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param
from numpy.typing import NDArray

from components import raster
from components.coloring import Categories, Coloring
from components.value_plane import ValuePlane
from explorer.app import look
from explorer.app.tab.against import (
    Laid,
    axis_title,
    cuts_of,
    find,
    lay_out,
    likely,
    moved,
    of_what,
    offered,
    title_of,
    whose,
)
from explorer.app.tab.bringing import genes_in_front
from explorer.app.tab.gates import ADD, INTERSECT, REPLACE, SUBTRACT, Cells, bands_of, gene_of, mask_of, name_of
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.tab.two_values import TwoValues, quadrant
from explorer.app.views.base import Standing, View
from explorer.app.views.tabs.tab import column
from explorer.insight.two_values import Relation, quadrants, relate
from explorer.reading.genesearch import suggestions

TITLE = "Two values"
TOPIC, RELATION = "two values", "how two values go together"
_ASK = "Name two genes, columns or proteins to lay the cells out by them, and select cells there."
_NO_VALUE = "No cell in front has both values. Choose another one."
_HINT = "Draw a box or a lasso, drag the lines, or press a quarter: it {meets} the selection on the map."
_MEETS = {REPLACE: "replaces", ADD: "adds to", SUBTRACT: "takes from", INTERSECT: "narrows"}
_QUARTERS = ((False, True), (True, True), (False, False), (True, False))  # over x, over y; as they lie on the plane
_SIDE, _LEAST = 336, 150  # pixels: width of what stands beside the plane, height of the plane at least
_FULL = {"height": "100%", "min-height": f"{_LEAST}px"}


class TwoValuesView(View):
    """A plane of two values, coloured as the map is; what is drawn on it is selected on the map."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._laid: Laid | None = None
        self._relation: Relation | None = None
        self._asked: tuple[Any, ...] = ()  # what was read, or is
        self._related: tuple[Any, ...] = ()
        self._offered: tuple[Any, ...] = ()
        self._others: dict[str, str] = {}  # what is offered beside genes
        self._given: dict[str, Any] = {}
        self._is_filling = False
        self._names = tuple(_field(label) for label in ("Across", "Up"))
        self._cuts = tuple(_number(label) for label in ("Cut across", "Cut up"))
        for name in self._names:
            name.param.watch(self._choose, "value")
        for cut in self._cuts:
            cut.param.watch(self._choose_cuts, "value")
        self._standing, self._said = Standing(), look.html(margin=(4, 0, 6, 0))
        self._example = pmui.Button(label="", variant="outlined", size="small", margin=(4, 0))
        self._example.on_click(self._take_example)
        self._hint = look.html(margin=(2, 0, 0, 0))
        self._quarters = {over: self._quarter(over) for over in _QUARTERS}
        grid = pn.GridBox(*self._quarters.values(), ncols=2, margin=0, sizing_mode="stretch_width")
        self.plane = ValuePlane(dark=session.dark)
        self.plane.param.watch(self._drawn, "drawn")
        self.plane.param.watch(self._dragged, "cuts")
        self._body = column(self._said)
        self._told = [self._said, grid, self._hint]
        self._side = pn.Column(
            *(pn.Row(*pair, sizing_mode="stretch_width", margin=0)
              for pair in zip(self._names, self._cuts, strict=True)),
            self._standing, self._body, width=_SIDE, margin=0,
        )  # fmt: skip
        # as styles, since a child that stretches would have the tab itself stretch, whatever its own height
        self._picture = pn.Column(self.plane, sizing_mode="stretch_width", height=_LEAST, margin=(0, 14, 0, 0),
                                  stylesheets=[look.NARROWS], styles=_FULL)  # fmt: skip
        self._row = pn.Row(self._side, sizing_mode="stretch_width", margin=0, stylesheets=[look.NARROWS],
                           styles=_FULL)  # fmt: skip
        self.panel = self._row
        self.watch(self._ask, ["outcome", "reference", "show", "level", "two_values", "hidden", "query_coloring",
                               "reference_coloring", "tab", "tabs"])  # fmt: skip
        self.watch(self._draw, ["selection", "mode", "dark"])
        self.watch(self._stand, ["status"])
        self._ask()

    def destroy(self) -> None:
        """Let go of the session, and of the values."""
        self.plane.destroy()
        self._laid = None
        super().destroy()

    def _quarter(self, over: tuple[bool, bool]) -> pmui.Button:
        button = pmui.Button(label="", variant="outlined", size="small", margin=(0, 4, 4, 0), sx=_QUARTER,
                             sizing_mode="stretch_width")  # fmt: skip
        button.on_click(lambda _: self._gate_quarter(over))
        return button

    # what is asked

    @property
    def _is_open(self) -> bool:
        return self.session.tab == TITLE and self.session.tabs != "folded"

    def _ask(self) -> None:
        """Read what is to be shown, unless it was read, and find how it goes together in the cells that are shown."""
        session, cells = self.session, self.session.cells
        if cells is None or not self._is_open:
            return
        self._fill(cells)
        chosen, level = session.two_values, session.level
        of = of_what(cells, chosen, level)
        if of == self._asked:
            self._relate(cells)
        elif chosen.x and chosen.y:
            self._asked = of
            session.attempt(TOPIC, "Reading the values", lambda: lay_out(cells, chosen, level), self._take_in)
        else:
            session.forget(TOPIC)
            self._asked, self._laid = (), None
        self._draw()

    def _take_in(self, laid: Laid) -> None:
        self._laid = laid
        self._ask()

    def _relate(self, cells: Cells) -> None:
        """Find how the values go together in the cells that are shown, unless that was asked already."""
        session, laid = self.session, self._laid
        related = (*self._asked, *((*session.hidden, session.color, session.level) if session.hidden else ()))
        if laid is None or laid.of != self._asked or related == self._related:
            return
        self._related, self._relation = related, None
        seen = self._seen(cells)

        def use(found: Relation) -> None:
            self._relation = found
            self._draw()

        session.attempt(RELATION, "Correlating", lambda: relate(laid.x[seen], laid.y[seen]), use)

    def _seen(self, cells: Cells) -> NDArray[np.bool_] | slice:
        """Which cells are not hidden."""
        coloring, hidden = self._coloring(cells), self.session.hidden
        return slice(None) if coloring is None or not hidden else coloring.raster_codes(hidden) != raster.EMPTY

    def _coloring(self, cells: Cells) -> Coloring | None:
        """The colours of the cells in front; `None` while those of other cells are on their way out."""
        coloring = self.session.coloring
        n = -1 if coloring is None else len(
            coloring.codes if isinstance(coloring, Categories) else coloring.values
        )  # fmt: skip
        return coloring if n == cells.n else None

    # what is chosen

    def _choose(self, _: param.parameterized.Event) -> None:
        if self._is_filling:
            return
        before = self.session.two_values
        x, y = (self._named(field, of) for field, of in zip(self._names, (before.x, before.y), strict=True))
        if (x, y) != (before.x, before.y):
            self.session.two_values = TwoValues(x, y)
        else:
            self._draw()

    def _named(self, field: pmui.AutocompleteInput, now: str) -> str:
        """What a field names; what is chosen stays so while other cells are in front that lack it."""
        text = str(field.value or "").strip()
        if now and (text == title_of(now) or not (text or self._is_offered(now))):
            return now
        return self._find(text)

    def _is_offered(self, of: str) -> bool:
        return of in self._others.values() or gene_of(of) in genes_in_front(self.session)

    def _find(self, text: str) -> str:
        return find(text, self._others, tuple(genes_in_front(self.session)))

    def _likely(self) -> TwoValues:
        return likely(self._others, genes_in_front(self.session))

    def _take_example(self, _: Any) -> None:
        self.session.two_values = self._likely()

    def _choose_cuts(self, _: param.parameterized.Event) -> None:
        x, y = (cut.value for cut in self._cuts)
        if not self._is_filling and x is not None and y is not None:
            self._cut((float(x), float(y)))

    def _dragged(self, event: param.parameterized.Event) -> None:
        if not self._is_filling and event.new is not None:
            self._cut(event.new)

    def _cut(self, at: tuple[float, float]) -> None:
        self.session.two_values = moved(self.session.two_values, at)
        self._draw()

    def _drawn(self, event: param.parameterized.Event) -> None:
        if event.new:
            self.session.gate((tuple(event.new["x"]), tuple(event.new["y"])))

    def _gate_quarter(self, over: tuple[bool, bool]) -> None:
        if self._laid is not None:
            self.session.gate(quadrant(cuts_of(self._laid, self.session.two_values), over_x=over[0], over_y=over[1]))

    # what is drawn

    def _fill(self, cells: Cells) -> None:
        """Offer what the cells in front have, and show what is chosen."""
        self._is_filling = True
        if whose(cells) != self._offered:
            self._offered, self._others = whose(cells), offered(cells)
            for field in self._names:
                field.options = [*self._others, *suggestions(genes_in_front(self.session))]
        chosen = self.session.two_values
        for field, of in zip(self._names, (chosen.x, chosen.y), strict=True):
            # a page takes a value that is not among the options for none
            if self._is_offered(of) and field.value != title_of(of):
                field.value = title_of(of)
        self._is_filling = False

    def _stand(self) -> None:
        standing = self.session.standing(TOPIC)
        self._standing.display(standing)
        if standing.phase is Phase.FAILED:
            self._show([], has_plane=False)

    def _draw(self) -> None:
        cells = self.session.cells
        if cells is None or not self._is_open:
            return
        chosen, laid = self.session.two_values, self._laid
        if laid is not None and laid.of == of_what(cells, chosen, self.session.level):
            self._draw_plane(cells, laid)
            self._tell(cells, laid)
        elif not (chosen.x and chosen.y):
            self._draw_nothing()
        self._stand()

    def _draw_plane(self, cells: Cells, laid: Laid) -> None:
        session, chosen = self.session, self.session.two_values
        rows = session.selection
        wanted = {
            "points": laid.points, "coloring": self._coloring(cells), "hidden": session.hidden, "selected": rows,
            "dark": session.dark, "bands": bands_of(chosen.x, chosen.y), "x_title": axis_title(chosen.x, session.level),
            "y_title": axis_title(chosen.y, session.level),
        }  # fmt: skip
        changed = {name: value for name, value in wanted.items() if not _is_same(value, self._given.get(name))}
        self._given = wanted
        if "points" in changed:
            changed |= {name: wanted[name] for name in ("coloring", "selected")}
        if "selected" in changed:
            changed["selected"] = mask_of(rows, cells.n)
        if changed:
            self.plane.param.update(**changed)

    def _tell(self, cells: Cells, laid: Laid) -> None:
        """Say how the values go together, and how many cells lie where."""
        chosen, seen = self.session.two_values, self._seen(cells)
        cuts = cuts_of(laid, chosen)
        counts = quadrants(laid.x[seen], laid.y[seen], *cuts)
        n = int(counts.sum())
        self._is_filling = True
        self.plane.cuts = cuts if n else None
        for field, cut in zip(self._cuts, cuts, strict=True):
            field.param.update(value=cut, disabled=not n)
        self._is_filling = False
        for (over_x, over_y), button in self._quarters.items():
            within = int(counts[int(over_y), int(over_x)])
            parts = f"{within:,} ({look.share(within, n)})", f"{_signed(chosen.x, over_x)} {_signed(chosen.y, over_y)}"
            button.param.update(label=" ".join(map(_unbroken, parts)), disabled=not within)
        self._say(self._words(cells.n, n) if n else _NO_VALUE)
        self._hint.object = f'<p class="small soft">{_HINT.format(meets=_MEETS[self.session.mode])}</p>'
        self._show(self._told if n else [self._said], has_plane=bool(n))

    def _words(self, n_cells: int, n: int) -> str:
        told, lost = self._relation, self._named_in_vain()
        among = f"{n:,} cells" if n == n_cells else f"{n:,} of {n_cells:,} cells"
        if told is None:
            return f"{among}. {lost}"
        zeros = f", {told.both_zero:,} zero in both" if told.both_zero else ""
        return f"{among}{zeros}. Pearson {_of_one(told.pearson)}, Spearman {_of_one(told.spearman)}. {lost}"

    def _draw_nothing(self) -> None:
        self.plane.param.update(points=None, cuts=None)
        self._given = {}
        for field in self._cuts:
            field.disabled = True
        example = self._likely()
        self._example.label = f"Show {name_of(example.x)} against {name_of(example.y)}"
        self._say(self._named_in_vain() or _ASK)
        self._show([self._said, self._example] if example.x else [self._said], has_plane=False)

    def _say(self, words: str) -> None:
        self._said.object = f'<p class="small soft num" role="status">{look.text(words)}</p>'

    def _named_in_vain(self) -> str:
        """A sentence about what was named and is not there."""
        named = [str(field.value or "").strip() for field in self._names]
        lost = [name for name in named if name and not self._find(name)]
        return f"Not among these cells: {', '.join(lost)}." if lost else ""

    def _show(self, parts: list[Any], *, has_plane: bool) -> None:
        for box, wanted in ((self._body, parts), (self._row, [self._picture, self._side] if has_plane else
                                                  [self._side])):  # fmt: skip
            if box.objects != wanted:
                box.objects = wanted


def _signed(of: str, is_over: bool) -> str:
    return f"{title_of(of)}{'+' if is_over else '−'}"


def _unbroken(words: str) -> str:
    """Words that stay on one line."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _of_one(correlation: float) -> str:
    return "none" if np.isnan(correlation) else f"{correlation:.2f}"


def _is_same(a: Any, b: Any) -> bool:
    """Whether two values of a parameter are one: arrays and colours by identity, so that nothing is painted twice."""
    return a == b if isinstance(a, bool | str | list | tuple) else a is b


def _field(label: str) -> pmui.AutocompleteInput:
    return pmui.AutocompleteInput(
        label=label, options=[], case_sensitive=False, min_characters=1, restrict=False, search_strategy="includes",
        placeholder="gene, column", size="small", sizing_mode="stretch_width", margin=(10, 6, 0, 0),
    )  # fmt: skip


def _number(label: str) -> pmui.FloatInput:
    return pmui.FloatInput(label=label, value=None, size="small", width=96, margin=(10, 0, 0, 0))


_QUARTER = {"fontSize": "12px", "lineHeight": "18px", "padding": "2px 4px", "fontVariantNumeric": "tabular-nums"}
