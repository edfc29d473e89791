"""How the app looks: theme of the Material widgets, tokens of everything else, and HTML that is safe to show.

Whatever comes from a file goes through `text` or `facts` before it becomes HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from math import isnan
from typing import Any

import panel as pn

from components import theme
from explorer.settings import ASSETS

CSS = (ASSETS / "app.css").read_text(encoding="utf-8")
LOGO = ASSETS / "logo.svg"
_LEAST = 12  # pixels; nothing on the page is written smaller
FONT = "Roboto, system-ui, sans-serif"
CARD = {
    "border": "1px solid var(--ax-line)",
    "border-radius": "10px",
    "padding": "18px 20px",
    "background": "var(--ax-surface)",
    "height": "auto",  # as tall as the card beside it
    "max-height": "none",  # and taller than the window where it holds more
}  # fmt: skip
SIDE = {"overflow-y": "auto", "padding": "14px 14px 20px", "height": "100%", "box-sizing": "border-box",
        "border-right": "1px solid var(--ax-line)"}  # fmt: skip
SEGMENTS = {
    "& .MuiToggleButton-root": {
        "padding": "3px 10px",
        "fontSize": "13px",
        "textTransform": "none",
        "whiteSpace": "nowrap",
    }
}
NARROWS = ":host { min-width: 0 !important; }"
"""Stylesheet of a row or column that may be narrower than what it holds, which Panel forbids: it wraps or scrolls."""
SCROLL = {"overflow-y": "auto", "background": "var(--ax-raised)", "height": "calc(100vh - 49px)", "padding": "0 24px",
          "box-sizing": "border-box"}  # fmt: skip


def page_css() -> str:
    """CSS of the document itself: tokens for both themes, and nothing that scrolls beside its content."""
    dark = theme.tokens_css(dark=True).replace(":root", ':root[data-theme="dark"]')
    return (
        f"{theme.tokens_css()}\n{dark}\n"
        f"html, body {{ background: var(--ax-surface); color: var(--ax-ink); font-family: {FONT}; }}"
    )


def _palette(tokens: Mapping[str, str], mode: str) -> dict[str, Any]:
    return {
        "mode": mode,
        "primary": {"main": tokens["accent"], "dark": tokens["over-accent"], "contrastText": tokens["on-accent"]},
        "success": {"main": tokens["ok"]},
        "warning": {"main": tokens["warn"]},
        "error": {"main": tokens["error"]},
        "background": {"default": tokens["surface"], "paper": tokens["surface"]},
        "text": {"primary": tokens["ink"], "secondary": tokens["soft"]},
        "divider": tokens["line"],
    }


def _material(tokens: Mapping[str, str], mode: str) -> dict[str, Any]:
    return {
        "palette": _palette(tokens, mode),
        "shape": {"borderRadius": 6},
        "typography": {"fontFamily": FONT, "fontSize": 13, "button": {"textTransform": "none", "fontWeight": 500}},
        "components": {
            "MuiButton": {"defaultProps": {"disableElevation": True, "disableRipple": True, "size": "small"},
                          "styleOverrides": {"root": {"fontSize": 13}}},
            "MuiAppBar": {"defaultProps": {"elevation": 0}},
            "MuiTooltip": {"defaultProps": {"enterDelay": 500}, "styleOverrides": {
                "tooltip": {"fontSize": _LEAST, "width": "max-content", "maxWidth": 260}}},
            # the name of a field that holds something is shrunk to three quarters as a rule, below what can be read
            "MuiInputLabel": {"styleOverrides": {"outlined": {
                "&.MuiInputLabel-shrink": {"fontSize": _LEAST, "transform": "translate(14px, -9px) scale(1)"},
                # that of an empty menu stands in it, and a menu is less high than a field to write in
                "&:not(.MuiInputLabel-shrink):not(.MuiInputLabel-sizeSmall)": {
                    "transform": "translate(14px, 6px) scale(1)"}}}},
            "MuiOutlinedInput": {"styleOverrides": {"notchedOutline": {"& legend": {"fontSize": _LEAST}}}},
        },
    }


MATERIAL: dict[str, Any] = {"light": _material(theme.LIGHT, "light"), "dark": _material(theme.DARK, "dark")}


def text(value: object) -> str:
    """Anything as text inside HTML."""
    return escape(str(value), quote=True)


def html(content: str = "", **params: Any) -> pn.pane.HTML:
    """A pane for HTML that this app wrote."""
    defaults: dict[str, Any] = {"margin": 0, "sizing_mode": "stretch_width", "stylesheets": [CSS]}
    return pn.pane.HTML(content, **{**defaults, **params})


def rule() -> pn.pane.HTML:
    """A line between two parts."""
    return html('<div class="rule"></div>', margin=(14, 0, 10, 0))


def facts(rows: Iterable[tuple[str, object] | tuple[str, object, str]], *, tight: bool = False) -> str:
    """Names beside values, as a definition list; a third part, "bad" or "mind", marks a value."""
    parts = []
    for name, value, *mark in rows:
        kind = f' class="{text(mark[0])}"' if mark and mark[0] else ""
        parts.append(f"<dt>{text(name)}</dt><dd{kind}>{text(value)}</dd>")
    return f'<dl class="facts{" tight" if tight else ""}">{"".join(parts)}</dl>'


def notes(sentences: Iterable[str]) -> str:
    """Sentences as a quiet list."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def share(part: float, whole: float) -> str:
    """A share in percent, with a decimal where it is small, and never 0 % for something that is there; "-" for NaN."""
    if whole <= 0 or isnan(part):
        return "-"
    if part == 0:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"


def size(n_bytes: float) -> str:
    """Bytes as a person would say them."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit in ("B", "kB") or n_bytes >= 10 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def route(name: str) -> str:
    """A route of this app as an address relative to the page, which holds behind a proxy with a prefix too."""
    location = pn.state.location
    last = (location.pathname or "/").rsplit("/", 1)[-1] if location else ""
    return f"{last}/{name}" if last else name
