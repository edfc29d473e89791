"""Further choices of how to label, for those who want them: how levels agree, who is unknown, smoothing."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.choice_table import ChoiceTable
from explorer.app import look
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.mapping.levels import LEFT_OUT_BATCHES, QUANTILE

JOINTLY, COARSE_FIRST, BY_ITSELF = "jointly", "coarse first", "by itself"

_RULES = (
    {"id": LEFT_OUT_BATCHES, "title": "By left-out batches", "badge": "usual",
     "note": "Stranger to its label than leaving batches out allows: at most 5 % of the cells of an average left-out "
             "batch of the reference are called unknown for it."},
    {"id": QUANTILE, "title": "By a quantile",
     "note": "Beyond the 99 % quantile of its label's held-out cells, however far cells of another batch lie from "
             "theirs. Concerto's authors do so (Yang et al., Nature Machine Intelligence 2022)."},
)  # fmt: skip


class MoreOptionsView(View):
    """Folded away until somebody asks."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._open = pmui.Button(label="More options", variant="text", size="small", margin=(12, 0, 0, 0))
        self._open.on_click(lambda _: self._fold(not self._body.visible))
        table: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (10, 0, 0, 0)}
        self._levels = ChoiceTable(columns=[{"key": "title", "label": "How label levels agree"}], **table)
        self._levels.param.watch(self._choose_levels, "value")
        self._rules = ChoiceTable(columns=[{"key": "title", "label": "What is too far from its label to be labelled"}],
                                  rows=list(_RULES), **table)  # fmt: skip
        self._rules.param.watch(self._choose_rule, "value")
        self._refine = pmui.Switch(label="Smooth labels over neighbours", margin=(16, 0, 0, 4))
        self._refine.param.watch(self._choose_refine, "value")
        about = look.html(f'<p class="soft small">{_ABOUT_REFINE}</p>', margin=(4, 0, 0, 10))
        self._body = pn.Column(
            self._levels, self._rules, self._refine, about, sizing_mode="stretch_width", margin=0, visible=False
        )
        self.panel = pn.Column(self._open, self._body, sizing_mode="stretch_width", margin=0)
        self.watch(self._draw, ["reference", "traits", "hierarchical", "independent", "unknown", "refine"])
        self._draw()
        self._fold(bool(self._chosen_words()))

    def _fold(self, shown: bool) -> None:
        self._body.visible = shown
        self._draw()

    # what is chosen

    def _choose_levels(self, event: Any) -> None:
        if event.new and event.new != self._agreeing:
            self.session.choose_how(hierarchical=event.new == COARSE_FIRST, independent=event.new == BY_ITSELF)

    def _choose_rule(self, event: Any) -> None:
        wanted = "" if event.new == LEFT_OUT_BATCHES else event.new
        if event.new and wanted != self.session.unknown:
            self.session.choose_how(unknown=wanted)

    def _choose_refine(self, event: Any) -> None:
        if event.new != self.session.refine:
            self.session.choose_how(refine=event.new)

    @property
    def _agreeing(self) -> str:
        session = self.session
        return COARSE_FIRST if session.hierarchical else BY_ITSELF if session.independent else JOINTLY

    # what is drawn

    def _draw(self) -> None:
        session = self.session
        self._levels.param.update(
            rows=level_rows(session.traits.nested), value=self._agreeing, visible=bool(session.traits.nested)
        )
        self._rules.value = session.unknown or LEFT_OUT_BATCHES
        self._refine.value = session.refine
        chosen = self._chosen_words()
        self._open.label = "Fewer options" if self._body.visible else f"More options{chosen}"

    def _chosen_words(self) -> str:
        """How many choices are not the usual ones, in brackets; empty if all are."""
        session = self.session
        nested = bool(session.traits.nested)
        n = sum((nested and self._agreeing != JOINTLY, bool(session.unknown), session.refine))
        return f" ({n} changed)" if n else ""


def level_rows(nested: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    """One row a way in which levels that lie in one another agree."""
    inside = ", ".join(f"{fine} within {coarse}" for fine, coarse in nested)
    return [
        {"id": JOINTLY, "title": "All levels have a say", "badge": "usual",
         "note": f"The likeliest path from the coarse to the fine is taken ({inside})."},
        {"id": COARSE_FIRST, "title": "Coarse labels first",
         "note": "The coarse level decides, and finer labels are chosen within it; an error there cannot be mended "
                 "below."},
        {"id": BY_ITSELF, "title": "Each level by itself",
         "note": "A finer label may contradict the coarser one; where they do, the cell deserves a second look."},
    ]  # fmt: skip


_ABOUT_REFINE = (
    "A cell gets the label that more than half of its 15 nearest cells in your file carry. Confidence becomes that of "
    "the new label; novelty and unknown stay. A consensus of several methods rests on their probabilities, which stay "
    "too."
)
