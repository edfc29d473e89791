"""Samples and batches as a method has learned to describe them, those of the query beside those of the reference.

Safe to call from any thread; knows no widgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer import keys
from explorer.app.stored.library import Outcome
from explorer.beside import ConditionEmbedding
from explorer.errors import OptionsProblem
from explorer.flow import BoolArray, FloatArray, IntArray, Reference
from explorer.insight import samples
from explorer.insight.by_gene import of_genes
from explorer.insight.samples import Components, SampleScores
from explorer.mapping import panels
from explorer.mapping.models import load_method
from explorer.methods import METHODS
from explorer.methods.base import Conditioned
from explorer.progress import Progress

FROM, CELLS = "from", "cells"  # covariates that every sample has
REFERENCE, QUERY = "reference", "your file"
LEAST_SAMPLES = 3
MOST_COMPONENTS = 5


@dataclass(frozen=True)
class SampleMap:
    """The vectors of c samples, and what is known of each.

    Attributes
    ----------
    column
        What they are, as the reference calls it.
    names
        Their names (c,).
    from_query
        bool (c,), which came with the query.
    values
        float32 (c, e).
    components
        Their principal components.
    covariates
        One row a sample: from, cells, and every obs column that says one thing of each sample.
    associations
        Covariates against components, the best first; see `explorer.insight.samples.associations`.
    codes
        int32, sample of each reference cell and of each query cell, -1 for none.
    """

    column: str
    names: tuple[str, ...]
    from_query: BoolArray
    values: FloatArray
    components: Components
    covariates: pd.DataFrame
    associations: pd.DataFrame
    codes: tuple[IntArray, IntArray]

    @property
    def labelled(self) -> tuple[str, ...]:
        """Covariates that name groups of samples: at least two values, not all different."""
        table = self.covariates.drop(columns=FROM).select_dtypes(exclude="number")
        return tuple(str(name) for name in table.columns if 2 <= table[name].nunique() < table[name].count())


@dataclass(frozen=True)
class Classified:
    """Labels of samples by those of their neighbours.

    Attributes
    ----------
    scores
        How well that finds labels that are known.
    guessed
        A row a sample without a label: sample, label, share (of the neighbours' votes).
    """

    column: str
    scores: SampleScores
    guessed: pd.DataFrame


def methods_that_describe() -> tuple[str, ...]:
    """Titles of the methods that learn vectors of batches or samples."""
    return tuple(method.card.title for method in METHODS.values() if hasattr(method, "conditions"))


def conditions_of(
    reference: Reference, outcome: Outcome | None, method: str, device: str
) -> tuple[ConditionEmbedding, ...]:
    """What a method has learned of conditions: with the query's where it learned those too, else the reference's."""
    if outcome is not None:
        if outcome.result.conditions:
            return outcome.result.conditions
        method = outcome.result.method
        reference = panels.reopened(reference, outcome.result.provenance.panel)
    trained = load_method(reference, method, device).method
    return trained.conditions if isinstance(trained, Conditioned) else ()


def sample_map(
    reference: Reference, outcome: Outcome | None, found: ConditionEmbedding, batch: str | None
) -> SampleMap:
    """Components of the vectors, and what goes along with them.

    Parameters
    ----------
    found
        One of `conditions_of`.
    batch
        obs column of the query that names its batches; `None` where all of it is one.

    Raises
    ------
    OptionsProblem
        If there are fewer than three samples.
    """
    if len(found.names) < LEAST_SAMPLES:
        raise OptionsProblem(
            f"{len(found.names)} samples are described; at least {LEAST_SAMPLES} are needed to compare them."
        )
    names = tuple(map(str, found.names))
    query = outcome.result.obs if outcome is not None else pd.DataFrame()
    own = batch if batch in query.columns else None
    tables = [_known(reference.obs, found.column, names, ~found.from_query, REFERENCE)]
    if found.from_query.any():
        told = query if own is not None else query.assign(**{found.column: names[int(found.from_query.argmax())]})
        tables.append(_known(told, own or found.column, names, found.from_query, QUERY))
    covariates = pd.concat(tables).reindex(range(len(names)))
    components = samples.principal_components(found.values)
    kept = min(MOST_COMPONENTS, int((components.explained > 1e-6).sum()) or 1)
    components = Components(
        components.scores[:, :kept], components.singular_values[:kept], components.explained[:kept]
    )
    codes = _codes(reference.obs, found.column, names, ~found.from_query), np.full(len(query), -1, np.int32)
    if found.from_query.any():
        codes = codes[0], _codes(told, own or found.column, names, found.from_query)
    return SampleMap(
        column=found.column,
        names=names,
        from_query=np.asarray(found.from_query, np.bool_),
        values=np.asarray(found.values, np.float32),
        components=components,
        covariates=covariates,
        associations=samples.associations(components, covariates),
        codes=codes,
    )


def genes_along(
    found: SampleMap, reference: Reference, outcome: Outcome | None, component: int, progress: Progress
) -> pd.DataFrame:
    """Genes whose mean expression in samples goes along with a component, counted from 0.

    Raises
    ------
    ReferenceProblem
        If the reference was shared without expression.
    """
    n = len(found.names)
    with_query = outcome is not None and found.from_query.any() and (outcome.folder / keys.EXPRESSION_FILE).exists()
    span = progress.part("Reading genes", 0.0, 0.5 if with_query else 1.0)
    known = of_genes(reference)
    genes, means = known.genes, samples.sample_means(known, found.codes[0], n, span)
    chosen = ~found.from_query
    if with_query and outcome is not None:
        own = of_genes(outcome.folder / keys.EXPRESSION_FILE)
        of_query = samples.sample_means(own, found.codes[1], n, progress.part("Reading genes", 0.5, 1.0))
        shared, here, there = np.intersect1d(genes.astype(str), own.genes.astype(str), return_indices=True)
        genes, means = shared.astype(object), np.where(chosen[:, None], means[:, here], of_query[:, there])
        chosen = np.ones(n, np.bool_)
    return samples.gene_correlations(found.components.scores[chosen, component], means[chosen], list(genes))


def classified(found: SampleMap, column: str) -> Classified:
    """Labels of samples that have none, by their neighbours, and how well that works for those that have one.

    Raises
    ------
    OptionsProblem
        If a label has too few samples.
    """
    told = found.covariates[column]
    has = told.notna().to_numpy()
    labels = told[has].astype(str).tolist()
    scores = samples.cross_validated(found.values[has], labels)
    table = pd.DataFrame({"sample": np.array(found.names, dtype=object)[~has]})
    if len(table):
        table["label"], table["share"] = samples.classify(found.values[has], labels, found.values[~has])
    return Classified(column, scores, table)


def _known(obs: pd.DataFrame, column: str, names: tuple[str, ...], which: BoolArray, origin: str) -> pd.DataFrame:
    """What obs says of some samples, indexed by their positions."""
    at = np.flatnonzero(which)
    wanted = [names[i] for i in at]
    plain = obs.drop(columns=[name for name in (keys.TOTALS, FROM, CELLS) if name in obs and name != column])
    table = samples.of_samples(plain, column, wanted).set_axis(at)
    counts = obs[column].astype(str).value_counts().reindex(wanted).fillna(0).astype(int)
    table.insert(0, FROM, origin)
    table.insert(1, CELLS, counts.to_numpy())
    return table.astype({name: object for name in table.columns if isinstance(table[name].dtype, pd.CategoricalDtype)})


def _codes(obs: pd.DataFrame, column: str, names: tuple[str, ...], which: BoolArray) -> IntArray:
    at: Mapping[str, int] = {names[i]: int(i) for i in np.flatnonzero(which)}
    return np.asarray(obs[column].astype(str).map(at).fillna(-1), np.int32)
