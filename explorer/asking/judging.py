"""Measures a mapping as a whole, for the verdict that needs no labels: a sample of cells beside the reference's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer import keys
from explorer.consensus import AgreedResult
from explorer.doubt.conformal import prediction_sets
from explorer.doubt.labels import LevelHead
from explorer.flow import AlignedCells, BoolArray, FloatArray, LevelLabels, MappingResult, Query, Reference, ValueKind
from explorer.insight.residuals import standing_out
from explorer.insight.verdict import TOLD_GENES, Batch, Measured, judge
from explorer.mapping import panels
from explorer.mapping.models import TrainedMethod, load_method
from explorer.neighbors import Index
from explorer.reading.genes import aligned_rows, match_genes
from explorer.reading.query import read_rows

LOOKED_AT = 2000      # cells; of more a seeded sample
LEAST_CELLS = 10      # to tell their expression
LEAST_BATCH = 10      # cells
PSEUDO = 0.1          # counts per 10,000, added before a logarithm
NEAREST = 15
WIDELY = 0.5          # of what stands out that another label must have to be called as high


@dataclass(frozen=True)
class _Sample:
    """Some cells of a query, over the model's genes.

    Attributes
    ----------
    rows
        int64 (s,), ascending.
    found
        bool (g,), genes that the query holds.
    value_range
        Median over cells of largest over smallest value; NaN for counts.
    """

    rows: NDArray[np.int64]
    cells: AlignedCells
    found: BoolArray
    value_range: float


def judged(
    query: Query, reference: Reference, result: MappingResult, *, batch: str | None = None, device: str = "auto"
) -> MappingResult:
    """The result with a verdict on it.

    Parameters
    ----------
    query, reference, result
        As mapped.
    batch
        obs column of the query that names its batches, so that one that stands apart is seen.

    Raises
    ------
    ReferenceProblem
        If the refitted model behind the result is no longer kept.
    """
    return replace(result, verdict=judge(measured(query, reference, result, batch=batch, device=device)))


def judged_together(
    query: Query, reference: Reference, agreed: AgreedResult, *, batch: str | None = None, device: str = "auto"
) -> AgreedResult:
    """The result of several methods with a verdict on each and on the consensus.

    The consensus places no cells: genes, and how far batches lie apart, are those of the method that weighs most in it.
    There is no verdict on a consensus whose labels no method numbers alike, as after extending a reference twice.

    Parameters
    ----------
    query, reference, batch
        As for `judged`.

    Raises
    ------
    ReferenceProblem
        If the refitted model behind a result is no longer kept.
    """
    results = tuple(judged(query, reference, result, batch=batch, device=device) for result in agreed.results)
    found = agreed.consensus
    weight = dict(zip(found.voices, found.first.weights, strict=True))
    alike = [result for result in results if result.labels.first.classes == found.first.labels.classes]
    if not alike:
        return replace(agreed, results=results)
    leading = max(alike, key=lambda result: float(weight[result.method]))
    figures = measured(query, reference, replace(leading, labels=found.labels), batch=batch, device=device)
    if (kept := found.first.examined) is not None:
        sets = prediction_sets(kept.probabilities, kept)
        figures = replace(
            figures,
            confidence_expected=float(kept.probabilities.max(1).mean()),
            set_size_expected=float(sets.sum(1).mean()),
        )
    return AgreedResult(results, agreed.expression, replace(found, verdict=judge(figures)))


def measured(
    query: Query, reference: Reference, result: MappingResult, *, batch: str | None = None, device: str = "auto"
) -> Measured:
    """The figures that a verdict is told from; at the reference's main label level, from at most 2,000 cells.

    Parameters
    ----------
    query, reference, result, batch
        As for `judged`.
    """
    trained = load_method(panels.reopened(reference, result.provenance.panel), result.method, device)
    labels, head = result.labels.first, trained.heads[0]
    sample = _sample(query, reference, trained, bool(result.provenance.options.get("orthologs", False)))
    codes, coverage = labels.codes[sample.rows], result.provenance.coverage
    odd = np.flatnonzero(labels.unknown[sample.rows])
    odd = odd if len(odd) >= LEAST_CELLS else np.arange(len(codes))
    out = standing_out(trained.method.genes, sample.cells.rows(odd), codes[odd], head.expected, sample.found)
    out = out.head(2 * TOLD_GENES)
    unknown = np.flatnonzero(labels.unknown)
    counts = np.bincount(labels.codes, minlength=len(labels.classes))
    largest = int(counts.argmax())
    of_reference = trained.members[0].codes
    depth = float("nan")
    if query.kind is ValueKind.COUNTS and trained.counted is None:
        depth = float(np.median(sample.cells.totals) / np.median(reference.obs[keys.TOTALS]))
    set_size, set_size_expected = _set_sizes(labels, head)
    batches, apart = _batches(result, labels, sample.rows, batch)
    return Measured(
        cells=result.n_cells,
        genes_found=coverage.found,
        genes_needed=coverage.needed,
        genes_weighted=coverage.weighted_share,
        confidence=float(labels.confidence.mean()),
        confidence_expected=_expected_confidence(head),
        unknown=float(labels.unknown.mean()),
        far=float((labels.novelty > 0.99).mean()),
        profile=_profile(sample, codes, head),
        standing_out=tuple(map(str, out["gene"])),
        of_others=_of_others(out, trained, head),
        affected=str(pd.Series(labels.labels[unknown]).mode()[0]) if len(unknown) else "",
        depth=depth,
        value_range=sample.value_range,
        largest=labels.classes[largest],
        largest_share=float(counts[largest] / result.n_cells),
        largest_expected=float((of_reference == largest).sum() / max(1, (of_reference >= 0).sum())),
        orthologs=bool(result.provenance.options.get("orthologs", False)),
        set_size=set_size,
        set_size_expected=set_size_expected,
        apart=apart,
        batches=batches,
    )


def _sample(query: Query, reference: Reference, trained: TrainedMethod, orthologs: bool) -> _Sample:
    rows = np.arange(query.n_cells)
    if len(rows) > LOOKED_AT:
        rows = np.sort(np.random.default_rng(0).choice(rows, LOOKED_AT, replace=False))
    match = match_genes(query.var, reference.genes, orthologs=orthologs)
    cells = aligned_rows(query, match, rows, trained.positions, counted=trained.counted)
    value_range = float("nan") if query.kind is ValueKind.COUNTS else _value_range(query, rows)
    return _Sample(rows, cells, match.found[trained.positions], value_range)


def _value_range(query: Query, rows: NDArray[np.int64]) -> float:
    """Median over cells of largest over smallest value above zero, on a linear scale and over all genes."""
    values, _ = read_rows(query, rows)
    above = [part[part > 0] for part in np.split(values.data, values.indptr[1:-1])]
    spans = [float(part.max() / part.min()) for part in above if len(part)]
    return float(np.median(spans)) if spans else float("nan")


def _profile(sample: _Sample, codes: NDArray[np.int32], head: LevelHead) -> float:
    """Correlation of log expression pooled by label with what is expected of the label; mean over cells.

    Over the genes that the query holds; labels with fewer than ten cells are left out.
    """
    found: list[tuple[float, int]] = []
    for code in np.unique(codes):
        of_label = sample.cells.rows(np.flatnonzero(codes == code))
        total = float(of_label.totals.sum())
        if of_label.n_cells < LEAST_CELLS or total <= 0:
            continue
        seen = np.asarray(of_label.values.sum(0), np.float64).ravel() / total * 1e4
        expected = head.expected.shares[code].astype(np.float64) * 1e4
        both = np.log(np.stack([seen, expected])[:, sample.found] + PSEUDO)
        if (both.std(1) > 0).all():
            found.append((float(np.corrcoef(both)[0, 1]), of_label.n_cells))
    if not found:
        return float("nan")
    values, weights = zip(*found, strict=True)
    return float(np.average(values, weights=weights))


def _of_others(out: pd.DataFrame, trained: TrainedMethod, head: LevelHead) -> float:
    """Share of genes that stand out which some label of the reference expresses at least half as much."""
    places = pd.Index(trained.method.genes).get_indexer(pd.Index(out["gene"]))
    most = head.expected.shares[:, places].max(0) * 1e4
    return float((most >= WIDELY * out["observed"].to_numpy()).mean())


def _expected_confidence(head: LevelHead) -> float:
    """Mean confidence of the reference's left-out cells, from the reliability curve kept with the head."""
    curve = np.asarray(head.scores[head.head]["reliability"], np.float64)  # mean confidence, accuracy, cells
    return float(np.average(curve[:, 0], weights=curve[:, 2]))


