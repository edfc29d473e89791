"""A closer look at a result in a shell: signatures of labels and cells, own labels beside predicted ones, one cell."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from planted import STRANGER, TYPES, markers

import explorer
from explorer.__main__ import PROBLEM, main
from explorer.flow import Reference
from explorer.insight.own_labels import compare
from explorer.reference import read_embedding
from explorer.writing.export import read_result


@pytest.fixture(scope="module")
def result(
    planted_query: ad.AnnData, planted_reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The planted query, whose counts lie in a layer, mapped from there; X holds something else."""
    folder = tmp_path_factory.mktemp("looking")
    cells = planted_query.copy()
    cells.layers["counts"] = cells.X.copy()
    cells.X = cells.X[:, ::-1].copy()
    cells.write_h5ad(folder / "mine.h5ad")
    query = explorer.open_query(folder / "mine.h5ad", matrix="layers/counts")
    explorer.write_h5ad(explorer.map_query(query, planted_reference, device="cpu"), query, folder / "result.h5ad")
    return folder / "result.h5ad"


def words(command: str, result: Path, reference: Reference, *more: object) -> list[str]:
    return [command, str(result), *map(str, more), "--reference", str(reference.folder), "--device", "cpu"]


def test_signatures_of_all_labels(
    result: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--output", tmp_path / "s.csv", "--dots", tmp_path / "dots.csv"]
    assert main(words("signatures", result, planted_reference, *files)) == 0
    table, dots = pd.read_csv(tmp_path / "s.csv"), pd.read_csv(tmp_path / "dots.csv")
    assert set(table["label"]) == set(TYPES)
    said = capsys.readouterr().out
    for label, own in table.groupby("label"):
        first = own.iloc[0]
        assert first["gene"] in markers(str(label)), "read from the layer that was mapped"
        assert (first["speaks_by"], first["mean"] > first["mean_others"]) == ("presence", True)
        assert f"{label} (" in said
        assert str(first["gene"]) in said
    assert list(dots) == ["gene", "of", "group", "mean", "share", "score"]
    assert set(dots["group"]) == set(TYPES)


def test_a_signature_of_chosen_cells(
    result: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.csv"
    asked = ["--cells", "cell_type=beta", "--against", "reference", "--output", out]
    assert main(words("signatures", result, planted_reference, *asked)) == 0
    table = pd.read_csv(out)
    assert set(table["label"]) == {"beta"}, "the label that most of them carry"
    assert set(table["against"]) == {"the reference's beta"}
    assert table["gene"].iloc[0] in markers("beta")
    assert "speaks_by" in capsys.readouterr().out
    name = read_result(result).obs.index[3]
    asked = ["--cell", name, "--label", "gamma", "--output", out]
    assert main(words("signatures", result, planted_reference, *asked)) == 0
    assert set(pd.read_csv(out)["chosen"]) == {"1 chosen cell"}


def test_own_labels_beside_predicted_ones(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.csv"
    assert main(["compare", str(result), "--own", "cell_type", "--output", str(out)]) == 0
    found, table = read_result(result), pd.read_csv(out).set_index("own")
    told = compare(found.obs["cell_type"], found.labels.first)
    assert table["cells"].sum() == 300
    assert table.loc["alpha", "means"] == "alpha"
    assert table.loc[STRANGER, "cells in unknown"] == told.counts.loc[STRANGER, "unknown"]
    np.testing.assert_array_equal(table.filter(like="cells in").sum(axis=1), table["cells"])
    said = capsys.readouterr().out
    assert f"{told.agreement:.1%} carry the predicted label" in said
    assert f"adjusted Rand index {told.ari:.3f}" in said


def test_own_labels_beside_a_consensus(
    planted_query: ad.AnnData, scpoli_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = explorer.open_query(planted_query)
    agreed = explorer.map_all(query, scpoli_reference, device="cpu")
    explorer.write_agreed(agreed, query, tmp_path / "agreed.h5ad")
    command = ["compare", str(tmp_path / "agreed.h5ad"), "--own", "lineage", "--level", "lineage", "--one-to-one"]
    assert main([*command, "--output", str(tmp_path / "own.csv")]) == 0
    told = compare(query.obs["lineage"], agreed.consensus.level("lineage").labels, "one to one")
    assert f"{told.agreement:.1%}" in capsys.readouterr().out


def test_prototypes_and_how_far_each_cell_lies_from_its_own(
    result: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--output", tmp_path / "p.csv", "--cells", tmp_path / "cells.csv"]
    assert main(words("prototypes", result, planted_reference, *files)) == 0
    assert "4 prototypes" in capsys.readouterr().out
    found = read_result(result)
    table, cells = pd.read_csv(tmp_path / "p.csv").set_index("label"), pd.read_csv(tmp_path / "cells.csv")
    assert table["claimed"].sum() == len(cells) == 300
    own = planted_reference.obs["cell_type"].astype(str).to_numpy()
    values = read_embedding(planted_reference, "concord")
    for name, of in cells.groupby("prototype"):
        point = values[own == name].mean(0)
        away = np.linalg.norm(found.embedding[of.index] - point, axis=1)
        apart = np.linalg.norm(values[own == name] - point, axis=1)
        np.testing.assert_allclose(of["distance"], away, rtol=1e-3)
        np.testing.assert_allclose(of["times_reach"], away / np.quantile(apart, 0.95), rtol=1e-2)
        farther = (apart[None] >= away[:, None]).sum(1)
        np.testing.assert_allclose(of["p_value"], (1 + farther) / (1 + len(apart)), atol=0.02)
    assert (cells["uncertainty"].min(), cells["uncertainty"].max()) == (0, 1)


def test_one_cell(result: Path, planted_reference: Reference, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_result(result)
    row = int(np.flatnonzero(found.obs["cell_type"] == "beta")[0])
    assert main(words("cell", result, planted_reference, found.obs.index[row])) == 0
    said = capsys.readouterr().out
    assert said.startswith(str(found.obs.index[row]))
    for part in ("cell_type: beta", "lineage: first", "probabilities", "nearest reference cells:", "near prototypes"):
        assert part in said


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--cells", "plate=3"], "no obs column 'plate'"),
        (["--cells", "cell_type=epsilon"], "has no cells with cell_type=epsilon"),
        (["--cells", "cell_type=beta", "--label", "beta", "--label", "alpha"], "asked toward one label"),
        (["--cell", "nobody"], "No cell is called 'nobody'"),
        (["--cells", "cell_type=beta", "--dots", "d.csv"], "--dots compares labels"),
        (["--against", "reference"], "--against goes with --cells or --cell"),
        (["--label", "epsilon"], "no label 'epsilon' at the level 'cell_type'"),
        (["--level", "clan"], "no label level 'clan'; it has cell_type, lineage"),
    ],
    ids=["no column", "no cells", "two labels", "no cell", "dots of cells", "labels against", "no label", "no level"],
)
def test_what_cannot_be_asked(
    result: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str],
    told: str,
) -> None:  # fmt: skip
    assert main(words("signatures", result, planted_reference, *asked, "--output", tmp_path / "s.csv")) == PROBLEM
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_comparing_needs_a_column_and_a_level(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for asked, told in ((["--own", "mine"], "no obs column 'mine'"),
                        (["--own", "cell_type", "--level", "clan"], "no labels at a level 'clan'")):  # fmt: skip
        assert main(["compare", str(result), *asked, "--output", str(tmp_path / "t.csv")]) == PROBLEM
        assert told in capsys.readouterr().err
