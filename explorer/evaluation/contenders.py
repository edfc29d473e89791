"""Who takes part in an evaluation: the methods as they are built, and baselines on the same cells and genes.

A contender learns from the cells that are left in and answers for the cells that are left out, by every head it has.
Nothing here is calibrated: that takes the answers to other left-out batches.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.building.fitting import Recipe, fit_method
from explorer.doubt.calibration import examine
from explorer.doubt.labels import own_answers, softmax
from explorer.flow import AlignedCells, FloatArray, IntArray
from explorer.mapping.corridor import NEIGHBORS
from explorer.mapping.learning import Annotated
from explorer.methods import METHODS
from explorer.neighbors import Index
from explorer.progress import Progress
from explorer.reading.kinds import DataKind
from explorer.reading.selection import accessible_peaks, variable_genes

N_GENES = 2000
COMPONENTS = 50
NEIGHBORHOOD, LOGISTIC, SUPPORT = "pca_neighbors", "logistic", "svm"
BASELINES: Mapping[str, str] = {
    NEIGHBORHOOD: "PCA + 15-NN",
    LOGISTIC: "Logistic regression",
    SUPPORT: "Linear SVM",
}
DRAWS_NOTHING = (LOGISTIC,)  # the same for every seed
MIXED_CELLS = 500            # of each label and side, whose neighbours tell of mixing
LEAST_MIXED = 10


@dataclass(frozen=True)
class Answers:
    """What a contender says of left-out cells at one label level, before calibration; n cells.

    Attributes
    ----------
    rows
        int64 (n,), which of the evaluated cells they are.
    codes
        int32 (n,), their own labels.
    probabilities
        By head, float32 (n, classes).
    distance
        By head, float32 (n,), for a contender whose strangers are told by a distance of its own; empty for others,
        whose cells are measured when they are scored (explorer.evaluation.measures).
    """

    rows: NDArray[np.int64]
    codes: IntArray
    probabilities: Mapping[str, FloatArray]
    distance: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass
class Spent:
    """What a training cost: seconds to train and to map, CPU seconds of both, highest memory of the process in MB."""

    train_seconds: float = 0.0
    map_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Learned:
    """What a contender says of left-out cells, and what it took.

    Attributes
    ----------
    answers
        By label level.
    mixing
        How far left-out cells mix with cells of their label that were left in, in [0, 1]; see `mixing`. `None` for a
        contender that places no cells.
    """

    answers: Mapping[str, Answers]
    mixing: float | None
    spent: Spent


def title_of(contender: str) -> str:
    """What to call a contender in a report."""
    return BASELINES[contender] if contender in BASELINES else METHODS[contender].card.title


def learn(
    contender: str,
    annotated: Annotated,
    left_in: NDArray[np.int64],
    left_out: NDArray[np.int64],
    recipe: Recipe | None,
    seed: int,
    *,
    unseen: bool = False,
    progress: Progress | None = None,
) -> Learned:
    """Train on some of the cells and answer for others.

    Parameters
    ----------
    left_in, left_out
        int64, rows of the cells to learn from and of those to answer for. Unlabelled left-out cells are dropped.
    recipe
        How a method is trained; `None` for a baseline.
    unseen
        Whether left-out cells of labels that no cell left in has are answered for, too: they are strangers, whom
        nobody can label. They are dropped otherwise.
    """
    progress = progress or Progress()
    if recipe is None:
        return _baseline(contender, annotated, left_in, left_out, seed, unseen, progress)
    return _method(annotated, left_in, left_out, recipe, seed, unseen, progress)


def _method(
    annotated: Annotated,
    left_in: NDArray[np.int64],
    left_out: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    unseen: bool,
    progress: Progress,
) -> Learned:
    spent, quiet = Spent(), progress.part(progress.stage, 0.9, 1.0)
    with _measured(spent, "train_seconds"):
        model, positions = fit_method(annotated, left_in, recipe, progress.part(progress.stage, 0.0, 0.9))
        cells = annotated.cells.genes(positions)
        reference = model.embed(cells.rows(left_in), progress=quiet).values
    answers, values, places = {}, reference[:0], left_out[:0]
    for level in annotated.levels:
        codes, n_classes = annotated.codes(level), len(annotated.classes(level))
        rows = _counted(codes, left_in, left_out, unseen)
        with _measured(spent, "map_seconds"):
            embedding = model.embed(cells.rows(rows), progress=quiet)
            own = own_answers(embedding, level, n_classes)
            found = examine(
                embedding.values, codes[rows], rows, reference, codes[left_in], n_classes, NEIGHBORS, own
            )
        answers[level] = Answers(rows, codes[rows], found.probabilities)
        if level == annotated.levels[0]:
            values, places = embedding.values, rows
    codes = annotated.codes(annotated.levels[0])
    mixed = mixing(values, codes[places], reference, codes[left_in], seed)
    return Learned(answers, mixed, spent)


def _baseline(
    contender: str,
    annotated: Annotated,
    left_in: NDArray[np.int64],
    left_out: NDArray[np.int64],
    seed: int,
    unseen: bool,
    progress: Progress,
) -> Learned:
    spent, answers, mixed = Spent(), {}, None
    with _measured(spent, "train_seconds"):
        chosen = annotated.cells.rows(left_in)
        if annotated.kind is DataKind.PEAKS:
            positions = accessible_peaks(chosen)
        else:
            positions = variable_genes(chosen, annotated.batches[left_in], N_GENES)
        cells = annotated.cells.genes(positions)
        known = _dense(cells.rows(left_in))
    for at, level in enumerate(annotated.levels):
        progress(at / len(annotated.levels))
        codes, n_classes = annotated.codes(level), len(annotated.classes(level))
        rows, labelled = _counted(codes, left_in, left_out, unseen), codes[left_in] >= 0
        with _measured(spent, "train_seconds"):
            model = _classifier(contender, seed, min(COMPONENTS, *known[labelled].shape))
            model.fit(known[labelled], codes[left_in][labelled])
        with _measured(spent, "map_seconds"):
            asked = _dense(cells.rows(rows))
            given = np.zeros((len(rows), n_classes), np.float32)
            given[:, model.classes_] = _probabilities(model, asked)
            distance = {}
            if contender == NEIGHBORHOOD:
                vectors, places = model[0].transform(known).astype(np.float32), model[0].transform(asked)
                distance = {contender: model[1].kneighbors(places)[0].mean(1).astype(np.float32)}
                if at == 0:
                    mixed = mixing(places.astype(np.float32), codes[rows], vectors, codes[left_in], seed)
        answers[level] = Answers(rows, codes[rows], {contender: given}, distance)
    return Learned(answers, mixed, spent)


def _classifier(contender: str, seed: int, components: int) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    if contender == NEIGHBORHOOD:
        return make_pipeline(PCA(components, random_state=seed), KNeighborsClassifier(NEIGHBORS))
    if contender == LOGISTIC:  # as the voice of a reference that rests on expression alone
        return LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    return LinearSVC(random_state=seed)


def _probabilities(model: Any, asked: FloatArray) -> FloatArray:
    """Of the classes that the model knows; a support vector machine has none, its margins are put through a softmax."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(asked), np.float32)
    margins = model.decision_function(asked)
    if margins.ndim == 1:  # two classes share one margin
        margins = np.column_stack([-margins / 2, margins / 2])
    return softmax(margins)


