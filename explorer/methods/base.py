"""What a method is: the protocol that all siblings follow.

To add a method, write one network file, one method file beside this one, and one line in `METHODS`; menus,
README table, promises and comparison follow by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from explorer.errors import OptionsProblem
from explorer.flow import AlignedCells, Embedding, FloatArray, Signature
from explorer.progress import Progress


@dataclass(frozen=True)
class MethodCard:
    """What menus, tables and tests need to know of a method.

    Attributes
    ----------
    name
        As typed in a shell and used for folders.
    title, paper, summary
        As shown.
    input_form
        "counts" or "log1p": what it takes; a query without counts can only use the latter.
    gives
        What a user gets besides labels and uncertainty, one phrase each.
    """

    name: str
    title: str
    paper: str
    summary: str
    input_form: str
    gives: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """Settings of a method; each has its own subclass.

    Attributes
    ----------
    preset
        "balanced" or "paper".
    n_genes
        Variable genes of the reference that the method works on.
    seed
        Of initial weights, sampling and masking.
    """

    preset: str = "balanced"
    n_genes: int = 2000
    seed: int = 0

    @classmethod
    def named(cls, preset: str, seed: int = 0) -> Self:
        """The settings of a preset; every method has `balanced`, its defaults.

        Raises
        ------
        OptionsProblem
            For a preset that does not exist.
        """
        if preset == "balanced":
            return cls(preset=preset, seed=seed)
        raise OptionsProblem(f"{cls.__name__} has no preset {preset!r}.")

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for files."""
        return asdict(self)


@dataclass(frozen=True)
class Training:
    """The cells a method learns from.

    Attributes
    ----------
    cells
        m reference cells over the method's genes.
    genes
        Symbols (g,) of those genes.
    labels
        int32 (m,) codes by label level, -1 for unlabelled, and how many classes there are.
    batches
        int32 (m,), batch of each cell.
    """

    cells: AlignedCells
    genes: NDArray[np.object_]
    labels: Mapping[str, NDArray[np.int32]]
    batches: NDArray[np.int32]


@dataclass(frozen=True)
class Toward:
    """What an explanation is asked to speak for.

    Attributes
    ----------
    label
        Its name.
    direction
        float32 (d,), mean unit embedding of the reference cells that carry it.
    """

    label: str
    direction: FloatArray


class Method(Protocol):
    """A trained way to place cells in a latent space. An instance that exists is trained."""

    card: ClassVar[MethodCard]
    config_type: ClassVar[type[Config]]

    @property
    def config(self) -> Config:
        """What it was trained with."""
        ...

    @property
    def genes(self) -> NDArray[np.object_]:
        """Symbols (g,) of the genes it works on, in its order."""
        ...

    @classmethod
    def fit(cls, training: Training, config: Config, *, device: torch.device, progress: Progress) -> Self:
        """Train on a reference.

        Raises
        ------
        Cancelled
            From `progress`, within one minibatch.
        """
        ...

    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        """Place cells (n x g, the method's genes in its order); each cell's vector depends on that cell alone."""
        ...

    def explain(self, cells: AlignedCells, toward: Toward, *, progress: Progress) -> Signature:
        """The genes by which these cells, on average, point toward a label."""
        ...

    def save(self, folder: Path) -> None:
        """Write config.json and weights.safetensors into an existing folder."""
        ...

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Self:
        """Read what `save` wrote."""
        ...


def device_named(name: str) -> torch.device:
    """The device called "auto", "cpu" or "cuda"; auto takes the GPU when there is one.

    Raises
    ------
    OptionsProblem
        If a GPU is asked for and none is usable.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name == "cuda" and not available:
        raise OptionsProblem(
            "Device 'cuda' was asked for, but this machine offers no usable NVIDIA GPU to PyTorch. "
            "Choose 'auto' or 'cpu', or install a CUDA build of PyTorch and its driver."
        )
    if name not in ("cpu", "cuda"):
        raise OptionsProblem(f"There is no device {name!r}; choose auto, cpu or cuda.")
    return torch.device(name)
