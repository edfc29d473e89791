"""Small sets of cells with known values, and where the real ones lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from explorer.flow import LabelTransfer, LevelLabels, MappingResult, Query, ValueKind
from explorer.provenance import Coverage, Provenance

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_file(name: str) -> Path:
    """A real h5ad file; the test skips itself where the data does not lie beside the checkout."""
    path = REAL_DATA / name
    if not path.is_file():
        pytest.skip(f"needs {name} in {REAL_DATA}")
    return path


def counted(n_cells: int = 60, n_genes: int = 80, seed: int = 0) -> ad.AnnData:
    """Cells with counts in X (csr float32), text names, one category and one number in obs."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 2.0, (n_cells, 1))
    counts = rng.poisson(depth * rng.gamma(0.8, 2.0, n_genes)).astype(np.float32)
    obs = pd.DataFrame(
        {"batch": pd.Categorical(np.resize(["a", "b"], n_cells)), "score": rng.normal(size=n_cells)},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]))


def transformed(cells: ad.AnnData, kind: str) -> sparse.csr_matrix:
    """The same cells as another program would have stored them."""
    counts = cells.X.toarray().astype(np.float64)
    linear = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    values = {
        "counts": counts,
        "log1p of CP10k": np.log1p(linear * 1e4),
        "log1p of CPM": np.log1p(linear * 1e6),
        "log2 of CP10k": np.log2(1 + linear * 1e4),
        "log2 of CPM": np.log2(1 + linear * 1e6),
        "log10 of CP10k": np.log10(1 + linear * 1e4),
        "CP10k": linear * 1e4,
        "CPM": linear * 1e6,
    }[kind]
    return sparse.csr_matrix(values.astype(np.float32))


def result_of(query: Query, levels: tuple[str, ...] = ("cell_type", "lineage"), seed: int = 0) -> MappingResult:
    """A result with made-up numbers, as a mapping would hand on."""
    rng = np.random.default_rng(seed)
    n = query.n_cells
    return MappingResult(
        obs=query.obs,
        method="concord",
        embedding=rng.normal(size=(n, 8)).astype(np.float32),
        neighbors=None,
        labels=LabelTransfer(tuple(_level(name, n, rng) for name in levels)),
        layout=rng.normal(size=(n, 2)).astype(np.float32),
        provenance=Provenance(
            query=query.name,
            reference="Blood",
            reference_checksum="0123abcd",
            method="concord",
            config={"seed": 0, "hidden": [256, 128], "preset": "balanced", "rate": 0.1, "note": None},
            versions={"torch": "2.5"},
            seed=0,
            device="cpu",
            created="2025-01-01T00:00:00Z",
            matrix=query.matrix_name,
            value_kind=ValueKind.COUNTS,
            coverage=Coverage(8, 10, 0.8, 0.9, ("CD3E", "MS4A1")),
            seconds={"read and embed": 1.5},
            notices=("X is used.",),
        ),
    )


def _level(name: str, n: int, rng: np.random.Generator) -> LevelLabels:
    classes = ("B cell", "CD4 T cell", "Übergang/=1+1")
    probabilities = rng.dirichlet(np.ones(len(classes)), n).astype(np.float32)
    return LevelLabels(
        level=name,
        classes=classes,
        codes=probabilities.argmax(axis=1).astype(np.int32),
        probabilities=probabilities,
        confidence=probabilities.max(axis=1),
        disagreement=rng.random(n, dtype=np.float32),
        novelty=rng.random(n, dtype=np.float32),
        stretch=3 * rng.random(n, dtype=np.float32),
        unknown=rng.random(n) > 0.5,
        sets=probabilities >= 0.3,
    )


def level_labels(
    classes: tuple[str, ...], codes: Sequence[int], unknown: Sequence[int] | None = None, level: str = "cell_type"
) -> LevelLabels:
    """Labels of cells that are known; each is sure by 0.9, and the other labels share the rest."""
    found = np.asarray(codes, np.int32)
    n = len(found)
    probabilities = np.full((n, len(classes)), 0.1 / max(1, len(classes) - 1), np.float32)
    probabilities[np.arange(n), found] = 0.9
    return replace(
        _level(level, n, np.random.default_rng(0)),
        classes=classes,
        codes=found,
        probabilities=probabilities,
        confidence=np.full(n, 0.9, np.float32),
        disagreement=np.zeros(n, np.float32),
        novelty=np.zeros(n, np.float32),
        stretch=np.zeros(n, np.float32),
        unknown=np.zeros(n, bool) if unknown is None else np.asarray(unknown, bool),
    )
