"""Several methods on one query, and what they say together.

Maps by one method after the other, asks the regression on expression where the reference has one, and pools all
answers. Results that were read back from files can be pooled as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.agreement import LEAST_VOICES, Voice, consensus
from explorer.consensus import AgreedResult, Consensus
from explorer.doubt.conformal import prediction_sets
from explorer.doubt.nesting import Nested, nesting
from explorer.errors import GenesProblem, OptionsProblem
from explorer.flow import UNKNOWN_CONFIDENCE, FloatArray, LabelTransfer, LevelLabels, MappingResult, Query, Reference
from explorer.keys import SYMBOL
from explorer.mapping.corridor import map_query
from explorer.mapping.expression_model import NAME, TITLE, ExpressionLevel, ExpressionModel, read_expression_model
from explorer.mapping.left_out import left_out_answers
from explorer.mapping.levels import LEFT_OUT_BATCHES
from explorer.methods import METHODS
from explorer.progress import Progress
from explorer.reading.genes import aligned_blocks, coverage, match_genes, require_coverage
from explorer.reference import label_codes, method_folder

ALL = "all"


def map_all(
    query: Query,
    reference: Reference,
    methods: Sequence[str] = (ALL,),
    *,
    hierarchical: bool = False,
    independent: bool = False,
    unknown: str = LEFT_OUT_BATCHES,
    batch: str | None = None,
    proteins: str | None = None,
    orthologs: bool = False,
    device: str = "auto",
    notices: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> AgreedResult:
    """Map a query by several methods of a reference, each as it was trained, and find their consensus.

    Parameters
    ----------
    methods
        Names, or "all" for every method of the reference. The regression on expression speaks along where the
        reference has one.
    hierarchical, independent, unknown, batch, proteins, orthologs, device, notices
        As `map_query` takes them.

    Raises
    ------
    OptionsProblem
        If fewer than two voices are left, or a column does not exist.
    ReferenceProblem
        If the reference does not hold one of the methods.
    GenesProblem
        If the query holds too few genes of one of the methods.
    Cancelled
        From `progress`, within one block of cells.
    """
    progress = progress or Progress()
    names = named_methods(reference, methods)
    model = read_expression_model(reference)
    if len(names) + (model is not None) < LEAST_VOICES:
        raise OptionsProblem(
            f"A consensus needs at least two methods; of {reference.title} only {names[0]} would speak. Name another "
            f"of its methods ({', '.join(reference.methods)}), or add one with: atlas-explorer build"
        )
    share = 1 / (len(names) + 1)
    results = tuple(
        map_query(
            query,
            reference,
            name,
            hierarchical=hierarchical,
            independent=independent,
            unknown=unknown,
            batch=batch,
            proteins=proteins,
            orthologs=orthologs,
            device=device,
            notices=notices,
            progress=progress.part("", at * share, (at + 1) * share),
        )
        for at, name in enumerate(names)
    )
    said: LabelTransfer | None = None
    told: tuple[str, ...] = (_NO_REGRESSION,)
    if model is not None:
        asking = progress.part(TITLE, 1 - share, 1.0)
        said, told = ask_expression(query, reference, model, orthologs=orthologs, progress=asking)
    progress(1.0)
    return AgreedResult(results, said, agree(results, reference, said, notices=told))


_NO_REGRESSION = (
    "The reference holds no regression on expression, which therefore does not speak. It is fitted when a method is "
    "added: atlas-explorer build"
)


def named_methods(reference: Reference, methods: Sequence[str]) -> tuple[str, ...]:
    """The methods that are meant, each once, in the order of the reference if all are.

    Raises
    ------
    ReferenceProblem
        If the reference does not hold one of them.
    """
    named = reference.methods if ALL in methods else tuple(dict.fromkeys(methods))
    for name in named:
        method_folder(reference, name)
    return named


def agree(
    results: Sequence[MappingResult],
    reference: Reference,
    expression: LabelTransfer | None = None,
    *,
    notices: tuple[str, ...] = (),
) -> Consensus:
    """What results of several methods say together, mapped just now or read back from files.

    Parameters
    ----------
    results
        Of the same cells, each by another method of the reference.
    expression
        From `ask_expression`, to speak along.
    notices
        What belongs into the record.

    Raises
    ------
    OptionsProblem
        If fewer than two voices are left, or they speak of different cells.
    ReferenceProblem
        If the reference does not hold one of the methods, or a refitted model behind a result is no longer kept.
    """
    if not results:
        raise OptionsProblem("No results were given. Map the file by at least one method first.")
    voices = [_voice(result, reference) for result in results]
    if expression is not None:
        model = read_expression_model(reference)
        kept = {} if model is None else {of.level: of.examined for of in model.levels}
        voices.append(Voice(NAME, TITLE, expression, kept, tells_novelty=False))
    independent = any(result.provenance.options.get("independent", False) for result in results)
    return consensus(voices, {} if independent else _nested(voices[0].labels, reference), notices)


def ask_expression(
    query: Query,
    reference: Reference,
    model: ExpressionModel,
    *,
    orthologs: bool = False,
    progress: Progress | None = None,
) -> tuple[LabelTransfer | None, tuple[str, ...]]:
    """Labels of a query by the regression on expression, a block of cells at a time.

    It has no neighbours and knows no distances: disagreement, novelty and stretch are NaN, a cell is unknown if its
    confidence is below 0.5.

    Returns
    -------
    labels
        `None` if the query holds too few of its genes.
    notices
        What was found of its genes, or why it does not speak, one sentence each.

    Raises
    ------
    ValuesProblem
        If a block of the file holds NaN, infinite or negative values.
    Cancelled
        From `progress`, within one block of cells.
    """
    progress = progress or Progress()
    positions = model.positions(reference.genes[SYMBOL].to_numpy(object))
    match = match_genes(query.var, reference.genes, orthologs=orthologs)
    try:
        told = require_coverage(coverage(match, reference.genes, positions), match)
    except GenesProblem as problem:
        return None, (f"{TITLE} does not speak: {problem}",)
    found = match.found[positions]
    answers: dict[str, list[FloatArray]] = {of.level: [] for of in model.levels}
    done = 0
    for block in aligned_blocks(query, match, positions):
        logged = block.log1p()
        for of in model.levels:
            answers[of.level].append(of.probabilities(logged, found))
        done += block.n_cells
        progress(done / query.n_cells)
    levels = tuple(_as_labels(of, np.concatenate(answers[of.level])) for of in model.levels)
    return LabelTransfer(levels), tuple(f"{TITLE}: {notice}" for notice in told)


def _as_labels(of: ExpressionLevel, probabilities: FloatArray) -> LevelLabels:
    confidence = probabilities.max(1)
    silent = np.full(len(probabilities), np.nan, np.float32)
    return LevelLabels(
        level=of.level,
        classes=of.classes,
        codes=probabilities.argmax(1).astype(np.int32),
        probabilities=probabilities,
        confidence=confidence,
        disagreement=silent,
        novelty=silent,
        stretch=silent,
        unknown=confidence < UNKNOWN_CONFIDENCE,
        sets=prediction_sets(probabilities, of.examined),
    )


def _voice(result: MappingResult, reference: Reference) -> Voice:
    """A result, and what the heads behind it answered to left-out cells."""
    title = METHODS[result.method].card.title if result.method in METHODS else result.method
    return Voice(result.method, title, result.labels, left_out_answers(reference, result))


def _nested(labels: LabelTransfer, reference: Reference) -> dict[str, Nested]:
    codes = {of.level: label_codes(reference, of.level, of.classes) for of in labels.levels}
    return nesting(codes, {of.level: len(of.classes) for of in labels.levels})
