"""Gene sets behind markers, behind a signature, or as a model reads them, as one tab asks for it. Knows no widgets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.app.answers.marking import Found
from explorer.app.answers.speaking import Spoken
from explorer.app.stored import own_sets
from explorer.app.stored.library import Outcome
from explorer.app.stored.own_sets import OwnSets
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.genesets import LARGEST, SHIPPED, SMALLEST, GeneSets, read_collections, readable
from explorer.insight.enrichment import ADJUSTED_P, TOP, enrich, enrich_ranking, leading_genes
from explorer.insight.key_genes import key_genes
from explorer.jobs.asked import query_of
from explorer.jobs.specs import MapSpec
from explorer.mapping import panels
from explorer.mapping.corridor import explain_cells, load_method
from explorer.methods import METHODS
from explorer.methods.base import Measure
from explorer.methods.kida import Kida
from explorer.progress import Progress

MARKERS, SIGNATURE, MODEL = "markers", "signature", "model"
LISTED, RANKED = "list", "ranking"
_NUMBER = re.compile(r"[ _]*\(?GO:\d+\)?$", re.IGNORECASE)
KEY_PATHWAYS = 10  # of which key genes are asked, as the paper has it
COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    "Reactome and GO": tuple(SHIPPED), "Reactome": ("reactome",), "GO biological process": ("go_bp",)
}  # fmt: skip


@dataclass(frozen=True)
class Ranked:
    """All genes of a finding with what ranks them.

    Attributes
    ----------
    table
        Columns gene, score and, where there is a test, adjusted_p.
    told
        What was found, in words.
    """

    table: pd.DataFrame
    told: str


@dataclass(frozen=True)
class Sets:
    """Gene sets, and what was asked of them.

    Attributes
    ----------
    table
        A row a set, the first one most: `gene_set`, `title` and, for a list, size, found, expected, fold, p, adjusted_p
        and genes; for a ranking size, auroc, z, p and adjusted_p; for a model score and size.
    members
        Genes of each set of the table as the cells in front name them.
    key_genes
        As `explorer.insight.key_genes.key_genes` ranks those of a model's first pathways; `None` for others.
    told
        How it was found, in words.
    source
        Where the sets come from: a collection that comes with the program, a model, or a file with its checksum.
    mark
        What stands behind the name of a set that a person brought; empty for others.
    """

    how: str
    table: pd.DataFrame
    members: Mapping[str, tuple[str, ...]]
    told: str
    key_genes: pd.DataFrame | None = None
    source: str = ""
    mark: str = ""

    def named(self, title: str) -> str:
        """A set's title with the file that it is from, where a person brought it."""
        return f"{title} ({self.mark})" if self.mark else title


def pathway_measures(method: str) -> tuple[Measure, ...]:
    """The ways in which a method scores pathways of its own."""
    return tuple(each for each in METHODS[method].card.measures if each.of == "pathway") if method in METHODS else ()


def of_markers(found: Found) -> Ranked:
    """The genes compared last."""
    return Ranked(found.table, f"markers of {found.markers.group} against {found.markers.against}")


def of_signature(spoken: Spoken, label: str) -> Ranked:
    """The genes of a signature; those that speak for the label come first."""
    one = spoken.of(label)
    return Ranked(one.table[["gene", "score"]], f"signature of {one.signature.toward} ({spoken.measure.name})")


def look_up(
    ranked: Ranked,
    collections: Sequence[str],
    how: str,
    progress: Progress | None = None,
    own: OwnSets | None = None,
) -> Sets:
    """Gene sets that the first genes have in common (`LISTED`), or that stand high among all genes (`RANKED`).

    Parameters
    ----------
    collections
        Names of collections that come with the program.
    own
        A file that the person brought, in place of them.

    Raises
    ------
    GenesProblem
        If no gene stands out, or no set holds 5 of the genes.
    FileProblem
        If the person's file is not on this server any more.
    """
    progress = progress or Progress()
    sets = read_collections(collections) if own is None else own_sets.read(own)
    progress(0.5)
    measured = ranked.table["gene"].astype(str).to_numpy(object)
    if how == RANKED:
        table = enrich_ranking(measured, ranked.table["score"].to_numpy(float), sets)
        said = (
            f"Where the genes of a set stand among all {len(measured):,} of the {ranked.told} (rank sum); z above 0 is "
            "high."
        )
    else:
        first = leading(ranked.table)
        table = enrich(first, sets, measured)
        said = (
            f"Sets over-represented among the first {len(first)} of the {len(measured):,} genes of the {ranked.told} "
            "(hypergeometric; p adjusted by Benjamini and Hochberg)."
        )
    table.insert(1, "title", [_title(str(name)) for name in table["gene_set"]])
    members = members_of(sets, table["gene_set"].astype(str).tolist(), measured)
    if own is None:
        return Sets(how, table, members, said, source=_title_of(collections))
    return Sets(how, table, members, f"{said} {_of_own(own, len(table))}", source=own.told, mark=own.mark)


