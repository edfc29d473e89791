"""What a training needs to go on after a stop: written whole or not at all, and read only if it is of the same work.

A file is safetensors with a few lines of JSON in its header. It says what it is of and carries a checksum, so that one
of other cells, other settings or half a write is taken for none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import sparse
from torch import Tensor, nn

log = logging.getLogger(__name__)

Generators = Sequence[np.random.Generator | torch.Generator]
EVERY_SECONDS = 10.0  # at most so much work is lost; what took less is not kept at all


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state.

    Attributes
    ----------
    file
        Of safetensors; its folder is made when first needed.
    of
        What is learned from what; see `digest`.
    """

    file: Path
    of: str


@dataclass
class Run:
    """How far a training is.

    Attributes
    ----------
    epoch, step
        Epochs and optimiser steps that are done.
    losses, checks
        As `TrainingLog` has them.
    best, best_epoch, best_weights
        The lowest check, and all networks then; `None` before the first.
    over
        Whether it has stopped early.
    """

    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    best: float = math.inf
    best_epoch: int = -1
    best_weights: dict[str, Tensor] | None = None
    over: bool = False


class Keeper:
    """Writes a run to its checkpoint, and takes it up again.

    Parameters
    ----------
    everything
        All that learns, as it is before the first step: a checkpoint is only of use to the same.
    generators
        All that minibatches and losses draw from, besides torch's own, which dropout uses.
    found
        Arrays that the training came upon and goes on with.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        everything: nn.Module,
        optimizer: torch.optim.Optimizer,
        generators: Generators,
        found: dict[str, NDArray[Any]],
    ) -> None:
        self._file = checkpoint.file
        self._everything, self._optimizer = everything, optimizer
        self._generators, self._found = generators, found
        self._device = next(everything.parameters()).device
        self._of = digest(checkpoint.of, everything.state_dict(), torch.__version__, self._device.type)

    def keep(self, run: Run) -> None:
        """Write all that the rest of the run depends on."""
        tensors = {f"found.{name}": torch.as_tensor(array) for name, array in self._found.items()}
        tensors |= {f"network.{name}": value for name, value in self._everything.state_dict().items()}
        for i, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
        tensors |= {f"best.{name}": value for name, value in (run.best_weights or {}).items()}
        told = {name: getattr(run, name) for name in _PLAIN}
        write_whole(self._file, {**tensors, **self._drawn()}, self._of, {**told, "numpy": self._numpy_states()})

    def restore(self, run: Run) -> bool:
        """Set everything as it was when the run was kept; `False`, and nothing is set, if it was not."""
        kept = read_whole(self._file, self._of)
        if kept is None:
            return False
        tensors, told = kept
        self._everything.load_state_dict(_below(tensors, "network."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "adam.").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self._draw_on(tensors, told["numpy"])
        self._found |= {name: value.numpy() for name, value in _below(tensors, "found.").items()}
        for name in _PLAIN:
            setattr(run, name, told[name])
        run.best_weights = _below(tensors, "best.") or None
        return True

    def _drawn(self) -> dict[str, Tensor]:
        """The state of every torch generator, torch's own included."""
        states = {"torch.own": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["torch.cuda"] = torch.cuda.get_rng_state(self._device)
        numbered = enumerate(self._generators)
        return states | {f"torch.{i}": g.get_state() for i, g in numbered if isinstance(g, torch.Generator)}

    def _numpy_states(self) -> dict[str, Any]:
        numbered = enumerate(self._generators)
        return {str(i): g.bit_generator.state for i, g in numbered if isinstance(g, np.random.Generator)}

    def _draw_on(self, tensors: Mapping[str, Tensor], numpy_states: Mapping[str, Any]) -> None:
        torch.set_rng_state(tensors["torch.own"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(tensors["torch.cuda"], self._device)
        for i, generator in enumerate(self._generators):
            if isinstance(generator, torch.Generator):
                generator.set_state(tensors[f"torch.{i}"])
            else:
                generator.bit_generator.state = numpy_states[str(i)]


_PLAIN = ("epoch", "step", "losses", "checks", "best", "best_epoch", "over")


def write_whole(file: Path, tensors: Mapping[str, Tensor], of: str, told: Mapping[str, Any]) -> None:
    """Write tensors and JSON in place of `file`; what cannot be written is only logged, for the work itself is well.

    Parameters
    ----------
    of
        What the file is of; only who asks for the same will read it.
    """
    own = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    text = json.dumps(told)
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(own, part, {"of": of, "told": text, "checksum": digest(own, text)})
        part.replace(file)
    except (OSError, SafetensorError) as error:
        log.warning("%s cannot be written (%s): a stop would cost the work done so far.", file, error)


def read_whole(file: Path, of: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `write_whole` wrote; `None` if it is not there, damaged, or of something else."""
    try:
        with safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
            if header.get("of") != of:
                return None
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118  (no mapping)
    except (OSError, SafetensorError):
        return None
    if header["checksum"] != digest(tensors, header["told"]):
        return None
    return tensors, json.loads(header["told"])


def digest(*values: object) -> str:
    """A short text that differs where values do: numbers, texts, arrays, tensors, csr, and what is made of them."""
    found = hashlib.blake2b(digest_size=16)
    for value in values:
        _feed(found, value)
    return found.hexdigest()


def _feed(found: hashlib.blake2b, value: object) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        found.update(f"{value.dtype}{value.shape}".encode())
        found.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif isinstance(value, sparse.csr_matrix):
        _feed(found, (value.shape, value.data, value.indices, value.indptr))
    elif dataclasses.is_dataclass(value):
        parts = {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
        _feed(found, (type(value).__name__, parts))
    elif isinstance(value, Mapping):
        _feed(found, [part for pair in sorted(value.items()) for part in pair])
    elif isinstance(value, np.ndarray | list | tuple):
        found.update(f"[{len(value)}".encode())
        for part in value:
            _feed(found, part)
    else:
        found.update(f"{value!r};".encode())


def _below(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
