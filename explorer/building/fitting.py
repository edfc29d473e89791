"""The reference corridor: from an annotated file to a bundle that queries can be mapped onto.

What a bundle says of its own quality is measured with whole batches left out: for each of them the method is
trained on the rest and the batch is mapped like a query. The same held-out cells choose the transfer head,
calibrate its probabilities and say how strange to their label cells may be.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explorer import keys
from explorer.building.tuning import Setting, tuned
from explorer.building.unfinished import Unfinished
from explorer.doubt.calibration import Bases, HeldOut, examine, level_head, pooled
from explorer.doubt.labels import LevelHead, own_answers
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import AlignedCells, Embedding, FloatArray, IntArray, Reference
from explorer.layout import reference_layout
from explorer.mapping.corridor import NEIGHBORS, versions
from explorer.mapping.expression_model import TITLE, expression_summary, fit_missing, write_expression_model
from explorer.mapping.learning import Annotated, read_annotated
from explorer.methods import METHODS
from explorer.methods.base import Config, Method, takes_proteins
from explorer.methods.common import device_named
from explorer.progress import Progress
from explorer.reading.kinds import require_learnable
from explorer.reading.matching import KnownGenes
from explorer.reading.proteins import LEFT_OUT
from explorer.reference import open_reference, write_card, write_cells, write_heads
from explorer.writing.export import require_writable

MOST_FOLDS = 5


@dataclass(frozen=True)
class Recipe:
    """Which method is trained, how and where."""

    method: type[Method]
    config: Config
    device: torch.device


@dataclass(frozen=True)
class Fitted:
    """A method trained on annotated cells, and what mapping needs besides.

    Attributes
    ----------
    positions
        int64 (g,), the method's genes among those of the cells.
    embedding
        float32 (m, d), of the cells it was trained on.
    heads
        One a label level, chosen and calibrated on left-out batches.
    heads_by_rna
        The same for queries without proteins; empty for a method that does not place cells by proteins.
    """

    method: Method
    positions: NDArray[np.int64]
    embedding: FloatArray
    heads: tuple[LevelHead, ...]
    heads_by_rna: tuple[LevelHead, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Answers to left-out cells by label level, placed by all that was measured, and by RNA alone.

    Attributes
    ----------
    by_rna
        Empty for a method that does not place cells by proteins.
    """

    by_all: Mapping[str, HeldOut]
    by_rna: Mapping[str, HeldOut]


