"""The corridor of an evaluation: annotated cells to a scorecard of every method beside simple baselines.

Batches are left out in turn, and types in turn; each training serves all that is measured of it, and is kept, so that
an evaluation that was stopped goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from explorer import keys
from explorer.building.tuning import tuned
from explorer.errors import OptionsProblem, ReferenceProblem, ResourceProblem
from explorer.evaluation.contenders import BASELINES, DRAWS_NOTHING, LOGISTIC, NEIGHBORHOOD, Answers, title_of
from explorer.evaluation.crosscalibration import Asked, Judged, consensus, crossed
from explorer.evaluation.measures import Measured, Measures
from explorer.evaluation.scorecard import (
    CONSENSUS,
    LEAST_STRANGERS,
    Record,
    card_summary,
    judged_record,
    spent_record,
    stranger_record,
    summaries,
)
from explorer.evaluation.scorecard_page import page
from explorer.evaluation.trainings import Plan, Task, folds_of, kept, read_cells, run_all, write_plan
from explorer.flow import IntArray
from explorer.mapping.corridor import versions
from explorer.mapping.learning import Annotated
from explorer.methods import METHODS
from explorer.progress import Progress
from explorer.reading.kinds import require_learnable
from explorer.reference import open_reference, write_card
from explorer.writing.export import require_writable

CONSENSUS_TITLE = "Consensus"
SCORECARD, PAGE = "scorecard.json", "scorecard.html"
ALL, NONE = "all", "none"


@dataclass(frozen=True)
class _Design:
    """Which trainings there are, and what they are of."""

    plan: Plan
    contenders: tuple[str, ...]
    seeds: tuple[int, ...]
    fold_of: IntArray
    folds: tuple[str, ...]
    judged: tuple[int, ...]              # folds whose cells the others can tell something of
    classes: Mapping[str, tuple[str, ...]]
    fold_without: Mapping[int, int]      # by code of a type: the fold that holds most of its cells
    too_few: Mapping[int, int]           # by code of a type: its cells in that fold

    def seeds_of(self, contender: str) -> tuple[int, ...]:
        return self.seeds[:1] if contender in DRAWS_NOTHING else self.seeds

    def tasks(self) -> list[Task]:
        """Batches first, seed by seed, so that the first scores are whole."""
        batches = [
            Task(name, seed, fold)
            for seed in self.seeds
            for fold in self.judged
            for name in self.contenders
            if seed in self.seeds_of(name)
        ]
        types = [
            Task(name, seed, fold, code)
            for seed in self.seeds
            for code, fold in self.fold_without.items()
            for name in self.contenders
            if seed in self.seeds_of(name)
        ]
        return batches + types

    def told(self, task: Task) -> str:
        """A training in words."""
        label = "" if task.without is None else f" and {self.classes[self.plan.levels[0]][task.without]}"
        return f"{title_of(task.contender)} without {self.folds[task.fold]}{label}, seed {task.seed}"


def evaluate(
    source: Path | str,
    output: Path | str,
    *,
    labels: Sequence[str],
    batch: str,
    methods: Sequence[str] = (ALL,),
    seeds: Sequence[int] = (0,),
    types: Sequence[str] = (ALL,),
    cells: int | None = None,
    preset: str = "balanced",
    settings: Mapping[str, str] | None = None,
    device: str = "auto",
    jobs: int = 1,
    into: Path | str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Leave batches and types out in turn, and write scorecard.json and scorecard.html.

    Parameters
    ----------
    source
        h5ad with counts, and label and batch columns in obs.
    output
        Folder for the scorecard, and for what each training answered; the same call goes on with what it holds.
    labels
        Label columns, the main one first. Types are left out of the main one.
    batch
        obs column. Each batch with labels is left out by itself; beyond twelve, several share a turn.
    methods
        Names of methods, or "all".
    types
        Labels of the main column, "all", or "none".
    cells
        Draw as many cells, in the same shares of batch and label; all if `None`.
    settings
        Single settings by name; each is taken by every method that has it.
    jobs
        Trainings at a time, each a process of its own.
    into
        A reference bundle whose card keeps the summary.

    Returns
    -------
    dict
        What scorecard.json holds.

    Raises
    ------
    OptionsProblem
        If a column, method, type or setting does not exist, or fewer than two batches have labels.
    ResourceProblem
        If a training failed; the others are kept.
    Cancelled
        From `progress`; finished trainings are kept.
    """
    progress, output, source = progress or Progress(), Path(output), Path(source)
    require_writable(output / SCORECARD)
    if into is not None:
        _require_same_labels(Path(into), labels)

    # 1. cells, folds and trainings
    plan = _plan(source, labels, batch, cells, preset, dict(settings or {}), device)
    annotated = read_cells(plan, progress.part("Reading cells", 0.0, 0.02))
    design = _design(plan, annotated, methods, seeds, types)
    write_plan(output, plan)

    # 2. every training that is not there yet
    tasks = [task for task in design.tasks() if kept(output, task, plan) is None]
    span = progress.part("", 0.02, 0.95)
    span.skip(1 - len(tasks) / len(design.tasks()))
    done = 1 - len(tasks) / len(design.tasks())
    failed = list(run_all(output, tasks, jobs, design.told, span.part("", done, 1.0)))
    if failed:
        told = "; ".join(f"{design.told(task)}: {reason}" for task, reason in failed[:5])
        raise ResourceProblem(
            f"{len(failed)} of {len(tasks)} trainings failed ({told}). The others are kept in {output}: run the same "
            "command again for those that are missing, with other --methods if one cannot learn from these cells."
        )

    # 3. scores, each batch calibrated by the others
    scorecard = _scorecard(output, design, annotated, progress.part("Scoring", 0.95, 0.98))

    # 4. what a person and a program can read
    progress.part("Writing", 0.98, 1.0)(0.0)
    (output / SCORECARD).write_text(json.dumps(scorecard, indent=1), encoding="utf-8")
    (output / PAGE).write_text(page(scorecard), encoding="utf-8")
    if into is not None:
        reference = open_reference(into)
        write_card(reference.folder, {**reference.card, "evaluation": card_summary(scorecard)})
    progress(1.0)
    return scorecard