def _set_sizes(labels: LevelLabels, head: LevelHead) -> tuple[float, float]:
    """Mean labels in a prediction set, of the query and of the left-out cells."""
    expected = prediction_sets(head.examined.probabilities, head.examined)
    return float(labels.sets.sum(1).mean()), float(expected.sum(1).mean())


def _batches(
    result: MappingResult, labels: LevelLabels, rows: NDArray[np.int64], column: str | None
) -> tuple[tuple[Batch, ...], float]:
    """Each batch with its share of unknown cells, and how far neighbours share a batch beyond chance."""
    if column is None:
        return (), float("nan")
    names = result.obs[column].astype(object).astype(str).to_numpy(object)
    table = pd.DataFrame({"batch": names, "unknown": labels.unknown}).groupby("batch")["unknown"].agg(["size", "mean"])
    large = table[table["size"] >= LEAST_BATCH]
    if len(large) < 2:
        return (), float("nan")
    batches = tuple(Batch(str(name), int(size), float(share)) for name, size, share in large.itertuples())
    return batches, beyond_chance(result.embedding[rows], names[rows], labels.codes[rows])


def beyond_chance(values: FloatArray, batches: NDArray[np.object_], codes: NDArray[np.int32]) -> float:
    """How far a cell's neighbours share its batch beyond chance, in [0, 1]: 0 mixed, 1 wholly apart.

    Within each label, so that batches of other composition are not called apart: share of the 15 nearest cells of the
    label that are of the cell's batch, less the share of the batch in the label, over 1 less that share; mean over
    cells. Labels with fewer than 15 cells, or of one batch, say nothing.

    Parameters
    ----------
    values, batches, codes
        float32 (n, d), text (n,) and int32 (n,), the label of each cell.
    """
    found = []
    for code in np.unique(codes):
        of_label = np.flatnonzero(codes == code)
        known = pd.factorize(batches[of_label])[0]
        shares = np.bincount(known) / len(known)
        if len(of_label) <= NEAREST or len(shares) < 2:
            continue
        near = Index(values[of_label]).search(values[of_label], NEAREST + 1).indices
        others = near != np.arange(len(of_label))[:, None]
        same = ((known[near] == known[:, None]) & others).sum(1) / others.sum(1)
        chance = shares[known]
        found.append(np.clip((same - chance) / (1 - chance), 0, 1))
    return float(np.concatenate(found).mean()) if found else float("nan")
