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
from explorer.app.leaving import drawing
from explorer.app.stored.library import Outcome
from explorer.app.tab.pins import Pin
from explorer.asking.painting import name_of_genes
from explorer.drawing.charts import Bars, Confusion, Dots, Heat, Histogram
from explorer.drawing.coloring import label_colors
from explorer.drawing.figures import Picture
from explorer.drawing.gene_charts import Violins, Volcano
from explorer.flow import Reference
from explorer.settings import SAMPLE_ATLAS
from explorer.writing.export import read_result, write_expression

GENE, OTHER = str(markers(TYPES[0])[0]), str(markers(TYPES[1])[0])
PAIR = f"{GENE},{OTHER}"


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


def outcome_in(folder: Path) -> Outcome:
    """The same result as the page opens it."""
    result = read_result(folder / keys.RESULT_FILE)
    return Outcome("", folder, result, index_points(result.layout), (), ())


@pytest.mark.parametrize(
    "color", ["label", "confidence", "novelty", f"gene={GENE}", "column=cell_type", "column=side", f"genes={PAIR}"]
)
def test_colours_are_those_of_the_page(color: str, folder: Path, planted_reference: Reference) -> None:
    query, result = explorer.open_result(folder / keys.RESULT_FILE)
    (panel,) = explorer.panels_of(query, planted_reference, result, [f"map:{color}"])
    assert isinstance(panel, Picture)
    outcome = outcome_in(folder)
    kind, _, name = color.partition("=")
    name = name_of_genes("2 genes", name.split(",")) if kind == "genes" else name
    level = outcome.result.labels.first.level
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


@pytest.mark.parametrize(
    ("kind", "what"),
    [("composition", "side"), ("confusion", "cell_type"), ("confidence", ""), ("dots", PAIR), ("heat", PAIR),
     ("violins", PAIR)],
)  # fmt: skip
def test_charts_are_those_of_the_page(kind: str, what: str, folder: Path, planted_reference: Reference) -> None:
    query, result = explorer.open_result(folder / keys.RESULT_FILE)
    (drawn,) = explorer.panels_of(query, planted_reference, result, [f"{kind}:{what}"])
    outcome = outcome_in(folder)
    source = drawing.Source(planted_reference, outcome, "concord", "mine", "side", "cell_type")
    genes = tuple(what.split(",")) if kind in ("dots", "heat", "violins") else ()
    level = outcome.result.labels.first.level
    (seen,) = drawing.panels_of(source, [Pin("", drawn.title, kind, level=level, genes=genes)])
    assert type(drawn) is type(seen)
    match drawn, seen:
        case (Bars(), Bars()) | (Confusion(), Confusion()):
            pd.testing.assert_frame_equal(drawn.counts, seen.counts)
            assert int(drawn.counts.to_numpy().sum()) == 300
        case (Histogram(), Histogram()):
            np.testing.assert_array_equal(drawn.values, seen.values)
            assert (drawn.name, drawn.threshold) == (seen.name, seen.threshold)
        case (Dots(), Dots()) | (Heat(), Heat()):
            pd.testing.assert_frame_equal(drawn.mean, seen.mean, rtol=1e-3)
        case (Violins(), Violins()):
            pd.testing.assert_frame_equal(drawn.values, seen.values, rtol=1e-3)
            assert drawn.groups.colors == seen.groups.colors


def test_a_volcano_has_the_planted_markers_on_its_side(folder: Path, planted_reference: Reference) -> None:
    query, result = explorer.open_result(folder / keys.RESULT_FILE)
    asked = f"volcano:cell_type={TYPES[0]}; against={TYPES[1]}"
    (found,) = explorer.panels_of(query, planted_reference, result, [asked])
    assert isinstance(found, Volcano)
    up = {name for name, change in zip(found.names, found.change * found.beyond, strict=True) if change > 0}
    assert GENE in up
    assert OTHER not in up
    assert found.title == f"{TYPES[0]} against {TYPES[1]}"


def test_panels_take_what_they_are_told(folder: Path, planted_reference: Reference, tmp_path: Path) -> None:
    query, result = explorer.open_result(folder / keys.RESULT_FILE)
    (tmp_path / "own.gmt").write_text(f"MY_SET\tmine\t{GENE}\t{OTHER}\n")
    drawn = explorer.panels_of(
        query, planted_reference, result,
        [f"map; hide={TYPES[0]}; names; select=side=left; point=0.4; title=", "map; show=alone", "map; show=reference",
         "map; picture=X_umap", "map:set=my set; show=both; palette=magma"], sets=[str(tmp_path / "own.gmt")],
    )  # fmt: skip
    first, alone, below, own, of_set, beside = [panel for panel in drawn if isinstance(panel, Picture)]
    assert isinstance(first.coloring, Categories)
    assert [first.coloring.names[code] for code in first.hidden] == [TYPES[0]]
    assert (first.names, first.point, first.title) == (True, 0.4, "")
    assert first.selected is not None
    assert first.selected.sum() == 100
    assert isinstance(of_set.coloring, Values)
    assert isinstance(beside.coloring, Values)
    assert beside.coloring.limits == of_set.coloring.scale, "the same colour means the same value"
    assert of_set.coloring.colormap == "magma"
    assert re.fullmatch(r"My set \(own.gmt [0-9a-f]{8}\)", of_set.title)
    assert alone.background is None
    assert (own.background, own.axes) == (None, ("X_umap 1", "X_umap 2"))
    np.testing.assert_array_equal(own.cells, alone.cells)
    assert len(below.cells) == planted_reference.n_cells


