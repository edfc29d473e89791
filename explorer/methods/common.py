"""What siblings do alike around their networks: settings, counts, devices, files, cells kept out, models that move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from explorer import keys
from explorer.errors import OptionsProblem, ValuesProblem
from explorer.flow import AlignedCells
from explorer.methods.base import Config, Mode
from explorer.networks.geometry import alignment, collapsed

LEFT_OUT = 0.1  # of the cells, to tell when to stop
DRIFTED = 0.95  # mean cosine to where they were; below, the user is told

_Config = TypeVar("_Config", bound=Config)


def own_config(config: Config, own: type[_Config], title: str) -> _Config:
    """The settings, as those of the method called `title`.

    Raises
    ------
    OptionsProblem
        If they are another method's.
    """
    if not isinstance(config, own):
        raise OptionsProblem(f"{title} is trained with a {own.__name__}, not a {type(config).__name__}.")
    return config


def require_counts(cells: AlignedCells, title: str, whose: str, remedy: str) -> None:
    """Refuse cells without counts for a method that models these.

    Raises
    ------
    ValuesProblem
        If the values are no counts.
    """
    if not cells.is_counts:
        raise ValuesProblem(
            f"{title} learns from counts, but the {whose}'s values are no whole numbers (the largest is "
            f"{cells.values.data.max(initial=0):.4g}). {remedy}"
        )


def kept_out(n_cells: int, patience: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells that are learnt from, and those that tell when to stop; none of the latter without patience."""
    if not patience:
        return np.arange(n_cells), np.empty(0, np.int64)
    left_out = rng.random(n_cells) < LEFT_OUT
    return np.flatnonzero(~left_out), np.flatnonzero(left_out)


def told_of_drift(mode: Mode, before: Tensor, after: Tensor, *, is_meant: bool = False) -> tuple[str, ...]:
    """What to say of how far a model that learned from a query has moved reference cells, float (k, d) each.

    Parameters
    ----------
    is_meant
        Whether the mode is there to move them: then nothing is said of it.

    Raises
    ------
    OptionsProblem
        If the model no longer tells cells apart.
    """
    moved = float((before * after).sum(1).mean())
    if collapsed(before, after):
        raise OptionsProblem(
            f"In the mode '{mode.name}' the model came to see all cells as alike: the mean squared distance of a "
            f"reference cell to its nearest fell from {alignment(before):.3f} to {alignment(after):.3f}. Nothing was "
            "mapped. Choose the mode 'instant'."
        )
    if is_meant or moved >= DRIFTED:
        return ()
    return (
        f"In the mode '{mode.name}' the reference moved: its cells point to where they were with a mean cosine of "
        f"{moved:.2f} (1 is no move). Compare the labels with those of the mode 'instant' before you rely on them.",
    )


def write_model(folder: Path, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write config.json and weights.safetensors into an existing folder."""
    (folder / keys.CONFIG_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
    save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, folder / keys.WEIGHTS_FILE)


def read_model(folder: Path, device: torch.device) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write_model` wrote; tensors onto `device`."""
    settings = json.loads((folder / keys.CONFIG_FILE).read_text(encoding="utf-8"))
    return settings, load_file(folder / keys.WEIGHTS_FILE, device=str(device))


def tensors_of(module: nn.Module, name: str) -> dict[str, Tensor]:
    """The tensors of a part of a model, called after it."""
    return {f"{name}.{key}": value for key, value in module.state_dict().items()}


def part_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Those tensors again, as the part takes them."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


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
