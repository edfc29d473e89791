"""Gene sets of a list: Fisher's test and the rank-sum test by hand, and interferon without being told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from explorer.errors import GenesProblem
from explorer.genesets import read_collections
from explorer.insight.by_gene import of_genes
from explorer.insight.enrichment import enrich, enrich_ranking, leading_genes
from explorer.insight.markers import markers
from explorer.reading.query import open_query
from explorer.settings import SAMPLE_DATA

MEASURED = [f"G{i:03d}" for i in range(200)]
SETS = {
    "first": frozenset(MEASURED[:20]),
    "spread": frozenset(MEASURED[::10]),
    "few": frozenset(MEASURED[:4]),
    "elsewhere": frozenset(f"X{i}" for i in range(50)),
}


def test_fisher() -> None:
    """The list in another case, with a gene that was not measured and one twice."""
    table = enrich(["g001", "G002", "G003", "G010", "G002", "ACTB"], SETS, MEASURED).set_index("gene_set")
    assert table.index.tolist() == ["first", "spread"]
    row = table.loc["first"]
    twin = stats.fisher_exact([[4, 0], [16, 180]], alternative="greater")
    assert (row["found"], row["size"], row["expected"]) == (4, 20, 0.4)
    assert row["p"] == pytest.approx(twin.pvalue)
    assert row["genes"] == "G001 G002 G003 G010"
    assert table["adjusted_p"].to_numpy() == pytest.approx(stats.false_discovery_control(table["p"]))


def test_background_is_what_was_measured() -> None:
    """The same list is less of a surprise among fewer genes."""
    among = [enrich(MEASURED[:4], SETS, MEASURED[:n])["p"].min() for n in (50, 100, 200)]
    assert among == sorted(among, reverse=True)


def test_ranking() -> None:
    scores = np.random.default_rng(0).normal(size=200)
    scores[:20] += 2
    table = enrich_ranking(MEASURED, scores, SETS).set_index("gene_set")
    inside = np.isin(MEASURED, list(SETS["spread"]))
    twin = stats.mannwhitneyu(scores[inside], scores[~inside], use_continuity=False, method="asymptotic")
    assert table.loc["spread", "p"] == pytest.approx(twin.pvalue)
    assert table.index[0] == "first"
    assert table.loc["first", "auroc"] > 0.8


def test_nothing_to_look_up() -> None:
    with pytest.raises(GenesProblem, match="None of the 1 genes is among the 200 measured"):
        enrich(["ACTB"], SETS, MEASURED)
    with pytest.raises(GenesProblem, match="None of the 4 gene sets holds 5"):
        enrich(["A"], SETS, ["A", "B"])


@pytest.mark.parametrize("label", ["CD14 Mono", "B"])
def test_stimulated_cells_show_interferon(label: str) -> None:
    query = open_query(SAMPLE_DATA / "pbmc_ifnb_832.h5ad")
    of_label = (query.obs["cell_type"] == label).to_numpy()
    stimulated = (query.obs["condition"] == "stim").to_numpy()
    table = markers(of_genes(query), of_label & stimulated, of_label & ~stimulated).table
    sets = read_collections(["reactome"])
    found = enrich(leading_genes(table), sets, table["gene"].tolist())
    assert all("INTERFERON" in name for name in found["gene_set"][:2])
    ranked = enrich_ranking(table["gene"].tolist(), table["score"].to_numpy(), sets)
    assert "INTERFERON" in ranked["gene_set"][0]
