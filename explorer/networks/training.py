"""The one training loop: schedule, early stop, progress, cancel, checkpoints. Knows steps and losses, not methods."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer.networks import checkpoints
from explorer.networks.checkpoints import Checkpoint, Generators, Keeper, Run
from explorer.progress import Progress

Schedule = Callable[[int, int, int], float]


def warmup_cosine(step: int, steps: int, _epoch: int, warmup: float = 0.05, floor: float = 0.01) -> float:
    """Share of the full learning rate: linear over the first 5 % of steps, then a cosine down to 1 %."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def constant(_step: int, _steps: int, _epoch: int) -> float:
    """The full learning rate throughout."""
    return 1.0


def decay_per_epoch(factor: float) -> Schedule:
    """Share of the full learning rate that shrinks by `factor` after every epoch."""
    return lambda _step, _steps, epoch: factor**epoch


def linear_until(last: int, floor: float = 0.01) -> Schedule:
    """Share of the full learning rate that falls in a straight line to 1 % at step `last` and stays there."""
    return lambda step, _steps, _epoch: floor + (1 - floor) * (1 - min(step, last) / last)


@dataclass(frozen=True)
class TrainingLog:
    """What happened in a training run.

    Attributes
    ----------
    epochs
        Epochs run.
    steps
        Optimiser steps taken.
    losses
        Mean training loss of each epoch.
    checks
        Validation loss of each epoch, empty without validation.
    """

    epochs: int
    steps: int
    losses: tuple[float, ...]
    checks: tuple[float, ...]


def train(
    network: nn.Module,
    epoch_batches: Callable[[int], list[NDArray[np.int64]]],
    loss_of: Callable[[Tensor], Tensor],
    *,
    epochs: int,
    lr: float,
    schedule: Schedule,
    progress: Progress,
    check: Callable[[], float] | None = None,
    patience: int = 3,
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    others: Sequence[tuple[nn.Module, float]] = (),
    clip: float = math.inf,
    checkpoint: Checkpoint | None = None,
    generators: Generators = (),
    found: dict[str, NDArray[Any]] | None = None,
) -> TrainingLog:
    """Train `network` in place with Adam.

    Parameters
    ----------
    epoch_batches
        Gives the minibatches (cell indices) of epoch e.
    loss_of
        Loss of one minibatch, from int64 cell indices.
    epochs, lr, schedule, weight_decay, eps
        As Adam has them; the schedule scales `lr` by (step, steps in all, epoch).
    check
        Label-free validation loss; training stops when it has not improved for `patience` epochs,
        and the best weights are kept.
    others
        Networks that learn along, each with its own full learning rate.
    clip
        Largest norm of the gradient of a network.
    checkpoint
        Where the state is kept, every 10 s or epoch, whichever is longer. A training that was stopped goes on from
        there, and on one processor ends with the very weights that it would have had. The file stays.
    generators, found
        What of the state is not in the networks: generators that `epoch_batches` and `loss_of` draw from, and arrays
        that they came upon and go on with.

    Raises
    ------
    Cancelled
        From `progress`, between two steps.
    """
    device = next(network.parameters()).device
    learners = [{"params": _trainable(learner), "full": full} for learner, full in ((network, lr), *others)]
    optimizer = torch.optim.Adam(learners, weight_decay=weight_decay, eps=eps, fused=True)
    everything = nn.ModuleList([network, *(other for other, _ in others)])
    run, keeper = Run(), None
    if checkpoint is not None:
        keeper = Keeper(checkpoint, everything, optimizer, generators, {} if found is None else found)
        if keeper.restore(run):
            progress = _going_on(progress, run, epochs)
    started = kept = monotonic()
    while run.epoch < epochs and not run.over:
        network.train()
        epoch, minibatches = run.epoch, epoch_batches(run.epoch)
        steps = len(minibatches) * epochs
        total = 0.0
        for i, minibatch in enumerate(minibatches):
            progress((epoch + i / len(minibatches)) / epochs)
            for group in optimizer.param_groups:
                group["lr"] = group["full"] * schedule(run.step, steps, epoch)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(torch.as_tensor(minibatch, device=device))
            loss.backward()
            if clip < math.inf:
                for group in optimizer.param_groups:
                    nn.utils.clip_grad_norm_(group["params"], clip)
            optimizer.step()
            total += float(loss.detach())
            run.step += 1
        run.losses.append(total / max(1, len(minibatches)))
        run.epoch += 1
        if check is not None:
            network.eval()
            run.checks.append(check())
            if run.checks[-1] < run.best:  # never so for a loss that is no number
                run.best, run.best_epoch = run.checks[-1], epoch
                run.best_weights = copy.deepcopy(everything.state_dict())
            elif epoch - run.best_epoch >= patience:
                run.over = True
        since = started if run.over or run.epoch == epochs else kept  # what took long is also kept when it ends
        if keeper is not None and monotonic() - since >= checkpoints.EVERY_SECONDS:
            keeper.keep(run)
            kept = monotonic()
    if run.best_weights is not None:
        everything.load_state_dict(run.best_weights)
    network.eval()
    progress(1.0)
    return TrainingLog(len(run.losses), run.step, tuple(run.losses), tuple(run.checks))


def _trainable(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _going_on(progress: Progress, run: Run, epochs: int) -> Progress:
    """Tell what was done before, which says nothing of how fast this goes."""
    progress.skip(run.epoch / epochs)
    if run.epoch == epochs or run.over:
        return progress
    told = f"going on from epoch {run.epoch + 1} of {epochs}"
    return progress.part(f"{progress.stage}, {told}" if progress.stage else told.capitalize(), 0.0, 1.0)
