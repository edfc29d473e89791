"""One line below the map: how what is seen was drawn. Knows colourings, no widgets."""

from __future__ import annotations

from components.coloring import Categories, Coloring
from components.legend import readable
from explorer.app.colors.coloring import Style


def drawn_words(coloring: Coloring | None, style: Style, pixels: int, *, is_automatic: bool) -> str:
    """Draw order, zeros, ends of the colour scale and point size, parted by dots.

    Parameters
    ----------
    pixels
        Across a point.
    is_automatic
        Whether that follows the number of cells in view.
    """
    parts = []
    if coloring is not None:
        parts.append(f"draw order: {coloring.order}")
    if coloring is not None and not isinstance(coloring, Categories):
        parts += _scale_words(coloring.zeros_grey, coloring.scale, style.clip if coloring.limits is None else None)
    parts.append(f"points {pixels} px{' by cells in view' if is_automatic else ''}")
    return " · ".join(parts)


def _scale_words(zeros_grey: bool, scale: tuple[float, float], clip: tuple[float, float] | None) -> list[str]:
    low, high = (readable(end) for end in scale)
    words = [f"scale {low} to {high}" + (f", clipped at p{clip[0]:g} and p{clip[1]:g}" if clip is not None else "")]
    return [*(["zeros grey"] if zeros_grey else []), *words]
