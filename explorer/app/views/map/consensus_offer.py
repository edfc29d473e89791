"""What the chosen models will say together, what that has been worth on the reference, and where it is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from explorer.agreement import LEAST_VOICES
from explorer.app import look
from explorer.app.stored import agreeing
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.app.words import about
from explorer.flow import Reference
from explorer.mapping.expression_model import TITLE

CONTENDER = "consensus"  # what an evaluation calls it


class ConsensusOffer(View):
    """A card on Map: who will speak, with what weight of evidence, and the way to the result."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._said = look.html()
        self._see = pmui.Button(label="See where the models agree", variant="outlined", margin=(12, 0, 0, 0))
        self._see.on_click(self._open)
        self.panel = pn.Column(
            look.html(f"<h2>Consensus{about('consensus')}</h2>", margin=(0, 0, 4, 0)), self._said, self._see,
            styles=look.CARD, sizing_mode="stretch_width", margin=(0, 0, 16, 0),
        )  # fmt: skip
        self.watch(self._draw, ["reference", "methods", "outcomes"])
        self._draw()

    def _open(self, _: Any) -> None:
        self.session.open_tab("Models")
        self.session.step = "explore"

    def _draw(self) -> None:
        session = self.session
        reference = session.reference
        self.panel.visible = reference is not None and bool(session.methods)
        if reference is None:
            return
        told = consensus_words(reference, session.methods)
        self._said.object = "".join(f'<p class="small">{look.text(sentence)}</p>' for sentence in told)
        self._see.visible = agreeing.has_enough_voices(session.outcomes, reference)


def consensus_words(reference: Reference, methods: Sequence[str]) -> tuple[str, ...]:
    """Who would speak, what a consensus has been worth, and what the regression on expression is; a sentence or two
    each."""
    has_regression = "expression" in reference.card
    voices = [*(title_of(name) for name in methods), *([_lowered(TITLE)] if has_regression else [])]
    if len(voices) < LEAST_VOICES:
        return ("Choose a second model, and where both agree a label is surer: a consensus is then given as well.",)
    listed = f"{', '.join(voices[:-1])} and {voices[-1]}"
    return tuple(filter(None, (
        f"{listed} label the same cells, and one consensus label a cell is made of their probabilities. It is on "
        "Explore, under Models, with the cells on which they differ.",
        _worth(reference),
        _about_regression(reference) if has_regression else "",
    )))  # fmt: skip


def _worth(reference: Reference) -> str:
    """What the consensus of all methods was worth beside the best of them, on left-out batches."""
    contenders = reference.card.get("evaluation", {}).get("contenders", {})
    alone = {name: contenders[name] for name in reference.methods if name in contenders}
    if CONTENDER not in contenders or not alone:
        return "What a consensus is worth on this reference was not measured: no evaluation lies beside its models."
    pooled, best = contenders[CONTENDER], max(alone, key=lambda name: alone[name]["macro_f1"])
    return (
        "By the scorecard below, with all models and as a mean over left-out batches of the reference, the consensus "
        f"has macro-F1 {pooled['macro_f1']:.3f} and accuracy {pooled['accuracy']:.3f}; {title_of(best)} alone, the "
        f"best of them, {alone[best]['macro_f1']:.3f} and {alone[best]['accuracy']:.3f}."
    )


def _about_regression(reference: Reference) -> str:
    told = reference.card["expression"]
    scores = told.get("scores", {}).get(reference.levels[0], {})
    measured = "With the cells of all left-out batches taken together, as for the models above, its macro-F1 is"
    score = f" {measured} {scores['macro_f1']:.3f}." if "macro_f1" in scores else ""
    genes = f"{told['genes']:,} genes" if "genes" in told else "genes"
    return (
        f"{TITLE} is no model of a latent space: it reads {genes} directly, so that it errs otherwise than the others. "
        f"It needs no mapping of its own, and tells nothing of novelty.{score}"
    )


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