def _plan(
    source: Path,
    labels: Sequence[str],
    batch: str,
    cells: int | None,
    preset: str,
    settings: dict[str, str],
    device: str,
) -> Plan:
    if not source.is_file():
        raise OptionsProblem(f"{source} is no file. Name an h5ad file with labels and batches.")
    if cells is not None and cells < 1:
        raise OptionsProblem(f"--cells is a whole number, 1 or more; not {cells}.")
    with source.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    levels = tuple(dict.fromkeys(labels))
    return Plan(str(source.resolve()), checksum, levels, batch, cells, preset, settings, device, versions())


def _design(
    plan: Plan, annotated: Annotated, methods: Sequence[str], seeds: Sequence[int], types: Sequence[str]
) -> _Design:
    fold_of, folds = folds_of(annotated)
    judged = _judged(annotated, fold_of, len(folds))
    chosen = _methods(annotated, methods)
    _require_known_settings(plan, chosen)
    level = plan.levels[0]
    codes, classes = annotated.codes(level), annotated.classes(level)
    missing = [name for name in types if name not in (ALL, NONE, *classes)]
    if missing:
        raise OptionsProblem(f"There is no type {missing[0]!r} in {level!r}; it has: {', '.join(classes)}.")
    asked = range(len(classes)) if ALL in types else [i for i, name in enumerate(classes) if name in types]
    fold_without, too_few = {}, {}
    for code in asked:
        sizes = np.bincount(fold_of[(codes == code) & (fold_of >= 0)], minlength=len(folds))
        fold = max(judged, key=lambda each: sizes[each])
        others = int(((codes >= 0) & (codes != code) & (fold_of == fold)).sum())
        left = np.unique(codes[(codes >= 0) & (codes != code) & (fold_of != fold)])
        if min(sizes[fold], others) >= LEAST_STRANGERS and len(left) > 1:
            fold_without[code] = fold
        else:
            too_few[code] = int(sizes[fold])
    by_level = {each: annotated.classes(each) for each in plan.levels}
    contenders = (*chosen, *BASELINES)
    drawn = tuple(dict.fromkeys(seeds))
    return _Design(plan, contenders, drawn, fold_of, folds, judged, by_level, fold_without, too_few)


