"""Colours, in one place: categories, values, greys, and the tokens that style every part.

Knows colours, not what they stand for. Nothing here imports Panel, so figures share it with the screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

import matplotlib as mpl
import numpy as np

# Chosen one after the other, each as far as possible (OKLab) from white, from black, from the greys of the
# background and from all before it, for normal sight and for simulated protanopia, deuteranopia and
# tritanopia; of middle lightness, so that they stand out on a light and on a dark page. The first six are
# Okabe and Ito's.
CATEGORICAL: tuple[str, ...] = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#610cff", "#8679ff",
    "#9ee779", "#c20000", "#ce18c2", "#864986", "#6dc26d", "#e7ce0c", "#92ceff", "#f30cf3",
    "#00e7aa", "#925549", "#f386db", "#3d9218", "#f36155", "#4979db", "#e7b6db", "#8600db",
    "#9e86ce", "#79aa79", "#9e6d9e", "#b6249e", "#3ddb6d", "#ce2461", "#aa246d", "#c26155",
    "#49c218", "#9ec292", "#e78692", "#6161ce", "#db92ff", "#3daa55", "#c2ce92", "#f300b6",
)

SEQUENTIAL = "viridis"
"""Colormap of values; its order survives every kind of colour blindness and a grey printer."""

MISSING_COLOR = "#8a8f98"
ACCENT = "#0b6bcb"

LIGHT: Mapping[str, str] = MappingProxyType({
    "ink": "#1c2330", "soft": "#5b6472", "line": "#d9dee5", "surface": "#ffffff", "raised": "#f6f8fa",
    "accent": "#0b6bcb", "over-accent": "#084b8e", "on-accent": "#ffffff", "tint": "#e8f1fb",
    "ok": "#12703f", "ok-tint": "#e5f5ec", "warn": "#8a5300", "warn-tint": "#fff3dc",
    "error": "#b3261e", "error-tint": "#fdecea",
    "map": "#ffffff", "muted": "#b4bac3", "zero": "#c3c9d1",
})  # fmt: skip
DARK: Mapping[str, str] = MappingProxyType({
    "ink": "#e8ecf2", "soft": "#a3adba", "line": "#39424e", "surface": "#171c23", "raised": "#202730",
    "accent": "#6db3ff", "over-accent": "#9accff", "on-accent": "#0b1522", "tint": "#1c2f45",
    "ok": "#6fd6a0", "ok-tint": "#15301f", "warn": "#f4c069", "warn-tint": "#352813",
    "error": "#ff9d94", "error-tint": "#3d1a18",
    "map": "#12161c", "muted": "#59626e", "zero": "#4c5561",
})  # fmt: skip


def tokens_css(*, dark: bool = False) -> str:
    """The tokens as custom properties of the page's root, from which every shadow root inherits."""
    tokens = DARK if dark else LIGHT
    lines = "".join(f"--ax-{name}:{value};" for name, value in tokens.items())
    scheme = "dark" if dark else "light"
    return f":root{{color-scheme:{scheme};{lines}}}"


def category_colors(
    names: Sequence[str], known: Mapping[str, str] | None = None, palette: tuple[str, ...] = CATEGORICAL
) -> tuple[str, ...]:
    """One colour a category: the known one, else the next of the palette that no other category has.

    Beyond the palette's end (40 categories) colours return, with a lightness that shifts at each turn.
    """
    known = known or {}
    taken = {known[name].lower() for name in names if name in known}
    fresh = (color for turn in range(len(names) // len(palette) + 2) for color in _turn(turn, palette))
    free = (color for color in fresh if color not in taken)
    return tuple(known[name] if name in known else next(free) for name in names)


@cache
def _turn(turn: int, palette: tuple[str, ...]) -> tuple[str, ...]:
    if turn == 0:
        return palette
    toward, share = (1.0, 0.35) if turn % 2 else (0.0, 0.35)
    share = min(share + 0.1 * (turn // 2), 0.7)
    return tuple(_mix(color, toward, share) for color in palette)


def _mix(color: str, toward: float, share: float) -> str:
    return rgb_hex(np.array(hex_rgb(color)) * (1 - share) + toward * share)


def hex_rgb(color: str) -> tuple[float, float, float]:
    """"#rrggbb" to red, green, blue in [0, 1].

    Raises
    ------
    ValueError
        If `color` is not written as # and six hexadecimal digits.
    """
    if len(color) != 7 or color[0] != "#":
        raise ValueError(f"A colour is written as #rrggbb; found {color!r}.")
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def rgb_hex(rgb: Sequence[float] | np.ndarray) -> str:
    """Red, green, blue in [0, 1] to "#rrggbb"."""
    return "#" + "".join(f"{round(float(np.clip(part, 0, 1)) * 255):02x}" for part in rgb)


@cache
def value_colors(colormap: str = SEQUENTIAL, n: int = 236) -> tuple[str, ...]:
    """n colours of a matplotlib colormap, low to high.

    Raises
    ------
    ValueError
        If matplotlib knows no such colormap.
    """
    if colormap not in mpl.colormaps:
        raise ValueError(f"There is no colormap called {colormap!r}; 'viridis' and 'magma' are two.")
    return tuple(rgb_hex(row[:3]) for row in mpl.colormaps[colormap](np.linspace(0, 1, n)))


def background_greys(n: int = 16, *, dark: bool = False) -> tuple[str, ...]:
    """Greys of the background layer, from one point a pixel to many, quiet beside any colour."""
    start, stop = ((0.20, 0.42) if dark else (0.90, 0.66))
    return tuple(rgb_hex([level, level, min(level + 0.012, 1.0)]) for level in np.linspace(start, stop, n))
