"""What a tab holds, without a browser: choices, jobs, results, colours, and problems in words."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sessions import DEMO, mapped, opened, run, work_off

from components.coloring import Categories, Values
from explorer import keys
from explorer.app.colors.coloring import ColorBy, label_categories, text_of
from explorer.app.leaving.handouts import paragraph
from explorer.app.leaving.tables import offered_table
from explorer.app.shell import Shell, step_states
from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.tab.training import Plan, one_more
from explorer.app.views.data.screen import DataView, file_facts, refit_words
from explorer.app.views.map.screen import further_rows, method_rows, outcome_facts
from explorer.app.views.map.ways import way_rows
from explorer.app.views.quality.preserving import PreservingView
from explorer.app.views.tabs.composition import composition_html
from explorer.errors import FileProblem
from explorer.flow import Reference
from explorer.genesets import readable
from explorer.insight.composition import count_labels
from explorer.jobs.building import minutes
from explorer.jobs.queue import JobState
from explorer.settings import ASSETS, SAMPLE_ATLAS, settings


def test_reference_opens_coloured_by_its_own_labels(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        session.choose_reference(SAMPLE_ATLAS)
        assert session.standing("reference").phase is Phase.RUNNING
        await session.settled()
        assert session.front == "reference"
        coloring = session.coloring
        assert isinstance(coloring, Categories)
        expected = session.reference.obs[session.level].value_counts().to_dict()
        assert dict(zip(coloring.names, coloring.counts.tolist(), strict=True)) == expected

    run(steps)


def test_preflight_of_a_demo_knows_its_columns_and_its_genes(home: Path) -> None:
    async def steps() -> None:
        session = await opened()
        found = session.preflight
        cells = ad.read_h5ad(DEMO)
        assert (found.inspection.n_cells, found.matrix.n_genes) == cells.shape
        assert (session.batch, session.own_label) == ("condition", "cell_type")
        assert found.is_ready
        assert found.coverages["concord"].share > 0.9
        assert step_states(session)["data"] == ("ready", "832 cells")

    run(steps)


def test_result_agrees_with_its_csv(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        table = pd.read_csv(session.outcome.folder / keys.PREDICTIONS_FILE)
        expected = table["label"].where(~table["unknown"], keys.UNKNOWN).value_counts().to_dict()
        coloring = session.coloring
        shown = dict(zip(coloring.names, coloring.counts.tolist(), strict=True))
        assert {name: n for name, n in shown.items() if n} == expected
        assert text_of(coloring, 3) == (keys.UNKNOWN if table["unknown"][3] else table["label"][3])

    run(steps)


def test_start_twice_and_in_two_tabs_makes_one_job(home: Path) -> None:
    async def steps() -> None:
        session = await opened()
        session.start()
        session.start()
        other = Session()
        other.resume(session.project.id)
        await other.settled()
        other.start()
        assert len(library.queue().jobs()) == 1
        assert other.job.id == session.job.id

    run(steps)


def test_another_tab_takes_up_choices_job_and_result(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        session.choose_color(ColorBy("gene", "ISG15"), session.reference.levels[1])
        await session.settled()
        other = Session()
        other.resume(session.project.id, "explore")
        await other.settled()
        await other.settled()
        assert other.outcome is session.outcome
        assert (other.step, other.color, other.level) == ("explore", session.color, session.level)
        assert (other.batch, other.own_label) == ("condition", "cell_type")

    run(steps)


def test_tab_notices_a_job_that_another_tab_started(home: Path) -> None:
    async def steps() -> None:
        session = await opened()
        other = Session()
        other.resume(session.project.id)
        await other.settled()
        session.start()
        other.poll()
        assert other.job.id == session.job.id
        session.cancel()
        other.poll()
        assert other.job.state is JobState.CANCELLED
        other.retry()
        session.poll()
        assert session.job.state is JobState.QUEUED

    run(steps)


def test_failed_job_says_why(home: Path) -> None:
    async def steps() -> None:
        path = home / "cells.h5ad"
        ad.read_h5ad(DEMO)[:40].write_h5ad(path)
        session = await opened(path)
        session.start()
        path.unlink()
        await asyncio.to_thread(work_off)
        session.poll()
        await session.settled()
        assert session.job.state is JobState.FAILED
        assert "cells.h5ad" in session.job.error
        assert step_states(session)["map"][0] == "problem"
        assert session.outcome is None

    run(steps)


def test_text_renamed_to_h5ad_gets_one_sentence(home: Path) -> None:
    async def steps() -> None:
        path = home / "notes.h5ad"
        path.write_text("these are my notes\n" * 100)
        session = await opened(path)
        assert session.standing("file").phase is Phase.FAILED
        assert "notes.h5ad" in session.standing("file").text
        assert session.spec is None
        session.start()
        assert library.queue().jobs() == ()

    run(steps)


def test_a_file_that_was_uploaded_goes_by_the_name_it_had(home: Path) -> None:
    async def steps() -> None:
        cells = ad.read_h5ad(DEMO)[:20].copy()
        cells.X = -np.ones(cells.shape, np.float32)
        stored = settings().uploads / "1df72cb53bbda845.h5ad"
        stored.parent.mkdir(parents=True)
        cells.write_h5ad(stored)
        session = Session()
        session.choose_reference(SAMPLE_ATLAS)
        await session.settled()
        session.begin(stored, "my cells")
        await session.settled()
        told = session.standing("file").text
        assert "my cells has no expression" in told
        assert stored.stem not in told

    run(steps)


def test_mouse_genes_come_with_their_remedy(home: Path) -> None:
    async def steps() -> None:
        cells = ad.read_h5ad(DEMO)
        pairs = pd.read_csv(ASSETS / "genes" / "human_mouse_one2one.csv", dtype=str)
        to_mouse = dict(zip(pairs["human_symbol"], pairs["mouse_symbol"], strict=True))
        cells = cells[:30, [name in to_mouse for name in cells.var_names]].copy()
        cells.var_names = [to_mouse[name] for name in cells.var_names]
        path = home / "mouse.h5ad"
        cells.write_h5ad(path)
        session = await opened(path)
        assert not session.preflight.is_ready
        assert session.preflight.needs_orthologs
        session.read_by(orthologs=True)
        await session.settled()
        assert session.preflight.is_ready
        assert session.spec.orthologs

    run(steps)


def test_other_readings_of_a_file_are_tried_and_one_click_takes_the_best(home: Path) -> None:
    cells = ad.read_h5ad(DEMO)[:40].copy()
    full = ad.AnnData(np.log1p(cells.X.toarray() / cells.X.toarray().sum(1, keepdims=True) * 1e4), cells.obs, cells.var)
    few = cells[:, ::20].copy()
    few.raw = full
    few.layers["scaled"] = few.X.toarray() - 1.5
    few.write_h5ad(home / "few.h5ad")

    async def steps() -> None:
        session = await opened(home / "few.h5ad")
        view = DataView(session)
        assert not session.preflight.is_ready
        (better,) = session.preflight.remedies
        assert (better.title, better.wanted["matrix"]) == ("Use raw/X", "raw/X")
        view._remedies.acted = {"id": view._remedies.rows[0]["id"]}
        await session.settled()
        assert session.preflight.is_ready
        least = min(covered.share for covered in session.preflight.coverages.values())
        assert better.share == pytest.approx(least)
        assert session.spec.matrix == "raw/X"
        assert not view._remedies_box.visible

        session.read_by(matrix="layers/scaled")
        await session.settled()
        assert session.spec is None
        assert "scaled values" in session.preflight.problem
        assert {each.title for each in session.preflight.remedies} == {"Use raw/X"}, "X has too few genes"
        view.destroy()

    run(steps)


def test_labels_of_the_file_are_told_to_keep_together(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        view = PreservingView(session)
        assert not view.panel.visible, "nobody looks at Quality"
        session.step = "quality"
        await session.settled()
        assert view.panel.visible
        assert "labels of cell_type are kept together" in view._said.object
        session.own_label = ""
        assert not view.panel.visible
        view.destroy()

    run(steps)


def test_genes_can_be_told_to_go_by_a_column_and_the_mapping_does(home: Path) -> None:
    cells = ad.read_h5ad(DEMO)[:30].copy()
    cells.var["symbol"], cells.var["alias"] = cells.var_names, [f"x{i}" for i in range(cells.n_vars)]
    cells.var_names = [str(i) for i in range(cells.n_vars)]
    cells.write_h5ad(home / "named.h5ad")

    async def steps() -> None:
        session = await opened(home / "named.h5ad")
        assert session.preflight.is_ready, "the column is found by itself"
        session.read_by(gene_names="alias")
        await session.settled()
        assert not session.preflight.is_ready
        assert session.preflight.remedies[0].wanted["gene_names"] in ("", "symbol")
        session.read_by(gene_names="symbol")
        await session.settled()
        assert dict(file_facts(session.preflight))["Gene names"] == "gene symbols, from the column symbol"
        session.choose_how(independent=True, unknown="quantile", refine=True)
        session.start()
        await asyncio.to_thread(work_off)
        session.poll()
        await session.settled()
        options = session.outcome.result.provenance.options
        asked = {"gene_names": "symbol", "independent": True, "unknown": "quantile", "refine": True}
        assert {name: options[name] for name in asked} == asked
        told = paragraph(session)
        for words in ("column symbol alone", "Each label level was given by itself", "99 % quantile", "majority"):
            assert words in told
        again = Session()
        again.resume(session.project.id)
        await again.settled()
        assert again.spec == session.spec

    run(steps)


def test_few_genes_come_with_their_remedy_and_the_result_says_so(
    home: Path, planted_reference: Reference, planted_query: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATLAS_EXPLORER_MIN_PANEL_GENES", "50")
    settings.cache_clear()
    few = planted_query[:, [(i % 20 < 10 and i < 100) or i >= 270 for i in range(planted_query.n_vars)]]
    few.copy().write_h5ad(home / "few.h5ad")

    async def steps() -> None:
        session = Session()
        session.choose_reference(planted_reference.folder)
        await session.settled()
        session.begin(home / "few.h5ad", "few")
        await session.settled()
        assert not session.preflight.is_ready
        assert len(session.preflight.shared) == 80
        assert refit_words(session) == ""
        session.read_by(refit_shared=True)
        await session.settled()
        assert session.preflight.is_ready
        assert "80 genes" in refit_words(session)
        assert "the first time only" in refit_words(session)
        session.start()
        await asyncio.to_thread(work_off)
        session.poll()
        await session.settled()
        assert "80 shared genes" in outcome_facts(session.outcome)
        assert "nothing is trained" in refit_words(session)
        (row,) = method_rows(session, session.reference)
        scores = session.outcome.result.provenance.panel.scores
        assert row["macro_f1"] == f"{scores['cell_type']['macro_f1']:.3f}"
        session.explain("alpha")
        await session.settled()
        assert {genes.gene for genes in session.explanation.genes} <= set(few.var_names)
        other = Session()
        other.resume(session.project.id)
        await other.settled()
        assert other.refit_shared
        assert other.spec == session.spec

    run(steps)


def test_ways_to_map_are_chosen_kept_and_told(
    home: Path, scpoli_reference: Reference, planted_query: ad.AnnData
) -> None:
    planted_query[:60].copy().write_h5ad(home / "cells.h5ad")

    async def steps() -> None:
        session = Session()
        session.choose_reference(scpoli_reference.folder)
        await session.settled()
        session.begin(home / "cells.h5ad", "cells")
        await session.settled()
        assert session.traits.nested == (("cell_type", "lineage"),)
        assert [way.mode.name for way in session.ways if not way.refusal] == ["instant", "nearest", "surgery"]
        assert (session.spec.mode, session.spec.hierarchical, session.spec.batch) == (None, False, "batch")
        session.choose_mode("nearest")
        session.choose_how(hierarchical=True)
        assert (session.spec.mode, session.spec.hierarchical) == ("nearest", True)
        session.start()
        await asyncio.to_thread(work_off)
        session.poll()
        await session.settled()
        assert "“Nearest batch”, coarse labels first" in outcome_facts(session.outcome)
        other = Session()
        other.resume(session.project.id)
        await other.settled()
        assert other.spec == session.spec

    run(steps)


def test_ways_that_a_file_or_a_reference_does_not_allow_say_why(
    home: Path, scpoli_reference: Reference, planted_query: ad.AnnData
) -> None:
    logged = planted_query[:60].copy()
    logged.X = logged.X.multiply(1e4 / logged.X.sum(1)).log1p().tocsr().astype(np.float32)
    logged.write_h5ad(home / "logged.h5ad")

    async def steps() -> None:
        session = Session()
        session.choose_reference(scpoli_reference.folder)
        await session.settled()
        session.begin(home / "logged.h5ad", "logged")
        await session.settled()
        session.choose_mode("surgery")
        assert session.way == "instant"
        assert "Needs counts" in way_rows(session, "scpoli")[2]["disabled"]
        session.traits = replace(session.traits, has_expression=False)
        assert all("without expression" in way.refusal for way in session.ways[1:])
        assert all("without expression" in row["disabled"] for row in further_rows(session, session.reference))
        session.traits = replace(session.traits, has_expression=True)
        card = {**session.reference.card, "batch": None}
        card["methods"] = {"scpoli": {**card["methods"]["scpoli"], "batch": None, "conditions": []}}
        session.reference = replace(session.reference, card=card)
        assert all("without batches" in way.refusal for way in session.ways[1:])

    run(steps)


def test_methods_that_a_reference_lacks_are_offered_and_used_when_trained(
    home: Path, scpoli_reference: Reference, planted_query: ad.AnnData
) -> None:
    planted_query[:60].copy().write_h5ad(home / "cells.h5ad")

    async def steps() -> None:
        session = Session()
        session.choose_reference(scpoli_reference.folder)
        await session.settled()
        session.begin(home / "cells.h5ad", "cells")
        await session.settled()
        offered = further_rows(session, session.reference)
        assert [row["id"] for row in offered] == ["concord", "concerto", "kida", "bascvi"]
        assert all(row["disabled"] and "Train this method (about 1 min)" in row["action"] for row in offered)
        spec = one_more(session.reference, "kida")
        session.train(spec)
        assert session.build.state is JobState.QUEUED
        assert not any(row["action"] for row in further_rows(session, session.reference)), "one at a time"
        other = Session()
        other.follow_builds()
        assert other.build.id == session.build.id
        other.cancel_build()
        session.poll()
        assert session.build.state is JobState.CANCELLED
        session.retry_build()
        queue = library.queue()
        job = queue.claim(os.getpid())
        place = shutil.copytree(session.reference.folder, Path(spec.out))
        card = json.loads((place / keys.CARD_FILE).read_text())
        card["methods"]["kida"] = card["methods"]["scpoli"]
        (place / keys.CARD_FILE).write_text(json.dumps(card))
        queue.finish(job.id)
        session.leave()
        session.poll()
        await session.settled()
        assert session.reference.folder == place
        assert set(session.reference.methods) == {"scpoli", "kida"}

    run(steps)


def test_a_file_that_could_be_a_reference_is_judged_before_it_is_trained(
    home: Path, scpoli_reference: Reference, planted_query: ad.AnnData
) -> None:
    cells = planted_query[:9].copy()
    cells.obs["same"] = pd.Categorical(["x"] * 9)
    cells.write_h5ad(home / "few.h5ad")

    async def steps() -> None:
        session = Session()
        session.choose_reference(scpoli_reference.folder)
        await session.settled()
        session.begin(home / "few.h5ad", "few")
        await session.settled()
        told = "\n".join(Plan(" ", ("same",), "", "", ()).refusals(session.preflight))
        for sentence in ("9 cells", "a title", "'same' holds 1 label;", "at least one method"):
            assert sentence in told
        assert "column of labels" in Plan("a", (), "", "", ("kida",)).refusals(session.preflight)[1]
        plan = Plan("Mine & yours", ("cell_type",), "batch", "", ("kida", "scpoli"))
        spec = plan.spec(home / "few.h5ad")
        assert (spec.batch, spec.sample, spec.labels) == ("batch", None, ("cell_type",))
        assert Path(spec.out).parent == settings().own_references
        assert plan.spec(home / "few.h5ad") == spec, "asked twice it is the same work"
        assert any(f"about {2 * minutes(9, 1)} min" in words for words in plan.words(session.preflight))

    run(steps)


def test_pathways_have_names_that_can_be_read() -> None:
    assert readable("REACTOME_SIGNALING_BY_HIPPO") == "Signaling by hippo"
    assert readable("my own Set_1") == "my own Set 1"


def test_late_answers_are_not_used(home: Path) -> None:
    async def steps() -> None:
        session, used = Session(), []
        let_go = threading.Event()
        session.attempt("file", "Slow", lambda: let_go.wait(240), lambda _: used.append("old"))
        session.attempt("file", "Quick", lambda: None, lambda _: used.append("new"))
        let_go.set()
        await session.settled()
        assert used == ["new"]

    run(steps)


def test_forgotten_work_leaves_no_trace(home: Path) -> None:
    async def steps() -> None:
        session, used = Session(), []
        session.attempt("file", "Slow", lambda: None, lambda _: used.append("old"))
        session.forget("file")
        await session.settled()
        assert used == []
        assert session.standing("file").phase is Phase.NOTHING

    run(steps)


def test_known_problems_keep_their_sentence_and_others_get_a_number(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def known() -> None:
        raise FileProblem("The file is torn. Save it again.")

    def unknown() -> None:
        raise ZeroDivisionError("secret detail")

    async def steps() -> None:
        session = Session()
        session.attempt("file", "", known, lambda _: None)
        session.attempt("result", "", unknown, lambda _: None)
        await session.settled()
        assert session.standing("file").text == "The file is torn. Save it again."
        told = session.standing("result").text
        assert "secret" not in told
        number = told.split("reference ")[1].split(")")[0]
        assert number in caplog.text

    run(steps)


def test_gene_of_the_query_is_log1p_cp10k_of_its_counts(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        session.choose_color(ColorBy("gene", "CD14"))
        await session.settled()
        counts = ad.read_h5ad(DEMO)
        totals = np.asarray(counts.X.sum(axis=1)).ravel()
        expected = np.log1p(counts[:, "CD14"].X.toarray().ravel() / totals * 1e4)
        np.testing.assert_allclose(session.coloring.values, expected, rtol=1e-3)
        beside = session.reference_coloring
        assert isinstance(beside, Values)
        assert beside.scale == session.coloring.scale

    run(steps)


def test_labels_have_one_colour_everywhere(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        query = dict(zip(session.query_coloring.names, session.query_coloring.colors, strict=True))
        reference = dict(zip(session.reference_coloring.names, session.reference_coloring.colors, strict=True))
        assert reference.items() <= query.items()
        session.leave()
        session.choose_color(ColorBy("column", session.level))
        await session.settled()
        column = dict(zip(session.coloring.names, session.coloring.colors, strict=True))
        assert column == reference

    run(steps)


def test_colour_that_only_a_query_has_falls_back_to_labels(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        session.choose_color(ColorBy("novelty"))
        await session.settled()
        assert session.reference_coloring is None
        session.start()
        await session.settled()
        assert session.outcome is None
        assert isinstance(session.coloring, Categories)

    run(steps)


def test_column_that_cannot_be_coloured_is_said(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        session.choose_color(ColorBy("column", "no such column"))
        await session.settled()
        assert "no such column" in session.standing("color").text

    run(steps)


def test_explanation_ranks_genes_of_the_asked_cells(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        labels = session.outcome.result.labels.level(session.level)
        rows = np.flatnonzero(labels.labels == "CD14 monocyte")[:20]
        session.select(rows)
        session.explain("CD14 monocyte")
        await session.settled()
        said = session.explanation
        assert (said.toward, said.n_cells) == ("CD14 monocyte", 20)
        scores = [gene.score for gene in said.genes]
        assert scores == sorted(scores, reverse=True)
        assert 0 <= abs(said.error) < 0.2
        session.select(None)
        assert session.explanation is None

    run(steps)


def test_selection_is_downloaded_as_selected(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        session.select(np.array([0, 5, 831]))
        offered = offered_table(session)
        path = home / "selection.csv"
        path.write_bytes(b"".join(offered.blocks))
        table = pd.read_csv(path)
        cells = ad.read_h5ad(DEMO)
        assert table["cell_id"].tolist() == cells.obs_names[[0, 5, 831]].tolist()
        assert table["condition"].tolist() == cells.obs["condition"].astype(str).iloc[[0, 5, 831]].tolist()
        assert offered.name == "pbmc_ifnb_832.selection.csv"

    run(steps)


def test_composition_counts_agree_with_pandas_and_escape_names(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        labels = label_categories(session.reference, session.outcome, session.level, "query")
        samples = session.outcome.result.obs["condition"].astype(object)
        samples.iloc[0] = "<b>ctrl</b>"
        counts = count_labels(labels.codes, samples)
        named = pd.Series(np.array(labels.names, dtype=object)[labels.codes])
        expected = pd.crosstab(named, samples.to_numpy())
        assert counts.to_numpy().sum() == 832
        for code in counts.index:
            assert counts.loc[code].to_dict() == expected.loc[labels.names[code]].to_dict()
        html = composition_html(counts, labels)
        assert "<b>ctrl" not in html
        assert "&lt;b&gt;ctrl" in html

    run(steps)


def test_result_of_a_rebuilt_reference_is_outdated(home: Path) -> None:
    async def steps() -> None:
        session = await mapped()
        assert not session.is_outdated
        reference = session.reference
        files = reference.card["files"]
        with_another = {**reference.card, "methods": {**reference.card["methods"], "another": {}},
                        "files": {**files, "methods/another/weights.safetensors": "0123"}}  # fmt: skip
        session.reference = replace(reference, card=with_another, checksum="another")
        assert not session.is_outdated, "a further method leaves this one as it was"
        session.reference = replace(reference, card={**reference.card, "files": {**files, keys.CELLS_FILE: "0123"}})
        assert session.is_outdated

    run(steps)


def test_unknown_project_and_missing_reference_are_said(home: Path) -> None:
    async def steps() -> None:
        session = Session()
        session.resume("nonsense")
        await session.settled()
        assert "nonsense" in session.standing("project").text
        session.choose_reference(home / "nothing.atlas")
        await session.settled()
        assert session.standing("reference").phase is Phase.FAILED

    run(steps)


def test_project_left_meanwhile_does_not_come_back(home: Path) -> None:
    async def steps() -> None:
        first = await opened()
        session = Session()
        session.resume(first.project.id)
        session.leave()
        await session.settled()
        assert session.project is None
        assert session.preflight is None

    run(steps)


def test_nothing_keeps_a_page_that_is_gone(home: Path) -> None:
    page = Shell()
    session = weakref.ref(page.session)
    del page
    gc.collect()
    assert session() is None
