"""How sure is sure enough: confidence with the threshold, what it costs and buys, and novelty beside it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from numpy.typing import NDArray

from components.small_charts import Curve, bars, curves
from components.threshold_histogram import ThresholdHistogram
from explorer.app import look
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.app.words import about
from explorer.beside import Signal
from explorer.doubt.examined import Examined
from explorer.doubt.risk import at_threshold, risk_coverage, threshold_for
from explorer.doubt.trade import estimate_note
from explorer.flow import UNKNOWN_CONFIDENCE, LevelLabels

BINS = 20
FAR = 0.99  # novelty of cells that lie farther than 99 % of left-out ones
WIDE = 440
STEPS = np.linspace(0, 1, 101).round(2)
WANTED = (0.95, 0.98, 0.99)  # shares of labels that are right, offered at a click


class ThresholdView(View):
    """Two cards: confidence with the threshold, and novelty."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._histogram = ThresholdHistogram(least=UNKNOWN_CONFIDENCE, width=WIDE, margin=(0, 0, 0, 40))
        self._histogram.param.watch(self._choose, "threshold")
        self._said = look.html(margin=(6, 0, 0, 0))
        self._curve = look.html(margin=(10, 0, 0, 0))
        self._note = look.html(margin=(6, 0, 0, 0))
        self._offers = pn.Row(margin=(8, 0, 0, 0))
        self._novelty = look.html()
        card: dict[str, Any] = {"styles": look.CARD, "margin": 0, "sizing_mode": "stretch_width", "align": "auto"}
        confidence = pn.Column(
            look.html(f"<h2>Confidence, and how sure is sure enough{about('confidence')}</h2>", margin=(0, 0, 4, 0)),
            look.html(f'<p class="soft small">{_ABOUT_CONFIDENCE}</p>', margin=(0, 0, 10, 0)),
            self._histogram, self._said, self._offers, self._curve, self._note, **card,
        )  # fmt: skip
        novelty = pn.Column(
            look.html(f"<h2>Novelty{about('novelty')}</h2>", margin=(0, 0, 4, 0)),
            look.html(f'<p class="soft small">{_ABOUT_NOVELTY}</p>', margin=(0, 0, 10, 0)), self._novelty, **card,
        )  # fmt: skip
        self.panel = pn.Row(confidence, pn.Spacer(width=16), novelty, sizing_mode="stretch_width",
                            margin=(0, 0, 16, 0))  # fmt: skip
        self.watch(self._draw, ["outcome", "level", "examined", "threshold", "step"])
        self.watch(self._tell, ["outcome", "level", "examined", "status"])
        self._draw()
        self._tell()

    def _choose(self, event: Any) -> None:
        if event.new != self.session.threshold:
            self.session.choose_threshold(event.new)

    def _take(self, threshold: float, _: Any) -> None:
        self.session.choose_threshold(threshold)

    def _draw(self) -> None:
        session = self.session
        labels, trade = session.labels_at(session.level), session.trade(session.level)
        if labels is None or trade is None or session.step != "quality":  # drawn when she comes back
            return
        examined: Examined | None = session.examined.get(session.level)
        self._histogram.threshold = session.threshold
        self._histogram.display(labels.confidence, lambda *_: "")
        self._said.object = f'<p>{look.text(trade.sentence)}</p>'
        self._curve.object = curve_html(labels, examined, session.threshold) if examined is not None else ""
        self._novelty.object = novelty_html(labels)
        self._offer(examined)

    def _tell(self) -> None:
        """What the estimate rests on, or why there is none."""
        session = self.session
        verdict = session.outcome.result.verdict if session.outcome is not None else None
        is_bad = verdict is not None and verdict.signal is Signal.BAD
        told = session.standing("examined").text or estimate_note(session.examined.get(session.level), is_bad)
        self._note.object = f'<p class="soft small">{look.text(told)}</p>'

    def _offer(self, examined: Examined | None) -> None:
        """Thresholds that give a wanted accuracy, one click away."""
        wanted = offers(examined)
        if [button.name for button in self._offers] == [name for name, _ in wanted]:
            return
        buttons = []
        for name, threshold in wanted:
            button = pmui.Button(label=name, name=name, variant="outlined", size="small", margin=(0, 8, 0, 0))
            button.on_click(partial(self._take, threshold))
            buttons.append(button)
        self._offers.objects = buttons


