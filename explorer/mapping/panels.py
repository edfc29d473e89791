"""Models refitted on the genes of a panel, kept between runs: found, read, written, forgotten.

They lie in the home folder, since a reference may be read-only and is not changed by being used:

    panels/<reference>/<method>/<genes>/     what a method's folder in a bundle holds, and panel.json: the panel's
                                             genes, scores, and a sha256 of every other file

The folder may be deleted at any time; what is missing is refitted when it is needed next. Knows gene symbols and
files; trains nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from explorer import keys
from explorer.errors import ReferenceProblem, ResourceProblem
from explorer.flow import GeneMatch, Query, Reference
from explorer.provenance import Panel, Refitted
from explorer.reference import has_expression
from explorer.settings import settings

LEAST_ALIKE = 0.9   # shared genes over all genes of two panels, above which one model serves both
MOST_KEPT = 32      # models; a few MB each
ASKED, LIKE_GENES = 1000, 0.1  # cells whose names are looked at, and the share of them that no accident makes genes

_DIGITS = 16
_FINISHED = f"{'[0-9a-f]' * _DIGITS}/{keys.PANEL_FILE}"  # what is being written or deleted has a longer name


def shared_genes(reference: Reference, match: GeneMatch) -> tuple[str, ...]:
    """Symbols that a query and a reference have in common, in the reference's order."""
    return tuple(reference.genes[keys.SYMBOL].to_numpy(object)[match.found])


def refusal(reference: Reference, match: GeneMatch) -> str:
    """Why a method cannot be refitted for a query, as a sentence; empty if it can."""
    if not has_expression(reference):
        return (
            f"The method cannot be refitted on the shared genes, because {reference.title} was shared without "
            "expression."
        )
    shared, least = int(match.found.sum()), settings().min_panel_genes
    if shared < least:
        return (
            f"The method cannot be refitted on the shared genes either: {shared:,} of the reference's "
            f"{len(reference.genes):,} genes are in the file, and at least {least} are needed."
        )
    return ""


def way_out(query: Query, reference: Reference, match: GeneMatch) -> str:
    """What a query with too few of a method's genes can do about it, as a sentence."""
    if turned := _cells_called_like_genes(query, reference):
        return (
            f"Its cells are called like genes ({', '.join(turned[:3])}), so rows and columns seem to have changed "
            "places: save adata.T instead."
        )
    return refusal(reference, match) or (
        f"Or choose 'refit on the shared genes' (--refit-shared): the method is then trained anew on the "
        f"{int(match.found.sum()):,} genes that the file shares with the reference."
    )


def _cells_called_like_genes(query: Query, reference: Reference) -> list[str]:
    """Names of cells that are genes of the reference, of the first 1,000; empty unless a tenth of them are."""
    known = set(reference.genes[keys.SYMBOL]) | set(reference.genes[keys.ENSEMBL])
    names = list(map(str, query.obs.index[:ASKED]))
    found = [name for name in names if name in known]
    return found if len(found) >= LIKE_GENES * len(names) else []


def cost(reference: Reference, method: str, genes: tuple[str, ...]) -> str:
    """How long refitting will take, as a sentence: about as long as it took to build the reference."""
    if known(reference, method, genes) is not None:
        return "A model of this panel is kept from an earlier sample, so nothing is trained."
    seconds = reference.card["methods"][method].get("seconds")
    took = "some minutes" if seconds is None else _in_words(float(seconds))
    return f"Refitting takes {took}, the first time only: the model is kept for further samples of the same panel."


def find(reference: Reference, method: str, genes: tuple[str, ...]) -> Refitted | None:
    """The whole model whose panel is most like these genes; `None` if none is like enough.

    A file rarely holds exactly its panel's genes: those without a count are often left out. They count as not
    expressed, and take no part in novelty.
    """
    for kept in _likest(reference, method, genes):
        if _is_whole(kept.folder):
            with suppress(OSError):  # the time of last use, which only says what is forgotten first
                os.utime(kept.folder / keys.PANEL_FILE)
            return kept
    return None


def known(reference: Reference, method: str, genes: tuple[str, ...]) -> Panel | None:
    """The panel that `find` would likely answer with; quick, since its model's files are not checked."""
    kept = next(_likest(reference, method, genes), None)
    return None if kept is None else kept.panel


def reopened(reference: Reference, panel: Panel | None) -> Reference:
    """A reference with the model that a result was made with.

    Raises
    ------
    ReferenceProblem
        If that model is no longer kept.
    """
    if panel is None:
        return reference
    folder = _folder(reference, panel.method) / panel.key
    if not _is_whole(folder):
        raise ReferenceProblem(
            f"The model refitted on {len(panel.genes):,} shared genes is no longer kept. Map the file again; the model "
            "is then trained anew."
        )
    return standing_in(reference, Refitted(folder, panel))


