"""The reference corridor: what it takes for a label and a batch, how it leaves batches out, what it never harms."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cells import transformed
from planted import BATCHES, SYMBOLS, TYPES, planted

from explorer.building.fitting import MOST_FOLDS, build_reference, folds
from explorer.errors import Cancelled, FileProblem, OptionsProblem, ReferenceProblem, ValuesProblem
from explorer.flow import Reference
from explorer.mapping.corridor import map_query
from explorer.mapping.learning import LEAST_CELLS, Annotated, read_annotated
from explorer.methods import METHODS
from explorer.progress import Progress, Report
from explorer.reading.query import open_query
from explorer.reference import open_reference, read_embedding, read_layout


def saved(cells: ad.AnnData, folder: Path, name: str = "source.h5ad") -> Path:
    cells.write_h5ad(folder / name)
    return folder / name


def annotated(cells: ad.AnnData, folder: Path, *levels: str, batch: str | None = "batch") -> Annotated:
    return read_annotated(saved(cells, folder), levels or ("cell_type",), batch, None, Progress())


def built(source: Path, out: Path, **options: object) -> Reference:
    """Quickly: the published settings take few steps."""
    settings = {"labels": ("cell_type",), "batch": "batch", "preset": "paper", "device": "cpu"}
    return build_reference(source, out, **(settings | options))


def state(folder: Path) -> dict[str, str]:
    """Every file below a folder, and what is in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class TestFolds:
    @pytest.mark.parametrize(
        "sizes",
        [[50, 30, 20], [10] * 8, [1000, 1, 1, 1], [40, 39, 38, 3, 2, 1, 1]],
        ids=lambda sizes: f"{len(sizes)} batches",
    )
    def test_batches_stay_whole(self, sizes: list[int]) -> None:
        batches = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
        found = folds(batches, seed=0)
        assert found.dtype == np.int32
        of_batch = [np.unique(found[batches == b]) for b in range(len(sizes))]
        assert all(len(fold) == 1 for fold in of_batch)
        assert set(found.tolist()) == set(range(min(len(sizes), MOST_FOLDS)))

    def test_folds_are_about_as_large_as_each_other(self) -> None:
        batches = np.repeat(np.arange(20), np.linspace(5, 100, 20).astype(int)).astype(np.int32)
        sizes = np.bincount(folds(batches, seed=0))
        assert sizes.max() < 1.2 * sizes.min()

    def test_without_batches_a_fifth_of_the_cells_each(self) -> None:
        one = np.zeros(103, np.int32)
        assert sorted(np.bincount(folds(one, seed=0)).tolist()) == [20, 20, 21, 21, 21]
        np.testing.assert_array_equal(folds(one, seed=0), folds(one, seed=0))
        assert (folds(one, seed=0) != folds(one, seed=1)).any()


