"""The methods paragraph of a result, in sentences that can go into a manuscript as they are.

Knows results and their provenance; every figure in it is read off them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from explorer.consensus import AgreedResult, LevelConsensus
from explorer.flow import MappingResult, Reference
from explorer.mapping.levels import LEFT_OUT_BATCHES, QUANTILE
from explorer.methods import METHODS
from explorer.methods.base import INSTANT
from explorer.reading.matching import ROW_NAMES
from explorer.writing.appending import finished_file

_RULES = {
    QUANTILE: "they lie beyond the 99 % quantile of their label's held-out cells",
    LEFT_OUT_BATCHES: "they are stranger to their label than all but 5 % of the cells of an average left-out batch",
}

_LEARNED = (
    "weights chosen for the macro-F1 on batches of the reference that were left out of training (ensemble selection, "
    "Caruana et al. 2004)"
)
_EQUAL = "equal weights, since the reference kept no answers to left-out cells"


def methods_paragraph(result: MappingResult, reference: Reference | None = None) -> str:
    """How the labels came about: cells, reference, method, seed, genes, calibration, thresholds, versions.

    Parameters
    ----------
    reference
        What the cells were mapped onto, for its number of cells; left out where it is no longer there.
    """
    told = result.provenance
    card = METHODS[result.method].card if result.method in METHODS else None
    title = card.title if card is not None else result.method
    paper = f" ({card.paper})" if card is not None and card.paper else ""
    size = f" ({reference.n_cells:,} cells)" if reference is not None else ""
    covered = told.coverage
    known = {name: version for name, version in told.versions.items() if version[:1].isdigit()}
    sentences = [
        f"{result.n_cells:,} cells ({told.query}; {told.matrix}, {told.value_kind}) were mapped onto the reference "
        f"{told.reference}{size} with {title}{paper}, as implemented in Atlas Explorer.",
        f"Of the {covered.needed:,} genes of the model, {covered.found:,} were found ({100 * covered.share:.0f} %; "
        f"{100 * covered.weighted_share:.0f} % weighted by expression).",
        *_asked(result),
        "Labels and their probabilities were taken from the model's latent space and calibrated on batches of the "
        "reference that were left out of training; novelty is 1 minus a conformal p-value of how strange a cell's "
        "expression is to its label (relative Mahalanobis distance, Ren et al. 2021, and deviation of counts), against "
        "left-out reference cells of the same label; the distance ratio is how many times as strange it is as 99 % of "
        "all of these.",
        *(consequence(result, level.level) for level in result.labels.levels),
        f"Random seed {told.seed}; device {told.device}; reference checksum (sha256) {told.reference_checksum[:16]}; "
        f"mapped {told.created[:10]}.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in known.items()) + ".",
    ]
    return " ".join(sentences)


def consensus_paragraph(agreed: AgreedResult, reference: Reference | None = None) -> str:
    """How the labels came about that several methods give together: who spoke, with which weight, and how they agree.

    Parameters
    ----------
    reference
        As for `methods_paragraph`, which tells of each method by itself.
    """
    found, told = agreed.consensus, agreed.results[0].provenance
    size = f" ({reference.n_cells:,} cells)" if reference is not None else ""
    weighed = _LEARNED if any(level.scores for level in found.levels) else _EQUAL
    sentences = [
        f"{len(agreed.obs):,} cells ({told.query}; {told.matrix}, {told.value_kind}) were mapped onto the reference "
        f"{told.reference}{size} with {_listed(found.titles)}, as implemented in Atlas Explorer. Their calibrated "
        f"probabilities were averaged with {weighed}, and calibrated once more.",
    ]
    for level in found.levels:
        weights = _listed([f"{title} {w:.2f}" for title, w in zip(found.titles, level.weights, strict=True)])
        alike = float((level.agreement == 1).mean()) if len(level.agreement) else 0.0
        sentences.append(
            f"At the level {level.labels.level} they weigh {weights} (temperature {level.temperature:.2f})"
            f"{_scored(level)}. All gave {100 * alike:.1f} % of the cells the same label."
            f" {consensus_consequence(level)}"
        )
    return " ".join(sentences)


def write_paragraph(
    result: MappingResult | AgreedResult, path: Path | str, reference: Reference | None = None
) -> None:
    """Write the methods paragraph to a text file; of several methods one on the consensus, and one on each of them."""
    if isinstance(result, MappingResult):
        paragraphs = [methods_paragraph(result, reference)]
    else:
        each = (methods_paragraph(one, reference) for one in result.results)
        paragraphs = [consensus_paragraph(result, reference), *each]
    with finished_file(Path(path)) as part:
        part.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def _scored(level: LevelConsensus) -> str:
    """How good the consensus was where the answer is known."""
    if not level.scores:
        return ""
    return (
        "; on the left-out batches, each judged by the others, this consensus reached an accuracy of "
        f"{level.scores['accuracy']:.3f} and a macro-F1 of {level.scores['macro_f1']:.3f}"
    )


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def consequence(result: MappingResult, level: str) -> str:
    """What the thresholds do to the labels of one level."""
    found = result.labels.level(level)
    n, unknown = len(found.codes), int(found.unknown.sum())
    far = _RULES.get(result.provenance.options.get("unknown", QUANTILE), "they lie too far from their label")
    return (
        f"At the level {level}, {unknown:,} of {n:,} cells ({100 * unknown / max(n, 1):.1f} %) were called unknown "
        f"because their confidence lies under {found.threshold:.2f} or {far}."
    )


def consensus_consequence(found: LevelConsensus) -> str:
    """What the consensus does to the labels of one level."""
    n, unknown = len(found.labels.codes), int(found.labels.unknown.sum())
    share = 100 * unknown / max(n, 1)
    return (
        f"At the level {found.labels.level}, {unknown:,} of {n:,} cells ({share:.1f} %) were called unknown because "
        "more than half of the methods call them so, or the confidence of the consensus lies under "
        f"{found.labels.threshold:.2f}."
    )


def _asked(result: MappingResult) -> list[str]:
    """Sentences on what was asked for beside the usual."""
    options, panel = result.provenance.options, result.provenance.panel
    sentences = []
    mode = options.get("mode", INSTANT.name)
    if mode and mode != INSTANT.name:
        sentences.append(f"The model learned from the query first (mode {mode}).")
    if options.get("batch"):
        sentences.append(f"Batches of the query were named by its column {options['batch']}.")
    if options.get("hierarchical"):
        sentences.append("Coarse label levels were given first, and finer ones within them.")
    if options.get("independent"):
        sentences.append("Each label level was given by itself.")
    if options.get("refine"):
        sentences.append("Labels then followed the majority of each cell's nearest cells in the query.")
    if options.get("gene_names"):
        sentences.append(f"Genes went by their names in the query's {_place_of(options['gene_names'])} alone.")
    if options.get("orthologs"):
        sentences.append("Mouse genes were read as their human one-to-one orthologues.")
    if panel is not None:
        sentences.append(f"The model was refitted on the {len(panel.genes):,} genes that query and reference share.")
    return sentences


def _place_of(gene_names: str) -> str:
    return "row names" if gene_names == ROW_NAMES else f"column {gene_names}"
