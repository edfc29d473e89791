"""Charts of a figure, as words ask for them, by the same functions as the page's."""

from __future__ import annotations

from components.coloring import Categories
from explorer.asking.comparing import compare
from explorer.asking.panel_words import VOLCANO, Asked
from explorer.asking.scene import Scene
from explorer.drawing.charts import Chart
from explorer.drawing.coloring import by_names
from explorer.drawing.tallies import (
    CHARTS,
    COMPOSITION,
    CONFIDENCE,
    CONFUSION,
    compared_genes,
    composition,
    confusion,
    genes_by_group,
    names_in,
    sureness,
)
from explorer.errors import OptionsProblem
from explorer.insight.pseudobulk import SampleMarkers
from explorer.methods import METHODS
from explorer.progress import Progress


def chart_of(scene: Scene, asked: Asked, progress: Progress | None = None) -> Chart:
    """The chart of a panel.

    Raises
    ------
    AtlasError
        If the cells do not have what is asked for.
    """
    if asked.kind == VOLCANO:
        return _volcano(scene, asked, progress)
    method = asked.text("method")
    by_method = f", {METHODS[method].card.title}" if method in METHODS else ""
    title = asked.text("title", CHARTS[asked.kind] + by_method)
    if asked.kind == COMPOSITION:
        return composition(scene.named_labels(asked), names_in(scene.obs, asked.name), title)
    if asked.kind == CONFUSION:
        return confusion(scene.named_labels(asked), names_in(scene.obs, asked.name), title)
    if asked.kind == CONFIDENCE:
        return sureness(scene.labels(asked), title)
    by = asked.text("by")
    groups = _groups(scene, asked, by) if by else scene.named_labels(asked)
    if by and "title" not in asked.said:
        title = title.replace("by label", f"by {by}")
    return genes_by_group(asked.kind, scene.values(scene.genes(asked.name)), groups, title)


def _groups(scene: Scene, asked: Asked, column: str) -> Categories:
    names_in(scene.obs, column)  # refuses what holds no names
    return by_names(scene.obs[column], column, {**scene.label_colors(asked), **scene.brought(column)})


def _volcano(scene: Scene, asked: Asked, progress: Progress | None) -> Chart:
    if "=" not in asked.name:
        raise OptionsProblem(f"A volcano compares cells of one value: write {VOLCANO}:{asked.name}=VALUE")
    (found,) = compare(
        scene.query, asked.name, against=asked.text("against") or None, within=asked.text("within") or None,
        test=asked.text("test", "wilcoxon"), sample=asked.text("sample") or None, donor=asked.text("donor") or None,
        progress=progress,
    ).found  # fmt: skip
    unit = "samples" if isinstance(found, SampleMarkers) else "cells"
    within = f", within {asked.text('within')}" if asked.text("within") else ""
    told = f"{found.group} ({found.inside:,} {unit}) against {found.against} ({found.outside:,}){within}"
    return compared_genes(found.table, told, asked.text("title", f"{found.group} against {found.against}"))
