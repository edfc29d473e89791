"""Map: choose a model, start, and see how far it is; the page may be closed meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from components.choice_table import ChoiceTable
from components.job_status import JobStatus, duration
from components.notice import Notice
from explorer import panels
from explorer.app import library, look
from explorer.app.choices import Way, how_words
from explorer.app.library import Outcome
from explorer.app.session import Session
from explorer.app.status import Phase
from explorer.app.training import further, one_more
from explorer.app.views.base import Standing, View, sheet
from explorer.app.views.data import refit_words
from explorer.app.views.training import TrainingView
from explorer.flow import Coverage, Reference
from explorer.jobs import JobState, MapSpec
from explorer.methods import METHODS


class MapView(View):
    """The third screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._lead = look.html(margin=(4, 0, 18, 0))
        self._methods = ChoiceTable(sizing_mode="stretch_width", margin=(6, 0, 0, 0))
        self._methods.param.watch(self._choose, "value")
        self._further = ChoiceTable(columns=[{"key": "title", "label": "Model"}], radio=False,
                                    sizing_mode="stretch_width", margin=(6, 0, 0, 0))  # fmt: skip
        self._further.param.watch(self._train, "acted")
        self._training = TrainingView(session)
        self._modes = ChoiceTable(columns=[{"key": "title", "label": "How to map"}], sizing_mode="stretch_width",
                                  margin=(10, 0, 0, 0))  # fmt: skip
        self._modes.param.watch(self._choose_mode, "value")
        self._nested = pmui.Switch(label="Coarse labels first, so that levels agree", margin=(14, 0, 0, 4))
        self._nested.param.watch(self._choose_nested, "value")
        self._about_nested = look.html(margin=(18, 0, 0, 10))
        self._nested_row = pn.Row(self._nested, self._about_nested, margin=0, sizing_mode="stretch_width")
        self._start = pmui.Button(label="Start mapping", variant="contained", margin=(16, 8, 0, 0))
        self._start.on_click(lambda _: self.session.start())
        self._hint = look.html(margin=(22, 0, 0, 4))
        self._job = JobStatus()
        self._job.param.watch(lambda _: self.session.cancel(), "cancel")
        self._job.param.watch(lambda _: self.session.retry(), "retry")
        self._ahead = look.html(margin=(6, 0, 0, 0))
        self._log = look.html(margin=(10, 0, 0, 0))
        self._standing = Standing()
        self._outcome = look.html(margin=(14, 0, 0, 0))
        self._explore = pmui.Button(label="Explore the result", variant="contained", margin=(14, 8, 0, 0))
        self._explore.on_click(lambda _: setattr(self.session, "step", "explore"))
        self._missing = Notice("")
        self._bring = pmui.Button(label="Choose cells", variant="contained", margin=(6, 0, 12, 0))
        self._bring.on_click(lambda _: setattr(self.session, "step", "data"))
        self.panel = self._layout()
        self.watch(self._draw, ["project", "reference", "preflight", "method", "job", "outcome", "status", "orthologs",
                                "refit_shared", "matrix", "batch", "modes", "hierarchical", "traits",
                                "build"])  # fmt: skip
        self._draw()

    def destroy(self) -> None:
        """Let go of the session."""
        self._training.destroy()
        super().destroy()

    def _layout(self) -> pn.viewable.Viewable:
        card: dict[str, Any] = {"styles": look.CARD, "sizing_mode": "stretch_width", "margin": (0, 0, 16, 0)}
        self._run = pn.Column(
            look.html("<h2>Progress</h2>", margin=(0, 0, 10, 0)), self._job, self._ahead, self._standing, self._outcome,
            self._explore, self._log, **card,
        )  # fmt: skip
        choose = pn.Column(
            look.html("<h2>Models of this reference</h2>"),
            self._methods,
            self._modes,
            self._nested_row,
            pn.Row(self._start, self._hint, margin=0),
            **card,
        )
        self._further_box = pn.Column(look.html("<h2>Not trained on this reference yet</h2>"), self._further, **card)
        return sheet(
            look.html("<h1>Map</h1>", margin=(28, 0, 0, 0)), self._lead, self._missing, self._bring, choose, self._run,
            self._further_box, self._training.panel,
        )

    def _choose(self, event: Any) -> None:
        if event.new and event.new != self.session.method:
            self.session.method = event.new
            self.session.save()

    def _train(self, event: Any) -> None:
        if self.session.reference is not None:
            self.session.train(one_more(self.session.reference, event.new["id"]))

    def _choose_mode(self, event: Any) -> None:
        if event.new and event.new != self.session.way:
            self.session.choose_mode(event.new)

    def _choose_nested(self, event: Any) -> None:
        if event.new != self.session.hierarchical:
            self.session.choose_how(hierarchical=event.new)

    def _draw(self) -> None:
        session = self.session
        reference, found = session.reference, session.preflight
        if reference is None:
            return
        cells = (
            f"{found.inspection.n_cells:,} cells of {session.project.title} " if found and session.project else "Cells "
        )
        self._lead.object = (
            f'<p class="soft">{look.text(cells)}onto {look.text(reference.title)} ({reference.n_cells:,} cells).</p>'
        )
        self._methods.param.update(columns=_COLUMNS, rows=method_rows(session, reference), value=session.method)
        ways = session.ways
        self._modes.param.update(rows=way_rows(session), value=session.way, visible=len(ways) > 1)
        self._nested_row.visible = bool(session.traits.nested)
        self._nested.value = session.hierarchical
        nested = ", ".join(f"{fine} within {coarse}" for fine, coarse in session.traits.nested)
        self._about_nested.object = f'<span class="soft small">{look.text(nested)}</span>'
        self._further.rows = further_rows(session, reference)
        self._further_box.visible = bool(self._further.rows)
        self._draw_start()
        self._draw_job()

    def _draw_start(self) -> None:
        session = self.session
        ready = session.spec is not None
        self._start.disabled = not ready or session.is_mapping
        self._start.label = "Map again" if session.job is not None and session.job.state.is_over else "Start mapping"
        changed = session.job is not None and session.spec is not None and _differ(session.job.mapping, session.spec)
        hint = " ".join(filter(None, ("The choices have changed since the last run." if changed else "",
                                      refit_words(session) if ready else "")))  # fmt: skip
        self._hint.object = f'<span class="soft small">{look.text(hint)}</span>' if hint else ""
        missing = ""
        if session.project is None:
            missing = "There are no cells to map yet. Drop a file, or take a demo file."
        elif session.standing("file").phase is Phase.FAILED:
            missing = session.standing("file").text
        elif session.preflight is not None and not session.preflight.is_ready:
            missing = session.preflight.problem
        self._missing.param.update(text=missing, kind="info" if session.project is None else "error")
        self._bring.param.update(
            visible=bool(missing), label="Choose cells" if session.project is None else "Back to Data"
        )

    def _draw_job(self) -> None:
        session, job = self.session, self.session.job
        self._run.visible = job is not None
        if job is None:
            return
        reference = session.reference.title if session.reference else ""
        self._job.param.update(
            title=f"{_title(job.mapping.method)}{_how(job.mapping)} on {reference}",
            state=str(job.state), stage=job.stage, fraction=job.fraction, left=job.left,
            error=session.in_her_words(job.error) if job.error else None,
        )  # fmt: skip
        ahead = library.queue().ahead(job.id) if job.state is JobState.QUEUED else 0
        words = [f"{ahead} job{'s' if ahead > 1 else ''} before this one."] if ahead else []
        if not job.state.is_over:
            words.append("You may close this page; the work goes on, and its address brings you back.")
        self._ahead.object = f'<p class="soft small">{" ".join(words)}</p>' if words else ""
        lines = "".join(f"{look.text(line)}\n" for line in job.log)
        self._log.object = (
            f'<details><summary class="soft small">Log</summary><pre>{lines}</pre></details>' if lines else ""
        )
        self._standing.display(session.standing("result"))
        self._outcome.object = outcome_facts(session.outcome) if session.outcome else ""
        self._explore.visible = session.outcome is not None


