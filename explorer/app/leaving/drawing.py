"""Panels of a figure from what was pinned: the same cells, colours and hidden categories as on the screen.

Works on what was opened, so it may run in a thread. Knows no widgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from components.coloring import Categories, Coloring, Values
from components.points import Points
from explorer import keys
from explorer.app.colors.coloring import Style, color_both, label_categories, styled
from explorer.app.colors.paints import PAINTS, Paints
from explorer.app.leaving.downloads import Offered
from explorer.app.stored import library
from explorer.app.stored.library import Outcome
from explorer.app.stored.packing import unpacked
from explorer.app.tab.pins import MAP, Pin
from explorer.app.tab.session import Session
from explorer.drawing import composing
from explorer.drawing.composing import Look, Panel
from explorer.drawing.figures import Picture, split_by
from explorer.drawing.tallies import (
    COMPOSITION,
    CONFIDENCE,
    CONFUSION,
    composition,
    confusion,
    genes_by_group,
    names_in,
    sureness,
)
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.prose import consequence
from explorer.reading.pictures import picture_title
from explorer.writing.export import read_gene_values

PREVIEW_PIXELS = 1100
_THUMBNAIL = Look(width=44, height=36, dpi=72, font_size=5, legend="none", letters=False)


@dataclass(frozen=True)
class Source:
    """All that panels are drawn from, as it was when a drawing was asked for.

    Attributes
    ----------
    method
        Whose picture of the reference is shown.
    title
        What the query is called.
    batch, own_label
        obs columns of the query's samples and of its own labels; empty for none.
    paints
        The colours chosen for categories.
    """

    reference: Reference
    outcome: Outcome | None
    method: str
    title: str
    batch: str
    own_label: str
    paints: Paints = PAINTS


def source_of(session: Session) -> Source:
    """What the session holds now.

    Raises
    ------
    OptionsProblem
        If no reference is open.
    """
    reference, outcome = session.reference, session.outcome
    if reference is None:
        raise OptionsProblem("There is no picture to draw yet. Open a reference first.")
    method = outcome.result.method if outcome is not None else session.method
    title = session.project.title if session.project is not None else reference.title
    return Source(reference, outcome, method, title, session.batch, session.own_label, session.paints)


def panels_of(source: Source, pins: Sequence[Pin]) -> list[Panel]:
    """The panels of all pins in their order; a pin that is split, or that shows two maps, gives several.

    Raises
    ------
    OptionsProblem
        If a pin needs what these cells do not have.
    """
    return [panel for pin in pins for panel in (_maps(source, pin) if pin.kind == MAP else [_chart(source, pin)])]


def preview(source: Source, pins: Sequence[Pin], look: Look) -> tuple[bytes, str]:
    """A png small enough for the page, and the caption."""
    panels = panels_of(source, pins)
    dpi = int(PREVIEW_PIXELS / (look.width / 25.4))
    shown = replace(look, dpi=min(max(dpi, 50), 300))
    return composing.render(panels, shown, "png"), composing.caption(panels, look)


def thumbnail(source: Source, pin: Pin) -> bytes:
    """A small png of a pin's first panel."""
    panel = panels_of(source, [pin])[0]
    if isinstance(panel, Picture):
        panel = replace(panel, axes=None, names=False)
    return composing.render([replace(panel, title="")], _THUMBNAIL, "png")


# maps


def _maps(source: Source, pin: Pin) -> list[Panel]:
    below: Points = library.reference_points(source.reference.folder, source.method)
    query, beside = color_both(source.outcome, source.reference, pin.by, pin.level, paints=source.paints)
    outcome, title = source.outcome, source.reference.title
    of_reference = Picture(
        below, _styled(beside, pin), view=pin.view, title=pin.title, cells_name=title, point=pin.point, names=pin.names
    )
    if outcome is None or pin.show == "reference":
        return [_with_selection(replace(of_reference, hidden=_hidden(beside, pin)), pin)]
    cells, ground = _places(outcome, below, pin)
    picture = Picture(
        cells, _styled(query, pin), ground, _hidden(query, pin), pin.view, title=pin.title,
        cells_name=source.title, background_name=f"reference {title}", point=pin.point, names=pin.names,
        note=_threshold(outcome, pin),
    )  # fmt: skip
    if ground is None and pin.picture:
        name = picture_title(pin.picture).removeprefix("Your ")
        picture = replace(picture, axes=(f"{name} 1", f"{name} 2"))
    maps: list[Panel] = [*split_by(_with_selection(picture, pin), outcome.result.obs, pin.split)]
    if pin.show == "both":
        maps.append(replace(of_reference, title="Reference"))
    return maps


def _places(outcome: Outcome, below: Points, pin: Pin) -> tuple[Points, Points | None]:
    """Where the query's cells lie, and the reference below them unless they are shown alone."""
    if pin.picture and pin.picture in outcome.pictures:
        return library.own_points(outcome.folder, pin.picture), None
    return outcome.points, None if pin.show == "alone" else below


def _threshold(outcome: Outcome, pin: Pin) -> str:
    """What the threshold does, for maps that it speaks of."""
    return consequence(outcome.result, pin.level) if pin.color[0] in ("label", "confidence") else ""


def _styled(coloring: Coloring | None, pin: Pin) -> Coloring | None:
    drawn = None if coloring is None else styled(coloring, Style(pin.order, pin.zeros_grey))
    if not isinstance(drawn, Values):
        return drawn
    return replace(drawn, colormap=pin.colormap or drawn.colormap, limits=pin.limits or drawn.limits)


def _hidden(coloring: Coloring | None, pin: Pin) -> tuple[int, ...]:
    if not isinstance(coloring, Categories):
        return ()
    return tuple(code for code, name in enumerate(coloring.names) if name in pin.hidden)


def _with_selection(picture: Picture, pin: Pin) -> Picture:
    n = picture.cells.n if isinstance(picture.cells, Points) else len(picture.cells)
    return replace(picture, selected=unpacked(pin.selected, n))


# charts


def _chart(source: Source, pin: Pin) -> Panel:
    if source.outcome is None:
        raise OptionsProblem("Charts speak of mapped cells, and none are mapped yet. Map your cells first.")
    outcome = source.outcome
    labels = label_categories(source.reference, outcome, pin.level, "query", source.paints)
    if pin.kind == COMPOSITION:
        everyone = np.full(outcome.result.n_cells, source.title, dtype=object)
        samples = names_in(outcome.result.obs, source.batch) if source.batch else everyone
        return composition(labels, samples, pin.title)
    if pin.kind == CONFUSION:
        if not source.own_label:
            raise OptionsProblem("Which column holds your own labels? Name it on Data, or remove the panel.")
        return confusion(labels, names_in(outcome.result.obs, source.own_label), pin.title)
    if pin.kind == CONFIDENCE:
        return sureness(outcome.result.labels.level(pin.level), pin.title)
    if not pin.genes:
        raise OptionsProblem("The panel has no genes yet. Write their names into its settings.")
    path = outcome.folder / keys.EXPRESSION_FILE
    values = pd.DataFrame({gene: read_gene_values(path, gene) for gene in pin.genes})
    return genes_by_group(pin.kind, values, labels, pin.title)


def offered_figure(source: Source, pins: Sequence[Pin], look: Look, form: str) -> Offered:
    """The figure as a file.

    Raises
    ------
    OptionsProblem
        If there is nothing to draw.
    """
    content = composing.render(panels_of(source, pins), look, form)
    return Offered(f"{source.title}.{form}", composing.FORMATS[form], iter([content]))
