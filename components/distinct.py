"""How far apart colours look, and a palette of many that look different. Knows colours, not what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from components.theme import CATEGORICAL, MISSING_COLOR, background_greys, hex_rgb, rgb_hex

ALIKE = 0.05
"""OKLab distance below which two colours are taken for one on a map; those of `theme.CATEGORICAL` are 0.06 apart."""

_LIGHTNESS = (0.45, 0.82)  # stands out on a light and on a dark page
_CHROMA = (0.06, 0.22)  # no grey, and nothing that glares
_STEPS = 22  # of red, green and blue: candidates of a palette

# Linear sRGB to cone responses, and their cube roots to lightness, green-red and blue-yellow; B. Ottosson, "A
# perceptual color space for image processing", 2020.
_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def oklab(colors: Sequence[str]) -> NDArray[np.float64]:
    """Lightness, green-red and blue-yellow of colours in OKLab, float64 (n, 3); distances are as large as they look.

    Raises
    ------
    ValueError
        If a colour is not written as #rrggbb.
    """
    rgb = np.array([hex_rgb(color) for color in colors]).reshape(-1, 3)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _CONES.T) @ _LAB.T, np.float64)


def lookalikes(colors: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of colours closer than `ALIKE`, the closest first, each by its two positions in rising order."""
    places = oklab(colors)
    first, second = np.triu_indices(len(places), 1)
    apart = np.linalg.norm(places[first] - places[second], axis=1)
    close = [at for at in np.argsort(apart, kind="stable").tolist() if apart[at] < ALIKE]
    return [(int(first[at]), int(second[at])) for at in close]


@cache
def many_colors(n: int = 236) -> tuple[str, ...]:
    """n colours, each as far as possible (OKLab) from all before it, and from white, black and the greys of a map.

    150 of them lie further apart than `ALIKE`. Unlike `theme.CATEGORICAL`, they are not chosen for eyes that see fewer
    colours.
    """
    steps = np.linspace(0, 1, _STEPS)
    colors = [rgb_hex(rgb) for rgb in np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T]
    places = oklab(colors)
    chroma = np.hypot(places[:, 1], places[:, 2])
    measures = ((places[:, 0], _LIGHTNESS), (chroma, _CHROMA))
    fits = np.all([(low < measure) & (measure < high) for measure, (low, high) in measures], axis=0)
    colors, places = [color for color, good in zip(colors, fits, strict=True) if good], places[fits]
    greys = oklab(("#ffffff", "#000000", MISSING_COLOR, *background_greys(4), *background_greys(4, dark=True)))
    chosen, apart = [], np.linalg.norm(places[:, None] - greys, axis=2).min(axis=1)
    at = int(np.linalg.norm(places - oklab(CATEGORICAL[:1]), axis=1).argmin())
    for _ in range(n):
        chosen.append(colors[at])
        apart = np.minimum(apart, np.linalg.norm(places - places[at], axis=1))
        at = int(apart.argmax())
    return tuple(chosen)