def _judged(annotated: Annotated, fold_of: IntArray, n_folds: int) -> tuple[int, ...]:
    """Folds that hold cells, at every level, of labels that the cells left in have; of at least two labels.

    Raises
    ------
    OptionsProblem
        If they are fewer than two: nothing could be left out and calibrated by the others.
    """
    found = []
    for fold in range(n_folds):
        out = fold_of == fold
        kept = [(np.unique(codes[~out & (codes >= 0)]), codes[out]) for codes in map(annotated.codes, annotated.levels)]
        if all(len(known) > 1 and np.isin(codes, known).any() for known, codes in kept):
            found.append(fold)
    if len(found) < 2:
        raise OptionsProblem(
            f"{len(found)} of {n_folds} batches can be labelled by the others: batches share too few labels at "
            f"{', '.join(annotated.levels)}. At least 2 are needed; name other --labels or another --batch."
        )
    return tuple(found)


def _methods(annotated: Annotated, methods: Sequence[str]) -> tuple[str, ...]:
    """The methods asked for; of all, those that can learn from these cells."""
    names = annotated.genes[keys.SYMBOL].to_numpy(object)
    if ALL in methods:
        return tuple(name for name, each in METHODS.items() if annotated.kind in each.card.builds_from)
    for name in methods:
        if name not in METHODS:
            raise OptionsProblem(f"There is no method {name!r}; choose among: {', '.join(METHODS)}, or all.")
        card = METHODS[name].card
        require_learnable(card.title, card.builds_from, annotated.kind, names)
    return tuple(dict.fromkeys(methods))


def _require_known_settings(plan: Plan, methods: Sequence[str]) -> None:
    """Each setting must be one of some method's, and have a value that the method takes."""
    taken = set()
    for name in methods:
        recipe = plan.recipe(name, 0)
        taken |= set() if recipe is None else plan.settings.keys() & vars(recipe.config).keys()
    for setting in plan.settings.keys() - taken:
        first = METHODS[methods[0]]
        tuned(first.config_type.named(plan.preset), first.card.title, {setting: plan.settings[setting]})


def _require_same_labels(folder: Path, labels: Sequence[str]) -> None:
    reference = open_reference(folder)
    if labels[0] not in reference.levels:
        raise ReferenceProblem(
            f"{reference.title} has no labels {labels[0]!r}; it has: {', '.join(reference.levels)}. A scorecard is "
            "kept with a reference of the same labels: name another with --into, or leave it out."
        )


def _scorecard(output: Path, design: _Design, annotated: Annotated, progress: Progress) -> dict[str, Any]:
    records: list[Record] = []
    strangers: list[Record] = []
    measures = Measures(annotated, design.fold_of)
    for i, seed in enumerate(design.seeds):
        for j, level in enumerate(design.plan.levels):
            progress((i + j / len(design.plan.levels)) / len(design.seeds))
            found = _of_seed(output, design, measures, seed, level)
            records += found[0]
            strangers += found[1]
    levels = list(design.plan.levels)
    return {
        "levels": levels,
        "classes": {level: list(design.classes[level]) for level in levels},
        "left_out": [design.folds[fold] for fold in design.judged],
        "summaries": summaries(records, strangers),
        "records": records,
        "types": strangers,
        "types_with_too_few_cells": {design.classes[levels[0]][c]: n for c, n in design.too_few.items()},
        "provenance": {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "file": Path(design.plan.source).name,
            "checksum": design.plan.checksum,
            "cells": annotated.cells.n_cells,
            "drawn": design.plan.cells is not None,
            "batch": design.plan.batch,
            "seeds": list(design.seeds),
            "preset": design.plan.preset,
            "settings": design.plan.settings,
            "versions": design.plan.versions,
        },
    }


