"""What the browser answers: an echo of what it was shown before, or a person's choice."""

from __future__ import annotations

import pytest

from components import radio
from components.radio import Radio


def answered(shown: Radio, value: str) -> None:
    """What Panel does when the browser sends a value."""
    shown._process_events({"value": value})


def test_an_echo_of_what_was_shown_before_is_no_choice() -> None:
    shown = Radio(options=["label", "confidence", "novelty"], value="label")
    shown.value = "confidence"
    answered(shown, "label")
    assert shown.value == "confidence"


def test_a_choice_is_taken() -> None:
    shown = Radio(options=["label", "confidence", "novelty"], value="label")
    answered(shown, "confidence")
    assert shown.value == "confidence"
    answered(shown, "label")  # at once back again: the program changed nothing
    assert shown.value == "label"
    shown.value = "confidence"
    answered(shown, "label")  # who has chosen before is no page that builds itself up
    assert shown.value == "label"


def test_later_on_the_value_before_may_be_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Radio(options=["label", "confidence"], value="label")
    shown.value = "confidence"
    monkeypatch.setattr(radio, "ECHO_SECONDS", 0.0)
    answered(shown, "label")
    assert shown.value == "label"
