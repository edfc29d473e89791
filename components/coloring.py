"""How points are coloured: by what they are, or by how much of something they have.

Plain values that the map, the legend and a printed figure share; nothing here imports Panel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from components import raster, theme


@dataclass(frozen=True, eq=False)
class Categories:
    """Points coloured by category.

    Attributes
    ----------
    codes
        int (n,), position in `names` of each point's category; -1 for none.
    names
        The categories, in legend order.
    colors
        "#rrggbb", one a category.
    title
        What the categories are, e.g. "Predicted cell type".
    order
        Who is seen where points overlap: "random" or "as in file".
    """

    codes: NDArray[np.integer]
    names: tuple[str, ...]
    colors: tuple[str, ...]
    title: str = ""
    order: str = raster.RANDOM

    def __post_init__(self) -> None:
        if len(self.colors) != len(self.names):
            raise ValueError(f"{len(self.names)} categories need as many colours; found {len(self.colors)}.")
        if len(self.codes) and int(np.max(self.codes)) >= len(self.names):
            raise ValueError(f"Category {int(np.max(self.codes))} has no name among {len(self.names)}.")

    @classmethod
    def of(cls, labels: Sequence[str] | NDArray[np.object_], title: str = "") -> Categories:
        """Categories of text labels, the most frequent first, in palette colours."""
        names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        frequent = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
        place = np.empty(len(names), dtype=np.int32)
        place[frequent] = np.arange(len(names))
        listed = tuple(str(name) for name in names[frequent])
        return cls(place[codes], listed, theme.category_colors(listed), title)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Points in each category, int64 (categories,)."""
        codes = np.asarray(self.codes)
        return np.bincount(codes[codes >= 0], minlength=len(self.names)).astype(np.int64)

    def raster_codes(self, hidden: Sequence[int] = ()) -> NDArray[np.uint8]:
        """Codes of `components.raster`, uint8 (n,); 0 for points of hidden categories."""
        return raster.category_codes(self.codes, hidden)

    @property
    def palette(self) -> tuple[str, ...]:
        """Colours of the raster's codes, in code order; as many as there are categories, at most 236."""
        return self.colors[: raster.N_COLORS]


@dataclass(frozen=True, eq=False)
class Values:
    """Points coloured by a number.

    Attributes
    ----------
    values
        float (n,); NaN for no value.
    title
        What is shown, with its unit: "CD14, log1p CP10k".
    colormap
        Name of a matplotlib colormap.
    limits
        Ends of the colour scale; `None` takes percentiles of the values other than zero.
    clip
        Which percentiles those are.
    zeros_grey
        Draw exact zeros in grey, so that "not measured" is not taken for "low".
    order
        One of `components.raster.ORDERS`.
    """

    values: NDArray[np.floating]
    title: str = ""
    colormap: str = theme.SEQUENTIAL
    limits: tuple[float, float] | None = None
    zeros_grey: bool = False
    order: str = raster.HIGH_ON_TOP
    clip: tuple[float, float] = (1.0, 99.0)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Ends of the colour scale in use."""
        return self.limits or raster.clip_limits(self.values, *self.clip)

    def raster_codes(self, hidden: Sequence[int] = ()) -> NDArray[np.uint8]:  # noqa: ARG002  same call as Categories
        """Codes of `components.raster`, uint8 (n,)."""
        return raster.value_codes(self.values, self.scale, zeros_grey=self.zeros_grey)

    @property
    def palette(self) -> tuple[str, ...]:
        """Colours of the raster's codes, in code order, 236."""
        return theme.value_colors(self.colormap, raster.N_COLORS)


Coloring = Categories | Values


def code_colors(coloring: Coloring | None, *, dark: bool = False, highlight: int | None = None) -> list[str]:
    """The 256 colours of a raster's codes, "#rrggbb" or "#rrggbbaa" for what is see-through.

    Parameters
    ----------
    highlight
        A category that keeps its colour while all others fade; `None` fades nothing.
    """
    colors = ["#00000000"] * 256
    palette = coloring.palette if coloring is not None else (theme.ACCENT,)
    tokens = theme.DARK if dark else theme.LIGHT
    if highlight is not None and isinstance(coloring, Categories) and 0 <= highlight < len(coloring.names):
        kept = highlight % raster.N_COLORS
        palette = tuple(color if at == kept else tokens["muted"] for at, color in enumerate(palette))
    colors[raster.FIRST_COLOR : raster.FIRST_COLOR + len(palette)] = palette
    colors[raster.MUTED] = tokens["muted"]
    colors[raster.MISSING] = theme.MISSING_COLOR
    colors[raster.ZERO] = tokens["zero"]
    colors[raster.FIRST_GREY :] = theme.background_greys(raster.N_GREYS, dark=dark)
    return colors
