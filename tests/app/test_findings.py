"""What the tabs below the map find: markers, signatures, gene sets, confusion, shares; without a browser."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sessions import own_home, run

from components.coloring import Categories
from explorer import keys
from explorer.app.answers.marking import (
    LABEL,
    REST,
    SELECTION,
    Contrast,
    Front,
    find,
    grouping,
    panel,
    shown_groups,
    sides,
)
from explorer.app.answers.pathways import (
    LISTED,
    MARKERS,
    MODEL,
    RANKED,
    ask_model,
    leading,
    look_up,
    of_markers,
    of_signature,
)
from explorer.app.answers.shares import Asked, cards, compose, condition_columns, scale_of
from explorer.app.answers.speaking import EVERY, ONE, Question, ask, words
from explorer.app.leaving import downloads
from explorer.app.leaving.confusion import cells_of, confusion, labels_in_force, named_columns, summary
from explorer.app.stored import library
from explorer.app.tab import recalling
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.explore.selection import SelectionView
from explorer.app.views.tabs.composition import CompositionView, difference_html
from explorer.app.views.tabs.marker_pictures import DOTS, HEAT
from explorer.app.views.tabs.markers import MarkersView
from explorer.app.views.tabs.own_labels import OwnLabelsView, flow, heat, per_label_html
from explorer.app.views.tabs.pathways import PathwaysView
from explorer.app.views.tabs.signatures import SignaturesView, dot_values
from explorer.asking.painting import GENES, genes_named
from explorer.errors import OptionsProblem
from explorer.flow import LevelLabels
from explorer.insight.own_labels import BY_SHARE
from explorer.insight.pseudobulk import TooFewSamples
from explorer.jobs import worker
from explorer.progress import Progress
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA

DEMO = SAMPLE_DATA / "pbmc_ifnb_832.h5ad"
NASTY = "<img src=x onerror=alert(1)>"


def work_off() -> None:
    """Do all waiting jobs, as the worker process does."""
    queue = library.queue()
    while job := queue.claim(os.getpid()):
        worker.do(job, queue, worker.run_mapping)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session whose project is the demo, mapped by CONCORD and by KIDA; tests leave it as it was."""
    made = Session()

    async def steps() -> None:
        made.choose_reference(SAMPLE_ATLAS)
        await made.settled()
        made.begin(DEMO, "demo")
        await made.settled()
        made.choose_methods(["concord", "kida"])
        made.start()
        await asyncio.to_thread(work_off)
        made.poll()
        await made.settled()
        made.show_result("concord")
        await made.settled()

    with pytest.MonkeyPatch.context() as patch:
        for _ in own_home(tmp_path_factory.mktemp("findings"), patch):
            run(steps)
            yield made


@pytest.fixture(scope="module")
def front(session: Session) -> Front:
    """The mapped cells."""
    return Front(session.reference, session.level, session.outcome, session.job.mapping)


@pytest.fixture(scope="module")
def expression() -> pd.DataFrame:
    """log1p CP10k of the demo, read by anndata."""
    cells = ad.read_h5ad(DEMO)
    counts = cells.X.toarray().astype(np.float64)
    return pd.DataFrame(np.log1p(counts / counts.sum(1, keepdims=True) * 1e4), columns=cells.var_names)


