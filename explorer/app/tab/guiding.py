"""The guided tour: where it leads, what it says there, and what it needs on the way. Knows no widgets."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase


@dataclass(frozen=True)
class Stop:
    """One card of the tour.

    Attributes
    ----------
    step
        The step it belongs to.
    title, text
        What the card says.
    at
        What it points at, as `components.tour.Tour` looks for it.
    """

    step: str
    title: str
    text: str
    at: tuple[str, ...]


def _step(number: int) -> str:
    return f"nav[aria-label=Steps] button:nth-of-type({number})"


STOPS = (
    Stop(
        "home", "Six steps, always open",
        "From left to right: bring cells, map them, see whether that worked, look at them, take figures home. The keys "
        "1 to 6 lead there too, and nothing is lost by going back.",
        ("nav[aria-label=Steps]",),
    ),
    Stop(
        "home", "Your file goes here",
        "Drop an h5ad file, or take a demo. The tour goes on with a demo of blood cells if you have no project open.",
        ('.drop', 'button:has-text("Browse")', _step(2)),
    ),
    Stop(
        "data", "Looked over before anything runs",
        "Which values are used, what the genes are called, which columns hold samples and labels, and how many genes "
        "the models find. Where something is in the way, the button that mends it stands beside it.",
        ('table:has-text("Weighted by expression")', 'h2:has-text("What the file holds")', _step(2)),
    ),
    Stop(
        "map", "Choose one model or several",
        "Each with its scores on reference cells it had not seen, and the time it will take here. Jobs go on if you "
        "close the tab.",
        ("table", _step(3)),
    ),
    Stop(
        "quality", "Can the labels be trusted?",
        "A verdict with its reasons, and a threshold of confidence to drag: it moves every other screen. An i beside a "
        "name explains what it means.",
        (".verdict", 'h2:has-text("Confidence")', _step(4)),
    ),
    Stop(
        "explore", "Your cells on the reference",
        "Zoom with the wheel, point at a cell, draw a lasso. On the left, choose what colours the cells: labels, "
        "confidence, a gene, a column of yours.",
        (".bk-Canvas", "canvas", _step(5)),
    ),
    Stop(
        "explore", "Questions about them",
        "What samples are made of, your labels beside the predicted ones, markers, where models differ. What is "
        "selected on the map is what these tabs speak of.",
        ('button:has-text("Composition")', _step(5)),
    ),
    Stop(
        "export", "Take it home",
        "Views that you pinned become one figure in millimetres, with a caption that writes itself. Below it: the "
        "labelled file, tables, a report, and a script that does it all again.",
        ('h2:has-text("Figure")', _step(6)),
    ),
    Stop(
        "home", "That was it",
        "Undo and redo, Share (a link to exactly what you see) and ? (keys, and what each figure means) stay up here. "
        "The tour can be started again from there.",
        ("button.share", _step(1)),
    ),
)  # fmt: skip


def arrive(session: Session) -> None:
    """Go to the step that the tour's stop belongs to; with a demo from Data on, where no project is open."""
    if not 0 <= session.stop < len(STOPS):
        return
    step = STOPS[session.stop].step
    if step != "home" and session.project is None and library.demos():
        if session.standing("reference").phase is not Phase.READY:
            return
        demo = library.demos()[0]
        session.begin(demo.path, demo.title, map_it=True)
    session.step = step
