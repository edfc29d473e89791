"""Every part with toy data: `panel serve components/gallery.py`, and add ?dark=1 for the dark one."""

from __future__ import annotations

import numpy as np
import panel as pn

from components import theme
from components.cell_table import CellTable
from components.choice_table import ChoiceTable
from components.coloring import Categories, Values
from components.copied_text import CopiedText
from components.dossier import Dossier
from components.embedding_map import EmbeddingMap
from components.file_drop import FileDrop
from components.get_link import GetLink
from components.job_status import JobStatus
from components.legend import ColorBar, Legend
from components.notice import Notice
from components.panel_list import PanelList
from components.ranked_bars import RankedBars
from components.scatter import Scatter
from components.selection_panel import SelectionPanel
from components.small_charts import Curve, bars, curves
from components.threshold_histogram import ThresholdHistogram
from components.upset import UpSet


def toy_cells(n: int, kinds: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of points that look like an embedding: float32 (n, 2) and the kind of each, int (n,)."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(kinds, 2)) * 6
    kind = random.integers(0, kinds, n)
    stretch = np.random.default_rng(8).normal(size=(kinds, 2, 2)) * 0.6
    place = centres[kind] + np.einsum("nij,nj->ni", stretch[kind], random.normal(size=(n, 2)))
    return place.astype(np.float32), kind


def maps(dark: bool) -> pn.viewable.Viewable:
    """A query on its reference by label with its selection, and the reference alone by value."""
    reference, _ = toy_cells(200_000)
    query, kind = toy_cells(8_000, seed=1)
    coloring = Categories.of([f"Cell type {k + 1}" for k in kind], "Predicted cell type")
    selection = SelectionPanel()
    by_label = EmbeddingMap(
        background=reference, foreground=query, foreground_coloring=coloring, dark=dark, show_names=True,
        describe=lambda index, layer: f"{layer} point {index}\n<b>stays text</b>",
    )  # fmt: skip
    legend = Legend(height=440, width=230)
    legend.display(coloring)
    legend.param.watch(lambda event: by_label.param.update(hidden=event.new), "hidden")
    selection.param.watch(lambda event: by_label.param.update(mode=event.new), "mode")
    selection.param.watch(lambda _: by_label.select(None), "clear")
    by_label.param.watch(lambda event: selection.display(event.new, coloring), "selected")
    amount = np.clip(reference[:, 0] - 1, 0, None)
    values = Values(amount, "Some gene, log1p CP10k", zeros_grey=True)
    by_value = EmbeddingMap(background=reference, background_coloring=values, dark=dark)
    bar = ColorBar()
    bar.display(values, "clipped at the 1st and 99th percentile")
    return pn.Row(
        pn.Column(by_label, height=460, sizing_mode="stretch_width"), legend,
        pn.Column(by_value, height=460, sizing_mode="stretch_width"), pn.Column(bar, selection, width=270),
        sizing_mode="stretch_width",
    )  # fmt: skip


def tables() -> pn.viewable.Viewable:
    """Numbers: a threshold, a table of labels, ranked genes, rows to choose from."""
    random = np.random.default_rng(3)
    confidence = random.beta(6, 1.5, 8_000)
    _, kind = toy_cells(8_000, seed=1)
    threshold = ThresholdHistogram(title="Confidence", threshold=0.8, width=330)
    threshold.display(confidence)
    table = CellTable(median_title="median confidence", width=400, height=230)
    table.display(Categories.of([f"Cell type {k + 1}" for k in kind]), confidence)
    genes = ["LYZ", "S100A8", "CD14", "FCN1", "VCAN", "IL7R", "CD3E"]
    ranked = RankedBars(
        names=genes, scores=[4.1, 3.3, 2.2, 1.4, 0.9, -1.2, -2.6], title="Genes that speak for CD14+ monocytes",
        note="Integrated gradients; 1.2 % of the score is not accounted for.", width=360,
    )  # fmt: skip
    models = ChoiceTable(
        many=True, values=["a"], columns=[{"key": "title", "label": "Model"}, {"key": "score", "label": "Score"}],
        rows=[{"id": "a", "title": "First", "badge": "recommended", "note": "Quick.", "score": "0.96"},
              {"id": "b", "title": "Second", "note": "Slow.", "score": "0.94"},
              {"id": "c", "title": "Third", "disabled": "Not trained yet.", "score": ""}],
        width=300,
    )  # fmt: skip
    parts = (threshold, table, ranked, models)
    return pn.Row(*(pn.Row(part, margin=(0, 24, 0, 0)) for part in parts), margin=(16, 0))


def small_charts() -> pn.viewable.Viewable:
    """A histogram beside what is expected, and two curves crossed by a line."""
    even = bars([0.02, 0.04, 0.05, 0.05, 0.06, 0.28], (0, 1), "Shares of cells", expected=1 / 6)
    x = np.linspace(0, 1, 40)
    crossed = curves(
        [Curve("accuracy", x, 0.9 + 0.1 * x), Curve("kept", x, 1 - x**3, dashed=True)], (0, 1), "A trade", at=0.8
    )
    return pn.Row(pn.pane.HTML(even, width=440), pn.pane.HTML(crossed, width=480, margin=(0, 24)), margin=(16, 0))


def handouts() -> pn.viewable.Viewable:
    """What leads to files: panels of a figure, a link to what is made, text to copy."""
    items = [{"id": str(i), "title": f"Panel {i}", "detail": "label", "image": ""} for i in (1, 2, 3)]
    return pn.Row(
        PanelList(items=items, value="2", width=310),
        pn.Column(GetLink(label="Download PDF", href="?", primary=True), GetLink(label="Download, not yet"), width=200),
        CopiedText(text="832 cells were mapped onto the reference. Random seed 0.", width=420),
        margin=(16, 0),
    )


def several() -> pn.viewable.Viewable:
    """Who agrees with whom, samples on two axes, and all that is known of one cell."""
    upset = UpSet(
        names=["CONCORD", "scPoli", "KIDA"], members=[[True, True, True], [True, False, True], [False, False, False]],
        counts=[812, 40, 6], unit="cells", width=330,
    )  # fmt: skip
    scatter = Scatter(
        names=["donor 1", "donor 2", "donor 3", "yours"], x=[0.1, 0.5, 0.9, 0.45], y=[0.2, 0.8, 0.4, 0.5],
        colors=["#0072b2", "#0072b2", "#e69f00", "#e69f00"], marked=[False, False, False, True],
        x_title="PC1, 61 % of variance", y_title="PC2, 20 % of variance",
        legend=[{"name": "healthy", "color": "#0072b2"}, {"name": "ill", "color": "#e69f00"},
                {"name": "your file", "shape": "diamond"}],
        width=440,
    )  # fmt: skip
    rows = [{"id": "T", "name": "T cell", "value": "0.71", "share": 0.71, "marked": True},
            {"id": "NK", "name": "NK cell", "value": "0.24", "share": 0.24, "marked": True}]  # fmt: skip
    near = [{"name": "T cell", "value": "0.93", "note": "donor 2 · AAACATACAACCAC-1"}]
    dossier = Dossier(
        title="AAACCGTGCTTCCG-1", width=300,
        sections=[{"title": "Cell type", "rows": rows, "words": ["✓ cannot be told apart."]},
                  {"title": "Nearest reference cells", "rows": near}],
    )  # fmt: skip
    return pn.Row(upset, pn.Spacer(width=24), scatter, pn.Spacer(width=24), dossier, margin=(16, 0))


def gallery(dark: bool) -> pn.viewable.Viewable:
    """All parts on one page."""
    return pn.Column(
        maps(dark),
        tables(),
        small_charts(),
        handouts(),
        several(),
        pn.Row(
            FileDrop(url="/upload", hint="One .h5ad file of any size; it is streamed to this machine.",
                     width=460, height=200),
            pn.Column(
                JobStatus(title="query.h5ad", state="running", stage="Embedding", fraction=0.42, left=75),
                JobStatus(title="other.h5ad", state="failed", fraction=0.2,
                          error="The worker process ran out of memory."),
                JobStatus(title="third.h5ad", state="done", fraction=1.0),
                width=420, margin=(0, 16),
            ),
            pn.Column(
                Notice("12,345 cells and 20,000 genes.", title="Found."),
                Notice("All 2,000 genes of the reference were found.", kind="ok"),
                Notice("61 % of the genes were found; labels may be less certain.", kind="warn"),
                Notice("<b>No</b> gene is shared with the reference. Choose another column.", kind="error"),
                sizing_mode="stretch_width",
            ),
            sizing_mode="stretch_width",
        ),
        sizing_mode="stretch_width",
        margin=16,
    )  # fmt: skip


if pn.state.served:
    is_dark = pn.state.session_args.get("dark", [b"0"])[0] == b"1"
    page = "body{margin:0;background:var(--ax-surface)}"
    pn.extension(raw_css=[theme.tokens_css(dark=is_dark), page])
    gallery(is_dark).servable(title="Parts")