class TestMarkers:
    def test_of_a_label_are_those_of_its_cells(self, session: Session, front: Front, expression: pd.DataFrame) -> None:
        labels = labels_in_force(session)
        found = find(front, Contrast(LABEL, "CD14 monocyte"), None)
        inside = (labels.labels == "CD14 monocyte") & ~labels.unknown
        assert found.inside.tolist() == inside.tolist()
        assert (found.markers.inside, found.markers.outside) == (inside.sum(), (~inside).sum())
        told = found.table.set_index("gene").loc["S100A8"]
        own = expression["S100A8"].to_numpy()
        assert told["mean_in"] == pytest.approx(own[inside].mean(), abs=2e-3)
        assert told["share_out"] == pytest.approx((own[~inside] > 0).mean(), abs=1e-6)
        assert f"CD14 monocyte ({inside.sum():,} cells) against {REST}" in found.words
        assert "rank genes" in found.words

    def test_of_a_selection_leave_out_what_it_shares_with_the_label_it_is_held_against(self, front: Front) -> None:
        labels = grouping(front, LABEL)
        t_cells = np.flatnonzero(labels.codes == labels.names.index("CD4 T cell"))
        inside, outside = sides(front, Contrast(SELECTION, "the selection", "CD4 T cell"), t_cells[:50])
        assert np.flatnonzero(inside).tolist() == t_cells[:50].tolist()
        assert np.flatnonzero(outside).tolist() == t_cells[50:].tolist()

    def test_groups_of_a_column_are_its_values(self, front: Front) -> None:
        groups = grouping(front, "condition")
        assert dict(zip(groups.names, groups.counts, strict=True)) == front.obs["condition"].value_counts().to_dict()

    @pytest.mark.parametrize(("by", "group", "told"), [
        (SELECTION, "the selection", "No cells are selected"), ("age", "old", "no column 'age'"),
        ("condition", "sham", "there are ctrl, stim"),
    ])  # fmt: skip
    def test_what_is_not_there_is_said(self, front: Front, by: str, group: str, told: str) -> None:
        with pytest.raises(OptionsProblem, match=told):
            find(front, Contrast(by, group), None)

    def test_one_sample_a_side_is_too_few(self, front: Front) -> None:
        contrast = Contrast("condition", "stim", "ctrl", "samples", "batch")
        with pytest.raises(TooFewSamples, match="stim"):
            find(front, contrast, None)

    def test_pictures_hold_means_and_shares_of_the_groups(self, front: Front, expression: pd.DataFrame) -> None:
        groups = grouping(front, "cell_type")
        found = panel(front, ["LYZ", "CD3D"], groups)
        by_hand = expression.groupby(front.obs["cell_type"].astype(str).to_numpy())
        assert found.groups == groups.names
        np.testing.assert_allclose(found.means, by_hand[["LYZ", "CD3D"]].mean().loc[list(found.groups)], atol=2e-3)
        shares = by_hand[["LYZ", "CD3D"]].agg(lambda values: (values > 0).mean()).loc[list(found.groups)]
        np.testing.assert_allclose(found.shares, shares, atol=1e-4)
        assert len(found.shapes) == 2
        assert len(found.shapes[0]) == len(found.groups)
        means = by_hand[["LYZ", "CD3D"]].mean().loc[list(found.groups)]
        np.testing.assert_allclose(found.scaled, (means / means.max()).T, atol=1e-3)
        assert found.counts == tuple(front.obs["cell_type"].value_counts()[list(found.groups)])
        most = int(np.argmax(found.scaled[0]))
        assert found.told[0][most].startswith(f"LYZ in {found.groups[most]} (n = {found.counts[most]}): mean log1p")

    def test_a_gene_that_no_cell_shows_is_0_in_every_group(self, front: Front, expression: pd.DataFrame) -> None:
        silent = str(expression.columns[(expression == 0).all()][0])
        assert set(panel(front, [silent], grouping(front, "condition")).scaled[0]) == {0.0}

    def test_pictures_show_a_selection_beside_what_it_was_compared_with(self, front: Front) -> None:
        labels = grouping(front, LABEL)
        rows = np.flatnonzero(labels.codes == labels.names.index("B cell"))
        alone = shown_groups(front, SELECTION, rows)
        assert dict(zip(alone.names, alone.counts, strict=True)) == {"selection": len(rows), REST: 832 - len(rows)}
        found = find(front, Contrast(SELECTION, "the selection", "CD4 T cell", "t"), rows)
        beside = shown_groups(front, SELECTION, rows, found)
        assert beside.names == ("selection", "CD4 T cell")
        assert beside.counts.tolist() == [found.inside.sum(), found.outside.sum()]
        assert shown_groups(front, SELECTION, rows[:5], found).counts.tolist() == [5, 827], "another one was drawn"
        assert shown_groups(front, "condition").names == ("ctrl", "stim")


