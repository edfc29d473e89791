"""Explore: the map in the middle, its colours on the left, what is selected on the right."""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param
from numpy.typing import NDArray

from components.coloring import Categories, Coloring
from components.embedding_map import FOREGROUND, EmbeddingMap
from components.notice import Notice
from components.points import Points
from explorer.app import library, look, pinning
from explorer.app.choices import how_words
from explorer.app.coloring import text_of
from explorer.app.mapping_jobs import title_of
from explorer.app.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.colors import ColorsView
from explorer.app.views.dock import DockView
from explorer.app.views.selection import SelectionView
from explorer.labels import UNKNOWN_CONFIDENCE

_SHOWS = {"On the reference": "query", "Side by side": "both", "Reference only": "reference"}


class ExploreView(View):
    """The workspace."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._colors = ColorsView(session)
        self._selection = SelectionView(session)
        self._dock = DockView(session)
        self._map = EmbeddingMap(describe=self._describe)
        self._beside: EmbeddingMap | None = None
        self._points: Points | None = None
        self._show = pmui.RadioButtonGroup(
            options=_SHOWS, value="query", size="small", margin=(6, 12), sx=look.SEGMENTS
        )
        self._show.param.watch(self._choose_show, "value")
        self._names = pmui.Checkbox(label="Names", value=session.show_names, margin=(6, 4), size="small")
        self._names.param.watch(lambda event: session.param.update(show_names=event.new), "value")
        self._pin = pmui.Button(label="Pin", icon="push_pin", variant="text", margin=(6, 4), size="small",
                                description="Keep this view as a panel of the figure")  # fmt: skip
        self._pin.on_click(lambda _: pinning.pin_view(session))
        self._title = look.html(margin=(11, 0, 0, 14), sizing_mode="stretch_width")
        self._mapped_by = pmui.Select(label="Mapped by", options={}, size="small", width=122, margin=(9, 2, 0, 0),
                                      visible=False, sx=_SLIM)  # fmt: skip
        self._mapped_by.param.watch(self._choose_result, "value")
        self._standing = Standing()
        self._offer = Notice("")
        self._offer_button = pmui.Button(label="", variant="contained", margin=(6, 14, 6, 8), align="center")
        self._offer_button.on_click(self._take_offer)
        self._offer_row = pn.Row(self._offer, self._offer_button, sizing_mode="stretch_width", margin=(4, 12, 0, 12))
        self._maps = pn.Row(
            pn.Column(self._map, sizing_mode="stretch_both", margin=0), sizing_mode="stretch_both", margin=0
        )
        self._line = look.html(margin=0)
        self.panel = self._layout()
        self._map.param.watch(self._selected, "selected")
        self._map.param.watch(self._tapped, "tapped")
        self._map.param.watch(lambda event: session.param.update(view=event.new), "view")
        self._selection.selection.param.watch(lambda event: setattr(self._map, "mode", event.new), "mode")
        self.watch(self._place, ["outcome", "reference", "method"])
        self.watch(
            self._paint, ["query_coloring", "reference_coloring", "hidden", "selection", "show", "dark", "show_names"]
        )
        self.watch(self._tell, ["outcome", "outcomes", "job", "status", "project", "show", "query_coloring",
                                "selection", "hidden"])  # fmt: skip
        self._place()
        self._tell()

    def _layout(self) -> pn.viewable.Viewable:
        bar = pn.Row(self._title, self._mapped_by, self._pin, self._names, self._show, sizing_mode="stretch_width",
                     margin=0, height=44)  # fmt: skip
        centre = pn.Column(
            bar, self._offer_row, pn.Column(self._standing, margin=(0, 14), sizing_mode="stretch_width"), self._maps,
            self._dock.panel, sizing_mode="stretch_both", margin=0, styles={"min-width": "0"},
        )  # fmt: skip
        work = pn.Row(self._colors.panel, centre, self._selection.panel, sizing_mode="stretch_both", margin=0,
                      styles={"height": "calc(100vh - 49px - 28px)"})  # fmt: skip
        return pn.Column(work, self._line, sizing_mode="stretch_both", margin=0)

    def destroy(self) -> None:
        """Let go of the session and of the maps' arrays."""
        for part in (self._colors, self._selection, self._dock):
            part.destroy()
        self._map.destroy()
        if self._beside is not None:
            self._beside.destroy()
        super().destroy()

    # the maps

    def _place(self) -> None:
        """Fetch the picture's points, then paint."""
        session = self.session
        reference, outcome = session.reference, session.outcome
        if reference is None:
            return
        method = outcome.result.method if outcome is not None else session.method
        session.attempt(
            "picture",
            "Opening the picture",
            lambda: library.reference_points(reference.folder, method),
            self._take_points,
        )

    def _take_points(self, points: Points) -> None:
        self._points = points
        self._paint()

    def _paint(self) -> None:
        """Show what the session holds now."""
        session, points = self.session, self._points
        if points is None:
            return
        outcome, front = session.outcome, session.front
        cells = outcome.points if outcome is not None else None
        _set(
            self._map,
            background=points,
            foreground=cells,
            background_coloring=_fits(session.reference_coloring, points),
            foreground_coloring=_fits(session.query_coloring, cells),
            show_foreground=front == "query",
            hidden=list(session.hidden),
            selected=_mask(session.selection, cells if front == "query" else points),
            dark=session.dark,
            show_names=session.show_names,
        )
        self._paint_beside(points if session.show == "both" and front == "query" else None)

    def _paint_beside(self, points: Points | None) -> None:
        """The reference beside the query, moving with it."""
        if points is None:
            if self._beside is not None:
                self._maps.objects = self._maps.objects[:1]
                self._beside.destroy()
                self._beside = None
            return
        coloring = _fits(self.session.reference_coloring, points)
        if self._beside is None:
            self._beside = EmbeddingMap(background=points, background_coloring=coloring, describe=self._describe)
            self._map.link(self._beside)
            self._maps.objects = [
                *self._maps.objects,
                pn.Column(self._beside, sizing_mode="stretch_both", margin=0, styles=_DIVIDED),
            ]
        _set(self._beside, background=points, background_coloring=coloring, dark=self.session.dark,
             show_names=self.session.show_names)  # fmt: skip

    def _describe(self, row: int, layer: str) -> str:
        """Hover text of one cell; the map draws it as text."""
        session = self.session
        reference, outcome = session.reference, session.outcome
        if layer == FOREGROUND and outcome is not None:
            labels = outcome.result.labels.level(session.level)
            label = f"{labels.classes[labels.codes[row]]}" + (" (called unknown)" if labels.unknown[row] else "")
            lines = [label, f"confidence {labels.confidence[row]:.2f} · novelty {labels.novelty[row]:.2f}"]
            obs, own = outcome.result.obs, session.own_label
            if own and own in obs:
                lines.append(f"your {own}: {obs[own].iloc[row]}")
            if session.color.kind in ("column", "gene") and session.query_coloring is not None:
                lines.append(f"{session.color.name}: {text_of(session.query_coloring, row)}")
            return "\n".join(lines)
        if reference is None:
            return ""
        lines = [f"reference: {reference.obs[session.level].iloc[row]}"]
        if session.color.kind in ("column", "gene") and session.reference_coloring is not None:
            lines.append(f"{session.color.name}: {text_of(session.reference_coloring, row)}")
        return "\n".join(lines)

    # choices

    def _choose_show(self, event: param.parameterized.Event) -> None:
        self.session.param.update(show=event.new, selection=None, explanation=None, hidden=[])

    def _choose_result(self, event: param.parameterized.Event) -> None:
        if event.new and event.new != self.session.method:
            self.session.show_result(event.new)

    def _selected(self, event: param.parameterized.Event) -> None:
        rows = None if event.new is None else np.flatnonzero(event.new)
        if not _same(rows, self.session.selection):
            self.session.select(rows)

    def _tapped(self, event: param.parameterized.Event) -> None:
        wanted = FOREGROUND if self.session.front == "query" else "background"
        hit = event.new
        self._selection.show_cell(hit[1] if hit is not None and hit[0] == wanted else None)

    def _take_offer(self, _: Any) -> None:
        session = self.session
        if session.project is None and library.demos():
            demo = library.demos()[0]
            session.begin(demo.path, demo.title, map_it=True)
        else:
            session.step = "map"

    # words

    def _tell(self) -> None:
        session = self.session
        if session.reference is None:
            return
        has = session.outcome is not None
        self._show.visible = has
        if self._show.value != session.show:
            self._show.value = session.show
        self._tell_title(has)
        self._tell_results(has)
        self._standing.display(
            session.standing("result") if session.is_mapping or not has else session.standing("picture")
        )
        self._tell_offer(has)
        self._line.object = f'<div class="line num">{self._said()}</div>'

    def _tell_title(self, has: bool) -> None:
        session = self.session
        reference = session.reference
        if reference is None:
            return
        # before the reference's title, which may be clipped
        how = ", ".join(filter(None, (_learned(session), _refitted(session))))
        refitted = f", {how}," if how else ""
        query = f"<b>{look.text(session.project.title)}</b>{refitted} on " if has and session.project else ""
        self._title.object = f'<div class="clip">{query}{look.text(reference.title)}</div>'

    def _tell_results(self, has: bool) -> None:
        session = self.session
        options = {title_of(name): name for name in session.jobs if name in session.outcomes}
        self._mapped_by.visible = has and len(options) > 1
        if has and session.method in session.outcomes:  # a menu without a value would choose its first by itself
            self._mapped_by.param.update(options=options, value=session.method)

    def _tell_offer(self, has: bool) -> None:
        session = self.session
        text, label, kind = "", "", "info"
        if session.is_outdated:
            kind, label = "warn", "Go to Map"
            text = "The reference was built anew since these cells were mapped: their places do not fit it. Map again."
        elif not has and session.is_mapping and session.job is not None:
            text, label = (
                f"Your cells are being mapped ({session.job.fraction:.0%}). Meanwhile, this is the reference.",
                "See progress",
            )
        elif not has and session.project is not None:
            text, label = "Your cells are not mapped yet. This is the reference.", "Go to Map"
        elif not has and library.demos():
            text, label = (
                f"This is the reference alone. A demo query is ready: {library.demos()[0].title}.",
                "Map the demo",
            )
        self._offer.param.update(text=text, kind=kind)
        self._offer_button.label = label or "Map"
        self._offer_row.visible = bool(text)

    def _said(self) -> str:
        session = self.session
        reference, outcome = session.reference, session.outcome
        if reference is None:
            return ""
        method = look.text(outcome.result.provenance.method if outcome else session.method)
        if session.front == "reference" or outcome is None:
            return f"{reference.n_cells:,} reference cells · layout of {method}"
        labels = outcome.result.labels.level(session.level)
        n, unknown = outcome.result.n_cells, int(labels.unknown.sum())
        coloring = session.query_coloring
        shown = (
            n - sum(int(coloring.counts[i]) for i in session.hidden)
            if session.hidden and hasattr(coloring, "counts")
            else n
        )
        return (
            f"{shown:,} of {n:,} cells shown on {reference.n_cells:,} reference cells · {unknown:,} "
            f"({look.share(unknown, n)}) called unknown: confidence under {UNKNOWN_CONFIDENCE:.2f}, or farther from "
            f"their label than its own held-out cells · {method}"
            + "".join(f", {words}" for words in (_learned(session), _refitted(session)) if words)
        )


def _learned(session: Session) -> str:
    """In which way the cells in view were mapped, in a few words; empty for the usual one."""
    if session.outcome is None:
        return ""
    result = session.outcome.result
    options = result.provenance.options
    return look.text(how_words(result.method, options.get("mode"), bool(options.get("hierarchical"))))


def _refitted(session: Session) -> str:
    """On what the model in view was refitted, in a few words; empty for the reference's own."""
    panel = session.outcome.result.provenance.panel if session.outcome is not None else None
    return f"refitted on {len(panel.genes):,} shared genes" if panel is not None else ""


def _set(shown: EmbeddingMap, **wanted: Any) -> None:
    """Change only what differs: arrays are compared by identity, so that nothing is painted twice."""
    changed = {}
    for name, value in wanted.items():
        now = getattr(shown, name)
        if name == "selected":
            same = _same(now, value)
        else:
            same = now == value if isinstance(value, bool | list) else now is value
        if not same:
            changed[name] = value
    if changed:
        shown.param.update(**changed)


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


_SLIM = {"& .MuiSelect-select": {"paddingTop": "4px", "paddingBottom": "4px"}}
_DIVIDED = {"border-left": "1px solid var(--ax-line)"}
