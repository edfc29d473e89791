"""Small charts as SVG text, in the page's own colours: `bars` and `curves`. Pure functions; plain numbers in.

Lines differ in their dashes as well as in their colour. Every chart carries a sentence for those who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDE, HIGH, FOOT, LEFT = 440, 130, 20, 40
_INK, _SOFT, _LINE, _ACCENT, _PAPER = (f"var(--ax-{name})" for name in ("ink", "soft", "line", "accent", "surface"))
_APART = 15  # from one line of letters to the next
_TEXT = f'font-size="12" fill="{_SOFT}"'


@dataclass(frozen=True)
class Curve:
    """One line of `curves`.

    Attributes
    ----------
    name
        Written at the chart's head, beside a piece of the line.
    x, y
        Points (k,), x ascending.
    dashed
        Whether the line is broken, and quieter.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    dashed: bool = False


def bars(
    shares: Sequence[float], bounds: tuple[float, float], told: str, expected: float | None = None
) -> str:
    """A histogram.

    Parameters
    ----------
    shares
        Height of each bin, finite; bins are equally wide and fill `bounds`.
    bounds
        Ends of the axis.
    told
        What the picture says, for screen readers.
    expected
        Height at which a broken line runs across; none if not given.
    """
    top = max([*shares, expected or 0.0, 1e-9])
    wide = WIDE / max(1, len(shares))
    parts = []
    for i, share in enumerate(shares):
        high = max(1.5, (HIGH - 8) * share / top) if share > 0 else 0.0  # few among many must not vanish
        parts.append(f'<rect x="{i * wide + 0.5:.1f}" y="{HIGH - high:.1f}" width="{max(0.5, wide - 1):.1f}" '
                     f'height="{high:.1f}" fill="{_ACCENT}"/>')  # fmt: skip
    parts.append(_rule(0, HIGH, WIDE, HIGH, _LINE))
    if expected is not None:
        y = HIGH - (HIGH - 8) * expected / top
        parts.append(_rule(0, y, WIDE, y, _INK, "5 4"))
    parts += [_words(0, HIGH + 15, f"{bounds[0]:g}"), _words(WIDE, HIGH + 15, f"{bounds[1]:g}", "end")]
    return _svg(0, parts, told)


def curves(
    lines: Sequence[Curve], bounds: tuple[float, float], told: str, low: float = 0.0, at: float | None = None
) -> str:
    """Lines of shares over one axis.

    Parameters
    ----------
    lines
        Whose y are shares, in [0, 1].
    bounds
        Ends of the x axis.
    told
        What the picture says, for screen readers.
    low
        Share at the foot of the picture.
    at
        Where a line stands upright, with the share that each line has there; none if not given.
    """
    span = bounds[1] - bounds[0] or 1.0

    def across(x: ArrayLike) -> NDArray[np.float64]:
        return WIDE * (np.asarray(x, np.float64) - bounds[0]) / span

    def up(y: ArrayLike) -> NDArray[np.float64]:
        return HIGH - HIGH * (np.clip(np.asarray(y, np.float64), low, 1) - low) / (1 - low)

    parts = []
    for share in (low, (1 + low) / 2, 1.0):
        y = float(up(share))
        parts += [_rule(0, y, WIDE, y, _LINE), _words(-6, y + 4, f"{100 * share:.0f} %", "end")]
    for line in lines:
        corners = np.column_stack([across(line.x), up(line.y)])
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners.tolist())
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        color = _SOFT if line.dashed else _ACCENT
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"{dashes}/>')
    if at is not None:
        x0, shares = float(across(at)), [_at(line, at) for line in lines]
        parts.append(_rule(x0, 0, x0, HIGH, _INK, width=1.5))
        parts += _values(x0, lines, shares, [float(up(share)) for share in shares])
    parts += [_words(0, HIGH + 15, f"{bounds[0]:g}"), _words(WIDE, HIGH + 15, f"{bounds[1]:g}", "end")]
    return _key(lines) + _svg(LEFT, parts, told)


def _at(line: Curve, x: float) -> float:
    """Share that a line has at x: that of the next point, since a threshold between two keeps what the higher keeps.

    NaN beyond the last point.
    """
    after = int(np.searchsorted(np.asarray(line.x, float), x - 1e-9))
    shares = np.asarray(line.y, float)
    return float(shares[after]) if after < len(shares) else float("nan")


def _values(x: float, lines: Sequence[Curve], shares: Sequence[float], ys: Sequence[float]) -> list[str]:
    """A dot where each line is crossed, with its share on the side where there is room, none over another."""
    crossed = zip(ys, shares, lines, strict=True)
    known = sorted((y, share, line.dashed) for y, share, line in crossed if not np.isnan(share))
    side, anchor = (-9, "end") if x > WIDE / 2 else (9, "start")
    parts, lowest = [], -np.inf
    for at, (y, share, dashed) in enumerate(known):
        room = HIGH - 4 - _APART * (len(known) - 1 - at)  # for those below, above the axis
        lowest = min(max(y + _APART, lowest + _APART), room)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_SOFT if dashed else _ACCENT}"/><text x="{x + side:.1f}" '
            f'y="{lowest:.1f}" text-anchor="{anchor}" font-size="13" font-weight="600" fill="{_INK}" stroke="{_PAPER}" '
            f'stroke-width="4" paint-order="stroke">{100 * share:.0f} %</text>'
        )
    return parts


def _key(lines: Sequence[Curve]) -> str:
    """Which line is which."""
    parts = []
    for line in lines:
        style, color = ("dashed", _SOFT) if line.dashed else ("solid", _ACCENT)
        mark = f'<i style="display:inline-block;width:22px;border-top:2px {style} {color};margin:0 6px 4px 0"></i>'
        parts.append(f'<span style="margin-right:16px;white-space:nowrap">{mark}{escape(line.name)}</span>')
    return f'<div style="font-size:12px;color:{_SOFT};line-height:1.6">{"".join(parts)}</div>'


def _rule(x0: float, y0: float, x1: float, y1: float, color: str, dashes: str = "", width: float = 1.0) -> str:
    broken = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{color}" '
            f'stroke-width="{width}"{broken}/>')  # fmt: skip


def _words(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_TEXT}>{escape(text)}</text>'


def _svg(left: int, parts: Sequence[str], told: str) -> str:
    return (
        f'<svg viewBox="{-left} -6 {WIDE + left} {HIGH + FOOT + 6}" role="img" aria-label="{escape(told, quote=True)}" '
        f'style="display:block;width:100%;max-width:{WIDE + left}px;overflow:visible">{"".join(parts)}</svg>'
    )
