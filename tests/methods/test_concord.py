"""What CONCORD alone promises: its published settings, few genes missed, and real cells beside their like."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy
import torch
from planted import SYMBOLS, aligned, codes, planted
from scipy import sparse
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells, Reference
from explorer.genes import aligned_blocks, match_genes
from explorer.mapping import load_method
from explorer.methods.base import Config, Training
from explorer.methods.concord import Concord, ConcordConfig
from explorer.neighbors import normalised
from explorer.progress import Progress
from explorer.query import open_query
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

    def test_there_is_no_other_preset(self) -> None:
        with pytest.raises(OptionsProblem, match="presets 'balanced' and 'paper', not 'best'"):
            ConcordConfig.named("best")


def test_labels_take_no_part() -> None:
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
