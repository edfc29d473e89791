"""Training a further method for a reference that is not to be changed, and a reference of one's own cells."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.app.stored import references
from explorer.app.tab.training import one_more
from explorer.errors import AtlasError, Cancelled, OptionsProblem
from explorer.flow import Reference
from explorer.jobs.building import build, minutes
from explorer.jobs.specs import BuildSpec
from explorer.progress import Progress
from explorer.reference import has_model_of, open_reference
from explorer.settings import settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of its own, and one reference that this server was given: a copy, to see that it stays."""
    monkeypatch.setenv("ATLAS_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ATLAS_EXPLORER_REFERENCES", str(tmp_path / "given" / "planted.atlas"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def given(home: Path, scpoli_reference: Reference) -> Reference:
    """The reference that this server was given."""
    return open_reference(shutil.copytree(scpoli_reference.folder, home / "given" / "planted.atlas"))


def grown(reference: Reference, method: str) -> Path:
    """The reference as it would lie in the home folder with a further method, without training one."""
    place = references.place_for(reference.folder)
    shutil.copytree(reference.folder, place)
    card = place / "card.json"
    card.write_text(card.read_text().replace('"methods": {', f'"methods": {{"{method}": {{}},', 1))
    return place


def test_a_reference_with_further_methods_is_offered_once(given: Reference) -> None:
    assert [listed.folder for listed in references.listed()] == [given.folder]
    place = grown(given, "kida")
    (listed,) = references.listed()
    assert (listed.folder, set(listed.methods)) == (place, {"scpoli", "kida"})
    assert references.current(given.folder) == references.current(place) == references.place_for(place) == place


def test_references_of_one_title_are_told_apart(given: Reference, home: Path) -> None:
    other = settings().own_references / "other.atlas"
    shutil.copytree(given.folder, other)
    card = other / "card.json"
    card.write_text(card.read_text().replace(given.card["files"]["cells.h5ad"], "0" * 64))
    titles = [listed.title for listed in references.listed()]
    assert len(titles) == len(set(titles)) == 2
    assert titles[1] == f"{given.title} (other)"


def test_what_cannot_be_trained_leaves_no_copy(given: Reference) -> None:
    spec = one_more(given, "astrology")
    with pytest.raises(OptionsProblem, match="astrology"):
        build(spec, Progress())
    assert not Path(spec.out).exists()
    assert references.current(given.folder) == given.folder
    with pytest.raises(OptionsProblem, match="No method"):
        build(replace(spec, methods=()), Progress())


def test_a_training_that_is_stopped_leaves_no_copy(given: Reference) -> None:
    spec = one_more(given, "kida")
    with pytest.raises(Cancelled):
        build(spec, Progress.to(lambda _: None, lambda: True))
    assert not Path(spec.out).exists()


def test_a_file_that_cannot_become_a_reference_says_why(home: Path, planted_file: Path) -> None:
    spec = BuildSpec(str(home / "own.atlas"), ("kida",), source=str(planted_file), labels=("nonsense",))
    with pytest.raises(AtlasError, match="nonsense"):
        build(spec, Progress())
    assert not (home / "own.atlas").exists()


def test_models_stay_the_same_beside_a_further_one(given: Reference) -> None:
    files = given.card["files"]
    more = {**files, "methods/kida/weights.safetensors": "0123"}
    card = {**given.card, "methods": {**given.card["methods"], "kida": {}}, "files": more}
    after = replace(given, card=card, checksum="another")
    assert has_model_of(given, "scpoli", given.checksum)
    assert has_model_of(after, "scpoli", given.checksum)
    assert not has_model_of(after, "kida", given.checksum)
    assert not has_model_of(after, "scpoli", "0123")


def test_more_cells_and_more_batches_take_longer() -> None:
    assert minutes(100, 2) == 1
    assert minutes(50_000, 4) > minutes(5_000, 4) > 1
    assert minutes(50_000, 1) == minutes(50_000, 40) > minutes(50_000, 2)