class TestAnnotation:
    def test_labels_are_sorted_and_coded(self, tmp_path: Path) -> None:
        cells = planted(cells=5)
        found = annotated(cells, tmp_path)
        assert found.classes("cell_type") == tuple(sorted(TYPES))
        names = np.array(found.classes("cell_type"))[found.codes("cell_type")]
        assert names.tolist() == cells.obs["cell_type"].astype(str).tolist()

    @pytest.mark.parametrize("nothing", [None, np.nan, ""], ids=["None", "NaN", "empty text"])
    def test_cells_without_a_label(self, tmp_path: Path, nothing: object) -> None:
        cells = planted(cells=5)
        labels = cells.obs["cell_type"].astype(object)
        labels.iloc[[0, 7]] = nothing
        cells.obs["cell_type"] = labels if nothing == "" else pd.Categorical(labels)
        found = annotated(cells, tmp_path)
        assert found.classes("cell_type") == tuple(sorted(TYPES))
        assert np.flatnonzero(found.codes("cell_type") < 0).tolist() == [0, 7]

    @pytest.mark.parametrize("kind", ["int64", "category", "str"])
    def test_numbered_clusters_are_labels(self, tmp_path: Path, kind: str) -> None:
        cells = planted(cells=5)
        number = cells.obs["cell_type"].cat.codes.to_numpy()
        cells.obs["cluster"] = pd.Series(number, index=cells.obs_names).astype(kind)
        found = annotated(cells, tmp_path, "cluster")
        assert found.classes("cluster") == ("0", "1", "2", "3")
        np.testing.assert_array_equal(found.codes("cluster"), number)

    def test_cells_without_a_batch_are_a_batch(self, tmp_path: Path) -> None:
        cells = planted(cells=5)
        cells.obs.loc[cells.obs["batch"] == "b2", "batch"] = np.nan
        found = annotated(cells, tmp_path)
        assert len(np.unique(found.batches)) == 3
        assert found.batches.min() == 0
        assert folds(found.batches, 0).max() == 2

    def test_the_batch_is_the_first_of_the_conditions(self, tmp_path: Path) -> None:
        """Some of the cells keep the names, and so the codes, of all of them."""
        cells = planted(cells=5)
        cells.obs["dose"] = np.where(cells.obs["batch"] == "b2", 10, 2)
        source = saved(cells, tmp_path)
        found = read_annotated(source, ("cell_type",), "batch", None, Progress(), ("dose", "batch"))
        assert [(each.column, each.names) for each in found.conditions] == [("batch", BATCHES), ("dose", ("10", "2"))]
        rows = np.flatnonzero(cells.obs["batch"] == "b3")
        batch, dose = found.training(rows, np.arange(3)).conditions
        assert (batch.names, dose.names) == (BATCHES, ("10", "2"))
        assert (set(batch.codes), set(dose.codes)) == ({2}, {1})

    def test_without_a_batch_the_conditions_are_those_named(self, tmp_path: Path) -> None:
        source = saved(planted(cells=5), tmp_path)
        found = read_annotated(source, ("cell_type",), None, None, Progress(), ("donor",))
        assert [each.column for each in found.conditions] == ["donor"]
        assert not found.batches.any()

    def test_without_a_batch_column_all_cells_are_one(self, tmp_path: Path) -> None:
        assert not annotated(planted(cells=5), tmp_path, batch=None).batches.any()

    @pytest.mark.parametrize("role", ["label", "batch", "sample"])
    def test_a_column_that_is_not_there(self, tmp_path: Path, role: str) -> None:
        source = saved(planted(cells=5), tmp_path)
        options = {"label": {"labels": ("kind",)}, "batch": {"batch": "kind"}, "sample": {"sample": "kind"}}[role]
        with pytest.raises(OptionsProblem, match=r"source has no obs column 'kind'\. It has: cell_type, lineage"):
            built(source, tmp_path / "out.atlas", **options)
        assert list(tmp_path.iterdir()) == [source]

    def test_one_label_is_too_few(self, tmp_path: Path) -> None:
        with pytest.raises(OptionsProblem, match=r"'cell_type' holds 1 label.*at least 2"):
            built(saved(planted(("alpha",), cells=10), tmp_path), tmp_path / "out.atlas")

    def test_a_handful_of_cells_is_too_few(self, tmp_path: Path) -> None:
        few = planted(cells=1)[: LEAST_CELLS - 1].copy()
        with pytest.raises(OptionsProblem, match=f"holds 9 cells; a reference needs at least {LEAST_CELLS}"):
            built(saved(few, tmp_path), tmp_path / "out.atlas")

    def test_values_that_cannot_be_expression(self, tmp_path: Path) -> None:
        cells = planted(cells=10)
        cells.X = cells.X.toarray() - 1.5
        with pytest.raises(ValuesProblem, match="scaled values"):
            built(saved(cells, tmp_path), tmp_path / "out.atlas")

    @pytest.mark.filterwarnings("ignore:Variable names are not unique")  # which is the point
    def test_a_gene_that_stands_twice_is_summed(self, tmp_path: Path) -> None:
        cells = planted(cells=5)
        names = cells.var_names.to_numpy(object).copy()
        names[1] = names[0]
        cells.var_names = names
        found = annotated(cells, tmp_path)
        assert found.genes["symbol"].tolist() == [SYMBOLS[0], *SYMBOLS[2:]]
        both = np.asarray(cells.X[:, :2].sum(1)).ravel()
        np.testing.assert_array_equal(found.cells.values[:, 0].toarray().ravel(), both)


