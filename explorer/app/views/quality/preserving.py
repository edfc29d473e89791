"""Whether labels that the file brings keep together where the model places its cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import panel as pn

from explorer.app import look
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.words import about
from explorer.asking.preserving import labels_kept
from explorer.insight.preservation import NEIGHBORS, Preservation
from explorer.jobs.asked import query_of

TOPIC = "preservation"
WELL, IN_PART = 0.8, 0.5  # of what the cells' own expression has beyond chance


class PreservingView(View):
    """A sentence on Quality; hidden where the file brings no labels."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._asked: tuple[str, str] | None = None
        self._said = look.html()
        self._standing = Standing()
        self.panel = pn.Column(
            look.html(f"<h3>Your own labels{about('label preservation')}</h3>", margin=(14, 0, 2, 0)), self._standing,
            self._said, sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip
        self.watch(self._ask, ["outcome", "own_label", "step", "reference"])
        self.watch(lambda: self._standing.display(session.standing(TOPIC)), ["status"])
        self._ask()

    def _ask(self) -> None:
        session, outcome = self.session, self.session.outcome
        job, reference, column = session.job, session.reference, session.own_label
        if session.step != "quality":
            return
        self.panel.visible = outcome is not None and _can_be_asked(outcome.result.obs, column)
        if outcome is None or job is None or reference is None or not self.panel.visible:
            return
        if (outcome.job, column) == self._asked:
            return
        self._asked, self._said.object = (outcome.job, column), ""
        result, spec = outcome.result, job.mapping
        codes = pd.factorize(result.obs[column])[0].astype(np.int32)

        def use(found: Preservation) -> None:
            self._said.object = preservation_html(found, column)

        session.attempt(
            TOPIC, "Asking whether your labels keep together",
            lambda: labels_kept(query_of(spec), reference, result, codes, spec.device), use,
        )  # fmt: skip


def _can_be_asked(obs: pd.DataFrame, column: str) -> bool:
    return column in obs and bool(obs[column].nunique() > 1) and int(obs[column].notna().sum()) > NEIGHBORS


def preservation_html(found: Preservation, column: str) -> str:
    """How far labels keep together, as HTML."""
    kept = found.kept
    told = "are kept together" if kept > WELL else "are kept together in part" if kept > IN_PART else "are torn apart"
    if not np.isfinite(kept):
        told = "do not lie apart even in your cells' own expression"
    placed, own, chance = (look.share(value, 1) for value in (found.placed, found.own, found.chance))
    return (
        f'<p class="small">The labels of {look.text(column)} {told}: {placed} of a cell\'s 30 nearest cells in the '
        f"model's space carry its label; {own} do in your cells' own expression, {chance} would by chance "
        f"({found.cells:,} cells asked).</p>"
    )