_COLUMNS = [
    {"key": "title", "label": "Model", "width": "40%"},
    {"key": "genes", "label": "Genes found", "align": "right"},
    {"key": "accuracy", "label": "Accuracy, held out", "align": "right"},
    {"key": "macro_f1", "label": "Macro-F1, held out", "align": "right"},
    {"key": "calibration", "label": "Calibration error", "align": "right"},
    {"key": "device", "label": "Runs on", "align": "right"},
]


def _title(method: str) -> str:
    return METHODS[method].card.title if method in METHODS else method


def _differ(done: MapSpec, wanted: MapSpec) -> bool:
    """Whether two mappings differ in a choice; a reference that got a further method is the same reference."""
    return replace(done, reference=wanted.reference) != wanted


def _how(spec: MapSpec) -> str:
    words = how_words(spec.method, spec.mode, spec.hierarchical)
    return f" ({words})" if words else ""


def way_rows(session: Session) -> list[dict[str, str]]:
    """One row a way in which the chosen method maps; those not open to this file say why."""
    rows = []
    for way in session.ways:
        note = f"{way.mode.summary} {way.refusal}" if way.refusal else f"{way.mode.summary}{_batches(session, way)}"
        rows.append({"id": way.mode.name, "title": way.mode.title, "note": note, "disabled": way.refusal})
    return rows


