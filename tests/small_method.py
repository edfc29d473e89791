"""A method small enough to be followed by hand: cells along the axes on which labels differ, batch means taken off.

It keeps every promise of a method and learns from a query by one mode, so that the corridor around methods can be
tested without training a network.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from explorer import keys
from explorer.beside import ConditionEmbedding
from explorer.explanation import Signature
from explorer.flow import AlignedCells, Embedding, FloatArray
from explorer.methods.base import INSTANT, Adaptation, Adapted, Config, MethodCard, Mode, Toward, Training
from explorer.progress import Progress

RECENTRED = Mode(
    "recentred", "Recentred", "Takes off what each batch of the query has in common. Seconds.", learns_labels=True
)


@dataclass(frozen=True)
class SmallConfig(Config):
    """Has no settings of its own."""

    n_genes: int = 300


class Small:
    """Log expression less the mean of its batch, along the differences between labels."""

    card: ClassVar[MethodCard] = MethodCard(
        name="small",
        title="Small",
        paper="none",
        summary="For tests.",
        gives=(),
        modes=(INSTANT, RECENTRED),
    )
    config_type: ClassVar[type[Config]] = SmallConfig

    def __init__(
        self,
        config: SmallConfig,
        genes: NDArray[np.object_],
        axes: FloatArray,
        centers: FloatArray,
        described: tuple[ConditionEmbedding, ...] = (),
    ) -> None:
        self.config, self.genes = config, genes
        self.axes, self.centers, self.described = axes, centers, described

    @classmethod
    def fit(
        cls, training: Training, config: SmallConfig, *,
        device: torch.device, progress: Progress, checkpoint: Path | None = None,
    ) -> Small:
        progress(0.0)
        values, codes = training.cells.log1p().toarray(), next(iter(training.labels.values()))
        means = np.stack([values[codes == code].mean(0) for code in np.unique(codes[codes >= 0])])
        progress(1.0)
        return cls(config, training.genes, (means - values.mean(0)).T, values.mean(0)[None])

    def embed(self, cells: AlignedCells, *, progress: Progress) -> Embedding:
        values = cells.log1p().toarray()
        which = np.zeros(cells.n_cells, int) if cells.conditions is None else cells.conditions[:, 0] + 1
        progress(1.0)
        return Embedding(np.asarray((values - self.centers[which]) @ self.axes, np.float32))

    def adapt(self, to: Adaptation, *, progress: Progress) -> Adapted:
        progress(0.0)
        sides = ((to.reference.cells, to.reference.conditions[0]), (to.cells, to.conditions[0]))
        means = [
            cells.log1p().toarray()[condition.codes == code].mean(0)
            for cells, condition in sides
            for code in range(len(condition.names))
        ]
        names = [name for _, condition in sides for name in condition.names]
        n_reference = len(sides[0][1].names)
        described = ConditionEmbedding(
            to.reference.conditions[0].column,
            np.array(names, dtype=object),
            np.asarray(means @ self.axes, np.float32),
            np.arange(len(names)) >= n_reference,
        )
        taught = Small(self.config, self.genes, self.axes, np.vstack([self.centers, *means]), (described,))
        progress(1.0)
        labelled = {level: int((codes >= 0).sum()) for level, codes in to.labels.items()}
        return Adapted(taught, True, (f"Labels that took part: {labelled}.",), (described,))

    def explain(
        self, cells: AlignedCells, toward: Toward, measure: str | None = None, *, progress: Progress
    ) -> Signature:
        self.card.measure(measure)
        scores = (cells.log1p().toarray().mean(0) - self.centers[0]) * (self.axes @ toward.direction)
        progress(1.0)
        return Signature(self.genes, np.asarray(scores, np.float32), toward.label, "product", 0.0)

    def save(self, folder: Path) -> None:
        told: dict[str, Any] = {"config": asdict(self.config), "genes": list(self.genes)}
        (folder / keys.CONFIG_FILE).write_text(json.dumps(told))
        arrays = {"axes": self.axes, "centers": self.centers}
        save_file({name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}, folder / keys.WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path, *, device: torch.device) -> Small:
        told = json.loads((folder / keys.CONFIG_FILE).read_text())
        arrays = load_file(folder / keys.WEIGHTS_FILE)
        return cls(SmallConfig(**told["config"]), np.array(told["genes"], object), arrays["axes"], arrays["centers"])
