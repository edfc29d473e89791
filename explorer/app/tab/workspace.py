"""How cells lie before the person: in which panes, in whose picture, and how they are drawn. Knows no widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import param
from numpy.typing import NDArray

from components.raster import ORDERS
from explorer.app.colors.coloring import ColorBy, Style
from explorer.app.stored.library import Outcome
from explorer.app.tab.mapping_jobs import Mappings
from explorer.drawing.columns import MOST_CATEGORIES, is_measured

CONTENTS: Mapping[str, str] = {"query": "Query on reference", "alone": "Query alone", "reference": "Reference alone"}
"""Which cells a pane shows, and what to call it."""

LAYOUTS: Mapping[str, str] = {"one": "1", "two": "2", "split": "Split"}
"""One pane, two side by side, or one for each value of a column."""

MOST_PANES = 4
LARGEST_POINT = 12  # pixels


@dataclass(frozen=True)
class Held:
    """What the second pane goes on to be coloured by, whatever colours the first."""

    by: ColorBy
    level: str


class Workspace(Mappings):
    """The result that lies before the person, and her choices about panes and drawing."""

    outcome = param.ClassSelector(class_=Outcome, default=None, allow_None=True, doc="The result in view.")
    show: Any = param.Selector(default="query", objects=list(CONTENTS), doc="Which cells the first pane shows.")
    panes: Any = param.Selector(default="one", objects=list(LAYOUTS), doc="How many panes there are, or what for.")
    beside: Any = param.Selector(default="reference", objects=list(CONTENTS), doc="Which cells the second pane shows.")
    held = param.ClassSelector(class_=Held, default=None, allow_None=True, doc="""
        What the second pane is coloured by; `None` for what the first is.""")
    split = param.String(default="", doc="obs column of the cells in front by whose values panes are split.")
    split_shown: Any = param.List(default=[], item_type=str, doc="Values with a pane; empty for the most frequent.")
    picture = param.String(default="", doc="obsm key of the query's own picture; empty for the reference's.")
    marks: Any = param.List(default=[], item_type=tuple, doc="(text, x, y) of places in the reference's picture.")
    order: Any = param.Selector(default="", objects=["", *ORDERS], doc="""
        Who lies on top; empty for what suits the colours.""")
    zeros_grey = param.Boolean(default=True, doc="Draw cells without any expression in grey.")
    clip: Any = param.Range(default=(1.0, 99.0), bounds=(0, 100), doc="Percentiles at the ends of colour scales.")
    held_colorings: Any = param.Parameter(default=(None, None), doc="What is held, of query and reference.")
    point_size = param.Integer(default=None, allow_None=True, bounds=(1, LARGEST_POINT), doc="""
        Pixels across a cell; `None` for what the number of cells in view allows.""")

    @property
    def front(self) -> str:
        """Whose cells are in front, "query" or "reference": what legend, selection and figure speak of."""
        return "query" if self.outcome is not None and self.show != "reference" else "reference"

    @property
    def style(self) -> Style:
        """How colours are drawn."""
        return Style(str(self.order), bool(self.zeros_grey), tuple(self.clip))


ARRANGED = ("show", "panes", "beside", "held", "split", "split_shown", "picture")
DRAWN = ("order", "zeros_grey", "clip", "point_size")



@dataclass(frozen=True)
class Pane:
    """One map of several.

    Attributes
    ----------
    key
        Tells it from the others of a plan.
    title
        What stands above it.
    cells
        One of `CONTENTS`.
    picture
        obsm key of the query's own picture; empty for the reference's.
    shown
        bool, which of the cells in front; `None` for all.
    n
        How many of the cells in front it shows.
    is_held
        Whether it is coloured by what is held.
    """

    key: str
    title: str
    cells: str
    picture: str
    shown: NDArray[np.bool_] | None
    n: int
    is_held: bool = False


def plan(session: Workspace) -> tuple[Pane, ...]:
    """The panes that the choices ask for, the first always there; none while no reference is open."""
    reference, outcome = session.reference, session.outcome
    if reference is None:
        return ()
    first = session.show if outcome is not None else "reference"
    picture = own_picture(session)
    if picture:
        first = "alone"

    def pane(cells: str, *, place: str, picture: str = "", is_held: bool = False) -> Pane:
        n = reference.n_cells if cells == "reference" or outcome is None else outcome.result.n_cells
        return Pane(f"{place} {cells} {picture}", CONTENTS[cells], cells, picture, None, n, is_held)

    if session.panes == "split" and (split := likely_split(session)):
        return tuple(
            Pane(f"split {split} {value}", value, first, picture, shown, int(shown.sum()))
            for value, shown in _parts(session)
        )
    here = pane(first, place="first", picture=picture)
    if session.panes != "two" or outcome is None:
        return (here,)
    return here, pane(session.beside, place="second", is_held=session.held is not None)


def own_picture(session: Workspace) -> str:
    """The query's own picture that is shown; empty for the reference's, which the result has none of its own for."""
    outcome = session.outcome
    is_there = outcome is not None and session.front == "query" and session.picture in outcome.pictures
    return str(session.picture) if is_there else ""


def split_columns(session: Workspace) -> tuple[str, ...]:
    """Columns of the cells in front that fall into at least two values, few enough to tell apart."""
    obs = _obs_in_front(session)
    return tuple(
        str(name) for name in obs.columns
        if not is_measured(obs[name]) and 2 <= obs[name].nunique() <= MOST_CATEGORIES
    )  # fmt: skip


def likely_split(session: Workspace) -> str:
    """The column that panes are split by: that chosen, or else the batches, where the cells in front have it.

    Empty where they have none. What was chosen stays chosen, so that it holds again for cells that have it.
    """
    columns = split_columns(session)
    return next((name for name in (session.split, session.batch, *columns) if name in columns), "")


def split_values(session: Workspace) -> tuple[str, ...]:
    """Values of the column to split by, the most frequent first; equally frequent ones by name."""
    split = likely_split(session)
    if not split:
        return ()
    counts = _obs_in_front(session)[split].dropna().astype(str).value_counts()
    return tuple(sorted(counts.index, key=lambda name: (-int(counts[name]), name)))


def split_into(session: Workspace) -> tuple[str, ...]:
    """Values with a pane of their own, by name: those chosen, or else the most frequent; four at most."""
    values = split_values(session)
    wanted = [value for value in session.split_shown if value in values] or list(values)
    return tuple(sorted(wanted[:MOST_PANES]))


def _parts(session: Workspace) -> list[tuple[str, NDArray[np.bool_]]]:
    column = _obs_in_front(session)[likely_split(session)]
    named = column.astype(str).to_numpy(object)
    has = column.notna().to_numpy()
    return [(value, np.asarray(has & (named == value), np.bool_)) for value in split_into(session)]


def _obs_in_front(session: Workspace) -> pd.DataFrame:
    if session.front == "query" and session.outcome is not None:
        obs: pd.DataFrame = session.outcome.result.obs
        return obs
    return session.reference.obs if session.reference is not None else pd.DataFrame()
