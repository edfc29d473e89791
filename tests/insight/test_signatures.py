"""Signatures beside expression: tables counted by hand, planted markers, and the reference's own cells."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import TYPES, markers
from scipy import sparse

from explorer.asking.reasons import LabelSignatures, signature_of_cells, signatures_of_labels
from explorer.errors import Cancelled, OptionsProblem, ReferenceProblem
from explorer.explanation import Signature
from explorer.flow import MappingResult, Query, Reference
from explorer.insight.signatures import Expressed, beside_expression, dots, expressed
from explorer.mapping.corridor import map_query
from explorer.progress import Progress
from explorer.reading.query import open_query

LOGGED = sparse.csr_matrix(np.array([[1.0, 0, 2], [3, 0, 0], [0, 0, 1], [0, 0, 1]], np.float32))
NAMES = np.array(["A", "B", "C"], dtype=object)


def _signature(scores: list[float], toward: str = "t", of: str = "gene") -> Signature:
    return Signature(NAMES, np.array(scores, np.float32), toward, "gradients", 0.02, of)


def test_mean_and_share_counted_by_hand() -> None:
    found = expressed(LOGGED)
    assert found.mean.tolist() == [1, 0, 1]
    assert found.share.tolist() == [0.5, 0, 0.75]
    assert found.cells == 4


def test_stored_zeros_are_not_expression() -> None:
    stored = sparse.csr_matrix((np.array([0.0, 1.0], np.float32), [0, 1], [0, 2]), shape=(1, 2))
    assert expressed(stored).share.tolist() == [0, 1]


def test_a_gene_speaks_by_presence_or_by_absence() -> None:
    chosen, others = expressed(LOGGED[:2]), expressed(LOGGED[2:])
    found = beside_expression(_signature([0.1, 0.3, 0.2]), chosen, others, ("two cells", "the rest"))
    assert found.table["gene"].tolist() == ["B", "C", "A"]
    row = found.table.set_index("gene").loc["A"]
    assert (row["mean"], row["share"], row["mean_others"], row["share_others"]) == (2, 1, 0, 0)
    assert found.table.set_index("gene")["speaks_by"].to_dict() == {"A": "presence", "B": "absence", "C": "absence"}
    assert (found.cells, found.others, found.signature.error) == (2, 2, 0.02)


def test_pathways_have_no_expression_of_their_own() -> None:
    with pytest.raises(OptionsProblem, match="scores pathways; expression stands beside genes only"):
        beside_expression(_signature([1, 1, 1], of="pathway"), expressed(LOGGED), expressed(LOGGED), ("", ""))


def test_a_gene_of_two_labels_stands_once_in_a_dot_plot() -> None:
    groups = {"t": expressed(LOGGED[:2]), "u": expressed(LOGGED[2:])}
    of_labels = [
        beside_expression(_signature([3, 2, 1], "t"), groups["t"], groups["u"], ("t", "u")),
        beside_expression(_signature([3, 1, 2], "u"), groups["u"], groups["t"], ("u", "t")),
    ]
    found = dots(of_labels, groups, n=2)
    assert list(found.groupby("gene", sort=False)["of"].first().items()) == [("A", "t"), ("B", "t"), ("C", "u")]
    cell = found[(found["gene"] == "C") & (found["group"] == "u")].iloc[0]
    assert (cell["mean"], cell["share"], cell["score"]) == (1, 1, 2)


@pytest.fixture(scope="module")
def query(planted_query: ad.AnnData) -> Query:
    return open_query(planted_query, name="planted")


@pytest.fixture(scope="module")
def result(query: Query, planted_reference: Reference) -> MappingResult:
    return map_query(query, planted_reference)


@pytest.fixture(scope="module")
def found(query: Query, planted_reference: Reference, result: MappingResult) -> LabelSignatures:
    return signatures_of_labels(query, planted_reference, result)


@pytest.mark.parametrize("label", TYPES)
def test_planted_markers_come_first_and_are_present(found: LabelSignatures, label: str) -> None:
    of_label = next(each for each in found.of_labels if each.signature.toward == label)
    top = of_label.top(10)
    assert top["gene"].isin(markers(label)).sum() >= 8
    assert (top.loc[top["gene"].isin(markers(label)), "speaks_by"] == "presence").all()
    assert np.isfinite(of_label.signature.error)


def test_expression_is_that_of_the_file(
    found: LabelSignatures, result: MappingResult, planted_query: ad.AnnData
) -> None:
    """A slow twin: dense, from the file's own counts."""
    first = result.labels.first
    inside = (first.labels == "alpha") & ~first.unknown
    counts = planted_query.X.toarray().astype(np.float64)
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    of_label = next(each for each in found.of_labels if each.signature.toward == "alpha")
    table = of_label.table.set_index("gene")
    others = ~inside & ~first.unknown
    for gene in of_label.top(5)["gene"]:
        values = logged[:, planted_query.var_names.get_loc(gene)]
        assert table.loc[gene, "mean"] == pytest.approx(values[inside].mean(), rel=1e-4)
        assert table.loc[gene, "mean_others"] == pytest.approx(values[others].mean(), rel=1e-4)
        assert table.loc[gene, "share"] == pytest.approx((values[inside] > 0).mean())


def test_all_labels_in_one_file(found: LabelSignatures, tmp_path: Path) -> None:
    found.write(tmp_path / "signatures.csv")
    table = pd.read_csv(tmp_path / "signatures.csv")
    assert list(table.columns[:6]) == ["label", "chosen", "against", "error", "gene", "score"]
    assert set(table["label"]) == set(TYPES)
    assert len(table) == sum(len(each.table) for each in found.of_labels)


def test_one_cell_beside_the_references_own(
    query: Query, planted_reference: Reference, result: MappingResult
) -> None:
    row = np.flatnonzero(result.labels.first.labels == "beta")[:1]
    found = signature_of_cells(query, planted_reference, result, row, "beta", against="reference")
    assert (found.chosen, found.against) == ("1 chosen cell", "the reference's beta")
    assert (found.cells, found.others) == (1, int((planted_reference.obs["cell_type"] == "beta").sum()))
    of_marker = found.table.set_index("gene").loc[list(markers("beta"))]
    assert of_marker["mean_others"].mean() > 1.5 * found.table["mean_others"].mean()


def test_what_cannot_be_asked_is_said(query: Query, planted_reference: Reference, result: MappingResult) -> None:
    everyone = np.arange(query.n_cells)
    with pytest.raises(OptionsProblem, match="rest, reference; not with 'nobody'"):
        signature_of_cells(query, planted_reference, result, everyone, "beta", against="nobody")
    with pytest.raises(OptionsProblem, match="there are no others"):
        signature_of_cells(query, planted_reference, result, everyone, "beta")
    with pytest.raises(ReferenceProblem, match="no label 'omega'"):
        signatures_of_labels(query, planted_reference, result, labels=["omega"])


def test_it_stops_between_labels(query: Query, planted_reference: Reference, result: MappingResult) -> None:
    seen: list[str] = []
    progress = Progress.to(lambda report: seen.append(report.stage), lambda: len(set(seen)) > 2)
    with pytest.raises(Cancelled):
        signatures_of_labels(query, planted_reference, result, progress=progress)
    assert any(stage.startswith("Explaining ") for stage in seen)


def test_groups_without_cells_are_zeros() -> None:
    nothing = expressed(sparse.csr_matrix((0, 3), dtype=np.float32))
    assert isinstance(nothing, Expressed)
    assert nothing.mean.tolist() == nothing.share.tolist() == [0, 0, 0]
