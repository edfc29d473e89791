"""What an evaluation of the reference measured, beside its models: the summary that its card keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.app import look

_HEADS = ("Macro-F1", "Accuracy", "Calibration error", "Novelty AUROC", "Sets that hold the label, of 95 %")
_ABOUT = (
    "Macro-F1 counts rare labels as much as frequent ones. Calibration error: how far confidence lies from the share "
    "that is right. Novelty AUROC: how well cells of a type left out of the reference stand out; 0.5 is chance."
)


def scorecard_html(found: Mapping[str, Any] | None) -> str:
    """The contenders of an evaluation, the highest macro-F1 first, as HTML; empty where none was made."""
    if found is None:
        return ""
    ordered = sorted(found["contenders"].values(), key=lambda row: -row["macro_f1"])
    seeds = len(found["seeds"])
    about = (
        f"{found['cells']:,} cells of {found['file']}, by {found['level']}; {ordered[0]['batches']} batches and then "
        f"single types left out in turn, {seeds} seed{'s' if seeds != 1 else ''}, {found['created'][:10]}. "
        "Baselines and the consensus of all methods stand beside."
    )
    head = "".join(f'<th class="right">{look.text(name)}</th>' for name in _HEADS)
    rows = "".join(
        f"<tr><td>{look.text(row['title'])}</td>"
        + "".join(f'<td class="right">{_figure(value)}</td>' for value in _values(row))
        + "</tr>"
        for row in ordered
    )
    return (
        f'<p class="soft small">{look.text(about)}</p><table class="plain"><thead><tr><th>Contender</th>{head}</tr>'
        f'</thead><tbody>{rows}</tbody></table><p class="soft small more">{_ABOUT}</p>'
    )


def _values(row: Mapping[str, Any]) -> tuple[float | None, ...]:
    scores = ("macro_f1", "accuracy", "pooled_calibration_error", "auroc_stretch")
    return (*(row[name] for name in scores), row["coverage"].get("0.95"))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
