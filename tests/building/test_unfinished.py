"""A build that was stopped goes on where it was, and ends with the bundle that it would have made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import planted

from explorer.building.fitting import build_reference
from explorer.building.unfinished import Unfinished
from explorer.doubt.calibration import HeldOut
from explorer.errors import Cancelled
from explorer.flow import Reference
from explorer.networks import checkpoints
from explorer.progress import Progress, Report


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted cells of three batches, a fold each."""
    file = tmp_path_factory.mktemp("planted") / "source.h5ad"
    planted(cells=15).write_h5ad(file)
    return file


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a build that is not stopped ends with."""
    return state(Build(source, tmp_path_factory.mktemp("whole") / "out.atlas").run())


class Build:
    """Builds of one bundle, and what the last of them told."""

    def __init__(self, source: Path, out: Path) -> None:
        self.source, self.out = source, out
        self.unfinished = out.with_name(out.name + ".unfinished")
        self.heard: list[Report] = []

    def run(self, stop: Callable[[Report], bool] | None = None, **options: Any) -> Reference:
        self.heard = []
        cancelled = (lambda: any(stop(report) for report in self.heard)) if stop else (lambda: False)
        settings: dict[str, Any] = {"labels": ("cell_type", "lineage"), "batch": "batch", "preset": "paper"}
        progress = Progress.to(self.heard.append, cancelled)
        return build_reference(self.source, self.out, device="cpu", progress=progress, **{**settings, **options})

    def stop(self, stop: Callable[[Report], bool], **options: Any) -> None:
        with pytest.raises(Cancelled):
            self.run(stop, **options)

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(report.stage for report in self.heard))


def state(reference: Reference) -> dict[str, str]:
    """Every file of a bundle, but of the card only the scores."""
    files = (path for path in sorted(reference.folder.rglob("*")) if path.is_file() and path.name != "card.json")
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.suffix != ".h5ad"}
    scores = {name: [of["scores"], of["genes"]] for name, of in reference.card["methods"].items()}
    return {**found, "scores": json.dumps(scores)}


SECOND = "Mapping left-out batches (2 of 3)"


@pytest.mark.parametrize(
    ("stage", "share", "first"),
    [
        (SECOND, 0.46, f"{SECOND}, going on from epoch"),
        ("Training on all cells", 0.87, "Training on all cells, going on from epoch"),
        ("Drawing the picture", 0.9, "Training on all cells"),
    ],
    ids=["in the second fold", "in the last training", "after it"],
)
def test_it_ends_with_the_same_bundle(
    source: Path, whole: dict[str, str], tmp_path: Path, stage: str, share: float, first: str
) -> None:
    build = Build(source, tmp_path / "out.atlas")
    build.stop(lambda report: report.stage == stage and report.fraction >= share)
    assert build.unfinished.is_dir()
    assert state(build.run()) == whole
    assert next(stage for stage in build.stages if stage.startswith(("Mapping", "Training"))).startswith(first)
    assert [path.name for path in tmp_path.iterdir()] == ["out.atlas"]


def test_with_other_settings_it_begins_anew(source: Path, tmp_path: Path) -> None:
    build = Build(source, tmp_path / "out.atlas")
    build.stop(lambda report: report.stage == SECOND)
    build.stop(lambda report: report.stage == SECOND, seed=1)
    assert "Mapping left-out batches (1 of 3)" in build.stages
    build.stop(lambda report: report.stage == SECOND, seed=1)
    assert "Mapping left-out batches (1 of 3)" not in build.stages


def test_what_is_kept_of_folds_is_what_was_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def examined(n: int) -> dict[str, HeldOut]:
        probabilities = {head: rng.random((n, 3), np.float32) for head in ("vote", "linear")}
        codes = rng.integers(0, 3, n).astype(np.int32)
        return {"a level / b": HeldOut(probabilities, codes, rng.permutation(n))}

    by_all, by_rna = [examined(5), examined(0), examined(7)], [examined(4)]
    unfinished = Unfinished(tmp_path / "unfinished", "this")
    assert unfinished.folds() == ([], [])
    unfinished.keep(by_all, by_rna)
    found = unfinished.folds()
    for kept, given in zip(found, (by_all, by_rna), strict=True):
        assert len(kept) == len(given)
        for a, b in zip(kept, given, strict=True):
            np.testing.assert_equal(vars(a["a level / b"]), vars(b["a level / b"]))
    assert Unfinished(tmp_path / "unfinished", "that").folds() == ([], [])
    unfinished.clear()
    assert not list(tmp_path.iterdir())
