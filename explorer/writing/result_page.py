"""A result as one HTML page that needs nothing else: verdict, figures, tables, and how it came about.

Pictures lie inside the page; it opens without a network and prints. Whatever comes from a file is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from components.theme import LIGHT
from explorer import keys
from explorer.flow import LevelLabels, MappingResult
from explorer.provenance import Provenance

_STYLE = f"""
body {{ font: 15px/1.5 "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: {LIGHT["ink"]};
  max-width: 60rem; margin: 2rem auto; padding: 0 1.25rem; background: {LIGHT["surface"]}; }}
h1 {{ font-size: 1.6rem; margin-bottom: 0; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }}
p.about {{ color: {LIGHT["soft"]}; margin-top: .2rem; }}
figure {{ margin: 1.2rem 0; }} figure img {{ width: 100%; height: auto; }}
figcaption {{ color: {LIGHT["soft"]}; font-size: .88rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; width: 100%; }}
th, td {{ padding: .3rem .6rem; text-align: right; border-bottom: 1px solid {LIGHT["line"]}; }}
th:first-child, td:first-child {{ text-align: left; }} th {{ color: {LIGHT["soft"]}; font-weight: 600; }}
dt {{ color: {LIGHT["soft"]}; font-size: .88rem; }} dd {{ margin: 0 0 .5rem; overflow-wrap: anywhere; }}
"""


@dataclass(frozen=True)
class Shown:
    """A picture of the page.

    Attributes
    ----------
    png
        The file.
    caption
        What stands below.
    """

    png: bytes
    caption: str


def result_page(
    result: MappingResult,
    *,
    title: str,
    methods: str,
    verdict: Sequence[str] = (),
    pictures: Sequence[Shown] = (),
    samples: str = "",
) -> str:
    """The page as HTML text.

    Parameters
    ----------
    title
        What the cells are called.
    methods
        The methods paragraph.
    verdict
        Whether the mapping can be trusted, one sentence each.
    samples
        obs column whose values a composition is told for; empty for none.
    """
    told = result.provenance
    about = f"{result.n_cells:,} cells on {told.reference}, {result.method}, {told.created[:10]}"
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="about">{escape(about)}</p>']
    if verdict:
        parts += ["<h2>Verdict</h2>", "".join(f"<p>{escape(sentence)}</p>" for sentence in verdict)]
    if pictures:
        parts += ["<h2>Figures</h2>", *map(_picture, pictures)]
    for level in result.labels.levels:
        parts += [f"<h2>Labels, {escape(level.level)}</h2>", _table(label_table(level))]
    if samples:
        first = result.labels.first
        labels = np.where(first.unknown, keys.UNKNOWN, first.labels)
        counts = pd.crosstab(labels, result.obs[samples].astype(str).to_numpy())
        counts.index.name = "label"
        parts += [f"<h2>Cells by {escape(samples)}</h2>", _table(counts.reset_index())]
    parts += ["<h2>Methods</h2>", f"<p>{escape(methods)}</p>", "<h2>Record</h2>", _record(told)]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def label_table(level: LevelLabels) -> pd.DataFrame:
    """Cells, share, median confidence, median novelty and unknown cells of each label, the most frequent first."""
    n = np.bincount(level.codes, minlength=len(level.classes))
    rows = [
        {
            "label": level.classes[code],
            "cells": int(n[code]),
            "share": n[code] / max(len(level.codes), 1),
            "median confidence": float(np.median(level.confidence[level.codes == code])),
            "median novelty": float(np.median(level.novelty[level.codes == code])),
            "unknown": int(level.unknown[level.codes == code].sum()),
        }
        for code in np.argsort(-n, kind="stable")
        if n[code]
    ]
    return pd.DataFrame(rows)


def _picture(shown: Shown) -> str:
    image = base64.b64encode(shown.png).decode("ascii")
    text = escape(shown.caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{image}"><figcaption>{text}</figcaption></figure>'


def _table(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table.columns)
    rows = (
        "<tr>" + "".join(f"<td>{escape(_said(value))}</td>" for value in row) + "</tr>"
        for row in table.itertuples(index=False)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _record(told: Provenance) -> str:
    rows = {
        "Query": f"{told.query}; {told.matrix}, {told.value_kind}",
        "Reference": f"{told.reference}, sha256 {told.reference_checksum}",
        "Method": f"{told.method}, seed {told.seed}, on {told.device}",
        "Asked for": ", ".join(f"{name} {value}" for name, value in told.options.items() if value is not None),
        "Settings": ", ".join(f"{name} {value}" for name, value in told.config.items()),
        "Genes": f"{told.coverage.found:,} of {told.coverage.needed:,} found",
        "Took": ", ".join(f"{step} {seconds:.2g} s" for step, seconds in told.seconds.items()),
        "Versions": ", ".join(f"{name} {version}" for name, version in told.versions.items()),
        "Notices": " ".join(told.notices) or "none",
    }
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows.items()) + "</dl>"