class TestOwnLabels:
    def test_every_field_selects_as_many_cells_as_it_says(self, session: Session) -> None:
        own, labels = session.outcome.result.obs["cell_type"], labels_in_force(session)
        found = confusion(own, labels, BY_SHARE)
        for mine, line in found.counts.iterrows():
            for predicted, n in line.items():
                assert len(cells_of(own, labels, str(mine), str(predicted))) == n
        assert int(found.counts.to_numpy().sum()) == 832
        assert f"{100 * found.agreement:.1f} % of 832 cells" in summary(found)

    def test_only_the_cells_asked_for_are_counted(self, session: Session) -> None:
        rows = np.arange(0, 832, 5)
        found = confusion(session.outcome.result.obs["cell_type"], labels_in_force(session), BY_SHARE, rows)
        assert found.cells == len(rows)

    def test_drawn_fields_and_flows_hold_the_same_cells_and_names_stay_text(self) -> None:
        found = confusion(pd.Series([NASTY, NASTY, "B", "B", None]), _labels([0, 1, 1, 1, 0]), BY_SHARE)
        drawn, flows = heat(found, as_share=False), flow(found)
        assert sum(int(text) for line in drawn["texts"] for text in line if text) == 4
        assert sum(band["size"] for band in flows["links"]) == 4
        assert set(flows["left"]) == {NASTY, "B"}
        assert "<img" not in per_label_html(found)
        assert heat(found, as_share=True)["texts"][drawn["rows"].index(NASTY)].count("50 %") == 2

    def test_whole_numbers_are_clusters_and_measurements_are_not(self) -> None:
        obs = pd.DataFrame({"leiden": [0, 1, 1], "score": [0.1, 0.2, 0.3], "one": ["a", "a", "a"]})
        assert named_columns(obs) == ("leiden",)


def _labels(codes: list[int]) -> LevelLabels:
    """Labels A and B of confidence 0.9, none of them unknown."""
    given = np.array(codes, np.int32)
    probabilities = np.eye(2, dtype=np.float32)[given]
    arrays = {each.name: np.full(len(codes), 0.9, np.float32) for each in fields(LevelLabels)}
    told = {"level": "type", "classes": ("A", "B"), "codes": given, "probabilities": probabilities, "threshold": 0.5,
            "unknown": np.zeros(len(codes), bool), "sets": probabilities > 0}  # fmt: skip
    return LevelLabels(**{**arrays, **told})


class TestComposition:
    @pytest.fixture
    def obs(self) -> pd.DataFrame:
        """Eight samples of 50 cells, two of each of four donors: one sick and one well."""
        sample = np.repeat([f"s{i}" for i in range(8)], 50)
        number = np.repeat(np.arange(8), 50)
        return pd.DataFrame(
            {"sample": sample, "state": np.where(number < 4, "sick", "well"), "donor": [f"d{i % 4}" for i in number],
             "mixed": ["x", "y"] * 200}
        )  # fmt: skip

    @pytest.fixture
    def labels(self) -> Categories:
        """T cells are 60 % of the sick and 20 % of the well, give or take."""
        codes = []
        for at in range(8):
            n = 30 + at if at < 4 else 10 + at % 2
            codes += [0] * n + [1] * (50 - n)
        return Categories(np.array(codes), ("T", NASTY), ("#0072b2", "#e69f00"), "Label")

    def test_only_what_is_one_value_a_sample_is_a_condition(self, obs: pd.DataFrame) -> None:
        assert condition_columns(obs, "sample", list(obs)) == ("state", "donor")

    def test_a_planted_difference_is_found_within_donors(self, obs: pd.DataFrame, labels: Categories) -> None:
        asked = Asked("sample", "state", "sick", "well", "donor")
        found = compose(labels, obs, asked, None)
        told = found.difference.set_index("label").loc["T"]
        assert told["difference"] == pytest.approx(0.42)
        assert told["low"] < 0.42 < told["high"]
        assert told["samples"] == 4
        assert found.by_condition.query("label == 'T' and condition == 'sick'")["share"].iloc[0] == pytest.approx(0.63)
        html = difference_html(found, asked)
        assert "within 4 donors" in html
        assert "<img" not in html

    def test_donors_who_differ_by_the_same_have_a_difference_and_no_interval(
        self, obs: pd.DataFrame, labels: Categories
    ) -> None:
        codes = np.concatenate([np.repeat([0, 1], [n, 50 - n]) for n in (30, 31, 32, 33, 10, 11, 12, 13)])
        asked = Asked("sample", "state", "sick", "well", "donor")
        told = compose(replace(labels, codes=codes), obs, asked, None).difference.iloc[0]
        assert abs(told["difference"]) == pytest.approx(0.4)
        assert np.isnan([told["low"], told["high"], told["p"]]).all()

    def test_cards_hold_each_share_with_its_interval_on_a_scale_that_ends_beyond(
        self, obs: pd.DataFrame, labels: Categories
    ) -> None:
        found = compose(labels, obs, Asked("sample"), np.arange(100))
        drawn = cards(found.by_sample, labels, "sample")
        assert [(card["title"], len(card["bars"])) for card in drawn] == [("T", 2), (NASTY, 2)]
        bar = drawn[0]["bars"][0]
        assert (bar["name"], bar["value"], bar["tip"][:14]) == ("s0", 0.6, "30 of 50 cells")
        assert bar["low"] < bar["value"] < bar["high"] <= scale_of(found.by_sample) <= 1

    def test_too_few_samples_leave_the_shares_and_say_why_there_is_no_difference(
        self, obs: pd.DataFrame, labels: Categories
    ) -> None:
        few = np.flatnonzero(obs["sample"].isin(["s0", "s4", "s5"]))
        found = compose(labels, obs, Asked("sample", "state", "sick", "well"), few)
        assert found.difference is None
        assert "at least 2 of each" in found.problem
        assert len(found.told) == 1
        assert "those of a person" in found.told[0]


