"""Single settings of a method, from a shell and from Python: what is taken, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planted import planted

from explorer.__main__ import PROBLEM, main
from explorer.building.fitting import build_reference
from explorer.building.tuning import assignments, tuned
from explorer.errors import OptionsProblem
from explorer.methods import METHODS
from explorer.methods.concord import ConcordConfig

CONFIG = ConcordConfig.named("balanced", 7)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "40", 40),
        ("epochs", 40, 40),
        ("n_genes", "1e3", 1000),
        ("lr", "3e-4", 3e-4),
        ("lr", 1, 1.0),
        ("gene_penalty", "-1", -1.0),
        ("frozen", "True", True),
        ("frozen", False, False),
        ("sampler", "knn", "knn"),
    ],
    ids=str,
)
def test_values_are_read_as_what_their_name_asks_for(name: str, text: str, value: object) -> None:
    changed = tuned(CONFIG, "CONCORD", {name: text})
    assert getattr(changed, name) == value
    assert type(getattr(changed, name)) is type(value)
    assert {**changed.as_dict(), name: None} == {**CONFIG.as_dict(), name: None}, "the rest stays"


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("epoch", "40", r"CONCORD has no setting 'epoch'; it has: n_genes, n_hidden, .*epochs, .*penalty_norm\."),
        ("words", "a", "CONCORD has no setting 'words'"),
        ("epochs", "many", "CONCORD's setting 'epochs' is a whole number, 0 or more; not 'many'"),
        ("epochs", "2.5", "a whole number, 0 or more; not '2.5'"),
        ("epochs", "-1", "a whole number, 0 or more; not '-1'"),
        ("epochs", True, "a whole number, 0 or more; not True"),
        ("epochs", "", "a whole number, 0 or more; not ''"),
        ("lr", "nan", "CONCORD's setting 'lr' is a number; not 'nan'"),
        ("lr", "fast", "a number; not 'fast'"),
        ("frozen", "maybe", "true or false; not 'maybe'"),
        ("frozen", 1, "true or false; not 1"),
        ("sampler", "best", "sampler is one of hcl, knn, naive; not 'best'"),
        ("sampler", 1, "a word; not 1"),
        ("seed", "1", "it has the option --seed"),
        ("preset", "paper", "it has the option --preset"),
    ],
    ids=str,
)
def test_what_cannot_be_set(name: str, given: object, told: str) -> None:
    with pytest.raises(OptionsProblem, match=told):
        tuned(CONFIG, "CONCORD", {name: given})


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_every_method_can_be_set_to_what_it_is(method: str) -> None:
    config = METHODS[method].config_type.named("balanced")
    values = {name: value for name, value in config.as_dict().items() if not isinstance(value, tuple)}
    del values["preset"], values["seed"]
    assert tuned(config, "", values) == config
    assert tuned(config, "", {name: str(value) for name, value in values.items()}) == config


@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method, of in METHODS.items() for name in of.config_type.words], ids=str
)
def test_words_that_there_are_not(method: str, name: str) -> None:
    with pytest.raises(OptionsProblem, match=f"{name} is one of .*; not 'other'"):
        METHODS[method].config_type(**{name: "other"})


def test_gene_sets_have_an_option_of_their_own() -> None:
    with pytest.raises(OptionsProblem, match="it has the option --gene-sets"):
        tuned(METHODS["kida"].config_type(), "KIDA", {"collections": "go_bp"})


def test_assignments() -> None:
    assert assignments(["a=1", " b = x=y ", "a=2", "c="]) == {"a": "2", "b": "x=y", "c": ""}
    for wrong in ("epochs", "=40", ""):
        with pytest.raises(OptionsProblem, match=r"--set takes NAME=VALUE, such as epochs=40; not"):
            assignments([wrong])


def test_they_are_kept_with_the_model(tmp_path: Path) -> None:
    planted(cells=15).write_h5ad(tmp_path / "cells.h5ad")
    settings = {"epochs": 2, "n_latent": "12"}
    made = build_reference(
        tmp_path / "cells.h5ad", tmp_path / "out.atlas", labels=("cell_type",), batch="batch", settings=settings,
        device="cpu",
    )  # fmt: skip
    kept = json.loads((made.folder / "methods" / "concord" / "config.json").read_text())["config"]
    assert (kept["epochs"], kept["n_latent"], kept["preset"]) == (2, 12, "balanced")


def test_the_shell_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(cells=5).write_h5ad(tmp_path / "cells.h5ad")
    words = ("build", str(tmp_path / "cells.h5ad"), str(tmp_path / "out.atlas"), "--labels", "cell_type")
    assert main([*words, "--set", "epoch=40"]) == PROBLEM
    assert "CONCORD has no setting 'epoch'; it has: n_genes," in capsys.readouterr().err
    assert not (tmp_path / "out.atlas").exists()
