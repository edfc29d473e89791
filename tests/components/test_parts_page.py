"""The smaller parts in a real browser, and a file that really travels."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import panel as pn
import pytest
from pages import at_rest, hears, until
from playwright.sync_api import expect
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, stream_request_body

from components.brush_histogram import BrushHistogram
from components.cell_table import CellTable
from components.choice_table import ChoiceTable
from components.coloring import Categories
from components.file_drop import FileDrop
from components.legend import Legend
from components.ranked_bars import RankedBars
from components.shortcuts import Shortcuts
from components.threshold_histogram import ThresholdHistogram

pytestmark = [
    pytest.mark.ui,
    # a server of this process that is stopped while it sends drops its last message, and says so much later
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NASTY = "<img src=x onerror=alert(1)>"
LABELS = Categories.of(["T cell"] * 5 + ["B cell"] * 3 + ["NK cell"] * 2 + [NASTY])


# a file that travels


class Shelf:
    """What a receiving server has been sent, and how it should behave."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.sizes: dict[str, int] = {}
        self.seen_header: set[str | None] = set()
        self.dropped: list[str] = []
        self.refusal: str | None = None
        self.break_at: int | None = None
        self.wait_at: int | None = None
        self.go_on = threading.Event()


@stream_request_body
class Receiver(RequestHandler):
    """A server that speaks the upload protocol, slowly or badly where a test asks for it."""

    def initialize(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(2**30)
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Headers", "*")
        self.set_header("Access-Control-Allow-Methods", "*")
        self.id = self.get_query_argument("id", "")
        if self.request.method == "PUT":
            held = self.shelf.files.setdefault(self.id, bytearray())
            assert len(held) == int(self.get_query_argument("offset"))
        if self.request.method != "OPTIONS":
            self.shelf.seen_header.add(self.request.headers.get("X-Atlas-Upload"))

    async def data_received(self, chunk: bytes) -> None:
        shelf = self.shelf
        held = shelf.files[self.id]
        held += chunk
        while shelf.wait_at is not None and len(held) > shelf.wait_at and not shelf.go_on.is_set():
            await asyncio.sleep(0.01)
        if shelf.break_at is not None and len(held) > shelf.break_at:
            shelf.break_at = None
            self.request.connection.stream.close()

    def put(self) -> None:
        name = self.get_query_argument("name")
        self.write({"id": self.id, "name": name, "size": len(self.shelf.files[self.id])})

    def get(self) -> None:
        if self.shelf.refusal:
            self.set_status(507)
            self.write({"error": self.shelf.refusal})
        else:
            self.write({"received": len(self.shelf.files.get(self.id, b""))})

    def delete(self) -> None:
        self.shelf.dropped.append(self.id)
        self.write({"received": 0})

    def options(self) -> None:
        self.set_status(204)


@pytest.fixture
def receiver() -> Iterator[tuple[Shelf, str]]:
    """A running server and its address."""
    shelf, ready, address = Shelf(), threading.Event(), []

    async def run() -> None:
        server = HTTPServer(Application([("/take", Receiver, {"shelf": shelf})]))
        with closing(socket.socket()) as listener:
            listener.bind(("localhost", 0))
            listener.listen()
            listener.setblocking(False)
            server.add_socket(listener)
            address.append(f"http://localhost:{listener.getsockname()[1]}/take")
            stopped = asyncio.Event()
            stop.append((asyncio.get_running_loop(), stopped))
            ready.set()
            await stopped.wait()
            server.stop()
            await server.close_all_connections()

    stop: list[Any] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait()
    yield shelf, address[0]
    shelf.go_on.set()
    loop, stopped = stop[0]
    loop.call_soon_threadsafe(stopped.set)
    thread.join()


@pytest.fixture
def cells(tmp_path):
    """A file of 6 MB with a name that needs quoting."""
    path = tmp_path / "my cells & co (1).h5ad"
    path.write_bytes(np.random.default_rng(0).bytes(6_000_000))
    return path


def choose(page, *paths):
    page.locator("input[type=file]").set_input_files([str(path) for path in paths])


def test_a_file_arrives_whole_under_its_own_name(show, receiver, cells):
    shelf, url = receiver
    drop = FileDrop(url=url)
    page = show(drop)
    choose(page, cells)
    until(lambda: drop.state == "done", page)
    assert drop.response["name"] == drop.file_name == cells.name
    assert drop.response["size"] == drop.size == 6_000_000
    assert bytes(shelf.files[drop.response["id"]]) == cells.read_bytes()
    assert shelf.seen_header == {"1"}
    assert drop.fraction == 1
    page.get_by_text("has arrived").wait_for()


def test_cancel_stops_the_transfer_and_drops_what_arrived(show, receiver, cells):
    shelf, url = receiver
    shelf.wait_at = 1_000_000
    drop = FileDrop(url=url)
    page = show(drop)
    choose(page, cells)
    until(lambda: drop.state == "uploading", page)
    page.get_by_role("button", name="Cancel").click()
    until(lambda: drop.state == "cancelled", page)
    until(lambda: len(shelf.dropped) == 1, page)
    page.get_by_text("Cancelled").wait_for()
    shelf.go_on.set()
    choose(page, cells)
    until(lambda: drop.state == "done", page)


def test_progress_is_what_was_sent(show, receiver, tmp_path):
    shelf, url = receiver
    large = tmp_path / "large.h5ad"
    large.write_bytes(bytes(60_000_000))
    shelf.wait_at = 20_000_000
    drop = FileDrop(url=url)
    page = show(drop)
    choose(page, large)
    # what lies in buffers between browser and server counts as sent
    until(lambda: 0.2 < drop.fraction < 0.9, page)
    assert drop.state == "uploading"
    expect(page.get_by_role("progressbar")).not_to_have_attribute("aria-valuenow", "0")
    shelf.go_on.set()
    until(lambda: drop.state == "done", page)


def test_a_broken_connection_is_resumed_where_it_broke(show, page, receiver, cells):
    shelf, url = receiver
    shelf.break_at = 2_000_000
    drop = FileDrop(url=url)
    show(drop)
    choose(page, cells)
    until(lambda: drop.state == "done", page)
    assert bytes(shelf.files[drop.response["id"]]) == cells.read_bytes()
    page.problems.clear()      # the browser reports the broken request, which is what was asked for


def test_a_refusal_is_shown_as_the_servers_own_sentence(show, page, receiver, cells):
    shelf, url = receiver
    shelf.refusal = f"The disk is full {NASTY}."
    drop = FileDrop(url=url)
    show(drop)
    choose(page, cells)
    until(lambda: drop.state == "failed", page)
    assert drop.error == shelf.refusal
    page.get_by_text(shelf.refusal).wait_for()
    assert not shelf.files
    page.problems.clear()      # a status of 507 is an error in the browser's own log


@pytest.mark.parametrize(("names", "content", "said"), [
    (["cells.txt"], b"x", '"cells.txt" is not a .h5ad file. Choose a file that ends in .h5ad.'),
    (["empty.h5ad"], b"", '"empty.h5ad" is empty (0 bytes).'),
    (["big.h5ad"], bytes(2_000), '"big.h5ad" has 2.0 kB; this server takes up to 1.0 kB.'),
], ids=["ending", "empty", "too large"])  # fmt: skip
def test_what_cannot_be_read_is_refused_before_it_is_sent(show, receiver, tmp_path, names, content, said):
    shelf, url = receiver
    drop = FileDrop(url=url, max_size=1_000)
    page = show(drop)
    for name in names:
        (tmp_path / name).write_bytes(content)
    choose(page, *[tmp_path / name for name in names])
    until(lambda: drop.state == "failed", page)
    assert drop.error.startswith(said)
    assert not shelf.seen_header


def test_several_dropped_files_are_refused_in_words(show, receiver):
    _, url = receiver
    drop = FileDrop(url=url)
    page = show(drop)
    page.locator(".drop").evaluate("""zone => {
        const data = new DataTransfer()
        for (const name of ['a.h5ad', 'b.h5ad']) data.items.add(new File(['x'], name))
        zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))
    }""")
    until(lambda: drop.state == "failed", page)
    assert drop.error.startswith("2 files were dropped; one can be read at a time.")


def test_one_dropped_file_is_sent(show, receiver):
    shelf, url = receiver
    drop = FileDrop(url=url)
    page = show(drop)
    page.locator(".drop").evaluate("""zone => {
        const data = new DataTransfer()
        data.items.add(new File(['some cells'], 'a.h5ad'))
        zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))
    }""")
    until(lambda: drop.state == "done", page)
    assert bytes(shelf.files[drop.response["id"]]) == b"some cells"


# lists, bars, tables


def test_a_legend_hides_isolates_and_searches(show):
    legend = Legend(search_from=2)
    legend.display(LABELS)
    page = show(legend)
    page.get_by_role("checkbox", name="B cell").click()
    until(lambda: legend.hidden == [1], page)
    assert page.get_by_role("checkbox", name="B cell").get_attribute("aria-checked") == "false"
    page.get_by_role("checkbox", name="NK cell").hover()
    page.get_by_role("button", name="Show only NK cell").click()
    until(lambda: legend.hidden == [0, 1, 3], page)
    page.get_by_role("button", name="Show all").click()
    until(lambda: legend.hidden == [], page)
    page.get_by_placeholder("Search labels").fill("nk")
    assert [row.inner_text().split("\n")[0] for row in page.get_by_role("checkbox").all()] == ["NK cell"]
    page.get_by_placeholder("Search labels").fill("neuron")
    page.get_by_text("No label of that name.").wait_for()


def test_a_legend_asks_for_a_colour_and_takes_it_back(show):
    legend = Legend(editable=True)
    legend.display(LABELS, defaults=LABELS.colors)
    page = show(legend)
    picker = page.get_by_label("Colour of B cell", exact=True)
    picker.fill("#ff00aa")
    until(lambda: legend.dyed.get("color") == "#ff00aa", page)
    assert legend.dyed["name"] == "B cell"
    at = legend.names.index("B cell")
    legend.colors = [*legend.colors[:at], "#ff00aa", *legend.colors[at + 1 :]]
    page.get_by_role("button", name="Default colours").wait_for()
    undo = page.get_by_role("button", name="Default colour of B cell")
    undo.focus()
    page.keyboard.press("Enter")
    until(lambda: legend.dyed.get("color") == "", page)
    page.get_by_role("button", name="Default colours").click()
    until(lambda: legend.dyed.get("name") == "", page)


def test_a_legend_that_comes_to_lie_under_a_resting_pointer_fades_nothing(show):
    legend = Legend(visible=False)
    legend.display(LABELS)
    page = show(pn.Column(legend))
    page.mouse.move(60, 60)
    legend.visible = True
    row = page.locator("li:hover .name")
    until(lambda: row.count() == 1, page)
    page.wait_for_timeout(150)  # longer than the legend waits before it tells
    assert legend.hovered is None
    page.mouse.move(62, 61)
    until(lambda: legend.hovered is not None, page)
    assert legend.names[legend.hovered] == row.inner_text()


def test_a_legend_in_groups_hides_folds_and_selects_them_together(show):
    legend = Legend(selectable=True)
    legend.display(LABELS, ["Lymphocyte", "Lymphocyte", "Lymphocyte", ""])
    page = show(legend)
    group = page.get_by_role("checkbox", name="Lymphocyte")
    total = sum(legend.counts[:3])
    assert group.inner_text().split("\n") == ["Lymphocyte", str(total)]
    group.click()
    until(lambda: legend.hidden == [0, 1, 2], page)
    page.get_by_role("checkbox", name="NK cell").dblclick()
    until(lambda: len(legend.hidden) == 3 and legend.visible_names == ["NK cell"], page)
    assert group.get_attribute("aria-checked") == "mixed"
    group.hover()
    page.get_by_role("button", name="Select Lymphocyte").click()
    until(lambda: legend.chosen.get("positions") == [0, 1, 2], page)
    page.get_by_role("checkbox", name="NK cell").hover()
    until(lambda: legend.hovered == legend.names.index("NK cell"), page)
    page.get_by_role("button", name="Fold Lymphocyte").click()
    assert not page.get_by_role("checkbox", name="NK cell").is_visible()


def test_a_range_is_brushed_typed_and_cleared(show):
    bars = BrushHistogram(title="Confidence", width=240)
    bars.display(np.linspace(0, 1, 200))
    page = show(bars)
    box = at_rest(page.get_by_role("img", name="Histogram of Confidence"))
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 20, steps=4)
    page.mouse.up()
    until(lambda: bars.ends is not None, page)
    assert bars.ends == pytest.approx([0.25, 0.75], abs=0.02)
    page.get_by_role("spinbutton", name="Confidence from").fill("0.5")
    bars.title = "Novelty"  # something new comes while she writes
    page.get_by_role("img", name="Histogram of Novelty").wait_for()
    page.keyboard.press("Tab")
    until(lambda: bars.ends[0] == 0.5, page)
    page.get_by_role("button", name="Clear Novelty").click()
    until(lambda: bars.ends is None, page)


