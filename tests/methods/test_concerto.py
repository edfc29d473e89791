"""Concerto as a method: its presets, how long it trains, what it learns from, proteins, and queries it adapts to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import STRANGER, SYMBOLS, TYPES, aligned, codes, planted

from explorer.errors import Cancelled, OptionsProblem
from explorer.flow import AlignedCells, FloatArray
from explorer.methods.base import Adaptation, Adapted, Condition, Toward, Training
from explorer.methods.concerto import Concerto, ConcertoConfig
from explorer.methods.concord import ConcordConfig
from explorer.progress import Progress

CPU = torch.device("cpu")
CELLS = planted(cells=40)
PAPER = ConcertoConfig.named("paper")


def vectors(config: ConcertoConfig, labels: dict[str, np.ndarray]) -> FloatArray:
    training = Training(aligned(CELLS), SYMBOLS, labels, codes(CELLS, "batch"))
    method = Concerto.fit(training, config, device=CPU, progress=Progress())
    return method.embed(training.cells, progress=Progress()).values


def test_presets() -> None:
    assert (PAPER.temperature, PAPER.batch_size, PAPER.lr, PAPER.epochs) == (0.1, 32, 1e-4, 3)
    assert (PAPER.element_mask, PAPER.feature_mask, PAPER.batch_norm) == (0.0, 0.0, "running")
    assert ConcertoConfig.named("balanced").batch_norm == "population"
    assert (PAPER.classifier_weight, ConcertoConfig.named("balanced").classifier_weight) == (0.0, 1.0)
    assert ConcertoConfig.named("supervised") == replace(
        ConcertoConfig.named("balanced"), preset="supervised", classifier_weight=0.0, supervised=True
    )
    with pytest.raises(OptionsProblem, match="'balanced', 'supervised' and 'paper'"):
        ConcertoConfig.named("fast")


def test_settings_of_another_method_are_refused() -> None:
    training = Training(aligned(CELLS), SYMBOLS, {}, codes(CELLS, "batch"))
    with pytest.raises(OptionsProblem, match="ConcertoConfig"):
        Concerto.fit(training, ConcordConfig(), device=CPU, progress=Progress())


@pytest.mark.parametrize("setting", [{"attend": "some"}, {"batch_norm": "none"}, {"protein_scale": "z"}], ids=str)
def test_settings_that_do_not_exist_are_refused(setting: dict[str, str]) -> None:
    training = Training(aligned(CELLS), SYMBOLS, {}, codes(CELLS, "batch"))
    with pytest.raises(OptionsProblem, match=f"{next(iter(setting))} is one of"):
        Concerto.fit(training, replace(PAPER, **setting), device=CPU, progress=Progress())


@pytest.mark.parametrize("n_cells", [500, 5_000, 50_000, 10_000_000], ids=str)
def test_small_references_take_enough_steps_and_large_ones_not_too_many(n_cells: int) -> None:
    config = ConcertoConfig.named("balanced")
    batch_size, epochs = config.sized(n_cells)
    steps = epochs * n_cells / batch_size
    assert steps >= 1000
    assert epochs == 1 or steps <= 20_000
    assert PAPER.sized(n_cells) == (32, 3)


def test_minibatches_may_hold_cells_of_other_batches() -> None:
    mixed = vectors(replace(PAPER, p_inside=0.5), {})
    assert np.abs(mixed - vectors(PAPER, {})).max() > 1e-4


def test_labels_take_no_part_without_a_classifier() -> None:
    shuffled = np.random.default_rng(0).permutation(codes(CELLS))
    np.testing.assert_array_equal(vectors(PAPER, {"cell_type": codes(CELLS)}), vectors(PAPER, {"cell_type": shuffled}))


def test_vectors_are_of_length_one_and_not_negative() -> None:
    found = vectors(PAPER, {})
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found.min() >= 0


def test_statistics_of_the_whole_reference_tell_types_apart_better_after_a_short_run() -> None:
    """The published running averages are then mostly what they were before the run."""
    own = codes(CELLS)
    same = own[:, None] == own

    def apart(config: ConcertoConfig) -> float:
        found = vectors(config, {})
        similarity = found @ found.T
        return float(similarity[same].mean() - similarity[~same].mean())

    assert apart(replace(PAPER, batch_norm="population")) > 2 * apart(PAPER)


PROTEINS = ("CD-alpha", "CD-beta", "CD-gamma", "CD-delta", "CD-none")


def with_proteins(seed: int = 0) -> AlignedCells:
    """The planted cells and a surface protein for each type; a tenth of the cells was not measured."""
    cells = aligned(CELLS)
    rng = np.random.default_rng(seed)
    rate = np.full((cells.n_cells, len(PROTEINS)), 3.0)
    rate[np.arange(cells.n_cells), codes(CELLS)] = 40.0
    counts = rng.poisson(rate[:, np.argsort(np.argsort([*TYPES, "zeta"]))]).astype(np.float32)
    counts[: cells.n_cells // 10] = np.nan
    return replace(cells, proteins=counts)


def fitted(config: ConcertoConfig, cells: AlignedCells | None = None, proteins: tuple[str, ...] = ()) -> Concerto:
    levels = {"cell_type": codes(CELLS), "lineage": codes(CELLS, "lineage")}
    training = Training(cells or aligned(CELLS), SYMBOLS, levels, codes(CELLS, "batch"), proteins=proteins)
    return Concerto.fit(training, config, device=CPU, progress=Progress())


def embedded(method: Concerto, cells: AlignedCells) -> FloatArray:
    return method.embed(cells, progress=Progress()).values


QUICK = replace(ConcertoConfig.named("balanced"), epochs=6, batch_size=32, taught_epochs=6)


QUERY = planted(TYPES, ("q1", "q2"), 30, seed=7)


def reference() -> Training:
    batches = codes(CELLS, "batch")
    condition = Condition("batch", ("b1", "b2", "b3"), batches)
    return Training(aligned(CELLS), SYMBOLS, {"cell_type": codes(CELLS)}, batches, (condition,))


@pytest.fixture(scope="module")
def plain() -> Concerto:
    """Trained by contrast alone."""
    return Concerto.fit(reference(), replace(QUICK, classifier_weight=0.0), device=CPU, progress=Progress())


@pytest.fixture(scope="module")
def supervised() -> Concerto:
    """Went on to learn two label levels."""
    return fitted(replace(QUICK, classifier_weight=0.0, supervised=True))


@pytest.fixture(scope="module")
def classifying() -> Concerto:
    """Learned two label levels along with the contrast."""
    return fitted(QUICK)


@pytest.fixture(scope="module")
def multimodal() -> Concerto:
    """Trained on RNA and proteins."""
    return fitted(replace(QUICK, epochs=30), with_proteins(), PROTEINS)


class TestAttendingToExpressedGenesOnly:
    def test_learns_too_and_has_no_lift(self) -> None:
        method = fitted(replace(QUICK, attend="expressed"))
        found = embedded(method, aligned(CELLS))
        similarity = found @ found.T - 2 * np.eye(len(found), dtype=np.float32)
        assert (codes(CELLS)[similarity.argmax(1)] == codes(CELLS)).mean() > 0.9
        with pytest.raises(OptionsProblem, match="no lift"):
            method.explain(aligned(CELLS), Toward("alpha", found[0]), "lift", progress=Progress())


class TestMeasures:
    @pytest.mark.parametrize("measure", ["attention", "lift"])
    def test_are_zero_for_genes_that_no_cell_expresses(self, measure: str) -> None:
        cells = aligned(CELLS)
        silent = np.flatnonzero(np.asarray(cells.values[:10].sum(0)).ravel() == 0)
        method = fitted(PAPER)
        found = method.explain(
            cells.rows(slice(0, 10)), Toward("alpha", embedded(method, cells)[0]), measure, progress=Progress()
        )
        assert found.measure == measure
        assert found.of == "gene"
        assert len(silent) > 0
        assert not found.scores[silent].any()
        assert found.scores.any()

    def test_attention_says_how_much_of_it_lies_elsewhere(self) -> None:
        """Over all genes it sums to one with what it gives to genes that are not expressed."""
        cells = aligned(CELLS).rows(slice(0, 10))
        method = fitted(PAPER)
        toward = Toward("alpha", embedded(method, cells)[0])
        found = method.explain(cells, toward, "attention", progress=Progress())
        rest = 1 - found.scores.sum()
        assert found.note == f"{rest:.0%} of the attention lies on genes that the cells do not express."
        assert method.explain(cells, toward, "contribution", progress=Progress()).note == ""

    def test_attention_is_told_not_to_be_importance(self) -> None:
        assert "not importance" in Concerto.card.measure("attention").summary
        assert Concerto.card.measure(None).name == "contribution"


class TestLabelsAlongWithTheContrast:
    def test_its_classifier_speaks_of_every_level(self, classifying: Concerto) -> None:
        query = planted(TYPES, ("query",), 40, seed=5)
        found = classifying.embed(aligned(query), progress=Progress())
        assert {level: scores.shape[1] for level, scores in found.scores.items()} == {"cell_type": 4, "lineage": 2}
        for level, scores in found.scores.items():
            np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
            assert (scores.argmax(1) == codes(query, level)).mean() > 0.9

    def test_cells_of_a_label_point_more_alike_by_it(self, classifying: Concerto) -> None:
        query = planted(TYPES, ("query",), 40, seed=5)
        own = codes(query)
        same = own[:, None] == own

        def apart(method: Concerto) -> float:
            found = embedded(method, aligned(query))
            return float((found @ found.T)[same].mean() - (found @ found.T)[~same].mean())

        assert apart(classifying) > apart(fitted(replace(QUICK, classifier_weight=0.0)))

    def test_unlabelled_cells_take_part_in_the_contrast_alone(self) -> None:
        def scores(own: np.ndarray) -> FloatArray:
            training = Training(aligned(CELLS), SYMBOLS, {"cell_type": own}, codes(CELLS, "batch"))
            method = Concerto.fit(training, QUICK, device=CPU, progress=Progress())
            return method.embed(aligned(CELLS), progress=Progress()).scores["cell_type"]

        known = codes(CELLS)
        partly = np.where(np.arange(len(known)) % 2 == 0, known, -1).astype(np.int32)
        assert (scores(partly).argmax(1) == known).mean() > 0.9

    def test_without_labels_there_is_the_contrast(self) -> None:
        training = Training(aligned(CELLS), SYMBOLS, {}, codes(CELLS, "batch"))
        method = Concerto.fit(training, replace(QUICK, epochs=1), device=CPU, progress=Progress())
        assert method.embed(aligned(CELLS), progress=Progress()).scores == {}

    def test_save_and_load_keep_it(self, classifying: Concerto, tmp_path: Path) -> None:
        classifying.save(tmp_path)
        again = Concerto.load(tmp_path, device=CPU)
        mine, other = (each.embed(aligned(CELLS), progress=Progress()) for each in (classifying, again))
        for level, scores in mine.scores.items():
            np.testing.assert_array_equal(scores, other.scores[level])


class TestLabels:
    def test_its_classifier_speaks_of_every_level(self, supervised: Concerto) -> None:
        query = planted(TYPES, ("query",), 40, seed=5)
        found = supervised.embed(aligned(query), progress=Progress())
        assert {level: scores.shape[1] for level, scores in found.scores.items()} == {"cell_type": 4, "lineage": 2}
        for level, scores in found.scores.items():
            np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
            assert (scores.argmax(1) == codes(query, level)).mean() > 0.9

    def test_cells_of_no_type_it_knows_are_rejected_more_often(self, supervised: Concerto) -> None:
        known, strange = planted(TYPES, ("query",), 40, seed=5), planted((STRANGER,), ("query",), 40, seed=5)
        rejected = [
            supervised.embed(aligned(cells), progress=Progress()).rejected["cell_type"].mean()
            for cells in (known, strange)
        ]
        assert rejected[0] < 0.3
        assert rejected[1] > 2 * rejected[0]

    def test_save_and_load_keep_it(self, supervised: Concerto, tmp_path: Path) -> None:
        supervised.save(tmp_path)
        again = Concerto.load(tmp_path, device=CPU)
        mine, other = (each.embed(aligned(CELLS), progress=Progress()) for each in (supervised, again))
        for level, scores in mine.scores.items():
            np.testing.assert_array_equal(scores, other.scores[level])

    def test_without_labels_there_is_nothing_to_learn(self) -> None:
        training = Training(aligned(CELLS), SYMBOLS, {}, codes(CELLS, "batch"))
        with pytest.raises(OptionsProblem, match="Name a label column"):
            Concerto.fit(training, replace(PAPER, supervised=True), device=CPU, progress=Progress())


class TestProteins:
    def test_of_cells_change_where_they_lie(self, multimodal: Concerto) -> None:
        both, rna = embedded(multimodal, with_proteins()), embedded(multimodal, aligned(CELLS))
        measured = np.isfinite(with_proteins().proteins).all(1)
        np.testing.assert_allclose(both[~measured], rna[~measured], atol=1e-6)
        assert np.abs(both[measured] - rna[measured]).max(1).min() > 1e-4

    def test_cells_without_them_still_lie_among_their_like(self, multimodal: Concerto) -> None:
        both, rna = embedded(multimodal, with_proteins()), embedded(multimodal, aligned(CELLS))
        own = codes(CELLS)
        similarity = rna @ both.T - 3 * np.eye(len(own), dtype=np.float32)
        assert (own[similarity.argmax(1)] == own).mean() > 0.9

    def test_a_planted_protein_speaks_for_its_type(self, multimodal: Concerto) -> None:
        cells = with_proteins()
        values = embedded(multimodal, cells)
        for code, name in enumerate(sorted(TYPES)):
            own = np.flatnonzero((codes(CELLS) == code) & np.isfinite(cells.proteins).all(1))
            found = multimodal.explain(
                cells.rows(own), Toward(name, values[own].mean(0)), "protein contribution", progress=Progress()
            )
            assert found.of == "protein"
            assert found.top(1)["protein"].item() == f"CD-{name}"

    def test_save_and_load_keep_them(self, multimodal: Concerto, tmp_path: Path) -> None:
        multimodal.save(tmp_path)
        again = Concerto.load(tmp_path, device=CPU)
        assert again.proteins == PROTEINS
        np.testing.assert_array_equal(embedded(again, with_proteins()), embedded(multimodal, with_proteins()))

    def test_none_to_explain_by(self, multimodal: Concerto) -> None:
        toward = Toward("alpha", embedded(multimodal, aligned(CELLS))[0])
        with pytest.raises(OptionsProblem, match="not measured for surface proteins"):
            multimodal.explain(aligned(CELLS), toward, "protein contribution", progress=Progress())
        with pytest.raises(OptionsProblem, match="built without surface proteins"):
            fitted(PAPER).explain(aligned(CELLS), toward, "protein contribution", progress=Progress())


class TestModes:
    def adapted(self, of: Concerto, mode: str, progress: Progress | None = None) -> Adapted:
        own = Condition("batch", ("q1", "q2"), codes(QUERY, "batch"))
        to = Adaptation(mode, aligned(QUERY), {}, (own,), reference())
        return of.adapt(to, progress=progress or Progress())

    def reached(self, of: Concerto) -> float:
        """Share of the query's cells whose nearest reference cell is of their type."""
        query, own = embedded(of, aligned(QUERY)), embedded(of, aligned(CELLS))
        return float((codes(CELLS)[(query @ own.T).argmax(1)] == codes(QUERY)).mean())

    @pytest.mark.parametrize("mode", ["fine-tuned", "adapted"])
    def test_gives_a_new_model_that_places_both_anew(self, plain: Concerto, mode: str) -> None:
        before = embedded(plain, aligned(CELLS))
        found = self.adapted(plain, mode)
        assert found.moved
        np.testing.assert_array_equal(embedded(plain, aligned(CELLS)), before)
        assert np.abs(embedded(found.method, aligned(CELLS)) - before).max() > 1e-4
        assert self.reached(found.method) >= self.reached(plain) - 0.02 > 0.9

    def test_the_same_seed_adapts_in_the_same_way(self, plain: Concerto) -> None:
        once, again = (embedded(self.adapted(plain, "fine-tuned").method, aligned(CELLS)) for _ in range(2))
        np.testing.assert_array_equal(once, again)

    def test_adapted_models_have_a_classifier_and_can_be_kept(self, plain: Concerto, tmp_path: Path) -> None:
        found = self.adapted(plain, "adapted").method
        scores = found.embed(aligned(QUERY), progress=Progress()).scores["cell_type"]
        assert (scores.argmax(1) == codes(QUERY)).mean() > 0.9
        found.save(tmp_path)
        again = Concerto.load(tmp_path, device=CPU).embed(aligned(QUERY), progress=Progress())
        np.testing.assert_array_equal(again.scores["cell_type"], scores)

    def test_says_when_the_reference_moved(self, plain: Concerto) -> None:
        assert self.adapted(plain, "fine-tuned").notices == ()
        settings = replace(QUICK, classifier_weight=0.0, tuned_lr=0.05)
        hasty = Concerto.fit(reference(), settings, device=CPU, progress=Progress())
        (notice,) = self.adapted(hasty, "fine-tuned").notices
        assert "mean cosine" in notice

    def test_stops_on_request(self, plain: Concerto) -> None:
        with pytest.raises(Cancelled):
            self.adapted(plain, "adapted", Progress.to(lambda _: None, lambda: True))

    def test_unknown_ones_are_refused(self, plain: Concerto) -> None:
        with pytest.raises(OptionsProblem, match="instant, fine-tuned, adapted, per-batch"):
            self.adapted(plain, "surgery")

    def test_each_batch_by_its_own_statistics(self, plain: Concerto) -> None:
        found = self.adapted(plain, "per-batch")
        (batches,) = found.conditions
        assert list(batches.names) == ["b1", "b2", "b3", "q1", "q2"]
        assert list(batches.from_query) == [False, False, False, True, True]
        assert "fewer than 500" in found.notices[0]  # 160 and 120 cells: the reference's statistics for all
        assert not batches.values.any()
        np.testing.assert_array_equal(embedded(found.method, aligned(CELLS)), embedded(plain, aligned(CELLS)))

    def test_large_batches_are_centred_each_by_itself(
        self, plain: Concerto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("explorer.networks.concerto_model.ENOUGH", 100)
        method = self.adapted(plain, "per-batch").method
        own = replace(aligned(CELLS), conditions=codes(CELLS, "batch")[:, None])
        foreign = replace(aligned(QUERY), conditions=codes(QUERY, "batch")[:, None] + 3)
        unsaid = replace(own, conditions=np.full((own.n_cells, 1), -1, np.int32))
        np.testing.assert_allclose(embedded(method, unsaid), embedded(plain, own), atol=1e-6)
        assert np.abs(embedded(method, own) - embedded(plain, own)).max() > 1e-3
        similarity = embedded(method, foreign) @ embedded(method, own).T
        assert (codes(CELLS)[similarity.argmax(1)] == codes(QUERY)).mean() > 0.9
        alone = np.concatenate([embedded(method, foreign.rows(slice(i, i + 1))) for i in range(0, 240, 40)])
        np.testing.assert_allclose(alone, embedded(method, foreign)[::40], atol=1e-5)
        method.save(tmp_path)
        again = Concerto.load(tmp_path, device=CPU)
        np.testing.assert_array_equal(embedded(again, foreign), embedded(method, foreign))
        assert list(again.conditions[0].names) == list(method.conditions[0].names)


def test_a_batch_that_the_reference_knows_goes_by_its_statistics(
    plain: Concerto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.networks.concerto_model.ENOUGH", 100)
    query = Condition("batch", ("b2", "q2"), codes(QUERY, "batch"))
    found = plain.adapt(Adaptation("per-batch", aligned(QUERY), {}, (query,), reference()), progress=Progress())
    assert list(found.conditions[0].names) == ["b1", "b2", "b3", "q2"]
    assert list(found.conditions[0].from_query) == [False, False, False, True]


def test_stops_when_the_contrast_of_left_out_cells_no_longer_improves() -> None:
    heard: list[float] = []
    listening = Progress.to(lambda report: heard.append(report.fraction))
    training = Training(aligned(CELLS), SYMBOLS, {}, codes(CELLS, "batch"))
    settings = replace(QUICK, epochs=100, lr=3e-3, patience=1)
    Concerto.fit(training, settings, device=CPU, progress=listening)
    assert heard[-1] == 1
    assert 0.02 < sorted(heard)[-3] < 0.9  # it ended long before its last epoch
