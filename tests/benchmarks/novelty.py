"""Whether novelty tells stimulated from control cells: the sample atlas has never seen interferon.

    python -m tests.benchmarks.novelty

AUROC of novelty for stimulated against control cells of the same type, by every method of the sample atlas.
"""

from __future__ import annotations

from sklearn.metrics import roc_auc_score

from explorer.mapping.corridor import map_query
from explorer.reading.query import open_query
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS
from tests.benchmarks.tables import report
from tests.benchmarks.transfer_sets import DATA, IFNB, LEVEL, renamed


def main() -> None:
    """Map the cells by each method and compare."""
    query, reference = open_query(DATA / "pbmc_ifnb_832.h5ad"), open_reference(SAMPLE_ATLAS)
    stimulated = (query.obs["condition"] == "stim").to_numpy()
    own = renamed(query.obs[LEVEL], IFNB)
    rows = []
    for method in reference.methods:
        novelty = map_query(query, reference, method).labels.first.novelty
        of_type = {str(t): float(roc_auc_score(stimulated[own == t], novelty[own == t])) for t in sorted(set(own))}
        rows.append({"method": method, "all": float(roc_auc_score(stimulated, novelty)), **of_type})
    report("novelty", rows)


if __name__ == "__main__":
    main()