def standing_in(reference: Reference, refitted: Refitted) -> Reference:
    """A reference whose method is the refitted one."""
    return replace(reference, refitted={**reference.refitted, refitted.panel.method: refitted})


def keep(
    reference: Reference,
    method: str,
    genes: tuple[str, ...],
    scores: Mapping[str, Mapping[str, Any]],
    write: Callable[[Path], None],
) -> Refitted:
    """Keep a refitted model, and forget those that were not used for longest.

    The folder gets its name when all of it is there. Where another process was quicker, its model stays.

    Parameters
    ----------
    write
        Writes the model into an empty folder.

    Raises
    ------
    ResourceProblem
        If the home folder cannot be written to.
    """
    panel = Panel(_key(genes), method, genes, scores)
    folder = _folder(reference, method) / panel.key
    part = folder.with_name(f"{panel.key}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        write(part)
        _write_card(part, panel)
        _put(part, folder)
    except OSError as error:
        raise ResourceProblem(
            f"The refitted model cannot be kept in {settings().panels} ({error.strerror}). Make room there, or set "
            "ATLAS_EXPLORER_HOME to a folder that can be written to."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _forget_oldest()
    return Refitted(folder, panel)


def unfinished(reference: Reference, method: str) -> Path:
    """Folder for what a refit has learned until it is done; of one panel at a time."""
    return _folder(reference, method) / "unfinished"


def _in_words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "about a minute" if minutes <= 1 else f"about {minutes} minutes"


def _folder(reference: Reference, method: str) -> Path:
    return settings().panels / reference.checksum[:_DIGITS] / method


def _key(genes: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(sorted(genes)).encode()).hexdigest()[:_DIGITS]


def _likest(reference: Reference, method: str, genes: tuple[str, ...]) -> Iterator[Refitted]:
    """Kept models whose panel is enough like these genes, the most alike first."""
    wanted = set(genes)
    alike = [(_alike(wanted, set(kept.panel.genes)), kept) for kept in _kept(_folder(reference, method))]
    for share, kept in sorted(alike, key=lambda pair: -pair[0]):
        if share >= LEAST_ALIKE:
            yield kept


def _alike(some: set[str], others: set[str]) -> float:
    return len(some & others) / max(1, len(some | others))


def _kept(folder: Path) -> Iterator[Refitted]:
    """Models in a folder that this version of the program wrote."""
    for file in folder.glob(_FINISHED):
        card = _read_card(file)
        if card is not None and card["version"] == _version():
            panel = Panel(file.parent.name, folder.name, tuple(card["genes"]), card["scores"])
            yield Refitted(file.parent, panel)


def _read_card(file: Path) -> dict[str, Any] | None:
    """What a panel.json says; `None` if it is no longer there, or damaged."""
    try:
        card = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return card if card.keys() >= {"genes", "scores", "files", "version"} else None


def _write_card(folder: Path, panel: Panel) -> None:
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    card = {"genes": list(panel.genes), "scores": panel.scores, "version": _version(), "files": files}
    file = folder / keys.PANEL_FILE
    file.write_text(json.dumps(card, indent=1), encoding="utf-8")
    for name in files:  # safetensors writes files that nobody else can read, and a lab may share its home folder
        (folder / name).chmod(file.stat().st_mode)


def _is_whole(folder: Path) -> bool:
    """Whether every file of a kept model is as it was written."""
    card = _read_card(folder / keys.PANEL_FILE)
    if card is None or card["version"] != _version():
        return False
    try:
        return all(_sha256(folder / name) == expected for name, expected in card["files"].items())
    except OSError:
        return False


def _put(part: Path, folder: Path) -> None:
    """Give a finished folder its name, in place of one that is damaged."""
    if _is_whole(folder):
        return
    if folder.exists():
        aside = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.old")
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        part.rename(folder)
    except OSError:
        if not _is_whole(folder):  # else another process was quicker
            raise


def _forget_oldest() -> None:
    cards = sorted(settings().panels.glob(f"*/*/{_FINISHED}"), key=_last_used, reverse=True)
    for card in cards[MOST_KEPT:]:
        shutil.rmtree(card.parent, ignore_errors=True)


def _last_used(card: Path) -> float:
    try:
        return card.stat().st_mtime
    except FileNotFoundError:  # another process has just forgotten it
        return 0.0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version() -> str:
    try:
        return version("atlas-explorer")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "not installed"
