"""The job that trains: a further method for a reference, or a reference of a person's own cells.

References that come with the program or belong to a lab may be read-only: one that gets a further method here is first
copied into the home folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer import keys
from explorer.building.fitting import MOST_FOLDS, build_reference
from explorer.errors import OptionsProblem, ResourceProblem
from explorer.flow import Reference
from explorer.jobs.specs import BuildSpec
from explorer.progress import Progress
from explorer.reference import has_expression, open_reference
from explorer.settings import settings

SECONDS_A_MODEL, SECONDS_A_THOUSAND = 15.0, 3.0  # measured with all methods on two busy cores, 400 to 5,300 cells


def minutes(n_cells: int, n_batches: int) -> int:
    """About how many minutes a method takes to train: once for each left-out batch, and once on all cells."""
    n_models = 1 + (MOST_FOLDS if n_batches < 2 else min(n_batches, MOST_FOLDS))
    return max(1, round(n_models * (SECONDS_A_MODEL + SECONDS_A_THOUSAND * n_cells / 1000) / 60))


def build(spec: BuildSpec, progress: Progress) -> Reference:
    """Train the methods of a spec one after the other; those that were trained before one fails are kept.

    Raises
    ------
    AtlasError
        Whatever the file, its columns, the reference or the machine do not allow.
    Cancelled
        From `progress`; what was learned of the method under way is kept aside, and a next try goes on from there.
    """
    if not spec.methods:
        raise OptionsProblem("No method was chosen. Choose at least one to train.")
    out, device = Path(spec.out), settings().device if spec.device == "auto" else spec.device
    with _bundle(spec, out):
        for at, method in enumerate(spec.methods):
            span = progress.part("", at / len(spec.methods), (at + 1) / len(spec.methods))
            if spec.reference:
                _add(out, method, device, span)
            else:
                about = {"title": spec.title} if spec.title else {}
                build_reference(
                    spec.source, out, labels=spec.labels, batch=spec.batch, sample=spec.sample, method=method,
                    device=device, about=about, progress=span,
                )  # fmt: skip
    return open_reference(out)


def _add(out: Path, method: str, device: str, progress: Progress) -> None:
    """Train one method more on the cells of a bundle, described as they were for its other methods."""
    reference = open_reference(out)
    if not has_expression(reference):
        raise OptionsProblem(
            f"{reference.title} was shared without expression, so nothing can be trained on its cells. Map by the "
            "methods that it holds."
        )
    card = reference.card
    told = [card["methods"][name].get("conditions", ()) for name in reference.methods]
    conditions = tuple(dict.fromkeys(column for columns in told for column in columns))
    build_reference(
        out / keys.CELLS_FILE, out, labels=reference.levels, batch=card.get("batch"), sample=card.get("sample"),
        conditions=conditions, method=method, device=device, progress=progress,
    )  # fmt: skip


@contextmanager
def _bundle(spec: BuildSpec, out: Path) -> Iterator[None]:
    """The bundle to add to, copied where it lies elsewhere; the copy goes again if nothing was added to it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    is_copied = bool(spec.reference) and Path(spec.reference) != out and not out.exists()
    if is_copied:
        _copy(Path(spec.reference), out)
    before = set(open_reference(out).methods) if spec.reference else set()
    try:
        yield
    finally:
        if is_copied and set(open_reference(out).methods) == before:
            shutil.rmtree(out)


def require_room(source: Path, folder: Path) -> None:
    """Refuse to copy a reference into a folder whose disk is too full for it.

    Raises
    ------
    ResourceProblem
        With what is needed and what is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if free < 3 * size:  # the copy, and the one that is written while it is added to
        raise ResourceProblem(
            f"A copy of the reference needs about {3 * size / 2**30:.1f} GB of disk at {folder}, "
            f"{free / 2**30:.1f} GB are free. Make room there, then run it again."
        )


def _copy(source: Path, out: Path) -> None:
    require_room(source, out.parent)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    part.rename(out)
