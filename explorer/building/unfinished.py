"""What a build has learned so far, kept until it is done: one that was stopped goes on from there.

Holds answers to the cells of left-out batches, fold by fold, and the checkpoints of the training under way.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from explorer import keys
from explorer.doubt.calibration import HeldOut
from explorer.mapping.corridor import versions
from explorer.mapping.learning import Annotated
from explorer.methods.base import Config
from explorer.networks import checkpoints
from explorer.networks.checkpoints import digest, read_whole, write_whole

ByLevel = dict[str, HeldOut]

_FOLDS = "folds.safetensors"


@dataclass(frozen=True)
class Unfinished:
    """A build under way.

    Attributes
    ----------
    folder
        Where it keeps what it has learned. A build of less than 10 seconds makes none.
    of
        What is learned from what: what the folder holds of anything else is no use, and replaced.
    """

    folder: Path
    of: str
    _started: float = field(default_factory=monotonic)

    @classmethod
    def of_build(cls, folder: Path, annotated: Annotated, config: Config) -> Unfinished:
        """What is kept of training with these settings on these cells."""
        labels = {level: (annotated.classes(level), annotated.codes(level)) for level in annotated.levels}
        described = (annotated.batches, annotated.conditions, annotated.proteins)
        genes = annotated.genes[keys.SYMBOL].to_numpy(object)
        return cls(folder, digest(annotated.cells, genes, annotated.levels, labels, described, config, versions()))

    def folds(self) -> tuple[list[ByLevel], list[ByLevel]]:
        """What `keep` was given; two empty lists if nothing was kept."""
        kept = read_whole(self.folder / _FOLDS, self.of)
        if kept is None:
            return [], []
        tensors, told = kept

        def read(kind: str) -> list[ByLevel]:
            return [{level: _read(arrays, tensors) for level, arrays in fold} for fold in told[kind]]

        return read("by_all"), read("by_rna")

    def keep(self, by_all: Sequence[ByLevel], by_rna: Sequence[ByLevel]) -> None:
        """Write what left-out cells were answered in the folds that are done."""
        if monotonic() - self._started < checkpoints.EVERY_SECONDS:
            return
        tensors: dict[str, Tensor] = {}
        told = {
            kind: [[(level, _stored(held_out, tensors)) for level, held_out in fold.items()] for fold in folds]
            for kind, folds in (("by_all", by_all), ("by_rna", by_rna))
        }
        write_whole(self.folder / _FOLDS, tensors, self.of, told)

    def clear(self) -> None:
        """Forget all of it: the build is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _stored(held_out: HeldOut, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Put arrays among the tensors; their names."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named(part) for name, part in value.items()}
        tensors[f"{len(tensors)}"] = torch.as_tensor(value)
        return f"{len(tensors) - 1}"

    return {part.name: named(getattr(held_out, part.name)) for part in fields(held_out)}


def _read(arrays: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> HeldOut:
    def found(name: Any) -> Any:
        return {key: found(part) for key, part in name.items()} if isinstance(name, dict) else tensors[name].numpy()

    return HeldOut(**{part.name: found(arrays[part.name]) for part in fields(HeldOut)})
