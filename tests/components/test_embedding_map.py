"""The map, driven and read by its parameters."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from bokeh.events import SelectionGeometry

from components import raster
from components.coloring import Categories, Values
from components.embedding_map import EmbeddingMap
from components.lettering import Lettering
from components.points import index_points

# two clumps far apart: category 0 at the left, 1 at the right
PLACES = np.concatenate([np.random.default_rng(side).normal((side * 20 - 10, 0), 1, (100, 2)) for side in (0, 1)])
LABELS = Categories(np.repeat([0, 1], 100), ("left", "right"), ("#ff0000", "#0000ff"))
REFERENCE = np.random.default_rng(5).normal(0, 8, (3_000, 2))


def half(picture, side):
    """Codes in the left or the right half of a picture."""
    middle = picture.shape[1] // 2
    return set(np.unique(picture[:, :middle] if side == "left" else picture[:, middle:]).tolist()) - {raster.EMPTY}


def test_an_empty_map_is_an_empty_picture():
    assert not EmbeddingMap().picture.any()


def test_the_foreground_is_coloured_on_a_grey_background():
    shown = EmbeddingMap(background=REFERENCE, foreground=PLACES, foreground_coloring=LABELS)
    codes = set(np.unique(shown.picture).tolist())
    assert {0, 1, 2} < codes
    assert all(code <= 2 or code >= raster.FIRST_GREY for code in codes)
    assert shown.selectable == "foreground"
    assert shown.coloring is LABELS


def test_categories_are_where_their_points_are_until_they_are_hidden():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    assert (half(shown.picture, "left"), half(shown.picture, "right")) == ({1}, {2})
    shown.hidden = [0]
    assert (half(shown.picture, "left"), half(shown.picture, "right")) == (set(), {2})


def test_other_colours_of_the_same_categories_paint_nothing_anew():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    painted = shown.picture
    shown.foreground_coloring = replace(LABELS, colors=("#112233", *LABELS.colors[1:]))
    assert shown.picture is painted
    assert shown.coloring.colors[0] == "#112233"
    shown.foreground_coloring = replace(LABELS, codes=LABELS.codes[::-1].copy())
    assert shown.picture is not painted


def test_the_background_takes_its_colours_when_no_foreground_is_shown():
    shown = EmbeddingMap(background=PLACES, background_coloring=LABELS, foreground=REFERENCE)
    assert not {1, 2} <= half(shown.picture, "left") | half(shown.picture, "right")
    shown.show_foreground = False
    assert (half(shown.picture, "left"), half(shown.picture, "right")) == ({1}, {2})
    assert shown.selectable == "background"


def test_layers_can_be_put_away():
    shown = EmbeddingMap(background=REFERENCE, foreground=PLACES, foreground_coloring=LABELS)
    shown.show_background = False
    assert shown.picture.max() == 2
    shown.param.update(show_background=True, show_foreground=False)
    assert shown.picture[shown.picture > 0].min() >= raster.FIRST_GREY


def test_values_are_coloured_low_to_high_with_zeros_in_grey():
    values = np.concatenate([np.zeros(100), np.linspace(1, 2, 100)])
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=Values(values, zeros_grey=True))
    assert half(shown.picture, "left") == {raster.ZERO}
    right = half(shown.picture, "right")
    assert min(right) < 20
    assert max(right) > 200


def test_one_cell_is_drawn_and_fills_the_view_evenly():
    shown = EmbeddingMap(foreground=np.array([[3.0, 4.0]]))
    assert (shown.picture > 0).any()
    assert (shown.picture > 0).mean() < 0.01


def test_unlabelled_points_have_a_colour_of_their_own():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=Categories(np.full(200, -1), (), ()))
    assert set(np.unique(shown.picture).tolist()) == {0, raster.MISSING}


def test_selecting_mutes_the_rest():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    shown.select(np.arange(200) < 100)
    assert (half(shown.picture, "left"), half(shown.picture, "right")) == ({1}, {raster.MUTED})
    shown.select(None)
    assert half(shown.picture, "right") == {2}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("replace", [0, 0, 1, 1]), ("add", [0, 1, 1, 1]), ("subtract", [0, 1, 0, 0]), ("intersect", [0, 0, 1, 0])],
)
def test_a_gesture_meets_the_selection_by_mode(mode, expected):
    shown = EmbeddingMap(foreground=np.random.default_rng(0).normal(size=(4, 2)), mode=mode)
    shown.selected = np.array([False, True, True, False])
    shown.select(np.array([False, False, True, True]))
    assert shown.selected.astype(int).tolist() == expected


def test_points_that_are_not_shown_are_neither_drawn_nor_selected():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS, shown=np.arange(200) < 100)
    assert (half(shown.picture, "left"), half(shown.picture, "right")) == ({1}, set())
    draw_around_everything(shown)
    assert np.flatnonzero(shown.selected).tolist() == list(range(100))
    assert len(shown.drawn["x"]) == len(shown.drawn["y"]) == 4
    shown.foreground = PLACES[:50]
    assert shown.shown is None


def test_a_highlighted_category_keeps_its_colour_and_nothing_is_painted_anew(monkeypatch):
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    monkeypatch.setattr(raster, "paint", lambda *_: pytest.fail("painted anew"))
    before = list(shown._figure._mapper.palette)
    shown.highlight = 1
    faded = shown._figure._mapper.palette
    assert faded[raster.FIRST_COLOR + 1] == before[raster.FIRST_COLOR + 1]
    assert faded[raster.FIRST_COLOR] != before[raster.FIRST_COLOR]
    shown.highlight = None
    assert shown._figure._mapper.palette == before


def test_a_map_says_how_large_its_points_are():
    shown = EmbeddingMap(foreground=PLACES)
    assert shown.pixels == raster.size_for(200, 800 * 600)
    shown.point_size = 3
    assert shown.pixels == 3


def draw_around_everything(shown):
    geometry = {"type": "rect", "x0": -1e6, "x1": 1e6, "y0": -1e6, "y1": 1e6}
    shown._on_geometry(SelectionGeometry(None, geometry=geometry, final=True))


def test_selecting_nothing_is_no_selection():
    shown = EmbeddingMap(foreground=PLACES)
    shown.select(np.zeros(200, dtype=bool))
    assert shown.selected is None


def test_new_points_drop_what_spoke_of_the_old_ones():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    shown.select(np.arange(200) < 3)
    shown.foreground = PLACES[:50]
    assert shown.selected is None
    assert shown.foreground_coloring is None
    shown.param.update(foreground=PLACES, foreground_coloring=LABELS)
    assert shown.coloring is LABELS


def test_a_colouring_for_other_points_is_refused():
    shown = EmbeddingMap(foreground=PLACES[:50])
    with pytest.raises(ValueError, match="The foreground has 50 points but its colouring is for 200"):
        shown.foreground_coloring = LABELS


def test_a_view_is_gone_to_and_given_back():
    shown = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    assert shown.view is None
    assert shown.in_view == 200
    shown.view = (8.0, 12.0, -1.5, 1.5)
    x0, x1, y0, y1 = shown.view
    assert (x1 - x0) / 800 == pytest.approx((y1 - y0) / 600)
    assert half(shown.picture, "left") == {2}
    assert shown.in_view <= 100
    shown.view = None
    assert shown.in_view == 200
    assert half(shown.picture, "left") == {1}


def test_linked_maps_move_together():
    one, other = EmbeddingMap(foreground=PLACES), EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    one.link(other)
    one.view = (8.0, 12.0, -1.5, 1.5)
    assert other.view == one.view
    assert half(other.picture, "left") == {2}
    other.view = None
    assert one.view is None
    one.destroy()
    other.view = (8.0, 12.0, -1.5, 1.5)
    assert one.view is None


def test_indexed_points_are_shared_and_not_copied():
    points = index_points(REFERENCE)
    maps = [EmbeddingMap(background=points) for _ in range(2)]
    assert maps[0].background is maps[1].background is points
    assert np.array_equal(maps[0].picture, maps[1].picture)


def test_nothing_is_painted_twice_when_several_things_change_at_once(monkeypatch):
    shown = EmbeddingMap(foreground=PLACES)
    painted = []
    monkeypatch.setattr(raster, "paint", lambda *args, paint=raster.paint: painted.append(1) or paint(*args))
    shown.param.update(foreground_coloring=LABELS, hidden=[1], dark=True, background=REFERENCE)
    assert len(painted) == 1
    shown.dark = False
    assert len(painted) == 1      # other colours, same picture


def test_a_destroyed_map_lets_go_of_its_points():
    shown = EmbeddingMap(background=index_points(REFERENCE), describe="{1} {0}".format)
    held = weakref.ref(shown.background)
    shown.destroy()
    gc.collect()
    assert held() is None


def test_names_that_would_lie_over_each_other_move_aside_or_are_left_out():
    room = Lettering((0.0, 100.0, 0.0, 100.0), (500, 500))
    lifts = (0.0, 16.0, -16.0)
    assert [room.place("monocyte", 50, 50 + i / 100, lifts) for i in range(4)] == [0.0, 16.0, -16.0, None]
    assert room.left_out == 1
    assert room.place("monocyte", 80, 50, lifts) == 0.0
    assert room.place("out of view", 150, 50, lifts) == 0.0
    nearer = Lettering((49.9, 50.1, 49.9, 50.1), (500, 500))
    assert [nearer.place("monocyte", 50, 50 + i / 100, lifts) for i in range(4)] == [0.0, 0.0, 0.0, 0.0]
    beside_sign = Lettering((0.0, 100.0, 0.0, 100.0), (500, 500), [(50.0, 50.0)])
    assert beside_sign.place("monocyte", 50, 50, lifts) == 16.0
