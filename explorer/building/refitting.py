"""The corridor of targeted panels: a method of a reference, trained anew on the genes that a query has.

A panel of some hundred genes holds few of the most variable ones that a method was trained on, though often enough
to tell its reference's cells apart. The reference keeps all its counts, so the method can be trained on what is
shared: with the same settings and seed, genes chosen among the shared ones only, counts normalised by their sum over
the shared genes, and every batch left out in turn. Its scores on left-out batches are therefore its own. The picture
stays the reference's, so that samples of different panels lie in the same one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explorer import keys
from explorer.building.fitting import Recipe, fit_examined, scores_of, write_fitted
from explorer.building.unfinished import Unfinished
from explorer.errors import GenesProblem, ReferenceProblem
from explorer.flow import Query, Reference
from explorer.mapping import panels
from explorer.mapping.learning import Annotated, read_again
from explorer.mapping.models import TrainedMethod, load_method
from explorer.methods import METHODS
from explorer.methods.common import device_named
from explorer.progress import Progress
from explorer.provenance import Coverage, Panel, Refitted
from explorer.reading.genes import coverage, match_genes
from explorer.reference import has_expression
from explorer.settings import settings
from explorer.writing.export import require_writable


def refit_shared(
    query: Query,
    reference: Reference,
    method: str = "concord",
    *,
    orthologs: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[Reference, tuple[str, ...]]:
    """The reference as a query with few of its genes needs it: its method refitted on the genes they share.

    A model that was refitted on these genes before, or on nearly these, is used again.

    Parameters
    ----------
    orthologs
        As `map_query` takes it.

    Returns
    -------
    reference
        To hand to `map_query`; the same one if the query holds enough of the method's genes.
    notices
        What was done, one sentence each.

    Raises
    ------
    GenesProblem
        If too few genes are shared.
    ReferenceProblem
        If the reference was shared without expression, or holds no such method.
    ResourceProblem
        If the home folder cannot be written to.
    Cancelled
        From `progress`, within one minibatch; the same call goes on with what was learned in more than ten seconds.
    """
    progress = progress or Progress()
    progress.part("Comparing genes", 0.0, 0.01)(0.0)
    own = load_method(reference, method, device)
    match = match_genes(query.var, reference.genes, orthologs=orthologs)
    found = coverage(match, reference.genes, own.positions)
    if found.share >= settings().warn_gene_share:
        return reference, (
            f"The file holds {found.found:,} of the {found.needed:,} genes of the reference's own model, which is "
            "enough: it was used, and nothing was refitted.",
        )
    genes = panels.shared_genes(reference, match)
    refitted = panels.find(reference, method, genes)
    if refitted is None:
        refitted = _refit(reference, method, genes, own, panels.refusal(reference, match), progress)
    progress(1.0)
    return panels.standing_in(reference, refitted), (_told(reference, own.method.card.title, found, refitted.panel),)


def _refit(
    reference: Reference, method: str, genes: tuple[str, ...], own: TrainedMethod, refusal: str, progress: Progress
) -> Refitted:
    if refusal:
        raise GenesProblem(refusal) if has_expression(reference) else ReferenceProblem(refusal)
    require_writable(settings().panels)
    annotated = _over(genes, read_again(reference, method, progress.part("Reading the reference's cells", 0.01, 0.03)))
    recipe = Recipe(METHODS[method], own.method.config, device_named(own.device))
    unfinished = Unfinished.of_build(panels.unfinished(reference, method), annotated, recipe.config)
    fitted = fit_examined(annotated, recipe, unfinished, progress.part("", 0.03, 0.99))
    scores = scores_of(fitted.heads)
    progress.part("Keeping the model", 0.99, 1.0)(0.0)
    refitted = panels.keep(reference, method, genes, scores, lambda folder: write_fitted(folder, fitted))
    unfinished.clear()
    return refitted


def _over(genes: tuple[str, ...], annotated: Annotated) -> Annotated:
    """The same cells as if only these genes had been measured."""
    kept = np.flatnonzero(annotated.genes[keys.SYMBOL].isin(genes))
    cells = annotated.cells.genes(kept)
    totals = np.asarray(cells.values.sum(1), np.float32).ravel()
    return replace(
        annotated, cells=replace(cells, totals=totals), genes=annotated.genes.iloc[kept].reset_index(drop=True)
    )


def _told(reference: Reference, title: str, found: Coverage, panel: Panel) -> str:
    level = reference.levels[0]
    now, before = (of[level] for of in (panel.scores, reference.card["methods"][panel.method]["scores"]))
    return (
        f"The file holds {found.found:,} of the {found.needed:,} genes of the reference's own {title} model, so the "
        f"method was refitted on the {len(panel.genes):,} genes that reference and panel share. On left-out reference "
        f"batches it reaches accuracy {now['accuracy']:.3f} and macro-F1 {now['macro_f1']:.3f} for {level}, where the "
        f"reference's own model reaches {before['accuracy']:.3f} and {before['macro_f1']:.3f}."
    )
