"""How fast the map answers: a million reference points, a hundred thousand query points, 30 types.

    python -m tests.benchmarks.map_speed [--points 1000000] [--zooms 15]

A served process and a headless Chromium, 800x600 pixels. Every time is taken in the browser, from the event
to the last change of any canvas. In the same run, on the same points: HoloViews' `datashade(count_cat)` as it
comes and with its wheel delay taken away, Datashader's own aggregation beside our kernel, zooms while a worker maps
cells, and a printed figure of all points beside what it takes to compress its pixels. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.benchmarks.tables import report
from tests.browser import FLAGS, find
from tests.serving import free_port, until

KINDS = 30
SIZE = (800, 600)
TOOLBAR = 30
QUIET = 400          # ms without a change after which a picture counts as final
ALONE, THEIRS = "ours, reference alone", "datashade(count_cat)"
MAPPED = 20_000      # cells of each mapping that runs beside zooms

# Samples every canvas of the page, in shadow roots too, once a frame.
WATCH = """
(() => {
  const w = window.__watch = {event: 0, changed: 0, first: null, text: '', texted: 0}
  for (const kind of ['wheel', 'mouseup', 'click'])
    document.addEventListener(kind, () => { w.event = performance.now() }, {capture: true, passive: true})
  const all = (root, tag, found) => {
    for (const node of root.querySelectorAll('*')) {
      if (node.matches(tag)) found.push(node)
      if (node.shadowRoot) all(node.shadowRoot, tag, found)
    }
    return found
  }
  const small = document.createElement('canvas')
  small.width = 200; small.height = 150
  const brush = small.getContext('2d', {willReadFrequently: true})
  brush.imageSmoothingEnabled = false
  let before = 0, canvases = [], age = 0
  const look = () => {
    if (canvases.length === 0 || ++age % 60 === 0) canvases = all(document, 'canvas', [])
    brush.clearRect(0, 0, 200, 150)
    for (const canvas of canvases) if (canvas.width > 200) brush.drawImage(canvas, 0, 0, 200, 150)
    const data = new Uint32Array(brush.getImageData(0, 0, 200, 150).data.buffer)
    let hash = 0, colored = 0
    for (let i = 0; i < data.length; i += 1) {
      hash = (hash * 31 + data[i]) | 0
      const r = data[i] & 255, g = (data[i] >> 8) & 255, b = (data[i] >> 16) & 255
      if (Math.max(r, g, b) - Math.min(r, g, b) > 60) colored += 1
    }
    const now = performance.now()
    if (hash !== before) { before = hash; w.changed = now }
    if (w.first === null && colored > 300) w.first = now
    const told = document.title
    if (told !== w.text) { w.text = told; w.texted = now }
    requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
})()
"""


def cells(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of points: float32 (n, 2) and the type of each, int32 (n,)."""
    centres = np.random.default_rng(1).normal(size=(KINDS, 2)) * 6
    random = np.random.default_rng(seed)
    kind = random.integers(0, KINDS, n).astype(np.int32)
    return (centres[kind] + random.normal(size=(n, 2))).astype(np.float32), kind


# what is served


def serve(port: int, n: int) -> None:
    """Serve the contenders until killed."""
    import datashader as ds
    import holoviews as hv
    import pandas as pd
    import panel as pn
    from holoviews.operation.datashader import datashade

    from components import raster, theme
    from components.coloring import Categories, Values
    from components.embedding_map import EmbeddingMap
    from components.legend import Legend
    from components.points import index_points

    hv.extension("bokeh")
    raster.warm()
    places, kind = cells(n, 0)
    query_places, query_kind = cells(n // 10, 2)
    reference, query = index_points(places), index_points(query_places)
    names = tuple(f"type {k:02d}" for k in range(KINDS))
    colors = theme.category_colors(names)
    value = np.abs(np.random.default_rng(3).normal(size=len(query_places)))

    def ours(with_query: bool) -> pn.viewable.Viewable:
        labels = Categories(query_kind if with_query else kind, names, colors)
        shown = EmbeddingMap(
            background=reference, foreground=query if with_query else None,
            foreground_coloring=labels if with_query else None,
            background_coloring=None if with_query else labels,
        )  # fmt: skip
        legend = Legend(height=500, width=200)
        legend.display(labels)
        legend.param.watch(lambda event: shown.param.update(hidden=event.new), "hidden")
        recolor = pn.widgets.Button(label="Recolour")
        recolor.on_click(lambda _: shown.param.update(
            foreground_coloring=Categories(labels.codes, names, shown.coloring.colors[::-1])))  # fmt: skip
        by_value = pn.widgets.Button(label="By value")
        by_value.on_click(lambda _: shown.param.update(foreground_coloring=Values(value)))
        count = pn.widgets.IntInput(value=-1, visible=False)
        count.jscallback(value="document.title = 'selected ' + source.value", args={"source": count})
        shown.param.watch(
            lambda event: count.param.update(value=-1 if event.new is None else int(event.new.sum())), "selected"
        )
        frame = pn.Column(shown, width=SIZE[0] + TOOLBAR, height=SIZE[1], margin=0)
        return pn.Row(frame, pn.Column(recolor, by_value, legend, count))

    def theirs(lod_timeout: int | None) -> pn.viewable.Viewable:
        frame = pd.DataFrame({"x": places[:, 0], "y": places[:, 1]})
        frame["kind"] = pd.Categorical.from_codes(kind, names)
        key = dict(zip(names, colors, strict=True))
        picture = datashade(
            hv.Points(frame, ["x", "y"], "kind"), aggregator=ds.count_cat("kind"), color_key=key,
            width=SIZE[0], height=SIZE[1], dynamic=True,
        )  # fmt: skip
        tuned = {"plot.lod_timeout": lod_timeout} if lod_timeout else {}
        options = {"frame_width": SIZE[0], "frame_height": SIZE[1], "active_tools": ["wheel_zoom"]}
        return pn.pane.HoloViews(picture.opts(hv.opts.RGB(**options, backend_opts=tuned)), margin=0)

    pn.serve(
        {
            "map": lambda: ours(True), "reference": lambda: ours(False),
            "datashade": lambda: theirs(None), "tuned": lambda: theirs(50),
        },
        port=port, show=False, verbose=False,
    )  # fmt: skip


# what is measured


class Tab:
    """A page of one contender, with what arrived over its socket."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.bytes = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._received))
        page.add_init_script(WATCH)
        page.goto(url)
        page.wait_for_function("window.__watch.first !== null", timeout=120_000)
        self.first_picture = self._watch("first")
        page.mouse.move(SIZE[0] * 0.5, SIZE[1] * 0.5)
        page.wait_for_timeout(1_000)

    def _received(self, frame: str | bytes) -> None:
        self.bytes += len(frame)

    def _watch(self, name: str) -> float:
        return float(self.page.evaluate(f"window.__watch.{name}"))

    def settle(self, act: Callable[[], object], least_bytes: int = 0) -> tuple[float, int]:
        """Milliseconds from the last event of `act` to the last change of the picture, and bytes received."""
        started, before = self._watch("changed"), self.bytes
        act()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            self.page.wait_for_timeout(50)
            quiet = self.page.evaluate("performance.now() - window.__watch.changed") > QUIET
            if quiet and self._watch("changed") > started and self.bytes - before > least_bytes:
                return self._watch("changed") - self._watch("event"), self.bytes - before
        raise TimeoutError("the picture did not change within 30 s")

    def zooms(self, times: int) -> tuple[list[float], list[int]]:
        """Wheel in twice and out once, here and there."""
        took, received = [], []
        for turn in range(times):
            x, y = SIZE[0] * (0.4 + 0.02 * (turn % 9)), SIZE[1] * (0.6 - 0.02 * (turn % 7))
            self.page.mouse.move(x, y)
            self.page.wait_for_timeout(150)
            delta = 240 if turn % 3 == 2 else -240
            milliseconds, size = self.settle(lambda delta=delta: self.page.mouse.wheel(0, delta), 20_000)
            took.append(milliseconds)
            received.append(size)
        return took, received

    def lasso(self) -> float:
        """Milliseconds from the end of a gesture until the browser knows how many were selected."""
        self.page.locator("[title='Lasso Select']").click()
        self.page.mouse.move(250, 150)
        self.page.mouse.down()
        for x, y in ((600, 150), (600, 450), (250, 450), (250, 160)):
            self.page.mouse.move(x, y, steps=12)
        self.page.mouse.up()
        self.page.wait_for_function("document.title.startsWith('selected') && __watch.texted > __watch.event")
        return self._watch("texted") - self._watch("event")


def kernels(n: int) -> dict[str, float]:
    """Milliseconds of painting alone: ours beside Datashader on the same tile-sorted points, median of 15."""
    import datashader as ds
    import pandas as pd

    from components import raster
    from components.points import fit, index_points

    places, kind = cells(n, 0)
    points = index_points(places)
    codes = raster.category_codes(kind)[points.order]
    view = fit(points.extent, *SIZE)
    frame = pd.DataFrame({"x": points.xy[:, 0], "y": points.xy[:, 1], "code": codes})
    frame["kind"] = pd.Categorical(codes)
    canvas = ds.Canvas(*SIZE, x_range=view[:2], y_range=view[2:])
    contenders: dict[str, Callable[[], object]] = {
        "ours, random order": lambda: raster.paint([raster.Layer(points, codes, points.chance, 1)], view, *SIZE),
        "ours, density": lambda: raster.paint([raster.Layer(points, size=1)], view, *SIZE),
        "datashader last": lambda: canvas.points(frame, "x", "y", ds.last("code")),
        "datashader count": lambda: canvas.points(frame, "x", "y", ds.count()),
        "datashader count_cat": lambda: canvas.points(frame, "x", "y", ds.count_cat("kind")),
    }
    return {name: round(_median_ms(paint), 2) for name, paint in contenders.items()}


def figures(n: int) -> dict[str, float]:
    """Seconds to draw all points on a page at 600 dpi, and to compress its pixels alone, best of 3."""
    from components import raster, theme
    from components.coloring import Categories
    from components.points import fit, index_points
    from explorer.drawing.composing import Look, render, size_of
    from explorer.drawing.figures import Picture

    places, (of_query, query_kind) = index_points(cells(n, 0)[0]), cells(n // 10, 2)
    names = tuple(f"type {k:02d}" for k in range(KINDS))
    picture = Picture(of_query, Categories(query_kind, names, theme.category_colors(names)), places)
    look = Look(dpi=600)
    wide, high = (round(side / 25.4 * look.dpi) for side in size_of(1, look))
    codes = raster.paint([raster.Layer(places, size=3)], fit(places.extent, wide, high), wide, high)
    pixels = codes[:, :, None].repeat(3, axis=2).tobytes()
    took = {form: _best_s(lambda form=form: render([picture], look, form)) for form in ("pdf", "svg", "png")}
    return {**took, "pixels compressed": _best_s(lambda: zlib.compress(pixels, 6))}


def _best_s(work: Callable[[], object], times: int = 3) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return round(min(took), 2)


def _median_ms(work: Callable[[], object], times: int = 15) -> float:
    work()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(1e3 * (time.perf_counter() - began))
    return statistics.median(took)


@contextmanager
def mapping() -> Iterator[None]:
    """A worker process, as the app has one, maps cells again and again while the block runs.

    Raises
    ------
    RuntimeError
        If a mapping failed.
    """
    import anndata

    from explorer.jobs.queue import JobState, Queue
    from explorer.jobs.specs import MapSpec
    from explorer.jobs.supervisor import Supervisor
    from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA, settings

    sample = anndata.read_h5ad(SAMPLE_DATA / "pbmc_ifnb_832.h5ad")
    drawn = sample[np.random.default_rng(0).integers(0, sample.n_obs, MAPPED)].copy()
    drawn.obs_names_make_unique()
    states: list[JobState] = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cells.h5ad"
        drawn.write_h5ad(path)
        queue, enough = Queue(Path(name) / "jobs.sqlite", Path(name) / "results"), threading.Event()

        def feed() -> None:
            while not enough.is_set():
                id = queue.submit(MapSpec(str(path), str(SAMPLE_ATLAS))).id
                while not (state := queue.get(id).state).is_over and not enough.is_set():
                    time.sleep(0.02)
                states.append(state)
                queue.drop_files(id)

        supervisor, feeder = Supervisor(queue, settings()), threading.Thread(target=feed)
        supervisor.start()
        feeder.start()
        try:
            until(lambda: states, "the first mapping")
            yield
        finally:
            enough.set()
            feeder.join()
            supervisor.stop()
    if JobState.FAILED in states:
        raise RuntimeError("a mapping failed beside the zooms")


def measure(port: int, zooms: int) -> list[dict[str, Any]]:
    """Drive every contender; one row each."""
    rows: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=list(FLAGS))
        for name, title in (
            ("map", "ours, reference and query"), ("reference", ALONE),
            ("datashade", THEIRS), ("tuned", "the same, lod_timeout 50"),
        ):  # fmt: skip
            tab = Tab(browser.new_page(viewport={"width": 1200, "height": 700}), f"http://localhost:{port}/{name}")
            took, received = tab.zooms(zooms)
            row: dict[str, Any] = {
                "what": title,
                "first picture s": tab.first_picture / 1e3,
                "zoom s": statistics.median(took) / 1e3,
                "zoom worst s": max(took) / 1e3,
                "MB a zoom": statistics.median(received) / 1e6,
            }
            rows.append(row)
            if name == "map":
                rows.append(beside_mapping(tab, zooms, row["zoom s"]))
                tab.settle(tab.page.locator("[title='Reset']").click)      # every type is in view again
                click = tab.page.get_by_role("button", name="Recolour").click
                row["recolour s"] = statistics.median(tab.settle(click)[0] for _ in range(5)) / 1e3
                entry = tab.page.get_by_role("checkbox").first.click
                row["legend s"] = statistics.median(tab.settle(entry)[0] for _ in range(4)) / 1e3
                row["by value s"] = tab.settle(tab.page.get_by_role("button", name="By value").click)[0] / 1e3
            if name in ("map", "reference"):
                row["lasso s"] = tab.lasso() / 1e3
            tab.page.close()
        browser.close()
    return rows


def beside_mapping(tab: Tab, zooms: int, idle: float) -> dict[str, Any]:
    """Zooms of an open map while a worker maps cells."""
    tab.settle(tab.page.locator("[title='Reset']").click)
    with mapping():
        took, received = tab.zooms(zooms)
    seconds = statistics.median(took) / 1e3
    return {
        "what": "ours, while a mapping runs", "zoom s": seconds, "zoom worst s": max(took) / 1e3,
        "MB a zoom": statistics.median(received) / 1e6, "times idle": seconds / idle,
    }  # fmt: skip


def main() -> None:
    """Serve, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--zooms", type=int, default=15)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.points)
        return
    port = free_port()
    words = ["--serve", str(port), "--points", str(options.points)]
    server = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.map_speed", *words])
    try:
        wait_for(port, server)
        rows = measure(port, options.zooms)
    finally:
        server.terminate()
        server.wait()
    ours, theirs = (next(row for row in rows if row["what"] == what) for what in (ALONE, THEIRS))
    ratios = {name: round(theirs[name] / ours[name], 1) for name in ("first picture s", "zoom s", "MB a zoom")}
    painting, printed = kernels(options.points), figures(options.points)
    report(
        "map_speed", rows, points=options.points, ratio_to_datashade=ratios, painting_ms=painting, figure_s=printed
    )
    print("datashade(count_cat) / ours, reference alone:", ratios)
    print("painting alone, ms:", painting)
    print("figure at 600 dpi, s:", printed)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the server listens."""
    import socket

    while True:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        with socket.socket() as caller:
            if caller.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
