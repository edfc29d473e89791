"""What every tab below the map is: a row of choices, then what they lead to, then what can be taken home."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from explorer.app import look
from explorer.app.leaving import downloads
from explorer.app.leaving.downloads import Offered
from explorer.app.tab.session import Session
from explorer.app.views.base import View

SLIM = {"& .MuiSelect-select": {"paddingTop": "5px", "paddingBottom": "5px"}}
CHOICES = {"flex-wrap": "wrap", "row-gap": "2px", "align-items": "center"}
CONTENT = {"flex-wrap": "wrap", "gap": "8px 20px", "align-items": "flex-start"}


class TabView(View):
    """A view whose tables can be taken home."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tokens: list[str] = []
        self._links: dict[pn.pane.HTML, str] = {}

    def link(self, words: str, make: Callable[[], Offered]) -> pn.pane.HTML:
        """A place for a link to a file that is made when asked for; empty until there is something to make it of."""
        token = downloads.offer(make)
        self._tokens.append(token)
        address = look.text(look.route("download") + downloads.offer_query(token))
        place = look.html(margin=(4, 8, 4, 0), sizing_mode=None, align="center", styles={"white-space": "nowrap"})
        self._links[place] = f'<a class="small" href="{address}" download>{look.text(words)}</a>'
        return place

    def show_link(self, place: pn.pane.HTML, shown: bool) -> None:
        """Fill the place of a link, or empty it: what is hidden while a page is being made fails to come back."""
        place.object = self._links[place] if shown else ""

    def destroy(self) -> None:
        """Let go of the session, and offer its tables no longer."""
        for token in self._tokens:
            downloads.withdraw(token)
        self._tokens.clear()
        super().destroy()


_ROOM: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [look.NARROWS]}


def column(*parts: pn.viewable.Viewable | pn.viewable.Viewer, **more: Any) -> pn.Column:
    """Parts one below the other, as narrow as need be."""
    return pn.Column(*parts, **{**_ROOM, **more})


def row(*parts: pn.viewable.Viewable) -> pn.Row:
    """Choices side by side, in a second row where the first is full."""
    return pn.Row(*parts, **_ROOM, styles=CHOICES)


def said(words: pn.viewable.Viewable, link: pn.viewable.Viewable) -> pn.Row:
    """What was found, in words, with the link to all of it behind them."""
    link.param.update(align="start", margin=(2, 8, 0, 16))
    return pn.Row(words, link, **_ROOM, styles={"flex-wrap": "nowrap"})


def side_by_side(*parts: pn.viewable.Viewable) -> pn.Row:
    """Results side by side, below each other where there is no room."""
    return pn.Row(*parts, **{**_ROOM, "margin": (4, 0, 12, 0)}, styles=CONTENT)


def part(title: str, *shown: pn.viewable.Viewable | pn.viewable.Viewer, width: int) -> pn.Column:
    """A titled part of what a tab shows, so many pixels wide, or as wide as a tab that is narrower."""
    # as a style, since a layout that has a width of its own would keep the tab from getting narrower
    return pn.Column(look.html(f"<h3>{look.text(title)}</h3>", margin=(0, 0, 4, 0)), *shown, margin=0,
                     styles={"flex": f"0 0 min({width}px, 100%)", "min-width": "0"})  # fmt: skip


def said_html(told: str, late: str = "") -> str:
    """What was found, and why it may hold no longer, as HTML."""
    mind = f' <span class="mind">{look.text(late)}</span>' if late else ""
    return f'<p class="small soft">{look.text(told)}{mind}</p>' if told else ""
