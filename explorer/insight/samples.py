"""Samples told apart: the vectors that a method has learned of batches or samples, beside what is known of them.

After the sample-level analyses of De Donno et al., Nature Methods 2023: principal components of the vectors, covariates
and genes that go along with them, and labels of new samples by those of their neighbours. Knows one vector a sample,
not cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.insight.by_gene import ByGene
from explorer.progress import Progress

NEIGHBORS = 4
FOLDS = 5
CORRELATION, P_VALUE = 0.3, 0.01  # a gene goes along with a component beyond the one and below the other


@dataclass(frozen=True)
class Components:
    """Principal components of the vectors of c samples.

    Attributes
    ----------
    scores
        float32 (c, p), where each sample lies on each component.
    singular_values
        float32 (p,), largest first.
    explained
        float32 (p,), share of the variance.
    """

    scores: FloatArray
    singular_values: FloatArray
    explained: FloatArray


@dataclass(frozen=True)
class Association:
    """How much of a component a covariate accounts for.

    Attributes
    ----------
    r2, adjusted
        Share of variance of a linear model, and the same less what as many covariates would reach by chance:
        1 - (1 - r2)(n - 1)/(n - p - 1); NaN with too few samples.
    terms
        p, dummy columns: levels less one, or 1 for a number.
    samples
        n, those whose covariate is known.
    """

    r2: float
    adjusted: float
    terms: int
    samples: int


@dataclass(frozen=True)
class SampleScores:
    """How well labels of samples are found by those of their neighbours, over left-out folds.

    Attributes
    ----------
    guessed
        Text (c,), each sample's label as found when it was left out.
    accuracy, weighted_f1, macro_f1
        Against the own labels.
    """

    guessed: NDArray[np.object_]
    accuracy: float
    weighted_f1: float
    macro_f1: float


def principal_components(values: FloatArray) -> Components:
    """Components of centred vectors, float32 (c, e); the largest score of each component is positive."""
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    scores = left * singular
    largest = np.take_along_axis(scores, np.abs(scores).argmax(0)[None], axis=0)[0]
    total = max(float((singular**2).sum()), 1e-300)
    return Components(
        np.asarray(scores * np.where(largest < 0, -1, 1), np.float32),
        singular.astype(np.float32),
        np.asarray(singular**2 / total, np.float32),
    )


def association(component: NDArray[np.floating], covariate: pd.Series) -> Association:
    """How much of a component, float (c,), a covariate accounts for by a linear model; samples without it are left out.

    Numbers enter as they are; text, categories and truth values as one dummy a level but the first.
    """
    known = covariate.notna().to_numpy()
    y = np.asarray(component, np.float64)[known]
    columns = _columns(covariate[known])
    n, terms = len(y), columns.shape[1]
    spread = float(((y - y.mean()) ** 2).sum()) if n else 0.0
    if spread == 0:
        return Association(float("nan"), float("nan"), terms, n)
    design = np.column_stack([np.ones(n), columns])
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    r2 = 1 - float((left**2).sum()) / spread
    free = n - terms - 1
    return Association(r2, 1 - (1 - r2) * (n - 1) / free if free > 0 else float("nan"), terms, n)


def associations(components: Components, covariates: pd.DataFrame) -> pd.DataFrame:
    """Every covariate against every component, the best first: component from 1, covariate, r2, adjusted_r2, samples.

    Parameters
    ----------
    covariates
        One row a sample, in the order of the components' scores. Covariates of one value are left out.
    """
    rows = []
    for name in covariates.columns:
        if covariates[name].nunique() > 1:
            for i, scores in enumerate(components.scores.T):
                found = association(scores, covariates[name])
                rows.append((i + 1, str(name), found.r2, found.adjusted, found.samples))
    table = pd.DataFrame(rows, columns=["component", "covariate", "r2", "adjusted_r2", "samples"])
    return table.sort_values("adjusted_r2", ascending=False, kind="stable", ignore_index=True)


def gene_correlations(component: NDArray[np.floating], means: FloatArray, genes: Sequence[str]) -> pd.DataFrame:
    """Genes whose expression goes along with a component, by |r|: gene, r, p, q (Benjamini-Hochberg), kept.

    Kept are genes of p < 0.01 and |r| > 0.3 (Pearson). Genes that do not vary are left out.

    Parameters
    ----------
    component
        float (c,), one score a sample.
    means
        float32 (c, g), mean log-normalised expression of each sample.
    """
    y = np.asarray(component, np.float64)
    varies = np.ptp(means, axis=0) > 0
    centred = means[:, varies].astype(np.float64)
    centred -= centred.mean(0)
    own = y - y.mean()
    r = np.clip(own @ centred / np.maximum(np.linalg.norm(own) * np.linalg.norm(centred, axis=0), 1e-300), -1, 1)
    free = len(y) - 2
    with np.errstate(divide="ignore"):  # |r| = 1 leaves no doubt
        p = 2 * stats.t.sf(np.abs(r) * np.sqrt(free / (1 - r**2)), free)
    table = pd.DataFrame(
        {
            "gene": np.asarray(genes, dtype=object)[varies],
            "r": r,
            "p": p,
            "q": stats.false_discovery_control(p) if len(p) else p,
            "kept": (p < P_VALUE) & (np.abs(r) > CORRELATION),
        }
    )
    return table.sort_values("r", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def sample_means(
    source: ByGene, sample: IntArray, n_samples: int, progress: Progress | None = None
) -> FloatArray:
    """Mean log1p CP10k of each gene in each sample's cells, float32 (n_samples, g); zeros for one without cells.

    Parameters
    ----------
    source
        As `explorer.insight.by_gene.of_genes` finds it.
    sample
        int32 (n,), sample of each cell; -1 for none.
    """
    inside = np.flatnonzero(sample >= 0)
    counts = np.maximum(np.bincount(sample[inside], minlength=n_samples), 1)
    shape = (n_samples, len(sample))
    member = sparse.csr_matrix((1 / counts[sample[inside]], (sample[inside], inside)), shape=shape).astype(np.float32)
    parts = [np.asarray((member @ values).todense(), np.float32) for _, values in source.runs(progress)]
    return np.concatenate(parts, axis=1)


def of_samples(obs: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    """Covariates of samples, in the order of `names`: columns of obs that say one thing only of each sample.

    Parameters
    ----------
    obs
        One row a cell.
    column
        Which sample each belongs to.
    """
    by_sample = obs.groupby(obs[column].astype(str), observed=True)
    constant = [
        name for name in obs.columns if name != column and (by_sample[name].nunique(dropna=False) <= 1).all()
    ]
    return by_sample[constant].first().reindex(list(names))


def classify(values: FloatArray, labels: Sequence[str], queries: FloatArray) -> tuple[NDArray[np.object_], FloatArray]:
    """Labels of samples by the vote of their 4 nearest labelled samples (Euclidean), and the share of that vote.

    Parameters
    ----------
    values, labels
        float32 (c, e) and text (c,): labelled samples.
    queries
        float32 (n, e).
    """
    model = KNeighborsClassifier(min(NEIGHBORS, len(values))).fit(values, np.asarray(labels, dtype=str))
    shares = model.predict_proba(queries)
    best = shares.argmax(1)
    return model.classes_.astype(object)[best], shares[np.arange(len(best)), best].astype(np.float32)


def cross_validated(values: FloatArray, labels: Sequence[str], seed: int = 42) -> SampleScores:
    """How well `classify` finds labels of left-out samples: 5 folds, each with its share of every label.

    Raises
    ------
    OptionsProblem
        If there are fewer than two labels, or a label of fewer than two samples.
    """
    own = np.asarray(labels, dtype=str).astype(object)
    names, counts = np.unique(own.astype(str), return_counts=True)
    if len(names) < 2 or counts.min() < 2:
        raise OptionsProblem(
            "Samples are classified between at least two labels of at least two samples each; found "
            f"{', '.join(f'{name}: {count}' for name, count in zip(names, counts, strict=True))}. "
            "Choose another column, or leave samples out."
        )
    folds = StratifiedKFold(int(min(FOLDS, counts.min())), shuffle=True, random_state=seed)
    guessed = np.empty(len(own), dtype=object)
    for rest, left_out in folds.split(values, own.astype(str)):
        guessed[left_out], _ = classify(values[rest], list(own[rest]), values[left_out])
    truth, guess = own.astype(str), guessed.astype(str)
    return SampleScores(
        guessed,
        float(accuracy_score(truth, guess)),
        float(f1_score(truth, guess, average="weighted", zero_division=0)),
        float(f1_score(truth, guess, average="macro", zero_division=0)),
    )


def _columns(covariate: pd.Series) -> NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(covariate) and not pd.api.types.is_bool_dtype(covariate):
        return covariate.to_numpy(np.float64)[:, None]
    dummies = pd.get_dummies(covariate.astype(str), drop_first=True)
    return dummies.to_numpy(np.float64)
