"""The table of measures: what it holds, what it leaves out, and the command that prints it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from explorer.errors import OptionsProblem
from explorer.evaluation.simulation import Simulation, simulate
from explorer.flow import Reference
from explorer.insight.metrics import BATCHES, LABELS, METRICS, PICTURE, SCIB_TITLES, TRUTH
from explorer.insight.quality import measure, of_reference, of_result
from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query
from explorer.report import describe_quality
from explorer.settings import SAMPLE_DATA

ROOT = Path(__file__).resolve().parents[2]
OWN = [name for name in METRICS if name not in SCIB_TITLES and TRUTH not in METRICS[name].needs]


def latent(apart: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, pd.Series, pd.Series]:
    """240 cells of two types in two batches that are `apart`; vectors, a picture, labels, batches."""
    rng = np.random.default_rng(seed)
    types, batches = np.arange(240) % 2, np.arange(240) // 2 % 2
    values = rng.normal(size=(240, 10)) * 0.5
    values[:, 0] += 4 * types
    values[:, 1] += 4 * (1 - types)
    values[:, 2:] += apart * batches[:, None]
    labels = pd.Series(np.where(types, "alpha", "beta"))
    return values.astype(np.float32), values[:, :2].astype(np.float32), labels, pd.Series([f"b{i}" for i in batches])


class TestMeasure:
    def test_everything_that_can_be_told_is(self) -> None:
        values, picture, labels, batches = latent()
        found = measure(values, picture, labels=labels, batches=batches, of="mine", level="type")
        assert [one.name for one in found.measured] == OWN
        for one in found.measured:
            metric = METRICS[one.name]
            assert metric.lowest <= one.value <= metric.highest, one.name
            assert math.isnan(one.expected) or metric.lowest <= one.expected <= metric.highest, one.name
        assert found.by_label["label"].tolist() == ["alpha", "beta"]
        assert found.by_label["cells"].sum() == found.by_batch["cells"].sum() == 240
        assert found["kni"] == pytest.approx(np.average(found.by_label["kni"], weights=found.by_label["cells"]))
        assert found.notes == ("KNI takes 24 neighbours, a tenth of the cells, in place of 50.",)

    def test_every_measure_knows_batches_that_lie_apart(self) -> None:
        mixed, apart = (
            measure(values, labels=labels, batches=batches) for values, _, labels, batches in (latent(0), latent(40))
        )
        for name in ("kni", "kni_diverse", "batch_silhouette", "foreign", "entropy", "lisi"):
            assert mixed[name] > apart[name] + 0.3, name
        assert mixed["rbni"] > apart["rbni"] == 0

    def test_a_collapsed_embedding_is_not_taken_for_a_good_one(self) -> None:
        values, _, labels, batches = latent()
        noise = np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
        good, bad = (measure(each, labels=labels, batches=batches) for each in (values, 10 + 0.01 * noise))
        assert bad["alignment"] < good["alignment"]
        assert bad["uniformity"] > 0.1 * good["uniformity"]
        assert bad["kni"] < 0.7 < 0.95 < good["kni"]
        assert bad["neighbor_accuracy"] < 0.7 < 0.95 < good["neighbor_accuracy"]

    @pytest.mark.parametrize("missing", [LABELS, BATCHES, PICTURE])
    def test_what_is_not_there_is_said(self, missing: str) -> None:
        values, picture, labels, batches = latent()
        found = measure(
            values,
            None if missing == PICTURE else picture,
            labels=None if missing == LABELS else labels,
            batches=None if missing == BATCHES else batches,
        )
        assert [one.name for one in found.measured] == [name for name in OWN if missing not in METRICS[name].needs]
        assert f"Without {missing} to compare, not told: " in found.notes[0]

    def test_cells_without_label_or_batch(self) -> None:
        values, picture, labels, batches = latent()
        labels[:20], batches[20:30] = None, None
        found = measure(values, picture, labels=labels, batches=batches)
        assert found.cells == 230
        assert found.by_label["cells"].sum() == 210

    def test_the_same_seed_gives_the_same_table(self) -> None:
        values, picture, labels, batches = latent(1)
        first, again = (measure(values, picture, labels=labels, batches=batches, seed=5) for _ in range(2))
        pd.testing.assert_frame_equal(first.table(), again.table())
        assert json.dumps(first.as_json()) == json.dumps(again.as_json())

    def test_the_truth_of_a_simulation(self) -> None:
        cells = simulate(Simulation("loop", cells=300, genes=300, batches=2, depth=20_000, size=50))
        labels, batches, truth = cells.obs["cell_type"], cells.obs["batch"], cells.obsm["truth"]
        kept, lost = (
            measure(values, labels=labels, batches=batches, truth=truth)
            for values in (truth, np.random.default_rng(0).normal(size=truth.shape))
        )
        for name in ("true_neighbors", "true_continuity", "true_distances", "true_paths"):
            expected = kept.table().set_index("name").loc[name, "expected"]
            assert kept[name] > 0.9, name
            assert lost[name] == pytest.approx(expected, abs=0.1), name

    def test_json_has_no_value_that_json_lacks(self) -> None:
        values, picture, labels, batches = latent()
        labels[batches == "b0"] = "alpha"
        written = json.dumps(measure(values, picture, labels=labels, batches=batches).as_json(), allow_nan=False)
        assert json.loads(written)["measures"]["kni"]["expected"] is None

    def test_few_cells(self) -> None:
        values, picture, labels, batches = latent()
        with pytest.raises(OptionsProblem, match="from 100 cells on; there are 60"):
            measure(values[:60], picture[:60], labels=labels[:60], batches=batches[:60])

    @pytest.mark.skipif(find_spec("scib_metrics") is not None, reason="scib-metrics is installed")
    def test_scib_says_how_to_install_it(self) -> None:
        values, _, labels, batches = latent()
        with pytest.raises(OptionsProblem, match=r"pip install 'atlas-explorer\[metrics\]'"):
            measure(values, labels=labels, batches=batches, scib=True)

    @pytest.mark.skipif(find_spec("scib_metrics") is None, reason="needs scib-metrics, an extra")
    @pytest.mark.filterwarnings("default")  # of JAX and of the package, which are not ours to mend
    def test_scib(self) -> None:
        mixed, apart = (
            measure(values, labels=labels, batches=batches, scib=True)
            for values, _, labels, batches in (latent(0), latent(40))
        )
        assert mixed["scib_batch"] > apart["scib_batch"] + 0.3
        assert mixed["scib_ari"] == pytest.approx(1, abs=0.05)
        assert mixed["scib_total"] == pytest.approx(0.6 * mixed["scib_biology"] + 0.4 * mixed["scib_batch"])


class TestOfMappings:
    def test_a_reference(self, sample_atlas: Reference) -> None:
        found = of_reference(sample_atlas, "concord")
        assert (found.of, found.level, found.cells) == ("concord", "cell_type", 5272)
        assert found["kni"] > 0.9
        assert found["neighbor_accuracy"] > 0.9
        assert found.table().set_index("name").loc["neighbor_accuracy", "expected"] < 0.5
        told = describe_quality([found])
        assert "labels cell_type, 5,272 cells, seed 0" in told
        assert "Trustworthiness of the picture" in told

    def test_another_level(self, sample_atlas: Reference) -> None:
        with pytest.raises(OptionsProblem, match="cell_type, lineage, cell_subtype; not 'tissue'"):
            of_reference(sample_atlas, "concord", "tissue")

    def test_a_result(self, sample_atlas: Reference) -> None:
        result = map_query(open_query(SAMPLE_DATA / "pbmc_ifnb_832.h5ad"), sample_atlas, "concord")
        column = next(name for name in result.obs.columns if result.obs[name].nunique() == 2)
        found = of_result(result, column)
        assert {one.name for one in found.measured} == set(OWN)
        assert found.cells == 832
        without = of_result(result)
        assert "kni" not in {one.name for one in without.measured}
        with pytest.raises(OptionsProblem, match="no obs column 'plate'"):
            of_result(result, "plate")


def test_the_command(tmp_path: Path) -> None:
    words = ["quality", str(SAMPLE_DATA / "pbmc.atlas"), "--method", "kida", "--method", "scpoli", "--output", "q.json"]
    done = subprocess.run(
        [sys.executable, "-m", "explorer", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    header = next(line for line in done.stdout.splitlines() if "measure" in line)
    assert header.split() == ["measure", "better", "kida", "scpoli", "by", "chance"]
    written = json.loads((tmp_path / "q.json").read_text(encoding="utf-8"))
    assert [one["of"] for one in written["quality"]] == ["kida", "scpoli"]
    assert set(written["quality"][0]["measures"]) == set(OWN)
