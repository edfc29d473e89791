"""What the markers and enrich commands ask for, in words of columns and values, and what they say when it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import PATHWAYS, TYPES, bundle, markers, planted

from explorer.__main__ import main
from explorer.asking.comparing import compare, describe, read_markers, sets_of, table_of
from explorer.errors import FileProblem, GenesProblem, OptionsProblem
from explorer.reading.query import open_query
from explorer.settings import SAMPLE_DATA


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 planted cells; one cell lacks its donor."""
    made = planted(cells=20)
    made.obs["treated"] = pd.Categorical(np.where(np.arange(made.n_obs) % 2, "yes", "no"))
    path = tmp_path_factory.mktemp("compare") / "cells.h5ad"
    made.write_h5ad(path)
    return path


class TestCompare:
    def test_each_value(self, cells: Path) -> None:
        compared = compare(open_query(cells), "cell_type")
        assert [found.group for found in compared.found] == sorted(TYPES)
        table = table_of(compared)
        for name, own in table.groupby("group"):
            assert set(own["gene"][:20]) == set(markers(str(name)))
        assert "beta (60 cells) against rest (180): " in describe(compared)
        assert "--sample" in describe(compared)

    def test_one_against_another_within_some(self, cells: Path) -> None:
        (found,) = compare(open_query(cells), "cell_type=alpha", against="beta", within="batch=b1", test="t").found
        assert (found.inside, found.outside, found.against) == (20, 20, "beta")
        assert set(found.table["gene"][:20]) == set(markers("alpha"))
        assert set(found.table["gene"][-20:]) == set(markers("beta"))

    def test_between_samples(self, cells: Path) -> None:
        compared = compare(open_query(cells), "cell_type", sample="batch")
        assert [found.group for found in compared.found] == sorted(TYPES)
        assert "alpha (3 samples) against rest (3, 3 donors on both sides): " in describe(compared)
        assert "p-values take cells" not in describe(compared)

    def test_too_few_samples_are_told(self, cells: Path) -> None:
        """Of each value, those that can be are compared; where none can, it says why."""
        made = open_query(cells)
        made.obs["rare"] = np.where(np.arange(len(made.obs)) < 9, "few", np.where(made.obs["batch"] == "b1", "a", "b"))
        made.obs["tube"] = np.arange(len(made.obs)) % 4
        compared = compare(made, "rare", sample="tube")
        assert [found.group for found in compared.found] == ["a", "b"]
        assert "Left out, with too few cells or samples: few" in describe(compared)
        with pytest.raises(OptionsProblem, match="b1 has 1, rest has 2"):
            compare(open_query(cells), "batch=b1", sample="batch")
        with pytest.raises(OptionsProblem, match="at least 2 on each side"):
            compare(open_query(cells), "batch", sample="batch")

    def test_cells_of_a_reference(self, tmp_path: Path) -> None:
        reference = bundle(planted(cells=20), tmp_path)
        (found,) = compare(reference, "cell_type=gamma").found
        assert set(found.table["gene"][:20]) == set(markers("gamma"))

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"group": "cell"}, "no column 'cell'; they have: cell_type, lineage"),
            ({"group": "cell_type=alfa"}, "No cell has cell_type=alfa; there are "),
            ({"group": "cell_type", "against": "beta"}, "needs one value to hold against it"),
            ({"group": "cell_type=alpha", "within": "batch"}, "COLUMN=VALUE, not by 'batch'"),
            ({"group": "cell_type=alpha", "within": "cell_type=beta"}, "alpha has 0 cells"),
            ({"group": "treated=yes", "sample": "batch", "donor": "cell_type"}, "several donors"),
        ],
    )
    def test_refusals(self, cells: Path, asked: dict[str, str], told: str) -> None:
        with pytest.raises(OptionsProblem, match=told):
            compare(open_query(cells), **asked)


class TestSets:
    def test_each_group_finds_its_pathway(self, cells: Path) -> None:
        table = sets_of(table_of(compare(open_query(cells), "cell_type")), ["reactome"])
        first = table.groupby("group").first()["gene_set"]
        assert first.to_dict() == {name: PATHWAYS[TYPES.index(name)] for name in TYPES}

    def test_nothing_stands_out(self) -> None:
        table = pd.DataFrame({"gene": ["CD3E", "CD3D"], "score": [0.1, -0.1], "adjusted_p": [1.0, 1.0]})
        with pytest.raises(GenesProblem, match="Ask where sets stand in the ranking"):
            sets_of(table, ["reactome"])

    def test_a_table_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "other.csv").write_text("gene,score\nCD3E,1\n")
        with pytest.raises(FileProblem, match="lacks the column adjusted_p"):
            read_markers(tmp_path / "other.csv")
        (tmp_path / "other.csv").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(FileProblem, match="cannot be read as a table"):
            read_markers(tmp_path / "other.csv")
        with pytest.raises(FileProblem, match="There is no file"):
            read_markers(tmp_path / "none.csv")


class TestShell:
    def test_interferon_in_two_commands(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        demo = str(SAMPLE_DATA / "pbmc_ifnb_832.h5ad")
        table, sets = str(tmp_path / "markers.csv"), str(tmp_path / "sets.csv")
        asked = ["--group", "condition=stim", "--against", "ctrl", "--within", "cell_type=B", "--output", table]
        assert main(["markers", demo, *asked]) == 0
        assert "stim (45 cells) against ctrl (36): ISG15, IFIT3" in capsys.readouterr().out
        assert main(["enrich", table, "--gene-sets", "reactome", "--output", sets]) == 0
        assert "INTERFERON" in capsys.readouterr().out
        assert pd.read_csv(sets).loc[0, "gene_set"].startswith("REACTOME_INTERFERON")
        assert main(["enrich", table, "--gene-sets", "reactome", "--ranking", "--output", sets]) == 0
        assert "INTERFERON" in pd.read_csv(sets).loc[0, "gene_set"]

    def test_one_sample_a_side_is_refused_in_words(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        demo, out = str(SAMPLE_DATA / "pbmc_ifnb_832.h5ad"), tmp_path / "markers.csv"
        words = ["markers", demo, "--group", "condition=stim", "--sample", "batch", "--output", str(out)]
        assert main(words) == 2
        assert "stim has 1, rest has 1" in capsys.readouterr().err
        assert not out.exists()

    def test_the_source_is_never_written_over(self, cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = cells.read_bytes()
        assert main(["markers", str(cells), "--group", "cell_type", "--output", str(cells)]) == 2
        assert "never changed" in capsys.readouterr().err
        assert cells.read_bytes() == before
