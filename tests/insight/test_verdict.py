"""The verdict on a whole mapping: each rule by its figures, planted faults, and real files whose fault is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from cells import real_file
from planted import STRANGER, planted
from scipy import sparse

from explorer.asking.judging import beyond_chance, judged, measured
from explorer.beside import Light, Signal, Verdict
from explorer.flow import Reference
from explorer.insight.verdict import Batch, Measured, judge
from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query
from explorer.writing.export import read_result, write_csv, write_h5ad

SOUND = Measured(
    cells=1000,
    genes_found=1900,
    genes_needed=2000,
    genes_weighted=0.96,
    confidence=0.95,
    confidence_expected=0.96,
    unknown=0.05,
    far=0.03,
    profile=0.9,
    standing_out=("A", "B", "C"),
    of_others=0.2,
    affected="T cell",
    depth=1.0,
    value_range=float("nan"),
    largest="T cell",
    largest_share=0.5,
    largest_expected=0.4,
    orthologs=False,
)


def _light(verdict: Verdict, name: str) -> Light:
    return next(light for light in verdict.lights if light.name == name)


def test_a_sound_mapping_has_no_cause() -> None:
    found = judge(SOUND)
    assert found.signal is Signal.GOOD
    assert found.causes == found.advice == ()
    assert {light.signal for light in found.lights} == {Signal.GOOD}
    assert found.summary == "This mapping looks sound: 95 % of 1,000 cells carry a label, mean confidence 0.95."


@pytest.mark.parametrize(
    ("figures", "signal", "light", "cause"),
    [
        ({"genes_weighted": 0.57, "unknown": 0.4, "of_others": 0.9}, Signal.DOUBTFUL, "genes", "few genes: 57 %"),
        ({"depth": 0.1}, Signal.DOUBTFUL, "counts a cell", "few counts: a cell has 0.10 times"),
        ({"value_range": 3.6}, Signal.BAD, "values", "the logarithm was taken twice"),
        ({"profile": 0.05, "unknown": 0.8}, Signal.BAD, "expression", "gene names do not belong to the values"),
        ({"profile": 0.3, "unknown": 0.8}, Signal.BAD, "unknown cells", "the reference does not hold these"),
        ({"profile": 0.3, "orthologs": True}, Signal.BAD, "expression", "another species, or another tissue"),
        ({"unknown": 0.4}, Signal.DOUBTFUL, "unknown cells", "a state or type that the reference lacks, mostly near T"),
        ({"confidence": 0.85, "depth": 2.2, "of_others": 0.9}, Signal.DOUBTFUL, "confidence", "doublets: cells have"),
        ({"largest_share": 0.6, "largest_expected": 0.005}, Signal.DOUBTFUL, "labels", None),
        ({"apart": 0.95}, Signal.BAD, "batches", None),
        ({"set_size": 3.0, "set_size_expected": 1.1}, Signal.BAD, "labels that fit", None),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_each_fault_has_its_light_and_its_cause(
    figures: dict[str, float], signal: Signal, light: str, cause: str | None
) -> None:
    found = judge(replace(SOUND, **figures))
    assert _light(found, light).signal is not Signal.GOOD
    assert len(found.causes) == len(found.advice)
    assert found.signal is (signal if cause is not None else Signal.DOUBTFUL)
    assert (found.causes[0] if cause else "").find(cause or "") >= 0
    assert cause is not None or found.causes == ()


def test_a_batch_without_labels_is_named() -> None:
    batches = (Batch("a", 500, 0.05), Batch("b", 500, 0.6), Batch("c", 500, 0.08))
    found = judge(replace(SOUND, unknown=0.24, batches=batches, apart=0.5))
    assert found.causes[0].startswith("one batch stands apart: 60 % of b carry no label")
    assert found.advice[0].startswith("Look at b alone")
    everywhere = tuple(replace(batch, unknown=0.6) for batch in batches)
    assert not any("batch" in cause for cause in judge(replace(SOUND, unknown=0.6, batches=everywhere)).causes)


def _mixing_twin(values: np.ndarray, batches: np.ndarray, codes: np.ndarray) -> float:
    """The same, one cell at a time."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    found = []
    for cell in range(len(values)):
        alike = np.flatnonzero(codes == codes[cell])
        chance = (batches[alike] == batches[cell]).mean()
        others = alike[alike != cell]
        near = others[np.argsort(-(unit[others] @ unit[cell]))[:15]]
        found.append(np.clip(((batches[near] == batches[cell]).mean() - chance) / (1 - chance), 0, 1))
    return float(np.mean(found))


def test_how_far_batches_lie_apart_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    batches, codes = rng.choice(np.array(["a", "b"], dtype=object), 120), rng.integers(0, 2, 120).astype(np.int32)
    values = rng.normal(size=(120, 6)).astype(np.float32)
    values[batches == "b", 0] += 1.5
    assert beyond_chance(values, batches, codes) == pytest.approx(_mixing_twin(values, batches, codes), abs=1e-6)
    values[:, 0] += np.where(batches == "b", 100, -100)
    assert beyond_chance(values, batches, codes) > 0.95
    assert np.isnan(beyond_chance(values, np.full(120, "a", dtype=object), codes))


def _verdict(cells: ad.AnnData, reference: Reference, batch: str | None = None) -> Verdict:
    query = open_query(cells, name="query")
    found = judged(query, reference, map_query(query, reference), batch=batch).verdict
    assert found is not None
    return found