class TestSignatures:
    def test_of_one_label_stand_beside_expression(self, session: Session, expression: pd.DataFrame) -> None:
        question = Question(ONE, "B cell", session.level, "integrated gradients")
        found = ask(session.job.mapping, session.outcome, session.reference, question, None)
        labels = labels_in_force(session)
        inside = (labels.labels == "B cell") & ~labels.unknown
        one = found.of("B cell")
        told = one.table.set_index("gene").loc["CD79A"]
        assert told["mean"] == pytest.approx(expression["CD79A"].to_numpy()[inside].mean(), abs=2e-3)
        assert f"{inside.sum()} chosen cells" in words(found, "B cell")
        assert f"miss {100 * abs(one.signature.error):.1f} %" in words(found, "B cell")

    def test_of_all_labels_make_a_plot_of_dots_and_one_table(self, session: Session) -> None:
        question = Question(EVERY, "", session.level, "integrated gradients")
        spoken = ask(session.job.mapping, session.outcome, session.reference, question, None)
        drawn = dot_values(spoken.dots(), {"B cell": "#0072b2"})
        assert drawn["groups"] == [each.signature.toward for each in spoken.of_labels]
        assert all(len(line) == len(drawn["names"]) for line in drawn["shares"] + drawn["values"])
        assert spoken.table.groupby("label").size().nunique() == 1
        assert "NK cell" in spoken.left_out  # two cells

    def test_what_cannot_be_asked_is_said(self, session: Session) -> None:
        question = Question("selection", "B cell", session.level, "integrated gradients")
        with pytest.raises(OptionsProblem, match="No cells are selected"):
            ask(session.job.mapping, session.outcome, session.reference, question, None)
        with pytest.raises(OptionsProblem, match="No cell carries the label Megakaryocyte"):
            ask(session.job.mapping, session.outcome, session.reference,
                replace(question, cells=ONE, toward="Megakaryocyte"), None)  # fmt: skip


