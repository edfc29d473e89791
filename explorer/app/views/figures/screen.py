"""Figures and export: the figure of what was pinned, the result's files, and how it all came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from components.notice import Notice
from explorer import keys
from explorer.app import look
from explorer.app.colors.paints import PAINTS
from explorer.app.leaving import downloads, handouts
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.file_colors import chosen_columns
from explorer.app.leaving.gated_files import offered_gated_file
from explorer.app.stored.library import Outcome
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View, sheet
from explorer.app.views.figures.figure import FigureView
from explorer.app.views.figures.handouts import HandoutsView
from explorer.flow import UNKNOWN_CONFIDENCE
from explorer.provenance import Provenance


class ExportView(View):
    """The last screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._missing = Notice("")
        self._go = pmui.Button(label="Go to Map", variant="contained", margin=(6, 0, 12, 0))
        self._go.on_click(lambda _: setattr(self.session, "step", "map"))
        self._standing = Standing()
        self._files = look.html()
        self._anew = {
            keys.RESULT_FILE: downloads.offer(lambda: _annotated(session)),
            keys.PREDICTIONS_FILE: downloads.offer(lambda: handouts.offered_predictions(session)),
        }
        self._provenance = look.html()
        self._figure = FigureView(session)
        card: dict[str, Any] = {"styles": look.CARD, "sizing_mode": "stretch_width", "margin": (0, 0, 16, 0)}
        self._handouts = HandoutsView(session)
        self._files_card = pn.Column(
            look.html("<h2>Files</h2>", margin=(0, 0, 6, 0)), self._files, self._handouts.panel, **card
        )
        self._methods_card = pn.Column(
            look.html("<h2>Methods paragraph</h2>", margin=(0, 0, 10, 0)), self._handouts.methods, **card
        )
        self._provenance_card = pn.Column(
            look.html("<h2>How this result came about</h2>", margin=(0, 0, 10, 0)), self._provenance, **card
        )
        figure = pn.Column(look.html("<h2>Figure</h2>", margin=(0, 0, 12, 0)), self._figure.panel, **card)
        title = look.html("<h1>Figures and export</h1>", margin=(28, 0, 18, 0))
        self.panel = sheet(
            title, self._missing, self._go, self._standing, figure, self._files_card, self._methods_card,
            self._provenance_card,
        )
        self.watch(self._draw, ["outcome", "status", "project", "level", "gates", "paints"])
        self._draw()

    def destroy(self) -> None:
        """Let go of the session, and of what is offered."""
        self._figure.destroy()
        self._handouts.destroy()
        for token in self._anew.values():
            downloads.withdraw(token)
        super().destroy()

    def _draw(self) -> None:
        outcome, project = self.session.outcome, self.session.project
        has = outcome is not None
        missing = "No cells are mapped yet, so there are no files; the figure shows the reference."
        self._missing.text = "" if has else missing
        self._go.visible = not has
        self._files_card.visible = self._methods_card.visible = self._provenance_card.visible = has
        self._standing.display(self.session.standing("result"))
        if outcome is not None:
            title, names = project.title if project is not None else "result", _saved_names(self.session)
            colored = chosen_columns(self.session) if self.session.paints != PAINTS else None
            self._files.object = files_html(outcome, title, self._anew, names, colored)
            self._provenance.object = look.facts(provenance_facts(outcome.result.provenance, outcome.result.n_cells))


def _saved_names(session: Session) -> tuple[str, ...]:
    """Names of the selections that were saved of the query."""
    return tuple(gate.title for gate in session.gates if gate.cells == "query")


def _annotated(session: Session) -> Offered:
    """The annotated file as things stand now: with the threshold and the colours chosen, and the saved selections."""
    return offered_gated_file(session) if _saved_names(session) else handouts.offered_result(session)