def test_colours_that_a_file_brings_for_labels_are_those_of_the_figure(
    folder: Path, planted_reference: Reference, tmp_path: Path
) -> None:
    """As the page writes them, where a person chose some."""
    query, result = explorer.open_result(folder / keys.RESULT_FILE)
    chosen = {**dict.fromkeys(TYPES, "#abcdef"), TYPES[0]: "#123456"}
    explorer.write_h5ad(result, query, tmp_path / "mine.h5ad", {keys.predicted("cell_type"): chosen})
    query, result = explorer.open_result(tmp_path / "mine.h5ad")
    asked = ["map", "composition:side", f"violins:{GENE}"]
    drawn = explorer.panels_of(query, planted_reference, result, asked)
    for panel, categories in zip(drawn, (drawn[0].coloring, None, drawn[2].groups), strict=True):
        colors = panel.colors if categories is None else dict(zip(categories.names, categories.colors, strict=True))
        assert colors[TYPES[0]] == "#123456"


def test_all_that_panels_can_be_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["figure", "--panels"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("map:gene=CD14", "violins:GENE", "COLUMN: one map for each of its values"))


def test_a_figure_is_as_wide_as_asked_for_and_its_text_is_text(
    folder: Path, planted_reference: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    panels = ["--panel", "map; split=side", "--panel", f"map:gene={GENE.lower()}; split=side"]
    out = tmp_path / "figure.pdf"
    assert main(words("figure", folder, planted_reference, *panels, "--dpi", 150, "--output", out)) == 0
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
    kept = table["label"].where(~table["unknown"], keys.UNKNOWN).value_counts()
    assert {name: int(left) + int(right) for name, left, right in sides} == kept.to_dict()
    assert page.count("data:image/png;base64,") == 1
    assert read_result(folder / keys.RESULT_FILE).provenance.reference_checksum in page


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["figure", "--panel", "map:gene=NONSENSE", "--output", "f.pdf"], "no gene called 'NONSENSE'"),
        (["figure", "--panel", f"map:gene={GENE[:-1]}", "--output", "f.pdf"], f"Near {GENE[:-1]} are: "),
        (["figure", "--panel", "map:mood", "--output", "f.pdf"], "coloured by label, confidence"),
        (["figure", "--panel", "mood", "--output", "f.pdf"], "is one of map, composition"),
        (["figure", "--panel", "gene:CD14", "--output", "f.pdf"], "Do you mean map:gene=CD14?"),
        (["figure", "--panel", "map; split=mood", "--output", "f.pdf"], "no column 'mood'"),
        (["figure", "--panel", "map:column=mood", "--output", "f.pdf"], "no column 'mood'"),
        (["figure", "--panel", "composition:mood", "--output", "f.pdf"], "they have cell_type"),
        (["figure", "--panel", "composition", "--output", "f.pdf"], "composition:COLUMN"),
        (["figure", "--panel", "map; mood=good", "--output", "f.pdf"], "no setting 'mood'; it has title, level"),
        (["figure", "--panel", "map; scale=3..0", "--output", "f.pdf"], "scale=0..3"),
        (["figure", "--panel", "map; palette=Greys", "--output", "f.pdf"], "go with values"),
        (["figure", "--panel", "map; hide=mood", "--output", "f.pdf"], "There is no 'mood' to hide; there are"),
        (["figure", "--panel", "map; select=side=up", "--output", "f.pdf"], "No cell has side=up; there are left"),
        (["figure", "--panel", "map; method=scpoli", "--output", "f.pdf"], "not mapped by 'scpoli', but by concord"),
        (["figure", "--panel", "map:agreement", "--output", "f.pdf"], "atlas-explorer map --method all"),
        (["figure", "--panel", "map:protein=CD3", "--output", "f.pdf"], "was measured for none"),
        (["figure", "--panel", "map:set=interferon sig", "--output", "f.pdf"], "Near are: Interferon"),
        (["figure", "--panel", "map:set=X", "--gene-sets", "no.gmt", "--output", "f.pdf"], "no gene set file no.gmt"),
        (["figure", "--panel", "map; picture=X_mood", "--output", "f.pdf"], "no picture 'X_mood'"),
        (["figure", "--panel", "volcano:side", "--output", "f.pdf"], "volcano:side=VALUE"),
        (["report", "--method", "scpoli", "--output", "r.html"], "not mapped by 'scpoli'"),
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
