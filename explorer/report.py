"""Files, references and results in a few lines of plain text, for a shell or a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from explorer import keys
from explorer.agreement import disputed_labels
from explorer.asking.explaining import Asked
from explorer.beside import Signal, Verdict
from explorer.consensus import AgreedResult
from explorer.doubt.conformal import COVERAGE
from explorer.doubt.examined import Examined
from explorer.doubt.trade import Trade, estimate_note
from explorer.errors import GenesProblem
from explorer.flow import UNKNOWN_CONFIDENCE, LabelTransfer, LevelLabels, MappingResult, Query, Reference
from explorer.insight.metrics import METRICS
from explorer.insight.quality import Quality
from explorer.insight.unknowns import Unknowns
from explorer.insight.verdict import unsaid
from explorer.mapping.levels import QUANTILE
from explorer.mapping.models import load_method
from explorer.mapping.panels import way_out
from explorer.methods.base import INSTANT
from explorer.reading.genes import coverage, match_genes, require_coverage
from explorer.reading.kinds import are_peaks
from explorer.reading.proteins import LEFT_OUT, NEAREST, agreement
from explorer.reading.query import Inspection
from explorer.reading.values import kind_in_words

BETTER = {"higher": "higher", "lower": "lower", "expected": "as by chance"}


def describe_reference(reference: Reference) -> str:
    """What a bundle holds, and how well its methods did on left-out batches."""
    card = reference.card
    cells = f"{reference.n_cells:,} {card['organism']} cells".replace("  ", " ")  # the organism may not be stated
    features = "peaks" if are_peaks(reference.genes[keys.SYMBOL].to_numpy(object)) else "genes"
    lines = [
        f"{reference.title}: {cells}, {len(reference.genes):,} {features}",
        f"  labels   {', '.join(f'{level} ({reference.obs[level].nunique()})' for level in reference.levels)}",
        f"  batch    {card['batch'] or 'none'}",
        f"  checksum {reference.checksum[:12]} (all files verified)",
    ]
    if reference.proteins:
        lines.insert(3, f"  proteins {', '.join(reference.proteins)}")
    lines += [_added_line(added) for added in card.get("extended", ())]
    for name, summary in card["methods"].items():
        by = f"{summary['genes']:,} genes" + (" and proteins" if summary.get("proteins") else "")
        lines.append(f"  {name} ({summary['preset']}, {by}), on left-out batches:")
        lines += [_score_line(level, scores) for level, scores in summary["scores"].items()]
        if by_rna := summary.get("scores_by_rna"):
            lines.append("    placed by RNA alone:")
            lines += [_score_line(level, scores) for level, scores in by_rna.items()]
    if (regression := card.get("expression")) is not None:
        title, genes = regression["title"].lower(), regression["genes"]
        lines.append(f"  expression ({title}, {genes:,} genes), on left-out batches:")
        lines += [_score_line(level, scores) for level, scores in regression["scores"].items()]
    return "\n".join([*lines, *_evaluation_lines(card.get("evaluation"))])


def _added_line(added: Mapping[str, Any]) -> str:
    """Cells that a user has added, and what they are called."""
    named = ", ".join(f"{label} ({count:,} cells)" for label, count in added["cells"].items())
    return f"  added    {named} at {added['level']}, of {added['from']}, {added['date'][:10]}"


def _evaluation_lines(found: Mapping[str, Any] | None) -> list[str]:
    """The scorecard that a card keeps, the highest macro-F1 first."""
    if found is None:
        return []
    ordered = sorted(found["contenders"].values(), key=lambda row: -row["macro_f1"])
    lines = [
        f"  scorecard of {found['created'][:10]}: {found['cells']:,} cells of {found['file']}, {found['level']}, "
        f"{ordered[0]['batches']} left-out batches, seeds {', '.join(map(str, found['seeds']))}"
    ]
    for row in ordered:
        novelty = "" if row["auroc_stretch"] is None else f"  novelty AUROC {row['auroc_stretch']:.3f}"
        lines.append(
            f"    {row['title']:<20} macro-F1 {row['macro_f1']:.3f}  accuracy {row['accuracy']:.3f}  calibration error "
            f"{row['pooled_calibration_error']:.3f}{novelty}"
        )
    return lines


def _score_line(level: str, scores: Mapping[str, Any]) -> str:
    return (
        f"    {level:<16} accuracy {scores['accuracy']:.3f}  macro-F1 {scores['macro_f1']:.3f}  "
        f"calibration error {scores['calibration_error']:.3f}  ({_choice_in_words(scores)})"
    )


def _choice_in_words(scores: Mapping[str, Any]) -> str:
    """Which head gives the labels, and why that one."""
    told = f"{scores['head']} head"
    if "next" not in scores:
        return told
    if scores["batches"] == 1:
        return f"{told}, taken because there is no batch to leave out: a random fifth cannot tell which is best"
    return f"{told}, {scores['ahead']:.3f} macro-F1 ahead of {scores['next']}"


def describe_quality(found: Sequence[Quality]) -> str:
    """Measures of several methods side by side, with what each should be."""
    titles = pd.DataFrame({name: (metric.title, BETTER[metric.better]) for name, metric in METRICS.items()}).T
    values = pd.DataFrame({one.of: {each.name: each.value for each in one.measured} for one in found})
    expected = pd.DataFrame({one.of: {each.name: each.expected for each in one.measured} for one in found}).mean(axis=1)
    table = titles.join(values, how="right").join(expected.rename("by chance"))
    table = table.rename(columns={0: "measure", 1: "better"}).reindex([name for name in METRICS if name in table.index])
    lines = table.to_string(index=False, float_format="{:.3f}".format, na_rep="", justify="right")
    notes = dict.fromkeys(f"  note     {one.of}: {note}" for one in found for note in one.notes)
    return "\n".join([f"labels {found[0].level}, {found[0].cells:,} cells, seed {found[0].seed}", lines, *notes])


def describe_file(found: Inspection) -> str:
    """What an h5ad file holds, from its tables and a sample of its values."""
    matrices = ", ".join(f"{matrix.name} ({kind_in_words(matrix.kind)})" for matrix in found.matrices)
    columns = ", ".join(f"{column.name} ({column.n_unique})" for column in found.obs_columns)
    lines = [
        f"{found.name}: {found.n_cells:,} cells, {found.n_genes:,} genes, {found.size_bytes / 1e6:.1f} MB",
        f"  matrices {matrices}; {found.chosen.name} would be used",
        f"  obs      {columns or 'no columns'}",
    ]
    return "\n".join([*lines, *(f"  note     {notice}" for notice in found.notices)])


def describe_fit(query: Query, reference: Reference) -> str:
    """Whether a query could be mapped onto a reference; methods of which the same is to be said share a line."""
    methods_told: dict[str, list[str]] = {}
    for name in reference.methods:
        try:
            match = match_genes(query.var, reference.genes)
            found = coverage(match, reference.genes, load_method(reference, name, "cpu").positions)
            require_coverage(found, match, way_out=way_out(query, reference, match))
            verdict = (
                f"can be mapped: {found.found:,} of {found.needed:,} genes ({found.share:.0%}; "
                f"{found.weighted_share:.0%} by expression), {match.ids}, {match.species}"
            )
        except GenesProblem as problem:
            verdict = f"cannot be mapped: {problem}"
        methods_told.setdefault(verdict, []).append(name)
    return "\n".join(f"  {reference.title} / {', '.join(names)}: {told}" for told, names in methods_told.items())


def describe_result(
    result: MappingResult, batch: str | None = None, examined: Mapping[str, Examined] | None = None
) -> str:
    """Cells of each label, how sure, how novel; by batch where one is named.

    Parameters
    ----------
    examined
        Answers to left-out cells by label level: says how right labels are at a threshold that was raised.
    """
    labels = result.labels.first
    table = pd.DataFrame(
        {
            "label": labels.labels,
            "confidence": labels.confidence,
            "novelty": labels.novelty,
            "distance_ratio": labels.stretch,
            "unknown": labels.unknown,
        }
    )
    summary = table.groupby("label").agg(
        cells=("label", "size"),
        confidence=("confidence", "median"),
        novelty=("novelty", "median"),
        distance_ratio=("distance_ratio", "median"),
        unknown=("unknown", "sum"),
    )
    found = result.provenance.coverage
    lines = [
        f"{result.provenance.query} on {result.provenance.reference} by {result.method}: {result.n_cells:,} cells in "
        f"{sum(result.provenance.seconds.values()):.1f} s, {found.found:,} of {found.needed:,} genes found; "
        f"{int(labels.unknown.sum()):,} cells unknown",
        summary.sort_values("cells", ascending=False).round(3).to_string(),
    ]
    if (panel := result.provenance.panel) is not None:
        lines.insert(1, f"model refitted on {len(panel.genes):,} shared genes; on left-out reference batches:")
        lines[2:2] = [_score_line(level, scores) for level, scores in panel.scores.items()]
    lines[1:1] = _mode_lines(result)
    lines += _doubt_lines(result)
    lines += _protein_lines(result)
    if batch is not None:
        by_batch = pd.crosstab(table["label"], result.obs[batch].astype(str).to_numpy())
        lines += [f"cells by {batch}:", by_batch.to_string()]
    lines += _verdict_lines(result.verdict, result.labels.first)
    lines += _threshold_lines(result.labels, examined or {}, result.verdict)
    return "\n".join([*lines, *(f"note: {notice}" for notice in result.provenance.notices)])


def _doubt_lines(result: MappingResult) -> list[str]:
    """Prediction sets by level; and the deepest level at which cells are labelled, where levels nest."""
    lines = []
    for level in result.labels.levels:
        held = level.sets.sum(1)
        lines.append(
            f"prediction sets at {level.level}, which hold the true label with a coverage of {COVERAGE:.0%}: "
            f"{(held == 1).mean():.1%} of cells have one label, {held.mean():.2f} labels on average"
        )
    if result.labels.within:
        deepest = result.labels.deepest
        counts = [(level.level, int((deepest == at).sum())) for at, level in enumerate(result.labels.levels)]
        told = ", ".join(f"{name} ({count:,} cells)" for name, count in counts if count)
        none = int((deepest < 0).sum())
        lines.append(f"deepest level with a label: {told or 'none'}" + (f"; {none:,} cells at none" if none else ""))
    return lines


def describe_agreement(agreed: AgreedResult) -> str:
    """Cells of each consensus label, how sure and how much agreed upon; who agrees with whom, and where not."""
    found = agreed.consensus
    first, level = found.first, found.first.labels.level
    whole = int((first.codes == first.codes[0]).all(0).sum())
    n, provenance = len(agreed.obs), agreed.results[0].provenance
    lines = [
        f"{provenance.query} on {provenance.reference} by {len(found.voices)} methods: {n:,} cells, {whole:,} of them "
        f"({whole / n:.0%}) labelled alike by all at {level}; {int(first.labels.unknown.sum()):,} cells unknown"
    ]
    if first.scores:
        lines += [
            f"on left-out reference batches: accuracy {first.scores['accuracy']:.3f}, macro-F1 "
            f"{first.scores['macro_f1']:.3f}, calibration error {first.scores['calibration_error']:.3f}"
        ]
    sure = pd.Series(first.labels.confidence).groupby(first.labels.labels).median().rename("confidence")
    lines.append(disputed_labels(first).set_index("label").join(sure).round(3).to_string())
    kappa = pd.DataFrame(first.kappa, list(found.voices), list(found.voices))
    kappa.insert(0, "weight", first.weights)
    lines += ["weight of each method in the consensus, and Cohen's kappa with the others:", kappa.round(2).to_string()]
    lines += _verdict_lines(found.verdict, first.labels)
    signals = [(result.method, result.verdict.signal) for result in agreed.results if result.verdict is not None]
    if signals:
        lines.append(f"  by method: {', '.join(f'{method} {signal}' for method, signal in signals)}")
    examined = {level.labels.level: level.examined for level in found.levels if level.examined is not None}
    lines += _threshold_lines(found.labels, examined, found.verdict)
    told = dict.fromkeys([*(note for result in agreed.results for note in result.provenance.notices), *found.notices])
    return "\n".join([*lines, *(f"note: {notice}" for notice in told)])


def describe_signature(asked: Asked, n: int = 20) -> str:
    """What was asked of which cells, what the scores mean, how far they can be trusted, and the highest of them."""
    found = asked.signature
    error = "has no completeness error" if np.isnan(found.error) else f"completeness error {found.error:.3g}"
    lines = [
        f"{len(asked.rows):,} {asked.cells}: by what they point toward {found.toward}",
        f"{asked.measure.name} of each {found.of}; {error}",
        f"  {asked.measure.summary}",
        *([f"  {found.note}"] if found.note else []),
        found.top(n).to_string(index=False, float_format=lambda score: f"{score:.4g}"),
    ]
    return "\n".join(lines)


def describe_unknowns(found: Unknowns) -> str:
    """Each group of cells without a label: how many, near what, from where, marked by what, and what it may be."""
    table = found.table.set_index("name")
    shown = table[["cells", "nearest", "nearest_share", "confidence", "samples", "markers"]]
    shown = shown.drop(columns="samples") if found.by_sample is None else shown
    lines = [f"{len(found.rows):,} of {found.n_cells:,} cells in {len(found.names)} groups", shown.round(2).to_string()]
    return "\n".join([*lines, *(f"{name}: {told}" for name, told in table["suggestion"].items())])


def _threshold_lines(
    labels: LabelTransfer, examined: Mapping[str, Examined], verdict: Verdict | None
) -> list[str]:
    """What a threshold that was raised costs and buys at each level, and what that is estimated on."""
    if labels.first.threshold == UNKNOWN_CONFIDENCE:
        return []
    lines = [f"{of.level}: {Trade.of(of, examined.get(of.level)).sentence}" for of in labels.levels]
    is_bad = verdict is not None and verdict.signal is Signal.BAD
    return [*lines, f"  {estimate_note(examined.get(labels.first.level), is_bad)}"]


def _verdict_lines(verdict: Verdict | None, labels: LevelLabels) -> list[str]:
    """Whether the mapping can be trusted as a whole; why not, and what to try, where it cannot."""
    if verdict is None:
        return []
    lines = [f"verdict: {verdict.signal}. {verdict.summary}"]
    lines += [f"  {light.name}, {light.signal}: {light.reason}" for light in verdict.lights
              if light.signal is not Signal.GOOD]  # fmt: skip
    lines += [f"  also: {cause}" for cause in verdict.causes[1:]]
    lines += [f"  try: {way}" for way in verdict.advice]
    return lines + [f"  {sentence}" for sentence in unsaid(len(labels.codes), labels.threshold)]


def _protein_lines(result: MappingResult) -> list[str]:
    """What was told of surface proteins; beside the query's own counts, where it has any."""
    if result.proteins is None:
        return []
    told = f"{len(result.proteins.names)} surface proteins imputed from the {NEAREST} nearest reference cells"
    found = {name: r for name, r in agreement(result.proteins).items() if np.isfinite(r)}
    if not found:
        return [told]
    placed = result.provenance.options.get("proteins", LEFT_OUT) != LEFT_OUT
    each = ", ".join(f"{name} {r:.2f}" for name, r in sorted(found.items(), key=lambda of: -of[1]))
    return [
        f"{told}, of cells placed by {'RNA and these proteins' if placed else 'RNA alone'}; Pearson's r against the "
        f"query's own counts: median {np.median(list(found.values())):.2f} ({each})"
    ]


def _mode_lines(result: MappingResult) -> list[str]:
    """How the mapping was asked for, where it was not the plain way; and the batches that the method describes."""
    options = result.provenance.options
    told = [f"mode {options['mode']}"] if options.get("mode", INSTANT.name) != INSTANT.name else []
    if options.get("hierarchical", False):
        told.append("coarse levels labelled first")
    if options.get("independent", False):
        told.append("each level labelled by itself")
    if options.get("unknown") == QUANTILE:
        told.append("unknown beyond the 99 % quantile of held-out cells")
    lines = ["; ".join(told)] if told else []
    for condition in result.conditions:
        own = ", ".join(map(str, condition.names[condition.from_query]))
        others = int((~condition.from_query).sum())
        lines.append(f"described {condition.column}: {own} beside {others} of the reference")
    return lines
