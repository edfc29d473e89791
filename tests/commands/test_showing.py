"""Figures and reports made in a shell: measured in the files, and set beside what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pymupdf
import pytest
from planted import TYPES, markers

import explorer
from components.coloring import Categories, Values
from components.points import index_points
from explorer import keys
from explorer.__main__ import PROBLEM, main
from explorer.app.colors.coloring import ColorBy, color_query
from explorer.app.stored.library import Outcome
from explorer.drawing.coloring import label_colors
from explorer.flow import Reference
from explorer.settings import SAMPLE_ATLAS
from explorer.writing.export import read_result, write_expression

GENE = str(markers(TYPES[0])[0])


@pytest.fixture(scope="module")
def folder(
    planted_query: ad.AnnData, planted_reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A result as a shell and as the page keep it; its own labels come with colours of their own."""
    folder = tmp_path_factory.mktemp("showing")
    cells = planted_query.copy()
    cells.obs["cell_type"] = cells.obs["cell_type"].astype("category")
    own = cells.obs["cell_type"].cat.categories
    cells.uns["cell_type_colors"] = [f"#0000{40 * at:02x}" for at in range(len(own))]
    cells.obs["side"] = np.where(np.arange(cells.n_obs) % 3 == 0, "left", "right")
    cells.write_h5ad(folder / "mine.h5ad")
    query = explorer.open_query(folder / "mine.h5ad")
    result = explorer.map_query(query, planted_reference, device="cpu")
    explorer.write_h5ad(result, query, folder / keys.RESULT_FILE)
    explorer.write_csv(result, folder / "table.csv")
    write_expression(query, folder / keys.EXPRESSION_FILE)
    return folder


def words(command: str, folder: Path, reference: Reference, *more: object) -> list[str]:
    return [command, str(folder / keys.RESULT_FILE), "--reference", str(reference.folder), *map(str, more)]


@pytest.mark.parametrize("color", ["label", "confidence", "novelty", f"gene:{GENE}", "column:cell_type", "column:side"])
def test_colours_are_those_of_the_page(color: str, folder: Path, planted_reference: Reference) -> None:
    query, result = explorer.open_query(folder / keys.RESULT_FILE), read_result(folder / keys.RESULT_FILE)
    (panel,) = explorer.maps_of(query, planted_reference, result, color)
    outcome = Outcome("", folder, result, index_points(result.layout), (), ())
    kind, _, name = color.partition(":")
    level = result.labels.first.level
    seen = color_query(outcome, ColorBy(kind, name), level, label_colors(planted_reference, level))
    drawn = panel.coloring
    assert (type(drawn), drawn.title, drawn.order) == (type(seen), seen.title, seen.order)
    if isinstance(drawn, Categories):
        assert isinstance(seen, Categories)
        assert (drawn.names, drawn.colors) == (seen.names, seen.colors)
        np.testing.assert_array_equal(drawn.codes, seen.codes)
    else:
        assert isinstance(drawn, Values)
        assert isinstance(seen, Values)
        assert (drawn.colormap, drawn.limits, drawn.zeros_grey) == (seen.colormap, seen.limits, seen.zeros_grey)
        np.testing.assert_allclose(drawn.values, seen.values, rtol=1e-3)


def test_a_figure_is_as_wide_as_asked_for_and_its_text_is_text(
    folder: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colors = ["--color", "label", "--color", f"gene:{GENE.lower()}", "--split", "side"]
    out = tmp_path / "figure.pdf"
    assert main(words("figure", folder, planted_reference, *colors, "--dpi", 150, "--output", out)) == 0
    caption = capsys.readouterr().out
    (page,) = pymupdf.open(out)
    assert page.rect.width / 72 * 25.4 == pytest.approx(180, abs=0.01)
    text = page.get_text()
    assert all(name in text for name in (*TYPES, "left", "right", GENE))
    assert len(page.get_images()) == 5, "two maps of each colour, and a scale"
    assert "n = 100)" in caption
    assert "n = 200)" in caption

    out = tmp_path / "figure.png"
    assert main(words("figure", folder, planted_reference, "--width", 85, "--dpi", 100, "--output", out)) == 0
    assert pymupdf.Pixmap(out).width == pytest.approx(85 / 25.4 * 100, abs=1)


def test_a_report_counts_what_the_table_counts(
    folder: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(words("report", folder, planted_reference, "--sample", "side", "--output", out)) == 0
    assert "300 cells of mine" in capsys.readouterr().out
    page, table = out.read_text(encoding="utf-8"), pd.read_csv(folder / "table.csv")
    main_table, by_side = page.split("<h2>Labels")[1], page.split("<h2>Cells by side</h2>")[1]
    rows = {name: list(map(int, fields)) for name, *fields in re.findall(
        r"<tr><td>(\w+)</td><td>(\d+)</td>.*?<td>(\d+)</td></tr>", main_table.split("</table>")[0])}  # fmt: skip
    counts, unknown = table["label"].value_counts(), table.groupby("label")["unknown"].sum()
    assert rows == {name: [n, unknown[name]] for name, n in counts.items()}
    sides = re.findall(r"<tr><td>(\w+)</td><td>(\d+)</td><td>(\d+)</td></tr>", by_side.split("</table>")[0])
    assert {name: int(left) + int(right) for name, left, right in sides} == counts.to_dict()
    assert page.count("data:image/png;base64,") == 1
    assert read_result(folder / keys.RESULT_FILE).provenance.reference_checksum in page


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["figure", "--color", "gene:NONSENSE", "--output", "f.pdf"], "no gene called 'NONSENSE'"),
        (["figure", "--color", "mood", "--output", "f.pdf"], "coloured by label, confidence"),
        (["figure", "--split", "mood", "--output", "f.pdf"], "no column 'mood'"),
        (["figure", "--output", "f.docx"], "written as png, pdf, svg"),
        (["report", "--sample", "mood", "--output", "r.html"], "no column 'mood'"),
        (["report", "--output", "."], "is a folder"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    asked: list[str], said: str, folder: Path, planted_reference: Reference, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words(asked[0], folder, planted_reference, *asked[1:])) == PROBLEM
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_cells_are_not_drawn_on_a_reference_that_they_were_not_mapped_onto(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--reference", str(SAMPLE_ATLAS), "--output", str(tmp_path / "f.pdf")]
    assert main(["figure", str(folder / keys.RESULT_FILE), *asked]) == PROBLEM
    assert "they have no place in its picture" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
