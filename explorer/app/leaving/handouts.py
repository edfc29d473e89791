"""What one takes away beside the job's own files: probabilities, the report, the script, the paragraph on methods.

Each is made when it is asked for, in a thread. Knows no widgets.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from explorer import keys
from explorer.app.leaving import drawing
from explorer.app.leaving.downloads import Offered, blocks_once
from explorer.app.leaving.file_colors import file_colors
from explorer.app.stored.library import Outcome
from explorer.app.tab.pins import Pin
from explorer.app.tab.session import Session
from explorer.asking.reporting import report_page
from explorer.errors import OptionsProblem
from explorer.prose import methods_paragraph
from explorer.reading.query import open_query
from explorer.settings import settings
from explorer.writing.all_classes import probability_lines
from explorer.writing.export import predictions_table, write_h5ad
from explorer.writing.scripting import reproducing_script

_TEXT = "text/plain; charset=utf-8"


def offered_probabilities(session: Session) -> Offered:
    """Labels and the probabilities of all classes at the level in view, as csv."""
    result = _outcome(session).result
    return Offered(
        f"{_title(session)}.{session.level}.probabilities.csv", "text/csv; charset=utf-8",
        probability_lines(result, session.level),
    )  # fmt: skip


def offered_result(session: Session) -> Offered:
    """The annotated file anew, with the threshold and the colours in view."""
    outcome = _outcome(session)
    path = settings().home / "handouts" / f"{secrets.token_urlsafe(12)}.h5ad"
    write_h5ad(outcome.result, open_query(outcome.folder / keys.RESULT_FILE), path, file_colors(session))
    return Offered(f"{_title(session)}.mapped.h5ad", "application/x-hdf5", blocks_once(path))


def offered_predictions(session: Session) -> Offered:
    """The table of predictions anew, with the threshold in view."""
    text = predictions_table(_outcome(session).result).to_csv(index=False, float_format="%.6g")
    return _as_file(f"{_title(session)}.predictions.csv", "text/csv; charset=utf-8", text)


def offered_report(session: Session, pins: Sequence[Pin]) -> Offered:
    """The page that needs nothing else, with the pinned views as its figure."""
    result, panels = _outcome(session).result, drawing.panels_of(drawing.source_of(session), pins)
    samples = session.batch if session.batch in result.obs else ""
    page = report_page(result, session.reference, panels, title=_title(session), samples=samples)
    return _as_file(f"{_title(session)}.report.html", "text/html; charset=utf-8", page)


def offered_script(session: Session) -> Offered:
    """The script that repeats the mapping."""
    job = session.job
    if job is None:
        raise OptionsProblem("No cells are mapped yet, so there is nothing to repeat. Map your cells first.")
    spec = job.mapping
    text = reproducing_script(
        _outcome(session).result, spec.query, spec.reference, matrix=spec.matrix, name=spec.name,
        refit_shared=spec.refit_shared,
    )  # fmt: skip
    return _as_file(f"{_title(session)}.reproduce.py", "text/x-python; charset=utf-8", text)


def offered_methods(session: Session) -> Offered:
    """The methods paragraph as a text file."""
    return _as_file(f"{_title(session)}.methods.txt", _TEXT, paragraph(session) + "\n")


def paragraph(session: Session) -> str:
    """The methods paragraph of the result in view."""
    return methods_paragraph(_outcome(session).result, session.reference)


def _as_file(name: str, kind: str, text: str) -> Offered:
    return Offered(name, kind, iter([text.encode("utf-8")]))


def _title(session: Session) -> str:
    return session.project.title if session.project is not None else "result"


def _outcome(session: Session) -> Outcome:
    if session.outcome is None:
        raise OptionsProblem("No cells are mapped yet. Map your cells first.")
    outcome: Outcome = session.outcome
    return outcome