class TestBuilding:
    def test_same_seed_same_reference(self, planted_file: Path, planted_reference: Reference, tmp_path: Path) -> None:
        same = {"labels": ("cell_type", "lineage"), "sample": "donor", "preset": "balanced"}
        again = built(planted_file, tmp_path / "again.atlas", **same)
        for read in (read_embedding, read_layout):
            np.testing.assert_array_equal(read(again, "concord"), read(planted_reference, "concord"))
        files = set(again.card["files"]) - {"cells.h5ad"}  # an h5ad holds the time it was written
        assert {name: again.card["files"][name] for name in files} == {
            name: planted_reference.card["files"][name] for name in files
        }

    def test_the_source_stays_as_it_is_and_nothing_else_is_left(self, tmp_path: Path) -> None:
        source = saved(planted(cells=15), tmp_path)
        before = source.read_bytes()
        built(source, tmp_path / "deep" / "er" / "out.atlas")
        assert source.read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "source.h5ad"]
        assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["out.atlas"]

    def test_what_is_told_about_it_is_on_its_card(self, tmp_path: Path) -> None:
        about = {"title": "Planted", "origin": "nowhere", "licence": "CC0", "organism": "mouse", "description": "x"}
        found = built(saved(planted(cells=15), tmp_path), tmp_path / "out.atlas", about=about)
        assert about.items() <= dict(found.card).items()
        assert found.title == "Planted"

    def test_cells_without_a_label_take_part_but_do_not_vote(self, tmp_path: Path) -> None:
        cells = planted(cells=20)
        hidden = np.arange(cells.n_obs) % 4 == 0
        own = cells.obs["cell_type"].astype(object)
        cells.obs["cell_type"] = pd.Categorical(own.where(~hidden, None))
        found = built(saved(cells, tmp_path), tmp_path / "out.atlas")
        assert found.n_cells == cells.n_obs
        assert found.card["methods"]["concord"]["scores"]["cell_type"]["cells"] == (~hidden).sum()
        result = map_query(open_query(cells[hidden].copy()), found, device="cpu")
        assert (result.labels.first.labels == own[hidden].to_numpy()).mean() > 0.9

    def test_a_label_of_one_batch_only(self, tmp_path: Path) -> None:
        """It cannot be held out, and is learned all the same."""
        cells = planted(cells=20)
        kept = ~((cells.obs["cell_type"] == "delta") & (cells.obs["batch"] != "b1"))
        found = built(saved(cells[kept].copy(), tmp_path), tmp_path / "out.atlas")
        result = map_query(open_query(planted(("delta",), ("query",), 30, seed=5)), found, device="cpu")
        assert (result.labels.first.labels == "delta").mean() > 0.7

    def test_logarithms_instead_of_counts(self, tmp_path: Path) -> None:
        cells = planted(cells=20)
        logged = ad.AnnData(transformed(cells, "log1p of CP10k"), cells.obs, cells.var)
        found = built(saved(logged, tmp_path), tmp_path / "out.atlas")
        query = planted(TYPES, ("query",), 30, seed=5)
        result = map_query(open_query(query), found, device="cpu")
        assert (result.labels.first.labels == query.obs["cell_type"].astype(str).to_numpy()).mean() > 0.9

    def test_one_batch(self, tmp_path: Path) -> None:
        found = built(saved(planted(batches=BATCHES[:1], cells=40), tmp_path), tmp_path / "out.atlas", batch=None)
        assert found.card["batch"] is None
        assert found.card["methods"]["concord"]["scores"]["cell_type"]["macro_f1"] > 0.9

    def test_the_card_says_what_a_method_may_describe_cells_by(self, tmp_path: Path) -> None:
        found = built(saved(planted(cells=15), tmp_path), tmp_path / "out.atlas", conditions=("donor",))
        assert found.card["methods"]["concord"]["conditions"] == ["batch", "donor"]

    def test_a_condition_that_does_not_exist(self, planted_file: Path, tmp_path: Path) -> None:
        with pytest.raises(OptionsProblem, match="no obs column 'dose'"):
            built(planted_file, tmp_path / "out.atlas", conditions=("dose",))

    def test_a_label_column_that_is_named_twice_is_one(self, tmp_path: Path) -> None:
        labels = ("cell_type", "lineage", "cell_type")
        found = built(saved(planted(cells=15), tmp_path), tmp_path / "out.atlas", labels=labels)
        assert found.levels == ("cell_type", "lineage")

    def test_progress_rises_from_stage_to_stage_and_ends_at_one(self, tmp_path: Path) -> None:
        heard: list[Report] = []
        built(saved(planted(cells=15), tmp_path), tmp_path / "out.atlas", progress=Progress.to(heard.append))
        fractions = [report.fraction for report in heard]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        stages = list(dict.fromkeys(report.stage for report in heard if report.stage))
        assert stages == [
            "Reading cells",
            *(f"Mapping left-out batches ({i} of 3)" for i in (1, 2, 3)),
            "Training on all cells",
            "Embedding",
            "Logistic regression on expression",
            "Drawing the picture",
            "Writing",
        ]


