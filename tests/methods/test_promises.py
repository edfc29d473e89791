"""What every method promises, on cells whose truth was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
from planted import BATCHES, PATHWAYS, STRANGER, SYMBOLS, TYPES, aligned, codes, markers, planted
from sklearn.metrics import roc_auc_score

from explorer.building.fitting import build_reference
from explorer.errors import Cancelled
from explorer.flow import AlignedCells, FloatArray, Reference
from explorer.mapping.corridor import explain_cells, map_query
from explorer.methods import METHODS
from explorer.methods.base import Adaptation, Adapted, Adaptive, Condition, Method, Toward, Training, condition_codes
from explorer.neighbors import normalised
from explorer.progress import Progress, Report
from explorer.reading.query import open_query

CPU = torch.device("cpu")
MODES = [(name, mode.name) for name, method in METHODS.items() for mode in method.card.modes[1:]]
# in the summaries of measures that are no importance: attention does not know the label, and a slope is flat where
# the model is sure
DISCLAIMERS = ("not importance", "not an effect", "nothing of the label", "adds up to nothing")
MEASURES = [
    (name, measure.name)
    for name, method in METHODS.items()
    for measure in method.card.measures
    # proteins are not planted
    if measure.of != "protein" and not any(words in measure.summary for words in DISCLAIMERS)
]
PRESETS = {"bascvi": "balanced"}  # its published network takes minutes on a processor


def described(cells: ad.AnnData) -> Condition:
    """The batches of planted cells."""
    return Condition("batch", tuple(sorted(set(cells.obs["batch"]))), codes(cells, "batch"))


def taught(cells: ad.AnnData) -> Training:
    """Planted cells as something to learn from."""
    labels = {"cell_type": codes(cells)}
    return Training(aligned(cells), SYMBOLS, labels, codes(cells, "batch"), (described(cells),))


def trained(name: str, seed: int = 0, progress: Progress | None = None, device: torch.device = CPU) -> Method:
    """A method fitted to the planted cells with the settings that take few steps: its published ones, as a rule."""
    method = METHODS[name]
    return method.fit(
        taught(planted(cells=40)),
        method.config_type.named(PRESETS.get(name, "paper"), seed),
        device=device,
        progress=progress or Progress(),
    )


def vectors(method: Method, cells: AlignedCells) -> FloatArray:
    return method.embed(cells, progress=Progress()).values


@pytest.fixture(scope="module", params=list(METHODS))
def name(request: pytest.FixtureRequest) -> str:
    """Each method in turn."""
    return request.param


@pytest.fixture(scope="module")
def method(name: str) -> Method:
    """The method, trained."""
    return trained(name)


@pytest.fixture(scope="module")
def reference(name: str, planted_file: Path, planted_reference: Reference) -> Reference:
    """A reference that holds the method, built from the planted cells through the public function."""
    if name in planted_reference.methods:
        return planted_reference
    return build_reference(
        planted_file,
        planted_file.with_name(f"{name}.atlas"),
        labels=("cell_type", "lineage"),
        batch="batch",
        method=name,
        preset=PRESETS.get(name, "paper"),
        device="cpu",
    )


@pytest.fixture(scope="module")
def cells() -> AlignedCells:
    """203 cells that the method has not seen; the last three have no expression at all."""
    made = aligned(planted(TYPES, ("query",), 50, seed=2))
    values = made.values.tolil()
    values.resize((203, values.shape[1]))
    return AlignedCells(values.tocsr(), np.append(made.totals, np.zeros(3, np.float32)), is_counts=True)


def test_one_vector_a_cell(method: Method, cells: AlignedCells) -> None:
    found = vectors(method, cells)
    assert found.shape[0] == 203
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_no_cells_no_vectors(method: Method, cells: AlignedCells) -> None:
    none = vectors(method, cells.rows(slice(0, 0)))
    assert none.shape == (0, vectors(method, cells).shape[1])


def test_same_seed_same_vectors(name: str, method: Method, cells: AlignedCells) -> None:
    np.testing.assert_array_equal(vectors(trained(name), cells), vectors(method, cells))
    assert not np.allclose(vectors(trained(name, seed=1), cells), vectors(method, cells), atol=1e-2)


def test_one_cell_at_a_time_gives_the_same_vectors_as_all_at_once(method: Method, cells: AlignedCells) -> None:
    alone = [vectors(method, cells.rows(slice(i, i + 1))) for i in range(cells.n_cells)]
    np.testing.assert_allclose(np.concatenate(alone), vectors(method, cells), atol=1e-5)


def test_cells_in_another_order_get_the_same_vectors(method: Method, cells: AlignedCells) -> None:
    order = np.random.default_rng(0).permutation(cells.n_cells)
    np.testing.assert_allclose(vectors(method, cells.rows(order)), vectors(method, cells)[order], atol=1e-5)


def test_cells_handed_over_stay_as_they_are(method: Method, cells: AlignedCells) -> None:
    values, totals = cells.values.copy(), cells.totals.copy()
    vectors(method, cells)
    towards_first(method, cells)
    assert (cells.values != values).nnz == 0
    np.testing.assert_array_equal(cells.totals, totals)


def test_shuffled_query_genes_change_nothing(name: str, reference: Reference, planted_query: ad.AnnData) -> None:
    order = np.random.default_rng(3).permutation(planted_query.n_vars)
    plain = map_query(open_query(planted_query), reference, name)
    shuffled = map_query(open_query(planted_query[:, order].copy()), reference, name)
    np.testing.assert_array_equal(plain.embedding, shuffled.embedding)
    np.testing.assert_array_equal(plain.layout, shuffled.layout)
    for mine, other in zip(plain.labels.levels, shuffled.labels.levels, strict=True):
        np.testing.assert_array_equal(mine.probabilities, other.probabilities)
        np.testing.assert_allclose(mine.novelty, other.novelty, atol=0.01)


def test_save_and_load_change_nothing(name: str, method: Method, cells: AlignedCells, tmp_path: Path) -> None:
    method.save(tmp_path)
    again = METHODS[name].load(tmp_path, device=CPU)
    assert again.config == method.config
    assert list(again.genes) == list(method.genes)
    np.testing.assert_array_equal(vectors(again, cells), vectors(method, cells))
    np.testing.assert_array_equal(towards_first(again, cells), towards_first(method, cells))


def towards_first(method: Method, cells: AlignedCells) -> FloatArray:
    """Scores of what points the cells toward where the first of them lies."""
    direction = normalised(vectors(method, cells.rows(slice(0, 1))))[0]
    return method.explain(cells.rows(slice(0, 20)), Toward("alpha", direction), progress=Progress()).scores


def test_a_reference_mapped_on_itself_gets_its_labels_back(name: str, reference: Reference) -> None:
    result = map_query(open_query(reference.folder / "cells.h5ad"), reference, name)
    for level in result.labels.levels:
        own = reference.obs[level.level].astype(str).to_numpy()
        assert (level.labels == own).mean() > 0.97
        assert level.unknown.mean() < 0.05


def test_a_type_the_reference_has_not_seen_is_more_novel_than_those_it_has(
    name: str, reference: Reference, planted_query: ad.AnnData
) -> None:
    found = map_query(open_query(planted_query), reference, name).labels.first
    stranger = (planted_query.obs["cell_type"] == STRANGER).to_numpy()
    assert roc_auc_score(stranger, found.novelty) > 0.9
    assert found.unknown[stranger].mean() > 0.8
    assert found.unknown[~stranger].mean() < 0.3
    assert (found.labels == planted_query.obs["cell_type"].astype(str).to_numpy())[~stranger].mean() > 0.9


@pytest.mark.parametrize("label", TYPES)
@pytest.mark.parametrize(("name", "measure"), MEASURES, ids=[" by ".join(pair) for pair in MEASURES], indirect=["name"])
def test_a_planted_marker_or_pathway_ranks_first_among_the_explanations(
    name: str, reference: Reference, planted_query: ad.AnnData, label: str, measure: str
) -> None:
    rows = np.flatnonzero(planted_query.obs["cell_type"] == label)
    query = open_query(planted_query)
    found = explain_cells(query, reference, name, rows, label, level="cell_type", measure=measure)
    top = found.top(10)[found.of].to_numpy()
    if found.of == "pathway":
        assert top[0] == PATHWAYS[TYPES.index(label)]
    else:
        assert top[0] in markers(label)
        assert np.isin(top, markers(label)).mean() >= 0.7
    assert found.toward == label
    assert np.isnan(found.error) or found.error < 0.1


def adapted(method: Method, mode: str, progress: Progress | None = None) -> tuple[Adapted, AlignedCells]:
    """The method after it has learned from 160 planted cells in two new batches, and these cells, as it takes them."""
    assert isinstance(method, Adaptive)
    query = planted(TYPES, ("q1", "q2"), 20, seed=2)
    to = Adaptation(mode, aligned(query), {}, (described(query),), taught(planted(cells=40)))
    found = method.adapt(to, progress=progress or Progress())
    known = condition_codes(found.conditions, to.conditions) if found.conditions else None
    return found, replace(to.cells, conditions=known)


@pytest.mark.parametrize(("name", "mode"), MODES, ids=[" as ".join(pair) for pair in MODES], indirect=["name"])
class TestModes:
    """What a method promises of every mode in which it learns from a query."""

    def test_one_vector_a_cell_and_the_same_seed_the_same_vectors(self, method: Method, name: str, mode: str) -> None:
        before = vectors(method, aligned(planted(cells=3)))
        (first, cells), (second, _) = (adapted(method, mode) for _ in range(2))
        found = vectors(first.method, cells)
        assert found.shape == (160, before.shape[1])
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(vectors(second.method, cells), found)
        np.testing.assert_array_equal(vectors(method, aligned(planted(cells=3))), before)

    def test_progress_never_goes_back_and_ends_at_one(self, method: Method, name: str, mode: str) -> None:
        heard: list[Report] = []
        adapted(method, mode, Progress.to(heard.append))
        fractions = [report.fraction for report in heard]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0

    def test_it_stops_at_the_first_report_when_cancelled(self, method: Method, name: str, mode: str) -> None:
        heard: list[Report] = []
        with pytest.raises(Cancelled, match="Stopped on request"):
            adapted(method, mode, Progress.to(heard.append, lambda: True))
        assert not heard

    def test_labels_of_planted_cells_are_right(self, name: str, reference: Reference, mode: str) -> None:
        query = planted(TYPES, ("q1", "q2"), 40, seed=2)
        found = map_query(open_query(query), reference, name, mode=mode, batch="batch", device="cpu")
        truth = query.obs["cell_type"].astype(str).to_numpy()
        assert (found.labels.first.labels == truth).mean() > 0.9
        assert found.labels.first.unknown.mean() < 0.2
        assert found.provenance.options["mode"] == mode


WORK: dict[str, Callable[[Method, str, AlignedCells, Progress], object]] = {
    "fit": lambda _method, name, _cells, progress: trained(name, progress=progress),
    "embed": lambda method, _name, cells, progress: method.embed(cells, progress=progress),
    "explain": lambda method, _name, cells, progress: method.explain(
        cells, Toward("alpha", vectors(method, cells)[0]), progress=progress
    ),
}


@pytest.mark.parametrize("task", WORK)
def test_progress_never_goes_back_and_ends_at_one(method: Method, name: str, cells: AlignedCells, task: str) -> None:
    heard: list[Report] = []
    WORK[task](method, name, cells, Progress.to(heard.append))
    fractions = [report.fraction for report in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("task", WORK)
def test_work_that_is_cancelled_stops(method: Method, name: str, cells: AlignedCells, task: str) -> None:
    with pytest.raises(Cancelled, match="Stopped on request"):
        WORK[task](method, name, cells, Progress.to(lambda _: None, lambda: True))


def test_training_listens_at_every_minibatch(name: str) -> None:
    """480 cells in batches of at most 256, for as many rounds as are published: a report each."""
    heard: list[Report] = []
    trained(name, progress=Progress.to(heard.append))
    assert max(np.diff([report.fraction for report in heard])) <= 1 / 30
    heard = []
    with pytest.raises(Cancelled):
        trained(name, progress=Progress.to(heard.append, lambda: bool(heard) and heard[-1].fraction >= 0.1))
    assert heard[-1].fraction <= 0.1 + 1 / 30


@pytest.mark.gpu
def test_the_graphics_card_gives_the_vectors_of_the_processor(
    name: str, method: Method, cells: AlignedCells, tmp_path: Path
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    cuda = torch.device("cuda")
    method.save(tmp_path)
    moved = METHODS[name].load(tmp_path, device=cuda)
    np.testing.assert_allclose(vectors(moved, cells), vectors(method, cells), atol=1e-3)
    np.testing.assert_allclose(towards_first(moved, cells), towards_first(method, cells), atol=1e-4)
    # trained there, it learns as well: cells of a type lie near each other across batches
    own = planted(cells=40)
    unit = normalised(vectors(trained(name, device=cuda), aligned(own)))
    batch, label = codes(own, "batch"), codes(own)
    across = unit @ unit.T - 3 * (batch[:, None] == batch)
    assert (label[across.argmax(1)] == label).mean() > 0.9
    assert len(np.unique(batch)) == len(BATCHES)
