"""What is made when it is asked for, each with what is in it and a link: tables, report, script, methods paragraph."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from components.copied_text import CopiedText
from components.get_link import GetLink
from explorer.app import look
from explorer.app.leaving import downloads, handouts
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_signature
from explorer.app.tab import pinning
from explorer.app.tab.session import Session
from explorer.app.views.base import View


class HandoutsView(View):
    """The downloads of a result beside its own files.

    Attributes
    ----------
    methods
        The methods paragraph with its button and link.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tokens: list[str] = []
        self._signature = self._row(
            "Signature, csv", "What spoke for the label you asked about last, highest score first.",
            lambda: offered_signature(session),
        )  # fmt: skip
        self._no_signature = _told("Signature, csv", "Ask Why these? on Explore: its whole ranking comes here.")
        self._probabilities = _Told("Labels and all probabilities, csv")
        self.panel = pn.Column(
            self._row(self._probabilities, "", lambda: handouts.offered_probabilities(session)),
            self._signature,
            self._no_signature,
            self._row(
                "Report, HTML",
                "One page with the figure above, labels by cells and samples, methods and the whole record; opens "
                "without a network.",
                lambda: handouts.offered_report(session, session.pins or [pinning.view_now(session)]),
            ),
            self._row(
                "Script that repeats it, Python",
                "Maps the same file onto the same reference with the same options, and says whether the labels are the "
                "same and what differs.",
                lambda: handouts.offered_script(session),
            ),
            sizing_mode="stretch_width",
            margin=0,
        )
        self._paragraph = CopiedText(sizing_mode="stretch_width", margin=0)
        self._text = self._link("Download as text", lambda: handouts.offered_methods(session))
        self._text.margin = (12, 0, 0, 0)
        self.methods = pn.Column(self._paragraph, self._text, sizing_mode="stretch_width", margin=0)
        self.watch(self._draw, ["outcome", "explanation", "reference", "level"])
        self._draw()

    def destroy(self) -> None:
        """Let go of the session, and offer nothing any longer."""
        for token in self._tokens:
            downloads.withdraw(token)
        super().destroy()

    def _draw(self) -> None:
        session = self.session
        has = session.explanation is not None
        self._signature.visible, self._no_signature.visible = has, not has
        if session.outcome is None:
            return
        found = session.outcome.result.labels.level(session.level)
        self._probabilities.tell(
            f"One row a cell: label, confidence, novelty, unknown, and the calibrated probability of each of the "
            f"{len(found.classes)} classes of {session.level}."
        )
        self._paragraph.text = handouts.paragraph(session)

    def _link(self, label: str, make: Callable[[], Offered]) -> GetLink:
        token = downloads.offer(make)
        self._tokens.append(token)
        return GetLink(label=label, href=look.route("download") + downloads.offer_query(token))

    def _row(self, title: str | _Told, holds: str, make: Callable[[], Offered]) -> pn.Row:
        told = title if isinstance(title, _Told) else _Told(title, holds)
        link = self._link("Download", make)
        link.param.update(about=told.title, margin=(4, 0, 0, 16))
        return pn.Row(told.pane, link, sizing_mode="stretch_width", margin=0, styles=_LINE)


class _Told:
    """Title of a file, and what is in it."""

    def __init__(self, title: str, holds: str = "") -> None:
        self.title = title
        self.pane = look.html()
        self.tell(holds)

    def tell(self, holds: str) -> None:
        """Say what is in it."""
        words = f'<b>{look.text(self.title)}</b><div class="soft small">{look.text(holds)}</div>'
        self.pane.object = f'<div class="file">{words}</div>'


def _told(title: str, holds: str) -> pn.Row:
    return pn.Row(_Told(title, holds).pane, sizing_mode="stretch_width", margin=0, styles=_LINE)


_LINE = {"border-bottom": "1px solid var(--ax-line)", "padding": "10px 0"}
