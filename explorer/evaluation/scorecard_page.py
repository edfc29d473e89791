"""An evaluation as one page that needs nothing else: what it says in sentences, tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from components.theme import LIGHT
from explorer.evaluation import scorecard_plots as plots
from explorer.evaluation.scorecard import COVERAGES, Record
from explorer.evaluation.scorecard_words import sentences

_STYLE = f"""
body {{ font: 15px/1.5 "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: {LIGHT["ink"]};
  max-width: 60rem; margin: 2rem auto; padding: 0 1.25rem; background: {LIGHT["surface"]}; }}
h1 {{ font-size: 1.6rem; margin-bottom: 0; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }}
p.about {{ color: {LIGHT["soft"]}; margin-top: .2rem; }}
figure {{ margin: .4rem 0 1.2rem; }} figure img {{ width: 100%; height: auto; }}
figcaption {{ color: {LIGHT["soft"]}; font-size: .88rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; width: 100%; }}
td {{ white-space: nowrap; }}
th, td {{ padding: .3rem .4rem; text-align: right; border-bottom: 1px solid {LIGHT["line"]}; vertical-align: bottom; }}
td:first-child {{ text-align: left; }} th {{ color: {LIGHT["soft"]}; font-weight: 600; }}
h3 {{ font-size: 1rem; margin: 1.6rem 0 .2rem; }}
td.best {{ font-weight: 700; }} li {{ margin: .25rem 0; }}
"""

# key, heading, whether higher is better (None: neither), digits
_COLUMNS: tuple[tuple[str, str, bool | None, int], ...] = (
    ("macro_f1", "macro\u2011F1", True, 3),
    ("accuracy", "accuracy", True, 3),
    ("pooled_calibration_error", "calibration error", False, 3),
    ("calibration_error", "the same by batch", False, 3),
    ("auroc_stretch", "novelty AUROC", True, 3),
    ("auroc_novelty", "the same by p\u2011value", True, 3),
    ("auroc_doubt", "1 − confidence AUROC", True, 3),
    ("flagged_unseen", "strangers called unknown", True, 3),
    ("flagged_seen", "others called unknown", False, 3),
    ("mixing", "mixing", True, 2),
)
_COSTS: tuple[tuple[str, str, bool | None, int], ...] = (
    ("train_seconds", "seconds to train", False, 1),
    ("map_seconds", "seconds to map", False, 1),
    ("cpu_seconds", "CPU seconds", False, 1),
    ("peak_mb", "memory, MB", False, 0),
)
_OF_TYPES = (  # how what stands beside the labels was measured, where types were left out, too
    "Each type was left out together with the batch that has most of its cells, which was then mapped.",
    "Stretch: how many times as strange a cell is to its label as 99 % of all left-out cells are to theirs, by "
    "how far its expression lies from the label's cells and how odd its counts are, whatever the method. Over "
    "the stretch that 5 % of the cells of an average other batch have, or below a confidence of 0.5, a cell is "
    "called unknown. Unlike the p-value it goes on where left-out cells end, and therefore orders strangers.",
    "Mixing: of a left-out cell's nearest cells with its own label, the share from other batches, divided by "
    "what is expected if batches did not differ.",
)


def page(scorecard: Mapping[str, Any]) -> str:
    """The page as HTML text; pictures are svg within it."""
    told = scorecard["provenance"]
    title = f"Scorecard of {told['file']}"
    seeds = ", ".join(map(str, told["seeds"]))
    about = (
        f"{told['cells']:,} cells{' drawn from the file' if told['drawn'] else ''}, {len(scorecard['left_out'])} "
        f"batches ({told['batch']}) left out in turn, seeds {seeds}; {told['created'][:10]}"
    )
    body = [f"<h1>{escape(title)}</h1>", f'<p class="about">{escape(about)}</p>', "<h2>What it says</h2>"]
    body.append(_listed(sentences(scorecard)))
    for level in scorecard["levels"]:
        body.append(_level(scorecard, level))
    if scorecard["types"]:
        body.append(_types(scorecard))
    body += [_costs(scorecard), _method(bool(scorecard["types"])), _provenance(told)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def _level(scorecard: Mapping[str, Any], level: str) -> str:
    rows = _ordered(scorecard, level)
    records = [r for r in scorecard["records"] if r["level"] == level]
    promise = f"{COVERAGES[-1]:.2f}"
    columns = _COLUMNS if level == scorecard["levels"][0] and scorecard["types"] else _COLUMNS[:4]
    return "".join(
        [
            f"<h2>Labels of {escape(level)}</h2>",
            _table(rows, columns),
            _figure(
                "Which labels are right",
                plots.macro_f1(rows, records),
                "Mean over left-out batches, then over seeds. Cells of labels that only their own batch has are not "
                "counted: nobody can tell them.",
            ),
            _figure(
                "Whether confidence can be believed",
                plots.reliability(rows, records),
                "On the line, a confidence of 0.8 is right in 8 of 10 cells. Larger dots stand for more cells; the "
                f"error is the mean distance from the line, by cells, in 10 bins; those of fewer than "
                f"{plots.LEAST_IN_BIN} cells are not drawn.",
            ),
            _figure(
                "What a threshold of confidence buys, and what it costs",
                plots.risk_coverage(rows, records),
                "From left to right fewer, surer cells are kept.",
            ),
            _figure(
                "Whether prediction sets hold the label",
                plots.coverage(rows, records, promise),
                "Coverage over all cells, and how many labels a set holds on average; small dots are single batches.",
            ),
            _figure(
                "Which labels are mistaken for which",
                plots.confusion(records, scorecard["classes"][level]),
                "Labels given by the consensus, as shares of the cells of each own label; shares below 0.005 are "
                "left blank.",
            ),
        ]
    )


def _types(scorecard: Mapping[str, Any]) -> str:
    rows = _ordered(scorecard, scorecard["levels"][0])
    few = scorecard["types_with_too_few_cells"]
    note = ""
    if few:
        listed = ", ".join(f"{name} ({n})" for name, n in few.items())
        note = f"<p>Too few cells to be left out, in the batch that has most of them: {escape(listed)}.</p>"
    return (
        "<h2>Types that the reference lacks</h2>"
        + _figure(
            "Whether novelty tells them",
            plots.strangers(scorecard["types"], rows, "auroc_stretch"),
            "Area under the ROC curve of novelty, here the stretch, between cells of a type that was left out of "
            "training (how many, in brackets) and the other cells of their batch: 0.5 is chance, 1 is perfect. For "
            "PCA + 15-NN it is the distance to the neighbours; all others are measured alike, by the labels they give.",
        )
        + _figure(
            "Whether doubt tells them",
            plots.strangers(scorecard["types"], rows, "auroc_doubt"),
            "The same for 1 − confidence.",
        )
        + note
    )


def _costs(scorecard: Mapping[str, Any]) -> str:
    rows = [row for row in _ordered(scorecard, scorecard["levels"][0]) if row["train_seconds"] is not None]
    return "<h2>What a training costs</h2>" + _table(rows, _COSTS) + (
        "<p>Means over trainings with one batch left out, each in a process of its own.</p>"
    )


def _method(with_types: bool) -> str:
    return "<h2>How it was measured</h2>" + _listed(
        [
            "Every batch was left out in turn, and mapped by models trained on the others. Genes were chosen there, "
            "too; baselines had the genes of the same rule and the same cells.",
            "What is calibrated for a left-out batch (the head, the temperature, prediction sets, novelty, what is "
            "called unknown) was learned from the answers to the other left-out batches, never from its own. Baselines "
            "were calibrated alike; margins of the support vector machine went through a softmax.",
            "The consensus is that of all methods evaluated and the logistic regression.",
            *(_OF_TYPES if with_types else ()),
        ]
    )


def _provenance(told: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    settings = ", ".join(f"{name}={value}" for name, value in told["settings"].items()) or "as the preset has them"
    facts = {
        "File": f"{told['file']}, sha256 {told['checksum']}",
        "Cells": f"{told['cells']:,}" + (" (drawn in the shares of batch and label)" if told["drawn"] else ""),
        "Seeds": ", ".join(map(str, told["seeds"])),
        "Preset and settings": f"{told['preset']}; {settings}",
        "Versions": versions,
        "Written": told["created"],
    }
    return "<h2>Provenance</h2>" + _listed([f"{name}: {value}" for name, value in facts.items()])


def _ordered(scorecard: Mapping[str, Any], level: str) -> list[Record]:
    rows = [row for row in scorecard["summaries"] if row["level"] == level]
    return sorted(rows, key=lambda row: -row["macro_f1"])


def _table(rows: Sequence[Record], columns: Sequence[tuple[str, str, bool | None, int]]) -> str:
    best = {}
    for key, _, higher, _ in columns:
        known = [row[key] for row in rows if row[key] is not None]
        best[key] = (max if higher else min)(known) if known else None
    lines = ["<tr><th></th>" + "".join(f"<th>{heading}</th>" for _, heading, *_ in columns) + "</tr>"]
    for row in rows:
        spread = f" ± {row['macro_f1_spread']:.3f}" if row["seeds"] > 1 else ""  # over seeds
        cells = "".join(
            _cell(row[key], best[key], digits, spread if key == "macro_f1" else "") for key, _, _, digits in columns
        )
        lines.append(f"<tr><td>{escape(row['title'])}</td>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _cell(value: float | None, best: float | None, digits: int, spread: str) -> str:
    if value is None:
        return "<td>–</td>"
    text = f"{value:,.{digits}f}"
    is_best = best is not None and text == f"{best:,.{digits}f}"
    return f'<td class="best">{text}{spread}</td>' if is_best else f"<td>{text}{spread}</td>"


def _figure(title: str, svg: str, caption: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<h3>{escape(title)}</h3><figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _listed(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
