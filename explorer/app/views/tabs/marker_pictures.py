"""Pictures of some genes in some groups of cells: a volcano of those compared, dots, a heat map, violins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import panel_material_ui as pmui
import param

from components.dot_plot import DotPlot
from components.heat_map import HeatMap
from components.violins import Violins
from components.volcano import Volcano
from explorer.app import look
from explorer.app.answers.marking import TOP_GENES, Front, Panel, panel, shown_groups
from explorer.app.tab.bringing import genes_in_front
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.tabs.tab import column, row
from explorer.errors import OptionsProblem
from explorer.insight.enrichment import ADJUSTED_P
from explorer.reading.genesearch import genes_among

VOLCANO, DOTS, HEAT, VIOLINS = "Volcano", "Dot plot", "Heat map", "Violins"
_TOPIC = "marker pictures"
_MOST_P = 300.0  # of -log10 p, where p is 0 to a computer
_NO_VOLCANO = "A volcano shows genes that were compared. The other pictures need no more than names of genes."
_NO_GENES = "Name genes above to see them in the selection or in the labels in view, or Compare to see the first ones."


class MarkerPictures:
    """One picture at a time, of the genes that a person names, else of the first ones found.

    Parameters
    ----------
    choices
        Tells which cells are in front, and what groups them.
    pick
        Called when a gene was clicked.
    """

    def __init__(
        self,
        session: Session,
        choices: Callable[[], tuple[Front | None, str]],
        pick: Callable[[param.parameterized.Event], None],
    ) -> None:
        self._session, self._choices = session, choices
        self._panel: Panel | None = None
        self._volcano = Volcano(x_title="log2 fold change", y_title="−log10 adjusted p", margin=0,
                                least_y=-float(np.log10(ADJUSTED_P)), sizing_mode="stretch_width")  # fmt: skip
        self._dots = DotPlot(value_title="mean log1p CP10k", sizing_mode="stretch_width", margin=0)
        self._heat = HeatMap(title="mean log1p CP10k, 1 = the largest mean of its gene", sizing_mode="stretch_width",
                             margin=0)  # fmt: skip
        self._violins = Violins(unit="log1p CP10k", sizing_mode="stretch_width", margin=0)
        self._parts = {VOLCANO: self._volcano, DOTS: self._dots, HEAT: self._heat, VIOLINS: self._violins}
        for part in self._parts.values():
            part.param.watch(pick, "picked")
        self._picture = pmui.RadioButtonGroup(options=list(self._parts), value=VOLCANO, size="small",
                                              margin=(0, 8, 4, 0), sx=look.SEGMENTS)  # fmt: skip
        self._genes = pmui.TextInput(
            label="Genes", placeholder="the first", size="small", width=130, visible=False, margin=(4, 0, 4, 0),
            description="Symbols with spaces between; empty for the first",
        )  # fmt: skip
        self._said = look.html(margin=0)
        self._picture.param.watch(lambda _: self._show(), "value")
        self._genes.param.watch(lambda _: self.draw(), "value")
        self._frame = column(self._volcano)
        self.panel = column(
            row(self._picture, self._genes), self._said, self._frame,
            styles={"flex": "1 1 300px", "min-width": "0"},
        )  # fmt: skip

    def _show(self) -> None:
        self._genes.visible = self._picture.value != VOLCANO
        self._frame.objects = [self._parts[self._picture.value]]
        self.draw()

    def draw_volcano(self, table: pd.DataFrame) -> None:
        """Draw all genes that were compared."""
        p = -np.log10(np.maximum(table["adjusted_p"].to_numpy(float), 10**-_MOST_P))
        self._volcano.display(table["gene"].to_numpy(object), table["log2_fold_change"].to_numpy(float), p)

    def draw(self) -> None:
        """Read the genes of the picture that is in front; a volcano needs none read."""
        (front, by), session, found = self._choices(), self._session, self._session.markers
        if front is None:
            return
        if self._picture.value == VOLCANO:
            self._say("" if found is not None else _NO_VOLCANO, "soft")
            return
        genes, missing = genes_among(self._genes.value or "", genes_in_front(session))
        if not genes and found is not None:
            genes = found.table["gene"].astype(str).head(TOP_GENES).tolist()
        unknown = f"Not among the genes of these cells: {', '.join(missing)}" if missing else ""
        self._say(unknown or ("" if genes else _NO_GENES), "mind" if missing else "soft")
        try:
            groups = shown_groups(front, by, session.selection, found)
        except OptionsProblem as problem:
            self._say(str(problem), "mind")
            return
        session.attempt(_TOPIC, "Reading genes", lambda: panel(front, genes, groups), self._take)

    def repaint(self) -> None:
        """Give the groups that are drawn the colours that they have now; no gene is read again."""
        front, by = self._choices()
        if front is None or self._panel is None:
            return
        try:
            groups = shown_groups(front, by, self._session.selection, self._session.markers)
        except OptionsProblem:
            return  # the groups are gone, which `draw` says
        now = dict(zip(groups.names, groups.colors, strict=True))
        drawn = zip(self._panel.groups, self._panel.colors, strict=True)
        self._color([now.get(name, color) for name, color in drawn])

    def _color(self, colors: list[str]) -> None:
        self._dots.group_colors = self._heat.group_colors = self._violins.colors = colors

    def stand(self) -> None:
        """Say what went wrong with reading."""
        standing = self._session.standing(_TOPIC)
        if standing.phase is Phase.FAILED and self._picture.value != VOLCANO:
            self._say(standing.text, "mind")

    def _say(self, text: str, style: str) -> None:
        self._said.object = f'<p class="small {style}">{look.text(text)}</p>' if text else ""

    def _take(self, found: Panel) -> None:
        self._panel = found
        genes, groups, colors = list(found.genes), list(found.groups), list(found.colors)
        self._dots.param.update(
            names=genes, groups=groups, group_colors=colors, shares=found.shares, values=found.means
        )
        counted = [f"{group} (n = {n:,})" for group, n in zip(groups, found.counts, strict=True)]
        self._heat.param.update(
            names=genes, groups=counted, group_colors=colors, shades=found.scaled, tips=found.told
        )
        self._violins.param.update(names=genes, groups=groups, colors=colors, shapes=found.shapes,
                                   medians=found.medians, tops=found.tops)  # fmt: skip
