"""What each measure of a latent space is: range, direction, source. Data, so that every place tells the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

HIGHER, LOWER, EXPECTED = "higher", "lower", "expected"
LABELS, BATCHES, PICTURE, TRUTH = "labels", "batches", "picture", "truth"


@dataclass(frozen=True)
class Metric:
    """What a measure is.

    Attributes
    ----------
    title
        For a table.
    says
        One sentence, for somebody who has not read the paper.
    better
        "higher", "lower", or "expected": the nearer to what is expected by chance.
    source
        Paper, and equation where there is one.
    needs
        Of "labels", "batches", "picture" and "truth" (of a simulation), those without which it cannot be told.
    lowest, highest
        Its range.
    """

    title: str
    says: str
    better: str
    source: str
    needs: frozenset[str]
    lowest: float = 0.0
    highest: float = 1.0


def _needs(*what: str) -> frozenset[str]:
    return frozenset(what)


METRICS = {
    "kni": Metric(
        "KNI",
        "Share of cells whose 50 nearest mix batches, and whose neighbours of other batches carry their label.",
        HIGHER,
        "Diaz-Mejia et al., bioRxiv 2024 (BA-scVI)",
        _needs(LABELS, BATCHES),
    ),
    "kni_diverse": Metric(
        "KNI, mixed",
        "Share of cells with less than 80 % of their 50 nearest from their own batch.",
        HIGHER,
        "Diaz-Mejia et al., bioRxiv 2024 (BA-scVI)",
        _needs(LABELS, BATCHES),
    ),
    "rbni": Metric(
        "RbNI",
        "KNI with all cells within a radius in place of the 50 nearest; cells that lie alone count as wrong.",
        HIGHER,
        "Diaz-Mejia et al., bioRxiv 2024 (BA-scVI)",
        _needs(LABELS, BATCHES),
    ),
    "neighbor_accuracy": Metric(
        "Neighbour probe, accuracy",
        "Share of cells that the 30 nearest cells of other batches name rightly.",
        HIGHER,
        "after Zhu et al., Nature Biotechnology 2026 (CONCORD)",
        _needs(LABELS, BATCHES),
    ),
    "neighbor_macro_f1": Metric(
        "Neighbour probe, macro-F1",
        "The same, every label counting alike.",
        HIGHER,
        "after Zhu et al., Nature Biotechnology 2026 (CONCORD)",
        _needs(LABELS, BATCHES),
    ),
    "linear_accuracy": Metric(
        "Linear probe, accuracy",
        "Share of cells that a logistic regression on the other batches names rightly.",
        HIGHER,
        "after Zhu et al., Nature Biotechnology 2026 (CONCORD)",
        _needs(LABELS, BATCHES),
    ),
    "linear_macro_f1": Metric(
        "Linear probe, macro-F1",
        "The same, every label counting alike.",
        HIGHER,
        "after Zhu et al., Nature Biotechnology 2026 (CONCORD)",
        _needs(LABELS, BATCHES),
    ),
    "alignment": Metric(
        "Alignment",
        "Mean squared distance between two cells of a label; a collapsed embedding reaches 0 as well.",
        LOWER,
        "Wang & Isola, ICML 2020",
        _needs(LABELS),
        highest=4.0,
    ),
    "nearest_alignment": Metric(
        "Alignment, 5 nearest",
        "Mean squared distance to a cell's 5 nearest; a collapsed embedding reaches 0 as well.",
        LOWER,
        "Yang et al., Nature Machine Intelligence 2022 (Concerto), equation 23",
        _needs(),
        highest=4.0,
    ),
    "uniformity": Metric(
        "Uniformity",
        "How evenly cells are spread over the sphere: log mean exp(-2 squared distance); 0 where all has collapsed.",
        LOWER,
        "Wang & Isola, ICML 2020; Concerto, equation 24",
        _needs(),
        lowest=-8.0,
        highest=0.0,
    ),
    "label_silhouette": Metric(
        "Silhouette of labels",
        "How far labels lie apart; 0.5 where they overlap.",
        HIGHER,
        "Luecken et al., Nature Methods 2022 (scIB)",
        _needs(LABELS),
    ),
    "batch_silhouette": Metric(
        "Silhouette of batches",
        "How much batches overlap within labels; 1 where they cannot be told apart.",
        HIGHER,
        "Luecken et al., Nature Methods 2022 (scIB)",
        _needs(LABELS, BATCHES),
    ),
    "connectivity": Metric(
        "Graph connectivity",
        "Share of a label's cells that hang together in the graph of nearest neighbours, mean over labels.",
        HIGHER,
        "Luecken et al., Nature Methods 2022 (scIB)",
        _needs(LABELS),
    ),
    "foreign": Metric(
        "Neighbours of other batches",
        "Share of the 30 nearest that come from other batches, beside what dealing batches out at random gives.",
        EXPECTED,
        "own",
        _needs(BATCHES),
    ),
    "entropy": Metric(
        "Batch entropy",
        "Entropy of the batches among the 30 nearest over its largest value.",
        EXPECTED,
        "own",
        _needs(BATCHES),
    ),
    "lisi": Metric(
        "iLISI, equal weights",
        "How many batches the 30 nearest effectively come from, at most all.",
        EXPECTED,
        "after Korsunsky et al., Nature Methods 2019",
        _needs(BATCHES),
        lowest=1.0,
        highest=inf,
    ),
    "trustworthiness": Metric(
        "Trustworthiness of the picture",
        "Whether cells that are near in the picture are near in the latent space; about 0.5 for unrelated places.",
        HIGHER,
        "Venna & Kaski, ICANN 2001",
        _needs(PICTURE),
    ),
    "continuity": Metric(
        "Continuity of the picture",
        "Whether cells that are near in the latent space are near in the picture; about 0.5 for unrelated places.",
        HIGHER,
        "Venna & Kaski, ICANN 2001",
        _needs(PICTURE),
    ),
    "true_neighbors": Metric(
        "Truth: trustworthiness",
        "Whether cells that are near in the latent space are near in the simulated truth.",
        HIGHER,
        "Zhu et al., Nature Biotechnology 2026 (CONCORD)",
        _needs(TRUTH),
    ),
    "true_continuity": Metric(
        "Truth: continuity",
        "Whether cells that are near in the simulated truth are near in the latent space.",
        HIGHER,
        "Venna & Kaski, ICANN 2001",
        _needs(TRUTH),
    ),
    "true_distances": Metric(
        "Truth: distances",
        "Correlation of all cosine distances in the latent space and in truth.",
        HIGHER,
        "Zhu et al., Nature Biotechnology 2026 (CONCORD)",
        _needs(TRUTH),
        lowest=-1.0,
    ),
    "true_paths": Metric(
        "Truth: paths",
        "Rank correlation of path lengths along nearest neighbours; falls where a loop is cut or branches are joined.",
        HIGHER,
        "own",
        _needs(TRUTH),
        lowest=-1.0,
    ),
}
"""By name, in the order of a table."""

SCIB = "Luecken et al., Nature Methods 2022 (scIB), by scib-metrics"
SCIB_TITLES = {
    "scib_isolated_labels": ("scIB isolated labels", "How far labels that few batches hold lie apart."),
    "scib_nmi": ("scIB NMI", "How well Leiden clusters meet the labels, by mutual information."),
    "scib_ari": ("scIB ARI", "How well Leiden clusters meet the labels, by pairs."),
    "scib_silhouette_label": ("scIB silhouette of labels", "How far labels lie apart, Euclidean."),
    "scib_clisi": ("scIB cLISI", "How pure neighbourhoods are of labels."),
    "scib_bras": ("scIB BRAS", "How much batches overlap within labels."),
    "scib_ilisi": ("scIB iLISI", "How many batches a neighbourhood effectively holds, scaled."),
    "scib_kbet": ("scIB kBET", "Share of neighbourhoods whose batches are as in the label at large."),
    "scib_connectivity": ("scIB graph connectivity", "Share of a label's cells that hang together."),
    "scib_biology": ("scIB biological conservation", "Mean of the measures of labels."),
    "scib_batch": ("scIB batch correction", "Mean of the measures of batches."),
    "scib_total": ("scIB total", "0.6 of the former and 0.4 of the latter."),
}
METRICS |= {name: Metric(title, says, HIGHER, SCIB, _needs(LABELS, BATCHES)) for name, (title, says) in
            SCIB_TITLES.items()}  # fmt: skip
