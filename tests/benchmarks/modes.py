"""What learning from the query is worth: every mode of every method of the sample atlas on two labelled queries.

    python -m tests.benchmarks.modes [--methods NAME ...]

Needs the development data beside the checkout (../shared/data). Modes that learn labels are given the true ones of a
seeded fifth of the cells. Whatever the mode, accuracy and macro-F1 are over the other four fifths.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from explorer.flow import Query, Reference
from explorer.mapping.corridor import map_query
from explorer.methods import METHODS
from explorer.methods.base import Mode
from explorer.reading.query import open_query
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS
from tests.benchmarks.tables import report
from tests.benchmarks.transfer_sets import DATA, GATES, IFNB, LEVEL, renamed

QUERIES = {"FACS-sorted PBMC": ("pbmc_zheng_facs_sorted.h5ad", GATES), "ifnb": ("pbmc_ifnb_832.h5ad", IFNB)}
GIVEN, SHARE_GIVEN = "given", 0.2


def main() -> None:
    """Map both queries in every mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    reference = open_reference(SAMPLE_ATLAS)
    rows = []
    for method in parser.parse_args().methods:
        for name, (file, names) in QUERIES.items():
            query = open_query(DATA / file)
            truth = renamed(query.obs[LEVEL], names)
            given = np.random.default_rng(0).random(len(truth)) < SHARE_GIVEN
            obs = query.obs.assign(**{GIVEN: np.where(given, truth, "")})
            for mode in METHODS[method].card.modes:
                answers = _answers(replace(query, obs=obs), reference, method, mode)
                scores = _scores(answers.pop("labels"), truth, ~given)
                rows.append({"query": name, "method": method, **answers, **scores})
    report("modes", rows)


def _answers(query: Query, reference: Reference, method: str, mode: Mode) -> dict[str, Any]:
    started = perf_counter()
    result = map_query(
        query, reference, method, mode=mode.name, batch="batch", own_labels=GIVEN if mode.learns_labels else None
    )
    return {"mode": mode.name, "seconds": perf_counter() - started, "labels": result.labels.first.labels}


def _scores(labels: Any, truth: Any, asked: Any) -> dict[str, float]:
    truth, labels = truth[asked], labels[asked]
    each = f1_score(truth, labels, labels=np.unique(truth), average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(truth, labels)), "macro_f1": float(each)}


if __name__ == "__main__":
    main()
