"""The map in a real browser: mouse in, pixels and parameters out."""

from __future__ import annotations

import gc
import io
import weakref

import numpy as np
import panel as pn
import pytest
from pages import at_rest, until
from PIL import Image

from components.coloring import Categories
from components.embedding_map import EmbeddingMap
from components.legend import Legend
from components.points import index_points

pytestmark = [
    pytest.mark.ui,
    # a server of this process that is stopped while it sends drops its last message, and says so much later
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RED, BLUE = (255, 0, 0), (0, 0, 255)
PLACES = np.concatenate([np.random.default_rng(side).normal((side * 20 - 10, 0), 1, (500, 2)) for side in (0, 1)])
LABELS = Categories(np.repeat([0, 1], 500), ("left", "right"), ("#ff0000", "#0000ff"))


class Opened:
    """A served map of 800x600 pixels with its browser tab, once the first picture is there."""

    def __init__(self, show, **params):
        self.map = EmbeddingMap(**{"foreground": PLACES, "foreground_coloring": LABELS, **params})
        self.page = show(pn.Column(self.map, width=800, height=600, margin=0))
        until(lambda: self.map.picture.shape[0] == 600 and self.colored().any(), self.page)

    def image(self):
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)

    def colored(self, color=RED):
        return (np.abs(self.image() - color).sum(axis=2) < 30)

    def pixel(self, x, y):
        x0, x1, y0, y1 = self.map._figure.view
        height, width = self.map.picture.shape
        return float((x - x0) / (x1 - x0) * width), float(height - (y - y0) / (y1 - y0) * height)

    def set(self, **params):
        """Change parameters on the page's own turn, as an app does."""
        self.map._figure.plot.document.add_next_tick_callback(lambda: self.map.param.update(**params))

    def press(self, tool):
        self.page.locator(f"[title='{tool}']").click()

    def drag(self, *corners, held=0):
        """Draw with the button down, which is held still at first for so many milliseconds."""
        places = [self.pixel(*corner) for corner in corners]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.wait_for_timeout(held)
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()


def quiet(received, page):
    """Wait until nothing more comes: the first pictures are through."""
    before = [-1]

    def is_quiet():
        before.append(len(received))
        page.wait_for_timeout(300)
        return before[-1] == before[-2]

    until(is_quiet, page)


def test_colours_are_on_the_screen_where_the_points_are(show):
    opened = Opened(show)
    red_x, blue_x = (np.flatnonzero(opened.colored(color).any(axis=0)) for color in (RED, BLUE))
    assert red_x.max() < blue_x.min()
    assert abs(np.median(red_x) - opened.pixel(-10, 0)[0]) < 25


def test_hiding_a_category_takes_it_off_the_screen(show):
    opened = Opened(show)
    opened.set(hidden=[0])
    until(lambda: not opened.colored(RED).any(), opened.page)
    assert opened.colored(BLUE).any()


def test_a_wheel_zoom_sharpens_the_picture_with_little_traffic(show, page):
    received = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: received.append(len(data))))
    opened = Opened(show)
    at_rest(page.locator("canvas").first)
    quiet(received, page)
    received.clear()
    page.mouse.move(*opened.pixel(10, 0))
    page.mouse.wheel(0, -600)
    until(lambda: opened.map.view is not None, page)
    until(lambda: not opened.colored(RED).any(), page)
    x0, x1, *_ = opened.map.view
    assert x1 - x0 < 20
    until(lambda: sum(received) > opened.map.picture.size, page)
    assert sum(received) < 600_000
    opened.press("Reset")
    until(lambda: opened.map.view is None and opened.colored(RED).any(), page)


def test_hover_says_what_is_under_the_pointer_and_tap_keeps_it(show):
    opened = Opened(show, describe=lambda index, layer: f"{layer} {index}\n<img src=x onerror=alert(1)>")
    before = opened.image()
    place = opened.pixel(*PLACES[700])
    opened.page.mouse.move(*place)
    until(lambda: opened.map.hovered == ("foreground", 700), opened.page)
    until(lambda: (np.abs(opened.image() - before).sum(axis=2) > 100).sum() > 300, opened.page)

    def tapped():
        opened.page.mouse.click(*place)      # a click that a busy machine draws out counts as a press: again
        return opened.map.tapped == ("foreground", 700)

    until(tapped, opened.page)
    opened.page.mouse.move(*opened.pixel(0, 0))
    until(lambda: opened.map.hovered is None, opened.page)
    assert opened.page.locator("img").count() == 0