def offers(examined: Examined | None) -> list[tuple[str, float]]:
    """The reference's own rule, and the lowest thresholds at which left-out cells are right so often."""
    found = [(f"Reference's rule, {UNKNOWN_CONFIDENCE:.2f}", UNKNOWN_CONFIDENCE)]
    if examined is None:
        return found
    already = at_threshold(examined, UNKNOWN_CONFIDENCE).accuracy
    for wanted in WANTED:
        to = threshold_for(examined, wanted)
        if to is not None and already < wanted:
            found.append((f"{100 * wanted:.0f} % right, {to:.2f}", to))
    return found


def curve_html(labels: LevelLabels, examined: Examined, threshold: float) -> str:
    """Cells kept of the query, and accuracy of the left-out cells kept, over all thresholds."""
    others = labels.unknown & (labels.confidence >= labels.threshold)
    kept = _at_least(labels.confidence[~others], STEPS) * (~others).mean()
    found = risk_coverage(examined)
    told = f"Cells kept and estimated accuracy at each threshold; the line is at {threshold:.2f}."
    lines = [
        Curve("estimated accuracy of those kept", found["threshold"], found["accuracy"]),
        Curve("your cells kept", STEPS, kept, dashed=True),
    ]
    return curves(lines, (0.0, 1.0), told, at=threshold)


def _at_least(values: NDArray[np.floating], thresholds: NDArray[np.floating]) -> NDArray[np.float64]:
    ranked = np.sort(values)
    return 1 - np.searchsorted(ranked, thresholds, side="left") / max(1, len(ranked))


def novelty_html(labels: LevelLabels) -> str:
    """Novelty of the query beside that of the reference's own left-out cells, which is even by definition."""
    n = len(labels.novelty)
    shares = np.histogram(labels.novelty, bins=BINS, range=(0, 1))[0] / max(1, n)
    far = int((labels.novelty > FAR).sum())
    said = (
        f"{far:,} of {n:,} cells ({look.share(far, n)}) lie farther from their label than 99 % of the reference's "
        "left-out cells of that label; 1 % would by chance."
    )
    picture = bars(shares.tolist(), (0.0, 1.0), f"Novelty. {said}", expected=1 / BINS)
    note = (
        "Broken line: the reference's own left-out cells, which are spread evenly. Bars piled up on the right are "
        "cells that the reference lacks."
    )
    return f'{picture}<p class="more">{said}</p><p class="soft small">{note}</p>{doubts_html(labels)}'


def doubts_html(labels: LevelLabels) -> str:
    """The two kinds of doubt crossed, and what each says of a cell, as HTML."""
    # by how many times as far, since novelty cannot reach 0.99 of a label with few left-out cells
    sure, far = labels.confidence >= labels.threshold, labels.stretch > 1
    told = (
        ("Sure, and near", sure & ~far, "nothing of its own speaks against the label"),
        ("Unsure, but near", ~sure & ~far, "between known labels: see the prediction sets"),
        ("Sure, but far", sure & far, "like its label, in a state that the reference lacks, or a type it lacks"),
        ("Unsure, and far", ~sure & far, "nothing in the reference fits"),
    )
    rows = "".join(
        f'<tr><td>{name}</td><td class="right">{int(cells.sum()):,}</td>'
        f'<td class="right">{look.share(int(cells.sum()), len(sure))}</td><td class="soft apart">{says}</td></tr>'
        for name, cells, says in told
    )
    return (
        '<h3 class="more">Two kinds of doubt</h3><table class="plain doubts"><thead><tr><th></th>'
        '<th class="right">cells</th><th class="right">share</th><th class="apart">says</th></tr></thead>'
        f'<tbody>{rows}</tbody></table>'
        '<p class="soft small">Far: stranger to its label than 99 % of all left-out cells are to theirs. The bars '
        "above compare a cell with those of its own label alone, so that the counts differ.</p>"
    )


_ABOUT_CONFIDENCE = (
    "Probability of a cell's label, calibrated on left-out reference batches. Drag the line, or use the arrow keys: "
    "cells left of it are called unknown on every screen and in every file."
)
_ABOUT_NOVELTY = (
    "How far a cell lies from its label: 0.99 is farther than 99 % of the reference's own left-out cells of that label "
    "(1 minus a conformal p-value)."
)