class TestPathways:
    def test_stimulated_cells_show_interferon_signalling(self, front: Front) -> None:
        contrast = Contrast("condition", "stim", "ctrl", "t")
        ranked = of_markers(find(front, contrast, None))
        listed = look_up(ranked, ["reactome"], LISTED)
        assert any("interferon" in title.lower() for title in listed.table["title"].head(3))
        assert "ISG15" in listed.members[str(listed.table["gene_set"].iloc[0])]
        by_rank = look_up(ranked, ["reactome"], RANKED).table
        assert any("interferon" in title.lower() for title in by_rank["title"].head(5))
        assert not by_rank["title"].str.startswith("REACTOME").any()

    def test_a_signature_leads_with_what_speaks_for_the_label(self) -> None:
        table = pd.DataFrame({"gene": ["a", "b", "c"], "score": [0.1, -3.0, 2.0]})
        assert leading(table) == ["c", "a"]
        assert leading(table.assign(adjusted_p=[0.01, 0.01, 0.5])) == ["a"]

    def test_a_model_of_pathways_is_asked_for_its_own_and_their_key_genes(self, session: Session) -> None:
        outcome, spec = session.outcomes["kida"], session.jobs["kida"].mapping
        rows = np.flatnonzero(outcome.result.labels.level(session.level).labels == "CD14 monocyte")[:20]
        asked = (spec, outcome, session.reference, rows, "CD14 monocyte", session.level, "pathway attribution")
        found = ask_model(*asked)
        assert found.how == MODEL
        assert found.table["score"].is_monotonic_decreasing
        first = set(found.members[str(found.table["gene_set"].iloc[0])])
        assert len(first) == found.table["size"].iloc[0]
        assert first & set(found.key_genes["gene"])


