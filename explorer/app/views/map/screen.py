"""Map: choose models, start, and see how far they are; the page may be closed meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui

from components.choice_table import ChoiceTable
from components.notice import Notice
from explorer.app import look
from explorer.app.before import choices, estimates
from explorer.app.before.choices import how_words
from explorer.app.stored import library
from explorer.app.stored.library import Outcome
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.tab.training import further, one_more
from explorer.app.views.base import Standing, View, sheet
from explorer.app.views.data.screen import refit_words
from explorer.app.views.map.consensus_offer import ConsensusOffer
from explorer.app.views.map.mapping_queue import QueueView, how, took_words
from explorer.app.views.map.scorecard import scorecard_html
from explorer.app.views.map.ways import WaysView
from explorer.app.views.training import TrainingView
from explorer.app.words import told
from explorer.flow import Reference
from explorer.jobs.queue import JobState
from explorer.mapping import panels
from explorer.methods import METHODS
from explorer.provenance import Coverage


class MapView(View):
    """The third screen."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._lead = look.html(margin=(4, 0, 18, 0))
        self._methods = ChoiceTable(many=True, columns=_COLUMNS, sizing_mode="stretch_width", margin=(6, 0, 0, 0))
        self._methods.param.watch(self._choose, "values")
        self._about = look.html(margin=(8, 0, 0, 0))
        self._further = ChoiceTable(columns=[{"key": "title", "label": "Model"}], radio=False,
                                    sizing_mode="stretch_width", margin=(6, 0, 0, 0))  # fmt: skip
        self._further.param.watch(self._train, "acted")
        self._training = TrainingView(session)
        self._ways = WaysView(session)
        self._consensus = ConsensusOffer(session)
        self._queue = QueueView(session)
        self._start = pmui.Button(label="Start mapping", variant="contained", margin=(16, 8, 0, 0))
        self._start.on_click(lambda _: self.session.start())
        self._hint = look.html(margin=(22, 0, 0, 4))
        self._away = look.html(margin=(0, 0, 0, 0))
        self._standing = Standing()
        self._outcome = look.html(margin=(14, 0, 0, 0))
        self._explore = pmui.Button(label="Explore the result", variant="contained", margin=(14, 8, 0, 0))
        self._explore.on_click(lambda _: setattr(self.session, "step", "explore"))
        self._judge = pmui.Button(label="How good is it?", variant="text", margin=(14, 0, 0, 0))
        self._judge.on_click(lambda _: setattr(self.session, "step", "quality"))
        self._scorecard = look.html(margin=(6, 0, 0, 0))
        self._missing = Notice("")
        self._bring = pmui.Button(label="Choose cells", variant="contained", margin=(6, 0, 12, 0))
        self._bring.on_click(lambda _: setattr(self.session, "step", "data"))
        self.panel = self._layout()
        self.watch(self._draw, ["project", "reference", "preflight", "methods", "jobs", "outcome", "status",
                                "orthologs", "refit_shared", "matrix", "batch", "modes", "taught", "proteins",
                                "hierarchical", "independent", "unknown", "refine", "gene_names", "traits",
                                "build"])  # fmt: skip
        self._draw()

    def destroy(self) -> None:
        """Let go of the session."""
        for part in (self._training, self._ways, self._consensus, self._queue):
            part.destroy()
        super().destroy()

    def _layout(self) -> pn.viewable.Viewable:
        card: dict[str, Any] = {"styles": look.CARD, "sizing_mode": "stretch_width", "margin": (0, 0, 16, 0)}
        self._run = pn.Column(
            look.html("<h2>Progress</h2>", margin=(0, 0, 10, 0)), self._queue.panel, self._away, self._standing,
            self._outcome, pn.Row(self._explore, self._judge, margin=0), **card,
        )  # fmt: skip
        choose = pn.Column(
            look.html("<h2>Models of this reference</h2>"), self._methods, self._about,
            pn.Row(self._start, self._hint, margin=0), **card,
        )  # fmt: skip
        ways = pn.Column(look.html("<h2>How they map</h2>"), self._ways.panel, **card)
        self._scorecard_box = pn.Column(look.html("<h2>Scorecard</h2>"), self._scorecard, **card)
        self._further_box = pn.Column(look.html("<h2>Not trained on this reference yet</h2>"), self._further, **card)
        self._of_reference = pn.Column(
            self._missing, self._bring, choose, self._run, self._consensus.panel, ways, self._scorecard_box,
            self._further_box, self._training.panel, margin=0, sizing_mode="stretch_width",
        )  # fmt: skip
        return sheet(look.html("<h1>Map</h1>", margin=(28, 0, 0, 0)), self._lead, self._of_reference)

    def _choose(self, event: Any) -> None:
        if event.new != self.session.methods:
            self.session.choose_methods(event.new)

    def _train(self, event: Any) -> None:
        if self.session.reference is not None:
            self.session.train(one_more(self.session.reference, event.new["id"]))

    def _draw(self) -> None:
        session = self.session
        reference, found = session.reference, session.preflight
        self._of_reference.visible = reference is not None
        if reference is None:
            coming = session.standing("reference")
            told = "There is no reference to map onto. Home says why."
            if session.is_opening or coming.phase is Phase.RUNNING:
                told = "Opening the project …" if session.is_opening else f"{coming.text} …"
            self._lead.object = f'<p class="soft">{told}</p>'
            return
        cells = (
            f"{found.inspection.n_cells:,} cells of {session.project.title} " if found and session.project else "Cells "
        )
        self._lead.object = (
            f'<p class="soft">{look.text(cells)}onto {look.text(reference.title)} ({reference.n_cells:,} cells).</p>'
        )
        self._methods.param.update(rows=method_rows(session, reference), values=list(session.methods))
        self._about.object = f'<p class="soft small">{look.text(advice(session, reference))}</p>'
        self._scorecard.object = scorecard_html(reference.card.get("evaluation"))
        self._scorecard_box.visible = bool(self._scorecard.object)
        self._further.rows = further_rows(session, reference)
        self._further_box.visible = bool(self._further.rows)
        self._draw_start()
        self._draw_jobs()

    def _draw_start(self) -> None:
        session = self.session
        todo = session.to_do
        again = bool(todo) and all(session.is_answered(spec) for spec in todo)
        self._start.disabled = not todo
        # once all is mapped the way on is the one that stands out
        self._start.param.update(
            label="Map again" if again else "Start mapping", variant="outlined" if again else "contained"
        )
        hint = start_words(session)
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

    def _draw_jobs(self) -> None:
        session = self.session
        self._run.visible = bool(session.jobs)
        away = "You may close this page; the work goes on, and its address brings you back."
        self._away.object = f'<p class="soft small">{away}</p>' if session.under_way else ""
        self._standing.display(session.standing("result"))
        self._outcome.object = outcome_facts(session.outcome) if session.outcome else ""
        self._explore.visible = self._judge.visible = session.outcome is not None


