"""Cells that want a label of their own, and the names of labels and groups where they lie on a map.

Safe to call from any thread; knows no widgets.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer import keys
from explorer.app.stored import library
from explorer.app.stored.library import Outcome
from explorer.asking.prototypes import Mark
from explorer.flow import FloatArray, Reference
from explorer.insight.unknowns import Unknowns, unknowns
from explorer.jobs.asked import query_of
from explorer.jobs.extending import write_names
from explorer.jobs.queue import JobState
from explorer.jobs.specs import ExtendSpec, MapSpec
from explorer.progress import Progress
from explorer.settings import settings

_UNSAFE = re.compile(r"[^a-z0-9]+")

CLOSE = 0.04       # of the picture's extent: names of places nearer to one another would lie over each other


def group_unknown(
    spec: MapSpec, outcome: Outcome, level: str, rows: NDArray[np.integer] | None, sample: str, progress: Progress
) -> Unknowns:
    """Groups among the unknown cells, or among those chosen, each with its markers.

    Raises
    ------
    OptionsProblem
        If there are too few of them.
    """
    query = query_of(spec)
    column = sample if sample in outcome.result.obs else None
    return unknowns(query, outcome.result, rows, sample=column, level=level, progress=progress)


def marks_of(found: Unknowns, layout: FloatArray) -> list[Mark]:
    """Name and place of each group: the median of its cells in the reference's picture, float32 (n, 2)."""
    return [
        (name, *map(float, np.median(layout[found.rows[found.codes == code]], axis=0)))  # type: ignore[misc]
        for code, name in enumerate(found.names)
    ]


def readable_marks(marks: Sequence[Mark], extent: float) -> list[Mark]:
    """The same places; of those that lie closer than a twenty-fifth of the picture's extent, one carries all names."""
    leaders: dict[int, list[str]] = {}
    for i, (name, x, y) in enumerate(marks):
        near = (at for at in leaders if np.hypot(marks[at][1] - x, marks[at][2] - y) < extent * CLOSE)
        leaders.setdefault(next(near, i), []).append(name)
    return [(", ".join(leaders.get(i, [])), x, y) for i, (_, x, y) in enumerate(marks)]


def extension(
    spec: MapSpec, outcome: Outcome, reference: Reference, level: str, names: NDArray[np.object_]
) -> ExtendSpec:
    """The work of adding the cells that were named to a copy of the reference, among this server's own references.

    Parameters
    ----------
    names
        Text (n,), "" for cells without a name.
    """
    wanted = ExtendSpec(
        out="", reference=str(reference.folder), result=str(outcome.folder / keys.RESULT_FILE),
        names=str(write_names(names, settings().named)), level=level, matrix=spec.matrix, gene_names=spec.gene_names,
        orthologs=spec.orthologs, device=spec.device, name=spec.name,
    )  # fmt: skip
    waiting = [job.spec for job in library.queue().jobs(JobState.QUEUED, JobState.RUNNING)]
    asked = [known for known in waiting if isinstance(known, ExtendSpec)]
    same = (known for known in asked if replace(known, out="") == wanted)
    taken = {known.out for known in asked}
    own = settings().own_references
    return next(same, replace(wanted, out=str(_free(own, reference.folder.stem, taken))))


def _free(folder: Path, stem: str, taken: Collection[str]) -> Path:
    """A folder that does not exist yet and nobody waits for, named after the reference that is extended."""
    slug = _UNSAFE.sub("-", stem.lower()).strip("-")[:40] or "reference"
    numbered = (folder / f"{slug}-extended{'' if n == 1 else f'-{n}'}.atlas" for n in range(1, 10_000))
    return next(path for path in numbered if not path.exists() and str(path) not in taken)
