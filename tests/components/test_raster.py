"""What is painted, pixel by pixel, against slow and obvious twins."""

from __future__ import annotations

import numpy as np
import pytest

from components import raster
from components.points import index_points

VIEW = (0.0, 40.0, 0.0, 30.0)


def cloud(n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.uniform(-5, 45, size=(n, 2)) * [1, 0.75]).astype(np.float32)


def slowly(xy, codes, rank, size, width=40, height=30):
    """The same picture by the plainest of loops."""
    picture, top = np.zeros((height, width), dtype=np.uint8), np.full((height, width), -1)
    for (x, y), code, mine in zip(xy, codes, rank, strict=True):
        for dx, dy in raster.disc(size):
            column, row = int(np.floor(x)) + dx, int(np.floor(y)) + dy
            if code and 0 <= column < width and 0 <= row < height and mine >= top[row, column]:
                picture[row, column], top[row, column] = code, mine
    return picture


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_the_highest_rank_is_seen_at_every_point_size(size):
    xy = cloud(300)
    points = index_points(xy)
    codes = np.random.default_rng(1).integers(0, 20, 300).astype(np.uint8)
    rank = np.random.default_rng(2).permutation(300).astype(np.uint16)      # no ties
    layer = raster.Layer(points, codes[points.order], rank[points.order], size)
    assert np.array_equal(raster.paint([layer], VIEW, 40, 30), slowly(xy, codes, rank, size))


def test_zooming_paints_the_same_as_painting_only_what_is_there():
    xy = cloud(4_000)
    view = (10.0, 14.0, 8.0, 11.0)
    near = (np.abs(xy[:, 0] - 12) < 4) & (np.abs(xy[:, 1] - 9.5) < 4)
    codes = (1 + np.arange(4_000) % 9).astype(np.uint8)
    rank = np.arange(4_000).astype(np.uint16)
    pictures = []
    for chosen in (np.ones(4_000, dtype=bool), near):
        points = index_points(xy[chosen])
        order = np.flatnonzero(chosen)[points.order]
        pictures.append(raster.paint([raster.Layer(points, codes[order], rank[order], 5)], view, 40, 30))
    assert np.array_equal(*pictures)
    assert (pictures[0] > 0).mean() > 0.2


def test_density_greys_rise_with_the_number_of_points():
    xy = np.repeat(np.array([[1.5, 1.5], [3.5, 1.5], [5.5, 1.5]], dtype=np.float32), [1, 4, 100], axis=0)
    picture = raster.paint([raster.Layer(index_points(xy), size=1)], VIEW, 40, 30)
    one, few, many = (int(picture[1, column]) for column in (1, 3, 5))
    assert raster.FIRST_GREY == one < few < many == 255
    assert (picture > 0).sum() == 3


def test_the_last_layer_lies_on_top():
    place = np.array([[5.5, 5.5]], dtype=np.float32)
    points = index_points(place)
    front = raster.Layer(points, np.array([7], np.uint8), points.chance, 1)
    picture = raster.paint([raster.Layer(points, size=3), front], VIEW, 40, 30)
    assert picture[5, 5] == 7
    assert (picture >= raster.FIRST_GREY).sum() == 8


def test_a_view_beside_all_points_is_empty():
    layer = raster.Layer(index_points(cloud(100)), size=5)
    assert not raster.paint([layer], (500.0, 540.0, 0.0, 30.0), 40, 30).any()


def test_random_order_favours_nobody():
    # 4,000 pixels, in each of which a point of category 1 and one of category 2 compete
    columns, rows = np.meshgrid(np.arange(80) + 0.5, np.arange(50) + 0.5)
    xy = np.column_stack([columns.ravel(), rows.ravel()]).repeat(2, axis=0).astype(np.float32)
    codes = np.tile([1, 2], 4_000).astype(np.uint8)
    points = index_points(xy)
    layer = raster.Layer(points, codes[points.order], points.chance, 1)
    picture = raster.paint([layer], (0.0, 80.0, 0.0, 50.0), 80, 50)
    assert 0.46 < (picture == 1).mean() < 0.54