_COLUMNS = [
    {"key": "title", "label": "Model", "width": "34%"},
    {"key": "gives", "label": "Gives, beside labels and doubt", "width": "16%"},
    {"key": "genes", "label": "Genes found", "align": "right", "help": told("gene overlap")},
    {"key": "macro_f1", "label": "Macro-F1", "align": "right", "help": told("macro-F1")},
    {"key": "accuracy", "label": "Accuracy", "align": "right", "help": told("accuracy")},
    {"key": "calibration", "label": "Calibration error", "align": "right", "help": told("calibration error")},
    {"key": "novelty", "label": "Novelty AUROC", "align": "right", "help": told("novelty AUROC")},
    {"key": "time", "label": "Time here", "align": "right"},
    {"key": "memory", "label": "Memory", "align": "right"},
]


def advice(session: Session, reference: Reference) -> str:
    """Which model is recommended and why, and what the figures of the table are."""
    best, level = choices.recommended(reference), reference.levels[0]
    score = choices.macro_f1(reference, best)
    why = (
        f"{title_of(best)} is recommended: on reference batches that it was not trained on it told {level} best "
        f"(macro-F1 {score:.3f}). Scores of all models are of such batches, all their cells taken together."
        if score >= 0
        else "No model of this reference was measured on left-out batches, so none is recommended."
    )
    cells = f"{session.preflight.inspection.n_cells:,} cells" if session.preflight is not None else "1,000 cells"
    return (
        f"{why} Several models may map the same cells; where they agree, labels are surer. Time and memory are rough "
        f"estimates for {cells} on this machine's {library.device()}, in the ways chosen under How they map."
    )


