"""Labels of real queries, beside linear baselines trained on the same reference cells and genes.

    python -m tests.benchmarks.label_transfer [SEED ...]

Splits: the sample atlas to FACS-sorted PBMC and to control and stimulated PBMC, and each of its four chemistries
mapped by the other three. Needs the development data beside the checkout (../shared/data).

Label correspondence. FACS gates: memory, regulatory, helper and naive T are CD4 T cells, both cytotoxic gates CD8
T cells, monocytes CD14 monocytes. ifnb: its names without "Mono", naive and memory CD4 together.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import anndata
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from explorer.fitting import build_reference
from explorer.flow import AlignedCells, MappingResult, Query, Reference
from explorer.genes import aligned_blocks, match_genes
from explorer.mapping import load_method, map_query
from explorer.query import open_query
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS
from tests.benchmarks.tables import report

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LEVEL = "cell_type"
GATES = {
    "nk": "NK cell",
    "bcells": "B cell",
    "memoryt": "CD4 T cell",
    "regulatoryt": "CD4 T cell",
    "thelper": "CD4 T cell",
    "naivet": "CD4 T cell",
    "cytotoxict": "CD8 T cell",
    "naivecytotoxic": "CD8 T cell",
    "monocytes": "CD14 monocyte",
}
IFNB = {
    "CD14 Mono": "CD14 monocyte",
    "CD16 Mono": "CD16 monocyte",
    "CD4 Naive T": "CD4 T cell",
    "CD4 Memory T": "CD4 T cell",
    "B": "B cell",
    "CD8 T": "CD8 T cell",
}


@dataclass(frozen=True)
class Split:
    """A query with known labels, and the reference that maps it."""

    name: str
    reference: Reference
    query: Query
    truth: NDArray[np.object_]


def splits(folder: Path, seed: int) -> Iterator[Split]:
    """All splits of one seed; references are built into `folder`."""
    atlas = anndata.read_h5ad(SAMPLE_ATLAS / "cells.h5ad")
    whole = open_reference(SAMPLE_ATLAS) if seed == 0 else _build(atlas, folder / "whole.atlas", seed)
    for name, file, names in (("FACS-sorted", "pbmc_zheng_facs_sorted", GATES), ("ifnb", "pbmc_ifnb_832", IFNB)):
        query = open_query(DATA / f"{file}.h5ad")
        yield Split(name, whole, query, query.obs["cell_type"].astype(str).map(names).to_numpy(object))
    for batch in atlas.obs["batch"].unique():
        out = (atlas.obs["batch"] == batch).to_numpy()
        reference = _build(atlas[~out], folder / f"without_{batch}.atlas", seed)
        query = open_query(atlas[out].copy(), name=str(batch))
        yield Split(f"left out: {batch}", reference, query, query.obs[LEVEL].astype(str).to_numpy(object))


def _build(cells: anndata.AnnData, out: Path, seed: int) -> Reference:
    source = out.with_suffix(".h5ad")
    cells.copy().write_h5ad(source)
    return build_reference(source, out, labels=(LEVEL,), batch="batch", seed=seed)


def expression(query: Query, reference: Reference) -> NDArray[np.float32]:
    """log1p CP10k over the genes that the reference's method works on, dense."""
    positions = load_method(reference, "concord").positions
    blocks: list[AlignedCells] = list(aligned_blocks(query, match_genes(query.var, reference.genes), positions))
    return np.concatenate([block.log1p().toarray() for block in blocks])


def baselines(split: Split) -> dict[str, NDArray[np.object_]]:
    """Labels by PCA + 15-NN and by logistic regression."""
    train = expression(open_query(split.reference.folder / "cells.h5ad"), split.reference)
    labels = split.reference.obs[LEVEL].astype(str).to_numpy(object)
    test = expression(split.query, split.reference)
    pca = PCA(50, random_state=0).fit(train)
    nearest = KNeighborsClassifier(15).fit(pca.transform(train), labels)
    linear = LogisticRegression(max_iter=500).fit(train, labels)
    return {"PCA + 15-NN": nearest.predict(pca.transform(test)), "logistic regression": linear.predict(test)}


def scores(truth: NDArray[np.object_], labels: NDArray[np.object_]) -> tuple[float, float]:
    """Accuracy, and macro-F1 over the labels that the truth holds."""
    present = np.unique(truth)
    return accuracy_score(truth, labels), f1_score(truth, labels, labels=present, average="macro", zero_division=0)


def novelty_of_stimulated(query: Query, result: MappingResult) -> dict[str, float]:
    """AUROC of novelty for stimulated against control cells, all and by own label."""
    stimulated = (query.obs["condition"] == "stim").to_numpy()
    novelty = result.labels.first.novelty
    own = query.obs["cell_type"].astype(str).map(IFNB).to_numpy(object)
    by_type = {str(t): roc_auc_score(stimulated[own == t], novelty[own == t]) for t in np.unique(own)}
    return {"all": roc_auc_score(stimulated, novelty), **by_type}


def main(seeds: list[int]) -> None:
    """Measure every split for every seed."""
    rows = []
    novelty = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            for split in splits(Path(folder), seed):
                started = perf_counter()
                result = map_query(split.query, split.reference)
                seconds = perf_counter() - started
                methods = {"CONCORD": result.labels.first.labels, **baselines(split)}
                row: dict[str, object] = {"split": split.name, "seed": seed, "cells": split.query.n_cells}
                for method, labels in methods.items():
                    accuracy, f1 = scores(split.truth, labels)
                    row |= {f"{method} acc": accuracy, f"{method} F1": f1}
                rows.append({**row, "unknown": float(result.labels.first.unknown.mean()), "map s": seconds})
                print(rows[-1], flush=True)
                if split.name == "ifnb":
                    novelty[f"seed {seed}"] = novelty_of_stimulated(split.query, result)
    report("label_transfer", rows, novelty_auroc_of_stimulated=novelty)
    print("novelty, stimulated against control (AUROC):", novelty)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0])
