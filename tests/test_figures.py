"""Publication figures: measured in the files they are written to."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pymupdf
import pytest
from PIL import Image

from components.coloring import Categories, Values
from explorer import figures
from explorer.errors import OptionsProblem
from explorer.figures import Look, Picture, caption, draw, render

# two clumps far apart: "left" in red, "right" in blue
PLACES = np.concatenate([np.random.default_rng(side).normal((side * 20 - 10, 0), 1, (300, 2)) for side in (0, 1)])
LABELS = Categories(np.repeat([0, 1], 300), ("left", "right"), ("#ff0000", "#0000ff"), "predicted side")
REFERENCE = np.random.default_rng(5).normal(0, 8, (2_000, 2))
PICTURE = Picture(PLACES, LABELS, REFERENCE)
SMALL = Look(width=90, height=60, dpi=200)


def pixels(picture, look=SMALL):
    """RGB of the png, int (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(render(picture, look, "png"))).convert("RGB")).astype(int)


def where(rgb, color):
    """Columns that hold a colour."""
    return np.flatnonzero((np.abs(rgb - color).sum(axis=2) < 30).any(axis=0))


def svg_texts(content: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]


def test_figures_need_no_panel():
    code = "import sys, explorer.figures; print(*[m for m in ('panel', 'bokeh', 'holoviews') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_a_png_has_the_size_and_resolution_asked_for():
    image = Image.open(io.BytesIO(render(PICTURE, Look(width=180, height=120, dpi=300), "png")))
    assert image.size == pytest.approx((180 / 25.4 * 300, 120 / 25.4 * 300), abs=1)
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert image.info["Description"] == caption(PICTURE)


def test_cells_have_their_colours_in_their_places_on_a_grey_reference():
    rgb = pixels(PICTURE, Look(width=90, height=60, dpi=200, legend=False))
    red, blue = where(rgb, (255, 0, 0)), where(rgb, (0, 0, 255))
    assert red.max() < blue.min()
    grey = (np.ptp(rgb, axis=2) < 8) & (rgb[:, :, 0] > 140) & (rgb[:, :, 0] < 240)
    assert grey.sum() > 2_000


def test_cells_are_drawn_as_large_as_asked_and_never_under_three_pixels():
    one = Picture(np.array([[0.0, 0.0]]), Categories(np.array([0]), ("a",), ("#ff0000",)))
    for point, expected in ((2.0, 2.0 / 25.4 * 200), (0.01, 3)):
        rgb = pixels(one, Look(width=60, height=60, dpi=200, legend=False, axes=None, point=point))
        red = (np.abs(rgb - (255, 0, 0)).sum(axis=2) < 30).any(axis=0).sum()
        assert red == pytest.approx(expected, abs=1.5)


def test_a_pdf_has_one_raster_and_text_that_can_be_edited():
    page = pymupdf.open(stream=render(PICTURE, Look(width=90, height=60, title="Both sides", names=True), "pdf"))[0]
    assert (page.rect.width / 72 * 25.4, page.rect.height / 72 * 25.4) == pytest.approx((90, 60), abs=0.1)
    words = page.get_text()
    for text in ("Both sides", "predicted side", "left (300)", "right (300)", "UMAP 1"):
        assert text in words
    assert len(page.get_images()) == 1
    assert {font[2] for font in page.get_fonts()} == {"Type0"}      # TrueType, not shapes
    assert page.parent.metadata["subject"] == caption(PICTURE)


def test_an_svg_has_one_raster_and_text_that_can_be_edited():
    content = render(PICTURE, SMALL, "svg")
    assert content.count(b"<image") == 1
    assert {"left (300)", "right (300)", "predicted side", "UMAP 1", "UMAP 2"} <= set(svg_texts(content))
    assert ET.fromstring(content).get("width").startswith("255.118")      # points


@pytest.mark.parametrize("form", figures.FORMATS)
def test_the_same_input_gives_the_same_bytes(form):
    assert render(PICTURE, SMALL, form) == render(PICTURE, SMALL, form)


def test_hidden_categories_are_neither_drawn_nor_listed_but_told():
    picture = Picture(PLACES, LABELS, hidden=(0,))
    assert not len(where(pixels(picture), (255, 0, 0)))
    assert "left (300)" not in svg_texts(render(picture, SMALL, "svg"))
    assert "Cells (n = 300), coloured by predicted side. Not shown: left." in caption(picture)


def test_values_get_a_scale_and_the_caption_says_how_it_was_cut():
    values = np.concatenate([np.zeros(300), np.linspace(1, 2, 300)])
    picture = Picture(PLACES, Values(values, "CD14, log1p CP10k", zeros_grey=True))
    assert "CD14, log1p CP10k" in svg_texts(render(picture, SMALL, "svg"))
    said = caption(picture)
    assert "Colour scale from 1.01 to 1.99 (1st to 99th percentile of the values other than zero)" in said
    assert "zeros in grey" in said
    assert "drawn with high values on top" in said
    assert len(where(pixels(picture), (68, 1, 84)))


def test_the_caption_counts_both_layers_and_states_the_order():
    said = caption(PICTURE, Look(cells_name="Stimulated cells", background_name="blood atlas"))
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
    figure = draw(Picture(PLACES, labels), look)
    legend = figure.legends[0].get_window_extent()
    map_box = figure.axes[0].get_window_extent()
    assert map_box.x1 <= legend.x0 + 0.5
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1 + 0.5
    assert legend.y0 >= -0.5
    assert map_box.width > 0.25 * figure.bbox.width


def test_a_view_shows_only_what_is_in_it():
    rgb = pixels(Picture(PLACES, LABELS, view=(6.0, 14.0, -3.0, 3.0)), Look(width=90, height=60, dpi=200, legend=False))
    assert len(where(rgb, (0, 0, 255)))
    assert not len(where(rgb, (255, 0, 0)))


def test_cells_without_colours_are_drawn_in_one():
    assert len(where(pixels(Picture(PLACES)), (11, 107, 203)))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Look(width=5), "The width of a figure is 20 to 1000 mm; 5 was asked for"),
    (lambda: Look(dpi=10), "The resolution of a figure is 50 to 2400 dpi; 10 was asked for"),
    (lambda: Look(font_size=2), "The font size of a figure is 4 to 40 points; 2 was asked for"),
    (lambda: Look(width=900, height=900, dpi=1200), "1,808 million pixels; up to 150 million are drawn"),
    (lambda: render(PICTURE, SMALL, "gif"), "Figures are written as png, pdf, svg; 'gif' was asked for"),
], ids=["width", "dpi", "font", "pixels", "format"])  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_words(call, message):
    with pytest.raises(OptionsProblem, match=message):
        call()
