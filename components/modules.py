"""The modules of parts that share lines: `html_module` and `chart_module`.

A part hands the browser one text, which runs from memory and can import no neighbour, neither served nor in a
notebook. So what parts share stands before each part's own lines.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def html_module(name: str) -> str:
    """The text of `html.js` and of the part's own file, such as "cell_table.js", as one module."""
    return _joined("html.js", name)


def chart_module(name: str) -> str:
    """The text of `html.js`, `svg.js` and of the chart's own file, such as "volcano.js", as one module."""
    return _joined("html.js", "svg.js", name)


def _joined(*names: str) -> str:
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)
