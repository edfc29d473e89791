"""Everything of a trained Concerto in one module: both networks, heads, batches' own statistics, the centre."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.networks.attention import ALL
from explorer.networks.concerto import ConcertoNet, Teacher, embedded, estimate_statistics
from explorer.networks.concerto_labels import Classifier, Head
from explorer.networks.concerto_modalities import ModalCells
from explorer.networks.concerto_tasks import source_pure
from explorer.progress import Progress

ENOUGH = 500  # cells that a batch needs for statistics of its own


@dataclass(frozen=True)
class Described:
    """Batches whose own statistics a model has.

    Attributes
    ----------
    column
        obs column that names them.
    names
        First the reference's, then the query's.
    n_reference
        How many are the reference's.
    """

    column: str
    names: tuple[str, ...]
    n_reference: int


@dataclass(frozen=True)
class Batches:
    """Cells and which batch each is of.

    Attributes
    ----------
    cells
        n of them.
    codes
        int (n,), position in `names`.
    names
        Of the batches.
    """

    cells: ModalCells
    codes: NDArray[np.integer]
    names: tuple[str, ...]


class ConcertoModel(nn.Module):
    """Teacher, student and what was learned with them.

    Parameters
    ----------
    sizes, n_units, dropout, attend
        As of `ConcertoNet`.
    n_classes
        Classes of each label level that it has a head for.
    n_sources
        Batches that it knows the statistics of.

    Attributes
    ----------
    center
        float (d,), mean unit embedding of the reference: what a label's direction starts from.
    """

    center: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        n_units: int,
        dropout: float,
        attend: str = ALL,
        n_classes: Sequence[int] = (),
        n_sources: int = 0,
    ) -> None:
        super().__init__()
        self.network = ConcertoNet(sizes, n_units, dropout, attend)
        self.heads = nn.ModuleList(Head(n_units, n) for n in n_classes)
        self.sources = nn.ModuleList(_Buffers(self.network.teacher) for _ in range(n_sources))
        self.register_buffer("center", torch.zeros(n_units))

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.center.device

    @property
    def n_classes(self) -> list[int]:
        """Classes of each level that it has a head for."""
        return [cast(Head, head).linear.out_features for head in self.heads]

    def new_classifier(self, n_classes: Sequence[int]) -> Classifier:
        """Fresh heads for label levels, over the teacher that learns along."""
        self.heads = nn.ModuleList(Head(self.network.teacher.last.in_features, n) for n in n_classes).to(self.device)
        return Classifier(self.network.teacher, self.heads)

    @torch.no_grad()
    def answers(self, z: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What the head of each level says of the teacher's output.

        Returns
        -------
        probabilities
            float (n, C) a level.
        rejected
            bool (n,) a level: cells that are none of the classes, as far as the head can tell.
        """
        heads = [cast(Head, head) for head in self.heads]
        probabilities = [F.softmax(head(z), dim=1) for head in heads]
        return probabilities, [head.rejects(p) for head, p in zip(heads, probabilities, strict=True)]

    def centre_on(self, cells: ModalCells, progress: Progress) -> None:
        """Take the centre of these cells."""
        self.center.copy_(F.normalize(embedded(self.network.teacher.eval(), cells, progress), dim=1).mean(0))

    def learn_batches(self, own: Batches, query: Batches, column: str, seed: int) -> tuple[Described, int]:
        """Take the statistics of the reference's batches and of the query's.

        A batch of the query that has the name of one of the reference's goes by the statistics of that.

        Returns
        -------
        described
            What the batches are called.
        small
            How many of them have too few cells, so that they go by the statistics of the whole reference.
        """
        new = tuple(name for name in query.names if name not in own.names)
        small = 0
        for batches, names in ((own, own.names), (query, new)):
            for name in names:
                which = np.flatnonzero(batches.codes == batches.names.index(name))
                small += self._learn_source(batches.cells, which, seed)
        return Described(column, (*own.names, *new), len(own.names)), small

    def _learn_source(self, cells: ModalCells, which: NDArray[np.int64], seed: int) -> bool:
        teacher = _sharing(self.network.teacher)
        small = len(which) < ENOUGH
        if not small:
            of_source = cells.subset(torch.as_tensor(which, device=cells.device))
            estimate_statistics(teacher, source_pure(of_source, np.zeros(len(which), np.int64), seed))
        self.sources.append(_Buffers(teacher))
        return small

    @torch.no_grad()
    def embed(self, cells: ModalCells, sources: NDArray[np.integer] | None, progress: Progress) -> Tensor:
        """The teacher's output, float32 (n, d); each cell by its own batch's statistics where that is known.

        Parameters
        ----------
        sources
            int (n,), -1 for a batch that is not known; `None` when none is.
        """
        teacher = self.network.teacher
        if sources is None or not len(self.sources):
            return embedded(teacher, cells, progress)
        z = torch.zeros(len(cells), teacher.last.out_features, device=self.device)
        for source in np.unique(sources):
            own = torch.as_tensor(np.flatnonzero(sources == source), device=self.device)
            by = teacher if source < 0 else cast(_Buffers, self.sources[int(source)]).put_into(_sharing(teacher))
            z[own] = embedded(by, cells.subset(own), progress.part(progress.stage, 0.0, 0.0))
        progress(1.0)
        return z

    def described_sources(self) -> Tensor:
        """What sets each batch apart: mean of the pooled RNA vectors less the reference's, float (S, d)."""
        own = [getattr(buffers, _name("branches.0.norm.mean")) for buffers in self.sources]
        return torch.stack(own) - self.network.teacher.branch(0).norm.mean


class _Buffers(nn.Module):
    """The statistics in a teacher's batch norms, without its weights."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        for name, value in teacher.named_buffers():
            self.register_buffer(_name(name), value.clone())

    def put_into(self, teacher: Teacher) -> Teacher:
        """Replace those of a teacher, which is returned."""
        for name, value in teacher.named_buffers():
            value.copy_(getattr(self, _name(name)))
        return teacher


def _name(buffer: str) -> str:
    return buffer.replace(".", "_of_")  # a buffer's own name may hold no dot


def _sharing(teacher: Teacher) -> Teacher:
    """A teacher with the same weights, not copied, and statistics of its own."""
    shared: dict[int, object] = {id(parameter): parameter for parameter in teacher.parameters()}
    return copy.deepcopy(teacher, shared)