def test_in_file_order_the_last_row_lies_on_top():
    places = np.random.default_rng(0).integers(0, 3, (90_000, 2)).astype(np.float32)
    points, codes = index_points(places), (np.arange(90_000) % 200 + 1).astype(np.uint8)
    layer = raster.Layer(points, codes[points.order], raster.draw_rank(points, codes[points.order], "as in file"), 1)
    seen = raster.paint([layer], (-0.5, 2.5, -0.5, 2.5), 3, 3)
    last = [[np.flatnonzero((places == (x, y)).all(axis=1))[-1] for x in range(3)] for y in range(3)]
    assert seen.tolist() == codes[np.array(last)].tolist()


def test_an_unknown_order_is_refused():
    points = index_points(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="as in file; found 'best first'"):
        raster.draw_rank(points, np.ones(1, np.uint8), "best first")


@pytest.mark.parametrize(("order", "seen"), [("high on top", 0.9), ("low on top", 0.1)])
def test_values_lie_in_the_order_asked_for_and_zeros_below_all(order, seen):
    values = np.array([0.1, 0.5, 0.9, 0.0, np.nan])
    points = index_points(np.full((5, 2), 3.5, dtype=np.float32))
    codes = raster.value_codes(values, (0.0, 1.0))[points.order]
    layer = raster.Layer(points, codes, raster.draw_rank(points, codes, order), 1)
    picture = raster.paint([layer], VIEW, 40, 30)
    assert picture[3, 3] == raster.value_codes(np.array([seen]), (0.0, 1.0))[0]


def test_an_unknown_draw_order_is_refused():
    points = index_points(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="found 'biggest first'"):
        raster.draw_rank(points, np.ones(1, np.uint8), "biggest first")


def test_categories_get_codes_and_hidden_ones_none():
    codes = np.array([0, 1, 2, -1, 1])
    assert raster.category_codes(codes).tolist() == [1, 2, 3, raster.MISSING, 2]
    assert raster.category_codes(codes, hidden=[1, -1]).tolist() == [1, 0, 3, 0, 0]


def test_more_categories_than_codes_wrap_around():
    codes = raster.category_codes(np.arange(500))
    assert codes.min() == raster.FIRST_COLOR
    assert codes.max() == raster.N_COLORS
    assert codes[236] == codes[0]


def test_values_are_binned_between_the_limits_and_clipped_beyond():
    values = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, np.nan])
    assert raster.value_codes(values, (0.0, 2.0), zeros_grey=False).tolist() == [1, 1, 119, 236, 236, raster.MISSING]
    assert raster.value_codes(values, (0.0, 2.0)).tolist()[1] == raster.ZERO


def test_the_colour_scale_of_a_rare_gene_is_not_swallowed_by_its_zeros():
    values = np.concatenate([np.zeros(9_900), np.linspace(1, 2, 100)])
    low, high = raster.clip_limits(values)
    assert low == pytest.approx(1.01, abs=0.01)
    assert high == pytest.approx(1.99, abs=0.01)
    assert raster.clip_limits(np.zeros(5)) == (0.0, 1.0)
    assert raster.clip_limits(np.full(5, 2.0)) == (1.5, 2.5)


def test_selected_points_rise_above_the_others_which_turn_grey():
    points = index_points(np.full((2, 2), 3.5, dtype=np.float32))
    codes = np.array([1, 2], np.uint8)[points.order]
    rank = np.array([1, 9], np.uint16)[points.order]
    selected = np.array([True, False])[points.order]
    muted, lifted = raster.raise_selected(codes, rank, selected)
    assert raster.paint([raster.Layer(points, muted, lifted, 1)], VIEW, 40, 30)[3, 3] == 1
    assert raster.MUTED in muted


def test_points_shrink_as_they_crowd():
    sizes = [raster.size_for(n, 480_000) for n in (100, 3_000, 30_000, 100_000, 1_000_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == raster.LARGEST
    assert sizes[-1] == 1
