"""Colours that a person chose for categories: the same in maps, charts, figures and files, kept, and taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from sessions import mapped, run

from components.coloring import Categories
from explorer import keys
from explorer.app.answers.marking import LABEL, Front, grouping
from explorer.app.colors import paints
from explorer.app.colors.coloring import ColorBy, color_both, column_colors, label_categories
from explorer.app.colors.paints import MANY, OWN, Paints, default_colors, label_paints, lookalike_words
from explorer.app.leaving import drawing, handouts
from explorer.app.leaving.downloads import Offered
from explorer.app.tab.pins import Pin
from explorer.app.tab.session import Session
from explorer.drawing.coloring import label_colors
from explorer.drawing.columns import is_measured
from explorer.drawing.composing import Look
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS

PINK, LIME = "#ff00aa", "#88ff00"


def colors_of(coloring: Categories) -> dict[str, str]:
    return dict(zip(coloring.names, coloring.colors, strict=True))


def test_paints_survive_json_and_take_no_nonsense() -> None:
    chosen = Paints(MANY).choosing("cell_type", "B cell", PINK).choosing("condition", "stim", "#AABBCC")
    record = json.loads(json.dumps(paints.as_record(chosen)))
    assert paints.read_record(record) == chosen
    assert chosen.of("condition") == {"stim": "#aabbcc"}
    odd = {"palette": "rainbow", "chosen": [["cell_type", "B cell", "url(x)"], ["cell_type", "T cell", LIME]]}
    assert paints.read_record(odd) == Paints(OWN, (("cell_type", "T cell", LIME),))


def test_a_chosen_colour_is_one_of_its_category_and_of_no_other(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        before = colors_of(session.query_coloring)
        codes = session.query_coloring.codes
        session.choose_paint("B cell", PINK)
        assert colors_of(session.query_coloring) == {**before, "B cell": PINK}  # at once, nothing to wait for
        assert session.query_coloring.codes is codes
        assert colors_of(session.reference_coloring)["B cell"] == PINK
        assert colors_of(session.held_colorings[0])["B cell"] == PINK
        assert dict(zip(before, session.default_colors, strict=True)) == before
        assert colors_of(label_categories(
            session.reference, session.outcome, session.level, "query", session.paints
        )) == colors_of(session.query_coloring)  # fmt: skip
        session.choose_paint("B cell", "")
        assert colors_of(session.query_coloring)["B cell"] == before["B cell"]

    run(steps)


def test_a_choice_is_kept_with_the_project_and_can_be_taken_back(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        before = session.query_coloring.colors
        session.choose_paint("B cell", PINK)
        session.choose_palette(MANY)
        others = set(session.query_coloring.colors[1:]) & set(before)
        assert colors_of(session.query_coloring)["B cell"] == PINK
        assert others <= {colors_of(session.query_coloring)[keys.UNKNOWN]}
        session.save()
        again = Session()
        again.resume(session.project.id)
        await again.settled()
        assert again.query_coloring.colors == session.query_coloring.colors
        session.undo()
        assert colors_of(session.query_coloring)["B cell"] == PINK
        assert len(set(session.query_coloring.colors) - set(before)) == 1
        session.undo()
        assert session.query_coloring.colors == before
        session.redo()
        assert colors_of(session.query_coloring)["B cell"] == PINK
        session.forget_paints()
        assert session.query_coloring.colors == before

    run(steps)


def test_charts_figures_and_files_have_the_chosen_colours(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        session.param.update(batch="condition")
        session.choose_paint("B cell", PINK)
        session.choose_color(ColorBy("column", "condition"))
        await session.settled()
        session.choose_paint("stim", LIME)
        await session.settled()

        front = Front(session.reference, session.level, session.outcome, session.job.mapping, session.paints)
        assert colors_of(grouping(front, LABEL))["B cell"] == PINK
        assert colors_of(grouping(front, "condition")) == colors_of(session.query_coloring)
        assert colors_of(session.query_coloring)["stim"] == LIME

        pins = [Pin("a", level="cell_type"), Pin("b", color=("column", "condition"), level="cell_type"),
                Pin("c", kind="composition", level="cell_type")]  # fmt: skip
        labels, condition, bars = drawing.panels_of(drawing.source_of(session), pins)
        assert colors_of(labels.coloring)["B cell"] == bars.colors["B cell"] == PINK
        assert colors_of(condition.coloring)["stim"] == LIME
        svg = b"".join(drawing.offered_figure(drawing.source_of(session), pins, Look(dpi=72), "svg").blocks)
        assert PINK.encode() in svg and LIME.encode() in svg

        cells = opened_file(handouts.offered_result(session), home)
        assert written(cells, keys.predicted("cell_type"))["B cell"] == PINK
        assert written(cells, "condition")["stim"] == LIME
        before = ad.read_h5ad(session.outcome.folder / keys.RESULT_FILE)
        assert written(before, keys.predicted("cell_type")) == {
            name: color for name, color in label_colors(session.reference, "cell_type").items() if name != keys.UNKNOWN
        }
        assert not {"condition_colors"} & set(before.uns)

    run(steps)


def opened_file(offered: Offered, folder: Path) -> ad.AnnData:
    """A file on offer, as scanpy opens it."""
    path = folder / "taken.h5ad"
    path.write_bytes(b"".join(offered.blocks))
    return ad.read_h5ad(path)


def written(cells: ad.AnnData, column: str) -> dict[str, str]:
    """The colours that scanpy finds for a column."""
    return dict(zip(cells.obs[column].cat.categories, cells.uns[keys.colors(column)], strict=True))


def test_a_column_follows_the_labels_that_it_shares_until_it_has_a_colour_of_its_own() -> None:
    reference = open_reference(SAMPLE_ATLAS)
    level = reference.levels[0]
    names = (*sorted(set(reference.obs[level].astype(str)))[:2], "mine")
    chosen = Paints().choosing(level, names[0], PINK)

    def defaults(paints: Paints, known: dict[str, str] | None = None) -> tuple[str, ...]:
        return default_colors(names, "own", level, reference, paints, known or {})

    usual = defaults(Paints())
    assert usual[:2] == tuple(label_paints(reference, level)[name] for name in names[:2])
    assert defaults(chosen) == (PINK, *usual[1:])
    assert defaults(chosen, {names[0]: "#010203"})[0] == "#010203"  # what the file says of the column goes before
    assert chosen.choosing("own", names[0], LIME).of("own") == {names[0]: LIME}
    assert label_paints(reference, level, Paints(MANY))[names[0]] not in {PINK, usual[0]}


def test_a_name_that_query_and_reference_share_has_one_colour(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        reference, level = session.reference, session.level
        column = next(name for name in reference.obs if name not in reference.levels and not is_measured(
            reference.obs[name]) and reference.obs[name].nunique() > 1)  # fmt: skip
        shared = str(reference.obs[column].astype("category").cat.categories[-1])
        obs = session.outcome.result.obs.assign(**{column: pd.Categorical([shared] * 832)})
        outcome = replace(session.outcome, result=replace(session.outcome.result, obs=obs))
        query, beside = color_both(outcome, reference, ColorBy("column", column), level)
        assert colors_of(beside)[shared] == colors_of(query)[shared]
        assert len(set(beside.colors)) == len(beside.names)
        assert column_colors(column, outcome, reference, level) == {**colors_of(beside), **colors_of(query)}
        numbered = replace(outcome, result=replace(outcome.result, obs=obs.assign(cluster=np.arange(832) % 3)))
        groups = grouping(Front(reference, level, numbered), "cluster")  # numbers have no colours on the map
        assert groups.names == ("0", "1", "2") and len(set(groups.colors)) == 3

    run(steps)


def test_colours_that_look_alike_are_named() -> None:
    shown = Categories(np.array([0, 1, 2]), ("a", "b", "c"), ("#ff0000", "#fe0505", "#0000ff"))
    assert lookalike_words(shown, ["b"], []) == "a and b have nearly the same colour."
    assert lookalike_words(shown, ["c"], []) == ""  # only what was chosen is spoken of
    assert lookalike_words(shown, ["b"], [0]) == ""  # and only what is seen
