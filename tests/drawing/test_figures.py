"""Publication figures: measured in the files they are written to."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pymupdf
import pytest
from PIL import Image

from components.coloring import Categories, Values
from explorer.drawing.charts import Bars, Confusion, Dots, Heat, Histogram
from explorer.drawing.composing import FORMATS, Look, caption, draw, render, size_of
from explorer.drawing.figures import Picture
from explorer.drawing.gene_charts import Violins, Volcano
from explorer.errors import OptionsProblem

# two clumps far apart: "left" in red, "right" in blue
PLACES = np.concatenate([np.random.default_rng(side).normal((side * 20 - 10, 0), 1, (300, 2)) for side in (0, 1)])
LABELS = Categories(np.repeat([0, 1], 300), ("left", "right"), ("#ff0000", "#0000ff"), "predicted side")
REFERENCE = np.random.default_rng(5).normal(0, 8, (2_000, 2))
PICTURE = Picture(PLACES, LABELS, REFERENCE)
PLAIN = Look()
LARGE = Look(width=900, height=900, dpi=50)
SMALL = Look(width=90, height=60, dpi=200)


def pixels(*panels, look=SMALL):
    """RGB of the png, int (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(render(panels, look, "png"))).convert("RGB")).astype(int)


def where(rgb, color):
    """Columns that hold a colour."""
    return np.flatnonzero((np.abs(rgb - color).sum(axis=2) < 30).any(axis=0))


def svg_texts(content: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]


def test_figures_need_no_panel():
    code = "import sys, explorer.drawing.composing as _; "
    code += "print(*[name for name in ('panel', 'bokeh', 'holoviews') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_a_png_has_the_size_and_resolution_asked_for():
    image = Image.open(io.BytesIO(render([PICTURE], Look(width=180, height=120, dpi=300), "png")))
    assert image.size == pytest.approx((180 / 25.4 * 300, 120 / 25.4 * 300), abs=1)
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert image.info["Description"] == caption([PICTURE])


def test_cells_have_their_colours_in_their_places_on_a_grey_reference():
    rgb = pixels(PICTURE, look=Look(width=90, height=60, dpi=200, legend="none"))
    red, blue = where(rgb, (255, 0, 0)), where(rgb, (0, 0, 255))
    assert red.max() < blue.min()
    grey = (np.ptp(rgb, axis=2) < 8) & (rgb[:, :, 0] > 140) & (rgb[:, :, 0] < 240)
    assert grey.sum() > 2_000


def test_cells_are_drawn_as_large_as_asked_and_never_under_three_pixels():
    for point, expected in ((2.0, 2.0 / 25.4 * 200), (0.01, 3)):
        red = Categories(np.array([0]), ("a",), ("#ff0000",))
        one = Picture(np.array([[0.0, 0.0]]), red, axes=None, point=point)
        rgb = pixels(one, look=Look(width=60, height=60, dpi=200, legend="none"))
        red = (np.abs(rgb - (255, 0, 0)).sum(axis=2) < 30).any(axis=0).sum()
        assert red == pytest.approx(expected, abs=1.5)


def test_a_pdf_has_one_raster_and_text_that_can_be_edited():
    named = replace(PICTURE, names=True)
    page = pymupdf.open(stream=render([named], Look(width=90, height=60, title="Both sides"), "pdf"))[0]
    assert (page.rect.width / 72 * 25.4, page.rect.height / 72 * 25.4) == pytest.approx((90, 60), abs=0.1)
    words = page.get_text()
    for text in ("Both sides", "predicted side", "left (300)", "right (300)", "UMAP 1"):
        assert text in words
    assert len(page.get_images()) == 1
    assert {font[2] for font in page.get_fonts()} == {"Type0"}      # TrueType, not shapes
    assert page.parent.metadata["subject"] == f"Both sides. {caption([PICTURE])}"