def test_keys_are_heard_but_not_while_typing_and_lead_into_a_field(show):
    keys, field = Shortcuts(keys=["g", "Escape"]), pn.widgets.TextInput(label="Gene")
    page = show(pn.Column(keys, field, pn.widgets.RadioBoxGroup(options=["Gene"])))
    page.get_by_role("textbox").wait_for()
    hears(page, "g")
    page.keyboard.press("g")
    until(lambda: keys.pressed.get("key") == "g", page)
    keys.focus = {"label": "Gene", "at": 1}
    until(lambda: page.get_by_role("textbox").evaluate("(node) => node.getRootNode().activeElement === node"), page)
    keys.pressed = {}
    page.keyboard.type("gag")
    page.get_by_role("textbox").blur()
    page.keyboard.press("Escape")
    until(lambda: keys.pressed.get("key") == "Escape", page)
    until(lambda: field.value == "gag", page)


def test_labels_from_a_file_are_never_read_as_html(show):
    legend, table = Legend(), CellTable()
    legend.display(LABELS)
    table.display(LABELS)
    bars = RankedBars(names=[NASTY], scores=[1.0], title=NASTY, note=NASTY)
    page = show(pn.Column(legend, table, bars))
    page.get_by_role("table").wait_for()
    until(lambda: page.get_by_text(NASTY).count() >= 4, page)
    assert page.locator("img").count() == 0