class TestRefusedAtOnce:
    """What could only fail in the end is refused before the hours of training."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "scvi"}, f"no method 'scvi'; choose one of: {', '.join(METHODS)}"),
            ({"preset": "best"}, "presets 'balanced' and 'paper', not 'best'"),
            ({"device": "tpu"}, "no device 'tpu'; choose auto, cpu or cuda"),
        ],
        ids=["method", "preset", "device"],
    )
    def test_an_option_that_does_not_exist(
        self, planted_file: Path, tmp_path: Path, options: dict[str, str], message: str
    ) -> None:
        with pytest.raises(OptionsProblem, match=message):
            built(planted_file, tmp_path / "out.atlas", **options)
        assert not list(tmp_path.iterdir())

    def test_a_place_that_cannot_be_written(self, planted_file: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        heard: list[Report] = []
        with pytest.raises(OptionsProblem, match=r"cannot be written: .*file is no folder"):
            built(planted_file, tmp_path / "file" / "out.atlas", progress=Progress.to(heard.append))
        assert not heard

    @pytest.mark.parametrize("there", ["a file", "a folder of other things"])
    def test_something_else_in_its_place(self, planted_file: Path, tmp_path: Path, there: str) -> None:
        out = tmp_path / "out.atlas"
        if there == "a file":
            out.write_text("thesis")
        else:
            out.mkdir()
            (out / "thesis.txt").write_text("thesis")
        before = state(tmp_path)
        with pytest.raises(ReferenceProblem, match="is no reference"):
            built(planted_file, out)
        assert state(tmp_path) == before

    def test_another_reference_in_its_place(
        self, planted_reference: Reference, planted_file: Path, tmp_path: Path
    ) -> None:
        before = state(planted_reference.folder)
        other = saved(planted(cells=15, seed=9), tmp_path)
        with pytest.raises(ReferenceProblem, match=r"already holds another reference .*480 cells"):
            built(other, planted_reference.folder)
        with pytest.raises(ReferenceProblem, match=r"already holds another reference .*labels cell_type, lineage"):
            built(planted_file, planted_reference.folder, labels=("lineage",))
        assert state(planted_reference.folder) == before


class TestOneMethodMore:
    def test_it_is_added_over_the_same_cells_and_the_card_keeps_its_texts(self, tmp_path: Path) -> None:
        """Trained from the bundle's own cells; the same method again takes its own place."""
        out = tmp_path / "out.atlas"
        built(saved(planted(cells=15), tmp_path), out, about={"title": "Planted", "origin": "a garden"})
        before = state(out)
        again = built(out / "cells.h5ad", out, seed=1)
        assert (again.title, again.card["origin"]) == ("Planted", "a garden")
        assert again.card["methods"]["concord"]["seed"] == 1
        after = state(out)
        regression = {"expression/config.json", "expression/weights.safetensors"}  # of the cells, not of a method
        assert {name for name in before if before[name] == after[name]} == {"cells.h5ad", "genes.csv", *regression}
        assert set(before) == set(after)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.atlas", "source.h5ad"]

    def test_a_bundle_copied_by_hand_counts_as_the_same_cells(self, tmp_path: Path) -> None:
        out = tmp_path / "out.atlas"
        source = saved(planted(cells=15), tmp_path)
        first = built(source, out)
        card = json.loads((out / "card.json").read_text())
        (out / "card.json").write_text(json.dumps({**card, "title": "Renamed"}))
        assert built(source, out, seed=2).title == "Renamed"
        assert open_reference(out).checksum != first.checksum


STAGES = ("Reading cells", "Mapping left-out batches (2 of 3)", "Training on all cells", "Drawing the picture")


class TestCancel:
    def cancelled(self, source: Path, out: Path, stage: str, **options: object) -> None:
        heard: list[Report] = []
        progress = Progress.to(heard.append, lambda: any(report.stage == stage for report in heard))
        with pytest.raises(Cancelled, match="Stopped on request"):
            built(source, out, progress=progress, **options)

    @pytest.mark.parametrize("stage", STAGES[:3])
    def test_nothing_is_left_behind(self, tmp_path: Path, stage: str) -> None:
        source = saved(planted(cells=15), tmp_path)
        self.cancelled(source, tmp_path / "out.atlas", stage)
        assert list(tmp_path.iterdir()) == [source]

    @pytest.mark.parametrize("stage", STAGES[2:])
    def test_a_reference_that_was_there_stays_as_it_was(self, tmp_path: Path, stage: str) -> None:
        source, out = saved(planted(cells=15), tmp_path), tmp_path / "out.atlas"
        built(source, out)
        before = state(out)
        self.cancelled(source, out, stage, seed=1)
        assert state(out) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.atlas", "source.h5ad"]

    def test_leftovers_of_a_program_that_was_killed_do_not_matter(self, tmp_path: Path) -> None:
        source, out = saved(planted(cells=15), tmp_path), tmp_path / "out.atlas"
        for name in ("out.atlas.part", "out.atlas.old"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "half.npy").write_bytes(b"half")
        built(source, out)
        built(source, out, seed=1)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.atlas", "source.h5ad"]
        assert "half.npy" not in state(out)


def test_gene_sets_for_a_method_that_reads_none_are_refused(planted_file: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsProblem, match="this method reads none"):
        built(planted_file, tmp_path / "out.atlas", method="concord", gene_sets=("reactome",))
    with pytest.raises(FileProblem, match=r"no gene set file mine\.gmt"):
        built(planted_file, tmp_path / "out.atlas", method="kida", gene_sets=("mine.gmt",))
    assert not list(tmp_path.iterdir())
