"""What an evaluation of the reference measured, beside its models: the summary that its card keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.app import look
from explorer.app.words import about as told_beside

_HEADS = (
    ("Macro-F1", "macro-F1"), ("Accuracy", "accuracy"), ("Calibration error", "calibration error"),
    ("Novelty AUROC", "novelty AUROC"), ("Sets that hold the label, of 95 %", "prediction set"),
)  # fmt: skip


def scorecard_html(found: Mapping[str, Any] | None) -> str:
    """The contenders of an evaluation, the highest macro-F1 first, as HTML; empty where none was made."""
    if found is None:
        return ""
    ordered = sorted(found["contenders"].values(), key=lambda row: -row["macro_f1"])
    seeds = len(found["seeds"])
    about = (
        f"{found['cells']:,} cells of {found['file']}, by {found['level']}; {ordered[0]['batches']} batches and then "
        f"single types left out in turn, {seeds} seed{'s' if seeds != 1 else ''}, {found['created'][:10]}. "
        "Baselines and the consensus of all methods stand beside. Macro-F1 and accuracy are means over the left-out "
        "batches, and each batch is judged with what the others taught; so they differ a little from those of the "
        "models above, which take the cells of all left-out batches together."
    )
    head = "".join(f'<th class="right">{look.text(name)}{told_beside(word)}</th>' for name, word in _HEADS)
    rows = "".join(
        f"<tr><td>{look.text(row['title'])}</td>"
        + "".join(f'<td class="right">{_figure(value)}</td>' for value in _values(row))
        + "</tr>"
        for row in ordered
    )
    return (
        f'<p class="soft small">{look.text(about)}</p><table class="plain"><thead><tr><th>Contender</th>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _values(row: Mapping[str, Any]) -> tuple[float | None, ...]:
    scores = ("macro_f1", "accuracy", "pooled_calibration_error", "auroc_stretch")
    return (*(row[name] for name in scores), row["coverage"].get("0.95"))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