def test_an_svg_has_one_raster_and_text_that_can_be_edited():
    content = render([PICTURE], SMALL, "svg")
    assert content.count(b"<image") == 1
    assert {"left (300)", "right (300)", "predicted side", "UMAP 1", "UMAP 2"} <= set(svg_texts(content))
    assert ET.fromstring(content).get("width").startswith("255.118")      # points


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_input_gives_the_same_bytes(form):
    assert render([PICTURE], SMALL, form) == render([PICTURE], SMALL, form)


def test_hidden_categories_are_neither_drawn_nor_listed_but_told():
    picture = Picture(PLACES, LABELS, hidden=(0,))
    assert not len(where(pixels(picture), (255, 0, 0)))
    assert "left (300)" not in svg_texts(render([picture], SMALL, "svg"))
    assert "Cells (n = 300), coloured by predicted side. Not shown: left." in caption([picture])


def test_values_get_a_scale_and_the_caption_says_how_it_was_cut():
    values = np.concatenate([np.zeros(300), np.linspace(1, 2, 300)])
    picture = Picture(PLACES, Values(values, "CD14, log1p CP10k", zeros_grey=True))
    assert "CD14, log1p CP10k" in svg_texts(render([picture], SMALL, "svg"))
    said = caption([picture])
    assert "Colour scale from 1.01 to 1.99 (1st to 99th percentile of the values other than zero)" in said
    assert "zeros in grey" in said
    assert "drawn with high values on top" in said
    assert len(where(pixels(picture), (68, 1, 84)))


def test_the_caption_counts_both_layers_and_states_the_order():
    said = caption([replace(PICTURE, cells_name="Stimulated cells", background_name="blood atlas")])
    assert said.startswith("Stimulated cells (n = 600) on the blood atlas (n = 2,000, grey")
    assert said.endswith("Overlapping cells are drawn in random order with a fixed seed.")


@pytest.mark.parametrize(("n", "name", "size"), [
    (3, "T", (90, 60)), (60, "type number {}", (180, 120)),
    (20, "a rather long name of a cell type, number {}", (180, 90)),
    (40, "CD4-positive, alpha-beta memory T cell {}", (120, 60)),
    (300, "CD4-positive, alpha-beta memory T cell {}", (90, 60)),
], ids=["few", "many", "long", "many and long", "too many"])  # fmt: skip
def test_the_legend_lies_beside_the_map_and_inside_the_figure(n, name, size):
    labels = Categories.of([name.format(i % n) + f" {i % n}" for i in range(600)], "label")
    look = Look(width=size[0], height=size[1], dpi=100)
    figure = draw([Picture(PLACES, labels)], look)
    renderer = figure.canvas.get_renderer()
    letters = [text.get_window_extent(renderer) for text in figure.texts]
    map_box = figure.axes[0].get_window_extent()
    assert min(box.x0 for box in letters) >= map_box.x1 - 0.5
    assert max(box.x1 for box in letters) <= figure.bbox.x1 + 0.5
    assert min(box.y0 for box in letters) >= -0.5
    assert map_box.width > 0.25 * figure.bbox.width
    if len(letters) < n + 1:
        assert letters and figure.texts[-1].get_text() == f"and {n + 1 - len(letters) + 1:,} more"


def test_a_view_shows_only_what_is_in_it():
    part = Picture(PLACES, LABELS, view=(6.0, 14.0, -3.0, 3.0))
    rgb = pixels(part, look=Look(width=90, height=60, dpi=200, legend="none"))
    assert len(where(rgb, (0, 0, 255)))
    assert not len(where(rgb, (255, 0, 0)))