def start_words(session: Session) -> str:
    """What Start would do, and what is to be known before."""
    todo, reference, found = session.to_do, session.reference, session.preflight
    if reference is None or session.spec is None or found is None:
        return ""
    if not session.methods:
        return "Choose at least one model."
    if not todo:
        return "The models chosen are at work." if session.under_way else ""
    n = found.inspection.n_cells
    total = sum(estimates.seconds(spec.method, session.way_of(spec.method), n, reference.n_cells) for spec in todo)
    names = ", ".join(f"{title_of(spec.method)}{how(spec)}" for spec in todo)
    after = {name: job for name, job in session.jobs.items() if job.state is JobState.DONE}
    changed = any(spec.method in after and not session.is_answered(spec) for spec in todo)
    told = [f"{names}: {estimates.about(total)}{' in all' * (len(todo) > 1)}."]
    if changed:
        told.append("The choices have changed since the last run.")
    failed = [name for name, job in session.jobs.items() if job.state is JobState.FAILED and name in session.methods]
    if failed:
        told.append(f"{', '.join(map(title_of, failed))} failed, see below.")
    return " ".join(filter(None, (*told, refit_words(session))))


def method_rows(session: Session, reference: Reference) -> list[dict[str, str]]:
    """One row a method of the reference; scores speak of the level in view."""
    rows = []
    best = choices.recommended(reference)
    n = session.preflight.inspection.n_cells if session.preflight else 1000
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
            "badge": "recommended" if name == best and choices.macro_f1(reference, name) >= 0 else "",
            "note": card.summary if card else "Not known to this program.",
            "disabled": "" if card else "Update Atlas Explorer to use this model.",
            "gives": ", ".join(card.gives) if card else "",
            "genes": _genes_found(covered, told, shared),
            "accuracy": _score(scores.get("accuracy")),
            "macro_f1": _score(scores.get("macro_f1")),
            "calibration": _score(scores.get("calibration_error")),
            "novelty": _score(None if shared else novelty_auroc(reference, name)),
            "time": estimates.about(estimates.seconds(name, session.way_of(name), n, reference.n_cells)),
            "memory": estimates.about_bytes(estimates.memory(session.way_of(name), n, reference.n_cells)),
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


def novelty_auroc(reference: Reference, method: str) -> float | None:
    """How well cells of left-out types stood out in the reference's evaluation, in [0, 1]; `None` without one."""
    contenders = reference.card.get("evaluation", {}).get("contenders", {})
    value = contenders.get(method, {}).get("auroc_stretch")
    return None if value is None else float(value)


def _score(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def outcome_facts(outcome: Outcome) -> str:
    """The figures of a finished mapping, as HTML."""
    result = outcome.result
    first = result.labels.first
    top = np.argsort(-np.bincount(first.codes[~first.unknown], minlength=len(first.classes)))[:3]
    counts = np.bincount(first.codes[~first.unknown], minlength=len(first.classes))
    rows = [
        ("Result in view", title_of(result.method)),
        ("Cells", f"{result.n_cells:,}"),
        *([("Verdict", result.verdict.summary)] if result.verdict is not None else []),
        ("Without a label", f"{int(first.unknown.sum()):,} ({look.share(first.unknown.sum(), result.n_cells)}), "
                            f"too novel or less sure than {first.threshold:.2f}"),
        ("Median confidence", f"{np.median(first.confidence):.2f} at {first.level}"),
        *_of_way(outcome),
        *_of_panel(outcome),
        ("Most frequent", ", ".join(f"{first.classes[i]} {counts[i]:,}" for i in top if counts[i])),
        ("Took", took_words(sum(result.provenance.seconds.values()))),
    ]  # fmt: skip
    return look.facts(rows)


def _of_way(outcome: Outcome) -> list[tuple[str, str]]:
    words = how_words(outcome.result.method, outcome.result.provenance.options)
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
