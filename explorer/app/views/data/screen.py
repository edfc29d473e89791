"""Data: bring a file, and see within seconds whether it can be mapped, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from components.notice import Notice
from explorer.app import look
from explorer.app.before import estimates
from explorer.app.before.preflight import Preflight
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import Standing, View, refill, sheet
from explorer.app.views.data.building import BuildingView
from explorer.app.views.source import SourcePicker
from explorer.app.words import about
from explorer.flow import GeneMatch
from explorer.mapping import panels
from explorer.methods import METHODS
from explorer.methods.base import INSTANT
from explorer.provenance import Coverage
from explorer.reading.matching import ROW_NAMES
from explorer.reading.query import ColumnFound, Inspection, MatrixFound
from explorer.reading.values import kind_in_words
from explorer.settings import settings

NONE = "none"
AUTO = "chosen automatically"
REFIT = "refit"


class DataView(View):
    """The second screen: a picker while there is no file, else the pre-flight card and its choices."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._standing = Standing()
        self._picker = pn.Column(SourcePicker(session), sizing_mode="stretch_width", styles=look.CARD, margin=0)
        self._facts = look.html()
        self._genes = look.html()
        self._notes = look.html(margin=(10, 0, 0, 0))
        self._problem = Notice("", kind="error")
        self._build_choices()
        self._card = self._build_card()
        self._title = look.html(margin=(28, 0, 18, 0))
        self._building = BuildingView(session)
        self._building_box = pn.Column(self._building.panel, sizing_mode="stretch_width", margin=0)
        self.panel = sheet(self._title, self._standing, self._picker, self._card, self._building_box)
        self.watch(self._draw, ["project", "preflight", "status", "matrix", "gene_names", "batch", "own_label",
                                "orthologs", "refit_shared", "method"])  # fmt: skip
        self._draw()

    def destroy(self) -> None:
        """Let go of the session."""
        self._building.destroy()
        super().destroy()

    def _build_choices(self) -> None:
        wide: dict[str, Any] = {"size": "small", "sizing_mode": "stretch_width", "margin": (12, 0, 0, 0)}
        self._matrix = pmui.Select(label="Expression values", options=[AUTO], **wide)
        self._names = pmui.Select(label="Gene names", options=[AUTO], **wide)
        self._batch = pmui.Select(label="Batch or sample column", options=[NONE], **wide)
        self._label = pmui.Select(label="Labels you already have", options=[NONE], **wide)
        self._orthologs = pmui.Switch(label="Map orthologues (mouse genes read as human)", margin=(12, 0, 0, 0))
        self._matrix.param.watch(lambda event: self._choose_reading("matrix", event), "value")
        self._names.param.watch(lambda event: self._choose_reading("gene_names", event), "value")
        self._batch.param.watch(lambda event: self._choose("batch", event), "value")
        self._label.param.watch(lambda event: self._choose("own_label", event), "value")
        self._orthologs.param.watch(lambda event: self._choose_reading("orthologs", event), "value")
        self._refit = pmui.Switch(label="Refit the model on the shared genes", margin=(12, 0, 0, 0), visible=False)
        self._refit.param.watch(lambda event: self._choose_reading("refit_shared", event), "value")
        self._remedies = ChoiceTable(columns=[{"key": "effect", "label": "What would help"}], radio=False,
                                     sizing_mode="stretch_width", margin=0)  # fmt: skip
        self._remedies.param.watch(lambda event: self._take_remedy(event.new["id"]), "acted")
        self._remedies.param.watch(lambda event: self._take_remedy(event.new), "value")
        self._remedies_box = pn.Column(self._remedies, styles=look.CARD, margin=(0, 0, 16, 0), visible=False,
                                       sizing_mode="stretch_width")  # fmt: skip
        self._next = pmui.Button(label="Continue to Map", variant="contained", margin=(18, 8, 0, 0))
        self._next.on_click(lambda _: setattr(self.session, "step", "map"))
        self._other = pmui.Button(label="Use another file", variant="text", margin=(18, 0, 0, 0))
        self._other.on_click(self._leave)

    def _build_card(self) -> pn.viewable.Viewable:
        card: dict[str, Any] = {"styles": look.CARD, "margin": 0, "sizing_mode": "stretch_width", "align": "auto"}
        found = pn.Column(
            look.html("<h2>What the file holds</h2>", margin=(0, 0, 10, 0)), self._facts, self._notes, **card
        )
        chosen = pn.Column(
            look.html("<h2>How to use it</h2>", margin=(0, 0, 4, 0)), self._matrix, self._names, self._batch,
            self._label, self._orthologs, self._refit, pn.Row(self._next, self._other, margin=0), **card,
        )  # fmt: skip
        genes = pn.Column(
            look.html(f"<h2>Genes shared with the reference{about('gene overlap')}</h2>", margin=(0, 0, 10, 0)),
            self._genes,
            styles=look.CARD, margin=(16, 0, 0, 0), sizing_mode="stretch_width",
        )  # fmt: skip
        return pn.Column(
            self._problem, self._remedies_box,
            pn.Row(found, pn.Spacer(width=16), chosen, sizing_mode="stretch_width"), genes,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    # choices

    # Filling a widget in raises the same event as a person's choice: so each asks whether it is news.

    def _choose(self, name: str, event: param.parameterized.Event) -> None:
        chosen = "" if event.new == NONE else event.new
        if chosen != getattr(self.session, name):
            setattr(self.session, name, chosen)

    def _choose_reading(self, name: str, event: param.parameterized.Event) -> None:
        chosen = "" if event.new == AUTO else event.new
        if chosen != getattr(self.session, name):
            self.session.read_by(**{name: chosen})

    def _take_remedy(self, id: str) -> None:
        found = self.session.preflight
        if not id or found is None:
            return
        self._remedies.value = ""
        wanted = {str(i): remedy.wanted for i, remedy in enumerate(found.remedies)}
        self.session.read_by(**wanted.get(id, {"refit_shared": True}))

    def _leave(self, _: Any) -> None:
        self.session.leave()

    # drawing

    def _draw(self) -> None:
        session, found = self.session, self.session.preflight
        project = session.project
        asked = "Opening the project …" if session.is_opening else "Which cells do you want to map?"
        self._title.object = f"<h1>{look.text(project.title) if project else asked}</h1>"
        self._standing.display(session.standing("file"))
        failed = session.standing("file").phase is Phase.FAILED
        self._picker.visible = (project is None and not session.is_opening) or (failed and found is None)
        self._card.visible = self._building_box.visible = found is not None
        if found is None:
            return
        self._facts.object = look.facts(file_facts(found))
        self._genes.object = genes_table(found, session.reference.n_cells if session.reference is not None else 0)
        told = (refit_words(session),) if session.refit_shared and found.shared else ()
        self._notes.object = look.notes((*told, *found.notices))
        self._problem.text = found.problem
        self._remedies.rows = remedy_rows(session)
        self._remedies_box.visible = bool(self._remedies.rows)
        self._refit.param.update(value=session.refit_shared, visible=bool(found.shared))
        self._next.disabled = session.spec is None
        self._fill(found)

    def _fill(self, found: Preflight) -> None:
        """Show the session's choices in the widgets."""
        session, inspection = self.session, found.inspection
        matrices = {_matrix_words(matrix): matrix.name for matrix in inspection.matrices}
        refill(self._matrix, {AUTO: AUTO, **matrices}, session.matrix or AUTO)
        has_names = bool(inspection.gene_columns or session.gene_names)
        refill(self._names, name_options(inspection), session.gene_names or AUTO, visible=has_names)
        self._fill_columns(self._batch, found.batch_columns(), session.batch)
        self._fill_columns(self._label, found.label_columns(), session.own_label)
        self._orthologs.value = session.orthologs
        species = found.match.species if found.match else "unknown"
        self._orthologs.visible = session.orthologs or found.needs_orthologs or species == "mouse"

    def _fill_columns(self, menu: pmui.Select, columns: list[ColumnFound], chosen: str) -> None:
        options = {NONE: NONE, **{f"{column.name} ({column.n_unique})": column.name for column in columns}}
        refill(menu, options, chosen if chosen in options.values() else NONE)


def refit_words(session: Session) -> str:
    """What will happen before cells of a targeted panel are mapped, as a sentence; empty if nothing will."""
    reference, found = session.reference, session.preflight
    if reference is None or found is None or not (found.shared and session.refit_shared):
        return ""
    title = METHODS[session.method].card.title if session.method in METHODS else session.method
    cost = panels.cost(reference, session.method, found.shared)
    genes = f"the {len(found.shared):,} genes that the file shares with the reference"
    return f"{title} maps these cells refitted on {genes}. {cost}"


def remedy_rows(session: Session) -> list[dict[str, str]]:
    """One row a way out of too few genes: what it would find or cost, and its button."""
    found, reference = session.preflight, session.reference
    if found is None or reference is None:
        return []
    rows = [
        {"id": str(i), "effect": f"{remedy.effect[:1].upper()}{remedy.effect[1:]}.", "action": remedy.title,
         "offered": "yes"}
        for i, remedy in enumerate(found.remedies)
    ]
    if found.problem and found.shared:
        cost = panels.cost(reference, session.method, found.shared)
        rows.append({"id": REFIT, "effect": cost, "offered": "yes",
                     "action": f"Refit on the {len(found.shared):,} shared genes"})  # fmt: skip
    return rows


def name_options(inspection: Inspection) -> dict[str, str]:
    """What may name the genes, with an example, and what stands for it in a session."""
    columns = {f"column {each.name}: {', '.join(each.examples[:2])}": each.name for each in inspection.gene_columns}
    return {AUTO: AUTO, "row names": ROW_NAMES, **columns}


def _matrix_words(matrix: MatrixFound) -> str:
    return f"{matrix.name}: {kind_in_words(matrix.kind)}, {matrix.n_genes:,} genes"


def file_facts(found: Preflight) -> list[tuple[str, str] | tuple[str, str, str]]:
    """The figures of the pre-flight card."""
    inspection, match = found.inspection, found.match
    path = inspection.path or Path()
    rows: list[tuple[str, str] | tuple[str, str, str]] = [
        ("File", f"{path.name if not _is_upload(path) else 'uploaded'}, {look.size(inspection.size_bytes)}"),
        ("Cells", f"{inspection.n_cells:,}" + ("" if inspection.obs_names_unique else ", names not unique")),
        ("Genes", f"{found.matrix.n_genes:,}"),
        ("Values", f"{found.matrix.name}: {kind_in_words(found.matrix.kind)}"),
    ]
    if match is None:
        rows.append(("Gene names", "do not meet the reference's", "bad"))
    else:
        rows += [("Gene names", f"{match.ids}{_from(found, match)}"), ("Species", match.species)]
    if inspection.embeddings:
        rows.append(("Own embeddings", ", ".join(inspection.embeddings)))
    rows.append(("Columns", ", ".join(column.name for column in inspection.obs_columns) or "none"))
    return rows


def _from(found: Preflight, match: GeneMatch) -> str:
    """Where the names of genes stand, if not in the row names."""
    column = found.gene_names or match.column
    return f", from the column {column}" if column and column != ROW_NAMES else ""


def _is_upload(path: Path) -> bool:
    return path.is_relative_to(settings().uploads)


def genes_table(found: Preflight, n_reference: int) -> str:
    """Share of genes found, time and memory, one row a method, as HTML."""
    if not found.coverages:
        return '<p class="soft">Nothing can be said until the genes meet the reference.</p>'
    n_cells = found.inspection.n_cells
    rows = "".join(_coverage_row(name, covered, n_cells, n_reference) for name, covered in found.coverages.items())
    return (
        '<table class="plain"><thead><tr><th>Model</th><th class="right">Found</th><th class="right">Share</th>'
        '<th class="right">Weighted by expression</th><th class="right">Time here</th><th class="right">Memory</th>'
        '<th class="apart">Most expressed among the missing</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _coverage_row(name: str, covered: Coverage, n_cells: int, n_reference: int) -> str:
    title = METHODS[name].card.title if name in METHODS else name
    takes = estimates.about(estimates.seconds(name, INSTANT.name, n_cells, n_reference))
    needs = estimates.about_bytes(estimates.memory(INSTANT.name, n_cells, n_reference))
    missing = ", ".join(covered.missing[:6]) + (" …" if len(covered.missing) > 6 else "")
    return (
        f'<tr><td>{look.text(title)}</td><td class="right">{covered.found:,} of {covered.needed:,}</td>'
        f'<td class="right">{look.share(covered.found, covered.needed)}</td>'
        f'<td class="right">{look.share(covered.weighted_share, 1)}</td>'
        f'<td class="right">{takes}</td><td class="right">{needs}</td>'
        f'<td class="soft apart">{look.text(missing or "none")}</td></tr>'
    )
