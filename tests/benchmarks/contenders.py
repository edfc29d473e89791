"""Who takes part in label transfer: the five methods as they are built, and linear baselines on the same cells.

Every contender is trained on the reference alone, on the genes that are most variable there.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import anndata
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from explorer.building.fitting import Recipe, fit_method, folds
from explorer.doubt import prototypes
from explorer.doubt.calibration import examine, quality
from explorer.doubt.labels import LINEAR, OWN, PROTOTYPES, VOTE, fit_linear, own_answers, vote
from explorer.flow import AlignedCells
from explorer.mapping.corridor import NEIGHBORS
from explorer.mapping.learning import Annotated, read_annotated
from explorer.methods import METHODS
from explorer.neighbors import Index
from explorer.progress import Progress
from explorer.reading.genes import aligned_blocks, match_genes
from explorer.reading.query import open_query
from explorer.reading.selection import variable_genes
from tests.benchmarks.transfer_sets import LEVEL

N_GENES = 2000
NEAREST, LOGISTIC, SUPPORT = "PCA + 15-NN", "logistic regression", "linear SVM"
BASELINES: dict[str, Callable[[int], Any]] = {
    NEAREST: lambda seed: make_pipeline(PCA(50, random_state=seed), KNeighborsClassifier(15)),
    LOGISTIC: lambda seed: LogisticRegression(max_iter=500, random_state=seed),
    SUPPORT: lambda seed: LinearSVC(random_state=seed),
}
CONTENDERS = (*METHODS, *BASELINES)

Answers = dict[str, NDArray[np.object_]]


@dataclass
class Spent:
    """What training cost: CPU and wall-clock seconds, and the highest memory of the process until then, in MB."""

    cpu_seconds: float = 0.0
    seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A contender that has learned from a reference.

    Attributes
    ----------
    head
        Which of its answers a user would get.
    answer
        From query cells to labels by each of its heads; a baseline has one, of its own name.
    spent
        Of the training alone, heads included.
    """

    head: str
    answer: Callable[[anndata.AnnData], Answers]
    spent: Spent
    notes: dict[str, Any] = field(default_factory=dict)


def train(name: str, cells: anndata.AnnData, seed: int, *, choose: bool) -> Trained:
    """Train a contender on annotated cells.

    Parameters
    ----------
    choose
        Whether a method's head is chosen by mapping one left-out part of the reference; the linear head otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "reference.h5ad"
        cells.write_h5ad(source)
        annotated = read_annotated(source, (LEVEL,), "batch", None, Progress())
    return _baseline(name, annotated, seed) if name in BASELINES else _method(name, annotated, seed, choose=choose)


def _method(name: str, annotated: Annotated, seed: int, *, choose: bool) -> Trained:
    recipe = Recipe(METHODS[name], METHODS[name].config_type.named("balanced", seed), torch.device("cpu"))
    spent = Spent()
    codes, classes = annotated.codes(LEVEL), annotated.classes(LEVEL)
    with measured(spent):
        model, positions = fit_method(annotated, np.arange(annotated.cells.n_cells), recipe, Progress())
        embedding = model.embed(annotated.cells.genes(positions), progress=Progress()).values
        index, linear = Index(embedding), fit_linear(embedding, codes, len(classes))
        points = prototypes.prototypes(embedding, codes, len(classes))
    scores = _inner(annotated, recipe) if choose else {}

    def answer(query: anndata.AnnData) -> Answers:
        found = [model.embed(block, progress=Progress()) for block in _aligned(query, annotated, positions)]
        values = np.concatenate([each.values for each in found])
        own = [own_answers(each, LEVEL, len(classes)) for each in found]
        heads = {
            VOTE: vote(index.search(values, NEIGHBORS), codes, len(classes)),
            PROTOTYPES: prototypes.probabilities(values, points),
            LINEAR: linear.probabilities(values),
        }
        if own[0] is not None:
            heads[OWN] = np.concatenate(own)
        return {head: np.array(classes, object)[p.argmax(1)] for head, p in heads.items()}

    head = max(scores, key=lambda each: scores[each]) if choose else LINEAR
    return Trained(head, answer, spent, {"inner_macro_f1": scores})


def _inner(annotated: Annotated, recipe: Recipe) -> dict[str, float]:
    """Macro-F1 by head on the fold that holds the largest batch, trained without it; the simpler head first."""
    out = folds(annotated.batches, recipe.config.seed) == 0
    rest, left_out = np.flatnonzero(~out), np.flatnonzero(out)
    model, positions = fit_method(annotated, rest, recipe, Progress())
    cells, codes = annotated.cells.genes(positions), annotated.codes(LEVEL)
    reference, left = (model.embed(cells.rows(rows), progress=Progress()) for rows in (rest, left_out))
    n_classes = len(annotated.classes(LEVEL))
    own = own_answers(left, LEVEL, n_classes)
    held_out = examine(
        left.values, codes[left_out], left_out, reference.values, codes[rest], n_classes, NEIGHBORS, own
    )
    return {head: quality(p, held_out.codes)["macro_f1"] for head, p in held_out.probabilities.items()}


def _baseline(name: str, annotated: Annotated, seed: int) -> Trained:
    spent = Spent()
    labels = np.array(annotated.classes(LEVEL), object)[annotated.codes(LEVEL)]
    with measured(spent):
        positions = variable_genes(annotated.cells, annotated.batches, N_GENES)
        model = BASELINES[name](seed).fit(_dense(annotated.cells.genes(positions)), labels)

    def answer(query: anndata.AnnData) -> Answers:
        return {name: np.concatenate([model.predict(_dense(b)) for b in _aligned(query, annotated, positions)])}

    return Trained(name, answer, spent)


def _aligned(query: anndata.AnnData, annotated: Annotated, positions: NDArray[np.int64]) -> Iterator[AlignedCells]:
    opened = open_query(query, name="query")
    return aligned_blocks(opened, match_genes(opened.var, annotated.genes), positions)


def _dense(cells: AlignedCells) -> NDArray[np.float32]:
    return cells.log1p().toarray()


@contextmanager
def measured(spent: Spent) -> Iterator[None]:
    """Fill in what the block inside takes."""
    cpu, wall = process_time(), perf_counter()
    yield
    spent.cpu_seconds, spent.seconds = process_time() - cpu, perf_counter() - wall
    spent.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