def test_hover_follows_a_fast_hand(show):
    opened = Opened(show)
    for _ in range(3):
        opened.page.mouse.move(*opened.pixel(-10, 0))
        opened.page.mouse.move(*opened.pixel(*PLACES[700]), steps=30)
    until(lambda: opened.map.hovered == ("foreground", 700), opened.page)


def test_a_lasso_selects_what_it_encloses_and_modes_combine(show):
    opened = Opened(show)
    opened.press("Lasso Select")
    opened.drag((-14, -4), (-14, 4), (-6, 4), (-6, -4), (-14, -4))
    until(lambda: opened.map.selected is not None, opened.page)
    assert np.array_equal(opened.map.selected, PLACES[:, 0] < 0)
    until(lambda: not opened.colored(BLUE).any(), opened.page)
    until(lambda: opened.map.tool == "lasso", opened.page)
    opened.map.mode = "add"
    opened.press("Box Select")
    until(lambda: opened.map.tool == "box", opened.page)
    opened.drag((6, -4), (14, 4))
    until(lambda: opened.map.selected.sum() > 900, opened.page)
    assert opened.map.selected.all()


def test_a_lasso_may_begin_with_a_rest(show):
    opened = Opened(show)
    opened.press("Lasso Select")
    opened.drag((-14, -4), (-14, 4), (-6, 4), (-6, -4), (-14, -4), held=800)
    until(lambda: opened.map.selected is not None, opened.page)
    assert np.array_equal(opened.map.selected, PLACES[:, 0] < 0)


def test_hidden_points_are_not_selected(show):
    opened = Opened(show, hidden=[1])
    opened.press("Box Select")
    opened.drag((-15, -5), (15, 5))
    until(lambda: opened.map.selected is not None, opened.page)
    assert np.array_equal(opened.map.selected, PLACES[:, 0] < 0)


def test_a_resized_frame_gets_a_picture_of_its_own_size_with_equal_units(show):
    part = EmbeddingMap(foreground=PLACES, foreground_coloring=LABELS)
    page = show(pn.Column(part, sizing_mode="stretch_both", margin=0))
    until(lambda: part.picture.shape[0] > 650, page)
    page.set_viewport_size({"width": 600, "height": 500})
    until(lambda: part.picture.shape[0] < 520 and part.picture.shape[1] < 620, page)

    def has_equal_units():
        x0, x1, y0, y1 = part._figure.view
        height, width = part.picture.shape
        return (x1 - x0) / width == pytest.approx((y1 - y0) / height, rel=1e-6)

    until(has_equal_units, page)      # frame and picture are told one after the other


def test_dark_is_dark(show):
    opened = Opened(show, dark=True)
    assert np.median(opened.image()[:600, :770].sum(axis=2)) < 120


def test_the_picture_follows_while_the_map_is_dragged(show):
    opened = Opened(show)
    before = opened.map.picture
    opened.page.mouse.move(*opened.pixel(0, 5))
    opened.page.mouse.down()
    opened.page.mouse.move(*opened.pixel(12, 5), steps=10)
    # the mouse is still down: what was beyond the left edge is painted already
    until(lambda: not np.array_equal(opened.map.picture, before), opened.page)
    assert opened.map.view is None
    opened.page.mouse.up()
    until(lambda: opened.map.view is not None, opened.page)
    until(lambda: opened.map.view[0] == pytest.approx(opened.map._figure.view[0]), opened.page)


def test_closed_pages_leave_no_map_behind(show, page):
    points = index_points(PLACES)
    made = []

    def app():
        shown = EmbeddingMap(foreground=points, foreground_coloring=LABELS)
        legend = Legend()
        legend.display(LABELS)
        legend.param.watch(lambda event: shown.param.update(hidden=event.new), "hidden")
        made.append(weakref.ref(shown))
        return pn.Row(pn.Column(shown, width=600, height=400), legend)

    show(app, check_unused_sessions_milliseconds=500, unused_session_lifetime_milliseconds=5_000)
    for _ in range(3):
        page.locator(".bk-Figure").wait_for()
        page.mouse.move(300, 200)
        page.mouse.wheel(0, -200)
        page.reload()
    page.locator(".bk-Figure").wait_for()      # a page left before its socket is open is noticed much later
    page.goto("about:blank")

    def gone():
        gc.collect()
        return not any(ref() for ref in made)

    until(gone, page)
    assert len(made) >= 4