def _of_seed(
    output: Path, design: _Design, measures: Measures, seed: int, level: str
) -> tuple[list[Record], list[Record]]:
    """Records of all contenders and of their consensus, for one seed and level."""
    records: list[Record] = []
    strangers: list[Record] = []
    codes = measures.annotated.codes(level)
    answers: dict[str, list[Asked]] = {}
    spent: dict[str, list[Record]] = {}
    measured: list[Measured] = []  # the same cells for every contender
    for name in design.contenders:
        own = seed if seed in design.seeds_of(name) else design.seeds[0]
        learned = [_kept(output, Task(name, own, fold), design) for fold in design.judged]
        own_answers = [each.answers[level] for each in learned]
        if not measured:
            by_fold = zip(own_answers, design.judged, strict=True)
            measured = [measures.of(each.rows, level, fold) for each, fold in by_fold]
        answers[name] = [_asked(name, *each) for each in zip(own_answers, measured, strict=True)]
        spent[name] = [spent_record(each.spent, each.mixing) for each in learned]
    voices = [name for name in design.contenders if name in METHODS or name == LOGISTIC]
    for at, fold in enumerate(design.judged):
        labelled = int(((codes >= 0) & (design.fold_of == fold)).sum())
        judged = {name: crossed(each, at) for name, each in answers.items()}
        about = {"level": level, "seed": seed, "left_out": design.folds[fold]}
        for name, (asked, others, calibration) in judged.items():
            told = {"head": calibration.head, "uncounted": labelled - len(asked.codes)}
            records.append({**_named(name), **about, **told, **judged_record(asked, others), **spent[name][at]})
        asked, others = consensus([judged[n][0] for n in voices], [judged[n][1] for n in voices])
        told = {"head": CONSENSUS, "uncounted": labelled - len(asked.codes)}
        records.append({**_named(CONSENSUS), **about, **told, **judged_record(asked, others)})
        if level == design.plan.levels[0]:
            strangers += _strangers(output, design, measures, seed, fold, judged, voices)
    return records, strangers


def _strangers(
    output: Path,
    design: _Design,
    measures: Measures,
    seed: int,
    fold: int,
    judged: Mapping[str, Any],
    voices: Sequence[str],
) -> list[Record]:
    """Records of the types that are left out together with one fold."""
    found = []
    level = design.plan.levels[0]
    for code in (code for code, where in design.fold_without.items() if where == fold):
        about = {"level": level, "seed": seed, "left_out": design.folds[fold], "type": design.classes[level][code]}
        asked: dict[str, Judged] = {}
        measured: Measured | None = None  # the same cells for every contender
        for name in design.contenders:
            own = seed if seed in design.seeds_of(name) else design.seeds[0]
            answers = _kept(output, Task(name, own, fold, code), design).answers[level]
            measured = measured or measures.of(answers.rows, level, fold, code)
            asked[name] = judged[name][2].applied(_asked(name, answers, measured))
            found.append({**_named(name), **about, **stranger_record(asked[name], code)})
        together, _ = consensus([asked[name] for name in voices], [judged[name][1] for name in voices])
        found.append({**_named(CONSENSUS), **about, **stranger_record(together, code)})
    return found


def _asked(contender: str, answers: Answers, measured: Measured) -> Asked:
    """The neighbourhood of principal components has a distance of its own."""
    return Asked(answers, None if contender == NEIGHBORHOOD else measured)


def _kept(output: Path, task: Task, design: _Design) -> Any:
    found = kept(output, task, design.plan)
    if found is None:
        raise ResourceProblem(
            f"What was learned by {design.told(task)} is gone from {output}. Is the disk full, or the folder shared "
            "with another run? Run the same command again."
        )
    return found


def _named(contender: str) -> Record:
    return {"contender": contender, "title": CONSENSUS_TITLE if contender == CONSENSUS else title_of(contender)}
