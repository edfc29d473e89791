"""What CONCORD alone promises: its published settings, few genes missed, and real cells beside their like."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy
import torch
from planted import BATCHES, SYMBOLS, TYPES, aligned, codes, markers, planted
from scipy import sparse
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells, FloatArray, Reference
from explorer.mapping.corridor import load_method
from explorer.methods.base import Condition, Config, Toward, Training
from explorer.methods.concord import Concord, ConcordConfig
from explorer.neighbors import normalised
from explorer.progress import Progress
from explorer.reading.genes import aligned_blocks, match_genes
from explorer.reading.query import open_query
from explorer.settings import SAMPLE_DATA

CPU = torch.device("cpu")


class TestSettings:
    def test_published_ones(self) -> None:
        config = ConcordConfig.named("paper", seed=3)
        assert (config.batch_size, config.epochs, config.lr, config.seed) == (256, 15, 1e-2, 3)
        assert config.lr_decay == pytest.approx(0.9409)
        assert (config.temperature, config.hardness) == (0.4, 1.0)
        assert (config.element_mask, config.feature_mask) == (0.4, 0.3)
        assert (config.n_hidden, config.n_latent) == (1000, 100)
        assert (config.sampler, config.p_inside, config.strategy) == ("hcl", 1.0, "proportional")
        assert config.classifier_weight == config.decoder_weight == 0
        assert config.sized(10**6) == config.sized(100) == (256, 15)

    @pytest.mark.parametrize(
        ("cells", "batch_size", "epochs"),
        [(700, 64, 92), (2000, 64, 32), (5000, 256, 52), (10**5, 256, 15), (10**6, 256, 5)],
    )
    def test_small_references_are_seen_more_often_and_large_ones_not_too_often(
        self, cells: int, batch_size: int, epochs: int
    ) -> None:
        assert ConcordConfig.named("balanced").sized(cells) == (batch_size, epochs)

    def test_settings_of_another_method_are_refused(self) -> None:
        cells = planted(cells=5)
        training = Training(aligned(cells), SYMBOLS, {}, codes(cells, "batch"))
        with pytest.raises(OptionsProblem, match="trained with a ConcordConfig, not a Config"):
            Concord.fit(training, Config(), device=CPU, progress=Progress())

    @pytest.mark.parametrize(
        ("setting", "known"),
        [("sampler", "hcl, knn, naive"), ("strategy", "proportional, equal, coverage"), ("penalty_norm", "l1, l2")],
    )
    def test_a_word_that_means_nothing_is_refused(self, setting: str, known: str) -> None:
        with pytest.raises(OptionsProblem, match=f"{setting} is one of {known}; not 'best'"):
            small(**{setting: "best"})

    def test_hard_negatives_from_other_batches_are_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        small(p_inside=0.8)
        assert "draw 80 % of each minibatch from one batch; below 95 %" in caplog.text
        caplog.clear()
        small(p_inside=0.8, sampler="knn")
        assert not caplog.text

    def test_there_is_no_other_preset(self) -> None:
        with pytest.raises(OptionsProblem, match="presets 'balanced' and 'paper', not 'best'"):
            ConcordConfig.named("best")


def small(seed: int = 0, cells: ad.AnnData | None = None, **settings: object) -> Concord:
    """A small network fitted to planted cells for two epochs, or as the settings say."""
    cells = planted(cells=20) if cells is None else cells
    labels = {"cell_type": codes(cells), "lineage": codes(cells, "lineage")}
    batch = Condition("batch", BATCHES, codes(cells, "batch"))
    training = Training(aligned(cells), SYMBOLS, labels, codes(cells, "batch"), (batch,))
    few = {"n_hidden": 64, "n_latent": 16, "epochs": 2, "batch_size": 32, "lr": 5e-3}
    config = ConcordConfig(seed=seed, **{**few, **settings})  # type: ignore[arg-type]
    return Concord.fit(training, config, device=CPU, progress=Progress())


def vectors(method: Concord, cells: AlignedCells) -> FloatArray:
    return method.embed(cells, progress=Progress()).values


class TestSamplers:
    """Cells of three batches, embedded after contrast within batches, around cores, or among all."""

    @pytest.mark.parametrize("strategy", ["proportional", "equal", "coverage"])
    @pytest.mark.parametrize("sampler", ["hcl", "knn", "naive"])
    def test_each_tells_types_apart(self, sampler: str, strategy: str) -> None:
        method = small(sampler=sampler, strategy=strategy, epochs=40, classifier_weight=0.0)
        cells = planted(batches=("query",), cells=25, seed=5)
        values = vectors(method, aligned(cells))
        own = codes(cells)
        found = cross_val_predict(KNeighborsClassifier(5, metric="cosine"), values, own, cv=5)
        assert (found == own).mean() > 0.9

    def test_neighbours_count_only_after_the_warm_up(self) -> None:
        cells = aligned(planted(cells=20))
        plain, never, soon = (
            vectors(small(classifier_weight=0.0, hardness=0.0, epochs=4, **settings), cells)  # type: ignore[arg-type]
            for settings in ({}, {"sampler": "knn", "warmup_epochs": 4}, {"sampler": "knn", "warmup_epochs": 1})
        )
        np.testing.assert_array_equal(plain, never)
        assert not np.allclose(plain, soon, atol=1e-3)

    def test_cells_left_out_to_tell_when_to_stop(self) -> None:
        """Seeded, so the same cells each time; with patience for all epochs only the best of them is kept."""
        cells = aligned(planted(cells=20))
        once, again = (vectors(small(patience=1, epochs=6), cells) for _ in range(2))
        np.testing.assert_array_equal(once, again)


class TestClassifier:
    cells = planted(batches=("query",), cells=25, seed=5)

    def test_its_probabilities_come_with_the_embedding_at_every_level(self) -> None:
        found = small(epochs=30).embed(aligned(self.cells), progress=Progress())
        assert {level: scores.shape for level, scores in found.scores.items()} == {
            "cell_type": (100, 4),
            "lineage": (100, 2),
        }
        for level, scores in found.scores.items():
            np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
            assert (scores.argmax(1) == codes(self.cells, level)).mean() > 0.95

    def test_none_without_a_weight(self) -> None:
        assert not small(classifier_weight=0.0).embed(aligned(self.cells), progress=Progress()).scores

    def test_cells_without_a_label_are_learnt_from_all_the_same(self) -> None:
        cells = planted(cells=20)
        cells.obs["cell_type"] = cells.obs["cell_type"].cat.remove_categories(["gamma"])
        training = Training(
            aligned(cells), SYMBOLS, {"cell_type": cells.obs["cell_type"].cat.codes.to_numpy(np.int32)},
            codes(cells, "batch"),
        )  # fmt: skip
        config = ConcordConfig(n_hidden=64, n_latent=16, epochs=30, batch_size=32, lr=5e-3)
        method = Concord.fit(training, config, device=CPU, progress=Progress())
        scores = method.embed(aligned(self.cells), progress=Progress()).scores["cell_type"]
        assert scores.shape == (100, 3)
        known = (self.cells.obs["cell_type"] != "gamma").to_numpy()
        assert (scores.argmax(1) == codes(self.cells))[known].mean() > 0.95

    def test_a_frozen_encoder_is_what_it_would_be_without_one(self) -> None:
        plain = small(classifier_weight=0.0, epochs=100)
        frozen = small(frozen=True, epochs=100)
        np.testing.assert_array_equal(vectors(frozen, aligned(self.cells)), vectors(plain, aligned(self.cells)))
        scores = frozen.embed(aligned(self.cells), progress=Progress()).scores["cell_type"]
        assert (scores.argmax(1) == codes(self.cells)).mean() > 0.9
        joint = small(epochs=30)
        assert not np.allclose(vectors(joint, aligned(self.cells)), vectors(plain, aligned(self.cells)), atol=1e-2)


class TestCorrectedExpression:
    method = small(decoder_weight=1.0, epochs=60)

    def test_looks_like_the_batch_asked_for(self) -> None:
        """Cells of b1 decoded as b2 are nearer to b2's mean expression than to b1's, and the other way round."""
        cells = planted(cells=20)
        means = {
            batch: np.asarray(aligned(cells[cells.obs["batch"] == batch]).log1p().mean(0)).ravel() for batch in BATCHES
        }
        first = aligned(cells[cells.obs["batch"] == "b1"])
        for batch in BATCHES:
            decoded = self.method.corrected(first, batch, progress=Progress()).mean(0)
            off = {name: float(np.abs(decoded - mean).mean()) for name, mean in means.items()}
            assert min(off, key=off.__getitem__) == batch

    def test_of_no_batch_is_that_of_their_mean(self) -> None:
        cells = aligned(planted(batches=("never seen",), cells=5))
        found = self.method.corrected(cells, progress=Progress())
        assert found.shape == (20, len(SYMBOLS))
        assert found.dtype == np.float32
        assert (found >= 0).all()
        of_each = [self.method.corrected(cells, batch, progress=Progress()) for batch in BATCHES]
        assert all(np.abs(found - each).mean() < np.abs(of_each[0] - of_each[1]).mean() for each in of_each)

    def test_of_a_batch_that_was_not_trained_is_refused(self) -> None:
        with pytest.raises(OptionsProblem, match="knows the batches b1, b2, b3; not 'b9'"):
            self.method.corrected(aligned(planted(cells=5)), "b9", progress=Progress())

    def test_needs_a_decoder(self) -> None:
        with pytest.raises(OptionsProblem, match="no decoder"):
            small().corrected(aligned(planted(cells=5)), progress=Progress())


def test_all_parts_are_saved_and_loaded(tmp_path: Path) -> None:
    cells = aligned(planted(cells=5))
    method = small(decoder_weight=1.0, gene_penalty=0.1)
    method.save(tmp_path)
    again = Concord.load(tmp_path, device=CPU)
    mine, its = (each.embed(cells, progress=Progress()) for each in (method, again))
    np.testing.assert_array_equal(mine.values, its.values)
    for level, scores in mine.scores.items():
        np.testing.assert_array_equal(scores, its.scores[level])
    np.testing.assert_array_equal(*(each.corrected(cells, "b3", progress=Progress()) for each in (method, again)))


class TestExplanations:
    method = small(epochs=60)
    cells = planted(cells=20)

    @pytest.mark.parametrize("measure", [measure.name for measure in Concord.card.measures])
    def test_either_measure_ranks_the_planted_markers_first(self, measure: str) -> None:
        for label in TYPES:
            own = aligned(self.cells[self.cells.obs["cell_type"] == label])
            direction = normalised(vectors(self.method, own)).mean(0)
            told = self.method.explain(own, Toward(label, direction), measure, progress=Progress())
            assert told.measure == measure
            assert len(set(told.top(20)["gene"]) & set(markers(label))) >= 15
            assert np.isnan(told.error) == (measure == "gradient")

    def test_of_units_point_where_the_cells_are(self) -> None:
        """The unit that is highest in a type over all others is driven by the type's markers."""
        values = vectors(self.method, aligned(self.cells))
        for label in TYPES:
            own = (self.cells.obs["cell_type"] == label).to_numpy()
            unit = int((values[own].mean(0) - values[~own].mean(0)).argmax())
            scores, errors = self.method.unit_attribution(aligned(self.cells[own]), progress=Progress())
            assert scores.shape == (16, len(SYMBOLS))
            assert errors.shape == (16,)
            assert errors[unit] < 0.1
            top = SYMBOLS[np.argsort(-scores[unit])[:20]]
            assert len(set(top) & set(markers(label))) >= 10

    def test_saliency_of_units_knows_no_error(self) -> None:
        scores, errors = self.method.unit_attribution(aligned(self.cells[:7]), "gradient", progress=Progress())
        assert scores.shape == (16, len(SYMBOLS))
        assert np.isnan(errors).all()


