"""The query corridor: real cells get the labels that others gave them, and no detail of a file changes an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cells import real_file, transformed
from planted import STRANGER, SYMBOLS, TYPES, markers, planted
from scipy import sparse
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from explorer.errors import Cancelled, GenesProblem, OptionsProblem, ReferenceProblem, ValuesProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.mapping.corridor import EXPLAINED_CELLS, explain_cells, load_method, map_query
from explorer.progress import Progress, Report
from explorer.reading.query import open_query
from explorer.settings import SAMPLE_DATA

# what the labels of the stimulated and control cells are called in the sample atlas
IFNB = {
    "CD14 Mono": "CD14 monocyte",
    "CD16 Mono": "CD16 monocyte",
    "CD4 Naive T": "CD4 T cell",
    "CD4 Memory T": "CD4 T cell",
    "B": "B cell",
    "CD8 T": "CD8 T cell",
}


def mapped(cells: ad.AnnData, reference: Reference, **options: object) -> MappingResult:
    return map_query(open_query(cells), reference, device="cpu", **options)


def same(mine: MappingResult, other: MappingResult, *, exactly: bool = True) -> None:
    """Two results say the same of the same cells."""
    tolerance = 0 if exactly else 1e-4
    np.testing.assert_allclose(mine.embedding, other.embedding, atol=tolerance)
    np.testing.assert_allclose(mine.layout, other.layout, atol=tolerance * 10)
    for a, b in zip(mine.labels.levels, other.labels.levels, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=tolerance)
        np.testing.assert_allclose(a.novelty, b.novelty, atol=0 if exactly else 0.02)


@pytest.fixture(scope="module")
def query() -> Query:
    """Control and stimulated blood cells."""
    return open_query(SAMPLE_DATA / "pbmc_ifnb_832.h5ad")


@pytest.fixture(scope="module")
def result(query: Query, sample_atlas: Reference) -> MappingResult:
    """The same on the sample atlas."""
    return map_query(query, sample_atlas, device="cpu")


class TestRealCells:
    """Control and stimulated blood cells, labelled by others, on the sample atlas."""

    def test_labels_agree_with_those_of_others(self, query: Query, result: MappingResult) -> None:
        """0.89 and 0.83 when this was written."""
        own = query.obs["cell_type"].astype(str).map(IFNB).to_numpy(object)
        found = result.labels.first.labels
        assert result.labels.first.level == "cell_type"
        assert accuracy_score(own, found) > 0.85
        assert f1_score(own, found, labels=np.unique(own), average="macro") > 0.78

    def test_stimulated_cells_are_more_novel(self, query: Query, result: MappingResult) -> None:
        """AUROC 0.70 when this was written."""
        stimulated = (query.obs["condition"] == "stim").to_numpy()
        first = result.labels.first
        assert roc_auc_score(stimulated, first.novelty) > 0.6
        assert first.unknown[stimulated].mean() > 2 * first.unknown[~stimulated].mean()

    def test_levels_agree_with_each_other(self, sample_atlas: Reference, result: MappingResult) -> None:
        """A cell's type and its lineage come from two heads; the reference says which belongs to which."""
        pairs = sample_atlas.obs[["cell_type", "lineage"]].astype(str).value_counts().index
        lineage_of = dict(pairs.tolist()[::-1])
        types, lineages = (result.labels.level(name).labels for name in ("cell_type", "lineage"))
        assert np.mean([lineage_of[t] == lineage for t, lineage in zip(types, lineages, strict=True)]) > 0.9

    def test_everything_has_its_shape_and_range(self, result: MappingResult) -> None:
        n = 832
        assert result.n_cells == len(result.obs) == n
        assert result.embedding.shape == (n, 100)
        assert result.layout.shape == (n, 2)
        assert result.neighbors.indices.shape == result.neighbors.similarity.shape == (n, 15)
        assert [level.level for level in result.labels.levels] == ["cell_type", "lineage", "cell_subtype"]
        for level in result.labels.levels:
            assert level.probabilities.shape == (n, len(level.classes))
            np.testing.assert_allclose(level.probabilities.sum(1), 1, atol=1e-5)
            for doubt in (level.confidence, level.disagreement, level.novelty):
                assert doubt.shape == (n,)
                assert ((doubt >= 0) & (doubt <= 1)).all()
            assert level.unknown.dtype == bool

    def test_cells_are_placed_within_the_reference_picture_beside_their_like(
        self, sample_atlas: Reference, result: MappingResult
    ) -> None:
        picture = load_method(sample_atlas, "concord", "cpu").layout
        assert (result.layout >= picture.min(0)).all()
        assert (result.layout <= picture.max(0)).all()
        away = np.linalg.norm(result.layout[:, None] - picture, axis=2).argmin(1)
        beside = sample_atlas.obs["lineage"].astype(str).to_numpy()[away]
        assert (beside == result.labels.level("lineage").labels).mean() > 0.9

    @pytest.mark.parametrize(
        ("label", "known"),
        [
            ("B cell", {"CD79A", "MS4A1"}),
            ("CD14 monocyte", {"CD14", "FCN1", "LYZ", "S100A8", "S100A9"}),
            ("CD16 monocyte", {"FCGR3A", "MS4A7"}),
            ("CD8 T cell", {"CD8A", "CD8B"}),
        ],
        ids=["B", "CD14 monocyte", "CD16 monocyte", "CD8 T"],
    )
    def test_known_markers_explain_a_label(
        self, query: Query, result: MappingResult, sample_atlas: Reference, label: str, known: set[str]
    ) -> None:
        rows = np.flatnonzero(result.labels.first.labels == label)
        found = explain_cells(query, sample_atlas, "concord", rows, label, level="cell_type", device="cpu")
        assert known & set(found.top(10)["gene"])
        assert found.error < 0.1
        assert found.scores.shape == found.names.shape == (2000,)

    def test_provenance_tells_how_the_answer_came_about(
        self, query: Query, result: MappingResult, sample_atlas: Reference
    ) -> None:
        told = result.provenance
        assert (told.query, told.reference, told.method) == ("pbmc_ifnb_832", sample_atlas.title, "concord")
        assert told.reference_checksum == sample_atlas.checksum
        assert (told.matrix, told.value_kind, told.device, told.seed) == ("X", "counts", "cpu", 0)
        assert told.config["preset"] == "balanced"
        assert {"python", "atlas-explorer", "torch", "anndata", "numpy", "scipy", "faiss-cpu"} <= set(told.versions)
        assert list(told.seconds) == [
            "load model", "match genes", "read and align", "embed", "neighbors", "labels", "layout"
        ]  # fmt: skip
        assert all(seconds >= 0 for seconds in told.seconds.values())
        assert pd.Timestamp(told.created).tzinfo is not None
        covered = told.coverage
        assert (covered.needed, covered.found + len(covered.missing)) == (2000, 2000)
        assert covered.share == covered.found / 2000 > 0.9
        symbols = set(query.var.index)
        assert not symbols & set(covered.missing)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hematopoiesis_paul15_mouse.h5ad", r"look like mouse symbols .* is human: choose 'map orthologues'"),
        ("pancreas_wang.h5ad", r"39 of 2,000 reference genes found \(2 %\).*219 genes in all: map the file as it was"),
        ("atac_mouse_forebrain.h5ad", r"holds peaks \(chr1_3119987_3120487 .*Compute gene activity"),
    ],
    ids=["mouse", "219 genes", "ATAC"],
)
def test_a_real_file_that_cannot_be_mapped_is_refused_with_a_way_out(
    sample_atlas: Reference, name: str, message: str
) -> None:
    with pytest.raises(GenesProblem, match=message):
        map_query(open_query(real_file(name)), sample_atlas, device="cpu")


