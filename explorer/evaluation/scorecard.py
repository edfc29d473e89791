"""What an evaluation found, as numbers: one record for each left-out batch or type, and what they come to.

    records(...)     accuracy, calibration, coverage, doubt, mixing, seconds, memory of a contender on a left-out batch
    strangers(...)   whether cells of a type that the reference lacks stand out
    summaries(...)   means over batches and seeds, and what wins

Knows answers that were calibrated by other left-out batches, not who trained or how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, roc_auc_score

from explorer.doubt.calibration import RELIABILITY_BINS, quality
from explorer.doubt.conformal import kept_promise, prediction_sets
from explorer.evaluation.contenders import Spent
from explorer.evaluation.crosscalibration import Judged, examined
from explorer.flow import BoolArray, FloatArray

COVERAGES = (0.90, 0.95)
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(20))
LEAST_STRANGERS = 10
CONSENSUS = "consensus"  # a contender, too

Record = dict[str, Any]


def judged_record(judged: Judged, others: Sequence[Judged]) -> Record:
    """How good, how well calibrated and how honest the answers to a left-out batch are.

    Parameters
    ----------
    others
        Answers to the other left-out batches, by the same calibration: prediction sets rest on them.

    Returns
    -------
    dict
        accuracy, macro_f1, calibration_error, reliability and cells as `explorer.doubt.calibration.quality` gives them;
        coverage: by promise, the share of cells whose set holds their label, the share that the other batches led one
        to expect ("stated"; above the promise where single labels are right more often), and the mean size of a set;
        risk_coverage: [threshold, share of cells at least as sure, their accuracy]; called_unknown: a share of cells.
    """
    found, known, coverage = quality(judged.probabilities, judged.codes), examined(others), {}
    for promise in COVERAGES:
        sets = prediction_sets(judged.probabilities, known, promise)
        held = sets[np.arange(len(sets)), judged.codes]
        coverage[f"{promise:.2f}"] = {
            "covered": float(held.mean()), "stated": kept_promise(known, promise),
            "mean_size": float(sets.sum(1).mean()),
        }  # fmt: skip
    return {
        **found,
        "coverage": coverage,
        "risk_coverage": risk_coverage(judged),
        "called_unknown": float(judged.unknown.mean()),
        "confusion": confusion_matrix(
            judged.codes, judged.given, labels=np.arange(judged.probabilities.shape[1])
        ).tolist(),
    }


def risk_coverage(judged: Judged) -> list[list[float]]:
    """[threshold, share of cells with at least that confidence, their accuracy], where any cell is left."""
    right, confidence = judged.given == judged.codes, judged.confidence
    rows = []
    for threshold in THRESHOLDS:
        kept = confidence >= threshold
        if kept.any():
            rows.append([threshold, float(kept.mean()), float(right[kept].mean())])
    return rows


def spent_record(spent: Spent, mixing: float | None) -> Record:
    """Seconds, memory and mixing of a training."""
    return {"mixing": mixing, **{name: round(value, 3) for name, value in asdict(spent).items()}}


def stranger_record(judged: Judged, label: int) -> Record:
    """Whether cells of a label that the reference lacks stand out among the other cells of the batch.

    Returns
    -------
    dict
        unseen, seen: cells; auroc_novelty, auroc_stretch (`None` for a contender that measures none), auroc_doubt: area
        under the ROC curve of novelty, of stretch, which goes on where held-out cells end, and of 1 - confidence;
        flagged_unseen, flagged_seen: shares called unknown.
    """
    unseen = judged.codes == label
    return {
        "unseen": int(unseen.sum()),
        "seen": int((~unseen).sum()),
        "auroc_novelty": None if judged.novelty is None else auroc(unseen, judged.novelty),
        "auroc_stretch": None if judged.stretched is None else auroc(unseen, judged.stretched),
        "auroc_doubt": auroc(unseen, 1 - judged.confidence),
        "flagged_unseen": float(judged.unknown[unseen].mean()),
        "flagged_seen": float(judged.unknown[~unseen].mean()),
    }


def auroc(unseen: BoolArray, score: FloatArray) -> float:
    """Probability that an unseen cell scores higher than a seen one; ties count half."""
    return float(roc_auc_score(unseen, score))


def summaries(records: Sequence[Record], strangers: Sequence[Record]) -> list[Record]:
    """One row a level and contender: means over left-out batches, then over seeds; standard deviation over seeds.

    Calibration is also given over the cells of all left-out batches together ("pooled"), since the error of a small
    batch is mostly noise. Coverage is that of an average batch, which is what prediction sets promise.
    """
    rows = []
    for level in dict.fromkeys(record["level"] for record in records):
        for contender in dict.fromkeys(record["contender"] for record in records):
            of = [r for r in records if (r["level"], r["contender"]) == (level, contender)]
            told = [r for r in strangers if (r["level"], r["contender"]) == (level, contender)]
            if of:
                rows.append({"level": level, "contender": contender, "title": of[0]["title"], **_summary(of, told)})
    return rows


def _summary(of: Sequence[Record], strangers: Sequence[Record]) -> Record:
    seeds = [[r for r in of if r["seed"] == seed] for seed in dict.fromkeys(r["seed"] for r in of)]
    names = ("accuracy", "macro_f1", "calibration_error", "called_unknown", "mixing", *_SPENT)
    found: Record = {name: _mean(_mean(r.get(name) for r in each) for each in seeds) for name in names}
    found["macro_f1_spread"] = float(np.std([_mean(r["macro_f1"] for r in each) or 0.0 for each in seeds]))
    found["pooled_calibration_error"] = _mean(_pooled_error(each) for each in seeds)
    found["coverage"] = {
        promise: {
            name: _mean(_mean(r["coverage"][promise][name] for r in each) for each in seeds)
            for name in ("covered", "stated", "mean_size")
        }
        for promise in of[0]["coverage"]
    }
    measured = [r for r in strangers if "auroc_doubt" in r]
    for name in ("auroc_novelty", "auroc_stretch", "auroc_doubt", "flagged_unseen", "flagged_seen"):
        found[name] = _mean(_by_type(measured, name))
    found["seeds"], found["batches"] = len(seeds), len({r["left_out"] for r in of})
    return found


_SPENT = ("train_seconds", "map_seconds", "cpu_seconds", "peak_mb")


def _by_type(strangers: Sequence[Record], name: str) -> list[float | None]:
    """Mean over seeds of each type, so that types count alike."""
    types = dict.fromkeys(r["type"] for r in strangers)
    return [_mean(r[name] for r in strangers if r["type"] == each) for each in types]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def pooled_reliability(of: Sequence[Record]) -> list[list[float]]:
    """The reliability curve over the cells of several left-out batches: [mean confidence, accuracy, cells] a bin."""
    bins: dict[int, list[list[float]]] = {}
    for record in of:
        for point in record["reliability"]:
            bins.setdefault(min(int(point[0] * RELIABILITY_BINS), RELIABILITY_BINS - 1), []).append(point)
    rows = []
    for at in sorted(bins):
        sure, right, cells = np.array(bins[at]).T
        rows.append([float(np.average(sure, weights=cells)), float(np.average(right, weights=cells)), int(cells.sum())])
    return rows


def _pooled_error(of: Sequence[Record]) -> float:
    curve = pooled_reliability(of)
    return float(np.average([abs(sure - right) for sure, right, _ in curve], weights=[n for *_, n in curve]))


def card_summary(scorecard: Mapping[str, Any]) -> Record:
    """What the card of a reference keeps of a scorecard: the rows of its main level, and what they rest on."""
    main = scorecard["levels"][0]
    scores = ("accuracy", "macro_f1", "pooled_calibration_error", "auroc_stretch", "auroc_novelty")
    names = ("title", *scores, "seeds", "batches")
    rows = {
        row["contender"]: {
            **{name: row[name] for name in names},
            "coverage": {promise: found["covered"] for promise, found in row["coverage"].items()},
        }
        for row in scorecard["summaries"]
        if row["level"] == main
    }
    about = {name: scorecard["provenance"][name] for name in ("created", "file", "checksum", "cells", "seeds")}
    return {"level": main, "contenders": rows, **about}


def in_words(rows: Sequence[Record]) -> str:
    """Summaries as a table of plain text, level by level, highest macro-F1 first."""
    lines = []
    for level in dict.fromkeys(row["level"] for row in rows):
        lines.append(f"{level:<22} macro-F1  accuracy  calibration error  coverage 95 %  novelty AUROC")
        of = sorted((row for row in rows if row["level"] == level), key=lambda row: -row["macro_f1"])
        for row in of:
            novelty = "-" if row["auroc_stretch"] is None else f"{row['auroc_stretch']:.3f}"
            lines.append(
                f"  {row['title']:<20} {row['macro_f1']:8.3f}  {row['accuracy']:8.3f}  "
                f"{row['pooled_calibration_error']:17.3f}  {row['coverage']['0.95']['covered']:13.3f}  {novelty:>13}"
            )
    return "\n".join(lines)
