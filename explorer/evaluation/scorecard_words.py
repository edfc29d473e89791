"""What a scorecard says, in plain sentences: what wins, and where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from explorer.evaluation.scorecard import CONSENSUS, COVERAGES, Record

LARGEST_ERROR = 0.05      # of calibration that still goes as calibrated
LARGEST_MISS = 0.02       # of coverage
LEAST_NOVELTY = 0.85      # area under the ROC curve, on average over types
_MOST_NAMED = 4
_ALIKE = 0.0005           # macro-F1 that three digits do not tell apart


def sentences(scorecard: Mapping[str, Any]) -> list[str]:
    """About the main level: the best contender, calibration, coverage, strangers, the hardest batch and label."""
    level = scorecard["levels"][0]
    rows = [row for row in scorecard["summaries"] if row["level"] == level]
    records = [r for r in scorecard["records"] if r["level"] == level]
    if not rows:
        return ["No left-out batch could be judged: none shares labels with the others."]
    found = [_winner(rows), _calibration(rows), _coverage(rows)]
    if scorecard["types"]:
        found += _strangers(rows, scorecard["types"])
    return [*found, _hardest(records), _confused(records, scorecard["classes"][level])]


def _winner(rows: Sequence[Record]) -> str:
    ordered = sorted(rows, key=lambda row: -row["macro_f1"])
    best = ordered[0]["macro_f1"]
    tied = [row["title"] for row in ordered if best - row["macro_f1"] < _ALIKE]
    text = f"Highest macro-F1 on left-out batches: {', '.join(tied)} ({best:.3f})"
    single = [row for row in ordered if row["title"] not in tied]
    text += f"; next {single[0]['title']} ({single[0]['macro_f1']:.3f})." if single else "."
    together = next(row for row in rows if row["contender"] == CONSENSUS)
    if together["title"] not in tied:
        text += f" The consensus has {together['macro_f1']:.3f}, {best - together['macro_f1']:.3f} less."
    return text


def _calibration(rows: Sequence[Record]) -> str:
    worse = [row for row in rows if row["pooled_calibration_error"] > LARGEST_ERROR]
    if not worse:
        return f"All are calibrated: no expected calibration error is above {LARGEST_ERROR}."
    named = _named(worse, lambda row: f"{row['pooled_calibration_error']:.3f}")
    return f"Expected calibration errors above {LARGEST_ERROR}, so that confidence should not be trusted: {named}."


def _coverage(rows: Sequence[Record]) -> str:
    promise = COVERAGES[-1]
    found = [(row, row["coverage"][f"{promise:.2f}"]) for row in rows]
    short = [row for row, of in found if of["covered"] < of["stated"] - LARGEST_MISS]
    wide = [row for row, of in found if of["covered"] > of["stated"] + LARGEST_MISS]
    texts = []
    for off, word in ((short, "less often than stated"), (wide, "more often than stated")):
        if off:
            texts.append(f"{word} by {_named(off, _covered)}")
    if not texts:
        return (
            f"Prediction sets of {promise:.0%} hold the label as often as stated, within 2 points, by all. More than "
            f"{promise:.0%} is stated where single labels are right more often, since no set is empty."
        )
    rest = "; by the others within 2 points" if len(short) + len(wide) < len(rows) else ""
    return f"Prediction sets of {promise:.0%} hold the label {'; '.join(texts)}{rest}."


def _covered(row: Record) -> str:
    found = row["coverage"][f"{COVERAGES[-1]:.2f}"]
    return f"{found['covered']:.3f}, stated {found['stated']:.3f}"


def _strangers(rows: Sequence[Record], types: Sequence[Record]) -> list[str]:
    told = sorted((row for row in rows if row["auroc_stretch"] is not None), key=lambda row: -row["auroc_stretch"])
    if not told:
        return []
    best = told[0]
    text = (
        f"Cells of types that the reference lacks stand out best by {best['title']}: novelty has a mean AUROC of "
        f"{best['auroc_stretch']:.3f}, and {best['flagged_unseen']:.0%} of them are called unknown, beside "
        f"{best['flagged_seen']:.0%} of the others."
    )
    own: dict[str, list[float]] = {}
    for record in types:
        if record["contender"] == best["contender"]:
            own.setdefault(record["type"], []).append(record["auroc_stretch"])
    missed = sorted((float(np.mean(values)), name) for name, values in own.items())
    low = [f"{name} ({value:.2f})" for value, name in missed if value < LEAST_NOVELTY]
    return [text] + ([f"Types that hide among others even there: {_some(low)}."] if low else [])


def _hardest(records: Sequence[Record]) -> str:
    of = [r for r in records if r["contender"] == CONSENSUS]
    by_batch = {
        batch: float(np.mean([r["macro_f1"] for r in of if r["left_out"] == batch]))
        for batch in dict.fromkeys(r["left_out"] for r in of)
    }
    hardest, easiest = min(by_batch, key=by_batch.__getitem__), max(by_batch, key=by_batch.__getitem__)
    if by_batch[easiest] - by_batch[hardest] < _ALIKE:
        return f"No batch is harder than another for the consensus (macro-F1 {by_batch[easiest]:.3f})."
    return (
        f"The hardest batch for the consensus is {hardest} (macro-F1 {by_batch[hardest]:.3f}), the easiest {easiest} "
        f"({by_batch[easiest]:.3f})."
    )


def _confused(records: Sequence[Record], classes: Sequence[str]) -> str:
    counts = np.sum([r["confusion"] for r in records if r["contender"] == CONSENSUS], axis=0)
    sizes = counts.sum(1)
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    pairs = [divmod(int(at), len(counts)) for at in np.argsort(-wrong, axis=None, kind="stable")]
    told = [
        f"{classes[i]} taken for {classes[j]} ({wrong[i, j] / sizes[i]:.0%} of them)"
        for i, j in pairs[:_MOST_NAMED]
        if wrong[i, j]
    ]
    return f"The consensus' most common mistakes: {'; '.join(told)}." if told else "The consensus makes no mistake."


def _named(rows: Sequence[Record], value: Any) -> str:
    return ", ".join(f"{row['title']} ({value(row)})" for row in rows)


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
