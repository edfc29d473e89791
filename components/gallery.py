"""Every part with toy data: `panel serve components/gallery.py`, and add ?dark=1 for the dark one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import panel as pn
import param

from components import theme
from components.alluvial import Alluvial
from components.brush_histogram import BrushHistogram
from components.cell_table import CellTable
from components.choice_table import ChoiceTable
from components.coloring import Categories, Values
from components.copied_text import CopiedText
from components.distributions import outlines
from components.dossier import Dossier
from components.dot_plot import DotPlot
from components.embedding_map import EmbeddingMap
from components.file_drop import FileDrop
from components.get_link import GetLink
from components.heat_map import HeatMap
from components.heat_table import HeatTable
from components.help_sheet import HelpSheet
from components.interval_bars import IntervalBars
from components.job_status import JobStatus
from components.legend import ColorBar, Legend
from components.notice import Notice
from components.paged_table import Column, PagedTable
from components.panel_list import PanelList
from components.ranked_bars import RankedBars
from components.scatter import Scatter
from components.selection_panel import SelectionPanel
from components.share_link import ShareLink
from components.small_charts import Curve, bars, curves
from components.steps import STATES, Steps
from components.threshold_histogram import ThresholdHistogram
from components.tour import Tour
from components.upset import UpSet
from components.value_plane import ValuePlane
from components.violins import Violins
from components.volcano import Volcano
from components.widget_state import keep_widgets_true
from components.zero_band import places


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
    legend = Legend(height=440, width=230, selectable=True, editable=True)
    groups = [("Lymphoid", "Myeloid", "")[int(name.split()[-1]) % 3] for name in coloring.names]
    legend.display(coloring, groups, coloring.colors)
    legend.param.watch(lambda event: by_label.param.update(highlight=event.new), "hovered")
    legend.param.watch(lambda event: by_label.param.update(hidden=event.new), "hidden")

    def dye(event: param.parameterized.Event) -> None:
        name, color = event.new["name"], event.new["color"]
        now = zip(coloring.names, legend.colors, coloring.colors, strict=True)
        legend.colors = [color or usual if each == name else usual if not name else old for each, old, usual in now]
        by_label.foreground_coloring = replace(coloring, colors=tuple(legend.colors))

    legend.param.watch(dye, "dyed")
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
    brushed = BrushHistogram(title="Confidence of the selected cells", width=240)
    brushed.display(confidence, kind < 3)
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


def plane(dark: bool) -> pn.viewable.Viewable:
    """Two values against each other, zeros in their bands, with what was drawn on it."""
    random = np.random.default_rng(11)
    _, kind = toy_cells(8_000, seed=1)
    x, y = (np.where(random.random(8_000) < share, 0, random.gamma(2 + kind % 3, 0.5)) for share in (0.6, 0.4))
    coloring = Categories.of([f"Cell type {k + 1}" for k in kind], "Predicted cell type")
    shown = ValuePlane(points=places(x, y, (True, True)), bands=(True, True), coloring=coloring, cuts=(0.0, 1.0),
                       x_title="Gene A, log1p CP10k", y_title="Gene B, log1p CP10k", dark=dark)  # fmt: skip
    drawn = pn.pane.Str("", margin=(0, 16))
    shown.param.watch(lambda event: setattr(drawn, "object", str(event.new)), "drawn")
    return pn.Row(pn.Column(shown, width=460, height=340), drawn, margin=(16, 0))


def small_charts() -> pn.viewable.Viewable:
    """A histogram beside what is expected, and two curves crossed by a line."""
    even = bars([0.02, 0.04, 0.05, 0.05, 0.06, 0.28], (0, 1), "Shares of cells", expected=1 / 6)
    x = np.linspace(0, 1, 40)
    crossed = curves(
        [Curve("accuracy", x, 0.9 + 0.1 * x), Curve("kept", x, 1 - x**3, dashed=True)], (0, 1), "A trade", at=0.8
    )
    return pn.Row(pn.pane.HTML(even, width=440), pn.pane.HTML(crossed, width=480, margin=(0, 24)), margin=(16, 0))


def charts() -> pn.viewable.Viewable:
    """Genes and groups: a long table, a volcano, dots, heat, violins, flows, fields, shares with intervals."""
    random = np.random.default_rng(5)
    names = np.array([f"Gene{i}" for i in range(400)], dtype=object)
    fold, groups, colors = random.normal(0, 1.5, 400), ["T cell", "B cell", "Monocyte"], list(theme.CATEGORICAL[:3])
    table = PagedTable(width=330, unit="genes")
    order = np.argsort(-fold)
    told = pd.DataFrame({"gene": names[order], "fold": fold[order], "p": np.exp(-(fold[order] ** 2) * 4)})
    table.display(told, [Column("gene", "Gene"), Column("fold", "log2 FC", "number"), Column("p", "p", "p")])
    volcano = Volcano(width=380, x_title="log2 fold change", y_title="−log10 p", least_y=1.3)
    volcano.display(told["gene"].to_numpy(object), told["fold"].to_numpy(), fold[order] ** 2 * 4 / np.log(10))
    shown, shares = ["CD3E", "MS4A1", "LYZ"], [[0.8, 0.1, 0.05], [0.1, 0.9, 0.1], [0.05, 0.1, 1.0]]
    dots = DotPlot(names=shown, groups=groups, group_colors=colors, shares=shares, values=shares, width=390)
    heat = HeatMap(names=shown, groups=groups, group_colors=colors, shades=np.transpose(shares).tolist(), width=220,
                   tips=[[f"{name} in {group}" for group in groups] for name in shown], title="mean")  # fmt: skip
    codes = random.integers(0, 3, 3_000)
    shapes, medians, top = outlines(random.gamma(1 + 2 * codes, 0.5), codes, 3)
    violins = Violins(
        names=["LYZ"], groups=groups, colors=colors, shapes=[shapes], medians=[medians], tops=[top], width=300
    )  # fmt: skip
    links = [{"row": "T", "column": "T cell", "size": 80}, {"row": "T", "column": "B cell", "size": 10},
             {"row": "Mono", "column": "Monocyte", "size": 60}]  # fmt: skip
    by_name = dict(zip(groups, colors, strict=True))
    flows = Alluvial(left=["T", "Mono"], right=groups, links=links, colors=by_name, width=460, left_title="yours",
                     right_title="predicted")  # fmt: skip
    fields = HeatTable(rows=["T", "Mono"], columns=groups, colors=colors, corner="yours \\ predicted",
                       texts=[["80", "10", ""], ["", "", "60"]], shades=[[0.9, 0.1, 0], [0, 0, 1]])  # fmt: skip
    bars = [{"name": "s1", "value": 0.5, "low": 0.4, "high": 0.6, "text": "50 %", "tip": ""},
            {"name": "s2", "value": 0.2, "low": None, "high": None, "text": "20 %", "tip": "one sample"}]  # fmt: skip
    intervals = IntervalBars(cards=[{"title": "T cell", "color": colors[0], "bars": bars}], top=0.65, width=260)
    return pn.Column(
        pn.Row(table, pn.Spacer(width=24), volcano, pn.Spacer(width=24), dots),
        pn.Row(violins, heat, flows, fields, intervals),
        margin=(16, 0),
    )  # fmt: skip


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


def around() -> pn.viewable.Viewable:
    """What stands around a page: steps, a link to it, help (key ?), a tour."""
    steps = [{"key": state, "label": state.title(), "state": state, "detail": "a few words"} for state in STATES]
    rows = [{"name": "Novelty", "text": "How unusual a cell is for its label.", "source": "A paper"}]
    sections = [{"title": "Keys", "rows": [{"name": "This sheet", "keys": ["?"]}]}, {"title": "Words", "rows": rows}]
    share = ShareLink(note="It stays as it is.")
    share.param.watch(lambda event: setattr(share, "answer", {"link": "?view=3f9a", **event.new}), "asked")
    tour = Tour(stops=[{"title": "Share", "text": "A link to the page.", "at": ["button.share"]},
                       {"title": "Steps", "text": "Always open.", "at": ["nav"]}])  # fmt: skip
    help_sheet = HelpSheet(sections=sections, action="Take the tour", margin=(0, 8))
    help_sheet.param.watch(lambda _: setattr(tour, "stop", 0), "acted")
    return pn.Row(Steps(steps=steps, active="ready"), share, help_sheet, tour)


def gallery(dark: bool) -> pn.viewable.Viewable:
    """All parts on one page."""
    return pn.Column(
        around(),
        maps(dark),
        tables(),
        charts(),
        plane(dark),
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
    keep_widgets_true()
    gallery(is_dark).servable(title="Parts")
