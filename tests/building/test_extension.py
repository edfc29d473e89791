"""References extended by cells that a user has named."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from planted import STRANGER, TYPES, planted
from scipy import sparse

from explorer import keys
from explorer.__main__ import main
from explorer.building.extension import extend_reference
from explorer.errors import Cancelled, OptionsProblem
from explorer.flow import Reference
from explorer.mapping.corridor import map_query
from explorer.progress import Progress
from explorer.reading.query import open_query
from explorer.reference import open_reference, read_embedding, read_gene, read_layout
from explorer.report import describe_reference

METHOD = "concord"


@pytest.fixture(scope="module")
def named(planted_query: ad.AnnData) -> ad.AnnData:
    """The planted query, of which half the strangers were given a name, and twenty of alpha theirs."""
    cells = planted_query.copy()
    own = cells.obs["cell_type"].astype(str).to_numpy()
    name = np.full(len(own), "", dtype=object)
    name[np.flatnonzero(own == STRANGER)[:30]] = "newcomer"
    name[np.flatnonzero(own == "alpha")[:20]] = "alpha"
    name[np.flatnonzero(own == "beta")[:5]] = keys.UNKNOWN
    cells.obs["mine"] = name
    return cells


@pytest.fixture(scope="module")
def extended(planted_reference: Reference, named: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    out = tmp_path_factory.mktemp("extended") / "extended.atlas"
    return extend_reference(planted_reference, open_query(named, name="my cells"), out, column="mine")


def test_the_named_cells_are_part_of_it(extended: Reference, planted_reference: Reference) -> None:
    assert extended.n_cells == planted_reference.n_cells + 50
    added = extended.obs.iloc[planted_reference.n_cells :]
    assert (added["cell_type"] == "newcomer").sum() == 30
    assert (added["cell_type"] == "alpha").sum() == 20
    assert added["lineage"].isna().all()
    assert set(added["batch"]) == set(added["donor"]) == {"my cells"}
    assert len(read_layout(extended, METHOD)) == len(read_embedding(extended, METHOD)) == extended.n_cells


def test_what_was_there_stays_as_it_was(extended: Reference, planted_reference: Reference) -> None:
    """Model, genes, and where the reference's own cells lie."""
    before, after = planted_reference.card["files"], extended.card["files"]
    kept = ["genes.csv", f"methods/{METHOD}/weights.safetensors", f"methods/{METHOD}/config.json"]
    assert [after[name] for name in kept] == [before[name] for name in kept]
    n = planted_reference.n_cells
    for read in (read_embedding, read_layout):
        np.testing.assert_array_equal(read(extended, METHOD)[:n], read(planted_reference, METHOD))
    gene = planted_reference.genes["symbol"].iloc[0]
    np.testing.assert_array_equal(read_gene(extended, gene)[:n], read_gene(planted_reference, gene))
    old = extended.obs.iloc[:n]
    for column in planted_reference.obs.columns:
        assert list(old[column]) == list(planted_reference.obs[column]), column


def test_it_says_what_was_added_from_where(extended: Reference) -> None:
    (told,) = extended.card["extended"]
    assert (told["from"], told["column"], told["level"]) == ("my cells", "mine", "cell_type")
    assert told["cells"] == {"alpha": 20, "newcomer": 30}
    assert extended.card["cells"] == extended.n_cells


def test_the_other_strangers_are_found(
    extended: Reference, planted_reference: Reference, named: ad.AnnData
) -> None:
    rest = named[(named.obs["mine"] == "").to_numpy()].copy()
    stranger = (rest.obs["cell_type"] == STRANGER).to_numpy()
    found = map_query(open_query(rest), extended, METHOD).labels.first
    assert (found.labels[stranger] == "newcomer").mean() > 0.9
    assert found.unknown[stranger].mean() < 0.3
    assert (found.labels[~stranger] == "newcomer").mean() < 0.02
    before = map_query(open_query(rest), planted_reference, METHOD).labels.first
    assert before.unknown[stranger].mean() > 0.8
    kept = before.labels[~stranger] == found.labels[~stranger]
    assert kept.mean() > 0.95


def test_its_own_cells_are_not_novel_to_the_new_label_and_little_is_known_of_it(
    extended: Reference, named: ad.AnnData
) -> None:
    result = map_query(open_query(named), extended, METHOD)
    found, own = result.labels.first, (named.obs["mine"] == "newcomer").to_numpy()
    assert (found.labels[own] == "newcomer").all()
    assert not found.unknown[own].any()
    assert (found.stretch[own] <= 1).mean() > 0.9
    assert np.median(found.novelty[own]) < 0.8
    assert found.novelty.max() <= 1
    got = found.labels == "newcomer"
    assert found.novelty[got].max() <= 1 - 1 / 31 + 1e-6, "one of thirty-one is the least p-value"
    (told,) = [notice for notice in result.provenance.notices if "newcomer" in notice]
    assert told.startswith(f"{got.sum()} cells got the label newcomer at cell_type, which was added to the reference")
    assert "with 30 cells" in told
    assert "added    alpha (20 cells), newcomer (30 cells) at cell_type, of my cells" in describe_reference(extended)