def test_new_cells_of_a_planted_batch_are_sound(planted_reference: Reference) -> None:
    assert _verdict(planted(batches=("query",), seed=1), planted_reference).signal is Signal.GOOD


def test_planted_strangers_are_told_by_their_markers(planted_reference: Reference) -> None:
    cells = planted((STRANGER, "alpha", "beta"), ("query",), 60, seed=1)
    query = open_query(cells, name="query")
    found = measured(query, planted_reference, map_query(query, planted_reference))
    from planted import markers

    assert set(found.standing_out) <= set(markers(STRANGER))
    assert found.of_others == 0
    assert any("a state or type that the reference lacks" in cause for cause in judge(found).causes)


def test_shuffled_gene_names_are_nonsense(planted_reference: Reference) -> None:
    cells = planted(batches=("query",), seed=1)
    cells.var_names = np.random.default_rng(0).permutation(cells.var_names)
    assert _verdict(cells, planted_reference).signal is Signal.BAD


def test_a_verdict_is_kept_with_the_result(planted_reference: Reference, tmp_path: Path) -> None:
    cells = planted(batches=("query",), seed=1)
    cells.var_names = np.random.default_rng(0).permutation(cells.var_names)
    query = open_query(cells, name="query")
    result = judged(query, planted_reference, map_query(query, planted_reference))
    write_h5ad(result, query, tmp_path / "result.h5ad")
    assert read_result(tmp_path / "result.h5ad").verdict == result.verdict
    write_csv(result, tmp_path / "labels.csv")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[0].endswith(",mapping")
    assert all(line.endswith(",bad") for line in lines[1:])


def _halved(cells: ad.AnnData) -> ad.AnnData:
    return cells[:, np.random.default_rng(0).random(cells.n_vars) < 0.5].copy()


def _thinned(cells: ad.AnnData) -> ad.AnnData:
    values = sparse.csr_matrix(cells.X).copy()
    values.data = np.random.default_rng(0).binomial(values.data.astype(int), 0.05).astype(np.float32)
    values.eliminate_zeros()
    return ad.AnnData(values, obs=cells.obs, var=cells.var)


def _logged_twice(cells: ad.AnnData) -> ad.AnnData:
    counts = cells.X.toarray()
    logged = np.log1p(np.log1p(counts / counts.sum(1, keepdims=True) * 1e4))
    return ad.AnnData(sparse.csr_matrix(logged.astype(np.float32)), obs=cells.obs, var=cells.var)


def _doubled(cells: ad.AnnData) -> ad.AnnData:
    rng, values = np.random.default_rng(0), sparse.csr_matrix(cells.X)
    both = values[rng.permutation(cells.n_obs)] + values[rng.permutation(cells.n_obs)]
    return ad.AnnData(sparse.csr_matrix(both), obs=cells.obs, var=cells.var)


def _shifted(cells: ad.AnnData) -> ad.AnnData:
    cells.var_names = np.roll(cells.var_names, 1)
    return cells


def _stimulated(cells: ad.AnnData) -> ad.AnnData:
    return cells[cells.obs["condition"].astype(str) == "stim"].copy()


def _as_it_is(cells: ad.AnnData) -> ad.AnnData:
    return cells


@pytest.mark.parametrize(
    ("file", "change", "signal", "cause"),
    [
        ("pbmc_zheng_facs_sorted.h5ad", _as_it_is, Signal.GOOD, ""),
        ("covid_combat_6patients_unlabelled.h5ad", _as_it_is, Signal.GOOD, ""),
        ("pbmc_ifnb_832.h5ad", _stimulated, Signal.DOUBTFUL, "a state or type that the reference lacks"),
        ("heart_sinoatrial_1000.h5ad", _as_it_is, Signal.BAD, "the reference does not hold these cells"),
        ("celllines_sc_mixology_5batches.h5ad", _as_it_is, Signal.BAD, "the reference does not hold these cells"),
        ("pbmc_ifnb_832.h5ad", _shifted, Signal.BAD, "gene names do not belong to the values"),
        ("pbmc_ifnb_832.h5ad", _logged_twice, Signal.BAD, "the logarithm was taken twice"),
        ("pbmc_zheng_facs_sorted.h5ad", _halved, Signal.DOUBTFUL, "few genes"),
        ("pbmc_zheng_facs_sorted.h5ad", _thinned, Signal.DOUBTFUL, "few counts"),
        ("pbmc_zheng_facs_sorted.h5ad", _doubled, Signal.DOUBTFUL, "doublets"),
    ],
    ids=["sorted blood", "patients", "stimulated", "heart", "cancer cell lines", "gene names shifted by one",
         "logarithm taken twice", "half of the genes", "one count of twenty", "added-up cells"],
)  # fmt: skip
def test_real_files_get_the_cause_they_have(
    sample_atlas: Reference, file: str, change, signal: Signal, cause: str  # type: ignore[no-untyped-def]
) -> None:
    found = _verdict(change(ad.read_h5ad(real_file(file))), sample_atlas)
    assert found.signal is signal, found.summary
    assert (found.causes[0] if found.causes else "").startswith(cause)
    assert bool(found.causes) == bool(cause)


def test_stimulated_blood_is_told_by_interferon_response(sample_atlas: Reference) -> None:
    found = _verdict(_stimulated(ad.read_h5ad(real_file("pbmc_ifnb_832.h5ad"))), sample_atlas)
    assert "CD14 monocyte" in found.causes[0]
    assert sum(gene in found.causes[0] for gene in ("ISG15", "IFIT1", "IFIT2", "IFIT3", "RSAD2")) >= 3