def test_a_table_sorts_and_is_picked_from(show):
    table = CellTable()
    table.display(LABELS)
    page = show(table)
    names = page.locator("td.name")
    names.first.wait_for()
    assert names.all_inner_texts()[0] == "T cell"
    page.get_by_role("button", name="Label").click()
    assert names.all_inner_texts() == sorted(names.all_inner_texts(), key=str.casefold)
    page.get_by_role("button", name="n", exact=True).click()
    assert names.all_inner_texts()[0] == "T cell"
    page.get_by_role("button", name="B cell").click()
    until(lambda: table.picked == "B cell", page)


def test_rows_are_chosen_together_by_mouse_and_keys(show):
    table = ChoiceTable(many=True, values=["b"], columns=[{"key": "title", "label": "Model"}])
    table.rows = [
        {"id": "a", "title": "First", "badge": NASTY},
        {"id": "b", "title": "Second"},
        {"id": "c", "title": "Third", "disabled": "Not trained yet."},
    ]
    page = show(table)
    rows = page.get_by_role("checkbox")
    rows.nth(0).click()
    until(lambda: table.values == ["a", "b"], page)
    rows.nth(2).click()
    page.keyboard.press("Tab")
    rows.nth(1).focus()
    page.keyboard.press("Space")
    until(lambda: table.values == ["a"], page)
    page.keyboard.press("Space")
    until(lambda: table.values == ["a", "b"], page)
    table.values = []
    until(lambda: rows.nth(0).get_attribute("aria-checked") == "false", page)
    assert page.get_by_text(NASTY).count() == 1