def build_reference(
    source: Path | str,
    out: Path | str,
    *,
    labels: tuple[str, ...],
    batch: str | None = None,
    sample: str | None = None,
    conditions: Sequence[str] = (),
    proteins: str | None = None,
    method: str = "concord",
    gene_sets: Sequence[str] = (),
    preset: str = "balanced",
    settings: Mapping[str, Setting] | None = None,
    seed: int = 0,
    device: str = "auto",
    about: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Reference:
    """Train a method on annotated cells and write a bundle, or add the method to one.

    Parameters
    ----------
    source
        h5ad with counts, and label columns in obs. It may be the cells.h5ad of the bundle itself.
    out
        Folder to write. If it already is a bundle over the same cells, the method is added or replaced.
    labels
        Label columns, the main one first.
    batch, sample
        obs columns: the technical batch, and the biological sample.
    conditions
        Further obs columns that a method may describe cells by, besides the batch: a donor, a treatment, a chemistry.
    proteins
        obsm table with named columns that holds counts of surface proteins. The first whose name tells of proteins is
        taken where none is named; "none" leaves them out.
    gene_sets
        For a method that reads cells by gene sets: GMT files, or names of collections that come with the program.
    settings
        Single settings of the method by their names, in place of the preset's; see its `Config`.
    about
        Texts for the card: title, organism, description, origin, licence.

    Raises
    ------
    OptionsProblem
        If a column, method, preset or setting does not exist, or `out` cannot be written to.
    ReferenceProblem
        If `out` holds something else.
    Cancelled
        From `progress`. What was learned in more than ten seconds lies in a folder beside `out`, called like it and
        ".unfinished"; the same call goes on from there, and then deletes it.
    """
    progress = progress or Progress()
    if method not in METHODS:
        raise OptionsProblem(f"There is no method {method!r}; choose one of: {', '.join(METHODS)}.")
    config = METHODS[method].config_type.named(preset, seed)
    if gene_sets:
        config = config.with_gene_sets(tuple(gene_sets))
    config = tuned(config, METHODS[method].card.title, settings or {})
    recipe = Recipe(METHODS[method], config, device_named(device))
    source, out = Path(source), Path(out)
    require_writable(out)
    started = perf_counter()

    # 1. cells, genes and labels, checked like any query
    levels = tuple(dict.fromkeys(labels))
    reading = progress.part("Reading cells", 0.0, 0.03)
    annotated = read_annotated(source, levels, batch, sample, reading, tuple(conditions), proteins)
    _require_learnable(annotated, recipe.method)
    existing = _existing(out, annotated)

    # 2. every batch left out in turn, then the model that queries will meet, trained on all cells
    unfinished = Unfinished.of_build(out.with_name(out.name + ".unfinished"), annotated, config)
    fitted = fit_examined(annotated, recipe, unfinished, progress.part("", 0.03, 0.9))

    # 3. a regression on expression, which belongs to the cells and to none of the methods
    fold_of, fitting = left_out_in(annotated, seed), progress.part(TITLE, 0.9, 0.94)
    regression = fit_missing(existing, annotated, fold_of, seed, fitting)

    # 4. the picture that queries will be placed in
    progress.part("Drawing the picture", 0.94, 0.99)(0.0)
    layout = reference_layout(fitted.embedding, seed)

    # 5. the bundle
    progress.part("Writing", 0.99, 1.0)(0.0)
    with _replacing(out, existing) as folder:
        if existing is None or (annotated.proteins and not existing.proteins):
            write_cells(folder, annotated.cells, annotated.genes, annotated.obs, annotated.proteins)
        place = folder / keys.METHODS_FOLDER / method
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        write_fitted(place, fitted)
        np.save(place / keys.LAYOUT_FILE, layout, allow_pickle=False)
        card = {} if existing is None else dict(existing.card)
        card = {**_described(annotated, out, batch, sample), **card, **(about or {})}
        if regression is not None:
            write_expression_model(folder, regression)
            card["expression"] = expression_summary(regression)
        card["proteins"] = card.get("proteins") or list(annotated.proteins)
        described_by = [condition.column for condition in annotated.conditions]
        summary = {**summary_of(recipe, fitted, perf_counter() - started), "batch": batch, "conditions": described_by}
        write_card(folder, {**card, "methods": {**card.get("methods", {}), method: summary}})
    unfinished.clear()
    progress(1.0)
    return open_reference(out)


def fit_examined(annotated: Annotated, recipe: Recipe, unfinished: Unfinished, progress: Progress) -> Fitted:
    """Leave every batch out in turn, to learn how good the answers are and how sure they may be; then train on all.

    Goes on with what is `unfinished`, and keeps what it learns there.
    """
    held_out = hold_out(annotated, recipe, unfinished, progress.part("Mapping left-out batches", 0.0, 0.82))
    training = progress.part("Training on all cells", 0.82, 0.99)
    method, positions = fit_method(
        annotated, np.arange(annotated.cells.n_cells), recipe, training, unfinished.folder
    )
    cells = annotated.cells.genes(positions)
    embedding = method.embed(cells, progress=progress.part("Embedding", 0.99, 1.0)).values
    fold_of = left_out_in(annotated, recipe.config.seed)
    bases = Bases.of(cells, fold_of, recipe.config.seed)
    by_all, by_rna = (
        _heads(annotated, each, embedding, cells, fold_of, bases) for each in (held_out.by_all, held_out.by_rna)
    )
    return Fitted(method, positions, embedding, by_all, by_rna)


def write_fitted(folder: Path, fitted: Fitted) -> None:
    """Write the model, the embedding and the heads into an existing folder."""
    fitted.method.save(folder)
    np.save(folder / keys.EMBEDDING_FILE, fitted.embedding, allow_pickle=False)
    write_heads(folder, fitted.heads)
    if fitted.heads_by_rna:
        (folder / keys.RNA_FOLDER).mkdir()
        write_heads(folder / keys.RNA_FOLDER, fitted.heads_by_rna)


def folds(batches: IntArray, seed: int) -> IntArray:
    """int32 (m,), which fold a cell is left out in: batches stay whole; without batches, a fifth of the cells."""
    n_batches = int(batches.max()) + 1
    if n_batches == 1:
        return np.random.default_rng(seed).permutation(len(batches)).astype(np.int32) % MOST_FOLDS
    sizes = np.bincount(batches)
    fold_of = np.zeros(n_batches, np.int32)
    filled = np.zeros(min(n_batches, MOST_FOLDS))
    for b in np.argsort(-sizes, kind="stable"):  # the largest batches first, each into the emptiest fold
        fold_of[b] = int(filled.argmin())
        filled[fold_of[b]] += sizes[b]
    return fold_of[batches]


def left_out_in(annotated: Annotated, seed: int) -> IntArray:
    """int32 (m,), which fold a cell is left out in: batches stay whole, but where all labels lie in one of them."""
    labelled = annotated.codes(annotated.levels[0]) >= 0
    batches = annotated.batches
    if len(np.unique(batches[labelled])) == 1:  # left out whole, nobody could tell what its cells are
        batches = np.zeros_like(batches)
    return folds(batches, seed)


def hold_out(annotated: Annotated, recipe: Recipe, unfinished: Unfinished, progress: Progress) -> LeftOut:
    """Train without each fold in turn and map it, with its proteins and without where they matter."""
    fold_of = left_out_in(annotated, recipe.config.seed)
    n_folds = int(fold_of.max()) + 1
    by_all, by_rna = unfinished.folds()
    progress.skip(len(by_all) / n_folds)
    for fold in range(len(by_all), n_folds):
        span = progress.part(f"{progress.stage} ({fold + 1} of {n_folds})", fold / n_folds, (fold + 1) / n_folds)
        rest, left_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        model, positions = fit_method(annotated, rest, recipe, span.part(span.stage, 0.0, 0.9), unfinished.folder)
        quiet = span.part(span.stage, 0.9, 1.0)
        cells = annotated.cells.genes(positions)
        left = cells.rows(left_out)
        reference = model.embed(cells.rows(rest), progress=quiet).values
        by_all.append(_examined(annotated, model.embed(left, progress=quiet), left_out, reference, rest))
        if takes_proteins(model):
            alone = model.embed(replace(left, proteins=None), progress=quiet)
            by_rna.append(_examined(annotated, alone, left_out, reference, rest))
        unfinished.keep(by_all, by_rna)
    return LeftOut(_by_level(by_all), _by_level(by_rna))


def _examined(
    annotated: Annotated,
    left: Embedding,
    left_out: NDArray[np.int64],
    reference: FloatArray,
    rest: NDArray[np.int64],
) -> dict[str, HeldOut]:
    found = {}
    for level in annotated.levels:
        codes = annotated.codes(level)
        n_classes = len(annotated.classes(level))
        own = own_answers(left, level, n_classes)
        found[level] = examine(
            left.values, codes[left_out], left_out, reference, codes[rest], n_classes, NEIGHBORS, own
        )
    return found


def _by_level(parts: Sequence[Mapping[str, HeldOut]]) -> dict[str, HeldOut]:
    return {level: pooled([part[level] for part in parts]) for level in parts[0]} if parts else {}


def fit_method(
    annotated: Annotated, rows: NDArray[np.int64], recipe: Recipe, progress: Progress, checkpoint: Path | None = None
) -> tuple[Method, NDArray[np.int64]]:
    """Choose genes on some of the cells only, and train on them.

    Parameters
    ----------
    rows
        Positions of the cells to learn from.
    checkpoint
        Folder in which the training keeps its state.

    Returns
    -------
    model
        The trained method.
    positions
        int64 (g,), the method's genes among the genes of `annotated`.
    """
    positions = annotated.informative(rows, recipe.config.n_genes)
    training = annotated.training(rows, positions)
    model = recipe.method.fit(
        training, recipe.config, device=recipe.device, progress=progress, checkpoint=checkpoint
    )
    return model, positions


def _heads(
    annotated: Annotated,
    held_out: Mapping[str, HeldOut],
    embedding: FloatArray,
    cells: AlignedCells,
    fold_of: IntArray,
    bases: Bases,
) -> tuple[LevelHead, ...]:
    return tuple(
        level_head(
            level,
            annotated.classes(level),
            held_out[level],
            embedding,
            cells,
            annotated.codes(level),
            fold_of,
            annotated.batches,
            bases,
        )
        for level in held_out
    )


def _require_learnable(annotated: Annotated, method: type[Method]) -> None:
    names = annotated.genes[keys.SYMBOL].to_numpy(object)
    require_learnable(method.card.title, method.card.builds_from, annotated.kind, names)


def _existing(out: Path, annotated: Annotated) -> Reference | None:
    """The bundle at `out` to which a method can be added, if there is one."""
    if not out.exists():
        return None
    existing = open_reference(out)
    same = (
        existing.n_cells == annotated.cells.n_cells
        and existing.levels == annotated.levels
        and list(existing.obs.index) == list(annotated.obs.index)
        and list(existing.genes[keys.SYMBOL]) == list(annotated.genes[keys.SYMBOL])
    )
    if not same:
        raise ReferenceProblem(
            f"{out} already holds another reference ({existing.title}, {existing.n_cells:,} cells, labels "
            f"{', '.join(existing.levels)}). Name another folder, or delete it first."
        )
    if annotated.proteins and existing.proteins not in ((), annotated.proteins):
        raise ReferenceProblem(
            f"{out} already holds these cells with other surface proteins ({', '.join(existing.proteins)}). Leave the "
            f"new ones out (--proteins {LEFT_OUT}), or name another folder."
        )
    return existing


@contextmanager
def _replacing(out: Path, existing: Reference | None) -> Iterator[Path]:
    """A folder to write into that takes the place of `out` only when all went well."""
    part, old = out.with_name(out.name + ".part"), out.with_name(out.name + ".old")
    shutil.rmtree(part, ignore_errors=True)
    if existing is None:
        part.mkdir(parents=True)
    else:
        shutil.copytree(out, part)
    try:
        yield part
        if existing is not None:
            shutil.rmtree(old, ignore_errors=True)
            out.rename(old)
        part.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if existing is not None and not out.exists():
            old.rename(out)
        shutil.rmtree(part, ignore_errors=True)


def _described(annotated: Annotated, out: Path, batch: str | None, sample: str | None) -> dict[str, Any]:
    species = KnownGenes.of(annotated.genes).species
    return {
        "title": out.stem,
        "organism": "" if species == "unknown" else species,
        "labels": list(annotated.levels),
        "batch": batch,
        "sample": sample,
        "cells": annotated.cells.n_cells,
        "genes": len(annotated.genes),
        "description": "",
        "origin": "",
        "licence": "",
        "colors": {},
    }


def scores_of(heads: tuple[LevelHead, ...]) -> dict[str, dict[str, Any]]:
    """How good the chosen head of each label level was on left-out batches, and by how much it won over the next."""
    return {
        head.level: {
            "head": head.head,
            **{key: head.scores[head.head][key] for key in ("accuracy", "macro_f1", "calibration_error", "cells")},
            **_choice_of(head),
        }
        for head in heads
    }


def _choice_of(head: LevelHead) -> dict[str, Any]:
    """Why this head: `ahead` of the `next` one in macro-F1, or because there was no batch to leave out."""
    others = {name: score["macro_f1"] for name, score in head.scores.items() if name != head.head}
    second = max(others, key=lambda name: others[name])
    ahead = round(head.scores[head.head]["macro_f1"] - others[second], 4)
    return {"next": second, "ahead": ahead, "batches": len(np.unique(head.examined.batches))}


def summary_of(recipe: Recipe, fitted: Fitted, seconds: float) -> dict[str, Any]:
    """What a card tells of a trained method: settings, and scores on left-out batches by label level."""
    return {
        "preset": recipe.config.preset,
        "seed": recipe.config.seed,
        "genes": len(fitted.positions),
        "proteins": takes_proteins(fitted.method),
        "scores": scores_of(fitted.heads),
        "scores_by_rna": scores_of(fitted.heads_by_rna),
        "device": str(recipe.device),
        "seconds": round(seconds, 1),
        "versions": versions(),
    }
