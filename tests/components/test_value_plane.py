"""The plane of two values, driven and read by its parameters."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from bokeh.events import SelectionGeometry

from components import raster, zero_band
from components.coloring import Categories
from components.value_plane import ValuePlane
from components.zero_band import gathered, places, spread

# category 0 at the left, 1 at the right, 2 without a value
X = np.concatenate([np.full(50, 1.0), np.full(50, 5.0), [np.nan]])
Y = np.concatenate([np.linspace(1, 4, 100), [2.0]])
KINDS = Categories(np.repeat([0, 1, 2], [50, 50, 1]), ("left", "right", "lost"), ("#ff0000", "#0000ff", "#00ff00"))
ZEROS = np.concatenate([np.zeros(500), np.linspace(0.5, 3, 500)])


def codes(picture, side=slice(None)):
    """Codes in some columns of a picture."""
    return set(np.unique(picture[:, side]).tolist()) - {raster.EMPTY}


def plane(**params):
    return ValuePlane(points=places(X, Y, (False, False)), coloring=KINDS, **params)


def test_an_empty_plane_is_an_empty_picture():
    assert not ValuePlane().picture.any()


def test_points_lie_by_their_values_in_their_colours():
    picture = plane().picture
    middle = picture.shape[1] // 2
    assert codes(picture, slice(None, middle)) == {1}
    assert codes(picture, slice(middle, None)) == {2}
    painted = np.flatnonzero(picture[:, :middle].any(axis=1))
    assert painted.max() < np.flatnonzero(picture[:, middle:].any(axis=1)).max(), "higher values lie higher"


def test_what_is_hidden_is_gone_and_what_is_not_selected_is_muted():
    shown = plane()
    shown.hidden = [0]
    assert codes(shown.picture) == {2}
    shown.param.update(hidden=[], selected=np.arange(101) < 50)
    assert codes(shown.picture) == {1, raster.MUTED}
    shown.param.update(coloring=None, selected=None)
    assert codes(shown.picture) == {raster.FIRST_COLOR}


def test_other_points_forget_what_was_said_of_those_before():
    shown = plane(selected=np.arange(101) < 50)
    shown.points = places(X[:50], Y[:50], (False, False))
    assert shown.selected is None and shown.coloring is None
    assert codes(shown.picture) == {raster.FIRST_COLOR}


def test_colours_of_other_points_are_refused():
    with pytest.raises(ValueError, match="The plane has 3 points but its colouring is for 101"):
        ValuePlane(points=places(X[:3], Y[:3], (False, False)), coloring=KINDS)


def test_zeros_are_spread_over_their_band_and_nothing_else_is():
    drawn = spread(ZEROS)
    assert np.array_equal(drawn[500:], ZEROS[500:].astype(np.float32))
    assert ((drawn[:500] > zero_band.LOW) & (drawn[:500] < zero_band.HIGH)).all()
    assert len(np.unique(drawn[:500])) > 490
    assert np.array_equal(drawn, spread(ZEROS)), "always alike"
    assert abs(np.corrcoef(drawn[:500], spread(ZEROS, turn=1)[:500])[0, 1]) < 0.2, "but not on both axes"
    assert np.array_equal(gathered(ZEROS), np.where(ZEROS == 0, zero_band.MIDDLE, ZEROS))


def test_an_axis_with_a_band_says_where_zero_is():
    shown = ValuePlane(points=places(ZEROS, ZEROS, (True, False)), bands=(True, False))
    across, up = (ticker.ticks for ticker in shown._figure._tickers)
    assert across[0] == zero_band.MIDDLE and min(across[1:]) > 0
    assert up[0] == 0
    assert shown.view[0] < zero_band.LOW < 0 < 3 < shown.view[1]
    assert shown.view[2] < 0 and shown.view[2] > zero_band.LOW


def test_a_box_and_a_lasso_are_told_by_their_corners():
    shown = plane()
    told = []
    shown.param.watch(lambda event: told.append(event.new), "drawn")

    def draw(geometry, final=True):
        shown._figure.plot._trigger_event(SelectionGeometry(shown._figure.plot, geometry=geometry, final=final))

    draw({"type": "rect", "x0": 3.0, "x1": 1.0, "y0": 2.0, "y1": 4.0}, final=False)
    draw({"type": "rect", "x0": 3.0, "x1": 1.0, "y0": 2.0, "y1": 4.0})
    draw({"type": "poly", "x": [0, 1, 1], "y": [0, 0, 1]})
    assert told == [{"x": [1.0, 3.0], "y": [2.0, 4.0]}, {"x": [0.0, 1.0, 1.0], "y": [0.0, 0.0, 1.0]}]


def test_cuts_are_drawn_and_dragged():
    shown = plane()
    up, across = shown._figure._lines
    assert not up.visible
    shown.cuts = (2.0, 3.0)
    assert (up.location, across.location, up.visible) == (2.0, 3.0, True)
    across.location = 3.5
    assert shown.cuts == (2.0, 3.5)
    shown.cuts = None
    assert not across.visible


def test_a_larger_frame_is_painted_anew():
    shown = plane()
    shown._on_resize("inner_width", 0, 700)
    shown._on_resize("inner_height", 0, 300)
    assert shown.picture.shape == (300, 700)


def test_dark_is_another_look_and_no_other_picture():
    shown = plane()
    before, light = shown.picture, shown._figure.plot.background_fill_color
    shown.dark = True
    assert shown.picture is before
    assert shown._figure.plot.background_fill_color != light


def test_a_destroyed_plane_lets_go_of_its_points():
    shown = plane()
    held = weakref.ref(shown.points)
    shown.destroy()
    gc.collect()
    assert held() is None
