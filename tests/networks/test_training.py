"""The training loop: its schedules, when it stops, what it keeps, and how soon it listens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.errors import Cancelled
from explorer.networks.training import TrainingLog, decay_per_epoch, linear_until, train, warmup_cosine
from explorer.progress import Progress, Report

SIX = [np.arange(i, i + 4) for i in range(6)]


class One(nn.Module):
    """A single number, pulled towards the cells' own."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    @property
    def at(self) -> float:
        """Where the number is now."""
        return self.value.detach().item()


def pull(network: One) -> Callable[[Tensor], Tensor]:
    return lambda cells: ((network.value - cells.float().mean()) ** 2).sum()


def constant(_step: int, _steps: int, _epoch: int) -> float:
    return 1.0


class TestSchedules:
    def test_published_decay(self) -> None:
        rate = decay_per_epoch(0.97**2)
        expected = {0: 0.01, 1: 0.009409, 5: 0.0073742413, 14: 0.0042619521, 15: 0.0040100707}
        assert {e: 0.01 * rate(0, 1, e) for e in expected} == pytest.approx(expected, abs=1e-10)

    def test_published_straight_line(self) -> None:
        rate = linear_until(450)
        expected = {0: 1e-4, 100: 7.8e-5, 225: 5.05e-5, 449: 1.22e-6, 450: 1e-6, 9999: 1e-6}
        assert {step: 1e-4 * rate(step, 1, 0) for step in expected} == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("steps", [20, 333, 1000], ids=str)
    def test_warm_up_then_cosine_to_one_percent(self, steps: int) -> None:
        rates = [warmup_cosine(step, steps, 0) for step in range(steps + 1)]
        rise = max(1, round(0.05 * steps))
        assert rates[rise - 1] == pytest.approx(1.0)
        assert np.all(np.diff(rates[:rise]) > 0)
        assert np.all(np.diff(rates[rise:]) < 0)
        assert rates[-1] == pytest.approx(0.01)
        middle = rise + (steps - rise) / 2
        assert warmup_cosine(int(middle), steps, 0) == pytest.approx(0.505, abs=0.05)

    @pytest.mark.parametrize("steps", [1, 2, 3], ids=str)
    def test_the_shortest_runs_learn_at_the_full_rate_at_least_once(self, steps: int) -> None:
        assert max(warmup_cosine(step, steps, 0) for step in range(steps)) == 1.0

    def test_the_loop_asks_for_each_step_and_epoch(self) -> None:
        asked = []

        def schedule(step: int, steps: int, epoch: int) -> float:
            asked.append((step, steps, epoch))
            return 1.0

        network = One()
        train(network, lambda _: SIX, pull(network), epochs=2, lr=0.1, schedule=schedule, progress=Progress())
        assert asked == [(step, 12, step // 6) for step in range(12)]


def test_it_learns_and_says_what_happened() -> None:
    network = One()
    log = train(network, lambda _: SIX, pull(network), epochs=60, lr=0.1, schedule=constant, progress=Progress())
    assert network.at == pytest.approx(4.0, abs=0.5), "the mean of the cells' own means"
    assert (log.epochs, log.steps, log.checks) == (60, 360, ())
    assert log.losses[-1] < log.losses[0] / 3
    assert not network.training


def test_what_is_frozen_stays() -> None:
    network = nn.ModuleDict({"free": One(), "frozen": One()})
    network["frozen"].requires_grad_(False)
    total = pull(network["free"])
    train(network, lambda _: SIX, total, epochs=2, lr=0.1, schedule=constant, progress=Progress())
    assert network["free"].at != 0
    assert network["frozen"].at == 0


def test_a_network_that_learns_along_has_a_rate_of_its_own() -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient."""
    first, second = One(), One()

    def loss_of(cells: Tensor) -> Tensor:
        return pull(first)(cells) + pull(second)(cells)

    options = {"lr": 0.01, "schedule": constant, "progress": Progress(), "others": [(second, 0.5)]}
    train(first, lambda _epoch: SIX[1:2], loss_of, epochs=1, **options)
    assert (first.at, second.at) == pytest.approx((0.01, 0.5), rel=1e-4)


def test_the_gradient_of_each_network_is_clipped_by_itself() -> None:
    first, second = One(), One()

    def loss_of(_cells: Tensor) -> Tensor:
        return (100 * first.value + 0.5 * second.value).sum()

    options = {"lr": 0.01, "schedule": constant, "progress": Progress(), "others": [(second, 0.01)], "clip": 1.0}
    train(first, lambda _epoch: SIX[:1], loss_of, epochs=1, **options)
    assert (first.value.grad.item(), second.value.grad.item()) == pytest.approx((1.0, 0.5), rel=1e-4)


class TestEarlyStop:
    def run(self, checks: list[float], patience: int = 3) -> tuple[TrainingLog, list[float], float]:
        """Train with these validation losses; the log, the weight after each epoch, and the weight at the end."""
        network = One()
        after: list[float] = []

        def check() -> float:
            assert not network.training
            after.append(network.at)
            return checks[len(after) - 1]

        log = train(
            network, lambda _: SIX, pull(network), epochs=len(checks), lr=0.1, schedule=constant,
            progress=Progress(), check=check, patience=patience,
        )  # fmt: skip
        return log, after, network.at

    def test_the_best_weights_are_kept(self) -> None:
        log, after, final = self.run([5.0, 1.0, 2.0, 3.0])
        assert log.epochs == 4
        assert final == after[1] != after[3]

    def test_it_stops_after_so_many_epochs_without_improvement(self) -> None:
        log, after, final = self.run([5.0, 1.0, 2.0, 2.0, 2.0, 0.5])
        assert log.checks == (5.0, 1.0, 2.0, 2.0, 2.0)
        assert final == after[1]

    def test_so_are_those_of_networks_that_learn_along(self) -> None:
        first, second = One(), One()
        after: list[tuple[float, float]] = []

        def check() -> float:
            after.append((first.at, second.at))
            return [5.0, 1.0, 2.0][len(after) - 1]

        train(
            first, lambda _: SIX, lambda cells: pull(first)(cells) + pull(second)(cells), epochs=3, lr=0.1,
            schedule=constant, progress=Progress(), check=check, others=[(second, 0.2)],
        )  # fmt: skip
        assert (first.at, second.at) == after[1] != after[2]

    def test_an_improvement_starts_the_count_anew(self) -> None:
        log, after, final = self.run([5.0, 4.0, 4.5, 4.5, 3.0, 4.0, 4.0, 2.0])
        assert log.epochs == 8
        assert final == after[7]

    def test_a_loss_that_is_no_number_is_never_the_best(self) -> None:
        nan = float("nan")
        _, after, final = self.run([nan, 3.0, 4.0, 4.0])
        assert final == after[1]


class TestCancel:
    def test_it_stops_before_the_next_step(self) -> None:
        network = One()
        done: list[Tensor] = []
        step = pull(network)

        def loss_of(cells: Tensor) -> Tensor:
            done.append(cells)
            return step(cells)

        progress = Progress.to(lambda _: None, lambda: len(done) >= 4)
        with pytest.raises(Cancelled, match="Stopped on request"):
            train(network, lambda _: SIX, loss_of, epochs=5, lr=0.1, schedule=constant, progress=progress)
        assert len(done) == 4

    def test_a_task_that_was_cancelled_before_it_began_takes_no_step(self) -> None:
        network = One()
        progress = Progress.to(lambda _: None, lambda: True)
        with pytest.raises(Cancelled):
            train(network, lambda _: SIX, pull(network), epochs=5, lr=0.1, schedule=constant, progress=progress)
        assert network.at == 0


def test_progress_rises_step_by_step_to_one() -> None:
    heard: list[Report] = []
    network = One()
    progress = Progress.to(heard.append)
    train(network, lambda _: SIX, pull(network), epochs=3, lr=0.1, schedule=constant, progress=progress)
    fractions = [report.fraction for report in heard]
    assert len(fractions) >= 18
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
