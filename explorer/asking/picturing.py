"""Figures of a result: maps and charts on one page, asked for by a few words, in the colours of the page.

    panels_of(query, reference, result, ["map:gene=CD14", "composition:sample"])    panels, to change or combine
    draw_figure(query, reference, result, ["map", "confusion:cell_type"])           a matplotlib figure
    write_figure(query, reference, result, "fig.pdf", ["map", "dots:CD14,LYZ"])     the file, and its caption

What a panel may be is told by `explorer.asking.panel_words`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from explorer.asking.charting import chart_of
from explorer.asking.mapping_panels import maps_of
from explorer.asking.panel_words import MAP, Asked, read_panel
from explorer.asking.scene import Scene
from explorer.consensus import AgreedResult
from explorer.drawing.composing import FORMATS, Look, Panel, caption, draw, render
from explorer.errors import OptionsProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.progress import Progress
from explorer.writing.appending import finished_file
from explorer.writing.export import require_writable

_SCREEN_DPI = 150


def panels_of(
    query: Query,
    reference: Reference,
    result: MappingResult | AgreedResult,
    panels: Sequence[str | Panel] = (MAP,),
    *,
    level: str | None = None,
    sets: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Panel]:
    """The panels of a figure, in the colours that the page gives them.

    Parameters
    ----------
    query, reference, result
        As mapped, by one method or by several.
    panels
        Each in words, KIND[:WHAT][; SETTING=VALUE]...: "map" (labels), "map:confidence", "map:gene=CD14",
        "map:set=interferon signaling", "map:protein=CD3", "map:column=condition; split=sample", "map:agreement",
        "composition:sample", "confusion:cell_type", "confidence", "dots:CD14,LYZ; by=condition", "heat:CD14,LYZ",
        "violins:CD14,LYZ", "volcano:condition=stim"; `explorer.asking.panel_words` has all of them. Or panels made
        before, such as a `Picture` with other settings. One that is split gives several.
    level
        Label level of panels that name none; the main one if not given.
    sets
        GMT files to look for gene sets in, or "reactome", "go_bp"; those two if none is given.

    progress
        Told of each panel; may cancel between two.

    Returns
    -------
    list of Panel
        `explorer.drawing.figures.Picture` for maps, `explorer.drawing.charts.Chart` for charts.

    Raises
    ------
    OptionsProblem
        If the words ask for nothing that is known, or there is no such gene, set, protein, column or method.
    ReferenceProblem
        If the cells were mapped onto another reference, whose picture this one does not hold.
    FileProblem
        If there is no such GMT file.
    Cancelled
        From `progress`.
    """
    scene = Scene(query, reference, result, level, sets)
    asked = [read_panel(each) if isinstance(each, str) else each for each in panels]  # mistakes are told at once
    found: list[Panel] = []
    for at, each in enumerate(asked):
        if not isinstance(each, Asked):
            found.append(each)
            continue
        part = (progress or Progress()).part(f"Panel {at + 1}, {each.kind}", at / len(asked), (at + 1) / len(asked))
        part(0.0)
        found += maps_of(scene, each) if each.kind == MAP else [chart_of(scene, each, part)]
    return found


def draw_figure(
    query: Query,
    reference: Reference,
    result: MappingResult | AgreedResult,
    panels: Sequence[str | Panel] = (MAP,),
    *,
    level: str | None = None,
    sets: Sequence[str] = (),
    look: Look | None = None,
) -> Figure:
    """Panels as one page, which a notebook shows and matplotlib can add to.

    Parameters
    ----------
    query, reference, result, panels, level, sets
        As `panels_of` takes them.
    look
        Size of the page, resolution and letters; 180 mm at 150 dpi if not given, which is enough for a screen.

    Raises
    ------
    AtlasError
        As `panels_of` does, or if there are too many panels or pixels.
    """
    found = panels_of(query, reference, result, panels, level=level, sets=sets)
    return draw(found, look or Look(dpi=_SCREEN_DPI))


def write_figure(
    query: Query,
    reference: Reference,
    result: MappingResult | AgreedResult,
    path: Path | str,
    panels: Sequence[str | Panel] = (MAP,),
    *,
    level: str | None = None,
    sets: Sequence[str] = (),
    look: Look | None = None,
    progress: Progress | None = None,
) -> str:
    """Write panels as one page, and return its caption.

    Parameters
    ----------
    query, reference, result, panels, level, sets, progress
        As `panels_of` takes them.
    path
        Its ending says what is written: pdf, svg or png.
    look
        Size of the page, resolution and letters; 180 mm at 600 dpi if not given.

    Raises
    ------
    AtlasError
        If the ending is none of these, there are too many panels or pixels, and as `panels_of` does.
    """
    path, look = Path(path), look or Look()
    form = form_of(path)
    require_writable(path)
    progress = progress or Progress()
    found = panels_of(
        query, reference, result, panels, level=level, sets=sets, progress=progress.part("", 0.0, 0.8)
    )
    progress.part("Drawing", 0.8, 1.0)(0.0)
    content = render(found, look, form)
    with finished_file(path) as part:
        part.write_bytes(content)
    progress(1.0)
    return caption(found, look)


def form_of(path: Path) -> str:
    """What a figure of that name is written as.

    Raises
    ------
    OptionsProblem
        If its ending is none of `FORMATS`.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise OptionsProblem(f"Figures are written as {', '.join(FORMATS)}; {path.name} ends in none of these.")
    return form
