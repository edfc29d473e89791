"""What stands in the header beside the steps, and belongs to none: a link to what is seen, help, and the tour."""

from __future__ import annotations

import panel as pn
import param

from components.help_sheet import HelpSheet
from components.share_link import ShareLink
from components.tour import Tour
from explorer.app import words
from explorer.app.tab import guiding, sharing
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.errors import AtlasError

TOUR_SEEN = "atlas-explorer tour"


class ToolsView(View):
    """Share, help and tour."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._share = ShareLink(
            disabled=True, margin=0, align="center", reason="Bring a file first: a link shows a project.",
            note="It shows what you see now, to whoever can open this server, and stays as it is when you go on.",
        )  # fmt: skip
        self._share.param.watch(self._make_link, "asked")
        self._help = HelpSheet(sections=words.sections(), action="Take the tour", margin=(0, 4, 0, 6), align="center")
        self._help.param.watch(lambda _: setattr(session, "stop", 0), "acted")
        stops = [{"title": stop.title, "text": stop.text, "at": list(stop.at)} for stop in guiding.STOPS]
        self._tour = Tour(stops=stops, memory=TOUR_SEEN, width=0, height=0, margin=0)
        self._tour.param.watch(lambda event: setattr(session, "stop", event.new), "stop")
        self._tour.param.watch(lambda event: setattr(session, "knows_tour", bool(event.new)), "seen")
        self.panel = pn.Row(self._share, self._help, self._tour, margin=0, align="center")
        self.watch(self._draw, ["project"])
        self.watch(self._guide, ["stop", "reference"])
        self.watch(self._put_aside, ["knows_tour"])

    def _draw(self) -> None:
        self._share.disabled = self.session.project is None

    def _guide(self) -> None:
        self._tour.stop = self.session.stop
        guiding.arrive(self.session)

    def _put_aside(self) -> None:
        if self.session.knows_tour and self._tour.seen is False:
            self._tour.seen = True

    def _make_link(self, event: param.parameterized.Event) -> None:
        try:
            answer = {"link": f"?view={sharing.share(self.session)}"}
        except AtlasError as problem:
            answer = {"problem": str(problem)}
        self._share.answer = {**answer, **event.new}
