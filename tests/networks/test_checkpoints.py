"""A training that was stopped goes on from its checkpoint to the very weights it would have had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn

from explorer.errors import Cancelled
from explorer.networks import checkpoints
from explorer.networks.checkpoints import Checkpoint, digest, read_whole, write_whole
from explorer.networks.training import TrainingLog, train, warmup_cosine
from explorer.progress import Progress, Report

EPOCHS, MINIBATCHES = 6, 5


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)


class Noisy:
    """A training that draws from every kind of generator, remembers an array, and has a network that learns along.

    Parameters
    ----------
    stop
        Step before which it is cancelled.
    checks
        Validation losses by epoch.
    """

    def __init__(self, file: Path | None, *, of: str = "cells", stop: int | None = None, checks: bool = False) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))
        self.other = nn.Linear(3, 1)
        self.rng, self.noise = np.random.default_rng(1), torch.Generator().manual_seed(2)
        self.cells = torch.randn(40, 3)
        self.found: dict[str, np.ndarray] = {}
        self.first, self.steps = -1, 0
        self.heard: list[Report] = []
        progress = Progress.to(self.heard.append, lambda: stop is not None and self.steps >= stop)
        lows = [5.0, 3.0, 4.0, 4.5, 2.5, 3.5]
        self.train = lambda: train(
            self.network,
            self.minibatches,
            self.loss,
            epochs=EPOCHS,
            lr=0.05,
            schedule=warmup_cosine,
            progress=progress.part("Training", 0.0, 1.0),
            check=(lambda: lows[self.epoch]) if checks else None,
            others=[(self.other, 0.1)],
            checkpoint=None if file is None else Checkpoint(file, of),
            generators=(self.rng, self.noise),
            found=self.found,
        )

    def minibatches(self, epoch: int) -> list[np.ndarray]:
        self.epoch = epoch
        if self.first < 0:
            self.first = epoch
        if epoch == 1:
            self.found["order"] = self.rng.permutation(40).astype(np.int32)
        order = self.found.get("order", np.arange(40))
        return list(order[self.rng.permutation(40)].reshape(MINIBATCHES, 8))

    def loss(self, which: Tensor) -> Tensor:
        self.steps += 1
        x = self.cells[which]
        x = x + 0.1 * torch.randn(x.shape, generator=self.noise)
        return (self.network(x) - self.other(x) - x.sum(1, keepdim=True)).square().mean()

    def done(self) -> TrainingLog:
        return self.train()

    def stopped(self) -> None:
        with pytest.raises(Cancelled):
            self.train()

    @property
    def weights(self) -> list[bytes]:
        networks = (self.network, self.other)
        return [value.numpy().tobytes() for network in networks for value in network.state_dict().values()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the checkpoint will be."""
    return tmp_path / "made" / "training.safetensors"


@pytest.mark.parametrize("checks", [False, True], ids=["to the end", "with early stop"])
@pytest.mark.parametrize("stop", [5, 13, 17, 28], ids="before step {}".format)
def test_it_ends_with_the_same_weights(file: Path, stop: int, checks: bool) -> None:
    """Stopped within an epoch: that epoch is begun anew."""
    whole = Noisy(None, checks=checks)
    expected = whole.done()
    Noisy(file, stop=stop, checks=checks).stopped()
    second = Noisy(file, checks=checks)
    assert second.done() == expected
    assert second.first == stop // MINIBATCHES
    assert second.weights == whole.weights
    assert torch.rand(1) == _after(checks), "what follows draws the same numbers"
    assert second.heard[0].stage == f"Training, going on from epoch {stop // MINIBATCHES + 1} of {EPOCHS}"
    assert second.heard[0].fraction == pytest.approx(stop // MINIBATCHES / EPOCHS)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def _after(checks: bool) -> Tensor:
    Noisy(None, checks=checks).done()
    return torch.rand(1)


def test_stopped_again_and_again(file: Path) -> None:
    whole = Noisy(None)
    whole.done()
    for stop in (7, 7, 7, 7):
        Noisy(file, stop=stop).stopped()
    last = Noisy(file)
    last.done()
    assert last.first == 4
    assert last.weights == whole.weights


def test_one_that_had_ended_only_hands_out_its_weights(file: Path) -> None:
    first = Noisy(file, checks=True)
    log = first.done()
    second = Noisy(file, checks=True)
    assert second.done() == log
    assert (second.steps, second.heard[-1].fraction) == (0, 1.0)
    assert second.weights == first.weights


def test_what_took_less_than_ten_seconds_is_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 10.0)
    Noisy(file).done()
    assert not file.parent.exists()


class TestOfNoUse:
    def is_begun_anew(self, file: Path, of: str = "cells") -> None:
        second = Noisy(file, of=of)
        second.done()
        assert second.first == 0
        whole = Noisy(None)
        whole.done()
        assert second.weights == whole.weights
        third = Noisy(file, of=of)
        third.done()
        assert third.steps == 0, "it was replaced"

    def test_of_other_cells(self, file: Path) -> None:
        Noisy(file, stop=17).stopped()
        self.is_begun_anew(file, "other cells")

    def test_of_another_network(self, file: Path) -> None:
        first = Noisy(file, stop=17)
        with torch.no_grad():
            first.network[0].bias += 1
        first.stopped()
        self.is_begun_anew(file)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99], ids="cut at {}".format)
    def test_cut_short(self, file: Path, share: float) -> None:
        Noisy(file, stop=17).stopped()
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        self.is_begun_anew(file)

    @pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.999], ids="wrong at {}".format)
    def test_a_wrong_byte(self, file: Path, share: float) -> None:
        Noisy(file, stop=17).stopped()
        damaged = bytearray(file.read_bytes())
        damaged[int(share * len(damaged))] ^= 1
        file.write_bytes(damaged)
        self.is_begun_anew(file)


def test_a_folder_that_cannot_be_written_to_stops_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    noisy = Noisy(tmp_path / "taken" / "training.safetensors")
    assert noisy.done().epochs == EPOCHS
    assert "a stop would cost the work done so far" in caplog.text


def test_a_file_is_read_only_as_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "kept.safetensors"
    write_whole(file, {"x": torch.arange(3)}, "this", {"left": [1.5]})
    assert read_whole(file, "that") is None
    kept = read_whole(file, "this")
    assert kept is not None
    assert (kept[0]["x"].tolist(), kept[1]) == ([0, 1, 2], {"left": [1.5]})


def test_a_digest_tells_values_apart() -> None:
    values = [
        np.arange(4), np.arange(4.0), np.arange(4).reshape(2, 2), torch.arange(5), [0, 1, 2, 3], [[0], 1, 2, 3],
        ["a", "b"], ["ab"], {"a": 1}, {"a": "1"}, {"b": 1}, None, True, 1.0, Checkpoint(Path("a"), "b"),
        np.array(["a", None], object), sparse.csr_matrix(np.eye(2)), sparse.csr_matrix(np.eye(2)[::-1]), b"",
    ]  # fmt: skip
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a", "b") != digest("ab")
