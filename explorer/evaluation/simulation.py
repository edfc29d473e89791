"""Counts whose structure is known because it was planted: clusters, a trajectory, a loop or a tree, in several batches.

After the simulations of CONCORD (Zhu et al., Nature Biotechnology 2026): states are combinations of gene programs, and
batches differ by gene-wise effects, by genes of their own, by depth, by dropout and by what cells they hold. Counts are
negative binomial. The truth comes along, so that an embedding can be held against it (`explorer.insight.structure`).

Program genes carry the symbols of one Reactome pathway a program, so that methods that read pathways have some to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from numpy.typing import NDArray
from scipy import sparse

from explorer.errors import OptionsProblem
from explorer.flow import FloatArray, IntArray
from explorer.genesets import read_collections
from explorer.reading import h5ad

LABEL, BATCH, PSEUDOTIME = "cell_type", "batch", "pseudotime"  # columns of obs
TRUTH, PROGRAMS, SETTINGS = "truth", "programs", "simulation"  # keys of obsm, varm and uns
PROGRAM_GENES = 20
WIDTH = 1.5        # of a program along a trajectory, in steps between programs
OVERLAP = 0.3      # how active a cluster's program is in the cluster that it is paired with
DECAY = 0.5        # what is left of a branch's program at the end of the branch after it
CELL_DEPTH = 0.25  # standard deviation of log depth between cells of a batch
CHUNK = 2048       # cells drawn at a time
STATE_NAMES = {"clusters": "cluster", "tree": "branch"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Simulation:
    """What to simulate.

    Attributes
    ----------
    structure
        One of `STRUCTURES`.
    states
        Clusters, stages along a trajectory or loop, or branches of a tree; also the number of gene programs.
    cells, genes, batches
        How many in all. The first 20 genes of each state are its program.
    depth
        Mean total count of a cell.
    lift
        How many times its base a program gene is expressed where its program is fully on.
    size
        Of the negative binomial, variance = mean + mean² / size; smaller is noisier.
    scale
        Standard deviation of the log factor of each gene in each batch.
    shift
        Share of a cell's molecules that come from a profile of its batch, whatever the cell is, in [0, 1).
    own_genes
        Share of genes that are expressed in one batch only, in [0, 0.5].
    batch_depth
        Standard deviation of log depth between batches.
    dropout
        Largest probability, over batches, that a count expected to be small is lost; a count of mean μ is lost with
        probability p exp(-μ), where p goes from 0 in the first batch to this in the last.
    unbalanced
        From 0, all batches hold the states alike, to 1, shares are drawn uniformly from all that sum to 1.
    missing
        How many states each batch lacks, others in each.
    seed
        Of every draw.
    """

    structure: str = "clusters"
    states: int = 6
    cells: int = 2000
    genes: int = 1000
    batches: int = 3
    depth: float = 2000.0
    lift: float = 10.0
    size: float = 5.0
    scale: float = 0.4
    shift: float = 0.05
    own_genes: float = 0.05
    batch_depth: float = 0.3
    dropout: float = 0.2
    unbalanced: float = 0.3
    missing: int = 0
    seed: int = 0


def simulate(asked: Simulation) -> AnnData:
    """Simulated cells with their truth, in random order.

    Returns
    -------
    AnnData
        X csr float32 counts; obs cell_type, batch and pseudotime in [0, 1] (NaN for clusters); obsm["truth"] float32
        (n, states), how active each gene program is, without noise or batch; varm["programs"] float32 (g, states), what
        each adds to a gene; uns["simulation"], the settings.

    Raises
    ------
    OptionsProblem
        If the settings do not fit together.
    """
    _require_possible(asked)
    cell_rng, gene_rng, batch_rng, count_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(asked.seed).spawn(4)
    )
    batch = np.sort(np.arange(asked.cells) % asked.batches).astype(np.int32)
    state = _states(asked, batch, cell_rng)
    activity, pseudotime = STRUCTURES[asked.structure](state, asked.states, cell_rng)
    base, programs = _genes(asked, gene_rng)
    counts = _counts(asked, base, activity, programs, batch, batch_rng, count_rng)

    order = cell_rng.permutation(asked.cells)
    obs = pd.DataFrame(
        {
            LABEL: pd.Categorical([_state_name(asked.structure, code) for code in state[order]]),
            BATCH: pd.Categorical([f"batch{code + 1}" for code in batch[order]]),
            PSEUDOTIME: pseudotime[order],
        },
        index=[f"cell{i}" for i in range(asked.cells)],
    )
    out = AnnData(counts[order], obs=obs, var=pd.DataFrame(index=_symbols(asked)))
    out.obsm[TRUTH] = activity[order].astype(np.float32)
    out.varm[PROGRAMS] = programs.astype(np.float32)
    out.uns[SETTINGS] = asdict(asked)
    return out


def read_truth(path: Path) -> FloatArray | None:
    """Where the cells of a simulated file, or of a result made from one, truly lie; `None` in any other.

    Raises
    ------
    FileProblem
        If the file cannot be read.
    """
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        if f"uns/{SETTINGS}" not in file or f"obsm/{TRUTH}" not in file:
            return None
        return np.asarray(read_elem(file[f"obsm/{TRUTH}"]), np.float32)


def _require_possible(asked: Simulation) -> None:
    if asked.structure not in STRUCTURES:
        raise OptionsProblem(f"Cells can be simulated as {', '.join(STRUCTURES)}; not as {asked.structure!r}.")
    least = {"states": 3, "batches": 1, "cells": 10 * asked.batches * asked.states}
    least["genes"] = 2 * PROGRAM_GENES * max(asked.states, 1)
    for name, lowest in least.items():
        if getattr(asked, name) < lowest:
            raise OptionsProblem(
                f"{getattr(asked, name)} {name} are too few for {asked.states} states in {asked.batches} batches: at "
                f"least {lowest} are needed."
            )
    for name, highest in (("shift", 0.99), ("own_genes", 0.5), ("dropout", 1.0), ("unbalanced", 1.0)):
        if not 0 <= getattr(asked, name) <= highest:
            raise OptionsProblem(f"{name} is a share between 0 and {highest}; not {getattr(asked, name)}.")
    for name in ("scale", "batch_depth"):
        if getattr(asked, name) < 0:
            raise OptionsProblem(f"{name} is a standard deviation, 0 or more; not {getattr(asked, name)}.")
    for name in ("depth", "lift", "size"):
        if getattr(asked, name) <= 0:
            raise OptionsProblem(f"{name} is more than 0; not {getattr(asked, name)}.")
    if not 0 <= asked.missing < asked.states or not _present(asked).any(0).all():
        raise OptionsProblem(
            f"If each of {asked.batches} batches lacks {asked.missing} of {asked.states} states, some state is in no "
            "batch. Take fewer missing states or more batches."
        )


def _present(asked: Simulation) -> NDArray[np.bool_]:
    """bool (batches, states): whether a batch holds a state; each lacks those that follow the last one's."""
    after = (np.arange(asked.states) - asked.missing * np.arange(asked.batches)[:, None]) % asked.states
    return np.asarray(after >= asked.missing)


