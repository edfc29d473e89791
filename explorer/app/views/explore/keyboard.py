"""What keys do on Explore."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import panel as pn
import param

from components.shortcuts import Shortcuts
from explorer.app.tab.session import Session
from explorer.app.tab.workspace import likely_split
from explorer.app.views.base import View

MODES: Mapping[str, str] = {"s": "replace", "a": "add", "x": "subtract"}
GENE, SPLIT, NAMES, ESCAPE = "g", "t", "l", "Escape"
GENE_FIELD = "Gene"


class KeyboardView(View):
    """Hears keys while Explore is in front.

    Parameters
    ----------
    show_genes
        Offers the search for a gene.
    is_card_open
        Whether the card of a cell is open, which Esc closes before it clears the selection.
    """

    def __init__(self, session: Session, show_genes: Callable[[], None], is_card_open: Callable[[], bool]) -> None:
        super().__init__(session)
        self._show_genes, self._is_card_open = show_genes, is_card_open
        self._keys = Shortcuts(keys=[*MODES, GENE, SPLIT, NAMES, ESCAPE], width=0, height=0, margin=0)
        self._keys.param.watch(self._press, "pressed")
        self.panel: pn.viewable.Viewable = self._keys
        self.watch(self._follow, ["step"])
        self._follow()

    def _follow(self) -> None:
        self._keys.active = self.session.step == "explore"

    def _press(self, event: param.parameterized.Event) -> None:
        session, key = self.session, event.new.get("key", "")
        if key in MODES:
            session.mode = MODES[key]
        elif key == GENE:
            self._show_genes()
            self._keys.focus = {"label": GENE_FIELD, "at": event.new.get("at", 0)}
        elif key == SPLIT:
            self._split()
        elif key == NAMES:
            session.show_names = not session.show_names
        elif key == ESCAPE and not self._is_card_open():
            session.select(None)

    def _split(self) -> None:
        session = self.session
        if session.panes == "split":
            session.arrange(panes="one")
        elif split := likely_split(session):
            session.arrange(panes="split", split=split)
