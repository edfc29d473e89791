"""The maps in the middle of Explore: one pane or several that move, hide and select together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import panel as pn
import param
from numpy.typing import NDArray

from components.coloring import Categories, Coloring
from components.embedding_map import FOREGROUND, EmbeddingMap
from components.points import Points
from explorer.app import look
from explorer.app.colors.coloring import text_of
from explorer.app.stored import library
from explorer.app.tab.gates import SHAPE, Step, extended
from explorer.app.tab.session import Session
from explorer.app.tab.workspace import ARRANGED, DRAWN, MOST_PANES, Pane, likely_split, own_picture, plan
from explorer.app.views.base import View
from explorer.doubt.novelty import in_words

_PAINTED = ("query_coloring", "reference_coloring", "held_colorings", "hidden", "selection", "dark", "show_names",
            "marks")
_SIDE_BY_SIDE = 2  # panes; more lie in two rows where there is room for that


class _Shown:
    """One map on the page with what stands above it."""

    def __init__(self, describe: Callable[[int, str], str]) -> None:
        self.map = EmbeddingMap(describe=describe, min_height=_LEAST)
        self.heading = look.html(margin=0, visible=False)
        self.box = pn.Column(self.heading, self.map, sizing_mode="stretch_both", margin=0, styles=_BOX)


class MapsView(View):
    """The panes.

    Attributes
    ----------
    first
        The map that is always there.
    """

    def __init__(self, session: Session, tapped: Callable[[int | None], None]) -> None:
        super().__init__(session)
        self._tell_tapped = tapped
        self._places: dict[str, Points] = {}
        self._keys: tuple[str, ...] = ()
        self._all = [_Shown(self._describe)]
        self.first = self._all[0].map
        self._react(self._all[0])
        self.first.param.watch(lambda event: session.param.update(view=event.new), "view")
        self._row = pn.Row(self._all[0].box, sizing_mode="stretch_both", margin=0, styles=_BOX, stylesheets=[_SQUARE])
        self.panel = pn.Column(self._row, sizing_mode="stretch_both", margin=0, min_height=200, styles=_ROOM)
        self.watch(self._follow_mode, ["mode"])
        self.watch(self._place, ["outcome", "reference", "method", "go_to", *ARRANGED])
        self.watch(self._paint, [*_PAINTED, *ARRANGED, *DRAWN])
        self._place()

    def _follow_mode(self) -> None:
        for each in self._all:
            each.map.mode = self.session.mode

    def _take_tool(self, event: param.parameterized.Event) -> None:
        """What dragging does in one pane it does in all."""
        for each in self._all:
            each.map.tool = event.new

    def highlight(self, category: int | None) -> None:
        """Fade all categories but one of the cells in front; `None` fades none."""
        for each, pane in zip(self._all, plan(self.session), strict=False):
            if not pane.is_held and self._is_front(pane):
                each.map.highlight = category

    def destroy(self) -> None:
        """Let go of the session and of the maps' arrays."""
        gone, self._all = self._all, []  # so that what they let go of is not taken for a choice
        for each in gone:
            each.map.destroy()
        super().destroy()

    # which maps there are

    def _new(self) -> _Shown:
        made = _Shown(self._describe)
        self._react(made)
        made.map.param.update(mode=self.first.mode, tool=self.first.tool)
        return made

    def _react(self, each: _Shown) -> None:
        each.map.param.watch(self._selected, "selected")
        each.map.param.watch(self._tapped, "tapped")
        each.map.param.watch(self._take_tool, "tool")

    def _place(self) -> None:
        """Fetch the pictures' points, then paint."""
        session = self.session
        reference, outcome, own = session.reference, session.outcome, own_picture(session)
        if reference is None:
            return
        method = outcome.result.method if outcome is not None else session.method

        def work() -> dict[str, Points]:
            found = {"": library.reference_points(reference.folder, method)}
            if own and outcome is not None:
                found[own] = library.own_points(outcome.folder, own)
            return found

        session.attempt("picture", "Opening the picture", work, self._take_places)

    def _take_places(self, places: dict[str, Points]) -> None:
        self._places = places
        self._paint()
        if self.session.go_to is not None:
            self.first.view, self.session.go_to = self.session.go_to, None

    def _lay_out(self, panes: tuple[Pane, ...]) -> None:
        """As many maps as there are panes; all but the first are made anew when any pane is another one."""
        keys = tuple(f"{pane.key}|{pane.picture}" for pane in panes)
        if keys == self._keys:
            return
        self._keys = keys
        for each in self._all[1:]:
            each.map.destroy()
        self._all = [self._all[0], *(self._new() for _ in panes[1:])]
        # before they come onto the page: a range that is taken from a figure in the same turn is unknown there
        for each, pane in zip(self._all[1:], panes[1:], strict=True):
            if pane.picture == panes[0].picture:
                self.first.link(each.map)
        self._row.css_classes = [f"of{len(panes)}"] if len(panes) > _SIDE_BY_SIDE else []
        self._row.objects = [each.box for each in self._all]

    # painting

    def _paint(self) -> None:
        """Show what the session holds now."""
        session = self.session
        panes = plan(session)
        if not panes or any(pane.picture not in self._places for pane in panes):
            return
        self._lay_out(panes)
        for each, pane in zip(self._all, panes, strict=True):
            self._paint_one(each, pane, has_heading=len(panes) > 1)

    def _paint_one(self, each: _Shown, pane: Pane, *, has_heading: bool) -> None:
        session, outcome = self.session, self.session.outcome
        reference = self._places[""]
        background = None if pane.picture else reference
        cells = self._places[pane.picture] if pane.picture else outcome.points if outcome is not None else None
        query, beside = session.held_colorings if pane.is_held else (session.query_coloring, session.reference_coloring)
        is_front = self._is_front(pane)
        moved = {"view": None} if (each.map.background is None) != (background is None) and each.map.view else {}
        _set(
            each.map,
            background=background,
            foreground=cells,
            background_coloring=_fits(beside, background),
            foreground_coloring=_fits(query, cells),
            show_foreground=pane.cells != "reference",
            show_background=pane.cells != "alone",
            hidden=list(session.hidden) if is_front and not pane.is_held else [],
            shown=pane.shown,
            selected=_mask(session.selection, cells if pane.cells != "reference" else background) if is_front else None,
            marks=[] if pane.picture else list(session.marks),
            point_size=session.point_size,
            dark=session.dark,
            show_names=session.show_names or pane.is_held,
            **moved,
        )
        each.heading.visible = has_heading
        if has_heading:
            each.heading.object = f'<div class="clip pane">{_heading(session, pane)}</div>'

    def _is_front(self, pane: Pane) -> bool:
        """Whether a pane shows the cells that legend and selection speak of."""
        return (pane.cells == "reference") == (self.session.front == "reference")

    def _describe(self, row: int, layer: str) -> str:
        """Hover text of one cell; the map draws it as text."""
        session = self.session
        reference, outcome = session.reference, session.outcome
        if layer == FOREGROUND and outcome is not None:
            labels = outcome.result.labels.level(session.level)
            label = f"{labels.classes[labels.codes[row]]}" + (" (called unknown)" if labels.unknown[row] else "")
            lines = [label, f"confidence {labels.confidence[row]:.2f} · novelty {labels.novelty[row]:.2f}"]
            lines += filter(None, [in_words(float(labels.stretch[row]))])
            obs, own = outcome.result.obs, session.own_label
            if own and own in obs:
                lines.append(f"your {own}: {obs[own].iloc[row]}")
            return "\n".join([*lines, *self._extra(session.query_coloring, row)])
        if reference is None:
            return ""
        lines = [f"reference: {reference.obs[session.level].iloc[row]}"]
        return "\n".join([*lines, *self._extra(session.reference_coloring, row)])

    def _extra(self, coloring: Coloring | None, row: int) -> list[str]:
        if self.session.color.kind in ("label", "confidence", "novelty") or coloring is None:
            return []
        return [f"{coloring.title}: {text_of(coloring, row)}"]

    # what the hand does

    def _selected(self, event: param.parameterized.Event) -> None:
        at = next((i for i, each in enumerate(self._all) if each.map is event.obj), None)
        panes = plan(self.session)
        if at is None or at >= len(panes):
            return
        if not self._is_front(panes[at]):
            self._select_below(event, panes[at])
            return
        rows = None if event.new is None else np.flatnonzero(event.new)
        if not _same(rows, self.session.selection):
            self.session.select(rows, self._step(event.obj, panes[at]))

    def _select_below(self, event: param.parameterized.Event, pane: Pane) -> None:
        """A shape drawn on the other cells means those in front that lie within it."""
        if event.new is not None:
            step = self._step(event.obj, pane)
            event.obj.selected = None
            self.session.do_steps(extended(self.session.recipe, step))

    def _step(self, drawn_on: EmbeddingMap, pane: Pane) -> Step:
        """What was drawn, so that it can be drawn again."""
        session = self.session
        within = (likely_split(session), pane.title) if pane.shown is not None else ()
        without = () if pane.is_held else session.unseen
        method = session.outcome.result.method if session.outcome is not None else session.method
        return Step(
            session.mode, SHAPE, of=pane.picture, name=method, level=session.level, x=tuple(drawn_on.drawn["x"]),
            y=tuple(drawn_on.drawn["y"]), within=within, without=without,
        )  # fmt: skip

    def _tapped(self, event: param.parameterized.Event) -> None:
        wanted = FOREGROUND if self.session.front == "query" else "background"
        hit = event.new
        self._tell_tapped(hit[1] if hit is not None and hit[0] == wanted else None)


