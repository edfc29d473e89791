"""The modules of charts that are drawn as SVG: `chart_module`.

A part hands the browser one text, which runs from memory and can import no neighbour, neither served nor in a
notebook. So what charts share stands before each chart's own lines.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def chart_module(name: str) -> str:
    """The text of `svg.js` and of the chart's own file, such as "volcano.js", as one module."""
    return "\n".join((_HERE / file).read_text(encoding="utf-8") for file in ("svg.js", name))
