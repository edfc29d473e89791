"""Conditions that scPoli has not seen in training: taken from the nearest one that it has, or learned.

Architectural surgery (Lotfollahi et al., Nature Biotechnology 2022; De Donno et al., Nature Methods 2023): the network
stays as it is, and only what describes the new conditions is learned, from how well it explains their cells. Differs
from the authors' code on purpose: the vectors and dispersions of known conditions do not move either.

Knows tensors and rows of tables, not the names of conditions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer.networks.likelihoods import gaussian_kl
from explorer.networks.samplers import DomainSampler
from explorer.networks.scpoli import Conditions, CountCells, ScpoliNet
from explorer.networks.training import train, warmup_cosine
from explorer.progress import Progress

BATCH_SIZE = 512
BLOCK = 1024           # cells at a time outside of training
TRIED_CELLS = 500      # of a condition, enough to tell which known condition explains it best


@torch.no_grad()
def grown(network: ScpoliNet, vectors: Sequence[Tensor], log_dispersion: Tensor) -> ScpoliNet:
    """A copy of a network that knows more conditions.

    Parameters
    ----------
    vectors
        Of each column's new conditions, float (new, E); they come after the known ones.
    log_dispersion
        float (new combinations, G); not looked at where the likelihood has none.
    """
    weights = network.state_dict()
    for k, new in enumerate(vectors):
        weights[f"tables.{k}.weight"] = torch.cat([weights[f"tables.{k}.weight"], new])
    if network.dispersion is not None:
        weights["log_dispersion"] = torch.cat([weights["log_dispersion"], log_dispersion])
    sizes = [len(weights[f"tables.{k}.weight"]) for k in range(len(vectors))]
    of_first = (network.first.weight.shape[0], sizes, len(weights.get("log_dispersion", ())))
    dims = (network.decode.out_features, network.decode.in_features, network.embeddings[0].embedding_dim)
    made = ScpoliNet(*of_first, *dims, network.likelihood, network.dropout, network.seen)
    made.to(network.first.bias.device)
    made.load_state_dict(weights)
    return made.eval()


def new_rows(network: ScpoliNet, conditions: Conditions) -> tuple[list[int], int]:
    """How many conditions of each column, and how many combinations, a network does not know."""
    known = [table.num_embeddings for table in network.embeddings]
    added = [max(0, int(conditions.rows[:, k].max()) + 1 - n) for k, n in enumerate(known)]
    combined = 0 if network.dispersion is None else len(network.dispersion)
    return added, max(0, int(conditions.combined.max()) + 1 - combined)


@torch.no_grad()
def nearest(
    network: ScpoliNet, cells: CountCells, known: Tensor, rng: np.random.Generator, progress: Progress
) -> tuple[ScpoliNet, list[NDArray[np.int64]]]:
    """Give every new condition the vector and dispersion of the known one that explains its cells best.

    Parameters
    ----------
    known
        int64 (combinations, K): the known combinations, as rows of the tables.

    Returns
    -------
    network
        Grown by the new conditions.
    of
        For each column, int64 (new,): the known row that each new condition took.
    """
    network.eval()
    added, n_combined = new_rows(network, cells.conditions)
    tables = [vectors[:-1] for vectors in network.vectors()]
    taken: list[NDArray[np.int64]] = []
    for k, n in enumerate(added):
        groups = [cells.conditions.rows[:, k] == len(tables[k]) + i for i in range(n)]
        best = [_best(network, cells, group, known, rng, progress) for group in groups]
        taken.append(known[best, k].cpu().numpy() if best else np.zeros(0, np.int64))
    dispersion = network.dispersion
    if dispersion is not None:
        groups = [cells.conditions.combined == len(dispersion) + i for i in range(n_combined)]
        dispersion = dispersion[[_best(network, cells, group, known, rng, progress) for group in groups]]
    new = [table[torch.as_tensor(rows, device=table.device)] for table, rows in zip(tables, taken, strict=True)]
    progress(1.0)
    return grown(network, new, torch.empty(0) if dispersion is None else dispersion), taken


def _best(
    network: ScpoliNet, cells: CountCells, group: Tensor, known: Tensor, rng: np.random.Generator, progress: Progress
) -> int:
    """Which known combination explains the cells of a group best."""
    which = group.nonzero().ravel()
    if len(which) > TRIED_CELLS:
        drawn = np.sort(rng.choice(len(which), TRIED_CELLS, replace=False))
        which = which[torch.as_tensor(drawn, device=which.device)]
    linear = network.first(cells.taken.rows(which))
    observed = cells.observed(which, network.likelihood)
    missed = []
    for i, rows in enumerate(known):
        progress(0.0)
        described = network.describe(rows.expand(len(which), -1))
        z = network.encode(linear, described).mean
        combined = torch.full_like(which, i)
        found = network.log_likelihood(z, described, network.dispersion, combined, observed, cells.totals[which])
        missed.append(-float(found.mean()))
    return int(np.argmin(missed))


class _New(nn.Module):
    """What surgery learns; the network it belongs to is not a part of it, and so cannot move."""

    def __init__(self, network: ScpoliNet, added: Sequence[int], n_combined: int) -> None:
        super().__init__()
        means = [vectors[-1:].detach() for vectors in network.vectors()]  # of those known: where each new one starts
        self.tables = nn.ParameterList(mean.repeat(n, 1) for mean, n in zip(means, added, strict=True))
        self.log_dispersion: nn.Parameter | None = None
        if network.dispersion is not None:
            start = network.dispersion.detach().mean(0, keepdim=True)
            self.log_dispersion = nn.Parameter(start.repeat(n_combined, 1))

    def vectors(self) -> list[Tensor]:
        """Of each column's new conditions, float (new, E), at most 1 long."""
        lengths = [table.norm(dim=1, keepdim=True).clamp_min(1.0) for table in self.tables]
        return [table / length for table, length in zip(self.tables, lengths, strict=True)]


