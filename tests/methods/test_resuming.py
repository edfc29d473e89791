"""Every method, stopped in the middle of its training, goes on to the very weights it would have had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from planted import SYMBOLS, aligned, codes, planted

from explorer.errors import Cancelled
from explorer.methods import METHODS
from explorer.methods.base import Config, Training
from explorer.networks import checkpoints
from explorer.progress import Progress, Report

QUICK = {"epochs": 6, "batch_size": 40}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "concerto": ("concerto", {"patience": 3}),
    "concerto, then its labels": ("concerto", {"supervised": True, "taught_epochs": 4}),
    "concord": ("concord", {"patience": 3}),
    "concord by neighbours, then a classifier": ("concord", {"sampler": "knn", "warmup_epochs": 1, "frozen": True}),
    "scpoli": ("scpoli", {"pretraining": 0.5}),
    "kida": ("kida", {}),
    "bascvi": ("bascvi", {}),
    "bascvi, stopped early": ("bascvi", {"patience": 3}),
}


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)


@pytest.fixture(scope="module")
def training() -> Training:
    """Some planted cells of two label levels."""
    cells = planted(cells=16)
    labels = {"cell_type": codes(cells), "lineage": codes(cells, "lineage")}
    return Training(aligned(cells), SYMBOLS, labels, codes(cells, "batch"))


class Fit:
    """One fit of a method, with what it left and what it told."""

    def __init__(self, method: str, config: Config, training: Training, folder: Path) -> None:
        self.method, self.config, self.training, self.folder = METHODS[method], config, training, folder
        self.heard: list[Report] = []

    def run(self, checkpoint: Path | None = None, stop: float = 2.0) -> dict[str, bytes]:
        """Fit, unless it is cancelled at the share `stop`; the files of the trained method."""
        progress = Progress.to(self.heard.append, lambda: bool(self.heard) and self.heard[-1].fraction >= stop)
        device = torch.device("cpu")
        made = self.method.fit(self.training, self.config, device=device, progress=progress, checkpoint=checkpoint)
        saved = self.folder / "saved"
        saved.mkdir(exist_ok=True)
        made.save(saved)
        return {path.name: path.read_bytes() for path in sorted(saved.iterdir())}


@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("stop", [0.4, 0.85], ids="stopped at {}".format)
def test_it_ends_with_the_same_weights(case: str, stop: float, training: Training, tmp_path: Path) -> None:
    method, changes = SETTINGS[case]
    config = replace(METHODS[method].config_type.named("balanced", 3), **{**QUICK, **changes})
    expected = Fit(method, config, training, tmp_path).run()
    kept = tmp_path / "unfinished"
    with pytest.raises(Cancelled):
        Fit(method, config, training, tmp_path).run(kept, stop)
    second = Fit(method, config, training, tmp_path)
    assert second.run(kept) == expected
    assert "oing on from epoch" in " ".join(report.stage for report in second.heard)
    assert second.heard[0].fraction > stop / 2
    assert second.heard[-1].fraction == 1.0


def test_other_cells_begin_anew(training: Training, tmp_path: Path) -> None:
    config = replace(METHODS["kida"].config_type.named("balanced"), epochs=2)
    Fit("kida", config, training, tmp_path).run(tmp_path / "unfinished")
    labels = {"cell_type": training.labels["cell_type"].copy(), "lineage": training.labels["lineage"]}
    labels["cell_type"][0] = (labels["cell_type"][0] + 1) % 4
    changed = replace(training, labels=labels)
    second = Fit("kida", config, changed, tmp_path)
    assert second.run(tmp_path / "unfinished") == Fit("kida", config, changed, tmp_path).run()
    assert second.heard[0].fraction == 0.0