def test_genes_as_rows_are_told_from_genes_that_are_lacking(
    planted_query: ad.AnnData, planted_reference: Reference
) -> None:
    with pytest.raises(GenesProblem, match=r"Its cells are called like genes \(.*save adata.T instead"):
        map_query(open_query(planted_query.T), planted_reference, device="cpu")


def test_mouse_cells_can_be_mapped_by_orthologues(sample_atlas: Reference) -> None:
    query = open_query(real_file("hematopoiesis_paul15_mouse.h5ad"))
    result = map_query(query, sample_atlas, orthologs=True, device="cpu")
    assert any("translated by one-to-one orthologues" in notice for notice in result.provenance.notices)
    assert result.labels.first.unknown.mean() > 0.8, "progenitors in the marrow of mice are not human blood"


def test_cells_of_another_organ_are_unknown(sample_atlas: Reference) -> None:
    result = map_query(open_query(real_file("heart_sinoatrial_1000.h5ad")), sample_atlas, device="cpu")
    assert result.labels.first.unknown.mean() > 0.7


@pytest.fixture(scope="module")
def plain(planted_query: ad.AnnData, planted_reference: Reference) -> MappingResult:
    """The planted query as it is."""
    return mapped(planted_query, planted_reference)


class TestNothingElseMatters:
    """Planted cells, told in another way, get the same answer."""

    def test_asking_again(self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        same(mapped(planted_query, planted_reference), plain)

    def test_who_else_is_in_the_file(
        self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        for rows in (slice(0, 100), slice(100, 300)):
            part = mapped(planted_query[rows].copy(), planted_reference)
            np.testing.assert_allclose(part.embedding, plain.embedding[rows], atol=1e-5)
            np.testing.assert_array_equal(part.labels.first.labels, plain.labels.first.labels[rows])
            np.testing.assert_allclose(part.labels.first.novelty, plain.labels.first.novelty[rows], atol=0.02)

    def test_a_cell_alone(self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        alone = mapped(planted_query[7:8].copy(), planted_reference)
        assert alone.n_cells == 1
        np.testing.assert_allclose(alone.embedding, plain.embedding[7:8], atol=1e-5)
        np.testing.assert_allclose(alone.layout, plain.layout[7:8], atol=1e-3)

    def test_blocks_in_which_a_file_is_read(self, planted_reference: Reference) -> None:
        many = planted(TYPES, ("query",), 2100, seed=4)
        whole = mapped(many, planted_reference)
        first, last = (mapped(many[rows].copy(), planted_reference) for rows in (slice(8192), slice(8192, None)))
        assert whole.n_cells == 8400
        np.testing.assert_array_equal(whole.embedding[:8192], first.embedding)
        np.testing.assert_allclose(whole.embedding[8192:], last.embedding, atol=1e-5)
        both = np.concatenate([first.labels.first.labels, last.labels.first.labels])
        assert (whole.labels.first.labels == both).all()
        assert whole.layout.shape == (8400, 2)
        assert whole.neighbors.indices.shape == (8400, 15)

    @pytest.mark.parametrize("how", ["dense", "CSC", "integers", "doubles", "explicit zeros"])
    def test_how_values_are_stored(
        self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference, how: str
    ) -> None:
        X = planted_query.X
        stored: dict[str, Callable[[], object]] = {
            "dense": X.toarray,
            "CSC": X.tocsc,
            "integers": lambda: X.astype(np.int32),
            "doubles": lambda: X.astype(np.float64),
            "explicit zeros": lambda: _with_zeros(X),
        }
        same(mapped(ad.AnnData(stored[how](), planted_query.obs, planted_query.var), planted_reference), plain)

    def test_genes_that_the_reference_does_not_know(
        self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        """They count in the depth of a cell, which the encoder does not see."""
        extra = sparse.csr_matrix(np.random.default_rng(0).poisson(1, (300, 50)).astype(np.float32))
        var = pd.DataFrame(index=[*planted_query.var_names, *(f"OTHER{i}" for i in range(50))])
        more = ad.AnnData(sparse.hstack([planted_query.X, extra]).tocsr(), planted_query.obs, var)
        found = mapped(more, planted_reference)
        assert (found.labels.first.labels == plain.labels.first.labels).mean() > 0.97

    @pytest.mark.filterwarnings("ignore:Variable names are not unique")  # which is the point
    def test_a_gene_that_is_split_over_two_columns(
        self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        half = planted_query.X.copy()
        half.data = np.floor(half.data / 2)
        var = pd.DataFrame(index=[*planted_query.var_names, *planted_query.var_names])
        split = ad.AnnData(sparse.hstack([planted_query.X - half, half]).tocsr(), planted_query.obs, var)
        found = mapped(split, planted_reference)
        same(found, plain)
        assert any("summed" in notice for notice in found.provenance.notices)

    def test_missing_genes_count_as_not_expressed(
        self, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        """Half the unmarked genes are gone; with columns of zeros in their place every place and label is the same."""
        gone = np.isin(planted_query.var_names, SYMBOLS[200:])
        without = mapped(planted_query[:, ~gone].copy(), planted_reference)
        silent = planted_query.copy()
        silent.X = silent.X @ sparse.diags((~gone).astype(np.float32))
        zeros = mapped(silent, planted_reference)
        np.testing.assert_array_equal(without.embedding, zeros.embedding)
        np.testing.assert_array_equal(without.layout, zeros.layout)
        for mine, other in zip(without.labels.levels, zeros.labels.levels, strict=True):
            np.testing.assert_array_equal(mine.probabilities, other.probabilities)
        assert (without.provenance.coverage.found, zeros.provenance.coverage.found) == (200, 300)

    def test_logarithms_are_undone_before_they_are_taken(
        self, plain: MappingResult, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        logged = ad.AnnData(transformed(planted_query, "log1p of CP10k"), planted_query.obs, planted_query.var)
        found = mapped(logged, planted_reference)
        np.testing.assert_allclose(found.embedding, plain.embedding, atol=1e-3)
        assert found.provenance.value_kind == "log1p"
        assert any("no logarithm is taken twice" in notice for notice in found.provenance.notices)


def _with_zeros(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    every = matrix.toarray()
    rows, columns = every.shape
    return sparse.csr_matrix(
        (every.ravel(), np.tile(np.arange(columns), rows), np.arange(0, every.size + 1, columns)), shape=every.shape
    )


class TestDoubt:
    def test_an_unseen_type_is_novel_and_seen_ones_are_not(
        self, plain: MappingResult, planted_query: ad.AnnData
    ) -> None:
        stranger = (planted_query.obs["cell_type"] == STRANGER).to_numpy()
        first = plain.labels.first
        assert np.median(first.novelty[stranger]) > 0.95
        assert np.median(first.novelty[~stranger]) < 0.8

    def test_an_empty_cell_gets_an_answer_that_says_nothing(
        self, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        cells = planted_query[:20].copy()
        emptied = cells.X.tolil()
        emptied[3] = 0
        cells.X = emptied.tocsr()
        found = mapped(cells, planted_reference)
        assert np.isfinite(found.embedding).all()
        assert np.isfinite(found.labels.first.confidence).all()
        assert any("no expression at all" in notice for notice in found.provenance.notices)


class TestRefusals:
    def test_too_few_genes(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        with pytest.raises(GenesProblem, match=r"60 of 300 reference genes found \(20 %\); at least 30 % are needed"):
            mapped(planted_query[:, :60].copy(), planted_reference)

    def test_few_genes_are_mapped_with_a_notice(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        found = mapped(planted_query[:, :150].copy(), planted_reference)
        assert any("150 of 300 reference genes found (50 %)" in notice for notice in found.provenance.notices)

    def test_no_gene_in_common(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        other = planted_query.copy()
        other.var_names = [f"STRANGE{i}" for i in range(other.n_vars)]
        with pytest.raises(GenesProblem, match=r"0 of 300 reference genes found"):
            mapped(other, planted_reference)

    def test_a_bad_value_far_down_in_the_file(self, planted_reference: Reference) -> None:
        """Opening looks at a sample of cells; a block is checked when it is read."""
        many = planted(TYPES, ("query",), 2100, seed=4)
        at = many.X.indptr[8300]
        many.X.data[at] = np.nan
        query = open_query(many)
        with pytest.raises(ValuesProblem, match=r"NaN or infinite.*cell8300"):
            map_query(query, planted_reference, device="cpu")

    def test_a_device_that_is_not_there(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        with pytest.raises(OptionsProblem, match=r"no device 'tpu'; choose auto, cpu or cuda"):
            map_query(open_query(planted_query), planted_reference, device="tpu")


class TestExplain:
    def test_above_a_number_of_cells_a_sample_speaks_for_them(
        self, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        rows = np.arange(EXPLAINED_CELLS + 50)
        query = open_query(planted_query)
        once, again = (
            explain_cells(query, planted_reference, "concord", rows, "alpha", level="cell_type") for _ in range(2)
        )
        np.testing.assert_array_equal(once.scores, again.scores)

    def test_the_order_of_cells_does_not_matter(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        query, rows = open_query(planted_query), np.flatnonzero(planted_query.obs["cell_type"] == "beta")
        forward, backward = (
            explain_cells(query, planted_reference, "concord", order, "beta", level="cell_type")
            for order in (rows, rows[::-1])
        )
        np.testing.assert_allclose(forward.scores, backward.scores, atol=1e-6)
        assert forward.toward == "beta"

    def test_at_each_level(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        rows = np.flatnonzero(np.isin(planted_query.obs["cell_type"], ["alpha", "beta"]))
        found = explain_cells(open_query(planted_query), planted_reference, "concord", rows, "first", level="lineage")
        planted_markers = np.concatenate([markers(label) for label in TYPES])
        assert np.isin(found.top(10)["gene"], planted_markers).mean() > 0.8, "what they express, or what others do"

    @pytest.mark.parametrize(("label", "level"), [("omega", "cell_type"), ("alpha", "colour")], ids=["label", "level"])
    def test_a_label_that_is_not_there(
        self, planted_query: ad.AnnData, planted_reference: Reference, label: str, level: str
    ) -> None:
        with pytest.raises(ReferenceProblem, match=f"no label '{label}' at the level '{level}'"):
            explain_cells(open_query(planted_query), planted_reference, "concord", np.arange(5), label, level=level)

    def test_no_cells(self, planted_query: ad.AnnData, planted_reference: Reference) -> None:
        none = np.empty(0, np.int64)
        with pytest.raises(OptionsProblem, match="Choose at least one"):
            explain_cells(open_query(planted_query), planted_reference, "concord", none, "alpha", level="cell_type")


class TestProgress:
    def test_it_rises_from_stage_to_stage_and_ends_at_one(
        self, planted_query: ad.AnnData, planted_reference: Reference
    ) -> None:
        heard: list[Report] = []
        mapped(planted_query, planted_reference, progress=Progress.to(heard.append))
        fractions = [report.fraction for report in heard]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert heard[0].stage == "Loading the model"
        assert "Mapping cells" in {report.stage for report in heard}

    def test_cancelled_in_the_first_block_it_reads_no_second(self, planted_reference: Reference) -> None:
        many = planted(TYPES, ("query",), 2100, seed=4)
        query = open_query(many)
        watched = Watched(query)
        heard: list[Report] = []
        progress = Progress.to(heard.append, lambda: "Mapping cells" in {report.stage for report in heard})
        with pytest.raises(Cancelled, match="Stopped on request"):
            map_query(replace(query, matrix=watched), planted_reference, device="cpu", progress=progress)
        assert watched.asked == [slice(0, 8192)]


class Watched:
    """The rows of a query, and which of them were asked for."""

    def __init__(self, query: Query) -> None:
        self._rows = query.matrix
        self.shape = query.matrix.shape
        self.asked: list[slice] = []

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        self.asked.append(rows)
        return self._rows[rows]


def test_the_query_stays_as_it_is(planted_query: ad.AnnData, planted_reference: Reference) -> None:
    before = planted_query.copy()
    mapped(planted_query, planted_reference)
    assert (before.X != planted_query.X).nnz == 0
    pd.testing.assert_frame_equal(before.obs, planted_query.obs)
    assert list(planted_query.obsm) == []
    assert "atlas_explorer" not in planted_query.uns
