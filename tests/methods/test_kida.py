"""What only KIDA does: pathways by name, what they are told to do, and a student."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import PATHWAYS, STRANGER, SYMBOLS, TYPES, aligned, codes, markers, planted

from explorer import keys
from explorer.errors import FileProblem, GenesProblem, OptionsProblem
from explorer.flow import AlignedCells
from explorer.methods.base import Adaptation, Toward, Training
from explorer.methods.concord import ConcordConfig
from explorer.methods.kida import Kida, KidaConfig
from explorer.progress import Progress

CPU = torch.device("cpu")
SHORT = replace(KidaConfig.named("balanced"), epochs=2)


def training(unlabelled: float = 0.0) -> Training:
    """240 planted cells, a share of them without a label."""
    cells = planted(cells=20)
    labels = codes(cells)
    labels[np.random.default_rng(0).random(len(labels)) < unlabelled] = -1
    levels = {"cell_type": labels, "lineage": codes(cells, "lineage")}
    return Training(aligned(cells), SYMBOLS, levels, codes(cells, "batch"), measured=SYMBOLS)


def fit(cells: Training, config: KidaConfig = SHORT) -> Kida:
    return Kida.fit(cells, config, device=CPU, progress=Progress())


def toward(model: Kida, label: str) -> Toward:
    """Where the planted cells of a type lie."""
    own = planted((label,), cells=20)
    values = model.embed(aligned(own), progress=Progress()).values
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return Toward(label, unit.mean(0))


@pytest.fixture(scope="module")
def model() -> Kida:
    """Trained until it knows the types."""
    return fit(training(), replace(SHORT, epochs=120))


@pytest.fixture(scope="module")
def query() -> AlignedCells:
    """200 cells of the known types, of a batch that the model has not seen."""
    return aligned(planted(TYPES, ("query",), 50, seed=2))


@pytest.mark.parametrize("label", TYPES)
def test_the_planted_pathway_comes_first_for_its_type(model: Kida, label: str) -> None:
    """Impossible for the published code, whose tokens are fed by as many pathways as they have units.

    Here other pathways of Reactome hold some of the same genes, and the free token holds them all.
    """
    cells = aligned(planted((label,), ("query",), 30, seed=3))
    found = model.explain(cells, toward(model, label), "pathway attribution", progress=Progress())
    assert found.of == "pathway"
    assert found.top(1)["pathway"].tolist() == [PATHWAYS[TYPES.index(label)]]
    assert found.scores.max() > 0
    assert found.error < 0.05


def test_a_single_cell_is_explained_as_many_are(model: Kida) -> None:
    """What is said of many cells is the mean of what is said of each."""
    cells = aligned(planted(("alpha",), ("query",), 3, seed=3))
    for measure in model.card.measures:
        whole = model.explain(cells, toward(model, "alpha"), measure.name, progress=Progress())
        alone = [
            model.explain(cells.rows(slice(i, i + 1)), toward(model, "alpha"), measure.name, progress=Progress())
            for i in range(3)
        ]
        kept = np.abs(whole.scores) > 0  # genes that hardly any of the cells express are told as 0
        same = kept & (np.abs([one.scores for one in alone]) > 0).all(0)
        np.testing.assert_allclose(np.mean([one.scores for one in alone], 0)[same], whole.scores[same], atol=1e-5)
        assert whole.measure == measure.name
        assert list(whole.names) == list(alone[0].names)


@pytest.mark.parametrize("measure", ["attention", "roll-out"])
def test_attention_gives_each_pathway_a_share(model: Kida, query: AlignedCells, measure: str) -> None:
    found = model.explain(query, toward(model, "alpha"), measure, progress=Progress())
    assert set(PATHWAYS[:4]) <= set(found.names)
    assert (found.scores >= 0).all()
    assert found.scores.sum() < 1  # the class token and the free one have theirs
    assert np.isnan(found.error)


def test_genes_come_first_and_no_other_measure_is_known(model: Kida, query: AlignedCells) -> None:
    found = model.explain(query.rows(slice(0, 3)), toward(model, "alpha"), progress=Progress())
    assert (found.of, found.measure, len(found.names)) == ("gene", "integrated gradients", len(SYMBOLS))
    with pytest.raises(OptionsProblem, match="KIDA explains by: integrated gradients, pathway attribution, attention"):
        model.explain(query, toward(model, "alpha"), "saliency", progress=Progress())


def test_every_level_has_probabilities(model: Kida, query: AlignedCells) -> None:
    scores = model.embed(query, progress=Progress()).scores
    assert {level: given.shape for level, given in scores.items()} == {"cell_type": (200, 4), "lineage": (200, 2)}
    of = planted(TYPES, ("query",), 50, seed=2)
    for level, given in scores.items():
        np.testing.assert_allclose(given.sum(1), 1, atol=1e-5)
        assert (given.argmax(1) == codes(of, level)).mean() > 0.97


def adaptation(cells: AlignedCells, mode: str = "student") -> Adaptation:
    return Adaptation(mode, cells, {}, (), training())


def test_a_student_learns_from_the_query_and_its_teacher_stays(model: Kida, query: AlignedCells) -> None:
    before = model.embed(query, progress=Progress())
    adapted = model.adapt(adaptation(query), progress=Progress())
    again = model.adapt(adaptation(query), progress=Progress())
    np.testing.assert_array_equal(model.embed(query, progress=Progress()).values, before.values)
    assert adapted.moved
    assert "learned from the 8" in adapted.notices[0]  # a good 80 of 200
    assert "0.70 at which the paper" in adapted.notices[0]
    taught = adapted.method.embed(query, progress=Progress())
    assert not np.allclose(taught.values, before.values, atol=1e-3)
    assert (taught.scores["cell_type"].argmax(1) == before.scores["cell_type"].argmax(1)).mean() > 0.97
    np.testing.assert_array_equal(again.method.embed(query, progress=Progress()).values, taught.values)


@pytest.mark.parametrize(
    ("rows", "told"),
    [(np.arange(80), r"and your file has 3\d of 4\."), (np.zeros(200, int), r"2 labels, and your file has 80 of 1\.")],
    ids=["few cells", "one label"],
)
def test_too_little_to_learn_from_leaves_the_model_as_it_is(
    model: Kida, query: AlignedCells, rows: np.ndarray, told: str
) -> None:
    adapted = model.adapt(adaptation(query.rows(rows)), progress=Progress())
    assert adapted.method is model
    assert not adapted.moved
    assert re.search(told, adapted.notices[0])


def test_it_learns_from_a_query_in_no_other_way(model: Kida, query: AlignedCells) -> None:
    with pytest.raises(OptionsProblem, match="KIDA maps by the modes: instant, student; not by 'surgery'"):
        model.adapt(adaptation(query, "surgery"), progress=Progress())
    with pytest.raises(OptionsProblem, match="learns from a query by the mode 'student', not 'instant'"):
        model.adapt(adaptation(query, "instant"), progress=Progress())


def test_genes_of_a_pathway_with_what_they_weigh(model: Kida, query: AlignedCells) -> None:
    """A pathway's token is the sum of its genes' weights by their expression, and of a part that is always there."""
    (found,) = model.pathway_genes([PATHWAYS[0]])
    assert set(found.genes) == set(markers(TYPES[0]))
    expression = training().cells.log1p().toarray()
    at = [list(SYMBOLS).index(gene) for gene in found.genes]
    np.testing.assert_allclose(found.spread, expression[:, at].std(0), rtol=1e-4)
    row = [*model.explain(query, toward(model, "alpha"), "attention", progress=Progress()).names].index(PATHWAYS[0])
    tokens = model._network.pathway_tokens(torch.as_tensor(expression)).detach().numpy()[:, row]
    whole = expression[:, at] @ found.weights
    np.testing.assert_allclose(tokens - tokens[0], whole - whole[0], atol=1e-4)
    with pytest.raises(OptionsProblem, match="reads no pathway 'NONE'"):
        model.pathway_genes(["NONE"])


def test_own_gene_sets_are_read_and_stay_with_the_model(tmp_path: Path) -> None:
    """The file can be deleted afterwards; its place on this machine is not told."""
    mine = tmp_path / "mine.gmt"
    lines = [f"program {i}\tx\t" + "\t".join(SYMBOLS[i * 8 : i * 8 + 8]) for i in range(12)]
    mine.write_text("\n".join(lines), encoding="utf-8")
    model = fit(training(), SHORT.with_gene_sets((str(mine),)))
    mine.unlink()
    model.save(tmp_path)
    again = Kida.load(tmp_path, device=CPU)
    assert again.config.collections == ("mine.gmt",)
    cells = aligned(planted(("alpha",), ("query",), 5, seed=3))
    found = again.explain(cells, toward(again, "alpha"), "attention", progress=Progress())
    assert sorted(found.names) == sorted(f"program {i}" for i in range(12))
    with pytest.raises(FileProblem, match="no gene set file"):
        SHORT.with_gene_sets((str(mine),))


def test_no_other_method_reads_gene_sets() -> None:
    with pytest.raises(OptionsProblem, match="this method reads none"):
        ConcordConfig.named("balanced").with_gene_sets(("reactome",))


@pytest.mark.parametrize("select", ["enrichment", "random"])
def test_pathways_can_be_chosen_otherwise(select: str) -> None:
    config = replace(SHORT, select=select, free="none", distinct=True)
    if select == "enrichment":
        with pytest.raises(OptionsProblem, match="among all measured genes, which were not named"):
            fit(replace(training(), measured=None), config)
    cells = aligned(planted((*TYPES, STRANGER), ("query",), 5, seed=2))
    assert fit(training(), config).embed(cells, progress=Progress()).values.shape == (25, config.n_latent)


def test_the_pathways_it_reads_stand_in_its_settings(tmp_path: Path) -> None:
    fit(training()).save(tmp_path)
    pathways = json.loads((tmp_path / keys.CONFIG_FILE).read_text(encoding="utf-8"))["pathways"]
    for name in PATHWAYS:
        assert len(pathways[name]) >= 20
        assert set(pathways[name]) <= set(SYMBOLS)


def test_genes_of_no_pathway_are_refused() -> None:
    cells = training()
    numbered = np.array([f"GENE{i:03d}" for i in range(len(SYMBOLS))], dtype=object)
    with pytest.raises(GenesProblem, match=r"only 0 of 674 gene sets hold at least 5 of the 300 genes"):
        fit(Training(cells.cells, numbered, cells.labels, cells.batches))


def test_cells_without_a_label_teach_nothing() -> None:
    """The same model comes out whatever they express; only the mean that attribution starts from knows them."""
    some = training(unlabelled=0.3)
    blank = some.labels["cell_type"] < 0
    other = some.cells.values.tolil()
    other[np.flatnonzero(blank)] = 7
    changed = replace(some, cells=replace(some.cells, values=other.tocsr()))
    query = aligned(planted(TYPES, ("query",), 5, seed=2))
    first, second = (fit(cells).embed(query, progress=Progress()).values for cells in (some, changed))
    np.testing.assert_array_equal(first, second)


def test_small_references_take_more_rounds() -> None:
    config = KidaConfig.named("balanced")
    assert config.sized(600) == (64, 64)
    assert config.sized(5272) == (64, 8)
    assert config.sized(1_000_000) == (64, 1)
    assert KidaConfig.named("paper").sized(5272) == (16, 6)