def mixing(
    values: FloatArray, codes: IntArray, reference: FloatArray, reference_codes: IntArray, seed: int
) -> float | None:
    """How far left-out cells lie among the cells left in that carry the same label, in [0, 1].

    As many cells of each side are drawn for each label, so that what batches are made of does not matter. Of a
    left-out cell's nearest neighbours among them, the share that was left in is divided by the share expected if
    batches did not differ, and capped at 1. Mean over labels.

    Parameters
    ----------
    values, codes
        float32 (n, d) and int32 (n,), left-out cells.
    reference, reference_codes
        float32 (m, d) and int32 (m,), cells left in.

    Returns
    -------
    float or None
        `None` if no label has ten cells on both sides.
    """
    rng, shares = np.random.default_rng(seed), []
    for code in np.intersect1d(codes, reference_codes[reference_codes >= 0]):
        out, kept = np.flatnonzero(codes == code), np.flatnonzero(reference_codes == code)
        n = min(len(out), len(kept), MIXED_CELLS)
        if n < LEAST_MIXED:
            continue
        asked = values[rng.choice(out, n, replace=False)]
        both = np.concatenate([asked, reference[rng.choice(kept, n, replace=False)]])
        k = min(NEIGHBORS, n - 1)
        found = Index(both).search(asked, k + 1).indices
        others = found != np.arange(n)[:, None]  # a cell is its own nearest neighbour
        share = ((found >= n) & others).sum() / others.sum()
        shares.append(min(1.0, share * (2 * n - 1) / n))
    return float(np.mean(shares)) if shares else None


def _counted(
    codes: IntArray, left_in: NDArray[np.int64], left_out: NDArray[np.int64], unseen: bool
) -> NDArray[np.int64]:
    """Left-out cells that can be judged: those with a label, and with one that was seen unless strangers count."""
    labelled = left_out[codes[left_out] >= 0]
    return labelled if unseen else labelled[np.isin(codes[labelled], codes[left_in])]


def _dense(cells: AlignedCells) -> FloatArray:
    return np.asarray(cells.log1p().toarray(), np.float32)


@contextmanager
def _measured(spent: Spent, what: str) -> Iterator[None]:
    """Add what the block inside takes."""
    cpu, wall = process_time(), perf_counter()
    yield
    setattr(spent, what, getattr(spent, what) + perf_counter() - wall)
    spent.cpu_seconds += process_time() - cpu
    spent.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