def _batches(session: Session, way: Way) -> str:
    """Of which batches a way that compares batches will speak, as a sentence."""
    if "conditions" not in way.mode.needs:
        return ""
    if session.batch:
        return f" Your batches are those of the column {session.batch}."
    return " Your file counts as one batch; choose its batch column on Data to tell batches apart."


def method_rows(session: Session, reference: Reference) -> list[dict[str, str]]:
    """One row a method of the reference; scores speak of the level in view."""
    rows = []
    coverages = session.preflight.coverages if session.preflight else {}
    shared = session.preflight.shared if session.preflight and session.refit_shared else ()
    for name in reference.methods:
        card = METHODS[name].card if name in METHODS else None
        told = reference.card["methods"][name]
        measured = _refitted_scores(reference, name, shared) if shared else told.get("scores", {})
        scores = measured.get(reference.levels[0], {})
        covered = coverages.get(name)
        rows.append({
            "id": name,
            "title": card.title if card else name,
            "note": f"{card.summary} Gives {', '.join(card.gives)}." if card else "Not known to this program.",
            "disabled": "" if card else "Update Atlas Explorer to use this model.",
            "genes": _genes_found(covered, told, shared),
            "accuracy": _score(scores.get("accuracy")),
            "macro_f1": _score(scores.get("macro_f1")),
            "calibration": _score(scores.get("calibration_error")),
            "device": library.device(),
        })  # fmt: skip
    return rows


def further_rows(session: Session, reference: Reference) -> list[dict[str, str]]:
    """One row a method that the reference does not hold yet, with the offer to train it."""
    is_busy = session.build is not None and not session.build.state.is_over
    rows = []
    for offer in further(reference, session.traits):
        card = METHODS[offer.method].card
        told = f"{card.summary} Gives {', '.join(card.gives)}."
        rows.append({
            "id": offer.method,
            "title": card.title,
            "note": f"{told} {offer.refusal}" if offer.refusal else told,
            "disabled": offer.refusal or "Not trained on this reference yet.",
            "action": "" if offer.refusal or is_busy else f"Train this method (about {offer.minutes} min)",
        })  # fmt: skip
    return rows


def _refitted_scores(reference: Reference, method: str, shared: tuple[str, ...]) -> Mapping[str, Any]:
    """Scores of a model refitted on a panel; none before it was."""
    panel = panels.known(reference, method, shared)
    return {} if panel is None else panel.scores


def _genes_found(covered: Coverage | None, told: Mapping[str, Any], shared: tuple[str, ...]) -> str:
    if shared:
        return f"{len(shared):,} shared"
    return look.share(covered.found, covered.needed) if covered else f"{told.get('genes', '?'):,} needed"


def _score(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def outcome_facts(outcome: Outcome) -> str:
    """The figures of a finished mapping, as HTML."""
    result = outcome.result
    first = result.labels.first
    top = np.argsort(-np.bincount(first.codes[~first.unknown], minlength=len(first.classes)))[:3]
    counts = np.bincount(first.codes[~first.unknown], minlength=len(first.classes))
    rows = [
        ("Cells", f"{result.n_cells:,}"),
        ("Without a label", f"{int(first.unknown.sum()):,} ({look.share(first.unknown.sum(), result.n_cells)}), "
                            "too novel or too uncertain"),
        ("Median confidence", f"{np.median(first.confidence):.2f} at {first.level}"),
        *_of_way(outcome),
        *_of_panel(outcome),
        ("Most frequent", ", ".join(f"{first.classes[i]} {counts[i]:,}" for i in top if counts[i])),
        ("Took", _took(sum(result.provenance.seconds.values()))),
    ]  # fmt: skip
    return look.facts(rows)


def _of_way(outcome: Outcome) -> list[tuple[str, str]]:
    options = outcome.result.provenance.options
    words = how_words(outcome.result.method, options.get("mode"), bool(options.get("hierarchical")))
    return [("Mapped", words)] if words else []


def _of_panel(outcome: Outcome) -> list[tuple[str, str]]:
    panel, level = outcome.result.provenance.panel, outcome.result.labels.first.level
    if panel is None:
        return []
    scores = panel.scores[level]
    return [
        ("Model", f"refitted on {len(panel.genes):,} shared genes; on left-out reference batches accuracy "
                  f"{scores['accuracy']:.3f} and macro-F1 {scores['macro_f1']:.3f} at {level}"),
    ]  # fmt: skip


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