def files_html(
    outcome: Outcome,
    title: str,
    anew: Mapping[str, str],
    selections: Sequence[str] = (),
    colored: Sequence[str] | None = None,
) -> str:
    """The files of a result, each with what is in it and a link, as HTML.

    Parameters
    ----------
    anew
        By file, the token of the offer to make it anew: for a threshold that is not the one it was written with, for
        saved selections, and for chosen colours.
    selections
        Names of the saved selections, which the annotated file holds as well.
    colored
        Own columns whose colours were chosen; `None` where no colour was.
    """
    result = outcome.result
    levels = [found.level for found in result.labels.levels]
    annotated = (
        f"Your own file, untouched, plus in obs {', '.join(keys.predicted(level) for level in levels)}, the "
        f"{'confidences' if len(levels) > 1 else 'confidence'} ({keys.confidence(levels[0])} …), {keys.NOVELTY} and "
        f"{keys.IS_UNKNOWN}; in obsm {keys.embedding(result.method)}, {keys.LAYOUT} (in the reference's picture) and "
        f"the probabilities of all classes; in uns['{keys.PROVENANCE}'] how it came about, and in "
        f"uns['{keys.colors(keys.predicted(levels[0]))}'] the colours of the labels, for scanpy."
    )
    if colored:
        annotated += f" So are the colours you chose for {', '.join(colored)}."
    if selections:
        annotated += f" The selections you saved are columns of obs: {', '.join(selections)}."
    table = f"One row a cell: {', '.join(keys.CSV_COLUMNS)}; labels of {levels[0]}."
    name = downloads.safe_name(title)
    return (
        '<table class="plain files"><tbody>'
        + _file_row(
            outcome, keys.RESULT_FILE, f"{name}.mapped.h5ad", "Annotated h5ad", annotated, anew,
            bool(selections) or colored is not None,
        )
        + _file_row(outcome, keys.PREDICTIONS_FILE, f"{name}.predictions.csv", "Predictions, csv", table, anew)
        + "</tbody></table>"
    )


def _file_row(
    outcome: Outcome, file: str, name: str, title: str, holds: str, anew: Mapping[str, str], is_anew: bool = False
) -> str:
    path = outcome.folder / file
    threshold = outcome.result.labels.first.threshold
    asked = downloads.job_query(outcome.job, file, name)
    if is_anew or threshold != UNKNOWN_CONFIDENCE:
        asked = downloads.offer_query(anew[file])
    if threshold != UNKNOWN_CONFIDENCE:
        holds += f" Cells of less confidence than {threshold:.2f}, as chosen on Quality, are unknown in it; it says so."
    address = look.route("download") + asked
    got = (
        f'<a class="get" href="{look.text(address)}" download="{look.text(name)}">Download</a>' if path.is_file()
        else '<span class="soft">no longer there</span>'
    )  # fmt: skip
    size = look.size(path.stat().st_size) if path.is_file() else ""
    return (
        f'<tr><td><b>{look.text(title)}</b><div class="soft small">{look.text(holds)}</div></td>'
        f'<td class="right num">{size}</td><td class="right">{got}</td></tr>'
    )


def provenance_facts(told: Provenance, n_cells: int) -> list[tuple[str, str]]:
    """How a result came about, name beside value."""
    covered = told.coverage
    return [
        ("Query", f"{told.query}, {n_cells:,} cells; {told.matrix}, {told.value_kind}"),
        ("Reference", f"{told.reference}, checksum {told.reference_checksum[:16]}"),
        ("Method", f"{told.method}, seed {told.seed}, on {told.device}"),
        ("Settings", ", ".join(f"{name} {value}" for name, value in told.config.items())),
        ("Genes", f"{covered.found:,} of {covered.needed:,} found ({look.share(covered.found, covered.needed)}; "
                  f"{look.share(covered.weighted_share, 1)} by expression)"),
        ("Made", told.created),
        ("Took", ", ".join(f"{step} {seconds:.2g} s" for step, seconds in told.seconds.items())),
        ("Versions", ", ".join(f"{name} {version}" for name, version in told.versions.items())),
        ("Notices", " ".join(told.notices) or "none"),
    ]  # fmt: skip