def _title_of(collections: Sequence[str]) -> str:
    titles = {names: title for title, names in COLLECTIONS.items()}
    return titles.get(tuple(collections), ", ".join(collections))


def _of_own(own: OwnSets, judged: int) -> str:
    left = f", without {own.sets - judged:,} of fewer than {SMALLEST} genes here or more than {LARGEST}"
    return f"Sets of {own.told}{left if judged < own.sets else ''}."


def leading(table: pd.DataFrame, most: int = TOP) -> list[str]:
    """The first genes of a finding: of markers those beyond chance, of a signature those that speak for the label."""
    if "adjusted_p" in table:
        return leading_genes(table, most, ADJUSTED_P)
    speaking = table[table["score"] > 0].nlargest(most, "score")
    return list(speaking["gene"].astype(str))


def members_of(sets: GeneSets, names: Sequence[str], measured: NDArray[np.object_]) -> dict[str, tuple[str, ...]]:
    """Genes of sets by how the cells name them; sets hold upper-cased symbols."""
    spelled = {str(gene).upper(): str(gene) for gene in measured}
    return {str(name): tuple(sorted(spelled[gene] for gene in sets[str(name)] if gene in spelled)) for name in names}


def ask_model(
    spec: MapSpec,
    outcome: Outcome,
    reference: Reference,
    rows: NDArray[np.integer],
    toward: str,
    level: str,
    measure: str,
    progress: Progress | None = None,
) -> Sets:
    """The pathways that a method itself reads cells by, and the genes in the middle of the first of them.

    Raises
    ------
    OptionsProblem
        If no cell is named, or the method reads no pathways.
    AtlasError
        If the query is gone.
    """
    if len(rows) == 0:
        raise OptionsProblem(f"No cell carries the label {toward} at this threshold. Choose another, or select cells.")
    fitted = panels.reopened(reference, outcome.result.provenance.panel)
    asked = METHODS[spec.method].card.measure(measure)
    signature = explain_cells(
        query_of(spec), fitted, spec.method, rows, toward, level=level, measure=asked.name, proteins=spec.proteins,
        orthologs=spec.orthologs, device=spec.device, progress=progress,
    )  # fmt: skip
    method = load_method(fitted, spec.method, spec.device).method
    if signature.of != "pathway" or not isinstance(method, Kida):
        raise OptionsProblem(f"{asked.name} scores {signature.of}s, not pathways. Choose one that scores pathways.")
    table = signature.top(len(signature.names)).rename(columns={"pathway": "gene_set"})
    own = method.pathway_genes([str(name) for name in table["gene_set"]])
    members = {each.pathway: tuple(str(gene) for gene in each.genes) for each in own}
    table.insert(1, "title", [_title(str(name)) for name in table["gene_set"]])
    table["size"] = [len(members[str(name)]) for name in table["gene_set"]]
    error = "" if np.isnan(signature.error) else f" The scores miss {100 * abs(signature.error):.1f} % of their sum."
    said = f"Toward {toward}, {len(rows):,} cells. {asked.summary}{error}"
    source = f"pathways of {METHODS[spec.method].card.title}"
    return Sets(MODEL, table, members, said, key_genes(own[:KEY_PATHWAYS]), source)


def _title(name: str) -> str:
    """A set's name to be read: without its collection's prefix and without the number of its term."""
    return _NUMBER.sub("", readable(name))