def surgery(
    network: ScpoliNet,
    cells: CountCells,
    *,
    steps: int,
    lr: float,
    kl_weight: float,
    seed: int,
    progress: Progress,
) -> ScpoliNet:
    """Learn vectors and dispersions of new conditions by how well the network explains their cells.

    They start at the mean of the known ones. Of cells only what the first layer makes of them matters, which does not
    change and is computed once.

    Parameters
    ----------
    steps, lr
        Of Adam, on minibatches of 512 cells; the learning rate warms up and falls off by a cosine.
    kl_weight
        Of the KL term, as at the end of training.

    Returns
    -------
    ScpoliNet
        A grown copy; `network` stays as it is.

    Raises
    ------
    Cancelled
        From `progress`, within one minibatch.
    """
    added, n_combined = new_rows(network, cells.conditions)
    if not any(added) and not n_combined:
        progress(1.0)
        return network
    frozen = copy.deepcopy(network).eval()  # without dropout
    frozen.requires_grad_(False)
    device = cells.totals.device
    learned = _New(network, added, n_combined).to(device)
    noise = torch.Generator(device=device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        pieces = torch.arange(len(cells.counts), device=device).split(BLOCK)
        linear = torch.cat([frozen.first(cells.taken.rows(which)) for which in pieces])  # (n, H)
    known = [vectors.detach() for vectors in frozen.vectors()]

    def loss_of(which: Tensor) -> Tensor:
        pairs = zip(known, learned.vectors(), strict=True)
        tables = [torch.cat([of_column[:-1], new, of_column[-1:]]) for of_column, new in pairs]
        conditions = cells.conditions.at(which)
        described = torch.cat([table[conditions.rows[:, k]] for k, table in enumerate(tables)], 1)
        posterior = frozen.encode(linear[which], described)
        dispersion = None
        if frozen.dispersion is not None and learned.log_dispersion is not None:
            dispersion = torch.cat([frozen.dispersion, learned.log_dispersion])
        observed = cells.observed(which, frozen.likelihood)
        z = posterior.draw(noise)
        found = frozen.log_likelihood(z, described, dispersion, conditions.combined, observed, cells.totals[which])
        return (kl_weight * gaussian_kl(posterior.mean, posterior.variance) - found).mean()

    sampler = DomainSampler(np.zeros(len(cells.counts), np.int64), BATCH_SIZE)
    a_round = len(sampler.epoch(np.random.default_rng(seed)))
    train(
        learned,
        lambda _epoch: sampler.epoch(rng),
        loss_of,
        epochs=max(1, round(steps / a_round)),
        lr=lr,
        schedule=warmup_cosine,
        progress=progress,
    )
    with torch.no_grad():
        dispersion = torch.empty(0) if learned.log_dispersion is None else learned.log_dispersion.detach()
        return grown(network, [vectors.detach() for vectors in learned.vectors()], dispersion)