def test_a_gene_is_picked_from_its_bar(show):
    bars = RankedBars(names=["LYZ", "CD14", "CD3E"], scores=[4.0, 2.0, -1.0])
    page = show(bars)
    page.get_by_role("button", name="CD14").click()
    until(lambda: bars.picked == "CD14", page)
    wide = [at_rest(bar)["width"] for bar in page.locator(".bar").all()]
    assert wide[1] == pytest.approx(wide[0] / 2, abs=1)
    assert page.locator(".bar").nth(2).bounding_box()["x"] < page.locator(".bar").nth(0).bounding_box()["x"]


def test_a_threshold_is_dragged_and_moved_by_keys(show):
    histogram = ThresholdHistogram(threshold=0.5, width=400)
    histogram.display(np.linspace(0, 1, 1_001))
    page = show(pn.Column(histogram))
    slider = page.get_by_role("slider")
    box = at_rest(slider)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40, steps=5)
    page.mouse.up()
    until(lambda: histogram.threshold == pytest.approx(0.8, abs=0.011), page)
    before = histogram.threshold
    slider.press("ArrowRight")
    until(lambda: histogram.threshold == pytest.approx(before + 0.01), page)
    slider.press("End")
    until(lambda: histogram.threshold == 1, page)
    page.get_by_text("1.00 keeps 1 of 1,001").wait_for()
    histogram.least = 0.3
    expect(slider).to_have_attribute("aria-valuemin", "0.3")
    slider.press("Home")
    until(lambda: histogram.threshold == 0.3, page)