def test_cells_without_colours_are_drawn_in_one():
    assert len(where(pixels(Picture(PLACES)), (11, 107, 203)))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Look(width=5), "The width of a figure is 20 to 1000 mm; 5 was asked for"),
    (lambda: Look(dpi=10), "The resolution of a figure is 50 to 2400 dpi; 10 was asked for"),
    (lambda: Look(font_size=2), "The font size of a figure is 4 to 40 points; 2 was asked for"),
    (lambda: render([PICTURE], replace(LARGE, dpi=1200)), "1,808 million pixels; up to 150 million are drawn"),
    (lambda: render([PICTURE], SMALL, "gif"), "Figures are written as png, pdf, svg; 'gif' was asked for"),
    (lambda: Look(legend="left"), "The legend of a figure is shared, each, none; 'left' was asked for"),
    (lambda: render([], SMALL), "A figure has 1 to 26 panels; 0 were asked for"),
], ids=["width", "dpi", "font", "pixels", "format", "legend", "no panel"])  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_words(call, message):
    with pytest.raises(OptionsProblem, match=message):
        call()


# several panels

VALUES = Values(np.concatenate([np.zeros(300), np.linspace(1, 2, 300)]), "CD14, log1p CP10k", zeros_grey=True)
TABLE = pd.DataFrame({"left": [30, 10], "right": [10, 30]}, index=["first", "second"])
COLORS = dict(zip(LABELS.names, LABELS.colors, strict=True))
CHARTS = [
    Bars(TABLE, COLORS, "predicted side", "Composition"),
    Confusion(TABLE, "Own against predicted"),
    Histogram(np.linspace(0, 1, 101), "Confidence", 0.5, "Confidence"),
    Dots(TABLE / 40, TABLE / 40, "Markers"),
    Heat(TABLE / 40, [40, 20], "By gene"),
    Violins(pd.DataFrame({"LYZ": np.linspace(0, 4, 600), "CD3D": np.linspace(3, 0, 600)}), LABELS, "Violins"),
    Volcano(
        [f"G{at}" for at in range(100)], np.linspace(5, -5, 100), np.logspace(-9, 0, 100), "a against b",
        title="Volcano",
    ),
]  # fmt: skip


def page_of(*panels, look=PLAIN):
    return pymupdf.open(stream=render(panels, look, "pdf"))[0]


def test_panels_are_lettered_and_share_one_legend_on_the_right():
    page = page_of(replace(PICTURE, title="One"), replace(PICTURE, title="Two"), Picture(PLACES, VALUES, title="Gene"))
    places = {word[4]: pymupdf.Rect(word[:4]) for word in page.get_text("words")}
    assert places["a"].x0 < places["b"].x0 < places["c"].x0
    assert page.get_text().count("predicted side") == 1     # once for both maps
    *images, scale = sorted((page.get_image_rects(image[0])[0] for image in page.get_images()), key=lambda box: box.x0)
    assert len(images) == 3
    assert scale.x0 >= places["CD14,"].x0 - 1
    assert min(places["predicted"].x0, places["CD14,"].x0) >= max(image.x1 for image in images)
    assert max(place.x1 for place in places.values()) <= page.rect.x1


def test_a_legend_for_each_panel_stands_beside_it():
    page = page_of(PICTURE, Picture(PLACES, VALUES), look=Look(legend="each"))
    images = sorted((page.get_image_rects(image[0])[0] for image in page.get_images()), key=lambda box: box.x0)
    first, second = images[:2]
    (own,) = page.search_for("predicted side")
    assert first.x1 <= own.x0
    assert own.x1 <= second.x0


def test_colours_are_the_same_in_maps_charts_and_legend():
    for panels in ([PICTURE], [CHARTS[0]]):
        rgb = pixels(*panels)
        shown = {tuple(color) for color in rgb[np.ptp(rgb, axis=2) > 200].tolist()}
        assert shown >= {(255, 0, 0), (0, 0, 255)}


def test_every_chart_lies_inside_its_page_with_letters_that_can_be_edited():
    for chart in CHARTS:
        figure = draw([chart], Look(width=85, height=70, dpi=150))
        for axes in figure.axes:
            box = axes.get_tightbbox(figure.canvas.get_renderer())
            assert box.x0 >= -1
            assert box.y0 >= -1
            assert box.x1 <= figure.bbox.x1 + 1
            assert box.y1 <= figure.bbox.y1 + 1
    words = page_of(*CHARTS).get_text()
    for text in ("Composition", "first (n = 40)", "left", "second", "Share of cells", "Confidence", "Markers"):
        assert text in words