def test_doubt_about_other_labels_stays_as_it_was(
    extended: Reference, planted_reference: Reference, named: ad.AnnData
) -> None:
    """Means, spreads and scale of the old labels stay, also of the one that got more cells."""
    before, after = (map_query(open_query(named), of, METHOD).labels.first for of in (planted_reference, extended))
    same = (before.labels == after.labels) & (named.obs["cell_type"] != STRANGER).to_numpy()
    assert same.mean() > 0.7
    np.testing.assert_array_equal(after.novelty[same], before.novelty[same])
    np.testing.assert_array_equal(after.stretch[same], before.stretch[same])


def test_another_stranger_is_still_novel(extended: Reference) -> None:
    """Novelty of the new label is measured against its own cells, so it does not take in everything."""
    cells = planted((*TYPES, STRANGER), ("query",), 40, seed=7)
    counts = cells.X.toarray()
    other = (cells.obs["cell_type"] == STRANGER).to_numpy()
    counts[other] = counts[other][:, np.random.default_rng(1).permutation(counts.shape[1])]
    cells.X = sparse.csr_matrix(counts)
    found = map_query(open_query(cells), extended, METHOD).labels.first
    assert found.unknown[other].mean() > 0.8


def test_it_can_be_extended_again_at_another_level(
    extended: Reference, planted_query: ad.AnnData, tmp_path: Path
) -> None:
    cells = planted_query[(planted_query.obs["cell_type"] == STRANGER).to_numpy()].copy()
    cells.obs["lineage"] = "third"
    again = extend_reference(extended, open_query(cells), tmp_path / "b.atlas", column="lineage", level="lineage")
    assert len(again.card["extended"]) == 2
    assert again.obs.index.is_unique
    found = map_query(open_query(planted_query), again, METHOD).labels.level("lineage")
    stranger = (planted_query.obs["cell_type"] == STRANGER).to_numpy()
    assert (found.labels[stranger] == "third").mean() > 0.9


def test_from_a_shell(
    planted_reference: Reference, named: ad.AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named.write_h5ad(tmp_path / "result.h5ad")
    words = ["extend", str(planted_reference.folder), str(tmp_path / "result.h5ad")]
    assert main([*words, "--label-column", "mine", "--output", str(tmp_path / "new.atlas")]) == 0
    assert "530 human cells" in capsys.readouterr().out
    assert open_reference(tmp_path / "new.atlas").n_cells == 530
    assert main([*words, "--label-column", "yours", "--output", str(tmp_path / "other.atlas")]) == 2
    assert "has no obs column 'yours'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"column": "nobody"}, r"has no obs column 'nobody'\. It has: "),
        ({"level": "clan"}, r"no label level 'clan'; it has: cell_type, lineage"),
        ({"column": "nameless"}, r"No cell carries a name"),
        ({"column": "few"}, r"at least 10 cells; 'few' holds 3 of 'rare'"),
    ],
    ids=["column", "level", "no names", "too few"],
)
def test_what_cannot_be_done_is_said(
    planted_reference: Reference, named: ad.AnnData, tmp_path: Path, change: dict[str, str], match: str
) -> None:
    cells = named.copy()
    cells.obs["nameless"] = ""
    cells.obs["few"] = ["rare"] * 3 + [""] * (cells.n_obs - 3)
    out = tmp_path / "new.atlas"
    with pytest.raises(OptionsProblem, match=match):
        extend_reference(planted_reference, open_query(cells), out, **{"column": "mine", **change})
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_never_written_to(planted_reference: Reference, named: ad.AnnData) -> None:
    with pytest.raises(OptionsProblem, match="already exists"):
        extend_reference(planted_reference, open_query(named), planted_reference.folder, column="mine")


def test_cancelled_leaves_nothing_behind(planted_reference: Reference, named: ad.AnnData, tmp_path: Path) -> None:
    progress = Progress.to(lambda _: None, lambda: True)
    with pytest.raises(Cancelled):
        extend_reference(
            planted_reference, open_query(named), tmp_path / "new.atlas", column="mine", progress=progress
        )
    assert not list(tmp_path.iterdir())
