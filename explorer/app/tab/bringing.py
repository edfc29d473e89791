"""Files of gene sets as a tab takes them in for its project, and puts them away. Functions on a session; no widgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from explorer import keys
from explorer.app.stored.own_sets import OwnSets, take_in
from explorer.app.tab.session import Session

TOPIC = "own gene sets"


def bring(session: Session, find: Callable[[], Path], name: str) -> None:
    """Take a file in for this project; one of the same content is there once."""
    genes = genes_in_front(session)

    def use(brought: OwnSets) -> None:
        session.own_sets = [*(each for each in session.own_sets if each.checksum != brought.checksum), brought]

    session.attempt(TOPIC, f"Reading {name}", lambda: take_in(find(), name, genes), use)


def put_away(session: Session, checksum: str) -> None:
    """Use a file no longer; what was found with it stays, and says where it came from."""
    session.own_sets = [each for each in session.own_sets if each.checksum != checksum]


def genes_in_front(session: Session) -> tuple[str, ...]:
    """Names of the genes that the cells in front show; empty while nothing is open."""
    if session.front == "query" and session.outcome is not None:
        genes: tuple[str, ...] = session.outcome.genes
        return genes
    return tuple(session.reference.genes[keys.SYMBOL]) if session.reference is not None else ()