def _states(asked: Simulation, batch: IntArray, rng: np.random.Generator) -> IntArray:
    """int32 (n,): the state of each cell, by the composition of its batch."""
    even = np.full(asked.states, 1 / asked.states)
    out = np.empty(len(batch), np.int32)
    for code, present in enumerate(_present(asked)):
        shares = (1 - asked.unbalanced) * even + asked.unbalanced * rng.dirichlet(np.ones(asked.states))
        shares = np.where(present, shares, 0)
        own = batch == code
        out[own] = rng.choice(asked.states, int(own.sum()), p=shares / shares.sum())
    return out


def _clusters(state: IntArray, states: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Each cluster has its program on, more or less; 1 and 2, 3 and 4 and so on have a part of each other's."""
    activity = np.zeros((len(state), states))
    rows, partner = np.arange(len(state)), state ^ 1
    own = rng.uniform(0.6, 1.0, len(state))
    activity[rows, state] = own
    paired = partner < states
    activity[rows[paired], partner[paired]] = OVERLAP * own[paired]
    return activity, np.full(len(state), np.nan)


def _trajectory(state: IntArray, states: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Programs that go on and off one after the other from time 0 to 1; a stage is the time nearest to a program."""
    time = np.clip(state + rng.uniform(-0.5, 0.5, len(state)), 0, states - 1)
    away = np.abs(time[:, None] - np.arange(states))
    return np.maximum(0, 1 - away / WIDTH), time / (states - 1)


def _loop(state: IntArray, states: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The same around a circle: the last program is followed by the first."""
    time = (state + rng.uniform(-0.5, 0.5, len(state))) % states
    away = np.abs(time[:, None] - np.arange(states))
    return np.maximum(0, 1 - np.minimum(away, states - away) / WIDTH), time / states


def _tree(state: IntArray, states: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Every branch ends in two, while there are any left; its own program rises along it, those before it fade."""
    along = rng.uniform(0, 1, len(state))
    depth = _depth(state)
    activity = np.zeros((len(state), states))
    rows, branch = np.arange(len(state)), state
    activity[rows, branch] = along
    while len(rows):
        rows, branch = rows[branch > 0], (branch[branch > 0] - 1) // 2
        activity[rows, branch] = DECAY ** (depth[rows] - _depth(branch) - 1 + along[rows])
    return activity, (depth + along) / (int(_depth(np.array([states - 1]))[0]) + 1)


def _depth(branch: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many branches lie before each, int64 (n,)."""
    return np.floor(np.log2(branch + 1)).astype(np.int64)


STRUCTURES: dict[str, Callable[[IntArray, int, np.random.Generator], tuple[Floats, Floats]]] = {
    "clusters": _clusters,
    "trajectory": _trajectory,
    "loop": _loop,
    "tree": _tree,
}


def _state_name(structure: str, code: int) -> str:
    return f"{STATE_NAMES.get(structure, 'stage')} {code + 1}"


def _symbols(asked: Simulation) -> list[str]:
    """Names of genes: 20 of a pathway for each program, none twice, then GENE0001 and so on."""
    out: dict[str, None] = {}
    for _, members in sorted(read_collections(["reactome"]).items()):
        new = sorted(members - out.keys())[:PROGRAM_GENES]
        if len(new) == PROGRAM_GENES and len(out) < PROGRAM_GENES * asked.states:
            out |= dict.fromkeys(new)
    return [*out, *(f"GENE{i + 1:04d}" for i in range(asked.genes - len(out)))]


def _genes(asked: Simulation, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Base expression (g,), and what each program adds to it when fully on (g, states)."""
    base = rng.gamma(0.7, 1.0, asked.genes) + 0.02
    programs = np.zeros((asked.genes, asked.states))
    for code in range(asked.states):
        own = slice(code * PROGRAM_GENES, (code + 1) * PROGRAM_GENES)
        base[own] = 0.4  # a program gene is no more and no less than its lift
        programs[own, code] = base[own] * (asked.lift - 1) * rng.uniform(0.5, 1.5, PROGRAM_GENES)
    return base, programs


def _counts(
    asked: Simulation,
    base: Floats,
    activity: Floats,
    programs: Floats,
    batch: IntArray,
    batch_rng: np.random.Generator,
    count_rng: np.random.Generator,
) -> sparse.csr_matrix:
    """csr float32 (n, g): negative binomial counts, by chunks of cells, so that only few are ever dense."""
    effects = _effects(asked, base, batch_rng)
    depth = asked.depth * np.exp(batch_rng.normal(0, asked.batch_depth, asked.batches))[batch]
    depth = depth * np.exp(count_rng.normal(0, CELL_DEPTH, len(batch)))
    lost = np.linspace(0, asked.dropout, asked.batches)[batch] if asked.batches > 1 else np.full(len(batch), 0.0)
    parts = []
    for start in range(0, len(batch), CHUNK):
        rows = slice(start, start + CHUNK)
        factor, profile = effects[0][batch[rows]], effects[1][batch[rows]]
        share = (base + activity[rows] @ programs.T) * factor
        share = (1 - asked.shift) * share / share.sum(1, keepdims=True) + asked.shift * profile
        mean = depth[rows, None] * share
        drawn = count_rng.poisson(count_rng.gamma(asked.size, mean / asked.size))
        kept = count_rng.random(drawn.shape) >= lost[rows, None] * np.exp(-mean)
        parts.append(sparse.csr_matrix((drawn * kept).astype(np.float32)))
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"))


def _effects(asked: Simulation, base: Floats, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Of each batch (batches, g): the factor of every gene, 0 for genes of another batch, and its profile, sum 1."""
    factor = np.exp(rng.normal(0, asked.scale, (asked.batches, asked.genes)))
    background = np.arange(PROGRAM_GENES * asked.states, asked.genes)
    own = rng.permutation(background)[: round(asked.own_genes * asked.genes)]
    if asked.batches > 1:
        of_batch = np.arange(len(own)) % asked.batches
        factor[:, own] *= of_batch == np.arange(asked.batches)[:, None]
    profile = rng.gamma(0.7, 1.0, (asked.batches, asked.genes)) * base * (factor > 0)
    return factor.astype(np.float32), (profile / profile.sum(1, keepdims=True)).astype(np.float32)