def test_without_a_classifier_labels_take_no_part() -> None:
    cells = planted(cells=15)
    shuffled = np.random.default_rng(0).permutation(codes(cells))
    embeddings = [
        Concord.fit(
            Training(aligned(cells), SYMBOLS, {"cell_type": labels}, codes(cells, "batch")),
            ConcordConfig.named("paper"),
            device=CPU,
            progress=Progress(),
        ).embed(aligned(cells), progress=Progress()).values
        for labels in (codes(cells), shuffled)
    ]  # fmt: skip
    np.testing.assert_array_equal(*embeddings)


def test_a_tenth_of_the_genes_may_be_missing(sample_atlas: Reference) -> None:
    """Median cosine of a cell to itself without them: 0.98 when this was written."""
    trained = load_method(sample_atlas, "concord", "cpu")
    query = open_query(SAMPLE_DATA / "pbmc_ifnb_832.h5ad")
    (cells,) = aligned_blocks(query, match_genes(query.var, sample_atlas.genes), trained.positions)
    kept = sparse.diags((np.random.default_rng(0).random(len(trained.positions)) >= 0.1).astype(np.float32))
    fewer = AlignedCells(sparse.csr_matrix(cells.values @ kept), cells.totals, is_counts=True)
    own, without = (
        normalised(trained.method.embed(each, progress=Progress()).values) for each in (cells, fewer)
    )
    assert np.median((own * without).sum(1)) > 0.95


def test_real_cells_lie_beside_their_like() -> None:
    """700 blood cells, 765 genes: accuracy of 15 neighbours was 0.82; that of 50 principal components is 0.80."""
    blood = scanpy.datasets.pbmc68k_reduced()
    linear = sparse.csr_matrix(blood.raw.X).astype(np.float32).expm1()
    cells = AlignedCells(linear, np.full(700, 1e4, np.float32), is_counts=False)
    genes = blood.raw.var_names.to_numpy(object)
    training = Training(cells, genes, {}, np.zeros(700, np.int32))
    method = Concord.fit(training, ConcordConfig.named("balanced"), device=CPU, progress=Progress())
    values = method.embed(cells, progress=Progress()).values
    own = blood.obs["bulk_labels"].astype(str).to_numpy()
    found = cross_val_predict(KNeighborsClassifier(15, metric="cosine"), values, own, cv=5)
    assert (found == own).mean() >= 0.78