def test_a_heat_map_runs_from_none_to_each_genes_largest_mean():
    mean = pd.DataFrame({"LYZ": [4.0, 1.0], "CD14": [0.5, 0.25], "silent": [0.0, 0.0]}, index=["Mono", "T"])
    heat = Heat(mean, [30, 1200])
    assert heat.scaled.to_numpy().tolist() == [[1, 0.25], [1, 0.5], [0, 0]]
    words = page_of(heat).get_text()
    for text in ("LYZ", "silent", "Mono (n = 30)", "T (n = 1,200)", "Part of the gene's"):
        assert text in words


def test_violins_are_as_wide_as_cells_are_many_and_in_the_colours_of_their_groups():
    """Values that lie at the top in one group and at the bottom in the other, a seventh of the way from the ends."""
    values = pd.DataFrame({"LYZ": np.concatenate([np.full(300, 6.0), np.full(300, 1.0)])})
    rgb = pixels(Violins(values, LABELS), look=Look(width=90, height=60, dpi=200, legend="none"))
    red, blue = (np.argwhere(np.abs(rgb - color).sum(axis=2) < 30) for color in ((255, 0, 0), (0, 0, 255)))
    assert red[:, 1].max() < blue[:, 1].min()
    assert red[:, 0].max() < np.median(blue[:, 0]), "higher values lie higher"


def test_a_volcano_names_what_matters_and_no_two_names_overlap():
    figure = draw([CHARTS[6]], Look(width=85, height=70, dpi=150))
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    names = {text.get_text() for text in axes.texts}
    assert {"G0", "G1"} <= names
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[at + 1 :])
    assert not names & {"G50", "G99"}, "of small change, or chance"
    said = caption([CHARTS[6]])
    x, p = np.linspace(5, -5, 100), np.logspace(-9, 0, 100)
    up, down = ((np.sign(x) == sign) & (np.abs(x) >= 1) & (p <= 0.05) for sign in (1, -1))
    assert f"{up.sum()} that are higher and {down.sum()} that are lower" in said


def test_the_caption_tells_each_panel_by_its_letter():
    said = caption([replace(PICTURE, title="Sides"), *CHARTS], Look(title="All of it"))
    assert said.startswith("All of it. (a) Sides: Cells (n = 600)")
    assert "(b) Composition: Share of cells by predicted side in each of 2 samples (n = 80 cells)." in said
    assert "the line marks 0.50, which 51 (50%) reach" in said
    assert "(f) By gene: Expression of 2 genes: mean log1p CP10k of each group's cells, as a part of" in said


def test_cells_that_take_no_part_are_neither_drawn_nor_counted():
    some = replace(PICTURE, shown=np.arange(600) < 300)
    assert not len(where(pixels(some), (0, 0, 255)))
    assert caption([some]).startswith("Cells (n = 300)")


def test_selected_cells_keep_their_colour_and_the_others_turn_pale():
    some = replace(PICTURE, selected=np.arange(600) < 300)
    rgb = pixels(some, look=Look(width=90, height=60, dpi=200, legend="none"))
    assert len(where(rgb, (255, 0, 0)))
    assert not len(where(rgb, (0, 0, 255)))
    assert "300 selected cells keep their colour, the others are pale" in caption([some])


@pytest.mark.parametrize("width", [85, 120, 180])
def test_a_page_is_as_high_as_its_panels_need(width):
    one, two = (size_of(n, Look(width=width, columns=2)) for n in (2, 4))
    assert one[0] == two[0] == width
    assert 1.7 < two[1] / one[1] < 2.1


def test_what_several_panels_have_to_say_stands_once_at_the_end():
    noted = replace(PICTURE, note="3 of 600 cells were called unknown.")
    said = caption([noted, PICTURE, noted])
    assert said.count("called unknown") == 1
    assert said.endswith("3 of 600 cells were called unknown.")