class TestTabs:
    """The views as a page makes them, with nobody looking."""

    def test_what_is_found_on_one_tab_is_looked_up_on_the_next(self, session: Session) -> None:
        before = set(downloads._offers)

        async def steps() -> None:
            views = [view(session) for view in
                     (CompositionView, OwnLabelsView, MarkersView, SignaturesView, PathwaysView)]  # fmt: skip
            markers, pathways = views[2], views[4]
            await session.settled()
            markers._by.value = "condition"
            markers._group.value = "stim"
            markers.compare()
            await session.settled()
            assert session.markers.markers.group == "stim"
            assert markers._table.total == len(session.markers.table)
            pictures = markers._pictures
            assert pictures._heat.names == [], "a volcano is in front, and needs no gene read"
            pictures._picture.value = HEAT
            await session.settled()
            assert pictures._heat.names == session.markers.table["gene"].head(8).tolist()
            counts = session.outcome.result.obs["condition"].value_counts()
            assert pictures._heat.groups == [f"{name} (n = {counts[name]})" for name in ("ctrl", "stim")]
            offered = next(iter(markers._offered().blocks)).decode()
            assert offered.splitlines()[1].split(",")[0] == session.markers.table["gene"].iloc[0]
            pathways.look_up()
            await session.settled()
            pathways._table.picked = str(session.sets.table["title"].iloc[0])
            await session.settled()
            assert session.color.kind == GENES
            assert set(genes_named(session.color.name)[1]) >= {"ISG15", "MX1"}
            confused = views[1]
            confused._table.picked = {"row": "B", "column": "B cell", "at": 1}
            await session.settled()
            own = session.outcome.result.obs["cell_type"]
            assert len(session.selection) == len(cells_of(own, labels_in_force(session), "B", "B cell"))
            session.select(None)
            session.show = "reference"
            await session.settled()
            assert session.markers is None  # they were of other cells
            assert not confused._body.visible
            assert session.sets is None
            session.show = "query"
            await session.settled()
            assert session.markers.markers.group == "stim", "they were kept"
            for view in views:
                view.destroy()

            # a page that is loaded anew reads what was found when a tab is opened, for the same threshold only
            await session.settled()
            another = Session()
            another.resume(session.project.id, "explore")
            while another.outcome is None:
                await another.settled()
                another.poll()
            assert (another.markers, another.sets) == (None, None)
            tab = PathwaysView(another)
            await another.settled()
            pd.testing.assert_frame_equal(another.markers.table, session.markers.table)
            assert another.markers.cells.equals(another.outcome.result.obs.index)
            assert tab._table.total == len(another.sets.table)
            assert tab._of.value == MARKERS
            another.param.update(markers=None, sets=None)
            another.choose_threshold(0.9)
            tab.destroy()
            tab = PathwaysView(another)
            await another.settled()
            assert (another.markers, another.sets) == (None, None)
            assert another.standing("sets").phase is Phase.NOTHING
            another.choose_threshold(0.5)
            await another.settled()
            assert another.markers is not None
            assert recalling.outdated(another, "sets") == ""
            another.choose_threshold(0.9)
            assert "0.50; it is 0.90" in tab._said.object
            another.choose_threshold(0.5)
            await another.settled()
            assert "threshold" not in tab._said.object
            tab.destroy()
            another.markers = None
            recalling.remove(session.project.id)
            MarkersView(another).destroy()
            assert another.markers is None

        run(steps)
        assert set(downloads._offers) == before

    def test_choices_and_what_speaks_for_cells_are_there_in_a_page_loaded_anew(self, session: Session) -> None:
        async def steps() -> None:
            composition, chosen = CompositionView(session), SelectionView(session)
            composition._column.value = "condition"
            composition._picture.value = "Table"
            session.select(np.arange(12))
            session.explain("CD14 monocyte")
            await session.settled()
            await session.settled()
            said = session.explanation
            another = Session()
            another.resume(session.project.id, "explore")
            while another.outcome is None:
                await another.settled()
                another.poll()
            views = [CompositionView(another), SelectionView(another)]
            await another.settled()
            assert (views[0]._column.value, views[0]._picture.value) == ("condition", "Table")
            assert len(another.selection) == 12
            assert another.explanation.genes == said.genes
            another.select(np.arange(13))
            await another.settled()
            assert another.explanation is None, "it was about other cells"
            session.select(None)
            session.tab_choices = {}
            for view in (*views, composition, chosen):
                view.destroy()
            recalling.remove(session.project.id)

        run(steps)

    def test_pictures_follow_a_selection_that_was_not_compared(self, session: Session) -> None:
        async def steps() -> None:
            view = MarkersView(session)
            session.markers = None
            pictures = view._pictures
            pictures._picture.value = DOTS
            pictures._genes.value = "CD20 cd3d nothing"
            await session.settled()
            assert pictures._dots.names == ["MS4A1", "CD3D"]
            assert "B cell" in pictures._dots.groups
            assert "nothing" in pictures._said.object
            for n in (40, 90):
                session.select(np.arange(n))
                await session.settled()
                assert pictures._heat.groups == [f"selection (n = {n})", f"{REST} (n = {832 - n})"]
                assert pictures._violins.groups == pictures._dots.groups == ["selection", REST]
            session.select(None)
            await session.settled()
            assert "B cell" in pictures._dots.groups
            view.destroy()

        run(steps)

    def test_comparing_tells_how_far_it_is_and_stops_when_it_is_not_wanted_any_more(self) -> None:
        idle, seen, stopped, go_on = Session(), [], threading.Event(), threading.Event()

        def work(progress: Progress) -> Any:
            progress(0.4)
            go_on.wait(240)
            try:
                progress(0.5)
            except Exception:
                stopped.set()
                raise

        async def steps() -> None:
            idle.param.watch(lambda _: seen.append(idle.standing("markers")), "status")
            idle.pursue("markers", "Comparing", work, lambda _: pytest.fail("an answer nobody wants"))
            while not seen or "40 %" not in seen[-1].text:
                await asyncio.sleep(0.01)
            idle.forget("markers")
            go_on.set()
            await idle.settled()
            assert idle.standing("markers").phase is Phase.NOTHING

        run(steps)
        assert stopped.is_set()
        assert seen[-2].text == "Comparing, 40 %"


def test_result_without_expression_says_that_genes_cannot_be_compared(session: Session, front: Front) -> None:
    gone = replace(front, outcome=replace(session.outcome, folder=session.outcome.folder / "nowhere"))
    assert not (gone.outcome.folder / keys.EXPRESSION_FILE).exists()
    with pytest.raises(OptionsProblem, match="keeps no expression"):
        gone.by_gene()


def test_signature_of_one_label_is_looked_up_by_its_own_genes(session: Session) -> None:
    question = Question(ONE, "CD14 monocyte", session.level, "integrated gradients")
    ranked = of_signature(ask(session.job.mapping, session.outcome, session.reference, question, None), "CD14 monocyte")
    assert "signature of CD14 monocyte" in ranked.told
    assert len(look_up(ranked, ["go_bp"], LISTED).table) > 100
