"""Palettes that can be told apart, also by those who see fewer colours."""

from __future__ import annotations

import numpy as np
import pytest

from components import theme
from components.coloring import Categories, Values, code_colors
from components.distinct import lookalikes, many_colors
from components.distinct import oklab as places
from components.raster import EMPTY, FIRST_COLOR, MISSING, ZERO

# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.01182, 0.04294, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.3039]]),
}  # fmt: skip


def oklab(colors, sight):
    """Perceived colour, (n, 3): a distance of 0.02 is just noticeable."""
    rgb = np.array([theme.hex_rgb(color) for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ SIGHT[sight].T, 0, 1)
    cones = np.cbrt(linear @ np.array([[0.4122214708, 0.2119034982, 0.0883024619],
                                       [0.5363325363, 0.6806995451, 0.2817188376],
                                       [0.0514459929, 0.1073969566, 0.6299787005]]))  # fmt: skip
    return cones @ np.array([[0.2104542553, 1.9779984951, 0.0259040371],
                             [0.7936177850, -2.4285922050, 0.7827717662],
                             [-0.0040720468, 0.4505937099, -0.8086757660]])  # fmt: skip


def closest(colors, sight):
    seen = oklab(colors, sight)
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    return distance[np.triu_indices(len(colors), 1)].min()


@pytest.mark.parametrize(("n", "sight", "least"), [
    (8, "normal", 0.13), (8, "protanopia", 0.08), (8, "deuteranopia", 0.07), (8, "tritanopia", 0.06),
    (30, "normal", 0.06), (30, "protanopia", 0.04), (30, "deuteranopia", 0.04), (30, "tritanopia", 0.03),
    (40, "normal", 0.05), (40, "protanopia", 0.03), (40, "deuteranopia", 0.03), (40, "tritanopia", 0.02),
])  # fmt: skip
def test_category_colours_differ_for_every_kind_of_sight(n, sight, least):
    assert closest(theme.CATEGORICAL[:n], sight) > least


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_category_colours_stand_out_from_page_and_background(dark):
    page = (theme.DARK if dark else theme.LIGHT)["map"]
    greys = theme.background_greys(dark=dark)
    for color in theme.CATEGORICAL:
        for other in (page, greys[0], greys[7]):
            assert np.linalg.norm(np.diff(oklab([color, other], "normal"), axis=0)) > 0.06, (color, other)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent", "ok", "warn", "error"])
def test_text_is_legible_on_its_page(text, dark):
    tokens = theme.DARK if dark else theme.LIGHT
    grounds = ["surface", "raised"] + ([f"{text}-tint"] if f"{text}-tint" in tokens else [])
    for ground in grounds:
        assert contrast(tokens[text], tokens[ground]) >= 4.5, ground


def contrast(a: str, b: str) -> float:
    """WCAG's contrast ratio."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    rgb = np.array(theme.hex_rgb(color))
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_known_colours_are_kept_and_not_given_twice():
    colors = theme.category_colors(["a", "b", "c"], known={"b": theme.CATEGORICAL[0]})
    assert colors == (theme.CATEGORICAL[1], theme.CATEGORICAL[0], theme.CATEGORICAL[2])


def test_a_hundred_categories_get_a_hundred_colours():
    assert len(set(theme.category_colors([str(i) for i in range(100)]))) == 100


def test_colours_of_the_large_palette_look_different():
    colors = many_colors()
    assert len(set(colors)) == 236
    assert lookalikes(colors[:150]) == []
    assert lookalikes([*colors[:40], "#ffffff", *theme.background_greys(4), theme.MISSING_COLOR]) == []
    assert lookalikes(theme.CATEGORICAL) == []
    assert theme.category_colors(["a", "b"], palette=colors) == colors[:2]


def test_distances_between_colours_are_those_of_oklab():
    np.testing.assert_allclose(places(["#ffffff", "#000000"]), [[1, 0, 0], [0, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(places(["#ff0000"]), [[0.628, 0.225, 0.126]], atol=1e-3)  # as the paper has it
    assert lookalikes(["#ff0000", "#0000ff", "#f00000", "#ff0001"]) == [(0, 3), (0, 2), (2, 3)]


def test_labels_are_listed_by_frequency_and_counted():
    coloring = Categories.of(["T", "B", "T", "NK", "T", "B"], "Label")
    assert coloring.names == ("T", "B", "NK")
    assert coloring.counts.tolist() == [3, 2, 1]
    assert coloring.codes.tolist() == [0, 1, 0, 2, 0, 1]


def test_categories_without_a_name_or_a_colour_are_refused():
    with pytest.raises(ValueError, match="Category 3 has no name among 2"):
        Categories(np.array([0, 3]), ("a", "b"), ("#000000", "#ffffff"))
    with pytest.raises(ValueError, match="2 categories need as many colours; found 1"):
        Categories(np.array([0]), ("a", "b"), ("#000000",))


def test_the_palette_gives_every_code_its_colour():
    colors = code_colors(Categories(np.array([0, 1]), ("a", "b"), ("#112233", "#445566")))
    assert len(colors) == 256
    assert colors[EMPTY] == "#00000000"
    assert colors[FIRST_COLOR : FIRST_COLOR + 2] == ["#112233", "#445566"]
    assert colors[MISSING] == theme.MISSING_COLOR


def test_a_value_runs_through_its_colormap_with_zeros_in_grey():
    colors = code_colors(Values(np.array([0.0, 1.0])))
    assert colors[FIRST_COLOR] == "#440154"
    assert colors[FIRST_COLOR + 235] == "#fde725"
    grey = theme.hex_rgb(colors[ZERO])
    assert max(grey) - min(grey) < 0.06


@pytest.mark.parametrize(("call", "message"), [
    (lambda: theme.value_colors("rainbowish"), "no colormap called 'rainbowish'"),
    (lambda: theme.hex_rgb("red"), "written as #rrggbb; found 'red'"),
], ids=["colormap", "colour"])  # fmt: skip
def test_colours_that_do_not_exist_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
