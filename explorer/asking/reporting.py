"""The report on a result: verdict, figure, labels, methods and record on one page. Page and shell make it here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from explorer.asking.picturing import panels_of
from explorer.drawing.composing import Look, Panel, caption, render
from explorer.errors import OptionsProblem
from explorer.flow import MappingResult, Query, Reference
from explorer.insight.verdict import unsaid
from explorer.prose import consequence, methods_paragraph
from explorer.writing.appending import finished_file
from explorer.writing.export import require_writable
from explorer.writing.result_page import Shown, result_page

PANELS = ("map:label", "map:confidence")
"""Of the figure, if no others are asked for."""

_LOOK = Look(width=180, dpi=200)


def report_page(
    result: MappingResult, reference: Reference | None, panels: Sequence[Panel], *, title: str, samples: str = ""
) -> str:
    """The report as HTML text that needs nothing else.

    Parameters
    ----------
    reference
        What the cells were mapped onto; `None` where it is no longer there.
    panels
        Of its figure.
    title
        What the cells are called.
    samples
        obs column whose values a composition is told for; empty for none.
    """
    return result_page(
        result,
        title=title,
        methods=methods_paragraph(result, reference),
        verdict=[*_verdict(result), *(consequence(result, level.level) for level in result.labels.levels)],
        pictures=[Shown(render(panels, _LOOK, "png"), caption(panels, _LOOK))],
        samples=samples,
    )


def write_report(
    query: Query,
    reference: Reference,
    result: MappingResult,
    path: Path | str,
    panels: Sequence[str | Panel] = PANELS,
    *,
    level: str | None = None,
    sets: Sequence[str] = (),
    samples: str = "",
) -> None:
    """Write the report on a result as one HTML file.

    Parameters
    ----------
    query, reference, result
        As mapped.
    panels, level, sets
        Of its figure, as `explorer.asking.picturing.panels_of` takes them.
    samples
        obs column whose values a composition is told for; empty for none.

    Raises
    ------
    OptionsProblem
        If there is no such column, or as `panels_of` does.
    """
    path = Path(path)
    require_writable(path)
    if samples and samples not in result.obs:
        raise OptionsProblem(f"There is no column {samples!r} among these cells. Name the one that tells samples.")
    found = panels_of(query, reference, result, panels, level=level, sets=sets)
    page = report_page(result, reference, found, title=result.provenance.query, samples=samples)
    with finished_file(path) as part:
        part.write_text(page, encoding="utf-8")


def _verdict(result: MappingResult) -> list[str]:
    """Whether the mapping can be trusted, what is likely wrong and what to try; nothing where it was not judged."""
    told = result.verdict
    if told is None:
        return []
    return [told.summary, *told.causes[1:], *told.advice, *unsaid(result.n_cells, result.labels.first.threshold)]