def _heading(session: Session, pane: Pane) -> str:
    """What a pane shows, as HTML."""
    said = f"<b>{look.text(pane.title)}</b> · {pane.n:,} cells"
    if pane.is_held and session.held is not None:
        query, beside = session.held_colorings
        coloring = beside if pane.cells == "reference" else query
        said += f" · {look.text(coloring.title if coloring is not None else 'grey')}"
    return said


def _set(on: EmbeddingMap, /, **wanted: Any) -> None:
    """Change only what differs: arrays are compared by identity, so that nothing is painted twice."""
    changed = {}
    for name, value in wanted.items():
        now = getattr(on, name)
        if name in ("selected", "shown"):
            same = _same(now, value)
        else:
            same = now == value if isinstance(value, bool | int | list) else now is value
        if not same:
            changed[name] = value
    for layer in {"background", "foreground"} & changed.keys():  # new points drop what is not set with them
        kept = (f"{layer}_coloring", "selected", "shown")
        changed |= {name: wanted[name] for name in kept}
    if changed:
        on.param.update(**changed)


def _fits(coloring: Coloring | None, points: Points | None) -> Coloring | None:
    """A colouring if it is made for these points; another one is on its way otherwise."""
    if coloring is None or points is None:
        return None
    n = len(coloring.codes if isinstance(coloring, Categories) else coloring.values)
    return coloring if n == points.n else None


def _mask(rows: NDArray[np.integer] | None, points: Points | None) -> NDArray[np.bool_] | None:
    if rows is None or points is None:
        return None
    mask = np.zeros(points.n, dtype=np.bool_)
    mask[rows] = True
    return mask


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)


_LEAST = 130  # pixels of a map's height
_NARROW = 220  # pixels of a map's width; below it two rows are better than one
_BOX = {"min-width": "0", "min-height": "0"}
_ROOM = {"min-width": "0", "container-type": "size"}  # so that what is inside may ask how much room there is
_ROWS = ":host(.{name}) {{ display: grid; grid-template-columns: 1fr 1fr; grid-auto-rows: minmax(0, 1fr); }}"
_SQUARE = "".join(
    f"@container (min-height: 480px) or ((min-height: {2 * _LEAST + 30}px) and (max-width: {n * _NARROW}px)) "
    f"{{ {_ROWS.format(name=f'of{n}')} }}"
    for n in range(_SIDE_BY_SIDE + 1, MOST_PANES + 1)
)
